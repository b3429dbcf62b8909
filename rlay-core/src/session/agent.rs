//! AgentSession: the side that decides. Requests out, results in, never one for another.

use smallvec::SmallVec;

use super::{
    mutant::{Mutant, is},
    numbering::{Numbering, over},
};
use crate::{
    error::{Error, ErrorKind, Result},
    value::Value,
    wire::{
        Access, Attribute, AutoresetMode, EnvClose, Fault, Frames, Goodbye, Header, Kind, Limits, Make, Message,
        Payload, Reader, Reset, Returned, Row, Rows, SEED, Spare, Spec, Writer, put_request,
    },
};

/// What an agent asks of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Gymnasium's own words
pub enum Call {
    Reset,
    Step,
    Render,
    Attribute,
}

impl Call {
    /// With its article, for messages.
    pub(crate) fn named(self) -> &'static str {
        match self {
            Self::Reset => "a Reset",
            Self::Step => "a Step",
            Self::Render => "a Render",
            Self::Attribute => "an Attribute",
        }
    }

    /// Whether the answer has rows of observations.
    pub(crate) fn has_rows(self) -> bool {
        matches!(self, Self::Reset | Self::Step)
    }
}

/// One env slot, as the agent knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
    /// Never reset.
    Idle,
    /// In an episode.
    Ready,
    /// The episode is over; a step is forwarded all the same, the environment decides.
    Done,
    /// Ready or Done, which the next row says: a request failed, and what the env did of it is unknown.
    Unsure,
    /// A request of `asked` slots is under way. `late`: it was given up, and its answer must not answer another call.
    Waiting { request: u64, call: Call, late: bool, asked: u32, before: Before },
}

/// The state to return to if a request changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Before {
    Idle,
    Ready,
    Done,
    Unsure,
}

impl From<Before> for Slot {
    fn from(before: Before) -> Self {
        match before {
            Before::Idle => Self::Idle,
            Before::Ready => Self::Ready,
            Before::Done => Self::Done,
            Before::Unsure => Self::Unsure,
        }
    }
}

/// The session as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    NoSpec,
    Making {
        request: u64,
    },
    Open,
    Closing {
        request: u64,
    },
    /// Close was answered; there is nothing left to ask for.
    Closed,
    Over,
}

/// What a received frame meant.
#[derive(Debug)]
pub enum AgentEvent<'f> {
    /// The environment was made.
    Spec(Box<Spec>),
    /// The answer to a reset or step.
    Result {
        /// What it answers.
        call: Call,
        /// Whether it came after [`AgentSession::give_up`].
        late: bool,
        /// One row per slot of the request, and then those with `last`.
        rows: Rows,
        /// The observations of these rows.
        payload: Payload<'f>,
    },
    /// The answer to a render.
    Frames {
        /// Whether it came after [`AgentSession::give_up`].
        late: bool,
        /// One frame per slot of the request.
        frames: Frames,
    },
    /// The answer to an attribute.
    Returned {
        /// Whether it came after [`AgentSession::give_up`].
        late: bool,
        /// What came of it in each slot of the request.
        returned: Returned,
    },
    /// A request failed; everything is as it was before it, but an environment that failed to close counts as closed.
    Failed {
        /// What failed; `None` for make and close.
        call: Option<Call>,
        /// Whether it came after [`AgentSession::give_up`].
        late: bool,
        /// Why.
        fault: Fault,
    },
    /// The environment was closed.
    Closed,
    /// The peer ended the session, or found it could not go on.
    Over(Error),
}

/// The agent's side of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentSession {
    numbering: Numbering,
    state: State,
    slots: SmallVec<[Slot; 1]>,
    autoreset_mode: AutoresetMode,
}

impl Default for AgentSession {
    fn default() -> Self {
        Self::new()
    }
}

impl AgentSession {
    /// A session whose handshake is over and whose environment is yet to be made.
    pub fn new() -> Self {
        Self {
            numbering: Numbering::default(),
            state: State::NoSpec,
            slots: SmallVec::new(),
            autoreset_mode: AutoresetMode::Disabled,
        }
    }

