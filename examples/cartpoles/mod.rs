//! CartPoles: many CartPoles that one simulator steps at once.

use rlay::{
    Actions, BoxSpace, Discrete, EnvError, EnvFailure, Metadata, ResetRows, Rng, Space, StepRows, Value, VectorEnv,
};

use crate::cartpole::{self, MAX_STEPS, State};

/// Poles on carts, each as in [`CartPole`](cartpole::CartPole), side by side in memory.
#[derive(Debug)]
pub(crate) struct CartPoles {
    observations: BoxSpace<f32, [f32; 4]>,
    actions: Discrete,
    states: Vec<State>,
    steps: Vec<u64>,
    rngs: Vec<Rng>,
}

impl CartPoles {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            observations: cartpole::observation_space(),
            actions: Discrete::new(2),
            states: vec![State::default(); number],
            steps: vec![0; number],
            rngs: (0..number).map(|_| Rng::from_entropy()).collect(),
        }
    }
}

impl VectorEnv for CartPoles {
    type ObservationSpace = BoxSpace<f32, [f32; 4]>;
    type ActionSpace = Discrete;

    fn num_envs(&self) -> usize {
        self.states.len()
    }

    fn single_observation_space(&self) -> &Self::ObservationSpace {
        &self.observations
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
        let (poles, _) = rows.observations.as_chunks_mut();
        for &(slot, seed) in slots {
            if let Some(seed) = seed {
                self.rngs[slot] = Rng::seeded(seed);
            }
            (self.states[slot], self.steps[slot]) = (State::random(&mut self.rngs[slot]), 0);
            poles[slot] = self.states[slot].observation();
        }
        Ok(())
    }

    fn step(
        &mut self,
        slots: &[usize],
        actions: Actions<'_, Self>,
        rows: &mut StepRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError> {
        if let Some(slot) = slots.iter().find(|slot| !self.actions.contains(&actions[**slot])) {
            let text = format!("{} is neither 0 (left) nor 1 (right), in slot {slot}", actions[*slot]);
            return Err(EnvFailure::new("ValueError", text).into());
        }
        let (poles, _) = rows.observations.as_chunks_mut();
        for &slot in slots {
            let before = self.states[slot];
            let state = before.after(actions[slot]);
            self.steps[slot] += 1;
            self.states[slot] = state;
            poles[slot] = state.observation();
            // The step on which the pole falls still counts; those after it do not.
            rows.rewards[slot] = if before.has_fallen() { 0.0 } else { 1.0 };
            rows.terminations[slot] = state.has_fallen();
            rows.truncations[slot] = self.steps[slot] >= MAX_STEPS;
        }
        Ok(())
    }

    fn metadata(&self) -> Metadata {
        Metadata { render_modes: vec![], ..cartpole::metadata() }
    }
}
