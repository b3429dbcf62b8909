//! AsyncVectorEnv: many environments of one session in another process, for an agent inside tokio.

use std::{
    fmt, mem,
    time::{Duration, Instant},
};

use super::{connection::AsyncConnection, session::AsyncSession};
use crate::{
    endpoint::{
        agents::{
            lane::check_slots,
            raw_vector_env::opening::check_spec,
            vector_actions::{AllActions, VectorActions},
            vector_results::VectorResults,
        },
        options::AgentOptions,
    },
    error::{Error, ErrorKind, Result},
    session::{Call, agent_core::Reply, observations::VectorObservations},
    space::{AnySpace, BatchSpace, SlabSizes, Space},
    value::Value,
    wire::{AutoresetMode, Frames, Goodbye, Reset, Role, Slots, Spec},
};

/// Many environments in another process, which step at once, for an agent inside tokio: those of one session, whose host
/// was dialed or has dialed to an [`AsyncAcceptor`](super::AsyncAcceptor). (Gymnasium's `AsyncVectorEnv` is another thing:
/// environments in processes of their own.)
///
/// Its calls are those of the blocking form, [`RemoteVectorEnv`](crate::RemoteVectorEnv), and so are its rows, whichever
/// end begins the next episodes. What a call brought is in [`results`](Self::results) and
/// [`observations`](Self::observations). Every call may be cancelled, with the same consequences as for an
/// [`AsyncEnv`](super::AsyncEnv): its answers are late, the next reset drops them, and until then other calls are refused.
///
/// Several of them are stepped side by side by joining their futures; a session that is lost is not replaced.
///
/// ```no_run
/// # async fn train() -> Result<(), rlay::Error> {
/// use rlay::{BoxSpace, Discrete, Value, asynchronous::AsyncVectorEnv};
///
/// let options = rlay::agent_options().num_envs(64);
/// let near = AsyncVectorEnv::connect("mem://near", &options).await?;
/// let mut near = near.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;
/// let mut far = AsyncVectorEnv::connect("mem://far", &options).await?;
/// near.reset(Some(7), &Value::None).await?;
/// far.reset(Some(71), &Value::None).await?;
/// let (right, left) = (vec![1; 64], vec![Value::Int(0); 64]);
/// let (here, there) = tokio::join!(near.step(&right), far.step(&left));
/// let total: f64 = here?.rewards.iter().chain(&there?.rewards).sum();
/// let poles: &[f32] = near.observation_batch()?; // 64 times 4
/// # Ok(()) }
/// ```
pub struct AsyncVectorEnv<O: Space = AnySpace, A: Space = AnySpace> {
    session: AsyncSession,
    spec: Spec,
    observation_space: O,
    action_space: A,
    observations: VectorObservations,
    results: VectorResults,
    actions: VectorActions,
    sizes: Option<SlabSizes>,
    /// The actions of some slots, and where the value of each action begins and ends.
    picked: Vec<u8>,
    values: Vec<(usize, usize)>,
    /// All slots, and those whose next episodes this end is to begin.
    all: Slots,
    due: Slots,
}

impl AsyncVectorEnv {
    /// Connects to a [`ServerBackend`](crate::ServerBackend) and makes as many environments there as
    /// [`AgentOptions::num_envs`] says, within [`AgentOptions::connect_timeout`] in all.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, so are the connection and the session; see [`open`](Self::open).
    pub async fn connect(address: &str, options: &AgentOptions) -> Result<Self> {
        let began = Instant::now();
        let connection = AsyncConnection::dial(&address.parse()?, Role::Agent, &options.connection).await?;
        Self::make(connection, options, options.connection.connect_timeout.saturating_sub(began.elapsed())).await
    }

    /// Makes environments over a connection that was dialed, or that an environment has dialed to an
    /// [`AsyncAcceptor`](super::AsyncAcceptor): as many as there are, unless [`AgentOptions::num_envs`] says how many. They
    /// are made within [`AgentOptions::connect_timeout`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session ends. The host is told so by a goodbye, unless the request for the
    /// environments was half sent; then it finds that the connection is lost.
    pub async fn open(connection: AsyncConnection, options: &AgentOptions) -> Result<Self> {
        Self::make(connection, options, options.connection.connect_timeout).await
    }

