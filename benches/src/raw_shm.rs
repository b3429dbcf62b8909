//! The raw ping-pong over shared memory: copy in, a number, copy out. It spins for 5 µs where that pays, then a futex.
#![allow(unsafe_code)] // shared memory; every block says why it is sound

use std::{
    fs::{File, OpenOptions},
    hint::spin_loop,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::{Duration, Instant},
};

use memmap2::{MmapOptions, MmapRaw};
use rustix::thread::futex;

use crate::{
    frames::lengths,
    party::{obey, say},
};

const SPIN: Duration = Duration::from_micros(5);
/// Where the two messages start; their numbers and sleepers lie before, a cache line each.
const DATA: usize = 4096;

struct Shared(MmapRaw, usize);

impl Shared {
    fn new(file: &File, observation: usize) -> Self {
        let (step, result) = lengths(observation);
        file.set_len((DATA + step + result) as u64).expect("room in shared memory");
        Self(MmapOptions::new().map_raw(file).expect("a mapping"), step)
    }

    fn word(&self, line: usize) -> &AtomicU32 {
        // SAFETY: within the first page of the mapping, aligned, and accessed as an atomic only.
        unsafe { AtomicU32::from_ptr(self.0.as_mut_ptr().wrapping_add(64 * line).cast()) }
    }

    fn at(&self, direction: usize) -> *mut u8 {
        self.0.as_mut_ptr().wrapping_add(DATA + direction * self.1)
    }

    fn send(&self, direction: usize, message: &[u8]) {
        // SAFETY: the message's place in the mapping has its length; the numbers say which side may access it.
        unsafe { std::ptr::copy_nonoverlapping(message.as_ptr(), self.at(direction), message.len()) };
        self.word(direction).fetch_add(1, SeqCst);
        if self.word(2 + direction).swap(0, SeqCst) != 0 {
            let _ = futex::wake(self.word(direction), futex::Flags::empty(), 1);
        }
    }

    fn receive(&self, direction: usize, seen: &mut u32, message: &mut [u8], spins: &mut bool) {
        let start = Instant::now();
        while *spins && self.word(direction).load(SeqCst) == *seen && start.elapsed() < SPIN {
            (0..16).for_each(|_| spin_loop());
        }
        // As RLay does, it leaves off where spinning does not pay.
        *spins = self.word(direction).load(SeqCst) != *seen || seen.is_multiple_of(256);
        while self.word(direction).load(SeqCst) == *seen {
            self.word(2 + direction).store(1, SeqCst);
            let _ = futex::wait(self.word(direction), futex::Flags::empty(), *seen, None);
        }
        *seen = seen.wrapping_add(1);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(self.at(direction), message.as_mut_ptr(), message.len()) };
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from("/dev/shm").join(name)
}

/// The env's side.
pub(crate) fn serve(address: &str, observation: usize) {
    let name = address.strip_prefix("shm://").expect("shm");
    let open = OpenOptions::new().read(true).write(true).create_new(true).open(file(name));
    let shared = Shared::new(&open.expect("a new file"), observation);
    let (step, result) = lengths(observation);
    say(address);
    let (mut request, response) = (vec![0; step], vec![7; result]);
    let (mut seen, mut spins) = (0, true);
    loop {
        shared.receive(0, &mut seen, &mut request, &mut spins);
        shared.send(1, &response);
    }
}

/// The agent's side.
pub(crate) fn ping(address: &str, observation: usize) {
    let name = address.strip_prefix("shm://").expect("shm");
    let open = OpenOptions::new().read(true).write(true).open(file(name)).expect("the env made it");
    let shared = Shared::new(&open, observation);
    std::fs::remove_file(file(name)).expect("nobody else needs its name");
    let (step, result) = lengths(observation);
    let (request, mut response) = (vec![0; step], vec![0; result]);
    let (mut seen, mut spins) = (0, true);
    obey(|n| {
        for _ in 0..n {
            shared.send(0, &request);
            shared.receive(1, &mut seen, &mut response, &mut spins);
        }
    });
}
