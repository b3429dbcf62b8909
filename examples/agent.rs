//! An agent: balances the pole of whatever CartPole it is connected to.
//!
//! ```text
//! cargo run --release --example agent -- --connect tcp://127.0.0.1:5005
//! cargo run --release --example agent -- --listen tcp://127.0.0.1:5005
//! ```
//!
//! The first dials a `ServerBackend`, the second waits for a game or a `ClientBackend` that dials.
//! `--steps 100000` sets for how long.

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use rlay::{BoxSpace, ClientEnv, Discrete, Env, EnvError, ServerEnv, Value};

mod arguments;

fn main() -> Result<(), EnvError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init(); // what RLay logs
    let steps: u64 = arguments::value("--steps").map_or(Ok(100_000), |steps| steps.parse())?;
    let options = rlay::agent_options().connect_timeout(Duration::from_secs(60));
    let env = if let Some(address) = arguments::value("--connect") {
        ClientEnv::connect(&address, options)?
    } else if let Some(address) = arguments::value("--listen") {
        let server = ServerEnv::bind(&address, options)?;
        println!("listening at {}", server.address());
        server.accept()?
    } else {
        return Err("usage: agent (--connect ADDRESS | --listen ADDRESS) [--steps N]".into());
    };
    // From here on, plain Rust types; an environment with other spaces is refused.
    let mut env = env.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;

    let (mut episodes, mut finished, mut current) = (0_u64, 0.0, 0.0);
    let mut pole = env.reset(Some(0), &Value::None)?.observation;
    let started = Instant::now();
    for _ in 0..steps {
        let result = env.step(push(&pole))?;
        pole = result.observation;
        current += result.reward;
        if result.terminated || result.truncated {
            episodes += 1;
            finished += std::mem::take(&mut current);
            pole = env.reset(None, &Value::None)?.observation;
        }
    }
    let speed = steps as f64 / started.elapsed().as_secs_f64();
    let mean = if episodes == 0 { current } else { finished / episodes as f64 };
    println!("{episodes} episodes, mean return {mean:.1}, {speed:.0} steps/s");
    env.close()
}

/// Pushes to the side to which the pole is going to fall, and a bit against the drift of the cart.
fn push([x, x_dot, theta, theta_dot]: &[f32; 4]) -> i64 {
    i64::from(theta + 0.3 * theta_dot + 0.02 * x + 0.04 * x_dot > 0.0)
}
