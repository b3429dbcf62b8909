//! Environments that take their time: a step sleeps for 1 ms, and a reset, after every 200 steps, for 200 ms. For
//! `first_ready.py`.
//!
//! ```text
//! slow_server serve ADDRESS THREADS     one host, until its input ends
//! slow_server dial ADDRESS GAMES        as many games, each in a session of its own
//! slow_server alone GAMES SECONDS       as many threads without RLay: prints steps per second
//! ```
#![allow(clippy::print_stdout)] // a program that prints

use std::{
    env,
    io::{Read, stdin},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rlay::{BoxSpace, ClientBackend, Discrete, Env, EnvError, Map, ResetResult, ServerBackend, StepResult, Value};

const STEP: Duration = Duration::from_millis(1);
const RESET: Duration = Duration::from_millis(200);
const EPISODE: u64 = 200;

struct Slow {
    observation_space: BoxSpace<f32, [f32; 4]>,
    action_space: Discrete,
    steps: u64,
}

impl Slow {
    fn new() -> Self {
        let observation_space = BoxSpace::<f32, [f32; 4]>::new([4], 0.0, 1e6);
        Self { observation_space, action_space: Discrete::new(2), steps: 0 }
    }
}

impl Env for Slow {
    type ObservationSpace = BoxSpace<f32, [f32; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        &self.observation_space
    }

    fn action_space(&self) -> &Discrete {
        &self.action_space
    }

    /// The first episode is shorter by the seed, so that not all end at once.
    fn reset(&mut self, seed: Option<u64>, _: &Value) -> Result<ResetResult<[f32; 4]>, EnvError> {
        thread::sleep(RESET);
        self.steps = 6 * seed.unwrap_or_default() % EPISODE;
        Ok(ResetResult { observation: [0.0; 4], info: Map::new() })
    }

    fn step(&mut self, _: i64) -> Result<StepResult<[f32; 4]>, EnvError> {
        thread::sleep(STEP);
        self.steps += 1;
        let terminated = self.steps == EPISODE;
        let observation = [self.steps as f32; 4];
        Ok(StepResult { observation, reward: 1.0, terminated, truncated: false, info: Map::new() })
    }
}

fn main() -> Result<(), EnvError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts[..] {
        ["serve", address, threads] => {
            let options = rlay::host_options().threads(threads.parse()?);
            let backend = ServerBackend::bind(|_| Ok(Slow::new()), address, options)?;
            backend.start()?;
            println!("listening at {}", backend.address());
            stdin().read_to_end(&mut Vec::new())?;
            backend.close();
        }
        ["dial", address, games] => {
            let options = rlay::host_options().max_sessions(1);
            let dial = |_| {
                let backend = ClientBackend::new(|_| Ok(Slow::new()), address, options.clone())?;
                backend.start()?;
                Ok(backend)
            };
            let games = (0..games.parse::<u32>()?).map(dial).collect::<Result<Vec<_>, EnvError>>()?;
            stdin().read_to_end(&mut Vec::new())?;
            games.iter().for_each(ClientBackend::close);
        }
        ["alone", games, seconds] => println!("{}", alone(games.parse()?, Duration::from_secs(seconds.parse()?))),
        _ => return Err("usage: slow_server serve ADDRESS THREADS | dial ADDRESS GAMES | alone GAMES SECONDS".into()),
    }
    Ok(())
}

/// Steps per second, counted as an agent counts its rows: a reset is one, too.
fn alone(games: u32, time: Duration) -> f64 {
    let (rows, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..games {
            scope.spawn(|| {
                let mut game = Slow::new();
                while !is_over.load(Relaxed) {
                    let is_due = game.steps.is_multiple_of(EPISODE);
                    let played = if is_due { game.reset(None, &Value::None).is_ok() } else { true };
                    let stepped = game.step(0).is_ok();
                    rows.fetch_add(u64::from(is_due && played) + u64::from(stepped), Relaxed);
                    if game.steps == EPISODE {
                        game.steps = 0;
                    }
                }
            });
        }
        thread::sleep(time);
        let rate = rows.load(Relaxed) as f64 / began.elapsed().as_secs_f64();
        is_over.store(true, Relaxed);
        rate
    })
}