    /// Command: make an environment.
    pub fn make(&mut self, make: &Make, out: &mut Vec<u8>) -> Result<()> {
        make.kwargs.check_held("env_kwargs").map_err(|text| Error::new(ErrorKind::Usage, text))?;
        match self.state {
            State::NoSpec => {}
            State::Over => return Err(over()),
            _ => return Err(Error::new(ErrorKind::Usage, "the environment is made already; one session makes one")),
        }
        let header = self.numbering.next(Kind::Make, 0);
        self.state = State::Making { request: header.seq };
        header.begin(out);
        make.put(&mut Writer(out));
        Ok(())
    }

    /// Command: start episodes in the slots of `reset`.
    pub fn reset(&mut self, reset: &Reset, out: &mut Vec<u8>) -> Result<()> {
        reset.options.check_held("options").map_err(|text| Error::new(ErrorKind::Usage, text))?;
        if reset.rows.iter().any(|(_, seed)| seed.as_ref().is_some_and(|seed| seed.0.len() > SEED)) {
            let text = format!("a seed of more than {SEED} bytes; choose a smaller one");
            return Err(Error::new(ErrorKind::Usage, text));
        }
        let slots: SmallVec<[u32; 1]> = reset.rows.iter().map(|(slot, _)| *slot).collect();
        self.request(Call::Reset, &slots)?.begin(out);
        reset.put(&mut Writer(out));
        Ok(())
    }

    /// Command: take an action in each of `slots`. The payload with the actions is for the caller to append.
    pub fn step(&mut self, slots: &[u32], out: &mut Vec<u8>) -> Result<()> {
        self.request(Call::Step, slots)?.begin(out);
        put_request(&mut Writer(out), slots);
        Ok(())
    }

    /// Command: render `slots`.
    pub fn render(&mut self, slots: &[u32], out: &mut Vec<u8>) -> Result<()> {
        self.request(Call::Render, slots)?.begin(out);
        put_request(&mut Writer(out), slots);
        Ok(())
    }

    /// Command: get, set or call an attribute.
    pub fn attribute(&mut self, attribute: &Attribute, out: &mut Vec<u8>) -> Result<()> {
        let Attribute { slots, access, .. } = attribute;
        let check =
            |value: &Value, name: &str| value.check_held(name).map_err(|text| Error::new(ErrorKind::Usage, text));
        match access {
            Access::Get => {}
            Access::Set(values) if values.len() != slots.len() => {
                let text = format!("{} values for {} slots; give one for each", values.len(), slots.len());
                return Err(Error::new(ErrorKind::Usage, text));
            }
            Access::Set(values) => values.iter().try_for_each(|value| check(value, "value"))?,
            Access::Call(args, kwargs) => {
                args.iter().try_for_each(|value| check(value, "argument"))?;
                for (name, value) in &kwargs.0 {
                    let Some(name) = name.as_str() else {
                        return Err(Error::new(ErrorKind::Usage, "the name of a keyword argument is a string"));
                    };
                    check(value, name)?;
                }
            }
        }
        self.request(Call::Attribute, slots)?.begin(out);
        attribute.put(&mut Writer(out));
        Ok(())
    }

