//! Recovery: how a session outlasts its connection. It has no clock: `now` is passed in.

use std::time::{Duration, Instant};

use super::mutant::{Mutant, is};
use crate::{
    error::{Error, ErrorKind, Result},
    wire::Role,
};

/// A replacement that fails within this time without delivering a frame does not renew the reconnect budget.
pub(crate) const BRIEF: Duration = Duration::from_secs(1);

/// What a session knows of its connection, and how long it may be without one.
#[derive(Debug, Clone)]
pub(crate) struct Recovery {
    role: Role,
    /// Whether another connection may come at all.
    is_possible: bool,
    /// The reconnect budget, and the longest wait for a peer that has said nothing yet.
    reconnect_timeout: Duration,
    handshake_timeout: Duration,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// The connection delivers frames, as far as is known.
    Connected,
    Lost {
        /// What of the budget is used up, and since when that is to be counted anew.
        waited: Duration,
        since: Instant,
        /// The budget, once it is known what the peer has said.
        budget: Duration,
        is_waiting: bool,
        error: Error,
    },
    /// There is a replacement, for which `waited` of the budget was used, and it has delivered nothing yet.
    Replaced { waited: Duration, at: Instant },
    /// No replacement came.
    Failed(Error),
}

/// What becomes of a session over whose new connection not everything could be sent again.
#[derive(Debug)]
pub(crate) enum ResendFailed {
    /// It waits for yet another connection.
    Lost(Error),
    /// It cannot go on, and the peer can be told.
    End(Error),
    /// It cannot go on: the peer is left without a word.
    Abandon(Error),
}

impl Recovery {
    /// For a session that goes on over other connections, waiting for each at most for `reconnect_timeout`, or for
    /// `handshake_timeout` if the peer has said nothing yet.
    pub(crate) fn new(role: Role, reconnect_timeout: Duration, handshake_timeout: Duration) -> Self {
        Self { role, is_possible: true, reconnect_timeout, handshake_timeout, state: State::Connected }
    }

    /// For a session that ends with its connection.
    pub(crate) fn disabled() -> Self {
        let zero = Duration::ZERO;
        Self { is_possible: false, ..Self::new(Role::Agent, zero, zero) }
    }

    /// Says whether another connection may come: not before the session has begun, for nothing is lost with that.
    pub(crate) fn set_possible(&mut self, is_possible: bool) {
        self.is_possible = is_possible;
    }

    /// Whether another connection may come.
    pub(crate) fn is_possible(&self) -> bool {
        self.is_possible && !matches!(self.state, State::Failed(_))
    }

    /// Whether the connection is lost, and another may come.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost { .. }) && self.is_possible
    }

    /// Whether there is a connection, as far as is known.
    pub(crate) fn has_connection(&self) -> bool {
        matches!(self.state, State::Connected | State::Replaced { .. })
    }

    /// Why there is no connection any more, once none can come.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Lost { error, .. } if !self.is_possible => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// The connection is lost.
    pub(crate) fn lose(&mut self, error: Error, now: Instant) {
        let waited = match self.state {
            State::Lost { waited, .. } => waited,
            // A connection that breaks again and again brings nothing, though there is always another.
            State::Replaced { waited, at } if now - at < BRIEF && !is(Mutant::RenewsTheBudget) => waited + (now - at),
            _ => Duration::ZERO,
        };
        self.mark_lost(waited, error, now);
    }

    /// This end breaks the connection, for a frame was sent in part.
    pub(crate) fn break_off(&mut self, error: Error, now: Instant) {
        self.mark_lost(Duration::ZERO, error, now);
    }

    fn mark_lost(&mut self, waited: Duration, error: Error, now: Instant) {
        let budget = self.reconnect_timeout;
        self.state = State::Lost { waited, since: now, budget, is_waiting: false, error };
    }

    /// Begins to wait for another connection, `received` frames having arrived so far: for how long.
    pub(crate) fn begin_wait(&mut self, received: u64, now: Instant) -> Duration {
        let (longest, role) = (self.reconnect_timeout.min(self.handshake_timeout), self.role);
        let State::Lost { waited, since, budget, is_waiting, .. } = &mut self.state else { return Duration::ZERO };
        // An agent waits only during calls: what it computes between them is not counted. A host waits all the time.
        if role == Role::Env || *is_waiting || is(Mutant::CountsWhatAnAgentThinks) {
            *waited += now - *since;
        }
        (*since, *is_waiting) = (now, true);
        // A peer that has said nothing yet is given no longer than a handshake.
        *budget = if received == 0 { longest } else { self.reconnect_timeout };
        budget.saturating_sub(*waited)
    }

    /// Ends that wait, also where it was cancelled.
    pub(crate) fn end_wait(&mut self, now: Instant) {
        if let State::Lost { waited, since, is_waiting, .. } = &mut self.state
            && std::mem::take(is_waiting)
        {
            if !is(Mutant::WaitsForEver) {
                *waited += now - *since;
            }
            *since = now;
        }
    }

    /// Whether the budget is used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        matches!(&self.state, State::Lost { waited, budget, .. } if waited >= budget)
    }

    /// Another connection has come.
    pub(crate) fn replace(&mut self, now: Instant) {
        let waited = match self.state {
            State::Lost { waited, .. } | State::Replaced { waited, .. } => waited,
            _ => Duration::ZERO,
        };
        self.state = State::Replaced { waited, at: now };
    }

    /// A frame has arrived.
    pub(crate) fn delivered(&mut self) {
        if !matches!(self.state, State::Connected) {
            self.state = State::Connected;
        }
    }

    /// Not everything could be sent again over the connection that has come. Decides what becomes of the session.
    pub(crate) fn resend_failed(&mut self, error: Error, now: Instant) -> ResendFailed {
        match error.kind() {
            _ if error.is_gone() => ResendFailed::Abandon(error),
            ErrorKind::ConnectionLost => {
                self.lose(error.clone(), now);
                ResendFailed::Lost(error)
            }
            ErrorKind::Timeout => {
                self.break_off(error.clone(), now);
                ResendFailed::End(error)
            }
            _ => ResendFailed::End(error),
        }
    }

    /// Gives up: because of `why`, or because the budget is used up. The error of the session.
    pub(crate) fn give_up(&mut self, why: Option<&Error>) -> Error {
        let State::Lost { budget, error, .. } = &self.state else {
            return Error::new(ErrorKind::ConnectionLost, "the connection is lost");
        };
        let why = why.map_or_else(
            || {
                let which = if *budget < self.reconnect_timeout { "" } else { ", which is reconnect_timeout" };
                format!("no other connection came within {budget:?}{which}")
            },
            Error::to_string,
        );
        let error = Error::new(ErrorKind::ConnectionLost, format!("{error}; {why}")).with_source(error.clone());
        self.fail(error.clone());
        error
    }

    /// Ends for good.
    pub(crate) fn fail(&mut self, error: Error) {
        self.state = State::Failed(error);
    }
}

