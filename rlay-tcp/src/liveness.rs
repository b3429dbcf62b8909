//! LivenessMonitor: tells a peer that has vanished from one that is slow, while sent bytes are unacknowledged.
//!
//! Keep-alive only probes an idle connection. With bytes outstanding the kernel retransmits, for a quarter of an hour
//! by default, and its own `TCP_USER_TIMEOUT` also ends connections to a peer that is alive, acknowledges everything,
//! and only reads slowly. So the kernel is asked when it last received anything from the peer.

use std::time::{Duration, Instant};

use rlay_core::{Error, ErrorKind, Result};
use socket2::{Domain, SockRef};

/// Monitors one connection. A Unix socket needs no monitor: its kernel knows when the peer is gone.
#[derive(Debug)]
pub(crate) struct LivenessMonitor {
    liveness: Duration,
    /// Since when, at least, bytes are outstanding while nothing was received.
    silent_since: Option<Instant>,
    next_check: Instant,
    is_needed: bool,
}

impl LivenessMonitor {
    pub(crate) fn new(socket: &SockRef<'_>, liveness: Duration) -> Self {
        let is_needed = socket.domain().is_ok_and(|domain| domain != Domain::UNIX);
        Self { liveness, silent_since: None, next_check: Instant::now(), is_needed }
    }

    /// The longest time between two checks; unlimited where no check is needed.
    pub(crate) fn interval(&self) -> Duration {
        if self.is_needed { self.liveness / 16 } else { Duration::MAX }
    }

    /// Call when bytes were read or written: the silence before the call does not count.
    pub(crate) fn on_progress(&mut self) {
        self.silent_since = None;
    }

    /// Call at least once per [`interval`](Self::interval) while waiting. Fails before nothing was received for
    /// `liveness` although bytes are outstanding.
    pub(crate) fn check(&mut self, socket: &SockRef<'_>, peer: &str, now: Instant) -> Result<()> {
        if !self.is_needed || now < self.next_check {
            return Ok(());
        }
        self.next_check = now + self.interval();
        let Some(silence) = silence(socket) else {
            self.silent_since = None;
            return Ok(());
        };
        // At the first check bytes have been outstanding for no longer than one interval.
        let earliest = now.checked_sub(self.interval()).unwrap_or(now);
        let since = self.silent_since.get_or_insert(earliest);
        // The kernel's first figure may count the idle time before anything was sent.
        *since = (*since).max(now.checked_sub(silence).unwrap_or(now));
        // The next check would come too late.
        if now.duration_since(*since) + self.interval() < self.liveness {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ConnectionLost,
            format!("{peer}: nothing was acknowledged for {:?}; its machine or the network is gone", self.liveness),
        ))
    }
}

/// How long nothing was received, if sent bytes wait for an acknowledgement.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn silence(socket: &SockRef<'_>) -> Option<Duration> {
    use std::os::fd::AsRawFd;
    // SAFETY: `tcp_info` holds integers alone, so all-zero bytes are one.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: the pointer leads to `len` bytes that `info` owns for the call; the kernel writes at most as many.
    let failed = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut info).cast(), &mut len) };
    let is_outstanding = failed == 0 && (info.tcpi_unacked > 0 || info.tcpi_probes > 0);
    is_outstanding.then(|| Duration::from_millis(info.tcpi_last_ack_recv.into()))
}

/// Elsewhere the kernel's retransmissions are the bound.
#[cfg(not(target_os = "linux"))]
fn silence(_: &SockRef<'_>) -> Option<Duration> {
    None
}
