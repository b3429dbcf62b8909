//! ServerBackend: hosts environments for every agent that connects.

use std::fmt;

use super::{backend::Backend, session_pool::SessionPool};
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    endpoint::{accept::acceptor::Acceptor, options::HostOptions},
    env::Env,
    error::{EnvError, Result},
    vector_env::VectorEnv,
    wire::Make,
};

/// The host's end where the agent dials. Every session has its own environment, which is made, stepped and closed on
/// one thread: that session's own, or where there is but one ([`HostOptions::max_sessions`]) the one that calls
/// [`run`](Self::run). Where an agent asks for several environments, they may have more threads
/// ([`HostOptions::threads`]).
///
/// Agents that dial before [`run`](Self::run) or [`start`](Self::start) wait, and are told so.
///
/// ```
/// # use rlay::{Discrete, Env, EnvError, Map, ResetResult, StepResult, Value};
/// # struct Coin(Discrete);
/// # impl Env for Coin {
/// #     type ObservationSpace = Discrete;
/// #     type ActionSpace = Discrete;
/// #     fn observation_space(&self) -> &Discrete { &self.0 }
/// #     fn action_space(&self) -> &Discrete { &self.0 }
/// #     fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> {
/// #         Ok(ResetResult { observation: 0, info: Map::new() })
/// #     }
/// #     fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> {
/// #         Ok(StepResult { observation: action, reward: 1.0, terminated: true, truncated: false, info: Map::new() })
/// #     }
/// # }
/// use rlay::{ClientEnv, ServerBackend};
///
/// let backend = ServerBackend::bind(|_| Ok(Coin(Discrete::new(2))), "mem://coin", rlay::host_options())?;
/// backend.start()?;
/// let mut env = ClientEnv::connect("mem://coin", rlay::agent_options())?;
/// env.reset(Some(1), &Value::None)?;
/// assert_eq!(env.step(Value::Int(1))?.reward, 1.0);
/// backend.close();
/// # Ok::<(), EnvError>(())
/// ```
#[derive(Clone)]
pub struct ServerBackend(Backend);

impl fmt::Debug for ServerBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerBackend({})", self.address())
    }
}

impl ServerBackend {
    /// Listens at `address`; `factory` makes each environment for an agent, on the thread that is to step it.
    pub fn bind<E: Env + 'static>(
        factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static,
        address: &str,
        options: HostOptions,
    ) -> Result<Self> {
        Ok(Self(Backend::new(SessionPool::listen(address, options, None)?, factory)))
    }

    /// The same for simulators that step many environments at once. `factory` makes one for each agent, of as many
    /// environments as [`Make::slots`] says; where that is 0 the agent takes as many as there are. See [`VectorEnv`].
    pub fn bind_vector<E: VectorEnv + 'static>(
        factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static,
        address: &str,
        options: HostOptions,
    ) -> Result<Self> {
        Ok(Self(Backend::vector(SessionPool::listen(address, options, None)?, factory)))
    }

    /// The address for agents to dial, with the real port.
    pub fn address(&self) -> &Address {
        self.0.pool.address()
    }

    /// Sessions under way, and agents that wait for one.
    pub fn sessions(&self) -> usize {
        self.0.pool.acceptor().map_or(0, Acceptor::sessions)
    }

    /// Serves on the calling thread until [`close`](Self::close), and returns once the agents were told, so that a
    /// program may end then. A backend that was closed, or serves already, is an error.
    ///
    /// Ctrl-C ends a Rust program where it stands, without a word to the agents, unless that closes the backend. A
    /// library installs no signal handlers; in a program the crate `ctrlc` does, by
    /// `ctrlc::set_handler(move || closing.close())`, where `closing` is a clone of the backend.
    pub fn run(&self) -> Result<()> {
        refuse_inside_tokio()?;
        self.0.run()
    }

    /// Serves on a thread of its own until [`close`](Self::close). A backend that was closed, or serves already, is an
    /// error.
    pub fn start(&self) -> Result<()> {
        self.0.start()
    }

    /// Stops listening, says goodbye to every agent and closes every environment that is not in the
    /// middle of a call; returns within two seconds. May be called from any thread, twice.
    pub fn close(&self) {
        self.0.close();
    }
}
