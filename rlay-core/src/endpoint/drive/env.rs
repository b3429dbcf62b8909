//! AsyncEnv: an environment in another process, for an agent inside tokio.

use std::time::{Duration, Instant};

use smallvec::smallvec;
use tokio::time;

use super::{
    super::{
        Answer, Options, Received,
        agent::{REPORT, START_AGAIN, not_made},
        contract::Judge,
        journal::Missing,
    },
    GOODBYE_TIME, Line,
};
use crate::{
    env::{ResetResult, StepResult},
    error::{Error, ErrorKind, Result},
    frame::Frame,
    session::{AgentEvent, AgentSession},
    space::{AnySpace, Space, check_action},
    value::{Map, Value},
    wire::{Goodbye, Reset, Role, Row, Spec, payload_head, put_value},
};

/// An environment in another process, for an agent inside tokio. Spaces are dynamic.
///
/// Every call may be cancelled. Its answer is then late: the next `reset` drops it, and until then other calls are
/// refused. Over a network the session goes on when its connection is lost and both ends live, as in the blocking
/// form; here it is a call that sees to another connection, which it waits for no longer than
/// [`Options::reconnect_timeout`].
///
/// ```no_run
/// # async fn train() -> Result<(), rlay::Error> {
/// use rlay::{Value, drive::AsyncEnv};
///
/// let mut env = AsyncEnv::connect("mem://cartpole", &rlay::options()).await?;
/// env.reset(Some(7), &Value::None).await?;
/// let result = env.step(&Value::Int(1)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct AsyncEnv {
    line: Line,
    session: AgentSession,
    spec: Box<Spec>,
    judge: Judge,
    /// The last request, kept until it is answered: all but the action, and that.
    out: Vec<u8>,
    action: Vec<u8>,
    /// Where the next action is written.
    packed: Vec<u8>,
}

impl AsyncEnv {
    /// Connects to a [`ServerBackend`](crate::ServerBackend) and makes an environment there, within
    /// [`Options::connect_timeout`] in all.
    pub async fn connect(address: &str, options: &Options) -> Result<Self> {
        let began = Instant::now();
        let line = Line::dial(&address.parse()?, Role::Agent, options).await?;
        Self::make(line, options, options.connect_timeout.saturating_sub(began.elapsed())).await
    }

    /// Makes an environment over a line: with whoever was dialed, or with an environment that has dialed in to a
    /// [`Lobby`](super::Lobby). It is made within [`Options::connect_timeout`].
    pub async fn open(line: Line, options: &Options) -> Result<Self> {
        Self::make(line, options, options.connect_timeout).await
    }

    async fn make(line: Line, options: &Options, left: Duration) -> Result<Self> {
        let peer = line.peer();
        let made = time::timeout(left, Self::ask(line, options)).await;
        made.unwrap_or_else(|_| Err(not_made(peer, left)))
    }

    /// Asks for the environment, for as long as that takes.
    async fn ask(line: Line, options: &Options) -> Result<Self> {
        let (session, spec, judge) = (AgentSession::new(), Box::default(), Judge::new(options.contract));
        let mut env = Self { line, session, spec, judge, out: Vec::new(), action: Vec::new(), packed: Vec::new() };
        env.session.make(&options.make(), &mut env.out)?;
        env.send().await?;
        let frame = env.next().await?;
        match env.session.handle(&frame, env.line.limits()) {
            Ok(AgentEvent::Spec(spec)) => {
                if let Err(error) = spec.check_spaces(env.line.limits()) {
                    // Its host is to know why it is not played.
                    env.session.goodbye(&Goodbye::because(&error), &mut env.out)?;
                    let _ = time::timeout(GOODBYE_TIME, env.line.finish(&env.out)).await;
                    return Err(error);
                }
                env.spec = spec;
                Ok(env)
            }
            Ok(AgentEvent::Failed { fault, .. }) => Err(fault.into_error()),
            Ok(AgentEvent::Over(error)) => Err(error),
            Ok(_) => Err(Error::protocol("the environment's host answered Make with something else")),
            Err(error) => Err(env.abort(error).await),
        }
    }

    /// Spaces, metadata and the rest of what the host told.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Gymnasium's `reset`. Cancelling it leaves the answer late; the next `reset` drops it.
    pub async fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Value>> {
        self.begin()?;
        while self.session.waiting(0).is_some() {
            let came = self.receive().await;
            self.session.drop_late(came)?;
        }
        self.packed.clear();
        put_value(&mut self.packed, options);
        self.line.limits().fit(ErrorKind::Usage, "reset", self.packed.len())?;
        let reset = Reset { rows: smallvec![(0, seed.map(Into::into))], options: options.clone() };
        self.session.reset(&reset, &mut self.out)?;
        self.action.clear();
        let (row, observation) = self.exchange(true).await?;
        Ok(ResetResult { observation, info: info(row.info) })
    }

