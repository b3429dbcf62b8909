//! BoxSpace: arrays within bounds (`gymnasium.spaces.Box`; `Box` is taken in Rust).

use std::marker::PhantomData;

use super::{AnyBox, AnySpace, Bound, Space, mismatch, other_class, pad8, shape_of, skip8};
use crate::{
    dtype::{DType, Scalar},
    error::Result,
    frame::Frame,
    rng::Rng,
    value::{Array, Value},
    wire::Reader,
};

/// A Rust type that holds the elements of an array, flat and in C order: `Vec<T>`, `[T; N]`, or
/// [`FrameArray<T>`](super::FrameArray).
pub trait Elements<T: Scalar> {
    /// The elements.
    fn elements(&self) -> &[T];
    /// A container of `len` elements filled by `fill`; `None` if the type cannot hold that many.
    fn build(len: usize, fill: impl FnOnce(&mut [T]) -> bool) -> Option<Self>
    where
        Self: Sized;
    /// Whether the type can hold `len` elements; one of a fixed length cannot hold another number.
    fn holds(_len: usize) -> bool {
        true
    }
    /// A container of the `len` elements that `frame` ends with, from `at` on; gives the frame back if
    /// the type keeps its elements elsewhere.
    fn adopt(frame: Frame, _at: usize, _len: usize) -> Result<Self, Frame>
    where
        Self: Sized,
    {
        Err(frame)
    }
}

impl<T: Scalar> Elements<T> for Vec<T> {
    fn elements(&self) -> &[T] {
        self
    }
    fn build(len: usize, fill: impl FnOnce(&mut [T]) -> bool) -> Option<Self> {
        let mut out = vec![T::default(); len];
        fill(&mut out).then_some(out)
    }
}

impl<T: Scalar, const N: usize> Elements<T> for [T; N] {
    fn elements(&self) -> &[T] {
        self
    }
    fn build(len: usize, fill: impl FnOnce(&mut [T]) -> bool) -> Option<Self> {
        let mut out = [T::default(); N];
        (len == N && fill(&mut out)).then_some(out)
    }
    fn holds(len: usize) -> bool {
        len == N
    }
}

/// Arrays of `T` within bounds. `E` is the Rust type of one array; `[f32; 4]` allocates nothing.
///
/// ```
/// use rlay::{BoxSpace, Space};
///
/// let image = BoxSpace::<u8>::new([84, 84, 4], 0, 255);
/// assert!(image.contains(&vec![7; 84 * 84 * 4]));
/// let position = BoxSpace::<f64, [f64; 2]>::unbounded([2]);
/// assert!(position.contains(&[1e300, -1e300]));
/// ```
#[doc(alias = "Box")]
#[derive(Debug, Clone, PartialEq)]
pub struct BoxSpace<T, E = Vec<T>> {
    any: AnyBox,
    types: PhantomData<fn() -> (T, E)>,
}

impl<T: Scalar, E: Elements<T>> BoxSpace<T, E> {
    /// Arrays of `shape` with all elements from `low` to `high`; an infinite float does not limit.
    pub fn new(shape: impl Into<Vec<u64>>, low: T, high: T) -> Self {
        let bound = |x: T| {
            let value = bytemuck::bytes_of(&x).to_vec();
            let bounded = !T::DTYPE.is_float() || T::DTYPE.read_f64(&value).is_finite();
            Bound::Uniform { value, bounded }
        };
        Self::from_any_box(AnyBox {
            dtype: T::DTYPE,
            big_endian: false,
            shape: shape.into(),
            low: bound(low),
            high: bound(high),
        })
    }

    /// Arrays of `shape` with element i from `low[i]` to `high[i]`.
    ///
    /// # Panics
    /// If `low` or `high` does not have one value for each element.
    pub fn with_bounds(shape: impl Into<Vec<u64>>, low: &[T], high: &[T]) -> Self {
        let shape = shape.into();
        let len = shape.iter().product::<u64>() as usize;
        assert!(low.len() == len && high.len() == len, "one bound for each of the {len} elements");
        let bound = |xs: &[T]| {
            let values = bytemuck::cast_slice::<T, u8>(xs).to_vec();
            let size = T::DTYPE.size();
            let bounded =
                values.chunks(size).map(|x| !T::DTYPE.is_float() || T::DTYPE.read_f64(x).is_finite()).collect();
            Bound::new(values, bounded, size)
        };
        Self::from_any_box(AnyBox { dtype: T::DTYPE, big_endian: false, low: bound(low), high: bound(high), shape })
    }

