//! RemoteEnv: what an agent holds in either paradigm, and the two ways to get one.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use super::{agent::Answer, contract::ContractChecker, raw_env::RawEnv};
use crate::{
    address::Address,
    endpoint::{accept::acceptor::Acceptor, connect::connection::Connection, options::AgentOptions, wait::Wait},
    env::{Env, Metadata, ResetResult, StepResult, render_modes},
    error::{EnvError, Error, Result},
    session::{Call, received::Received},
    space::{AnySpace, Space, check_action},
    value::{Map, Value},
    wire::{Access, Role, Row, Spec, put_value},
};

/// An environment in another process. It is an [`Env`] like any other.
///
/// By default its spaces are [`AnySpace`] and its elements [`Value`]s; [`typed`](Self::typed) gives
/// plain Rust types instead.
pub struct RemoteEnv<O: Space = AnySpace, A: Space = AnySpace> {
    raw: RawEnv,
    observation_space: O,
    action_space: A,
    /// Bounds one reset, step, render or attribute. `None`: as long as the peer is alive.
    pub timeout: Option<Duration>,
    judge: ContractChecker,
    /// Where actions are written.
    packed: Vec<u8>,
}

/// An answer that came after its deadline, fetched with [`RemoteEnv::late`].
#[derive(Debug)]
pub enum Late<O> {
    /// To a reset.
    Reset(ResetResult<O>),
    /// To a step.
    Step(StepResult<O>),
    /// To a render.
    Render(Value),
    /// To an attribute. `None` of one that was got: it is a function.
    Attribute(Option<Value>),
}

/// The agent's end where the environment is hosted by a server: the agent dials.
#[derive(Debug)]
pub struct ClientEnv;

impl ClientEnv {
    /// Connects to the [`ServerBackend`](crate::ServerBackend) at `address` and makes an environment there.
    ///
    /// ```no_run
    /// use rlay::{ClientEnv, Env, Value};
    ///
    /// let mut env = ClientEnv::connect("mem://cartpole", rlay::agent_options())?;
    /// let first = env.reset(Some(7), &Value::None)?;
    /// # Ok::<(), rlay::EnvError>(())
    /// ```
    ///
    /// An address that begins with `exec:`, as in `exec:./game --headless`, is a command: see [`launch`](Self::launch).
    /// It is split as a shell would, but no shell sees it.
    pub fn connect(address: &str, options: AgentOptions) -> Result<RemoteEnv> {
        Ok(RemoteEnv::open(RawEnv::connect(address, options.clone(), &mut Wait::default())?, &options))
    }

    /// Starts a program that hosts an environment, and takes that. The program finds in the environment variable
    /// `RLAY_ADDRESS` where to dial in, as with [`ClientBackend`](crate::ClientBackend), and in `RLAY_TOKEN` the token
    /// that admits it alone: that of `options`, otherwise a new one.
    ///
    /// What it prints goes to `options.log`. If it ends, the error of the call under way says how, and what it
    /// printed last; `reset` then launches it again, at most `options.restarts` times. It must be this program that
    /// stays: a script lets its game take its place (`exec ./game`), for what it leaves running is ended with it.
    ///
    /// `close`, or dropping the environment, tells the program to end and waits for that, at most
    /// `options.close_timeout`; then come SIGTERM and, five seconds later, SIGKILL. While this process has launched
    /// others whose environments are still open, `close` returns after a quarter of a second, and closing the last one
    /// waits for all, so that they end side by side. On Linux the program is killed when this process is.
    ///
    /// ```no_run
    /// use rlay::ClientEnv;
    ///
    /// let mut env = ClientEnv::launch(["./game", "--headless"], rlay::agent_options().restarts(3))?;
    /// # Ok::<(), rlay::Error>(())
    /// ```
    #[cfg(unix)]
    pub fn launch(command: impl IntoIterator<Item = impl Into<String>>, options: AgentOptions) -> Result<RemoteEnv> {
        let command = command.into_iter().map(Into::into).collect();
        Ok(RemoteEnv::open(RawEnv::launch(command, options.clone(), &mut Wait::default())?, &options))
    }
}

/// The agent's end where the environment is a client that runs its own loop: the agent listens.
///
/// Keep it for as long as its environments: one that has lost its connection comes back through it. Those that are
/// replaced when they are lost ([`OnLoss`](crate::OnLoss)) keep it themselves.
///
/// ```no_run
/// use rlay::{Env, ServerEnv, Value};
///
/// let server = ServerEnv::bind("mem://arena", rlay::agent_options())?;
/// println!("waiting for a game at {}", server.address());
/// let mut env = server.accept()?;
/// env.reset(None, &Value::None)?;
/// # Ok::<(), rlay::EnvError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerEnv {
    acceptor: Arc<Acceptor>,
    options: AgentOptions,
}

