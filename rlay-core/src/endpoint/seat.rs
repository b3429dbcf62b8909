//! Seat: where a session waits for another connection, and how that is brought there: by the listener that its dialer
//! has come back to, or by its own keeper that has dialed again.

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    bridge::timeout,
    channel::{BlockingChannel, Watch},
    error::{Error, ErrorKind, Result},
    stop::Stop,
    wire::{Limits, Ticket},
};

/// Set in the count of frames once another connection is to take the place of the session's: what that still brings is
/// void.
const MOVED: u64 = 1 << 63;

/// A session's place with whoever brings it other connections, which are channels of the kind `C`: the session is on a
/// thread that blocks, or in a task.
#[derive(Debug)]
pub(super) struct Seat<C = Box<dyn BlockingChannel>>(Arc<Inner<C>>);

impl<C> Clone for Seat<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Inner<C> {
    bell: Bell,
    /// Frames that the session has received, and [`MOVED`].
    received: AtomicU64,
    limits: Limits,
    door: Mutex<Door<C>>,
    /// Tells threads and tasks that something has changed behind the door.
    changed: Condvar,
    tasks: Notify,
}

#[derive(Debug)]
struct Door<C> {
    /// Another channel, and what its other end has received of this session.
    back: Option<(C, u64)>,
    /// Counts the times somebody set out to bring one; only the last one is let in.
    arrivals: u64,
    /// Since when the session waits for one.
    empty_since: Option<Instant>,
    /// Why the last channel was given up, where that was not the session's own doing.
    lost: Option<Error>,
    /// Why nobody brings another.
    closed: Option<Error>,
}

impl<C> Seat<C> {
    /// For a session that has not begun, and whoever rings this bell.
    fn new(bell: Bell, limits: Limits) -> Self {
        let door = Door { back: None, arrivals: 0, empty_since: None, lost: None, closed: None };
        let (received, door, changed, tasks) = (AtomicU64::new(0), Mutex::new(door), Condvar::new(), Notify::new());
        Self(Arc::new(Inner { bell, received, limits, door, changed, tasks }))
    }

    /// For a session that has dialed.
    pub(super) fn of_a_dialer(limits: Limits) -> Self {
        Self::new(Bell::default(), limits)
    }

