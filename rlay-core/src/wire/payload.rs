//! Observations and actions: packed bytes that the spaces give a meaning, or values that describe themselves.

use super::{Limits, Reader, Writer};
use crate::{error::Result, frame::ALIGNMENT, space::Space, value::Value};

/// An observation or action inside a frame.
#[derive(Debug, Clone)]
pub struct Payload<'a> {
    /// Whether it is packed; otherwise it is one value per row.
    pub packed: bool,
    /// Positioned at the payload's first byte; the rest of the frame holds nothing else.
    pub reader: Reader<'a>,
}

/// Bytes before the padding of a packed payload: its tag, its length, and how many zeros follow.
const PACKED_HEAD: usize = 16;

/// Appends what precedes a payload of `len` bytes, so that a packed one starts at a multiple of
/// [`ALIGNMENT`] bytes. The payload itself follows and ends the frame.
pub fn payload_head(out: &mut Vec<u8>, packed: bool, len: usize) {
    if packed {
        let start = out.len() + PACKED_HEAD;
        let pad = start.next_multiple_of(ALIGNMENT) - start;
        Writer(out).group((0u32,));
        Writer(out).group((len as u64, pad as u32));
        out.resize(start + pad, 0);
    } else {
        Writer(out).group((1u32,));
    }
}

impl<'a> Payload<'a> {
    /// One element in the packed form, within `limits`.
    pub fn of_packed(element: &'a [u8], limits: &Limits) -> Self {
        Self { packed: true, reader: Reader::new(element, 0, limits) }
    }

    pub(super) fn read(mut reader: Reader<'a>) -> Result<Self> {
        let start = reader.clone();
        let (form,): (u32,) = reader.group()?;
        match form {
            0 => {
                let (len, pad): (u64, u32) = reader.group()?;
                let aligned = (reader.position() + pad as usize).is_multiple_of(ALIGNMENT);
                if pad as usize >= ALIGNMENT || !aligned || reader.take(pad.into())? != &[0; ALIGNMENT][..pad as usize]
                {
                    return Err(start.error("a packed payload with wrong padding"));
                }
                if len != reader.remaining() as u64 {
                    return Err(start.error(format_args!("{len} payload bytes announced, {} left", reader.remaining())));
                }
                Ok(Self { packed: true, reader })
            }
            1 => Ok(Self { packed: false, reader }),
            _ => Err(start.error(format_args!("unknown payload form {form}"))),
        }
    }

    /// The element of `space` that this payload of one row holds.
    pub fn element<S: Space + ?Sized>(&self, space: &S) -> Result<S::Element> {
        let mut reader = self.reader.clone();
        let element = if self.packed { space.unpack(&mut reader)? } else { space.from_value(&reader.value()?)? };
        reader.end()?;
        Ok(element)
    }

    /// The value that a payload of one row in the values form holds.
    pub fn value(&self) -> Result<Value> {
        let mut reader = self.reader.clone();
        let value = reader.value()?;
        reader.end()?;
        Ok(value)
    }
}
