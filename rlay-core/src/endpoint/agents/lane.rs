//! Lane: the session that some env slots of a vector environment have, and the search for another one when it is lost.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
};

use smallvec::SmallVec;

use super::{agent::Agent, source::Source};
use crate::{
    cancel_token::CancelToken,
    endpoint::{
        options::OnLoss,
        wait::{Notice, SLICE, Tell, Wait},
    },
    error::{Error, ErrorKind, Result},
    printable::log_entry,
    session::{agent_core::Reply, received::Received},
    value::Value,
    wire::{Reset, Rows, Spec},
};

/// The session of the slots from `first` on, `slots` of them.
#[derive(Debug)]
pub(in crate::endpoint) struct Lane {
    pub(in crate::endpoint) first: u32,
    pub(in crate::endpoint) slots: u32,
    state: State,
    /// Requests whose answers have not come.
    pub(in crate::endpoint) under_way: usize,
    cancel: CancelToken,
}

#[derive(Debug)]
enum State {
    Playing {
        agent: Box<Agent>,
        source: Option<Source>,
    },
    /// A thread looks for another environment.
    Searching(Receiver<Found>),
    /// One was found.
    Found(Found),
    /// Only for as long as one becomes the other, or where no thread could be started.
    Gone,
}

/// An environment in the place of one that was lost, which has begun an episode.
#[derive(Debug)]
pub(in crate::endpoint) struct Found {
    agent: Box<Agent>,
    source: Source,
    rows: Rows,
    received: Received,
}

impl Lane {
    /// A lane whose session has as many slots as its spec says.
    pub(in crate::endpoint) fn new(first: u32, agent: Agent, mut source: Source, cancel: CancelToken) -> Self {
        let slots = agent.spec().slots;
        source.ask_for_slots(slots);
        let state = State::Playing { agent: Box::new(agent), source: Some(source) };
        Self { first, slots, state, under_way: 0, cancel }
    }

    /// A lane that waits for its first environment, which has to have the spaces of the one that `like` is with.
    pub(in crate::endpoint) fn vacant(
        first: u32,
        slots: u32,
        source: Source,
        like: &Agent,
        cancel: CancelToken,
        tell: Tell,
    ) -> Self {
        let mut lane = Self { first, slots, state: State::Gone, under_way: 0, cancel };
        lane.search(source, Lost::never_there(like), tell);
        lane
    }

    /// The session, unless the lane is vacant.
    pub(in crate::endpoint) fn agent(&mut self) -> Option<&mut Agent> {
        match &mut self.state {
            State::Playing { agent, .. } => Some(agent),
            _ => None,
        }
    }

    /// The same for a look at it.
    pub(in crate::endpoint) fn session(&self) -> Option<&Agent> {
        match &self.state {
            State::Playing { agent, .. } => Some(agent),
            _ => None,
        }
    }

    /// Ends the search for another environment, if one is under way.
    pub(in crate::endpoint) fn cancel_search(&self) {
        self.cancel.cancel();
    }

    /// Whether a thread looks for an environment.
    pub(in crate::endpoint) fn is_vacant(&self) -> bool {
        self.session().is_none()
    }

    /// Whether its session is lost and nothing looks for another one yet.
    pub(in crate::endpoint) fn is_lost(&self) -> bool {
        self.session().is_some_and(Agent::is_lost)
    }

    /// Whether another environment may come when this one is lost.
    pub(in crate::endpoint) fn may_replace(&self, on_loss: OnLoss) -> bool {
        match &self.state {
            State::Playing { source: Some(source), .. } => source.may_replace(on_loss),
            State::Playing { source: None, .. } => false,
            _ => true,
        }
    }

