//! Picture: a Dict of an image of 28 KB and two numbers, all of which depend on the step.

use rlay::{BoxSpace, Dict, Discrete, Env, EnvError, Map, ResetResult, StepResult, Value};

type Spaces = (BoxSpace<u8>, BoxSpace<f64, [f64; 2]>);

#[derive(Debug)]
pub(crate) struct Picture {
    observations: Dict<Spaces>,
    actions: Discrete,
    seed: u64,
    step: u64,
}

impl Picture {
    pub(crate) fn new() -> Self {
        let spaces = (BoxSpace::new([84, 84, 4], 0, 255), BoxSpace::new([2], -1e9, 1e9));
        Self { observations: Dict::new(["image", "position"], spaces), actions: Discrete::new(5), seed: 0, step: 0 }
    }

    fn observation(&self) -> (Vec<u8>, [f64; 2]) {
        let image = (0..84 * 84 * 4).map(|i| ((i + 31 * self.step + self.seed) % 251) as u8).collect();
        (image, [self.step as f64, self.seed as f64 / 3.0])
    }
}

impl Env for Picture {
    type ObservationSpace = Dict<Spaces>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Dict<Spaces> {
        &self.observations
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, seed: Option<u64>, _: &Value) -> Result<ResetResult<(Vec<u8>, [f64; 2])>, EnvError> {
        (self.seed, self.step) = (seed.unwrap_or(self.seed), 0);
        Ok(ResetResult { observation: self.observation(), info: Map::new() })
    }

    fn step(&mut self, action: i64) -> Result<StepResult<(Vec<u8>, [f64; 2])>, EnvError> {
        self.step += 1;
        Ok(StepResult {
            observation: self.observation(),
            reward: action as f64 / 10.0,
            terminated: self.step.is_multiple_of(17),
            truncated: false,
            info: Map::from([("step", self.step as i64)]),
        })
    }
}
