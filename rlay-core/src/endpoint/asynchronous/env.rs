//! AsyncEnv: an environment in another process, for an agent inside tokio.

use std::time::{Duration, Instant};

use smallvec::smallvec;

use super::{connection::AsyncConnection, session::AsyncSession};
use crate::{
    endpoint::{agents::agent::Answer, agents::contract::ContractChecker, options::AgentOptions},
    env::{ResetResult, StepResult},
    error::{Error, Result},
    session::agent_core::Reply,
    space::{AnySpace, Space, check_action},
    value::{Map, Value},
    wire::{Access, Attribute, Reset, Role, Row, Spec, put_value},
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
    session: AsyncSession,
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
        let mut session = AsyncSession::make(connection, &options.clone().of_one().make(), left).await?;
        if let Err(error) = session.spec().check_spaces(session.core.limits()) {
            // Its host is to know why it is not played.
            session.leave(&error).await;
            return Err(error);
        }
        Ok(Self { session, judge: ContractChecker::new(options.contract), packed: Vec::new() })
    }

    /// Spaces, metadata and the rest of what the host told.
    pub fn spec(&self) -> &Spec {
        self.session.spec()
    }

    /// Gymnasium's `reset`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the request is sent, which is while it waits for an earlier late answer, nothing
    /// was asked. If it is dropped while the request is sent, the connection is lost: over a network the next call has
    /// the request sent over another one, elsewhere the session is over. If it is dropped while it waits for the
    /// answer, that is late: the next `reset` drops it, and until then `step` and `render` fail with
    /// [`Busy`](crate::ErrorKind::Busy).
    pub async fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Value>> {
        self.session.begin()?;
        self.session.drop_late().await?;
        self.session.core.reset(&Reset { rows: smallvec![(0, seed.map(Into::into))], options: options.clone() })?;
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
        self.session.begin()?;
        let space: &AnySpace = &self.session.spec().action_space;
        self.packed.clear();
        let packed = space.pack(action, &mut self.packed);
        if !packed {
            check_action(space, action)?;
            self.packed.clear();
            put_value(&mut self.packed, action);
        }
        self.session.core.step(&[0], packed, &mut self.packed)?;
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
        self.session.begin()?;
        self.session.core.render(&[0])?;
        self.session.send().await?;
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
        self.session.begin()?;
        self.session.core.attribute(&Attribute { slots: smallvec![0], name: name.to_owned(), access })?;
        self.session.send().await?;
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
    pub async fn close(self) -> Result<()> {
        self.session.close().await
    }

    async fn exchange(&mut self, is_first: bool) -> Result<(Row, Value)> {
        self.session.send().await?;
        match self.receive().await? {
            Answer::Row(row, received) => {
                let space = &self.session.spec().observation_space;
                Ok((row, self.judge.element(received, space, space, is_first)?))
            }
            _ => Err(Error::protocol("a request was answered with something else")),
        }
    }

    /// The answer to the request under way.
    async fn receive(&mut self) -> Result<Answer> {
        match self.session.receive().await? {
            Reply::Failed(error) => Err(error),
            reply => Answer::of_one_slot(reply),
        }
    }
}

fn info(info: Value) -> Map {
    match info {
        Value::Dict(map) => map,
        _ => Map::new(),
    }
}
