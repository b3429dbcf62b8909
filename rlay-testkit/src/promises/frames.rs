//! Promises 1 to 3: what a frame is, and how long it may be.

use rlay_core::{ErrorKind, Rng};

use super::{assert_failed, assert_frame, assert_kind, is_timeout, next, send};
use crate::{
    endpoint::Endpoint,
    subject::Form,
    test_context::{STALL, TestContext, after, soon, together},
};

/// Lengths around every border that an implementation may have, then some at random.
fn lengths() -> Vec<usize> {
    let mut rng = Rng::seeded(1);
    let mut lengths = vec![0, 1, 63, 64, 65, 4095, 4096, 4097, 70_000, 1 << 20, 5, 0, 0, 1 << 20];
    lengths.extend((0..60).map(|_| rng.below(300) as usize));
    lengths.extend((0..10).map(|_| rng.below(50_000) as usize));
    lengths
}

/// Sends everything one way; the frames are checked last, when their memory could have been used again.
fn exchange(from: &mut Endpoint, to: &mut Endpoint, lengths: &[usize]) {
    let send_all = || lengths.iter().enumerate().for_each(|(i, len)| send(from, i, *len).expect("sends"));
    let ((), frames) = together(send_all, || lengths.iter().map(|_| next(to)).collect::<Vec<_>>());
    for (i, (frame, len)) in frames.iter().zip(lengths).enumerate() {
        assert_frame(frame, i, *len);
    }
    assert!(is_timeout(&to.recv(after(STALL / 10))), "nothing follows the last frame");
}

/// Promise 1, for frames of many sizes, split in many places, between ends of equal and of different form.
pub fn frames_arrive_whole_in_order_exactly_once(context: &TestContext) {
    let lengths = lengths();
    for (mut dialer, mut accepted) in context.pairs() {
        exchange(&mut dialer, &mut accepted, &lengths);
        exchange(&mut accepted, &mut dialer, &lengths);
        let ask = |(i, len)| {
            send(&mut dialer, i, len).expect("sends");
            assert_frame(&next(&mut dialer), i, len);
        };
        let answer = |(i, len)| {
            assert_frame(&next(&mut accepted), i, len);
            send(&mut accepted, i, len).expect("sends");
        };
        let numbered = || lengths.iter().copied().enumerate();
        together(|| numbered().for_each(answer), || numbered().for_each(ask));
    }
    let (form, other): (Form, Form) = (context.form(), context.form().other());
    for forms in [[other, form, form], [form, form, other]] {
        let (mut dialer, mut accepted) = context.pair_of(forms, [1 << 20; 2]);
        exchange(&mut dialer, &mut accepted, &lengths);
        exchange(&mut accepted, &mut dialer, &lengths);
    }
}

/// Promise 2, alone, between other frames, and before the end.
pub fn an_empty_frame_is_a_frame(context: &TestContext) {
    for (mut from, mut to) in context.pairs() {
        let lengths = [0, 0, 3, 0];
        let send_all = || {
            lengths.iter().enumerate().for_each(|(i, len)| send(&mut from, i, *len).expect("sends"));
            from.close(soon()).expect("closes");
        };
        let receive_all = || {
            lengths.iter().enumerate().for_each(|(i, len)| assert_frame(&next(&mut to), i, *len));
            assert!(to.recv(soon()).expect("receives").is_none(), "the end is no frame");
        };
        together(send_all, receive_all);
    }
}

/// Promise 3, at both ends, with limits from the options and limits set later.
pub fn the_frame_limit_is_exact(context: &TestContext) {
    const LIMIT: usize = 100_000;
    const ABOVE: usize = 64 << 20;
    let swap = |(a, b)| (b, a);
    for (mut from, mut to) in [context.pair_with_limits(LIMIT, LIMIT), swap(context.pair_with_limits(LIMIT, LIMIT))] {
        passes(&mut from, &mut to, LIMIT);
        sender_refuses(&mut from, &mut to, LIMIT);
        from.set_max_frame(2 * LIMIT);
        to.set_max_frame(2 * LIMIT);
        passes(&mut from, &mut to, 2 * LIMIT);
        sender_refuses(&mut from, &mut to, 2 * LIMIT);
        from.set_max_frame(10);
        sender_refuses(&mut from, &mut to, 10);
        from.set_max_frame(ABOVE);
        receiver_refuses(&mut from, &mut to, 2 * LIMIT + 1);
    }
    for (mut from, mut to) in [context.pair_with_limits(ABOVE, LIMIT), swap(context.pair_with_limits(LIMIT, ABOVE))] {
        passes(&mut from, &mut to, LIMIT);
        receiver_refuses(&mut from, &mut to, LIMIT + 1);
    }
    // A frame that does not fit between both ends can only be sent if the receiver reads it.
    let unread = {
        let (mut from, _to) = context.pair_with_limits(ABOVE, LIMIT);
        from.send(&[], &vec![0; ABOVE], after(STALL))
    };
    let (mut from, mut to) = context.pair_with_limits(ABOVE, LIMIT);
    let (sent, ()) = together(
        move || from.send(&[], &vec![0; ABOVE], after(STALL * 3)),
        || assert_kind(to.recv(soon()), ErrorKind::Protocol),
    );
    assert!(unread.is_ok() || sent.is_err(), "the receiver took in a frame that it refuses");
}

fn passes(from: &mut Endpoint, to: &mut Endpoint, len: usize) {
    let (sent, frame) = together(|| send(from, 2, len), || next(to));
    sent.expect("a frame at the limit");
    assert_frame(&frame, 2, len);
}

fn sender_refuses(from: &mut Endpoint, to: &mut Endpoint, limit: usize) {
    let (head, body) = (vec![0; limit / 2], vec![0; limit + 1 - limit / 2]);
    assert_kind(from.send(&head, &body, after(STALL)), ErrorKind::Protocol);
    passes(from, to, 7); // nothing of the other frame is under way
}

fn receiver_refuses(from: &mut Endpoint, to: &mut Endpoint, len: usize) {
    // The receiver may be gone before everything is sent.
    let refuse = || assert_kind(to.recv(soon()), ErrorKind::Protocol);
    // The sender's result depends on how much fits between both ends.
    let _ = together(|| from.send(&vec![0; len], &[], after(STALL)), refuse);
    assert_failed(to.recv(after(STALL)));
}
