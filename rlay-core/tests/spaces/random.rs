//! Strategies for spaces of every class, nested at random.

use proptest::prelude::*;
use rlay_core::{AnyBox, AnySpace, Bound, DType, Discrete, MultiBinary, MultiDiscrete, Text, Value};

fn shape() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0..4u64, 0..3)
}

fn integer() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::ALL[1..9].to_vec())
}

/// The bytes of one element of `dtype` with a value of about `x`.
fn element(dtype: DType, x: i8) -> Vec<u8> {
    match dtype {
        DType::Bool => vec![u8::from(x > 0)],
        DType::F16 => half::f16::from_f32(x.into()).to_le_bytes().into(),
        DType::F32 => f32::from(x).to_le_bytes().into(),
        DType::F64 => f64::from(x).to_le_bytes().into(),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => (u64::from(x as u8)).to_le_bytes()[..dtype.size()].into(),
        _ => i64::from(x).to_le_bytes()[..dtype.size()].into(),
    }
}

/// The value of a bound that limits nothing: infinity, or the limit of an integer type.
fn unbounded(dtype: DType, high: bool) -> Vec<u8> {
    let sign = if high { 1.0f32 } else { -1.0 };
    match dtype {
        DType::F16 => half::f16::from_f32(sign * f32::INFINITY).to_le_bytes().into(),
        DType::F32 => (sign * f32::INFINITY).to_le_bytes().into(),
        DType::F64 => f64::from(sign * f32::INFINITY).to_le_bytes().into(),
        DType::Bool => vec![u8::from(high)],
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => vec![if high { 0xff } else { 0 }; dtype.size()],
        _ => {
            let mut bytes = vec![if high { 0xff } else { 0 }; dtype.size()];
            bytes[dtype.size() - 1] = if high { 0x7f } else { 0x80 };
            bytes
        }
    }
}

prop_compose! {
    /// Boxes of every dtype; each element has its own bounds or none, in order.
    fn any_box()(dtype in prop::sample::select(DType::ALL.to_vec()), shape in shape(),
                  big in any::<bool>(), each in any::<bool>())
        (bounds in prop::collection::vec(
            (any::<(i8, i8)>(), any::<(bool, bool)>()), if each { shape.iter().product::<u64>() as usize } else { 1 }),
         dtype in Just(dtype), shape in Just(shape), big in Just(big), each in Just(each)) -> AnySpace {
        let signed = !matches!(dtype, DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64);
        let bound = |high: bool| {
            let sides = bounds.iter().map(|((a, b), (below, above))| {
                // Unsigned numbers keep to the half in which both readings of a byte agree.
                let (a, b) = if signed { (*a, *b) } else { (a & 0x7f, b & 0x7f) };
                let x = if high { a.max(b) } else { a.min(b) };
                let bounded = !signed || if high { *above } else { *below };
                (if bounded { element(dtype, x) } else { unbounded(dtype, high) }, bounded)
            });
            let (values, mask): (Vec<Vec<u8>>, Vec<bool>) = sides.unzip();
            if each {
                Bound::Each { values: values.concat(), bounded: mask }
            } else {
                Bound::Uniform { value: values.concat(), bounded: mask[0] }
            }
        };
        let (low, high) = (bound(false), bound(true));
        AnySpace::Box(AnyBox { dtype, big_endian: big && dtype.size() > 1, shape, low, high })
    }
}

fn discrete() -> impl Strategy<Value = AnySpace> {
    (1..100u64, 0..27i64, integer()).prop_map(|(n, start, dtype)| AnySpace::Discrete(Discrete { n, start, dtype }))
}

prop_compose! {
    fn multi_discrete()(shape in shape(), dtype in integer(), big in any::<bool>())
        (ranges in prop::collection::vec((1..100i64, 0..27i64), shape.iter().product::<u64>() as usize),
         shape in Just(shape), dtype in Just(dtype), big in Just(big)) -> AnySpace {
        let (nvec, start) = ranges.into_iter().unzip();
        AnySpace::MultiDiscrete(MultiDiscrete { shape, nvec, start, dtype, big_endian: big && dtype.size() > 1 })
    }
}

fn text() -> impl Strategy<Value = AnySpace> {
    (0..4u64, 0..4u64, "[a-cß漢🎮]{1,4}").prop_map(|(least, more, charset)| {
        AnySpace::Text(Text { min_length: least, max_length: least + more, charset })
    })
}

/// A space without others in it.
pub(crate) fn leaf() -> impl Strategy<Value = AnySpace> {
    let binary = (shape(), any::<bool>()).prop_map(|(shape, n_is_int)| {
        AnySpace::MultiBinary(MultiBinary { n_is_int: n_is_int && shape.len() == 1, shape })
    });
    prop_oneof![3 => any_box(), 2 => discrete(), 1 => binary, 2 => multi_discrete(), 1 => text()]
}

/// Keys of a Dict: each different from the others.
fn keyed(spaces: Vec<AnySpace>) -> AnySpace {
    let key = |i: usize| if i % 3 == 2 { Value::Int(i as i64) } else { Value::Str(format!("{}é", 9 - i)) };
    AnySpace::Dict(spaces.into_iter().enumerate().map(|(i, space)| (key(i), space)).collect())
}

/// Any space, nested up to three levels deep.
pub(crate) fn space() -> impl Strategy<Value = AnySpace> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 0..4);
        let some = prop::collection::vec(inner.clone(), 1..4);
        let edge = prop::option::of(inner.clone());
        prop_oneof![
            3 => several.clone().prop_map(AnySpace::Tuple),
            3 => several.prop_map(keyed),
            1 => (inner.clone(), any::<bool>())
                .prop_map(|(space, stack)| AnySpace::Sequence { space: Box::new(space), stack }),
            1 => (inner, edge)
                .prop_map(|(node, edge)| AnySpace::Graph { node: Box::new(node), edge: edge.map(Box::new) }),
            1 => some.prop_map(AnySpace::OneOf),
        ]
    })
}
