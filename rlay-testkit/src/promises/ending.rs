//! Promises 6, 7, 8, 12 and 13: how a connection ends, on purpose and otherwise, and when it must not.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    assert_failed, assert_frame, assert_lost,
    cancelling::{assert_cut_off, send_until_stalled},
    next, send,
};
use crate::{
    endpoint::Endpoint,
    test_context::{LONGER, PATIENCE, STALL, TestContext, after, soon, together},
};

/// Promise 6: many frames, then the end, with and without unread frames at the end that closes.
pub fn close_implies_flush(context: &TestContext) {
    const FRAMES: usize = 200;
    for unread in [0, 3] {
        for (mut closer, mut reader) in context.pairs() {
            (0..unread).for_each(|i| send(&mut reader, i, 1000).expect("sends"));
            let (done, is_done) = mpsc::channel::<()>();
            let finish = move || {
                let _done = done;
                (0..FRAMES).for_each(|i| send(&mut closer, i, i * 100).expect("sends"));
                closer.close(soon()).expect("closes");
            };
            let receive_all = || {
                // By now the peer has closed and is gone, or waits for this end to read.
                let _ = is_done.recv_timeout(STALL);
                (0..FRAMES).for_each(|i| assert_frame(&next(&mut reader), i, i * 100));
                assert!(reader.recv(soon()).expect("receives").is_none(), "a clean end");
                drop(reader);
            };
            together(finish, receive_all);
        }
    }
}

/// Promise 7: the same end of a conversation, with and without a goodbye. Either result lasts.
pub fn a_clean_close_reads_none_and_a_crash_reads_an_error(context: &TestContext) {
    for (mut closer, mut reader) in context.pairs() {
        exchange_one(&mut closer, &mut reader);
        let close = || {
            closer.close(soon()).expect("closes");
            assert_failed(closer.send(b"too late", b"", after(STALL)));
        };
        let receive = || {
            assert!(reader.recv(soon()).expect("receives").is_none(), "a clean end");
            assert!(reader.recv(soon()).expect("receives").is_none(), "a clean end stays one");
            drop(reader);
        };
        together(close, receive);
    }
    for (mut closer, mut reader) in context.pairs() {
        send(&mut closer, 2, 1000).expect("sends");
        closer.close(soon()).expect("closes");
        drop(closer);
        // A transport needs a moment to learn that the peer does not read any more.
        while send(&mut reader, 1, 10).is_ok() {
            thread::sleep(STALL / 10);
        }
        assert_frame(&next(&mut reader), 2, 1000);
        assert!(reader.recv(soon()).expect("receives").is_none(), "a clean end");
    }
    for (mut crasher, mut reader) in context.pairs() {
        exchange_one(&mut crasher, &mut reader);
        drop(crasher);
        assert_lost(reader.recv(soon()));
        assert_lost(reader.recv(soon()));
    }
    for (crasher, mut reader) in context.pairs() {
        drop(crasher);
        assert_lost(reader.recv(soon()));
    }
}

/// Promise 8: one end waits as long as it takes while the other disappears, at once and after a while.
pub fn a_dead_peer_is_noticed(context: &TestContext) {
    for pause in [Duration::ZERO, STALL] {
        for (mut waiting, mut dying) in context.pairs() {
            exchange_one(&mut dying, &mut waiting);
            let (noticed, is_noticed) = mpsc::channel();
            // On a thread that is not joined: if the promise is broken, the thread waits for ever.
            thread::spawn(move || noticed.send(waiting.recv(None)));
            // Nothing reports when the other thread waits; whenever it does, it must notice.
            assert!(is_noticed.recv_timeout(pause).is_err(), "the peer is alive");
            drop(dying);
            match is_noticed.recv_timeout(PATIENCE) {
                Ok(result) => assert_lost(result),
                Err(_) => panic!("a dead peer was not noticed in {PATIENCE:?}"),
            }
        }
    }
}

/// Promise 12: idle, with frames under way in both directions, under a waiting writer, and before it was opened.
pub fn drop_aborts(context: &TestContext) {
    for (idle, mut reader) in context.pairs() {
        drop_at_once(idle);
        assert_lost(reader.recv(soon()));
    }
    const LEN: usize = 1 << 20;
    for (mut dropped, mut reader) in context.pairs() {
        (0..3).for_each(|i| send(&mut reader, i, 1000).expect("sends"));
        let sent = send_until_stalled(&mut dropped, LEN);
        drop_at_once(dropped);
        assert_cut_off(&mut reader, sent, LEN);
    }
    for (mut writer, dropped) in context.pairs() {
        let (progress, moves) = mpsc::channel();
        let write = move || loop {
            match writer.send(&[7; LEN], &[], None) {
                Ok(()) => progress.send(()).expect("the watcher lives longer"),
                error => return assert_lost(error),
            }
        };
        let watch = || {
            while moves.recv_timeout(STALL).is_ok() {}
            drop_at_once(dropped);
            moves // the writer may get to report one more
        };
        together(write, watch);
    }
    let mut listening = context.listen(&context.fresh_address()).expect("listens");
    let address = listening.address().clone();
    let (mut dialer, unopened) = context.meet(&mut listening, |context| context.dial(&address));
    drop(unopened);
    assert_lost(dialer.recv(soon()));
}

/// Promise 13: one end waits and the other does not even wait, for longer than the detection of a dead peer takes.
pub fn silence_is_not_death(context: &TestContext) {
    let talk = |(mut waiting, mut silent): (Endpoint, Endpoint)| {
        let break_silence = || {
            thread::sleep(LONGER);
            send(&mut silent, 1, 100).expect("the connection stays");
        };
        together(break_silence, || assert_frame(&next(&mut waiting), 1, 100));
        exchange_one(&mut waiting, &mut silent);
    };
    let [one, other] = context.pairs();
    together(|| talk(one), || talk(other));
}

fn exchange_one(from: &mut Endpoint, to: &mut Endpoint) {
    send(from, 1, 100).expect("sends");
    assert_frame(&next(to), 1, 100);
}

fn drop_at_once(end: Endpoint) {
    let start = Instant::now();
    drop(end);
    let time = start.elapsed();
    assert!(time < Duration::from_secs(5), "to drop a channel took {time:?}; it waits for something");
}
