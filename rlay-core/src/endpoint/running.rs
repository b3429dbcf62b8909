//! Running: whether a backend serves, and on which thread, so that it does so once and `close` can wait for its end.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Instant,
};

use super::{Wait, wait::SLICE};
use crate::{
    bridge::timeout,
    error::{Error, ErrorKind, Result},
    stop::Stop,
};

/// Where a backend serves.
#[derive(Debug, Default)]
pub(super) struct Running {
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
    pub(super) fn claim(&self, stop: &Stop) -> Result<()> {
        if stop.is_set() {
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
    pub(super) fn here(&self) {
        *self.state() = State::On(thread::current().id());
    }

    /// Whether a thread serves, or is to.
    pub(super) fn is_claimed(&self) -> bool {
        *self.state() != State::Idle
    }

    /// No thread serves any more.
    pub(super) fn end(&self) {
        *self.state() = State::Idle;
        self.ended.notify_all();
    }

    /// Waits until no thread serves any more, unless it is this one, for as long as `wait` allows.
    pub(super) fn wait(&self, wait: &mut Wait<'_>) {
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
