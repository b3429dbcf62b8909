//! Reader and Writer: the only place that knows how numbers, text and lists are laid out in bytes.
//!
//! The layout is bincode's `legacy()` configuration: fixed-width little-endian numbers, 64-bit
//! lengths, 32-bit tags. Containers are read by hand, because bincode allocates what a peer claims.

use std::iter;

use bincode::{Decode, Encode, config};
use smallvec::{Array, SmallVec};

use super::{HANDSHAKE_FRAME, Keys};
use crate::error::{Error, ErrorKind, Result};

/// Bounds on what a peer can make this process hold while one frame is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Longest frame in bytes, in either direction: from 64 KiB, which the handshake takes, to 2^32-2.
    pub frame: usize,
    /// Deepest nesting of a space or a value. A great one needs threads with large stacks.
    pub depth: u32,
    /// Most values, spaces and rows in one frame.
    pub count: u32,
}

/// Room that header and row take beside info, observation or action.
const HEAD: usize = 256;

/// No frame is longer: its length is 32 bits, and all of them set mark a clean end.
const LONGEST_FRAME: usize = u32::MAX as usize - 1;

/// The remedy where something does not fit a frame, for errors that people of both languages read.
pub(crate) const RAISE: &str =
    "raise the frame limit at both ends (max_frame in Python, ConnectionOptions::limits in Rust)";

impl Limits {
    /// An error of kind [`Usage`](ErrorKind::Usage) if no frame can be as long as `frame` says.
    pub fn check(&self) -> Result<()> {
        if (HANDSHAKE_FRAME..=LONGEST_FRAME).contains(&self.frame) {
            return Ok(());
        }
        let text = format!(
            "a frame limit of {} bytes cannot be; set one from {HANDSHAKE_FRAME} to {LONGEST_FRAME} in \
             ConnectionOptions::limits",
            self.frame
        );
        Err(Error::new(ErrorKind::Usage, text))
    }

    /// Refuses `what` of `len` bytes if it does not fit a frame beside its head. Call before a message gets a number,
    /// since a numbered message must be sent.
    pub(crate) fn fit(&self, kind: ErrorKind, what: &str, len: usize) -> Result<()> {
        if len <= self.frame.saturating_sub(HEAD) {
            return Ok(());
        }
        let text = format!("the {what} of {len} bytes is larger than the frame limit of {}; {RAISE}", self.frame);
        Err(Error::new(kind, text))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame: 64 << 20, depth: 32, count: 1 << 20 }
    }
}

/// Numbers that stand side by side in the frames of every step. bincode goes from one to the next; these are written
/// and read at once.
pub(crate) trait Group: Sized {
    /// As many bytes as the numbers take.
    type Bytes: AsRef<[u8]> + for<'b> TryFrom<&'b [u8]>;
    const LEN: usize = size_of::<Self::Bytes>();

    fn to_bytes(self) -> Self::Bytes;
    fn from_bytes(bytes: Self::Bytes) -> Self;
}

macro_rules! group {
    ($($name:ident: $number:ty),*) => {
        impl Group for ($($number,)*) {
            type Bytes = [u8; 0 $(+ size_of::<$number>())*];

            fn to_bytes(self) -> Self::Bytes {
                let ($($name,)*) = self;
                let (mut bytes, mut at) = ([0; Self::LEN], 0);
                $(
                    bytes[at..at + size_of::<$number>()].copy_from_slice(&$name.to_le_bytes());
                    at += size_of::<$number>();
                )*
                debug_assert_eq!(at, Self::LEN);
                bytes
            }

            fn from_bytes(bytes: Self::Bytes) -> Self {
                let mut rest = &bytes[..];
                $(
                    let (number, after) = rest.split_first_chunk().expect("as many bytes as the numbers take");
                    let $name = <$number>::from_le_bytes(*number);
                    rest = after;
                )*
                debug_assert!(rest.is_empty());
                ($($name,)*)
            }
        }
    };
}
// A header, a row without its info, and what precedes a packed payload.
group!(kind: u8, flags: u8, reserved: u16, reserved2: u32, seq: u64, ack: u64, re: u64);
group!(slot: u32, flags: u8, reward: f64);
group!(form: u32);
group!(len: u64, pad: u32);
group!(x: i64, mark: u8);
// How many bytes or items follow.
group!(count: u64);

