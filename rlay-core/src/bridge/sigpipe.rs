//! NoSigpipe: while it lives, a write to a socket whose peer is gone fails in this thread, and does not end the
//! program.
//!
//! Programs in Rust and Python ignore SIGPIPE; those in C that use this library mostly do not, and what they do about a
//! signal is theirs to say. The signal goes to the thread that writes, so it is enough to block it there meanwhile. A
//! socket that is written by this library itself is written without the signal; those of other libraries are not.

#[cfg(target_os = "linux")]
mod linux {
    #![allow(unsafe_code)]

    use std::{mem::MaybeUninit, ptr};

    /// Blocks SIGPIPE in this thread.
    #[derive(Debug)]
    pub(in crate::bridge) struct NoSigpipe {
        /// Whether the signal is blocked by this, and is to be let through again.
        is_ours: bool,
    }

    /// Whether the program ignores the signal, so that nothing needs to be done about it.
    pub(in crate::bridge) fn is_ignored() -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: nothing is changed, and the place is one for an action; zeros are one, too.
        unsafe {
            libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr());
            action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    }

    fn sigpipe() -> libc::sigset_t {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the first call initializes the set.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
            set.assume_init()
        }
    }

    impl NoSigpipe {
        /// Does nothing where the program ignores the signal or blocks it itself.
        pub(in crate::bridge) fn new(is_ignored: bool) -> Self {
            if is_ignored {
                return Self { is_ours: false };
            }
            let (set, mut before) = (sigpipe(), MaybeUninit::zeroed());
            // SAFETY: both are sets of signals, of which the call reads one and writes the other.
            let is_blocked = unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, before.as_mut_ptr());
                libc::sigismember(before.as_ptr(), libc::SIGPIPE) == 1
            };
            Self { is_ours: !is_blocked }
        }
    }

    impl Drop for NoSigpipe {
        fn drop(&mut self) {
            if !self.is_ours {
                return;
            }
            let (set, now) = (sigpipe(), libc::timespec { tv_sec: 0, tv_nsec: 0 });
            // SAFETY: the set is one. What is pending came while this blocked it, and says what the write returned.
            unsafe {
                libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const now);
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
            }
        }
    }
}

/// Other systems have other ways, of which none was tried.
#[cfg(not(target_os = "linux"))]
mod other {
    #[derive(Debug)]
    pub(in crate::bridge) struct NoSigpipe;

    pub(in crate::bridge) fn is_ignored() -> bool {
        true
    }

    impl NoSigpipe {
        pub(in crate::bridge) fn new(_: bool) -> Self {
            Self
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::{NoSigpipe, is_ignored};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{NoSigpipe, is_ignored};
