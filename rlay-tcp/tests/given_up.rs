//! A call that is given up while the peer is told of an error: the next call fails, too, and does not wait.
#![cfg(feature = "tls")]

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
    time::Duration,
};

use rlay_core::{Address, ErrorKind, Transport, TransportOptions};
use rlay_tcp::Tcp;
use rlay_tls::TlsOptions;
use tokio::time::timeout;

/// Completes the handshake with the dialer, as far as it gets, and keeps the connection whatever arrives.
fn listen() -> (Address, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tls://{}", listener.local_addr().unwrap());
    let listening = TlsOptions::default().listen(&address.parse().unwrap()).unwrap();
    let (stop, stopped) = mpsc::channel();
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut tls = listening.session().unwrap();
        loop {
            connection.write_all(tls.outgoing()).unwrap();
            tls.sent(tls.outgoing().len());
            let n = connection.read(tls.space()).unwrap();
            tls.filled(n);
            if n == 0 || tls.open(&mut [0; 64]).is_err() {
                return stopped.recv();
            }
        }
    });
    (format!("{address}?pin=sha256:{}", "0".repeat(64)).parse().unwrap(), stop)
}

/// How many calls were given up before the channel reported the error.
async fn give_up_until_it_fails() -> usize {
    let (address, _stop) = listen();
    let mut channel = Tcp.connect(&address, &TransportOptions::default()).await.unwrap();
    // Long enough for the handshake, and shorter than telling the peer why it fails.
    let mut given_up = 0;
    let error = loop {
        match timeout(Duration::from_millis(100), channel.recv()).await {
            Ok(result) => break result.unwrap_err(),
            Err(_) => given_up += 1,
        }
        assert!(given_up < 100, "it waits for ever");
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    given_up
}

#[tokio::test]
async fn an_error_is_not_lost_with_the_call_that_was_given_up() {
    for _ in 0..10 {
        if give_up_until_it_fails().await > 0 {
            return;
        }
        // On a busy machine the call's time and the peer's may both be over at the first poll.
    }
    panic!("the peer was told at once");
}
