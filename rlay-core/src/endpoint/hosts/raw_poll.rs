//! A session that an engine's loop polls, below typed spaces.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    agent_search::{AgentSearch, News, Origin},
    host_core::{HostCore, Request, check_render_mode},
    host_loop::waiting_for_agent,
    polled_requests::{PolledRequest, PolledRequests},
    turn::RawTurn,
};
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    endpoint::{
        accept::acceptor::Acceptor,
        connect::connection::Connection,
        history::{FIRST_PAUSE, History},
        options::HostOptions,
        wait::{Notice, Wait, absent_after},
    },
    error::{Error, ErrorKind, Result},
    frame::Frame,
    host::{Outcome, no_render_mode},
    offers::Offers,
    session::{Call, received::Received},
    value::Value,
    wire::{Goodbye, Make, Spec},
};

/// How long it may take to tell an agent that it broke the protocol, or to close after it has said goodbye.
const LAST_WORD: Duration = Duration::from_millis(200);
/// So many requests that the engine does not learn of are answered in a turn, whatever its deadline: the next turn is
/// soon.
const ROUNDS: usize = 16;
/// A session that an engine's loop polls, below typed spaces.
#[derive(Debug)]
pub struct RawPoll {
    spec: Spec,
    origin: Origin,
    options: HostOptions,
    /// Whether the engine answers the requests to make environments.
    asks_make: bool,
    make: Asked,
    state: State,
    /// The body of the last answer, kept until the agent has it.
    body: Vec<u8>,
    /// Whether it was admitted.
    has_begun: bool,
    requests: PolledRequests,
    history: Arc<History>,
    /// When it last dialed.
    dialed: Option<Instant>,
    /// Since when the agent could have asked for something, and has not.
    unasked: Option<Instant>,
}

/// A request to make an environment, which the engine is to answer.
#[derive(Debug)]
enum Asked {
    /// There is none.
    Nothing,
    /// The engine has yet to learn of it.
    New(u64, Make),
    /// The engine is to answer it.
    Told(u64, Make),
}

#[derive(Debug)]
enum State {
    Idle,
    Searching(AgentSearch),
    Open(Box<Connection>, Box<HostCore>),
}

/// What comes of a frame.
enum Step {
    /// A request for the engine.
    Ask,
    /// An answer to send.
    Answered,
    /// Nothing more to do.
    Sent,
    /// The end of the session.
    Ended(Error),
    /// The end of the session, of which the agent is to be told.
    Part(Error),
}

impl RawPoll {
    /// Will dial `address` and offer environments of this description, one in each of its slots. The agent begins their
    /// next episodes.
    pub fn new(spec: Spec, address: &str, options: HostOptions) -> Result<Self> {
        let address: Address = address.parse()?;
        options.connection.registry.find(&address)?;
        Self::of(spec, Origin::Dialed(address), options)
    }

    /// Will take the agents that dial in, one after another. Several sessions may share the listener: each agent has one of
    /// them. `options` should be those of the listener. Agents are admitted from now on.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use rlay::{Mem, endpoint::{Acceptor, RawPoll, Wait}, wire::Spec};
    ///
    /// let options = rlay::HostOptions::over(Mem);
    /// let acceptor = Arc::new(Acceptor::bind_host(&"mem://hall".parse()?, options.connection(), None)?);
    /// let mut session = RawPoll::accepting(Spec::default(), acceptor, options)?;
    /// assert!(session.turn(&mut Wait::new(Some(Duration::ZERO)))?.is_none());
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn accepting(spec: Spec, acceptor: Arc<Acceptor>, options: HostOptions) -> Result<Self> {
        acceptor.set_ready();
        Self::of(spec, Origin::Accepted(acceptor), options)
    }

    fn of(spec: Spec, origin: Origin, options: HostOptions) -> Result<Self> {
        options.offers.check_attributes()?;
        refuse_inside_tokio()?;
        Ok(Self {
            requests: PolledRequests::new(&spec),
            spec,
            origin,
            options,
            asks_make: false,
            make: Asked::Nothing,
            state: State::Idle,
            body: Vec::new(),
            has_begun: false,
            history: Arc::default(),
            dialed: None,
            unasked: None,
        })
    }

