//! Why a value is not in a space, and at which leaf, in words for messages.

use std::fmt;

use super::{
    AnyBox, AnySpace, Discrete, MultiBinary, MultiDiscrete, Space, Text, box_space::can_cast, display::short, dynamic,
    lookup::Lookup,
};
use crate::{
    dtype::DType,
    repr,
    value::{Array, Map, Value},
};

/// Why `value` is not in `space`: the leaf, its space and what is wrong, or `None` if it is in it. `name` is what the
/// whole is called. The text stays short however large space and value are.
///
/// ```
/// use rlay::{BoxSpace, Dict, Discrete, Map, Space, Value, violation};
///
/// let space = Dict::new(["lives", "pos"], (Discrete::new(4), BoxSpace::<f32>::new([2], -1.0, 1.0))).describe();
/// let (pos, far) = (space_value(&[0.5, 0.5]), space_value(&[0.5, 7.0]));
/// assert_eq!(violation(&space, &Map::from([("lives", 3.into()), ("pos", pos)]).into(), "observation"), None);
/// assert_eq!(
///     violation(&space, &Map::from([("lives", 3.into()), ("pos", far)]).into(), "observation").unwrap(),
///     "observation[\"pos\"] is not in Box(-1.0, 1.0, (2,), float32): element [1] is 7.0, above 1.0",
/// );
/// # fn space_value(x: &[f32]) -> Value { rlay::Array::new(&[2], x).into() }
/// ```
pub fn violation(space: &AnySpace, value: &Value, name: &str) -> Option<String> {
    find(space, value).map(|found| {
        let path: String = found.path.iter().rev().map(String::as_str).collect();
        format!("{name}{path} is not in {}: {}", short(found.space), found.why)
    })
}

/// The part of a path that leads to the item under `key`, such as `["goal"]` or `[3]`.
pub(crate) fn part(key: &Value) -> String {
    match key {
        Value::Str(text) => format!("[{}]", repr::cut(&format_args!("{text:?}"), 100)),
        _ => format!("[{}]", repr::cut(&format_args!("{key:?}"), 100)),
    }
}

/// What a value is, for messages: its type, and the size of arrays and containers.
pub(crate) fn kind(value: &Value) -> String {
    match value {
        Value::None => "None".into(),
        Value::List(items) => format!("a list of {}", items.len()),
        Value::Tuple(items) => format!("a tuple of {}", items.len()),
        Value::Dict(map) => format!("a dict of {}", map.len()),
        Value::Array(array) => format!("{} array of shape {}", an(array), repr::shape(&array.shape)),
        Value::Int(_) | Value::BigInt(_) => "an int".into(),
        Value::Opaque { type_name, .. } => format!("an object of type {}", repr::cut(type_name, 100)),
        _ => format!("a {}", value.type_name()),
    }
}

fn an(array: &Array) -> String {
    let dtype = repr::dtype(array.dtype, array.big_endian);
    format!("{} {dtype}", if dtype.starts_with('i') { "an" } else { "a" })
}

/// The first leaf that is not in its space.
pub(super) struct Found<'a> {
    /// From the leaf up.
    path: Vec<String>,
    space: &'a AnySpace,
    why: String,
}

/// The first leaf of `value` that is not in its space.
pub(super) fn find<'a>(space: &'a AnySpace, value: &Value) -> Option<Found<'a>> {
    let here = |why: Option<String>| why.map(|why| Found { path: vec![], space, why });
    match (space, value) {
        (AnySpace::Box(space), Value::Array(array)) => here(of_box(space, value, array)),
        (AnySpace::Box(_), _) => here(Some(format!("it is {}", kind(value)))),
        (AnySpace::Discrete(space), _) => here(of_discrete(space, value)),
        (AnySpace::MultiBinary(space), _) => here(of_multi_binary(space, value)),
        (AnySpace::MultiDiscrete(space), _) => here(of_multi_discrete(space, value)),
        (AnySpace::Text(space), _) => here(of_text(space, value)),
        (AnySpace::Tuple(spaces), Value::Tuple(items)) if spaces.len() == items.len() => {
            spaces.iter().zip(items).enumerate().find_map(|(i, (space, x))| below(find(space, x), || format!("[{i}]")))
        }
        (AnySpace::Dict(spaces), Value::Dict(map)) => {
            let found = Lookup::new(map);
            match keys(spaces.iter().map(|(key, _)| key), map, &found) {
                None => spaces.iter().zip(0..).find_map(|((key, space), i)| {
                    let x = found.at(key, i)?;
                    below(find(space, x), || part(key))
                }),
                why => here(why),
            }
        }
        (AnySpace::Sequence { space, stack: false }, Value::Tuple(items)) => {
            items.iter().enumerate().find_map(|(i, x)| below(find(space, x), || format!("[{i}]")))
        }
        (AnySpace::OneOf(spaces), Value::Tuple(items)) => {
            let [index, x] = &items[..] else { return here(Some(format!("it is {}", kind(value)))) };
            match index.as_i64().and_then(|i| spaces.get(usize::try_from(i).ok()?)) {
                Some(space) => below(find(space, x), || "[1]".into()),
                None => here(Some(format!("it chooses {index:?} of {} spaces", spaces.len()))),
            }
        }
        (AnySpace::Sequence { stack: true, .. } | AnySpace::Graph { .. }, _) => {
            here((!dynamic::is_batch(space, value)).then(|| format!("it is {}", kind(value))))
        }
        _ => here(Some(format!("it is {}", kind(value)))),
    }
}

fn below<'a>(found: Option<Found<'a>>, part: impl FnOnce() -> String) -> Option<Found<'a>> {
    found.map(|mut found| {
        found.path.push(part());
        found
    })
}

