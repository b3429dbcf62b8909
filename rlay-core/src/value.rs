//! Values that keep Python's types apart, for `info`, `options`, metadata and unusual observations.

use std::ops::Index;

use serde::{Deserialize, Serialize};

use crate::{
    dtype::{DType, Scalar},
    wire::Keys,
};

/// A value as Python sees it: `True`, `1`, `1.0`, `np.int64(1)` and `np.array(1)` are five different ones.
///
/// ```
/// use rlay::{Map, Value};
///
/// let info: Map = [("lives", Value::from(3)), ("invincible", Value::from(true))].into();
/// assert_eq!(info.get("lives"), Some(&Value::Int(3)));
/// assert_ne!(Value::from(true), Value::from(1));
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// `None`.
    #[default]
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int` within 64 bits.
    Int(i64),
    /// Any other `int`: two's complement, little-endian, as few bytes as hold it.
    BigInt(#[serde(with = "hex")] Vec<u8>),
    /// A `float`, NaN payloads included.
    Float(#[serde(with = "bits")] f64),
    /// A `str`.
    Str(String),
    /// A `bytes`.
    Bytes(#[serde(with = "hex")] Vec<u8>),
    /// A `list`.
    List(Vec<Self>),
    /// A `tuple`.
    Tuple(Vec<Self>),
    /// A `dict`, in insertion order.
    Dict(Map),
    /// A NumPy array, 0-dimensional ones included.
    Array(Array),
    /// A NumPy scalar such as `np.float32(1)`: an [`Array`] with an empty shape.
    Scalar(Array),
    /// A Gymnasium `GraphInstance`.
    Graph(Box<Graph>),
    /// What no other value can hold: the name of its type and its `repr`, never evaluated.
    Opaque {
        /// Qualified name of the type.
        type_name: String,
        /// Its `repr`, cut at 256 characters.
        repr: String,
    },
}

/// A dense array: element type, shape and raw elements in C order.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Array {
    /// The element type.
    pub dtype: DType,
    /// Whether the sender's array was big-endian, such as `>f4`. `data` is little-endian all the same.
    #[serde(default)]
    pub big_endian: bool,
    /// Elements along each axis; empty for a 0-dimensional array.
    pub shape: Vec<u64>,
    /// The elements, little-endian, last axis fastest.
    #[serde(with = "hex")]
    pub data: Vec<u8>,
}

impl Array {
    /// An array of `elements` in C order.
    ///
    /// # Panics
    /// If the shape does not hold exactly `elements.len()` elements.
    ///
    /// ```
    /// use rlay::{Array, DType};
    /// let frame = Array::new(&[2, 2, 3], &[0u8; 12]);
    /// assert_eq!(frame.dtype, DType::U8);
    /// ```
    pub fn new<T: Scalar>(shape: &[u64], elements: &[T]) -> Self {
        assert_eq!(shape.iter().product::<u64>(), elements.len() as u64, "the shape {shape:?} holds other elements");
        let data = bytemuck::cast_slice::<T, u8>(elements).to_vec();
        Self { dtype: T::DTYPE, big_endian: false, shape: shape.to_vec(), data }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len() / self.dtype.size()
    }

    /// Whether the array has no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements, if they are of type `T`.
    pub fn to_vec<T: Scalar>(&self) -> Option<Vec<T>> {
        if T::DTYPE != self.dtype {
            return None;
        }
        let mut out = vec![T::default(); self.len()];
        T::copy_from(&self.data, &mut out).then_some(out)
    }
}

/// Gymnasium's `GraphInstance`: what a Graph space contains.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// One node per row, or a sequence of values where the node space is composite.
    pub nodes: Value,
    /// One edge per row, or `None`.
    pub edges: Value,
    /// An array of shape (edges, 2) with the nodes each edge joins, or `None`.
    pub edge_links: Value,
}

/// A `dict` in insertion order, as `info` and `options` are.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Map(pub Vec<(Value, Value)>);

