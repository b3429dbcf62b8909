//! VectorEnv: what a person writes whose simulator steps many environments at once, in Gymnasium's own words.

use crate::{
    env::Metadata,
    error::{EnvError, EnvFailure},
    space::BatchSpace,
    value::{Map, Value},
    wire::{Keys, put_map_value},
};

/// The actions of a vector environment, one for each slot.
pub type Actions<'a, E> = <<E as VectorEnv>::ActionSpace as BatchSpace>::Batch<'a>;
/// Where a vector environment writes its observations, one for each slot.
pub type Observations<'a, E> = <<E as VectorEnv>::ObservationSpace as BatchSpace>::BatchMut<'a>;

/// Many environments of the same spaces that one simulator steps at once. What it writes is the frame that goes out: its
/// observations are copied nowhere.
///
/// Environments have numbers, their *slots*, from 0 to `num_envs() - 1`, and so have the rows of all that is read and
/// written: `actions`, `rewards` and the rest have one for each slot, whatever a call is about. A call names the slots that
/// it is about; the other environments stay as they are, and their rows mean nothing. Nearly always `step` is about all.
///
/// When an episode has ended, the host begins the next one by `reset`, in the
/// [`AutoresetMode`](crate::AutoresetMode) that the agent asks for; a simulator does nothing for that.
///
/// A call fails as a whole, and a panic is an error, too. Environments that are independent are an [`Env`](crate::Env)
/// each, of which hosts make as many as an agent asks for.
///
/// ```
/// use rlay::{
///     Actions, BoxSpace, ClientVectorEnv, Discrete, EnvError, ResetRows, ServerBackend, StepRows, Value, VectorEnv,
/// };
///
/// /// Walkers that are to come home from where they are, by steps of one.
/// struct Walkers { observations: BoxSpace<f32, [f32; 1]>, actions: Discrete, at: Vec<f32> }
///
/// impl VectorEnv for Walkers {
///     type ObservationSpace = BoxSpace<f32, [f32; 1]>;
///     type ActionSpace = Discrete;
///
///     fn num_envs(&self) -> usize { self.at.len() }
///     fn single_observation_space(&self) -> &Self::ObservationSpace { &self.observations }
///     fn single_action_space(&self) -> &Discrete { &self.actions }
///
///     fn reset(
///         &mut self, slots: &[(usize, Option<u64>)], _: &Value, rows: &mut ResetRows<'_, Self::ObservationSpace>,
///     ) -> Result<(), EnvError> {
///         for (slot, seed) in slots {
///             self.at[*slot] = seed.map_or(3.0, |seed| (seed % 7) as f32);
///             rows.observations[*slot] = self.at[*slot];
///         }
///         Ok(())
///     }
///
///     fn step(
///         &mut self, slots: &[usize], actions: Actions<'_, Self>, rows: &mut StepRows<'_, Self::ObservationSpace>,
///     ) -> Result<(), EnvError> {
///         for &slot in slots {
///             self.at[slot] += if actions[slot] == 1 { 1.0 } else { -1.0 };
///             rows.observations[slot] = self.at[slot];
///             rows.rewards[slot] = -1.0;
///             rows.terminations[slot] = self.at[slot] == 0.0;
///             rows.truncations[slot] = self.at[slot] > 100.0;
///         }
///         Ok(())
///     }
/// }
///
/// let walkers = |make: &rlay::wire::Make| {
///     let (observations, actions) = (BoxSpace::new([1], 0.0, 200.0), Discrete::new(2));
///     Ok(Walkers { observations, actions, at: vec![0.0; make.slots.max(1) as usize] })
/// };
/// let backend = ServerBackend::bind_vector(walkers, "mem://walkers", rlay::host_options())?;
/// backend.start()?;
///
/// let mut envs = ClientVectorEnv::connect("mem://walkers", rlay::agent_options().num_envs(3))?
///     .typed::<BoxSpace<f32, [f32; 1]>, Discrete>()?;
/// envs.reset(Some(1), &Value::None)?; // with seeds 1, 2 and 3
/// assert_eq!(envs.step(&[0, 0, 1])?.terminations, [true, false, false]);
/// assert_eq!(envs.observation_batch()?, [0.0, 1.0, 4.0]);
/// # envs.close()?;
/// # backend.close();
/// # Ok::<(), EnvError>(())
/// ```
pub trait VectorEnv {
    /// The type of the space of one observation.
    type ObservationSpace: BatchSpace;
    /// The type of the space of one action.
    type ActionSpace: BatchSpace;

    /// How many environments there are. It stays the same.
    fn num_envs(&self) -> usize;

    /// The space of one observation. Agents receive it once, and it stays the same.
    fn single_observation_space(&self) -> &Self::ObservationSpace;

    /// The space of one action, of which the same is true.
    fn single_action_space(&self) -> &Self::ActionSpace;