    /// The same, where the engine answers each request to make an environment ([`RawTurn::Make`]) itself: what agents may
    /// ask for is up to it, and the description that this was made with does not count.
    #[must_use]
    pub fn asking_make(mut self) -> Self {
        self.asks_make = true;
        self
    }

    /// The same with a history that other sessions of the engine share: its pauses are as short as that of the session
    /// which played last.
    #[must_use]
    pub fn recalling(mut self, history: Arc<History>) -> Self {
        self.history = history;
        self
    }

    /// Whether an agent has asked for an environment and has not left.
    pub fn is_taken(&self) -> bool {
        let has_asked = |core: &HostCore| core.report.has_asked() || !matches!(self.make, Asked::Nothing);
        matches!(&self.state, State::Open(_, core) if has_asked(core))
    }

    /// Whether the engine is to reply, in every slot, before the next turn.
    pub fn is_owed(&self) -> bool {
        matches!(self.make, Asked::Told(..)) || self.requests.are_all_owed()
    }

    /// What the agent wants of a slot; `None` if nothing by the deadline of `wait`. One in the past waits for nothing; only
    /// an answer whose connection was lost is sent again first, which takes as long as the network does. An error of kind
    /// [`Usage`](ErrorKind::Usage) if the engine is to reply in every slot first. [`RawTurn::Close`] is about all slots,
    /// and says 0; replies to what was asked before are errors then.
    ///
    /// Dialing goes on in the background, for as long as there is no listener. It is an error only if the listener has
    /// refused the connection for good, as over a wrong token; a later call dials again, after a pause. After
    /// [`RawTurn::Close`], if an agent launched this program and wants no other environment, the error's kind is
    /// [`Closed`](ErrorKind::Closed).
    pub fn turn(&mut self, wait: &mut Wait<'_>) -> Result<Option<(u32, RawTurn)>> {
        self.turn_as(wait, |slot, turn| Ok((slot, turn)))
    }

