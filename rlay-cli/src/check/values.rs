//! Values that the peer sends: no key twice, and no Opaque where none may be.

use std::collections::HashSet;

use rlay::Value;

use super::{Check, spaces::each_observation};
use crate::{
    arguments::Level::Spaces,
    connection::{Verdict, failed},
    frames,
    session::Session,
    target::Target,
};

pub(crate) fn checks() -> Vec<Check> {
    let check = |section, name: &str, run: fn(&Target) -> Verdict| Check::new(Spaces, section, name, run);
    vec![
        check(5, "no Dict has a key twice", keys),
        check(5, "no Opaque stands in an observation", |target| {
            each_observation(target, |_, outcome| without_opaque(&outcome.observation, "an observation"))
        }),
    ]
}

fn keys(target: &Target) -> Verdict {
    let session = Session::begin(target)?;
    let spec = session.spec.clone();
    session.goodbye()?;
    without_double_keys(&spec.metadata, "metadata")?;
    without_double_keys(&spec.details, "details")?;
    each_observation(target, |_, outcome| {
        without_double_keys(&outcome.row.info, "an info")?;
        without_double_keys(&outcome.observation, "an observation")
    })
}

/// Fails if an Opaque is in the value, which is called `name`.
pub(crate) fn without_opaque(value: &Value, name: &str) -> Verdict {
    each(value, &mut |part| match part {
        Value::Opaque { type_name, .. } => {
            failed(5, format!("{name} holds an Opaque, of the type {type_name:?}, and none may stand there"))
        }
        _ => Ok(()),
    })
}

/// Fails if a Dict in the value has a key twice. Keys are the same if their bytes are.
pub(crate) fn without_double_keys(value: &Value, name: &str) -> Verdict {
    each(value, &mut |part| {
        let Value::Dict(map) = part else { return Ok(()) };
        let mut seen = HashSet::new();
        match map.0.iter().find(|(key, _)| !seen.insert(frames::value(key))) {
            Some((key, _)) => failed(5, format!("a Dict in {name} has the key {key:?} twice")),
            None => Ok(()),
        }
    })
}

/// Looks at a value and all values in it. Their depth was bounded when they were read.
fn each(value: &Value, look: &mut dyn FnMut(&Value) -> Verdict) -> Verdict {
    look(value)?;
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().try_for_each(|item| each(item, look)),
        Value::Dict(map) => map.0.iter().try_for_each(|(key, item)| {
            each(key, look)?;
            each(item, look)
        }),
        Value::Graph(graph) => {
            [&graph.nodes, &graph.edges, &graph.edge_links].into_iter().try_for_each(|part| each(part, look))
        }
        _ => Ok(()),
    }
}
