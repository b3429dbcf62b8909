//! RemoteVectorEnv: what an agent holds of many environments in either paradigm, and the two ways to get it.

use std::{fmt, sync::Arc, time::Duration};

use super::{raw_vector_env::RawVectorEnv, vector_actions::VectorActions, vector_results::VectorResults};
use crate::{
    address::Address,
    endpoint::{accept::acceptor::Acceptor, options::AgentOptions, wait::Wait},
    error::Result,
    session::observations::VectorObservations,
    space::{AnySpace, BatchSpace, Space},
    value::{Map, Value},
    wire::{Access, Frames, Role, Spec},
};

/// Many environments in other processes, which step at once.
///
/// Its calls are those of Gymnasium's `VectorEnv`. What a call brought is in [`results`](Self::results) and
/// [`observations`](Self::observations), whose memory the next call uses again.
pub struct RemoteVectorEnv<O: Space = AnySpace, A: Space = AnySpace> {
    raw: RawVectorEnv,
    observation_space: O,
    action_space: A,
    /// Bounds one reset, step, render or attribute. `None`: as long as the peers are alive.
    pub timeout: Option<Duration>,
    actions: VectorActions,
}

/// The agent's end where many environments are hosted by a server: the agent dials.
///
/// ```no_run
/// use rlay::{ClientVectorEnv, Value};
///
/// let mut envs = ClientVectorEnv::connect("mem://cartpole", rlay::agent_options().num_envs(64))?;
/// envs.reset(Some(7), &Value::None)?;
/// let actions = vec![Value::Int(1); 64];
/// let results = envs.step(&actions)?;
/// let total: f64 = results.rewards.iter().sum();
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug)]
pub struct ClientVectorEnv;

impl ClientVectorEnv {
    /// Connects to the [`ServerBackend`](crate::ServerBackend) at `address` and makes as many environments there as
    /// [`AgentOptions::num_envs`] says. An `exec:` address is a command, as for [`ClientEnv`](crate::ClientEnv).
    pub fn connect(address: &str, options: AgentOptions) -> Result<RemoteVectorEnv> {
        Ok(RemoteVectorEnv::open(RawVectorEnv::connect(address, options.clone(), &mut Wait::default())?, &options))
    }
}

/// The agent's end where environments are clients that run their own loops and dial in: the agent listens.
///
/// Keep it for as long as its environments: those that have lost their connection come back through it.
///
/// ```no_run
/// use rlay::{OnLoss, ServerVectorEnv, Value};
///
/// let options = rlay::agent_options().num_envs(16).on_loss(OnLoss::Truncate);
/// let server = ServerVectorEnv::bind("mem://arena", options)?;
/// println!("waiting for sixteen games at {}", server.address());
/// let mut envs = server.accept()?;
/// envs.reset(None, &Value::None)?;
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerVectorEnv {
    acceptor: Arc<Acceptor>,
    options: AgentOptions,
}

impl ServerVectorEnv {
    /// Listens at `address` for environments that dial in.
    pub fn bind(address: &str, options: AgentOptions) -> Result<Self> {
        let acceptor = Arc::new(Acceptor::bind(&address.parse()?, Role::Agent, &options.connection)?);
        Ok(Self { acceptor, options })
    }

    /// The address for environments to dial, with the real port.
    pub fn address(&self) -> &Address {
        self.acceptor.address()
    }

    /// As many environments as [`AgentOptions::num_envs`] says, waited for at most `connect_timeout`; see
    /// [`AgentOptions::min_ready`].
    pub fn accept(&self) -> Result<RemoteVectorEnv> {
        let raw = RawVectorEnv::accept(&self.acceptor, self.options.clone(), &mut Wait::default())?;
        Ok(RemoteVectorEnv::open(raw, &self.options))
    }

    /// Stops listening. Environments that were accepted stay, but none comes back or is replaced.
    pub fn close(&self) {
        self.acceptor.close();
    }
}

impl RemoteVectorEnv {
    fn open(raw: RawVectorEnv, options: &AgentOptions) -> Self {
        let spec = raw.spec();
        Self {
            observation_space: spec.observation_space.clone(),
            action_space: spec.action_space.clone(),
            timeout: options.timeout,
            actions: VectorActions::new(spec),
            raw,
        }
    }

