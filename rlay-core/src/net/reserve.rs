//! Reserve: descriptors that a listener keeps back, to accept the next dialer of a process that has no others left.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Resource, getrlimit},
};

use crate::error::{Error, ErrorKind};

/// How long a listener waits before it accepts again where no descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

/// What each connection that a listener accepts goes through, so that the listener outlasts a process that has run out
/// of descriptors: it neither spins nor goes silent. The reserve is spent on the next dialer, which an endpoint then
/// tells to try again ([`spare_descriptor`]); more dialers wait in the kernel's queue.
#[derive(Debug)]
pub struct Reserve {
    kept: Vec<File>,
    /// How many a connection takes while it is accepted.
    size: usize,
    /// Whether the log says already that there are none.
    is_told: bool,
}

impl Default for Reserve {
    fn default() -> Self {
        Self::of(1)
    }
}

impl Reserve {
    /// One for connections that take so many descriptors.
    pub fn of(size: usize) -> Self {
        let mut reserve = Self { kept: Vec::with_capacity(size), size, is_told: false };
        reserve.regain();
        reserve
    }

    /// Keeps what is to be kept again, as far as there is some. Call after a connection was accepted, or time has passed.
    pub fn regain(&mut self) {
        while self.kept.len() < self.size {
            let Ok(file) = open() else { return };
            self.kept.push(file);
        }
        self.is_told = false;
    }

    /// Call after a connection could not be accepted. Returns how long to wait before the next attempt.
    pub fn refused(&mut self, error: &io::Error, listener: impl AsFd) -> Duration {
        if !is_exhausted(error) {
            // The dialer went away while it waited.
            return Duration::from_millis(1);
        }
        let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
        if poll(&mut waiting, Some(&Timespec::default())).is_ok_and(|ready| ready == 0) {
            // The kernel looks for a descriptor before it looks for a dialer.
            return PAUSE;
        }
        self.tell(error);
        self.spend()
    }

    /// The same for a listener that is hidden in a library, which will accept again at once.
    pub fn refused_elsewhere(&mut self, error: &io::Error) {
        if is_exhausted(error) {
            self.tell(error);
            self.spend();
        }
    }

    fn tell(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!("a listener has no descriptors left ({error}); raise the limit of open files (ulimit -n)");
        }
    }

    /// Gives it up, for a dialer that needs it. Returns how long to wait before the next attempt.
    pub fn spend(&mut self) -> Duration {
        match std::mem::take(&mut self.kept).is_empty() {
            true => PAUSE,
            false => Duration::ZERO,
        }
    }
}

fn open() -> io::Result<File> {
    File::open("/dev/null")
}

/// Whether `error` says that the process or the system has no descriptors left.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    exhausted(error).is_some()
}

fn exhausted(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error).filter(|errno| matches!(*errno, Errno::MFILE | Errno::NFILE))
}

/// An error of kind [`Busy`](ErrorKind::Busy), for a dialer, if `error` says that its listener has no descriptors left.
pub fn check_descriptors(error: &io::Error) -> Result<(), Error> {
    let Some(errno) = exhausted(error) else { return Ok(()) };
    let advice = "raise its limit of open files (ulimit -n), or lower max_sessions";
    let text = format!("the listener has no descriptors left ({error}); {advice}");
    Err(Error::new(ErrorKind::Busy, text).with_source(io::Error::from(errno)))
}

/// The same if no descriptor can be spared now for a session: a part of them is kept back for files that the program
/// opens besides.
pub fn spare_descriptor() -> Result<(), Error> {
    match open() {
        Ok(lowest) => check_kept_back(&lowest, 1),
        Err(error) => check_descriptors(&error),
    }
}

/// The same for a handshake, which may take half of the descriptors kept back: a refused dialer must receive the
/// reason.
pub(crate) fn spare_for_handshake() -> Result<(), Error> {
    // If there are none at all, the listener's reserve serves that purpose.
    open().map_or(Ok(()), |lowest| check_kept_back(&lowest, 2))
}

/// Fails if this file, the last that was opened, is one of those that are kept back, or of such a part of them.
fn check_kept_back(lowest: &File, part: u64) -> Result<(), Error> {
    let Some(most) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    let kept = kept_back(most);
    // The system assigns the lowest free number.
    if (lowest.as_raw_fd() as u64) < most - kept / part {
        return Ok(());
    }
    let text = format!(
        "the listener has no descriptors left (but {kept} of {most}, which are kept for its program's own files); raise \
         its limit of open files (ulimit -n), or lower max_sessions"
    );
    Err(Error::new(ErrorKind::Busy, text))
}

/// How many descriptors of so many are not for sessions: a quarter of all but the first 128, at most 256.
fn kept_back(most: u64) -> u64 {
    (most.saturating_sub(128) / 4).min(256)
}

/// The error of a process that cannot connect, or nothing else that needs a descriptor, in words; with what to do about
/// it if there are none.
pub(crate) fn why(error: &io::Error) -> String {
    match is_exhausted(error) {
        true => format!("{error}; raise this process's limit of open files (ulimit -n), or close what is not needed"),
        false => error.to_string(),
    }
}
