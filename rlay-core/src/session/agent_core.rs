//! AgentCore: an agent's session with one environment and the frames that it keeps, for any loop to drive.

use super::{
    agent::{AgentEvent, AgentSession, Call},
    received::Received,
    retransmit::{LastFrame, RetransmitBuffer, ToRetransmit},
};
use crate::{
    error::{Error, ErrorKind, Result},
    frame::Frame,
    offers::check_attribute,
    wire::{Attribute, Frames, Goodbye, Limits, Make, Reset, Returned, Rows, Spare, Spec, payload_head},
};

/// The agent's side of a session. A request is written by a method that has its name, and is to be sent
/// as [`request`](Self::request) says; what arrives is for [`handle`](Self::handle).
///
/// A request that was given up stays under way until its answer has arrived, which is then *late*: it answers no other
/// call. A new episode makes it void: a reset receives and drops it first, for as long as [`is_late`](Self::is_late).
#[derive(Debug)]
pub(crate) struct AgentCore {
    session: AgentSession,
    limits: Limits,
    /// What the host has told of the environment.
    spec: Box<Spec>,
    /// The last frame, kept until the peer has it: all but the action, and that.
    head: Vec<u8>,
    action: Vec<u8>,
    /// The frames before it that the peer may not have.
    kept: RetransmitBuffer,
    spare: Spare,
}

/// What a frame meant to the agent.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The environment was made.
    Made,
    /// The answer to a reset or step.
    Rows(Call, Rows, Received),
    /// The answer to a render.
    Frames(Frames),
    /// The answer to an attribute.
    Returned(Returned),
    /// The environment was closed.
    Closed,
    /// The request has failed.
    Failed(Error),
    /// The peer ended the session.
    Over(Error),
}