    /// The same environments with plain Rust types, if their spaces are of these classes. The error names the first leaf
    /// that is not.
    ///
    /// ```no_run
    /// # use rlay::{BoxSpace, ClientVectorEnv, Discrete, Value};
    /// let envs = ClientVectorEnv::connect("mem://cartpole", rlay::agent_options().num_envs(64))?;
    /// let mut envs = envs.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;
    /// envs.reset(None, &Value::None)?;
    /// let pole: [f32; 4] = envs.observation(0)?;
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn typed<O: Space, A: Space>(mut self) -> Result<RemoteVectorEnv<O, A>> {
        let observation_space = O::from_any(&self.observation_space).map_err(|e| e.at("observation_space"));
        let action_space = A::from_any(&self.action_space).map_err(|e| e.at("action_space"));
        let (observation_space, action_space) = match (observation_space, action_space) {
            (Ok(observation_space), Ok(action_space)) => (observation_space, action_space),
            (Err(error), _) | (_, Err(error)) => {
                self.raw.leave(&error);
                return Err(error);
            }
        };
        let Self { raw, timeout, actions, .. } = self;
        Ok(RemoteVectorEnv { raw, observation_space, action_space, timeout, actions })
    }
}

impl<O: Space, A: Space> RemoteVectorEnv<O, A> {
    /// One vector of the environments of several, in their order, over any transports; see [`RawVectorEnv::join`].
    ///
    /// ```no_run
    /// use rlay::{ClientVectorEnv, RemoteVectorEnv};
    ///
    /// let eight = rlay::agent_options().num_envs(8);
    /// let near = ClientVectorEnv::connect("shm:///tmp/near", eight.clone())?;
    /// let far = ClientVectorEnv::connect("tls://192.0.2.7:5005", eight)?;
    /// let both = RemoteVectorEnv::join([near, far])?;
    /// assert_eq!(both.num_envs(), 16);
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn join(envs: impl IntoIterator<Item = Self>) -> Result<Self> {
        let mut envs: Vec<Self> = envs.into_iter().collect();
        let raw = RawVectorEnv::join(&mut envs.iter_mut().map(|envs| &mut envs.raw).collect::<Vec<_>>())?;
        // There is a first, or the vectors were not joined.
        Ok(Self { raw, ..envs.swap_remove(0) })
    }

    /// Spaces, metadata and the rest of what the first host told, with the number of all environments as `slots`.
    pub fn spec(&self) -> &Spec {
        self.raw.spec()
    }

    /// How many environments there are.
    pub fn num_envs(&self) -> usize {
        self.raw.observations().slots()
    }

    /// The space of one observation.
    pub fn single_observation_space(&self) -> &O {
        &self.observation_space
    }

    /// The space of one action.
    pub fn single_action_space(&self) -> &A {
        &self.action_space
    }

    /// Whether each environment is missing at present: it was lost, or has not dialed in yet.
    pub fn vacant(&self) -> impl Iterator<Item = bool> {
        self.raw.vacant()
    }

    /// Starts an episode in every environment: the first with `seed`, each further one with one more.
    pub fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<&VectorResults> {
        let slots = self.num_envs() as u32;
        let seed = |slot: u32| seed.map(|seed| seed.wrapping_add(slot.into()));
        let seeds: Vec<_> = (0..slots).map(|slot| (slot, seed(slot))).collect();
        self.reset_some(&seeds, options)
    }

    /// Starts an episode in these environments, each with its seed.
    pub fn reset_some(&mut self, seeds: &[(u32, Option<u64>)], options: &Value) -> Result<&VectorResults> {
        let rows: Vec<_> = seeds.iter().map(|(slot, seed)| (*slot, seed.map(Into::into))).collect();
        self.raw.reset(&rows, options, &mut Wait::new(self.timeout))?;
        Ok(self.raw.results())
    }

    /// Takes one action in every environment. An error of kind [`InvalidAction`](crate::ErrorKind::InvalidAction) if
    /// there are not as many actions, before any environment takes a step.
    pub fn step(&mut self, actions: &[A::Element]) -> Result<&VectorResults> {
        if actions.len() != self.num_envs() {
            let text = format!("{} actions for {} environments; give one for each", actions.len(), self.num_envs());
            return Err(crate::Error::new(crate::ErrorKind::InvalidAction, text));
        }
        let (packed, actions) = self.actions.write(&self.action_space, actions)?;
        self.raw.step(packed, actions, &mut Wait::new(self.timeout))?;
        Ok(self.raw.results())
    }

    /// Has these environments take one action each, without waiting; [`recv`](Self::recv) returns the rows as they come.
    /// See [`RawVectorEnv::send`].
    ///
    /// ```no_run
    /// # use rlay::{ClientVectorEnv, Value};
    /// let mut envs = ClientVectorEnv::connect("mem://simulators", rlay::agent_options().num_envs(64))?;
    /// envs.send_resets(&(0..64).map(|slot| (slot, Some(7 + u64::from(slot)))).collect::<Vec<_>>(), &Value::None)?;
    /// loop {
    ///     let slots = envs.recv(16, 64, None)?.to_vec();
    ///     // A policy would look at envs.observation(slot) and envs.results().
    ///     envs.send(&slots, &vec![Value::Int(0); slots.len()])?;
    ///     # break;
    /// }
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn send(&mut self, slots: &[u32], actions: &[A::Element]) -> Result<()> {
        if actions.len() != slots.len() {
            let text = format!("{} actions for {} environments; give one for each", actions.len(), slots.len());
            return Err(crate::Error::new(crate::ErrorKind::InvalidAction, text));
        }
        let (packed, actions) = self.actions.write(&self.action_space, actions)?;
        self.raw.send(slots, packed, actions, &mut Wait::new(self.timeout))
    }

