//! Replaceable: an agent's session, and where another one comes from when its environment is lost ([`OnLoss`]).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use super::{agent::Agent, source::Source};
use crate::{
    cancel_token::CancelToken,
    endpoint::{options::OnLoss, wait::Wait},
    error::{Error, ErrorKind, Result},
};

/// A session, and another one in its place when its environment is lost.
#[derive(Debug)]
pub(in crate::endpoint) struct Replaceable {
    pub(in crate::endpoint) agent: Agent,
    /// Where another environment comes from when this one is lost; `None`: nowhere.
    source: Option<Box<Source>>,
    pub(in crate::endpoint) on_loss: OnLoss,
    search: Search,
}

/// The search of a [`RawEnv`](super::super::RawEnv) for another environment. Clones are of the same one.
#[derive(Debug, Clone, Default)]
pub struct Search {
    cancel: CancelToken,
    is_under_way: Arc<AtomicBool>,
    has_begun: Arc<AtomicBool>,
}

impl Search {
    /// Ends the search that is under way, if one is, with an error of kind [`Closed`](ErrorKind::Closed); returns
    /// whether one was. The environment is not to be used after that. For other threads than the one that searches.
    pub fn end(&self) -> bool {
        let is_under_way = self.is_under_way.load(SeqCst);
        if is_under_way {
            self.cancel.cancel();
        }
        is_under_way
    }

    /// Whether a search has begun since this was last asked: what the host told and the log may have changed.
    pub fn take_begun(&self) -> bool {
        self.has_begun.swap(false, SeqCst)
    }
}

impl Replaceable {
    /// The first environment of `source`.
    pub(in crate::endpoint) fn open(source: Source, wait: &mut Wait<'_>) -> Result<Self> {
        let this = Self::of(source.open(wait)?, source.options().on_loss);
        Ok(Self { source: Some(Box::new(source)), ..this })
    }

    /// A session that nothing replaces.
    pub(in crate::endpoint) fn of(agent: Agent, on_loss: OnLoss) -> Self {
        Self { agent, source: None, on_loss, search: Search::default() }
    }

    /// Lets go of where another environment would come from, if none is to come while `on_loss` is what it is: the
    /// listener may end.
    pub(in crate::endpoint) fn let_go_of_source(&mut self) {
        self.source = self.source.take().filter(|source| source.may_replace(self.on_loss));
    }

    /// How often the program may still be launched again.
    pub(in crate::endpoint) fn restarts(&self) -> u32 {
        self.source.as_ref().map_or(0, |source| source.restarts())
    }

    /// The search for another environment, for a thread that may want to end it.
    pub(in crate::endpoint) fn search(&self) -> &Search {
        &self.search
    }

    /// Goes on with another environment if this one is lost and that is wanted; whether it does.
    pub(in crate::endpoint) fn replace(&mut self, wait: &mut Wait<'_>) -> Result<bool> {
        let Some(source) = self.source.as_mut().filter(|source| source.may_replace(self.on_loss)) else {
            return Ok(false);
        };
        if !self.agent.is_lost() {
            return Ok(false);
        }
        self.search.has_begun.store(true, SeqCst);
        self.search.is_under_way.store(true, SeqCst);
        let another = source.another(&mut self.agent, &mut wait.without_deadline().with_cancel(&self.search.cancel));
        self.search.is_under_way.store(false, SeqCst);
        self.agent = another.map_err(|error| match error.kind() {
            ErrorKind::Closed if self.search.cancel.is_cancelled() => {
                Error::new(ErrorKind::Closed, "the environment was closed; make a new one")
            }
            _ => error,
        })?;
        Ok(true)
    }
}
