//! A writer that sleeps for room is woken, even if the reader then does something else first.
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
    // Until the writer sleeps: within its time on the futex, and beyond it.
    for pause in [Duration::from_millis(20), Duration::from_millis(500)] {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || done.send(converse(pause)).unwrap());
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(9 << 20), "a pause of {pause:?}");
    }
}

/// Has a writer sleep for `pause` before its reader reads a frame and then sends one. Returns the length of that frame.
fn converse(pause: Duration) -> usize {
    let options = TransportOptions::default();
    let address = format!("shm://room-{}", std::process::id()).parse().unwrap();
    let mut listener = Shm.listen_blocking(&address, &options).unwrap();
    let dialing = thread::spawn(move || Shm.connect_blocking(&address, &options, None).unwrap());
    let mut writer = listener.accept(None).unwrap().open_blocking().unwrap();
    let mut reader = dialing.join().unwrap();
    // The ring holds 8 MiB: the second frame fits once the first was read, but then most of the ring is full.
    let writing = thread::spawn(move || {
        writer.send(&[1; 3 << 20], &[], None).unwrap();
        writer.send(&[2; 6 << 20], &[], None).unwrap();
        writer.recv(None).unwrap().unwrap().len()
    });
    thread::sleep(pause);
    assert_eq!(reader.recv(None).unwrap().unwrap().len(), 3 << 20);
    reader.send(&[3; 9 << 20], &[], Some(Instant::now() + PATIENCE)).unwrap();
    assert_eq!(reader.recv(None).unwrap().unwrap().len(), 6 << 20);
    writing.join().unwrap()
}
