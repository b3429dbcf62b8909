//! The binary `rlay`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(rlay_cli::run(std::env::args_os()))
}
