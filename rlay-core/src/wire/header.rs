//! The 32 bytes every frame starts with.

use super::{Reader, Writer};
use crate::error::Result;

/// Bytes of a header.
pub const HEADER_LEN: usize = 32;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// The kind of a frame. The discriminant is the first byte of the frame.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind { $($(#[$doc])* $name = $code,)* }

        impl Kind {
            /// Every kind, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}
kinds! {
    /// Dialer: its identity and its capabilities.
    Hello = 0x01,
    /// Listener: demands a proof that the dialer knows the token.
    Challenge = 0x02,
    /// Dialer: the proof.
    Proof = 0x03,
    /// Listener: accepts the dialer.
    Welcome = 0x04,
    /// Listener: refuses the dialer, and says why.
    Reject = 0x05,
    /// Either: the conversation is over.
    Goodbye = 0x09,
    /// Either: a request failed, or the conversation cannot continue.
    Error = 0x0a,
    /// Agent: make the environment.
    Make = 0x20,
    /// Agent: start an episode.
    Reset = 0x21,
    /// Agent: take these actions.
    Step = 0x22,
    /// Agent: render.
    Render = 0x23,
    /// Agent: get, set or call an attribute.
    Attribute = 0x24,
    /// Agent: close the environment.
    Close = 0x25,
    /// Agent: take the actions of several agents in one environment. Reserved.
    StepAgents = 0x30,
    /// Env: the spaces and metadata of what was made.
    Spec = 0x40,
    /// Env: observations, rewards and flags.
    Result = 0x41,
    /// Env: rendered frames.
    Frames = 0x42,
    /// Env: what came of an attribute.
    Returned = 0x43,
    /// Env: the environment is closed.
    Closed = 0x44,
    /// Env: results of several agents in one environment. Reserved.
    ResultAgents = 0x50,
}

/// Kind, number and reference of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The kind of the frame.
    pub kind: Kind,
    /// 1, 2, 3, … per direction and session; 0 during the handshake.
    pub seq: u64,
    /// The highest number received from the peer when the frame was made.
    pub ack: u64,
    /// The number of the request this frame answers, else 0.
    pub re: u64,
}

impl Header {
    /// Clears `out` and starts a frame with this header.
    pub fn begin(self, out: &mut Vec<u8>) {
        out.clear();
        Writer(out).group((self.kind as u8, 0u8, 0u16, 0u32, self.seq, self.ack, self.re));
    }

    /// Reads the header of `frame`.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let start = reader.clone();
        let (code, flags, reserved, reserved2, seq, ack, re): (u8, u8, u16, u32, u64, u64, u64) = reader.group()?;
        if flags != 0 || reserved != 0 || reserved2 != 0 {
            return Err(start.error("reserved header bytes that are not zero"));
        }
        let kind =
            Kind::from_code(code).ok_or_else(|| start.error(format_args!("unknown message kind {code:#04x}")))?;
        Ok(Self { kind, seq, ack, re })
    }
}