    fn from_any_box(any: AnyBox) -> Self {
        Self { any, types: PhantomData }
    }

    /// Bytes of one array.
    pub(super) fn byte_len(&self) -> usize {
        self.any.byte_len()
    }

    /// Elements along each axis.
    pub fn shape(&self) -> &[u64] {
        &self.any.shape
    }
}

impl<E: Elements<f32>> BoxSpace<f32, E> {
    /// Arrays of any finite or infinite `f32`.
    pub fn unbounded(shape: impl Into<Vec<u64>>) -> Self {
        Self::new(shape, f32::NEG_INFINITY, f32::INFINITY)
    }
}

impl<E: Elements<f64>> BoxSpace<f64, E> {
    /// Arrays of any finite or infinite `f64`.
    pub fn unbounded(shape: impl Into<Vec<u64>>) -> Self {
        Self::new(shape, f64::NEG_INFINITY, f64::INFINITY)
    }
}

impl<T: Scalar, E: Elements<T>> Space for BoxSpace<T, E> {
    type Element = E;

    fn contains(&self, x: &E) -> bool {
        self.any.contains_bytes(bytemuck::cast_slice(x.elements()))
    }

    fn sample(&self, rng: &mut Rng) -> E {
        let bytes = self.any.sample_bytes(rng);
        E::build(self.any.len(), |out| T::copy_from(&bytes, out)).expect("the shape fits the element type")
    }

    fn describe(&self) -> AnySpace {
        AnySpace::Box(self.any.clone())
    }

    fn is_described_by(&self, any: &AnySpace) -> bool {
        matches!(any, AnySpace::Box(space) if *space == self.any)
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        match any {
            // Nothing is built: a description may claim any size.
            AnySpace::Box(any) if any.dtype == T::DTYPE && !any.big_endian && E::holds(any.len()) => {
                Ok(Self::from_any_box(any.clone()))
            }
            AnySpace::Box(space) if space.dtype == T::DTYPE && !space.big_endian => {
                Err(other_class(&format!("a Box whose elements are {}", std::any::type_name::<E>()), any))
            }
            _ => Err(other_class(&format!("a {} Box", T::DTYPE.name()), any)),
        }
    }

    fn to_value(&self, x: &E) -> Value {
        Value::Array(Array::new(&shape_of(x.elements().len(), &self.any.shape), x.elements()))
    }

    fn from_value(&self, value: &Value) -> Result<E> {
        let bad = || mismatch(&self.describe(), value);
        let array = self.any.cast(value).ok_or_else(bad)?;
        E::build(self.any.len(), |out| T::copy_from(&array, out)).ok_or_else(bad)
    }

    fn pack(&self, x: &E, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(bytemuck::cast_slice(x.elements()));
        pad8(out);
        x.elements().len() == self.any.len()
    }

    fn unpack(&self, input: &mut Reader<'_>) -> Result<E> {
        let bytes = input.take(self.any.byte_len() as u64)?;
        let x = E::build(self.any.len(), |out| T::copy_from(bytes, out));
        let x = x.ok_or_else(|| input.error("elements that the array's type does not have, ending"))?;
        skip8(input, bytes.len())?;
        Ok(x)
    }

    fn adopt(&self, frame: Frame, at: usize) -> Result<E, Frame> {
        // Otherwise padding follows, which is for `unpack` to check.
        if self.any.byte_len().is_multiple_of(8) { E::adopt(frame, at, self.any.len()) } else { Err(frame) }
    }

    fn slab<'a>(&self, x: &'a E) -> Option<&'a [u8]> {
        let bytes: &[u8] = bytemuck::cast_slice(x.elements());
        (bytes.len() == self.any.byte_len() && bytes.len().is_multiple_of(8)).then_some(bytes)
    }
}

