//! ReconnectSlot: where a session waits for another connection, and where its bringer leaves one: the listener that its
//! dialer has come back to, or the session's own reconnector.

use std::{
    pin::pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::wake_group::WakeGroup;
use crate::{
    bridge::timeout,
    channel::{BlockingChannel, Watch},
    error::{Error, ErrorKind, Result},
    session::takeover::{Attempt, ReceivedCount, Takeover},
    wire::Limits,
};

/// The [`Takeover`] of a session, shared with the bringer of its connections, whose channels are of the kind `C`: the
/// session is on a thread that blocks, or in a task.
#[derive(Debug)]
pub(in crate::endpoint) struct ReconnectSlot<C = Box<dyn BlockingChannel>>(Arc<Inner<C>>);

/// A reference that does not keep the slot.
pub(in crate::endpoint) type WeakSlot<C> = Weak<Inner<C>>;

impl<C> Clone for ReconnectSlot<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
pub(in crate::endpoint) struct Inner<C> {
    wake_group: WakeGroup,
    received: ReceivedCount,
    limits: Limits,
    takeover: Mutex<Takeover<C>>,
    /// Tell threads and tasks that the takeover has changed.
    changed: Condvar,
    tasks: Notify,
}

impl<C> ReconnectSlot<C> {
    /// For a session that has not begun. An attempt wakes the group.
    pub(in crate::endpoint) fn new(wake_group: WakeGroup, limits: Limits) -> Self {
        let (received, takeover) = (ReceivedCount::default(), Mutex::new(Takeover::default()));
        let (changed, tasks) = (Condvar::new(), Notify::new());
        Self(Arc::new(Inner { wake_group, received, limits, takeover, changed, tasks }))
    }

    /// For a session that has dialed.
    pub(in crate::endpoint) fn of_dialer(limits: Limits) -> Self {
        Self::new(WakeGroup::default(), limits)
    }

    pub(in crate::endpoint) fn downgrade(&self) -> WeakSlot<C> {
        Arc::downgrade(&self.0)
    }

    pub(in crate::endpoint) fn upgrade(slot: &WeakSlot<C>) -> Option<Self> {
        slot.upgrade().map(Self)
    }

    fn takeover(&self) -> MutexGuard<'_, Takeover<C>> {
        self.0.takeover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_waiters(&self) {
        self.0.changed.notify_all();
        self.0.tasks.notify_waiters();
    }

    /// The bounds of the session.
    pub(in crate::endpoint) fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Session: counts a frame beyond the `received` ones. False if the channel it came over was given up.
    pub(in crate::endpoint) fn count(&self, received: u64) -> bool {
        self.0.received.count(received)
    }

    /// Session: whether its channel was given up.
    pub(in crate::endpoint) fn is_given_up(&self) -> bool {
        self.0.received.is_given_up()
    }

    /// Session: why its channel was given up.
    pub(in crate::endpoint) fn why(&self) -> Error {
        let taken_over = || Error::plain(ErrorKind::ConnectionLost, "the peer has another connection");
        self.takeover().loss().cloned().unwrap_or_else(taken_over)
    }

    /// Session: waits until its channel is given up. Cancel-safe.
    pub(in crate::endpoint) async fn given_up(&self) -> Error {
        self.until(|slot| slot.is_given_up().then(|| slot.why())).await
    }

    /// Waits until `look` finds something.
    async fn until<T>(&self, look: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            let mut woken = pin!(self.0.tasks.notified());
            // From here on no notification is missed.
            woken.as_mut().enable();
            if let Some(found) = look(self) {
                return found;
            }
            woken.await;
        }
    }

    /// Session: has lost its channel.
    pub(in crate::endpoint) fn lose(&self) {
        self.mark_lost(&mut self.takeover());
    }

    fn mark_lost(&self, takeover: &mut Takeover<C>) {
        if takeover.lose(&self.0.received, Instant::now()) {
            self.0.changed.notify_all();
        }
    }

    fn take(&self, takeover: &mut Takeover<C>) -> Option<Result<(C, u64)>> {
        let taken = takeover.take(&self.0.received);
        if taken.is_none() {
            self.mark_lost(takeover);
        }
        taken
    }

    /// Session: waits for another channel. Gives that and the number of the last frame its other end has received.
    /// Cancel-safe.
    pub(in crate::endpoint) async fn replaced(&self) -> Result<(C, u64)> {
        self.until(|slot| slot.take(&mut slot.takeover())).await
    }

    /// The same on a thread that blocks.
    pub(in crate::endpoint) fn wait_replaced(&self, deadline: Option<Instant>) -> Result<(C, u64)> {
        let mut takeover = self.takeover();
        loop {
            if let Some(taken) = self.take(&mut takeover) {
                return taken;
            }
            let left = deadline
                .map_or(Duration::from_secs(3600), |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(timeout());
            }
            takeover = self.0.changed.wait_timeout(takeover, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reconnector: blocks until the session needs another channel, polling `watch` every `interval`. False when none
    /// is to be brought any more.
    pub(in crate::endpoint) fn wait_needed(&self, interval: Duration, watch: &mut Option<Watch>) -> bool {
        let mut takeover = self.takeover();
        loop {
            if takeover.is_closed() {
                return false;
            }
            if takeover.is_needed() {
                return true;
            }
            let (after, waited) =
                self.0.changed.wait_timeout(takeover, interval).unwrap_or_else(PoisonError::into_inner);
            takeover = after;
            if waited.timed_out()
                && let Some(Err(why)) = watch.as_mut().map(|watch| watch())
            {
                takeover.note_loss(why);
                return !takeover.is_closed();
            }
        }
    }

    /// Bringer: begins an attempt. The session gives up its channel, and waits here for the one that is
    /// [offered](Self::offer).
    pub(in crate::endpoint) fn begin(&self) -> Attempt {
        let attempt = self.takeover().begin(&self.0.received);
        self.0.wake_group.wake_all();
        self.0.tasks.notify_waiters();
        attempt
    }

    /// Bringer: offers the channel of an attempt, unless a later one has begun.
    pub(in crate::endpoint) fn offer(&self, attempt: Attempt, channel: C, peer_received: u64) {
        if self.takeover().offer(attempt, channel, peer_received) {
            self.wake_waiters();
        }
    }

    /// Bringer: brings no other channel any more.
    pub(in crate::endpoint) fn close(&self, why: Error) {
        self.takeover().close(why);
        self.wake_waiters();
    }

    /// Whether a channel may be brought.
    pub(in crate::endpoint) fn is_open(&self) -> bool {
        !self.takeover().is_closed()
    }

    /// Since when the session has had no channel.
    pub(in crate::endpoint) fn lost_since(&self) -> Option<Instant> {
        self.takeover().lost_since()
    }
}