/// More keys are only counted, for looking for each among the others takes long.
const MANY_KEYS: usize = 1000;

/// What is wrong with the keys of `map`.
fn keys<'a>(
    declared: impl ExactSizeIterator<Item = &'a Value> + Clone,
    map: &Map,
    lookup: &Lookup<'_>,
) -> Option<String> {
    let (count, found) = (declared.len(), map.len());
    if count != found && count.max(found) > MANY_KEYS {
        return Some(format!("{found} keys where {count} were declared"));
    }
    if let Some((key, _)) = declared.clone().zip(0..).find(|(key, i)| lookup.at(key, *i).is_none()) {
        return Some(format!("the key {} is missing", cut_key(key)));
    }
    if count == found {
        return None;
    }
    let other = map.0.iter().find(|(key, _)| !declared.clone().any(|k| k == key));
    Some(match other {
        Some((key, _)) => format!("the key {} was not declared", cut_key(key)),
        None => format!("{found} keys where {count} were declared"),
    })
}

fn cut_key(key: &Value) -> String {
    let part = part(key);
    part[1..part.len() - 1].to_owned()
}

/// The place of element `i`, as the subject of a sentence.
fn place(i: usize, shape: &[u64]) -> String {
    if shape.is_empty() { "it".into() } else { format!("element {}", repr::index(i, shape)) }
}

fn shapes(found: &[u64], declared: &[u64]) -> Option<String> {
    let differ = || format!("shape {} where {} was declared", repr::shape(found), repr::shape(declared));
    (found != declared).then(differ)
}

fn dtypes(array: &Array, declared: DType) -> Option<String> {
    let differ = || {
        let found = repr::dtype(array.dtype, array.big_endian);
        format!("dtype {found} where {} was declared", declared.name())
    };
    (!can_cast(array.dtype, declared)).then(differ)
}

fn of_box(space: &AnyBox, value: &Value, array: &Array) -> Option<String> {
    if let Some(why) = dtypes(array, space.dtype).or_else(|| shapes(&array.shape, &space.shape)) {
        return Some(why);
    }
    let Some(data) = space.cast(value) else { return Some(format!("it is {}", kind(value))) };
    let i = space.first_outside(&data)?;
    let size = space.dtype.size();
    let Some(x) = data.get(i * size..(i + 1) * size) else { return Some(format!("it is {}", kind(value))) };
    let (low, high) = (space.low.get(i, size).0, space.high.get(i, size).0);
    let number = |bytes: &[u8]| repr::number(space.dtype, bytes);
    let side = match (space.is_in_order(low, x), space.is_in_order(x, high)) {
        (true, false) => format!(", above {}", number(high)),
        (false, true) => format!(", below {}", number(low)),
        _ => String::new(), // not a number
    };
    Some(format!("{} is {}{side}", place(i, &space.shape), number(x)))
}

fn of_discrete(space: &Discrete, value: &Value) -> Option<String> {
    match space.from_value(value) {
        Ok(x) if space.contains(&x) => None,
        Ok(_) => Some(format!("it is {value:?}")),
        Err(_) if matches!(value, Value::BigInt(_)) => Some(format!("it is {value:?}")),
        Err(_) => Some(format!("it is {}", kind(value))),
    }
}

fn of_multi_binary(space: &MultiBinary, value: &Value) -> Option<String> {
    let Value::Array(array) = value else { return Some(format!("it is {}", kind(value))) };
    if let Some(why) = shapes(&array.shape, &space.shape) {
        return Some(why);
    }
    match space.from_value(value) {
        Ok(x) => {
            let i = x.iter().position(|x| !matches!(x, 0 | 1))?;
            Some(format!("{} is neither 0 nor 1", place(i, &space.shape)))
        }
        Err(_) => Some(format!("it is {}", kind(value))),
    }
}

fn of_multi_discrete(space: &MultiDiscrete, value: &Value) -> Option<String> {
    let Value::Array(array) = value else { return Some(format!("it is {}", kind(value))) };
    if let Some(why) = dtypes(array, space.dtype).or_else(|| shapes(&array.shape, &space.shape)) {
        return Some(why);
    }
    match space.from_value(value) {
        Ok(x) => {
            let i = space.first_outside(&x)?;
            Some(match (x.get(i), space.start.get(i), space.nvec.get(i)) {
                (Some(x), Some(start), Some(n)) => {
                    let last = i128::from(*start) + i128::from(*n) - 1;
                    format!("{} is {x}, not from {start} to {last}", place(i, &space.shape))
                }
                _ => format!("it is {}", kind(value)),
            })
        }
        Err(_) => Some(format!("it is {}", kind(value))),
    }
}

fn of_text(space: &Text, value: &Value) -> Option<String> {
    let Value::Str(text) = value else { return Some(format!("it is {}", kind(value))) };
    let length = text.chars().count() as u64;
    if length < space.min_length || length > space.max_length {
        return Some(format!("it has {length} characters"));
    }
    let other = text.chars().find(|character| !space.charset.contains(*character))?;
    Some(format!("it has the character {other:?}"))
}

/// The error where a value cannot be read as an element of a space.
pub(crate) struct Unreadable<'a>(pub(crate) &'a AnySpace, pub(crate) &'a Value);

impl fmt::Display for Unreadable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(space, value) = self;
        write!(f, "{} is no element of {}", kind(value), short(space))?;
        let why = match (space, value) {
            (AnySpace::Dict(spaces), Value::Dict(map)) => {
                keys(spaces.iter().map(|(key, _)| key), map, &Lookup::new(map))
            }
            _ => None,
        };
        why.map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}
