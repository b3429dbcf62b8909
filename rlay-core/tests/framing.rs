//! Frames on a stream of bytes, however the stream is cut into reads.

use proptest::prelude::*;
use rlay_core::{
    Frame, Result,
    wire::{END, Framing},
};

/// Feeds `bytes` in pieces of these sizes, over and over; the frames that come out.
fn feed(framing: &mut Framing, mut bytes: &[u8], pieces: &[usize]) -> Result<Vec<Frame>> {
    let (mut frames, mut pieces) = (Vec::new(), pieces.iter().cycle());
    loop {
        while let Some(frame) = framing.take()? {
            frames.push(frame);
        }
        if bytes.is_empty() || framing.ended() {
            return Ok(frames);
        }
        let space = framing.space();
        assert!(!space.is_empty(), "there is always room to read to");
        let n = pieces.next().map_or(1, |n| *n).min(space.len()).min(bytes.len());
        space[..n].copy_from_slice(&bytes[..n]);
        bytes = &bytes[n..];
        framing.filled(n);
    }
}

/// Frame `i` of `len` bytes.
fn frame(i: usize, len: usize) -> Vec<u8> {
    (0..len).map(|k| (i * 31 + k) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_come_out_as_they_went_in(
        lengths in prop::collection::vec(prop_oneof![0..100usize, 4000..4200usize, 0..40_000usize], 0..12),
        pieces in prop::collection::vec(prop_oneof![1..5usize, 1..100_000usize], 1..6),
        closed: bool,
    ) {
        let mut framing = Framing::new(40_000);
        let mut bytes = Vec::new();
        for (i, len) in lengths.iter().enumerate() {
            bytes.extend(framing.prefix(*len).unwrap());
            bytes.extend(frame(i, *len));
        }
        if closed {
            bytes.extend(END);
            bytes.extend([0, 0, 0, 0, 9]);
        }
        let frames = feed(&mut framing, &bytes, &pieces).unwrap();
        prop_assert_eq!(frames.len(), lengths.len());
        for (i, (got, len)) in frames.iter().zip(&lengths).enumerate() {
            prop_assert_eq!(&got[..], &frame(i, *len)[..]);
            prop_assert_eq!(got.as_ptr() as usize % 64, 0, "frames are aligned");
        }
        prop_assert_eq!(framing.ended(), closed);
    }
}

#[test]
fn small_frames_that_arrive_together_are_not_moved_with_all_that_follows() {
    let mut framing = Framing::new(1 << 20);
    let large = [&(1u32 << 20).to_le_bytes()[..], &[0; 1 << 20]].concat();
    assert_eq!(feed(&mut framing, &large, &[usize::MAX]).unwrap().len(), 1);
    // They arrive in one read, for the next frame is expected to be of the same size.
    let small = [9u32.to_le_bytes().as_slice(), b"not large"].concat();
    let frames = feed(&mut framing, &small.repeat(70_000), &[usize::MAX]).unwrap();
    assert_eq!(frames.len(), 70_000);
    assert!(frames.iter().all(|frame| &frame[..] == b"not large"));
    let large = frames.iter().filter(|frame| frame.footprint() > 1024).count();
    assert!(large < 10, "{large} of them hold the memory of a large one");
}

#[test]
fn the_limit_is_exact() {
    let mut framing = Framing::new(100);
    assert!(framing.prefix(100).is_ok());
    assert!(framing.prefix(101).unwrap_err().to_string().contains("limit of 100"));
    let exact = [&100u32.to_le_bytes()[..], &[7; 100]].concat();
    assert_eq!(feed(&mut framing, &exact, &[1000]).unwrap().len(), 1);
    assert!(feed(&mut framing, &101u32.to_le_bytes(), &[1]).is_err());
    let mut raised = Framing::new(100);
    raised.set_max_frame(1 << 20);
    assert!(raised.prefix(1 << 20).is_ok());
}

#[test]
fn no_frame_is_taken_for_the_end() {
    let framing = Framing::new(usize::MAX);
    assert!(framing.prefix(u32::MAX as usize - 1).is_ok());
    assert!(framing.prefix(u32::MAX as usize).is_err());
    assert!(framing.prefix(usize::MAX).is_err());
}

#[test]
fn a_stream_that_stops_inside_a_frame_has_not_ended() {
    let mut framing = Framing::new(100);
    assert!(feed(&mut framing, &[5, 0, 0, 0, 1, 2], &[1]).unwrap().is_empty());
    assert!(!framing.ended());
}

#[test]
fn foreign_peers_are_told_apart() {
    for (bytes, word) in [
        (&b"GET / HTTP/1.1\r\n"[..], "an HTTP peer"),
        (&b"PRI * HTTP/2.0\r\n"[..], "an HTTP peer"),
        (&[0x16, 3, 1, 2, 0, 1][..], "a TLS peer"),
        // As a length it is within the limit.
        (&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f][..], "a ZeroMQ peer"),
        (&b"SSH-2.0-OpenSSH"[..], "not an RLay peer"),
    ] {
        let error = feed(&mut Framing::new(1 << 16), bytes, &[100]).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn frames_that_begin_as_zeromq_does_pass_once_the_handshake_is_over() {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f];
    bytes.resize(4 + 255, 7);
    let frames = feed(&mut Framing::new(1 << 20), &bytes, &[100]).unwrap();
    assert_eq!(frames.len(), 1);
}
