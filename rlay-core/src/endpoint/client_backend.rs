//! ClientBackend: hosts environments by dialing in to agents that listen.

use std::{
    cell::Cell,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use super::{
    Connection, History, HostOptions, Wait, dial, dial_next,
    launched::is_launcher,
    running::Running,
    server_backend::{CLOSE_TIME, Maker, Threads, end, host, maker, spawn},
    wait::SLICE,
};
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    env::Env,
    error::{EnvError, Error, ErrorKind, Result},
    printable::log_entry,
    stop::Stop,
    wire::{Make, Role},
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
pub struct ClientBackend(Arc<Inner>);

struct Inner {
    maker: Maker,
    address: Address,
    options: HostOptions,
    stop: Stop,
    running: Running,
    history: History,
    sessions: Mutex<Sessions>,
    changed: Condvar,
    threads: Threads,
}

#[derive(Default)]
struct Sessions {
    /// Those that an agent has taken.
    active: usize,
    /// Whether one was let in.
    have_begun: bool,
    /// What became of the spare one; `None` while it dials and waits.
    spare: Option<Result<()>>,
    /// Whether the spare one dials.
    is_dialing: bool,
}

impl std::fmt::Debug for ClientBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientBackend({})", self.0.address)
    }
}

impl ClientBackend {
    /// Will dial `address`; `factory` makes one environment for each session, on that session's thread.
    pub fn new<E: Env + 'static>(
        factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static,
        address: &str,
        options: HostOptions,
    ) -> Result<Self> {
        let address: Address = address.parse()?;
        options.connection.registry.find(&address)?;
        options.connection.check()?;
        Ok(Self(Arc::new(Inner {
            maker: maker(factory),
            address,
            options,
            stop: Stop::default(),
            running: Running::default(),
            history: History::default(),
            sessions: Mutex::default(),
            changed: Condvar::new(),
            threads: Mutex::default(),
        })))
    }

    /// Serves until [`close`](Self::close), or until no agent is found at the address for `connect_timeout` and no
    /// session is left. The latter is an error, unless a session has played before. A backend that was closed, or
    /// serves already, is an error, too. It returns once the agents were told; for Ctrl-C see
    /// [`ServerBackend::run`](super::ServerBackend::run).
    ///
    /// If an agent launched this program, whose address is that in [`ADDRESS_VARIABLE`](super::ADDRESS_VARIABLE), it
    /// returns as soon as the agent has closed the environment.
    pub fn run(&self) -> Result<()> {
        refuse_inside_tokio()?;
        self.0.running.claim(&self.0.stop)?;
        let result = self.serve();
        if self.0.stop.is_set() {
            end(&self.0.threads, Instant::now());
        }
        result
    }

    fn serve(&self) -> Result<()> {
        let inner = &self.0;
        let _running = inner.running.here();
        loop {
            let dialed = Instant::now();
            let ended = match inner.options.connection.max_sessions {
                1 => inner.dial().map(|connection| inner.host(connection, || ())),
                _ => self.spare(),
            };
            match ended {
                Ok(()) => {}
                // It was closed, or the agent that launched this program wants no other environment.
                Err(error) if error.kind() == ErrorKind::Closed => {
                    drop(inner.wait_until(|sessions| sessions.active == 0));
                    return Ok(());
                }
                // The listener is gone. Sessions under way go on; when the last ends, so does this.
                Err(error) => return inner.give_up(error),
            }
            if inner.wait_for_next(dialed).is_err() {
                return Ok(());
            }
        }
    }

    /// Has a thread dial and host one session, until an agent has taken that or it has ended.
    fn spare(&self) -> Result<()> {
        let inner = self.0.clone();
        let run = move || {
            let connection = match inner.dial() {
                Ok(connection) => connection,
                Err(error) => return inner.change(|sessions| sessions.spare = Some(Err(error))),
            };
            let is_spare = Cell::new(true);
            inner.host(connection, || {
                if is_spare.replace(false) {
                    inner.change(|sessions| (sessions.active, sessions.spare) = (sessions.active + 1, Some(Ok(()))));
                }
            });
            inner.change(|sessions| match is_spare.get() {
                true => sessions.spare = Some(Ok(())), // it is to be replaced
                false => sessions.active -= 1,
            });
            inner.tell_wait();
        };
        let mut threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(spawn("rlay-session", run)?);
        drop(threads);
        let mut sessions = self.0.wait_until(|sessions| sessions.spare.is_some())?;
        sessions.spare.take().unwrap_or(Ok(()))
    }

    /// Serves on a thread of its own. A backend that was closed, or serves already, is an error.
    pub fn start(&self) -> Result<()> {
        self.0.running.claim(&self.0.stop)?;
        let this = self.clone();
        let spawned = spawn("rlay-backend", move || {
            if let Err(error) = this.serve() {
                tracing::error!("{}: {}", this.0.address, log_entry(&error.to_string()));
            }
        });
        spawned.map(drop).inspect_err(|_| self.0.running.end())
    }

    /// Ends every session and closes every environment that is not in the middle of a call; returns
    /// within two seconds. May be called from any thread, twice.
    pub fn close(&self) {
        self.0.stop.set();
        let began = Instant::now();
        self.0.change(|_| ());
        self.0.running.wait(began + CLOSE_TIME);
        end(&self.0.threads, began);
    }
}

