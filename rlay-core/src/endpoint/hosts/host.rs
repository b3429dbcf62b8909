//! Host: a session and the environment behind it. One frame in, one frame out; it sees no channel.

use std::fmt;

use smallvec::smallvec;

use super::host_core::{HostCore, Request, check_render_mode};
use crate::{
    endpoint::{
        connect::connection::Connection,
        history::History,
        wait::{Notice, Wait},
    },
    error::{Error, ErrorKind, Result},
    frame::Frame,
    host::{HostEnv, Outcome, access},
    host_threads::Done,
    host_vector::{HostSlots, HostedEnv, VectorOutcome},
    offers::Offers,
    session::retransmit::ToRetransmit,
    wake_flag::WakeFlag,
    wire::{AutoresetMode, Frames, Goodbye, Limits, Make, Returned},
};

/// Most environments that an agent may ask for, unless the host says otherwise.
pub(in crate::endpoint) const MAX_SLOTS: u32 = 1024;

/// Makes the environment that an agent asks for, or several at once; see [`HostedEnv`].
pub type Factory<'m> = dyn FnMut(&Make) -> Result<HostedEnv<'m>> + 'm;

/// Answers the requests of one session from one environment. It sees no channel: any loop can turn it.
pub struct Host<'m> {
    pub(super) core: HostCore,
    factory: &'m mut Factory<'m>,
    env: Option<HostedEnv<'m>>,
    outcome: Outcome,
    vector_outcome: VectorOutcome,
    /// Most environments that an agent may ask for.
    max_slots: u32,
    /// Where the body of the last answer is, which stays until there is another.
    body: Body,
    /// What the host remembers of other sessions; `None`: nothing.
    history: Option<&'m History>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Nothing,
    Outcome,
    Vector,
    InPlace,
}

/// What to do after a frame was handled.
#[derive(Debug)]
pub enum Turn {
    /// Send [`Host::answer`].
    Answer,
    /// Send nothing yet: the environments step on threads of their own, and the answer comes later.
    Later,
    /// The agent ended the session.
    End(Error),
    /// Send [`Host::answer`], then end the session: the agent broke the protocol.
    Abort(Error),
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("core", &self.core).field("env", &self.env).finish_non_exhaustive()
    }
}

impl<'m> Host<'m> {
    /// A host whose environment `factory` makes once the agent asks for it.
    pub fn new(factory: &'m mut Factory<'m>, limits: Limits, tracebacks: bool) -> Self {
        Self {
            core: HostCore::new(limits, tracebacks),
            factory,
            env: None,
            outcome: Outcome::default(),
            vector_outcome: VectorOutcome::default(),
            max_slots: MAX_SLOTS,
            body: Body::Nothing,
            history: None,
        }
    }

    /// The same host, of which agents may ask for so many environments; see
    /// [`HostOptions::max_slots`](crate::HostOptions::max_slots).
    #[must_use]
    pub fn with_max_slots(self, max_slots: u32) -> Self {
        Self { max_slots, ..self }
    }

