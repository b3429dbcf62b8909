//! BatchSpace: the elements of many env slots where they lie in a frame, one slice for each leaf.

use super::{BoxSpace, Dict, Discrete, Elements, Members, MultiBinary, MultiDiscrete, Space};
use crate::{
    dtype::{DType, Scalar},
    error::{Error, ErrorKind, Result},
};

/// A space whose elements, of many slots, are plain slices: `Box`, `Discrete`, `MultiBinary`, `MultiDiscrete` of `int64`,
/// and tuples and dicts of these. The rows follow each other without a gap, in C order, so that the element of slot `i` of
/// a `Box` with four elements is `batch[4 * i..][..4]`.
///
/// | space | its batch, for n slots |
/// |---|---|
/// | [`BoxSpace<T, E>`](BoxSpace) | `&[T]`, n times all elements of one array |
/// | [`Discrete`] | `&[i64]`, n of them |
/// | [`MultiBinary`] | `&[i8]`, n times its length |
/// | [`MultiDiscrete`] | `&[i64]`, n times its length |
/// | tuples, [`Dict`] | a tuple of the members' batches |
///
/// ```no_run
/// use rlay::{BoxSpace, ClientVectorEnv, Discrete, Value};
///
/// let envs = ClientVectorEnv::connect("mem://cartpole", rlay::agent_options().num_envs(64))?;
/// let mut envs = envs.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;
/// envs.reset(Some(7), &Value::None)?;
/// let (poles, _) = envs.observation_batch()?.as_chunks::<4>();
/// let actions: Vec<i64> = poles.iter().map(|pole| i64::from(pole[2] > 0.0)).collect();
/// envs.step(&actions)?;
/// # Ok::<(), rlay::Error>(())
/// ```
pub trait BatchSpace: Space {
    /// Elements to read.
    type Batch<'a>: Copy;
    /// Elements to write over.
    type BatchMut<'a>;

    /// Takes the leaves of this space out of packed rows. Refuses bytes that are no elements.
    fn batch<'a>(&self, slabs: &mut Slabs<'a>) -> Result<Self::Batch<'a>>;

    /// The same to write to. What it does not hand out, such as the marks of a [`Discrete`], it writes itself.
    fn batch_mut<'a>(&self, slabs: &mut SlabsMut<'a>) -> Result<Self::BatchMut<'a>>;
}

/// Packed rows whose leaves are taken one after another: the first `rows` of `of` rows in each.
#[derive(Debug)]
pub struct Slabs<'a> {
    bytes: &'a [u8],
    of: usize,
    rows: usize,
}

impl<'a> Slabs<'a> {
    /// The first `rows` of the `of` rows that `bytes` are.
    pub(crate) fn new(bytes: &'a [u8], of: usize, rows: usize) -> Self {
        Self { bytes, of, rows }
    }

    /// The next leaf, of which one row takes `size` bytes.
    fn next(&mut self, size: usize) -> Result<&'a [u8]> {
        let (slab, rest) = self.bytes.split_at_checked(padded(size, self.of)?).ok_or_else(too_short)?;
        self.bytes = rest;
        slab.get(..size * self.rows).ok_or_else(too_short)
    }
}

/// Packed rows whose leaves are taken one after another, to be written.
#[derive(Debug)]
pub struct SlabsMut<'a> {
    bytes: &'a mut [u8],
    rows: usize,
}

impl<'a> SlabsMut<'a> {
    /// The `rows` rows that `bytes` are.
    pub(crate) fn new(bytes: &'a mut [u8], rows: usize) -> Self {
        Self { bytes, rows }
    }

    /// The next leaf, of which one row takes `size` bytes.
    fn next(&mut self, size: usize) -> Result<&'a mut [u8]> {
        let bytes = std::mem::take(&mut self.bytes);
        let (slab, rest) = bytes.split_at_mut_checked(padded(size, self.rows)?).ok_or_else(too_short)?;
        self.bytes = rest;
        Ok(&mut slab[..size * self.rows])
    }
}