impl ServerEnv {
    /// Listens at `address` for environments that dial in.
    pub fn bind(address: &str, options: AgentOptions) -> Result<Self> {
        let acceptor = Arc::new(Acceptor::bind(&address.parse()?, Role::Agent, &options.connection)?);
        Ok(Self { acceptor, options })
    }

    /// The address for environments to dial, with the real port.
    pub fn address(&self) -> &Address {
        self.acceptor.address()
    }

    /// The next environment that dials in, waited for at most `connect_timeout`. Each call gives another one.
    pub fn accept(&self) -> Result<RemoteEnv> {
        let raw = RawEnv::accept(self.acceptor.clone(), self.options.clone(), &mut Wait::default())?;
        Ok(RemoteEnv::open(raw, &self.options))
    }

    /// The connection of the next environment that dials in, however long that takes.
    pub(in crate::endpoint) fn next(&self) -> Result<Connection> {
        self.acceptor.next(&mut Wait::default())
    }

    pub(in crate::endpoint) fn options(&self) -> &AgentOptions {
        &self.options
    }

    /// Stops listening. Environments that were accepted stay, but none comes back or is replaced.
    pub fn close(&self) {
        self.acceptor.close();
    }
}

impl RemoteEnv {
    fn open(mut raw: RawEnv, options: &AgentOptions) -> Self {
        raw.let_go_of_source();
        let spec = raw.spec();
        Self {
            observation_space: spec.observation_space.clone(),
            action_space: spec.action_space.clone(),
            raw,
            timeout: options.timeout,
            judge: ContractChecker::new(options.contract),
            packed: Vec::new(),
        }
    }

    /// Takes the environment at the other end of a connection, which nothing replaces.
    pub(in crate::endpoint) fn over(connection: Connection, options: &AgentOptions) -> Result<Self> {
        Ok(Self::open(RawEnv::over(connection, options, &mut Wait::default())?, options))
    }

    /// The same environment with plain Rust types, if its spaces are of these classes.
    /// The error names the first leaf that is not.
    ///
    /// ```no_run
    /// # use rlay::{BoxSpace, ClientEnv, Discrete, Env, Value};
    /// let env = ClientEnv::connect("mem://cartpole", rlay::agent_options())?;
    /// let mut env = env.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;
    /// let pole: [f32; 4] = env.reset(None, &Value::None)?.observation;
    /// # Ok::<(), rlay::EnvError>(())
    /// ```
    pub fn typed<O: Space, A: Space>(mut self) -> Result<RemoteEnv<O, A>> {
        let observation_space = O::from_any(&self.observation_space).map_err(|e| e.at("observation_space"));
        let action_space = A::from_any(&self.action_space).map_err(|e| e.at("action_space"));
        let (observation_space, action_space) = match (observation_space, action_space) {
            (Ok(observation_space), Ok(action_space)) => (observation_space, action_space),
            (Err(error), _) | (_, Err(error)) => {
                self.leave(&error);
                return Err(error);
            }
        };
        let Self { raw, timeout, judge, packed, .. } = self;
        Ok(RemoteEnv { raw, observation_space, action_space, timeout, judge, packed })
    }
}

impl<O: Space, A: Space> RemoteEnv<O, A> {
    /// Spaces, metadata and the rest of what the host told.
    pub fn spec(&self) -> &Spec {
        self.raw.spec()
    }

    /// Where the log lies of a program that was [launched](ClientEnv::launch); `None` for what was not.
    pub fn log(&self) -> Option<&Path> {
        self.raw.log()
    }

    /// The answer to a call that ran into its deadline, waited for at most `timeout`.
    pub fn late(&mut self, timeout: Option<Duration>) -> Result<Late<O::Element>> {
        Ok(match self.raw.late(&mut Wait::new(timeout))? {
            (_, Answer::Frame(frame)) => Late::Render(frame),
            (_, Answer::Returned(value)) => Late::Attribute(value),
            (Call::Reset, Answer::Row(row, observation)) => Late::Reset(self.reset_result(row, observation)?),
            (_, Answer::Row(row, observation)) => Late::Step(self.step_result(row, observation)?),
            (_, Answer::Closed) => return Err(Error::protocol("Closed where a result was due")),
        })
    }

