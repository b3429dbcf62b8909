//! Waiting without the interpreter: the GIL is released, signals are polled, Ctrl-C ends the wait.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use pyo3::{exceptions::PyException, prelude::*};
use rlay_core::{
    CancelToken, Error, ErrorKind, Result,
    endpoint::{Notice, Wait},
};

use crate::error::raise;

/// Seconds from Python as a duration; infinity and huge values as none.
pub(crate) fn seconds(timeout: Option<f64>) -> Option<Duration> {
    timeout.map(|t| t.max(0.0)).and_then(|t| Duration::try_from_secs_f64(t).ok())
}

thread_local! {
    static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Whether this is Python's main thread, the only one in which signal handlers run.
pub(crate) fn is_main(py: Python<'_>) -> PyResult<bool> {
    if let Some(known) = IS_MAIN.get() {
        return Ok(known);
    }
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    let is_main = main.eq(threading.call_method0("get_ident")?)?;
    IS_MAIN.set(Some(is_main));
    Ok(is_main)
}

/// Called in a forked child, where the only thread is the main thread.
#[pyfunction]
pub(crate) fn forked() {
    IS_MAIN.set(None);
}

/// Runs `call` without the GIL. In the main thread its [`Wait`] polls Python's signals; an exception
/// raised by a signal handler is the result then.
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
    wait_unless(py, None, timeout, call)
}

/// The same, until `cancel` is set: that is an error of kind `Closed`.
pub(crate) fn wait_unless<T: Send>(
    py: Python<'_>,
    cancel: Option<&CancelToken>,
    timeout: Option<f64>,
    call: impl FnOnce(&mut Wait<'_>) -> Result<T> + Send,
) -> PyResult<Result<T>> {
    let is_main = is_main(py)?;
    let (result, interrupt) = py.detach(|| {
        let interrupt = RefCell::new(None);
        let mut check = || look(&interrupt, || Error::new(ErrorKind::Timeout, "interrupted by a signal"));
        let mut notice = |what: Notice<'_>| log(what, &interrupt);
        let mut wait = Wait::new(seconds(timeout)).with_notices(&mut notice);
        wait.cancel = cancel;
        wait.later = Some(log_later);
        if is_main {
            wait = wait.with_check(&mut check);
        }
        let result = call(&mut wait);
        (result, interrupt.take())
    });
    interrupt.map_or(Ok(result), Err)
}

/// Writes into the log of the package. A failure to log does not end a wait; what a signal handler raises meanwhile
/// does: the exception is put into `interrupt`.
pub(crate) fn log(what: Notice<'_>, interrupt: &RefCell<Option<PyErr>>) {
    Python::attach(|py| match write(py, what) {
        Err(raised) if !raised.is_instance_of::<PyException>(py) => *interrupt.borrow_mut() = Some(raised),
        _ => {}
    });
}

/// The same, from a thread of the library, unless the interpreter is ending.
fn log_later(what: Notice<'_>) {
    let _ = Python::try_attach(|py| write(py, what));
}

fn write(py: Python<'_>, what: Notice<'_>) -> PyResult<()> {
    let (method, text) = match what {
        Notice::Warning(text) => ("warning", text),
        Notice::Info(text) => ("info", text),
    };
    py.import("logging")?.call_method1("getLogger", ("rlay",))?.call_method1(method, ("%s", text))?;
    Ok(())
}

/// Polls Python's signals, and fails with `over` once a handler has raised an exception, which is put into `interrupt`.
pub(crate) fn look(interrupt: &RefCell<Option<PyErr>>, over: impl Fn() -> Error) -> Result<()> {
    let mut interrupt = interrupt.borrow_mut();
    if interrupt.is_none() {
        *interrupt = Python::attach(|py| py.check_signals()).err();
    }
    if interrupt.is_none() { Ok(()) } else { Err(over()) }
}
