//! AsyncEnv: an environment in another process, for an agent inside tokio.

use std::time::{Duration, Instant};

use smallvec::smallvec;
use tokio::time;

use super::{GOODBYE_TIME, connection::AsyncConnection};
use crate::{
    endpoint::{
        agents::agent::{Answer, REPORT, START_AGAIN, not_made},
        agents::contract::ContractChecker,
        options::AgentOptions,
    },
    env::{ResetResult, StepResult},
    error::{Error, ErrorKind, Result},
    frame::Frame,
    session::agent_core::{AgentCore, Reply},
    space::{AnySpace, Space, check_action},
    value::{Map, Value},
    wire::{Access, Attribute, Goodbye, Reset, Role, Row, Spec, put_value},
};

/// An environment in another process, for an agent inside tokio. Spaces are dynamic.
///
/// Every call may be cancelled. Its answer is then late: the next `reset` drops it, and until then other calls are
/// refused. Over a network the session goes on when its connection is lost and both ends live, as in the blocking
/// form; here it is a call that sees to another connection, which it waits for no longer than
/// [`AgentOptions::reconnect_timeout`].
///
/// ```no_run
/// # async fn train() -> Result<(), rlay::Error> {
/// use rlay::{Value, asynchronous::AsyncEnv};
///
/// let mut env = AsyncEnv::connect("mem://cartpole", &rlay::agent_options()).await?;
/// env.reset(Some(7), &Value::None).await?;
/// let result = env.step(&Value::Int(1)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct AsyncEnv {
    connection: AsyncConnection,
    core: AgentCore,
    judge: ContractChecker,
    /// Where the next action is written.
    packed: Vec<u8>,
}

impl AsyncEnv {
    /// Connects to a [`ServerBackend`](crate::ServerBackend) and makes an environment there, within
    /// [`AgentOptions::connect_timeout`] in all.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, so are the connection and the session; see [`open`](Self::open).
    pub async fn connect(address: &str, options: &AgentOptions) -> Result<Self> {
        let began = Instant::now();
        let connection = AsyncConnection::dial(&address.parse()?, Role::Agent, &options.connection).await?;
        Self::make(connection, options, options.connection.connect_timeout.saturating_sub(began.elapsed())).await
    }

    /// Makes an environment over a connection that was dialed, or that an environment has dialed to an
    /// [`AsyncAcceptor`](super::AsyncAcceptor). It is made within [`AgentOptions::connect_timeout`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session ends. The host is told so by a goodbye, unless the request for the
    /// environment was half sent; then it finds that the connection is lost.
    pub async fn open(connection: AsyncConnection, options: &AgentOptions) -> Result<Self> {
        Self::make(connection, options, options.connection.connect_timeout).await
    }

    async fn make(connection: AsyncConnection, options: &AgentOptions, left: Duration) -> Result<Self> {
        let peer = connection.peer();
        let made = time::timeout(left, Self::ask(connection, options)).await;
        made.unwrap_or_else(|_| Err(not_made(peer, left)))
    }

    /// Asks for the environment, for as long as that takes.
    async fn ask(connection: AsyncConnection, options: &AgentOptions) -> Result<Self> {
        let (mut core, judge) = (AgentCore::new(*connection.limits()), ContractChecker::new(options.contract));
        core.make(&options.clone().of_one().make())?;
        let mut env = Self { connection, core, judge, packed: Vec::new() };
        env.send().await?;
        let frame = env.next().await?;
        match env.core.handle(frame) {
            Ok(Reply::Made) => {
                if let Err(error) = env.spec().check_spaces(env.core.limits()) {
                    // Its host is to know why it is not played.
                    env.core.goodbye(&Goodbye::because(&error))?;
                    let _ = time::timeout(GOODBYE_TIME, env.connection.finish(env.core.request()[0])).await;
                    return Err(error);
                }
                Ok(env)
            }
            Ok(Reply::Failed(error) | Reply::Over(error)) => Err(error),
            Ok(_) => Err(Error::protocol("the environment's host answered Make with something else")),
            Err(error) => Err(env.abort(error).await),
        }
    }

    /// Spaces, metadata and the rest of what the host told.
    pub fn spec(&self) -> &Spec {
        self.core.spec()
    }

    /// Gymnasium's `reset`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the request is sent, which is while it waits for an earlier late answer, nothing
    /// was asked. If it is dropped while the request is sent, the connection is lost: over a network the next call has
    /// the request sent over another one, elsewhere the session is over. If it is dropped while it waits for the
    /// answer, that is late: the next `reset` drops it, and until then `step` and `render` fail with
    /// [`Busy`](ErrorKind::Busy).
    pub async fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Value>> {
        self.begin()?;
        while self.core.is_late() {
            let came = self.receive().await;
            self.core.drop_late(came)?;
        }
        self.core.reset(&Reset { rows: smallvec![(0, seed.map(Into::into))], options: options.clone() })?;
        let (row, observation) = self.exchange(true).await?;
        Ok(ResetResult { observation, info: info(row.info) })
    }

