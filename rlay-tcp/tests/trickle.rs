//! A peer that reads a little now and then: it neither outlasts a deadline nor keeps the sender from other checks.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use rlay_core::{Address, BlockingChannel, Error, ErrorKind, Transport, TransportOptions};
use rlay_tcp::Tcp;

/// What the peer would need minutes to read.
const LARGE: usize = 48 << 20;
/// Ten times what is promised.
const SOON: Duration = Duration::from_secs(10);

fn dial() -> (Box<dyn BlockingChannel>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: Address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let channel = Tcp.connect_blocking(&address, &TransportOptions::default(), None).unwrap();
    (channel, listener.accept().unwrap().0)
}

/// Calls `send` while the peer reads a little every few milliseconds.
fn to_a_trickle(send: impl FnOnce(&mut dyn BlockingChannel)) {
    let (mut channel, mut peer) = dial();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = vec![0; 256 << 10];
            while !is_over.load(SeqCst) && peer.read(&mut bytes).is_ok_and(|n| n > 0) {
                thread::sleep(Duration::from_millis(30));
            }
        });
        let start = Instant::now();
        send(channel.as_mut());
        is_over.store(true, SeqCst);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        drop(channel);
    });
}

#[test]
fn a_deadline() {
    to_a_trickle(|channel| {
        let deadline = Some(Instant::now() + Duration::from_millis(500));
        let error = channel.send(&vec![7; LARGE], &[], deadline).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(channel.send(b"more", &[], None).unwrap_err().kind(), ErrorKind::ConnectionLost, "it is broken");
    });
}

#[test]
fn a_look() {
    to_a_trickle(|channel| {
        let mut looks = 0;
        let mut look = || {
            looks += 1;
            if looks < 3 { Ok(()) } else { Err(Error::new(ErrorKind::Closed, "seen enough")) }
        };
        let error = channel.send_while(&vec![7; LARGE], &[], None, &mut look).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert_eq!(channel.send(b"more", &[], None).unwrap_err().kind(), ErrorKind::ConnectionLost, "it is broken");
    });
}
