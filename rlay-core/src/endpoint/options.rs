//! Options: everything an endpoint can be told, with defaults that work.

use std::{path::PathBuf, time::Duration};

use crate::{
    channel::{Transport, TransportOptions},
    error::{Error, ErrorKind, Result},
    offers::Offers,
    registry::Registry,
    session::Local,
    token::Token,
    value::{Map, Value},
    wire::{HANDSHAKE_FRAME, Limits, Make, Role},
};

/// What to do about an environment that breaks its own contract, such as an observation outside its
/// space. Data is never altered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Contract {
    /// The agent's call fails.
    Strict,
    /// A warning is logged, once per endpoint.
    #[default]
    Warn,
    /// Nothing.
    Off,
}

/// What to do about an environment that vanished for good: its process has ended, or its connection was lost and none
/// came in its place within [`Options::reconnect_timeout`].
///
/// ```no_run
/// use rlay::{Env, OnLoss, Options, ServerEnv, Value};
///
/// let options = Options { on_loss: OnLoss::Truncate, ..rlay::options() };
/// let mut env = ServerEnv::bind("mem://arena", options)?.accept()?;
/// loop {
///     env.reset(None, &Value::None)?;
///     // A game that crashes ends its episode, and the next is played with the next game that dials in.
///     while !env.step(Value::Int(0))?.truncated {}
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), rlay::EnvError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnLoss {
    /// The call fails, and every later one.
    #[default]
    Raise,
    /// The call fails, and `reset` goes on with another environment of the same spaces: made as this one was where the
    /// agent dials, and the next that dials in where it listens.
    Replace,
    /// Besides, `step` does not fail but ends the episode: the last observation once more, reward 0.0, truncated, and
    /// `info["lost"]` says why. For that each observation is copied.
    Truncate,
}

/// Options of every endpoint. An endpoint ignores what does not concern it.
///
/// Begin with `rlay::options()`, which has the transports of the features that the crate `rlay` was built with; those
/// of `Options::default()` are but `mem`.
///
/// ```
/// use rlay::Options;
///
/// let options = Options { render_mode: Some("rgb_array".into()), ..rlay::options() };
/// assert_eq!(options.timeout, None); // wait as long as the peer is alive
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// Agents: the mode in which the environment shall render.
    pub render_mode: Option<String>,
    /// Agents: which environment, where the host offers several.
    pub env_id: Option<String>,
    /// Agents: keyword arguments for the environment, as far as the host allows them.
    pub kwargs: Map,
    /// Hosts: what agents may ask for. Not in the poll form, whose environment is there already; in the async form
    /// it is [`Host::offering`](super::Host::offering).
    pub offers: Offers,
    /// Agents: bounds one reset, step or render. `None`: as long as the peer is alive.
    pub timeout: Option<Duration>,
    /// How long a dialer tries again while there is no listener, and how long [`ServerEnv::accept`](super::ServerEnv::accept)
    /// waits for an environment to dial in; for agents: until the environment is made, too. A
    /// [`ServerBackend`](super::ServerBackend) waits for agents for ever, and the poll form as long as it takes.
    pub connect_timeout: Duration,
    /// Bounds a handshake, from the connection on. Who is not through by then is let go. And how long a session that was let
    /// in keeps its place before its agent asks for an environment or an agent takes it, where others dial in vain.
    pub handshake_timeout: Duration,
    /// How long a connection that was lost may take to come back, over a network; zero: it never does. By default two
    /// seconds for agents, whose calls wait for it, and thirty for hosts, where nobody waits; a longer outage is
    /// survived only if both ends allow for it.
    pub reconnect_timeout: Option<Duration>,
    /// Agents: what to do about an environment that vanished for good. The async form and
    /// [`PolicyServer`](super::PolicyServer) always raise.
    pub on_loss: OnLoss,
    /// Listeners: longest frame of a handshake in bytes; 64 KiB is the most that the protocol has.
    pub max_handshake_frame: usize,
    /// Listeners: most handshakes under way at a time; when there are more, the oldest is given up.
    pub max_handshakes: usize,
    /// Listeners, of either role, and a [`ClientBackend`](super::ClientBackend): most sessions at a time, from 1 on. With
    /// 1 a backend serves on the thread that calls its `run`, else each session has a thread of its own.
    pub max_sessions: usize,
    /// Bounds on what a peer can make this process hold.
    pub limits: Limits,
    /// A secret that the peer must prove to know, and that is proven to it. By default what the environment
    /// variable `RLAY_TOKEN` holds, if anything. An agent that launches a program and has none gives it one of its own.
    pub token: Option<Token>,
    /// For the transport. `limits.frame` takes the place of its `max_frame`, and `token` of `is_authenticated`.
    pub transport: TransportOptions,
    /// Agents: what to do about an environment that breaks its contract.
    pub contract: Contract,
    /// Hosts: whether the tracebacks of errors are sent to the agent.
    pub tracebacks: bool,
    /// Agents that launch a program: the file that takes what it prints, one of this user's own or a device; by default
    /// a new one in a new folder among the temporary files, which is removed if the program ends in good order and
    /// nothing has named it. Errors name it.
    pub log: Option<PathBuf>,
    /// Agents that launch a program: how often `reset` may launch it again after it has ended, whatever `on_loss` is.
    pub restarts: u32,
    /// Agents that launch a program: how long it has to end after its environment was closed, before SIGTERM asks it
    /// to and, five seconds later, SIGKILL ends it.
    pub close_timeout: Duration,
    /// The transports there are: by default `mem` alone, and in `rlay::options()` those of the enabled features.
    pub registry: Registry,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            render_mode: None,
            env_id: None,
            kwargs: Map::new(),
            offers: Offers::default(),
            timeout: None,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            reconnect_timeout: None,
            on_loss: OnLoss::default(),
            max_handshake_frame: HANDSHAKE_FRAME,
            max_handshakes: 64,
            max_sessions: 64,
            limits: Limits::default(),
            token: Token::from_env(),
            transport: TransportOptions::default(),
            contract: Contract::default(),
            tracebacks: true,
            log: None,
            restarts: 0,
            close_timeout: Duration::from_secs(10),
            registry: Registry::default(),
        }
    }
}

