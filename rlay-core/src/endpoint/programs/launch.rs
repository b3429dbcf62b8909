//! Launch: starts an environment's program, which dials in, and takes it as the environment.

use std::time::{Duration, Instant};

use super::{
    launched::ADDRESS_VARIABLE,
    program::{Program, title},
};
use crate::{
    address::Address,
    endpoint::{
        accept::acceptor::Acceptor,
        agents::agent::Agent,
        options::AgentOptions,
        wait::{SLICE, Wait},
    },
    error::{Error, ErrorKind, Result},
    token::{TOKEN_VARIABLE, Token},
    wire::Role,
};

/// Where a program that is launched dials in.
const LISTEN: &str = "tcp://127.0.0.1:0";
/// How long a program has to end by itself that did dial in but is no environment to use.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// Starts `command` and makes the environment that dials in, waited for at most `connect_timeout` in all.
///
/// The program finds the address to dial in the environment variable `RLAY_ADDRESS`, and in `RLAY_TOKEN` the token that
/// admits it alone: that of `options`, or one that is made for this launch. What it prints goes to
/// [`log`](AgentOptions::log). It ends with the [`Agent`] that this gives, and errors of a lost connection say how it
/// ended and what it printed last. It must be this program that stays: where it ends, what it has left in its process
/// group is ended, too. What it leaves outside of that is read no further once the program has ended and its
/// environment is closed.
pub(in crate::endpoint) fn launch(command: &[String], options: &AgentOptions, wait: &mut Wait<'_>) -> Result<Agent> {
    let listen: Address = LISTEN.parse()?;
    // Every user of this machine can dial a port of it.
    let token = options.connection.token.clone().map_or_else(Token::random, Ok)?;
    let variable = token.secret();
    // One session: a spare that the program dials would wait in vain. Its connection ends with the program.
    let own = options.connection.clone().max_sessions(1).reconnect_timeout(Duration::ZERO).token(token);
    let acceptor = Acceptor::bind(&listen, Role::Agent, &own)?;
    let address = acceptor.address().to_string();
    let variables = vec![(ADDRESS_VARIABLE, address.into()), (TOKEN_VARIABLE, variable)];
    let (log, later) = (options.log.as_deref(), wait.told_later());
    let program = Program::start(command, variables, log, options.close_timeout, later)?;
    let mut has_dialed = false;
    let met = meet(&acceptor, &program, (&title(command), options), &mut has_dialed, wait);
    // What it dials from now on is refused, and tells it that it is not needed.
    acceptor.close();
    repeat_notices(&acceptor, wait);
    match met {
        Ok(mut agent) => {
            agent.run_by(program);
            Ok(agent)
        }
        Err(error) => {
            let timeout = if has_dialed { PARTING_TIME } else { Duration::ZERO };
            let _ = program.end(timeout, "after its launch has failed", &mut wait.without_deadline());
            Err(error)
        }
    }
}

/// Waits for the program to dial in, and asks it for its environment.
fn meet(
    acceptor: &Acceptor,
    program: &Program,
    (name, options): (&str, &AgentOptions),
    has_dialed: &mut bool,
    wait: &mut Wait<'_>,
) -> Result<Agent> {
    let (began, mut is_told) = (Instant::now(), false);
    loop {
        match acceptor.next(&mut wait.within(SLICE)) {
            Ok(connection) => {
                *has_dialed = true;
                let agent = Agent::open(connection, &options.make(), wait).map_err(|error| match error.kind() {
                    ErrorKind::ConnectionLost => program.explain(&error),
                    ErrorKind::Timeout => error.advice(&program.last_lines()),
                    _ => error,
                })?;
                return match program.exit_report(true) {
                    None => Ok(agent),
                    Some(end) => Err(Error::new(ErrorKind::ConnectionLost, end)),
                };
            }
            Err(error) if error.kind() == ErrorKind::Timeout => {}
            Err(error) => return Err(error),
        }
        repeat_notices(acceptor, wait);
        if let Some(end) = program.exit_report(false) {
            let end = without_token(acceptor).map_or_else(|| end.clone(), |why| format!("{why}; {end}"));
            return Err(Error::new(ErrorKind::ConnectionLost, format!("before it dialed in, {end}")));
        }
        wait.check_interrupts().map_err(|error| match error.kind() {
            ErrorKind::Timeout => {
                let advice = "does it host an environment, as with ClientBackend? or raise connect_timeout";
                let advice = without_token(acceptor).unwrap_or_else(|| advice.to_owned());
                let (address, last) = (acceptor.address(), program.last_lines());
                let text = format!("{name} did not dial in to {address}, which it finds in {ADDRESS_VARIABLE}");
                Error::new(ErrorKind::Timeout, format!("{text}; {advice}; {last}")).with_source(error)
            }
            _ => error,
        })?;
        if began.elapsed() >= options.connection.notice_after && !std::mem::replace(&mut is_told, true) {
            wait.warn(&format!("still waiting for {name} to dial in; {}", program.printed()));
        }
    }
}

/// The error of a dialer that did not know the token, if one has dialed.
fn without_token(acceptor: &Acceptor) -> Option<String> {
    let error = acceptor.unauthorized()?;
    Some(format!("a program dialed without the launch's token, which it finds in {TOKEN_VARIABLE} ({error})"))
}

/// Tells of those that were refused where `tracing` is not what people read.
fn repeat_notices(acceptor: &Acceptor, wait: &mut Wait<'_>) {
    acceptor.notices().iter().for_each(|line| wait.repeat(line));
}
