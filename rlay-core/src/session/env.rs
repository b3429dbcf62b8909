//! EnvSession: the side that hosts. Requests in, exactly one final reply to each out.

use smallvec::SmallVec;

use super::{
    mutant::{Mutant, is},
    numbering::{Numbering, over},
};
use crate::{
    error::{Error, ErrorKind, Result},
    wire::{
        Attribute, EnvClose, Fault, Frames, Goodbye, Header, Kind, Limits, Make, Message, Payload, Reader, Reset,
        Returned, Row, Slots, Spare, Spec, Writer, payload_head, put_rows,
    },
};

/// One env slot, as its host knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
    /// Never reset.
    Idle,
    /// Was reset; whether the episode is over is for the environment to know.
    Ready,
    /// The host owes the answer to a request.
    Busy { request: u64, reset: bool, was_ready: bool },
}

/// The session as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    NoEnv,
    Making {
        request: u64,
    },
    Open,
    Closing {
        request: u64,
    },
    /// Close was answered; the environment is gone.
    Closed,
    Over,
}

/// What a received frame asks for.
#[derive(Debug)]
pub enum EnvEvent<'f> {
    /// Make an environment, then call [`EnvSession::spec`] or [`EnvSession::fail`].
    Make {
        /// The request's number.
        request: u64,
        /// What to make.
        make: Make,
    },
    /// Reset, then call [`EnvSession::result`] or [`EnvSession::fail`].
    Reset {
        /// The request's number.
        request: u64,
        /// Which slots, seeds and options.
        reset: Reset,
    },
    /// Step, then call [`EnvSession::result`] or [`EnvSession::fail`].
    Step {
        /// The request's number.
        request: u64,
        /// Which slots.
        slots: Slots,
        /// One action per slot.
        payload: Payload<'f>,
    },
    /// Render, then call [`EnvSession::frames`] or [`EnvSession::fail`].
    Render {
        /// The request's number.
        request: u64,
        /// Which slots.
        slots: Slots,
    },
    /// Get, set or call an attribute, then call [`EnvSession::returned`] or [`EnvSession::fail`]. Whether its name is
    /// offered is for the caller to check.
    Attribute {
        /// The request's number.
        request: u64,
        /// Which slots, which attribute, and what to do with it.
        attribute: Attribute,
    },
    /// Close the environment, then call [`EnvSession::closed`] or [`EnvSession::fail`].
    Close {
        /// The request's number.
        request: u64,
    },
    /// The request was refused; the refusal stands in the buffer that [`EnvSession::refusal`] writes to.
    Refused {
        /// The request's number.
        request: u64,
        /// Why.
        error: Error,
    },
    /// The peer ended the session.
    Over(Error),
}

/// The host's side of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnvSession {
    numbering: Numbering,
    state: State,
    slots: SmallVec<[Slot; 1]>,
}

impl Default for EnvSession {
    fn default() -> Self {
        Self::new()
    }
}

impl EnvSession {
    /// A session whose handshake is over.
    pub fn new() -> Self {
        Self { numbering: Numbering::default(), state: State::NoEnv, slots: SmallVec::new() }
    }

    /// Number of the last frame received.
    pub fn received(&self) -> u64 {
        self.numbering.received()
    }

    /// How many of the last frames sent the peer has not acknowledged. They are kept for another
    /// connection.
    pub fn unacknowledged(&self) -> u64 {
        self.numbering.unacknowledged()
    }

