//! Serves a policy: every CartPole that dials in is played, episode after episode.
//!
//! ```text
//! cargo run --release --example policy_server -- --listen tcp://127.0.0.1:5005
//! cargo run --release --example cartpole_server -- --dial tcp://127.0.0.1:5005 --max-sessions 1
//! ```
//!
//! It runs until Ctrl-C; then it says goodbye to its environments.

#![allow(clippy::print_stdout)]

use rlay::{BoxSpace, Discrete, EnvError, PolicyServer};

mod arguments;

fn main() -> Result<(), EnvError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init(); // what RLay logs
    let address = arguments::value("--listen").ok_or("usage: policy_server --listen ADDRESS")?;
    let server = PolicyServer::bind(&address, rlay::agent_options())?;
    println!("listening at {}", server.address());
    let closing = server.clone();
    ctrlc::set_handler(move || closing.close())?;
    // Each environment gets a policy of its own; this one remembers nothing.
    server.run::<BoxSpace<f32, [f32; 4]>, Discrete, _>(|| {
        |[x, x_dot, theta, theta_dot]: &[f32; 4]| i64::from(theta + 0.3 * theta_dot + 0.02 * x + 0.04 * x_dot > 0.0)
    })?;
    Ok(())
}
