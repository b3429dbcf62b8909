//! A process that stands still for longer than the liveness bound and is then resumed: it learns soon what happened to
//! its peer. The datagrams in its socket meanwhile make the round trip seem as long as the standstill was.

use std::{thread, time::Duration};

use rlay_core::{Address, Channel, Error, ErrorKind, Listener, Transport, TransportOptions};
use rlay_quic::Quic;
use tokio::{
    runtime::{Builder, Runtime},
    task,
    time::timeout,
};

const LIVENESS: Duration = Duration::from_secs(2);
const STANDSTILL: Duration = Duration::from_secs(8);
/// No wait takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One end: its channel, and the runtime that the channel runs on.
struct End<L> {
    runtime: Runtime,
    channel: Box<dyn Channel>,
    _listener: L,
}

impl<L> End<L> {
    fn recv(&mut self) -> Result<Vec<u8>, Error> {
        let received = self.runtime.block_on(async { timeout(PATIENCE, self.channel.recv()).await });
        received.expect("something happens").map(|frame| frame.expect("not the end").to_vec())
    }

    fn send(&mut self, frame: &[u8]) {
        self.runtime.block_on(async {
            self.channel.send(frame, &[]).await.unwrap();
            // Other tasks send the frame, and this one must not wait for the acknowledgement.
            for _ in 0..8 {
                task::yield_now().await;
            }
        });
    }
}

/// A listener's end, which stands still whenever nothing is asked of it, and a dialer's, which never does. Both are
/// connected, and the listener stands still since it sent the last frame.
fn meet() -> (End<Box<dyn Listener>>, End<()>) {
    let options = TransportOptions { liveness: LIVENESS, ..TransportOptions::default() };
    let still = Builder::new_current_thread().enable_all().build().unwrap();
    let lively = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let any = "quic://127.0.0.1:0".parse().unwrap();
    let mut listener = still.block_on(Quic.listen(&any, &options)).unwrap();
    let to: Address = listener.address().clone();
    let dialing = lively.spawn(async move {
        let mut channel = Quic.connect(&to, &options).await.unwrap();
        channel.send(b"ping", &[]).await.unwrap();
        channel
    });
    let accepted =
        still.block_on(async { timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().open().unwrap() });
    let mut still = End { runtime: still, channel: accepted, _listener: listener };
    assert_eq!(still.recv().unwrap(), b"ping");
    let channel = lively.block_on(dialing).unwrap();
    let mut lively = End { runtime: lively, channel, _listener: () };
    still.send(b"pong");
    assert_eq!(lively.recv().unwrap(), b"pong");
    (still, lively)
}

#[test]
fn it_hears_that_it_was_given_up() {
    let (mut still, mut lively) = meet();
    let error = lively.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert!(error.to_string().contains("nothing was heard for too long"), "{error}");
    thread::sleep(STANDSTILL);
    let error = still.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert!(error.to_string().contains("gave the connection up"), "{error}");
}

#[test]
fn it_misses_who_is_gone() {
    let (mut still, lively) = meet();
    thread::sleep(Duration::from_millis(100)); // for the acknowledgement
    // As if the process was killed: its end sends no goodbye.
    std::mem::forget(lively.channel);
    lively.runtime.shutdown_background();
    thread::sleep(STANDSTILL);
    let error = still.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert!(error.to_string().contains("nothing was heard for too long"), "{error}");
}
