//! ResumableSessions: the sessions of a listener whose dialers may come back, by their tickets.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    endpoint::connect::{
        reconnect_slot::{ReconnectSlot, WeakSlot},
        wake_group::WakeGroup,
    },
    error::{Error, ErrorKind},
    wire::{Limits, Ticket},
};

/// The slots of a listener's sessions, whose channels are of the kind `C`. A session that ends leaves the map.
pub(super) struct ResumableSessions<C> {
    slots: Mutex<HashMap<Ticket, WeakSlot<C>>>,
    wake_group: WakeGroup,
}

impl<C> Default for ResumableSessions<C> {
    fn default() -> Self {
        Self { slots: Mutex::default(), wake_group: WakeGroup::default() }
    }
}

impl<C> fmt::Debug for ResumableSessions<C> {
    /// Without the tickets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumableSessions({})", self.slots().len())
    }
}

impl<C> ResumableSessions<C> {
    fn slots(&self) -> MutexGuard<'_, HashMap<Ticket, WeakSlot<C>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes the sessions when a dialer has come back.
    pub(super) fn wake_group(&self) -> WakeGroup {
        self.wake_group.clone()
    }

    /// The slot of a new session, in the map for as long as the session keeps it.
    pub(super) fn add(&self, ticket: Ticket, limits: Limits) -> ReconnectSlot<C> {
        let slot = ReconnectSlot::new(self.wake_group.clone(), limits);
        let mut slots = self.slots();
        slots.retain(|_, slot| slot.strong_count() > 0);
        slots.insert(ticket, slot.downgrade());
        slot
    }

    /// The session that the ticket names, if its dialer may come back.
    pub(super) fn find(&self, ticket: &Ticket) -> Option<ReconnectSlot<C>> {
        let slot = self.slots().get(ticket).and_then(ReconnectSlot::upgrade);
        slot.filter(ReconnectSlot::is_open)
    }

    fn all(&self) -> Vec<ReconnectSlot<C>> {
        self.slots().values().filter_map(ReconnectSlot::upgrade).collect()
    }

    /// Ends the session that has waited for its dialer the longest, if one does.
    pub(super) fn end_longest_lost(&self) {
        let slots = self.all().into_iter().filter_map(|slot| slot.lost_since().map(|since| (since, slot)));
        if let Some((_, slot)) = slots.min_by_key(|(since, _)| *since) {
            slot.close(ended());
        }
    }

    /// Ends all that wait for their dialers, and lets none come back.
    pub(super) fn close(&self) {
        self.all().iter().for_each(|slot| slot.close(ended()));
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::ConnectionLost, "the listener takes no dialer back any more")
}
