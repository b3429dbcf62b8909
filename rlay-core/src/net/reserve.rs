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

/// How long a listener waits before the next accept where no descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts each connection of a listener, so that the listener outlasts a process that has run out of descriptors: the
/// listener neither spins nor goes silent. The reserve is released for the next dialer, which an endpoint then tells to
/// try again ([`spare_descriptor`]); more dialers wait in the kernel's queue.
#[derive(Debug)]
pub struct Reserve {
    kept: Vec<File>,
    /// How many descriptors a connection takes while it is accepted.
    size: usize,
    /// Whether it is logged already that no descriptors are left.
    is_told: bool,
}

impl Default for Reserve {
    fn default() -> Self {
        Self::of(1)
    }
}

impl Reserve {
    /// A reserve for connections that take `size` descriptors each.
    pub fn of(size: usize) -> Self {
        let mut reserve = Self { kept: Vec::with_capacity(size), size, is_told: false };
        reserve.regain();
        reserve
    }

    /// Refills the reserve, as far as descriptors are available. Call after a connection was accepted, or time has
    /// passed.
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
            // The dialer disconnected while it waited.
            return Duration::from_millis(1);
        }
        let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
        if poll(&mut waiting, Some(&Timespec::default())).is_ok_and(|ready| ready == 0) {
            // The kernel takes a descriptor before it checks for a dialer.
            return PAUSE;
        }
        self.tell(error);
        self.spend()
    }

    /// The same for a listener inside a library, which accepts again at once.
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

    /// Releases the reserve, for a dialer that needs it. Returns how long to wait before the next attempt.
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

/// Fails if this file, the last that was opened, has one of the descriptors kept back, or of the last `1/part` of them.
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

/// How many of `most` descriptors are not for sessions: a quarter of all but the first 128, at most 256.
fn kept_back(most: u64) -> u64 {
    (most.saturating_sub(128) / 4).min(256)
}

/// Describes the error of a process that cannot connect, or open anything else that needs a descriptor; adds the remedy
/// if no descriptors are left.
pub(crate) fn why(error: &io::Error) -> String {
    match is_exhausted(error) {
        true => format!("{error}; raise this process's limit of open files (ulimit -n), or close what is not needed"),
        false => error.to_string(),
    }
}
