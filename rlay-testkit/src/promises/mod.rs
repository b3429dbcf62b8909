//! The tests themselves: one function per promise of [`rlay_core::channel`], named after it.
//!
//! Each runs in the form and over the transport of its [`TestContext`](crate::TestContext), with each end of a
//! connection in each role, and panics where the promise is broken. [`conformance!`](crate::conformance) calls them
//! all.

mod addresses;
mod cancel_token;
mod cancelling;
mod ending;
mod flow;
mod frames;
mod readiness;
mod watching;

pub use addresses::{port_zero_is_resolved, two_listeners_on_one_address_is_an_error};
pub use cancel_token::a_cancel_token_ends_a_wait;
pub use cancelling::{
    a_cancelled_send_breaks_the_channel_loudly, a_look_ends_a_send,
    recv_loses_nothing_when_it_is_cancelled_or_times_out,
};
pub use ending::{
    a_clean_close_reads_none_and_a_crash_reads_an_error, a_dead_peer_is_noticed, close_implies_flush, drop_aborts,
    silence_is_not_death,
};
pub use flow::a_slow_reader_stops_the_writer;
pub use frames::{an_empty_frame_is_a_frame, frames_arrive_whole_in_order_exactly_once, the_frame_limit_is_exact};
pub use readiness::a_wait_for_several_misses_none;
pub use watching::a_watch_tells_a_crash_from_a_clean_close;

use std::sync::LazyLock;

use rlay_core::{Error, ErrorKind, Frame, Result, Rng};

use crate::{endpoint::Endpoint, test_context::soon};

/// The promises, in the order of their numbers.
pub const NAMES: [&str; 17] = crate::__each_promise!(crate::__names);

/// The content of frame number `index` of a test: noise that no other frame, and no other place, contains.
fn pattern(index: usize, len: usize) -> Vec<u8> {
    const BLOCK: usize = 32 << 10;
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut rng = Rng::seeded(0);
        (0..2 * BLOCK).map(|_| rng.below(256) as u8).collect()
    });
    let mut bytes = Vec::with_capacity(len);
    for block in 0.. {
        let left = len - bytes.len();
        if left == 0 {
            break;
        }
        let start = (index * 1009 + block * 31 + len) % BLOCK;
        bytes.extend_from_slice(&NOISE[start..][..left.min(BLOCK)]);
    }
    bytes
}

/// Panics unless `frame` is frame number `index` of `len` bytes, well aligned.
fn assert_frame(frame: &Frame, index: usize, len: usize) {
    assert_eq!(frame.len(), len, "frame {index} has another length");
    assert!((frame.as_ptr() as usize).is_multiple_of(64), "frame {index} does not start at a multiple of 64 bytes");
    let expected = pattern(index, len);
    if **frame != expected {
        let place = frame.iter().zip(&expected).position(|(a, b)| a != b);
        panic!("frame {index} of {len} bytes is not what was sent, first at byte {place:?}");
    }
}

/// The next frame, which must arrive.
fn next(end: &mut Endpoint) -> Frame {
    end.recv(soon()).expect("receives").expect("a frame, not a clean end")
}

/// Sends frame number `index`, split in one of several places.
fn send(end: &mut Endpoint, index: usize, len: usize) -> Result<()> {
    let bytes = pattern(index, len);
    let (head, body) = bytes.split_at([0, len, len / 2, len.min(4), len.saturating_sub(1)][index % 5]);
    end.send(head, body, soon())
}

/// Panics unless `result` is an error of a lost connection.
fn assert_lost<T: std::fmt::Debug>(result: Result<T>) {
    assert_kind(result, ErrorKind::ConnectionLost);
}

/// Panics unless `result` is an error of `kind`.
fn assert_kind<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    match result {
        Err(error) => assert_eq!(error.kind(), kind, "an error of another kind: {error}"),
        Ok(value) => panic!("{value:?} instead of an error of kind {kind:?}"),
    }
}

/// Whether the call ran into its deadline.
fn is_timeout<T>(result: &Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::Timeout)
}

/// Panics unless `result` is an error that a retry does not resolve.
fn assert_failed<T: std::fmt::Debug>(result: Result<T>) -> Error {
    let error = result.expect_err("a call that must fail");
    assert_ne!(error.kind(), ErrorKind::Timeout, "the error invites another try: {error}");
    error
}
