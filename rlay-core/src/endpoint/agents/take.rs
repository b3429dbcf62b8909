//! Take: which of the environments that have dialed in an agent gets: the first of those it has asked that is made.

use std::time::{Duration, Instant};

use super::agent::Agent;
use crate::{
    endpoint::{
        accept::{
            acceptor::{Acceptor, REPEAT_INTERVAL},
            permits::LONGEST_QUEUE,
        },
        connect::connection::Connection,
        wait::{Wait, absent_after},
    },
    error::{Error, ErrorKind, Result},
    wire::Make,
};

/// The parts of the time for a whole search of which the first environment has one to itself.
const PARTS: u32 = 6;
/// How often those that were asked are looked at, where there are several.
const LOOK: Duration = Duration::from_millis(20);

/// Takes the next environment from the queue and makes it; one that died in the queue is passed over.
///
/// To make one may take long, and a silent host may be busy with that or never answer. So where others wait, one that
/// has not answered for [`handshake_timeout`](crate::ConnectionOptions::handshake_timeout), or for a sixth of the time
/// left if that is shorter, has the next one asked besides, then two more, and so on; the first that is made is taken,
/// and the others are told to dial again. About every second `wait` is told what went wrong with
/// foreign peers.
pub(in crate::endpoint) fn take(acceptor: &Acceptor, make: &Make, wait: &mut Wait<'_>) -> Result<Agent> {
    let began = Instant::now();
    let left = wait.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(began));
    let alone = acceptor.options().handshake_timeout.min(left / PARTS);
    let mut search = Search { make, asked: Vec::new(), gone: None };
    let (mut more, mut is_told) = (1, false);
    loop {
        if search.asked.is_empty() {
            let next = next(acceptor, wait).map_err(|error| match error.kind() {
                ErrorKind::Timeout => search.in_vain(acceptor, began),
                _ => error,
            });
            search.ask(next?, wait)?;
            more = 1;
        }
        let asked_at = Instant::now();
        let made = loop {
            let left = alone.saturating_sub(asked_at.elapsed());
            let made = search.made(&mut wait.within(left.min(REPEAT_INTERVAL)));
            let is_early =
                made.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) && left > REPEAT_INTERVAL;
            if !is_early || wait.check_interrupts().is_err() {
                break made;
            }
            acceptor.repeat_notices(wait);
        };
        match made {
            Ok(Some(agent)) => return Ok(agent),
            Ok(None) => continue,
            Err(error) if error.kind() == ErrorKind::Timeout => {}
            Err(error) => return Err(error),
        }
        acceptor.repeat_notices(wait);
        if let Err(error) = wait.check_interrupts() {
            return Err(if error.kind() == ErrorKind::Timeout {
                search.asked.swap_remove(0).not_made()
            } else {
                error
            });
        }
        if let [first, ..] = &search.asked[..]
            && began.elapsed() >= acceptor.options().notice_after
            && !std::mem::replace(&mut is_told, true)
        {
            wait.warn(&first.what_is_awaited());
        }
        let mut asked = 0;
        while asked < more
            && let Ok(connection) = acceptor.next(&mut Wait::new(Some(Duration::ZERO)))
        {
            search.ask(connection, wait)?;
            asked += 1;
        }
        if asked == more {
            more = (2 * more).min(LONGEST_QUEUE);
        }
    }
}

/// Those that were asked and have not answered.
struct Search<'m> {
    make: &'m Make,
    asked: Vec<Agent>,
    /// How the last one ended that was gone before it had made an environment.
    gone: Option<Error>,
}

impl Search<'_> {
    fn ask(&mut self, connection: Connection, wait: &mut Wait<'_>) -> Result<()> {
        let peer = connection.peer();
        match Agent::ask(connection, self.make, wait) {
            Ok(agent) => self.asked.push(agent),
            Err(error) => self.pass_over(&peer, error, wait)?,
        }
        if self.asked.len() > LONGEST_QUEUE {
            turn_away(&mut self.asked.remove(0));
        }
        Ok(())
    }

    /// The first that is made; `None` if none is left that might be.
    fn made(&mut self, wait: &mut Wait<'_>) -> Result<Option<Agent>> {
        loop {
            let is_alone = self.asked.len() == 1;
            for i in (0..self.asked.len()).rev() {
                let agent = &mut self.asked[i];
                let made = match is_alone {
                    true => agent.take_spec(wait),
                    false => agent.take_spec(&mut Wait::new(Some(Duration::ZERO))),
                };
                match made {
                    Ok(()) => {
                        let agent = self.asked.swap_remove(i);
                        self.asked.iter_mut().for_each(turn_away);
                        return Ok(Some(agent));
                    }
                    Err(error) if error.kind() == ErrorKind::Timeout => wait.check_interrupts()?,
                    Err(error) => {
                        let agent = self.asked.remove(i);
                        self.pass_over(&agent.peer(), error, wait)?;
                    }
                }
            }
            match self.asked.len() {
                0 => return Ok(None),
                1 => {}
                _ => wait.sleep(LOOK)?,
            }
        }
    }

    fn pass_over(&mut self, peer: &str, error: Error, wait: &mut Wait<'_>) -> Result<()> {
        if error.kind() != ErrorKind::ConnectionLost {
            return Err(error);
        }
        if self.gone.is_none() {
            wait.warn(&format!("{peer}: it dialed in and was gone before it had made an environment: {error}"));
        }
        self.gone = Some(error);
        Ok(())
    }

    fn in_vain(&self, acceptor: &Acceptor, began: Instant) -> Error {
        let (address, waited) = (acceptor.address(), began.elapsed().as_secs_f64());
        let text = match &self.gone {
            None => format!(
                "no environment dialed in to {address} within {waited:.1} s; start the game or ClientBackend with this \
                 address, or raise connect_timeout"
            ),
            Some(gone) => format!(
                "whatever dialed in to {address} was gone before it had made an environment ({gone}); look at the log of \
                 the game"
            ),
        };
        let error = Error::new(ErrorKind::Timeout, text);
        self.gone.iter().fold(error, |error, gone| error.with_source(gone.clone()))
    }
}

fn turn_away(agent: &mut Agent) {
    agent.turn_away(&Error::new(ErrorKind::Busy, "another environment that had dialed in was made first; dial again"));
}

/// The next one from the queue; says so if that takes long.
fn next(acceptor: &Acceptor, wait: &mut Wait<'_>) -> Result<Connection> {
    let (began, mut is_told) = (Instant::now(), false);
    acceptor.next_repeating(wait, |wait| {
        if began.elapsed() >= absent_after(acceptor.options().notice_after) && !std::mem::replace(&mut is_told, true) {
            let advice = "start the game or ClientBackend with this address";
            wait.warn(&format!("waiting for an environment to dial in to {}; {advice}", acceptor.address()));
        }
    })
}
