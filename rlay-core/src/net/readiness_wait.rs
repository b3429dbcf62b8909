//! ReadinessWait: blocks a thread until a socket is ready, a deadline passes, or a token is set.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::{Duration, Instant},
};

use crate::{bridge::timeout, cancel_token::CancelToken, error::Result};

/// Nearer than this to a full tick is a full tick.
const SLACK: Duration = Duration::from_millis(5);

/// The readiness that a channel waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Bytes to read.
    Read,
    /// Room to write.
    Write,
}

/// Bounds the reads or writes of a blocking channel on a socket that ends each of them after [`TICK`](Self::TICK).
///
/// While frames come and go the kernel's bound is enough, and a wait costs no call beside the read. poll(2) keeps
/// deadlines nearer than that, and bounds a wait that has lasted a tick already: it wakes up for nothing but
/// readiness. A channel has one for each direction, and only that of reading watches a cancel token.
///
/// ```
/// use rlay::net::{ReadinessWait, Want, is_vain};
/// use std::{io::{Read, Write}, os::unix::net::UnixStream};
///
/// let (mut here, mut there) = UnixStream::pair()?;
/// here.set_read_timeout(Some(ReadinessWait::TICK))?;
/// there.write_all(b"hi")?;
/// let (mut wait, mut bytes, deadline) = (ReadinessWait::default(), [0; 2], None);
/// loop {
///     match wait.before_io(&here, Want::Read, deadline).and_then(|()| here.read(&mut bytes)) {
///         Ok(_) => break wait.on_progress(),
///         Err(error) if is_vain(&error) => wait.on_would_block(deadline)?,
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct ReadinessWait {
    cancel: Option<CancelToken>,
    /// Interval between the channel's own checks while it waits.
    pause: Option<Duration>,
    /// Whether a whole tick has passed in vain.
    is_idle: bool,
    /// Whether poll(2) comes before every call.
    polls_always: bool,
    /// Whether the wait ends after a tick, whatever the deadline.
    is_brief: bool,
}

impl ReadinessWait {
    /// What `SO_RCVTIMEO` and `SO_SNDTIMEO` of the socket must be.
    pub const TICK: Duration = Duration::from_millis(100);

    /// A wait that lets the channel check other conditions at least once in `pause`.
    pub fn with_pause(pause: Duration) -> Self {
        Self { pause: Some(pause), ..Self::default() }
    }

    /// The same, with poll(2) before every call. For sockets on which a blocked read wakes up for more than bytes, as
    /// on a Unix socket whenever the peer reads: poll(2) continues to sleep.
    #[must_use]
    pub fn polling(self) -> Self {
        Self { polls_always: true, ..self }
    }

