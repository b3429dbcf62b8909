//! Vectors that must be refused: every way in which bytes can be truncated, make false claims or be malformed.

use rlay_core::{
    Discrete, Limits, Map, Space, Value,
    wire::{Access, Kind, Message, Writer},
};
use serde_json::json;

use super::{
    AnySpace, Vector, What,
    common::{frame::Content, hex},
    frames, spaces, values,
};

fn negative(what: What, name: &str, why: &str, bytes: &[u8]) -> Vector {
    let what_name = json!(what);
    let name = format!("not-a-{}/{name}", what_name.as_str().unwrap_or_default());
    Vector { name, what, space: None, rows: None, hex: hex(bytes), json: None, why: Some(why.into()) }
}

/// Bytes written by hand.
fn raw(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Writer(&mut out));
    out
}

fn value(value: &Value) -> Vec<u8> {
    raw(|w| w.value(value))
}

fn space(space: &AnySpace) -> Vec<u8> {
    raw(|w| w.space(space))
}

/// `bytes` without the last `n`.
fn cut(mut bytes: Vec<u8>, n: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - n);
    bytes
}

/// `bytes` with `new` at `at`.
fn patch(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// `bytes` and `more` behind them.
fn with(mut bytes: Vec<u8>, more: &[u8]) -> Vec<u8> {
    bytes.extend_from_slice(more);
    bytes
}

/// A count that no frame can hold.
const BOMB: u64 = u64::MAX;

pub(crate) fn all() -> Vec<Vector> {
    [values(), spaces(), payloads(), frames(), streams()].concat()
}

fn values() -> Vec<Vector> {
    let text = |bytes: &[u8]| {
        raw(|w| {
            w.put(5u32);
            w.bytes(bytes)
        })
    };
    let big = |bytes: &[u8]| {
        raw(|w| {
            w.put(3u32);
            w.bytes(bytes)
        })
    };
    let array = |dtype: u32, shape: &[u64], data: &[u8]| {
        raw(|w| {
            w.put((10u32, dtype));
            w.list(shape, |w, n| w.put(*n));
            w.bytes(data);
        })
    };
    let bomb = |tag: u32| raw(|w| w.put((tag, BOMB)));
    [
        ("empty", "there is no tag", vec![]),
        ("tag-cut", "three of the four bytes of a tag", vec![0, 0, 0]),
        ("tag-14", "unknown tag", raw(|w| w.put(14u32))),
        ("tag-max", "unknown tag", raw(|w| w.put(u32::MAX))),
        ("none-and-more", "a byte after the end", with(value(&Value::None), &[0])),
        ("bool-2", "a bool is 0 or 1", raw(|w| w.put((1u32, 2u8)))),
        ("bool-cut", "the bool is missing", raw(|w| w.put(1u32))),
        ("int-cut", "seven of eight bytes", cut(value(&Value::Int(1)), 1)),
        ("float-cut", "seven of eight bytes", cut(value(&Value::Float(1.0)), 1)),
        ("bigint-empty", "fits into Int", big(&[])),
        ("bigint-of-8-bytes", "fits into Int", big(&[0, 0, 0, 0, 0, 0, 0, 0x7f])),
        ("bigint-small-but-long", "fits into Int", big(&[1, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("bigint-needless-zero", "not the shortest form", big(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0])),
        ("bigint-needless-ff", "not the shortest form", big(&[0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff])),
        ("str-length-cut", "four of the eight bytes of a length", raw(|w| w.put((5u32, 1u32)))),
        ("str-cut", "the length is 5, four bytes follow", cut(text(b"relay"), 1)),
        ("str-count-bomb", "a length of 2^64-1", bomb(5)),
        ("str-not-utf-8", "the byte ff", text(&[0xff])),
        ("str-surrogate", "UTF-8 has no surrogates", text(&[0xed, 0xa0, 0x80])),
        ("str-overlong", "UTF-8 has one form of each character", text(&[0xc0, 0x80])),
        ("str-half-a-character", "the second byte is missing", text(&[0xc3])),
        ("bytes-count-bomb", "a length of 2^64-1", bomb(6)),
        ("list-count-bomb", "a count of 2^64-1", bomb(7)),
        ("list-count-of-2^32", "a count that the bytes left cannot hold", raw(|w| w.put((7u32, 1u64 << 32)))),
        ("list-cut", "one of two items", raw(|w| w.put((7u32, 2u64, 0u32)))),
        ("tuple-count-bomb", "a count of 2^64-1", bomb(8)),
        ("dict-count-bomb", "a count of 2^64-1", bomb(9)),
        ("dict-without-a-value", "a key alone", raw(|w| w.put((9u32, 1u64, 0u32)))),
        ("dict-key-list", "a list is no key", raw(|w| w.put((9u32, 1u64, 7u32, 0u64, 0u32)))),
        ("dict-key-dict", "a dict is no key", raw(|w| w.put((9u32, 1u64, 9u32, 0u64, 0u32)))),
        ("dict-key-tuple-of-a-list", "a list is no key", raw(|w| w.put((9u32, 1u64, 8u32, 1u64, 7u32, 0u64, 0u32)))),
        ("dict-key-array", "an array is no key", {
            let mut dict = raw(|w| w.put((9u32, 1u64)));
            dict.extend(array(5, &[], &[0]));
            with(dict, &[0; 4])
        }),
        ("dict-key-of-257-bytes", "256 bytes are the most of a key that is neither Str nor Int", {
            raw(|w| {
                w.put((9u32, 1u64, 6u32));
                w.bytes(&[0; 245]);
                w.put(0u32);
            })
        }),
        ("array-dtype-12", "unknown dtype", array(12, &[], &[0])),
        ("array-big-endian-uint8", "one byte has no order", array(0x105, &[1], &[0])),
        ("array-unknown-dtype-bit", "unknown dtype", array(0x205, &[1], &[0])),
        ("array-shape-and-data-differ", "three elements announced, two there", array(5, &[3], &[0, 0])),
        ("array-0-dimensional-of-two", "one element announced, two there", array(5, &[], &[0, 0])),
        ("array-shape-wraps-to-the-data", "2^61 float64 are 2^64 bytes, not 0", array(11, &[1 << 61], &[])),
        ("array-shape-overflow", "2^64 elements", array(5, &[1 << 32, 1 << 32], &[])),
        ("array-overflow-before-the-zero", "a 0 does not make up for 2^64", array(5, &[1 << 63, 2, 0], &[])),
        ("array-overflow-behind-the-zero", "a 0 does not make up for 2^64-1", array(5, &[0, u64::MAX], &[])),
        ("array-of-2^63-bytes", "2^63-1 are the most", array(11, &[0, 1 << 60], &[])),
        ("array-65-dimensions", "64 are the most", array(5, &[1; 65], &[0])),
        ("array-shape-count-bomb", "a count of 2^64-1", raw(|w| w.put((10u32, 5u32, BOMB)))),
        ("array-bool-2", "a bool is 0 or 1", array(0, &[2], &[1, 2])),
        ("scalar-bool-2", "a bool is 0 or 1", raw(|w| w.put((11u32, 0u32, 2u8)))),
        ("scalar-cut", "three of four bytes", raw(|w| w.put((11u32, 10u32, 0u16, 0u8)))),
        ("graph-cut", "two of three values", raw(|w| w.put((12u32, 0u32, 0u32)))),
        (
            "opaque-cut",
            "the repr is missing",
            raw(|w| {
                w.put(13u32);
                w.str("Lock")
            }),
        ),
        ("depth-33", "32 levels are the most", value(&values::nested(33))),
        ("depth-200", "32 levels are the most", value(&values::nested(200))),
    ]
    .map(|(name, why, bytes)| negative(What::Value, name, why, &bytes))
    .into()
}

fn spaces() -> Vec<Vector> {
    // A Box of one bool; its bounds are (tag u32, value u8, bounded u8) twice, from byte 24 on.
    let bools = space(&rlay_core::BoxSpace::<bool>::new([1], false, true).describe());
    let shaped = |dtype: u32, shape: &[u64]| {
        raw(|w| {
            w.put((0u32, dtype));
            w.list(shape, |w, n| w.put(*n));
            for _ in 0..2 {
                w.put((0u32, 0u8, 1u8));
            }
        })
    };
    let discrete = |dtype: u32, n: u64| raw(|w| w.put((1u32, dtype, n, 0i64)));
    let multi = |dtype: u32, shape: u64, nvec: &[i64], start: &[i64]| {
        raw(|w| {
            w.put((3u32, dtype, 1u64, shape));
            w.list(nvec, |w, n| w.put(*n));
            w.list(start, |w, n| w.put(*n));
        })
    };
    let text = |min: u64, max: u64, charset: &[u8]| {
        raw(|w| {
            w.put((4u32, min, max));
            w.bytes(charset)
        })
    };
    let each = space(&spaces::cart_pole());
    [
        ("tag-10", "unknown tag", raw(|w| w.put(10u32))),
        ("trailing-byte", "a byte after the end", with(discrete(4, 2), &[0])),
        ("box-bound-tag-2", "unknown form of a bound", patch(bools.clone(), 24, &[2])),
        ("box-bool-bound-2", "a bool is 0 or 1", patch(bools.clone(), 28, &[2])),
        ("box-bounded-2", "a bool is 0 or 1", patch(bools.clone(), 29, &[2])),
        ("box-mask-2", "a bool is 0 or 1", patch(each.clone(), each.len() - 1, &[2])),
        ("box-bounds-cut", "one byte of the last mask is missing", cut(each, 1)),
        ("box-cut", "the last bound is missing", cut(bools, 6)),
        ("box-absurd-shape", "more than 2^40 bytes", shaped(5, &[(1 << 40) + 1])),
        ("box-shape-overflow", "2^64 elements", shaped(5, &[1 << 32, 1 << 32])),
        ("box-shape-overflow-and-a-zero", "a 0 does not make up for 2^64-1", shaped(5, &[0, u64::MAX])),
        ("box-65-dimensions", "64 are the most", shaped(5, &[1; 65])),
        ("discrete-of-nothing", "n is at least 1", discrete(4, 0)),
        ("discrete-float32", "the dtype is an integer", discrete(10, 2)),
        ("discrete-bool", "the dtype is an integer", discrete(0, 2)),
        ("discrete-big-endian", "scalars have no byte order", discrete(0x104, 2)),
        ("discrete-cut", "start is missing", cut(discrete(4, 2), 8)),
        ("multibinary-absurd-shape", "more than 2^40 bytes", raw(|w| w.put((2u32, 1u64, 1u64 << 41, 0u8)))),
        ("multibinary-n-is-int-2", "a bool is 0 or 1", raw(|w| w.put((2u32, 1u64, 1u64, 2u8)))),
        ("multidiscrete-nvec-of-another-length", "two for a shape of three", multi(4, 3, &[2, 2], &[0, 0, 0])),
        ("multidiscrete-start-of-another-length", "one for a shape of two", multi(4, 2, &[2, 2], &[0])),
        ("multidiscrete-nvec-0", "each count is at least 1", multi(4, 2, &[2, 0], &[0, 0])),
        ("multidiscrete-nvec-negative", "each count is at least 1", multi(4, 1, &[-1], &[0])),
        ("multidiscrete-float64", "the dtype is an integer", multi(11, 1, &[2], &[0])),
        ("text-min-above-max", "min_length is at most max_length", text(2, 1, b"a")),
        ("text-charset-not-utf-8", "the byte ff", text(0, 1, &[0xff])),
        ("tuple-count-bomb", "a count of 2^64-1", raw(|w| w.put((5u32, BOMB)))),
        ("dict-count-bomb", "a count of 2^64-1", raw(|w| w.put((6u32, BOMB)))),
        ("dict-without-a-space", "a key alone", raw(|w| w.put((6u32, 1u64, 0u32)))),
        (
            "dict-key-list",
            "a list is no key",
            raw(|w| {
                w.put((6u32, 1u64, 7u32, 0u64));
                w.space(&Discrete::new(2).describe())
            }),
        ),
        (
            "sequence-stack-2",
            "a bool is 0 or 1",
            raw(|w| {
                w.put((7u32, 2u8));
                w.space(&Discrete::new(2).describe())
            }),
        ),
        ("sequence-of-nothing", "the space is missing", raw(|w| w.put((7u32, 0u8)))),
        (
            "graph-option-2",
            "an option is 0 or 1",
            raw(|w| {
                w.put(8u32);
                w.space(&Discrete::new(2).describe());
                w.put(2u8);
            }),
        ),
        ("oneof-of-nothing", "there is nothing to choose from", raw(|w| w.put((9u32, 0u64)))),
        ("depth-33", "32 levels are the most", space(&spaces::nested(33))),
    ]
    .map(|(name, why, bytes)| negative(What::Space, name, why, &bytes))
    .into()
}

fn payloads() -> Vec<Vector> {
    let discrete = Discrete::new(5).describe();
    let image = rlay_core::BoxSpace::<u8>::new([3], 0, 255).describe();
    let bools = rlay_core::BoxSpace::<bool>::new([8], false, true).describe();
    let small = AnySpace::Discrete(Discrete { n: 9, start: 0, dtype: rlay_core::DType::U8 });
    let sequence = rlay_core::Sequence::new(Discrete::new(2)).describe();
    let mark = |x: u8, pad: u8| raw(|w| w.put((1i64, x, pad, 0u16, 0u32)));
    [
        ("cut", "the last byte of the padding is missing", &image, 1, vec![1, 2, 3, 0, 0, 0, 0]),
        ("longer", "eight bytes more than the space has", &image, 1, [vec![1, 2, 3], vec![0; 13]].concat()),
        ("padding", "padding is zero", &image, 1, vec![1, 2, 3, 0, 0, 0, 0, 1]),
        (
            "rows-padded-each",
            "the rows of a leaf are padded once",
            &image,
            2,
            vec![1, 2, 3, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0],
        ),
        ("bool-2", "a bool is 0 or 1", &bools, 1, vec![0, 1, 0, 1, 2, 0, 0, 0]),
        ("mark-2", "a mark is 0 or 1", &discrete, 1, mark(2, 0)),
        ("mark-padding", "padding is zero", &discrete, 1, mark(1, 1)),
        ("mark-missing", "eight bytes of two times eight", &discrete, 1, vec![0; 8]),
        ("not-of-the-dtype", "uint8 has no 256", &small, 1, raw(|w| w.put((256i64, 1u64)))),
        ("big-endian-box", "no packed form", &spaces::big_endian(), 1, vec![0; 8]),
        ("sequence", "no packed form", &sequence, 1, vec![]),
        (
            "text-in-a-tuple",
            "no packed form",
            &AnySpace::Tuple(vec![rlay_core::Text::new(1, "a").describe()]),
            1,
            vec![0; 8],
        ),
    ]
    .map(|(name, why, space, rows, bytes)| Vector {
        space: Some(json!(space)),
        rows: Some(rows),
        ..negative(What::Payload, name, why, &bytes)
    })
    .into()
}

/// A frame of `kind` with any body.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    with(raw(|w| w.put((kind, 0u8, 0u16, 0u32, 1u64, 0u64, 0u64))), body)
}

fn frames() -> Vec<Vector> {
    let header = |first: (u8, u8, u16, u32)| raw(|w| w.put((first, 1u64, 0u64, 0u64)));
    let hello = frames::frame(Kind::Hello, (0, 0, 0), Message::Hello(frames::hello())).bytes();
    let name = |len: usize| "x".repeat(len);
    // Count of slots at 32, the slot at 40, form at 44, length at 48, pad at 56, padding at 60, payload at 64.
    let step = frames::step(&[0], frames::action(1)).bytes();
    let head = |len: u64, pad: u32, rest: &[u8]| frame(0x22, &with(raw(|w| w.put((1u64, 0u32, 0u32, len, pad))), rest));
    let two = frames::step(&[0, 1], Content::Values(vec![Value::None, Value::None])).bytes();
    // An environment of two Tuples of nothing, with metadata and details of these tags and no items.
    let spec = |metadata: u32, details: u32| {
        let spaces = raw(|w| w.put((0u64, 5u32, 0u64, 5u32, 0u64, 1u32, 0u8, 0u8)));
        frame(0x40, &with(spaces, &raw(|w| w.put((metadata, 0u64, details, 0u64, 0u64)))))
    };
    // The autoreset mode at 68. What the vectors below change of it is all that is wrong with them.
    let whole = spec(9, 9);
    negative(What::Frame, "whole", "", &whole).read(&whole, &Limits::default()).unwrap();
    // Count of slots at 32, the slot at 40, the name at 44, the access at 59.
    let get = frames::attribute(&[0], Access::Get).bytes();
    // Count of rows at 32, the slot at 40, its flags at 44, its reward at 45, its info from 53 on.
    let result = frames::result(&[frames::row(0, 1.0)], frames::action(1)).bytes();
    [
        ("empty", "there is no header", vec![]),
        ("header-cut", "31 of 32 bytes", cut(header((0x25, 0, 0, 0)), 1)),
        ("flags", "byte 1 is reserved", header((0x25, 1, 0, 0))),
        ("reserved-16", "bytes 2 and 3 are reserved", header((0x25, 0, 1, 0))),
        ("reserved-32", "bytes 4 to 7 are reserved", header((0x25, 0, 0, 1 << 31))),
        ("kind-0", "unknown kind", header((0, 0, 0, 0))),
        ("kind-6", "unknown kind", header((6, 0, 0, 0))),
        ("kind-255", "unknown kind", header((255, 0, 0, 0))),
        ("hello-cut", "the last byte of the name is missing", cut(hello.clone(), 1)),
        ("hello-and-more", "a byte after the end", with(hello.clone(), &[0])),
        ("hello-magic", "the magic word is RLAY", patch(hello.clone(), 32, b"rlay")),
        ("hello-role-2", "a role is 0 or 1", patch(hello.clone(), 40, &[2])),
        ("hello-long-name", "256 bytes are the most", {
            frame(0x01, &with(hello[32..58].to_vec(), &raw(|w| w.str(&name(257)))))
        }),
        ("hello-nonce-cut", "the last byte of the nonce is missing", {
            with(patch(hello.clone(), 41, &[1]), &[7; 31])
        }),
        ("challenge-cut", "the last byte of the nonce is missing", frame(0x02, &[7; 31])),
        ("proof-and-more", "a byte after the end", frame(0x03, &[7; 33])),
        ("welcome-proof-cut", "the last byte of the proof is missing", {
            frame(0x04, &with(raw(|w| w.put((0u16, 0u64, 1u64, 0u64, 1u8))), &[7; 31]))
        }),
        ("welcome-cut", "a half of max_frame is missing", frame(0x04, &raw(|w| w.put((0u16, 0u64, 0u32))))),
        ("reject-message-not-utf-8", "the byte ff", frame(0x05, &raw(|w| w.put((7u32, 0u16, 0u16, 1u64, 0xffu8))))),
        ("goodbye-and-more", "a byte after the end", frame(0x09, &raw(|w| w.put((0u32, 0u64, 0u8))))),
        ("goodbye-count-bomb", "a length of 2^64-1", frame(0x09, &raw(|w| w.put((0u32, BOMB))))),
        ("error-fatal-2", "a bool is 0 or 1", frame(0x0a, &raw(|w| w.put((9u32, 2u8, 0u64, 0u64, 0u64, 0u64))))),
        ("error-cut", "the traceback is missing", frame(0x0a, &raw(|w| w.put((9u32, 0u8, 0u64, 0u64, 0u64))))),
        ("make-option-2", "an option is 0 or 1", frame(0x20, &raw(|w| w.put((2u8, 0u32, 0u8))))),
        ("make-long-render-mode", "256 bytes are the most", {
            frame(
                0x20,
                &raw(|w| {
                    w.put((0u8, 0u32, 1u8));
                    w.str(&name(257));
                    w.put((1u32, 0u8))
                }),
            )
        }),
        ("make-long-env-id", "1024 bytes are the most", {
            frame(
                0x20,
                &raw(|w| {
                    w.put(1u8);
                    w.str(&name(1025));
                    w.put((0u32, 0u8, 1u32, 0u8))
                }),
            )
        }),
        ("make-autoreset-3", "unknown autoreset mode", frame(0x20, &raw(|w| w.put((0u8, 0u32, 0u8, 1u32, 3u8))))),
        ("make-autoreset-cut", "the autoreset mode is missing", frame(0x20, &raw(|w| w.put((0u8, 0u32, 0u8, 1u32))))),
        ("reset-seed-ends-in-zero", "a seed is in its shortest form", {
            frame(
                0x21,
                &raw(|w| {
                    w.put((1u64, 0u32, 1u8));
                    w.bytes(&[7, 0]);
                    w.put(0u32)
                }),
            )
        }),
        ("reset-seed-of-a-zero-byte", "seed 0 has no bytes", {
            frame(
                0x21,
                &raw(|w| {
                    w.put((1u64, 0u32, 1u8));
                    w.bytes(&[0]);
                    w.put(0u32)
                }),
            )
        }),
        ("reset-seed-of-4097-bytes", "4096 bytes are the most", {
            frame(
                0x21,
                &raw(|w| {
                    w.put((1u64, 0u32, 1u8));
                    w.bytes(&[1; 4097]);
                    w.put(0u32)
                }),
            )
        }),
        ("reset-count-bomb", "a count of 2^64-1", frame(0x21, &raw(|w| w.put((BOMB, 0u32))))),
        ("reset-without-options", "the options are missing", frame(0x21, &raw(|w| w.put((1u64, 0u32, 0u8))))),
        ("step-count-bomb", "a count of 2^64-1", frame(0x22, &raw(|w| w.put(BOMB)))),
        ("step-without-a-payload", "the form is missing", frame(0x22, &raw(|w| w.put((1u64, 0u32))))),
        ("step-form-2", "unknown form of a payload", patch(step.clone(), 44, &[2])),
        ("step-padding-not-zero", "padding is zero", patch(step.clone(), 63, &[1])),
        ("step-payload-longer", "16 bytes announced, 17 there", with(step.clone(), &[0])),
        ("step-payload-cut", "16 bytes announced, 15 there", cut(step.clone(), 1)),
        ("step-length-bomb", "2^64-1 bytes announced, 16 there", patch(step.clone(), 48, &[255; 8])),
        ("step-pad-of-64-too-much", "the pad is less than 64", head(8, 68, &[0; 76])),
        ("step-pad-to-another-multiple", "the payload starts at a multiple of 64", head(8, 5, &[0; 13])),
        ("step-pad-cut", "the padding is missing", head(0, 4, &[])),
        ("step-values-cut", "one value for two slots", cut(two.clone(), 4)),
        ("step-values-and-more", "three values for two slots", with(two, &[0; 4])),
        ("render-cut", "one of two slots", frame(0x23, &raw(|w| w.put((2u64, 0u32))))),
        ("close-and-more", "a byte after the end", frame(0x25, &raw(|w| w.put((0u64, 0u8))))),
        ("spec-without-spaces", "the observation space has no tag", frame(0x40, &raw(|w| w.put(0u64)))),
        ("spec-unknown-space", "space tag 10", frame(0x40, &raw(|w| w.put((0u64, 10u32, 10u32))))),
        ("result-flag-16", "unknown flags", patch(result.clone(), 44, &[16])),
        ("result-count-bomb", "a count of 2^64-1", patch(result.clone(), 32, &[255; 8])),
        ("result-info-none", "an info is a Dict", {
            let form = result[65..].to_vec();
            [result[..53].to_vec(), vec![0; 4], form].concat()
        }),
        ("spec-autoreset-3", "unknown autoreset mode", patch(whole.clone(), 68, &[3])),
        ("spec-autoreset-255", "unknown autoreset mode", patch(whole.clone(), 68, &[255])),
        ("spec-metadata-list", "metadata is a Dict", spec(7, 9)),
        ("spec-details-list", "details are a Dict", spec(9, 7)),
        ("result-without-an-info", "three of the four bytes of the tag of an info", cut(result, 88)),
        ("frames-count-bomb", "a count of 2^64-1", frame(0x42, &raw(|w| w.put(BOMB)))),
        ("frames-without-a-value", "a slot alone", frame(0x42, &raw(|w| w.put((1u64, 0u32))))),
        ("attribute-access-3", "unknown access", patch(get.clone(), 59, &[3])),
        ("attribute-without-access", "the name alone", cut(get, 1)),
        (
            "attribute-long-name",
            "257 bytes",
            frame(
                0x24,
                &raw(|w| {
                    w.put((1u64, 0u32));
                    w.str(&"x".repeat(257));
                    w.put(0u8);
                }),
            ),
        ),
        ("attribute-set-of-two-slots-with-one-value", "a value for each slot", {
            let one = frames::attribute(&[0], Access::Set(vec![Value::None])).bytes();
            [one[..32].to_vec(), raw(|w| w.put((2u64, 0u32, 1u32))), one[44..].to_vec()].concat()
        }),
        ("attribute-values-bomb", "a count of 2^64-1", {
            let set = frames::attribute(&[0], Access::Set(vec![Value::None])).bytes();
            patch(set, 60, &[255; 8])
        }),
        ("attribute-keyword-1", "keywords are texts", {
            let kwargs = Map(vec![(Value::Int(1), Value::None)]);
            frames::attribute(&[0], Access::Call(vec![], kwargs)).bytes()
        }),
        ("attribute-kwargs-list", "kwargs are a Dict", {
            let call = frames::attribute(&[0], Access::Call(vec![], Map::new())).bytes();
            let end = call.len() - 12;
            patch(call, end, &[7])
        }),
        ("returned-count-bomb", "a count of 2^64-1", frame(0x43, &raw(|w| w.put(BOMB)))),
        ("returned-without-a-mark", "a slot alone", frame(0x43, &raw(|w| w.put((1u64, 0u32))))),
        ("returned-mark-2", "0 or 1 says whether there is a value", frame(0x43, &raw(|w| w.put((1u64, 0u32, 2u8))))),
        ("spec-attributes-bomb", "a count of 2^64-1", patch(whole.clone(), whole.len() - 8, &[255; 8])),
        ("spec-attributes-257", "257 names", {
            let names: Vec<String> = (0..257).map(|i| i.to_string()).collect();
            with(cut(whole.clone(), 8), &raw(|w| w.list(&names, |w, name| w.str(name))))
        }),
        ("spec-attributes-long-name", "a name of 257 bytes", {
            with(cut(whole.clone(), 8), &raw(|w| w.list(&["x".repeat(257)], |w, name| w.str(name))))
        }),
        ("closed-cut", "half of a count", frame(0x44, &raw(|w| w.put(0u32)))),
    ]
    .map(|(name, why, bytes)| negative(What::Frame, name, why, &bytes))
    .into()
}

fn streams() -> Vec<Vector> {
    [
        ("longer-than-the-limit", "65537 bytes are one too many", 65537u32.to_le_bytes().to_vec()),
        ("nearly-a-close", "a close is ff ff ff ff", 0xffff_fffeu32.to_le_bytes().to_vec()),
        ("http", "an HTTP peer", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("tls", "a TLS peer", vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
    ]
    .map(|(name, why, bytes)| negative(What::Stream, name, why, &bytes))
    .into()
}