    fn door(&self) -> MutexGuard<'_, Door<C>> {
        self.0.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.0.changed.notify_all();
        self.0.tasks.notify_waiters();
    }

    /// The bounds of the session.
    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }

    /// The session: counts a frame beyond the `received` ones, unless the channel it came over was given up.
    pub(super) fn admit(&self, received: u64) -> bool {
        self.0.received.compare_exchange(received, received + 1, SeqCst, SeqCst).is_ok()
    }

    /// The session: whether its channel was given up.
    pub(super) fn has_moved(&self) -> bool {
        self.0.received.load(SeqCst) & MOVED != 0
    }

    /// The session: why its channel was given up.
    pub(super) fn why(&self) -> Error {
        let moved = || Error::plain(ErrorKind::ConnectionLost, "the peer has another connection");
        self.door().lost.clone().unwrap_or_else(moved)
    }

    /// The session: waits until its channel was given up.
    pub(super) async fn moved(&self) -> Error {
        self.told(|seat| seat.has_moved().then(|| seat.why())).await
    }

    /// Waits until `look` finds something.
    async fn told<T>(&self, look: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            let mut told = pin!(self.0.tasks.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            if let Some(found) = look(self) {
                return found;
            }
            told.await;
        }
    }

    /// The session: another channel and the number of the last frame its other end has received, or why there never
    /// will be one, if it is known yet.
    fn back(&self, door: &mut Door<C>) -> Option<Result<(C, u64)>> {
        if let Some(back) = door.back.take() {
            self.0.received.fetch_and(!MOVED, SeqCst);
            (door.empty_since, door.lost) = (None, None);
            return Some(Ok(back));
        }
        if let Some(why) = &door.closed {
            return Some(Err(why.clone()));
        }
        self.leave(door);
        None
    }

    /// Nobody counts on the old channel any more, from either side, and another is missed.
    fn leave(&self, door: &mut Door<C>) {
        self.0.received.fetch_or(MOVED, SeqCst);
        if door.back.is_none() && door.empty_since.is_none() {
            door.empty_since = Some(Instant::now());
            self.0.changed.notify_all();
        }
    }

    /// The session: has lost its channel, and will ask for another later.
    pub(super) fn miss(&self) {
        self.leave(&mut self.door());
    }

    /// The session: waits for another channel. Gives that and the number of the last frame its other end has received.
    pub(super) async fn wait_for_return(&self) -> Result<(C, u64)> {
        self.told(|seat| seat.back(&mut seat.door())).await
    }

    /// The same on a thread that blocks.
    pub(super) fn take_back(&self, deadline: Option<Instant>) -> Result<(C, u64)> {
        let mut door = self.door();
        loop {
            if let Some(back) = self.back(&mut door) {
                return back;
            }
            let left = deadline
                .map_or(Duration::from_secs(3600), |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(timeout());
            }
            door = self.0.changed.wait_timeout(door, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The keeper: waits until the session misses its channel, which it looks at now and then; false once nobody is to
    /// bring another.
    pub(super) fn is_missed(&self, look: Duration, watch: &mut Option<Watch>) -> bool {
        let mut door = self.door();
        loop {
            if door.closed.is_some() {
                return false;
            }
            if door.back.is_none() && door.empty_since.is_some() {
                return true;
            }
            let (after, waited) = self.0.changed.wait_timeout(door, look).unwrap_or_else(PoisonError::into_inner);
            door = after;
            if waited.timed_out()
                && let Some(Err(why)) = watch.as_mut().map(|watch| watch())
            {
                door.lost = Some(why);
                return door.closed.is_none();
            }
        }
    }

    /// Whoever brings a channel: sets out. Gives the number of this visit and that of the last frame the session
    /// has received, which from now on stays what it is until [`seat_again`](Self::seat_again).
    pub(super) fn meet(&self) -> (u64, u64) {
        let mut door = self.door();
        door.arrivals += 1;
        door.back = None;
        let received = self.0.received.fetch_or(MOVED, SeqCst) & !MOVED;
        let visit = door.arrivals;
        drop(door);
        // From now on the session waits here, not for what the old channel brings.
        self.0.bell.ring();
        self.0.tasks.notify_waiters();
        (visit, received)
    }

    /// Whoever brings a channel: does so, unless it has set out once more since that visit.
    pub(super) fn seat_again(&self, visit: u64, channel: C, heard: u64) {
        let mut door = self.door();
        if door.arrivals == visit && door.closed.is_none() {
            door.back = Some((channel, heard));
            door.empty_since = None;
            drop(door);
            self.tell();
        }
    }

    /// Nobody brings another channel any more.
    pub(super) fn close(&self, why: Error) {
        self.door().closed.get_or_insert(why);
        self.tell();
    }
}

fn full() -> Error {
    Error::new(ErrorKind::ConnectionLost, "the listener takes nobody back any more")
}

/// The seats of a listener.
pub(super) struct Seats<C> {
    seats: Mutex<HashMap<Ticket, Weak<Inner<C>>>>,
    bell: Bell,
}

impl<C> Default for Seats<C> {
    fn default() -> Self {
        Self { seats: Mutex::default(), bell: Bell::default() }
    }
}

impl<C> fmt::Debug for Seats<C> {
    /// Without the tickets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seats({})", self.map().len())
    }
}

impl<C> Seats<C> {
    fn map(&self) -> MutexGuard<'_, HashMap<Ticket, Weak<Inner<C>>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes the sessions when a dialer has come back.
    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// A seat for a new session, which lasts as long as that keeps it.
    pub(super) fn add(&self, ticket: Ticket, limits: Limits) -> Seat<C> {
        let seat = Seat::new(self.bell.clone(), limits);
        let mut map = self.map();
        map.retain(|_, seat| seat.strong_count() > 0);
        map.insert(ticket, Arc::downgrade(&seat.0));
        seat
    }

    /// The session that the ticket names, if its dialer may come back.
    pub(super) fn find(&self, ticket: &Ticket) -> Option<Seat<C>> {
        let seat = self.map().get(ticket).and_then(Weak::upgrade).map(Seat);
        seat.filter(|seat| seat.door().closed.is_none())
    }

    /// Ends the session that has waited for its dialer the longest, if one does.
    pub(super) fn clear_one(&self) {
        let seats: Vec<Seat<C>> = self.map().values().filter_map(Weak::upgrade).map(Seat).collect();
        let empty_since = |seat: &Seat<C>| seat.door().empty_since;
        let first = seats.iter().filter(|seat| empty_since(seat).is_some()).min_by_key(|seat| empty_since(seat));
        if let Some(seat) = first {
            seat.close(full());
        }
    }

    /// Nobody is brought back any more.
    pub(super) fn close(&self) {
        for seat in self.map().values().filter_map(Weak::upgrade) {
            Seat(seat).close(full());
        }
    }
}

/// Wakes all sessions of a listener that wait on their channels, when the dialer of one has come back. That is rare, and
/// a flag for each session would cost each two descriptors.
#[derive(Debug, Clone, Default)]
pub(super) struct Bell(Arc<Mutex<Vec<Rope>>>);

/// A flag that is set when the bell is rung, and with the stop of those who hear it.
#[derive(Debug)]
struct Rope {
    stop: Option<Stop>,
    flag: Stop,
}

impl Bell {
    fn ropes(&self) -> MutexGuard<'_, Vec<Rope>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flag of those who also end with `stop`.
    pub(super) fn hear(&self, stop: Option<&Stop>) -> Stop {
        let mut ropes = self.ropes();
        ropes.retain(|rope| !rope.flag.is_set());
        if let Some(rope) = ropes.iter().find(|rope| rope.stop.as_ref() == stop) {
            return rope.flag.clone();
        }
        let flag = stop.map_or_else(Stop::default, Stop::child);
        ropes.push(Rope { stop: stop.cloned(), flag: flag.clone() });
        flag
    }

    fn ring(&self) {
        self.ropes().drain(..).for_each(|rope| rope.flag.set());
    }
}
