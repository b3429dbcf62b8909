//! What `make fuzz` tests without a time limit, for a moment: seeds, golden vectors, their beginnings and mutants of
//! them, the same at every run.
//!
//! `RLAY_WRITE_CORPUS=1 cargo test -p rlay-testkit --test fuzz` writes the vectors to where `make fuzz` begins.

use std::{
    env, fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use rlay_core::{
    Rng,
    wire::{Header, Kind, Writer, payload_head},
};
use rlay_testkit::fuzz::{TARGETS, Target};

/// How many mutants there are of each input; the first mutant that fails is printed.
const MUTANTS: u64 = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The committed inputs of a target.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = root().join("fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
        .map(|entry| entry.expect("a directory that can be read").path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into(), fs::read(&path).unwrap()))
        .collect();
    seeds.sort(); // no two systems list them in the same order
    seeds
}

/// The golden vectors as inputs: frames as they are, streams behind a frame limit, anything else in a frame around it.
fn vectors(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut inputs = vec![];
    for file in ["values", "spaces", "payloads", "frames", "streams", "negative"] {
        let text = fs::read_to_string(root().join("docs/vectors").join(file).with_extension("json")).unwrap();
        let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        for vector in vectors {
            let [name, what, hex] = ["name", "what", "hex"].map(|field| vector[field].as_str().unwrap());
            let bytes: Vec<u8> =
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
            let input = match (target, what) {
                ("messages", "frame") => bytes,
                ("messages", "value") => around(Kind::Make, &bytes),
                ("messages", "space") => around(Kind::Spec, &bytes),
                ("messages", "payload") => around(Kind::Step, &bytes),
                ("frames", "stream") => [&[0xff, 0xff, 2, 3, 90], &bytes[..]].concat(),
                _ => continue,
            };
            inputs.push((name.replace('/', "-"), input));
        }
    }
    inputs
}

/// A frame of this kind that holds `bytes`.
fn around(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    Header { kind, seq: 1, ack: 0, re: 0 }.begin(&mut out);
    let w = &mut Writer(&mut out);
    match kind {
        Kind::Make => w.0.extend([&[0], bytes, &[0]].concat()),
        Kind::Spec => {
            w.str("");
            w.0.extend([bytes, bytes].concat());
            w.put((1u32, 0u8, 0u32, 0u32));
        }
        _ => {
            w.list(&[0u32], |w, slot| w.put(*slot));
            payload_head(&mut out, true, bytes.len());
            out.extend(bytes);
        }
    }
    out
}

/// `bytes`, changed in one to four ways, mostly at numbers and ends, which find most faults.
fn mutant(bytes: &[u8], donor: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(out.len() as u64 + 1) as usize;
        let room = out.len() - at;
        match rng.below(7) {
            0 if room > 0 => out[at] ^= 1 << rng.below(8),
            1 if room > 0 => out[at] = rng.below(256) as u8,
            2 if room >= 8 => {
                let number = [0, 1, 1 << 20, 1 << 31, 1 << 32, 1 << 40, 1 << 61, u64::MAX][rng.below(8) as usize];
                out[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
            3 => out.truncate(at),
            4 => out.insert(at, rng.below(256) as u8),
            5 if room > 0 => drop(out.remove(at)),
            _ => {
                let from = rng.below(donor.len() as u64 + 1) as usize;
                let until = from + rng.below((donor.len() - from) as u64 + 1) as usize;
                drop(out.splice(at..at, donor[from..until].iter().copied()));
            }
        }
    }
    out
}

/// Tests `input`; if that fails, the bytes are printed, to become a seed.
fn attempt(target: Target, name: &str, input: &[u8]) {
    if catch_unwind(|| target(input)).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{name} failed: {hex}");
    }
}

fn smoke(name: &str) {
    let (_, target) = *TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    let inputs = [seeds(name), vectors(name)].concat();
    let mut rng = Rng::seeded(1);
    for (input, bytes) in &inputs {
        attempt(target, input, bytes);
        (0..bytes.len().min(500)).for_each(|len| attempt(target, &format!("{input}, cut at {len}"), &bytes[..len]));
        for i in 0..MUTANTS {
            let donor = &inputs[rng.below(inputs.len() as u64) as usize].1;
            attempt(target, &format!("mutant {i} of {input}"), &mutant(bytes, donor, &mut rng));
        }
    }
}

#[test]
fn addresses() {
    smoke("addresses");
}

#[test]
fn frames() {
    smoke("frames");
}

#[test]
fn messages() {
    smoke("messages");
}

#[test]
fn sessions() {
    smoke("sessions");
}

#[test]
fn the_corpus_is_written_if_that_is_asked_for() {
    if env::var_os("RLAY_WRITE_CORPUS").is_none() {
        return;
    }
    for (target, _) in TARGETS {
        let directory = root().join("fuzz/corpus").join(target);
        fs::create_dir_all(&directory).unwrap();
        for (name, bytes) in vectors(target) {
            fs::write(directory.join(name), bytes).unwrap();
        }
    }
}
