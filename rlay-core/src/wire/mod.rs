//! What crosses the wire: frames, messages, values and spaces as bytes. `docs/wire.md` is the specification.

mod attribute;
mod bounds;
mod codec;
mod foreign;
mod framing;
mod header;
mod keys;
mod message;
mod payload;
mod space;
mod value;

pub use attribute::{Access, Attribute, Returned};
pub(crate) use attribute::{NAME, NAMES};
pub(crate) use codec::RAISE;
pub use codec::{Limits, Reader, Writer};
pub use foreign::ForeignProtocol;
pub use framing::{END, Framing, too_large};
pub use header::{HEADER_LEN, Header, Kind};
pub use keys::Keys;
pub use message::{
    AutoresetMode, Challenge, EnvClose, Fault, Frames, Goodbye, Hello, Make, Message, Proof, RESUMABLE, RESUMING,
    Reject, Reset, Resume, Role, Row, Rows, SEED, Seed, Slots, Spec, Ticket, Welcome,
};
pub(crate) use message::{Spare, put_request, put_rows};
pub use payload::{Payload, payload_head};
pub use space::put_space;
pub use value::put_value;
pub(crate) use value::{check_bools, put_map_value};

/// The wire number this library speaks. Until 1.0 it is 0 and the bytes may change with any release.
pub const WIRE: u16 = 0;

/// Longest frame before the handshake is over.
pub const HANDSHAKE_FRAME: usize = 64 << 10;
