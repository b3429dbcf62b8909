//! Launch: starts an environment's program, which dials in, and takes it as the environment.

use std::time::Duration;

use super::{
    Acceptor, Agent, Options, Wait,
    program::{ADDRESS_VARIABLE, Program},
    wait::SLICE,
};
use crate::{
    address::Address,
    error::{Error, ErrorKind, Result},
    token::TOKEN_VARIABLE,
    wire::Role,
};

/// What stands before a command where an address is expected.
const EXEC: &str = "exec:";
/// Where a program that is launched dials in.
const LISTEN: &str = "tcp://127.0.0.1:0";

/// The command behind `exec:`, split into arguments as a shell would, without one: nothing is expanded.
///
/// ```
/// use rlay::endpoint::command;
///
/// assert_eq!(command("exec:./game --level 'the first'")?.unwrap(), ["./game", "--level", "the first"]);
/// assert_eq!(command("tcp://127.0.0.1:5005")?, None);
/// # Ok::<(), rlay::Error>(())
/// ```
pub fn command(address: &str) -> Result<Option<Vec<String>>> {
    let Some(text) = address.strip_prefix(EXEC) else { return Ok(None) };
    match shlex::split(text) {
        Some(words) if !words.is_empty() => Ok(Some(words)),
        Some(_) => Err(Error::new(ErrorKind::Address, format!("{address:?} names no command, as in exec:./game"))),
        None => Err(Error::new(ErrorKind::Address, format!("{address:?}: a quotation mark is not closed"))),
    }
}

/// Starts `command` and makes the environment that dials in, waited for at most `options.connect_timeout` in all.
///
/// The program finds the address to dial in the environment variable `RLAY_ADDRESS`, and the token, if there is one,
/// in `RLAY_TOKEN`. What it prints goes to `options.log`. It is ended with the [`Agent`] that this gives, and errors of a lost connection say how it ended and what it printed last.
pub fn launch(command: &[String], options: &Options, wait: &mut Wait<'_>) -> Result<Agent> {
    let listen: Address = LISTEN.parse()?;
    // One session: a spare that the program dials has nobody to wait for. Its connection ends with the program.
    let own = Options { max_sessions: 1, reconnect_timeout: Some(Duration::ZERO), ..options.clone() };
    let acceptor = Acceptor::bind(&listen, Role::Agent, &own)?;
    let address = acceptor.address().to_string();
    let mut variables = vec![(ADDRESS_VARIABLE, address.clone().into())];
    variables.extend(options.token.as_ref().map(|token| (TOKEN_VARIABLE, token.secret())));
    let program = Program::start(command, variables, options.log.as_deref())?;
    loop {
        match acceptor.next(&mut wait.within(SLICE)) {
            Ok(connection) => match Agent::open(connection, &options.make(), wait) {
                Ok(mut agent) => {
                    acceptor.close();
                    agent.run_by(program);
                    return Ok(agent);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionLost => return Err(program.explain(&error)),
                Err(error) => return Err(error),
            },
            Err(error) if error.kind() == ErrorKind::Timeout => {}
            Err(error) => return Err(error),
        }
        if let Some(end) = program.obituary() {
            return Err(Error::new(ErrorKind::ConnectionLost, format!("before it dialed in, {end}")));
        }
        wait.look().map_err(|error| match error.kind() {
            ErrorKind::Timeout => Error::new(
                ErrorKind::Timeout,
                format!(
                    "{} did not dial in to {address}, which it finds in {ADDRESS_VARIABLE}; does it host an \
                     environment, as with ClientBackend? or raise connect_timeout",
                    command[0]
                ),
            ),
            _ => error,
        })?;
    }
}