    /// How many of the last frames are to be sent again over a new connection whose other end has received the
    /// frames up to number `peer_received`.
    pub fn frames_to_retransmit(&self, peer_received: u64) -> Result<u64> {
        self.numbering.frames_to_retransmit(peer_received)
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Input: a frame arrived.
    pub fn handle<'f>(&mut self, frame: &'f [u8], limits: &Limits) -> Result<EnvEvent<'f>> {
        self.handle_into(&mut Spare::default(), frame, limits)
    }

    /// The same, into a list of `spare` if it has one.
    pub(crate) fn handle_into<'f>(
        &mut self,
        spare: &mut Spare,
        frame: &'f [u8],
        limits: &Limits,
    ) -> Result<EnvEvent<'f>> {
        if self.state == State::Over {
            return Err(over());
        }
        let result = self.on(spare, frame, limits);
        if result.is_err() {
            self.state = State::Over;
        }
        result
    }

    fn on<'f>(&mut self, spare: &mut Spare, frame: &'f [u8], limits: &Limits) -> Result<EnvEvent<'f>> {
        let mut reader = Reader::new(frame, 0, limits);
        let header = Header::read(&mut reader)?;
        self.numbering.receive(&header)?;
        let request = header.seq;
        let message = Message::read_into(spare, header, reader)?;
        let refused = |error| Ok(EnvEvent::Refused { request, error });
        match (message, self.state) {
            (Message::Make(make), State::NoEnv) => {
                self.state = State::Making { request };
                Ok(EnvEvent::Make { request, make })
            }
            (Message::Make(_), _) => {
                refused(Error::new(ErrorKind::Usage, "the environment is made already; one session makes one"))
            }
            (
                Message::Reset(_) | Message::Step(..) | Message::Render(_) | Message::Attribute(_) | Message::Close(_),
                State::NoEnv | State::Making { .. },
            ) => refused(Error::new(ErrorKind::Usage, "the environment is not made yet; send Make first")),
            (
                Message::Reset(_) | Message::Step(..) | Message::Render(_) | Message::Attribute(_) | Message::Close(_),
                State::Closing { .. } | State::Closed,
            ) => refused(Error::new(ErrorKind::Closed, "the environment is closed")),
            (Message::Reset(reset), State::Open) => {
                let slots: Slots = reset.rows.iter().map(|(slot, _)| *slot).collect();
                match self.claim(request, &slots, true, true) {
                    Ok(()) => Ok(EnvEvent::Reset { request, reset }),
                    Err(error) => refused(error),
                }
            }
            (Message::Step(slots, payload), State::Open) => match self.claim(request, &slots, false, false) {
                Ok(()) => Ok(EnvEvent::Step { request, slots, payload }),
                Err(error) => refused(error),
            },
            (Message::Render(slots), State::Open) => match self.claim(request, &slots, false, true) {
                Ok(()) if is(Mutant::StepsToRender) => Ok(EnvEvent::Step {
                    request,
                    slots,
                    payload: Payload { packed: true, reader: Reader::new(&[], 0, limits) },
                }),
                Ok(()) => Ok(EnvEvent::Render { request, slots }),
                Err(error) => refused(error),
            },
            (Message::Attribute(attribute), State::Open) => match self.claim(request, &attribute.slots, false, true) {
                Ok(()) => Ok(EnvEvent::Attribute { request, attribute }),
                Err(error) => refused(error),
            },
            (Message::Close(_), State::Open) => {
                if self.slots.iter().any(|slot| matches!(slot, Slot::Busy { .. })) {
                    return refused(Error::new(ErrorKind::Busy, "a slot still owes an answer; close after it"));
                }
                self.state = State::Closing { request };
                Ok(EnvEvent::Close { request })
            }
            (Message::Goodbye(goodbye), _) => {
                self.state = State::Over;
                let kind = if goodbye.code == 0 { ErrorKind::Closed } else { ErrorKind::told(goodbye.code) };
                Ok(EnvEvent::Over(Error::said(kind, "the agent said goodbye", &goodbye.message)))
            }
            (Message::Error(fault), _) if fault.fatal => {
                self.state = State::Over;
                Ok(EnvEvent::Over(fault.into_error().context("the agent ended the session")))
            }
            (Message::Reserved(kind), _) => {
                refused(Error::new(ErrorKind::Usage, format!("{kind:?} is not supported by this host")))
            }
            _ => Err(Error::protocol(format!("the agent sent {:?} out of turn", header.kind))),
        }
    }

    /// Marks `slots` as busy with `request`, or changes nothing.
    fn claim(&mut self, request: u64, slots: &[u32], reset: bool, from_idle: bool) -> Result<()> {
        if slots.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "a request for no slot"));
        }
        for (i, slot) in slots.iter().enumerate() {
            match self.free(request, *slot, from_idle) {
                Ok(was_ready) => self.slots[*slot as usize] = Slot::Busy { request, reset, was_ready },
                Err(error) => {
                    slots[..i].iter().for_each(|slot| self.restore(*slot));
                    return Err(error);
                }
            }
        }
        if is(Mutant::ForgetsItsTurn) {
            slots.iter().for_each(|slot| self.restore(*slot));
        }
        Ok(())
    }

    /// Whether `slot` was reset, if it can take a request; `request` has claimed other slots already.
    fn free(&self, request: u64, slot: u32, from_idle: bool) -> Result<bool> {
        match self.slots.get(slot as usize) {
            None => Err(Error::new(ErrorKind::Usage, format!("there is no env slot {slot}"))),
            Some(Slot::Busy { request: other, .. }) if *other == request => {
                Err(Error::new(ErrorKind::Usage, format!("slot {slot} is named twice in one request")))
            }
            Some(Slot::Busy { .. }) => Err(Error::new(ErrorKind::Busy, format!("slot {slot} still owes an answer"))),
            Some(Slot::Idle) if !from_idle => {
                Err(Error::new(ErrorKind::ResetNeeded, "Cannot call env.step() before calling env.reset()"))
            }
            Some(state) => Ok(*state == Slot::Ready),
        }
    }

    /// Puts a slot back to what it was before its request.
    fn restore(&mut self, slot: u32) {
        if let Slot::Busy { was_ready, .. } = self.slots[slot as usize] {
            self.slots[slot as usize] = if was_ready { Slot::Ready } else { Slot::Idle };
        }
    }

    /// Reply: the environment was made.
    pub fn spec(&mut self, spec: &Spec, out: &mut Vec<u8>) -> Result<()> {
        let State::Making { request } = self.state else { return Err(no_request(self.state)) };
        self.slots = SmallVec::from_elem(Slot::Idle, spec.slots as usize);
        self.state = State::Open;
        self.numbering.next(Kind::Spec, request).begin(out);
        spec.put(&mut Writer(out));
        Ok(())
    }

    /// Reply: what came of a reset or step. `infos` holds one encoded value per row; the payload of
    /// `len` bytes is for the caller to send right behind `out`, in the same frame.
    pub fn result(
        &mut self,
        request: u64,
        rows: &[Row],
        infos: &[u8],
        (packed, len): (bool, usize),
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.release(request, true)?;
        if is(Mutant::KeepsTheRow) && rows.iter().any(|row| !row.first) {
            return Ok(());
        }
        self.numbering.next(Kind::Result, request).begin(out);
        put_rows(&mut Writer(out), rows, infos);
        payload_head(out, packed, len);
        Ok(())
    }

    /// Reply: rendered frames.
    pub fn frames(&mut self, request: u64, frames: &Frames, out: &mut Vec<u8>) -> Result<()> {
        self.release(request, false)?;
        self.numbering.next(Kind::Frames, request).begin(out);
        frames.put(&mut Writer(out));
        Ok(())
    }

    /// Reply: what came of an attribute.
    pub fn returned(&mut self, request: u64, returned: &Returned, out: &mut Vec<u8>) -> Result<()> {
        self.release(request, false)?;
        self.numbering.next(Kind::Returned, request).begin(out);
        returned.put(&mut Writer(out));
        Ok(())
    }

    /// Reply: the environment is closed.
    pub fn closed(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let State::Closing { request } = self.state else { return Err(no_request(self.state)) };
        self.state = State::Closed;
        if is(Mutant::NeverCloses) {
            return Ok(());
        }
        self.numbering.next(Kind::Closed, request).begin(out);
        EnvClose(SmallVec::new()).put(&mut Writer(out));
        Ok(())
    }

    /// Reply: the request failed and changed nothing about the session, but an environment that failed
    /// to close counts as closed.
    pub fn fail(&mut self, request: u64, error: &Error, out: &mut Vec<u8>) -> Result<()> {
        match self.state {
            State::Over => return Err(over()),
            State::Making { request: making } if making == request => self.state = State::NoEnv,
            State::Closing { request: closing } if closing == request => self.state = State::Closed,
            _ => self.release(request, false)?,
        }
        if is(Mutant::HidesFailures) {
            return Ok(());
        }
        self.refusal(request, error, out);
        Ok(())
    }

    /// Reply: the request was refused by [`handle`](Self::handle) itself.
    pub fn refusal(&mut self, request: u64, error: &Error, out: &mut Vec<u8>) {
        self.numbering.next(Kind::Error, request).begin(out);
        Fault::from_error(error, false).put(&mut Writer(out));
    }

    /// Command: end the session.
    pub fn goodbye(&mut self, goodbye: &Goodbye, out: &mut Vec<u8>) -> Result<()> {
        if self.state == State::Over {
            return Err(over());
        }
        self.state = State::Over;
        self.numbering.next(Kind::Goodbye, 0).begin(out);
        goodbye.put(&mut Writer(out));
        Ok(())
    }

    /// Command: tell the peer that it broke the protocol, and end the session.
    pub fn abort(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.state = State::Over;
        self.numbering.next(Kind::Error, 0).begin(out);
        Fault::from_error(error, true).put(&mut Writer(out));
    }

    /// Whether it owes an answer about `slot`.
    #[cfg(test)]
    pub(super) fn owes(&self, slot: u32) -> bool {
        matches!(self.slots.get(slot as usize), Some(Slot::Busy { .. }))
    }

    /// Frees the slots of `request`. An answered request cannot be answered again.
    fn release(&mut self, request: u64, done: bool) -> Result<()> {
        if self.state != State::Open {
            return Err(no_request(self.state));
        }
        let mut found = false;
        for slot in &mut self.slots {
            if let Slot::Busy { request: busy, reset, was_ready } = *slot
                && busy == request
            {
                found = true;
                if is(Mutant::AnswersTwice) {
                    continue;
                }
                *slot = if was_ready || (done && reset) { Slot::Ready } else { Slot::Idle };
                if is(Mutant::FreesOneSlot) {
                    break;
                }
            }
        }
        if found { Ok(()) } else { Err(no_request(self.state)) }
    }

    /// Number of the last frame sent.
    pub fn last_sent(&self) -> u64 {
        self.numbering.last_sent()
    }
}

fn no_request(state: State) -> Error {
    if state == State::Over {
        return over();
    }
    Error::new(ErrorKind::Usage, "a reply to no request: it was answered already, or never made")
}