    /// The same as `build` makes it. What that refuses is answered with its error, and the engine never learns of it.
    ///
    /// However many such requests an agent sends, this returns soon after the deadline; and an agent that takes none of
    /// the answers in is let go.
    pub fn turn_as<T>(
        &mut self,
        wait: &mut Wait<'_>,
        mut build: impl FnMut(u32, RawTurn) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.is_owed() {
            let text = match self.requests.are_several() && matches!(self.make, Asked::Nothing) {
                false => "the last turn is not answered yet; call reply() first",
                true => "no turn of any slot is answered yet; call reply() first",
            };
            return Err(Error::new(ErrorKind::Usage, text));
        }
        if let Some(cancel) = wait.cancel {
            cancel.check()?;
        }
        let mut answered = 0;
        loop {
            if answered >= ROUNDS && is_over(wait)? {
                return Ok(None);
            }
            if let Asked::New(request, make) = std::mem::replace(&mut self.make, Asked::Nothing) {
                self.make = Asked::Told(request, make.clone());
                match build(0, RawTurn::Make(make)) {
                    Ok(turn) => return Ok(Some(turn)),
                    Err(error) => {
                        answered += 1;
                        self.reply_made(Err(error), &mut Wait::new(Some(LAST_WORD)))?;
                        continue;
                    }
                }
            }
            if let State::Open(_, core) = &self.state
                && let Some((slot, turn)) = self.requests.next_turn(&core.limits())
            {
                match build(slot, turn) {
                    Ok(turn) => return Ok(Some(turn)),
                    Err(error) => {
                        answered += 1;
                        if let Some(request) = self.requests.fail(slot, error) {
                            self.write(&request)?;
                            if let Some(turn) = self.deliver(wait)? {
                                return build(0, turn).map(Some);
                            }
                        }
                        continue;
                    }
                }
            }
            match &mut self.state {
                State::Idle => self.state = State::Searching(self.search()?),
                State::Searching(search) => {
                    let news = match search.try_next() {
                        Some(news) => Ok(news),
                        // Most polls end here, before a wait reads the clock several times.
                        None if is_over(wait)? => return Ok(None),
                        None => search.next(wait),
                    };
                    match news {
                        Ok(News::Notice(is_warning, text)) => {
                            wait.tell(if is_warning { Notice::Warning(&text) } else { Notice::Info(&text) });
                        }
                        Ok(News::Found(Ok(mut connection))) => {
                            if matches!(self.origin, Origin::Accepted(_)) {
                                // The channel's waits then end when its dialer has come back over another one.
                                connection.attend(None);
                            }
                            self.has_begun = true;
                            self.unasked = Some(Instant::now());
                            self.body.clear();
                            let offers =
                                Offers { attributes: self.options.offers.attributes.clone(), ..Offers::default() };
                            let core = HostCore::new(connection.limits(), true).offering(offers);
                            self.state = State::Open(connection, Box::new(core));
                        }
                        Err(error) if error.kind() == ErrorKind::Timeout => return Ok(None),
                        Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
                        Ok(News::Found(Err(error))) | Err(error) => {
                            self.state = State::Idle;
                            self.history.came_to_nothing();
                            return Err(error);
                        }
                    }
                }
                State::Open(connection, core) => {
                    let next = connection.next(&mut wait.as_soft_deadline(), core.received(), |peer_received| {
                        core.to_retransmit(&self.body, peer_received)
                    });
                    let frame = match next {
                        Ok(Some(frame)) => frame,
                        Err(error) if error.kind() == ErrorKind::Timeout => {
                            let absent_after = absent_after(self.options.connection.notice_after);
                            if self.unasked.take_if(|since| since.elapsed() >= absent_after).is_some() {
                                wait.tell(Notice::Info(&waiting_for_agent(connection)));
                            }
                            // The permit of an agent that asks for nothing may be needed.
                            let permit = if self.is_taken() { Ok(()) } else { self.check_permit() };
                            match permit.err().and_then(|why| self.part(&why, wait)) {
                                Some(turn) => return build(0, turn).map(Some),
                                None => return Ok(None),
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
                        ended => {
                            let closed = || Error::new(ErrorKind::Closed, "the agent closed the connection");
                            let error = ended.err().unwrap_or_else(closed);
                            if error.kind() == ErrorKind::Protocol {
                                core.abort(&error);
                                self.send_last();
                            }
                            match self.gone(&error, wait) {
                                Some(turn) => return build(0, turn).map(Some),
                                None => continue,
                            }
                        }
                    };
                    let gone = match self.request(frame, wait)? {
                        Step::Ask => continue,
                        Step::Ended(error) => self.gone(&error, wait),
                        Step::Part(why) => self.part(&why, wait),
                        Step::Answered => self.deliver(wait)?,
                        Step::Sent => None,
                    };
                    answered += 1;
                    if let Some(turn) = gone {
                        return build(0, turn).map(Some);
                    }
                }
            }
        }
    }

    /// Sends the fatal error that the session ends with, and the close mark behind it.
    fn send_last(&mut self) {
        self.body.clear();
        let mut wait = Wait::new(Some(LAST_WORD));
        let sent = self.send(&mut wait);
        if let (Ok(_), State::Open(connection, _)) = (sent, &mut self.state) {
            let _ = connection.close(wait.deadline);
        }
    }

    /// Takes a frame of the agent, and answers what the engine need not learn of.
    fn request(&mut self, frame: Frame, wait: &mut Wait<'_>) -> Result<Step> {
        let State::Open(connection, core) = &mut self.state else { return Ok(Step::Answered) };
        // The body stays that of the last answer until there is another.
        Ok(match core.take(&frame, &self.body) {
            Request::Make(request, make) if self.asks_make => {
                self.unasked = None;
                if let Err(why) = connection.keep_permit() {
                    return Ok(Step::Part(why));
                }
                self.make = Asked::New(request, make);
                self.body.clear();
                Step::Ask
            }
            Request::Make(request, make) => {
                if let Err(why) = connection.keep_permit() {
                    return Ok(Step::Part(why));
                }
                let offered = core.check_offered(&make).and_then(|()| check_render_mode(&self.spec.metadata, &make));
                let offered = offered.and_then(|()| {
                    check_slots(&self.spec, &make)?;
                    self.spec.render_mode = make.render_mode;
                    core.spec(self.spec.clone())
                });
                core.report.asked(&offered);
                self.unasked = None;
                if let Some(text) = core.report.news(|| connection.peer()) {
                    wait.tell(Notice::Info(&text));
                }
                if let Err(error) = offered {
                    core.fail(request, error)?;
                }
                self.body.clear();
                self.send(&mut wait.as_soft_deadline())?;
                Step::Sent
            }
            Request::Refused => {
                self.body.clear();
                Step::Answered
            }
            Request::Close(_) => {
                core.closed()?;
                self.body.clear();
                self.send(&mut wait.as_soft_deadline())?;
                Step::Sent
            }
            Request::End(error) => {
                let _ = connection.close(Some(Instant::now() + LAST_WORD));
                Step::Ended(error)
            }
            Request::Abort(error) => {
                self.send_last();
                Step::Ended(error)
            }
            Request::Reset(request, reset) => {
                self.requests.reset(request, reset);
                Step::Ask
            }
            Request::Step(request, slots, payload) => {
                let (at, packed, limits) = (payload.reader.position(), payload.packed, core.limits());
                match self.requests.step(request, slots, Received::new(frame, at, packed, limits)) {
                    Ok(()) => Step::Ask,
                    Err(error) => {
                        core.fail(request, error)?;
                        self.body.clear();
                        Step::Answered
                    }
                }
            }
            Request::Render(request, _) if self.spec.render_mode.is_none() => {
                core.fail(request, no_render_mode())?;
                self.body.clear();
                Step::Answered
            }
            Request::Render(request, slots) => {
                self.requests.render(request, slots);
                Step::Ask
            }
            Request::Attribute(request, attribute) => {
                self.requests.attribute(request, attribute);
                Step::Ask
            }
        })
    }

    /// The mode that the agent wants frames in.
    pub fn render_mode(&self) -> Option<&str> {
        self.spec.render_mode.as_deref()
    }

    /// Answers [`RawTurn::Make`] with the description of an environment, whose render mode is what the agent asked for. What
    /// the agent cannot have of it, such as a render mode that the metadata do not list, is an error that the agent is
    /// told, too.
    pub fn reply_make(&mut self, spec: Spec, wait: &mut Wait<'_>) -> Result<()> {
        self.reply_made(Ok(spec), wait)
    }

    fn reply_made(&mut self, made: Result<Spec>, wait: &mut Wait<'_>) -> Result<()> {
        let (Asked::Told(request, make), State::Open(connection, core)) =
            (std::mem::replace(&mut self.make, Asked::Nothing), &mut self.state)
        else {
            return Err(Error::new(ErrorKind::Usage, "the agent did not ask for an environment"));
        };
        let (is_refusal, made) = (
            made.is_err(),
            made.and_then(|spec| {
                check_render_mode(&spec.metadata, &make)?;
                check_slots(&spec, &make)?;
                Ok(Spec { render_mode: make.render_mode, ..spec })
            }),
        );
        let written = made.and_then(|spec| core.spec(spec.clone()).map(|()| spec));
        core.report.asked(&written.as_ref().map(|_| ()).map_err(Clone::clone));
        if let Some(text) = core.report.news(|| connection.peer()) {
            wait.tell(Notice::Info(&text));
        }
        self.body.clear();
        let told = match written {
            Ok(spec) => {
                self.requests = PolledRequests::new(&spec);
                self.spec = spec;
                Ok(())
            }
            Err(error) => {
                core.fail(request, error.clone())?;
                if is_refusal { Ok(()) } else { Err(error) }
            }
        };
        self.send(wait).and(told)
    }

    /// An error of kind [`Busy`](ErrorKind::Busy) if another session has the permit of this one.
    fn check_permit(&self) -> Result<()> {
        match &self.state {
            State::Open(connection, _) => connection.check_permit(),
            _ => Ok(()),
        }
    }

    /// Ends the session and tells the agent why.
    fn part(&mut self, why: &Error, wait: &mut Wait<'_>) -> Option<RawTurn> {
        if let State::Open(_, core) = &mut self.state
            && core.goodbye(&Goodbye::because(why)).is_ok()
        {
            self.body.clear();
            let _ = self.send(&mut Wait::new(Some(LAST_WORD)));
        }
        self.gone(why, wait)
    }

    /// Answers a reset or step of a slot with what stands in `outcome`, where other buffers take the place of these. If
    /// the whole answer is too large to send, the agent is told, too. `wait` may end where the agent takes nothing in.
    pub fn reply(&mut self, slot: u32, outcome: &mut Outcome, wait: &mut Wait<'_>) -> Result<()> {
        if !self.requests.owed(slot)?.has_rows() {
            return Err(Error::new(ErrorKind::Usage, "the agent asked for a frame; answer with reply_frame()"));
        }
        let request = self.requests.answer(slot, outcome);
        self.finish(request, wait)
    }

    /// Answers a render of a slot. If the frames are too large to send, the agent is told, too.
    pub fn reply_frame(&mut self, slot: u32, frame: Value, wait: &mut Wait<'_>) -> Result<()> {
        if self.requests.owed(slot)? != Call::Render {
            return Err(Error::new(ErrorKind::Usage, "the agent did not ask for a frame; answer with reply()"));
        }
        let request = self.requests.answer_frame(slot, frame);
        self.finish(request, wait)
    }

    /// Answers an attribute of a slot: with its value, or what came of the call. `None` in answer to a get says that it is
    /// a function. If the values cannot be sent, the agent is told, too.
    pub fn reply_attribute(&mut self, slot: u32, value: Option<Value>, wait: &mut Wait<'_>) -> Result<()> {
        if self.requests.owed(slot)? != Call::Attribute {
            return Err(Error::new(ErrorKind::Usage, "the agent did not ask for an attribute; answer with reply()"));
        }
        let request = self.requests.answer_attribute(slot, value);
        self.finish(request, wait)
    }

    /// Answers any request of a slot with the news that it failed. A request of several slots fails once all of them are
    /// answered.
    pub fn reply_error(&mut self, slot: u32, error: impl Into<Error>, wait: &mut Wait<'_>) -> Result<()> {
        if matches!(self.make, Asked::Told(..)) {
            return self.reply_made(Err(error.into()), wait);
        }
        self.requests.owed(slot)?;
        let request = self.requests.fail(slot, error.into());
        self.finish(request, wait)
    }

    /// Sends the answer of a request that has all its answers.
    fn finish(&mut self, request: Option<PolledRequest>, wait: &mut Wait<'_>) -> Result<()> {
        let Some(request) = request else { return Ok(()) };
        let written = self.write(&request);
        if let State::Open(_, core) = &mut self.state {
            core.reuse(request.slots);
        }
        self.send(wait).and(written)
    }

    /// Writes the answer of a request. An error says that another one was written instead, which tells the agent.
    fn write(&mut self, request: &PolledRequest) -> Result<()> {
        let State::Open(_, core) = &mut self.state else { return Ok(()) };
        let (requests, number, first) = (&mut self.requests, request.number, request.call == Call::Reset);
        core.retain(&self.body);
        if let Some(error) = requests.take_failure(&request.slots) {
            core.fail(number, error)?;
            self.body.clear();
            return Ok(());
        }
        let (written, body) = match request.call {
            Call::Render => (core.frames(number, &requests.take_frames(&request.slots)).map(|()| false), None),
            Call::Attribute => (core.returned(number, &requests.take_returned(&request.slots)).map(|()| false), None),
            _ if requests.are_several() => {
                let written = requests.collect(request).and_then(|()| {
                    let outcome = &requests.outcome;
                    core.rows(number, first, outcome, outcome.observations.len())
                });
                (written, Some(&mut requests.outcome.observations))
            }
            _ => {
                let outcome = requests.only();
                (core.row(number, first, outcome, outcome.observation.len()), Some(&mut outcome.observation))
            }
        };
        match (written, body) {
            (Ok(is_first_step), body) => {
                if is_first_step {
                    self.history.played();
                }
                match body {
                    Some(body) => std::mem::swap(&mut self.body, body),
                    None => self.body.clear(),
                }
                Ok(())
            }
            (Err(error), _) => {
                core.fail(number, error.clone())?;
                self.body.clear();
                Err(error)
            }
        }
    }

    /// Sends an answer of which the engine does not learn; the turn if the agent does not take it in.
    fn deliver(&mut self, wait: &mut Wait<'_>) -> Result<Option<RawTurn>> {
        match self.send(&mut Wait::new(Some(LAST_WORD))) {
            Err(error) if error.kind() == ErrorKind::Timeout => {
                let why = Error::new(ErrorKind::ConnectionLost, "the agent asks and takes no answers in");
                Ok(self.gone(&why, wait))
            }
            sent => sent.map(|()| None),
        }
    }

    /// Ends the session; a later [`turn`](Self::turn) dials again.
    pub fn close(&mut self) {
        self.requests.clear();
        self.make = Asked::Nothing;
        match &mut self.state {
            State::Idle => {}
            State::Searching(search) => search.cancel(),
            State::Open(connection, core) => {
                let mut wait = Wait::new(Some(Duration::from_millis(500)));
                let goodbye = Goodbye { code: 0, message: "the environment closed".into() };
                if core.goodbye(&goodbye).is_ok() && connection.send(core.head(), &[], &mut wait).is_ok() {
                    let _ = connection.close(wait.deadline);
                }
            }
        }
        self.state = State::Idle;
    }

    /// Forgets the connection without a word to the agent, for a forked child: it is still the parent's.
    pub fn abandon(&mut self) {
        self.requests.clear();
        self.state = State::Idle;
    }

    /// Begins to look for an agent, after the pause that is due.
    fn search(&mut self) -> Result<AgentSearch> {
        let since = self.dialed.map_or(FIRST_PAUSE, |dialed| dialed.elapsed());
        let pause = match self.origin {
            Origin::Dialed(_) => self.history.pause().max(FIRST_PAUSE.saturating_sub(since)),
            Origin::Accepted(_) => Duration::ZERO,
        };
        self.dialed = Some(Instant::now() + pause);
        AgentSearch::begin(self.origin.clone(), self.options.connection.clone(), pause, !self.has_begun)
    }

    /// Sends the last answer. A peer that is gone shows at the next turn.
    fn send(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        let State::Open(connection, core) = &mut self.state else { return Ok(()) };
        match connection.send(core.head(), &self.body, wait) {
            Err(error) if error.kind() != ErrorKind::ConnectionLost => Err(error),
            _ => Ok(()),
        }
    }

    /// The session is over. No turn says so of an agent that has asked for nothing.
    fn gone(&mut self, why: &Error, wait: &mut Wait<'_>) -> Option<RawTurn> {
        self.requests.clear();
        let was_told = matches!(std::mem::replace(&mut self.make, Asked::Nothing), Asked::Told(..));
        let State::Open(connection, mut core) = std::mem::replace(&mut self.state, State::Idle) else { return None };
        let result = match why.kind() {
            ErrorKind::Closed => {
                core.report.goodbye(why);
                Ok(())
            }
            _ => Err(why.clone()),
        };
        if let Some((is_warning, text)) = core.report.end(&connection.peer(), &result, &self.history) {
            wait.tell(if is_warning { Notice::Warning(&text) } else { Notice::Info(&text) });
        }
        (was_told || core.report.has_asked()).then(|| RawTurn::Close(why.to_string()))
    }
}

/// Refuses another number of environments than there are. Of one alone the agent finds that itself.
fn check_slots(spec: &Spec, make: &Make) -> Result<()> {
    if spec.slots == 1 || [0, spec.slots].contains(&make.slots) {
        return Ok(());
    }
    let text = format!("the engine has {} environments at once; ask for as many, not for {}", spec.slots, make.slots);
    Err(Error::new(ErrorKind::Usage, text))
}

/// Whether the deadline of `wait` has passed; an error if something else ends it.
fn is_over(wait: &mut Wait<'_>) -> Result<bool> {
    match wait.check_interrupts() {
        Err(error) if error.kind() == ErrorKind::Timeout => Ok(true),
        looked => looked.map(|()| false),
    }
}

impl Drop for RawPoll {
    fn drop(&mut self) {
        self.close();
    }
}