    /// Command: close the environment. The answer is [`AgentEvent::Closed`] or a failure.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.check_open()?;
        let header = self.numbering.next(Kind::Close, 0);
        self.state = State::Closing { request: header.seq };
        header.begin(out);
        EnvClose(SmallVec::new()).put(&mut Writer(out));
        Ok(())
    }

    /// Command: end the session.
    pub fn goodbye(&mut self, goodbye: &Goodbye, out: &mut Vec<u8>) -> Result<()> {
        if self.state == State::Over || (is(Mutant::CannotLeave) && self.state == State::Closed) {
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

    /// Input without a frame: gives up the answers to the requests under way.
    /// They can answer no later call; their slots are free again once they have arrived.
    pub fn give_up(&mut self) {
        for slot in &mut self.slots {
            if let Slot::Waiting { late, .. } = slot {
                *late = !is(Mutant::ForgetsTheDeadline);
            }
        }
    }

    /// The request under way in `slot`, and whether it was given up.
    pub fn waiting(&self, slot: u32) -> Option<(Call, bool)> {
        match self.slots.get(slot as usize) {
            Some(Slot::Waiting { call, late, .. }) => Some((*call, *late)),
            _ => None,
        }
    }

    /// Whether the episode of `slot` is over, and no request about it under way.
    pub(crate) fn is_done(&self, slot: u32) -> bool {
        self.slots.get(slot as usize) == Some(&Slot::Done)
    }

    /// Whether `slot` was never reset.
    pub(crate) fn needs_reset(&self, slot: u32) -> bool {
        self.slots.get(slot as usize) == Some(&Slot::Idle)
    }

    /// Number of the last frame received.
    pub fn received(&self) -> u64 {
        self.numbering.received()
    }

    /// Number of the last frame sent.
    pub fn last_sent(&self) -> u64 {
        self.numbering.last_sent()
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

    /// Whether there is an environment to ask.
    fn check_open(&self) -> Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::NoSpec | State::Making { .. } => {
                Err(Error::new(ErrorKind::Usage, "the environment is not made yet"))
            }
            State::Closing { .. } | State::Closed => {
                Err(Error::new(ErrorKind::Closed, "the environment is closed; open a new session"))
            }
            State::Over if is(Mutant::GoesOn) => Ok(()),
            State::Over => Err(over()),
        }
    }

    /// Claims `slots` for a request, or changes nothing.
    fn request(&mut self, call: Call, slots: &[u32]) -> Result<Header> {
        self.check_open()?;
        if slots.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "a request for no slot"));
        }
        let request = self.numbering.last_sent() + 1;
        for (i, slot) in slots.iter().enumerate() {
            match self.free(call, *slot, request) {
                Ok(before) => {
                    let asked = slots.len() as u32;
                    self.slots[*slot as usize] = Slot::Waiting { request, call, late: false, asked, before };
                }
                Err(error) => {
                    slots[..i].iter().for_each(|slot| self.restore(*slot));
                    return Err(error);
                }
            }
        }
        let kind = match call {
            Call::Reset => Kind::Reset,
            Call::Step => Kind::Step,
            Call::Render => Kind::Render,
            Call::Attribute => Kind::Attribute,
        };
        Ok(self.numbering.next(kind, 0))
    }

    /// What `slot` is, if `call` can be asked of it; `request` has claimed other slots already.
    fn free(&self, call: Call, slot: u32, request: u64) -> Result<Before> {
        let state = self.slots.get(slot as usize).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("there is no env slot {slot}; there are {}", self.slots.len()))
        })?;
        match state {
            Slot::Waiting { request: other, .. } if *other == request => {
                Err(Error::new(ErrorKind::Usage, format!("slot {slot} is named twice in one request")))
            }
            Slot::Waiting { call, late: true, .. } => Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "the answer to an earlier {call:?} is still to come; late() fetches it, reset() waits for it and \
                     drops it"
                ),
            )),
            Slot::Waiting { call, late: false, .. } => {
                Err(Error::new(ErrorKind::Busy, format!("{} is under way in slot {slot}", call.named())))
            }
            Slot::Idle if call == Call::Step => {
                Err(Error::new(ErrorKind::ResetNeeded, "Cannot call env.step() before calling env.reset()"))
            }
            Slot::Idle => Ok(Before::Idle),
            Slot::Ready => Ok(Before::Ready),
            Slot::Done => Ok(Before::Done),
            Slot::Unsure => Ok(Before::Unsure),
        }
    }

    /// Input: a frame arrived.
    pub fn handle<'f>(&mut self, frame: &'f [u8], limits: &Limits) -> Result<AgentEvent<'f>> {
        self.handle_into(&mut Spare::default(), frame, limits)
    }

    /// The same, into a list of `spare` if it has one.
    pub(crate) fn handle_into<'f>(
        &mut self,
        spare: &mut Spare,
        frame: &'f [u8],
        limits: &Limits,
    ) -> Result<AgentEvent<'f>> {
        if self.state == State::Over {
            return Err(over());
        }
        let result = self.on(spare, frame, limits);
        if result.is_err() {
            self.state = State::Over;
        }
        result
    }

    fn on<'f>(&mut self, spare: &mut Spare, frame: &'f [u8], limits: &Limits) -> Result<AgentEvent<'f>> {
        let mut reader = Reader::new(frame, 0, limits);
        let header = Header::read(&mut reader)?;
        self.numbering.receive(&header)?;
        match (Message::read_into(spare, header, reader)?, self.state) {
            (Message::Spec(spec), State::Making { request }) if header.re == request => {
                if spec.slots == 0 || spec.slots > limits.count {
                    return Err(Error::protocol(format!("the environment offers {} slots", spec.slots)));
                }
                self.slots = SmallVec::from_elem(Slot::Idle, spec.slots as usize);
                self.autoreset_mode = spec.autoreset_mode;
                self.state = State::Open;
                Ok(AgentEvent::Spec(spec))
            }
            (Message::Result(rows, payload), State::Open | State::Closing { .. } | State::Closed) => {
                let (call, late) = self.answered_by(&header, &rows)?;
                Ok(AgentEvent::Result { call, late, rows, payload })
            }
            (Message::Frames(frames), State::Open | State::Closing { .. } | State::Closed) => {
                let slots = frames.0.iter().map(|(slot, _)| *slot);
                let late = self.answered_without_rows(&header, Call::Render, slots)?;
                Ok(AgentEvent::Frames { late, frames })
            }
            (Message::Returned(returned), State::Open | State::Closing { .. } | State::Closed) => {
                let slots = returned.0.iter().map(|(slot, _)| *slot);
                let late = self.answered_without_rows(&header, Call::Attribute, slots)?;
                Ok(AgentEvent::Returned { late, returned })
            }
            (Message::Error(fault), _) if fault.fatal => {
                self.state = State::Over;
                Ok(AgentEvent::Over(fault.into_error().context("the peer ended the session")))
            }
            (Message::Error(fault), State::Making { request }) if header.re == request => {
                self.state = State::NoSpec;
                Ok(AgentEvent::Failed { call: None, late: false, fault })
            }
            (Message::Error(fault), State::Closing { request }) if header.re == request => {
                self.state = State::Closed;
                Ok(AgentEvent::Failed { call: None, late: false, fault })
            }
            (Message::Error(fault), State::Open | State::Closing { .. } | State::Closed) => {
                let waiting = self.slots.iter().find_map(|slot| match slot {
                    Slot::Waiting { request, call, late, .. } if *request == header.re => Some((*call, *late)),
                    _ => None,
                });
                let (call, late) = waiting.ok_or_else(|| illegal(&header))?;
                for slot in 0..self.slots.len() as u32 {
                    if matches!(self.slots[slot as usize], Slot::Waiting { request, .. } if request == header.re) {
                        self.restore(slot);
                        self.doubt(slot, call);
                    }
                }
                Ok(AgentEvent::Failed { call: Some(call), late, fault })
            }
            (Message::Closed(_), State::Closing { request }) if header.re == request => {
                self.state = State::Closed;
                Ok(AgentEvent::Closed)
            }
            (Message::Goodbye(goodbye), _) => {
                self.state = State::Over;
                let kind = match goodbye.code {
                    0 => ErrorKind::ConnectionLost,
                    code => ErrorKind::told(code),
                };
                Ok(AgentEvent::Over(Error::said(kind, "the environment's host said goodbye", &goodbye.message)))
            }
            _ => Err(illegal(&header)),
        }
    }

    /// Takes a Result: its slots have the answer to a reset or step.
    fn answered_by(&mut self, header: &Header, rows: &[Row]) -> Result<(Call, bool)> {
        let (rows, lasts) = rows.split_at(rows.iter().position(|row| row.last).unwrap_or(rows.len()));
        let Some(row) = rows.first() else { return Err(illegal(header)) };
        let (call, late) = self.asked(header.re, row.slot, rows.len())?;
        let mut lasts = lasts.iter();
        for row in rows {
            let before = self.answered(header.re, row.slot)?;
            let has_ended = row.terminated || row.truncated;
            let (is_first, has_last) = match (call, self.autoreset_mode) {
                (Call::Render | Call::Attribute, _) => return Err(illegal(header)),
                (Call::Reset, _) => (true, false),
                (Call::Step, AutoresetMode::Disabled) => (false, false),
                (Call::Step, AutoresetMode::NextStep) if before == Before::Unsure => (row.first, false),
                (Call::Step, AutoresetMode::NextStep) => (before == Before::Done, false),
                (Call::Step, AutoresetMode::SameStep) => (has_ended, has_ended),
            };
            let is_first = if is(Mutant::TakesAnyFirst) { row.first } else { is_first };
            if row.first != is_first || (is_first && has_ended && !has_last) {
                return Err(Error::protocol(format!("a row of slot {} whose flags do not fit the request", row.slot)));
            }
            let is_of = |last: &&Row| {
                let is_same = last.slot == row.slot || is(Mutant::TakesAnyLast);
                let came = |row: &Row| (row.reward.to_bits(), row.terminated, row.truncated);
                is_same && came(last) == came(row) && last.last && !last.first
            };
            if has_last && lasts.next().filter(is_of).is_none() {
                return Err(Error::protocol(format!("slot {} without the last row of its episode", row.slot)));
            }
            self.slots[row.slot as usize] = if has_ended && !is_first { Slot::Done } else { Slot::Ready };
        }
        match lasts.next() {
            None => Ok((call, late)),
            Some(row) => Err(Error::protocol(format!("the last row of an episode of slot {} that goes on", row.slot))),
        }
    }

    /// Takes the answer to a render or an attribute, about these slots. Returns whether it is late.
    fn answered_without_rows(
        &mut self,
        header: &Header,
        wanted: Call,
        slots: impl ExactSizeIterator<Item = u32> + Clone,
    ) -> Result<bool> {
        let Some(first) = slots.clone().next() else { return Err(illegal(header)) };
        let (call, late) = self.asked(header.re, first, slots.len())?;
        if call != wanted {
            return Err(illegal(header));
        }
        for slot in slots {
            self.answered(header.re, slot)?;
        }
        Ok(late)
    }

    /// The request `re`, of which an answer about `rows` slots names this one first, if it asked about as many.
    fn asked(&self, re: u64, slot: u32, rows: usize) -> Result<(Call, bool)> {
        match self.slots.get(slot as usize) {
            Some(Slot::Waiting { call, late, .. }) if is(Mutant::BelievesAnyReply) => Ok((*call, *late)),
            Some(Slot::Waiting { request, call, late, asked, .. }) if *request == re => {
                if rows < *asked as usize && !is(Mutant::TakesHalfAnAnswer) {
                    return Err(Error::protocol("a reply that leaves out slots of its request"));
                }
                Ok((*call, *late))
            }
            _ => Err(Error::protocol(format!("a reply about slot {slot}, which did not ask for it in frame {re}"))),
        }
    }

    /// Frees a slot that an answer to request `re` names; returns what it was before.
    fn answered(&mut self, re: u64, slot: u32) -> Result<Before> {
        match self.slots.get(slot as usize) {
            Some(Slot::Waiting { request, before, .. }) if *request == re || is(Mutant::BelievesAnyReply) => {
                let before = *before;
                self.restore(slot);
                Ok(before)
            }
            _ => Err(Error::protocol(format!("a reply about slot {slot}, which did not ask for it in frame {re}"))),
        }
    }

    /// Notes that `call` has failed in a slot, whose environment may have been reset or have ended its episode.
    fn doubt(&mut self, slot: u32, call: Call) {
        let slot = &mut self.slots[slot as usize];
        let may_reset = self.autoreset_mode == AutoresetMode::NextStep && !is(Mutant::IsSureAfterFailures);
        if may_reset && call.has_rows() && *slot != Slot::Idle {
            *slot = Slot::Unsure;
        }
    }

    /// Puts a slot back to what it was before its request.
    fn restore(&mut self, slot: u32) {
        if let Slot::Waiting { before, .. } = self.slots[slot as usize] {
            self.slots[slot as usize] = before.into();
        }
    }
}

fn illegal(header: &Header) -> Error {
    Error::protocol(format!("the environment's host sent {:?} out of turn", header.kind))
}