impl Map {
    /// An empty dict. Allocates nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value stored under the `str` key `key`. [`map["key"]`](std::ops::Index) is the same with
    /// [`Value::None`] in place of what is not there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| matches!(k, Value::Str(k) if k == key)).map(|(_, v)| v)
    }

    /// Stores `value` under the `str` key `key`, replacing what was there.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (Value::Str(key.into()), value.into());
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some(entry) => entry.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(k, v)| (Value::Str(k.into()), v.into())).collect())
    }
}

impl<K: Into<String>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Map {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

macro_rules! from {
    ($($type:ty => |$x:ident| $value:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($x: $type) -> Self { $value }
        }
    )*};
}
from! {
    bool => |x| Self::Bool(x),
    i32 => |x| Self::Int(x.into()),
    i64 => |x| Self::Int(x),
    u32 => |x| Self::Int(x.into()),
    f64 => |x| Self::Float(x),
    &str => |x| Self::Str(x.to_owned()),
    String => |x| Self::Str(x),
    Vec<Self> => |x| Self::List(x),
    Map => |x| Self::Dict(x),
    Array => |x| Self::Array(x),
}

impl From<u64> for Value {
    fn from(x: u64) -> Self {
        Self::int(x.into())
    }
}

impl Value {
    /// A Python `int`, in whichever form holds it.
    pub fn int(x: i128) -> Self {
        i64::try_from(x).map_or_else(
            |_| {
                let mut bytes = x.to_le_bytes().to_vec();
                shorten(&mut bytes);
                Self::BigInt(bytes)
            },
            Self::Int,
        )
    }

    /// The number, if this is a Python or NumPy integer (not a bool) within 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(x) => Some(*x),
            // The length: a scalar that came over the wire has one element, one made by hand may have none.
            Self::Scalar(x) if !x.dtype.is_float() && x.dtype != DType::Bool && x.data.len() == x.dtype.size() => {
                x.dtype.read_i128(&x.data).try_into().ok()
            }
            _ => None,
        }
    }

    /// The number, if this is a Python or NumPy number (not a bool). Integers beyond 2^53 are rounded.
    ///
    /// ```
    /// use rlay::Value;
    /// assert_eq!(Value::from(0.5).as_f64(), Some(0.5));
    /// assert_eq!(Value::from(3).as_f64(), Some(3.0));
    /// assert_eq!(Value::from("3").as_f64(), None);
    /// ```
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(x) => Some(*x),
            Self::Int(x) => Some(*x as f64),
            Self::BigInt(bytes) => Some(big_to_f64(bytes)),
            Self::Scalar(x) if x.dtype != DType::Bool && x.data.len() == x.dtype.size() => {
                Some(x.dtype.read_f64(&x.data))
            }
            _ => None,
        }
    }

    /// The truth value, if this is a Python or NumPy bool.
    ///
    /// ```
    /// use rlay::Value;
    /// assert_eq!(Value::from(true).as_bool(), Some(true));
    /// assert_eq!(Value::from(1).as_bool(), None);
    /// ```
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(x) => Some(*x),
            Self::Scalar(x) if x.dtype == DType::Bool => Some(*x.data.first()? == 1),
            _ => None,
        }
    }

    /// The elements in C order, if this is a NumPy array of type `T`; its shape stands in the [`Array`].
    ///
    /// ```
    /// use rlay::{Array, Value};
    /// let pos = Value::from(Array::new(&[2], &[1.0f32, 2.0]));
    /// assert_eq!(pos.as_array::<f32>(), Some(vec![1.0, 2.0]));
    /// assert_eq!(pos.as_array::<f64>(), None);
    /// ```
    pub fn as_array<T: Scalar>(&self) -> Option<Vec<T>> {
        match self {
            Self::Array(array) => array.to_vec(),
            _ => None,
        }
    }

    /// The value under the `str` key `key`, if this is a `dict` that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(map) => map.get(key),
            _ => None,
        }
    }

    /// Reports the place of an [`Opaque`](Self::Opaque) in the value, which `name` must not hold, or of an invalid key.
    pub(crate) fn check_held(&self, name: &str) -> Result<(), String> {
        /// The path from the leaf up.
        fn find(value: &Value) -> Option<Vec<String>> {
            let below = |value: &Value, part: &dyn Fn() -> String| {
                find(value).map(|mut path| {
                    path.push(part());
                    path
                })
            };
            match value {
                Value::Opaque { .. } => Some(vec![]),
                Value::List(items) | Value::Tuple(items) => {
                    items.iter().enumerate().find_map(|(i, x)| below(x, &|| format!("[{i}]")))
                }
                Value::Dict(map) => map
                    .0
                    .iter()
                    .find_map(|(key, x)| find(key).map(|_| vec![]).or_else(|| below(x, &|| crate::space::part(key)))),
                Value::Graph(graph) => below(&graph.nodes, &|| ".nodes".into())
                    .or_else(|| below(&graph.edges, &|| ".edges".into()))
                    .or_else(|| below(&graph.edge_links, &|| ".edge_links".into())),
                _ => None,
            }
        }
        let Some(path) = find(self) else {
            return Keys::of_a_value().take_all(self).map_err(|why| format!("{name}: {why}"));
        };
        let path: String = path.iter().rev().map(String::as_str).collect();
        Err(format!(
            "{name}{path}: an Opaque only stands for an object that did not cross the wire; give numbers, text, bytes, \
             arrays, or lists, tuples and dicts of these"
        ))
    }

    /// The text, if this is a `str`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(x) => Some(x),
            _ => None,
        }
    }

    /// Python's name for the type, for messages.
    pub fn type_name(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool(_) => "bool".into(),
            Self::Int(_) | Self::BigInt(_) => "int".into(),
            Self::Float(_) => "float".into(),
            Self::Str(_) => "str".into(),
            Self::Bytes(_) => "bytes".into(),
            Self::List(_) => "list".into(),
            Self::Tuple(_) => "tuple".into(),
            Self::Dict(_) => "dict".into(),
            Self::Array(a) => format!("{} array of shape {:?}", a.dtype.name(), a.shape),
            Self::Scalar(a) => format!("np.{}", a.dtype.name()),
            Self::Graph(_) => "GraphInstance".into(),
            Self::Opaque { type_name, .. } => type_name.clone(),
        }
    }
}

