//! Vigil: tells a peer that has vanished from one that is slow, while bytes of ours are unacknowledged.
//!
//! Keep-alive only probes an idle connection. With something outstanding the kernel retransmits, for a
//! quarter of an hour by default, and its own `TCP_USER_TIMEOUT` also ends connections whose peer is
//! alive, acknowledges everything, and only reads slowly. So we ask the kernel what it heard last.

use std::time::{Duration, Instant};

use rlay_core::{Error, ErrorKind, Result};
use socket2::{Domain, SockRef};

#[derive(Debug)]
pub(crate) struct Vigil {
    liveness: Duration,
    /// Something is outstanding at least since then, and nothing was heard.
    silent_since: Option<Instant>,
    next_look: Instant,
    is_needed: bool,
}

impl Vigil {
    pub(crate) fn new(socket: &SockRef<'_>, liveness: Duration) -> Self {
        let is_needed = socket.domain().is_ok_and(|domain| domain != Domain::UNIX);
        Self { liveness, silent_since: None, next_look: Instant::now(), is_needed }
    }

    /// How long to wait between two looks; for ever if there are none.
    pub(crate) fn pause(&self) -> Duration {
        if self.is_needed { self.liveness / 16 } else { Duration::MAX }
    }

    /// Call when bytes have come or gone: what was silent before does not count.
    pub(crate) fn heard(&mut self) {
        self.silent_since = None;
    }

    /// Call now and then while waiting. Fails before nothing was heard for `liveness` though something is outstanding.
    pub(crate) fn look(&mut self, socket: &SockRef<'_>, peer: &str, now: Instant) -> Result<()> {
        if !self.is_needed || now < self.next_look {
            return Ok(());
        }
        self.next_look = now + self.pause();
        let Some(silence) = silence(socket) else {
            self.silent_since = None;
            return Ok(());
        };
        // At the first look something has been outstanding for no longer than from one look to the next.
        let earliest = now.checked_sub(self.pause()).unwrap_or(now);
        let since = self.silent_since.get_or_insert(earliest);
        // The first reading may count the idle time before we sent anything.
        *since = (*since).max(now.checked_sub(silence).unwrap_or(now));
        // The next look would come too late.
        if now.duration_since(*since) + self.pause() < self.liveness {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ConnectionLost,
            format!("{peer}: nothing was acknowledged for {:?}; its machine or the network is gone", self.liveness),
        ))
    }
}

/// For how long nothing was heard, if something of ours waits for an acknowledgement.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn silence(socket: &SockRef<'_>) -> Option<Duration> {
    use std::os::fd::AsRawFd;
    // SAFETY: `tcp_info` holds integers alone, so all-zero bytes are one.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: the pointer leads to `len` bytes that are ours for the call; the kernel writes at most as many.
    let failed = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut info).cast(), &mut len) };
    let is_outstanding = failed == 0 && (info.tcpi_unacked > 0 || info.tcpi_probes > 0);
    is_outstanding.then(|| Duration::from_millis(info.tcpi_last_ack_recv.into()))
}

/// Elsewhere the kernel's retransmissions are the bound.
#[cfg(not(target_os = "linux"))]
fn silence(_: &SockRef<'_>) -> Option<Duration> {
    None
}
