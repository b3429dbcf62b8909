//! Pipe: both directions of a connection, without the socket.

use std::{
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, SeqCst},
    },
    time::Duration,
};

use rlay_core::{Error, Result};
use rustix::thread::{Timespec, futex};

use crate::region::{RING, Region, Side};

/// The bytes that are copied before the other side is told, so that both copy at the same time.
const PIECE: usize = RING / 64;
/// Once so much of the ring is used, a frame begins at the ring's start again if it can. Small frames then stay in a
/// core's cache, and the peer's read position is rarely loaded.
const REWIND: u64 = 64 << 10;

/// The need for which a side sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Bytes to read.
    Data = 1,
    /// Room to write.
    Room = 2,
}

/// The call in which a side sleeps, and so the way in which it is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// A read of the socket.
    Socket = 0,
    /// A futex wait.
    Futex = 4,
}

/// The sleep word of a side with this need and this sleep.
fn sleep_word(need: Need, sleep: Sleep) -> u32 {
    need as u32 | sleep as u32
}

/// Ends a futex wait of another process, if there is one.
fn wake_futex(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}

/// One side's view. Its own positions are trusted; the peer's are checked at every load.
#[derive(Debug)]
pub(crate) struct Pipe {
    region: Region,
    side: Side,
    written: u64,
    start: u64,
    read: u64,
    /// The peer's positions at the last load.
    peer_written: u64,
    peer_start: u64,
    peer_read: u64,
}

impl Pipe {
    pub(crate) fn new(region: Region, side: Side) -> Self {
        Self { region, side, written: 0, start: 0, read: 0, peer_written: 0, peer_start: 0, peer_read: 0 }
    }

    fn violation() -> Error {
        Error::protocol("the peer moved its positions in the shared memory to where they cannot be")
    }

    fn room(&mut self) -> Result<usize> {
        let peer_read = self.region.words(self.side.other()).read.load(SeqCst);
        // The position can only have moved forwards, and not past what was written.
        if self.written.wrapping_sub(peer_read) > self.written.wrapping_sub(self.peer_read) {
            return Err(Self::violation());
        }
        self.peer_read = peer_read;
        Ok(RING - (self.written - peer_read) as usize)
    }

    fn available(&mut self) -> Result<usize> {
        let words = self.region.words(self.side.other());
        let (peer_written, peer_start) = (words.written.load(SeqCst), words.start.load(Relaxed));
        let available = peer_written.wrapping_sub(self.read);
        if available > RING as u64 || available < self.peer_written.wrapping_sub(self.read) {
            return Err(Self::violation());
        }
        // The position moves only to where nothing is unread.
        if peer_start != self.peer_start && peer_start != self.read {
            return Err(Self::violation());
        }
        (self.peer_written, self.peer_start) = (peer_written, peer_start);
        Ok(available as usize)
    }

    /// Call at a frame's beginning: makes the frame start at the ring's start, if much is used and all was read.
    fn rewind(&mut self) -> Result<()> {
        if self.written - self.start >= REWIND && self.room()? == RING {
            self.start = self.written;
            // Published by `written`, which follows.
            self.region.words(self.side).start.store(self.start, Relaxed);
        }
        Ok(())
    }

    /// Writes what fits of `parts`, a frame of which `sent` bytes were written before. Whether all are written.
    pub(crate) fn put(&mut self, parts: &[&[u8]], sent: &mut usize, mut tell: impl FnMut(&Self)) -> Result<bool> {
        if *sent == 0 {
            self.rewind()?;
        }
        let mut skip = *sent;
        let mut told = self.written;
        for part in parts {
            let from = skip.min(part.len());
            skip -= from;
            let mut rest = &part[from..];
            while !rest.is_empty() {
                let mut room = RING - (self.written - self.peer_read) as usize;
                if room < rest.len() {
                    room = self.room()?;
                }
                let n = rest.len().min(room).min(PIECE);
                if n == 0 {
                    self.publish(&mut told, &mut tell);
                    return Ok(false);
                }
                self.region.copy_in(self.side, self.written - self.start, &rest[..n]);
                self.written += n as u64;
                *sent += n;
                rest = &rest[n..];
                if self.written - told >= PIECE as u64 {
                    self.publish(&mut told, &mut tell);
                }
            }
        }
        self.publish(&mut told, &mut tell);
        Ok(true)
    }

    fn publish(&self, told: &mut u64, tell: &mut impl FnMut(&Self)) {
        if *told != self.written {
            *told = self.written;
            self.region.words(self.side).written.store(self.written, SeqCst);
            tell(self);
        }
    }

    /// Reads the available bytes, up to the length of `space`; how many.
    pub(crate) fn get(&mut self, space: &mut [u8]) -> Result<usize> {
        let n = self.available()?.min(space.len()).min(PIECE);
        if n > 0 {
            self.region.copy_out(self.side.other(), self.read.wrapping_sub(self.peer_start), &mut space[..n]);
            self.read += n as u64;
            self.region.words(self.side).read.store(self.read, SeqCst);
        }
        Ok(n)
    }

