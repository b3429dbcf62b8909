//! The game that clients in every language host, in Rust: sdk/tests/GAME.md says what it does.
//!
//! ```text
//! game (--dial | --listen) ADDRESS [--sessions COUNT]
//! ```
#![allow(clippy::print_stdout, missing_docs)] // a program that prints

use std::{thread, time::Duration};

use rlay::{
    Action, AnySpace, ClientBackend, Env, EnvError, EnvFailure, Map, Metadata, Observation, Offers, ResetResult,
    ServerBackend, StepResult, Value, wire::Make,
};

#[path = "../../../examples/arguments/mod.rs"]
mod arguments;
mod drift;
mod echo;

use drift::Drift;
use echo::Echo;

/// The environment that an agent asks for. Both have spaces that are known when the program runs.
enum Game {
    Drift(Box<Drift>),
    Echo(Echo),
}

impl Env for Game {
    type ObservationSpace = AnySpace;
    type ActionSpace = AnySpace;

    fn observation_space(&self) -> &AnySpace {
        match self {
            Self::Drift(env) => &env.observations,
            Self::Echo(env) => &env.space,
        }
    }

    fn action_space(&self) -> &AnySpace {
        match self {
            Self::Drift(env) => &env.actions,
            Self::Echo(env) => &env.space,
        }
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Observation<Self>>, EnvError> {
        let observation = match self {
            Self::Drift(env) => env.reset(seed),
            Self::Echo(env) => echo::zero(&env.space),
        };
        if let (Self::Drift(_), Some(seconds)) = (&self, options.get("sleep").and_then(Value::as_f64)) {
            thread::sleep(Duration::from_secs_f64(seconds));
        }
        let info = [("seeded", seed.is_some().into()), ("options", options.clone())].into();
        Ok(ResetResult { observation, info })
    }

    fn step(&mut self, action: Action<Self>) -> Result<StepResult<Observation<Self>>, EnvError> {
        match self {
            Self::Drift(env) => env.step(&action),
            Self::Echo(_) => Ok(StepResult {
                observation: action,
                reward: 0.5,
                terminated: false,
                truncated: false,
                info: Map::new(),
            }),
        }
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        match self {
            Self::Drift(env) => Ok(env.render()),
            Self::Echo(_) => Ok(Value::None),
        }
    }

    fn metadata(&self) -> Metadata {
        match self {
            Self::Drift(_) => drift::metadata(),
            Self::Echo(_) => Metadata::default(),
        }
    }
}

fn make(wanted: &Make) -> Result<Game, EnvError> {
    let fail = |class: &str, message: String| Err(EnvFailure::new(class, message).into());
    match (wanted.env_id.as_deref(), wanted.render_mode.as_deref()) {
        (None | Some("Drift"), mode @ (None | Some("rgb_array" | "ansi"))) => {
            Ok(Game::Drift(Box::new(Drift::new(mode))))
        }
        (None | Some("Drift"), Some(mode)) => fail("ValueError", format!("there is no render mode {mode}")),
        _ => {
            let case = wanted.kwargs.get("case").and_then(Value::as_i64);
            let space = case.and_then(|case| echo::cases().into_iter().nth(usize::try_from(case).ok()?));
            match space {
                Some(space) => Ok(Game::Echo(Echo { space })),
                None => fail("ValueError", "an Echo needs a case, from 0 to 17".into()),
            }
        }
    }
}

fn main() -> Result<(), EnvError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let offers =
        Offers { env_ids: vec!["Drift".into(), "Echo".into()], kwargs: vec!["case".into()], ..Offers::default() };
    let sessions = arguments::value("--sessions").map_or(Ok(1), |count| count.parse())?;
    let options = rlay::host_options().max_sessions(sessions).offers(offers);
    if let Some(address) = arguments::value("--dial") {
        return Ok(ClientBackend::new(make, &address, options)?.run()?);
    }
    let backend = ServerBackend::bind(make, &arguments::value("--listen").ok_or("where?")?, options)?;
    // Before it says where: an agent that comes at once is told that the host is busy.
    backend.start()?;
    println!("listening at {}", backend.address());
    loop {
        thread::park();
    }
}
