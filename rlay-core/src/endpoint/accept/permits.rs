//! SessionPermits: how many sessions a listener may have, and which of them makes room for another.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    endpoint::options::ConnectionOptions,
    error::{Error, ErrorKind, Result},
    wire::Role,
};

/// Most environments that wait at a listener for an agent to take them.
pub(in crate::endpoint) const LONGEST_QUEUE: usize = 64;

/// The permits of a listener. A session has one from the handshake on, and keeps it once it has begun; before that it
/// waits, for its agent to ask for an environment or for an agent to take it, and one that has waited for longer than
/// [`ConnectionOptions::handshake_timeout`] loses its permit to the next dialer when no other is left.
#[derive(Clone)]
pub(super) struct SessionPermits(Arc<Inner>);

struct Inner {
    /// Whether its sessions wait for an agent of this process, and not for their dialers.
    is_queue: bool,
    /// Most sessions, and most of those that wait.
    most: usize,
    most_waiting: usize,
    /// How long a session that waits keeps its permit where another dialer needs one.
    hold: Duration,
    state: Mutex<State>,
    /// Tells tasks that a permit was taken away.
    changed: Notify,
}

#[derive(Default)]
struct State {
    begun: usize,
    /// Those that wait, by their numbers, and since when; the first is the oldest.
    waiting: VecDeque<(u64, Instant)>,
    /// The number of the last permit.
    last: u64,
}

impl SessionPermits {
    /// For a listener of this role.
    pub(super) fn new(role: Role, options: &ConnectionOptions) -> Self {
        let is_queue = role == Role::Agent;
        let most = options.max_sessions;
        let most_waiting = if is_queue { most.min(LONGEST_QUEUE) } else { most };
        let (hold, state, changed) = (options.handshake_timeout, Mutex::default(), Notify::new());
        Self(Arc::new(Inner { is_queue, most, most_waiting, hold, state, changed }))
    }

    /// A permit for a session that waits, if there is one or another session has to make room. `may_grow`: whether
    /// there may be more sessions than there are.
    pub(super) fn acquire(&self, may_grow: bool) -> Option<SessionPermit> {
        let (mut state, now) = (self.0.state(), Instant::now());
        if !may_grow || state.acquired() >= self.0.most || state.waiting.len() >= self.0.most_waiting {
            state.waiting.front().filter(|(_, since)| now.duration_since(*since) >= self.0.hold)?;
            state.waiting.pop_front();
            self.0.changed.notify_waiters();
        }
        state.last += 1;
        let number = state.last;
        state.waiting.push_back((number, now));
        Some(SessionPermit { inner: self.0.clone(), number, is_kept: false })
    }

    /// Why there is no permit.
    pub(super) fn full(&self) -> String {
        let most = self.0.most;
        if self.0.is_queue && self.0.state().acquired() < most {
            return "as many environments wait to be taken as may; try again later".to_owned();
        }
        let full = match most {
            1 => "the one session there can be is taken".to_owned(),
            most => format!("all {most} sessions are taken"),
        };
        format!("{full}; try again later, or raise max_sessions")
    }

    /// How many are acquired.
    pub(super) fn acquired(&self) -> usize {
        self.0.state().acquired()
    }
}

impl fmt::Debug for SessionPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.acquired(), self.0.most)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn acquired(&self) -> usize {
        self.begun + self.waiting.len()
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.waiting.iter().position(|(other, _)| *other == number)
    }
}

/// A session's permit; free again when dropped.
pub(in crate::endpoint) struct SessionPermit {
    inner: Arc<Inner>,
    number: u64,
    is_kept: bool,
}

impl SessionPermit {
    /// Keeps the permit of a session that begins; an error if another has it already.
    pub(in crate::endpoint) fn keep(&mut self) -> Result<()> {
        if !self.is_kept {
            let mut state = self.inner.state();
            let at = state.position(self.number).ok_or_else(|| self.why())?;
            state.waiting.remove(at);
            state.begun += 1;
            self.is_kept = true;
        }
        Ok(())
    }

    /// An error if another session has the permit.
    pub(in crate::endpoint) fn check(&self) -> Result<()> {
        let is_lost = !self.is_kept && self.inner.state().position(self.number).is_none();
        if is_lost { Err(self.why()) } else { Ok(()) }
    }

    /// Runs a call of a session in a task, until another one has the permit.
    pub(in crate::endpoint) async fn unless_lost<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        if self.is_kept {
            return call.await;
        }
        let mut call = pin!(call);
        loop {
            let mut told = pin!(self.inner.changed.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            self.check()?;
            let done = poll_fn(|context| match call.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => told.as_mut().poll(context).map(|()| None),
            });
            if let Some(result) = done.await {
                return result;
            }
        }
    }

    fn why(&self) -> Error {
        let Inner { is_queue, hold, .. } = *self.inner;
        let text = match is_queue {
            true => format!("for {hold:?} no agent has taken this environment, and another one dialed; dial again"),
            false => format!(
                "for {hold:?}, which is handshake_timeout, the agent has asked for no environment, and another agent \
                 needs the permit; dial again, and ask at once"
            ),
        };
        Error::new(ErrorKind::Busy, text)
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        if self.is_kept {
            state.begun -= 1;
        } else if let Some(at) = state.position(self.number) {
            state.waiting.remove(at);
        }
    }
}

impl fmt::Debug for SessionPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionPermit({})", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn permits(role: Role, max_sessions: usize, handshake_timeout: Duration) -> SessionPermits {
        let options = ConnectionOptions::new(Registry::default());
        SessionPermits::new(role, &options.max_sessions(max_sessions).handshake_timeout(handshake_timeout))
    }

    #[test]
    fn one_that_waits_too_long_makes_room_and_one_that_has_begun_does_not() {
        let permits = permits(Role::Env, 2, Duration::ZERO);
        let (mut begun, mut silent) = (permits.acquire(true).unwrap(), permits.acquire(true).unwrap());
        begun.keep().unwrap();
        let mut third = permits.acquire(true).expect("the silent one makes room");
        assert_eq!(permits.acquired(), 2);
        assert_eq!(silent.keep().unwrap_err().kind(), ErrorKind::Busy);
        assert!(silent.check().is_err());
        drop(silent);
        third.keep().unwrap();
        assert!(permits.acquire(true).is_none());
        drop((begun, third));
        assert_eq!(permits.acquired(), 0);
    }

    #[test]
    fn one_that_has_not_waited_for_long_keeps_its_permit() {
        let permits = permits(Role::Env, 1, Duration::from_secs(60));
        let waits = permits.acquire(true).unwrap();
        assert!(permits.acquire(true).is_none());
        waits.check().unwrap();
    }

    #[test]
    fn where_there_can_be_no_more_sessions_one_takes_the_permit_of_another() {
        let permits = permits(Role::Env, 9, Duration::ZERO);
        assert!(permits.acquire(false).is_none());
        let silent = permits.acquire(true).unwrap();
        let _other = permits.acquire(false).expect("the silent one makes room");
        assert!(silent.check().is_err());
        assert_eq!(permits.acquired(), 1);
    }

    #[test]
    fn a_queue_is_short() {
        let permits = permits(Role::Agent, 4096, Duration::from_secs(60));
        let queue: Vec<_> = std::iter::from_fn(|| permits.acquire(true)).collect();
        assert_eq!(queue.len(), LONGEST_QUEUE);
        assert!(permits.full().contains("wait to be taken"));
    }
}
