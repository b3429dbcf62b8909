//! Values as bytes: a 32-bit tag, then the fields that the tag selects.

use super::{Reader, Writer, codec::Bound};
use crate::{
    dtype::DType,
    error::Result,
    value::{Array, Graph, Map, Value, shorten},
};

/// Set in a dtype code: the sender's array was big-endian. The bytes are little-endian all the same.
const BIG_ENDIAN: u32 = 0x100;

/// No value takes fewer bytes than its tag.
pub(super) const MIN_VALUE: usize = 4;

/// A dict without entries, as nearly every info is: its tag, and how many there are.
const EMPTY_DICT: [u8; 12] = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Appends a value to `out`.
pub fn put_value(out: &mut Vec<u8>, value: &Value) {
    Writer(out).value(value);
}

impl Writer<'_> {
    /// One value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::None => self.put(0u32),
            Value::Bool(x) => self.put((1u32, *x)),
            Value::Int(x) => self.put((2u32, *x)),
            Value::BigInt(bytes) => {
                self.put(3u32);
                self.bytes(bytes);
            }
            Value::Float(x) => self.put((4u32, *x)),
            Value::Str(text) => {
                self.put(5u32);
                self.str(text);
            }
            Value::Bytes(bytes) => {
                self.put(6u32);
                self.bytes(bytes);
            }
            Value::List(items) => {
                self.put(7u32);
                self.list(items, Self::value);
            }
            Value::Tuple(items) => {
                self.put(8u32);
                self.list(items, Self::value);
            }
            Value::Dict(map) => {
                self.put(9u32);
                self.map(map);
            }
            Value::Array(array) => {
                self.put(10u32);
                self.dtype(array.dtype, array.big_endian);
                self.list(&array.shape, |w, n| w.put(*n));
                self.bytes(&array.data);
            }
            Value::Scalar(array) => {
                self.put(11u32);
                self.dtype(array.dtype, array.big_endian);
                self.0.extend_from_slice(&array.data);
            }
            Value::Graph(graph) => {
                self.put(12u32);
                self.value(&graph.nodes);
                self.value(&graph.edges);
                self.value(&graph.edge_links);
            }
            Value::Opaque { type_name, repr } => {
                self.put(13u32);
                self.str(type_name);
                self.str(repr);
            }
        }
    }

    /// A dict without wrapping it in a value first.
    pub(super) fn map_value(&mut self, map: &Map) {
        self.put(9u32);
        self.map(map);
    }

    pub(super) fn map(&mut self, map: &Map) {
        self.list(&map.0, |w, (key, value)| {
            w.value(key);
            w.value(value);
        });
    }

    pub(super) fn dtype(&mut self, dtype: DType, big_endian: bool) {
        self.put(dtype as u32 | if big_endian { BIG_ENDIAN } else { 0 });
    }
}

