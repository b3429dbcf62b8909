//! Printable: the filters of the core for texts that are put together in Python.

use std::borrow::Cow;

use pyo3::{prelude::*, types::PyString};
use rlay_core::printable;

/// The text of an error: nothing in it acts on a terminal, and it is not too long.
#[pyfunction]
pub(crate) fn printable_text(text: &Bound<'_, PyString>) -> String {
    shown(text, printable::text)
}

/// The same on one line, and shorter: a peer's text about itself.
#[pyfunction]
pub(crate) fn sentence(text: &Bound<'_, PyString>) -> String {
    shown(text, printable::sentence)
}

/// An entry of a log, with its further lines indented.
#[pyfunction]
pub(crate) fn log_entry(text: &Bound<'_, PyString>) -> String {
    shown(text, printable::log_entry)
}

/// Several lines that stand below the first one of an entry, such as a traceback.
#[pyfunction]
pub(crate) fn indented(text: &Bound<'_, PyString>) -> String {
    printable::indented(&text.to_string_lossy())
}

/// Replaces what is no Unicode, as in the name of a file.
fn shown(text: &Bound<'_, PyString>, filter: fn(&str) -> Cow<'_, str>) -> String {
    filter(&text.to_string_lossy()).into_owned()
}