    /// Whether the need is met.
    pub(crate) fn has(&mut self, need: Need) -> Result<bool> {
        Ok(match need {
            Need::Data => self.available()? > 0,
            Need::Room => self.room()? > 0,
        })
    }

    /// Announces that this side is going to sleep; then it must re-check the ring. This store and that load, and the
    /// store of a position and the load in [`wake_peer`](Self::wake_peer), are sequentially consistent: either this
    /// side sees what the peer has published, or the peer sees this side asleep.
    pub(crate) fn set_asleep(&self, need: Need, sleep: Sleep) {
        self.region.words(self.side).sleep.store(sleep_word(need, sleep), SeqCst);
    }

    /// Sleeps on the futex until the peer wakes this side, for `limit` at most. Call after
    /// [`set_asleep`](Self::set_asleep), and re-check the ring after it: any return may be spurious.
    pub(crate) fn sleep_on_futex(&self, need: Need, limit: Duration) {
        let Ok(limit) = Timespec::try_from(limit) else { return };
        let word = self.region.words(self.side).sleep;
        let _ = futex::wait(word, futex::Flags::empty(), sleep_word(need, Sleep::Futex), Some(&limit));
    }

    /// Announces that this side is awake.
    pub(crate) fn set_awake(&self) {
        self.region.words(self.side).sleep.store(0, Relaxed);
    }

    /// Whether half of the peer's ring is free, by the last known position.
    pub(crate) fn is_half_free(&self) -> bool {
        self.peer_written - self.read <= RING as u64 / 2
    }

    /// Wakes the peer if it sleeps for this need. `Some(Sleep::Socket)` leaves the write to the socket to the caller.
    pub(crate) fn wake_peer(&self, need: Need) -> Option<Sleep> {
        let word = self.region.words(self.side.other()).sleep;
        let seen = word.load(SeqCst);
        let sleep = [Sleep::Socket, Sleep::Futex].into_iter().find(|sleep| sleep_word(need, *sleep) == seen)?;
        // If the peer has stored the word anew, the peer re-checks the ring after that, and sees what was published.
        word.compare_exchange(seen, 0, SeqCst, Relaxed).ok()?;
        if sleep == Sleep::Futex {
            wake_futex(word);
        }
        Some(sleep)
    }

    /// Announces that this side has closed or dropped its channel, and ends a futex wait of the peer.
    pub(crate) fn close(&self) {
        self.region.words(self.side).closed.store(1, SeqCst);
        let word = self.region.words(self.side.other()).sleep;
        word.store(0, SeqCst);
        wake_futex(word);
    }

    /// Whether the peer has closed or dropped its channel.
    pub(crate) fn is_closed(&self) -> bool {
        self.region.words(self.side.other()).closed.load(Acquire) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Pipe, Pipe) {
        let (region, memory) = Region::create().unwrap();
        (Pipe::new(region, Side::Listener), Pipe::new(Region::open(memory).unwrap(), Side::Dialer))
    }

