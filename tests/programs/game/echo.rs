//! Echo: observes its actions, of every kind of space.

use rlay::{
    AnyBox, AnySpace, Array, Bound, BoxSpace, DType, Dict, Discrete, Graph, Map, MultiBinary, MultiDiscrete, Space,
    Text, Value,
};

/// Gymnasium's default: 0–9, A–Z, a–z.
const ALPHANUMERIC: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub(crate) struct Echo {
    pub(crate) space: AnySpace,
}

/// The space of each case.
pub(crate) fn cases() -> Vec<AnySpace> {
    let floats = |shape: &[u64], low, high| BoxSpace::<f32>::new(shape, low, high).describe();
    let doubles = |low, high| BoxSpace::<f64>::new([2], low, high).describe();
    let discrete = |n| Discrete::new(n).describe();
    let text = |min_length, max_length, charset: &str| Text { min_length, ..Text::new(max_length, charset) }.describe();
    let sequence = |space, stack| AnySpace::Sequence { space: Box::new(space), stack };
    let graph = |node, edge: Option<AnySpace>| AnySpace::Graph { node: Box::new(node), edge: edge.map(Box::new) };
    // Of elements that are no type of Rust: the bounds are the bytes of one element.
    let of = |dtype, shape, low: &[u8], high: &[u8]| {
        let side = |value: &[u8]| Bound::Uniform { value: value.to_vec(), bounded: true };
        AnySpace::Box(AnyBox { dtype, big_endian: false, shape: vec![shape], low: side(low), high: side(high) })
    };
    vec![
        floats(&[2, 3], -1.0, 1.0),
        BoxSpace::<u8>::new([4, 5, 3], 0, 255).describe(),
        BoxSpace::<f64>::unbounded([]).describe(),
        Discrete::new(5).starting_at(-2).describe(),
        MultiBinary { shape: vec![2, 3], n_is_int: false }.describe(),
        MultiDiscrete { start: vec![0, -1, 7], ..MultiDiscrete::new(&[3, 5, 2]) }.describe(),
        text(1, 12, "aé漢🎲 b"),
        AnySpace::Tuple(vec![discrete(3), doubles(0.0, 1.0)]),
        Dict::new(["a", "b"], (Discrete::new(2), (MultiBinary::new(3), Text::new(4, ALPHANUMERIC)))).describe(),
        sequence(floats(&[2], 0.0, 1.0), false),
        sequence(discrete(4), true),
        graph(floats(&[3], -1.0, 1.0), Some(discrete(4))),
        AnySpace::OneOf(vec![discrete(3), floats(&[2], -1.0, 1.0)]),
        of(DType::F16, 3, &[0x00, 0xbc], &[0x00, 0x3c]), // -1 and 1
        of(DType::Bool, 2, &[0], &[1]),
        BoxSpace::<i64>::new([2], i64::MIN, i64::MAX).describe(),
        BoxSpace::<f32>::with_bounds([2], &[-1.0, f32::NEG_INFINITY], &[1.0, 5.0]).describe(),
        graph(doubles(-1.0, 1.0), None),
    ]
}

/// What an Echo observes after a reset.
pub(crate) fn zero(space: &AnySpace) -> Value {
    let zeros = |dtype: DType, shape: &[u64]| {
        let bytes = shape.iter().product::<u64>() as usize * dtype.size();
        Value::Array(Array { dtype, big_endian: false, shape: shape.to_vec(), data: vec![0; bytes] })
    };
    match space {
        AnySpace::Box(space) => zeros(space.dtype, &space.shape),
        AnySpace::Discrete(space) => Value::Int(space.start),
        AnySpace::MultiBinary(space) => zeros(DType::I8, &space.shape),
        AnySpace::MultiDiscrete(space) => Value::Array(Array::new(&space.shape, &space.start)),
        AnySpace::Text(space) => {
            space.charset.chars().take(1).collect::<String>().repeat(space.min_length as usize).into()
        }
        AnySpace::Tuple(spaces) => Value::Tuple(spaces.iter().map(zero).collect()),
        AnySpace::Dict(spaces) => {
            Value::Dict(Map(spaces.iter().map(|(key, space)| (key.clone(), zero(space))).collect()))
        }
        AnySpace::Sequence { stack: true, .. } => zeros(DType::I64, &[0]),
        AnySpace::Sequence { .. } => Value::Tuple(Vec::new()),
        AnySpace::Graph { node, .. } => {
            let Value::Array(Array { dtype, shape, .. }) = zero(node) else { return Value::None };
            let shape: Vec<u64> = [1].into_iter().chain(shape).collect();
            Value::Graph(Box::new(Graph { nodes: zeros(dtype, &shape), ..Graph::default() }))
        }
        AnySpace::OneOf(spaces) => Value::Tuple(vec![Value::Scalar(Array::new(&[], &[0_i64])), zero(&spaces[0])]),
    }
}
