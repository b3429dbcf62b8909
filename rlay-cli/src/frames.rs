//! Frames as bytes: headers with any numbers, and the bodies of what an agent sends.

use rlay::{
    AnySpace, Space, Value,
    wire::{HEADER_LEN, Kind, Make, Reset, Seed, Writer, payload_head, put_value},
};

/// A frame with a header of these numbers.
pub(crate) fn frame(kind: u8, seq: u64, ack: u64, re: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    for number in [seq, ack, re] {
        out.extend(number.to_le_bytes());
    }
    out.extend_from_slice(body);
    out
}

/// A body, written by `put`.
pub(crate) fn body(put: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut Writer(&mut out));
    out
}

/// The body of Make.
pub(crate) fn make(make: &Make) -> Vec<u8> {
    body(|w| make.put(w))
}

/// The body of Reset for some slots.
pub(crate) fn reset(rows: &[(u32, Option<Seed>)], options: &Value) -> Vec<u8> {
    body(|w| Reset { rows: rows.iter().cloned().collect(), options: options.clone() }.put(w))
}

/// A list of slots: the body of Render and Close.
pub(crate) fn slots(slots: &[u32]) -> Vec<u8> {
    body(|w| w.list(slots, |w, slot| w.put(*slot)))
}

/// The body of Attribute that gets a value.
pub(crate) fn attribute(slots: &[u32], name: &str) -> Vec<u8> {
    body(|w| {
        w.list(slots, |w, slot| w.put(*slot));
        w.str(name);
        w.put(0u8);
    })
}

/// The body of Step with these bytes as its payload, in the packed form or in the values form.
pub(crate) fn step(slots: &[u32], is_packed: bool, payload: &[u8]) -> Vec<u8> {
    // The padding counts from the start of the frame.
    let mut out = vec![0; HEADER_LEN];
    Writer(&mut out).list(slots, |w, slot| w.put(*slot));
    payload_head(&mut out, is_packed, payload.len());
    out.extend_from_slice(payload);
    out.split_off(HEADER_LEN)
}

/// An action in the packed form, if it has one.
pub(crate) fn packed(space: &AnySpace, action: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    (space.is_fixed() && space.pack(action, &mut out)).then_some(out)
}

/// A value as bytes.
pub(crate) fn value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put_value(&mut out, value);
    out
}

/// The kind with this code, if there is one.
pub(crate) fn kind(code: u8) -> Option<Kind> {
    Kind::ALL.iter().copied().find(|kind| *kind as u8 == code)
}
