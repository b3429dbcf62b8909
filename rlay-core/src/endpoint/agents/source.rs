//! Source: where an agent's environment comes from, and another one when that is lost.

use std::{sync::Arc, time::Duration};

use super::{agent::Agent, take::take};
use crate::{
    address::Address,
    endpoint::{
        accept::acceptor::Acceptor,
        connect::dial::dial,
        history::History,
        options::{AgentOptions, OnLoss},
        wait::Wait,
    },
    error::{Error, ErrorKind, Result},
    wire::{Role, Spec},
};

/// Where environments come from, and what they are asked for with.
#[derive(Debug)]
pub(in crate::endpoint) struct Source {
    origin: Origin,
    options: AgentOptions,
    history: History,
}

#[derive(Debug)]
pub(in crate::endpoint) enum Origin {
    /// A host that the agent dials.
    Dialed(Address),
    /// They dial in here.
    Listened(Arc<Acceptor>),
    /// A program that the agent starts, so often again.
    #[cfg(unix)]
    Launched { command: Vec<String>, restarts: u32 },
}

impl Source {
    pub(in crate::endpoint) fn new(origin: Origin, options: AgentOptions) -> Self {
        Self { origin, options, history: History::default() }
    }

    /// The host at `address`, or the program that an `exec:` address names.
    pub(in crate::endpoint) fn at(address: &str, options: AgentOptions) -> Result<Self> {
        #[cfg(unix)]
        if let Some(command) = crate::endpoint::programs::command::command(address)? {
            return Ok(Self::launched(command, options));
        }
        Ok(Self::new(Origin::Dialed(address.parse()?), options))
    }

    /// A program.
    #[cfg(unix)]
    pub(in crate::endpoint) fn launched(command: Vec<String>, options: AgentOptions) -> Self {
        Self::new(Origin::Launched { command, restarts: options.restarts }, options)
    }

    pub(in crate::endpoint) fn options(&self) -> &AgentOptions {
        &self.options
    }

    /// Takes an environment, which is found and made within `connect_timeout`.
    pub(in crate::endpoint) fn open(&self, wait: &mut Wait<'_>) -> Result<Agent> {
        let (options, mut undated) = (&self.options, wait.without_deadline());
        let mut wait = undated.within(options.connection.connect_timeout);
        match &self.origin {
            Origin::Dialed(address) => {
                let connection = dial(address, Role::Agent, &options.connection, &mut wait)?;
                Agent::open(connection, &options.make(), &mut wait)
            }
            Origin::Listened(acceptor) => take(acceptor, &options.make(), &mut wait),
            #[cfg(unix)]
            Origin::Launched { command, .. } => crate::endpoint::programs::launch::launch(command, options, &mut wait),
        }
    }

    /// Whether another environment may take the place of one that is lost.
    pub(in crate::endpoint) fn may_replace(&self, on_loss: OnLoss) -> bool {
        match &self.origin {
            Origin::Dialed(_) | Origin::Listened(_) => on_loss != OnLoss::Raise,
            #[cfg(unix)]
            Origin::Launched { restarts, .. } => *restarts > 0,
        }
    }

    /// How often a program may be launched again.
    pub(in crate::endpoint) fn restarts(&self) -> u32 {
        match &self.origin {
            #[cfg(unix)]
            Origin::Launched { restarts, .. } => *restarts,
            _ => 0,
        }
    }

    /// Takes the environment that is to take the place of one that is lost. It must be of the same spaces. After one
    /// that was lost before its first step there is a pause, for the next may be, too.
    pub(in crate::endpoint) fn another(&mut self, lost: &mut Agent, wait: &mut Wait<'_>) -> Result<Agent> {
        let why = lost.loss().map(Error::to_string).unwrap_or_default();
        // A program that lost its connection alone ends before it is launched again.
        lost.release();
        let name = self.name();
        let how = match &mut self.origin {
            Origin::Dialed(_) => "dialing for another".to_owned(),
            Origin::Listened(_) => "waiting for another to dial in".to_owned(),
            #[cfg(unix)]
            Origin::Launched { restarts, .. } => {
                *restarts = restarts.saturating_sub(1);
                format!("launching it again, at most {restarts} times more")
            }
        };
        match lost.take_played() {
            true => self.history.played(),
            false => self.history.came_to_nothing(),
        }
        if let Some((line, _)) = self.history.line(&name, &format!("the environment is lost ({why}); {how}")) {
            wait.warn(&line);
        }
        let _ = wait.within(self.options.connection.connect_timeout).sleep(self.history.pause());
        wait.check_interrupts()?;
        self.open_like(lost.spec(), wait)
    }

    /// Takes an environment, which must be of these spaces.
    pub(in crate::endpoint) fn open_like(&self, spec: &Spec, wait: &mut Wait<'_>) -> Result<Agent> {
        let mut agent = self.open(wait)?;
        if let Some((space, how)) = spec.other_space(agent.spec()) {
            let name = self.name();
            let text = format!("{name} has another {space} than before: {how}; make a new environment");
            let error = Error::new(ErrorKind::Incompatible, text);
            // Its host is to know why it is not played.
            agent.leave(&error);
            return Err(error);
        }
        Ok(agent)
    }

    /// Asks each host from now on for so many environments.
    pub(in crate::endpoint) fn ask_for_slots(&mut self, slots: u32) {
        self.options.num_envs = slots;
    }

    /// How long each search may take from now on.
    pub(in crate::endpoint) fn set_connect_timeout(&mut self, timeout: Duration) {
        self.options.connection.connect_timeout = timeout;
    }

    /// For people.
    fn name(&self) -> String {
        match &self.origin {
            Origin::Dialed(address) => address.to_string(),
            Origin::Listened(acceptor) => acceptor.address().to_string(),
            #[cfg(unix)]
            Origin::Launched { command, .. } => crate::endpoint::programs::program::title(command),
        }
    }
}
