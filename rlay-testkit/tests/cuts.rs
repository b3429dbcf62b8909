//! `faulty://` does what its options say: cut after every byte of a short exchange, chopped, delayed.

use std::time::{Duration, Instant};

use rlay_core::{BlockingChannel, ErrorKind, Result, Transport, TransportOptions};
use rlay_testkit::Faulty;

type Endpoint = Box<dyn BlockingChannel>;

fn pair(name: &str, faults: &str) -> (Endpoint, Endpoint) {
    let options = TransportOptions::default();
    let address = format!("faulty://{name}?{faults}").parse().unwrap();
    let mut listener = Faulty.listen_blocking(&address, &options).unwrap();
    let dialer = Faulty.connect_blocking(listener.address(), &options, soon()).unwrap();
    (dialer, listener.accept(soon()).unwrap().open_blocking().unwrap())
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

fn is_lost<T>(result: Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::ConnectionLost)
}

/// The frames that one end sends before it closes, and how many bytes these are up to the end of each part.
const FRAMES: [&[u8]; 3] = [b"observe", b"", b"act"];
const ENDS: [u64; 3] = [11, 15, 22];
const TOTAL: u64 = 26;

/// Has `from` send everything and checks what arrives if the connection breaks after `k` of its bytes.
fn check(mut from: Endpoint, mut to: Endpoint, k: u64, reset: bool) {
    let mut before = 0;
    for (frame, end) in FRAMES.iter().zip(ENDS) {
        let result = from.send(frame, b"", soon());
        if before < k {
            result.unwrap(); // also if the cut is in the middle
        } else {
            assert!(is_lost(result), "a send after the cut at {k}");
        }
        before = end;
    }
    from.close(soon()).unwrap();
    let is_cut = k <= TOTAL;
    if is_cut {
        assert!(is_lost(to.send(b"answer", b"", soon())), "the other direction is cut as well");
    }
    let arrive = if reset && is_cut { 0 } else { ENDS.iter().filter(|end| **end <= k).count() };
    for frame in &FRAMES[..arrive] {
        assert_eq!(&to.recv(soon()).unwrap().unwrap()[..], *frame, "before the cut at {k}");
    }
    if k > TOTAL || k == TOTAL && !reset {
        assert!(to.recv(soon()).unwrap().is_none(), "the goodbye arrived: {k}");
    } else {
        assert!(is_lost(to.recv(soon())), "cut at {k}");
    }
}

#[test]
fn cut_after_every_byte_of_the_dialer() {
    for k in 0..TOTAL + 2 {
        for (reset, end) in [(false, "eof"), (true, "reset")] {
            let (dialer, accepted) = pair(&format!("up-{k}-{end}"), &format!("cut_up={k}&end={end}"));
            check(dialer, accepted, k, reset);
        }
    }
}

#[test]
fn cut_after_every_byte_of_the_end_that_accepted() {
    for k in 0..TOTAL + 2 {
        for (reset, end) in [(false, "eof"), (true, "reset")] {
            let (dialer, accepted) = pair(&format!("down-{k}-{end}"), &format!("cut_down={k}&end={end}"));
            check(accepted, dialer, k, reset);
        }
    }
}

#[test]
fn an_answer_is_cut_after_the_question_arrived_whole() {
    for k in 0..14 {
        let (mut dialer, mut accepted) = pair(&format!("answer-{k}"), &format!("cut_down={k}"));
        let asked = dialer.send(b"question", b"", soon());
        if k == 0 {
            assert!(is_lost(asked));
            continue;
        }
        asked.unwrap();
        assert_eq!(&accepted.recv(soon()).unwrap().unwrap()[..], b"question");
        accepted.send(b"answer", b"", soon()).unwrap();
        if k < 10 {
            assert!(is_lost(dialer.recv(soon())), "cut at {k}");
        } else {
            assert_eq!(&dialer.recv(soon()).unwrap().unwrap()[..], b"answer");
        }
        assert_eq!(is_lost(dialer.send(b"question", b"", soon())), k <= 10, "cut at {k}");
    }
}

#[test]
fn a_chopped_stream_gives_whole_frames() {
    let (mut dialer, mut accepted) = pair("chop", "chop=1");
    dialer.send(b"head", b"body", soon()).unwrap();
    assert_eq!(&accepted.recv(soon()).unwrap().unwrap()[..], b"headbody");
}

#[test]
fn delayed_bytes_arrive_late_however_often_somebody_looks() {
    let (mut dialer, mut accepted) = pair("delay", "delay=100");
    let start = Instant::now();
    dialer.send(b"late", b"", soon()).unwrap();
    let mut looks = 0;
    let frame = loop {
        match accepted.recv(Some(Instant::now())) {
            Err(error) if error.kind() == ErrorKind::Timeout => looks += 1,
            result => break result.unwrap().unwrap(),
        }
        assert!(start.elapsed() < Duration::from_secs(10), "the frame never arrives");
    };
    assert_eq!(&frame[..], b"late");
    assert!(looks > 0 && start.elapsed() >= Duration::from_millis(100));
}

#[test]
fn unknown_faults_are_refused() {
    for faults in ["cut=3", "end=never", "chop=0", "delay=soon", "cut_up=-1"] {
        let address = format!("faulty://unknown?{faults}").parse().unwrap();
        let error = Faulty.listen_blocking(&address, &TransportOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Address, "{faults}");
    }
}
