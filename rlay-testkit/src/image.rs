//! ImageEnv and ImageEnvs: large observations that cost their environment nothing, for benchmarks.

use rlay_core::{
    Actions, BoxSpace, Discrete, Env, EnvError, Map, ResetResult, ResetRows, StepResult, StepRows, Value, VectorEnv,
};

use crate::shared::SharedArray;

/// Gives images that start with the number of steps since the environment was made, as a little-endian `u64`.
///
/// A step writes those eight bytes and nothing else, as long as the observation before it was dropped,
/// so what a benchmark measures is not the environment. Episodes never end, the reward is 1 and `info` is empty.
///
/// ```
/// use rlay::{Env, Value};
/// use rlay_testkit::ImageEnv;
///
/// let mut env = ImageEnv::new([84, 84, 4]);
/// env.reset(None, &Value::None)?;
/// env.step(0)?;
/// assert_eq!(env.step(1)?.observation[..8], 2u64.to_le_bytes());
/// # Ok::<(), rlay::EnvError>(())
/// ```
#[derive(Debug)]
pub struct ImageEnv {
    images: BoxSpace<u8, SharedArray<u8>>,
    actions: Discrete,
    /// The array that every observation shares; written again once the last observation was dropped.
    image: SharedArray<u8>,
    steps: u64,
}

impl ImageEnv {
    /// Images of `shape`.
    ///
    /// # Panics
    /// If an image has fewer than eight bytes.
    pub fn new(shape: impl Into<Vec<u64>>) -> Self {
        let shape = shape.into();
        let len = shape.iter().product::<u64>() as usize;
        assert!(len >= 8, "an image of shape {shape:?} has no room for the counter");
        let image = vec![0; len].into();
        Self { images: BoxSpace::new(shape, 0, 255), actions: Discrete::new(2), image, steps: 0 }
    }

    fn observe(&mut self) -> SharedArray<u8> {
        self.image.make_mut()[..8].copy_from_slice(&self.steps.to_le_bytes());
        self.image.clone()
    }
}

impl Env for ImageEnv {
    type ObservationSpace = BoxSpace<u8, SharedArray<u8>>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        &self.images
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, _seed: Option<u64>, _options: &Value) -> Result<ResetResult<SharedArray<u8>>, EnvError> {
        Ok(ResetResult { observation: self.observe(), info: Map::new() })
    }

    fn step(&mut self, _action: i64) -> Result<StepResult<SharedArray<u8>>, EnvError> {
        self.steps += 1;
        Ok(StepResult {
            observation: self.observe(),
            reward: 1.0,
            terminated: false,
            truncated: false,
            info: Map::new(),
        })
    }
}

/// Images as [`ImageEnv`] gives them, of many slots at once, in the rows that go out.
#[derive(Debug)]
pub struct ImageEnvs {
    images: BoxSpace<u8, Vec<u8>>,
    actions: Discrete,
    /// The steps of each slot.
    steps: Vec<u64>,
}

impl ImageEnvs {
    /// Images of `shape`, which have at least eight bytes, in so many slots.
    pub fn new(shape: impl Into<Vec<u64>>, slots: usize) -> Self {
        Self { images: BoxSpace::new(shape.into(), 0, 255), actions: Discrete::new(2), steps: vec![0; slots] }
    }

    fn observe(&self, slot: usize, images: &mut [u8]) {
        let len = images.len() / self.steps.len();
        images[slot * len..][..8].copy_from_slice(&self.steps[slot].to_le_bytes());
    }
}

impl VectorEnv for ImageEnvs {
    type ObservationSpace = BoxSpace<u8, Vec<u8>>;
    type ActionSpace = Discrete;

    fn num_envs(&self) -> usize {
        self.steps.len()
    }

    fn single_observation_space(&self) -> &Self::ObservationSpace {
        &self.images
    }

    fn single_action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(
        &mut self,
        slots: &[(usize, Option<u64>)],
        _options: &Value,
        rows: &mut ResetRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError> {
        slots.iter().for_each(|(slot, _)| self.observe(*slot, rows.observations));
        Ok(())
    }

    fn step(
        &mut self,
        slots: &[usize],
        _actions: Actions<'_, Self>,
        rows: &mut StepRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError> {
        for &slot in slots {
            self.steps[slot] += 1;
            self.observe(slot, rows.observations);
            rows.rewards[slot] = 1.0;
            (rows.terminations[slot], rows.truncations[slot]) = (false, false);
        }
        Ok(())
    }
}
