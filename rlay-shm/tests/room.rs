//! A writer that sleeps for room learns of it, even if the reader then does something else first.
#![cfg(target_os = "linux")]

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rlay_core::{Transport, TransportOptions};
use rlay_shm::Shm;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_writer_is_woken_though_the_reader_stops_amid_the_ring() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let options = TransportOptions::default();
        let address = format!("shm://room-{}", std::process::id()).parse().unwrap();
        let mut listener = Shm.listen_blocking(&address, &options).unwrap();
        let dialing = thread::spawn(move || Shm.connect_blocking(&address, &options, None).unwrap());
        let mut writer = listener.accept(None).unwrap().open_blocking().unwrap();
        let mut reader = dialing.join().unwrap();
        // The ring holds 256 KiB: the second frame fits once the first is gone, but then most of it is full.
        let writing = thread::spawn(move || {
            writer.send(&[1; 100 << 10], &[], None).unwrap();
            writer.send(&[2; 200 << 10], &[], None).unwrap();
            writer.recv(None).unwrap().unwrap().len()
        });
        // Longer than the writer sleeps with an eye on the clock.
        thread::sleep(Duration::from_millis(500));
        assert_eq!(reader.recv(None).unwrap().unwrap().len(), 100 << 10);
        reader.send(&[3; 300 << 10], &[], Some(Instant::now() + PATIENCE)).unwrap();
        assert_eq!(reader.recv(None).unwrap().unwrap().len(), 200 << 10);
        done.send(writing.join().unwrap()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(300 << 10));
}