    /// Makes waits end once `cancel` is set. Returns whether they will: not where descriptors have run out.
    pub fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        self.cancel = cancel.filter(|cancel| cancel.pipe().is_some()).cloned();
        self.cancel.is_some()
    }

    /// Call before each read or write. An error of kind `WouldBlock` says that the read or write would be in vain.
    pub fn before_io(&self, socket: impl AsFd, want: Want, deadline: Option<Instant>) -> io::Result<()> {
        let polls = self.is_idle || self.polls_always || self.cancel.as_ref().is_some_and(needs_poll);
        let left = match self.is_brief {
            true => Some(Self::TICK),
            false => deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        if !polls && left.is_none_or(|left| left + SLACK >= Self::TICK) {
            return Ok(());
        }
        let limit = left.into_iter().chain(self.pause).min();
        if ready(socket, want, self.cancel.as_ref(), limit)? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// How long a wait may first sleep on something other than the socket, which needs neither to be ready nor to
    /// report anything meanwhile: a tick, or until the deadline. `None` after a tick in vain and once the token is set;
    /// then call [`before_io`](Self::before_io).
    pub fn first_tick(&self, now: Instant, deadline: Option<Instant>) -> Option<Duration> {
        if self.is_idle || self.cancel.as_ref().is_some_and(needs_poll) {
            return None;
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        Some(left.map_or(Self::TICK, |left| left.min(Self::TICK)))
    }

    /// Makes the next [`before_io`](Self::before_io) determine for certain whether the call would be in vain.
    pub fn ask_first(&mut self) {
        self.is_idle = true;
    }

    /// Whether the token is set or the deadline has passed. For calls that read repeatedly, though each read succeeds,
    /// because the data is not what they wait for.
    pub fn is_over(&self, deadline: Option<Instant>) -> bool {
        self.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
            || deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Call after a part was transferred, while more remains: polls `look` once in a [`TICK`](Self::TICK), and fails as
    /// `look` does or at the deadline. A peer that takes a little now and then would otherwise keep the call from all
    /// else. `next` is `None` at first.
    pub fn glance(
        &self,
        next: &mut Option<Instant>,
        deadline: Option<Instant>,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let now = Instant::now();
        if now < *next.get_or_insert(now + Self::TICK) {
            return Ok(());
        }
        *next = None;
        if self.is_over(deadline) { Err(timeout()) } else { look() }
    }

    /// Call when a read or write was in vain. Fails at the deadline, and once the token is set.
    pub fn on_would_block(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.is_idle = true;
        if self.is_brief || self.is_over(deadline) { Err(timeout()) } else { Ok(()) }
    }

    /// Sets whether waits end after a [`TICK`](Self::TICK), which needs no reading of the clock, in place of a
    /// deadline.
    pub fn set_brief(&mut self, is_brief: bool) {
        self.is_brief = is_brief;
    }

    /// Whether waits end after a [`TICK`](Self::TICK).
    pub fn is_brief(&self) -> bool {
        self.is_brief
    }

    /// Call when bytes were read or written.
    pub fn on_progress(&mut self) {
        self.is_idle = false;
    }
}

/// Whether a wait has to be one that the token ends.
fn needs_poll(cancel: &CancelToken) -> bool {
    cancel.is_prompt() || cancel.is_cancelled()
}

/// Waits until a connection to `socket` may be there to be accepted. Fails at the deadline, and once `cancel` is set.
pub fn wait_to_accept(socket: impl AsFd, deadline: Option<Instant>, cancel: Option<&CancelToken>) -> Result<()> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left == Some(Duration::ZERO) || cancel.is_some_and(CancelToken::is_cancelled) {
        return Err(timeout());
    }
    // Tries `accept` next, whatever the result.
    let _ = ready(socket, Want::Read, cancel, left);
    Ok(())
}

/// Waits until `socket` is ready, at most for `limit`; no longer once `cancel` is set. Returns whether the socket is
/// ready.
///
/// By poll(2), of which rustix has only ppoll(2): with a limit that takes 4 % of a step over a Unix socket longer.
#[allow(unsafe_code)]
fn ready(socket: impl AsFd, want: Want, cancel: Option<&CancelToken>, limit: Option<Duration>) -> io::Result<bool> {
    let events = match want {
        Want::Read => libc::POLLIN,
        Want::Write => libc::POLLOUT,
    };
    let watch = |fd: BorrowedFd<'_>, events| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let socket = socket.as_fd();
    let pipe = cancel.and_then(CancelToken::pipe).map(AsFd::as_fd);
    let mut watched = [watch(socket, events), watch(pipe.unwrap_or(socket), libc::POLLIN)];
    let count = if pipe.is_some() { 2 } else { 1 };
    // Rounded up, since a limit that is too short would be waited for again and again.
    let millis = |limit: Duration| limit.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX);
    // SAFETY: there are `count` entries, and their descriptors are borrowed until the call returns.
    let found = unsafe { libc::poll(watched.as_mut_ptr(), count, limit.map_or(-1, millis)) };
    if found < 0 { Err(io::Error::last_os_error()) } else { Ok(watched[0].revents != 0) }
}

/// Whether the error of a read or write only says that nothing is ready yet.
pub fn is_vain(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
