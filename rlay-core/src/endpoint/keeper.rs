//! Keeper: sees to another connection as soon as a dialer's is lost, whatever the session's own thread is busy with.

use std::{process, thread, time::Duration};

use super::{
    ConnectionOptions, Wait,
    dial::{self, Pauses},
    seat::Seat,
};
use crate::{
    address::Address,
    channel::Watch,
    error::{Error, ErrorKind, Result},
    stop::Stop,
    wire::{Resume, Role, Ticket},
};

/// How often it looks at a connection that the session does not miss. Nobody waits for it then.
const LOOK: Duration = Duration::from_millis(500);

/// A thread that dials again for one session. It ends with this.
#[derive(Debug)]
pub(super) struct Keeper {
    seat: Seat,
    stop: Stop,
    /// A forked child has no such thread.
    pid: u32,
}

/// Whom to dial, as whom, and for which session.
#[derive(Debug)]
pub(super) struct Redial {
    pub address: Address,
    pub role: Role,
    pub options: ConnectionOptions,
    pub ticket: Ticket,
}

impl Keeper {
    /// For the session of this seat, whose first connection `watch` looks at.
    pub(super) fn new(redial: Redial, seat: Seat, mut watch: Option<Watch>) -> Result<Self> {
        let keeper = Self { seat: seat.clone(), stop: Stop::default(), pid: process::id() };
        let stop = keeper.stop.clone();
        let run = move || {
            let mut pauses = Pauses::default();
            while seat.is_missed(LOOK, &mut watch) {
                let (visit, received) = seat.meet();
                let session = Resume { ticket: redial.ticket, received };
                // For as long as the session lasts: how long it waits is its own affair.
                let mut wait = Wait::default().unless(&stop);
                if let Err(over) = wait.sleep(pauses.next(received)) {
                    return seat.close(over);
                }
                match dial::again(&redial.address, redial.role, &redial.options, session, seat.limits(), &mut wait) {
                    Ok((channel, heard)) => {
                        watch = channel.watch();
                        seat.seat_again(visit, channel, heard);
                    }
                    Err(error) => return seat.close(error),
                }
            }
        };
        let spawned = thread::Builder::new().name("rlay-redial".into()).spawn(run);
        spawned.map_err(|e| Error::new(ErrorKind::Usage, format!("cannot start a thread: {e}")))?;
        Ok(keeper)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // In a forked child a lock may be held by the thread that is not there.
        if self.pid == process::id() {
            self.stop.set();
            self.seat.close(Error::new(ErrorKind::Closed, "the session is over"));
        }
    }
}
