//! Vectors of spaces: every class, and every field in which two spaces of a class may differ.

use rlay_core::{
    AnyBox, AnySpace, Bound, BoxSpace, DType, Discrete, MultiBinary, MultiDiscrete, Sequence, Space, Text, Value,
};

use super::{Item, Vector, positive};

/// CartPole's observations: a bound of its own for each element, two of them without a limit.
pub(crate) fn cart_pole() -> AnySpace {
    let high = [4.8, f32::INFINITY, 0.418_879, f32::INFINITY];
    BoxSpace::<f32>::with_bounds([4], &high.map(|x| -x), &high).describe()
}

/// A Dict of two spaces, its keys not in alphabetical order.
pub(crate) fn dict() -> AnySpace {
    let image = BoxSpace::<u8>::new([2, 3], 0, 255).describe();
    AnySpace::Dict(vec![("image".into(), image), ("direction".into(), Discrete::new(4).describe())])
}

/// A Box with one bound for all elements.
pub(crate) fn uniform(
    dtype: DType,
    big_endian: bool,
    shape: &[u64],
    low: (&[u8], bool),
    high: (&[u8], bool),
) -> AnySpace {
    let bound = |(value, bounded): (&[u8], bool)| Bound::Uniform { value: value.to_vec(), bounded };
    AnySpace::Box(AnyBox { dtype, big_endian, shape: shape.to_vec(), low: bound(low), high: bound(high) })
}

/// A big-endian Box, as NumPy's `>f4` makes one.
pub(crate) fn big_endian() -> AnySpace {
    uniform(DType::F32, true, &[2], (&0f32.to_le_bytes(), true), (&1f32.to_le_bytes(), true))
}

/// `n` spaces, each in the one before it.
pub(crate) fn nested(n: usize) -> AnySpace {
    (1..n).fold(Discrete::new(2).describe(), |inner, _| AnySpace::Tuple(vec![inner]))
}

pub(crate) fn all() -> Vec<Vector> {
    let multi = |dtype, big_endian, shape: &[u64], nvec: &[i64], start: &[i64]| {
        let (shape, nvec, start) = (shape.to_vec(), nvec.to_vec(), start.to_vec());
        AnySpace::MultiDiscrete(MultiDiscrete { shape, nvec, start, dtype, big_endian })
    };
    let int_min = i32::MIN.to_le_bytes();
    let graph = |edge: Option<AnySpace>| AnySpace::Graph {
        node: Box::new(BoxSpace::<f32>::new([3], -1.0, 1.0).describe()),
        edge: edge.map(Box::new),
    };
    let sequence = |stack| AnySpace::Sequence { space: Box::new(dict()), stack };
    [
        ("box/float32", BoxSpace::<f32>::new([3], -1.0, 1.0).describe()),
        ("box/bounds-of-each-element", cart_pole()),
        ("box/unbounded-float64", BoxSpace::<f64>::unbounded([2, 2]).describe()),
        ("box/float16", uniform(DType::F16, false, &[1], (&[0, 0], true), (&[0, 0x3c], true))),
        ("box/image", BoxSpace::<u8>::new([84, 84, 4], 0, 255).describe()),
        ("box/bool", BoxSpace::<bool>::new([5], false, true).describe()),
        ("box/0-dimensional", BoxSpace::<i64>::new([], -10, 10).describe()),
        ("box/no-elements", BoxSpace::<f32>::new([0, 4], 0.0, 1.0).describe()),
        (
            "box/unbounded-int32-keeps-its-dtypes-limits",
            uniform(DType::I32, false, &[2], (&int_min, false), (&i32::MAX.to_le_bytes(), false)),
        ),
        (
            "box/bounded-int32-of-the-same-limits",
            uniform(DType::I32, false, &[2], (&int_min, true), (&i32::MAX.to_le_bytes(), true)),
        ),
        (
            "box/equal-bounds-of-each-element",
            AnySpace::Box(AnyBox {
                dtype: DType::U16,
                big_endian: false,
                shape: vec![2],
                low: Bound::Each { values: vec![0; 4], bounded: vec![true, true] },
                high: Bound::Each { values: vec![1, 0, 1, 0], bounded: vec![true, false] },
            }),
        ),
        ("box/big-endian", big_endian()),
        ("discrete/2", Discrete::new(2).describe()),
        ("discrete/start", Discrete::new(3).starting_at(-1).describe()),
        ("discrete/uint8", AnySpace::Discrete(Discrete { n: 200, start: 5, dtype: DType::U8 })),
        ("discrete/uint64", AnySpace::Discrete(Discrete { n: u64::MAX, start: 0, dtype: DType::U64 })),
        ("multibinary/int", MultiBinary::new(5).describe()),
        ("multibinary/list", AnySpace::MultiBinary(MultiBinary { shape: vec![5], n_is_int: false })),
        ("multibinary/2-dimensional", AnySpace::MultiBinary(MultiBinary { shape: vec![2, 3], n_is_int: false })),
        ("multidiscrete/int64", MultiDiscrete::new(&[3, 2]).describe()),
        ("multidiscrete/start", multi(DType::I32, false, &[2, 2], &[1, 2, 3, 4], &[-1, 0, 1, 2])),
        ("multidiscrete/big-endian", multi(DType::I16, true, &[1], &[9], &[0])),
        ("multidiscrete/no-elements", multi(DType::I64, false, &[0], &[], &[])),
        ("text/ascii", Text::new(10, "abc").describe()),
        ("text/unicode", AnySpace::Text(Text { min_length: 0, max_length: 3, charset: "zß漢🎮a".into() })),
        ("tuple/empty", AnySpace::Tuple(vec![])),
        ("tuple/two", (Discrete::new(2), Text::new(3, "01")).describe()),
        ("dict/empty", AnySpace::Dict(vec![])),
        ("dict/order-is-kept", dict()),
        (
            "dict/keys-of-any-type",
            AnySpace::Dict(vec![
                (Value::Int(7), Discrete::new(1).describe()),
                (Value::Tuple(vec![Value::Int(0), "é".into()]), MultiBinary::new(1).describe()),
            ]),
        ),
        ("sequence/tuple", Sequence::new(Discrete::new(5)).describe()),
        ("sequence/stacked", sequence(true)),
        ("sequence/of-dicts", sequence(false)),
        ("graph/without-edges", graph(None)),
        ("graph/with-edges", graph(Some(Discrete::new(4).describe()))),
        ("oneof", AnySpace::OneOf(vec![Discrete::new(3).describe(), Text::new(2, "xy").describe()])),
        ("depth-32", nested(32)),
    ]
    .into_iter()
    .map(|(name, space)| positive(&format!("space/{name}"), &Item::Space(space)))
    .collect()
}
