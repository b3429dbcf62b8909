//! The command `rlay`: checks, inspects and measures RLay endpoints, in whichever language they are written.
//!
//! | command | |
//! |---|---|
//! | `rlay check ADDRESS` | judges an implementation of `docs/wire.md` that hosts environments |
//! | `rlay inspect ADDRESS` | shows what is hosted there |
//! | `rlay bench ADDRESS` | measures steps per second and latency |
//! | `rlay serve ENV` | hosts environments (in the Python package alone) |
//! | `rlay pin FILE` | prints the fingerprint of a certificate |
//! | `rlay version` | prints the version |
//!
//! # Exit codes
//!
//! | code | |
//! |---|---|
//! | 0 | good |
//! | 1 | a check failed |
//! | 2 | the arguments make no sense |
//! | 3 | there is no session with the peer: nothing listens, nothing dials in, or the peer refuses |
//! | 130 | Ctrl-C (as a shell shows the end by SIGINT) |
//!
//! Ctrl-C ends the process at once, for there is nothing here that must be put in order first.

mod arguments;
mod bench;
mod check;
mod connection;
mod echo;
mod frames;
mod inspect;
mod json;
mod output;
mod printer;
mod session;
mod stream;
mod target;

use std::ffi::OsString;

use clap::Parser;
use rlay::{Error, ErrorKind, Result};

use arguments::{Arguments, Command};

/// The exit code of a command that did what was asked.
pub const GOOD: u8 = 0;
/// The exit code of `check` where a check failed.
pub const FAILED: u8 = 1;
/// The exit code where the arguments make no sense.
pub const USAGE: u8 = 2;
/// The exit code where there is no session with the peer.
pub const NO_SESSION: u8 = 3;

/// Runs the command with its arguments, the program's name first, and returns the exit code.
///
/// Errors are printed to the standard error output, each with what to try next.
///
/// ```
/// assert_eq!(rlay_cli::run(["rlay", "version"]), rlay_cli::GOOD);
/// assert_eq!(rlay_cli::run(["rlay", "no-such-command"]), rlay_cli::USAGE);
/// ```
pub fn run<I>(arguments: I) -> u8
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help goes to the standard output, errors to the other.
            let _ = error.print();
            return if error.use_stderr() { USAGE } else { GOOD };
        }
    };
    match obey(parsed.command) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&format!("rlay: {error}"));
            match error.kind() {
                ErrorKind::Usage | ErrorKind::Address => USAGE,
                _ => NO_SESSION,
            }
        }
    }
}

fn obey(command: Command) -> Result<u8> {
    match command {
        Command::Version => output::say(&format!("rlay {}", env!("CARGO_PKG_VERSION"))),
        Command::Pin { file } => output::say(&rlay_tls::Pin::of_file(&file)?.to_string()),
        Command::Inspect(arguments) => inspect::inspect(&arguments)?,
        Command::Check(arguments) => return check::check(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments)?,
        Command::Serve { .. } => {
            return Err(Error::new(
                ErrorKind::Usage,
                "environments are hosted by the Python package: pip install ./rlay-gym, then `python -m rlay serve`; \
                 in Rust see rlay::ServerBackend",
            ));
        }
    }
    Ok(GOOD)
}
