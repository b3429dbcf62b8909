//! Reconnector: brings a dialer's session another connection as soon as its own is lost, whatever the session's own
//! thread is busy with.

use std::{
    process, thread,
    time::{Duration, Instant},
};

use super::{dial, reconnect_slot::ReconnectSlot};
use crate::{
    address::Address,
    cancel_token::CancelToken,
    channel::Watch,
    endpoint::{options::ConnectionOptions, wait::Wait},
    error::{Error, ErrorKind, Result},
    session::redial::LossPauses,
    wire::{Resume, Role, Ticket},
};

/// How often it polls a connection that the session does not report as lost.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// A thread that dials again for one session. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reconnector {
    slot: ReconnectSlot,
    cancel: CancelToken,
    /// A forked child has no such thread.
    pid: u32,
}

/// The address to dial, in which role, and for which session.
#[derive(Debug)]
pub(in crate::endpoint) struct Target {
    pub(in crate::endpoint) address: Address,
    pub(in crate::endpoint) role: Role,
    pub(in crate::endpoint) options: ConnectionOptions,
    pub(in crate::endpoint) ticket: Ticket,
}

impl Reconnector {
    /// For the session of this slot, whose first connection `watch` polls.
    pub(super) fn start(target: Target, slot: ReconnectSlot, mut watch: Option<Watch>) -> Result<Self> {
        let reconnector = Self { slot: slot.clone(), cancel: CancelToken::default(), pid: process::id() };
        let cancel = reconnector.cancel.clone();
        let run = move || {
            let mut pauses = LossPauses::default();
            while slot.wait_needed(WATCH_INTERVAL, &mut watch) {
                let attempt = slot.begin();
                let session = Resume { ticket: target.ticket, received: attempt.received };
                // For as long as the session lasts, which has a budget of its own.
                let mut wait = Wait::default().with_cancel(&cancel);
                if let Err(over) = wait.sleep(pauses.next(attempt.received, Instant::now())) {
                    return slot.close(over);
                }
                match dial::resume(&target.address, target.role, &target.options, session, slot.limits(), &mut wait) {
                    Ok((channel, peer_received)) => {
                        watch = channel.watch();
                        slot.offer(attempt, channel, peer_received);
                    }
                    Err(error) => return slot.close(error),
                }
            }
        };
        let spawned = thread::Builder::new().name("rlay-redial".into()).spawn(run);
        spawned.map_err(Error::no_thread)?;
        Ok(reconnector)
    }
}

impl Drop for Reconnector {
    fn drop(&mut self) {
        // In a forked child a lock may be held by a thread that the child does not have.
        if self.pid == process::id() {
            self.cancel.cancel();
            self.slot.close(Error::new(ErrorKind::Closed, "the session is over"));
        }
    }
}