#[cfg(test)]
mod for_the_model_checker {
    use std::hash::{Hash, Hasher};

    use super::*;

    impl State {
        /// Texts make no difference.
        fn key(&self) -> (u8, Duration, Option<Instant>, Duration, bool) {
            let zero = Duration::ZERO;
            match self {
                Self::Connected => (0, zero, None, zero, false),
                Self::Lost { waited, since, budget, is_waiting, .. } => {
                    (1, *waited, Some(*since), *budget, *is_waiting)
                }
                Self::Replaced { waited, at } => (2, *waited, Some(*at), zero, false),
                Self::Failed(_) => (3, zero, None, zero, false),
            }
        }
    }

    impl PartialEq for Recovery {
        fn eq(&self, other: &Self) -> bool {
            (self.is_possible, self.state.key()) == (other.is_possible, other.state.key())
        }
    }

    impl Hash for Recovery {
        fn hash<H: Hasher>(&self, state: &mut H) {
            (self.is_possible, self.state.key()).hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Error {
        Error::new(ErrorKind::ConnectionLost, "reset")
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn an_agent_spends_its_budget_only_in_calls() {
        let (mut recovery, now) = (Recovery::new(Role::Agent, secs(3), secs(5)), Instant::now());
        recovery.lose(lost(), now);
        assert_eq!(recovery.begin_wait(1, now + secs(60)), secs(3));
        recovery.end_wait(now + secs(61));
        assert_eq!(recovery.begin_wait(1, now + secs(600)), secs(2));
        recovery.end_wait(now + secs(602));
        assert!(recovery.is_exhausted());
        let error = recovery.give_up(None).to_string();
        assert_eq!(error, "reset; no other connection came within 3s, which is reconnect_timeout");
        assert!(recovery.check().is_err() && !recovery.is_lost());
    }

    #[test]
    fn a_host_spends_its_budget_all_the_time() {
        let (mut recovery, now) = (Recovery::new(Role::Env, secs(30), secs(5)), Instant::now());
        recovery.lose(lost(), now);
        assert_eq!(recovery.begin_wait(1, now + secs(20)), secs(10));
    }

    #[test]
    fn a_peer_that_has_said_nothing_is_given_no_longer_than_a_handshake() {
        let (mut recovery, now) = (Recovery::new(Role::Env, secs(30), secs(5)), Instant::now());
        recovery.lose(lost(), now);
        assert_eq!(recovery.begin_wait(0, now), secs(5));
        recovery.end_wait(now + secs(5));
        assert_eq!(recovery.give_up(None).to_string(), "reset; no other connection came within 5s");
    }

    #[test]
    fn a_wait_that_is_cancelled_counts() {
        let (mut recovery, now) = (Recovery::new(Role::Agent, secs(3), secs(5)), Instant::now());
        recovery.lose(lost(), now);
        recovery.begin_wait(1, now);
        assert_eq!(recovery.begin_wait(1, now + secs(2)), secs(1));
    }

    #[test]
    fn a_replacement_that_delivers_nothing_renews_no_budget() {
        let (mut recovery, now) = (Recovery::new(Role::Agent, secs(3), secs(5)), Instant::now());
        recovery.lose(lost(), now);
        recovery.begin_wait(1, now);
        recovery.end_wait(now + secs(1));
        recovery.replace(now + secs(1));
        recovery.lose(lost(), now + secs(1) + BRIEF / 2);
        assert_eq!(recovery.begin_wait(1, now + secs(2)), secs(2) - BRIEF / 2);
        recovery.replace(now + secs(2));
        recovery.delivered();
        recovery.lose(lost(), now + secs(2));
        assert_eq!(recovery.begin_wait(1, now + secs(2)), secs(3));
    }

    #[test]
    fn a_session_that_has_not_begun_ends_with_its_connection() {
        let mut recovery = Recovery::new(Role::Agent, secs(3), secs(5));
        recovery.set_possible(false);
        recovery.lose(lost(), Instant::now());
        assert!(!recovery.is_lost() && recovery.check().is_err());
    }
}
