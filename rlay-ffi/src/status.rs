//! rlay_Status: what a call came to, and the text of the last error of each thread.

use std::{
    cell::RefCell,
    ffi::c_char,
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
};

use rlay::{EnvFailure, Error, ErrorKind};

use crate::input::set;

/// What a call came to. Numbers from 1 to 99 are those of `docs/wire.md`, section 11, which RLay has in every language;
/// from 101 on they are this interface's own.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rlay_Status {
    /// It worked.
    RLAY_OK = 0,
    /// The call makes no sense here. The text says what does.
    RLAY_USAGE = 1,
    /// A step or render before the first reset, or after a failure that asks for one.
    RLAY_RESET_NEEDED = 2,
    /// The action's structure is not that of the action space.
    RLAY_INVALID_ACTION = 3,
    /// The endpoint was closed or stopped, or the handle never was one.
    RLAY_CLOSED = 4,
    /// Another call is under way, or no more sessions are possible.
    RLAY_BUSY = 5,
    /// The address is malformed, or no transport serves its scheme.
    RLAY_ADDRESS = 6,
    /// Wire numbers, limits or spaces do not fit together.
    RLAY_INCOMPATIBLE = 7,
    /// The peer sent what the protocol does not allow.
    RLAY_PROTOCOL = 8,
    /// The environment's own code failed.
    RLAY_ENV = 9,
    /// The connection could not be made, or was lost.
    RLAY_CONNECTION_LOST = 10,
    /// No answer within the time that the caller allowed.
    RLAY_TIMEOUT = 11,
    /// Another listener has the address.
    RLAY_ADDRESS_IN_USE = 12,
    /// A token or certificate is missing or wrong, at either end.
    RLAY_UNAUTHORIZED = 13,
    /// The system refused a thread or a descriptor.
    RLAY_RESOURCE_EXHAUSTED = 14,
    /// A pointer is NULL that must not be.
    RLAY_NULL_ARGUMENT = 101,
    /// The handle belongs to another thread, that which opened it.
    RLAY_WRONG_THREAD = 102,
    /// The buffer is too short. The length that it needs was written.
    RLAY_SHORT_BUFFER = 103,
    /// A bug of RLay. The handle that was used can only be closed.
    RLAY_PANIC = 104,
    /// An argument has no meaning: a number that no enumeration has, a text that is not UTF-8, a size that does not fit.
    RLAY_INVALID_ARGUMENT = 105,
    /// The value, space or turn is of another kind than the call is for.
    RLAY_WRONG_KIND = 106,
    /// There is no such item or key.
    RLAY_NOT_FOUND = 107,
}

use rlay_Status::*;

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: rlay_Status,
    pub(crate) text: String,
}

/// What functions come to before their status is returned.
pub(crate) type Outcome<T = ()> = Result<T, Fault>;

impl Fault {
    pub(crate) fn new(status: rlay_Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(crate) fn null(what: &str) -> Self {
        Self::new(RLAY_NULL_ARGUMENT, format!("{what} is NULL"))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Usage => RLAY_USAGE,
            ErrorKind::ResetNeeded => RLAY_RESET_NEEDED,
            ErrorKind::InvalidAction => RLAY_INVALID_ACTION,
            ErrorKind::Closed => RLAY_CLOSED,
            ErrorKind::Busy => RLAY_BUSY,
            ErrorKind::Address => RLAY_ADDRESS,
            ErrorKind::Incompatible => RLAY_INCOMPATIBLE,
            ErrorKind::Env => RLAY_ENV,
            ErrorKind::ConnectionLost => RLAY_CONNECTION_LOST,
            ErrorKind::Timeout => RLAY_TIMEOUT,
            ErrorKind::AddressInUse => RLAY_ADDRESS_IN_USE,
            ErrorKind::Unauthorized => RLAY_UNAUTHORIZED,
            ErrorKind::ResourceExhausted => RLAY_RESOURCE_EXHAUSTED,
            _ => RLAY_PROTOCOL,
        };
        // With the environment's traceback, where there is one.
        Self { status, text: format!("{error:?}") }
    }
}

impl From<EnvFailure> for Fault {
    fn from(failure: EnvFailure) -> Self {
        Error::from(failure).into()
    }
}

thread_local! {
    /// The last error of this thread, with a NUL behind it.
    static LAST: RefCell<(rlay_Status, Vec<u8>)> = const { RefCell::new((RLAY_OK, Vec::new())) };
}

fn remember(fault: Fault) -> rlay_Status {
    let status = fault.status;
    // Not where the thread is ending.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            let mut text = fault.text.into_bytes();
            text.retain(|byte| *byte != 0);
            text.push(0);
            *last = (status, text);
        }
    });
    status
}

/// Runs what a function does. A panic ends here, as a fault.
fn caught<T>(run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let text = format!("a bug in RLay, please report it: {}", text.unwrap_or("a panic"));
        // What a panic carries may itself panic when it is dropped.
        std::mem::forget(panic);
        Err(Fault::new(RLAY_PANIC, text))
    })
}

