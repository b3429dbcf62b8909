//! Promise 14: how a wait is ended from another thread.

use std::{
    thread,
    time::{Duration, Instant},
};

use rlay_core::{CancelToken, Result};

use super::{assert_frame, is_timeout, send};
use crate::test_context::{STALL, TestContext, after, together};

/// No call waits this long for a token that the channel itself watches.
const SOON: Duration = Duration::from_secs(10);

/// Promise 14: a channel and a listener that wait, and the result when the stop is set already.
pub fn a_stop_ends_a_wait(context: &TestContext) {
    for (mut waiting, mut other) in context.pairs() {
        let stop = CancelToken::default();
        if !waiting.set_cancel_token(Some(&stop)) {
            continue;
        }
        assert_ended(&stop, |deadline| waiting.recv(deadline));
        send(&mut other, 1, 100).expect("the connection stays");
        let patience = after(SOON);
        let frame = loop {
            match waiting.recv(patience) {
                Ok(frame) => break frame.expect("a frame"),
                Err(error) => assert!(Instant::now() < patience.expect("finite"), "the frame never came: {error}"),
            }
        };
        assert_frame(&frame, 1, 100);

        waiting.set_cancel_token(None);
        let deadline = after(STALL);
        assert!(is_timeout(&waiting.recv(deadline)) && after(Duration::ZERO) >= deadline, "it heeds a stop no longer");
    }
    let (mut listening, stop) = (context.listen(&context.fresh_address()).expect("listens"), CancelToken::default());
    if listening.set_cancel_token(Some(&stop)) {
        assert_ended(&stop, |deadline| listening.accept(deadline));
    }
}

/// Panics unless `wait` ends when the stop is set, and at once when it is set already.
fn assert_ended<T: std::fmt::Debug>(stop: &CancelToken, mut wait: impl FnMut(Option<Instant>) -> Result<T>) {
    let set_later = || {
        thread::sleep(STALL);
        stop.cancel();
    };
    let mut ends = || {
        let deadline = after(SOON);
        let result = wait(deadline);
        assert!(is_timeout(&result), "{result:?} instead of what a deadline gives");
        assert!(deadline > after(Duration::ZERO), "the stop was not heeded");
    };
    together(set_later, &mut ends);
    ends();
}
