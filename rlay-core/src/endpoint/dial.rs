//! Dialing: connect, try again while nobody listens, and shake hands; for a new session, or for one that goes on.

use std::time::{Duration, Instant};

use super::{Connection, ConnectionOptions, Wait, launched::is_launcher, wait::ABSENT};
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    channel::{BlockingChannel, Transport},
    error::{Error, ErrorKind, Result},
    net::unheard,
    session::{Dialing, Local},
    token::nonce,
    wire::{HANDSHAKE_FRAME, Limits, Resume, Role, Welcome},
};

/// One attempt to connect takes no longer, for nothing else is looked at meanwhile; the next one follows.
pub(super) const CONNECT_TIME: Duration = Duration::from_millis(1500);
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Connects to `address` as `role` and shakes hands, trying again until `wait` is over while nobody
/// listens there or the listener is full.
pub fn dial(address: &Address, role: Role, options: &ConnectionOptions, wait: &mut Wait<'_>) -> Result<Connection> {
    dial_unless(address, role, options, wait, false)
}

/// The same for a host that has been let in there before. If the agent at `address` launched this program
/// ([`ADDRESS_VARIABLE`](super::ADDRESS_VARIABLE)) and does not listen any more, it has closed the environment and
/// wants no other: that is an error of kind [`Closed`](ErrorKind::Closed), at once.
pub fn dial_next(address: &Address, options: &ConnectionOptions, wait: &mut Wait<'_>) -> Result<Connection> {
    dial_unless(address, Role::Env, options, wait, is_launcher(address))
}

/// Dials until `wait` is over; where the listener is not to come back, until it is gone.
fn dial_unless(
    address: &Address,
    role: Role,
    options: &ConnectionOptions,
    wait: &mut Wait<'_>,
    ends_with_listener: bool,
) -> Result<Connection> {
    refuse_inside_tokio()?;
    options.check_dialer()?;
    let dialer = Dialer { transport: options.registry.find(address)?.as_ref(), address, role, options };
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut reason: Option<Error> = None;
    let mut is_told = false;
    loop {
        let error = match dialer.attempt(wait) {
            Ok((channel, welcome)) => return Ok(dialer.connection(channel, &welcome)),
            Err(error) => error,
        };
        if !matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::Busy | ErrorKind::Timeout) {
            return Err(error);
        }
        if ends_with_listener && error.is_gone() {
            let text = format!("{address}: the agent that launched this program has closed the environment; end it");
            return Err(Error::new(ErrorKind::Closed, text));
        }
        // An attempt that the deadline cut short says less than the one before it.
        let error = match (wait.look(), reason.take()) {
            (Err(_), Some(reason)) if error.kind() == ErrorKind::Timeout => reason,
            _ => error,
        };
        let error = reason.insert(error);
        if started.elapsed() >= ABSENT && !std::mem::replace(&mut is_told, true) {
            let left = wait.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64());
            let left =
                left.map_or_else(|| "for as long as it takes".to_owned(), |left| format!("for {left:.0} s more"));
            wait.warn(&format!("{address}: still no connection ({error}); trying again {left}"));
        }
        match wait.sleep(pause) {
            Ok(()) => pause = longer(pause),
            Err(over) if over.kind() == ErrorKind::Timeout => {
                let waited = started.elapsed().as_secs_f64();
                let (kind, advice) = match error.kind() {
                    // What the listener says of itself is advice, too.
                    ErrorKind::Busy => (ErrorKind::Busy, "raise connect_timeout to wait for longer"),
                    _ => {
                        let advice = "start the other side first, or check the address, or raise connect_timeout";
                        (ErrorKind::ConnectionLost, advice)
                    }
                };
                let what = format!("no connection to {address} within {waited:.1} s ({error})");
                return Err(Error::new(kind, format!("{what}; {advice}")));
            }
            Err(interrupted) => return Err(interrupted),
        }
    }
}

/// Connects for a session that goes on, trying again until `wait` is over unless its listener is gone. Gives the
/// channel and the number of the last frame that the listener has received.
pub(super) fn again(
    address: &Address,
    role: Role,
    options: &ConnectionOptions,
    session: Resume,
    limits: Limits,
    wait: &mut Wait<'_>,
) -> Result<(Box<dyn BlockingChannel>, u64)> {
    let dialer = Dialer { transport: options.registry.find(address)?.as_ref(), address, role, options };
    let mut pause = FIRST_PAUSE;
    loop {
        wait.look()?;
        let (error, is_connected) = match dialer.connect(wait) {
            Ok(mut channel) => match dialer.shake(channel.as_mut(), Some(session.clone()), wait) {
                Ok(welcome) => {
                    channel.set_max_frame(limits.frame);
                    return Ok((channel, welcome.received.unwrap_or_default()));
                }
                Err(error) => (error, true),
            },
            Err(error) => (error, false),
        };
        if is_final(&error, is_connected, options) {
            return Err(error);
        }
        wait.look()?;
        wait.sleep(pause)?;
        pause = longer(pause);
    }
}

