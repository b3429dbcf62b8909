//! Hosts CartPoles that one simulator steps at once, as many as an agent asks for.
//!
//! ```text
//! cargo run --release --example vector_server -- --listen tcp://127.0.0.1:5005
//! ```
//!
//! In Python `rlay.ClientVectorEnv("tcp://127.0.0.1:5005", num_envs=64)` is their agent. The server runs until Ctrl-C or,
//! with `--until-stdin-closes`, until its parent closes its standard input.

#![allow(clippy::print_stdout)]

use std::{
    io::{Read, stdin},
    thread,
};

use rlay::{EnvError, ServerBackend, wire::Make};

mod arguments;
#[allow(dead_code)] // the single pole
mod cartpole;
mod cartpoles;

fn main() -> Result<(), EnvError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init(); // what RLay logs
    let address = arguments::value("--listen").ok_or("usage: vector_server --listen ADDRESS [--until-stdin-closes]")?;
    let factory = |make: &Make| Ok(cartpoles::CartPoles::new(make.slots.max(1) as usize));
    let backend = ServerBackend::bind_vector(factory, &address, rlay::host_options())?;
    println!("listening at {}", backend.address());

    let closing = backend.clone();
    ctrlc::set_handler(move || closing.close())?;
    if std::env::args().any(|argument| argument == "--until-stdin-closes") {
        let closing = backend.clone();
        thread::spawn(move || {
            let _ = stdin().read_to_end(&mut Vec::new());
            closing.close();
        });
    }
    Ok(backend.run()?)
}