/// Bytes of a leaf of which one row takes `size`, with those up to the next leaf.
fn padded(size: usize, rows: usize) -> Result<usize> {
    size.checked_mul(rows).and_then(|len| len.checked_next_multiple_of(8)).ok_or_else(too_short)
}

fn too_short() -> Error {
    Error::protocol("packed rows that end within a leaf")
}

/// `bytes` as numbers.
fn numbers<T: Scalar>(bytes: &[u8]) -> Result<&[T]> {
    bytemuck::checked::try_cast_slice(bytes).map_err(|why| no_numbers::<T>(&why))
}

fn numbers_mut<T: Scalar>(bytes: &mut [u8]) -> Result<&mut [T]> {
    bytemuck::checked::try_cast_slice_mut(bytes).map_err(|why| no_numbers::<T>(&why))
}

fn no_numbers<T: Scalar>(why: &bytemuck::checked::CheckedCastError) -> Error {
    Error::protocol(format!("packed rows that are no elements of type {}: {why}", T::DTYPE.name()))
}

impl<T: Scalar, E: Elements<T>> BatchSpace for BoxSpace<T, E> {
    type Batch<'a> = &'a [T];
    type BatchMut<'a> = &'a mut [T];

    fn batch<'a>(&self, slabs: &mut Slabs<'a>) -> Result<&'a [T]> {
        numbers(slabs.next(self.byte_len())?)
    }

    fn batch_mut<'a>(&self, slabs: &mut SlabsMut<'a>) -> Result<&'a mut [T]> {
        numbers_mut(slabs.next(self.byte_len())?)
    }
}

impl BatchSpace for Discrete {
    type Batch<'a> = &'a [i64];
    type BatchMut<'a> = &'a mut [i64];

    fn batch<'a>(&self, slabs: &mut Slabs<'a>) -> Result<&'a [i64]> {
        let (elements, marks): (&[i64], _) = (numbers(slabs.next(8)?)?, slabs.next(1)?);
        for (x, mark) in elements.iter().zip(marks) {
            match mark {
                0 => {}
                1 if self.dtype.has(*x) => {}
                1 => return Err(Error::protocol("an integer that the space's type does not have")),
                _ => return Err(Error::protocol("a Discrete mark that is neither 0 nor 1")),
            }
        }
        Ok(elements)
    }

    fn batch_mut<'a>(&self, slabs: &mut SlabsMut<'a>) -> Result<&'a mut [i64]> {
        let elements = numbers_mut(slabs.next(8)?)?;
        slabs.next(1)?.fill(1); // NumPy scalars, as the space's own samples are
        Ok(elements)
    }
}

impl BatchSpace for MultiBinary {
    type Batch<'a> = &'a [i8];
    type BatchMut<'a> = &'a mut [i8];

    fn batch<'a>(&self, slabs: &mut Slabs<'a>) -> Result<&'a [i8]> {
        numbers(slabs.next(self.len())?)
    }

    fn batch_mut<'a>(&self, slabs: &mut SlabsMut<'a>) -> Result<&'a mut [i8]> {
        numbers_mut(slabs.next(self.len())?)
    }
}

/// Of `int64` alone, the dtype that Gymnasium gives it unless told otherwise.
impl BatchSpace for MultiDiscrete {
    type Batch<'a> = &'a [i64];
    type BatchMut<'a> = &'a mut [i64];

    fn batch<'a>(&self, slabs: &mut Slabs<'a>) -> Result<&'a [i64]> {
        self.check_int64()?;
        numbers(slabs.next(8 * self.nvec.len())?)
    }

    fn batch_mut<'a>(&self, slabs: &mut SlabsMut<'a>) -> Result<&'a mut [i64]> {
        self.check_int64()?;
        numbers_mut(slabs.next(8 * self.nvec.len())?)
    }
}

impl MultiDiscrete {
    fn check_int64(&self) -> Result<()> {
        if self.dtype == DType::I64 && !self.big_endian {
            return Ok(());
        }
        let text = format!("a MultiDiscrete of {} has no batch; declare it as int64", self.dtype.name());
        Err(Error::new(ErrorKind::Incompatible, text))
    }
}

