//! Seat: where a session of a listener waits for its dialer to come back, and how it is brought there.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::{
    bridge::timeout,
    channel::BlockingChannel,
    error::{Error, ErrorKind, Result},
    stop::Stop,
    wire::{Limits, Ticket},
};

/// Set in the count of frames once the dialer has another connection: what the old one still brings is void.
const MOVED: u64 = 1 << 63;

/// A session's place with its listener.
#[derive(Debug, Clone)]
pub(super) struct Seat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bell: Bell,
    /// Frames that the session has received, and [`MOVED`].
    received: AtomicU64,
    limits: Limits,
    door: Mutex<Door>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Door {
    /// A channel that the dialer came back with, and what it has received of this session.
    back: Option<(Box<dyn BlockingChannel>, u64)>,
    /// Counts those who came back; only the last one is let in.
    arrivals: u64,
    /// Since when the session waits for its dialer.
    empty_since: Option<Instant>,
    is_closed: bool,
}

impl Seat {
    fn door(&self) -> MutexGuard<'_, Door> {
        self.0.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bounds of the session.
    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }

    /// The session: counts a frame beyond the `received` ones, unless the dialer has left the channel it came over.
    pub(super) fn admit(&self, received: u64) -> bool {
        self.0.received.compare_exchange(received, received + 1, SeqCst, SeqCst).is_ok()
    }

    /// The session: whether the dialer has left its channel.
    pub(super) fn has_moved(&self) -> bool {
        self.0.received.load(SeqCst) & MOVED != 0
    }

    /// The session: waits for the dialer. Gives its new channel and the number of the last frame it has received.
    pub(super) fn take_back(&self, deadline: Option<Instant>) -> Result<(Box<dyn BlockingChannel>, u64)> {
        let mut door = self.door();
        loop {
            if let Some(back) = door.back.take() {
                self.0.received.fetch_and(!MOVED, SeqCst);
                door.empty_since = None;
                return Ok(back);
            }
            if door.is_closed {
                return Err(Error::new(ErrorKind::ConnectionLost, "the listener takes nobody back any more"));
            }
            // Nobody counts on the old channel, from either side.
            self.0.received.fetch_or(MOVED, SeqCst);
            door.empty_since.get_or_insert_with(Instant::now);
            let left = deadline
                .map_or(Duration::from_secs(3600), |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(timeout());
            }
            door = self.0.changed.wait_timeout(door, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The listener: the dialer is here again. Gives the number of its visit and that of the last frame the session
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
        (visit, received)
    }

    /// The listener: brings the dialer's channel to the session, unless it has come once more since that visit.
    pub(super) fn seat_again(&self, visit: u64, channel: Box<dyn BlockingChannel>, heard: u64) {
        let mut door = self.door();
        if door.arrivals == visit && !door.is_closed {
            door.back = Some((channel, heard));
            door.empty_since = None;
            drop(door);
            self.0.changed.notify_all();
        }
    }

    fn close(&self) {
        self.door().is_closed = true;
        self.0.changed.notify_all();
    }
}

/// The seats of a listener.
#[derive(Debug, Default)]
pub(super) struct Seats {
    seats: Mutex<HashMap<Ticket, Weak<Inner>>>,
    bell: Bell,
}

impl Seats {
    fn map(&self) -> MutexGuard<'_, HashMap<Ticket, Weak<Inner>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes the sessions when a dialer has come back.
    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// A seat for a new session, which lasts as long as that keeps it.
    pub(super) fn add(&self, ticket: Ticket, limits: Limits) -> Seat {
        let (received, door, changed) = (AtomicU64::new(0), Mutex::default(), Condvar::new());
        let inner = Arc::new(Inner { bell: self.bell.clone(), received, limits, door, changed });
        let mut map = self.map();
        map.retain(|_, seat| seat.strong_count() > 0);
        map.insert(ticket, Arc::downgrade(&inner));
        Seat(inner)
    }

    /// The session that the ticket names, if its dialer may come back.
    pub(super) fn find(&self, ticket: &Ticket) -> Option<Seat> {
        let seat = self.map().get(ticket).and_then(Weak::upgrade).map(Seat);
        seat.filter(|seat| !seat.door().is_closed)
    }

    /// Ends the session that has waited for its dialer the longest, if one does.
    pub(super) fn clear_one(&self) {
        let seats: Vec<Seat> = self.map().values().filter_map(Weak::upgrade).map(Seat).collect();
        let empty_since = |seat: &Seat| seat.door().empty_since;
        let first = seats.iter().filter(|seat| empty_since(seat).is_some()).min_by_key(|seat| empty_since(seat));
        if let Some(seat) = first {
            seat.close();
        }
    }

    /// Nobody is brought back any more.
    pub(super) fn close(&self) {
        for seat in self.map().values().filter_map(Weak::upgrade) {
            Seat(seat).close();
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
