//! AnySpace as a space over values: random nestings of every class.

use proptest::prelude::*;
use rlay_core::{
    AnySpace, Discrete, Limits, Rng, Space, Value, difference, violation,
    wire::{Payload, Reader, Writer, payload_head, put_value},
};

use super::random::{leaf, space};

/// `space` as bytes and back.
fn over_the_wire(space: &AnySpace) -> AnySpace {
    let mut bytes = Vec::new();
    Writer(&mut bytes).space(space);
    let mut reader = Reader::new(&bytes, 0, &Limits::default());
    let again = reader.space().unwrap();
    reader.end().unwrap();
    again
}

/// A payload of one row as it stands in a frame.
fn payload(packed: bool, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![7; 41];
    payload_head(&mut frame, packed, bytes.len());
    assert!(!packed || frame.len().is_multiple_of(64));
    frame.extend_from_slice(bytes);
    frame
}

/// The reader of what [`payload`] wrote.
fn parse(frame: &[u8], packed: bool) -> Payload<'_> {
    let at = if packed { 64 } else { 45 };
    Payload { packed, reader: Reader::new(frame, at, &Limits::default()) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spaces_survive_the_wire_and_json(space in space()) {
        prop_assert_eq!(over_the_wire(&space), space.clone());
        let json = serde_json::to_string(&space).unwrap();
        prop_assert_eq!(serde_json::from_str::<AnySpace>(&json).unwrap(), space.clone());
        prop_assert_eq!(difference(&space, &space), None);
        prop_assert_eq!(space.describe(), AnySpace::from_any(&space).unwrap());
    }

    #[test]
    fn samples_are_contained_and_survive_the_wire(space in space(), seed: u64) {
        let x = space.sample(&mut Rng::seeded(seed));
        prop_assert!(space.contains(&x), "{:?} does not contain {:?}", space, x);
        prop_assert_eq!(&space.to_value(&x), &x);
        prop_assert_eq!(&space.from_value(&x).unwrap(), &x);
        let mut bytes = Vec::new();
        put_value(&mut bytes, &x);
        let frame = payload(false, &bytes);
        prop_assert_eq!(&parse(&frame, false).element(&space).unwrap(), &x);
        prop_assert_eq!(&parse(&frame, false).value().unwrap(), &x);
        let json = serde_json::to_string(&x).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), x);
    }

    #[test]
    fn fixed_spaces_pack_and_no_others_do(space in space(), seed: u64) {
        let x = space.sample(&mut Rng::seeded(seed));
        let mut packed = Vec::new();
        prop_assert_eq!(space.pack(&x, &mut packed), space.is_fixed());
        if space.is_fixed() {
            prop_assert!(packed.len().is_multiple_of(8));
            let frame = payload(true, &packed);
            prop_assert_eq!(&parse(&frame, true).element(&space).unwrap(), &x);
            let longer = [&frame[..], &[0; 8]].concat();
            prop_assert!(parse(&longer, true).element(&space).is_err());
            if !packed.is_empty() {
                prop_assert!(parse(&frame[..frame.len() - 1], true).element(&space).is_err());
            }
        } else {
            prop_assert!(parse(&payload(true, &[0; 64]), true).element(&space).is_err());
        }
    }

    #[test]
    fn difference_names_the_leaf(a in leaf(), b in leaf(), path in prop::collection::vec(0..4u8, 0..4)) {
        let (mut x, mut y, mut name) = (a.clone(), b.clone(), String::new());
        for step in path {
            let (part, wrap): (&str, fn(AnySpace) -> AnySpace) = match step {
                0 => ("[1]", |inner| AnySpace::Tuple(vec![AnySpace::Tuple(vec![]), inner])),
                1 => ("[\"key\"]", |inner| AnySpace::Dict(vec![("key".into(), inner)])),
                2 => ("[*]", |inner| AnySpace::Sequence { space: Box::new(inner), stack: true }),
                _ => ("[0]", |inner| AnySpace::OneOf(vec![inner])),
            };
            (x, y, name) = (wrap(x), wrap(y), format!("{part}{name}"));
        }
        match difference(&x, &y) {
            None => prop_assert_eq!(a, b),
            Some(text) => {
                prop_assert!(a != b);
                let leaf = difference(&a, &b).unwrap();
                let colon = if name.is_empty() || leaf.starts_with(['[', '.']) { "" } else { ": " };
                prop_assert_eq!(&text, &format!("{name}{colon}{leaf}"));
                prop_assert!(text.len() < 2000);
            }
        }
    }

    #[test]
    fn nothing_about_a_foreign_value_panics(space in space(), other in space(), seed: u64) {
        let x = other.sample(&mut Rng::seeded(seed));
        let mut packed = Vec::new();
        if space.pack(&x, &mut packed) {
            let again = parse(&payload(true, &packed), true).element(&space).unwrap();
            prop_assert_eq!(again, x.clone(), "what packs comes back as it was");
        }
        let why = violation(&space, &x, "observation");
        prop_assert_eq!(why.is_none(), space.contains(&x));
        match why {
            None => prop_assert!(space.from_value(&x).is_ok()),
            Some(text) => prop_assert!(text.starts_with("observation") && text.len() < 2000, "{}", text),
        }
        let shown = format!("{space} {x:?}");
        prop_assert!(!shown.is_empty());
    }
}

#[test]
fn a_column_of_nothings_has_any_number_of_rows() {
    let nothing = AnySpace::Dict(vec![]);
    let pair = AnySpace::Tuple(vec![nothing, Discrete::new(2).describe()]);
    let graph = AnySpace::Graph { node: Box::new(pair), edge: None };
    for seed in 0..20 {
        let x = graph.sample(&mut Rng::seeded(seed));
        assert!(graph.contains(&x), "{x:?}");
    }
}
