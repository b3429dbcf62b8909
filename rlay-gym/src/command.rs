//! The command `rlay`, as the binary of the crate rlay-cli has it.

use pyo3::prelude::*;

/// Runs the command with its arguments, the program's name first; returns the exit code.
///
/// Python's signal handlers do not run meanwhile: restore the default action of SIGINT first, where Ctrl-C is to end it.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
    py.detach(|| rlay_cli::run(arguments))
}