impl AnyBox {
    /// Whether every element of `bytes` lies within its bounds.
    pub(crate) fn contains_bytes(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.byte_len() && self.first_outside(bytes).is_none()
    }

    /// The first element of `bytes`, as many as the space has, that does not lie within its bounds.
    pub(crate) fn first_outside(&self, bytes: &[u8]) -> Option<usize> {
        let size = self.dtype.size();
        bytes.chunks(size).enumerate().position(|(i, x)| {
            let (low, high) = (self.low.get(i, size).0, self.high.get(i, size).0);
            !(self.is_in_order(low, x) && self.is_in_order(x, high))
        })
    }

    /// Whether one element is not above another; no NaN is.
    pub(crate) fn is_in_order(&self, a: &[u8], b: &[u8]) -> bool {
        let dtype = self.dtype;
        if dtype.is_float() { dtype.read_f64(a) <= dtype.read_f64(b) } else { dtype.read_i128(a) <= dtype.read_i128(b) }
    }

    /// Random elements, distributed as Gymnasium's: uniform between two bounds, exponential beyond one, else normal.
    pub(crate) fn sample_bytes(&self, rng: &mut Rng) -> Vec<u8> {
        let (dtype, size) = (self.dtype, self.dtype.size());
        let mut out = Vec::with_capacity(self.byte_len());
        for i in 0..self.len() {
            let ((low, below), (high, above)) = (self.low.get(i, size), self.high.get(i, size));
            if dtype.is_float() {
                let (low, high) = (dtype.read_f64(low), dtype.read_f64(high));
                let x = match (below, above) {
                    (true, true) => rng.uniform(low, high),
                    (true, false) => low + rng.exponential(),
                    (false, true) => high - rng.exponential(),
                    (false, false) => rng.normal(),
                };
                dtype.write_f64(x, &mut out);
            } else {
                // Not in floats, which miss bounds beyond 2^53.
                let (low, high) = (dtype.read_i128(low), dtype.read_i128(high));
                let x = match (below, above) {
                    (true, true) => low + i128::from(rng.below(u64::try_from(high - low + 1).unwrap_or(u64::MAX))),
                    (true, false) => low + rng.exponential().floor() as i128,
                    (false, true) => high - rng.exponential().ceil() as i128,
                    (false, false) => rng.normal().floor() as i128,
                };
                dtype.write_i128(x, &mut out);
            }
        }
        out
    }

    /// The elements of `value` in this space's dtype, if it has this shape and NumPy would cast it safely.
    pub(crate) fn cast(&self, value: &Value) -> Option<Vec<u8>> {
        let (Value::Array(array) | Value::Scalar(array)) = value else { return None };
        if array.shape != self.shape {
            return None;
        }
        if array.dtype == self.dtype {
            return Some(array.data.clone());
        }
        if !can_cast(array.dtype, self.dtype) {
            return None;
        }
        let mut out = Vec::with_capacity(self.byte_len());
        for x in array.data.chunks_exact(array.dtype.size()) {
            if array.dtype.is_float() {
                self.dtype.write_f64(array.dtype.read_f64(x), &mut out);
            } else {
                self.dtype.write_i128(array.dtype.read_i128(x), &mut out);
            }
        }
        Some(out)
    }
}

/// NumPy's `can_cast(from, to)`, rule "safe".
pub(crate) fn can_cast(from: DType, to: DType) -> bool {
    use DType::{Bool, F16, F32, F64, U8, U16, U32, U64};
    let unsigned = |t| matches!(t, U8 | U16 | U32 | U64);
    match (from, to) {
        _ if from == to => true,
        (Bool, _) => true,
        (_, Bool) => false,
        (F16 | F32 | F64, _) => to.is_float() && from.size() <= to.size(),
        (_, F16) => from.size() == 1,
        (_, F32) => from.size() <= 2,
        (_, F64) => true,
        _ if unsigned(from) && unsigned(to) => from.size() <= to.size(),
        _ if unsigned(from) => from.size() < to.size(),
        _ if unsigned(to) => false,
        _ => from.size() <= to.size(),
    }
}
