//! Reader: messages from the bytes of a peer (RFC 6455, section 5), sans-io.
//!
//! The header of each WebSocket frame is read by tungstenite. Its messages are not used: their limit is fixed when a
//! connection begins, and they arrive in memory of their own, from which each frame would be copied.

use std::io::Cursor;

use rlay_core::{Frame, Pool};
use tungstenite::protocol::{
    Role,
    frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    },
};

/// Bytes that are read at once where no long message is under way.
const BUFFER: usize = 16 << 10;
/// The longest payload of a control message.
const LONGEST_CONTROL: usize = 125;

/// What arrived.
#[derive(Debug)]
pub(crate) enum Event {
    Message(Frame),
    Ping(Vec<u8>),
    Pong,
    /// The code and the reason.
    Close(Option<(u16, String)>),
}

/// Why nothing can be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A message would have this length, which is above the limit. With a higher one it can be read.
    TooLong(usize),
    /// The peer sent a message of text.
    Text,
    /// The peer breaks the rules.
    Violation(&'static str),
}

/// A WebSocket frame whose payload is being received.
#[derive(Debug)]
struct Fragment {
    opcode: OpCode,
    is_final: bool,
    mask: Option<[u8; 4]>,
    len: usize,
    /// Payload that has arrived.
    filled: usize,
}

#[derive(Debug)]
pub(crate) struct Reader {
    pool: Pool,
    is_server: bool,
    buffer: Box<[u8]>,
    /// The part of it that is not used yet.
    start: usize,
    end: usize,
    /// A header whose message is too long for now.
    refused: Option<(FrameHeader, usize)>,
    fragment: Option<Fragment>,
    /// The message under way and how much of it there is, without that of the fragment under way.
    message: Option<(Frame, usize)>,
    control: Vec<u8>,
}

impl Reader {
    /// Reads as `role`; the bytes of `tail` have arrived already.
    pub(crate) fn new(role: Role, tail: &[u8]) -> Self {
        let mut buffer = vec![0; BUFFER.max(tail.len())].into_boxed_slice();
        buffer[..tail.len()].copy_from_slice(tail);
        Self {
            pool: Pool::new(),
            is_server: role == Role::Server,
            buffer,
            start: 0,
            end: tail.len(),
            refused: None,
            fragment: None,
            message: None,
            control: vec![],
        }
    }

    /// Where to read to next, once [`next`](Self::next) has returned nothing. Never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if let (Some(fragment), Some((frame, before))) = (&self.fragment, &mut self.message)
            && matches!(fragment.opcode, OpCode::Data(_))
            && fragment.len - fragment.filled >= BUFFER
        {
            return &mut frame[*before + fragment.filled..*before + fragment.len];
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// `n` bytes arrived in [`space`](Self::space).
    pub(crate) fn filled(&mut self, n: usize) {
        match (&mut self.fragment, &mut self.message) {
            (Some(fragment), Some((frame, before)))
                if matches!(fragment.opcode, OpCode::Data(_)) && fragment.len - fragment.filled >= BUFFER =>
            {
                let at = *before + fragment.filled;
                unmask(&mut frame[at..at + n], fragment.mask, fragment.filled);
                fragment.filled += n;
            }
            _ => self.end += n,
        }
    }

    /// The next event, if all of it has arrived. Messages have at most `limit` bytes.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<Event>, Fault> {
        loop {
            if self.fragment.is_none() {
                let Some((header, len)) = self.header()? else { return Ok(None) };
                self.begin(header, len, limit)?;
            }
            let Some(fragment) = &mut self.fragment else { continue };
            let n = (self.end - self.start).min(fragment.len - fragment.filled);
            let bytes = &mut self.buffer[self.start..self.start + n];
            unmask(bytes, fragment.mask, fragment.filled);
            match (&mut self.message, fragment.opcode) {
                (Some((frame, before)), OpCode::Data(_)) => {
                    let at = *before + fragment.filled;
                    frame[at..at + n].copy_from_slice(bytes);
                }
                _ => self.control.extend_from_slice(bytes),
            }
            self.start += n;
            fragment.filled += n;
            if fragment.filled < fragment.len {
                return Ok(None);
            }
            let Some(fragment) = self.fragment.take() else { continue };
            if let Some(event) = self.finish(&fragment)? {
                return Ok(Some(event));
            }
        }
    }

