//! Elements at the boundary of a space: lowest and highest, shortest and longest, each of several.

use rlay::{AnySpace, Array, DType, Map, Rng, Space, Value};

/// Longest text that is made.
const LONGEST: u64 = 10_000;
/// Most elements that are returned.
const MOST: usize = 16;

/// Some elements of `space` beyond which there is none.
pub(crate) fn elements(space: &AnySpace, rng: &mut Rng) -> Vec<Value> {
    let mut found = match space {
        AnySpace::Box(b) => {
            let size = b.dtype.size();
            let mut at = |is_high: bool| {
                let mut value = space.sample(rng);
                if let Value::Array(array) = &mut value {
                    for (i, element) in array.data.chunks_mut(size).enumerate() {
                        let bound = if is_high { &b.high } else { &b.low };
                        if let (bound, true) = bound.get(i, size) {
                            element.copy_from_slice(bound);
                        }
                    }
                }
                value
            };
            vec![at(false), at(true)]
        }
        AnySpace::Discrete(discrete) => {
            let last = discrete.start.wrapping_add(discrete.n.wrapping_sub(1) as i64);
            let mut both = vec![discrete.to_value(&discrete.start), discrete.to_value(&last)];
            if discrete.dtype != DType::U64 {
                both.extend([Value::Int(discrete.start), Value::Int(last)]);
            }
            both
        }
        AnySpace::MultiDiscrete(many) => {
            let last = many.start.iter().zip(&many.nvec).map(|(start, n)| start.wrapping_add(n - 1)).collect();
            vec![many.to_value(&many.start), many.to_value(&last)]
        }
        AnySpace::MultiBinary(binary) => [0i8, 1].map(|x| binary.to_value(&vec![x; binary.len()])).into(),
        AnySpace::Text(text) => {
            let first = text.charset.chars().next().map(String::from).unwrap_or_default();
            [text.min_length, text.max_length].map(|n| first.repeat(n.min(LONGEST) as usize).into()).into()
        }
        AnySpace::Tuple(spaces) => {
            rows(spaces.iter().map(|space| elements(space, rng)).collect()).into_iter().map(Value::Tuple).collect()
        }
        AnySpace::Dict(spaces) => {
            let keys: Vec<_> = spaces.iter().map(|(key, _)| key).collect();
            rows(spaces.iter().map(|(_, space)| elements(space, rng)).collect())
                .into_iter()
                .map(|row| Value::Dict(Map(keys.iter().map(|key| (*key).clone()).zip(row).collect())))
                .collect()
        }
        AnySpace::Sequence { space, stack: false } => [vec![], elements(space, rng)].map(Value::Tuple).into(),
        AnySpace::OneOf(spaces) => spaces
            .iter()
            .zip(0i64..)
            .flat_map(|(space, i)| {
                let index = Value::Scalar(Array { shape: vec![], ..Array::new(&[1], &[i]) });
                elements(space, rng).into_iter().take(2).map(move |x| Value::Tuple(vec![index.clone(), x]))
            })
            .collect(),
        AnySpace::Sequence { .. } | AnySpace::Graph { .. } => vec![space.sample(rng)],
    };
    found.truncate(MOST);
    found
}

/// As many rows as the longest column has; shorter ones begin anew.
fn rows(columns: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let count = columns.iter().map(Vec::len).max().unwrap_or(1);
    (0..count).map(|i| columns.iter().map(|column| column[i % column.len().max(1)].clone()).collect()).collect()
}
