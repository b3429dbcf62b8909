//! A program for the tests of many games: dials an agent with environments that count, and that may hang.
//!
//! ```text
//! counting_game ADDRESS NUMBER [--hang-after STEPS] [--max-sessions COUNT]
//! ```
#![allow(missing_docs)] // a program

use std::thread;

use rlay::{BoxSpace, ClientBackend, Discrete, Env, EnvError, Map, ResetResult, StepResult, Value, wire::Make};

#[path = "../../examples/arguments/mod.rs"]
mod arguments;

/// Says in each observation which game, episode and step it is of, and which action led to it: `[number, episode, step,
/// action]`.
///
/// The reward is `100 * step + action`. An episode takes `5 + (7 * number + 3 * episode) % 11` steps, so that those of
/// several games end apart; odd ones terminate and even ones are truncated.
struct Game {
    observations: BoxSpace<f64, [f64; 4]>,
    actions: Discrete,
    number: u64,
    episode: u64,
    step: u64,
    /// After how many steps of all episodes the game hangs.
    hang_after: u64,
    steps: u64,
}

impl Game {
    fn observation(&self, action: f64) -> [f64; 4] {
        [self.number as f64, self.episode as f64, self.step as f64, action]
    }
}

impl Env for Game {
    type ObservationSpace = BoxSpace<f64, [f64; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        &self.observations
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<[f64; 4]>, EnvError> {
        (self.episode, self.step) = (self.episode + 1, 0);
        Ok(ResetResult { observation: self.observation(-1.0), info: Map::new() })
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f64; 4]>, EnvError> {
        if self.steps >= self.hang_after {
            loop {
                thread::park();
            }
        }
        (self.steps, self.step) = (self.steps + 1, self.step + 1);
        let ends = self.step >= 5 + (7 * self.number + 3 * self.episode) % 11;
        let terminates = self.episode % 2 == 1;
        Ok(StepResult {
            observation: self.observation(action as f64),
            reward: 100.0 * self.step as f64 + action as f64,
            terminated: ends && terminates,
            truncated: ends && !terminates,
            info: Map::new(),
        })
    }
}

fn main() -> Result<(), EnvError> {
    let words: Vec<String> = std::env::args().skip(1).take(2).collect();
    let [address, number] = &words[..] else { return Err("usage: see the source".into()) };
    let number: u64 = number.parse()?;
    let hang_after = arguments::value("--hang-after").map_or(Ok(u64::MAX), |steps| steps.parse())?;
    let sessions = arguments::value("--max-sessions").map_or(Ok(1), |count| count.parse())?;
    let make = move |_: &Make| {
        let (observations, actions) = (BoxSpace::new([4], -1.0, f64::INFINITY), Discrete::new(7));
        Ok(Game { observations, actions, number, episode: 0, step: 0, hang_after, steps: 0 })
    };
    Ok(ClientBackend::new(make, address, rlay::host_options().max_sessions(sessions))?.run()?)
}
