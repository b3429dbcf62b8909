//! Reception: who of those that have dialed a listener may come in: to a session of their own, or back to their old one.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use super::{
    ConnectionOptions,
    dial::agree,
    places::{Place, Places},
    seat::{Bell, Seat, Seats},
};
use crate::{
    error::{Error, ErrorKind, Result},
    session::Admission,
    token::nonce,
    wire::{Hello, LASTING, Limits, Role},
};

/// The sessions of a listener, whose channels are of the kind `C`.
pub(super) struct Reception<C> {
    limits: Limits,
    /// What a host tells those for whom there is no room; `None`: that all sessions are taken.
    full: Option<String>,
    /// Whether anybody is let in yet.
    is_ready: AtomicBool,
    places: Places,
    /// Of sessions that may go on over another connection.
    seats: Seats<C>,
    is_closed: AtomicBool,
}

/// A dialer that may come in.
pub(super) enum Guest<C> {
    /// To a session of its own, with these bounds; there is a seat if it may go on over another connection.
    New { limits: Limits, place: Place, admission: Admission, seat: Option<Seat<C>> },
    /// To the session of this seat, after that frame.
    Old { seat: Seat<C>, heard: u64 },
}

impl<C> Reception<C> {
    /// Of a listener of this role.
    pub(super) fn new(role: Role, options: &ConnectionOptions) -> Self {
        Self {
            limits: options.limits,
            full: None,
            is_ready: AtomicBool::new(true),
            places: Places::new(role, options),
            seats: Seats::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// The same of a host that does not serve yet, and has words of its own for those for whom there is no room.
    pub(super) fn of_host(options: &ConnectionOptions, full: Option<String>) -> Self {
        Self { full, is_ready: AtomicBool::new(false), ..Self::new(Role::Env, options) }
    }

    /// Lets dialers in from now on.
    pub(super) fn set_ready(&self) {
        self.is_ready.store(true, SeqCst);
    }

    /// Whether there is room for a dialer, or a session that it comes back to. `lasts`: whether new ones may go on over
    /// other connections.
    pub(super) fn admit(&self, hello: Hello, lasts: bool) -> Result<Guest<C>> {
        if let Some(resume) = hello.resume {
            let seat = self.seats.find(&resume.ticket).filter(|_| !self.is_closed.load(SeqCst));
            let seat = seat.ok_or_else(|| Error::gone("the session has ended; open a new one"))?;
            return Ok(Guest::Old { seat, heard: resume.received });
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
        let Some(place) = self.places.take(spare.is_ok()) else {
            // A session that only waits for its dialer makes room; this one asks again.
            self.seats.clear_one();
            spare?;
            return Err(Error::new(ErrorKind::Busy, self.full.clone().unwrap_or_else(|| self.places.full())));
        };
        let limits = agree(self.limits, hello.max_frame);
        // Its dialer may come back before anybody has taken it.
        let (admission, seat) = match lasts && hello.features & LASTING != 0 {
            true => {
                let ticket = nonce()?;
                (Admission::Lasting(ticket), Some(self.seats.add(ticket, limits)))
            }
            false => (Admission::Once, None),
        };
        Ok(Guest::New { limits, place, admission, seat })
    }

    /// Sessions under way, those included that nobody has taken yet.
    pub(super) fn sessions(&self) -> usize {
        self.places.taken()
    }

    /// What wakes the sessions when a dialer has come back.
    pub(super) fn bell(&self) -> Bell {
        self.seats.bell()
    }

    /// Brings nobody back any more. Without `and_tell` the sessions are not told, for a forked child: a lock may be
    /// held by a thread that is not there.
    pub(super) fn close(&self, and_tell: bool) {
        self.is_closed.store(true, SeqCst);
        if and_tell {
            self.seats.close();
        }
    }
}

impl<C> fmt::Debug for Reception<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reception({:?})", self.places)
    }
}