    /// Starts an episode in each of these slots, and writes its first observation into the slot's row. `None` as seed
    /// keeps the slot's random generator as it is; `options` is Gymnasium's, [`Value::None`] if the agent gave none.
    fn reset(
        &mut self,
        slots: &[(usize, Option<u64>)],
        options: &Value,
        rows: &mut ResetRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError>;

    /// Takes, in each of these slots, the action that stands in its row, and writes what came of it into its row.
    fn step(
        &mut self,
        slots: &[usize],
        actions: Actions<'_, Self>,
        rows: &mut StepRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError>;

    /// Renders one environment, as [`Env::render`](crate::Env::render) does.
    fn render(&mut self, _slot: usize) -> Result<Value, EnvError> {
        Ok(Value::None)
    }

    /// The description of each of the environments.
    fn metadata(&self) -> Metadata {
        Metadata::default()
    }

    /// Releases what the environments hold. Called once, before they are dropped.
    fn close(&mut self) -> Result<(), EnvError> {
        Ok(())
    }
}

/// Where [`VectorEnv::reset`] writes. What a row held before is not specified.
#[derive(Debug)]
pub struct ResetRows<'r, O: BatchSpace> {
    /// The first observations, a row for each slot.
    pub observations: O::BatchMut<'r>,
    /// Anything else worth knowing.
    pub infos: &'r mut VectorInfos,
}

/// Where [`VectorEnv::step`] writes. What a row held before is not specified.
#[derive(Debug)]
pub struct StepRows<'r, O: BatchSpace> {
    /// What the agent sees after the actions, a row for each slot.
    pub observations: O::BatchMut<'r>,
    /// The reward of each slot.
    pub rewards: &'r mut [f64],
    /// Whether the task ended the episode of each slot.
    pub terminations: &'r mut [bool],
    /// Whether something outside the task, such as a time limit, ended it.
    pub truncations: &'r mut [bool],
    /// Anything else worth knowing.
    pub infos: &'r mut VectorInfos,
}

/// The infos of the slots that have one.
#[derive(Debug)]
pub struct VectorInfos {
    encoded: Vec<u8>,
    /// Where that of each slot begins and ends; nowhere, if it has none.
    of_slot: Vec<(usize, usize)>,
    is_empty: bool,
    /// An empty dict.
    empty: Vec<u8>,
}

impl VectorInfos {
    pub(crate) fn new(slots: usize) -> Self {
        let mut empty = Vec::new();
        put_map_value(&mut empty, &Map::new());
        Self { encoded: Vec::new(), of_slot: vec![(0, 0); slots], is_empty: true, empty }
    }

    /// Gives `slot` this info, in place of another one of the same call. An error if there is no such slot, or if the info
    /// has a key that cannot be sent.
    pub fn set(&mut self, slot: usize, info: &Map) -> Result<(), EnvError> {
        let slots = self.of_slot.len();
        let place = self.of_slot.get_mut(slot);
        let place = place.ok_or_else(|| format!("an info of slot {slot}, of which there are {slots}"))?;
        Keys::check_map(info).map_err(|why| EnvFailure::new("TypeError", format!("info: {why}")))?;
        let start = self.encoded.len();
        put_map_value(&mut self.encoded, info);
        *place = (start, self.encoded.len());
        self.is_empty = false;
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        if !self.is_empty {
            self.of_slot.fill((0, 0));
            self.encoded.clear();
            self.is_empty = true;
        }
    }

    /// Appends the info of a slot as an encoded value.
    pub(crate) fn put(&self, slot: usize, out: &mut Vec<u8>) {
        match self.of_slot[slot] {
            (0, 0) => out.extend_from_slice(&self.empty),
            (start, end) => out.extend_from_slice(&self.encoded[start..end]),
        }
    }

    /// The same, and forgets it.
    pub(crate) fn take(&mut self, slot: usize, out: &mut Vec<u8>) {
        self.put(slot, out);
        self.of_slot[slot] = (0, 0);
    }
}

/// One that is lent, as for a [`SessionPool`](crate::endpoint::SessionPool) that hosts the same simulator in one session
/// after another.
impl<E: VectorEnv + ?Sized> VectorEnv for &mut E {
    type ObservationSpace = E::ObservationSpace;
    type ActionSpace = E::ActionSpace;

    fn num_envs(&self) -> usize {
        (**self).num_envs()
    }

    fn single_observation_space(&self) -> &Self::ObservationSpace {
        (**self).single_observation_space()
    }

    fn single_action_space(&self) -> &Self::ActionSpace {
        (**self).single_action_space()
    }

    fn reset(
        &mut self,
        slots: &[(usize, Option<u64>)],
        options: &Value,
        rows: &mut ResetRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError> {
        (**self).reset(slots, options, rows)
    }

    fn step(
        &mut self,
        slots: &[usize],
        actions: Actions<'_, Self>,
        rows: &mut StepRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError> {
        (**self).step(slots, actions, rows)
    }

    fn render(&mut self, slot: usize) -> Result<Value, EnvError> {
        (**self).render(slot)
    }

    fn metadata(&self) -> Metadata {
        (**self).metadata()
    }

    /// Does nothing: what lent it closes it.
    fn close(&mut self) -> Result<(), EnvError> {
        Ok(())
    }
}
