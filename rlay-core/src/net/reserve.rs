//! Reserve: the descriptor that a listener keeps for the day on which the process has no others left.

use std::{fs::File, io, time::Duration};

use crate::error::{Error, ErrorKind};

/// How long a listener waits before it accepts again where no descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

/// What each connection that a listener accepts goes through, so that the listener outlasts a process that has run out
/// of descriptors: it neither spins nor goes silent. The reserve is spent on the next dialer, which an endpoint then
/// tells to try again ([`spare_descriptor`]); more dialers wait in the kernel's queue.
#[derive(Debug)]
pub struct Reserve {
    kept: Option<File>,
    /// Whether the log says already that there are none.
    is_told: bool,
}

impl Default for Reserve {
    fn default() -> Self {
        Self { kept: open().ok(), is_told: false }
    }
}

impl Reserve {
    /// Call after a connection was accepted.
    pub fn accepted(&mut self) {
        if self.kept.is_none() {
            self.kept = open().ok();
            self.is_told &= self.kept.is_none();
        }
    }

    /// Call after a connection could not be accepted. Returns how long to wait before the next attempt.
    pub fn refused(&mut self, error: &io::Error) -> Duration {
        if !is_exhausted(error) {
            // The dialer went away while it waited.
            return Duration::from_millis(1);
        }
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!("a listener has no descriptors left ({error}); raise the limit of open files (ulimit -n)");
        }
        if self.kept.take().is_some() { Duration::ZERO } else { PAUSE }
    }
}

fn open() -> io::Result<File> {
    File::open("/dev/null")
}

/// Whether `error` says that the process or the system has no descriptors left.
pub fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// An error of kind [`Busy`](ErrorKind::Busy) if this process has no descriptor left for what a session needs.
pub fn spare_descriptor() -> Result<(), Error> {
    match open() {
        Err(error) if is_exhausted(&error) => Err(Error::new(
            ErrorKind::Busy,
            format!(
                "no descriptors are left ({error}); raise the limit of open files (ulimit -n), or lower max_sessions"
            ),
        )),
        _ => Ok(()),
    }
}
