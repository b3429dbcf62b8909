//! Lookup: the values of a dict by the keys of a space, which mostly come in the same order, and may be many.

use std::{cell::OnceCell, collections::HashMap};

use crate::{
    value::{Map, Value},
    wire::put_value,
};

/// So few keys are compared one by one.
const FEW: usize = 16;

/// A dict, and the positions of its keys in it once a key was looked up that is not where it was expected.
pub(super) struct Lookup<'a> {
    map: &'a Map,
    places: OnceCell<HashMap<Vec<u8>, usize>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(map: &'a Map) -> Self {
        Self { map, places: OnceCell::new() }
    }

    /// The value under `key`, which is mostly the `i`th.
    pub(super) fn at(&self, key: &Value, i: usize) -> Option<&'a Value> {
        let entries = &self.map.0;
        if let Some((_, value)) = entries.get(i).filter(|(found, _)| found == key) {
            return Some(value);
        }
        if entries.len() <= FEW {
            return entries.iter().find(|(found, _)| found == key).map(|(_, value)| value);
        }
        let places = self.places.get_or_init(|| {
            let mut places = HashMap::with_capacity(entries.len());
            entries.iter().enumerate().for_each(|(i, (key, _))| {
                places.entry(written(key)).or_insert(i);
            });
            places
        });
        places.get(&written(key)).map(|i| &entries[*i].1)
    }
}

fn written(key: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_value(&mut bytes, key);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_order() {
        for n in [3, 5000] {
            let map = Map((0..n).map(|i| (Value::Int(i), Value::Int(10 * i))).collect());
            let lookup = Lookup::new(&map);
            for i in 0..n {
                let (key, value) = (Value::Int(n - 1 - i), Value::Int(10 * (n - 1 - i)));
                assert_eq!(lookup.at(&key, i as usize), Some(&value));
            }
            assert_eq!(lookup.at(&Value::Int(n), 0), None);
        }
    }
}
