//! RetransmitBuffer: frames that a session keeps until its peer has them, so that another connection can bring them.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::mutant::{Mutant, is};
use crate::error::{Error, Result};

/// Frames that are kept at most, beside the last: of a host whose slots answer apart, one for each of many slots.
const MAX_KEPT: usize = 2048;

/// The frames before the last. The last one stays where it was made: nearly always the peer has acknowledged it before
/// there is another, and then nothing is ever copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct RetransmitBuffer {
    /// By number, the lowest first.
    kept: VecDeque<(u64, Vec<u8>)>,
    /// How many bytes these are.
    len: usize,
}

/// Frames that have to be sent again, each in two parts.
pub(crate) type ToRetransmit<'a> = SmallVec<[[&'a [u8]; 2]; 2]>;

/// The last frame of a session: its number, and the two parts it was sent in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastFrame<'a> {
    pub(crate) number: u64,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl RetransmitBuffer {
    /// Call before the buffers of the last frame serve for another. Copies that frame unless the peer has acknowledged
    /// it: `unacknowledged` of the last frames may be missing there. The copies take at most `limit` bytes; where another
    /// would take more, those before it are dropped, and the session ends with its connection.
    pub(crate) fn retain_unacked(&mut self, last: LastFrame<'_>, unacknowledged: u64, limit: usize) {
        while self.kept.front().is_some_and(|(number, _)| number + unacknowledged <= last.number) {
            self.len -= self.kept.pop_front().map_or(0, |(_, frame)| frame.len());
        }
        if unacknowledged == 0 || self.kept.back().is_some_and(|(number, _)| *number == last.number) {
            return;
        }
        let len = last.head.len() + last.body.len();
        if self.kept.len() == MAX_KEPT || self.len + len > limit {
            self.kept.clear();
            self.len = 0;
        }
        if len <= limit && !is(Mutant::KeepsNothing) {
            self.kept.push_back((last.number, [last.head, last.body].concat()));
            self.len += len;
        }
    }

    /// The last `count` frames, in order. Fails if one of them was not kept.
    pub(crate) fn last_frames<'a>(&'a self, last: LastFrame<'a>, count: u64) -> Result<ToRetransmit<'a>> {
        let Some(earlier) = count.checked_sub(1) else { return Ok(ToRetransmit::new()) };
        let kept = self.kept.iter().filter(|(number, _)| (last.number - earlier..last.number).contains(number));
        let mut frames: ToRetransmit<'_> = kept.map(|(_, frame)| [&frame[..], &[]]).collect();
        if frames.len() as u64 != earlier {
            return Err(Error::gone("more was lost with the connection than was kept"));
        }
        frames.push([last.head, last.body]);
        Ok(frames)
    }
}