    /// Begins to look for another environment.
    pub(in crate::endpoint) fn replace(&mut self, tell: Tell) {
        self.under_way = 0;
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Playing { agent, source: Some(source) } => self.search(source, Lost::Agent(agent), tell),
            state => self.state = state,
        }
    }

    fn search(&mut self, mut source: Source, lost: Lost, tell: Tell) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (cancel, slots) = (self.cancel.clone(), self.slots);
        source.ask_for_slots(slots);
        let search = move || {
            if let Some(found) = search(source, lost, slots, &cancel, tell) {
                let _ = sender.send(found);
            }
        };
        self.state = match thread::Builder::new().name("rlay-lane".into()).spawn(search) {
            Ok(_) => State::Searching(receiver),
            Err(_) => State::Gone,
        };
    }

    /// Whether an environment was found, which [`take_found`](Self::take_found) takes.
    pub(in crate::endpoint) fn has_found(&mut self) -> bool {
        if let State::Searching(search) = &self.state
            && let Ok(found) = search.try_recv()
        {
            self.state = State::Found(found);
        }
        matches!(self.state, State::Found(_))
    }

    /// Takes the environment that was found, if one was; its first rows, by the slots of the vector environment.
    pub(in crate::endpoint) fn take_found(&mut self) -> Option<(Rows, Received)> {
        if !self.has_found() {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Found(found) => Some(self.settle(found)),
            _ => None,
        }
    }

    /// The same, once there is one.
    pub(in crate::endpoint) fn await_found(&mut self, wait: &mut Wait<'_>) -> Result<(Rows, Received)> {
        loop {
            if let Some(first) = self.take_found() {
                return Ok(first);
            }
            let State::Searching(search) = &self.state else { return Err(ended()) };
            match search.recv_timeout(SLICE) {
                Ok(found) => self.state = State::Found(found),
                Err(RecvTimeoutError::Timeout) => wait.check_interrupts()?,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            }
        }
    }

    fn settle(&mut self, found: Found) -> (Rows, Received) {
        let Found { agent, source, mut rows, received } = found;
        self.state = State::Playing { agent, source: Some(source) };
        rows.iter_mut().for_each(|row| row.slot += self.first);
        (rows, received)
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Closed, "the search for an environment has ended; make a new vector environment")
}

/// What an environment that is looked for takes the place of.
enum Lost {
    Agent(Box<Agent>),
    /// Nothing yet.
    NeverThere {
        spec: Box<Spec>,
    },
}

impl Lost {
    fn never_there(like: &Agent) -> Self {
        Self::NeverThere { spec: Box::new(like.spec().clone()) }
    }
}

/// Looks for an environment of as many slots and of the same spaces until there is one, and begins an episode in it.
/// What does not fit is refused alone. `None`: it was cancelled.
fn search(mut source: Source, mut lost: Lost, slots: u32, cancel: &CancelToken, tell: Tell) -> Option<Found> {
    loop {
        let mut notice = |what: Notice<'_>| tell(what);
        let mut wait = Wait::default().with_cancel(cancel).with_notices(&mut notice);
        let another = match &mut lost {
            Lost::Agent(agent) => source.another(agent, &mut wait),
            Lost::NeverThere { spec } => source.open_like(spec, &mut wait),
        };
        let found = another.and_then(|mut agent| {
            let first = begin(&mut agent, slots, &mut wait);
            first.map(|(rows, received)| (agent, rows, received))
        });
        match found {
            Ok((agent, rows, received)) => return Some(Found { agent: Box::new(agent), source, rows, received }),
            Err(_) if cancel.is_cancelled() => return None,
            // That none has come yet is no news.
            Err(error) if error.kind() == ErrorKind::Timeout => {}
            Err(error) => {
                wait.warn(&log_entry(&error.to_string()));
                wait.sleep(SLICE).ok()?;
            }
        }
    }
}

/// Begins an episode in each slot.
fn begin(agent: &mut Agent, slots: u32, wait: &mut Wait<'_>) -> Result<(Rows, Received)> {
    let result = check_slots(agent.spec(), slots).and_then(|()| {
        let rows: SmallVec<_> = (0..slots).map(|slot| (slot, None)).collect();
        agent.send_reset(&Reset { rows, options: Value::None }, wait)?;
        match agent.receive_reply(wait)? {
            Reply::Rows(_, rows, received) => Ok((rows, received)),
            _ => Err(Error::protocol("a reset was answered with something else")),
        }
    });
    if let Err(error) = &result {
        agent.leave(error);
    }
    result
}

/// Refuses an environment of another number of slots.
pub(in crate::endpoint) fn check_slots(spec: &Spec, slots: u32) -> Result<()> {
    let has = spec.slots;
    if has == slots {
        return Ok(());
    }
    let text = format!(
        "{slots} environments were asked for, and the host has {has}; ask for as many, or take a host that makes them"
    );
    Err(Error::new(ErrorKind::Incompatible, text))
}
