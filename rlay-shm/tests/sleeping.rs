//! A side that sleeps, on the futex and then on the socket: what ends its sleep, and what does not.
#![cfg(target_os = "linux")]

use std::{
    io::Write,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixStream},
    },
    thread,
    time::{Duration, Instant},
};

use rlay_core::{
    Address, BlockingChannel, BlockingListener, CancelToken, ErrorKind, Transport, TransportOptions, net::own_uid,
};
use rlay_shm::Shm;

/// Within the first tick of a wait, when the waiting side sleeps on the futex.
const EARLY: Duration = Duration::from_millis(20);
/// When the waiting side sleeps on the socket.
const LATE: Duration = Duration::from_millis(400);
/// Ten times what is promised, and more.
const SOON: Duration = Duration::from_secs(10);

fn listen(name: &str) -> (Box<dyn BlockingListener>, Address, String) {
    let name = format!("sleeping-{name}-{}", std::process::id());
    let address: Address = format!("shm://{name}").parse().unwrap();
    let listener = Shm.listen_blocking(&address, &TransportOptions::default()).unwrap();
    (listener, address, name)
}

/// A channel, and the bare socket of a peer that never touches the memory.
fn with_bare_peer(name: &str) -> (Box<dyn BlockingChannel>, UnixStream) {
    let (mut listener, _, name) = listen(name);
    let to = SocketAddr::from_abstract_name(format!("rlay-shm-{}-{name}", own_uid())).unwrap();
    let peer = UnixStream::connect_addr(&to).unwrap();
    (listener.accept(None).unwrap().open_blocking().unwrap(), peer)
}

/// A peer that is killed closes its socket and stores nothing in the memory.
#[test]
fn a_death_is_noticed_by_a_side_that_sleeps() {
    for (name, pause) in [("early", EARLY), ("late", LATE)] {
        let (mut channel, peer) = with_bare_peer(name);
        thread::spawn(move || {
            thread::sleep(pause);
            drop(peer);
        });
        let error = channel.recv(Some(Instant::now() + SOON)).expect_err("the peer is gone");
        assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
        assert!(error.to_string().contains("was killed or crashed"), "{error}");
    }
}

/// The same for a side that waits for room.
#[test]
fn a_death_is_noticed_by_a_writer_that_sleeps() {
    for (name, pause) in [("early-writer", EARLY), ("late-writer", LATE)] {
        let (mut channel, peer) = with_bare_peer(name);
        thread::spawn(move || {
            thread::sleep(pause);
            drop(peer);
        });
        let error = channel.send(&[1; 20 << 20], &[], Some(Instant::now() + SOON)).expect_err("the peer is gone");
        assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    }
}

#[test]
fn a_stop_ends_a_sleep() {
    for (name, pause) in [("stop", EARLY), ("late-stop", LATE)] {
        let (mut channel, peer) = with_bare_peer(name);
        let stop = CancelToken::default();
        assert!(channel.set_cancel_token(Some(&stop)));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(pause);
                stop.cancel();
            });
            let end = Instant::now() + SOON;
            let error = channel.recv(Some(end)).expect_err("nothing was sent");
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            assert!(Instant::now() < end, "the stop did not reach it");
        });
        drop(peer);
    }
}

#[test]
fn a_deadline_ends_a_sleep() {
    let (mut channel, _peer) = with_bare_peer("deadline");
    for wait in [Duration::ZERO, EARLY, LATE] {
        let begun = Instant::now();
        let error = channel.recv(Some(begun + wait)).expect_err("nothing was sent");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!((wait..wait + SOON).contains(&begun.elapsed()), "{:?} instead of {wait:?}", begun.elapsed());
    }
}

/// A byte on the socket means only that the ring is to be checked.
#[test]
fn wake_ups_without_end_keep_no_call_from_its_deadline() {
    let (mut channel, mut peer) = with_bare_peer("storm");
    let storming = thread::spawn(move || while peer.write_all(&[1; 4096]).is_ok() {});
    for wait in [EARLY, LATE] {
        let end = Instant::now() + wait;
        let error = channel.recv(Some(end)).expect_err("nothing was sent");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(Instant::now() < end + SOON);
    }
    drop(channel);
    storming.join().unwrap();
}

/// A frame that arrives during either sleep ends it, and so does the end.
#[test]
fn a_frame_ends_a_sleep() {
    let (mut listener, address, _) = listen("frame");
    let dialing = thread::spawn(move || Shm.connect_blocking(&address, &TransportOptions::default(), None).unwrap());
    let mut here = listener.accept(None).unwrap().open_blocking().unwrap();
    let mut there = dialing.join().unwrap();
    let sending = thread::spawn(move || {
        for pause in [EARLY, LATE, EARLY, EARLY] {
            thread::sleep(pause);
            there.send(b"good ", b"morning", None).unwrap();
        }
        thread::sleep(EARLY);
        there.close(None).unwrap();
    });
    let end = Some(Instant::now() + SOON);
    for _ in 0..4 {
        assert_eq!(&here.recv(end).unwrap().unwrap()[..], b"good morning");
    }
    assert!(here.recv(end).unwrap().is_none());
    sending.join().unwrap();
}
