//! A program for the tests of what foreign peers leave behind: connects and sends nothing.
//!
//! ```text
//! silent_client ADDRESS COUNT
//! ```
//!
//! The program connects so often, half the time leaving with a goodbye, and prints the resources that it held before
//! and after the last 9 in 10 of these connections. Then it connects once more and stays until its input ends.
#![allow(clippy::print_stdout, missing_docs)] // a program that prints

use std::{
    fs,
    time::{Duration, Instant},
};

use rlay::{Address, EnvError};

fn main() -> Result<(), EnvError> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, count] = &words[..] else { return Err("usage: see the source".into()) };
    let (address, count): (Address, usize) = (address.parse()?, count.parse()?);
    let options = rlay::connection_options();
    let transport = options.registry().find(&address)?;
    let connect = || {
        let deadline = Some(Instant::now() + Duration::from_secs(20));
        transport.connect_blocking(&address, &rlay::TransportOptions::default(), deadline)
    };
    let mut before = [0; 3];
    for i in 0..count {
        if i == count / 10 {
            before = held()?;
        }
        let mut channel = connect()?;
        if i % 2 == 0 {
            // A listener that has given up this connection has closed it already.
            let _ = channel.close(Some(Instant::now() + Duration::from_secs(20)));
        }
    }
    if count > 0 {
        // The last threads may still be about to end.
        let mut after = held()?;
        for _ in 0..20 {
            if after[0] > before[0] || after[1] > before[1] {
                after = held()?;
            }
        }
        println!("held [{before:?}, {after:?}]");
    }
    let _silent = connect()?;
    println!("connected");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// Descriptors, threads and mappings of this process.
fn held() -> Result<[usize; 3], EnvError> {
    std::thread::sleep(Duration::from_millis(500));
    let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).map(Iterator::count);
    Ok([count("fd")?, count("task")?, fs::read_to_string("/proc/self/maps")?.lines().count()])
}
