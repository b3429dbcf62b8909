//! HostCore: a host's session with one agent and the frames that it keeps, for any loop to drive.

use super::session_report::SessionReport;
use crate::{
    env::render_modes,
    error::{EnvFailure, Error, ErrorKind, Result},
    host::Outcome,
    host_vector::VectorOutcome,
    offers::{Offers, keywords},
    session::{
        EnvEvent, EnvSession,
        retransmit::{LastFrame, RetransmitBuffer, ToRetransmit},
    },
    value::Value,
    wire::{Attribute, Frames, Goodbye, Limits, Make, Payload, Reset, Returned, Row, Slots, Spare, Spec, put_value},
};

/// Bytes of a row without its info.
const ROW: usize = 13;

/// The host's side of a session. What arrives is for [`take`](Self::take); a request is answered by the
/// method that has the name of its answer, which writes the [`head`](Self::head) of a frame. The caller has the body: the
/// observations.
#[derive(Debug)]
pub(in crate::endpoint) struct HostCore {
    session: EnvSession,
    head: Vec<u8>,
    /// The answers before the last that the agent may not have.
    kept: RetransmitBuffer,
    limits: Limits,
    tracebacks: bool,
    offers: Offers,
    pub(in crate::endpoint) report: SessionReport,
    /// What the agent asked for last, for people.
    last_request: &'static str,
    spare: Spare,
}

/// What a frame asks of the host.
#[derive(Debug)]
pub(in crate::endpoint) enum Request<'f> {
    /// To make an environment; answer with [`HostCore::spec`].
    Make(u64, Make),
    /// To start episodes; answer with [`HostCore::row`] or [`HostCore::rows`].
    Reset(u64, Reset),
    /// To take actions; answer with [`HostCore::row`] or [`HostCore::rows`].
    Step(u64, Slots, Payload<'f>),
    /// To draw frames; answer with [`HostCore::frames`].
    Render(u64, Slots),
    /// To get, set or call an attribute that is offered; answer with [`HostCore::returned`].
    Attribute(u64, Attribute),
    /// To close the environment; answer with [`HostCore::closed`].
    Close(u64),
    /// Nothing: it is refused already, and the answer is to be sent.
    Refused,
    /// Nothing: the agent ended the session.
    End(Error),
    /// Nothing: the agent broke the protocol. The answer is to be sent, then the session ends.
    Abort(Error),
}

impl HostCore {
    /// For a connection with these limits. `tracebacks`: whether those of errors are sent to the agent.
    pub(in crate::endpoint) fn new(limits: Limits, tracebacks: bool) -> Self {
        Self {
            session: EnvSession::new(),
            head: Vec::new(),
            kept: RetransmitBuffer::default(),
            limits,
            tracebacks,
            offers: Offers::default(),
            report: SessionReport::default(),
            last_request: "it has not begun yet",
            spare: Spare::default(),
        }
    }

    /// The same, of which agents may ask for more than the environment as it is.
    pub(in crate::endpoint) fn offering(self, offers: Offers) -> Self {
        Self { offers, ..self }
    }

    /// The bounds of the session.
    pub(in crate::endpoint) fn limits(&self) -> Limits {
        self.limits
    }