    /// Ends the session, and tells the environment's host why.
    pub(in crate::endpoint) fn leave(&mut self, why: &Error) {
        self.raw.leave(why);
    }

    fn reset_result(&mut self, row: Row, observation: Received) -> Result<ResetResult<O::Element>> {
        Ok(ResetResult { observation: self.observe(observation, true)?, info: map(row.info)? })
    }

    fn step_result(&mut self, row: Row, observation: Received) -> Result<StepResult<O::Element>> {
        let (reward, terminated, truncated) = (row.reward, row.terminated, row.truncated);
        let observation = self.observe(observation, false)?;
        Ok(StepResult { observation, reward, terminated, truncated, info: map(row.info)? })
    }

    fn observe(&mut self, received: Received, is_first: bool) -> Result<O::Element> {
        let declared = &self.raw.spec().observation_space;
        self.judge.element(received, &self.observation_space, declared, is_first)
    }
}

fn map(info: Value) -> Result<Map> {
    match info {
        Value::Dict(map) => Ok(map),
        other => Err(Error::protocol(format!("info is a {}, not a dict", other.type_name()))),
    }
}

impl<O: Space, A: Space> Env for RemoteEnv<O, A> {
    type ObservationSpace = O;
    type ActionSpace = A;

    fn observation_space(&self) -> &O {
        &self.observation_space
    }

    fn action_space(&self) -> &A {
        &self.action_space
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<O::Element>, EnvError> {
        let (row, observation) = self.raw.reset(seed.map(Into::into), options, &mut Wait::new(self.timeout))?;
        Ok(self.reset_result(row, observation)?)
    }

    fn step(&mut self, action: A::Element) -> Result<StepResult<O::Element>, EnvError> {
        self.packed.clear();
        let packed = self.action_space.pack(&action, &mut self.packed);
        if !packed {
            let value = self.action_space.to_value(&action);
            check_action(&self.action_space, &value)?;
            self.packed.clear();
            put_value(&mut self.packed, &value);
        }
        let (row, observation) = self.raw.step(packed, &mut self.packed, &mut Wait::new(self.timeout))?;
        Ok(self.step_result(row, observation)?)
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        Ok(self.raw.render(&mut Wait::new(self.timeout))?)
    }

    /// An error of kind [`Usage`](crate::ErrorKind::Usage) if the host does not offer it, as [`Spec::attributes`] says.
    fn get_attr(&mut self, name: &str) -> Result<Option<Value>, EnvError> {
        Ok(self.raw.attribute(name, Access::Get, &mut Wait::new(self.timeout))?)
    }

    fn set_attr(&mut self, name: &str, value: &Value) -> Result<(), EnvError> {
        let access = Access::Set(vec![value.clone()]);
        self.raw.attribute(name, access, &mut Wait::new(self.timeout))?;
        Ok(())
    }

    fn call(&mut self, name: &str, args: &[Value], kwargs: &Map) -> Result<Value, EnvError> {
        let access = Access::Call(args.to_vec(), kwargs.clone());
        Ok(self.raw.attribute(name, access, &mut Wait::new(self.timeout))?.unwrap_or_default())
    }

    fn metadata(&self) -> Metadata {
        let spec = self.raw.spec();
        let get = |value: &Value, key: &str| match value {
            Value::Dict(map) => map.get(key).cloned(),
            _ => None,
        };
        let number = |value: Option<Value>| match value {
            Some(Value::Float(x)) => Some(x),
            Some(other) => other.as_i64().map(|x| x as f64),
            None => None,
        };
        let mut extra = match &spec.metadata {
            Value::Dict(map) => map.clone(),
            _ => Map::new(),
        };
        extra.0.retain(|(key, _)| !matches!(key.as_str(), Some("render_modes" | "render_fps")));
        Metadata {
            render_modes: render_modes(&spec.metadata).unwrap_or_default().into_iter().map(str::to_owned).collect(),
            render_fps: number(get(&spec.metadata, "render_fps")),
            reward_threshold: number(get(&spec.details, "reward_threshold")),
            nondeterministic: get(&spec.details, "nondeterministic") == Some(Value::Bool(true)),
            max_episode_steps: get(&spec.details, "max_episode_steps").and_then(|x| x.as_i64()?.try_into().ok()),
            extra,
        }
    }

    fn close(&mut self) -> Result<(), EnvError> {
        Ok(self.raw.close(&mut Wait::default())?)
    }
}

impl<O: Space, A: Space> fmt::Debug for RemoteEnv<O, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEnv").field("raw", &self.raw).finish_non_exhaustive()
    }
}