/// Whether a session that goes on need not try again after this error, of connecting or of the handshake after that.
pub(super) fn is_final(error: &Error, is_connected: bool, options: &ConnectionOptions) -> bool {
    match error.kind() {
        ErrorKind::Unauthorized | ErrorKind::Incompatible | ErrorKind::Closed => true,
        // The session has ended, or nobody has the port. The latter is final for those who did not say how long to
        // wait; others may know of a tunnel that is being restarted.
        _ if error.is_gone() => is_connected || options.reconnect_timeout.is_none(),
        // All else has worked once, and may again: names are not found while a network changes.
        _ => false,
    }
}

/// The pause after this one.
pub(super) fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

/// A connection that has lasted for so long was one, though nothing has arrived over it.
const STEADY: Duration = Duration::from_secs(10);

/// The pauses before a session dials again: none, unless nothing has arrived over the connection that it lost.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// What had arrived when the session was last to dial again, and when that was.
    before: Option<(u64, Instant)>,
    last: Duration,
}

impl Pauses {
    /// The pause before the next connection of a session at which so many frames have arrived.
    pub(super) fn next(&mut self, received: u64) -> Duration {
        self.last = match self.before.replace((received, Instant::now())) {
            Some((before, when)) if before == received && when.elapsed() < STEADY => longer(self.last).max(FIRST_PAUSE),
            _ => Duration::ZERO,
        };
        self.last
    }
}

/// Begins the handshake for a new session, or for one that goes on.
pub(super) fn hello(local: Local, session: Option<Resume>, out: &mut Vec<u8>) -> Result<Dialing> {
    Ok(match session {
        None => Dialing::begin(local, nonce()?, out),
        Some(session) => Dialing::resume(local, nonce()?, session, out),
    })
}

/// Who dials where.
struct Dialer<'a> {
    transport: &'a dyn Transport,
    address: &'a Address,
    role: Role,
    options: &'a ConnectionOptions,
}

impl Dialer<'_> {
    fn attempt(&self, wait: &mut Wait<'_>) -> Result<(Box<dyn BlockingChannel>, Welcome)> {
        let mut channel = self.connect(wait)?;
        let welcome = self.shake(channel.as_mut(), None, wait)?;
        Ok((channel, welcome))
    }

    fn connect(&self, wait: &mut Wait<'_>) -> Result<Box<dyn BlockingChannel>> {
        let connected = wait.within(CONNECT_TIME).deadline;
        let connecting = self.transport.connect_blocking(self.address, &self.options.for_transport(), connected);
        connecting.map_err(|error| match error.kind() {
            ErrorKind::Timeout => unheard(self.address).unwrap_or(error),
            _ => error,
        })
    }

    fn shake(
        &self,
        channel: &mut dyn BlockingChannel,
        session: Option<Resume>,
        wait: &mut Wait<'_>,
    ) -> Result<Welcome> {
        let mut wait = wait.within(self.options.handshake_timeout);
        let local = self.options.local(self.role, self.transport.is_network(self.address.scheme()));
        let mut frame = Vec::new();
        let mut dialing = hello(local, session, &mut frame)?;
        channel.set_max_frame(HANDSHAKE_FRAME);
        loop {
            // Over TLS the first one waits for the peer's part in its handshake.
            wait.run(|deadline| channel.send(&frame, &[], deadline))?;
            let answer = wait.run(|deadline| channel.recv(deadline)).map_err(|e| unanswered(e, &channel.peer()))?;
            let answer =
                answer.ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "the listener closed the connection"))?;
            if let Some(welcome) = dialing.take(&answer, &mut frame)? {
                return Ok(welcome);
            }
        }
    }

    fn connection(&self, mut channel: Box<dyn BlockingChannel>, welcome: &Welcome) -> Connection {
        let limits = agree(self.options.limits, welcome.max_frame);
        channel.set_max_frame(limits.frame);
        Connection::new(channel, limits).dialed(self.address, self.role, self.options, welcome.ticket)
    }
}

/// The error of a handshake that `peer` did not answer, or not as one does.
pub(super) fn unanswered(error: Error, peer: &str) -> Error {
    match error.kind() {
        ErrorKind::ConnectionLost | ErrorKind::Timeout => {
            error.context(format_args!("{peer} did not answer the handshake; is it an RLay endpoint?"))
        }
        // TLS says so itself.
        _ if error.to_string().starts_with(peer) => error,
        _ => error.context(peer),
    }
}

/// The limits of a session: one's own, and no frame longer than the peer accepts.
pub(crate) fn agree(own: Limits, max_frame: u64) -> Limits {
    Limits { frame: usize::try_from(max_frame).unwrap_or(usize::MAX).min(own.frame).max(HANDSHAKE_FRAME), ..own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_brings_nothing_is_followed_by_a_pause() {
        let mut pauses = Pauses::default();
        let next = |pauses: &mut Pauses, received| pauses.next(received).as_millis();
        assert_eq!([0; 4].map(|_| next(&mut pauses, 3)), [0, 20, 40, 80]);
        assert_eq!(next(&mut pauses, 4), 0);
        assert_eq!([0; 8].map(|_| next(&mut pauses, 4)), [20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}
