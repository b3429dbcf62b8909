//! Frames and the pool their memory comes from: aligned, reused, never freed while warm, and committed only once used.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, Weak},
};

use bytemuck::{Pod, Zeroable};
use memmap2::MmapMut;

/// Frames start at a multiple of this many bytes in memory, and packed payloads at one in the frame.
pub const ALIGNMENT: usize = 64;

/// At most this many free blocks are kept...
const KEEP_BLOCKS: usize = 16;
/// ...holding at most this many bytes together.
const KEEP_BYTES: usize = 128 << 20;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; ALIGNMENT]);

/// From this size on a block is a mapping of its own: the kernel provides memory as bytes arrive, whatever was
/// announced, and takes that memory back at once. The allocator would keep the memory for blocks to come.
const MAPPED: usize = 256 << 10;

/// Memory that is zero until it is written to.
enum Block {
    Small(Vec<Line>),
    Large(MmapMut),
}

impl Block {
    fn new(lines: usize) -> Self {
        let bytes = lines * ALIGNMENT;
        // If mapping fails, the allocator may still have memory.
        match (bytes >= MAPPED).then(|| MmapMut::map_anon(bytes)) {
            Some(Ok(map)) => {
                // A huge page is memory that is committed for a single byte. The kernel may ignore this advice.
                #[cfg(target_os = "linux")]
                let _ = map.advise(memmap2::Advice::NoHugePage);
                Self::Large(map)
            }
            _ => Self::Small(vec![Line::zeroed(); lines]),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Small(lines) => bytemuck::cast_slice(lines),
            Self::Large(map) => map,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Small(lines) => bytemuck::cast_slice_mut(lines),
            Self::Large(map) => map,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Small(lines) => lines.len() * ALIGNMENT,
            Self::Large(map) => map.len(),
        }
    }
}

impl Default for Block {
    fn default() -> Self {
        Self::Small(vec![])
    }
}

/// Memory for frames, shared by clones. A frame returns its memory when dropped, on any thread, as long as there is a
/// clone: frames that outlive their channel keep no memory for frames that will not come.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Vec<Block>>>);

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame of `len` bytes with unspecified (but initialised) contents.
    pub fn take(&self, len: usize) -> Frame {
        let lines = len.div_ceil(ALIGNMENT).max(1);
        // Takes a block of up to twice the size; a larger one would pin unused memory. The block that was dropped last
        // is the likeliest to be in a cache.
        let found = self.0.try_lock().ok().and_then(|mut free| {
            let fits = |block: &Block| {
                let has = block.len() / ALIGNMENT;
                has >= lines && has <= 2 * lines + 8
            };
            free.iter().rposition(fits).map(|i| free.swap_remove(i))
        });
        let block = found.unwrap_or_else(|| Block::new(lines.next_power_of_two().min(lines + lines / 8 + 8)));
        Frame { block, start: 0, end: len, pool: Arc::downgrade(&self.0) }
    }

    fn give(&self, block: Block) {
        if block.len() > KEEP_BYTES {
            return;
        }
        // `try_lock`: after a fork the lock may be held by a thread that no longer exists.
        if let Ok(mut free) = self.0.try_lock() {
            free.push(block);
            let mut held: usize = free.iter().map(Block::len).sum();
            while free.len() > KEEP_BLOCKS || held > KEEP_BYTES {
                held -= free.remove(0).len(); // the oldest
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
    block: Block,
    /// Where the frame's own bytes start and end in `block`.
    start: usize,
    end: usize,
    pool: Weak<Mutex<Vec<Block>>>,
}

impl Frame {
    /// Bytes the frame can hold without another allocation.
    pub fn capacity(&self) -> usize {
        self.block.len() - self.start
    }

    /// Bytes of memory the frame keeps in use, whatever its length.
    pub fn footprint(&self) -> usize {
        self.block.len()
    }

    /// Makes the frame `len` bytes long; what it held up to there stays.
    pub fn resize(&mut self, len: usize) {
        if len > self.capacity() {
            let mut larger = self.pool().take(len);
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

    /// The pool that the frame's memory belongs to, or a new pool if that one is gone.
    fn pool(&self) -> Pool {
        self.pool.upgrade().map(Pool).unwrap_or_default()
    }

    /// A copy of `bytes` in memory of `pool`.
    pub fn copy_of(pool: &Pool, bytes: &[u8]) -> Self {
        let mut frame = pool.take(bytes.len());
        frame.copy_from_slice(bytes);
        frame
    }
}

impl Deref for Frame {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.block.bytes()[self.start..self.end]
    }
}

impl DerefMut for Frame {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.block.bytes_mut()[self.start..self.end]
    }
}

/// The copy's memory is of the same pool.
impl Clone for Frame {
    fn clone(&self) -> Self {
        Self::copy_of(&self.pool(), self)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            Pool(pool).give(std::mem::take(&mut self.block));
        }
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
            let held: usize = free.iter().map(Block::len).sum();
            assert!(
                (1..=KEEP_BLOCKS).contains(&free.len()) && held <= KEEP_BYTES,
                "{} blocks, {held} bytes",
                free.len()
            );
            free.clear();
        }
    }

    #[test]
    fn a_frame_that_outlives_its_pool_keeps_nothing_else() {
        let pool = Pool::new();
        let free = Arc::downgrade(&pool.0);
        let held = pool.take(1 << 20);
        drop((pool.take(1 << 20), pool));
        assert!(free.upgrade().is_none(), "what was free is not");
        drop((held.clone(), held));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_there_once_it_is_used() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
            let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it tells");
            kib.trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
        };
        let (pool, before) = (Pool::new(), resident());
        let mut frames: Vec<Frame> = (0..64).map(|_| pool.take(64 << 20)).collect();
        frames.iter_mut().for_each(|frame| frame[100] = 1);
        assert!(resident() < before + (16 << 20), "{} bytes", resident() - before);
        frames[0].fill(1);
        assert!(resident() > before + (60 << 20));
        drop((frames, pool));
        assert!(resident() < before + (16 << 20), "{} bytes", resident() - before);
    }

    #[test]
    fn growing_keeps_the_contents() {
        let mut frame = Frame::copy_of(&Pool::new(), b"relay");
        frame.resize(10_000);
        assert_eq!(&frame[..5], b"relay");
    }
}
