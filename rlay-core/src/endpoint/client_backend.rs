//! ClientBackend: hosts environments by dialing in to agents that listen.

use std::{
    cell::Cell,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    Host, Options, Wait, dial, dial_next, serve,
    server_backend::{Maker, join, maker},
};
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    env::Env,
    error::{EnvError, Error, ErrorKind, Result},
    stop::Stop,
    wire::{Make, Role},
};

/// Sessions dial no faster than this, so that an agent which sends every environment away keeps nobody busy.
const PACE: Duration = Duration::from_millis(20);

/// The host's end where the environment dials, as a game does that is started by hand.
///
/// One session waits for an agent at any time; as soon as it is taken, a spare one dials, up to
/// `max_sessions`. So an agent that opens several environments gets them.
///
/// ```no_run
/// # use rlay_core::{Discrete, Env, EnvError, Map, ResetResult, StepResult, Value};
/// # struct Coin(Discrete);
/// # impl Env for Coin {
/// #     type ObservationSpace = Discrete;
/// #     type ActionSpace = Discrete;
/// #     fn observation_space(&self) -> &Discrete { &self.0 }
/// #     fn action_space(&self) -> &Discrete { &self.0 }
/// #     fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> { todo!() }
/// #     fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> { todo!() }
/// # }
/// use rlay_core::{ClientBackend, Options};
///
/// ClientBackend::new(|_| Ok(Coin(Discrete::new(2))), "mem://arena", Options::default())?.run()?;
/// # Ok::<(), EnvError>(())
/// ```
#[derive(Clone)]
pub struct ClientBackend(Arc<Inner>);

struct Inner {
    maker: Maker,
    address: Address,
    options: Options,
    stop: Stop,
    sessions: Mutex<Sessions>,
    changed: Condvar,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Sessions {
    /// Those that an agent has taken.
    active: usize,
    /// Whether one was let in.
    have_begun: bool,
    /// What became of the spare one; `None` while it dials and waits.
    spare: Option<Result<()>>,
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
        options: Options,
    ) -> Result<Self> {
        let address: Address = address.parse()?;
        options.registry.find(&address)?;
        Ok(Self(Arc::new(Inner {
            maker: maker(factory),
            address,
            options,
            stop: Stop::default(),
            sessions: Mutex::default(),
            changed: Condvar::new(),
            threads: Mutex::default(),
        })))
    }

    /// Serves until [`close`](Self::close), or until nobody listens at the address for `connect_timeout`
    /// and no session is left; the latter is the error it returns. If an agent launched this program, which it tells by
    /// the variable [`ADDRESS_VARIABLE`](super::ADDRESS_VARIABLE), it returns as soon as that has closed the environment.
    pub fn run(&self) -> Result<()> {
        refuse_inside_tokio()?;
        let inner = &self.0;
        let has_ended = |error: &Error| error.kind() == ErrorKind::Closed;
        loop {
            // One spare session at a time dials and waits.
            let dialed = Instant::now();
            self.spawn()?;
            let spare = inner.wait_until(|sessions| sessions.spare.is_some()).map(|mut sessions| sessions.spare.take());
            match spare {
                Ok(Some(Err(error))) => {
                    // The listener is gone. Sessions under way go on; when the last ends, so does this.
                    let is_closed = inner.wait_until(|sessions| sessions.active == 0).is_err();
                    return if is_closed || has_ended(&error) { Ok(()) } else { Err(error) };
                }
                Ok(Some(Ok(()))) => {}
                _ => return Ok(()),
            }
            thread::sleep(PACE.saturating_sub(dialed.elapsed()));
            if inner.wait_until(|sessions| sessions.active < inner.options.max_sessions).is_err() {
                return Ok(());
            }
        }
    }

    /// Starts a thread that dials, waits for an agent, says so, and serves it.
    fn spawn(&self) -> Result<()> {
        let inner = self.0.clone();
        let spawned = thread::Builder::new().name("rlay-session".into()).spawn(move || {
            let mut wait = Wait::new(Some(inner.options.connect_timeout)).unless(&inner.stop);
            let (address, options) = (&inner.address, &inner.options);
            let have_begun = inner.sessions().have_begun;
            let dialed = match have_begun {
                false => dial(address, Role::Env, options, &mut wait),
                true => dial_next(address, options, &mut wait),
            };
            let mut connection = match dialed {
                Ok(connection) => connection,
                Err(error) => return inner.change(|sessions| sessions.spare = Some(Err(error))),
            };
            inner.sessions().have_begun = true;
            let is_spare = Cell::new(true);
            let mut factory = |make: &Make| {
                if is_spare.replace(false) {
                    inner.change(|sessions| (sessions.active, sessions.spare) = (sessions.active + 1, Some(Ok(()))));
                }
                (inner.maker)(make)
            };
            let mut host = Host::new(&mut factory, connection.limits(), inner.options.tracebacks);
            host = host.offering(inner.options.offers.clone());
            let result = serve(&mut connection, &mut host, &mut Wait::default().unless(&inner.stop));
            drop(host);
            if let Err(error) = &result {
                tracing::warn!("{}: session ended: {error}", inner.address);
            }
            inner.change(|sessions| match is_spare.get() {
                true => sessions.spare = Some(Ok(())), // it is to be replaced
                false => sessions.active -= 1,
            });
        });
        let thread = spawned.map_err(|e| Error::new(ErrorKind::Usage, format!("cannot start a thread: {e}")))?;
        let mut threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Serves on a thread of its own.
    pub fn start(&self) {
        let this = self.clone();
        let spawned = thread::Builder::new().name("rlay-backend".into()).spawn(move || {
            if let Err(error) = this.run() {
                tracing::error!("{}: {error}", this.0.address);
            }
        });
        if let Err(error) = spawned {
            tracing::error!("cannot start a thread: {error}");
        }
    }

    /// Ends every session and closes every environment that is not in the middle of a call; returns
    /// within two seconds. May be called from any thread, twice.
    pub fn close(&self) {
        self.0.stop.set();
        let began = Instant::now();
        self.0.change(|_| ());
        let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        join(threads, began);
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

    /// Waits until the sessions are as wanted; an error once the backend was closed.
    fn wait_until(&self, mut is_so: impl FnMut(&Sessions) -> bool) -> Result<MutexGuard<'_, Sessions>> {
        let unwanted = |sessions: &mut Sessions| !is_so(sessions) && !self.stop.is_set();
        let sessions = self.changed.wait_while(self.sessions(), unwanted).unwrap_or_else(PoisonError::into_inner);
        self.stop.check().map(|()| sessions)
    }
}
