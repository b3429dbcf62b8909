//! AnySpace as a space over [`Value`], for code that does not know its spaces when it is compiled.

use super::{AnyBox, AnySpace, Space, lookup::Lookup, mismatch, pad8, skip8, violation};
use crate::{
    dtype::DType,
    error::Result,
    rng::Rng,
    value::{Array, Graph, Map, Value},
    wire::{Reader, check_bools},
};

impl Space for AnySpace {
    type Element = Value;

    fn contains(&self, x: &Value) -> bool {
        violation::find(self, x).is_none()
    }

    fn sample(&self, rng: &mut Rng) -> Value {
        match self {
            Self::Box(space) => Value::Array(Array {
                dtype: space.dtype,
                big_endian: space.big_endian,
                shape: space.shape.clone(),
                data: space.sample_bytes(rng),
            }),
            Self::Discrete(space) => space.to_value(&space.sample(rng)),
            Self::MultiBinary(space) => space.to_value(&space.sample(rng)),
            Self::MultiDiscrete(space) => space.to_value(&space.sample(rng)),
            Self::Text(space) => space.to_value(&space.sample(rng)),
            Self::Tuple(spaces) => Value::Tuple(spaces.iter().map(|space| space.sample(rng)).collect()),
            Self::Dict(spaces) => {
                Value::Dict(Map(spaces.iter().map(|(key, space)| (key.clone(), space.sample(rng))).collect()))
            }
            Self::Sequence { space, stack } => {
                let mut items = Vec::new();
                while rng.below(4) != 0 {
                    items.push(space.sample(rng));
                }
                if *stack { stacked(space, items) } else { Value::Tuple(items) }
            }
            Self::Graph { node, edge } => {
                let nodes = 1 + rng.below(9);
                let edges = if edge.is_some() { rng.below(nodes * nodes) } else { 0 };
                let mut batch = |space: &Self, n: u64| {
                    let items = (0..n).map(|_| space.sample(rng)).collect();
                    stacked(space, items)
                };
                let nodes_value = batch(node, nodes);
                let edges_value = edge.as_ref().filter(|_| edges > 0).map(|edge| batch(edge, edges));
                let links: Vec<i32> = (0..2 * edges).map(|_| rng.below(nodes) as i32).collect();
                let edge_links = if edges > 0 { Value::Array(Array::new(&[edges, 2], &links)) } else { Value::None };
                Value::Graph(Box::new(Graph { nodes: nodes_value, edges: edges_value.unwrap_or_default(), edge_links }))
            }
            Self::OneOf(spaces) => {
                let index = rng.below(spaces.len() as u64) as usize;
                let tag = super::Discrete::new(spaces.len() as u64).scalar(index as i64);
                Value::Tuple(vec![tag, spaces[index].sample(rng)])
            }
        }
    }

    fn describe(&self) -> AnySpace {
        self.clone()
    }

    fn is_described_by(&self, any: &AnySpace) -> bool {
        self == any
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        Ok(any.clone())
    }

    fn to_value(&self, x: &Value) -> Value {
        x.clone()
    }

    /// Refuses wrong structure (keys, arity, shape) only: what a value of the right structure means
    /// is for the environment to decide, as it would be locally.
    fn from_value(&self, value: &Value) -> Result<Value> {
        check(self, value).map(|()| value.clone())
    }

    fn pack(&self, x: &Value, out: &mut Vec<u8>) -> bool {
        match (self, x) {
            (Self::Box(space), Value::Array(array)) if fits(space, array) => {
                out.extend_from_slice(&array.data);
                pad8(out);
                true
            }
            (Self::Discrete(_), Value::Int(x)) => {
                out.extend(x.to_le_bytes());
                out.extend([0; 8]);
                true
            }
            (Self::Discrete(space), Value::Scalar(array)) if array.dtype == space.dtype && !array.big_endian => {
                space.pack(&(array.dtype.read_i128(&array.data) as i64), out)
            }
            (Self::MultiBinary(space), Value::Array(array)) if array.dtype == DType::I8 => {
                out.extend_from_slice(&array.data);
                pad8(out);
                array.shape == space.shape
            }
            (Self::MultiDiscrete(space), Value::Array(array)) => {
                out.extend_from_slice(&array.data);
                pad8(out);
                array.shape == space.shape && array.dtype == space.dtype && !array.big_endian && !space.big_endian
            }
            (Self::Tuple(spaces), Value::Tuple(items)) => {
                spaces.len() == items.len() && spaces.iter().zip(items).all(|(space, x)| space.pack(x, out))
            }
            // Keys in the space's order: another order is a fact about the dict that must not be lost.
            (Self::Dict(spaces), Value::Dict(map)) => {
                spaces.len() == map.len()
                    && spaces.iter().zip(&map.0).all(|((key, space), (k, x))| key == k && space.pack(x, out))
            }
            _ => false,
        }
    }

