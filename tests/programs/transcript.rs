//! A program for the tests of every pairing: hosts an environment, or plays one and prints what it saw.
//!
//! ```text
//! transcript host NAME (--listen | --dial) ADDRESS [--handshake-timeout SECONDS]
//! transcript play (--connect | --listen) ADDRESS
//! transcript local NAME
//! ```
//!
//! What was seen is printed as the SHA-256 of a text that Python's side of the tests writes in the same way.
#![allow(clippy::print_stdout, missing_docs)] // a program that prints

use std::time::Duration;

use rlay::{Array, ClientBackend, ClientEnv, Env, EnvError, ServerBackend, ServerEnv, Space, Value, wire::Make};
use rlay_testkit::CountingEnv;

#[path = "../../examples/arguments/mod.rs"]
mod arguments;
#[path = "../../examples/cartpole/mod.rs"]
#[allow(dead_code)]
mod cartpole;
mod picture;
mod taxi;

/// How long a transcript is, and how long an episode may be.
const STEPS: usize = 150;
const EPISODE: usize = 40;

fn main() -> Result<(), EnvError> {
    let words: Vec<String> = std::env::args().skip(1).take(2).collect();
    match [words.first(), words.get(1)].map(|word| word.map(String::as_str)) {
        [Some("local"), Some("counting")] => print(&mut CountingEnv::new(None)),
        [Some("local"), Some("cartpole")] => print(&mut cartpole::CartPole::new(None)),
        [Some("local"), Some("taxi")] => print(&mut taxi::Taxi::default()),
        [Some("local"), Some("picture")] => print(&mut picture::Picture::new()),
        [Some("host"), Some("counting")] => host(|_| Ok(CountingEnv::new(None))),
        [Some("host"), Some("cartpole")] => host(|_| Ok(cartpole::CartPole::new(None))),
        [Some("host"), Some("taxi")] => host(|_| Ok(taxi::Taxi::default())),
        [Some("host"), Some("picture")] => host(|_| Ok(picture::Picture::new())),
        [Some("host"), Some("broken")] => host::<CountingEnv>(|_| panic!("there is no level 7; choose one below 7")),
        [Some("play"), _] => play(),
        _ => Err("usage: see the source".into()),
    }
}

fn host<E: Env + 'static>(make: impl Fn(&Make) -> Result<E, EnvError> + Send + Sync + 'static) -> Result<(), EnvError> {
    if let Some(address) = arguments::value("--dial") {
        println!("dialing {address}");
        return Ok(ClientBackend::new(make, &address, rlay::host_options())?.run()?);
    }
    let address = arguments::value("--listen").ok_or("where?")?;
    let mut options = rlay::host_options();
    if let Some(seconds) = arguments::value("--handshake-timeout") {
        options = options.handshake_timeout(Duration::from_secs(seconds.parse()?));
    }
    let backend = ServerBackend::bind(make, &address, options)?;
    println!("listening at {}", backend.address());
    Ok(backend.run()?)
}

fn play() -> Result<(), EnvError> {
    let options = rlay::agent_options().connect_timeout(Duration::from_secs(30));
    let mut env = if let Some(address) = arguments::value("--connect") {
        ClientEnv::connect(&address, options)?
    } else {
        let server = ServerEnv::bind(&arguments::value("--listen").ok_or("where?")?, options)?;
        println!("listening at {}", server.address());
        server.accept()?
    };
    print(&mut env)?;
    env.close()
}

/// Plays `env` and prints the fingerprint of everything it returned.
fn print<E: Env>(env: &mut E) -> Result<(), EnvError> {
    let mut text = String::new();
    let description = env.action_space().describe();
    let rlay::AnySpace::Discrete(actions) = &description else { return Err("the actions are not Discrete".into()) };
    let count = actions.n as i64;
    let action = |env: &E, i: usize| {
        let number = (i as i64 * 7 + 3) % count;
        // What Python's side returns: an int.
        env.action_space().from_value(&Value::Int(number))
    };
    let result = env.reset(Some(0), &Value::None)?;
    write(&mut text, &env.observation_space().to_value(&result.observation));
    write(&mut text, &Value::Dict(result.info));
    for i in 1..=STEPS {
        let result = env.step(action(env, i)?)?;
        write(&mut text, &env.observation_space().to_value(&result.observation));
        write(&mut text, &Value::Float(result.reward));
        write(&mut text, &Value::Bool(result.terminated));
        write(&mut text, &Value::Bool(result.truncated));
        write(&mut text, &Value::Dict(result.info));
        if result.terminated || result.truncated || i % EPISODE == 0 {
            let result = env.reset(Some(i as u64), &Value::None)?;
            write(&mut text, &env.observation_space().to_value(&result.observation));
            write(&mut text, &Value::Dict(result.info));
        }
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    println!("transcript {} {}", text.len(), hex(digest.as_ref()));
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    // Formatting each byte took most of the tests' time.
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

/// Writes a value so that no two values of different type or content look the same.
fn write(out: &mut String, value: &Value) {
    let array = |sign: &str, x: &Array| format!("{sign}{}{:?}:{};", x.dtype.name(), x.shape, hex(&x.data));
    match value {
        Value::None => out.push_str("n;"),
        Value::Bool(x) => out.push_str(if *x { "b1;" } else { "b0;" }),
        Value::Int(x) => out.push_str(&format!("i{x};")),
        // Little-endian two's complement, as short as can be.
        Value::BigInt(x) => out.push_str(&format!("I{};", hex(x))),
        Value::Float(x) => out.push_str(&format!("f{:016x};", x.to_bits())),
        Value::Str(x) => out.push_str(&format!("s{};", hex(x.as_bytes()))),
        Value::Bytes(x) => out.push_str(&format!("y{};", hex(x))),
        Value::List(items) => {
            out.push('[');
            items.iter().for_each(|item| write(out, item));
            out.push(']');
        }
        Value::Tuple(items) => {
            out.push('(');
            items.iter().for_each(|item| write(out, item));
            out.push(')');
        }
        Value::Dict(map) => {
            out.push('{');
            map.0.iter().for_each(|(key, item)| {
                write(out, key);
                write(out, item);
            });
            out.push('}');
        }
        Value::Array(x) => out.push_str(&array("a", x)),
        Value::Scalar(x) => out.push_str(&array("z", x)),
        other => out.push_str(&format!("{other:?};")),
    }
}
