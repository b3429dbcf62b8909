//! WakeGroup: wakes all sessions of a listener that wait on their channels, when the dialer of one has come back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cancel_token::CancelToken;

/// The sessions of a listener. That a dialer comes back is rare, and a flag for each session would cost each two
/// descriptors; so all are woken, and those that need no other channel wait on.
#[derive(Debug, Clone, Default)]
pub(in crate::endpoint) struct WakeGroup(Arc<Mutex<Vec<Subscription>>>);

/// A flag that is set when the group is woken, and with the token of those that wait for it.
#[derive(Debug)]
struct Subscription {
    cancel: Option<CancelToken>,
    flag: CancelToken,
}

impl WakeGroup {
    fn subscriptions(&self) -> MutexGuard<'_, Vec<Subscription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flag for those whose waits also end with `cancel`.
    pub(in crate::endpoint) fn subscribe(&self, cancel: Option<&CancelToken>) -> CancelToken {
        let mut subscriptions = self.subscriptions();
        subscriptions.retain(|subscription| !subscription.flag.is_cancelled());
        if let Some(same) = subscriptions.iter().find(|subscription| subscription.cancel.as_ref() == cancel) {
            return same.flag.clone();
        }
        let flag = cancel.map_or_else(CancelToken::default, CancelToken::child);
        subscriptions.push(Subscription { cancel: cancel.cloned(), flag: flag.clone() });
        flag
    }

    /// Wakes all, once: each waits for another flag from then on.
    pub(in crate::endpoint) fn wake_all(&self) {
        self.subscriptions().drain(..).for_each(|subscription| subscription.flag.cancel());
    }
}
