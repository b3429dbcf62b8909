//! rlay_Value: values for infos, options, metadata, and observations and actions that are not packed.

use std::ffi::c_char;

use bytemuck::TransparentWrapper;
use rlay::{Array, Graph, Map, Value, wire::Keys};

use crate::{
    input::{byte_len, dtype, object, object_mut, slice, text},
    status::{Fault, Outcome, given, made, quiet, rlay_Status, rlay_Status::*, status},
};

/// The element types of arrays. The numbers are those of docs/wire.md, section 4.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rlay_DType {
    /// One byte, 0 or 1.
    RLAY_BOOL = 0,
    /// int8_t.
    RLAY_INT8 = 1,
    /// int16_t.
    RLAY_INT16 = 2,
    /// int32_t.
    RLAY_INT32 = 3,
    /// int64_t.
    RLAY_INT64 = 4,
    /// uint8_t.
    RLAY_UINT8 = 5,
    /// uint16_t.
    RLAY_UINT16 = 6,
    /// uint32_t.
    RLAY_UINT32 = 7,
    /// uint64_t.
    RLAY_UINT64 = 8,
    /// IEEE 754 with 16 bits.
    RLAY_FLOAT16 = 9,
    /// float.
    RLAY_FLOAT32 = 10,
    /// double.
    RLAY_FLOAT64 = 11,
}

impl From<rlay::DType> for rlay_DType {
    fn from(dtype: rlay::DType) -> Self {
        use rlay_DType::*;
        const ALL: [rlay_DType; 12] = [
            RLAY_BOOL,
            RLAY_INT8,
            RLAY_INT16,
            RLAY_INT32,
            RLAY_INT64,
            RLAY_UINT8,
            RLAY_UINT16,
            RLAY_UINT32,
            RLAY_UINT64,
            RLAY_FLOAT16,
            RLAY_FLOAT32,
            RLAY_FLOAT64,
        ];
        ALL[dtype as usize]
    }
}

/// A value that keeps Python's types apart: None, bool, int, float, str, bytes, list, tuple, dict, NumPy arrays and scalars,
/// and graphs.
///
/// The functions named rlay_value_… that return a pointer make a new value, which is the caller's; NULL with a last error
/// if that fails. It is given away with a call that says that it *takes* the value, whether that call succeeds or not, or
/// freed with rlay_value_free. A `const rlay_Value *` that RLay gives is part of something else and is not freed; NULL
/// means None wherever a value is read.
///
/// Values belong to no thread, but two threads must not use one at the same time while one of them changes it.
#[cfg_attr(all(), repr(transparent))] // hidden from cbindgen, to which the type is opaque
#[derive(Debug, Clone, TransparentWrapper)]
pub struct rlay_Value(pub(crate) Value);

pub(crate) const NONE: &rlay_Value = &rlay_Value(Value::None);

/// A value of Rust as C sees it.
pub(crate) fn value(value: &Value) -> &rlay_Value {
    rlay_Value::wrap_ref(value)
}

fn new(value: Value) -> Option<Box<rlay_Value>> {
    made(|| Ok(rlay_Value(value)))
}

/// None. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_none() -> Option<Box<rlay_Value>> {
    new(Value::None)
}

/// A bool. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_bool(x: bool) -> Option<Box<rlay_Value>> {
    new(Value::Bool(x))
}

/// An int. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_int(x: i64) -> Option<Box<rlay_Value>> {
    new(Value::Int(x))
}

/// An int of any size: `length` bytes, little-endian, in two's complement. The bytes are copied. Any thread; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_big_int(bytes: *const u8, length: usize) -> Option<Box<rlay_Value>> {
    made(|| {
        let mut bytes = slice(bytes, length, "bytes")?.to_vec();
        while let [.., before, last] = bytes[..] {
            if !((last == 0 && before < 0x80) || (last == 0xff && before >= 0x80)) {
                break;
            }
            bytes.pop();
        }
        if bytes.len() > 8 {
            return Ok(rlay_Value(Value::BigInt(bytes)));
        }
        let sign = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
        bytes.resize(8, sign);
        let small = bytes.try_into().map_err(|_| Fault::new(RLAY_INVALID_ARGUMENT, "eight bytes are an int64_t"))?;
        Ok(rlay_Value(Value::Int(i64::from_le_bytes(small))))
    })
}

/// A float. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_float(x: f64) -> Option<Box<rlay_Value>> {
    new(Value::Float(x))
}

/// A str: UTF-8 of `length` bytes, which are copied. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_str(start: *const c_char, length: usize) -> Option<Box<rlay_Value>> {
    made(|| Ok(rlay_Value(text(start, length, "text")?.into())))
}

/// A bytes of `length` bytes, which are copied. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_bytes(bytes: *const u8, length: usize) -> Option<Box<rlay_Value>> {
    made(|| Ok(rlay_Value(Value::Bytes(slice(bytes, length, "bytes")?.to_vec()))))
}

/// An empty list; rlay_value_append adds to it. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_list() -> Option<Box<rlay_Value>> {
    new(Value::List(Vec::new()))
}

/// An empty tuple; rlay_value_append adds to it. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_tuple() -> Option<Box<rlay_Value>> {
    new(Value::Tuple(Vec::new()))
}

/// An empty dict; rlay_value_set and rlay_value_put add to it. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_dict() -> Option<Box<rlay_Value>> {
    new(Value::Dict(Map::new()))
}