    /// The header of the next fragment, and the length of its payload.
    fn header(&mut self) -> Result<Option<(FrameHeader, usize)>, Fault> {
        if let Some(refused) = self.refused.take() {
            return Ok(Some(refused));
        }
        let mut cursor = Cursor::new(&self.buffer[self.start..self.end]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Fault::Violation("a frame of unknown kind"))?;
        let Some((header, len)) = parsed else { return Ok(None) };
        self.start += cursor.position() as usize;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::Violation("a frame of an extension that was not agreed upon"));
        }
        if header.mask.is_some() != self.is_server {
            return Err(Fault::Violation(match self.is_server {
                true => "a frame without a mask, which a dialer must apply",
                false => "a frame with a mask, which only a dialer applies",
            }));
        }
        Ok(Some((header, usize::try_from(len).unwrap_or(usize::MAX))))
    }

    /// Begins a fragment, and takes the memory for its payload.
    fn begin(&mut self, header: FrameHeader, len: usize, limit: usize) -> Result<(), Fault> {
        match header.opcode {
            OpCode::Control(_) if len > LONGEST_CONTROL => {
                return Err(Fault::Violation("a control frame that is too long"));
            }
            OpCode::Control(_) if !header.is_final => return Err(Fault::Violation("a control frame in parts")),
            OpCode::Control(_) => self.control.clear(),
            OpCode::Data(Data::Text) => return Err(Fault::Text),
            OpCode::Data(Data::Continue) if self.message.is_none() => {
                return Err(Fault::Violation("the continuation of no message"));
            }
            OpCode::Data(Data::Binary) if self.message.is_some() => {
                return Err(Fault::Violation("a message within a message"));
            }
            OpCode::Data(_) => {
                let before = self.message.as_ref().map_or(0, |(_, before)| *before);
                let total = before.saturating_add(len);
                if total > limit {
                    self.refused = Some((header, len));
                    return Err(Fault::TooLong(total));
                }
                match &mut self.message {
                    None => self.message = Some((self.pool.take(len), 0)),
                    // Doubled, so that a message in many parts is not copied for each.
                    Some((frame, _)) if frame.len() < total => {
                        frame.resize(total.max(frame.len().saturating_mul(2)).min(limit));
                    }
                    Some(_) => {}
                }
            }
        }
        self.fragment =
            Some(Fragment { opcode: header.opcode, is_final: header.is_final, mask: header.mask, len, filled: 0 });
        Ok(())
    }

    /// What a fragment that is complete completes.
    fn finish(&mut self, fragment: &Fragment) -> Result<Option<Event>, Fault> {
        match fragment.opcode {
            OpCode::Control(Control::Ping) => Ok(Some(Event::Ping(std::mem::take(&mut self.control)))),
            OpCode::Control(Control::Pong) => Ok(Some(Event::Pong)),
            OpCode::Control(_) => match self.control[..] {
                [] => Ok(Some(Event::Close(None))),
                [_] => Err(Fault::Violation("a closing frame with half a code")),
                [high, low, ref reason @ ..] => {
                    let reason = String::from_utf8_lossy(reason).into_owned();
                    Ok(Some(Event::Close(Some((u16::from_be_bytes([high, low]), reason)))))
                }
            },
            OpCode::Data(_) => {
                let Some((mut frame, before)) = self.message.take() else { return Ok(None) };
                let len = before + fragment.len;
                if !fragment.is_final {
                    self.message = Some((frame, len));
                    return Ok(None);
                }
                frame.resize(len);
                Ok(Some(Event::Message(frame)))
            }
        }
    }
}

