//! The command `rlay`, as the binary of the crate rlay-cli has it.

use pyo3::prelude::*;

/// Runs the command with its arguments, the program's name first; returns the exit code.
///
/// Python's signal handlers do not run meanwhile, so a caller who wants Ctrl-C restores the default action first.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
    py.detach(|| rlay_cli::run(arguments))
}