fn big_to_f64(bytes: &[u8]) -> f64 {
    let Some((top, rest)) = bytes.split_last() else { return 0.0 };
    rest.iter().rev().fold(f64::from(*top as i8), |x, byte| x * 256.0 + f64::from(*byte))
}

/// What indexing finds where there is nothing.
const NOTHING: Value = Value::None;

/// The value under a key, or [`Value::None`] if there is none. It never panics; [`Value::get`] tells the two apart.
///
/// ```
/// use rlay::{Map, Value};
///
/// let info: Map = [("agent", Value::from(Map::from([("lives", 3)])))].into();
/// assert_eq!(info["agent"]["lives"].as_i64(), Some(3));
/// assert_eq!(info["agent"]["name"], Value::None);
/// assert_eq!(format!("{info:?}"), "{'agent': {'lives': 3}}");
/// ```
impl Index<&str> for Value {
    type Output = Self;

    fn index(&self, key: &str) -> &Self {
        self.get(key).unwrap_or(&NOTHING)
    }
}

/// The value under a key, or [`Value::None`] if there is none; see [`Map::get`].
impl Index<&str> for Map {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&NOTHING)
    }
}

/// Drops the sign-extension bytes at the end of a little-endian two's complement integer.
pub(crate) fn shorten(bytes: &mut Vec<u8>) {
    while let [.., before, last] = bytes[..] {
        if !((last == 0 && before < 0x80) || (last == 0xff && before >= 0x80)) {
            break;
        }
        bytes.pop();
    }
}

/// Bytes as a hex string in JSON.
pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: AsRef<[u8]>, S: Serializer>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>())
    }

    pub(crate) fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        (0..text.len().div_ceil(2))
            .map(|i| text.get(2 * i..2 * i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect::<Option<Vec<u8>>>()
            .map(T::from)
            .ok_or_else(|| D::Error::custom("not a hex string"))
    }
}

/// A float as the hex digits of its bits in JSON, which has no NaN and no infinities.
pub(crate) mod bits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", x.to_bits()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(f64::from_bits).map_err(D::Error::custom)
    }
}
