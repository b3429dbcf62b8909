//! An engine with a loop of its own: sixty frames a second, whether an agent is there or not.
//!
//! ```text
//! cargo run --release --example agent -- --listen tcp://127.0.0.1:5005 --steps 1000
//! cargo run --release --example engine -- --dial tcp://127.0.0.1:5005
//! ```
//!
//! Once per frame the engine asks whether the agent wants something, which never blocks, and draws.
//! It ends when the agent leaves, and on Ctrl-C.

#![allow(clippy::print_stdout)]

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rlay::{Env, EnvError, EnvFailure, PolledEnv, Turn};

mod arguments;
mod cartpole;

const FRAME: Duration = Duration::from_micros(16_667);

static IS_OVER: AtomicBool = AtomicBool::new(false);

fn main() -> Result<(), EnvError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init(); // what RLay logs
    let address = arguments::value("--dial").ok_or("usage: engine --dial ADDRESS")?;
    let mut world = cartpole::CartPole::new(Some("ansi"));
    let (observations, actions) = (world.observation_space().clone(), world.action_space().clone());
    let mut agent = PolledEnv::new(observations, actions, &world.metadata(), &address, rlay::host_options())?;

    ctrlc::set_handler(|| IS_OVER.store(true, Relaxed))?;
    let (mut frames, mut frames_since_turn) = (0_u64, 0_u64);
    while !IS_OVER.load(Relaxed) {
        let next_frame = Instant::now() + FRAME;
        match agent.turn(Duration::ZERO)? {
            None => frames_since_turn += 1,
            Some(turn) => {
                match turn {
                    Turn::Reset { seed, options } => match world.reset(seed, &options) {
                        Ok(result) => {
                            println!("an episode begins; {frames_since_turn} frames were drawn meanwhile");
                            agent.reply_reset(&result)?;
                        }
                        Err(error) => agent.reply_error(EnvFailure::from(error))?,
                    },
                    Turn::Step(action) => match world.step(action) {
                        Ok(result) => agent.reply(&result)?,
                        Err(error) => agent.reply_error(EnvFailure::from(error))?,
                    },
                    Turn::Render => agent.reply_frame(world.render()?)?,
                    Turn::Attribute { .. } => {} // none is offered
                    Turn::Close(reason) => {
                        println!("{frames} frames; {reason}");
                        return Ok(());
                    }
                }
                frames_since_turn = 0;
            }
        }
        frames += 1; // here an engine draws
        thread::sleep(next_frame.saturating_duration_since(Instant::now()));
    }
    agent.close(); // sends Goodbye
    println!("{frames} frames");
    Ok(())
}
