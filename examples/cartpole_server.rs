//! Hosts CartPole for agents in other processes and languages.
//!
//! ```text
//! cargo run --release --example cartpole_server -- --listen tcp://127.0.0.1:0
//! cargo run --release --example cartpole_server -- --dial tcp://127.0.0.1:5005
//! ```
//!
//! The first waits for agents (`ClientEnv`), the second dials one that listens (`ServerEnv`), with another environment
//! for each that the agent takes, up to `--max-sessions`. Many environments of one agent step on `--threads` threads.
//! The server runs until Ctrl-C or, with `--until-stdin-closes`,
//! until its parent closes its standard input; then it closes its agents' sessions, and prints how many steps it
//! served. Every reset tells the agent the same number as `info["total_steps"]`.

#![allow(clippy::print_stdout)]

use std::{
    io::{Read, stdin},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use rlay::{
    ClientBackend, Discrete, Env, EnvError, Metadata, Observation, ResetResult, ServerBackend, StepResult, Value,
    wire::Make,
};

mod arguments;
mod cartpole;

use cartpole::CartPole;

/// Steps of all sessions together.
static TOTAL: AtomicU64 = AtomicU64::new(0);

/// A CartPole that counts its steps, here and in [`TOTAL`].
struct Counted {
    env: CartPole,
    steps: u64,
}

impl Env for Counted {
    type ObservationSpace = <CartPole as Env>::ObservationSpace;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Observation<CartPole>>, EnvError> {
        let mut result = self.env.reset(seed, options)?;
        result.info.insert("total_steps", TOTAL.load(Relaxed));
        Ok(result)
    }

    fn step(&mut self, action: i64) -> Result<StepResult<Observation<CartPole>>, EnvError> {
        self.steps += 1;
        TOTAL.fetch_add(1, Relaxed);
        self.env.step(action)
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        self.env.render()
    }

    fn metadata(&self) -> Metadata {
        self.env.metadata()
    }

    fn close(&mut self) -> Result<(), EnvError> {
        println!("a session ended after {} steps", self.steps);
        Ok(())
    }
}

fn main() -> Result<(), EnvError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init(); // what RLay logs
    let mut options = rlay::host_options();
    if let Some(sessions) = arguments::value("--max-sessions") {
        options = options.max_sessions(sessions.parse()?);
    }
    if let Some(threads) = arguments::value("--threads") {
        options = options.threads(threads.parse()?);
    }
    let factory = |make: &Make| Ok(Counted { env: CartPole::new(make.render_mode.as_deref()), steps: 0 });
    let served = if let Some(address) = arguments::value("--listen") {
        let backend = ServerBackend::bind(factory, &address, options)?;
        println!("listening at {}", backend.address());
        let closing = backend.clone();
        run_until_told(|| backend.run(), move || closing.close())?
    } else if let Some(address) = arguments::value("--dial") {
        let backend = ClientBackend::new(factory, &address, options)?;
        println!("dialing {address}");
        let closing = backend.clone();
        run_until_told(|| backend.run(), move || closing.close())?
    } else {
        return Err("usage: cartpole_server (--listen | --dial) ADDRESS [--max-sessions N] [--threads N] \
             [--until-stdin-closes]"
            .into());
    };
    println!("served {} steps", TOTAL.load(Relaxed));
    Ok(served?)
}

/// Runs `run`, which `close` ends: on Ctrl-C and, if the command line says so, when standard input ends.
fn run_until_told(
    run: impl FnOnce() -> rlay::Result<()>,
    close: impl Fn() + Clone + Send + 'static,
) -> Result<rlay::Result<()>, ctrlc::Error> {
    ctrlc::set_handler(close.clone())?;
    if std::env::args().any(|argument| argument == "--until-stdin-closes") {
        thread::spawn(move || {
            let _ = stdin().read_to_end(&mut Vec::new());
            close();
        });
    }
    // `run` returns once the agents were told.
    Ok(run())
}
