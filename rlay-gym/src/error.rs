//! RLay's errors as the Python classes of `rlay.errors`, and Python's exceptions as failures of an environment.

use pyo3::{exceptions::PyKeyboardInterrupt, prelude::*, sync::PyOnceLock, types::PyModule};
use rlay_core::{EnvFailure, Error, ErrorKind};

fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE.get_or_try_init(py, || py.import("rlay.errors").map(Bound::unbind)).map(|module| module.bind(py))
}

/// The exception for `error`.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let made = made(py, error).and_then(|made| match error.slot() {
        Some(slot) => made.call_method1("_of_slot", (slot,)),
        None => Ok(made),
    });
    made.map_or_else(|failed| failed, PyErr::from_value)
}

fn made<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let errors = module(py)?;
    if let Some(failure) = error.env_failure() {
        let args = (&failure.error_type, &failure.message, &failure.traceback);
        return errors.call_method1("env_error", args);
    }
    let class = match error.kind() {
        ErrorKind::ResetNeeded => "ResetNeeded",
        ErrorKind::InvalidAction => "InvalidAction",
        ErrorKind::Busy => "Busy",
        ErrorKind::Address | ErrorKind::AddressInUse => "AddressError",
        ErrorKind::Incompatible => "Incompatible",
        ErrorKind::Protocol => "ProtocolError",
        ErrorKind::ConnectionLost => "ConnectionLost",
        ErrorKind::Timeout => "Timeout",
        ErrorKind::Closed => "Closed",
        ErrorKind::Unauthorized => "Unauthorized",
        ErrorKind::ResourceExhausted => "ResourceExhausted",
        ErrorKind::Env => "ContractError",
        _ => "Error",
    };
    errors.getattr(class)?.call1((error.to_string(),))
}

/// An error of `kind` as an exception.
pub(crate) fn new(py: Python<'_>, kind: ErrorKind, message: impl Into<String>) -> PyErr {
    raise(py, &Error::new(kind, message))
}

/// What a Python environment raised, for the wire.
pub(crate) fn failure(py: Python<'_>, exception: &PyErr) -> Error {
    let describe = || {
        let value = exception.value(py);
        if let Some(traceback) = exception.traceback(py) {
            // Before Python 3.12 an exception that was caught does not have it yet.
            value.setattr("__traceback__", traceback)?;
        }
        module(py)?.call_method1("describe", (value,))?.extract::<(String, String, String)>()
    };
    match describe() {
        Ok((error_type, message, traceback)) => EnvFailure { error_type, message, traceback }.into(),
        Err(_) => EnvFailure::new("Exception", exception.to_string()).into(),
    }
}

/// The text that an exception of ours or of NumPy's was made with. `str` would run Python, and signal handlers with it.
pub(crate) fn text(py: Python<'_>, exception: &PyErr) -> String {
    let value = exception.value(py);
    let text = value.getattr("args").and_then(|args| args.get_item(0)).and_then(|text| text.extract());
    text.or_else(|_| exception.get_type(py).name().map(|name| name.to_string())).unwrap_or_default()
}

/// Whether `exception` is one of RLay's own.
pub(crate) fn is_own(py: Python<'_>, exception: &PyErr) -> bool {
    module(py).and_then(|errors| errors.getattr("Error")).is_ok_and(|class| exception.is_instance(py, &class))
}

/// Whether `exception` is Ctrl-C.
pub(crate) fn is_interrupt(py: Python<'_>, exception: &PyErr) -> bool {
    exception.is_instance_of::<PyKeyboardInterrupt>(py)
}
