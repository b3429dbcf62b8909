//! Waiting without the interpreter: the GIL is released, signals are looked at, Ctrl-C ends the wait.

use std::time::Duration;

use pyo3::prelude::*;
use rlay_core::{Error, ErrorKind, Result, endpoint::Wait};

use crate::error::raise;

/// Seconds from Python as a duration; infinity and huge values as none.
pub(crate) fn seconds(timeout: Option<f64>) -> Option<Duration> {
    timeout.map(|t| t.max(0.0)).and_then(|t| Duration::try_from_secs_f64(t).ok())
}

/// Python's signals, looked at by a thread that waits without the GIL.
///
/// Handlers run in the main thread alone, so the others take the GIL once, to learn that they are others.
#[derive(Default)]
pub(crate) struct Signals {
    is_elsewhere: bool,
}

impl Signals {
    /// Runs the handlers of the signals that have come; fails with what a handler raises.
    pub(crate) fn check(&mut self) -> PyResult<()> {
        if self.is_elsewhere {
            return Ok(());
        }
        Python::attach(|py| {
            let threading = py.import("threading")?;
            let main = threading.call_method0("main_thread")?.getattr("ident")?;
            self.is_elsewhere = !main.eq(threading.call_method0("get_ident")?)?;
            py.check_signals()
        })
    }
}

/// Runs `call` without the GIL. Its [`Wait`] looks at Python's signals; an exception raised by a
/// signal handler is the result then.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    timeout: Option<f64>,
    call: impl FnOnce(&mut Wait<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    wait_raw(py, timeout, call)?.map_err(|error| raise(py, &error))
}

/// The same, with RLay's own errors apart from exceptions that signal handlers raised.
pub(crate) fn wait_raw<T: Send>(
    py: Python<'_>,
    timeout: Option<f64>,
    call: impl FnOnce(&mut Wait<'_>) -> Result<T> + Send,
) -> PyResult<Result<T>> {
    let mut interrupt = None;
    let result = py.detach(|| {
        let mut signals = Signals::default();
        let mut check = || {
            if interrupt.is_none() {
                interrupt = signals.check().err();
            }
            match interrupt {
                None => Ok(()),
                Some(_) => Err(Error::new(ErrorKind::Timeout, "interrupted by a signal")),
            }
        };
        call(&mut Wait::new(seconds(timeout)).checking(&mut check))
    });
    interrupt.map_or(Ok(result), Err)
}
