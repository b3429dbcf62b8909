//! Promises 4, 5 and 15: calls that are given up half-way.

use std::{
    thread,
    time::{Duration, Instant},
};

use rlay_core::{Error, ErrorKind};

use super::{assert_failed, assert_frame, assert_lost, is_timeout, next, pattern, send};
use crate::{
    endpoint::Endpoint,
    test_context::{PATIENCE, STALL, TestContext, after, soon, together},
};

/// Promise 4: polls, and deadlines that pass in the middle of large frames. Accepting is no different.
pub fn recv_loses_nothing_when_it_is_cancelled_or_times_out(context: &TestContext) {
    let lengths = [4 << 20, 0, 1, 5000, 8 << 20, 70_000, 1 << 20, 3];
    for (mut from, mut to) in context.pairs() {
        assert!(is_timeout(&to.recv(Some(Instant::now()))), "nothing was sent");
        assert!(is_timeout(&to.recv(after(STALL / 10))), "nothing was sent");
        assert!(to.recv_briefly().is_none_or(|received| is_timeout(&received)), "nothing was sent");
        let send_all = || lengths.iter().enumerate().for_each(|(i, len)| send(&mut from, i, *len).expect("sends"));
        let receive_all = || {
            for (i, len) in lengths.iter().enumerate() {
                assert_frame(&insist(&mut to, i), i, *len);
            }
        };
        together(send_all, receive_all);
        assert!(is_timeout(&to.recv(Some(Instant::now()))), "nothing follows the last frame");
    }
    let mut listening = context.listen(&context.fresh_address()).expect("listens");
    assert!(is_timeout(&listening.accept(Some(Instant::now()))), "nobody dialed");
    assert!(is_timeout(&listening.accept(after(STALL / 10))), "nobody dialed");
    let address = listening.address().clone();
    let (mut dialer, accepted) = context.meet(&mut listening, |context| context.dial(&address));
    let mut accepted = context.open(accepted);
    together(|| send(&mut dialer, 0, 5).expect("sends"), || assert_frame(&next(&mut accepted), 0, 5));
}

/// Receives in many short calls instead of a long one.
fn insist(end: &mut Endpoint, seed: usize) -> rlay_core::Frame {
    let start = Instant::now();
    for i in seed.. {
        let wait = [Duration::ZERO, Duration::from_micros(50), Duration::from_millis(2)][i % 3];
        let brief = if i % 4 == 3 { end.recv_briefly() } else { None };
        match brief.unwrap_or_else(|| end.recv(Instant::now().checked_add(wait))) {
            Err(error) if error.kind() == ErrorKind::Timeout => {
                assert!(start.elapsed() < PATIENCE, "the frame never arrives in calls that wait this short");
                thread::yield_now();
            }
            other => return other.expect("receives").expect("a frame, not a clean end"),
        }
    }
    unreachable!("a frame or a panic comes first")
}

/// Promise 5: sends to a peer that does not read, until a send is given up.
pub fn a_cancelled_send_breaks_the_channel_loudly(context: &TestContext) {
    const LEN: usize = 8 << 20;
    for (mut writer, reader) in context.pairs() {
        let sent = send_until_stalled(&mut writer, LEN);
        assert_all_or_nothing(writer, reader, sent, LEN);
    }
}

/// Promise 15: sends to a peer that does not read, until the `look` that is called meanwhile ends the send.
pub fn a_look_ends_a_send(context: &TestContext) {
    const LEN: usize = 8 << 20;
    for (mut writer, reader) in context.pairs() {
        let (mut looks, mut sent) = (0, 0);
        let start = Instant::now();
        let error = loop {
            let mut look = || {
                looks += 1;
                if looks < 3 { Ok(()) } else { Err(Error::new(ErrorKind::Env, "seen enough")) }
            };
            match writer.send_while(&pattern(sent, LEN), &[], after(PATIENCE / 4), &mut look) {
                None => return, // in the async form calls are cancelled
                Some(Ok(())) => sent += 1,
                Some(Err(error)) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Env, "{error} instead of what the look gave");
        assert!(start.elapsed() < PATIENCE / 2, "nobody looked for {:?}", start.elapsed());
        assert_all_or_nothing(writer, reader, sent, LEN);
    }
}

/// Panics unless the frame that was given up, after `sent` others, was not sent at all, or breaks the channel.
fn assert_all_or_nothing(mut writer: Endpoint, mut reader: Endpoint, sent: usize, len: usize) {
    let after_all = writer.send(b"after", b" all", after(STALL));
    if after_all.is_ok() || is_timeout(&after_all) {
        // The error says that nothing of the frame was sent. Then the peer must never receive any of the frame.
        let finish = || {
            if after_all.is_err() {
                writer.send(b"after", b" all", soon()).expect("sends once there is room");
            }
            writer.close(soon()).expect("closes");
        };
        let receive_all = || {
            (0..sent).for_each(|i| assert_frame(&next(&mut reader), i, len));
            assert_eq!(&next(&mut reader)[..], b"after all", "the frame after the one that was given up");
            assert!(reader.recv(soon()).expect("receives").is_none(), "nothing follows");
        };
        together(finish, receive_all);
    } else {
        assert_failed(after_all);
        assert_failed(writer.send(b"again", b"", after(STALL)));
        assert_failed(writer.recv(after(STALL)));
        assert_failed(writer.close(after(STALL)));
        drop(writer);
        assert_cut_off(&mut reader, sent, len);
    }
}

/// Sends frames that are not read, until a send is given up; how many were sent before.
pub(super) fn send_until_stalled(writer: &mut Endpoint, len: usize) -> usize {
    const TOO_MUCH: usize = 256 << 20;
    for i in 0..TOO_MUCH / len {
        let result = writer.send(&pattern(i, len), &[], after(STALL));
        if is_timeout(&result) {
            return i;
        }
        result.expect("sends, or waits");
    }
    panic!("{TOO_MUCH} bytes were sent to a peer that reads nothing")
}

/// Panics unless the end receives some of the frames that were sent, whole, then an error.
pub(super) fn assert_cut_off(reader: &mut Endpoint, sent: usize, len: usize) {
    for i in 0.. {
        match reader.recv(soon()) {
            Ok(Some(frame)) => {
                assert!(i < sent, "a frame arrived that was given up");
                assert_frame(&frame, i, len);
            }
            end => return assert_lost(end),
        }
    }
}
