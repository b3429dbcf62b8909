//! Discrete, MultiDiscrete and MultiBinary: integers from finite ranges.

use serde::{Deserialize, Serialize};

use super::{AnySpace, Space, mismatch, other_class, pad8, shape_of, skip8};
use crate::{
    dtype::DType,
    error::Result,
    rng::Rng,
    value::{Array, Value},
    wire::Reader,
};

/// The integers from `start` to `start + n - 1`.
///
/// ```
/// use rlay::{Discrete, Space};
/// assert!(Discrete::new(2).contains(&1));
/// assert!(Discrete::new(3).starting_at(-1).contains(&-1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Discrete {
    /// How many integers.
    pub n: u64,
    /// The smallest of them (for `uint64`, its bits).
    pub start: i64,
    /// The NumPy type of its samples.
    pub dtype: DType,
}

impl Discrete {
    /// The integers from 0 to `n - 1`, as NumPy `int64`.
    pub fn new(n: u64) -> Self {
        Self { n, start: 0, dtype: DType::I64 }
    }

    /// The same number of integers from `start` on.
    #[must_use]
    pub fn starting_at(self, start: i64) -> Self {
        Self { start, ..self }
    }

    /// `x` as a NumPy scalar of this space's type.
    pub(crate) fn scalar(&self, x: i64) -> Value {
        let mut data = Vec::with_capacity(8);
        // The bits of a uint64 travel as an i64.
        let x = if self.dtype == DType::U64 { i128::from(x as u64) } else { i128::from(x) };
        self.dtype.write_i128(x, &mut data);
        Value::Scalar(Array { dtype: self.dtype, big_endian: false, shape: vec![], data })
    }
}

impl Space for Discrete {
    type Element = i64;

    fn contains(&self, x: &i64) -> bool {
        (x.wrapping_sub(self.start) as u64) < self.n && (*x >= self.start || self.dtype == DType::U64)
    }

    fn sample(&self, rng: &mut Rng) -> i64 {
        self.start.wrapping_add(rng.below(self.n) as i64)
    }

    fn describe(&self) -> AnySpace {
        AnySpace::Discrete(self.clone())
    }

    fn is_described_by(&self, any: &AnySpace) -> bool {
        matches!(any, AnySpace::Discrete(space) if space == self)
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        match any {
            AnySpace::Discrete(space) => Ok(space.clone()),
            _ => Err(other_class("Discrete", any)),
        }
    }

    fn to_value(&self, x: &i64) -> Value {
        self.scalar(*x)
    }

    fn from_value(&self, value: &Value) -> Result<i64> {
        let int = match value {
            Value::Bool(x) => Some(i64::from(*x)),
            Value::Array(x) if x.shape.is_empty() => Value::Scalar(x.clone()).as_i64(),
            // The bits of a uint64, as in `start`.
            Value::Scalar(x) if (x.dtype, self.dtype, x.data.len()) == (DType::U64, DType::U64, 8) => {
                Some(x.dtype.read_i128(&x.data) as i64)
            }
            _ => value.as_i64(),
        };
        int.ok_or_else(|| mismatch(&self.describe(), value))
    }

    fn pack(&self, x: &i64, out: &mut Vec<u8>) -> bool {
        out.extend(x.to_le_bytes());
        out.extend([1, 0, 0, 0, 0, 0, 0, 0]); // 1: a NumPy scalar, as the space's own samples are
        true
    }

    fn unpack(&self, input: &mut Reader<'_>) -> Result<i64> {
        let (x, numpy): (i64, u8) = input.group()?;
        if numpy > 1 {
            return Err(input.error("a Discrete mark that is neither 0 nor 1, ending"));
        }
        skip8(input, 1)?;
        if numpy == 1 && !self.dtype.has(x) {
            return Err(input.error("an integer that the space's type does not have, ending"));
        }
        Ok(x)
    }
}

/// Arrays of integers, element i from `start[i]` to `start[i] + nvec[i] - 1`.
///
/// ```
/// use rlay::{MultiDiscrete, Space};
/// assert!(MultiDiscrete::new(&[3, 2]).contains(&vec![2, 1]));
/// assert!(!MultiDiscrete::new(&[3, 2]).contains(&vec![2, 2]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MultiDiscrete {
    /// Elements along each axis.
    pub shape: Vec<u64>,
    /// How many integers each element may be.
    pub nvec: Vec<i64>,
    /// The smallest of them.
    pub start: Vec<i64>,
    /// The NumPy type of its samples.
    pub dtype: DType,
    /// Whether the space was declared with a big-endian dtype such as `>i4`.
    #[serde(default)]
    pub big_endian: bool,
}

impl MultiDiscrete {
    /// Element i from 0 to `nvec[i] - 1`, as a one-dimensional `int64` array.
    pub fn new(nvec: &[i64]) -> Self {
        Self {
            shape: vec![nvec.len() as u64],
            nvec: nvec.to_vec(),
            start: vec![0; nvec.len()],
            dtype: DType::I64,
            big_endian: false,
        }
    }
}

