//! Redial: when a dialer tries to resume a session again, and when it gives up; the pauses of all dialers. It has no
//! clock: `now` is passed in.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pauses between attempts to connect: 20 ms that double up to a second.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Backoff {
    /// The pause before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = longer(pause);
        pause
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

/// The attempts to bring one session another connection.
#[derive(Debug)]
pub(crate) struct Redial {
    backoff: Backoff,
    /// Whether a port without a listener ends the attempts.
    needs_listener: bool,
}

impl Redial {
    /// `reconnect_timeout`: what the user has said of that, if anything.
    pub(crate) fn new(reconnect_timeout: Option<Duration>) -> Self {
        Self { backoff: Backoff::default(), needs_listener: reconnect_timeout.is_none() }
    }

    /// An attempt has failed: in the handshake, if it `is_connected`. The pause before the next one, or the error if
    /// trying again is pointless.
    pub(crate) fn failed(&mut self, error: Error, is_connected: bool) -> Result<Duration> {
        let is_pointless = match error.kind() {
            ErrorKind::Unauthorized | ErrorKind::Incompatible | ErrorKind::Closed => true,
            // The session has ended, or the port has no listener. The latter is final only where the user did not say
            // how long to wait: with a longer wait a tunnel may be restarted.
            _ if error.is_gone() => is_connected || self.needs_listener,
            // All else has worked once, and may again: names are not found while a network changes.
            _ => false,
        };
        if is_pointless { Err(error) } else { Ok(self.backoff.next()) }
    }
}

/// A connection that has lasted for so long was one, though no frame has arrived over it.
const STEADY: Duration = Duration::from_secs(10);

/// The pauses before a session dials again after a loss: none, unless no frame has arrived over the connection that it
/// lost.
#[derive(Debug, Default)]
pub(crate) struct LossPauses {
    /// What had arrived when the session was last to dial again, and when that was.
    before: Option<(u64, Instant)>,
    last: Duration,
}

impl LossPauses {
    /// The pause before the next connection of a session at which `received` frames have arrived.
    pub(crate) fn next(&mut self, received: u64, now: Instant) -> Duration {
        self.last = match self.before.replace((received, now)) {
            Some((before, when)) if before == received && now - when < STEADY => longer(self.last).max(FIRST_PAUSE),
            _ => Duration::ZERO,
        };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_brings_nothing_is_followed_by_a_pause() {
        let (mut pauses, now) = (LossPauses::default(), Instant::now());
        let mut next = |received, now| pauses.next(received, now).as_millis();
        assert_eq!([0; 4].map(|_| next(3, now)), [0, 20, 40, 80]);
        assert_eq!(next(4, now), 0);
        assert_eq!([0; 8].map(|_| next(4, now)), [20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(next(4, now + STEADY), 0);
    }

    #[test]
    fn a_dialer_gives_up_where_trying_again_is_pointless() {
        let lost = || Error::new(ErrorKind::ConnectionLost, "reset");
        let gone = || Error::gone("no listener");
        let pause = |redial: &mut Redial, error, is_connected| redial.failed(error, is_connected).ok();
        let mut redial = Redial::new(None);
        assert_eq!(pause(&mut redial, lost(), true), Some(FIRST_PAUSE));
        assert_eq!(pause(&mut redial, lost(), false), Some(2 * FIRST_PAUSE));
        assert_eq!(pause(&mut redial, gone(), false), None);
        let mut patient = Redial::new(Some(Duration::from_secs(60)));
        assert_eq!(pause(&mut patient, gone(), false), Some(FIRST_PAUSE));
        assert_eq!(pause(&mut patient, gone(), true), None);
        for kind in [ErrorKind::Unauthorized, ErrorKind::Incompatible, ErrorKind::Closed] {
            assert_eq!(pause(&mut patient, Error::new(kind, "no"), true), None);
        }
    }
}
