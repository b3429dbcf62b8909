//! RetransmitBuffer: frames that a session keeps until its peer has them, so that another connection can bring them.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::mutant::{Mutant, is};
use crate::error::{Error, Result};

/// Frames that are kept at most, beside the last.
const MAX_KEPT: usize = 16;

/// The frames before the last. The last one stays where it was made: nearly always the peer has acknowledged it before
/// there is another, and then nothing is ever copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct RetransmitBuffer(VecDeque<(u64, Vec<u8>)>);

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
    /// it: `unacknowledged` of the last frames may be missing there. The copies take at most `limit` bytes; if they would
    /// take more, all are dropped, and the session ends with its connection.
    pub(crate) fn retain_unacked(&mut self, last: LastFrame<'_>, unacknowledged: u64, limit: usize) {
        self.0.retain(|(number, _)| number + unacknowledged > last.number);
        if unacknowledged == 0 || self.0.back().is_some_and(|(number, _)| *number == last.number) {
            return;
        }
        // An honest agent sends three at most before it reads an answer.
        if self.0.len() == MAX_KEPT {
            self.0.clear();
        }
        let held: usize = self.0.iter().map(|(_, frame)| frame.len()).sum();
        if held + last.head.len() + last.body.len() > limit {
            self.0.clear();
        } else if !is(Mutant::KeepsNothing) {
            self.0.push_back((last.number, [last.head, last.body].concat()));
        }
    }

    /// The last `count` frames, in order. Fails if one of them was not kept.
    pub(crate) fn last_frames<'a>(&'a self, last: LastFrame<'a>, count: u64) -> Result<ToRetransmit<'a>> {
        let Some(earlier) = count.checked_sub(1) else { return Ok(ToRetransmit::new()) };
        let kept = self.0.iter().filter(|(number, _)| (last.number - earlier..last.number).contains(number));
        let mut frames: ToRetransmit<'_> = kept.map(|(_, frame)| [&frame[..], &[]]).collect();
        if frames.len() as u64 != earlier {
            return Err(Error::gone("more was lost with the connection than was kept"));
        }
        frames.push([last.head, last.body]);
        Ok(frames)
    }
}