    fn unpack(&self, input: &mut Reader<'_>) -> Result<Value> {
        let array = |input: &mut Reader<'_>, dtype: DType, shape: &[u64]| {
            let start = input.clone();
            let bytes = input.take(shape.iter().product::<u64>() * dtype.size() as u64)?;
            check_bools(dtype, bytes, &start)?;
            skip8(input, bytes.len())?;
            Ok(Value::Array(Array { dtype, big_endian: false, shape: shape.to_vec(), data: bytes.to_vec() }))
        };
        match self {
            Self::Box(space) if !space.big_endian => array(input, space.dtype, &space.shape),
            Self::MultiBinary(space) => array(input, DType::I8, &space.shape),
            Self::MultiDiscrete(space) if !space.big_endian => array(input, space.dtype, &space.shape),
            Self::Discrete(space) => {
                let is_int = {
                    let mut ahead = input.clone();
                    (ahead.get::<i64>()?, ahead.get::<u8>()?).1 == 0
                };
                let x = space.unpack(input)?;
                Ok(if is_int { Value::Int(x) } else { space.scalar(x) })
            }
            Self::Tuple(spaces) => {
                Ok(Value::Tuple(spaces.iter().map(|space| space.unpack(input)).collect::<Result<_>>()?))
            }
            Self::Dict(spaces) => Ok(Value::Dict(Map(spaces
                .iter()
                .map(|(key, space)| Ok((key.clone(), space.unpack(input)?)))
                .collect::<Result<_>>()?))),
            _ => {
                Err(input
                    .error(format_args!("a packed payload for a {} space, which has no packed form,", self.class())))
            }
        }
    }
}

fn fits(space: &AnyBox, array: &Array) -> bool {
    array.dtype == space.dtype && array.shape == space.shape && !array.big_endian && !space.big_endian
}

/// Structure only: keys, arity, shape.
fn check(space: &AnySpace, value: &Value) -> Result<()> {
    let bad = || mismatch(space, value);
    match (space, value) {
        (AnySpace::Tuple(spaces), Value::Tuple(items) | Value::List(items)) if spaces.len() == items.len() => {
            let mut each = spaces.iter().zip(items).enumerate();
            each.try_for_each(|(i, (space, x))| check(space, x).map_err(|e| e.at(format_args!("[{i}]"))))
        }
        (AnySpace::Dict(spaces), Value::Dict(map)) if spaces.len() == map.len() => {
            let found = Lookup::new(map);
            spaces.iter().zip(0..).try_for_each(|((key, space), i)| {
                let x = found.at(key, i).ok_or_else(bad)?;
                check(space, x).map_err(|e| e.at(violation::part(key)))
            })
        }
        (AnySpace::Tuple(_) | AnySpace::Dict(_), _) => Err(bad()),
        (AnySpace::Box(AnyBox { shape, .. }), Value::Array(array)) if *shape != array.shape => Err(bad()),
        _ => Ok(()),
    }
}

/// Whether `value` is in a space of batches: a stacked Sequence or a Graph.
pub(super) fn is_batch(space: &AnySpace, value: &Value) -> bool {
    match (space, value) {
        (AnySpace::Sequence { space, stack: true }, x) => rows(space, x).is_some(),
        (AnySpace::Graph { node, edge }, Value::Graph(graph)) => {
            rows(node, &graph.nodes).is_some()
                && match (edge, &graph.edges) {
                    (_, Value::None) => graph.edge_links == Value::None,
                    (Some(edge), edges) => rows(edge, edges).is_some(),
                    (None, _) => false,
                }
        }
        _ => false,
    }
}

