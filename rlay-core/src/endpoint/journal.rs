//! Journal: frames that a session keeps until its peer has them, so that another connection can bring them again.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::error::{Error, Result};

/// Frames that are kept at most, beside the last.
const MOST: usize = 16;

/// The frames before the last. The last one stays where it was made: nearly always the peer has it before there is
/// another, and then nothing is ever copied.
#[derive(Debug, Default)]
pub(super) struct Journal(VecDeque<(u64, Vec<u8>)>);

/// Frames that have to be sent again, each in two parts.
pub(super) type Missing<'a> = SmallVec<[[&'a [u8]; 2]; 2]>;

/// The last frame of a session: its number, and the two parts it was sent in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last<'a> {
    pub number: u64,
    pub head: &'a [u8],
    pub body: &'a [u8],
}

impl Journal {
    /// Call before the buffers of the last frame serve for another. `unacknowledged` of the last frames may be missing
    /// at the other end; they take at most `limit` bytes here, or are not kept.
    pub(super) fn turn_page(&mut self, last: Last<'_>, unacknowledged: u64, limit: usize) {
        self.0.retain(|(number, _)| number + unacknowledged > last.number);
        if unacknowledged == 0 || self.0.back().is_some_and(|(number, _)| *number == last.number) {
            return;
        }
        // An honest agent sends three at most before it reads an answer.
        if self.0.len() == MOST {
            self.0.clear();
        }
        let held: usize = self.0.iter().map(|(_, frame)| frame.len()).sum();
        if held + last.head.len() + last.body.len() > limit {
            self.0.clear();
        } else {
            self.0.push_back((last.number, [last.head, last.body].concat()));
        }
    }

    /// The last `count` frames, which a new channel is to bring.
    pub(super) fn missing<'a>(&'a self, last: Last<'a>, count: u64) -> Result<Missing<'a>> {
        let Some(earlier) = count.checked_sub(1) else { return Ok(Missing::new()) };
        let kept = self.0.iter().filter(|(number, _)| (last.number - earlier..last.number).contains(number));
        let mut missing: Missing<'_> = kept.map(|(_, frame)| [&frame[..], &[]]).collect();
        if missing.len() as u64 != earlier {
            return Err(Error::gone("more was lost with the connection than was kept"));
        }
        missing.push([last.head, last.body]);
        Ok(missing)
    }
}
