//! Policy: what answers observations with actions. Closures are policies.

use crate::{
    env::{Action, Env, Observation},
    error::EnvError,
    value::Value,
};

/// Chooses actions from observations of type `O`.
///
/// ```
/// use rlay::Policy;
///
/// let mut left_or_right = |pole: &[f32; 4]| i64::from(pole[2] > 0.0);
/// assert_eq!(left_or_right.act(&[0.0, 0.0, 0.1, 0.0]), 1);
/// ```
pub trait Policy<O, A> {
    /// The action for `observation`.
    fn act(&mut self, observation: &O) -> A;
}

impl<O, A, F: FnMut(&O) -> A> Policy<O, A> for F {
    fn act(&mut self, observation: &O) -> A {
        self(observation)
    }
}

/// The result of one episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Episode {
    /// Sum of rewards.
    pub total: f64,
    /// Number of steps.
    pub steps: u64,
}

/// Runs one episode of `env` under `policy`.
pub fn rollout<E, P>(env: &mut E, policy: &mut P, seed: Option<u64>) -> Result<Episode, EnvError>
where
    E: Env + ?Sized,
    P: Policy<Observation<E>, Action<E>> + ?Sized,
{
    let mut observation = env.reset(seed, &Value::None)?.observation;
    let mut episode = Episode { total: 0.0, steps: 0 };
    loop {
        let result = env.step(policy.act(&observation))?;
        episode.total += result.reward;
        episode.steps += 1;
        if result.terminated || result.truncated {
            return Ok(episode);
        }
        observation = result.observation;
    }
}
