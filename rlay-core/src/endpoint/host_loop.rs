//! Host: a session and the environment behind it. One frame in, one frame out; and the blocking loop around that.

use std::{
    fmt,
    time::{Duration, Instant},
};

use smallvec::smallvec;

use super::{
    Connection, History, Notice, Wait,
    journal::{Journal, Last, Missing},
    visit::Visit,
    wait::ABSENT,
};
use crate::{
    env::render_modes,
    error::{EnvFailure, Error, ErrorKind, Result},
    frame::Frame,
    host::{HostEnv, Outcome},
    offers::Offers,
    session::{EnvEvent, EnvSession},
    value::Value,
    wire::{Frames, Goodbye, Kind, Limits, Make, Row, put_value},
};

/// How long the last frame of a session may take.
const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// Makes the environment that an agent asks for.
pub type Factory<'m> = dyn FnMut(&Make) -> Result<Box<dyn HostEnv + 'm>> + 'm;

/// Answers the requests of one session from one environment. It sees no channel: any loop can turn it.
pub struct Host<'m> {
    session: EnvSession,
    factory: &'m mut Factory<'m>,
    env: Option<Box<dyn HostEnv + 'm>>,
    outcome: Outcome,
    head: Vec<u8>,
    /// What follows `head` in the answer, which stays until there is another.
    body: Body,
    /// The answers before it that the agent may not have.
    journal: Journal,
    limits: Limits,
    tracebacks: bool,
    offers: Offers,
    visit: Visit,
    /// What the host remembers of other sessions; `None`: nothing.
    history: Option<&'m History>,
    /// What the agent asked for last, for people.
    last: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Nothing,
    Outcome,
    InPlace,
}

/// What to do after a frame was handled.
#[derive(Debug)]
pub enum Turn {
    /// Send [`Host::answer`].
    Answer,
    /// The agent ended the session.
    End(Error),
    /// Send [`Host::answer`], then end the session: the agent broke the protocol.
    Abort(Error),
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("session", &self.session).field("env", &self.env).finish_non_exhaustive()
    }
}

impl<'m> Host<'m> {
    /// A host whose environment `factory` makes once the agent asks for it.
    pub fn new(factory: &'m mut Factory<'m>, limits: Limits, tracebacks: bool) -> Self {
        Self {
            session: EnvSession::new(),
            factory,
            env: None,
            outcome: Outcome::default(),
            head: Vec::new(),
            body: Body::Nothing,
            journal: Journal::default(),
            limits,
            tracebacks,
            offers: Offers::default(),
            visit: Visit::default(),
            history: None,
            last: "it has not begun yet",
        }
    }

    /// The same host, one of several that have a history in common.
    #[must_use]
    pub fn recalling(self, history: &'m History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// The same host, of which agents may ask for more than the environment as it is.
    #[must_use]
    pub fn offering(self, offers: Offers) -> Self {
        Self { offers, ..self }
    }

    /// Input: a frame arrived.
    pub fn handle(&mut self, frame: &[u8]) -> Turn {
        let event = self.session.handle(frame, &self.limits);
        if let Ok(event) = &event {
            self.last = what_came(event);
        }
        self.turn_page();
        match event {
            Err(error) => {
                self.session.abort(&error, &mut self.head);
                Turn::Abort(error)
            }
            Ok(EnvEvent::Over(error)) => {
                self.visit.goodbye(&error);
                Turn::End(error)
            }
            Ok(EnvEvent::Refused { request, error }) => {
                self.session.refusal(request, &error, &mut self.head);
                Turn::Answer
            }
            Ok(EnvEvent::Make { request, make }) => {
                let result = self.make(&make).and_then(|env| {
                    match self.session.spec(&env.spec(), &mut self.head) {
                        Ok(()) => self.env = Some(env),
                        Err(error) => return Err(let_go(env, error)),
                    }
                    Ok(())
                });
                self.visit.asked(&result);
                self.settle(request, result)
            }
            Ok(EnvEvent::Reset { request, reset }) => {
                let seed = reset.rows.first().and_then(|(_, seed)| seed.as_ref());
                let result = match &mut self.env {
                    Some(env) => env.reset_into(seed, &reset.options, &mut self.outcome),
                    None => Err(closed()),
                };
                let result = result.and_then(|()| self.row(request, true));
                if result.is_ok() {
                    self.visit.reset();
                }
                self.settle(request, result)
            }
            Ok(EnvEvent::Step { request, payload, .. }) => {
                let result = match &mut self.env {
                    Some(env) => env.step_into(payload, &mut self.outcome),
                    None => Err(closed()),
                };
                let result = result.and_then(|()| self.row(request, false));
                if result.is_ok()
                    && self.visit.step()
                    && let Some(history) = self.history
                {
                    history.played();
                }
                self.settle(request, result)
            }
            Ok(EnvEvent::Render { request, .. }) => {
                let result = self.env.as_mut().map_or_else(|| Err(closed()), |env| env.render());
                let result = result.and_then(|frame| {
                    // Measured before it has a number, for a numbered message must be sent.
                    self.outcome.observation.clear();
                    put_value(&mut self.outcome.observation, &frame);
                    check_size(self.outcome.observation.len(), &self.limits)?;
                    self.session.frames(request, &Frames(smallvec![(0, frame)]), &mut self.head)
                });
                self.settle(request, result)
            }
            Ok(EnvEvent::Close { request }) => {
                self.visit.closed();
                let result = self.close_env().and_then(|()| self.session.closed(&mut self.head));
                self.settle(request, result)
            }
        }
    }

    /// Output: the frame to send, in two parts.
    pub fn answer(&self) -> (&[u8], &[u8]) {
        let body = match self.body {
            Body::Nothing => None,
            Body::Outcome => Some(&self.outcome.observation[..]),
            Body::InPlace => self.env.as_ref().and_then(|env| env.observation()),
        };
        (&self.head, body.unwrap_or_default())
    }

    fn last(&self) -> Last<'_> {
        let (head, body) = self.answer();
        Last { number: self.session.last_sent(), head, body }
    }

