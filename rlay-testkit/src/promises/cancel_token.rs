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

/// Promise 14: a channel and a listener that wait, and the result when the token is set already.
pub fn a_cancel_token_ends_a_wait(context: &TestContext) {
    for (mut waiting, mut other) in context.pairs() {
        let cancel = CancelToken::default();
        if !waiting.set_cancel_token(Some(&cancel)) {
            continue;
        }
        assert_ended(&cancel, |deadline| waiting.recv(deadline));
        send(&mut other, 1, 100).expect("the connection stays");
        let soon = after(SOON);
        let frame = loop {
            match waiting.recv(soon) {
                Ok(frame) => break frame.expect("a frame"),
                Err(error) => assert!(Instant::now() < soon.expect("finite"), "the frame never came: {error}"),
            }
        };
        assert_frame(&frame, 1, 100);

        waiting.set_cancel_token(None);
        let deadline = after(STALL);
        assert!(
            is_timeout(&waiting.recv(deadline)) && after(Duration::ZERO) >= deadline,
            "it heeds the token no longer"
        );
    }
    let (mut listening, cancel) = (context.listen(&context.fresh_address()).expect("listens"), CancelToken::default());
    if listening.set_cancel_token(Some(&cancel)) {
        assert_ended(&cancel, |deadline| listening.accept(deadline));
    }
}

/// Panics unless `wait` ends when the token is set, and at once when it is set already.
fn assert_ended<T: std::fmt::Debug>(cancel: &CancelToken, mut wait: impl FnMut(Option<Instant>) -> Result<T>) {
    let set_later = || {
        thread::sleep(STALL);
        cancel.cancel();
    };
    let mut ends = || {
        let deadline = after(SOON);
        let result = wait(deadline);
        assert!(is_timeout(&result), "{result:?} instead of what a deadline gives");
        assert!(deadline > after(Duration::ZERO), "the token was not heeded");
    };
    together(set_later, &mut ends);
    ends();
}
