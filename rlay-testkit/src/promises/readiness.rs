//! Promise 17: how a thread waits for several channels at once.

use std::{thread, time::Duration};

use rlay_core::{ErrorKind, Readiness, net::PollSet};

use super::{assert_frame, is_timeout, send};
use crate::{
    endpoint::Endpoint,
    test_context::{PATIENCE, STALL, TestContext, after, together},
};

/// Promise 17: a frame that comes before the wait begins, one that comes during it, several at once, and the two ends
/// that a peer can make.
pub fn a_wait_for_several_misses_none(context: &TestContext) {
    for (mut waiting, mut other) in context.pairs() {
        drain(&mut waiting);
        if waiting.begin_readiness_wait() == Readiness::Unknown {
            continue;
        }
        waiting.end_readiness_wait(false);
        for round in 0..3 {
            send(&mut other, round, 1000).expect("sends");
            assert_ready(&mut waiting);
            assert_frame(&received(&mut waiting), round, 1000);

            drain(&mut waiting);
            let late = || {
                thread::sleep(STALL / 3);
                send(&mut other, round, 3000).expect("sends");
                send(&mut other, round, 10).expect("sends");
            };
            together(late, || assert_ready(&mut waiting));
            assert_frame(&received(&mut waiting), round, 3000);
            assert_frame(&received(&mut waiting), round, 10);
            drain(&mut waiting);
        }
        other.close(after(PATIENCE)).expect("closes");
        assert_ready(&mut waiting);
        assert!(waiting.recv(after(PATIENCE)).expect("a clean end").is_none());
    }
    for (mut waiting, other) in context.pairs() {
        drain(&mut waiting);
        let crash = || {
            thread::sleep(STALL / 3);
            drop(other);
        };
        together(crash, || assert_ready(&mut waiting));
        let error = waiting.recv(after(PATIENCE)).expect_err("the peer has crashed");
        assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    }
}

/// Receives in vain, as comes before each such wait.
fn drain(waiting: &mut Endpoint) {
    let received = waiting.recv(after(Duration::ZERO));
    assert!(is_timeout(&received), "{received:?} where nothing was sent");
}

fn received(waiting: &mut Endpoint) -> rlay_core::Frame {
    waiting.recv(after(PATIENCE)).expect("receives").expect("a frame")
}

/// Panics unless the wait ends because there is something to receive.
fn assert_ready(waiting: &mut Endpoint) {
    match waiting.begin_readiness_wait() {
        Readiness::Now => waiting.end_readiness_wait(false),
        Readiness::Descriptor(descriptor) => {
            let mut set = PollSet::default();
            set.add(descriptor);
            set.wait(PATIENCE);
            assert!(set.is_ready(0), "the wait has missed what there is to receive");
            waiting.end_readiness_wait(true);
        }
        Readiness::Unknown => {}
    }
}
