//! Programs that an agent launches, and their ends.

#[cfg(unix)]
pub(super) mod await_programs;
#[cfg(unix)]
pub(super) mod command;
#[cfg(unix)]
pub(super) mod launch;
pub(super) mod launched;
#[cfg(unix)]
pub(super) mod output;
#[cfg(unix)]
pub(super) mod process;
#[cfg(unix)]
pub(super) mod program;