    /// Gymnasium's `step`. After a cancelled one only `reset` goes on; the action is taken all the same.
    pub async fn step(&mut self, action: &Value) -> Result<StepResult<Value>> {
        self.begin()?;
        let space: &AnySpace = &self.spec.action_space;
        self.packed.clear();
        let packed = space.pack(action, &mut self.packed);
        if !packed {
            check_action(space, action)?;
            self.packed.clear();
            put_value(&mut self.packed, action);
        }
        self.line.limits().fit(ErrorKind::InvalidAction, "action", self.packed.len())?;
        self.session.step(&[0], &mut self.out)?;
        payload_head(&mut self.out, packed, self.packed.len());
        std::mem::swap(&mut self.action, &mut self.packed);
        let (row, observation) = self.exchange(false).await?;
        let Row { reward, terminated, truncated, .. } = row;
        Ok(StepResult { observation, reward, terminated, truncated, info: info(row.info) })
    }

    /// Gymnasium's `render`.
    pub async fn render(&mut self) -> Result<Value> {
        self.begin()?;
        self.session.render(&[0], &mut self.out)?;
        self.action.clear();
        self.send().await?;
        match self.receive().await? {
            Answer::Frame(frame) => Ok(frame),
            _ => Err(Error::protocol("a render was answered with something else")),
        }
    }

    /// Ends the session. A host that does not listen is left after half a second.
    pub async fn close(mut self) -> Result<()> {
        let leave = async {
            self.line.begin()?;
            // A host whose connection is lost would keep the environment for long.
            self.line.mend(self.session.received(), &missing(&self.session, [&self.out, &self.action])).await?;
            let goodbye = Goodbye { code: 0, message: "the agent closed the environment".into() };
            self.session.goodbye(&goodbye, &mut self.out)?;
            self.line.finish(&self.out).await
        };
        time::timeout(GOODBYE_TIME, leave).await.unwrap_or(Ok(()))
    }

    /// Answers still to come belong to calls that were cancelled.
    fn begin(&mut self) -> Result<()> {
        self.line.begin()?;
        self.session.give_up();
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        self.line.send([&self.out, &self.action]).await
    }

    async fn next(&mut self) -> Result<Frame> {
        let missing = missing(&self.session, [&self.out, &self.action]);
        match self.line.next(self.session.received(), missing).await {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => {
                Err(self.lost(Error::new(ErrorKind::ConnectionLost, "the environment's host closed the connection")))
            }
            Err(error) if error.kind() == ErrorKind::Protocol => Err(self.abort(error).await),
            Err(error) if error.kind() == ErrorKind::ConnectionLost => Err(self.lost(error)),
            Err(error) => Err(error),
        }
    }

    async fn exchange(&mut self, is_first: bool) -> Result<(Row, Value)> {
        self.send().await?;
        match self.receive().await? {
            Answer::Row(row, received) => {
                let space = &self.spec.observation_space;
                Ok((row, self.judge.element(received, space, space, is_first)?))
            }
            _ => Err(Error::protocol("a request was answered with something else")),
        }
    }

    /// The answer to the request under way.
    async fn receive(&mut self) -> Result<Answer> {
        let frame = self.next().await?;
        let limits = *self.line.limits();
        let (mut rows, at, packed) = match self.session.handle(&frame, &limits) {
            Ok(AgentEvent::Result { rows, payload, .. }) => (rows, payload.reader.position(), payload.packed),
            Ok(AgentEvent::Frames { mut frames, .. }) => {
                return Ok(Answer::Frame(frames.0.pop().map(|(_, frame)| frame).unwrap_or_default()));
            }
            Ok(AgentEvent::Failed { fault, .. }) => return Err(fault.into_error()),
            Ok(AgentEvent::Over(error)) => return Err(self.lost(error)),
            Ok(AgentEvent::Closed | AgentEvent::Spec(_)) => return Err(Error::protocol("an answer to no request")),
            Err(error) => return Err(self.abort(error).await),
        };
        let row = rows.pop().ok_or_else(|| Error::protocol("a result without a row"))?;
        Ok(Answer::Row(row, Received::new(frame, at, packed, limits)))
    }

    /// Ends the session because the connection did.
    fn lost(&mut self, error: Error) -> Error {
        let error = if error.kind() == ErrorKind::ConnectionLost { error.advice(START_AGAIN) } else { error };
        self.line.end(error.clone());
        error
    }

    /// Ends the session because the peer broke the protocol, and tells it so.
    async fn abort(&mut self, error: Error) -> Error {
        self.session.abort(&error, &mut self.out);
        let error = error.advice(REPORT);
        self.line.end(error.clone());
        let _ = time::timeout(GOODBYE_TIME, self.line.finish(&self.out)).await;
        error
    }
}

impl Drop for AsyncEnv {
    /// Says goodbye but waits for nothing; `close` is the orderly way, and the only one outside of the runtime.
    fn drop(&mut self) {
        let goodbye = Goodbye { code: 0, message: "the agent dropped the environment".into() };
        if self.line.is_whole() && self.session.goodbye(&goodbye, &mut self.out).is_ok() {
            self.line.finish_later(std::mem::take(&mut self.out));
        }
    }
}

/// Says what a new channel is to bring. An agent here makes no request before the last is answered, so that one is all
/// that can be missing.
fn missing<'a>(session: &'a AgentSession, last: [&'a [u8]; 2]) -> impl Fn(u64) -> Result<Missing<'a>> {
    move |heard| Ok(if session.unheard(heard)? == 0 { Missing::new() } else { smallvec![last] })
}

fn info(info: Value) -> Map {
    match info {
        Value::Dict(map) => map,
        _ => Map::new(),
    }
}
