//! Wait: how long a call may wait, and what ends it earlier.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{
    bridge::timeout,
    cancel_token::CancelToken,
    channel::BlockingChannel,
    error::{ErrorKind, Result},
    frame::Frame,
    printable::log_entry,
};

/// How often a waiting call looks up, if it has something to look at.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// [`ConnectionOptions::notice_after`](crate::ConnectionOptions::notice_after) by default.
pub(crate) const NOTICE_AFTER: Duration = Duration::from_secs(10);

/// After how long a peer that is not there is mentioned in the log, where a wait for an answer is after `notice_after`.
pub(crate) fn absent_after(notice_after: Duration) -> Duration {
    notice_after / 10
}

/// What people may want to know of a wait, for a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'n> {
    /// Something may be wrong.
    Warning(&'n str),
    /// Nothing is wrong.
    Info(&'n str),
}

/// Takes notices.
pub(crate) type Tell = fn(Notice<'_>);

fn trace(what: Notice<'_>) {
    match what {
        Notice::Warning(text) => tracing::warn!("{}", log_entry(text)),
        Notice::Info(text) => tracing::info!("{}", log_entry(text)),
    }
}

/// A deadline, a flag, and a check made every tenth of a second while waiting, as for signals. A check
/// that has failed once must go on failing.
#[derive(Default)]
pub struct Wait<'a> {
    /// When the call gives up; `None`: never, as long as the peer is alive.
    pub deadline: Option<Instant>,
    /// Called while waiting; its error ends the wait.
    pub check: Option<&'a mut dyn FnMut() -> Result<()>>,
    /// Told what a long wait is for, what becomes of a connection that is lost, and of agents that join a host and
    /// leave it; by default `tracing` is.
    pub notice: Option<&'a mut dyn FnMut(Notice<'_>)>,
    /// Told what becomes, after the call, of a program that it launched; by default `tracing` is. From any thread.
    pub later: Option<fn(Notice<'_>)>,
    /// Ends the wait with an error of kind [`Closed`](ErrorKind::Closed) once it is set.
    pub cancel: Option<&'a CancelToken>,
    /// Ends the wait as the deadline does, but nothing that is sent meanwhile.
    pub(crate) soft_deadline: Option<Instant>,
    /// What becomes of `soft_deadline` once the clock is read: so long from then.
    pub(crate) soft_deadline_in: Option<Duration>,
    /// Whether `soft_deadline` may be missed by a tenth of a second.
    pub(crate) is_approximate: bool,
    /// Whether the channel that is waited on looks at `cancel` itself.
    pub(crate) wakes_on_cancel: bool,
    /// How often the attempt itself looks at something besides.
    pub(crate) poll_interval: Option<Duration>,
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("deadline", &self.deadline).field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

impl<'a> Wait<'a> {
    /// Until `timeout` from now has passed.
    pub fn new(timeout: Option<Duration>) -> Self {
        Self { deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)), ..Self::default() }
    }

    /// Calls `check` while waiting; its error ends the wait.
    #[must_use]
    pub fn with_check(self, check: &'a mut dyn FnMut() -> Result<()>) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Tells `notice` what a wait is for that has lasted, of a connection that is lost or regained, and of agents that
    /// join a host and leave it.
    #[must_use]
    pub fn with_notices(self, notice: &'a mut dyn FnMut(Notice<'_>)) -> Self {
        Self { notice: Some(notice), ..self }
    }

    /// Tells people that something may be wrong.
    pub fn warn(&mut self, text: &str) {
        self.tell(Notice::Warning(text));
    }

    pub(crate) fn tell(&mut self, what: Notice<'_>) {
        match &mut self.notice {
            Some(notice) => match what {
                Notice::Warning(text) => notice(Notice::Warning(&log_entry(text))),
                Notice::Info(text) => notice(Notice::Info(&log_entry(text))),
            },
            None => trace(what),
        }
    }

    /// Tells what `tracing` has been told already.
    pub(crate) fn repeat(&mut self, text: &str) {
        if let Some(notice) = &mut self.notice {
            notice(Notice::Warning(text));
        }
    }

    pub(crate) fn told_later(&self) -> Tell {
        self.later.unwrap_or(trace)
    }

    /// Waits no longer once `cancel` is set.
    #[must_use]
    pub fn with_cancel(self, cancel: &'a CancelToken) -> Self {
        Self { cancel: Some(cancel), ..self }
    }

    /// The same, which ends once `cancel` is set, whatever else would.
    pub(crate) fn with_cancel_of<'w>(&'w mut self, cancel: &'w CancelToken) -> Wait<'w> {
        let mut like = self.like(self.deadline, self.soft_deadline);
        like.cancel = Some(cancel);
        like
    }

    /// The same, but at most until `time` from now has passed.
    pub(crate) fn within(&mut self, time: Duration) -> Wait<'_> {
        let deadline = self.deadline.into_iter().chain(Instant::now().checked_add(time)).min();
        self.settle();
        self.like(deadline, self.soft_deadline)
    }

    /// The same with a look up at `soft_deadline` or soon after: what waits then ends as at the deadline, what sends
    /// does not.
    pub(crate) fn soft_deadline(&mut self, soft_deadline: Option<Instant>) -> Wait<'_> {
        Wait { is_approximate: true, ..self.like(self.deadline, soft_deadline) }
    }

    /// The same with a look up after `time`.
    pub(crate) fn soft_deadline_in(&mut self, time: Duration) -> Wait<'_> {
        Wait { soft_deadline_in: Some(time), ..self.soft_deadline(None) }
    }

    /// The same without such a look.
    pub(crate) fn without_soft_deadline(&mut self) -> Wait<'_> {
        self.like(self.deadline, None)
    }

    /// The same whose deadline is but such a look.
    pub(crate) fn as_soft_deadline(&mut self) -> Wait<'_> {
        self.like(None, self.deadline)
    }

    /// The same without any deadline.
    pub(crate) fn without_deadline(&mut self) -> Wait<'_> {
        self.like(None, None)
    }

    fn like(&mut self, deadline: Option<Instant>, soft_deadline: Option<Instant>) -> Wait<'_> {
        let mut like = Wait { deadline, soft_deadline, cancel: self.cancel, later: self.later, ..Wait::default() };
        if let Some(check) = &mut self.check {
            like.check = Some(&mut **check);
        }
        if let Some(notice) = &mut self.notice {
            like.notice = Some(&mut **notice);
        }
        like
    }

    /// Counts from now on what is to be counted once the clock is read.
    fn settle(&mut self) {
        if let Some(time) = self.soft_deadline_in.take() {
            self.soft_deadline = Instant::now().checked_add(time);
        }
    }

    fn end(&mut self) -> Option<Instant> {
        self.settle();
        self.deadline.into_iter().chain(self.soft_deadline).min()
    }

    /// Says that all waiting is done on `channel`, which may be able to look at the flag itself.
    pub(crate) fn on(&mut self, channel: &mut dyn BlockingChannel) {
        self.wakes_on_cancel = channel.set_cancel_token(self.cancel);
    }

    /// Whether the wait is to be interrupted, for looks that the channel does not make itself.
    fn is_sliced(&self) -> bool {
        self.check.is_some() || self.poll_interval.is_some() || (self.cancel.is_some() && !self.wakes_on_cancel)
    }

    /// Receives as [`run`](Self::run) does; what was received goes through `then`. Begins without reading the clock
    /// where nothing is exact to the tenth of a second, by which nearly every frame is there.
    pub(crate) fn receive(
        &mut self,
        channel: &mut dyn BlockingChannel,
        mut then: impl FnMut(Result<Option<Frame>>) -> Result<Option<Frame>>,
    ) -> Result<Option<Frame>> {
        let may_be_brief = self.deadline.is_none()
            && self.poll_interval.is_none_or(|interval| interval >= SLICE)
            && (self.is_approximate || (self.soft_deadline.is_none() && self.is_sliced()));
        if may_be_brief && let Some(received) = channel.recv_briefly() {
            match then(received) {
                Err(error) if error.kind() == ErrorKind::Timeout => self.check_interrupts()?,
                result => return result,
            }
        }
        self.run(|deadline| then(channel.recv(deadline)))
    }

    /// Runs `attempt` with deadlines near enough for what is to be looked at, until it does anything but time out.
    pub(crate) fn run<T>(&mut self, mut attempt: impl FnMut(Option<Instant>) -> Result<T>) -> Result<T> {
        let is_sliced = self.is_sliced();
        loop {
            let slice = is_sliced.then(|| Instant::now() + self.poll_interval.unwrap_or(SLICE));
            let deadline = match (slice, self.end()) {
                (Some(slice), Some(deadline)) => Some(slice.min(deadline)),
                (slice, deadline) => slice.or(deadline),
            };
            match attempt(deadline) {
                Err(error) if error.kind() == ErrorKind::Timeout => self.check_interrupts()?,
                result => return result,
            }
        }
    }

    /// Makes the check and fails if the flag is set or the deadline has passed.
    pub fn check_interrupts(&mut self) -> Result<()> {
        if let Some(check) = &mut self.check {
            check()?;
        }
        if let Some(cancel) = self.cancel {
            cancel.check()?;
        }
        if self.end().is_some_and(|end| Instant::now() >= end) {
            return Err(timeout());
        }
        Ok(())
    }

    /// Sleeps for `time`, or less if the deadline, the flag or the check say so.
    pub(crate) fn sleep(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.check_interrupts()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(SLICE));
        }
    }
}
