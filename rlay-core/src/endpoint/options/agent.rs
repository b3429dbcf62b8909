//! What agents are told: which environment they ask for, how long its calls may take, and what to do when it is gone.

use std::{path::PathBuf, time::Duration};

use super::{ConnectionOptions, ListenerOptions, connection::connection_setters};
use crate::{
    channel::Transport,
    registry::Registry,
    token::Token,
    value::{Map, Value},
    wire::{AutoresetMode, Limits, Make},
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
/// came in its place within [`AgentOptions::reconnect_timeout`].
///
/// ```no_run
/// use rlay::{Env, OnLoss, ServerEnv, Value};
///
/// let options = rlay::agent_options().on_loss(OnLoss::Truncate);
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

/// Options of what holds an environment that is elsewhere: [`ClientEnv`](crate::ClientEnv),
/// [`ServerEnv`](crate::ServerEnv), [`PolicyServer`](crate::PolicyServer) and the async
/// [`AsyncEnv`](crate::asynchronous::AsyncEnv).
///
/// `rlay::agent_options()` has every transport that the crate `rlay` was built with. There is no `Default`, for without
/// a transport no address can be dialed.
///
/// ```
/// use std::time::Duration;
///
/// let options = rlay::agent_options().render_mode("rgb_array").timeout(Duration::from_secs(5));
/// ```
///
/// ```compile_fail
/// let options = rlay::AgentOptions::default();
/// ```
#[must_use = "options do nothing until an endpoint is made with them"]
#[derive(Debug, Clone)]
pub struct AgentOptions {
    pub(crate) connection: ConnectionOptions,
    pub(crate) render_mode: Option<String>,
    pub(crate) env_id: Option<String>,
    pub(crate) kwargs: Map,
    pub(crate) timeout: Option<Duration>,
    pub(crate) num_envs: u32,
    pub(crate) min_ready: Option<u32>,
    pub(crate) autoreset_mode: AutoresetMode,
    pub(crate) on_loss: OnLoss,
    pub(crate) contract: Contract,
    // Programs are launched on Unix alone.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) log: Option<PathBuf>,
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) restarts: u32,
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) close_timeout: Duration,
}

connection_setters!(AgentOptions);

impl AgentOptions {
    /// The defaults, over these connections.
    ///
    /// ```
    /// use rlay::{AgentOptions, ConnectionOptions, Registry};
    /// let within_this_program = AgentOptions::new(ConnectionOptions::new(Registry::default()));
    /// ```
    pub fn new(connection: ConnectionOptions) -> Self {
        Self {
            connection,
            render_mode: None,
            env_id: None,
            kwargs: Map::new(),
            timeout: None,
            num_envs: 0,
            min_ready: None,
            autoreset_mode: AutoresetMode::NextStep,
            on_loss: OnLoss::default(),
            contract: Contract::default(),
            log: None,
            restarts: 0,
            close_timeout: Duration::from_secs(10),
        }
    }

    /// The defaults, with one transport and `mem`.
    ///
    /// ```
    /// use rlay::{AgentOptions, Mem};
    /// let options = AgentOptions::over(Mem);
    /// ```
    pub fn over(transport: impl Transport + 'static) -> Self {
        Self::new(ConnectionOptions::new(Registry::default().with(transport)))
    }

    /// The mode in which the environment shall render. By default none.
    pub fn render_mode(mut self, mode: impl Into<String>) -> Self {
        self.render_mode = Some(mode.into());
        self
    }

    /// Which environment, where the host offers several. By default the one that the host has without a name.
    pub fn env_id(mut self, id: impl Into<String>) -> Self {
        self.env_id = Some(id.into());
        self
    }

    /// Keyword arguments for the environment, as far as the host allows them. By default none.
    ///
    /// ```
    /// use rlay::{Map, Value};
    /// let options = rlay::agent_options().env_id("maze").kwargs(Map::from([("size", 5)]));
    /// ```
    pub fn kwargs(mut self, kwargs: Map) -> Self {
        self.kwargs = kwargs;
        self
    }

    /// Bounds one reset, step, render or attribute. By default `None`: a call waits as long as the peer is alive.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// What to do about an environment that vanished for good. By default calls fail, as they always do in the async
    /// form and in a [`PolicyServer`](crate::PolicyServer).
    pub fn on_loss(mut self, on_loss: OnLoss) -> Self {
        self.on_loss = on_loss;
        self
    }

    /// What to do about an environment that breaks its contract. By default a warning is logged.
    pub fn contract(mut self, contract: Contract) -> Self {
        self.contract = contract;
        self
    }

    /// The file that takes what a launched program prints, one of this user's own or a device. By default a new one in
    /// a new folder among the temporary files, which is removed if the program ends in good order and no error has
    /// named it. Errors name it.
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// How often `reset` may launch a program again after it has ended, whatever `on_loss` is. By default never.
    pub fn restarts(mut self, count: u32) -> Self {
        self.restarts = count;
        self
    }

    /// How long a launched program has to end after its environment was closed, before SIGTERM asks it to and, five
    /// seconds later, SIGKILL ends it. By default ten seconds.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// What these options say of connections, for the functions that serve agents and hosts alike.
    pub fn connection(&self) -> &ConnectionOptions {
        &self.connection
    }

    fn connection_mut(&mut self) -> &mut ConnectionOptions {
        &mut self.connection
    }

    /// How many environments a [`ClientVectorEnv`](crate::ClientVectorEnv) or
    /// [`ServerVectorEnv`](crate::ServerVectorEnv) has; 0, which is the default: as many as the host has, and one where
    /// environments dial in. Single environments ignore it.
    ///
    /// ```
    /// let options = rlay::agent_options().num_envs(64);
    /// ```
    pub fn num_envs(mut self, count: u32) -> Self {
        self.num_envs = count;
        self
    }

    /// How many of the environments of a [`ServerVectorEnv`](crate::ServerVectorEnv) are enough to begin with; the
    /// others are taken when they dial in. By default all of them.
    pub fn min_ready(mut self, count: u32) -> Self {
        self.min_ready = Some(count);
        self
    }

    /// When the next episode of an environment of a vector begins. By default with the step after the one that has
    /// ended an episode. Single environments ignore it.
    ///
    /// ```
    /// use rlay::AutoresetMode;
    /// let options = rlay::agent_options().num_envs(64).autoreset_mode(AutoresetMode::SameStep);
    /// ```
    pub fn autoreset_mode(mut self, mode: AutoresetMode) -> Self {
        self.autoreset_mode = mode;
        self
    }

    /// The same for a single environment.
    pub(crate) fn of_one(self) -> Self {
        self.num_envs(1).autoreset_mode(AutoresetMode::Disabled)
    }

    /// The request for an environment of an agent with these options.
    pub(crate) fn make(&self) -> Make {
        let (env_id, render_mode) = (self.env_id.clone(), self.render_mode.clone());
        let (slots, autoreset_mode) = (self.num_envs, self.autoreset_mode);
        Make { env_id, kwargs: Value::Dict(self.kwargs.clone()), render_mode, slots, autoreset_mode }
    }
}
