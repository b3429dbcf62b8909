//! Hostile bytes: whatever arrives, nothing panics and nothing large is allocated. Mutates every golden vector.

#[path = "../common/mod.rs"]
mod common;

mod limits;

use std::fs;

use common::{FILES, Item, Vector, What, load};
use rlay_core::{
    AnySpace, Limits, Rng, Space, Token, Value,
    session::{AgentSession, ClientHandshake, EnvSession, Local, ServerHandshake},
    wire::{HEADER_LEN, Make, Role},
};

const MUTANTS: u64 = 300;

fn vectors() -> Vec<Vector> {
    FILES.iter().flat_map(|file| load(file)).collect()
}

/// Asks everything that can be asked of what was read; the answers do not matter.
fn exercise(item: &Item<'_>, original: &Vector) {
    let again = item.bytes();
    let read = original.read(&again, &Limits::default());
    assert!(read.is_ok(), "{}: what was written cannot be read: {:?}", original.name, read.err());
    assert_eq!(item.json(), read.unwrap().json(), "{}", original.name);
    match item {
        Item::Space(space) => ask(space, &Value::None),
        Item::Payload(space, values) => values.iter().for_each(|value| ask(space, value)),
        _ => {}
    }
}

fn ask(space: &AnySpace, value: &Value) {
    let _ = space.contains(value);
    let _ = space.from_value(value);
    let _ = space.pack(value, &mut Vec::new());
    if is_modest(space) {
        let sample = space.sample(&mut Rng::seeded(1));
        let _ = space.contains(&sample);
    }
}

/// Whether a sample of `space` is small: a peer may describe spaces with samples that fill any memory.
fn is_modest(space: &AnySpace) -> bool {
    match space {
        AnySpace::Box(space) => space.len() < 10_000,
        AnySpace::MultiBinary(space) => space.len() < 10_000,
        AnySpace::Discrete(_) | AnySpace::MultiDiscrete(_) => true,
        AnySpace::Text(space) => space.max_length < 10_000,
        AnySpace::Tuple(spaces) | AnySpace::OneOf(spaces) => spaces.iter().all(is_modest),
        AnySpace::Dict(spaces) => spaces.iter().all(|(_, space)| is_modest(space)),
        AnySpace::Sequence { space, .. } => is_modest(space),
        AnySpace::Graph { node, edge } => is_modest(node) && edge.as_deref().is_none_or(is_modest),
    }
}

/// `bytes`, mutated in one to three ways.
fn mutant(bytes: &[u8], donor: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(out.len() as u64 + 1) as usize;
        let room = out.len() - at;
        match rng.below(7) {
            0 if room > 0 => out[at] ^= 1 << rng.below(8),
            1 if room > 0 => out[at] = [0, 1, 2, 0x7f, 0x80, 0xff][rng.below(6) as usize],
            // Replaces a number: wrong lengths, counts and tags do the most harm.
            2 if room >= 8 => {
                let number = [0, 1, 1 << 20, 1 << 31, 1 << 32, 1 << 40, 1 << 61, u64::MAX][rng.below(8) as usize];
                out[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
            3 if room >= 4 => out[at..at + 4].copy_from_slice(&(rng.below(16) as u32).to_le_bytes()),
            4 => out.truncate(at),
            5 => out.insert(at, rng.below(256) as u8),
            _ => {
                let from = rng.below(donor.len() as u64 + 1) as usize;
                out.truncate(at);
                out.extend_from_slice(&donor[from..]);
            }
        }
    }
    out
}

#[test]
fn every_truncation_of_every_vector() {
    for vector in vectors() {
        let bytes = vector.bytes();
        for len in 0..bytes.len() {
            if let Ok(item) = vector.read(&bytes[..len], &Limits::default()) {
                // A stream may stop between two frames; nothing else that is legal may be shorter.
                assert!(vector.what == What::Stream || vector.why.is_some(), "{} cut at {len}", vector.name);
                exercise(&item, &vector);
            }
        }
    }
}

#[test]
fn mutants_of_every_vector() {
    let before = peak();
    let (vectors, mut rng, mut accepted) = (vectors(), Rng::seeded(7), 0);
    let donors: Vec<Vec<u8>> = vectors.iter().map(Vector::bytes).collect();
    for (vector, bytes) in vectors.iter().zip(&donors) {
        for _ in 0..MUTANTS {
            let donor = &donors[rng.below(donors.len() as u64) as usize];
            let bytes = mutant(bytes, donor, &mut rng);
            if let Ok(item) = vector.read(&bytes, &Limits::default()) {
                accepted += 1;
                exercise(&item, vector);
                let canonical = !matches!(&item, Item::Stream { .. }) && !is_reserved(&bytes);
                assert!(!canonical || item.bytes() == bytes, "{}: two ways to write {:?}", vector.name, item.json());
            }
        }
    }
    assert!(accepted > 1000, "only {accepted} mutants were still legal: they were bent too much to find anything");
    assert!(peak() < before + (1 << 30), "{} MB were asked for", (peak() - before) >> 20);
}

/// Whether these are the bytes of a frame with a body that is not read.
fn is_reserved(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x30 | 0x50))
}

