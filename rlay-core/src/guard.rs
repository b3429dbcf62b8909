//! Guard: runs foreign code, an environment's or a policy's, and turns anything that goes wrong in it into an error.

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

/// Runs `run`. Turns a panic into an error that has the file and line as its traceback, and logs it.
pub(crate) fn guard<T>(run: impl FnOnce() -> Result<T, EnvError>) -> Result<T> {
    note_places();
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(EnvFailure::from(error).into()),
        Err(panic) => {
            let message = text(&*panic).to_owned();
            // A panic of another thread that was resumed here has its place recorded in that thread.
            let place = LAST.take().filter(|(last, _)| *last == message);
            let traceback = place.map(|(_, place)| format!("panicked at {place}")).unwrap_or_default();
            tracing::error!("{}", log_entry(&format!("caught a panic: {message} ({traceback})")));
            Err(EnvFailure { error_type: "panic".into(), message, traceback }.into())
        }
    }
}

/// Records the place of each later panic for the thread that panics. Only a panic hook receives the place, and a
/// process has one hook, so this hook only records, and calls the previous hook.
fn note_places() {
    static ONCE: Once = Once::new();
    // A thread that panics must not set a hook.
    if ONCE.is_completed() || thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let text = text(info.payload()).to_owned();
            // Records nothing if a thread panics while it ends and its thread-local memory is gone.
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
        // Neither an earlier panic nor another thread's is mistaken for this one.
        let failure = failed(|| {
            let _ = catch_unwind(|| panic!("an earlier one"));
            resume_unwind(Box::new("from elsewhere"));
        });
        assert_eq!((&*failure.message, &*failure.traceback), ("from elsewhere", ""));
        assert_eq!(failed(|| panic::panic_any(7)).message, "the environment panicked");
    }
}
