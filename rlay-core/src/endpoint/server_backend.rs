//! ServerBackend: hosts environments for every agent that connects.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Acceptor, Connection, Factory, History, Host, HostOptions, Wait, running::Running, serve};
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    env::Env,
    error::{EnvError, Error, ErrorKind, Result},
    guard::guard,
    host::{HostEnv, Hosted},
    printable::log_entry,
    stop::Stop,
    wire::Make,
};

/// How long `close` waits for sessions whose environment is busy.
pub(super) const CLOSE_TIME: Duration = Duration::from_millis(1500);

/// Makes an environment for each session.
pub(super) type Maker = Arc<dyn Fn(&Make) -> Result<Box<dyn HostEnv>> + Send + Sync>;

/// A maker that hosts what `factory` returns.
pub(super) fn maker<E: Env + 'static>(factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static) -> Maker {
    Arc::new(move |make| {
        let hosted = guard(|| Ok(Hosted::new(factory(make)?, make.render_mode.clone())))?;
        Ok(Box::new(hosted) as Box<dyn HostEnv>)
    })
}

/// The host's end where the agent dials. Every session has its own environment, which is made, stepped and closed on
/// one thread: that session's own, or where there is but one ([`HostOptions::max_sessions`]) the one that calls
/// [`run`](Self::run).
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
pub struct ServerBackend(Arc<Inner>);

struct Inner {
    maker: Maker,
    acceptor: Acceptor,
    options: HostOptions,
    stop: Stop,
    running: Running,
    history: History,
    threads: Threads,
}

impl std::fmt::Debug for ServerBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerBackend({})", self.address())
    }
}

impl ServerBackend {
    /// Listens at `address`; `factory` makes one environment for each agent, on that session's thread.
    pub fn bind<E: Env + 'static>(
        factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static,
        address: &str,
        options: HostOptions,
    ) -> Result<Self> {
        let acceptor = Acceptor::bind_host(&address.parse()?, &options.connection, None)?;
        Ok(Self(Arc::new(Inner {
            maker: maker(factory),
            acceptor,
            options,
            stop: Stop::default(),
            running: Running::default(),
            history: History::default(),
            threads: Mutex::default(),
        })))
    }

    /// The address for agents to dial, with the real port.
    pub fn address(&self) -> &Address {
        self.0.acceptor.address()
    }

    /// Sessions under way, and agents that wait for one.
    pub fn sessions(&self) -> usize {
        self.0.acceptor.sessions()
    }

    /// Serves on the calling thread until [`close`](Self::close), and returns once the agents were told, so that a
    /// program may end then. A backend that was closed, or serves already, is an error.
    ///
    /// Ctrl-C ends a Rust program where it stands, without a word to the agents, unless that closes the backend. A
    /// library installs no signal handlers; in a program the crate `ctrlc` does, by
    /// `ctrlc::set_handler(move || closing.close())`, where `closing` is a clone of the backend.
    pub fn run(&self) -> Result<()> {
        refuse_inside_tokio()?;
        self.0.running.claim(&self.0.stop)?;
        self.0.acceptor.set_ready();
        self.serve()
    }

    fn serve(&self) -> Result<()> {
        let inner = &self.0;
        let _running = inner.running.here();
        loop {
            let connection = match inner.acceptor.next(&mut Wait::default()) {
                Ok(connection) => connection,
                Err(error) if error.kind() == ErrorKind::Closed => {
                    end(&inner.threads, Instant::now());
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if inner.options.connection.max_sessions == 1 {
                inner.host(connection);
                continue;
            }
            let for_thread = inner.clone();
            let mut threads = inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.retain(|thread| !thread.is_finished());
            threads.push(spawn("rlay-session", move || for_thread.host(connection))?);
        }
    }

    /// Serves on a thread of its own until [`close`](Self::close). A backend that was closed, or serves already, is an
    /// error.
    pub fn start(&self) -> Result<()> {
        self.0.running.claim(&self.0.stop)?;
        let this = self.clone();
        let spawned = spawn("rlay-backend", move || {
            if let Err(error) = this.serve() {
                tracing::error!("{}: {}", this.address(), log_entry(&error.to_string()));
            }
        });
        // Agents that dial once this has returned are let in, whenever the thread begins.
        spawned.map(|_| self.0.acceptor.set_ready()).inspect_err(|_| self.0.running.end())
    }

    /// Stops listening, says goodbye to every agent and closes every environment that is not in the
    /// middle of a call; returns within two seconds. May be called from any thread, twice.
    pub fn close(&self) {
        self.0.stop.set();
        let began = Instant::now();
        self.0.acceptor.close();
        self.0.running.wait(began + CLOSE_TIME);
        end(&self.0.threads, began);
    }
}

impl Inner {
    fn host(&self, connection: Connection) {
        host(connection, &mut |make| (self.maker)(make), &self.options, &self.history, &self.stop);
    }
}

/// Hosts one session on this thread, with an environment that `factory` makes.
pub(super) fn host<'m>(
    mut connection: Connection,
    factory: &'m mut Factory<'m>,
    options: &HostOptions,
    history: &'m History,
    stop: &Stop,
) {
    let mut host = Host::new(factory, connection.limits(), options.tracebacks);
    host = host.offering(options.offers.clone()).recalling(history);
    // `serve` logs what ends it.
    let _ = serve(&mut connection, &mut host, &mut Wait::default().unless(stop));
}

/// Starts a thread of a backend.
pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
    let spawned = thread::Builder::new().name(name.into()).spawn(run);
    spawned.map_err(Error::no_thread)
}

/// The threads of an endpoint's sessions.
pub(super) type Threads = Mutex<Vec<thread::JoinHandle<()>>>;

/// Waits for threads to end of which that was asked then, but not for ever for one that is busy. Where two do, both
/// return when they have ended.
pub(super) fn end(threads: &Threads, asked: Instant) {
    let deadline = asked + CLOSE_TIME;
    for thread in threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}
