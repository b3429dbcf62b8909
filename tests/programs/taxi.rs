//! Taxi: drives a passenger from one of four places to another (Dietterich, "Hierarchical Reinforcement
//! Learning with the MAXQ Value Function Decomposition", 2000, section 3.1).

use rlay::{Discrete, Env, EnvError, Map, ResetResult, Rng, StepResult, Value};

const PLACES: [(i64, i64); 4] = [(0, 0), (0, 4), (4, 0), (4, 3)];
const ABOARD: usize = 4;
/// Walls: one cannot go from a column to the next in these rows.
const WALLS: [(i64, i64); 6] = [(0, 1), (1, 1), (3, 0), (4, 0), (3, 2), (4, 2)];

#[derive(Debug)]
pub(crate) struct Taxi {
    states: Discrete,
    actions: Discrete,
    at: (i64, i64),
    passenger: usize,
    goal: usize,
    rng: Rng,
}

impl Default for Taxi {
    fn default() -> Self {
        let (states, actions) = (Discrete::new(500), Discrete::new(6));
        Self { states, actions, at: (0, 0), passenger: 0, goal: 1, rng: Rng::seeded(0) }
    }
}

impl Taxi {
    fn state(&self) -> i64 {
        ((self.at.0 * 5 + self.at.1) * 5 + self.passenger as i64) * 4 + self.goal as i64
    }

    fn info() -> Map {
        Map::from([("prob", 1.0)])
    }
}

impl Env for Taxi {
    type ObservationSpace = Discrete;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Discrete {
        &self.states
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, seed: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> {
        if let Some(seed) = seed {
            self.rng = Rng::seeded(seed);
        }
        self.at = (self.rng.below(5) as i64, self.rng.below(5) as i64);
        self.passenger = self.rng.below(4) as usize;
        self.goal = (self.passenger + 1 + self.rng.below(3) as usize) % 4;
        Ok(ResetResult { observation: self.state(), info: Self::info() })
    }

    fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> {
        let (row, column) = self.at;
        let (mut reward, mut terminated) = (-1.0, false);
        let here = PLACES.iter().position(|place| *place == self.at);
        match action {
            0 => self.at.0 = (row + 1).min(4),
            1 => self.at.0 = (row - 1).max(0),
            2 if !WALLS.contains(&(row, column)) => self.at.1 = (column + 1).min(4),
            3 if !WALLS.contains(&(row, column - 1)) => self.at.1 = (column - 1).max(0),
            4 if here == Some(self.passenger) => self.passenger = ABOARD,
            5 if self.passenger == ABOARD && here == Some(self.goal) => {
                (self.passenger, reward, terminated) = (self.goal, 20.0, true);
            }
            4 | 5 => reward = -10.0,
            _ => {}
        }
        Ok(StepResult { observation: self.state(), reward, terminated, truncated: false, info: Self::info() })
    }
}
