//! Golden vectors as Rust sees them: what each kind of bytes means, as JSON, and back to bytes.

pub(crate) mod frame;
mod rows;

use std::{fs, path::PathBuf};

use rlay_core::{
    AnySpace, Limits, Result, Value,
    wire::{END, Framing, HANDSHAKE_FRAME, Reader, Writer},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

pub(crate) use frame::Frame;
pub(crate) use rows::{pack_rows, unpack_rows};

/// The files of `docs/vectors`, positive ones first.
pub(crate) const FILES: [&str; 6] = ["values", "spaces", "payloads", "frames", "streams", "negative"];

/// One golden vector; `json` if it is to be read, `why` if it is to be refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) what: What,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) space: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<usize>,
    pub(crate) hex: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// What the bytes of a vector are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Value,
    Space,
    Payload,
    Frame,
    Stream,
}

/// The bytes of a vector, read.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    Value(Value),
    Space(AnySpace),
    Payload(AnySpace, Vec<Value>),
    Frame(Box<Frame<'a>>),
    Stream { frames: Vec<Vec<u8>>, closed: bool },
}

impl Vector {
    /// The bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        unhex(&self.hex)
    }

    /// Reads `bytes` as what this vector holds.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8], limits: &Limits) -> Result<Item<'a>> {
        let mut reader = Reader::new(bytes, 0, limits);
        let item = match self.what {
            What::Value => Item::Value(reader.value()?),
            What::Space => Item::Space(reader.space()?),
            What::Payload => {
                let space: AnySpace = serde_json::from_value(self.space.clone().expect("a space")).expect("a space");
                let values = unpack_rows(&space, self.rows.unwrap_or(1), bytes, limits)?;
                return Ok(Item::Payload(space, values));
            }
            What::Frame => return Frame::read(bytes, limits).map(Box::new).map(Item::Frame),
            What::Stream => return stream(bytes),
        };
        reader.end()?;
        Ok(item)
    }
}

impl Item<'_> {
    /// The JSON of `docs/wire.md`, "Golden vectors".
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Value(value) => json!(value),
            Self::Space(space) => json!(space),
            Self::Payload(_, values) => json!(values),
            Self::Frame(frame) => frame.json(),
            Self::Stream { frames, closed } => {
                json!({ "frames": frames.iter().map(|frame| hex(frame)).collect::<Vec<_>>(), "closed": closed })
            }
        }
    }

    /// The bytes it was read from, written anew.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Value(value) => Writer(&mut out).value(value),
            Self::Space(space) => Writer(&mut out).space(space),
            Self::Payload(space, values) => out = pack_rows(space, values).expect("a space with a packed form"),
            Self::Frame(frame) => out = frame.bytes(),
            Self::Stream { frames, closed } => {
                for frame in frames {
                    out.extend(Framing::new(HANDSHAKE_FRAME).prefix(frame.len()).expect("a short frame"));
                    out.extend(frame);
                }
                if *closed {
                    out.extend(END);
                }
            }
        }
        out
    }
}

/// A stream of frames of at most [`HANDSHAKE_FRAME`] bytes; it may not stop inside a frame.
fn stream(mut bytes: &[u8]) -> Result<Item<'static>> {
    let (mut framing, mut frames) = (Framing::new(HANDSHAKE_FRAME), Vec::new());
    loop {
        while let Some(frame) = framing.take()? {
            frames.push(frame.to_vec());
        }
        if bytes.is_empty() {
            break;
        }
        let space = framing.space();
        let n = space.len().min(bytes.len());
        space[..n].copy_from_slice(&bytes[..n]);
        bytes = &bytes[n..];
        framing.filled(n);
    }
    let item = Item::Stream { frames, closed: framing.ended() };
    Ok(item)
}

/// Bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hex digits as bytes.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex digits")).collect()
}

/// Where the vectors are.
pub(crate) fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors").join(file).with_extension("json")
}

/// The committed vectors of one file.
pub(crate) fn load(file: &str) -> Vec<Vector> {
    let path = path(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