/// Appends to a byte buffer.
#[derive(Debug)]
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl bincode::enc::write::Writer for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::result::Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Writer<'_> {
    /// A number, a bool, or a fixed-size group of them.
    pub fn put<T: Encode>(&mut self, x: T) {
        bincode::encode_into_writer(x, Writer(self.0), config::legacy()).expect("writing to memory does not fail");
    }

    /// The same at once.
    #[inline]
    pub(super) fn group(&mut self, numbers: impl Group) {
        self.0.extend_from_slice(numbers.to_bytes().as_ref());
    }

    /// A 64-bit length, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.put(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Text as its UTF-8 bytes.
    pub fn str(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A 64-bit count, then each item.
    pub fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.put(items.len() as u64);
        for x in items {
            item(self, x);
        }
    }

    /// One byte 0 or 1, then the value if there is one.
    pub fn option<T>(&mut self, x: Option<&T>, some: impl FnOnce(&mut Self, &T)) {
        self.put(x.is_some());
        if let Some(x) = x {
            some(self, x);
        }
    }
}

/// Reads from the bytes of one frame, within [`Limits`].
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    pub(super) frame: &'a [u8],
    pub(super) at: usize,
    pub(super) depth: u32,
    pub(super) count: u32,
    pub(super) keys: Keys,
    /// At which bound it failed, if it did at one.
    pub(super) broken: Option<Bound>,
}

/// A bound on what a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Count,
    Depth,
    Keys,
}

impl<'a> Reader<'a> {
    /// Starts at byte `at` of `frame`.
    pub fn new(frame: &'a [u8], at: usize, limits: &Limits) -> Self {
        let (depth, count, keys) = (limits.depth, limits.count, Keys::of_a_frame());
        Self { frame, at: at.min(frame.len()), depth, count, keys, broken: None }
    }