    /// Sends a frame through the ring, in as many pieces as it takes.
    fn pass(from: &mut Pipe, to: &mut Pipe, frame: &[u8]) {
        let (mut sent, mut got) = (0, vec![]);
        let mut space = vec![0; 3 << 20];
        while got.len() < frame.len() {
            let (first, second) = frame.split_at(frame.len().min(10));
            from.put(&[first, second], &mut sent, |_| ()).unwrap();
            let n = to.get(&mut space).unwrap();
            got.extend_from_slice(&space[..n]);
        }
        assert!(got == frame, "{} bytes", frame.len());
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn bytes_pass_in_pieces_around_the_ring() {
        let (mut a, mut b) = pair();
        pass(&mut a, &mut b, &pattern(3 * RING + 77));
        assert!(!b.has(Need::Data).unwrap() && b.has(Need::Room).unwrap());
    }

    #[test]
    fn a_frame_begins_at_the_start_once_much_is_used_and_all_was_read() {
        let (mut a, mut b) = pair();
        // Frames of lengths that have no divisor in common with the threshold end at every kind of offset.
        for len in [1, 63, 4097, 28 << 10, (REWIND - 1) as usize, REWIND as usize, (1 << 20) + 1, RING - 1, RING] {
            let frame = pattern(len);
            for _ in 0..20 {
                let before = a.written - a.start;
                pass(&mut a, &mut b, &frame);
                let expected = if before < REWIND { before } else { 0 } + len as u64;
                assert_eq!(a.written - a.start, expected, "{len} bytes after {before}");
                assert_eq!(b.peer_start, a.start);
            }
        }
    }

    #[test]
    fn a_frame_that_follows_unread_bytes_begins_behind_them() {
        let (mut a, mut b) = pair();
        let (first, second) = (pattern(3 * REWIND as usize), vec![7; 1000]);
        a.put(&[&first], &mut 0, |_| ()).unwrap();
        let mut space = vec![0; first.len() + second.len()];
        assert_eq!(b.get(&mut space[..100]).unwrap(), 100);
        a.put(&[&second], &mut 0, |_| ()).unwrap();
        assert_eq!(a.start, 0, "the peer has not read all");
        let mut got = 100;
        while got < space.len() {
            got += b.get(&mut space[got..]).unwrap();
        }
        assert!(space == [first, second].concat());
    }

    #[test]
    fn memory_is_there_once_it_is_used() {
        let (region, memory) = Region::create().unwrap();
        let used = || rustix::fs::fstat(&memory).unwrap().st_blocks as usize * 512;
        let mut a = Pipe::new(region, Side::Listener);
        let mut b = Pipe::new(Region::open(memory.try_clone().unwrap()).unwrap(), Side::Dialer);
        let small = pattern(28 << 10);
        for _ in 0..1000 {
            pass(&mut a, &mut b, &small);
        }
        let little = REWIND as usize + 2 * small.len();
        assert!(used() < little, "{} bytes for small frames", used());
        let large = pattern(6 << 20);
        for _ in 0..10 {
            pass(&mut a, &mut b, &large);
        }
        assert!((large.len()..large.len() + little).contains(&used()), "{} bytes for large ones", used());
    }

    #[test]
    fn a_position_that_lies_is_a_violation() {
        for far in [1, RING as u64 + 1, u64::MAX] {
            let (mut a, b) = pair();
            b.region.words(Side::Dialer).read.store(far, SeqCst);
            assert!(a.has(Need::Room).is_err(), "it has read {far} bytes that were never written");
        }
        for far in [RING as u64 + 1, u64::MAX] {
            let (mut a, b) = pair();
            b.region.words(Side::Dialer).written.store(far, SeqCst);
            assert!(a.get(&mut [0; 8]).is_err(), "it has written {far} bytes at once");
        }
        let (mut a, mut b) = pair();
        b.put(&[&[7; 10]], &mut 0, |_| ()).unwrap();
        assert!(a.has(Need::Data).unwrap());
        b.region.words(Side::Dialer).written.store(3, SeqCst);
        assert!(a.has(Need::Data).is_err(), "it takes back what it wrote");
    }

    #[test]
    fn a_jump_that_lies_is_a_violation() {
        // All is read up to byte 10; then five more are written.
        for (start, is_true) in
            [(0, true), (10, true), (1, false), (9, false), (11, false), (15, false), (u64::MAX, false)]
        {
            let (mut a, mut b) = pair();
            pass(&mut b, &mut a, &[7; 10]);
            b.put(&[&[8; 5]], &mut 0, |_| ()).unwrap();
            b.region.words(Side::Dialer).start.store(start, SeqCst);
            assert_eq!(a.get(&mut [0; 8]).is_ok(), is_true, "the ring is said to start with byte {start}");
        }
        let (mut a, mut b) = pair();
        b.put(&[&[8; 5]], &mut 0, |_| ()).unwrap();
        assert_eq!(a.get(&mut [0; 3]).unwrap(), 3);
        b.region.words(Side::Dialer).start.store(5, SeqCst);
        assert!(a.has(Need::Data).is_err(), "it jumps over bytes that were not read");
    }

    #[test]
    fn a_jump_back_and_forth_stays_within_the_ring() {
        let (mut a, mut b) = pair();
        pass(&mut b, &mut a, &pattern(RING - 3));
        // The next byte to read is a valid one at first, although the ring does not hold what the peer wrote last.
        let at = b.written;
        b.region.words(Side::Dialer).start.store(at, SeqCst);
        b.region.words(Side::Dialer).written.store(at + RING as u64, SeqCst);
        let mut space = vec![0; RING];
        let mut got = 0;
        while got < RING {
            got += a.get(&mut space[got..]).unwrap();
        }
        assert!(space[..RING - 3] == pattern(RING - 3));
    }

    #[test]
    fn a_sleeper_is_woken_once_and_for_what_it_needs() {
        let (a, b) = pair();
        for sleep in [Sleep::Socket, Sleep::Futex] {
            a.set_asleep(Need::Data, sleep);
            assert_eq!(b.wake_peer(Need::Room), None);
            assert_eq!(b.wake_peer(Need::Data), Some(sleep));
            assert_eq!(b.wake_peer(Need::Data), None);
        }
        for strange in [3, 4, 7, 8, u32::MAX] {
            a.region.words(Side::Listener).sleep.store(strange, SeqCst);
            assert_eq!(b.wake_peer(Need::Data), None);
            assert_eq!(b.wake_peer(Need::Room), None);
        }
    }

    #[test]
    fn a_futex_wait_ends_when_the_peer_writes_or_closes() {
        /// So long that a wait that nothing ends fails the test.
        const LONG: Duration = Duration::from_secs(30);
        for end in [
            |b: &mut Pipe| assert!(b.put(&[&[1]], &mut 0, |b| assert!(b.wake_peer(Need::Data).is_some())).unwrap()),
            |b: &mut Pipe| b.close(),
        ] {
            let (a, mut b) = pair();
            a.set_asleep(Need::Data, Sleep::Futex);
            let start = std::time::Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| a.sleep_on_futex(Need::Data, LONG));
                end(&mut b);
            });
            assert!(start.elapsed() < LONG, "it was not woken");
        }
    }
}