impl MultiDiscrete {
    /// The first element of `x`, of as many as the space has, that is not in its range.
    pub(super) fn first_outside(&self, x: &[i64]) -> Option<usize> {
        x.iter().zip(&self.start).zip(&self.nvec).position(|((x, start), n)| {
            let offset = i128::from(*x) - i128::from(*start);
            offset < 0 || offset >= i128::from(*n)
        })
    }
}

impl Space for MultiDiscrete {
    type Element = Vec<i64>;

    fn contains(&self, x: &Vec<i64>) -> bool {
        x.len() == self.nvec.len() && self.first_outside(x).is_none()
    }

    fn sample(&self, rng: &mut Rng) -> Vec<i64> {
        self.start.iter().zip(&self.nvec).map(|(start, n)| start.wrapping_add(rng.below(*n as u64) as i64)).collect()
    }

    fn describe(&self) -> AnySpace {
        AnySpace::MultiDiscrete(self.clone())
    }

    fn is_described_by(&self, any: &AnySpace) -> bool {
        matches!(any, AnySpace::MultiDiscrete(space) if space == self)
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        match any {
            AnySpace::MultiDiscrete(space) => Ok(space.clone()),
            _ => Err(other_class("MultiDiscrete", any)),
        }
    }

    fn to_value(&self, x: &Vec<i64>) -> Value {
        let mut data = Vec::with_capacity(x.len() * self.dtype.size());
        x.iter().for_each(|x| self.dtype.write_i128((*x).into(), &mut data));
        let shape = shape_of(x.len(), &self.shape);
        Value::Array(Array { dtype: self.dtype, big_endian: self.big_endian, shape, data })
    }

    fn from_value(&self, value: &Value) -> Result<Vec<i64>> {
        match value {
            Value::Array(array) if array.shape == self.shape && !array.dtype.is_float() => {
                Ok(array.data.chunks(array.dtype.size()).map(|x| array.dtype.read_i128(x) as i64).collect())
            }
            _ => Err(mismatch(&self.describe(), value)),
        }
    }

    fn pack(&self, x: &Vec<i64>, out: &mut Vec<u8>) -> bool {
        x.iter().for_each(|x| self.dtype.write_i128((*x).into(), out));
        pad8(out);
        x.len() == self.nvec.len() && !self.big_endian
    }

    fn unpack(&self, input: &mut Reader<'_>) -> Result<Vec<i64>> {
        let bytes = input.take((self.nvec.len() * self.dtype.size()) as u64)?;
        skip8(input, bytes.len())?;
        Ok(bytes.chunks(self.dtype.size()).map(|x| self.dtype.read_i128(x) as i64).collect())
    }
}

/// Arrays of zeros and ones, as NumPy `int8`.
///
/// ```
/// use rlay::{MultiBinary, Space};
/// assert!(MultiBinary::new(3).contains(&vec![0, 1, 1]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MultiBinary {
    /// Elements along each axis.
    pub shape: Vec<u64>,
    /// Whether it was declared with an integer: `MultiBinary(5) != MultiBinary([5])`.
    pub n_is_int: bool,
}

impl MultiBinary {
    /// One-dimensional arrays of `n` elements.
    pub fn new(n: u64) -> Self {
        Self { shape: vec![n], n_is_int: true }
    }

    /// Number of elements of one array.
    pub fn len(&self) -> usize {
        self.shape.iter().product::<u64>() as usize
    }

    /// Whether arrays of this space have no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Space for MultiBinary {
    type Element = Vec<i8>;

    fn contains(&self, x: &Vec<i8>) -> bool {
        x.len() == self.len() && x.iter().all(|x| matches!(x, 0 | 1))
    }

    fn sample(&self, rng: &mut Rng) -> Vec<i8> {
        (0..self.len()).map(|_| rng.below(2) as i8).collect()
    }

    fn describe(&self) -> AnySpace {
        AnySpace::MultiBinary(self.clone())
    }

    fn is_described_by(&self, any: &AnySpace) -> bool {
        matches!(any, AnySpace::MultiBinary(space) if space == self)
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        match any {
            AnySpace::MultiBinary(space) => Ok(space.clone()),
            _ => Err(other_class("MultiBinary", any)),
        }
    }

    fn to_value(&self, x: &Vec<i8>) -> Value {
        Value::Array(Array::new(&shape_of(x.len(), &self.shape), x))
    }

    fn from_value(&self, value: &Value) -> Result<Vec<i8>> {
        match value {
            Value::Array(array) if array.shape == self.shape && array.dtype.size() == 1 => {
                Ok(array.data.iter().map(|x| *x as i8).collect())
            }
            Value::Array(array) if array.shape == self.shape && !array.dtype.is_float() => {
                Ok(array.data.chunks(array.dtype.size()).map(|x| array.dtype.read_i128(x) as i8).collect())
            }
            _ => Err(mismatch(&self.describe(), value)),
        }
    }

    fn pack(&self, x: &Vec<i8>, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(bytemuck::cast_slice(x));
        pad8(out);
        x.len() == self.len()
    }

    fn unpack(&self, input: &mut Reader<'_>) -> Result<Vec<i8>> {
        let bytes = input.take(self.len() as u64)?;
        skip8(input, bytes.len())?;
        Ok(bytemuck::cast_slice(bytes).to_vec())
    }
}
