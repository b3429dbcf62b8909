//! Dialing: connect, try again while nobody listens, and shake hands.

use std::time::{Duration, Instant};

use super::{Options, Wait};
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    channel::BlockingChannel,
    error::{Error, ErrorKind, Result},
    session::Dialing,
    token::nonce,
    wire::{HANDSHAKE_FRAME, Limits, Role},
};

/// One attempt to connect takes no longer, for nothing else is looked at meanwhile; the next one follows.
const CONNECT_TIME: Duration = Duration::from_millis(1500);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Connects to `address` as `role` and shakes hands, trying again until `wait` is over while nobody
/// listens there or the listener is full. Gives the channel and the limits that both sides accept.
pub fn dial(
    address: &Address,
    role: Role,
    options: &Options,
    wait: &mut Wait<'_>,
) -> Result<(Box<dyn BlockingChannel>, Limits)> {
    refuse_inside_tokio()?;
    let transport = options.registry.find(address)?;
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut reason: Option<Error> = None;
    loop {
        let attempt = (|| {
            let connected = wait.within(CONNECT_TIME).deadline;
            let mut channel = transport.connect_blocking(address, &options.for_transport(), connected)?;
            let limits = shake(channel.as_mut(), role, options, &mut wait.within(options.handshake_timeout))?;
            Ok((channel, limits))
        })();
        let error: Error = match attempt {
            Ok(open) => return Ok(open),
            Err(error) => error,
        };
        if !matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::Busy | ErrorKind::Timeout) {
            return Err(error);
        }
        // An attempt that the deadline cut short says less than the one before it.
        let error = match (wait.look(), reason.take()) {
            (Err(_), Some(reason)) if error.kind() == ErrorKind::Timeout => reason,
            _ => error,
        };
        let error = reason.insert(error);
        match wait.sleep(pause) {
            Ok(()) => pause = (pause * 2).min(LONGEST_PAUSE),
            Err(over) if over.kind() == ErrorKind::Timeout => {
                let waited = started.elapsed().as_secs_f64();
                let (kind, advice) = match error.kind() {
                    ErrorKind::Busy => (ErrorKind::Busy, "wait for a session to end"),
                    _ => (ErrorKind::ConnectionLost, "start the other side first, or check the address"),
                };
                let what = format!("no connection to {address} within {waited:.1} s ({error})");
                return Err(Error::new(kind, format!("{what}; {advice}, or raise connect_timeout")));
            }
            Err(interrupted) => return Err(interrupted),
        }
    }
}

fn shake(channel: &mut dyn BlockingChannel, role: Role, options: &Options, wait: &mut Wait<'_>) -> Result<Limits> {
    let mut frame = Vec::new();
    let mut dialing = Dialing::begin(options.local(role), nonce()?, &mut frame);
    channel.set_max_frame(HANDSHAKE_FRAME);
    let welcome = loop {
        // Over TLS the first one waits for the peer's part in its handshake.
        wait.run(|deadline| channel.send(&frame, &[], deadline))?;
        let answer = wait.run(|deadline| channel.recv(deadline)).map_err(|e| {
            e.context(format_args!("{} did not answer the handshake; is it an RLay endpoint?", channel.peer()))
        })?;
        let answer =
            answer.ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "the listener closed the connection"))?;
        if let Some(welcome) = dialing.take(&answer, &mut frame)? {
            break welcome;
        }
    };
    let limits = agree(options.limits, welcome.max_frame);
    channel.set_max_frame(limits.frame);
    Ok(limits)
}

/// The limits of a session: one's own, and no frame longer than the peer accepts.
pub(crate) fn agree(own: Limits, max_frame: u64) -> Limits {
    Limits { frame: usize::try_from(max_frame).unwrap_or(usize::MAX).min(own.frame).max(HANDSHAKE_FRAME), ..own }
}
