//! Messages: a readable message has exactly one written form, and its spaces and values accept any query.

use std::sync::LazyLock;

use rlay_core::{
    AnySpace, BoxSpace, Discrete, Limits, MultiBinary, MultiDiscrete, Space, Text, Value,
    wire::{Header, Message, Payload, Reader, Writer, payload_head, put_value},
};

/// Small limits, so that they are reached.
pub(super) const LIMITS: Limits = Limits { frame: 16 << 10, depth: 8, count: 256 };

/// Reads `data` as a frame.
///
/// # Panics
/// If the message is written otherwise than it was read, or a packed element otherwise than it was unpacked.
pub fn messages(data: &[u8]) {
    is_message(data);
}

/// Whether `frame` is a message, all properties of which hold then.
pub(super) fn is_message(frame: &[u8]) -> bool {
    let mut reader = Reader::new(frame, 0, &LIMITS);
    let Ok(header) = Header::read(&mut reader) else { return false };
    let Ok(message) = Message::read(header, reader) else { return false };
    match &message {
        Message::Reserved(_) => return true, // the body is not read
        Message::Step(_, payload) | Message::Result(_, payload) => read(payload),
        Message::Spec(spec) => {
            for space in [&spec.observation_space, &spec.action_space] {
                ask(space, &spec.metadata);
                ask(space, &spec.details);
                unpack(space, frame);
                let _ = (Discrete::from_any(space).is_ok(), BoxSpace::<f32>::from_any(space).is_ok());
                let _ = (BoxSpace::<u8, [u8; 4]>::from_any(space).is_ok(), <(Discrete, Text)>::from_any(space).is_ok());
            }
        }
        _ => {}
    }
    assert_eq!(bytes(header, &message), frame, "there are two ways to write {message:?}");
    true
}

/// The frame, encoded again.
fn bytes(header: Header, message: &Message<'_>) -> Vec<u8> {
    let mut out = vec![];
    header.begin(&mut out);
    let w = &mut Writer(&mut out);
    match message {
        Message::Hello(x) => x.put(w),
        Message::Challenge(x) => x.put(w),
        Message::Proof(x) => x.put(w),
        Message::Welcome(x) => x.put(w),
        Message::Reject(x) => x.put(w),
        Message::Goodbye(x) => x.put(w),
        Message::Error(x) => x.put(w),
        Message::Make(x) => x.put(w),
        Message::Reset(x) => x.put(w),
        Message::Render(slots) => w.list(slots, |w, slot| w.put(*slot)),
        Message::Attribute(x) => x.put(w),
        Message::Close(x) | Message::Closed(x) => x.put(w),
        Message::Spec(x) => x.put(w),
        Message::Frames(x) => x.put(w),
        Message::Returned(x) => x.put(w),
        Message::Reserved(_) => {}
        Message::Step(slots, payload) => {
            w.list(slots, |w, slot| w.put(*slot));
            put_payload(payload, slots.len(), &mut out);
        }
        Message::Result(rows, payload) => {
            w.list(rows, |w, row| row.put(w));
            rows.iter().for_each(|row| w.value(&row.info));
            put_payload(payload, rows.len(), &mut out);
        }
    }
    out
}

/// The values that are valid: a malformed payload ends the request only, so the message was read all the same.
fn put_payload(payload: &Payload<'_>, rows: usize, out: &mut Vec<u8>) {
    let mut reader = payload.reader.clone();
    payload_head(out, payload.packed, reader.remaining());
    for _ in 0..if payload.packed { 0 } else { rows } {
        let mut ahead = reader.clone();
        let Ok(value) = ahead.value() else { break };
        put_value(out, &value);
        reader = ahead;
    }
    out.extend_from_slice(reader.rest());
}

/// Reads a payload as an endpoint does that knows the spaces.
fn read(payload: &Payload<'_>) {
    for space in SPACES.iter() {
        if let Ok(value) = payload.element(space) {
            ask(space, &value);
        }
        if payload.packed {
            unpack(space, payload.reader.rest());
        }
    }
    let _ = payload.value();
    let _ = payload.element(&BoxSpace::<bool, [bool; 3]>::new([3], false, true));
    let _ = payload.element(&(Discrete::new(2), MultiDiscrete::new(&[3, 2]), MultiBinary::new(9), Text::new(9, "ab")));
    let _ = payload.element(&BoxSpace::<f32>::unbounded([4])).map(|x| assert_eq!(x.len(), 4));
}

static SPACES: LazyLock<[AnySpace; 4]> = LazyLock::new(|| {
    let position = BoxSpace::<f32>::unbounded([4]).describe();
    let parts = (Discrete::new(3).starting_at(-1), MultiBinary::new(9), BoxSpace::<bool>::new([3], false, true));
    let many = MultiDiscrete::new(&[3, 2]).describe();
    let dict = AnySpace::Dict(vec![("parts".into(), parts.describe()), (Value::Int(1), many)]);
    let nodes = AnySpace::Graph { node: Box::new(position.clone()), edge: Some(Box::new(Discrete::new(2).describe())) };
    let loose =
        [Text::new(9, "ab").describe(), nodes, AnySpace::Sequence { space: Box::new(dict.clone()), stack: true }];
    [position, Discrete::new(2).describe(), dict.clone(), AnySpace::OneOf(loose.into())]
});

/// Queries a value that claims to be of a space. A value that packs must equal what unpacking returns.
fn ask(space: &AnySpace, value: &Value) {
    let _ = space.contains(value);
    let _ = space.from_value(value);
    let mut packed = vec![];
    if space.pack(value, &mut packed) {
        let mut reader = Reader::new(&packed, 0, &LIMITS);
        assert_eq!(space.unpack(&mut reader).as_ref().ok(), Some(value), "packed for {space:?}");
        assert_eq!(reader.remaining(), 0, "packed for {space:?}");
    }
}

/// Unpacks an element from the beginning of `bytes`. If the element packs, which one with NaN for a key does not, the
/// result is the same bytes.
fn unpack(space: &AnySpace, bytes: &[u8]) {
    let mut reader = Reader::new(bytes, 0, &LIMITS);
    let Ok(value) = space.unpack(&mut reader) else { return };
    let mut again = vec![];
    if space.pack(&value, &mut again) {
        assert_eq!(again, bytes[..reader.position()], "unpacked for {space:?}");
    }
}
