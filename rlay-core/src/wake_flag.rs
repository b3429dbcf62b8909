//! WakeFlag: ends the wait of a thread on its channel each time that something else is ready for that thread.

use crate::cancel_token::CancelToken;

/// Like a [`CancelToken`], which a channel knows already, but set and cleared again and again. Clones are the same flag.
///
/// It may also be set with a token ([`CancelToken::adopt`]), to which the waiting thread looks after it has cleared the
/// flag.
#[derive(Debug, Clone)]
pub(crate) struct WakeFlag(CancelToken);

impl WakeFlag {
    /// Not set.
    pub(crate) fn new() -> Self {
        Self(CancelToken::prompt())
    }

    /// Ends the wait. From any thread.
    pub(crate) fn wake(&self) {
        self.0.cancel();
    }

    /// Whether it is set.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Clears it. By the thread that waits.
    pub(crate) fn rearm(&self) {
        self.0.rearm();
    }

    /// What channels take.
    pub(crate) fn token(&self) -> &CancelToken {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::net::wait_to_accept;

    #[test]
    fn it_wakes_again_and_again_and_also_with_another_token() {
        let (flag, parent) = (WakeFlag::new(), CancelToken::default());
        parent.adopt(flag.token());
        let (never, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        for _ in 0..100 {
            let waking = flag.clone();
            let thread = thread::spawn(move || waking.wake());
            while !flag.is_set() {
                let _ = wait_to_accept(&never, None, Some(flag.token()));
            }
            thread.join().unwrap();
            // Twice is once.
            flag.wake();
            flag.rearm();
            assert!(!flag.is_set());
        }
        parent.cancel();
        assert!(flag.is_set());
    }
}