impl AgentCore {
    /// For a connection with these limits.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            session: AgentSession::new(),
            limits,
            spec: Box::default(),
            head: Vec::new(),
            action: Vec::new(),
            kept: RetransmitBuffer::default(),
            spare: Spare::default(),
        }
    }

    /// The bounds of the session.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the host has told of the environment.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// A request under way, and whether it was given up: the first, by slots.
    pub(crate) fn waiting(&self) -> Option<(Call, bool)> {
        (0..self.spec.slots).find_map(|slot| self.session.waiting(slot))
    }

    /// In how many slots a request is under way.
    pub(crate) fn under_way(&self) -> usize {
        (0..self.spec.slots).filter(|slot| self.is_waiting(*slot)).count()
    }

    /// Whether the episode of `slot` is over, and no request about it under way.
    pub(crate) fn is_done(&self, slot: u32) -> bool {
        self.session.is_done(slot)
    }

    /// Whether `slot` was never reset.
    pub(crate) fn needs_reset(&self, slot: u32) -> bool {
        self.session.needs_reset(slot)
    }

    /// Whether a request about `slot` is under way.
    pub(crate) fn is_waiting(&self, slot: u32) -> bool {
        self.session.waiting(slot).is_some()
    }

    /// Whether a request under way was given up: its answer is to be fetched or dropped before the next request.
    pub(crate) fn is_late(&self) -> bool {
        matches!(self.waiting(), Some((_, true)))
    }

    /// What a reset does about `came`, which came of the wait for a late answer: drops it, whatever it is. An error after
    /// which the answer has still not come is the reset's own.
    pub(crate) fn drop_late<T>(&self, came: Result<T>) -> Result<()> {
        match came {
            Err(error) if self.is_late() => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the session is over.
    pub(crate) fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// Gives up the requests under way.
    pub(crate) fn give_up(&mut self) {
        self.session.give_up();
    }

    /// The number of the last frame that was received.
    pub(crate) fn received(&self) -> u64 {
        self.session.received()
    }

    /// The frame that was written last, in two parts.
    pub(crate) fn request(&self) -> [&[u8]; 2] {
        [&self.head, &self.action]
    }

    fn last_frame(&self) -> LastFrame<'_> {
        LastFrame { number: self.session.last_sent(), head: &self.head, body: &self.action }
    }

    /// The frames to send over a new connection whose other end has received the frames up to number `peer_received`.
    pub(crate) fn to_retransmit(&self, peer_received: u64) -> Result<ToRetransmit<'_>> {
        self.kept.last_frames(self.last_frame(), self.session.frames_to_retransmit(peer_received)?)
    }

    /// Keeps the last frame, if need be, before another is written in its place.
    fn retain_unacked(&mut self) {
        let last = LastFrame { number: self.session.last_sent(), head: &self.head, body: &self.action };
        self.kept.retain_unacked(last, self.session.unacknowledged(), self.limits.frame);
    }

    /// Asks for an environment.
    pub(crate) fn make(&mut self, make: &Make) -> Result<()> {
        self.limits.check_make(make)?;
        self.session.make(make, &mut self.head)
    }

    /// Asks for episodes.
    pub(crate) fn reset(&mut self, reset: &Reset) -> Result<()> {
        self.retain_unacked();
        self.limits.check_reset(reset)?;
        self.session.reset(reset, &mut self.head)?;
        self.action.clear();
        Ok(())
    }

    /// Asks for a step of each of `slots`. `action` is packed, or one encoded value for each; another buffer, of any
    /// content, is left in its place if the request is made.
    pub(crate) fn step(&mut self, slots: &[u32], packed: bool, action: &mut Vec<u8>) -> Result<()> {
        self.retain_unacked();
        self.limits.fit(ErrorKind::InvalidAction, "action", action.len() + size_of_val(slots))?;
        if !packed {
            self.limits.check_values(ErrorKind::InvalidAction, "action", 0, &[action])?;
        }
        self.session.step(slots, &mut self.head)?;
        payload_head(&mut self.head, packed, action.len());
        std::mem::swap(&mut self.action, action);
        Ok(())
    }

    /// Asks for a rendered frame of each of `slots`.
    pub(crate) fn render(&mut self, slots: &[u32]) -> Result<()> {
        self.retain_unacked();
        self.session.render(slots, &mut self.head)?;
        self.action.clear();
        Ok(())
    }

    /// Asks for an attribute, if the host offers that.
    pub(crate) fn attribute(&mut self, attribute: &Attribute) -> Result<()> {
        check_attribute(&attribute.name, &self.spec.attributes)?;
        self.retain_unacked();
        self.limits.check_attribute(attribute)?;
        self.session.attribute(attribute, &mut self.head)?;
        self.action.clear();
        Ok(())
    }

    /// Asks the host to close the environment.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.retain_unacked();
        self.session.close(&mut self.head)?;
        self.action.clear();
        Ok(())
    }

    /// Ends the session.
    pub(crate) fn goodbye(&mut self, goodbye: &Goodbye) -> Result<()> {
        self.session.goodbye(goodbye, &mut self.head)?;
        self.action.clear();
        Ok(())
    }

    /// Ends the session because the peer broke the protocol.
    pub(crate) fn abort(&mut self, error: &Error) {
        self.session.abort(error, &mut self.head);
        self.action.clear();
    }

    /// Takes rows back, whose memory the next ones use again.
    pub(crate) fn reuse(&mut self, rows: Rows) {
        self.spare.rows = rows;
    }

    /// Takes a frame. An error says that the peer broke the protocol: [`abort`](Self::abort) writes what to tell it.
    pub(crate) fn handle(&mut self, frame: Frame) -> Result<Reply> {
        let (call, rows, at, packed) = match self.session.handle_into(&mut self.spare, &frame, &self.limits)? {
            AgentEvent::Result { rows, payload, call, .. } => (call, rows, payload.reader.position(), payload.packed),
            AgentEvent::Frames { frames, .. } => return Ok(Reply::Frames(frames)),
            AgentEvent::Returned { returned, .. } => return Ok(Reply::Returned(returned)),
            AgentEvent::Spec(spec) => {
                self.spec = spec;
                return Ok(Reply::Made);
            }
            AgentEvent::Failed { fault, .. } => return Ok(Reply::Failed(fault.into_error())),
            AgentEvent::Closed => return Ok(Reply::Closed),
            AgentEvent::Over(error) => return Ok(Reply::Over(error)),
        };
        Ok(Reply::Rows(call, rows, Received::new(frame, at, packed, self.limits)))
    }
}