    /// Begins an episode in each of these environments, with its seed, without waiting.
    pub fn send_resets(&mut self, seeds: &[(u32, Option<u64>)], options: &Value) -> Result<()> {
        let rows: Vec<_> = seeds.iter().map(|(slot, seed)| (*slot, seed.map(Into::into))).collect();
        self.raw.send_resets(&rows, options, &mut Wait::new(self.timeout))
    }

    /// Waits for `min` rows that were sent for, and returns the slots of those that have come, at most `max`, in the
    /// order in which they came; what they say is in [`results`](Self::results) and [`observation`](Self::observation).
    /// After `timeout` it returns those that have come, maybe none. See [`RawVectorEnv::recv`].
    pub fn recv(&mut self, min: usize, max: usize, timeout: Option<Duration>) -> Result<&[u32]> {
        self.raw.recv(min, max, self.timeout, &mut Wait::new(timeout))?;
        Ok(self.raw.received())
    }

    /// What the last call brought besides observations.
    pub fn results(&self) -> &VectorResults {
        self.raw.results()
    }

    /// The last observation of every environment, as bytes or values.
    pub fn observations(&self) -> &VectorObservations {
        self.raw.observations()
    }

    /// The last observation of one environment.
    pub fn observation(&mut self, slot: usize) -> Result<O::Element> {
        self.raw.observations_mut().element(slot, &self.observation_space)
    }

    /// The last observations of all environments where they arrived, as slices: see [`BatchSpace`]. An error before every
    /// environment was reset.
    ///
    /// ```no_run
    /// use rlay::{BoxSpace, ClientVectorEnv, Discrete, Value};
    ///
    /// let envs = ClientVectorEnv::connect("shm://camera", rlay::agent_options().num_envs(8))?;
    /// let mut envs = envs.typed::<BoxSpace<u8>, Discrete>()?;
    /// envs.reset(None, &Value::None)?;
    /// let pixels: &[u8] = envs.observation_batch()?; // 8 images, one after another
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn observation_batch(&mut self) -> Result<O::Batch<'_>>
    where
        O: BatchSpace,
    {
        self.raw.observations_mut().batch(&self.observation_space)
    }

    /// Renders every environment. The frame of one that is missing is [`Value::None`].
    pub fn render(&mut self) -> Result<Frames> {
        self.raw.render(&mut Wait::new(self.timeout))
    }

    /// The attribute `name` of every environment; `None` of one that is a function, for [`call`](Self::call). That of a
    /// missing environment is [`Value::None`]. An error of kind [`Usage`](crate::ErrorKind::Usage) if the host does not
    /// offer it.
    ///
    /// ```no_run
    /// use rlay::{ClientVectorEnv, Map, Value};
    ///
    /// let mut envs = ClientVectorEnv::connect("mem://cartpole", rlay::agent_options().num_envs(2))?;
    /// envs.set_attr("gravity", vec![Value::from(9.8), Value::from(1.6)])?;
    /// assert_eq!(envs.get_attr("gravity")?[1], Some(Value::from(1.6)));
    /// let masks = envs.call("action_masks", &[], &Map::new())?;
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn get_attr(&mut self, name: &str) -> Result<Vec<Option<Value>>> {
        self.raw.attribute(name, Access::Get, &mut Wait::new(self.timeout))
    }

    /// Sets the attribute `name` of every environment, each to its value.
    pub fn set_attr(&mut self, name: &str, values: Vec<Value>) -> Result<()> {
        self.raw.attribute(name, Access::Set(values), &mut Wait::new(self.timeout)).map(drop)
    }

    /// Calls the attribute `name` of every environment with the same arguments. The value of one that is no function.
    pub fn call(&mut self, name: &str, args: &[Value], kwargs: &Map) -> Result<Vec<Value>> {
        let access = Access::Call(args.to_vec(), kwargs.clone());
        let values = self.raw.attribute(name, access, &mut Wait::new(self.timeout))?;
        Ok(values.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Waits, at most `timeout`, for the answer to a call that ran into its deadline.
    pub fn late(&mut self, timeout: Option<Duration>) -> Result<&VectorResults> {
        self.raw.late(&mut Wait::new(timeout))?;
        Ok(self.raw.results())
    }

    /// Closes the environments.
    pub fn close(&mut self) -> Result<()> {
        self.raw.close(&mut Wait::default())
    }
}

impl<O: Space, A: Space> fmt::Debug for RemoteVectorEnv<O, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteVectorEnv").field("raw", &self.raw).finish_non_exhaustive()
    }
}
