//! Running: whether a backend serves, and on which thread, so that it does so once and `close` can wait for its end.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Instant,
};

use crate::{
    bridge::timeout,
    cancel_token::CancelToken,
    endpoint::wait::{SLICE, Wait},
    error::{Error, ErrorKind, Result},
};

/// Where a backend serves.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct Running {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    /// By a thread that is being started.
    Claimed,
    On(ThreadId),
}

impl Running {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to serve; an error if the backend does already, or was closed.
    pub(in crate::endpoint) fn claim(&self, cancel: &CancelToken) -> Result<()> {
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Closed, "the backend was closed; make a new one"));
        }
        let mut state = self.state();
        if *state != State::Idle {
            let text =
                "the backend serves already; call run() or start() once, and make another one for another address";
            return Err(Error::new(ErrorKind::Usage, text));
        }
        *state = State::Claimed;
        Ok(())
    }

    /// It is this thread that serves.
    pub(in crate::endpoint) fn here(&self) {
        *self.state() = State::On(thread::current().id());
    }

    /// Whether a thread serves, or is to.
    pub(in crate::endpoint) fn is_claimed(&self) -> bool {
        *self.state() != State::Idle
    }

    /// No thread serves any more.
    pub(in crate::endpoint) fn end(&self) {
        *self.state() = State::Idle;
        self.ended.notify_all();
    }

    /// Waits until no thread serves any more, unless it is this one, for as long as `wait` allows.
    pub(in crate::endpoint) fn wait(&self, wait: &mut Wait<'_>) {
        let here = State::On(thread::current().id());
        let _ = wait.run(|deadline| {
            let mut state = self.state();
            while *state != State::Idle && *state != here {
                let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    return Err(timeout());
                }
                state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            Ok(())
        });
    }
}
