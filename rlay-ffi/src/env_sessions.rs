//! EnvSessions: the sessions of an environment, of which each that has an agent is polled, and one that waits for one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rlay::{
    CancelToken, Error, ErrorKind, HostOptions, Outcome as Answer,
    endpoint::{Acceptor, History, Notice, RawPoll, RawTurn, SlabSizes, Wait},
    wire::Spec,
};

use crate::{
    options::Log,
    status::{Fault, Outcome, rlay_Status::*},
    turn::{Held, rlay_Turn},
};

/// How long an answer may take that the agent does not take in.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one of several sessions is waited for before the others are looked at.
const SLICE: Duration = Duration::from_millis(1);

/// Where agents come from.
#[derive(Debug)]
pub(crate) enum Origin {
    Accepted(Arc<Acceptor>),
    Dialed(String),
}

/// An environment, as one thread has it.
#[derive(Debug)]
pub(crate) struct EnvSessions {
    sessions: Vec<Session>,
    /// The session that waits for an agent, until it has one.
    spare: Option<usize>,
    /// Why no further agent is dialed: the one that has launched this program is gone. Its other sessions play on.
    closed: Option<Fault>,
    /// Where the next poll begins, so that each session has its turn.
    next: usize,
    origin: Origin,
    /// `None`: the program makes one for each agent.
    spec: Option<Spec>,
    options: HostOptions,
    max_sessions: usize,
    /// What the sessions have in common: how long to pause before another agent is dialed.
    history: Arc<History>,
    log: Log,
    /// The number of the last turn.
    number: u64,
    /// The buffers of the next answer.
    pub(crate) answer: Answer,
}

/// The session of one agent.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) raw: RawPoll,
    pub(crate) spec: Spec,
    /// `None`: observations have no packed form.
    pub(crate) sizes: Option<SlabSizes>,
    /// For each slot, what it was asked for.
    held: Vec<Held>,
}

impl Session {
    /// What is held of a slot.
    pub(crate) fn held(&mut self, slot: u32) -> &mut Held {
        &mut self.held[slot as usize]
    }

    /// Takes the description of its environment.
    pub(crate) fn describe(&mut self, spec: Spec) {
        self.sizes = SlabSizes::of(&spec.observation_space);
        self.held.resize_with(spec.slots as usize, Held::default);
        self.spec = spec;
    }
}

impl EnvSessions {
    pub(crate) fn new(
        origin: Origin,
        spec: Option<Spec>,
        options: HostOptions,
        most: usize,
        log: Log,
    ) -> Outcome<Self> {
        let mut env = Self {
            sessions: Vec::new(),
            spare: None,
            closed: None,
            next: 0,
            origin,
            spec,
            options,
            max_sessions: most,
            history: Arc::default(),
            log,
            number: 0,
            answer: Answer::default(),
        };
        env.add()?;
        Ok(env)
    }

    /// Adds a session that waits for an agent.
    fn add(&mut self) -> Outcome {
        let spec = self.spec.clone().unwrap_or_default();
        let options = self.options.clone();
        let raw = match &self.origin {
            Origin::Accepted(acceptor) => RawPoll::accepting(spec.clone(), acceptor.clone(), options)?,
            Origin::Dialed(address) => RawPoll::new(spec.clone(), address, options)?,
        };
        let raw = raw.recalling(self.history.clone());
        let raw = if self.spec.is_none() { raw.asking_make() } else { raw };
        let mut session = Session { raw, spec: Spec::default(), sizes: None, held: Vec::new() };
        session.describe(spec);
        self.spare = Some(self.sessions.len());
        self.sessions.push(session);
        Ok(())
    }

    /// Sees to it that one session waits for an agent, if there may be more of them.
    fn keep_spare(&mut self) -> Outcome {
        let is_free = |session: &Session| !session.raw.is_taken();
        if self.spare.is_some_and(|spare| is_free(&self.sessions[spare])) {
            return Ok(());
        }
        if self.closed.is_some() {
            return Ok(());
        }
        self.spare = self.sessions.iter().position(is_free);
        if self.spare.is_none() && self.sessions.len() < self.max_sessions { self.add() } else { Ok(()) }
    }

    /// Whether session `at` may have a turn.
    fn is_polled(&self, at: usize) -> bool {
        let raw = &self.sessions[at].raw;
        !raw.is_owed() && (raw.is_taken() || self.spare == Some(at))
    }

