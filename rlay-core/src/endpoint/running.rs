//! Running: whether a backend serves, and on which thread, so that it does so once and `close` can wait for its end.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Instant,
};

use crate::{
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

/// Ends what [`Running::claim`] began when it is dropped.
pub(super) struct Claim<'r>(&'r Running);

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

    /// It is this thread that serves, until what is returned is dropped.
    pub(super) fn here(&self) -> Claim<'_> {
        *self.state() = State::On(thread::current().id());
        Claim(self)
    }

    /// No thread serves any more.
    pub(super) fn end(&self) {
        *self.state() = State::Idle;
        self.ended.notify_all();
    }

    /// Waits until no thread serves any more, unless it is this one.
    pub(super) fn wait(&self, deadline: Instant) {
        let mut state = self.state();
        while *state != State::Idle && *state != State::On(thread::current().id()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
