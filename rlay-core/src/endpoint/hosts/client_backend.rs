//! ClientBackend: hosts environments by dialing in to agents that listen.

use std::fmt;

use super::{backend::Backend, session_pool::SessionPool};
use crate::{
    bridge::refuse_inside_tokio,
    endpoint::options::HostOptions,
    env::Env,
    error::{EnvError, Result},
    vector_env::VectorEnv,
    wire::Make,
};

/// The host's end where the environment dials, as a game does that is started by hand.
///
/// One session waits for an agent at any time; as soon as it is taken, a spare one dials, up to
/// `max_sessions`. So an agent that opens several environments gets them. Each is made, stepped and closed on one
/// thread: its session's own, or where there is but one session ([`HostOptions::max_sessions`]) the one that calls
/// [`run`](Self::run).
///
/// Where sessions end before their first step, because the environment cannot be made or the agent does not want it,
/// the next one dials after a pause of 20 ms, which doubles each time up to 5 s.
///
/// ```no_run
/// # use rlay::{Discrete, Env, EnvError, Map, ResetResult, StepResult, Value};
/// # struct Coin(Discrete);
/// # impl Env for Coin {
/// #     type ObservationSpace = Discrete;
/// #     type ActionSpace = Discrete;
/// #     fn observation_space(&self) -> &Discrete { &self.0 }
/// #     fn action_space(&self) -> &Discrete { &self.0 }
/// #     fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> { todo!() }
/// #     fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> { todo!() }
/// # }
/// use rlay::ClientBackend;
///
/// ClientBackend::new(|_| Ok(Coin(Discrete::new(2))), "mem://arena", rlay::host_options())?.run()?;
/// # Ok::<(), EnvError>(())
/// ```
#[derive(Clone)]
pub struct ClientBackend(Backend);

impl fmt::Debug for ClientBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientBackend({})", self.0.pool.address())
    }
}

impl ClientBackend {
    /// Will dial `address`; `factory` makes each environment, on the thread that is to step it.
    pub fn new<E: Env + 'static>(
        factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static,
        address: &str,
        options: HostOptions,
    ) -> Result<Self> {
        Ok(Self(Backend::new(SessionPool::dial(address, options)?, factory)))
    }

    /// The same for simulators that step many environments at once; see
    /// [`ServerBackend::bind_vector`](crate::ServerBackend::bind_vector).
    pub fn vector<E: VectorEnv + 'static>(
        factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static,
        address: &str,
        options: HostOptions,
    ) -> Result<Self> {
        Ok(Self(Backend::vector(SessionPool::dial(address, options)?, factory)))
    }

    /// Serves until [`close`](Self::close), or until no agent is found at the address for `connect_timeout` and no
    /// session is left. The latter is an error, unless a session has played before. A backend that was closed, or
    /// serves already, is an error, too. It returns once the agents were told; for Ctrl-C see
    /// [`ServerBackend::run`](crate::ServerBackend::run).
    ///
    /// If an agent launched this program, whose address is that in
    /// [`ADDRESS_VARIABLE`](crate::endpoint::ADDRESS_VARIABLE), it returns as soon as the agent has closed the
    /// environment.
    pub fn run(&self) -> Result<()> {
        refuse_inside_tokio()?;
        self.0.run()
    }

    /// Serves on a thread of its own. A backend that was closed, or serves already, is an error.
    pub fn start(&self) -> Result<()> {
        self.0.start()
    }

    /// Ends every session and closes every environment that is not in the middle of a call; returns
    /// within two seconds. May be called from any thread, twice.
    pub fn close(&self) {
        self.0.close();
    }
}