    /// Makes room for another answer.
    fn turn_page(&mut self) {
        let mut journal = std::mem::take(&mut self.journal);
        journal.turn_page(self.last(), self.session.unacknowledged(), self.limits.frame);
        self.journal = journal;
        self.body = Body::Nothing;
    }

    /// How many frames have arrived.
    pub(super) fn received(&self) -> u64 {
        self.session.received()
    }

    /// What a new channel is to bring at whose other end `heard` frames have arrived.
    pub(super) fn missing(&self, heard: u64) -> Result<Missing<'_>> {
        self.journal.missing(self.last(), self.session.unheard(heard)?)
    }

    /// The next request, over as many channels as that takes.
    fn next(&self, connection: &mut Connection, wait: &mut Wait<'_>) -> Result<Option<Frame>> {
        connection.next(wait, self.received(), |heard| self.missing(heard))
    }

    /// Command: end the session. The frame to send is [`answer`](Self::answer), unless the session is over already.
    pub fn goodbye(&mut self, message: &str) -> Result<()> {
        self.say_goodbye(&Goodbye { code: 0, message: message.to_owned() })
    }

    /// The same because of an error, which the agent is told.
    pub(super) fn part(&mut self, why: &Error) -> Result<()> {
        self.say_goodbye(&Goodbye::because(why))
    }

    fn say_goodbye(&mut self, goodbye: &Goodbye) -> Result<()> {
        self.body = Body::Nothing;
        self.session.goodbye(goodbye, &mut self.head)
    }

    /// Whether the agent has asked for an environment yet.
    pub(super) fn was_asked(&self) -> bool {
        self.visit.has_asked()
    }

    /// Command: end the session, for what arrived is no frame. The frame to send is [`answer`](Self::answer).
    pub fn abort(&mut self, error: &Error) {
        self.body = Body::Nothing;
        self.session.abort(error, &mut self.head);
    }

    /// For people: the news that an agent has joined, once.
    pub(super) fn news(&mut self, peer: impl FnOnce() -> String) -> Option<String> {
        self.visit.news(peer)
    }

    /// For people: how the session with this peer ended, of which `result` came. Call it once.
    pub(super) fn tell_end(&self, peer: &str, result: &Result<()>, wait: &mut Wait<'_>) {
        let ended = match self.history {
            Some(history) => self.visit.end(peer, result, history),
            None => self.visit.end(peer, result, &History::default()),
        };
        match ended {
            Some((true, text)) => wait.tell(Notice::Warning(&text)),
            Some((false, text)) => wait.tell(Notice::Info(&text)),
            None => {}
        }
    }

    /// Closes the environment of a session of which `result` came. What fails besides is logged.
    pub(super) fn finish(&mut self, peer: &str, result: Result<()>, wait: &mut Wait<'_>) -> Result<()> {
        let closed = self.close_env();
        if let (Err(_), Err(besides)) = (&result, &closed) {
            wait.warn(&format!("{peer}: the environment's close() failed: {besides}"));
        }
        result.and(closed)
    }

    /// Closes the environment, once.
    pub fn close_env(&mut self) -> Result<()> {
        self.env.take().map_or(Ok(()), |mut env| env.close())
    }

    fn make(&mut self, make: &Make) -> Result<Box<dyn HostEnv + 'm>> {
        self.offers.check(make)?;
        let env = (self.factory)(make)?;
        match check_render_mode(&env.spec().metadata, make) {
            Ok(()) => Ok(env),
            Err(error) => Err(let_go(env, error)),
        }
    }

    /// Writes the Result for what stands in the outcome.
    fn row(&mut self, request: u64, first: bool) -> Result<()> {
        let in_place = self.env.as_ref().and_then(|env| env.observation());
        let len = in_place.map_or(self.outcome.observation.len(), <[u8]>::len);
        check_size(len + self.outcome.info.len(), &self.limits)?;
        self.body = if in_place.is_some() { Body::InPlace } else { Body::Outcome };
        let Outcome { reward, terminated, truncated, packed, ref info, .. } = self.outcome;
        let row = Row { slot: 0, first, terminated, truncated, reward, info: Value::None };
        self.session.result(request, &[row], info, (packed, len), &mut self.head)
    }

    /// Turns a failed request into the answer that says so.
    fn settle(&mut self, request: u64, result: Result<()>) -> Turn {
        let Err(error) = result else { return Turn::Answer };
        self.body = Body::Nothing;
        let error = match error.env_failure() {
            Some(failure) if !self.tracebacks => EnvFailure { traceback: String::new(), ..failure.clone() }.into(),
            _ => error,
        };
        match self.session.fail(request, &error, &mut self.head) {
            Ok(()) => Turn::Answer,
            Err(error) => Turn::End(error),
        }
    }
}

