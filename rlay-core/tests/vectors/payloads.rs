//! Vectors of packed payloads: bytes that mean something only together with a space and a number of rows.

use rlay_core::{Array, BoxSpace, DType, Discrete, Map, MultiBinary, MultiDiscrete, Rng, Space, Value};

use super::{AnySpace, Item, Vector, positive, spaces};

fn scalar(dtype: DType, data: &[u8]) -> Value {
    Value::Scalar(Array { dtype, big_endian: false, shape: vec![], data: data.to_vec() })
}

/// An element of [`spaces::dict`].
fn dict(image: u8, direction: Value) -> Value {
    let image = Value::Array(Array::new(&[2, 3], &[image; 6]));
    Value::Dict(Map(vec![("image".into(), image), ("direction".into(), direction)]))
}

pub(crate) fn all() -> Vec<Vector> {
    let int64 = |x: i64| scalar(DType::I64, &x.to_le_bytes());
    let discrete = Discrete::new(5).describe();
    let small = AnySpace::Discrete(Discrete { n: 200, start: 5, dtype: DType::U8 });
    let image = BoxSpace::<u8>::new([3], 0, 255).describe();
    let grid = BoxSpace::<f64>::unbounded([2, 2]).describe();
    let binary = MultiBinary::new(3).describe();
    let multi = AnySpace::MultiDiscrete(MultiDiscrete { dtype: DType::I16, ..MultiDiscrete::new(&[4, 9, 2]) });
    let nested = AnySpace::Tuple(vec![spaces::dict(), binary.clone(), AnySpace::Tuple(vec![multi.clone()])]);
    let element = |seed| nested.sample(&mut Rng::seeded(seed));
    let ints = |x: &[i16]| Value::Array(Array::new(&[3], x));
    let bytes = |x: &[u8]| Value::Array(Array::new(&[3], x));
    let floats = |x: f32| Value::Array(Array::new(&[4], &[x, -x, 0.0, f32::NAN]));
    [
        ("discrete/numpy-scalar", discrete.clone(), vec![int64(1)]),
        ("discrete/python-int", discrete.clone(), vec![Value::Int(1)]),
        ("discrete/out-of-range-is-for-the-env-to-judge", discrete.clone(), vec![Value::Int(-9)]),
        ("discrete/three-rows", discrete, vec![int64(4), Value::Int(3), int64(2)]),
        ("discrete/uint8", small, vec![scalar(DType::U8, &[204])]),
        ("box/float32", spaces::cart_pole(), vec![floats(0.5)]),
        ("box/float32-two-rows", spaces::cart_pole(), vec![floats(0.5), floats(1.0)]),
        ("box/float64", grid, vec![Value::Array(Array::new(&[2, 2], &[0.1f64, f64::INFINITY, -0.0, 1e300]))]),
        ("box/padded", image.clone(), vec![bytes(&[1, 2, 3])]),
        ("box/rows-are-padded-once", image, vec![bytes(&[1, 2, 3]), bytes(&[4, 5, 6]), bytes(&[7, 8, 9])]),
        (
            "box/no-elements",
            BoxSpace::<f32>::new([0], 0.0, 1.0).describe(),
            vec![Value::Array(Array::new::<f32>(&[0], &[]))],
        ),
        (
            "box/bool",
            BoxSpace::<bool>::new([2], false, true).describe(),
            vec![Value::Array(Array::new(&[2], &[true, false]))],
        ),
        ("multibinary", binary, vec![Value::Array(Array::new(&[3], &[1i8, 0, 1]))]),
        ("multidiscrete", multi.clone(), vec![ints(&[3, 8, 1])]),
        ("multidiscrete/two-rows", multi, vec![ints(&[3, 8, 1]), ints(&[0, 1, 0])]),
        ("tuple/empty", AnySpace::Tuple(vec![]), vec![Value::Tuple(vec![])]),
        ("dict", spaces::dict(), vec![dict(7, int64(2))]),
        ("dict/two-rows", spaces::dict(), vec![dict(7, int64(2)), dict(8, Value::Int(3))]),
        ("nested", nested.clone(), vec![element(1)]),
        ("nested/three-rows", nested.clone(), vec![element(1), element(2), element(3)]),
    ]
    .into_iter()
    .map(|(name, space, values)| positive(&format!("payload/{name}"), &Item::Payload(space, values)))
    .collect()
}
