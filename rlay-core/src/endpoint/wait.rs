//! Wait: how long a call may wait, and what is looked at meanwhile.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{
    bridge::timeout,
    error::{ErrorKind, Result},
};

/// How often a waiting call looks up.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// A deadline, and a check made every tenth of a second while waiting: a signal, a stop flag. A check
/// that has failed once must go on failing.
#[derive(Default)]
pub struct Wait<'a> {
    /// When the call gives up; `None`: never, as long as the peer is alive.
    pub deadline: Option<Instant>,
    /// Called while waiting; its error ends the wait.
    pub check: Option<&'a mut dyn FnMut() -> Result<()>>,
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl<'a> Wait<'a> {
    /// Until `timeout` from now has passed.
    pub fn new(timeout: Option<Duration>) -> Self {
        Self { deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)), check: None }
    }

    /// Calls `check` while waiting; its error ends the wait.
    #[must_use]
    pub fn checking(self, check: &'a mut dyn FnMut() -> Result<()>) -> Self {
        Self { check: Some(check), ..self }
    }

    /// The same, but at most until `time` from now has passed.
    pub(crate) fn within(&mut self, time: Duration) -> Wait<'_> {
        let near = Instant::now() + time;
        let deadline = Some(self.deadline.map_or(near, |deadline| deadline.min(near)));
        match &mut self.check {
            Some(check) => Wait { deadline, check: Some(&mut **check) },
            None => Wait { deadline, check: None },
        }
    }

    /// Runs `attempt` with deadlines near enough for the check, until it does anything but time out.
    pub(crate) fn run<T>(&mut self, mut attempt: impl FnMut(Option<Instant>) -> Result<T>) -> Result<T> {
        loop {
            let slice = self.check.is_some().then(|| Instant::now() + SLICE);
            let deadline = match (slice, self.deadline) {
                (Some(slice), Some(deadline)) => Some(slice.min(deadline)),
                (slice, deadline) => slice.or(deadline),
            };
            match attempt(deadline) {
                Err(error) if error.kind() == ErrorKind::Timeout => self.look()?,
                result => return result,
            }
        }
    }

    /// Makes the check and fails if the deadline has passed.
    pub fn look(&mut self) -> Result<()> {
        if let Some(check) = &mut self.check {
            check()?;
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(timeout());
        }
        Ok(())
    }

    /// Sleeps for `time`, or less if the deadline or the check say so.
    pub(crate) fn sleep(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.look()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(SLICE));
        }
    }
}
