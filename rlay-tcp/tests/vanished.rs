//! A peer on a machine that has vanished: it acknowledges nothing, and nothing reports that it vanished.
#![cfg(target_os = "linux")]

use std::{
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use rlay_core::{Address, BlockingChannel, Error, ErrorKind, Transport, TransportOptions};
use rlay_tcp::Tcp;
use socket2::{SockFilter, SockRef};

const LIVENESS: Duration = Duration::from_secs(1);
/// Ten times the slack; the kernel alone would take a quarter of an hour.
const PATIENCE: Duration = Duration::from_secs(30);

fn listener() -> (TcpListener, Address, TransportOptions) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, address, TransportOptions { liveness: LIVENESS, ..TransportOptions::default() })
}

/// From now on no segment reaches `peer`, as if its cable were pulled; the kernel acknowledges nothing for it.
fn vanish(listener: &TcpListener) -> TcpStream {
    let (peer, _) = listener.accept().unwrap();
    let drop_all = SockFilter::new(0x06, 0, 0, 0); // "return 0 bytes"
    SockRef::from(&peer).attach_filter(&[drop_all]).unwrap();
    peer
}

fn assert_noticed(result: Result<(), Error>, started: Instant) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    let time = started.elapsed();
    assert!(time >= LIVENESS / 2 && time < PATIENCE, "{error} after {time:?}");
}

fn blocking() -> (TcpStream, Box<dyn BlockingChannel>) {
    let (listener, address, options) = listener();
    let channel = Tcp.connect_blocking(&address, &options, None).unwrap();
    (vanish(&listener), channel)
}

#[test]
fn is_noticed_while_an_answer_is_awaited() {
    let (_peer, mut channel) = blocking();
    channel.send(b"question", b"", None).unwrap();
    let started = Instant::now();
    let deadline = Some(started + PATIENCE * 2);
    assert_noticed(channel.recv(deadline).map(|_| ()), started);
}

#[test]
fn is_noticed_in_many_short_waits() {
    let (_peer, mut channel) = blocking();
    channel.send(b"question", b"", None).unwrap();
    let started = Instant::now();
    loop {
        match channel.recv(Some(Instant::now() + Duration::from_millis(20))) {
            Err(error) if error.kind() == ErrorKind::Timeout => assert!(started.elapsed() < PATIENCE),
            result => return assert_noticed(result.map(|_| ()), started),
        }
    }
}

#[test]
fn is_noticed_while_nothing_is_under_way() {
    let (_peer, mut channel) = blocking();
    let started = Instant::now();
    assert_noticed(channel.recv(Some(started + PATIENCE * 2)).map(|_| ()), started);
}

#[test]
fn is_noticed_by_a_writer() {
    let (_peer, mut channel) = blocking();
    let started = Instant::now();
    let result = (0..).try_for_each(|_| channel.send(&[0; 1 << 20], &[], Some(started + PATIENCE * 2)));
    assert_noticed(result, started);
}

#[tokio::test]
async fn is_noticed_inside_tokio() {
    let (listener, address, options) = listener();
    let mut channel = Tcp.connect(&address, &options).await.unwrap();
    let _peer = vanish(&listener);
    channel.send(b"question", b"").await.unwrap();
    let started = Instant::now();
    let result = tokio::time::timeout(PATIENCE * 2, channel.recv()).await.expect("it is noticed");
    assert_noticed(result.map(|_| ()), started);
}
