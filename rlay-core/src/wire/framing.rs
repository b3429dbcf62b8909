//! Frames on a stream of bytes: a 32-bit little-endian length before each, sans-io.

use super::{HANDSHAKE_FRAME, codec::RAISE, foreign::ForeignProtocol};
use crate::{
    error::{Error, Result},
    frame::{ALIGNMENT, Frame, Pool},
};

/// Bytes of the length prefix.
const PREFIX: usize = 4;
/// Where the prefix lies in a block, so that the frame behind it is aligned.
const START: usize = ALIGNMENT - PREFIX;
/// The length that marks a clean end: nothing follows, on purpose.
pub const END: [u8; PREFIX] = [0xff; PREFIX];
/// The first four bytes of ZeroMQ's greeting as a length.
const ZMTP_LENGTH: usize = 0xff;
/// Room for the first read of a frame of unpredictable size.
const FIRST_READ: usize = 4 << 10;

/// Cuts a stream of bytes into frames: ask where to read to, report how much arrived, take the frame.
///
/// A frame arrives in a pooled block of about the size of the frame before it, which then is the
/// frame: nothing is copied as long as frames are of similar size and the peer waits for answers.
/// The block is taken when bytes are awaited, so that it can be the one that was just dropped.
///
/// ```
/// use rlay::wire::Framing;
///
/// let mut framing = Framing::new(1024);
/// let bytes = [&framing.prefix(4).unwrap()[..], b"ping"].concat();
/// framing.space()[..bytes.len()].copy_from_slice(&bytes);
/// framing.filled(bytes.len());
/// assert_eq!(&framing.take().unwrap().unwrap()[..], b"ping");
/// ```
#[derive(Debug)]
pub struct Framing {
    pool: Pool,
    max_frame: usize,
    /// Bytes that arrived, at `at` and after. `None` while there are none.
    block: Option<Frame>,
    /// `START`, unless frames were copied from before it.
    at: usize,
    filled: usize,
    /// How large the next block is made.
    guess: usize,
    ended: bool,
}

impl Framing {
    /// For frames of at most `max_frame` bytes.
    pub fn new(max_frame: usize) -> Self {
        Self {
            pool: Pool::new(),
            max_frame,
            block: None,
            at: START,
            filled: 0,
            guess: START + FIRST_READ,
            ended: false,
        }
    }

    /// The limit.
    pub fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// Changes the limit, once the handshake has settled it.
    pub fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
    }

    /// The prefix of a frame of `len` bytes that is about to be sent.
    pub fn prefix(&self, len: usize) -> Result<[u8; PREFIX]> {
        match u32::try_from(len) {
            Ok(prefix) if len <= self.max_frame && prefix.to_le_bytes() != END => Ok(prefix.to_le_bytes()),
            _ => Err(too_large("own", len, self.max_frame)),
        }
    }

    /// Where to read to next. Never empty.
    pub fn space(&mut self) -> &mut [u8] {
        let block = self.block.get_or_insert_with(|| self.pool.take(self.guess));
        block.resize(block.capacity());
        if self.at > START {
            block.copy_within(self.at..self.at + self.filled, START);
            self.at = START;
        }
        &mut block[START + self.filled..]
    }

    /// Whether a frame has begun to arrive and not ended.
    pub fn is_amid_frame(&self) -> bool {
        self.filled > 0
    }

    /// Whether the peer has marked that nothing follows.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// `n` bytes arrived in [`space`](Self::space).
    pub fn filled(&mut self, n: usize) {
        self.filled += n;
    }

    /// The next frame, if all of it has arrived. If not, there is room for the rest of it, unless the
    /// stream has [`ended`](Self::ended).
    pub fn take(&mut self) -> Result<Option<Frame>> {
        let Some(block) = self.block.as_mut().filter(|_| self.filled >= PREFIX) else { return Ok(None) };
        let prefix: [u8; PREFIX] = block[self.at..self.at + PREFIX].try_into().expect("four bytes");
        if prefix == END {
            self.ended = true;
        }
        if self.ended {
            return Ok(None);
        }
        let len = u32::from_le_bytes(prefix) as usize;
        // As a length, the beginning of ZeroMQ's greeting is within any limit.
        let is_foreign = len == ZMTP_LENGTH
            && self.max_frame <= HANDSHAKE_FRAME
            && ForeignProtocol::recognize(&block[self.at..self.at + self.filled]).is_some();
        if len > self.max_frame || is_foreign {
            return Err(self.refuse(len));
        }
        let needed = ALIGNMENT + len;
        if self.filled < PREFIX + len {
            if needed > block.capacity() {
                let mut larger = self.pool.take(needed);
                larger[START..START + self.filled].copy_from_slice(&block[self.at..self.at + self.filled]);
                *block = larger;
                self.at = START;
            }
            return Ok(None);
        }
        self.guess = needed.max(START + FIRST_READ);
        self.filled -= PREFIX + len;
        // The shorter moves, this frame or what follows it: that may be many frames, and would move for each.
        if self.at > START || self.filled > len {
            let frame = Frame::copy_of(&self.pool, &block[self.at + PREFIX..][..len]);
            self.at += PREFIX + len;
            if self.filled == 0 {
                (self.block, self.at) = (None, START);
            }
            return Ok(Some(frame));
        }
        let next = (self.filled > 0).then(|| {
            let mut next = self.pool.take(self.guess.max(START + self.filled + PREFIX));
            next[START..START + self.filled].copy_from_slice(&block[needed..needed + self.filled]);
            next
        });
        let frame = std::mem::replace(&mut self.block, next);
        Ok(frame.map(|mut frame| {
            frame.resize(needed);
            frame.skip_line();
            frame
        }))
    }

    /// The error for a length no RLay peer would send; recognizes peers of other protocols by their first bytes.
    fn refuse(&self, len: usize) -> Error {
        let seen = self.block.as_ref().map_or(&[][..], |block| &block[self.at..self.at + self.filled.min(24)]);
        match ForeignProtocol::recognize(seen) {
            Some(foreign @ ForeignProtocol::Http) => Error::protocol(format!(
                "{foreign} on an RLay port (first bytes: {:?}); {}",
                String::from_utf8_lossy(seen),
                foreign.advice()
            )),
            Some(foreign) => Error::protocol(format!("{foreign} on an RLay port; {}", foreign.advice())),
            None if self.max_frame <= HANDSHAKE_FRAME => Error::protocol(format!(
                "not an RLay peer (first bytes: {seen:02x?}); check the address and port at both ends"
            )),
            None => too_large("peer's", len, self.max_frame),
        }
    }
}

/// The error of a frame of `len` bytes, `whose` is "own" or "peer's".
pub fn too_large(whose: &str, len: usize, limit: usize) -> Error {
    Error::protocol(format!("the {whose} frame of {len} bytes is larger than the limit of {limit}; {RAISE}"))
}
