//! CountingEnv: an environment in which every result shows the call that it answers.

use rlay_core::{
    Array, BoxSpace, Discrete, Env, EnvError, EnvFailure, Map, Metadata, ResetResult, Space, StepResult, Value,
};

/// Counts, so that no late, lost, doubled or exchanged result goes unnoticed. The environment is deterministic: a
/// second one, given the same calls, tells what the first should have answered.
///
/// The observation is `[seed, episode, step, action]`: the seed that the last reset was given or -1,
/// the number of resets, the number of steps since, and the last action or -1. The reward is
/// `100 * step + action`. Odd episodes terminate at step 10, even ones are truncated at step 12;
/// stepping on keeps counting, and keeps saying so. `info` holds a value of every type that Python
/// tells apart, all of which depend on the step; that of a reset also holds its `options` and `seed`.
/// An action outside of `Discrete(1000)` is a `ValueError`, a step before the first reset a
/// `RuntimeError`.
///
/// ```
/// use rlay::{Env, Value};
/// use rlay_testkit::CountingEnv;
///
/// let mut env = CountingEnv::new(None);
/// assert_eq!(env.reset(Some(7), &Value::None)?.observation, [7.0, 1.0, 0.0, -1.0]);
/// let result = env.step(42)?;
/// assert_eq!((result.observation, result.reward), ([7.0, 1.0, 1.0, 42.0], 142.0));
/// # Ok::<(), rlay::EnvError>(())
/// ```
#[derive(Debug)]
pub struct CountingEnv {
    observations: BoxSpace<f64, [f64; 4]>,
    actions: Discrete,
    render_mode: Option<String>,
    seed: Option<u64>,
    episode: u64,
    step: u64,
    action: i64,
}

impl CountingEnv {
    /// An environment that renders in `render_mode`: `rgb_array`, `ansi` or `None`.
    pub fn new(render_mode: Option<&str>) -> Self {
        Self {
            observations: BoxSpace::new([4], -1.0, f64::INFINITY),
            actions: Discrete::new(1000),
            render_mode: render_mode.map(str::to_owned),
            seed: None,
            episode: 0,
            step: 0,
            action: -1,
        }
    }

    fn observation(&self) -> [f64; 4] {
        [self.seed.map_or(-1.0, |seed| seed as f64), self.episode as f64, self.step as f64, self.action as f64]
    }

    fn info(&self) -> Map {
        let step = self.step as i64;
        let nested = Map::from([
            ("list", Value::List(vec![step.into(), Value::None, (step as f64).into()])),
            ("tuple", Value::Tuple(vec![step.into(), Value::List(vec![]), Value::Tuple(vec![])])),
            ("empty", Value::Dict(Map::new())),
        ]);
        let scalar = |array: Array| Value::Scalar(Array { shape: vec![], ..array });
        let mut info = Map::from([
            ("bool", Value::Bool(step % 2 == 1)),
            ("int", Value::Int(-step)),
            ("big_int", Value::int(i128::from(step) + (1 << 100))),
            ("negative_big_int", Value::int(i128::from(step) - (1 << 100))),
            ("float", Value::Float(step as f64 / 3.0)),
            ("str", format!("step {step} \u{2713}").into()),
            ("bytes", Value::Bytes(vec![0, 0xff, step as u8])),
            ("none", Value::None),
            ("nested", nested.into()),
            ("array", Value::Array(Array::new(&[2, 3], &[step as f32; 6]))),
            ("zero_dimensional", Value::Array(Array::new(&[], &[step]))),
            ("empty_array", Value::Array(Array::new::<i16>(&[0, 3], &[]))),
            ("float32", scalar(Array::new(&[1], &[step as f32 / 3.0]))),
            ("int64", scalar(Array::new(&[1], &[step]))),
            ("uint8", scalar(Array::new(&[1], &[step as u8]))),
        ]);
        // Keys need not be strings.
        info.0.push((Value::Int(step), "an int key".into()));
        info.0.push((Value::Tuple(vec![1.into(), "a".into()]), "a tuple key".into()));
        info
    }
}

impl Env for CountingEnv {
    type ObservationSpace = BoxSpace<f64, [f64; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        &self.observations
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<[f64; 4]>, EnvError> {
        (self.seed, self.step, self.action) = (seed, 0, -1);
        self.episode += 1;
        let mut info = self.info();
        info.insert("options", options.clone());
        info.insert("seed", seed.map_or(Value::None, Value::from));
        Ok(ResetResult { observation: self.observation(), info })
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f64; 4]>, EnvError> {
        if self.episode == 0 {
            return Err(EnvFailure::new("RuntimeError", "step before reset").into());
        }
        if !self.actions.contains(&action) {
            return Err(EnvFailure::new("ValueError", format!("{action} is not in Discrete(1000)")).into());
        }
        self.step += 1;
        self.action = action;
        let odd = self.episode % 2 == 1;
        Ok(StepResult {
            observation: self.observation(),
            reward: 100.0 * self.step as f64 + action as f64,
            terminated: odd && self.step >= 10,
            truncated: !odd && self.step >= 12,
            info: self.info(),
        })
    }

    /// For `rgb_array` an image of shape (2, 4, 3) that starts with the episode and the step as
    /// little-endian `u64`; for `ansi` the same in words.
    fn render(&mut self) -> Result<Value, EnvError> {
        match self.render_mode.as_deref() {
            Some("rgb_array") => {
                let mut image = [0; 24];
                image[..8].copy_from_slice(&self.episode.to_le_bytes());
                image[8..16].copy_from_slice(&self.step.to_le_bytes());
                Ok(Array::new(&[2, 4, 3], &image).into())
            }
            Some("ansi") => Ok(format!("episode {}, step {}", self.episode, self.step).into()),
            _ => Ok(Value::None),
        }
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            render_modes: vec!["rgb_array".into(), "ansi".into()],
            render_fps: Some(30.0),
            reward_threshold: Some(5500.0),
            max_episode_steps: Some(12),
            ..Metadata::default()
        }
    }
}
