//! A system that refuses threads or descriptors is an error of its own kind, with the system's error as its source.

use crate::support::Process;

/// The output of a process that asks for more than it may have.
fn said(limit: &str, role: &str, address: &str) -> Vec<String> {
    let process = Process::after(limit, role, address);
    let mut lines: Vec<_> = std::iter::repeat_with(|| process.line()).take_while(|line| line != "done").collect();
    lines.sort();
    lines.dedup();
    lines
}

/// EAGAIN. No stack can be as large, so the system starts no thread; the limit of processes would not bind root.
/// Dialing needs a thread to look up a name.
#[test]
fn no_thread() {
    assert_eq!(
        said("export RUST_MIN_STACK=4611686018427387904", "refused", "tcp://localhost:9"),
        ["ResourceExhausted Some(11)"]
    );
}

/// EMFILE.
#[test]
fn no_descriptor() {
    let said = said("ulimit -n 64", "refused-descriptors", "tcp://127.0.0.1:9");
    assert_eq!(said, ["ResourceExhausted Some(24)", "Too many open files (os error 24)"]);
}
