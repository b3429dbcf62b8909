//! Received: an observation or action in the memory of the frame it arrived in.

use crate::{
    error::Result,
    frame::Frame,
    space::Space,
    wire::{Limits, Payload, Reader},
};

/// An observation or action in the frame it arrived in.
#[derive(Debug, Clone)]
pub struct Received {
    /// The frame.
    pub frame: Frame,
    /// Where the payload starts in it.
    pub at: usize,
    /// Whether it is packed.
    pub packed: bool,
    limits: Limits,
}

impl Received {
    pub(crate) fn new(frame: Frame, at: usize, packed: bool, limits: Limits) -> Self {
        Self { frame, at, packed, limits }
    }

    /// The payload, to read from.
    pub fn payload(&self) -> Payload<'_> {
        Payload { packed: self.packed, reader: Reader::new(&self.frame, self.at, &self.limits) }
    }

    /// The element of `space` that was received; in the frame's own memory, if its type can live there.
    pub fn element<S: Space + ?Sized>(mut self, space: &S) -> Result<S::Element> {
        if self.packed {
            match space.adopt(self.frame, self.at) {
                Ok(element) => return Ok(element),
                Err(frame) => self.frame = frame,
            }
        }
        self.payload().element(space)
    }
}
