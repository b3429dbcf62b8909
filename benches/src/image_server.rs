//! Hosts environments that cost nothing but the memory of their images, for `vector.py`, until its input ends.
//!
//! ```text
//! image_server ADDRESS [--at-once]
//! ```
//!
//! With `--at-once` one simulator writes the images of all slots into the rows that go out.
#![allow(clippy::print_stdout)] // a program that prints

use std::io::{Read, stdin};

use rlay::{EnvError, ServerBackend, wire::Make};
use rlay_testkit::{ImageEnv, ImageEnvs};

const SHAPE: [u64; 3] = [84, 84, 4];

fn main() -> Result<(), EnvError> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: image_server ADDRESS [--at-once]")?;
    let backend = if arguments.next().is_some() {
        let make = |make: &Make| Ok(ImageEnvs::new(SHAPE, make.slots.max(1) as usize));
        ServerBackend::bind_vector(make, &address, rlay::host_options())?
    } else {
        ServerBackend::bind(|_: &Make| Ok(ImageEnv::new(SHAPE)), &address, rlay::host_options())?
    };
    backend.start()?;
    println!("listening at {}", backend.address());
    stdin().read_to_end(&mut Vec::new())?;
    backend.close();
    Ok(())
}
