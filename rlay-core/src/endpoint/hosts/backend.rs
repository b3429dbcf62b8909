//! Backend: what ServerBackend and ClientBackend have in common: a thread for each session of a pool.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::session_pool::SessionPool;
use crate::{
    endpoint::wait::Wait,
    env::Env,
    error::{EnvError, Error, Result},
    guard::guard,
    host::{HostEnv, Hosted},
    host_threads::{HostThreads, Maker},
    host_vector::{HostVectorEnv, HostedEnv},
    hosted_vector::HostedVector,
    printable::log_entry,
    vector_env::VectorEnv,
    wire::Make,
};

/// How long `close` waits for sessions whose environment is busy.
pub(in crate::endpoint) const CLOSE_TIME: Duration = Duration::from_millis(1500);

/// A host: a pool, what makes environments, and the threads of sessions.
#[derive(Clone)]
pub(in crate::endpoint) struct Backend {
    pub(in crate::endpoint) pool: SessionPool,
    makes: Makes,
    threads: Arc<Threads>,
}

/// What makes the environments of a session: one after another, or all at once.
#[derive(Clone)]
enum Makes {
    Each(Maker),
    Vector(VectorMaker),
}

type VectorMaker = Arc<dyn Fn(&Make) -> Result<Box<dyn HostVectorEnv>> + Send + Sync>;

impl Backend {
    /// A host of the environments that `factory` returns.
    pub(in crate::endpoint) fn new<E: Env + 'static>(
        pool: SessionPool,
        factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static,
    ) -> Self {
        let maker = Arc::new(move |make: &Make| {
            let hosted = guard(|| Ok(Hosted::new(factory(make)?, make.render_mode.clone())))?;
            Ok(Box::new(hosted) as Box<dyn HostEnv>)
        });
        Self { pool, makes: Makes::Each(maker), threads: Arc::default() }
    }

    /// A host of the vector environments that `factory` returns.
    pub(in crate::endpoint) fn vector<E: VectorEnv + 'static>(
        pool: SessionPool,
        factory: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static,
    ) -> Self {
        let maker = Arc::new(move |make: &Make| {
            let hosted = HostedVector::new(guard(|| factory(make))?, make)?;
            Ok(Box::new(hosted) as Box<dyn HostVectorEnv>)
        });
        Self { pool, makes: Makes::Vector(maker), threads: Arc::default() }
    }

    /// Serves on this thread.
    pub(in crate::endpoint) fn run(&self) -> Result<()> {
        self.pool.claim()?;
        let result = self.serve();
        if self.pool.cancel_token().is_cancelled() {
            end(&self.threads, Instant::now());
        }
        result
    }

    /// Serves on a thread of its own.
    pub(in crate::endpoint) fn start(&self) -> Result<()> {
        self.pool.claim()?;
        let this = self.clone();
        let spawned = spawn("rlay-backend", move || {
            if let Err(error) = this.serve() {
                tracing::error!("{}: {}", this.pool.address(), log_entry(&error.to_string()));
            }
        });
        spawned.map(drop).inspect_err(|_| self.pool.release())
    }

    fn serve(&self) -> Result<()> {
        let _serving = Serving(&self.pool);
        while let Some(session) = self.pool.next(&mut Wait::default())? {
            let (makes, threads) = (self.makes.clone(), self.pool.options().threads);
            let host = move || {
                // What ends a session is logged there.
                let mut factory = |make: &Make| match (&makes, threads) {
                    (Makes::Each(maker), 2..) if make.slots > 1 => {
                        HostThreads::start(maker, make, threads).map(|threads| HostedEnv::Threads(Box::new(threads)))
                    }
                    (Makes::Each(maker), _) => maker(make).map(HostedEnv::One),
                    (Makes::Vector(maker), _) => maker(make).map(HostedEnv::Several),
                };
                let _ = session.serve(&mut factory, &mut Wait::default());
            };
            if self.pool.options().connection.max_sessions == 1 {
                host();
                continue;
            }
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.retain(|thread| !thread.is_finished());
            threads.push(spawn("rlay-session", host)?);
        }
        Ok(())
    }

    /// Ends every session, and waits for that as long as it may take.
    pub(in crate::endpoint) fn close(&self) {
        let began = Instant::now();
        self.pool.close();
        self.pool.wait_for_end(&mut Wait { deadline: Some(began + CLOSE_TIME), ..Wait::default() });
        end(&self.threads, began);
    }
}

/// Says that the thread serves no more when it is dropped.
struct Serving<'p>(&'p SessionPool);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Starts a thread of a backend.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
    let spawned = thread::Builder::new().name(name.into()).spawn(run);
    spawned.map_err(Error::no_thread)
}

/// The threads of an endpoint's sessions.
pub(in crate::endpoint) type Threads = Mutex<Vec<thread::JoinHandle<()>>>;

/// Waits for threads to end of which that was asked then, but not for ever for one that is busy. Where two do, both
/// return when they have ended.
pub(in crate::endpoint) fn end(threads: &Threads, asked: Instant) {
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
