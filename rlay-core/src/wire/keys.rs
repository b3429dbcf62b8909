//! Keys of dicts: which values can be one, and how many a peer may choose freely.
//!
//! A peer can choose numbers and tuples of numbers that all have the same hash in Python, or that all try the same
//! places of a dict one after the other, which then takes time by the square of their number. A peer does not know the
//! hash of a `str`, and small `int`s have places of their own.

use super::put_value;
use crate::value::{Map, Value};

/// Most bytes of a key that is no Str, as it is written, so that two are soon compared.
const LONGEST: usize = 256;

/// Such ints, from 0 on, are free.
const SMALL: i64 = 1 << 14;

/// Most keys of a frame that are not free.
pub(super) const MOST_KEYS: u32 = 4096;

/// Whether a key that is an int is free.
pub(super) fn is_small(x: i64) -> bool {
    (0..SMALL).contains(&x)
}

/// How many more keys there may be that a peer could have chosen so that they collide.
///
/// ```
/// use rlay::{Value, wire::Keys};
///
/// let mut keys = Keys::of_a_value();
/// assert!(keys.take(&Value::from("lives")).is_ok());
/// assert!(keys.take(&Value::Tuple(vec![1.into(), 2.into()])).is_ok());
/// assert_eq!(keys.take(&Value::List(vec![])), Err("a list can be no key of a dict".to_owned()));
/// ```
#[derive(Debug, Clone)]
pub struct Keys {
    most: u32,
    taken: u32,
}

impl Keys {
    /// For what is received in a frame.
    pub(super) fn of_a_frame() -> Self {
        Self { most: MOST_KEYS, taken: 0 }
    }

    /// For a value that is to be sent: half of what a frame may have, for an observation comes with an info. Frames of
    /// many slots are measured as a whole besides.
    pub fn of_a_value() -> Self {
        Self { most: MOST_KEYS / 2, taken: 0 }
    }

    /// Whether there can be no more.
    pub(super) fn are_taken(&self) -> bool {
        self.taken == self.most
    }

    /// Takes `key`, or returns why it cannot be one.
    pub fn take(&mut self, key: &Value) -> Result<(), String> {
        self.take_written(key, || {
            let mut bytes = Vec::new();
            put_value(&mut bytes, key);
            bytes.len()
        })
    }

    /// Returns why `map`, or a dict in it, has a key that cannot be sent.
    pub(crate) fn check_map(map: &Map) -> Result<(), String> {
        Self::of_a_value().take_map(map)
    }

    /// Takes the keys of all dicts in `value`, or returns why one cannot be sent.
    pub(crate) fn take_all(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::List(items) | Value::Tuple(items) => items.iter().try_for_each(|item| self.take_all(item)),
            Value::Dict(map) => self.take_map(map),
            Value::Graph(graph) => {
                [&graph.nodes, &graph.edges, &graph.edge_links].into_iter().try_for_each(|part| self.take_all(part))
            }
            _ => Ok(()),
        }
    }

    fn take_map(&mut self, map: &Map) -> Result<(), String> {
        map.0.iter().try_for_each(|(key, value)| {
            self.take(key)?;
            self.take_all(value)
        })
    }

    /// As [`take`](Self::take), of a key that is known to have as many bytes as `len` gives.
    pub(super) fn take_written(&mut self, key: &Value, len: impl FnOnce() -> usize) -> Result<(), String> {
        match key {
            Value::Str(_) | Value::Int(0..SMALL) => return Ok(()),
            // Its hash is that of two strings, which are bounded where it is made.
            Value::Opaque { .. } => {}
            _ => {
                if let Some(part) = unhashable(key) {
                    return Err(format!("a {} can be no key of a dict", part.type_name()));
                }
                let len = len();
                if len > LONGEST {
                    return Err(format!(
                        "a key of {len} bytes that is neither str nor int, where {LONGEST} bytes are the most; use str"
                    ));
                }
            }
        }
        if self.taken == self.most {
            return Err(format!(
                "more than {} keys of dicts that are neither str nor an int from 0 to {}; use str",
                self.most,
                SMALL - 1
            ));
        }
        self.taken += 1;
        Ok(())
    }
}

/// The part of `key` that keeps it from being the key of a dict in Python.
fn unhashable(key: &Value) -> Option<&Value> {
    match key {
        Value::List(_) | Value::Dict(_) | Value::Array(_) | Value::Graph(_) => Some(key),
        Value::Tuple(items) => items.iter().find_map(unhashable),
        _ => None,
    }
}