    /// Where in the frame the next byte is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        &self.frame[self.at..]
    }

    /// Number of bytes that are left.
    pub fn remaining(&self) -> usize {
        self.frame.len() - self.at
    }

    /// The error for bytes that violate the specification.
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        let near = &self.frame[self.at..self.frame.len().min(self.at + 16)];
        Error::protocol(format!("malformed frame: {what} at byte {} (next bytes: {near:02x?})", self.at))
    }

    /// A number, a bool, or a fixed-size group of them.
    pub fn get<T: Decode<()>>(&mut self) -> Result<T> {
        match bincode::decode_from_slice(&self.frame[self.at..], config::legacy()) {
            Ok((x, used)) => {
                self.at += used;
                Ok(x)
            }
            Err(bincode::error::DecodeError::UnexpectedEnd { .. }) => Err(self.error("the frame ends too early")),
            Err(error) => Err(self.error(error)),
        }
    }

    /// The same at once.
    #[inline]
    pub(crate) fn group<G: Group>(&mut self) -> Result<G> {
        match self.rest().get(..G::LEN).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => {
                self.at += G::LEN;
                Ok(G::from_bytes(bytes))
            }
            None => Err(self.error("the frame ends too early")),
        }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        if len > self.remaining() as u64 {
            return Err(self.error(format_args!("{len} bytes announced, {} left", self.remaining())));
        }
        let bytes = &self.frame[self.at..self.at + len as usize];
        self.at += len as usize;
        Ok(bytes)
    }

    /// A 64-bit length, then the bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let (len,) = self.group()?;
        self.take(len)
    }

    /// Text as its UTF-8 bytes.
    pub fn str(&mut self) -> Result<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.error("text that is not UTF-8, ending"))
    }

    /// A 64-bit count of items that take at least `min_size` bytes each; checked before anything is allocated.
    pub fn count(&mut self, min_size: usize) -> Result<usize> {
        let (count,): (u64,) = self.group()?;
        if count > (self.remaining() / min_size) as u64 {
            return Err(self.error(format_args!("{count} items announced, {} bytes left", self.remaining())));
        }
        Ok(count as usize)
    }

    /// A 64-bit count, then each item, collected into any container.
    pub fn list<T, C: FromIterator<T>>(
        &mut self,
        min_size: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<C> {
        match self.count(min_size)? {
            // So is nearly every list of a step.
            1 => item(self).map(|item| iter::once(item).collect()),
            count => (0..count).map(|_| item(self)).collect(),
        }
    }

    /// The same, in place of what a list that is reused held.
    pub(super) fn list_into<A: Array>(
        &mut self,
        min_size: usize,
        out: &mut SmallVec<A>,
        mut item: impl FnMut(&mut Self) -> Result<A::Item>,
    ) -> Result<()> {
        out.clear();
        for _ in 0..self.count(min_size)? {
            out.push(item(self)?);
        }
        Ok(())
    }

    /// A 64-bit count, then as many 32-bit numbers.
    pub(super) fn u32s(&mut self) -> Result<impl Iterator<Item = u32> + use<'a>> {
        let count = self.count(size_of::<u32>())?;
        let (bytes, _) = self.take((count * size_of::<u32>()) as u64)?.as_chunks();
        Ok(bytes.iter().map(|bytes| u32::from_le_bytes(*bytes)))
    }

    /// One byte 0 or 1, then the value if there is one.
    pub fn option<T>(&mut self, some: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.get::<bool>()? { some(self).map(Some) } else { Ok(None) }
    }

    /// Takes one value; returns a reader of it alone.
    pub(crate) fn split_value(&mut self) -> Result<Self> {
        let start = self.clone();
        self.value()?;
        Ok(Self { frame: &self.frame[..self.at], ..start })
    }

    /// Reads one value, space or row, which may contain others: one level deeper and one more counted.
    pub fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.count == 0 {
            self.broken = Some(Bound::Count);
            let what = "too many values, spaces or rows in one frame, where an array is one (see Limits::count)";
            return Err(self.error(what));
        }
        if self.depth == 0 {
            self.broken = Some(Bound::Depth);
            return Err(self.error("values nested too deep (see Limits::depth)"));
        }
        self.count -= 1;
        self.depth -= 1;
        let value = read(self);
        self.depth += 1;
        value
    }

    /// Everything must have been read.
    pub fn end(&self) -> Result<()> {
        if self.remaining() > 0 {
            return Err(self.error(format_args!("{} bytes after the end of the message", self.remaining())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_bytes_of_its_numbers() {
        fn check<G: Group + Copy + Encode + Decode<()> + PartialEq + std::fmt::Debug>(group: G) {
            let (mut at_once, mut one_by_one) = (vec![], vec![]);
            Writer(&mut at_once).group(group);
            Writer(&mut one_by_one).put(group);
            assert_eq!(at_once, one_by_one);
            let mut reader = Reader::new(&at_once, 0, &Limits::default());
            assert_eq!(reader.clone().get::<G>().unwrap(), group);
            assert_eq!(reader.group::<G>().unwrap(), group);
            assert_eq!(reader.remaining(), 0);
            for len in 0..at_once.len() {
                let mut cut = Reader::new(&at_once[..len], 0, &Limits::default());
                assert!(cut.group::<G>().is_err() && cut.position() == 0, "cut at {len}");
            }
        }
        check((1u8, 2u8, 0x0304_u16, 0x0506_0708_u32, u64::MAX, 1u64 << 63, 0x1122_3344_5566_7788_u64));
        check((u32::MAX, 7u8, -0.1f64));
        check((0x0102_0304_u32,));
        check((1u64 << 40, 63u32));
        check((1u64 << 40,));
    }
}
