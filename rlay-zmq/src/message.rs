//! Message: the first byte of a ZeroMQ message and what follows it (`docs/wire.md`, "ZeroMQ").

use bytes::Bytes;

/// A message from one end to the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// One frame.
    Data(Bytes),
    /// So many more bytes may be sent. The first message of the dialer, and of the listener in answer.
    Credit(u64),
    /// A liveness probe.
    Ping,
    /// The answer to a ping.
    Pong,
    /// Nothing follows, on purpose.
    Bye,
    /// Everything before the bye has arrived.
    ByeAck,
    /// The channel is gone without a goodbye.
    Abort,
}

const DATA: u8 = 0;

/// The credit that a frame costs beside its bytes, so that empty frames are not free.
pub(crate) const COST: i64 = 64;

impl Message {
    /// A frame, head and body joined.
    pub(crate) fn data(head: &[u8], body: &[u8]) -> Bytes {
        let mut bytes = Vec::with_capacity(1 + head.len() + body.len());
        bytes.push(DATA);
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(body);
        bytes.into()
    }

    /// The bytes of a message that is not data.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Data(frame) => Self::data(frame, &[]),
            Self::Credit(bytes) => {
                let mut out = vec![1];
                out.extend(bytes.to_le_bytes());
                out.into()
            }
            Self::Ping => Bytes::from_static(&[2]),
            Self::Pong => Bytes::from_static(&[3]),
            Self::Bye => Bytes::from_static(&[4]),
            Self::ByeAck => Bytes::from_static(&[5]),
            Self::Abort => Bytes::from_static(&[6]),
        }
    }

    /// The message, unless no RLay peer would send it.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        let rest = if bytes.is_empty() { return None } else { bytes.split_off(1) };
        Some(match (bytes[0], rest.len()) {
            (DATA, _) => Self::Data(rest),
            (1, 8) => Self::Credit(u64::from_le_bytes(rest[..].try_into().ok()?)),
            (2, 0) => Self::Ping,
            (3, 0) => Self::Pong,
            (4, 0) => Self::Bye,
            (5, 0) => Self::ByeAck,
            (6, 0) => Self::Abort,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_they_are_written_and_nothing_else_is_read() {
        let all = [
            Message::Data(Bytes::from_static(b"frame")),
            Message::Data(Bytes::new()),
            Message::Credit(u64::MAX),
            Message::Ping,
            Message::Pong,
            Message::Bye,
            Message::ByeAck,
            Message::Abort,
        ];
        for message in all {
            assert_eq!(Message::decode(message.encode()), Some(message));
        }
        for bad in [&[][..], &[1], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[2, 0], &[7], b"GET / HTTP/1.1"] {
            assert_eq!(Message::decode(Bytes::copy_from_slice(bad)), None, "{bad:?}");
        }
    }
}
