//! PolicyServer: a policy that answers every environment that dials in.

use std::{sync::Arc, thread};

use super::{OnLoss, Options, RemoteEnv, ServerEnv};
use crate::{
    address::Address,
    env::Env,
    error::{EnvError, ErrorKind, Result},
    policy::Policy,
    space::Space,
    value::Value,
};

/// Serves a policy: listens, and plays episode after episode with every environment that dials in,
/// each on a thread of its own with a policy of its own.
///
/// ```no_run
/// use rlay_core::{BoxSpace, Discrete, Options, PolicyServer};
///
/// let server = PolicyServer::bind("mem://brain", Options::default())?;
/// println!("games may dial {}", server.address());
/// server.run::<BoxSpace<f32, [f32; 4]>, Discrete, _>(|| |pole: &[f32; 4]| i64::from(pole[2] > 0.0))?;
/// # Ok::<(), rlay_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PolicyServer(ServerEnv);

impl PolicyServer {
    /// Listens at `address`.
    pub fn bind(address: &str, options: Options) -> Result<Self> {
        // Each game that dials in is one's own already; none takes the place of another.
        ServerEnv::bind(address, Options { on_loss: OnLoss::Raise, ..options }).map(Self)
    }

    /// The address for environments to dial, with the real port.
    pub fn address(&self) -> &Address {
        self.0.address()
    }

    /// Serves until [`close`](Self::close). An environment with other spaces than `O` and `A` is
    /// refused with a warning that names the first leaf that differs.
    pub fn run<O, A, P>(&self, policy: impl Fn() -> P + Send + Sync + 'static) -> Result<()>
    where
        O: Space + 'static,
        A: Space + 'static,
        P: Policy<O::Element, A::Element>,
    {
        let policy = Arc::new(policy);
        loop {
            let env = match self.0.accept() {
                Ok(env) => env,
                Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Timeout => continue,
                Err(error) => {
                    tracing::warn!("an environment was not taken: {error}");
                    continue;
                }
            };
            let policy = policy.clone();
            // A session that cannot have a thread is dropped, which tells its environment.
            let _ = thread::Builder::new().name("rlay-policy".into()).spawn(move || {
                if let Err(error) = play::<O, A, P>(env, policy()) {
                    tracing::warn!("an environment left: {error}");
                }
            });
        }
    }

    /// Stops listening. Episodes under way go on.
    pub fn close(&self) {
        self.0.close();
    }
}

fn play<O: Space, A: Space, P: Policy<O::Element, A::Element>>(env: RemoteEnv, mut policy: P) -> Result<(), EnvError> {
    let mut env = env.typed::<O, A>()?;
    loop {
        let mut observation = env.reset(None, &Value::None)?.observation;
        loop {
            let result = env.step(policy.act(&observation))?;
            if result.terminated || result.truncated {
                break;
            }
            observation = result.observation;
        }
    }
}