impl Reader<'_> {
    /// One value, within the limits of depth and count.
    pub fn value(&mut self) -> Result<Value> {
        self.nested(|r| {
            let start = r.clone();
            Ok(match r.get::<u32>()? {
                0 => Value::None,
                1 => Value::Bool(r.get()?),
                2 => Value::Int(r.get()?),
                3 => {
                    let mut bytes = r.bytes()?.to_vec();
                    let len = bytes.len();
                    shorten(&mut bytes);
                    if len <= 8 || bytes.len() != len {
                        return Err(start.error("a large integer that is not in its shortest form"));
                    }
                    Value::BigInt(bytes)
                }
                4 => Value::Float(r.get()?),
                5 => Value::Str(r.str()?.to_owned()),
                6 => Value::Bytes(r.bytes()?.to_vec()),
                7 => Value::List(r.list(MIN_VALUE, Self::value)?),
                8 => Value::Tuple(r.list(MIN_VALUE, Self::value)?),
                9 => Value::Dict(r.map()?),
                10 => {
                    let (dtype, big_endian) = r.dtype()?;
                    let shape = r.shape()?;
                    let data = r.bytes()?.to_vec();
                    if product(&shape, dtype.size()) != Some(data.len() as u64) {
                        return Err(start.error("an array whose shape does not hold its data"));
                    }
                    check_bools(dtype, &data, &start)?;
                    Value::Array(Array { dtype, big_endian, shape, data })
                }
                11 => {
                    let (dtype, big_endian) = r.dtype()?;
                    let data = r.take(dtype.size() as u64)?.to_vec();
                    check_bools(dtype, &data, &start)?;
                    Value::Scalar(Array { dtype, big_endian, shape: vec![], data })
                }
                12 => Value::Graph(Box::new(Graph { nodes: r.value()?, edges: r.value()?, edge_links: r.value()? })),
                13 => Value::Opaque { type_name: r.str()?.to_owned(), repr: r.str()?.to_owned() },
                tag => return Err(start.error(format_args!("unknown value tag {tag}"))),
            })
        })
    }

    pub(super) fn map(&mut self) -> Result<Map> {
        Ok(Map(self.list(2 * MIN_VALUE, |r| Ok((r.key()?, r.value()?)))?))
    }

    /// One value that is a key of a dict or of a Dict space.
    pub(super) fn key(&mut self) -> Result<Value> {
        let start = self.clone();
        let key = self.value()?;
        let len = self.position() - start.position();
        self.keys.take_written(&key, || len).map_err(|why| {
            self.broken = self.keys.are_taken().then_some(Bound::Keys);
            start.error(why)
        })?;
        Ok(key)
    }

    /// A value that must be a dict; in errors it is called `name`.
    pub(super) fn dict(&mut self, name: &str) -> Result<Value> {
        if self.rest().starts_with(&EMPTY_DICT) {
            return self.nested(|r| r.take(EMPTY_DICT.len() as u64).map(|_| Map::new().into()));
        }
        let start = self.clone();
        match self.value()? {
            dict @ Value::Dict(_) => Ok(dict),
            other => Err(start.error(format_args!("{name} that is a {} and no Dict", other.type_name()))),
        }
    }

    pub(super) fn dtype(&mut self) -> Result<(DType, bool)> {
        let start = self.clone();
        let code: u32 = self.get()?;
        let dtype = DType::from_code(code & !BIG_ENDIAN);
        let big_endian = code & BIG_ENDIAN != 0;
        dtype
            .filter(|dtype| !big_endian || dtype.size() > 1)
            .map(|dtype| (dtype, big_endian))
            .ok_or_else(|| start.error(format_args!("unknown dtype {code}")))
    }

    pub(super) fn shape(&mut self) -> Result<Vec<u64>> {
        let start = self.clone();
        let shape: Vec<u64> = self.list(8, Self::get)?;
        if shape.len() > 64 {
            return Err(start.error("an array of more than 64 dimensions"));
        }
        Ok(shape)
    }
}

/// Bytes of an array, unless they are more than NumPy can address. A 0 does not make up for the other dimensions.
pub(super) fn product(shape: &[u64], size: usize) -> Option<u64> {
    let most = shape.iter().filter(|n| **n > 0).try_fold(size as u64, |len, n| len.checked_mul(*n));
    let is_empty = shape.contains(&0);
    most.filter(|len| *len <= i64::MAX as u64).map(|len| if is_empty { 0 } else { len })
}

/// A byte that is neither 0 nor 1 is no bool, and must not become one in memory.
pub(crate) fn check_bools(dtype: DType, data: &[u8], at: &Reader<'_>) -> Result<()> {
    if dtype == DType::Bool && data.iter().any(|byte| *byte > 1) {
        return Err(at.error("a bool that is neither 0 nor 1"));
    }
    Ok(())
}

/// Appends a dict to `out` without wrapping it in a value first.
pub(crate) fn put_map_value(out: &mut Vec<u8>, map: &Map) {
    Writer(out).map_value(map);
}