macro_rules! tuples {
    ($($($S:ident . $i:tt),+;)*) => {$(
        impl<$($S: BatchSpace),+> BatchSpace for ($($S,)+) {
            type Batch<'a> = ($($S::Batch<'a>,)+);
            type BatchMut<'a> = ($($S::BatchMut<'a>,)+);

            fn batch<'a>(&self, slabs: &mut Slabs<'a>) -> Result<Self::Batch<'a>> {
                Ok(($(self.$i.batch(slabs)?,)+))
            }

            fn batch_mut<'a>(&self, slabs: &mut SlabsMut<'a>) -> Result<Self::BatchMut<'a>> {
                Ok(($(self.$i.batch_mut(slabs)?,)+))
            }
        }
    )*};
}
tuples! {
    A.0;
    A.0, B.1;
    A.0, B.1, C.2;
    A.0, B.1, C.2, D.3;
    A.0, B.1, C.2, D.3, E.4;
    A.0, B.1, C.2, D.3, E.4, F.5;
    A.0, B.1, C.2, D.3, E.4, F.5, G.6;
    A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7;
    A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8;
    A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9;
    A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10;
    A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10, L.11;
}

impl<M: Members + BatchSpace> BatchSpace for Dict<M> {
    type Batch<'a> = M::Batch<'a>;
    type BatchMut<'a> = M::BatchMut<'a>;

    fn batch<'a>(&self, slabs: &mut Slabs<'a>) -> Result<M::Batch<'a>> {
        self.members().batch(slabs)
    }

    fn batch_mut<'a>(&self, slabs: &mut SlabsMut<'a>) -> Result<M::BatchMut<'a>> {
        self.members().batch_mut(slabs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Pool;

    type Image = BoxSpace<u8, [u8; 3]>;

    #[test]
    fn what_is_written_is_read_without_the_rows_behind() {
        let space = Dict::new(["image", "door"], (Image::new([3], 0, 255), Discrete::new(5)));
        let mut bytes = Pool::new().take(16 + 24 + 8);
        bytes.fill(0);
        let (image, door) = space.batch_mut(&mut SlabsMut::new(&mut bytes, 3)).unwrap();
        image.copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        door.copy_from_slice(&[4, 0, 2]);
        assert_eq!(space.batch(&mut Slabs::new(&bytes, 3, 3)).unwrap(), (&image_of(9)[..], &[4, 0, 2][..]));
        assert_eq!(space.batch(&mut Slabs::new(&bytes, 3, 2)).unwrap(), (&image_of(6)[..], &[4, 0][..]));
        assert_eq!(bytes[40..43], [1, 1, 1], "the marks of the doors");
    }

    fn image_of(n: u8) -> Vec<u8> {
        (1..=n).collect()
    }

    #[test]
    fn what_are_no_elements_is_refused() {
        let mut bytes = Pool::new().take(16);
        bytes.fill(0);
        let doors = Discrete { dtype: DType::I8, ..Discrete::new(5) };
        bytes[8] = 2;
        assert!(doors.batch(&mut Slabs::new(&bytes, 1, 1)).is_err(), "no mark");
        (bytes[1], bytes[8]) = (1, 1);
        assert!(doors.batch(&mut Slabs::new(&bytes, 1, 1)).is_err(), "256 is no int8");
        bytes[8] = 0;
        assert_eq!(doors.batch(&mut Slabs::new(&bytes, 1, 1)).unwrap(), [256]);
        assert!(doors.batch(&mut Slabs::new(&bytes, 2, 2)).is_err(), "too few bytes");
        assert!(doors.batch(&mut Slabs::new(&bytes, usize::MAX, 1)).is_err());
        let flags = BoxSpace::<bool>::new([1], false, true);
        assert_eq!(flags.batch(&mut Slabs::new(&bytes, 1, 1)).unwrap(), [false]);
        bytes[0] = 2;
        assert!(flags.batch(&mut Slabs::new(&bytes, 1, 1)).is_err(), "no bool");
        let narrow = MultiDiscrete { dtype: DType::I32, ..MultiDiscrete::new(&[2]) };
        assert!(narrow.batch(&mut Slabs::new(&[], 0, 0)).unwrap_err().to_string().contains("int64"));
    }
}