    /// The same host, one of several that have a history in common.
    #[must_use]
    pub fn recalling(self, history: &'m History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// The same host, of which agents may ask for more than the environment as it is.
    #[must_use]
    pub fn offering(self, offers: Offers) -> Self {
        Self { core: self.core.offering(offers), ..self }
    }

    /// Input: a frame arrived.
    pub fn handle(&mut self, frame: &[u8]) -> Turn {
        let body = body(self.body, &self.outcome, &self.vector_outcome, self.env.as_ref());
        let request = self.core.take(frame, body);
        if let Some(HostedEnv::Threads(threads)) = &mut self.env {
            match request {
                Request::Reset(request, reset) => threads.reset(request, &reset),
                Request::Step(request, slots, actions) => {
                    let begun = threads.step(request, &slots, &actions, &self.core.limits());
                    self.core.reuse(slots);
                    if let Err(error) = begun {
                        self.body = Body::Nothing;
                        return self.settle(request, Err(error));
                    }
                }
                Request::Render(request, slots) => threads.render(request, &slots),
                Request::Attribute(request, attribute) => threads.attribute(request, &attribute),
                other => return self.answer_to(other),
            }
            // The last answer stays where it is until there is another one.
            return Turn::Later;
        }
        self.answer_to(request)
    }

    /// The answer to a request whose environments have answered meanwhile, if there is one.
    pub(in crate::endpoint) fn next_answer(&mut self) -> Option<Turn> {
        let Some(HostedEnv::Threads(threads)) = &mut self.env else { return None };
        if !threads.has_done() {
            return None;
        }
        self.core.retain(body(self.body, &self.outcome, &self.vector_outcome, None));
        self.body = Body::Nothing;
        let (request, done) = threads.take_done(&mut self.vector_outcome)?;
        let result = done.and_then(|done| match done {
            Done::Rows { first } => self.answer_rows(request, first),
            Done::Frames(frames) => self.core.frames(request, &frames),
            Done::Returned(returned) => self.core.returned(request, &returned),
        });
        Some(self.settle(request, result))
    }

    /// Whether there is a [next answer](Self::next_answer).
    pub(super) fn has_answer(&self) -> bool {
        matches!(&self.env, Some(HostedEnv::Threads(threads)) if threads.has_done())
    }

    /// What tells of answers that come later, and whether there will be one.
    pub(super) fn wake_flag(&self) -> Option<(&WakeFlag, bool)> {
        match &self.env {
            Some(HostedEnv::Threads(threads)) => Some((threads.wake_flag(), threads.is_busy())),
            _ => None,
        }
    }

    fn answer_to(&mut self, request: Request<'_>) -> Turn {
        self.body = Body::Nothing;
        match request {
            Request::Refused => Turn::Answer,
            Request::End(error) => Turn::End(error),
            Request::Abort(error) => Turn::Abort(error),
            Request::Make(request, make) => {
                let result = self.make(&make).and_then(|env| match self.core.spec(env.spec()) {
                    Ok(()) => {
                        self.env = Some(env);
                        Ok(())
                    }
                    Err(error) => Err(let_go(env, error)),
                });
                self.core.report.asked(&result);
                self.settle(request, result)
            }
            Request::Reset(request, reset) => {
                let seed = reset.rows.first().and_then(|(_, seed)| seed.as_ref());
                let result = match &mut self.env {
                    Some(HostedEnv::One(env)) => env.reset_into(seed, &reset.options, &mut self.outcome),
                    Some(HostedEnv::Several(envs)) => envs.reset_into(&reset, &mut self.vector_outcome),
                    Some(HostedEnv::Threads(_)) => unreachable!("they answer later"),
                    None => Err(closed()),
                };
                let result = result.and_then(|()| self.answer_rows(request, true));
                self.settle(request, result)
            }
            Request::Step(request, slots, payload) => {
                let result = match &mut self.env {
                    Some(HostedEnv::One(env)) => env.step_into(payload, &mut self.outcome),
                    Some(HostedEnv::Several(envs)) => envs.step_into(&slots, payload, &mut self.vector_outcome),
                    Some(HostedEnv::Threads(_)) => unreachable!("they answer later"),
                    None => Err(closed()),
                };
                self.core.reuse(slots);
                let result = result.and_then(|()| self.answer_rows(request, false));
                self.settle(request, result)
            }
            Request::Render(request, slots) => {
                let result = match &mut self.env {
                    Some(HostedEnv::One(env)) => env.render().map(|frame| Frames(smallvec![(0, frame)])),
                    Some(HostedEnv::Several(envs)) => envs.render(&slots),
                    Some(HostedEnv::Threads(_)) => unreachable!("they answer later"),
                    None => Err(closed()),
                };
                let result = result.and_then(|frames| self.core.frames(request, &frames));
                self.settle(request, result)
            }
            Request::Attribute(request, attribute) => {
                let result = match &mut self.env {
                    Some(HostedEnv::One(env)) => {
                        access(env.as_mut(), &attribute, 0).map(|x| Returned(smallvec![(0, x)]))
                    }
                    Some(HostedEnv::Several(envs)) => envs.attribute(&attribute),
                    Some(HostedEnv::Threads(_)) => unreachable!("they answer later"),
                    None => Err(closed()),
                };
                let result = result.and_then(|returned| self.core.returned(request, &returned));
                self.settle(request, result)
            }
            Request::Close(request) => {
                let result = self.close_env().and_then(|()| self.core.closed());
                self.settle(request, result)
            }
        }
    }

    /// Output: the frame to send, in two parts.
    pub fn answer(&self) -> (&[u8], &[u8]) {
        (self.core.head(), body(self.body, &self.outcome, &self.vector_outcome, self.env.as_ref()))
    }

    /// The number of the last frame that was received.
    pub(in crate::endpoint) fn received(&self) -> u64 {
        self.core.received()
    }

    /// The frames to send over a new connection whose other end has received the frames up to number `peer_received`.
    pub(in crate::endpoint) fn to_retransmit(&self, peer_received: u64) -> Result<ToRetransmit<'_>> {
        self.core.to_retransmit(self.answer().1, peer_received)
    }

