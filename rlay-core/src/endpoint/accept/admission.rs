//! Admission: lets the dialers of a listener into new sessions, back into old ones, or not at all.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use super::{
    permits::{SessionPermit, SessionPermits},
    resumable_sessions::ResumableSessions,
};
use crate::{
    endpoint::{
        connect::{reconnect_slot::ReconnectSlot, wake_group::WakeGroup},
        options::ConnectionOptions,
    },
    error::{Error, ErrorKind, Result},
    session::agree,
    token::nonce,
    wire::{Hello, Limits, RESUMABLE, Role, Ticket},
};

/// Admission control of a listener, whose channels are of the kind `C`.
pub(in crate::endpoint) struct Admission<C> {
    limits: Limits,
    /// What a host tells dialers for which there is no room; `None`: that all sessions are taken.
    full: Option<String>,
    /// Whether dialers are admitted yet.
    is_ready: AtomicBool,
    permits: SessionPermits,
    resumable: ResumableSessions<C>,
    is_closed: AtomicBool,
}

/// A dialer that is admitted.
pub(super) enum Admitted<C> {
    /// Into a new session.
    New(NewSession<C>),
    /// Back into the session of this slot, which goes on after the frame with this number.
    Resumed { slot: ReconnectSlot<C>, peer_received: u64 },
}

/// What a new session has.
pub(in crate::endpoint) struct NewSession<C> {
    pub(in crate::endpoint) limits: Limits,
    pub(in crate::endpoint) permit: SessionPermit,
    /// If the session may go on over another connection.
    pub(in crate::endpoint) slot: Option<ReconnectSlot<C>>,
    pub(super) ticket: Option<Ticket>,
}

impl<C> Admission<C> {
    /// Of a listener of this role.
    pub(in crate::endpoint) fn new(role: Role, options: &ConnectionOptions) -> Self {
        Self {
            limits: options.limits,
            full: None,
            is_ready: AtomicBool::new(true),
            permits: SessionPermits::new(role, options),
            resumable: ResumableSessions::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// The same of a host that does not serve yet, and has a text of its own for dialers for which there is no room.
    pub(super) fn of_host(options: &ConnectionOptions, full: Option<String>) -> Self {
        Self { full, is_ready: AtomicBool::new(false), ..Self::new(Role::Env, options) }
    }

    /// Admits dialers from now on.
    pub(super) fn set_ready(&self) {
        self.is_ready.store(true, SeqCst);
    }

    /// Starts a new session, resumes one, or refuses. `is_resumable`: whether new ones may go on over other
    /// connections.
    pub(super) fn admit(&self, hello: Hello, is_resumable: bool) -> Result<Admitted<C>> {
        if let Some(resume) = hello.resume {
            let slot = self.resumable.find(&resume.ticket).filter(|_| !self.is_closed.load(SeqCst));
            let slot = slot.ok_or_else(|| Error::gone("the session has ended; open a new one"))?;
            return Ok(Admitted::Resumed { slot, peer_received: resume.received });
        }
        if !self.is_ready.load(SeqCst) {
            let text = "the host listens but does not serve yet; did it call run() or start()?";
            return Err(Error::new(ErrorKind::Busy, text));
        }
        // A session needs some, and so does a refusal that says why.
        #[cfg(unix)]
        let spare = crate::net::spare_descriptor();
        #[cfg(not(unix))]
        let spare: Result<()> = Ok(());
        let Some(permit) = self.permits.acquire(spare.is_ok()) else {
            // A session that only waits for its dialer makes room; this one asks again.
            self.resumable.end_longest_lost();
            spare?;
            return Err(Error::new(ErrorKind::Busy, self.full.clone().unwrap_or_else(|| self.permits.full())));
        };
        let limits = agree(self.limits, hello.max_frame);
        // Its dialer may come back before the session is taken.
        let is_resumable = is_resumable && hello.features & RESUMABLE != 0;
        let ticket = is_resumable.then(nonce).transpose()?;
        let slot = ticket.map(|ticket| self.resumable.add(ticket, limits));
        Ok(Admitted::New(NewSession { limits, permit, slot, ticket }))
    }

    /// Sessions under way, those included that are not taken yet.
    pub(in crate::endpoint) fn sessions(&self) -> usize {
        self.permits.acquired()
    }

    /// What wakes the sessions when a dialer has come back.
    pub(super) fn wake_group(&self) -> WakeGroup {
        self.resumable.wake_group()
    }

    /// Lets no dialer come back any more. Without `and_tell` the sessions are not told, for a forked child: a lock may
    /// be held by a thread that the child does not have.
    pub(in crate::endpoint) fn close(&self, and_tell: bool) {
        self.is_closed.store(true, SeqCst);
        if and_tell {
            self.resumable.close();
        }
    }
}

impl<C> fmt::Debug for Admission<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admission({:?})", self.permits)
    }
}
