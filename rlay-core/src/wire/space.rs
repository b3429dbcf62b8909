//! Spaces as bytes: a 32-bit tag, then the fields of the space.

use super::{
    Reader, Writer,
    value::{MIN_VALUE, check_bools, product},
};
use crate::{
    dtype::DType,
    error::Result,
    space::{AnyBox, AnySpace, Bound, Discrete, MultiBinary, MultiDiscrete, Text},
};

/// No space takes fewer bytes than its tag.
const MIN_SPACE: usize = 4;

/// Larger claimed observations are refused.
const MAX_BYTES: u64 = 1 << 40;

/// Appends a space to `out`.
pub fn put_space(out: &mut Vec<u8>, space: &AnySpace) {
    Writer(out).space(space);
}

impl Writer<'_> {
    /// One space.
    pub fn space(&mut self, space: &AnySpace) {
        match space {
            AnySpace::Box(space) => {
                self.put(0u32);
                self.dtype(space.dtype, space.big_endian);
                self.list(&space.shape, |w, n| w.put(*n));
                self.bound(&space.low);
                self.bound(&space.high);
            }
            AnySpace::Discrete(space) => {
                self.put(1u32);
                self.dtype(space.dtype, false);
                self.put((space.n, space.start));
            }
            AnySpace::MultiBinary(space) => {
                self.put(2u32);
                self.list(&space.shape, |w, n| w.put(*n));
                self.put(space.n_is_int);
            }
            AnySpace::MultiDiscrete(space) => {
                self.put(3u32);
                self.dtype(space.dtype, space.big_endian);
                self.list(&space.shape, |w, n| w.put(*n));
                self.list(&space.nvec, |w, n| w.put(*n));
                self.list(&space.start, |w, n| w.put(*n));
            }
            AnySpace::Text(space) => {
                self.put((4u32, space.min_length, space.max_length));
                self.str(&space.charset);
            }
            AnySpace::Tuple(spaces) => {
                self.put(5u32);
                self.list(spaces, Self::space);
            }
            AnySpace::Dict(spaces) => {
                self.put(6u32);
                self.list(spaces, |w, (key, space)| {
                    w.value(key);
                    w.space(space);
                });
            }
            AnySpace::Sequence { space, stack } => {
                self.put((7u32, *stack));
                self.space(space);
            }
            AnySpace::Graph { node, edge } => {
                self.put(8u32);
                self.space(node);
                self.option(edge.as_deref(), Self::space);
            }
            AnySpace::OneOf(spaces) => {
                self.put(9u32);
                self.list(spaces, Self::space);
            }
        }
    }

    fn bound(&mut self, bound: &Bound) {
        match bound {
            Bound::Uniform { value, bounded } => {
                self.put(0u32);
                self.0.extend_from_slice(value);
                self.put(*bounded);
            }
            Bound::Each { values, bounded } => {
                self.put(1u32);
                self.0.extend_from_slice(values);
                bounded.iter().for_each(|b| self.put(*b));
            }
        }
    }
}

impl Reader<'_> {
    /// One space, within the limits of depth and count.
    pub fn space(&mut self) -> Result<AnySpace> {
        self.nested(|r| {
            let start = r.clone();
            Ok(match r.get::<u32>()? {
                0 => {
                    let (dtype, big_endian) = r.dtype()?;
                    let shape = r.shape()?;
                    let len = r.product(&shape, dtype.size())?;
                    let (low, high) = (r.bound(len, dtype)?, r.bound(len, dtype)?);
                    AnySpace::Box(AnyBox { dtype, big_endian, shape, low, high })
                }
                1 => {
                    let (dtype, big_endian) = r.dtype()?;
                    let (n, begin) = r.get()?;
                    if n == 0 || big_endian || !dtype.is_integer() {
                        return Err(start.error("a Discrete space of no integers"));
                    }
                    AnySpace::Discrete(Discrete { n, start: begin, dtype })
                }
                2 => {
                    let shape = r.shape()?;
                    r.product(&shape, 1)?;
                    AnySpace::MultiBinary(MultiBinary { shape, n_is_int: r.get()? })
                }
                3 => {
                    let (dtype, big_endian) = r.dtype()?;
                    let shape = r.shape()?;
                    let len = r.product(&shape, 8)?;
                    let (nvec, begin): (Vec<i64>, Vec<i64>) = (r.list(8, Self::get)?, r.list(8, Self::get)?);
                    if nvec.len() as u64 != len || begin.len() as u64 != len {
                        return Err(start.error("a MultiDiscrete space whose fields do not fit its shape"));
                    }
                    if nvec.iter().any(|n| *n <= 0) || !dtype.is_integer() {
                        return Err(start.error("a MultiDiscrete space of no integers"));
                    }
                    AnySpace::MultiDiscrete(MultiDiscrete { shape, nvec, start: begin, dtype, big_endian })
                }
                4 => {
                    let (min_length, max_length) = r.get()?;
                    if min_length > max_length {
                        return Err(start.error("a Text space with min_length above max_length"));
                    }
                    AnySpace::Text(Text { min_length, max_length, charset: r.str()?.to_owned() })
                }
                5 => AnySpace::Tuple(r.list(MIN_SPACE, Self::space)?),
                6 => AnySpace::Dict(r.list(MIN_VALUE + MIN_SPACE, |r| Ok((r.key()?, r.space()?)))?),
                7 => {
                    let stack = r.get()?;
                    AnySpace::Sequence { space: Box::new(r.space()?), stack }
                }
                8 => AnySpace::Graph { node: Box::new(r.space()?), edge: r.option(Self::space)?.map(Box::new) },
                9 => match r.list(MIN_SPACE, Self::space)? {
                    spaces if Vec::is_empty(&spaces) => return Err(start.error("a OneOf of no spaces")),
                    spaces => AnySpace::OneOf(spaces),
                },
                tag => return Err(start.error(format_args!("unknown space tag {tag}"))),
            })
        })
    }

    /// Number of elements of an array of this shape, unless it is absurd.
    fn product(&self, shape: &[u64], size: usize) -> Result<u64> {
        product(shape, size)
            .filter(|bytes| *bytes <= MAX_BYTES)
            .map(|bytes| bytes / size as u64)
            .ok_or_else(|| self.error(format_args!("a space of shape {shape:?}, ending")))
    }

    fn bound(&mut self, len: u64, dtype: DType) -> Result<Bound> {
        let start = self.clone();
        let size = dtype.size() as u64;
        match self.get::<u32>()? {
            0 => {
                let value = self.take(size)?.to_vec();
                check_bools(dtype, &value, &start)?;
                Ok(Bound::Uniform { value, bounded: self.get()? })
            }
            1 => {
                let values = self.take(len * size)?.to_vec();
                check_bools(dtype, &values, &start)?;
                let mask = self.take(len)?;
                check_bools(DType::Bool, mask, &start)?;
                Ok(Bound::Each { values, bounded: mask.iter().map(|byte| *byte == 1).collect() })
            }
            tag => Err(start.error(format_args!("unknown bound tag {tag}"))),
        }
    }
}
