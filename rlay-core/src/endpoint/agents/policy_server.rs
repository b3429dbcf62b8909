//! PolicyServer: a policy that answers every environment that dials in.

use std::{
    sync::{Arc, PoisonError},
    thread,
    time::Instant,
};

use super::remote_env::{RemoteEnv, ServerEnv};
use crate::{
    address::Address,
    cancel_token::CancelToken,
    endpoint::{
        connect::connection::Connection,
        history::History,
        hosts::backend::{Threads, end},
        hosts::session_report::count,
        options::{AgentOptions, OnLoss},
    },
    env::Env,
    error::{EnvError, EnvFailure, Error, ErrorKind, Result},
    guard::guard,
    policy::Policy,
    printable::sentence,
    space::Space,
    value::Value,
};

/// Serves a policy: listens, and plays episode after episode with every environment that dials in,
/// each on a thread of its own with a policy of its own.
///
/// ```no_run
/// use rlay::{BoxSpace, Discrete, PolicyServer};
///
/// let server = PolicyServer::bind("mem://brain", rlay::agent_options())?;
/// println!("games may dial {}", server.address());
/// server.run::<BoxSpace<f32, [f32; 4]>, Discrete, _>(|| |pole: &[f32; 4]| i64::from(pole[2] > 0.0))?;
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PolicyServer {
    server: ServerEnv,
    cancel: CancelToken,
    threads: Arc<Threads>,
}

impl PolicyServer {
    /// Listens at `address`.
    pub fn bind(address: &str, options: AgentOptions) -> Result<Self> {
        // Each game that dials in is one's own already; none takes the place of another.
        let server = ServerEnv::bind(address, options.on_loss(OnLoss::Raise))?;
        Ok(Self { server, cancel: CancelToken::default(), threads: Arc::default() })
    }

    /// The address for environments to dial, with the real port.
    pub fn address(&self) -> &Address {
        self.server.address()
    }

    /// Serves until [`close`](Self::close). An environment with other spaces than `O` and `A` is refused: its host and
    /// the log are told which leaf differs first. It returns once the environments were told; for Ctrl-C see
    /// [`ServerBackend::run`](crate::ServerBackend::run).
    ///
    /// Logs each environment that joins, and that leaves, with the count of its steps; once for each reason and
    /// machine, why an environment was not played.
    pub fn run<O, A, P>(&self, policy: impl Fn() -> P + Send + Sync + 'static) -> Result<()>
    where
        O: Space + 'static,
        A: Space + 'static,
        P: Policy<O::Element, A::Element>,
    {
        let (policy, history) = (Arc::new(policy), Arc::new(History::default()));
        loop {
            let connection = match self.server.next() {
                Ok(connection) => connection,
                Err(error) if error.kind() == ErrorKind::Closed => {
                    end(&self.threads, Instant::now());
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let (policy, history) = (policy.clone(), history.clone());
            let (options, cancel) = (self.server.options().clone(), self.cancel.clone());
            // A session that cannot have a thread is dropped, which tells its environment.
            let spawned = thread::Builder::new().name("rlay-policy".into()).spawn(move || {
                let (peer, mut played) = (connection.peer(), Played::default());
                if let Err(error) = play::<O, A, P>(connection, options, &*policy, &cancel, &mut played) {
                    tell_end(&peer, &played, &error, &history);
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
        self.cancel.cancel();
        self.server.close();
        end(&self.threads, began);
    }
}

/// What was played in one environment.
#[derive(Default)]
struct Played {
    steps: u64,
    episodes: u64,
}

/// Plays until `cancel` is set, or for as long as there is an environment; the error says why no longer.
fn play<O: Space, A: Space, P: Policy<O::Element, A::Element>>(
    connection: Connection,
    options: AgentOptions,
    policy: impl Fn() -> P,
    cancel: &CancelToken,
    played: &mut Played,
) -> Result<()> {
    let peer = connection.peer();
    let mut env = RemoteEnv::over(connection, &options)?.typed::<O, A>()?;
    tracing::info!("{peer}: an environment joined");
    let Err(error) = rounds(&mut env, policy, cancel, played) else { return Ok(()) };
    let error = error.downcast::<Error>().map_or_else(|other| EnvFailure::from(other).into(), |error| *error);
    env.leave(&error);
    Err(error)
}

/// Plays episode after episode until `cancel` is set.
fn rounds<O: Space, A: Space, P: Policy<O::Element, A::Element>>(
    env: &mut RemoteEnv<O, A>,
    policy: impl Fn() -> P,
    cancel: &CancelToken,
    played: &mut Played,
) -> Result<(), EnvError> {
    let (mut policy, mut current) = (policy(), None);
    while !cancel.is_cancelled() {
        let observation = match current.take() {
            Some(observation) => observation,
            None => {
                played.episodes += 1;
                env.reset(None, &Value::None)?.observation
            }
        };
        let action = guard(|| Ok(policy.act(&observation)));
        let action = action.map_err(|panic| Error::new(ErrorKind::Usage, format!("the policy failed: {panic}")))?;
        let result = env.step(action)?;
        played.steps += 1;
        current = (!result.terminated && !result.truncated).then_some(result.observation);
    }
    env.close()
}

fn tell_end(peer: &str, played: &Played, error: &Error, history: &History) {
    let why = error.to_string();
    let why = sentence(&why);
    if played.steps == 0 {
        if let Some((line, _)) = history.line(peer, &format!("the environment was not played: {why}")) {
            tracing::warn!("{line}");
        }
        return;
    }
    let (steps, episodes) = (count(played.steps, "step"), count(played.episodes, "episode"));
    let text = format!("the environment left after {steps} in {episodes}: {why}");
    // Each is told, but what went wrong is a warning once. Games come and go.
    match error.kind() {
        ErrorKind::Closed | ErrorKind::ConnectionLost => tracing::info!("{peer}: {text}"),
        _ if history.line(peer, &why).is_none() => tracing::info!("{peer}: {text}"),
        _ => tracing::warn!("{peer}: {text}"),
    }
}
