//! Pipe: both directions of a connection, without waiting.

use std::sync::atomic::{
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use rlay_core::{Error, Result};

use crate::region::{RING, Region, Side};

/// So much is copied before the other side is told, so that both copy at the same time.
const PIECE: usize = RING / 4;

/// What a side sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Bytes to read.
    Data = 1,
    /// Room to write.
    Room = 2,
}

/// One side's view. Its own positions are its own; the peer's are checked at every look.
#[derive(Debug)]
pub(crate) struct Pipe {
    region: Region,
    side: Side,
    written: u64,
    read: u64,
    /// The peer's positions when they were looked at last.
    peer_written: u64,
    peer_read: u64,
}

impl Pipe {
    pub(crate) fn new(region: Region, side: Side) -> Self {
        Self { region, side, written: 0, read: 0, peer_written: 0, peer_read: 0 }
    }

    fn cheats() -> Error {
        Error::protocol("the peer moved its positions in the shared memory to where they cannot be")
    }

    fn room(&mut self) -> Result<usize> {
        let peer_read = self.region.words(self.side.other()).read.load(Acquire);
        // It can only have moved forwards, and not past what was written.
        if self.written.wrapping_sub(peer_read) > self.written.wrapping_sub(self.peer_read) {
            return Err(Self::cheats());
        }
        self.peer_read = peer_read;
        Ok(RING - (self.written - peer_read) as usize)
    }

    fn available(&mut self) -> Result<usize> {
        let peer_written = self.region.words(self.side.other()).written.load(Acquire);
        let available = peer_written.wrapping_sub(self.read);
        if available > RING as u64 || available < self.peer_written.wrapping_sub(self.read) {
            return Err(Self::cheats());
        }
        self.peer_written = peer_written;
        Ok(available as usize)
    }

    /// Writes what fits of `parts`, of which `sent` bytes went before. Whether all are written.
    pub(crate) fn put(&mut self, parts: &[&[u8]], sent: &mut usize, mut tell: impl FnMut(&Self)) -> Result<bool> {
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
                self.region.copy_in(self.side, self.written, &rest[..n]);
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
            self.region.words(self.side).written.store(self.written, Release);
            tell(self);
        }
    }

    /// Reads what is there, up to the length of `space`; how much.
    pub(crate) fn get(&mut self, space: &mut [u8]) -> Result<usize> {
        let n = self.available()?.min(space.len()).min(PIECE);
        if n > 0 {
            self.region.copy_out(self.side.other(), self.read, &mut space[..n]);
            self.read += n as u64;
            self.region.words(self.side).read.store(self.read, Release);
        }
        Ok(n)
    }

    /// Whether there is what is needed.
    pub(crate) fn has(&mut self, need: Need) -> Result<bool> {
        Ok(match need {
            Need::Data => self.available()? > 0,
            Need::Room => self.room()? > 0,
        })
    }

    /// Says that this side is going to sleep; then it must look once more.
    pub(crate) fn doze(&self, need: Need) {
        self.region.words(self.side).asleep.store(need as u32, SeqCst);
        fence(SeqCst);
    }

    /// Says that it is awake.
    pub(crate) fn wake(&self) {
        self.region.words(self.side).asleep.store(0, Relaxed);
    }

    /// Whether half of the peer's ring is free, as far as is known.
    pub(crate) fn is_half_free(&self) -> bool {
        self.peer_written - self.read <= RING as u64 / 2
    }

    /// Whether the peer sleeps for this and must be woken by whoever asks.
    pub(crate) fn must_wake(&self, need: Need) -> bool {
        // Pairs with the fence in `doze`: either the peer sees what was published, or this sees it asleep.
        fence(SeqCst);
        let asleep = self.region.words(self.side.other()).asleep;
        asleep.load(Relaxed) == need as u32 && asleep.swap(0, SeqCst) == need as u32
    }

    /// Says that this side has closed or dropped its channel.
    pub(crate) fn leave(&self) {
        self.region.words(self.side).gone.store(1, SeqCst);
    }

    /// Whether the peer has said so.
    pub(crate) fn is_left(&self) -> bool {
        self.region.words(self.side.other()).gone.load(Acquire) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Pipe, Pipe) {
        let (region, memory) = Region::create().unwrap();
        (Pipe::new(region, Side::Listener), Pipe::new(Region::open(memory).unwrap(), Side::Dialer))
    }

    #[test]
    fn bytes_pass_in_pieces_around_the_ring() {
        let (mut a, mut b) = pair();
        let bytes: Vec<u8> = (0..3 * RING + 77).map(|i| (i % 251) as u8).collect();
        let (mut sent, mut got) = (0, vec![]);
        let mut space = vec![0; 100_000];
        while got.len() < bytes.len() {
            a.put(&[&bytes[..10], &bytes[10..]], &mut sent, |_| ()).unwrap();
            let n = b.get(&mut space).unwrap();
            got.extend_from_slice(&space[..n]);
        }
        assert!(got == bytes);
        assert!(!b.has(Need::Data).unwrap() && b.has(Need::Room).unwrap());
    }

    #[test]
    fn a_peer_that_cheats_is_found_out() {
        for far in [1, RING as u64 + 1, u64::MAX] {
            let (mut a, b) = pair();
            b.region.words(Side::Dialer).read.store(far, SeqCst);
            assert!(a.has(Need::Room).is_err(), "it has read {far} bytes that nobody wrote");
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
    fn who_dozes_is_woken_once_and_for_what_it_needs() {
        let (a, b) = pair();
        a.doze(Need::Data);
        assert!(!b.must_wake(Need::Room));
        assert!(b.must_wake(Need::Data));
        assert!(!b.must_wake(Need::Data));
    }
}
