//! `steps`: how fast a step is, beside a raw ping-pong that moves the same bytes.
//!
//! Every row of the table is measured in one run: in each round the raw ping-pong, a Rust agent and
//! a Python agent take the same number of steps one after the other, each between two processes.
//! Everything is measured twice: env and agent each on a core of its own (2), and both on one (1).
//! Printed are medians over the rounds, and the median of the ratios within each round.
//!
//! Below the table a Python agent steps a CartPole: Python's own in its process, and the Rust one of the
//! examples over each transport.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it is a program that prints

#[path = "../../examples/cartpole/mod.rs"]
mod cartpole;
mod certificate;
mod frames;
mod party;
mod raw;
mod raw_quic;
mod raw_shm;
mod raw_ws;
mod raw_zmq;
mod rlay_side;

use std::{env, path::PathBuf};

use party::Party;

/// Observations: name, shape, steps per round.
const SIZES: [(&str, &[u64], u64); 3] =
    [("16 B", &[16], 500), ("28 KB", &[84, 84, 4], 500), ("6 MB", &[1080, 1920, 3], 20)];
/// Many short rounds: a machine that pauses now and then spoils a few of them, not the median.
const ROUNDS: usize = 41;
const SCHEMES: [&str; 8] = ["tcp", "unix", "zmq", "zmq+ipc", "tls", "quic", "shm", "ws"];
/// Those where sessions with a token are measured, too.
const AUTHENTICATED: [&str; 2] = ["tcp", "tls"];
/// Steps of CartPole per round.
const CARTPOLE: u64 = 500;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts[..] {
        ["raw-env", address, len] => {
            let len = len.parse().expect("a number");
            match scheme(address) {
                "zmq" | "zmq+ipc" => raw_zmq::serve(address, len),
                "quic" => raw_quic::serve(len),
                "shm" => raw_shm::serve(address, len),
                "ws" => raw_ws::serve(len),
                _ => raw::serve(address, len),
            }
        }
        ["raw-agent", address, len] => {
            let len = len.parse().expect("a number");
            match scheme(address) {
                "zmq" | "zmq+ipc" => raw_zmq::ping(address, len),
                "quic" => raw_quic::ping(address, len),
                "shm" => raw_shm::ping(address, len),
                "ws" => raw_ws::ping(address, len),
                _ => raw::ping(address, len),
            }
        }
        ["rlay-env", address, shape, token] => rlay_side::serve(address, shape, token),
        ["rlay-agent", address, token] => rlay_side::step(address, token),
        ["cartpole-env", address] => rlay_side::serve_cartpole(address),
        [] => {
            compare(&SCHEMES, &SIZES, "");
            compare(&AUTHENTICATED, &SIZES, "a token for the benchmark");
            compare_cartpoles();
        }
        ["cartpole"] => compare_cartpoles(),
        ["only", scheme, size] => {
            let sizes: Vec<_> = SIZES.into_iter().filter(|(name, ..)| name.starts_with(size)).collect();
            compare(&[scheme], &sizes, "");
        }
        _ => {
            eprintln!("usage: steps, or steps cartpole, or steps only SCHEME SIZE, such as: steps only tcp 28");
            std::process::exit(2);
        }
    }
}

fn scheme(address: &str) -> &str {
    address.split_once("://").expect("an address").0
}

fn compare(schemes: &[&str], sizes: &[(&str, &[u64], u64)], token: &str) {
    let what = if token.is_empty() { "steps per second" } else { "\nsteps per second with a token" };
    println!("{what}, medians of {ROUNDS} rounds; in brackets the ratio to the raw ping-pong of the same round");
    println!("{:<8} {:>6} {:>6} {:>12} {:>22} {:>22}", "", "", "cores", "raw", "Rust agent", "Python agent");
    for scheme in schemes {
        for (name, shape, steps) in sizes {
            for cores in [2, 1] {
                let rates = measure(scheme, shape, *steps, cores, token);
                let ratio = |i: usize| median(rates.iter().map(|round| round[i] / round[0]).collect());
                let rate = |i: usize| median(rates.iter().map(|round| round[i]).collect());
                println!(
                    "{scheme:<8} {name:>6} {cores:>6} {:>12.0} {:>14.0} ({:.2}) {:>14.0} ({:.2})",
                    rate(0),
                    rate(1),
                    ratio(1),
                    rate(2),
                    ratio(2)
                );
            }
        }
    }
}

/// Steps per second of raw ping-pong, Rust agent and Python agent, for each round.
fn measure(scheme: &str, shape: &[u64], steps: u64, cores: usize, token: &str) -> Vec<[f64; 3]> {
    let (env, agent) = (0, cores - 1);
    let len: u64 = shape.iter().product();
    let text = shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x");
    let raw_env = Party::this(env, &["raw-env", &party::fresh(scheme, "raw"), &len.to_string()]);
    // One session each: over zmq and quic those of one listener share a runtime, and its only socket.
    let rlay_env = |agent| Party::this(env, &["rlay-env", &party::fresh(scheme, agent), &text, token]);
    let (for_rust, for_python) = (rlay_env("rust"), rlay_env("python"));
    let mut agents = [
        Party::this(agent, &["raw-agent", &raw_env.address, &len.to_string()]),
        Party::this(agent, &["rlay-agent", &for_rust.address, token]),
        Party::python(agent, &script("agent.py"), &[&for_python.address, token]),
    ];
    rounds(&mut agents, steps)
}

/// Steps per second of each agent, in turn, for each round.
fn rounds<const N: usize>(agents: &mut [Party; N], steps: u64) -> Vec<[f64; N]> {
    for agent in &mut *agents {
        agent.run(steps * 2); // warm
    }
    (0..ROUNDS).map(|_| agents.each_mut().map(|agent| steps as f64 / agent.run(steps))).collect()
}

/// Each in turn beside Python's own, as above.
fn compare_cartpoles() {
    println!("\nCartPole, steps per second of a Python agent; in brackets the ratio to Python's own in the same round");
    println!("{:<8} {:>6} {:>12} {:>22}", "", "cores", "Python's own", "Rust's");
    for scheme in SCHEMES {
        for cores in [2, 1] {
            let env = Party::this(0, &["cartpole-env", &party::fresh(scheme, "cartpole")]);
            let script = script("cartpole.py");
            let mut agents =
                [Party::python(cores - 1, &script, &[]), Party::python(cores - 1, &script, &[&env.address])];
            let rates = rounds(&mut agents, CARTPOLE);
            let rate = |i: usize| median(rates.iter().map(|round| round[i]).collect());
            let ratio = median(rates.iter().map(|[local, remote]| remote / local).collect());
            println!("{scheme:<8} {cores:>6} {:>12.0} {:>14.0} ({ratio:.2})", rate(0), rate(1));
        }
    }
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}
