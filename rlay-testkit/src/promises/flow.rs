//! Promise 9: a slow reader.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use super::{assert_frame, cancelling::send_until_stalled, send};
use crate::{
    endpoint::Endpoint,
    test_context::{LONGER, STALL, TestContext, soon, together},
};

/// Promise 9: the writer blocks before it has sent much, and continues from there once the reader reads, even if that
/// takes longer than the detection of a dead peer.
pub fn a_slow_reader_stops_the_writer(context: &TestContext) {
    const LEN: usize = 1 << 20;
    const MOST: usize = 256;
    for (mut writer, _reader) in context.pairs() {
        send_until_stalled(&mut writer, LEN);
    }
    let wait_and_go_on = |(mut writer, mut reader): (Endpoint, Endpoint)| {
        let enough = AtomicBool::new(false);
        let (progress, moves) = mpsc::channel();
        let write = || {
            let progress = progress; // dropped when the writer is done
            for i in (0..MOST).take_while(|_| !enough.load(Ordering::Relaxed)) {
                send(&mut writer, i, LEN).expect("sends");
                progress.send(()).expect("the reader lives longer");
            }
            writer.close(soon()).expect("closes");
        };
        let read = || {
            let mut sent = 0;
            while moves.recv_timeout(STALL).is_ok() {
                sent += 1;
            }
            enough.store(true, Ordering::Relaxed);
            assert!(sent < MOST, "nothing stops the writer");
            thread::sleep(LONGER); // busy, not dead
            let mut received = 0;
            while let Some(frame) = reader.recv(soon()).expect("receives") {
                assert_frame(&frame, received, LEN);
                received += 1;
            }
            sent += moves.iter().count();
            assert_eq!(received, sent, "frames that were sent");
            drop(reader);
        };
        together(write, read);
    };
    let [one, other] = context.pairs();
    together(|| wait_and_go_on(one), || wait_and_go_on(other));
}
