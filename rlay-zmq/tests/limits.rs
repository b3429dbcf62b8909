//! The rest of the third promise: frames are refused, although only once they have arrived.

use std::{
    thread,
    time::{Duration, Instant},
};

use rlay_core::{Address, ErrorKind, Transport, TransportOptions};
use rlay_zmq::Zmq;

#[test]
fn a_frame_over_the_limit_is_refused_by_sender_and_receiver() {
    let soon = || Some(Instant::now() + Duration::from_secs(10));
    let (small, large) = (TransportOptions { max_frame: 1000, ..Default::default() }, TransportOptions::default());
    let address: Address = "zmq://127.0.0.1:0".parse().unwrap();
    let mut listener = Zmq.listen_blocking(&address, &small).unwrap();
    let to = listener.address().clone();
    let dialing = thread::spawn(move || Zmq.connect_blocking(&to, &large, None).unwrap());
    let mut accepted = listener.accept(soon()).unwrap().open_blocking().unwrap();
    let mut dialer = dialing.join().unwrap();

    dialer.send(&[1; 1000], &[], soon()).unwrap();
    assert_eq!(accepted.recv(soon()).unwrap().unwrap().len(), 1000);
    assert_eq!(accepted.send(&[1; 1000], &[1], soon()).unwrap_err().kind(), ErrorKind::Protocol);
    accepted.send(&[2; 1000], &[], soon()).unwrap();
    assert_eq!(dialer.recv(soon()).unwrap().unwrap()[..], [2; 1000]);

    dialer.send(&[1; 1000], &[1], soon()).unwrap();
    for _ in 0..2 {
        assert_eq!(accepted.recv(soon()).unwrap_err().kind(), ErrorKind::Protocol);
    }
}
