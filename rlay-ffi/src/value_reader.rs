//! How values are read.

use std::{ffi::c_char, mem::MaybeUninit};

use rlay::{Array, Value};

use crate::{
    input::{set, text},
    status::{Fault, Outcome, copy_text, quiet, rlay_Status, rlay_Status::*, status},
    value::{NONE, rlay_DType, rlay_Value, value as shown, wrong_kind},
};

/// What a value is. The numbers are those of docs/wire.md, section 5.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rlay_ValueKind {
    /// None.
    RLAY_VALUE_NONE = 0,
    /// A bool: rlay_value_as_bool.
    RLAY_VALUE_BOOL = 1,
    /// An int within 64 bits: rlay_value_as_int.
    RLAY_VALUE_INT = 2,
    /// Any other int: rlay_value_as_bytes.
    RLAY_VALUE_BIG_INT = 3,
    /// A float: rlay_value_as_float.
    RLAY_VALUE_FLOAT = 4,
    /// A str: rlay_value_as_str.
    RLAY_VALUE_STR = 5,
    /// A bytes: rlay_value_as_bytes.
    RLAY_VALUE_BYTES = 6,
    /// A list: rlay_value_count, rlay_value_item.
    RLAY_VALUE_LIST = 7,
    /// A tuple: rlay_value_count, rlay_value_item.
    RLAY_VALUE_TUPLE = 8,
    /// A dict: rlay_value_get, rlay_value_count, rlay_value_entry.
    RLAY_VALUE_DICT = 9,
    /// A NumPy array: rlay_value_as_array.
    RLAY_VALUE_ARRAY = 10,
    /// A NumPy scalar: rlay_value_as_array, and as the number that it is.
    RLAY_VALUE_SCALAR = 11,
    /// A GraphInstance, of which rlay_value_item gives nodes (0), edges (1) and edge_links (2).
    RLAY_VALUE_GRAPH = 12,
    /// An object that could not be sent: rlay_value_describe shows it.
    RLAY_VALUE_OPAQUE = 13,
}

/// What an array holds. Pointers are into the value.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_Array {
    /// The element type.
    pub dtype: rlay_DType,
    /// Whether the sender's array was big-endian. `data` is little-endian all the same.
    pub big_endian: bool,
    /// Elements along each of `ndim` axes.
    pub shape: *const u64,
    /// How many axes there are; 0 for a scalar.
    pub ndim: usize,
    /// The elements in C order. They lie anywhere in memory: copy them where alignment counts.
    pub data: *const u8,
    /// Bytes of data.
    pub size: usize,
}

impl rlay_Array {
    pub(crate) fn of(array: &Array) -> Self {
        Self {
            dtype: array.dtype.into(),
            big_endian: array.big_endian,
            shape: array.shape.as_ptr(),
            ndim: array.shape.len(),
            data: array.data.as_ptr(),
            size: array.data.len(),
        }
    }
}

fn read(value: Option<&rlay_Value>) -> &Value {
    &value.unwrap_or(NONE).0
}

/// What `value` is. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_kind(value: Option<&rlay_Value>) -> rlay_ValueKind {
    use rlay_ValueKind::*;
    match read(value) {
        Value::None => RLAY_VALUE_NONE,
        Value::Bool(_) => RLAY_VALUE_BOOL,
        Value::Int(_) => RLAY_VALUE_INT,
        Value::BigInt(_) => RLAY_VALUE_BIG_INT,
        Value::Float(_) => RLAY_VALUE_FLOAT,
        Value::Str(_) => RLAY_VALUE_STR,
        Value::Bytes(_) => RLAY_VALUE_BYTES,
        Value::List(_) => RLAY_VALUE_LIST,
        Value::Tuple(_) => RLAY_VALUE_TUPLE,
        Value::Dict(_) => RLAY_VALUE_DICT,
        Value::Array(_) => RLAY_VALUE_ARRAY,
        Value::Scalar(_) => RLAY_VALUE_SCALAR,
        Value::Graph(_) => RLAY_VALUE_GRAPH,
        Value::Opaque { .. } => RLAY_VALUE_OPAQUE,
    }
}

/// The truth value of a bool or np.bool_; RLAY_WRONG_KIND of anything else. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_as_bool(value: Option<&rlay_Value>, x: Option<&mut MaybeUninit<bool>>) -> rlay_Status {
    status(|| {
        let value = read(value);
        set(x, value.as_bool().ok_or_else(|| wrong_kind(value, "bool"))?, "x")
    })
}

/// The number, if this is a Python or NumPy integer within 64 bits; RLAY_WRONG_KIND of anything else. Any thread; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_as_int(value: Option<&rlay_Value>, x: Option<&mut MaybeUninit<i64>>) -> rlay_Status {
    status(|| {
        let value = read(value);
        set(x, value.as_i64().ok_or_else(|| wrong_kind(value, "integer within 64 bits"))?, "x")
    })
}

