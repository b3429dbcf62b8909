//! Promise 16: how another thread detects that a connection is lost.

use std::{thread, time::Instant};

use rlay_core::ErrorKind;

use super::{assert_frame, next, send};
use crate::test_context::{PATIENCE, STALL, TestContext, soon, together};

/// Promise 16: a peer that is alive, one that crashes, and one with a goodbye that was not read yet.
pub fn a_watch_tells_a_crash_from_a_clean_close(context: &TestContext) {
    for (mut crasher, mut watched) in context.pairs() {
        send(&mut crasher, 1, 1000).expect("sends");
        assert_frame(&next(&mut watched), 1, 1000);
        let Some(mut watch) = watched.watch() else { continue };
        watch().expect("the peer is alive");
        drop(crasher);
        let end = Instant::now() + PATIENCE;
        let error = loop {
            match watch() {
                Err(error) => break error,
                Ok(()) => assert!(Instant::now() < end, "a dead peer was not noticed in {PATIENCE:?}"),
            }
            thread::sleep(STALL / 10);
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    }
    for (mut closer, mut watched) in context.pairs() {
        send(&mut closer, 1, 1000).expect("sends");
        assert_frame(&next(&mut watched), 1, 1000);
        let Some(mut watch) = watched.watch() else { continue };
        let close = || {
            send(&mut closer, 2, 1000).expect("sends");
            closer.close(soon()).expect("closes");
            drop(closer);
        };
        let read_late = || {
            thread::sleep(STALL);
            watch().expect("the peer's last words are still to be received");
            assert_frame(&next(&mut watched), 2, 1000);
            assert!(watched.recv(soon()).expect("receives").is_none(), "a clean end");
            watch().expect("the peer closed on purpose");
        };
        together(close, read_late);
    }
}