    /// Gymnasium's `step`.
    ///
    /// # Cancel safety
    ///
    /// As [`reset`](Self::reset): an answer that was waited for is late, and only `reset` goes on. The environment
    /// takes the action all the same, once.
    pub async fn step(&mut self, action: &Value) -> Result<StepResult<Value>> {
        self.begin()?;
        let space: &AnySpace = &self.core.spec().action_space;
        self.packed.clear();
        let packed = space.pack(action, &mut self.packed);
        if !packed {
            check_action(space, action)?;
            self.packed.clear();
            put_value(&mut self.packed, action);
        }
        self.core.step(&[0], packed, &mut self.packed)?;
        let (row, observation) = self.exchange(false).await?;
        let Row { reward, terminated, truncated, .. } = row;
        Ok(StepResult { observation, reward, terminated, truncated, info: info(row.info) })
    }

    /// Gymnasium's `render`.
    ///
    /// # Cancel safety
    ///
    /// As [`step`](Self::step).
    pub async fn render(&mut self) -> Result<Value> {
        self.begin()?;
        self.core.render(&[0])?;
        self.send().await?;
        match self.receive().await? {
            Answer::Frame(frame) => Ok(frame),
            _ => Err(Error::protocol("a render was answered with something else")),
        }
    }

    /// Gets, sets or calls an attribute, of which [`Spec::attributes`] has to have the name. `None` of one that is got: it
    /// is a function.
    ///
    /// # Cancel safety
    ///
    /// As [`step`](Self::step).
    pub async fn attribute(&mut self, name: &str, access: Access) -> Result<Option<Value>> {
        self.begin()?;
        self.core.attribute(&Attribute { slots: smallvec![0], name: name.to_owned(), access })?;
        self.send().await?;
        match self.receive().await? {
            Answer::Returned(value) => Ok(value),
            _ => Err(Error::protocol("an attribute was answered with something else")),
        }
    }

    /// Ends the session. A host that does not listen is left after half a second.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the goodbye is written, the environment says it as when it is dropped. If it is
    /// dropped while the goodbye is sent, the host may find that the connection is lost, and over a network keeps the
    /// environment for its [`AgentOptions::reconnect_timeout`].
    pub async fn close(mut self) -> Result<()> {
        let leave = async {
            let Self { connection, core, .. } = &mut self;
            connection.begin()?;
            // A host whose connection is lost would keep the environment for long.
            connection.recover(core.received(), &|peer_received| core.to_retransmit(peer_received)).await?;
            core.goodbye(&Goodbye { code: 0, message: "the agent closed the environment".into() })?;
            connection.finish(core.request()[0]).await
        };
        time::timeout(GOODBYE_TIME, leave).await.unwrap_or(Ok(()))
    }

    /// Answers still to come belong to calls that were cancelled.
    fn begin(&mut self) -> Result<()> {
        self.connection.begin()?;
        self.core.give_up();
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        self.connection.send(self.core.request()).await
    }

    async fn next(&mut self) -> Result<Frame> {
        let Self { connection, core, .. } = self;
        match connection.next(core.received(), |peer_received| core.to_retransmit(peer_received)).await {
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
                let space = &self.core.spec().observation_space;
                Ok((row, self.judge.element(received, space, space, is_first)?))
            }
            _ => Err(Error::protocol("a request was answered with something else")),
        }
    }

    /// The answer to the request under way.
    async fn receive(&mut self) -> Result<Answer> {
        let frame = self.next().await?;
        match self.core.handle(frame) {
            Ok(Reply::Failed(error)) => Err(error),
            Ok(Reply::Over(error)) => Err(self.lost(error)),
            Ok(Reply::Made) => Err(Error::protocol("an answer to no request")),
            Ok(reply) => Answer::of_one_slot(reply),
            Err(error) => Err(self.abort(error).await),
        }
    }

    /// Ends the session because the connection did.
    fn lost(&mut self, error: Error) -> Error {
        let error = if error.kind() == ErrorKind::ConnectionLost { error.advice(START_AGAIN) } else { error };
        self.connection.end(error.clone());
        error
    }

    /// Ends the session because the peer broke the protocol, and tells it so.
    async fn abort(&mut self, error: Error) -> Error {
        self.core.abort(&error);
        let error = error.advice(REPORT);
        self.connection.end(error.clone());
        let _ = time::timeout(GOODBYE_TIME, self.connection.finish(self.core.request()[0])).await;
        error
    }
}

impl Drop for AsyncEnv {
    /// Says goodbye but waits for nothing; `close` is the orderly way, and the only one outside of the runtime.
    fn drop(&mut self) {
        let goodbye = Goodbye { code: 0, message: "the agent dropped the environment".into() };
        if self.connection.is_ready() && self.core.goodbye(&goodbye).is_ok() {
            self.connection.finish_later(self.core.request()[0].to_vec());
        }
    }
}

fn info(info: Value) -> Map {
    match info {
        Value::Dict(map) => map,
        _ => Map::new(),
    }
}
