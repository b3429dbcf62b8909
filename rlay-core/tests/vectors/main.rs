//! The golden vectors of `docs/vectors`: the code reads and writes them byte for byte.
//!
//! `RLAY_WRITE_VECTORS=1 cargo test -p rlay-core --test vectors` writes the files anew.

#[path = "../common/mod.rs"]
mod common;

mod frames;
mod negative;
mod payloads;
mod spaces;
mod values;

use std::{collections::HashSet, env, fs, sync::Once};

use common::{FILES, Item, Vector, What, hex, load, path};
use rlay_core::{AnySpace, Limits, Value};
use serde_json::json;

/// The vectors of one file, as the code has them.
fn generate(file: &str) -> Vec<Vector> {
    match file {
        "values" => values::all(),
        "spaces" => spaces::all(),
        "payloads" => payloads::all(),
        "frames" => frames::all(),
        "streams" => frames::streams(),
        _ => negative::all(),
    }
}

/// A vector that is to be read as `item`.
fn positive(name: &str, item: &Item<'_>) -> Vector {
    let (what, space, rows) = match item {
        Item::Value(_) => (What::Value, None, None),
        Item::Space(_) => (What::Space, None, None),
        Item::Payload(space, values) => (What::Payload, Some(json!(space)), Some(values.len())),
        Item::Frame(_) => (What::Frame, None, None),
        Item::Stream { .. } => (What::Stream, None, None),
    };
    Vector { name: name.into(), what, space, rows, hex: hex(&item.bytes()), json: Some(item.json()), why: None }
}

/// One vector per line, so that a change shows up as the lines it changes.
fn text(vectors: &[Vector]) -> String {
    let lines: Vec<String> = vectors.iter().map(|vector| serde_json::to_string(vector).unwrap()).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// The committed vectors of one file, which are written first if that is asked for.
fn committed(file: &str) -> Vec<Vector> {
    static WRITE: Once = Once::new();
    WRITE.call_once(|| {
        if env::var_os("RLAY_WRITE_VECTORS").is_some() {
            FILES.iter().for_each(|file| fs::write(path(file), text(&generate(file))).unwrap());
        }
    });
    load(file)
}

#[test]
fn the_committed_vectors_are_what_the_code_writes() {
    for file in FILES {
        assert!(!committed(file).is_empty());
        let text = text(&generate(file));
        let committed = fs::read_to_string(path(file)).unwrap();
        let line = text.lines().zip(committed.lines()).find(|(a, b)| a != b);
        assert!(text == committed, "{file}.json differs; first at\n{line:#?}\nRLAY_WRITE_VECTORS=1 writes it anew");
    }
}

#[test]
fn every_positive_vector_reads_as_its_json_and_writes_the_same_bytes() {
    let mut count = 0;
    for vector in FILES.iter().flat_map(|file| committed(file)) {
        let Some(json) = &vector.json else { continue };
        let bytes = vector.bytes();
        let item = vector.read(&bytes, &Limits::default()).unwrap_or_else(|e| panic!("{}: {e}", vector.name));
        assert_eq!(item.json(), *json, "{}", vector.name);
        assert_eq!(hex(&item.bytes()), vector.hex, "{}", vector.name);
        count += 1;
    }
    assert!(count >= 60, "{count} positive vectors");
}

#[test]
fn the_json_of_values_and_spaces_reads_back() {
    for vector in committed("values") {
        let value: Value = serde_json::from_value(vector.json.clone().unwrap()).unwrap();
        assert_eq!(hex(&Item::Value(value).bytes()), vector.hex, "{}", vector.name);
    }
    for vector in committed("spaces") {
        let space: AnySpace = serde_json::from_value(vector.json.clone().unwrap()).unwrap();
        assert_eq!(hex(&Item::Space(space).bytes()), vector.hex, "{}", vector.name);
    }
}

#[test]
fn every_negative_vector_is_refused() {
    let vectors = committed("negative");
    assert!(vectors.len() >= 40, "{} negative vectors", vectors.len());
    for vector in vectors {
        let bytes = vector.bytes();
        if let Ok(item) = vector.read(&bytes, &Limits::default()) {
            panic!("{}: accepted as {item:?}, although: {}", vector.name, vector.why.unwrap_or_default());
        }
    }
}

#[test]
fn every_name_is_used_once() {
    let mut seen = HashSet::new();
    for vector in FILES.iter().flat_map(|file| committed(file)) {
        assert!(seen.insert(vector.name.clone()), "{} twice", vector.name);
        assert!(vector.json.is_some() != vector.why.is_some(), "{}: either json or why", vector.name);
    }
}