    async fn make(connection: AsyncConnection, options: &AgentOptions, left: Duration) -> Result<Self> {
        let mut session = AsyncSession::make(connection, &options.make(), left).await?;
        if let Err(error) = check(session.spec(), options, &session) {
            session.leave(&error).await;
            return Err(error);
        }
        let spec = Spec { autoreset_mode: options.autoreset_mode, ..session.spec().clone() };
        Ok(Self {
            observation_space: spec.observation_space.clone(),
            action_space: spec.action_space.clone(),
            observations: VectorObservations::new(&spec, *session.core.limits()),
            results: VectorResults::new(spec.slots as usize),
            actions: VectorActions::new(&spec),
            sizes: SlabSizes::of(&spec.action_space),
            picked: Vec::new(),
            values: Vec::new(),
            all: (0..spec.slots).collect(),
            due: Slots::new(),
            session,
            spec,
        })
    }

    /// The same environments with plain Rust types, if their spaces are of these classes. The error names the first leaf
    /// that is not.
    pub fn typed<O: Space, A: Space>(mut self) -> Result<AsyncVectorEnv<O, A>> {
        let observation_space = O::from_any(&self.observation_space).map_err(|e| e.at("observation_space"));
        let action_space = A::from_any(&self.action_space).map_err(|e| e.at("action_space"));
        let (observation_space, action_space) = match (observation_space, action_space) {
            (Ok(observation_space), Ok(action_space)) => (observation_space, action_space),
            (Err(error), _) | (_, Err(error)) => {
                self.session.leave_later(&Goodbye::because(&error));
                return Err(error);
            }
        };
        let Self { session, spec, observations, results, actions, sizes, picked, values, all, due, .. } = self;
        Ok(AsyncVectorEnv {
            session,
            spec,
            observation_space,
            action_space,
            observations,
            results,
            actions,
            sizes,
            picked,
            values,
            all,
            due,
        })
    }
}

/// Refuses environments other than those that `options` ask for.
fn check(spec: &Spec, options: &AgentOptions, session: &AsyncSession) -> Result<()> {
    let limits = session.core.limits();
    spec.check_spaces(limits)?;
    match options.num_envs {
        0 => spec.check_number(limits)?,
        slots => check_slots(spec, slots)?,
    }
    check_spec(spec, limits, options.autoreset_mode)
}

impl<O: Space, A: Space> AsyncVectorEnv<O, A> {
    /// Spaces, metadata and the rest of what the host told, with the autoreset mode in force.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How many environments there are.
    pub fn num_envs(&self) -> usize {
        self.all.len()
    }

    /// The space of one observation.
    pub fn single_observation_space(&self) -> &O {
        &self.observation_space
    }

    /// The space of one action.
    pub fn single_action_space(&self) -> &A {
        &self.action_space
    }

    /// What the last call brought besides observations.
    pub fn results(&self) -> &VectorResults {
        &self.results
    }

    /// The last observation of every environment, as bytes or values.
    pub fn observations(&self) -> &VectorObservations {
        &self.observations
    }

    /// The last observation of one environment.
    pub fn observation(&mut self, slot: usize) -> Result<O::Element> {
        self.observations.element(slot, &self.observation_space)
    }

    /// The last observations of all environments where they arrived, as slices: see [`BatchSpace`]. An error before every
    /// environment was reset.
    pub fn observation_batch(&mut self) -> Result<O::Batch<'_>>
    where
        O: BatchSpace,
    {
        self.observations.batch(&self.observation_space)
    }

    /// Starts an episode in every environment: the first with `seed`, each further one with one more.
    ///
    /// # Cancel safety
    ///
    /// As [`reset_some`](Self::reset_some).
    pub async fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<&VectorResults> {
        let seed = |slot: &u32| seed.map(|seed| seed.wrapping_add((*slot).into()));
        let seeds: Vec<_> = self.all.iter().map(|slot| (*slot, seed(slot))).collect();
        self.reset_some(&seeds, options).await
    }

    /// Starts an episode in these environments, each with its seed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the request is sent, which is while it waits for earlier late answers, nothing was
    /// asked. If it is dropped while the request is sent, the connection is lost: over a network the next call has the
    /// request sent over another one, elsewhere the session is over. If it is dropped while it waits for the answer, that
    /// is late: the next reset drops it, and until then `step` and `render` fail with [`Busy`](ErrorKind::Busy). A late
    /// answer is dropped with all its rows: environments that the next reset is not about keep the observations from before
    /// it.
    pub async fn reset_some(&mut self, seeds: &[(u32, Option<u64>)], options: &Value) -> Result<&VectorResults> {
        self.session.begin()?;
        self.session.drop_late().await?;
        let rows = seeds.iter().map(|(slot, seed)| (*slot, seed.map(Into::into))).collect();
        self.session.core.reset(&Reset { rows, options: options.clone() })?;
        self.results.begin();
        for slot in seeds.iter().map(|(slot, _)| *slot as usize) {
            (self.results.terminations[slot], self.results.truncations[slot]) = (false, false);
        }
        self.session.send().await?;
        self.receive(1).await?;
        Ok(&self.results)
    }

