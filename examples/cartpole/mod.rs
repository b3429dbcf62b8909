//! CartPole, the environment of the examples: Gymnasium's `CartPole-v1` in Rust.
//!
//! The equations are those of Barto, Sutton and Anderson, "Neuronlike Adaptive Elements That Can
//! Solve Difficult Learning Control Problems" (1983); the numbers are Gymnasium's.

mod draw;

use rlay::{BoxSpace, Discrete, Env, EnvError, EnvFailure, Map, Metadata, ResetResult, Rng, Space, StepResult, Value};

const GRAVITY: f64 = 9.8;
const CART_MASS: f64 = 1.0;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = CART_MASS + POLE_MASS;
/// Half the length of the pole.
const LENGTH: f64 = 0.5;
const FORCE: f64 = 10.0;
/// Seconds from one state to the next.
const TAU: f64 = 0.02;
/// Beyond these the pole counts as fallen.
const MAX_X: f64 = 2.4;
const MAX_THETA: f64 = 12.0 * std::f64::consts::TAU / 360.0;
pub(crate) const MAX_STEPS: u64 = 500;

/// The space of observations. Twice as wide as needed, so that the last observation of an episode lies within.
pub(crate) fn observation_space() -> BoxSpace<f32, [f32; 4]> {
    let high = [2.0 * MAX_X as f32, f32::INFINITY, (2.0 * MAX_THETA) as f32, f32::INFINITY];
    BoxSpace::with_bounds([4], &high.map(|x| -x), &high)
}

/// What CartPole says of itself.
pub(crate) fn metadata() -> Metadata {
    Metadata {
        render_modes: vec!["rgb_array".into(), "ansi".into()],
        render_fps: Some(50.0),
        reward_threshold: Some(475.0),
        max_episode_steps: Some(MAX_STEPS),
        ..Metadata::default()
    }
}

/// Where cart and pole are, and how fast they move. In `f64`; only what the agent sees is `f32`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct State {
    x: f64,
    x_dot: f64,
    theta: f64,
    theta_dot: f64,
}

impl State {
    /// Where an episode begins.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut small = || rng.uniform(-0.05, 0.05);
        Self { x: small(), x_dot: small(), theta: small(), theta_dot: small() }
    }

    /// The state a moment after a push to the left (0) or to the right (Euler's method).
    pub(crate) fn after(self, action: i64) -> Self {
        let Self { x, x_dot, theta, theta_dot } = self;
        let force = if action == 1 { FORCE } else { -FORCE };
        let (sin, cos) = theta.sin_cos();
        let push = (force + POLE_MASS * LENGTH * theta_dot * theta_dot * sin) / TOTAL_MASS;
        let theta_acc = (GRAVITY * sin - cos * push) / (LENGTH * (4.0 / 3.0 - POLE_MASS * cos * cos / TOTAL_MASS));
        let x_acc = push - POLE_MASS * LENGTH * theta_acc * cos / TOTAL_MASS;
        Self {
            x: x + TAU * x_dot,
            x_dot: x_dot + TAU * x_acc,
            theta: theta + TAU * theta_dot,
            theta_dot: theta_dot + TAU * theta_acc,
        }
    }

    pub(crate) fn has_fallen(self) -> bool {
        self.x.abs() > MAX_X || self.theta.abs() > MAX_THETA
    }

    pub(crate) fn observation(self) -> [f32; 4] {
        [self.x as f32, self.x_dot as f32, self.theta as f32, self.theta_dot as f32]
    }
}

/// A pole on a cart, which is to be pushed left (0) or right (1) so that the pole stays upright.
#[derive(Debug)]
pub(crate) struct CartPole {
    observations: BoxSpace<f32, [f32; 4]>,
    actions: Discrete,
    render_mode: Option<String>,
    rng: Rng,
    /// `None` before the first reset.
    state: Option<State>,
    steps: u64,
}

impl CartPole {
    pub(crate) fn new(render_mode: Option<&str>) -> Self {
        Self {
            observations: observation_space(),
            actions: Discrete::new(2),
            render_mode: render_mode.map(str::to_owned),
            rng: Rng::from_entropy(),
            state: None,
            steps: 0,
        }
    }
}

impl Env for CartPole {
    type ObservationSpace = BoxSpace<f32, [f32; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        &self.observations
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, seed: Option<u64>, _options: &Value) -> Result<ResetResult<[f32; 4]>, EnvError> {
        if let Some(seed) = seed {
            self.rng = Rng::seeded(seed);
        }
        let state = State::random(&mut self.rng);
        (self.state, self.steps) = (Some(state), 0);
        Ok(ResetResult { observation: state.observation(), info: Map::new() })
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f32; 4]>, EnvError> {
        if !self.actions.contains(&action) {
            return Err(EnvFailure::new("ValueError", format!("{action} is neither 0 (left) nor 1 (right)")).into());
        }
        let before = self.state.ok_or("step() before the first reset()")?;
        let state = before.after(action);
        self.state = Some(state);
        self.steps += 1;
        Ok(StepResult {
            observation: state.observation(),
            // The step on which the pole falls still counts; those after it do not.
            reward: if before.has_fallen() { 0.0 } else { 1.0 },
            terminated: state.has_fallen(),
            truncated: self.steps >= MAX_STEPS,
            info: Map::new(),
        })
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        let state = self.state.ok_or("render() before the first reset()")?;
        Ok(match self.render_mode.as_deref() {
            Some("rgb_array") => draw::image(state.x, state.theta).into(),
            Some("ansi") => draw::line(state.x, state.theta).into(),
            _ => Value::None,
        })
    }

    fn metadata(&self) -> Metadata {
        metadata()
    }
}
