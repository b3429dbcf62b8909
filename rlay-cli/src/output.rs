//! What is printed: lines on the standard output and error output. A closed pipe is no error.

use std::io::{self, Write};

/// Prints a line to the standard output.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Prints a line to the standard error output.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
