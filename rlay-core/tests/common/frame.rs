//! A whole frame: header, message and the payload that some messages end with.

use rlay_core::{
    Limits, Result, Value,
    wire::{Header, Message, Reader, Writer, payload_head, put_value},
};
use serde_json::{Value as Json, json};

use super::hex;

/// The payload of a Step or Result, read without knowing the spaces.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Packed(Vec<u8>),
    Values(Vec<Value>),
}

/// A frame in which nothing is left unread.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    pub(crate) message: Message<'a>,
    pub(crate) content: Option<Content>,
}

impl<'a> Frame<'a> {
    /// Reads everything in `bytes`.
    pub(crate) fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let mut reader = Reader::new(bytes, 0, limits);
        let header = Header::read(&mut reader)?;
        let message = Message::read(header, reader)?;
        let content = match &message {
            Message::Step(slots, payload) => Some((payload, slots.len())),
            Message::Result(rows, payload) => Some((payload, rows.len())),
            _ => None,
        };
        let content = match content {
            None => None,
            Some((payload, rows)) => {
                let mut reader = payload.reader.clone();
                Some(if payload.packed {
                    Content::Packed(reader.take(reader.remaining() as u64)?.to_vec())
                } else {
                    let values = (0..rows).map(|_| reader.value()).collect::<Result<_>>()?;
                    reader.end()?;
                    Content::Values(values)
                })
            }
        };
        Ok(Self { header, message, content })
    }

    /// Header fields, body and payload.
    pub(crate) fn json(&self) -> Json {
        let body = match &self.message {
            Message::Hello(x) => json!(x),
            Message::Challenge(x) => json!(x),
            Message::Proof(x) => json!(x),
            Message::Welcome(x) => json!(x),
            Message::Reject(x) => json!(x),
            Message::Goodbye(x) => json!(x),
            Message::Error(x) => json!(x),
            Message::Make(x) => json!(x),
            Message::Reset(x) => json!(x),
            Message::Step(slots, _) | Message::Render(slots) => json!(slots),
            Message::Attribute(x) => json!(x),
            Message::Close(x) | Message::Closed(x) => json!(x),
            Message::Spec(x) => json!(x),
            Message::Result(rows, _) => json!(rows),
            Message::Frames(x) => json!(x),
            Message::Returned(x) => json!(x),
            Message::Reserved(_) => Json::Null,
        };
        let Header { kind, seq, ack, re } = self.header;
        let mut json = json!({ "kind": format!("{kind:?}"), "seq": seq, "ack": ack, "re": re, "body": body });
        match &self.content {
            Some(Content::Packed(bytes)) => json["payload"] = json!({ "Packed": hex(bytes) }),
            Some(Content::Values(values)) => json["payload"] = json!({ "Values": values }),
            None => {}
        }
        json
    }

    /// The frame written anew.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.header.begin(&mut out);
        let w = &mut Writer(&mut out);
        match &self.message {
            Message::Hello(x) => x.put(w),
            Message::Challenge(x) => x.put(w),
            Message::Proof(x) => x.put(w),
            Message::Welcome(x) => x.put(w),
            Message::Reject(x) => x.put(w),
            Message::Goodbye(x) => x.put(w),
            Message::Error(x) => x.put(w),
            Message::Make(x) => x.put(w),
            Message::Reset(x) => x.put(w),
            Message::Step(slots, _) | Message::Render(slots) => w.list(slots, |w, slot| w.put(*slot)),
            Message::Attribute(x) => x.put(w),
            Message::Close(x) | Message::Closed(x) => x.put(w),
            Message::Spec(x) => x.put(w),
            Message::Result(rows, _) => {
                w.list(rows, |w, row| row.put(w));
                rows.iter().for_each(|row| w.value(&row.info));
            }
            Message::Frames(x) => x.put(w),
            Message::Returned(x) => x.put(w),
            Message::Reserved(_) => {}
        }
        match &self.content {
            Some(Content::Packed(bytes)) => {
                payload_head(&mut out, true, bytes.len());
                out.extend(bytes);
            }
            Some(Content::Values(values)) => {
                payload_head(&mut out, false, 0);
                values.iter().for_each(|value| put_value(&mut out, value));
            }
            None => {}
        }
        out
    }
}