fn array(code: u32, shape: &[u64], data: &[u8]) -> Outcome<Array> {
    let dtype = dtype(code)?;
    let size = byte_len(shape, dtype)?;
    if size != data.len() {
        let text = format!("an array of {} and shape {shape:?} has {size} bytes, not {}", dtype.name(), data.len());
        return Err(Fault::new(RLAY_INVALID_ARGUMENT, text));
    }
    if dtype == rlay::DType::Bool && data.iter().any(|byte| *byte > 1) {
        return Err(Fault::new(RLAY_INVALID_ARGUMENT, "elements of dtype bool are 0 or 1"));
    }
    Ok(Array { dtype, big_endian: false, shape: shape.to_vec(), data: data.to_vec() })
}

/// A NumPy array. `dtype` is an rlay_DType; `shape` has `ndim` entries; `data` has `size` bytes, the elements in C order.
/// Both are copied. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_array(
    dtype: u32,
    shape: *const u64,
    ndim: usize,
    data: *const u8,
    size: usize,
) -> Option<Box<rlay_Value>> {
    made(|| {
        let array = array(dtype, slice(shape, ndim, "shape")?, slice(data, size, "data")?)?;
        Ok(rlay_Value(Value::Array(array)))
    })
}

/// A NumPy scalar, such as np.float32(1). `dtype` is an rlay_DType; `data` has `size` bytes, one element. They are copied.
/// Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_scalar(dtype: u32, data: *const u8, size: usize) -> Option<Box<rlay_Value>> {
    made(|| Ok(rlay_Value(Value::Scalar(array(dtype, &[], slice(data, size, "data")?)?))))
}

/// A GraphInstance. Takes the three values; `edges` and `edge_links` may be NULL. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_graph(
    nodes: Option<Box<rlay_Value>>,
    edges: Option<Box<rlay_Value>>,
    edge_links: Option<Box<rlay_Value>>,
) -> Option<Box<rlay_Value>> {
    made(|| {
        let or_none = |value: Option<Box<rlay_Value>>| value.map(|value| value.0).unwrap_or_default();
        let nodes = given(nodes, "nodes")?.0;
        let graph = Graph { nodes, edges: or_none(edges), edge_links: or_none(edge_links) };
        Ok(rlay_Value(Value::Graph(Box::new(graph))))
    })
}

/// A copy. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_clone(value: Option<&rlay_Value>) -> Option<Box<rlay_Value>> {
    made(|| Ok(value.unwrap_or(NONE).clone()))
}

/// Frees a value that is the caller's; NULL is allowed. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_free(value: Option<Box<rlay_Value>>) {
    quiet((), || drop(value));
}

/// Appends `item` to a list or tuple. Takes `item`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_append(sequence: Option<&mut rlay_Value>, item: Option<Box<rlay_Value>>) -> rlay_Status {
    status(|| {
        let item = given(item, "item")?.0;
        match &mut object_mut(sequence, "sequence")?.0 {
            Value::List(items) | Value::Tuple(items) => items.push(item),
            other => return Err(wrong_kind(other, "a list or tuple")),
        }
        Ok(())
    })
}

/// Stores `item` in a dict under the text `key` of `length` bytes, which is copied, in place of what was there. Takes
/// `item`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_set(
    dict: Option<&mut rlay_Value>,
    key: *const c_char,
    length: usize,
    item: Option<Box<rlay_Value>>,
) -> rlay_Status {
    status(|| {
        let item = given(item, "item")?.0;
        match &mut object_mut(dict, "dict")?.0 {
            Value::Dict(map) => map.insert(text(key, length, "key")?, item),
            other => return Err(wrong_kind(other, "a dict")),
        }
        Ok(())
    })
}

/// The same with any key that a dict may have: a str, an int, None, a bool, a float, bytes, a scalar, or a tuple of these.
/// Takes `key` and `item`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_put(
    dict: Option<&mut rlay_Value>,
    key: Option<Box<rlay_Value>>,
    item: Option<Box<rlay_Value>>,
) -> rlay_Status {
    status(|| {
        let (key, item) = (given(key, "key").map(|key| key.0), given(item, "item").map(|item| item.0));
        let (key, item) = (key?, item?);
        Keys::of_a_value().take(&key).map_err(|why| Fault::new(RLAY_INVALID_ARGUMENT, why))?;
        match &mut object_mut(dict, "dict")?.0 {
            Value::Dict(map) => match map.0.iter_mut().find(|(other, _)| *other == key) {
                Some(entry) => entry.1 = item,
                None => map.0.push((key, item)),
            },
            other => return Err(wrong_kind(other, "a dict")),
        }
        Ok(())
    })
}

pub(crate) fn wrong_kind(value: &Value, wanted: &str) -> Fault {
    Fault::new(RLAY_WRONG_KIND, format!("the value is no {wanted} but a {}", value.type_name()))
}

/// The entries of a dict that a caller gives, or none.
pub(crate) fn map_of(value: Option<&rlay_Value>, what: &str) -> Outcome<Map> {
    match value.map(|value| &value.0) {
        None | Some(Value::None) => Ok(Map::new()),
        Some(Value::Dict(map)) => Ok(map.clone()),
        Some(other) => Err(wrong_kind(other, &format!("dict, as {what} is"))),
    }
}

/// A dict that a caller gives away.
pub(crate) fn dict_of(value: Option<Box<rlay_Value>>, what: &str) -> Outcome<Value> {
    let value = given(value, what)?;
    map_of(Some(object(Some(&value), what)?), what)?;
    Ok(value.0)
}
