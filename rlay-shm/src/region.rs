//! Region: the shared memory itself, and the only code that touches it.
#![allow(unsafe_code)] // shared memory; every block says why it is sound

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicU32, AtomicU64},
};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};

/// Bytes of one ring: a large observation fits, and passes without blocking the writer for room. Pages that were never
/// used take no memory.
pub(crate) const RING: usize = 8 << 20;
/// Where the rings start; the words of both sides precede them.
const DATA: usize = 4096;
const LEN: usize = DATA + 2 * RING;
/// Distance between the words of the two sides.
const SIDE: usize = 1024;
/// A cache line for each word, so that the two sides do not slow each other down. The two that a writer sets share one.
const LINE: usize = 64;

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Listener = 0,
    Dialer = 1,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Listener => Self::Dialer,
            Self::Dialer => Self::Listener,
        }
    }
}

/// The mapped memory of one connection. Its content is as untrusted as the peer.
#[derive(Debug)]
pub(crate) struct Region(MmapRaw);

/// The words of one side, which only that side writes (but for `sleep`, which the other side sets to 0).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a> {
    /// Bytes that this side has ever written into its ring.
    pub(crate) written: &'a AtomicU64,
    /// The number of the byte at the start of this side's ring.
    pub(crate) start: &'a AtomicU64,
    /// Bytes that this side has ever read from the other side's ring.
    pub(crate) read: &'a AtomicU64,
    /// The need for which this side sleeps, and the way in which it is woken.
    pub(crate) sleep: &'a AtomicU32,
    /// Not zero once this side has closed or dropped its channel.
    pub(crate) closed: &'a AtomicU32,
}

impl Region {
    /// New memory, and the descriptor to hand over. Sealed, so that no access can run past its end later.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let memory = memfd_create("rlay-shm", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, LEN as u64)?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Self::map(memory.as_fd())?, memory))
    }

    /// Memory that was handed over, if its size and seals are as required.
    pub(crate) fn open(memory: OwnedFd) -> io::Result<Self> {
        if fstat(&memory)?.st_size != LEN as i64 || !fcntl_get_seals(&memory)?.contains(SealFlags::SHRINK) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not the shared memory of this release"));
        }
        Self::map(memory.as_fd())
    }

    fn map(memory: std::os::fd::BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(MmapOptions::new().len(LEN).map_raw(&memory)?))
    }

    pub(crate) fn words(&self, side: Side) -> Words<'_> {
        let base = side as usize * SIDE;
        let at = |offset: usize| self.0.as_mut_ptr().wrapping_add(base + offset);
        // SAFETY: each place lies within the mapping, which lives as long as `self` and cannot shrink
        // (sealed), is aligned to eight bytes, and is only ever accessed as an atomic by either process.
        unsafe {
            Words {
                written: AtomicU64::from_ptr(at(0).cast()),
                start: AtomicU64::from_ptr(at(8).cast()),
                read: AtomicU64::from_ptr(at(LINE).cast()),
                sleep: AtomicU32::from_ptr(at(2 * LINE).cast()),
                closed: AtomicU32::from_ptr(at(3 * LINE).cast()),
            }
        }
    }

    /// Copies `bytes` into the ring of `side`, from `at` bytes behind its start on. At most the ring's size.
    pub(crate) fn copy_in(&self, side: Side, at: u64, bytes: &[u8]) {
        assert!(bytes.len() <= RING, "a piece larger than the ring");
        let start = at as usize % RING;
        let (first, second) = bytes.split_at(bytes.len().min(RING - start));
        let ring = self.0.as_mut_ptr().wrapping_add(DATA + side as usize * RING);
        // SAFETY: both pieces lie within the ring, which lies within the mapping. No Rust reference to
        // these bytes exists in this process; what another process does there changes bytes, not rules.
        unsafe {
            std::ptr::copy_nonoverlapping(first.as_ptr(), ring.wrapping_add(start), first.len());
            std::ptr::copy_nonoverlapping(second.as_ptr(), ring, second.len());
        }
    }

    /// Copies bytes out of the ring of `side`, from `at` bytes behind its start on. At most the ring's size.
    pub(crate) fn copy_out(&self, side: Side, at: u64, bytes: &mut [u8]) {
        assert!(bytes.len() <= RING, "a piece larger than the ring");
        let start = at as usize % RING;
        let whole = bytes.len();
        let (first, second) = bytes.split_at_mut(whole.min(RING - start));
        let ring = self.0.as_mut_ptr().cast_const().wrapping_add(DATA + side as usize * RING);
        // SAFETY: as above. If the peer writes meanwhile, the copy holds arbitrary bytes; the copy is only read once it
        // is complete, in memory that the peer cannot reach.
        unsafe {
            std::ptr::copy_nonoverlapping(ring.wrapping_add(start), first.as_mut_ptr(), first.len());
            std::ptr::copy_nonoverlapping(ring, second.as_mut_ptr(), second.len());
        }
    }
}