    /// Takes one action in every environment. An error of kind [`InvalidAction`](ErrorKind::InvalidAction) if there are not
    /// as many actions, before any environment takes a step. What fails in one slot is the error, which says in which, and
    /// the others have taken their steps all the same.
    ///
    /// # Cancel safety
    ///
    /// As [`reset_some`](Self::reset_some): answers that were waited for are late, and only a reset goes on. The
    /// environments take their actions all the same, once.
    pub async fn step(&mut self, actions: &[A::Element]) -> Result<&VectorResults> {
        if actions.len() != self.all.len() {
            let text = format!("{} actions for {} environments; give one for each", actions.len(), self.all.len());
            return Err(Error::new(ErrorKind::InvalidAction, text));
        }
        self.session.begin()?;
        let core = &mut self.session.core;
        let (packed, bytes) = self.actions.write(&self.action_space, actions)?;
        self.due.clear();
        if core.spec().autoreset_mode != self.spec.autoreset_mode {
            self.due.extend(self.all.iter().copied().filter(|slot| core.is_done(*slot)));
        }
        let mut under_way = 0;
        if self.due.is_empty() {
            core.step(&self.all, packed, bytes)?;
            under_way += 1;
        } else if self.due.len() < self.all.len() {
            let (sizes, slots, limits) = (self.sizes.as_ref(), self.all.len(), *core.limits());
            let all = AllActions::new(sizes, packed, bytes, slots, &mut self.values, &limits)?;
            let others: Slots = self.all.iter().copied().filter(|slot| !self.due.contains(slot)).collect();
            all.pick(0, &others, &mut self.picked);
            core.step(&others, packed, &mut self.picked)?;
            under_way += 1;
        }
        self.results.begin();
        if under_way > 0 {
            self.session.send().await?;
        }
        if !self.due.is_empty() {
            self.due.iter().for_each(|slot| self.results.begin_episode(*slot as usize));
            self.send_resets().await?;
            under_way += 1;
        }
        self.receive(under_way).await?;
        Ok(&self.results)
    }

    /// Renders every environment.
    ///
    /// # Cancel safety
    ///
    /// As [`step`](Self::step).
    pub async fn render(&mut self) -> Result<Frames> {
        self.session.begin()?;
        self.session.core.render(&self.all)?;
        self.session.send().await?;
        match self.session.receive().await? {
            Reply::Frames(mut frames) => {
                frames.0.sort_by_key(|(slot, _)| *slot);
                Ok(frames)
            }
            Reply::Failed(error) => Err(error),
            _ => Err(Error::protocol("a render was answered with something else")),
        }
    }

    /// Ends the session. A host that does not listen is left after half a second.
    ///
    /// # Cancel safety
    ///
    /// As [`AsyncEnv::close`](super::AsyncEnv::close).
    pub async fn close(self) -> Result<()> {
        self.session.close().await
    }

    /// Asks for new episodes in the slots that are due, as an environment that begins them by itself would.
    async fn send_resets(&mut self) -> Result<()> {
        let rows = self.due.iter().map(|slot| (*slot, None)).collect();
        self.session.core.reset(&Reset { rows, options: Value::None })?;
        self.session.send().await
    }

    /// Waits for the answers that are under way.
    async fn receive(&mut self, mut under_way: usize) -> Result<()> {
        let mut failed = None;
        let own_mode = self.session.spec().autoreset_mode;
        let resets_ended = own_mode != self.spec.autoreset_mode && self.spec.autoreset_mode == AutoresetMode::SameStep;
        while under_way > 0 {
            under_way -= 1;
            let (call, mut rows, received): (Call, _, _) = match self.session.receive().await? {
                Reply::Rows(call, rows, received) => (call, rows, received),
                Reply::Failed(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
                _ => return Err(Error::protocol("a request about slots was answered with something else")),
            };
            let mut due = mem::take(&mut self.due);
            due.clear();
            let Self { results, observations, .. } = self;
            let taken = results.take(observations, 0, call, resets_ended, &mut rows, received, &mut due);
            self.session.core.reuse(rows);
            self.due = due;
            if let Err(error) = taken {
                failed.get_or_insert(error);
            }
            if !self.due.is_empty() {
                self.send_resets().await?;
                under_way += 1;
            }
        }
        self.results.finish();
        failed.map_or(Ok(()), Err)
    }
}

impl<O: Space, A: Space> fmt::Debug for AsyncVectorEnv<O, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncVectorEnv").field("session", &self.session).finish_non_exhaustive()
    }
}