    /// The next request, over as many channels as that takes.
    pub(super) fn next(&self, connection: &mut Connection, wait: &mut Wait<'_>) -> Result<Option<Frame>> {
        connection.next(wait, self.received(), |peer_received| self.to_retransmit(peer_received))
    }

    /// Command: end the session. The frame to send is [`answer`](Self::answer), unless the session is over already.
    pub fn goodbye(&mut self, message: &str) -> Result<()> {
        self.say_goodbye(&Goodbye { code: 0, message: message.to_owned() })
    }

    /// The same because of an error, which the agent is told.
    pub(in crate::endpoint) fn part(&mut self, why: &Error) -> Result<()> {
        self.say_goodbye(&Goodbye::because(why))
    }

    fn say_goodbye(&mut self, goodbye: &Goodbye) -> Result<()> {
        self.body = Body::Nothing;
        self.core.goodbye(goodbye)
    }

    /// Whether the agent has asked for an environment yet.
    pub(in crate::endpoint) fn was_asked(&self) -> bool {
        self.core.report.has_asked()
    }

    /// Command: end the session, for what arrived is no frame. The frame to send is [`answer`](Self::answer).
    pub fn abort(&mut self, error: &Error) {
        self.body = Body::Nothing;
        self.core.abort(error);
    }

    /// For people: the news that an agent has joined, once.
    pub(in crate::endpoint) fn news(&mut self, peer: impl FnOnce() -> String) -> Option<String> {
        self.core.report.news(peer)
    }

    /// For people: how the session with this peer ended, of which `result` came. Call it once.
    pub(in crate::endpoint) fn tell_end(&self, peer: &str, result: &Result<()>, wait: &mut Wait<'_>) {
        let ended = match self.history {
            Some(history) => self.core.report.end(peer, result, history),
            None => self.core.report.end(peer, result, &History::default()),
        };
        match ended {
            Some((true, text)) => wait.tell(Notice::Warning(&text)),
            Some((false, text)) => wait.tell(Notice::Info(&text)),
            None => {}
        }
    }

