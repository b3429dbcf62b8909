//! Dialing: connects, tries again while there is no listener, and shakes hands; for a new session, or for one that is
//! resumed.

use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    channel::{BlockingChannel, Transport},
    endpoint::{
        options::ConnectionOptions,
        programs::launched::is_launcher,
        wait::{Wait, absent_after},
    },
    error::{Error, ErrorKind, Result},
    net::unheard,
    session::{
        ClientHandshake, agree,
        redial::{Backoff, Redial},
    },
    token::nonce,
    wire::{HANDSHAKE_FRAME, Limits, Resume, Role, Welcome},
};

/// One attempt to connect takes no longer, for nothing else is looked at meanwhile; the next one follows.
pub(in crate::endpoint) const CONNECT_TIME: Duration = Duration::from_millis(1500);

/// Connects to `address` as `role` and shakes hands, trying again until `wait` is over while there is
/// no listener or the listener is full.
pub fn dial(address: &Address, role: Role, options: &ConnectionOptions, wait: &mut Wait<'_>) -> Result<Connection> {
    dial_unless(address, role, options, wait, false)
}

/// The same for a host that was admitted there before. If the agent at `address` launched this program
/// ([`ADDRESS_VARIABLE`](crate::endpoint::ADDRESS_VARIABLE)) and does not listen any more, it has closed the
/// environment and wants no other: that is an error of kind [`Closed`](ErrorKind::Closed), at once.
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
    let mut backoff = Backoff::default();
    let mut reason: Option<Error> = None;
    let mut is_told = false;
    loop {
        let error = match dialer.attempt(wait) {
            Ok((channel, welcome)) => return Ok(dialer.connection(channel, &welcome)),
            Err(error) => error,
        };
        if !may_pass(error.kind()) {
            return Err(error);
        }
        if ends_with_listener && error.is_gone() {
            let text = format!("{address}: the agent that launched this program has closed the environment; end it");
            return Err(Error::new(ErrorKind::Closed, text).with_source(error));
        }
        // An attempt that the deadline cut short says less than the one before it.
        let error = match (wait.check_interrupts(), reason.take()) {
            (Err(_), Some(reason)) if error.kind() == ErrorKind::Timeout => reason,
            _ => error,
        };
        let error = reason.insert(error);
        if started.elapsed() >= absent_after(options.notice_after) && !std::mem::replace(&mut is_told, true) {
            let left = wait.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64());
            let left =
                left.map_or_else(|| "for as long as it takes".to_owned(), |left| format!("for {left:.0} s more"));
            wait.warn(&format!("{address}: still no connection ({error}); trying again {left}"));
        }
        match wait.sleep(backoff.next()) {
            Ok(()) => {}
            Err(over) if over.kind() == ErrorKind::Timeout => {
                let waited = started.elapsed().as_secs_f64();
                let (kind, advice) = match error.kind() {
                    // What the listener says of itself is advice, too.
                    kind @ (ErrorKind::Busy | ErrorKind::ResourceExhausted) => {
                        (kind, "raise connect_timeout to wait for longer")
                    }
                    _ => {
                        let advice = "start the other side first, or check the address, or raise connect_timeout";
                        (ErrorKind::ConnectionLost, advice)
                    }
                };
                let what = format!("no connection to {address} within {waited:.1} s ({error})");
                return Err(Error::new(kind, format!("{what}; {advice}")).with_source(error.clone()));
            }
            Err(interrupted) => return Err(interrupted),
        }
    }
}

/// Whether the next attempt to connect may succeed after an error of this kind.
fn may_pass(kind: ErrorKind) -> bool {
    use ErrorKind::{Busy, ConnectionLost, ResourceExhausted, Timeout};
    matches!(kind, ConnectionLost | Busy | ResourceExhausted | Timeout)
}

/// Connects for a session that goes on, trying again until `wait` is over unless that is pointless. Gives the channel
/// and the number of the last frame that the listener has received.
pub(super) fn resume(
    address: &Address,
    role: Role,
    options: &ConnectionOptions,
    session: Resume,
    limits: Limits,
    wait: &mut Wait<'_>,
) -> Result<(Box<dyn BlockingChannel>, u64)> {
    let dialer = Dialer { transport: options.registry.find(address)?.as_ref(), address, role, options };
    let mut redial = Redial::new(options.reconnect_timeout);
    loop {
        wait.check_interrupts()?;
        let (error, is_connected) = match dialer.connect(wait) {
            Ok(mut channel) => match dialer.handshake(channel.as_mut(), Some(session.clone()), wait) {
                Ok(welcome) => {
                    channel.set_max_frame(limits.frame);
                    return Ok((channel, welcome.received.unwrap_or_default()));
                }
                Err(error) => (error, true),
            },
            Err(error) => (error, false),
        };
        let pause = redial.failed(error, is_connected)?;
        wait.check_interrupts()?;
        wait.sleep(pause)?;
    }
}

/// Dials an address in a role.
struct Dialer<'a> {
    transport: &'a dyn Transport,
    address: &'a Address,
    role: Role,
    options: &'a ConnectionOptions,
}

impl Dialer<'_> {
    fn attempt(&self, wait: &mut Wait<'_>) -> Result<(Box<dyn BlockingChannel>, Welcome)> {
        let mut channel = self.connect(wait)?;
        let welcome = self.handshake(channel.as_mut(), None, wait)?;
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

    fn handshake(
        &self,
        channel: &mut dyn BlockingChannel,
        session: Option<Resume>,
        wait: &mut Wait<'_>,
    ) -> Result<Welcome> {
        let mut wait = wait.within(self.options.handshake_timeout);
        let local = self.options.local(self.role, self.transport.is_network(self.address.scheme()));
        let mut frame = Vec::new();
        let mut handshake = ClientHandshake::begin(local, nonce()?, session, &mut frame);
        channel.set_max_frame(HANDSHAKE_FRAME);
        loop {
            // Over TLS the first one waits for the peer's part in its handshake.
            wait.run(|deadline| channel.send(&frame, &[], deadline))?;
            let answer = wait.run(|deadline| channel.recv(deadline));
            if let Some(welcome) = handshake.take_answer(answer, &channel.peer(), &mut frame)? {
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