impl Options {
    /// The defaults and one transport.
    ///
    /// ```
    /// use rlay::{Mem, Options};
    /// let options = Options::over(Mem);
    /// ```
    pub fn over(transport: impl Transport + 'static) -> Self {
        Self { registry: Registry::default().with(transport), ..Self::default() }
    }

    /// Refuses what no endpoint can have that takes sessions.
    pub(crate) fn check(&self) -> Result<()> {
        if self.max_sessions == 0 {
            return Err(Error::new(
                ErrorKind::Usage,
                "max_sessions is 0; give the number of sessions there can be, from 1 on",
            ));
        }
        self.check_dialer()
    }

    /// Refuses what no endpoint can have.
    pub(crate) fn check_dialer(&self) -> Result<()> {
        self.token.as_ref().map_or(Ok(()), Token::check)?;
        self.limits.check()
    }

    /// What the transport is told.
    pub(crate) fn for_transport(&self) -> TransportOptions {
        let (max_frame, is_authenticated) = (self.limits.frame, self.token.is_some());
        TransportOptions { max_frame, is_authenticated, ..self.transport.clone() }
    }

    /// The request for an environment of an agent with these options.
    pub(crate) fn make(&self) -> Make {
        let (env_id, render_mode) = (self.env_id.clone(), self.render_mode.clone());
        Make { env_id, kwargs: Value::Dict(self.kwargs.clone()), render_mode }
    }

    /// How long an endpoint of this role waits for a lost connection.
    pub(crate) fn reconnects_for(&self, role: Role) -> Duration {
        self.reconnect_timeout.unwrap_or(match role {
            Role::Agent => Duration::from_secs(2),
            Role::Env => Duration::from_secs(30),
        })
    }

    /// What the handshake says of an endpoint with these options; `is_network`: whether its connections can be lost.
    pub(crate) fn local(&self, role: Role, is_network: bool) -> Local {
        let is_resumable = is_network && !self.reconnects_for(role).is_zero();
        Local { role, limits: self.limits, token: self.token.clone(), is_resumable }
    }
}
