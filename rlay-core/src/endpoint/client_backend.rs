//! ClientBackend: hosts environments by dialing in to agents that listen.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Host, Options, Wait, dial, serve,
    server_backend::{Maker, join, maker, stopped},
};
use crate::{
    address::Address,
    bridge::refuse_inside_tokio,
    env::Env,
    error::{EnvError, Error, ErrorKind, Result},
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
    stop: AtomicBool,
    active: AtomicUsize,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
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
            stop: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            threads: Mutex::default(),
        })))
    }

    /// Serves until [`close`](Self::close), or until nobody listens at the address for `connect_timeout`
    /// and no session is left; the latter is the error it returns.
    pub fn run(&self) -> Result<()> {
        refuse_inside_tokio()?;
        let inner = &self.0;
        let (taken, was_taken) = mpsc::channel::<Result<()>>();
        loop {
            // One spare session at a time dials and waits.
            let dialed = Instant::now();
            self.spawn(taken.clone())?;
            match self.next(&was_taken) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                // The listener is gone. Sessions under way go on; when the last ends, so does this.
                Err(error) => {
                    while inner.active.load(SeqCst) > 0 {
                        if stopped(&inner.stop).is_err() {
                            return Ok(());
                        }
                        thread::sleep(Duration::from_millis(20));
                    }
                    return Err(error);
                }
            }
            thread::sleep(PACE.saturating_sub(dialed.elapsed()));
            while inner.active.load(SeqCst) >= inner.options.max_sessions {
                if stopped(&inner.stop).is_err() {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn next(&self, was_taken: &mpsc::Receiver<Result<()>>) -> Result<()> {
        loop {
            stopped(&self.0.stop)?;
            match was_taken.recv_timeout(Duration::from_millis(100)) {
                Ok(result) => return result,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(ErrorKind::Closed, "the host was closed"));
                }
            }
        }
    }

    /// Starts a thread that dials, waits for an agent, says so over `taken`, and serves it.
    fn spawn(&self, taken: mpsc::Sender<Result<()>>) -> Result<()> {
        let inner = self.0.clone();
        let spawned = thread::Builder::new().name("rlay-session".into()).spawn(move || {
            let mut check = || stopped(&inner.stop);
            let mut wait = Wait::new(Some(inner.options.connect_timeout)).checking(&mut check);
            let (mut channel, limits) = match dial(&inner.address, Role::Env, &inner.options, &mut wait) {
                Ok(open) => open,
                Err(error) => {
                    let _ = taken.send(Err(error));
                    return;
                }
            };
            let was_made = AtomicBool::new(false);
            let mut factory = |make: &Make| {
                if !was_made.swap(true, SeqCst) {
                    inner.active.fetch_add(1, SeqCst);
                    let _ = taken.send(Ok(()));
                }
                (inner.maker)(make)
            };
            let mut host = Host::new(&mut factory, limits, inner.options.tracebacks);
            let mut check = || stopped(&inner.stop);
            let result = serve(channel.as_mut(), &mut host, &mut check);
            drop(host);
            if let Err(error) = &result {
                tracing::warn!("{}: session ended: {error}", inner.address);
            }
            if was_made.load(SeqCst) {
                inner.active.fetch_sub(1, SeqCst);
            } else {
                // It was the spare one, and is to be replaced.
                let _ = taken.send(Ok(()));
            }
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
        self.0.stop.store(true, SeqCst);
        let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        join(threads);
    }
}