/// The number, if this is a Python or NumPy number (integers beyond 2^53 are rounded); RLAY_WRONG_KIND of anything else. Any
/// thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_as_float(value: Option<&rlay_Value>, x: Option<&mut MaybeUninit<f64>>) -> rlay_Status {
    status(|| {
        let value = read(value);
        set(x, value.as_f64().ok_or_else(|| wrong_kind(value, "number"))?, "x")
    })
}

/// The text of a str, as UTF-8 of *length bytes without a NUL behind it, which lie in the value; RLAY_WRONG_KIND of anything
/// else. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_as_str(
    value: Option<&rlay_Value>,
    text: Option<&mut MaybeUninit<*const c_char>>,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| match read(value) {
        Value::Str(x) => {
            set(length, x.len(), "length")?;
            set(text, x.as_ptr().cast(), "text")
        }
        other => Err(wrong_kind(other, "str")),
    })
}

/// The bytes of a bytes, or of an int beyond 64 bits (little-endian, two's complement), which lie in the value;
/// RLAY_WRONG_KIND of anything else. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_as_bytes(
    value: Option<&rlay_Value>,
    bytes: Option<&mut MaybeUninit<*const u8>>,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| match read(value) {
        Value::Bytes(x) | Value::BigInt(x) => {
            set(length, x.len(), "length")?;
            set(bytes, x.as_ptr(), "bytes")
        }
        other => Err(wrong_kind(other, "bytes, and no int beyond 64 bits,")),
    })
}

/// What an array or NumPy scalar holds, which lies in the value; RLAY_WRONG_KIND of anything else. Any thread; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_as_array(
    value: Option<&rlay_Value>,
    array: Option<&mut MaybeUninit<rlay_Array>>,
) -> rlay_Status {
    status(|| match read(value) {
        Value::Array(x) | Value::Scalar(x) => set(array, rlay_Array::of(x), "array"),
        other => Err(wrong_kind(other, "NumPy array or scalar")),
    })
}

/// How many items a list, tuple, dict or graph (3) has; 0 of anything else. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_count(value: Option<&rlay_Value>) -> usize {
    quiet(0, || match read(value) {
        Value::List(items) | Value::Tuple(items) => items.len(),
        Value::Dict(map) => map.len(),
        Value::Graph(_) => 3,
        _ => 0,
    })
}

fn no_item(index: usize, count: usize) -> Fault {
    Fault::new(RLAY_NOT_FOUND, format!("there is no item {index}, for there are {count}"))
}

fn item(value: &Value, index: usize) -> Outcome<&Value> {
    match value {
        Value::List(items) | Value::Tuple(items) => items.get(index).ok_or_else(|| no_item(index, items.len())),
        Value::Graph(graph) => match index {
            0 => Ok(&graph.nodes),
            1 => Ok(&graph.edges),
            2 => Ok(&graph.edge_links),
            _ => Err(no_item(index, 3)),
        },
        other => Err(wrong_kind(other, "list, tuple or graph")),
    }
}

/// Item `index`, counted from 0, of a list, tuple or graph, which lies in the value; RLAY_NOT_FOUND if there are fewer. Any
/// thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_item(
    value: Option<&rlay_Value>,
    index: usize,
    found: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    status(|| set(found, shown(item(read(value), index)?), "found"))
}

/// Entry `index` of a dict, in the order of insertion: key and item, which lie in the value. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_entry(
    value: Option<&rlay_Value>,
    index: usize,
    key: Option<&mut MaybeUninit<*const rlay_Value>>,
    item: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    status(|| match read(value) {
        Value::Dict(map) => {
            let (found, x) = map.0.get(index).ok_or_else(|| no_item(index, map.len()))?;
            set(key, shown(found), "key")?;
            set(item, shown(x), "item")
        }
        other => Err(wrong_kind(other, "dict")),
    })
}

/// The item of a dict under the text `key` of `length` bytes, which lies in the value; RLAY_NOT_FOUND if there is none. Any
/// thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_get(
    value: Option<&rlay_Value>,
    key: *const c_char,
    length: usize,
    found: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    status(|| match read(value) {
        Value::Dict(map) => {
            let key = text(key, length, "key")?;
            let item =
                map.get(key).ok_or_else(|| Fault::new(RLAY_NOT_FOUND, format!("the dict has no key {key:?}")))?;
            set(found, shown(item), "found")
        }
        other => Err(wrong_kind(other, "dict")),
    })
}

/// Writes the value as Python prints it, for people: UTF-8 of *length bytes, without a NUL. RLAY_SHORT_BUFFER if that is
/// above `capacity`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_value_describe(
    value: Option<&rlay_Value>,
    buffer: *mut c_char,
    capacity: usize,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| copy_text(&format!("{:?}", read(value)), buffer, capacity, length))
}