/// Runs what a function does, and returns its status.
pub(crate) fn status(run: impl FnOnce() -> Outcome) -> rlay_Status {
    match caught(run) {
        Ok(()) => RLAY_OK,
        Err(fault) => remember(fault),
    }
}

/// Runs what a constructor does; `None`, which is NULL, with the last error if that fails.
pub(crate) fn made<T>(run: impl FnOnce() -> Outcome<T>) -> Option<Box<T>> {
    caught(run).map(Box::new).map_err(remember).ok()
}

/// Runs what cannot fail by itself.
pub(crate) fn quiet<T>(otherwise: T, run: impl FnOnce() -> T) -> T {
    caught(|| Ok(run())).unwrap_or_else(|fault| {
        remember(fault);
        otherwise
    })
}

/// The text of the last error, if there was one.
pub(crate) fn last_text() -> Option<String> {
    let read = |last: &RefCell<(rlay_Status, Vec<u8>)>| match &*last.borrow() {
        (RLAY_OK, _) => None,
        (_, text) => Some(String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text)).into_owned()),
    };
    LAST.try_with(read).ok().flatten()
}

/// The argument of a function that takes an object. Where it is NULL because its constructor failed, the last error
/// goes on to say why that was.
pub(crate) fn given<T>(object: Option<Box<T>>, what: &str) -> Outcome<T> {
    object.map(|object| *object).ok_or_else(|| {
        let why = last_text().map_or_else(String::new, |why| format!("; the last error was: {why}"));
        Fault::new(RLAY_NULL_ARGUMENT, format!("{what} is NULL{why}"))
    })
}

/// The text of this thread's last error, and in *status, if it is not NULL, the error itself. Calls that succeed leave both
/// as they are. The text is UTF-8 of *length bytes (if length is not NULL) and has a NUL behind it. It is RLay's, and
/// valid until the next call of RLay on this thread. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_last_error(
    length: Option<&mut MaybeUninit<usize>>,
    status: Option<&mut MaybeUninit<rlay_Status>>,
) -> *const c_char {
    const NOTHING: (&[u8], rlay_Status) = (b"\0", RLAY_OK);
    let (text, last) = LAST
        .try_with(|last| {
            let last = last.as_ptr();
            // SAFETY: nothing of this thread has it borrowed while this function runs, and it changes only in later calls.
            let (status, text) = unsafe { &*last };
            if text.is_empty() { NOTHING } else { (&text[..], *status) }
        })
        .unwrap_or(NOTHING);
    if let Some(length) = length {
        length.write(text.len() - 1);
    }
    if let Some(status) = status {
        status.write(last);
    }
    text.as_ptr().cast()
}

/// The name of a status, such as "RLAY_USAGE", with a NUL behind it; "unknown" for other numbers. It is never freed. Any
/// thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_status_name(status: i32) -> *const c_char {
    const NAMES: [&std::ffi::CStr; 15] = [
        c"RLAY_OK",
        c"RLAY_USAGE",
        c"RLAY_RESET_NEEDED",
        c"RLAY_INVALID_ACTION",
        c"RLAY_CLOSED",
        c"RLAY_BUSY",
        c"RLAY_ADDRESS",
        c"RLAY_INCOMPATIBLE",
        c"RLAY_PROTOCOL",
        c"RLAY_ENV",
        c"RLAY_CONNECTION_LOST",
        c"RLAY_TIMEOUT",
        c"RLAY_ADDRESS_IN_USE",
        c"RLAY_UNAUTHORIZED",
        c"RLAY_RESOURCE_EXHAUSTED",
    ];
    const OWN: [&std::ffi::CStr; 7] = [
        c"RLAY_NULL_ARGUMENT",
        c"RLAY_WRONG_THREAD",
        c"RLAY_SHORT_BUFFER",
        c"RLAY_PANIC",
        c"RLAY_INVALID_ARGUMENT",
        c"RLAY_WRONG_KIND",
        c"RLAY_NOT_FOUND",
    ];
    let find = |names: &[&'static std::ffi::CStr], first: i32| {
        status.checked_sub(first).and_then(|at| usize::try_from(at).ok()).and_then(|at| names.get(at).copied())
    };
    find(&NAMES, 0).or_else(|| find(&OWN, 101)).unwrap_or(c"unknown").as_ptr()
}

/// The number of this interface: programs built for another number do not fit this library. 0 until RLay 1.0, in which
/// time every release may change it. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_abi_version() -> u32 {
    0
}

/// Copies a text to where a caller wants it: as much as there is room for, and always its length.
pub(crate) fn copy_text(
    text: &str,
    buffer: *mut c_char,
    capacity: usize,
    length: Option<&mut MaybeUninit<usize>>,
) -> Outcome {
    set(length, text.len(), "length")?;
    if text.len() > capacity {
        return Err(Fault::new(
            RLAY_SHORT_BUFFER,
            format!("{} bytes, for which there is room for {capacity}", text.len()),
        ));
    }
    if buffer.is_null() && !text.is_empty() {
        return Err(Fault::null("buffer"));
    }
    if !text.is_empty() {
        // SAFETY: the caller says that the buffer has `capacity` bytes, which are enough, and it is the caller's alone.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast::<c_char>(), buffer, text.len()) };
    }
    Ok(())
}
