//! PolicyServer: a policy that answers every environment that dials in.

use std::{convert::Infallible, sync::Arc, thread};

use super::{Connection, History, OnLoss, Options, RemoteEnv, ServerEnv, visit::count};
use crate::{
    address::Address,
    env::Env,
    error::{EnvError, EnvFailure, Error, ErrorKind, Result},
    host::guard,
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

    /// Serves until [`close`](Self::close). An environment with other spaces than `O` and `A` is refused: its host and
    /// the log are told which leaf differs first.
    ///
    /// The log says who joins and who leaves after how many steps; why an environment was not played, once for each
    /// reason and machine.
    pub fn run<O, A, P>(&self, policy: impl Fn() -> P + Send + Sync + 'static) -> Result<()>
    where
        O: Space + 'static,
        A: Space + 'static,
        P: Policy<O::Element, A::Element>,
    {
        let (policy, history) = (Arc::new(policy), Arc::new(History::default()));
        loop {
            let connection = match self.0.next() {
                Ok(connection) => connection,
                Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                Err(error) => return Err(error),
            };
            let (policy, history, options) = (policy.clone(), history.clone(), self.0.options().clone());
            // A session that cannot have a thread is dropped, which tells its environment.
            let _ = thread::Builder::new().name("rlay-policy".into()).spawn(move || {
                let (peer, mut played) = (connection.peer(), Played::default());
                let Err(error) = play::<O, A, P>(connection, options, &*policy, &mut played);
                tell_end(&peer, &played, &error, &history);
            });
        }
    }

    /// Stops listening. Episodes under way go on.
    pub fn close(&self) {
        self.0.close();
    }
}

/// What was played in one environment.
#[derive(Default)]
struct Played {
    steps: u64,
    episodes: u64,
}

/// Plays for as long as there is an environment; the error says why no longer.
fn play<O: Space, A: Space, P: Policy<O::Element, A::Element>>(
    connection: Connection,
    options: Options,
    policy: impl Fn() -> P,
    played: &mut Played,
) -> Result<Infallible> {
    let peer = connection.peer();
    let mut env = RemoteEnv::over(connection, options)?.typed::<O, A>()?;
    tracing::info!("{peer}: an environment joined");
    let error = match rounds(&mut env, policy, played) {
        Err(error) => error.downcast::<Error>().map_or_else(|other| EnvFailure::from(other).into(), |error| *error),
    };
    env.leave(&error);
    Err(error)
}

/// Plays episode after episode.
fn rounds<O: Space, A: Space, P: Policy<O::Element, A::Element>>(
    env: &mut RemoteEnv<O, A>,
    policy: impl Fn() -> P,
    played: &mut Played,
) -> Result<Infallible, EnvError> {
    let mut policy = policy();
    loop {
        let mut observation = env.reset(None, &Value::None)?.observation;
        played.episodes += 1;
        loop {
            let action = guard(|| Ok(policy.act(&observation)));
            let action = action.map_err(|panic| Error::new(ErrorKind::Usage, format!("the policy failed: {panic}")))?;
            let result = env.step(action)?;
            played.steps += 1;
            if result.terminated || result.truncated {
                break;
            }
            observation = result.observation;
        }
    }
}

fn tell_end(peer: &str, played: &Played, error: &Error, history: &History) {
    if played.steps == 0 {
        if let Some((line, _)) = history.line(peer, &format!("the environment was not played: {error}")) {
            tracing::warn!("{line}");
        }
        return;
    }
    let (steps, episodes) = (count(played.steps, "step"), count(played.episodes, "episode"));
    let text = format!("the environment left after {steps} in {episodes}: {error}");
    // Each is told, but what went wrong is a warning once. Games come and go.
    match error.kind() {
        ErrorKind::Closed | ErrorKind::ConnectionLost => tracing::info!("{peer}: {text}"),
        _ if history.line(peer, &error.to_string()).is_none() => tracing::info!("{peer}: {text}"),
        _ => tracing::warn!("{peer}: {text}"),
    }
}
