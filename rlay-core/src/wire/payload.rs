//! Observations and actions: packed bytes that the spaces give a meaning, or values that describe themselves.

use super::{Reader, Writer};
use crate::{error::Result, frame::ALIGNMENT, space::Space, value::Value};

/// An observation or action inside a frame.
#[derive(Debug, Clone)]
pub struct Payload<'a> {
    /// Whether it is packed; otherwise it is one value per row.
    pub packed: bool,
    /// Stands at its first byte; there is nothing else in the rest of the frame.
    pub reader: Reader<'a>,
}

/// Appends what precedes a payload of `len` bytes, so that a packed one starts at a multiple of
/// [`ALIGNMENT`] bytes. The payload itself follows and ends the frame.
pub fn payload_head(out: &mut Vec<u8>, packed: bool, len: usize) {
    if packed {
        Writer(out).put((0u32, len as u64));
        let pad = (out.len() + 4).next_multiple_of(ALIGNMENT) - (out.len() + 4);
        Writer(out).put(pad as u32);
        out.resize(out.len() + pad, 0);
    } else {
        Writer(out).put(1u32);
    }
}

impl<'a> Payload<'a> {
    pub(super) fn read(mut reader: Reader<'a>) -> Result<Self> {
        let start = reader.clone();
        match reader.get::<u32>()? {
            0 => {
                let (len, pad): (u64, u32) = reader.get()?;
                let aligned = (reader.position() + pad as usize).is_multiple_of(ALIGNMENT);
                if pad as usize >= ALIGNMENT || !aligned || reader.take(pad.into())?.iter().any(|byte| *byte != 0) {
                    return Err(start.error("a packed payload with wrong padding"));
                }
                if len != reader.remaining() as u64 {
                    return Err(start.error(format_args!("{len} payload bytes announced, {} left", reader.remaining())));
                }
                Ok(Self { packed: true, reader })
            }
            1 => Ok(Self { packed: false, reader }),
            form => Err(start.error(format_args!("unknown payload form {form}"))),
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