impl Inner {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Sessions)) {
        change(&mut self.sessions());
        self.changed.notify_all();
    }

    fn dial(&self) -> Result<Connection> {
        self.change(|sessions| sessions.is_dialing = true);
        self.tell_wait();
        let mut wait = Wait::new(Some(self.options.connection.connect_timeout)).unless(&self.stop);
        let have_begun = self.sessions().have_begun;
        let dialed = match have_begun {
            false => dial(&self.address, Role::Env, &self.options.connection, &mut wait),
            true => dial_next(&self.address, &self.options.connection, &mut wait),
        };
        self.change(|sessions| {
            sessions.is_dialing = false;
            sessions.have_begun |= dialed.is_ok();
        });
        dialed
    }

    /// Hosts one session on this thread; `taken` is called when its environment is made. Not before: an agent that waits
    /// long for an environment asks the next session in its queue, which must not be the spare one of the same program.
    fn host(&self, connection: Connection, taken: impl Fn()) {
        let mut factory = |make: &Make| {
            let made = (self.maker)(make);
            taken();
            made
        };
        host(connection, &mut factory, &self.options, &self.history, &self.stop);
    }

    /// Logs, once after each session that played, that its agent has left and another one is awaited.
    fn tell_wait(&self) {
        let is_alone = {
            let sessions = self.sessions();
            sessions.active == 0 && sessions.is_dialing
        };
        if is_alone && !self.stop.is_set() && !is_launcher(&self.address) && self.history.take_played() {
            let wait = self.options.connection.connect_timeout;
            tracing::info!("{}: the agent left; waiting {wait:?} for another", self.address);
        }
    }

    /// There is no agent at the address; `error` says so. After one that has played that is the end and no error.
    fn give_up(&self, error: Error) -> Result<()> {
        if self.wait_until(|sessions| sessions.active == 0).is_err() {
            return Ok(());
        }
        if !self.history.has_played()
            || !matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::Busy | ErrorKind::ResourceExhausted)
        {
            return Err(error);
        }
        let why = error.to_string();
        tracing::info!("{}: the agent left, and no other came: {}", self.address, log_entry(&why));
        Ok(())
    }

    /// Waits until there is room for another session and it is time to dial; an error once the backend was closed.
    fn wait_for_next(&self, dialed: Instant) -> Result<()> {
        loop {
            drop(self.wait_until(|sessions| sessions.active < self.options.connection.max_sessions)?);
            // A session that begins to play ends the pause.
            let left = self.history.pace().saturating_sub(dialed.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(SLICE));
        }
    }

    /// Waits until the sessions are as wanted; an error once the backend was closed.
    fn wait_until(&self, mut is_so: impl FnMut(&Sessions) -> bool) -> Result<MutexGuard<'_, Sessions>> {
        let unwanted = |sessions: &mut Sessions| !is_so(sessions) && !self.stop.is_set();
        let sessions = self.changed.wait_while(self.sessions(), unwanted).unwrap_or_else(PoisonError::into_inner);
        self.stop.check().map(|()| sessions)
    }
}