/// Whether info, observation or frames of `len` bytes fit an answer.
pub(super) fn check_size(len: usize, limits: &Limits) -> Result<()> {
    limits.fit(ErrorKind::Usage, "answer", len)
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the environment is closed")
}

/// Hosts one session on the calling thread until it ends. `Ok` if the agent said goodbye or `wait`
/// ended it, by its flag or an error of kind [`Closed`](ErrorKind::Closed).
///
/// That an agent joined, and how it left, is told to [`Wait::notice`].
pub fn serve(connection: &mut Connection, host: &mut Host<'_>, wait: &mut Wait<'_>) -> Result<()> {
    connection.attend(wait.stop);
    let result = turn(connection, host, wait);
    // What follows has a bound of its own.
    let mut last = Wait::new(Some(GOODBYE_TIME));
    let mut is_closing = false;
    let result = match result {
        Err(error) if error.kind() == ErrorKind::Closed => {
            if host.goodbye("the host is closing").is_ok() {
                let _ = connection.send(host.answer().0, &[], &mut last);
            }
            host.visit.is_ended_here();
            is_closing = true;
            Ok(())
        }
        // Another session has its place.
        Err(error) if error.kind() == ErrorKind::Busy => {
            if host.part(&error).is_ok() {
                let _ = connection.send(host.answer().0, &[], &mut last);
            }
            Err(error)
        }
        result => result,
    };
    if !result.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionLost) {
        let _ = connection.close(last.deadline);
    }
    let result = host.finish(&connection.peer(), result, wait);
    if !is_closing || host.visit.has_joined() {
        host.tell_end(&connection.peer(), &result, wait);
    }
    result
}

/// Whether a frame asks for an environment.
pub(super) fn is_make(frame: &[u8]) -> bool {
    frame.first() == Some(&(Kind::Make as u8))
}

/// For people: that the agent has not asked for an environment yet.
pub(super) fn waiting_for_agent(connection: &Connection) -> String {
    format!("{connection}: connected; waiting for the agent to ask for an environment, as reset() does there")
}

/// A lull: the agent thinks. That may take hours, and people may want to know.
struct Lull {
    /// Look again then. It is not counted from each request on, which would cost a look at the clock.
    until: Option<Instant>,
    /// Looks since the last request.
    looks: u32,
}

