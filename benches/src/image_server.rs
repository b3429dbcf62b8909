//! Hosts environments that cost nothing but the memory of their images, for `vector.py`, until its input ends.
//!
//! ```text
//! image_server ADDRESS
//! ```
#![allow(clippy::print_stdout)] // a program that prints

use std::io::{Read, stdin};

use rlay::{EnvError, ServerBackend, wire::Make};
use rlay_testkit::ImageEnv;

fn main() -> Result<(), EnvError> {
    let address = std::env::args().nth(1).ok_or("usage: image_server ADDRESS")?;
    let make = |_: &Make| Ok(ImageEnv::new([84, 84, 4]));
    let backend = ServerBackend::bind(make, &address, rlay::host_options())?;
    backend.start()?;
    println!("listening at {}", backend.address());
    stdin().read_to_end(&mut Vec::new())?;
    backend.close();
    Ok(())
}
