//! PollSet: blocks a thread until one of several descriptors is readable.

use std::time::Duration;

/// Descriptors to wait for at once. One that is kept allocates nothing once it has held as many.
///
/// ```
/// use rlay::net::PollSet;
/// use std::{io::Write, os::{fd::AsRawFd, unix::net::UnixStream}, time::Duration};
///
/// let (near, mut far) = UnixStream::pair()?;
/// far.write_all(b"hi")?;
/// let mut set = PollSet::default();
/// set.add(near.as_raw_fd());
/// set.wait(Duration::from_secs(1));
/// assert!(set.is_ready(0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct PollSet {
    #[cfg(unix)]
    watched: Vec<libc::pollfd>,
}

impl PollSet {
    /// Forgets all descriptors.
    pub fn clear(&mut self) {
        #[cfg(unix)]
        self.watched.clear();
    }

    /// Adds a descriptor, which has to stay open until the set is cleared.
    pub fn add(&mut self, descriptor: i32) {
        #[cfg(unix)]
        self.watched.push(libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 });
        #[cfg(not(unix))]
        let _ = descriptor;
    }

    /// Waits until one is readable, has ended or has failed, `limit` has passed, or a signal has come.
    #[cfg(unix)]
    #[allow(unsafe_code)]
    pub fn wait(&mut self, limit: Duration) {
        // Rounded up, since a limit that is too short would be waited for again and again.
        let millis = limit.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX);
        // SAFETY: the entries are initialized, there are as many as is said, and the call keeps no reference to them.
        // A descriptor that was closed against the rules is reported as ready, nothing else.
        let found = unsafe { libc::poll(self.watched.as_mut_ptr(), self.watched.len() as libc::nfds_t, millis) };
        if found < 0 {
            // What they say then means nothing. The caller looks again soon.
            self.watched.iter_mut().for_each(|watched| watched.revents = 0);
        }
    }

    /// The same where there are no such descriptors: looks again soon.
    #[cfg(not(unix))]
    pub fn wait(&mut self, limit: Duration) {
        std::thread::sleep(limit.min(Duration::from_millis(1)));
    }

    /// Whether the descriptor that was added as number `index` was ready at the end of the last wait.
    pub fn is_ready(&self, index: usize) -> bool {
        #[cfg(unix)]
        return self.watched.get(index).is_some_and(|watched| watched.revents != 0);
        #[cfg(not(unix))]
        return index == usize::MAX;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{io::Write, os::fd::AsRawFd, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn it_tells_which_of_several_is_readable() {
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        let mut set = PollSet::default();
        pairs.iter().for_each(|(here, _)| set.add(here.as_raw_fd()));
        set.wait(Duration::ZERO);
        assert_eq!([0, 1, 2, 3].map(|i| set.is_ready(i)), [false; 4]);
        (&pairs[1].1).write_all(b"x").unwrap();
        pairs[2].1.shutdown(std::net::Shutdown::Both).unwrap();
        set.wait(Duration::from_secs(10));
        assert_eq!([0, 1, 2].map(|i| set.is_ready(i)), [false, true, true]);
        set.clear();
        set.wait(Duration::ZERO);
        assert!(!set.is_ready(1));
    }
}
