//! Environments that block, fail and panic on request.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use rlay::{BoxSpace, Discrete, Env, EnvError, EnvFailure, Map, Metadata, ResetResult, StepResult, Value};
use rlay_testkit::CountingEnv;

/// The action, and the seed, that make a [`Gated`] environment wait and a [`Trouble`] fail.
pub(crate) const HOLD: i64 = 13;
/// The text of a [`Trouble`]'s failure.
pub(crate) const WORDS: &str = "the lever is stuck";

/// A gate between test and environment: closed until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<usize>, Condvar, AtomicUsize)>);

impl Gate {
    /// Lets one call through.
    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("no one panics here") += 1;
        self.0.1.notify_all();
    }

    /// Calls that reached the gate.
    pub(crate) fn visits(&self) -> usize {
        self.0.2.load(SeqCst)
    }

    /// Blocks until the gate is opened.
    pub(crate) fn pass(&self) {
        self.0.2.fetch_add(1, SeqCst);
        let mut passes = self.0.0.lock().expect("no one panics here");
        while *passes == 0 {
            passes = self.0.1.wait(passes).expect("no one panics here");
        }
        *passes -= 1;
    }
}

/// A [`CountingEnv`] that waits at the gate before it takes the action [`HOLD`] or the seed [`HOLD`],
/// and before it renders.
pub(crate) struct Gated {
    pub(crate) env: CountingEnv,
    pub(crate) gate: Gate,
}

impl Env for Gated {
    type ObservationSpace = BoxSpace<f64, [f64; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<[f64; 4]>, EnvError> {
        if seed == Some(HOLD as u64) {
            self.gate.pass();
        }
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f64; 4]>, EnvError> {
        if action == HOLD {
            self.gate.pass();
        }
        self.env.step(action)
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        self.gate.pass();
        self.env.render()
    }

    fn metadata(&self) -> Metadata {
        self.env.metadata()
    }
}

/// The ways to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Fail,
    Panic,
}

impl Deed {
    pub(crate) fn happen(self) -> EnvError {
        match self {
            Self::Fail => EnvFailure::new("ValueError", WORDS).into(),
            Self::Panic => panic!("{WORDS}"),
        }
    }

    /// The class under which the agent receives the error.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Fail => "ValueError",
            Self::Panic => "panic",
        }
    }
}

/// A [`CountingEnv`] that fails at the seed [`HOLD`], the action [`HOLD`], at every other render and at every close.
pub(crate) struct Trouble {
    pub(crate) env: CountingEnv,
    pub(crate) deed: Deed,
    pub(crate) renders: usize,
}

impl Env for Trouble {
    type ObservationSpace = BoxSpace<f64, [f64; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<[f64; 4]>, EnvError> {
        if seed == Some(HOLD as u64) {
            return Err(self.deed.happen());
        }
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f64; 4]>, EnvError> {
        if action == HOLD {
            return Err(self.deed.happen());
        }
        self.env.step(action)
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        self.renders += 1;
        if self.renders % 2 == 1 {
            return Err(self.deed.happen());
        }
        self.env.render()
    }

    fn metadata(&self) -> Metadata {
        self.env.metadata()
    }

    fn close(&mut self) -> Result<(), EnvError> {
        Err(self.deed.happen())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// An environment with its process's id as first observation, and with a third step that ends the process.
pub(crate) struct Mortal {
    steps: i64,
    space: Discrete,
}

impl Default for Mortal {
    fn default() -> Self {
        Self { steps: 0, space: Discrete::new(1 << 32) }
    }
}

impl Env for Mortal {
    type ObservationSpace = Discrete;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Discrete {
        &self.space
    }

    fn action_space(&self) -> &Discrete {
        &self.space
    }

    fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> {
        self.steps = 0;
        Ok(ResetResult { observation: std::process::id().into(), info: Map::new() })
    }

    #[allow(clippy::print_stderr)]
    fn step(&mut self, _: i64) -> Result<StepResult<i64>, EnvError> {
        self.steps += 1;
        if self.steps == 3 {
            eprintln!("no more coins");
            std::process::exit(7);
        }
        let (observation, info) = (self.steps, Map::new());
        Ok(StepResult { observation, reward: 1.0, terminated: false, truncated: false, info })
    }
}

/// An environment of one space for observations and actions, with a step that is a function of the action.
pub(crate) struct Stepping<F>(pub(crate) Discrete, pub(crate) F);

impl<F: FnMut(i64) -> Result<StepResult<i64>, EnvError>> Env for Stepping<F> {
    type ObservationSpace = Discrete;
    type ActionSpace = Discrete;
    fn observation_space(&self) -> &Discrete {
        &self.0
    }
    fn action_space(&self) -> &Discrete {
        &self.0
    }
    fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> {
        Ok(ResetResult { observation: 0, info: Map::new() })
    }
    fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> {
        self.1(action)
    }
}
