//! Writer: the bytes of messages (RFC 6455, section 5), sans-io.

use std::io::IoSlice;

use rlay_core::{Error, ErrorKind, Result};
use tungstenite::protocol::{
    Role,
    frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    },
};

use crate::reader::unmask;

/// How much of a message is copied at once to be masked.
const CHUNK: usize = 64 << 10;
/// Random bytes that are asked of the system at once.
const RANDOM: usize = 256;

/// Makes the headers of one side, and masks what a dialer sends.
#[derive(Debug)]
pub(crate) struct Masks {
    is_client: bool,
    random: Vec<u8>,
}

impl Masks {
    pub(crate) fn new(role: Role) -> Self {
        Self { is_client: role == Role::Client, random: vec![] }
    }

    /// A mask that no other program knows, so that a dialer's bytes are none that a program between the two could take for a
    /// protocol (RFC 6455, 10.3).
    fn next(&mut self) -> Result<Option<[u8; 4]>> {
        if !self.is_client {
            return Ok(None);
        }
        if self.random.is_empty() {
            self.random.resize(RANDOM, 0);
            getrandom::fill(&mut self.random)
                .map_err(|e| Error::new(ErrorKind::Usage, format!("the system gives no random bytes: {e}")))?;
        }
        let rest = self.random.len() - 4;
        let mask = [self.random[rest], self.random[rest + 1], self.random[rest + 2], self.random[rest + 3]];
        self.random.truncate(rest);
        Ok(Some(mask))
    }

    fn header(&mut self, opcode: OpCode, len: usize) -> Result<(Vec<u8>, Option<[u8; 4]>)> {
        let mask = self.next()?;
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        let mut bytes = Vec::with_capacity(16);
        // Writing to memory does not fail.
        let _ = header.format(len as u64, &mut bytes);
        Ok((bytes, mask))
    }

    /// All bytes of a control message.
    pub(crate) fn control(&mut self, kind: Control, payload: &[u8]) -> Result<Vec<u8>> {
        let (mut bytes, mask) = self.header(OpCode::Control(kind), payload.len())?;
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], mask, 0);
        Ok(bytes)
    }

    /// Begins a message, `head` followed by `body`.
    pub(crate) fn message<'a>(&mut self, head: &'a [u8], body: &'a [u8]) -> Result<Outgoing<'a>> {
        let (chunk, mask) = self.header(OpCode::Data(Data::Binary), head.len() + body.len())?;
        Ok(Outgoing { chunk, chunk_sent: 0, mask, parts: [head, body], taken: 0 })
    }
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// The header, and masked bytes.
    chunk: Vec<u8>,
    chunk_sent: usize,
    mask: Option<[u8; 4]>,
    parts: [&'a [u8]; 2],
    /// Bytes of the parts that were sent, or are in the chunk.
    taken: usize,
}

impl<'a> Outgoing<'a> {
    /// The parts without what was taken of them.
    fn left(&self) -> [&'a [u8]; 2] {
        let [head, body] = self.parts;
        let of_head = self.taken.min(head.len());
        [&head[of_head..], &body[self.taken - of_head..]]
    }

    /// The bytes to send next; none once all were sent.
    pub(crate) fn next(&mut self) -> [IoSlice<'_>; 3] {
        if self.mask.is_some() {
            if self.chunk_sent == self.chunk.len() {
                self.chunk.clear();
                self.chunk_sent = 0;
            }
            if self.chunk_sent == 0 && self.chunk.len() < CHUNK {
                let start = self.chunk.len();
                for part in self.left() {
                    let n = part.len().min(CHUNK - self.chunk.len());
                    self.chunk.extend_from_slice(&part[..n]);
                }
                unmask(&mut self.chunk[start..], self.mask, self.taken);
                self.taken += self.chunk.len() - start;
            }
            return [IoSlice::new(&self.chunk[self.chunk_sent..]), IoSlice::new(&[]), IoSlice::new(&[])];
        }
        let [head, body] = self.left();
        [IoSlice::new(&self.chunk[self.chunk_sent..]), IoSlice::new(head), IoSlice::new(body)]
    }

    /// `n` of the bytes to send next were sent.
    pub(crate) fn sent(&mut self, n: usize) {
        let of_chunk = n.min(self.chunk.len() - self.chunk_sent);
        self.chunk_sent += of_chunk;
        self.taken += n - of_chunk;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{Event, Reader};

    #[test]
    fn what_is_written_is_read() {
        for (writing, reading) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            let (mut masks, mut reader) = (Masks::new(writing), Reader::new(reading, &[]));
            for (head, body, most) in [(0, 0, 9), (3, 0, 1), (0, 200, 2), (70_000, 1, 5000), (5, 200_000, 99_999)] {
                let bytes: Vec<u8> = (0..head + body).map(|i| (i * i / 5) as u8).collect();
                let mut outgoing = masks.message(&bytes[..head], &bytes[head..]).unwrap();
                let mut frame = None;
                loop {
                    let next: Vec<u8> = outgoing.next().iter().flat_map(|slice| slice.to_vec()).take(most).collect();
                    if next.is_empty() {
                        break;
                    }
                    outgoing.sent(next.len());
                    let mut rest = &next[..];
                    while !rest.is_empty() {
                        let space = reader.space();
                        let n = space.len().min(rest.len());
                        space[..n].copy_from_slice(&rest[..n]);
                        reader.filled(n);
                        rest = &rest[n..];
                        match reader.next(usize::MAX).unwrap() {
                            Some(Event::Message(read)) => frame = Some(read),
                            other => assert!(other.is_none(), "{other:?}"),
                        }
                    }
                }
                assert!(frame.expect("a message")[..] == bytes[..], "{head} and {body}");
            }
        }
    }

    #[test]
    fn no_mask_is_used_twice() {
        let mut masks = Masks::new(Role::Client);
        let mut seen: Vec<_> = (0..RANDOM).map(|_| masks.next().unwrap()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > RANDOM - 3);
        assert_eq!(Masks::new(Role::Server).next().unwrap(), None);
    }
}