    /// Closes the environment of a session of which `result` came. What fails besides is logged.
    pub(in crate::endpoint) fn finish(&mut self, peer: &str, result: Result<()>, wait: &mut Wait<'_>) -> Result<()> {
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

    fn make(&mut self, make: &Make) -> Result<HostedEnv<'m>> {
        self.core.check_offered(make)?;
        if make.slots > self.max_slots {
            let text = format!(
                "the agent asks for {} environments, and this host makes {} at most; ask for fewer, or raise max_slots \
                 there",
                make.slots, self.max_slots
            );
            return Err(Error::new(ErrorKind::Usage, text));
        }
        let env = match (self.factory)(make)? {
            HostedEnv::One(env) if make.slots > 1 || make.autoreset_mode != AutoresetMode::Disabled => {
                HostedEnv::Several(Box::new(self.make_slots(env, make)?))
            }
            env => env,
        };
        let slots = env.spec().slots;
        if make.slots != 0 && slots != make.slots {
            let text = format!("this host steps {slots} environments at once; ask for as many, not for {}", make.slots);
            return Err(let_go(env, Error::new(ErrorKind::Usage, text)));
        }
        match check_render_mode(&env.spec().metadata, make) {
            Ok(()) => Ok(env),
            Err(error) => Err(let_go(env, error)),
        }
    }

    /// Makes as many environments as an agent asks for, of which there is the first.
    fn make_slots(&mut self, first: Box<dyn HostEnv + 'm>, make: &Make) -> Result<HostSlots<'m>> {
        let mut envs = vec![first];
        while envs.len() < make.slots as usize {
            let error = match (self.factory)(make) {
                Ok(HostedEnv::One(env)) => {
                    envs.push(env);
                    continue;
                }
                Ok(several) => let_go(several, Error::new(ErrorKind::Usage, "the host made one, and then several")),
                Err(error) => error,
            };
            return Err(envs.into_iter().fold(error, |error, env| let_go(HostedEnv::One(env), error)));
        }
        HostSlots::new(envs, make.autoreset_mode)
    }

    /// Answers with what stands in the outcome.
    fn answer_rows(&mut self, request: u64, first: bool) -> Result<()> {
        let (at, is_first_step) = match &self.env {
            Some(HostedEnv::Several(envs)) => {
                let (at, len) = match envs.observations() {
                    Some(in_place) => (Body::InPlace, in_place.len()),
                    None => (Body::Vector, self.vector_outcome.observations.len()),
                };
                (at, self.core.rows(request, first, &self.vector_outcome, len)?)
            }
            Some(HostedEnv::Threads(_)) => {
                let len = self.vector_outcome.observations.len();
                (Body::Vector, self.core.rows(request, first, &self.vector_outcome, len)?)
            }
            Some(HostedEnv::One(env)) if let Some(in_place) = env.observation() => {
                (Body::InPlace, self.core.row(request, first, &self.outcome, in_place.len())?)
            }
            _ => (Body::Outcome, self.core.row(request, first, &self.outcome, self.outcome.observation.len())?),
        };
        self.body = at;
        if let Some(history) = self.history.filter(|_| is_first_step) {
            history.played();
        }
        Ok(())
    }

    /// Turns a failed request into the answer that says so.
    fn settle(&mut self, request: u64, result: Result<()>) -> Turn {
        let Err(error) = result else { return Turn::Answer };
        match self.core.fail(request, error) {
            Ok(()) => Turn::Answer,
            Err(error) => Turn::End(error),
        }
    }
}

/// The body of the last answer.
fn body<'b>(
    at: Body,
    outcome: &'b Outcome,
    vector_outcome: &'b VectorOutcome,
    env: Option<&'b HostedEnv<'_>>,
) -> &'b [u8] {
    match (at, env) {
        (Body::Nothing, _) => &[],
        (Body::Outcome, _) => &outcome.observation,
        (Body::Vector, _) => &vector_outcome.observations,
        (Body::InPlace, Some(HostedEnv::One(env))) => env.observation().unwrap_or_default(),
        (Body::InPlace, Some(HostedEnv::Several(envs))) => envs.observations().unwrap_or_default(),
        (Body::InPlace, Some(HostedEnv::Threads(_)) | None) => &[],
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the environment is closed")
}

/// Closes an environment that is not to be hosted. What that fails with is told after `error`, which is why.
fn let_go(mut env: HostedEnv<'_>, error: Error) -> Error {
    match env.close() {
        Ok(()) => error,
        Err(besides) => error.advice(&format!("its close() failed besides: {besides}")),
    }
}