    /// The next turn, waited for at most `timeout`.
    pub(crate) fn poll(&mut self, timeout: Duration, cancel: &CancelToken) -> Outcome<rlay_Turn> {
        // A poll reads no clock here: that takes longer than all else that it does here.
        let end = if timeout.is_zero() { None } else { Instant::now().checked_add(timeout) };
        let left = || end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
        loop {
            self.keep_spare()?;
            let count = self.sessions.len();
            let polled = (0..count).filter(|at| self.is_polled(*at)).count();
            if let Some(closed) = self.closed.take_if(|_| !self.sessions.iter().any(|session| session.raw.is_taken())) {
                return Err(closed);
            }
            if polled == 0 {
                return Err(Fault::new(RLAY_USAGE, "the last turn is not answered yet; reply to it first"));
            }
            let begin = self.next;
            for at in (begin..begin + count).map(|at| at % count) {
                if !self.is_polled(at) {
                    continue;
                }
                let time = if polled == 1 { left() } else { Duration::ZERO };
                if let Some(turn) = self.turn(at, time, cancel)? {
                    return Ok(turn);
                }
            }
            if left().is_zero() {
                return Ok(rlay_Turn::none());
            }
            if polled > 1 {
                let at = (begin..begin + count).map(|at| at % count).find(|at| self.is_polled(*at)).unwrap_or(0);
                self.next = (at + 1) % count;
                if let Some(turn) = self.turn(at, SLICE.min(left()), cancel)? {
                    return Ok(turn);
                }
            }
        }
    }

    /// The next turn of one session. A spare one that finds no agent any more does not end those that play.
    fn turn(&mut self, at: usize, time: Duration, cancel: &CancelToken) -> Outcome<Option<rlay_Turn>> {
        let turn = self.asked_turn(at, time, cancel);
        match turn {
            Err(fault) if fault.status == RLAY_CLOSED && !cancel.is_cancelled() && self.spare == Some(at) => {
                (self.spare, self.closed) = (None, Some(fault));
                Ok(None)
            }
            turn => turn,
        }
    }

    fn asked_turn(&mut self, at: usize, time: Duration, cancel: &CancelToken) -> Outcome<Option<rlay_Turn>> {
        let log = self.log;
        let mut tell = |notice: Notice<'_>| log.tell(notice);
        let session = &mut self.sessions[at];
        let mut wait = Wait::new(Some(time)).with_cancel(cancel).with_notices(&mut tell);
        let Some((slot, asked)) = session.raw.turn(&mut wait)? else { return Ok(None) };
        self.next = (at + 1) % self.sessions.len();
        self.number += 1;
        let session = &mut self.sessions[at];
        let mut turn = rlay_Turn { session: at as u32, slot, number: self.number, ..rlay_Turn::none() };
        if let RawTurn::Close(_) = asked {
            session.held.iter_mut().for_each(|held| held.number = 0);
        }
        let held =
            session.held.get_mut(slot as usize).ok_or_else(|| Fault::new(RLAY_PANIC, "a slot without a place"))?;
        held.keep(asked, session.raw.render_mode(), &mut turn);
        Ok(Some(turn))
    }

    /// The session of a turn that is to be answered.
    pub(crate) fn asked(&mut self, turn: &rlay_Turn) -> Outcome<&mut Session> {
        let is_asked = |held: &Held| held.number == turn.number && turn.number > 0;
        match self.sessions.get_mut(turn.session as usize) {
            Some(session) if session.held.get(turn.slot as usize).is_some_and(is_asked) => Ok(session),
            _ => Err(Fault::new(RLAY_USAGE, "this turn was answered, or its agent is gone, or it wants no answer")),
        }
    }

    /// Answers a turn by `send`, after which it cannot be answered again.
    pub(crate) fn reply(
        &mut self,
        turn: &rlay_Turn,
        cancel: &CancelToken,
        send: impl FnOnce(&mut Session, u32, &mut Answer, &mut Wait<'_>) -> rlay::Result<()>,
    ) -> Outcome {
        let log = self.log;
        let mut tell = |notice: Notice<'_>| log.tell(notice);
        let mut answer = std::mem::take(&mut self.answer);
        let session = self.asked(turn)?;
        session.held[turn.slot as usize].number = 0;
        let mut wait = Wait::new(Some(REPLY_TIMEOUT)).with_cancel(cancel).with_notices(&mut tell);
        let sent = send(session, turn.slot, &mut answer, &mut wait);
        if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            session.raw.close();
            session.held.iter_mut().for_each(|held| held.number = 0);
        }
        self.answer = answer;
        sent.map_err(|error| match error.kind() {
            ErrorKind::Timeout => {
                let text = format!("the agent takes no answer in for {REPLY_TIMEOUT:?}; its session has ended");
                Error::new(ErrorKind::Timeout, text).into()
            }
            _ => error.into(),
        })
    }
}

impl Drop for EnvSessions {
    fn drop(&mut self) {
        self.sessions.iter_mut().for_each(|session| session.raw.close());
        if let Origin::Accepted(acceptor) = &self.origin {
            acceptor.close();
        }
    }
}