/// Items as Gymnasium batches them: arrays of one more dimension, containers of batches.
fn stacked(space: &AnySpace, items: Vec<Value>) -> Value {
    let stack = |dtype: DType, big_endian: bool, shape: &[u64]| {
        let mut data = Vec::new();
        for item in &items {
            if let Value::Array(array) | Value::Scalar(array) = item {
                data.extend_from_slice(&array.data);
            }
        }
        let shape = std::iter::once(items.len() as u64).chain(shape.iter().copied()).collect();
        Value::Array(Array { dtype, big_endian, shape, data })
    };
    match space {
        AnySpace::Box(space) => stack(space.dtype, space.big_endian, &space.shape),
        AnySpace::Discrete(space) => stack(space.dtype, false, &[]),
        AnySpace::MultiBinary(space) => stack(DType::I8, false, &space.shape),
        AnySpace::MultiDiscrete(space) => stack(space.dtype, space.big_endian, &space.shape),
        AnySpace::Tuple(spaces) => Value::Tuple(
            spaces
                .iter()
                .enumerate()
                .map(|(i, space)| {
                    let column = items.iter().filter_map(|item| match item {
                        Value::Tuple(members) => members.get(i).cloned(),
                        _ => None,
                    });
                    stacked(space, column.collect())
                })
                .collect(),
        ),
        AnySpace::Dict(spaces) => {
            let found: Vec<_> = items
                .iter()
                .filter_map(|item| match item {
                    Value::Dict(map) => Some(Lookup::new(map)),
                    _ => None,
                })
                .collect();
            let column = |i: usize, (key, space): &(Value, AnySpace)| {
                let column = found.iter().filter_map(|lookup| lookup.at(key, i).cloned());
                (key.clone(), stacked(space, column.collect()))
            };
            Value::Dict(Map(spaces.iter().enumerate().map(|(i, entry)| column(i, entry)).collect()))
        }
        _ => Value::Tuple(items),
    }
}

/// How many elements are in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// They are tuples or dicts of nothing, of which there is no telling.
    Any,
    Exactly(u64),
}

/// How many elements of `space` are in a batch of them; `None` if it is no such batch.
fn rows(space: &AnySpace, batch: &Value) -> Option<Rows> {
    match (space, batch) {
        (
            AnySpace::Box(_) | AnySpace::Discrete(_) | AnySpace::MultiBinary(_) | AnySpace::MultiDiscrete(_),
            Value::Array(array),
        ) => {
            let (n, shape) = array.shape.split_first()?;
            let is_scalar = matches!(space, AnySpace::Discrete(_)) && shape.is_empty();
            let contains = |data: &[u8]| {
                let Array { dtype, big_endian, .. } = *array;
                let row = Array { dtype, big_endian, shape: shape.to_vec(), data: data.to_vec() };
                space.contains(&if is_scalar { Value::Scalar(row) } else { Value::Array(row) })
            };
            let all = match array.data.len() / usize::try_from(*n).ok()?.max(1) {
                // All rows are alike. They cost no bytes, so a peer may claim any number of them.
                0 => *n == 0 || contains(&[]),
                each => array.data.chunks_exact(each).all(contains),
            };
            all.then_some(Rows::Exactly(*n))
        }
        (AnySpace::Tuple(spaces), Value::Tuple(columns)) if spaces.len() == columns.len() => {
            equal(spaces.iter().zip(columns).map(|(space, column)| rows(space, column)))
        }
        (AnySpace::Dict(spaces), Value::Dict(map)) if spaces.len() == map.len() => {
            let found = Lookup::new(map);
            equal(spaces.iter().zip(0..).map(|((key, space), i)| rows(space, found.at(key, i)?)))
        }
        (_, Value::Tuple(items)) => {
            items.iter().all(|x| space.contains(x)).then_some(Rows::Exactly(items.len() as u64))
        }
        _ => None,
    }
}

/// What all columns have.
fn equal(mut columns: impl Iterator<Item = Option<Rows>>) -> Option<Rows> {
    columns.try_fold(Rows::Any, |all, column| match (all, column?) {
        (Rows::Any, rows) | (rows, Rows::Any) => Some(rows),
        (all, rows) => (all == rows).then_some(all),
    })
}
