//! CountingAllocator: the system's allocator, which counts the allocations of threads for which that was asked.
#![allow(unsafe_code)] // an allocator

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static IS_LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}
static COUNTS_OTHERS: AtomicBool = AtomicBool::new(false);
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, which counts. A test program with one test has it as its own:
///
/// ```
/// use rlay_testkit::allocations::{self, CountingAllocator};
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator;
///
/// allocations::count_here(true);
/// drop(std::hint::black_box(vec![1]));
/// allocations::count_here(false);
/// assert_eq!(allocations::number(), 1);
/// ```
#[derive(Debug)]
pub struct CountingAllocator;

/// Says whether the allocations of this thread count.
pub fn count_here(counts: bool) {
    COUNTS.set(counts);
}

/// Says whether the allocations of all other threads count.
pub fn count_others(counts: bool) {
    IS_LEFT_OUT.set(counts);
    COUNTS_OTHERS.store(counts, SeqCst);
}

/// How many allocations were counted so far.
pub fn number() -> u64 {
    NUMBER.load(SeqCst)
}

fn count() {
    // A thread that is ending has no such variables any more.
    let as_other = || COUNTS_OTHERS.load(SeqCst) && !IS_LEFT_OUT.try_with(Cell::get).unwrap_or(true);
    if COUNTS.try_with(Cell::get).unwrap_or(false) || as_other() {
        NUMBER.fetch_add(1, SeqCst);
    }
}

// SAFETY: every call is passed on to `System` unchanged, so its contract is kept; counting allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's guarantees are those that `System` requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above; `old` came from `System`.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above; `old` came from `System`.
        unsafe { System.dealloc(old, layout) }
    }
}
