//! An address is free once its listener is gone, and the next listener keeps it.

use std::{
    env, thread,
    time::{Duration, Instant},
};

use rlay_core::{Address, Transport, TransportOptions};
use rlay_zmq::Zmq;

#[test]
fn a_listener_that_is_gone_takes_nothing_from_the_next() {
    let (path, options) =
        (env::temp_dir().join(format!("rlay-again-{}.sock", std::process::id())), TransportOptions::default());
    let address: Address = format!("zmq+ipc://{}", path.display()).parse().unwrap();
    for round in 0..30 {
        let first = Zmq.listen_blocking(&address, &options).unwrap();
        // Keeps the runtime busy, as a session of the listener does.
        let dialing = {
            let (address, options) = (address.clone(), options.clone());
            thread::spawn(move || {
                Zmq.connect_blocking(&address, &options, Some(Instant::now() + Duration::from_secs(60)))
            })
        };
        let mut first = first;
        let incoming = first.accept(Some(Instant::now() + Duration::from_secs(60))).unwrap();
        let session = incoming.open_blocking().unwrap();
        let dialed = dialing.join().unwrap().unwrap();
        drop(first);
        let second = Zmq.listen_blocking(&address, &options).unwrap();
        thread::sleep(Duration::from_millis(30));
        assert!(path.exists(), "round {round}");
        drop((second, session, dialed));
        assert!(!path.exists(), "round {round}");
    }
}