/// Applies `mask` to bytes that lie at `at` of a payload.
pub(crate) fn unmask(bytes: &mut [u8], mask: Option<[u8; 4]>, at: usize) {
    let Some(mut mask) = mask else { return };
    mask.rotate_left(at % 4);
    // In chunks, of which the compiler makes wide instructions.
    let mut wide = [0; 32];
    wide.chunks_exact_mut(4).for_each(|part| part.copy_from_slice(&mask));
    for chunk in bytes.chunks_mut(wide.len()) {
        chunk.iter_mut().zip(wide).for_each(|(byte, mask)| *byte ^= mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100_000;

    /// A WebSocket frame, masked as a dialer does it if `mask` is given.
    fn fragment(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = vec![first];
        let flag = if mask.is_some() { 0x80 } else { 0 };
        match payload.len() {
            len @ ..126 => bytes.push(flag | len as u8),
            len @ ..65536 => {
                bytes.push(flag | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(flag | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(mask.iter().flatten());
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], mask, 0);
        bytes
    }

    /// Gives a reader bytes in reads of at most `most` bytes.
    fn read(reader: &mut Reader, mut bytes: &[u8], most: usize) -> Result<Vec<Event>, Fault> {
        let mut events = vec![];
        loop {
            while let Some(event) = reader.next(LIMIT)? {
                events.push(event);
            }
            if bytes.is_empty() {
                return Ok(events);
            }
            let space = reader.space();
            let n = space.len().min(bytes.len()).min(most);
            space[..n].copy_from_slice(&bytes[..n]);
            reader.filled(n);
            bytes = &bytes[n..];
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * i / 7) as u8).collect()
    }

    #[test]
    fn messages_arrive_whole_however_they_are_cut() {
        let mask = Some([1, 2, 3, 250]);
        let payloads = [0, 1, 3, 125, 126, 65535, 65536, LIMIT, 5, 0].map(noise);
        for (role, mask) in [(Role::Server, mask), (Role::Client, None)] {
            let mut bytes: Vec<u8> = payloads.iter().flat_map(|payload| fragment(0x82, payload, mask)).collect();
            // In parts, with a ping between them.
            let (whole, mut rest) = (noise(50_001), &noise(50_001)[..]);
            bytes.extend(fragment(0x02, &rest[..7], mask));
            rest = &rest[7..];
            while rest.len() > 9000 {
                bytes.extend(fragment(0x00, &rest[..9000], mask));
                bytes.extend(fragment(0x89, b"there?", mask));
                rest = &rest[9000..];
            }
            bytes.extend(fragment(0x80, rest, mask));
            bytes.extend(fragment(0x8a, b"", mask));
            bytes.extend(fragment(0x88, b"\x03\xe8bye", mask));
            for most in [1, 2, 13, 4096, usize::MAX] {
                let mut reader = Reader::new(role, &bytes[..3]);
                let mut events = read(&mut reader, &bytes[3..], most).unwrap().into_iter();
                for payload in &payloads {
                    let Some(Event::Message(frame)) = events.next() else { panic!("a message") };
                    assert!(frame[..] == payload[..] && (frame.as_ptr() as usize).is_multiple_of(64));
                }
                for _ in 0..5 {
                    assert!(matches!(events.next(), Some(Event::Ping(payload)) if payload == b"there?"));
                }
                assert!(matches!(events.next(), Some(Event::Message(frame)) if frame[..] == whole[..]));
                assert!(matches!(events.next(), Some(Event::Pong)));
                let close = events.next();
                assert!(matches!(&close, Some(Event::Close(Some((1000, reason)))) if reason == "bye"), "{close:?}");
                assert!(events.next().is_none());
            }
        }
    }

    #[test]
    fn a_message_above_the_limit_waits_for_a_higher_one() {
        let mut reader = Reader::new(Role::Client, &[]);
        let bytes = fragment(0x82, &noise(LIMIT + 1), None);
        assert_eq!(read(&mut reader, &bytes[..20], 20).unwrap_err(), Fault::TooLong(LIMIT + 1));
        assert_eq!(reader.next(LIMIT).unwrap_err(), Fault::TooLong(LIMIT + 1));
        assert!(reader.next(LIMIT + 1).unwrap().is_none());
        let events = read(&mut reader, &bytes[20..], usize::MAX).unwrap();
        assert!(matches!(&events[..], [Event::Message(frame)] if frame[..] == noise(LIMIT + 1)[..]));

        // All parts count.
        let mut reader = Reader::new(Role::Client, &[]);
        let bytes = [fragment(0x02, &noise(LIMIT), None), fragment(0x80, &[1], None)].concat();
        assert_eq!(read(&mut reader, &bytes, usize::MAX).unwrap_err(), Fault::TooLong(LIMIT + 1));
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let huge = [&[0x82, 127][..], &[0xff; 8]].concat();
        assert!(matches!(read(&mut Reader::new(Role::Client, &[]), &huge, 99), Err(Fault::TooLong(_))));
        assert!(matches!(
            read(&mut Reader::new(Role::Client, &[]), &fragment(0x81, b"text", None), 99),
            Err(Fault::Text)
        ));
        for bad in [
            &fragment(0x82, b"", Some([0; 4])),
            &fragment(0xc2, b"", None),
            &fragment(0x83, b"", None),
            &fragment(0x8b, b"", None),
            &fragment(0x80, b"", None),
            &fragment(0x09, b"", None),
            &fragment(0x89, &[0; 126], None),
            &fragment(0x88, &[3], None),
            &[fragment(0x02, b"a", None), fragment(0x82, b"b", None)].concat(),
        ] {
            assert!(matches!(read(&mut Reader::new(Role::Client, &[]), bad, 99), Err(Fault::Violation(_))), "{bad:?}");
        }
        let unmasked = fragment(0x82, b"", None);
        assert!(matches!(read(&mut Reader::new(Role::Server, &[]), &unmasked, 99), Err(Fault::Violation(_))));
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        let mut rng = rlay_core::Rng::seeded(5);
        for round in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.below(60)).map(|_| rng.below(256) as u8).collect();
            let role = if round % 2 == 0 { Role::Server } else { Role::Client };
            let _ = read(&mut Reader::new(role, &[]), &bytes, 1 + round % 9);
        }
    }
}