#[test]
fn bytes_without_any_meaning() {
    let mut rng = Rng::seeded(8);
    for vector in vectors() {
        for _ in 0..50 {
            let bytes: Vec<u8> = (0..rng.below(200)).map(|_| rng.below(256) as u8).collect();
            let _ = vector.read(&bytes, &Limits::default());
        }
    }
}

#[test]
fn sessions_survive_every_mutant() {
    let limits = Limits::default();
    let frames: Vec<Vec<u8>> = vectors().iter().filter(|v| v.what == What::Frame).map(Vector::bytes).collect();
    let mut rng = Rng::seeded(9);
    for frame in &frames {
        for _ in 0..MUTANTS {
            let donor = &frames[rng.below(frames.len() as u64) as usize];
            let mut bytes = mutant(frame, donor, &mut rng);
            let local = |role, token| Local { role, limits, token, is_resumable: false };
            let token = || Some(Token::new("the secret").unwrap());
            for token in [None, token()] {
                let mut out = Vec::new();
                let mut dialing = ClientHandshake::begin(local(Role::Agent, token.clone()), [1; 32], None, &mut out);
                let mut greeting = ServerHandshake::new(local(Role::Env, token.clone()), [2; 32]);
                let mut proven = greeting.clone();
                assert_eq!(proven.take(&out.clone(), &mut out).unwrap().is_some(), token.is_none());
                let welcomed = dialing.take(&bytes, &mut out).is_ok_and(|welcome| welcome.is_some());
                let greeted = greeting.take(&bytes, &mut out).is_ok_and(|hello| hello.is_some());
                assert!(token.is_none() || !(welcomed || greeted), "nothing was proven");
                if token.is_some() {
                    assert!(proven.take(&bytes, &mut out).is_err(), "that is no proof");
                }
            }
            // Uses a number that fits, since otherwise hardly any mutant would pass the check of numbers.
            if bytes.len() >= HEADER_LEN {
                bytes[8..16].copy_from_slice(&1u64.to_le_bytes());
                bytes[16..24].fill(0);
                bytes[24..32].copy_from_slice(&rng.below(2).to_le_bytes());
            }
            let (mut agent, mut env) = (AgentSession::new(), EnvSession::new());
            agent.make(&Make::default(), &mut Vec::new()).unwrap();
            let failed = (agent.handle(&bytes, &limits).is_err(), env.handle(&bytes, &limits).is_err());
            assert!(!failed.0 || agent.is_over(), "a violation ends the session");
            assert!(!failed.1 || env.is_over(), "a violation ends the session");
        }
    }
}

/// The most address space this process ever had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).map_or(0, |kb| kb << 10)
}
