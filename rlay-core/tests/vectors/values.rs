//! Vectors of values: every tag, every dtype, and the corners of each.

use rlay_core::{Array, DType, Graph, Map, Value};

use super::{Item, Vector, positive};

/// `n` lists, each in the one before it; the innermost is empty.
pub(crate) fn nested(n: usize) -> Value {
    (1..n).fold(Value::List(vec![]), |inner, _| Value::List(vec![inner]))
}

fn array(dtype: DType, big_endian: bool, shape: &[u64], data: &[u8]) -> Array {
    Array { dtype, big_endian, shape: shape.to_vec(), data: data.to_vec() }
}

/// The bits of two elements of each dtype: the smallest but one and the largest, or NaN.
fn pair(dtype: DType) -> Vec<u8> {
    match dtype {
        DType::Bool => vec![0, 1],
        DType::F16 => vec![0x00, 0xbc, 0x01, 0x7e],
        DType::F32 => [(-1.5f32).to_le_bytes(), f32::from_bits(0x7fc0_0001).to_le_bytes()].concat(),
        DType::F64 => [(-1.5f64).to_le_bytes(), f64::from_bits(0x7ff8_0000_0000_0001).to_le_bytes()].concat(),
        _ => (0..2 * dtype.size()).map(|i| if i < dtype.size() { i as u8 + 1 } else { 0xff }).collect(),
    }
}

pub(crate) fn all() -> Vec<Vector> {
    let text = |x: &str| Value::Str(x.into());
    let scalar = |dtype: DType, data: &[u8]| Value::Scalar(array(dtype, false, &[], data));
    let mut all: Vec<(String, Value)> = [
        ("none", Value::None),
        ("false", Value::Bool(false)),
        ("true", Value::Bool(true)),
        ("int/zero", Value::Int(0)),
        ("int/minus-one", Value::Int(-1)),
        ("int/min", Value::Int(i64::MIN)),
        ("int/max", Value::Int(i64::MAX)),
        ("bigint/2^63", Value::int(1 << 63)),
        ("bigint/2^64-1", Value::int(u64::MAX.into())),
        ("bigint/-2^63-1", Value::int(-(1 << 63) - 1)),
        ("bigint/-2^71", Value::BigInt(vec![0, 0, 0, 0, 0, 0, 0, 0, 0x80])),
        ("bigint/2^200", Value::BigInt([vec![0; 25], vec![1]].concat())),
        ("float/0.1+0.2", Value::Float(0.1 + 0.2)),
        ("float/minus-zero", Value::Float(-0.0)),
        ("float/infinity", Value::Float(f64::INFINITY)),
        ("float/smallest", Value::Float(f64::from_bits(1))),
        ("float/nan-with-payload", Value::Float(f64::from_bits(0x7ff8_dead_beef_0001))),
        ("float/negative-nan", Value::Float(f64::from_bits(0xfff8_0000_0000_0000))),
        ("str/empty", text("")),
        ("str/ascii", text("relay")),
        ("str/unicode", text("Größe 漢字 🎮 e\u{301}")),
        ("str/zero-byte", text("a\0b")),
        ("bytes/empty", Value::Bytes(vec![])),
        ("bytes/not-utf-8", Value::Bytes(vec![0xff, 0x00, 0x80])),
        ("list/empty", Value::List(vec![])),
        ("list/mixed", Value::List(vec![Value::None, Value::Bool(true), Value::Int(1), Value::Float(1.0)])),
        ("tuple/empty", Value::Tuple(vec![])),
        ("tuple/nested", Value::Tuple(vec![Value::Tuple(vec![text("x")]), Value::List(vec![Value::Int(2)])])),
        ("dict/empty", Value::Dict(Map::new())),
        ("dict/order-is-kept", Value::Dict(Map::from([("z", 1), ("a", 2), ("m", 3)]))),
        (
            "dict/keys-of-any-type",
            Value::Dict(Map(vec![
                (Value::Int(1), text("int")),
                (Value::Float(1.5), text("float")),
                (Value::Tuple(vec![Value::Int(0), Value::Int(1)]), Value::None),
                (text(""), Value::Dict(Map::from([("deeper", true)]))),
            ])),
        ),
        ("array/0-dimensional", Value::Array(Array::new(&[], &[7i64]))),
        ("array/no-elements", Value::Array(Array::new::<f32>(&[0, 3], &[]))),
        ("array/2x3", Value::Array(Array::new(&[2, 3], &[1i16, 2, 3, 4, 5, 6]))),
        ("array/image", Value::Array(Array::new(&[2, 2, 3], &[0u8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]))),
        ("array/big-endian-f32", Value::Array(array(DType::F32, true, &[1], &1.0f32.to_le_bytes()))),
        ("array/64-dimensions", Value::Array(Array::new(&[1; 64], &[true]))),
        ("scalar/bool", scalar(DType::Bool, &[1])),
        ("scalar/int64", scalar(DType::I64, &(-2i64).to_le_bytes())),
        ("scalar/uint8", scalar(DType::U8, &[255])),
        ("scalar/float32", scalar(DType::F32, &0.1f32.to_le_bytes())),
        (
            "graph/without-edges",
            Value::Graph(Box::new(Graph { nodes: Array::new(&[1, 2], &[0.5f32, 1.5]).into(), ..Graph::default() })),
        ),
        (
            "graph/with-edges",
            Value::Graph(Box::new(Graph {
                nodes: Array::new(&[2, 1], &[0.0f64, 1.0]).into(),
                edges: Array::new(&[1], &[3i64]).into(),
                edge_links: Array::new(&[1, 2], &[0i32, 1]).into(),
            })),
        ),
        ("opaque", Value::Opaque { type_name: "threading.Lock".into(), repr: "<unlocked lock>".into() }),
        ("depth-32", nested(32)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for dtype in DType::ALL {
        let name = format!("array/{}", dtype.name());
        all.push((name, Value::Array(array(dtype, false, &[2], &pair(dtype)))));
    }
    all.into_iter().map(|(name, value)| positive(&format!("value/{name}"), &Item::Value(value))).collect()
}
