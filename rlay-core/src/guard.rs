//! Guard: runs code of others, an environment's or a policy's, and makes an error out of whatever goes wrong in it.

use std::{
    any::Any,
    cell::RefCell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
    thread,
};

use crate::{
    error::{EnvError, EnvFailure, Result},
    printable::log_entry,
};

thread_local! {
    /// The text and the place of this thread's last panic.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Runs `run`. A panic becomes an error whose traceback is the file and line, and which the log tells, too.
pub(crate) fn guard<T>(run: impl FnOnce() -> Result<T, EnvError>) -> Result<T> {
    note_places();
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(EnvFailure::from(error).into()),
        Err(panic) => {
            let message = text(&*panic).to_owned();
            // What was panicked with on another thread and only went on here has its place there.
            let place = LAST.take().filter(|(last, _)| *last == message);
            let traceback = place.map(|(_, place)| format!("panicked at {place}")).unwrap_or_default();
            tracing::error!("{}", log_entry(&format!("caught a panic: {message} ({traceback})")));
            Err(EnvFailure { error_type: "panic".into(), message, traceback }.into())
        }
    }
}

/// From now on the place of each panic is known to the thread that panics. Only a panic hook hears of it; there is one
/// for all of a process, so this one does no more than to remember, and calls the one that was there before.
fn note_places() {
    static ONCE: Once = Once::new();
    // A thread that panics may set no hook.
    if ONCE.is_completed() || thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let text = text(info.payload()).to_owned();
            // Not where a thread panics as it ends and its memory is gone.
            let _ = LAST.try_with(|last| last.replace(Some((text, place))));
            before(info);
        }));
    });
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("the environment panicked")
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use super::*;

    #[test]
    fn a_panic_tells_where_it_was() {
        let failed = |run: fn()| {
            let error = guard(|| {
                run();
                Ok(())
            });
            error.unwrap_err().env_failure().expect("the environment's").clone()
        };
        let line = line!() + 1;
        let failure = failed(|| panic!("the pole {}", "broke"));
        assert_eq!((&*failure.error_type, &*failure.message), ("panic", "the pole broke"));
        assert!(failure.traceback.starts_with(&format!("panicked at {}:{line}:", file!())), "{}", failure.traceback);
        // Neither an earlier one nor another thread's is taken for this one.
        let failure = failed(|| {
            let _ = catch_unwind(|| panic!("an earlier one"));
            resume_unwind(Box::new("from elsewhere"));
        });
        assert_eq!((&*failure.message, &*failure.traceback), ("from elsewhere", ""));
        assert_eq!(failed(|| panic::panic_any(7)).message, "the environment panicked");
    }
}
