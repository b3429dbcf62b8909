//! Patience: how a thread waits on a socket, for bytes and at the same time for a deadline or a stop.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{bridge::timeout, error::Result, stop::Stop};

/// Nearer than this to a full tick is a full tick.
const SLACK: Duration = Duration::from_millis(5);

/// What a socket is waited for, by a channel that is about to read or to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Bytes to read.
    Read,
    /// Room to write.
    Write,
}

/// The patience of a blocking channel whose socket gives up a read or write after [`TICK`](Self::TICK).
///
/// While frames come and go the kernel's bound is enough, and a wait costs no call beside the read. Deadlines
/// nearer than that are kept with poll(2), and so is a wait that has lasted a tick already: it wakes up for
/// nothing but what it waits for. A channel has one for each direction, and only that of reading heeds a stop.
///
/// ```
/// use rlay::net::{Patience, Want, is_vain};
/// use std::{io::{Read, Write}, os::unix::net::UnixStream};
///
/// let (mut here, mut there) = UnixStream::pair()?;
/// here.set_read_timeout(Some(Patience::TICK))?;
/// there.write_all(b"hi")?;
/// let (mut patience, mut bytes, deadline) = (Patience::default(), [0; 2], None);
/// loop {
///     match patience.before(&here, Want::Read, deadline).and_then(|()| here.read(&mut bytes)) {
///         Ok(_) => break patience.renew(),
///         Err(error) if is_vain(&error) => patience.after(deadline)?,
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Patience {
    stop: Option<Stop>,
    /// Between two looks of the channel's own while it waits.
    pause: Option<Duration>,
    /// A whole tick has passed in vain.
    is_idle: bool,
}

impl Patience {
    /// What `SO_RCVTIMEO` and `SO_SNDTIMEO` of the socket must be.
    pub const TICK: Duration = Duration::from_millis(100);

    /// One that gives the channel a look at other things at least once in `pause`.
    pub fn with_pause(pause: Duration) -> Self {
        Self { pause: Some(pause), ..Self::default() }
    }

    /// From now on waits end once `stop` is set. Whether they will: not where descriptors have run out.
    pub fn heed(&mut self, stop: Option<&Stop>) -> bool {
        self.stop = stop.filter(|stop| stop.pipe().is_some()).cloned();
        self.stop.is_some()
    }

    /// Call before each read or write. An error of kind `WouldBlock` says that it would be in vain.
    pub fn before(&self, socket: impl AsFd, want: Want, deadline: Option<Instant>) -> io::Result<()> {
        let is_idle = self.is_idle || self.stop.as_ref().is_some_and(Stop::is_set);
        if !is_idle && deadline.is_none() {
            return Ok(());
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if !is_idle && left.is_none_or(|left| left + SLACK >= Self::TICK) {
            return Ok(());
        }
        let limit = left.into_iter().chain(self.pause).min();
        if ready(socket, want, self.stop.as_ref(), limit)? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// How long a wait may first sleep on something else than the socket, which needs neither to be ready nor to tell of
    /// anything meanwhile: a tick, or until the deadline. `None` after a tick in vain and once the stop is set; then
    /// call [`before`](Self::before).
    pub fn first_tick(&self, now: Instant, deadline: Option<Instant>) -> Option<Duration> {
        if self.is_idle || self.stop.as_ref().is_some_and(Stop::is_set) {
            return None;
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        Some(left.map_or(Self::TICK, |left| left.min(Self::TICK)))
    }

    /// The next [`before`](Self::before) says for sure whether the call would be in vain.
    pub fn ask_first(&mut self) {
        self.is_idle = true;
    }

    /// Whether nothing is to be waited for any more. For calls that read again and again, though each read succeeds,
    /// because what comes is not what they wait for.
    pub fn is_over(&self, deadline: Option<Instant>) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_set) || deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Call where a part of something has gone, and more is to go: once in a [`TICK`](Self::TICK) calls `look`, and
    /// fails as that does or at the deadline. A peer that takes a little now and then would keep a call from all else.
    /// `next` is `None` at first.
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

    /// Call when a read or write was in vain. Fails at the deadline, and once the stop is set.
    pub fn after(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.is_idle = true;
        if self.is_over(deadline) { Err(timeout()) } else { Ok(()) }
    }

    /// Call when bytes have come or gone.
    pub fn renew(&mut self) {
        self.is_idle = false;
    }
}

/// Waits until somebody has dialed `socket`, or may have. Fails at the deadline, and once `stop` is set.
pub fn wait_to_accept(socket: impl AsFd, deadline: Option<Instant>, stop: Option<&Stop>) -> Result<()> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left == Some(Duration::ZERO) || stop.is_some_and(Stop::is_set) {
        return Err(timeout());
    }
    // Whatever it says, `accept` is tried next.
    let _ = ready(socket, Want::Read, stop, left);
    Ok(())
}

/// Waits until `socket` is ready, at most for `limit`; no longer once `stop` is set. Whether it is ready.
fn ready(socket: impl AsFd, want: Want, stop: Option<&Stop>, limit: Option<Duration>) -> io::Result<bool> {
    let flags = match want {
        Want::Read => PollFlags::IN,
        Want::Write => PollFlags::OUT,
    };
    let socket = socket.as_fd();
    let pipe = stop.and_then(Stop::pipe).map(AsFd::as_fd);
    let mut watched =
        [PollFd::from_borrowed_fd(socket, flags), PollFd::from_borrowed_fd(pipe.unwrap_or(socket), PollFlags::IN)];
    let watched = &mut watched[..if pipe.is_some() { 2 } else { 1 }];
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    poll(watched, limit.as_ref())?;
    Ok(!watched[0].revents().is_empty())
}

/// Whether the error of a read or write only says that nothing is ready yet.
pub fn is_vain(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
