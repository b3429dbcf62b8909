//! Handle: environments and agents by number, each for the thread that opened it.
//!
//! The pointer that a program holds is no address: it is a number that no other endpoint of this process ever had. So
//! calls with a closed endpoint, from another thread, or from a callback of the same endpoint come to an error, whatever
//! the program does.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
};

use rlay::CancelToken;

use crate::status::{Fault, Outcome, rlay_Status::*};

/// The endpoints of one kind that are open.
pub(crate) struct Handles<T>(Mutex<BTreeMap<usize, Arc<Handle<T>>>>);

/// An open endpoint.
pub(crate) struct Handle<T> {
    thread: ThreadId,
    /// Ends waits, from any thread.
    pub(crate) cancel: CancelToken,
    /// Where it listens or what it dials.
    pub(crate) address: String,
    state: Mutex<T>,
}

/// What the next number is made of.
static NEXT: AtomicUsize = AtomicUsize::new(1);

impl<T> Handles<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<Handle<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an endpoint for this thread.
    pub(crate) fn add<H>(&self, address: String, cancel: CancelToken, state: T) -> *mut H {
        let number = NEXT.fetch_add(1, Relaxed);
        let handle = Handle { thread: thread::current().id(), cancel, address, state: Mutex::new(state) };
        self.open().insert(number, Arc::new(handle));
        // Odd, so that it is the address of nothing that is allocated.
        ptr::without_provenance_mut(number * 2 + 1)
    }

    /// The endpoint, whatever the thread.
    pub(crate) fn find<H>(&self, handle: *const H) -> Outcome<Arc<Handle<T>>> {
        if handle.is_null() {
            return Err(Fault::null("the handle"));
        }
        let address = handle.addr();
        let found = (address % 2 == 1).then(|| self.open().get(&(address / 2)).cloned()).flatten();
        found
            .ok_or_else(|| Fault::new(RLAY_CLOSED, "the endpoint was closed, or the handle never was one of this kind"))
    }

    /// The same for its own thread alone.
    pub(crate) fn here<H>(&self, handle: *const H) -> Outcome<Arc<Handle<T>>> {
        let found = self.find(handle)?;
        if found.thread == thread::current().id() {
            return Ok(found);
        }
        Err(Fault::new(RLAY_WRONG_THREAD, "the endpoint belongs to the thread that opened it; call from there"))
    }

    /// Closes the endpoint.
    pub(crate) fn remove<H>(&self, handle: *const H) -> Outcome<Arc<Handle<T>>> {
        let found = self.here(handle)?;
        self.open().remove(&(handle.addr() / 2));
        Ok(found)
    }
}

impl<T> Handle<T> {
    /// The endpoint itself, for the time of one call.
    pub(crate) fn lock(&self) -> Outcome<MutexGuard<'_, T>> {
        self.state.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                Fault::new(RLAY_BUSY, "a call of this endpoint is under way, which called back")
            }
            TryLockError::Poisoned(_) => Fault::new(RLAY_PANIC, "an earlier call of this endpoint failed; close it"),
        })
    }
}