impl Lull {
    const LOOK: Duration = Duration::from_secs(5);

    /// Of an agent that has asked for nothing yet.
    fn first() -> Self {
        Self { until: Instant::now().checked_add(ABSENT), looks: 0 }
    }

    fn new() -> Self {
        Self { until: Instant::now().checked_add(Self::LOOK), looks: 0 }
    }

    /// The next request.
    fn next(&mut self, connection: &mut Connection, host: &Host<'_>, wait: &mut Wait<'_>) -> Result<Option<Frame>> {
        self.looks = 0;
        loop {
            match host.next(connection, &mut wait.glancing(self.until)) {
                Err(error) if error.kind() == ErrorKind::Timeout => {
                    wait.look()?;
                    let looks = self.looks + 1;
                    if !host.was_asked() {
                        // Its place may be needed.
                        *self = Self { looks, ..Self::first() };
                        connection.check_place()?;
                        if looks == 1 {
                            wait.tell(Notice::Info(&waiting_for_agent(connection)));
                        }
                        continue;
                    }
                    *self = Self { looks, ..Self::new() };
                    // By then it is two whole rounds, for the first may have begun before the last request.
                    if self.looks == 3 {
                        let text = format!(
                            "{connection}: for more than ten seconds the agent has asked for nothing; {}",
                            host.last
                        );
                        wait.tell(Notice::Info(&text));
                    }
                }
                next => return next,
            }
        }
    }
}

fn turn(connection: &mut Connection, host: &mut Host<'_>, wait: &mut Wait<'_>) -> Result<()> {
    let mut lull = Lull::first();
    loop {
        let frame = match lull.next(connection, host, wait) {
            Err(error) if error.kind() == ErrorKind::Protocol => {
                host.abort(&error);
                let _ = connection.send(host.answer().0, &[], &mut Wait::new(Some(GOODBYE_TIME)));
                return Err(error);
            }
            result => result?,
        };
        // An agent that closes without a goodbye is gone all the same.
        let Some(frame) = frame else { return Ok(()) };
        if !host.was_asked() {
            match is_make(&frame) {
                true => connection.keep_place()?,
                // It may ask for other things without end.
                false => connection.check_place()?,
            }
        }
        match host.handle(&frame) {
            Turn::Answer => {
                drop(frame);
                let (head, body) = host.answer();
                // The frame is sent in pieces if the agent reads slowly; the deadline is the agent's life.
                connection.send(head, body, wait)?;
                if let Some(text) = host.news(|| connection.peer()) {
                    wait.tell(Notice::Info(&text));
                }
            }
            Turn::End(error) => {
                return if error.kind() == ErrorKind::Closed { Ok(()) } else { Err(error) };
            }
            Turn::Abort(error) => {
                let _ = connection.send(host.answer().0, &[], &mut Wait::new(Some(GOODBYE_TIME)));
                return Err(error);
            }
        }
    }
}

fn what_came(event: &EnvEvent<'_>) -> &'static str {
    match event {
        EnvEvent::Make { .. } => "the last was to make an environment",
        EnvEvent::Reset { .. } => "the last was a reset",
        EnvEvent::Step { .. } => "the last was a step",
        EnvEvent::Render { .. } => "the last was a render",
        EnvEvent::Refused { .. } => "the last was refused",
        EnvEvent::Close { .. } | EnvEvent::Over(_) => "the last was a goodbye",
    }
}

/// Refuses a mode that is none of those that the environment declares. One that declares nothing judges itself.
pub(super) fn check_render_mode(metadata: &Value, make: &Make) -> Result<()> {
    let (Some(mode), Some(declared)) = (&make.render_mode, render_modes(metadata)) else { return Ok(()) };
    if declared.contains(&mode.as_str()) {
        return Ok(());
    }
    let there_are = match &declared[..] {
        [] => "it declares none; leave render_mode out, or add the mode to its metadata".to_owned(),
        some => format!("it declares {some:?}; choose one of these"),
    };
    Err(Error::new(ErrorKind::Usage, format!("the environment does not render in mode {mode:?}; {there_are}")))
}

/// Closes an environment that is not to be hosted. What that fails with is told after `error`, which is why.
fn let_go(mut env: Box<dyn HostEnv + '_>, error: Error) -> Error {
    match env.close() {
        Ok(()) => error,
        Err(besides) => error.advice(&format!("its close() failed besides: {besides}")),
    }
}
