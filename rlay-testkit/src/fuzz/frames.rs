//! Frames: a stream gives the frames that the specification sees in it, however it is cut, and takes no more memory
//! than its limit allows.

use rlay_core::{
    frame::ALIGNMENT,
    wire::{END, Framing},
};

use super::Input;

/// How a stream of frames ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    BetweenFrames,
    AmidFrame,
    Closed,
    Refused,
}

/// Reads a stream: two bytes are the frame limit, one is the number of bytes that tell the sizes of pieces, then come
/// these bytes and the stream.
///
/// # Panics
/// If other frames come out than went in, or more memory is held than a frame of the limit needs.
pub fn frames(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = usize::from(u16::from_le_bytes([input.byte(), input.byte()]));
    let count = input.below(8);
    let sizes = input.take(count);
    let stream = input.rest();
    let expected = by_the_letter(stream, limit);
    for sizes in [sizes, &[]] {
        let (frames, end) = in_pieces(stream, limit, sizes);
        assert_eq!(end, expected.1, "pieces of {sizes:?}");
        assert_eq!(frames, expected.0, "pieces of {sizes:?}");
    }
}

/// `docs/wire.md`, section 1, without regard to speed.
fn by_the_letter(mut stream: &[u8], limit: usize) -> (Vec<&[u8]>, End) {
    let mut frames = vec![];
    while let Some((prefix, rest)) = stream.split_first_chunk() {
        let len = u32::from_le_bytes(*prefix) as usize;
        if *prefix == END {
            return (frames, End::Closed);
        }
        if len > limit {
            return (frames, End::Refused);
        }
        let Some((frame, rest)) = rest.split_at_checked(len) else { break };
        frames.push(frame);
        stream = rest;
    }
    (frames, if stream.is_empty() { End::BetweenFrames } else { End::AmidFrame })
}

/// The same by the decoder, which is given at most so many bytes at a time, or as many as it accepts.
fn in_pieces(mut stream: &[u8], limit: usize, sizes: &[u8]) -> (Vec<Vec<u8>>, End) {
    let (mut framing, mut frames, mut kept) = (Framing::new(limit), vec![], vec![]);
    // A frame and the read after it, and the pool's rounding.
    let allowed = 3 * limit + (16 << 10);
    let mut sizes = sizes.iter().cycle();
    let end = loop {
        match framing.take() {
            Ok(Some(frame)) => {
                assert!(frame.footprint() <= allowed, "{} bytes are held, the limit is {limit}", frame.footprint());
                assert_eq!(frame.as_ptr() as usize % ALIGNMENT, 0, "frames are aligned");
                assert_eq!(framing.prefix(frame.len()).ok(), Some((frame.len() as u32).to_le_bytes()));
                frames.push(frame.to_vec());
                // Every other frame is dropped, so that its memory is used again.
                if frames.len() % 2 == 0 {
                    kept.push((frames.len() - 1, frame));
                }
                continue;
            }
            Ok(None) if framing.ended() => break End::Closed,
            Ok(None) => {}
            Err(_) => {
                assert!(framing.take().is_err(), "a stream that was refused goes on");
                break End::Refused;
            }
        }
        if stream.is_empty() {
            break if framing.is_amid_frame() { End::AmidFrame } else { End::BetweenFrames };
        }
        let space = framing.space();
        assert!(!space.is_empty(), "there is always room to read to");
        assert!(space.len() <= allowed, "{} bytes to read to, the limit is {limit}", space.len());
        let n = sizes.next().map_or(usize::MAX, |size| usize::from(*size) + 1).min(space.len()).min(stream.len());
        let (piece, rest) = stream.split_at(n);
        space[..n].copy_from_slice(piece);
        framing.filled(n);
        stream = rest;
    };
    assert!(kept.iter().all(|(i, frame)| **frame == *frames[*i]), "a frame changed after it was handed out");
    (frames, end)
}