    /// What the agent asked for last, for people.
    pub(in crate::endpoint) fn last_request(&self) -> &'static str {
        self.last_request
    }

    /// The frame that was written last, without its body.
    pub(in crate::endpoint) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The number of the last frame that was received.
    pub(in crate::endpoint) fn received(&self) -> u64 {
        self.session.received()
    }

    /// The frames to send over a new connection whose other end has received the frames up to number `peer_received`.
    /// `body` is that of the last answer.
    pub(in crate::endpoint) fn to_retransmit<'a>(
        &'a self,
        body: &'a [u8],
        peer_received: u64,
    ) -> Result<ToRetransmit<'a>> {
        let last = LastFrame { number: self.session.last_sent(), head: &self.head, body };
        self.kept.last_frames(last, self.session.frames_to_retransmit(peer_received)?)
    }

    /// Call before the buffers of the last answer, whose body is `body`, serve for another: keeps what the agent may not
    /// have.
    pub(in crate::endpoint) fn retain(&mut self, body: &[u8]) {
        let last = LastFrame { number: self.session.last_sent(), head: &self.head, body };
        self.kept.retain_unacked(last, self.session.unacknowledged(), self.limits.frame);
    }

    /// Takes a frame. `body` is that of the last answer, whose place another one may take.
    pub(in crate::endpoint) fn take<'f>(&mut self, frame: &'f [u8], body: &[u8]) -> Request<'f> {
        let event = self.session.handle_into(&mut self.spare, frame, &self.limits);
        if let Ok(event) = &event {
            self.last_request = what_came(event);
        }
        self.retain(body);
        match event {
            // Programs that answer it themselves count on a dict.
            Ok(EnvEvent::Make { request, make }) => match keywords(&make.kwargs) {
                Ok(_) => Request::Make(request, make),
                Err(error) => self.refuse(request, error),
            },
            Ok(EnvEvent::Reset { request, reset }) => Request::Reset(request, reset),
            Ok(EnvEvent::Step { request, slots, payload }) => Request::Step(request, slots, payload),
            Ok(EnvEvent::Render { request, slots }) => Request::Render(request, slots),
            Ok(EnvEvent::Attribute { request, attribute }) => match self.offers.check_attribute(&attribute) {
                Ok(()) => Request::Attribute(request, attribute),
                Err(error) => self.refuse(request, error),
            },
            Ok(EnvEvent::Close { request }) => {
                self.report.closed();
                Request::Close(request)
            }
            Ok(EnvEvent::Refused { request, error }) => {
                self.session.refusal(request, &error, &mut self.head);
                Request::Refused
            }
            Ok(EnvEvent::Over(error)) => {
                self.report.goodbye(&error);
                Request::End(error)
            }
            Err(error) => {
                self.session.abort(&error, &mut self.head);
                Request::Abort(error)
            }
        }
    }

    /// Answers a request that is not carried out.
    fn refuse(&mut self, request: u64, error: Error) -> Request<'static> {
        match self.fail(request, error) {
            Ok(()) => Request::Refused,
            Err(error) => Request::End(error),
        }
    }

    /// Takes the slots of a step back, whose memory the next ones use again.
    pub(in crate::endpoint) fn reuse(&mut self, slots: Slots) {
        self.spare.slots = slots;
    }

    /// Whether the host offers what an agent asks for.
    pub(in crate::endpoint) fn check_offered(&self, make: &Make) -> Result<()> {
        self.offers.check(make)
    }

    /// Answers that the environment is made, with what agents may ask of it.
    pub(in crate::endpoint) fn spec(&mut self, spec: Spec) -> Result<()> {
        self.offers.check_attributes()?;
        let spec = Spec { attributes: self.offers.attributes.clone(), ..spec };
        self.limits.check_spec(&spec)?;
        self.session.spec(&spec, &mut self.head)
    }

    /// Answers a reset (`first`) or step of slot 0 with what stands in `outcome`, and an observation of so many bytes.
    /// Whether it is the first step of the session.
    pub(in crate::endpoint) fn row(
        &mut self,
        request: u64,
        first: bool,
        outcome: &Outcome,
        len: usize,
    ) -> Result<bool> {
        let values = if outcome.packed { &[][..] } else { &outcome.observation };
        self.check(len + outcome.info.len(), 1, &[&outcome.info, values])?;
        let Outcome { reward, packed, ref info, .. } = *outcome;
        // What a reset left there of the last step is not said of its row.
        let (terminated, truncated) = (outcome.terminated && !first, outcome.truncated && !first);
        let row = Row { slot: 0, first, last: false, terminated, truncated, reward, info: Value::None };
        self.answer(request, first, &[row], info, (packed, len))
    }

    /// Answers a reset (`first`) or step of any slots with what stands in `outcome`, and observations of so many bytes.
    /// Whether it is the first step of the session.
    pub(in crate::endpoint) fn rows(
        &mut self,
        request: u64,
        first: bool,
        outcome: &VectorOutcome,
        len: usize,
    ) -> Result<bool> {
        let VectorOutcome { rows, infos, packed, observations } = outcome;
        let values = if *packed { &[][..] } else { observations };
        self.check(len + infos.len() + rows.len() * ROW, rows.len(), &[infos, values])?;
        self.answer(request, first, rows, infos, (*packed, len))
    }

    /// Refuses an answer of so many bytes that does not fit a frame, or that has too many rows and values in it.
    fn check(&self, len: usize, rows: usize, values: &[&[u8]]) -> Result<()> {
        self.limits.fit(ErrorKind::Usage, "answer", len)?;
        self.limits.check_values(ErrorKind::Usage, "answer", rows, values)
    }

    fn answer(
        &mut self,
        request: u64,
        first: bool,
        rows: &[Row],
        infos: &[u8],
        payload: (bool, usize),
    ) -> Result<bool> {
        self.session.result(request, rows, infos, payload, &mut self.head)?;
        if first {
            self.report.reset();
        }
        Ok(!first && self.report.step())
    }

    /// Answers a render.
    pub(in crate::endpoint) fn frames(&mut self, request: u64, frames: &Frames) -> Result<()> {
        // Measured before it has a number, for a numbered message must be sent.
        self.head.clear();
        frames.0.iter().for_each(|(_, frame)| put_value(&mut self.head, frame));
        self.check(self.head.len() + frames.0.len() * size_of::<u32>(), 0, &[&self.head])?;
        self.session.frames(request, frames, &mut self.head)
    }

    /// Answers an attribute.
    pub(in crate::endpoint) fn returned(&mut self, request: u64, returned: &Returned) -> Result<()> {
        // Checked before it has a number, as frames are.
        let mut values = returned.0.iter().filter_map(|(_, value)| value.as_ref());
        let checked = values.try_for_each(|value| value.check_held("attribute"));
        checked.map_err(|text| EnvFailure::new("TypeError", text))?;
        self.head.clear();
        returned.0.iter().filter_map(|(_, value)| value.as_ref()).for_each(|value| put_value(&mut self.head, value));
        // A slot, and whether there is a value.
        self.check(self.head.len() + returned.0.len() * (size_of::<u32>() + 1), 0, &[&self.head])?;
        self.session.returned(request, returned, &mut self.head)
    }

    /// Answers that the environment is closed.
    pub(in crate::endpoint) fn closed(&mut self) -> Result<()> {
        self.session.closed(&mut self.head)
    }

    /// Answers that a request has failed. An error says that the session cannot go on.
    pub(in crate::endpoint) fn fail(&mut self, request: u64, error: Error) -> Result<()> {
        let error = match error.env_failure() {
            Some(failure) if !self.tracebacks => EnvFailure { traceback: String::new(), ..failure.clone() }.into(),
            _ => error,
        };
        self.session.fail(request, &error, &mut self.head)
    }

    /// Ends the session, unless it is over already.
    pub(in crate::endpoint) fn goodbye(&mut self, goodbye: &Goodbye) -> Result<()> {
        self.session.goodbye(goodbye, &mut self.head)
    }

    /// Ends the session, for what arrived is no frame.
    pub(in crate::endpoint) fn abort(&mut self, error: &Error) {
        self.session.abort(error, &mut self.head);
    }
}

/// Refuses a mode that is none of those that the environment declares. One that declares nothing judges itself.
pub(in crate::endpoint) fn check_render_mode(metadata: &Value, make: &Make) -> Result<()> {
    let (Some(mode), Some(declared)) = (&make.render_mode, render_modes(metadata)) else { return Ok(()) };
    if declared.contains(&mode.as_str()) {
        return Ok(());
    }
    let there_are = match &declared[..] {
        [] => "it declares none; leave render_mode out, or add the mode to its metadata".to_owned(),
        some => format!("it declares {some:?}; choose one of these"),
    };
    Err(Error::new(ErrorKind::Usage, format!("the environment does not render in mode {mode:?}; {there_are}")))
}

fn what_came(event: &EnvEvent<'_>) -> &'static str {
    match event {
        EnvEvent::Make { .. } => "the last was to make an environment",
        EnvEvent::Reset { .. } => "the last was a reset",
        EnvEvent::Step { .. } => "the last was a step",
        EnvEvent::Render { .. } => "the last was a render",
        EnvEvent::Attribute { .. } => "the last was about an attribute",
        EnvEvent::Refused { .. } => "the last was refused",
        EnvEvent::Close { .. } | EnvEvent::Over(_) => "the last was a goodbye",
    }
}
