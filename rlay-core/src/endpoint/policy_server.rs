//! PolicyServer: a policy that answers every environment that dials in.

use std::{
    sync::{Arc, PoisonError},
    thread,
    time::Instant,
};

use super::{
    OnLoss, Options, RemoteEnv, ServerEnv,
    server_backend::{Threads, end},
};
use crate::{
    address::Address,
    env::Env,
    error::{EnvError, ErrorKind, Result},
    policy::Policy,
    space::Space,
    stop::Stop,
    value::Value,
};

/// Serves a policy: listens, and plays episode after episode with every environment that dials in,
/// each on a thread of its own with a policy of its own.
///
/// ```no_run
/// use rlay::{BoxSpace, Discrete, PolicyServer};
///
/// let server = PolicyServer::bind("mem://brain", rlay::options())?;
/// println!("games may dial {}", server.address());
/// server.run::<BoxSpace<f32, [f32; 4]>, Discrete, _>(|| |pole: &[f32; 4]| i64::from(pole[2] > 0.0))?;
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PolicyServer {
    server: ServerEnv,
    stop: Stop,
    threads: Arc<Threads>,
}

impl PolicyServer {
    /// Listens at `address`.
    pub fn bind(address: &str, options: Options) -> Result<Self> {
        // Each game that dials in is one's own already; none takes the place of another.
        let server = ServerEnv::bind(address, Options { on_loss: OnLoss::Raise, ..options })?;
        Ok(Self { server, stop: Stop::default(), threads: Arc::default() })
    }

    /// The address for environments to dial, with the real port.
    pub fn address(&self) -> &Address {
        self.server.address()
    }

    /// Serves until [`close`](Self::close). An environment with other spaces than `O` and `A` is
    /// refused with a warning that names the first leaf that differs. It returns once the environments were told; for
    /// Ctrl-C see [`ServerBackend::run`](super::ServerBackend::run).
    pub fn run<O, A, P>(&self, policy: impl Fn() -> P + Send + Sync + 'static) -> Result<()>
    where
        O: Space + 'static,
        A: Space + 'static,
        P: Policy<O::Element, A::Element>,
    {
        let policy = Arc::new(policy);
        loop {
            let env = match self.server.accept() {
                Ok(env) => env,
                Err(error) if error.kind() == ErrorKind::Closed => {
                    end(&self.threads, Instant::now());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Timeout => continue,
                Err(error) => {
                    tracing::warn!("an environment was not taken: {error}");
                    continue;
                }
            };
            let (policy, stop) = (policy.clone(), self.stop.clone());
            // A session that cannot have a thread is dropped, which tells its environment.
            let spawned = thread::Builder::new().name("rlay-policy".into()).spawn(move || {
                if let Err(error) = play::<O, A, P>(env, policy(), &stop) {
                    tracing::warn!("an environment left: {error}");
                }
            });
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.retain(|thread| !thread.is_finished());
            threads.extend(spawned);
        }
    }

    /// Stops listening and leaves every environment after the step that it is in; returns within two seconds. May be
    /// called from any thread, twice.
    pub fn close(&self) {
        let began = Instant::now();
        self.stop.set();
        self.server.close();
        end(&self.threads, began);
    }
}

fn play<O: Space, A: Space, P: Policy<O::Element, A::Element>>(
    env: RemoteEnv,
    mut policy: P,
    stop: &Stop,
) -> Result<(), EnvError> {
    let mut env = env.typed::<O, A>()?;
    let mut current = None;
    while !stop.is_set() {
        let observation = match current.take() {
            Some(observation) => observation,
            None => env.reset(None, &Value::None)?.observation,
        };
        let result = env.step(policy.act(&observation))?;
        current = (!result.terminated && !result.truncated).then_some(result.observation);
    }
    env.close()
}
