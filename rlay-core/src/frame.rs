//! Frames and the pool their memory comes from: aligned, reused, never freed while warm.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use bytemuck::{Pod, Zeroable};

/// Frames start at a multiple of this many bytes in memory, and packed payloads at one in the frame.
pub const ALIGNMENT: usize = 64;

/// At most this many free blocks are kept...
const KEEP_BLOCKS: usize = 16;
/// ...holding at most this many bytes together.
const KEEP_BYTES: usize = 128 << 20;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; ALIGNMENT]);

/// Memory for frames. Clones share it. A frame returns its memory when dropped, on whatever thread.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Vec<Vec<Line>>>>);

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame of `len` bytes with unspecified (but initialised) contents.
    pub fn take(&self, len: usize) -> Frame {
        let lines = len.div_ceil(ALIGNMENT).max(1);
        // A block of up to twice the size will do; a larger one would pin memory that nobody uses. The one
        // that was dropped last is the likeliest to be in a cache.
        let found = self.0.try_lock().ok().and_then(|mut free| {
            let fits = |block: &Vec<Line>| block.len() >= lines && block.len() <= 2 * lines + 8;
            free.iter().rposition(fits).map(|i| free.swap_remove(i))
        });
        let lines = found.unwrap_or_else(|| vec![Line::zeroed(); lines.next_power_of_two().min(lines + lines / 8 + 8)]);
        Frame { lines, start: 0, end: len, pool: self.clone() }
    }

    fn give(&self, lines: Vec<Line>) {
        let bytes = |block: &Vec<Line>| block.len() * ALIGNMENT;
        if bytes(&lines) > KEEP_BYTES {
            return;
        }
        // `try_lock`: after a fork the lock may be held by a thread that no longer exists.
        if let Ok(mut free) = self.0.try_lock() {
            free.push(lines);
            let mut held: usize = free.iter().map(bytes).sum();
            while free.len() > KEEP_BLOCKS || held > KEEP_BYTES {
                held -= bytes(&free.remove(0)); // the oldest
            }
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

/// One frame as it was received: bytes at an address that is a multiple of [`ALIGNMENT`].
pub struct Frame {
    lines: Vec<Line>,
    /// Where the frame's own bytes start and end in `lines`.
    start: usize,
    end: usize,
    pool: Pool,
}

impl Frame {
    /// Bytes the frame can hold without another allocation.
    pub fn capacity(&self) -> usize {
        self.lines.len() * ALIGNMENT - self.start
    }

    /// Bytes of memory the frame keeps in use, whatever its length.
    pub fn footprint(&self) -> usize {
        self.lines.len() * ALIGNMENT
    }

    /// Makes the frame `len` bytes long; what it held up to there stays.
    pub fn resize(&mut self, len: usize) {
        if len > self.capacity() {
            let mut larger = self.pool.take(len);
            larger[..self.len()].copy_from_slice(self);
            *self = larger;
        }
        self.end = self.start + len;
    }

    /// Drops the first [`ALIGNMENT`] bytes without moving the others.
    pub(crate) fn skip_line(&mut self) {
        self.start += ALIGNMENT;
        debug_assert!(self.start <= self.end);
    }

    /// A copy of `bytes` in memory of this frame's pool.
    pub fn copy_of(pool: &Pool, bytes: &[u8]) -> Self {
        let mut frame = pool.take(bytes.len());
        frame.copy_from_slice(bytes);
        frame
    }
}

impl Deref for Frame {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[self.start..self.end]
    }
}

impl DerefMut for Frame {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[self.start..self.end]
    }
}

/// The copy's memory is of the same pool.
impl Clone for Frame {
    fn clone(&self) -> Self {
        Self::copy_of(&self.pool, self)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.lines));
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_aligned_and_their_memory_is_reused() {
        let pool = Pool::new();
        let first = pool.take(100_000);
        let address = first.as_ptr() as usize;
        assert_eq!(address % ALIGNMENT, 0);
        drop(first);
        assert_eq!(pool.take(90_000).as_ptr() as usize, address);
        assert_ne!(pool.take(100).as_ptr() as usize, address, "a small frame must not pin a large block");
    }

    #[test]
    fn a_frame_in_use_is_never_handed_out_again() {
        let pool = Pool::new();
        let (a, b) = (pool.take(10), pool.take(10));
        assert_ne!(a.as_ptr(), b.as_ptr());
    }

    #[test]
    fn what_is_kept_for_later_is_bounded() {
        let pool = Pool::new();
        for sizes in [&[1000; 40][..], &[1000, 60 << 20, 60 << 20, 60 << 20], &[1000, 130 << 20]] {
            drop(sizes.iter().map(|size| pool.take(*size)).collect::<Vec<_>>());
            let mut free = pool.0.lock().unwrap();
            let held: usize = free.iter().map(|block| block.len() * ALIGNMENT).sum();
            assert!(
                (1..=KEEP_BLOCKS).contains(&free.len()) && held <= KEEP_BYTES,
                "{} blocks, {held} bytes",
                free.len()
            );
            free.clear();
        }
    }

    #[test]
    fn growing_keeps_the_contents() {
        let mut frame = Frame::copy_of(&Pool::new(), b"relay");
        frame.resize(10_000);
        assert_eq!(&frame[..5], b"relay");
    }
}
