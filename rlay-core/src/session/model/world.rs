//! The world of the model: the two sessions, their network, what the environment does, and what an onlooker has seen.

use super::{AGENT, Bounds, ENV, Lie, SLOTS, network::Network};
use crate::{
    error::ErrorKind,
    session::{AgentEvent, AgentSession, Call, EnvEvent, EnvSession},
    space::{Discrete, Space},
    value::{Map, Value},
    wire::{
        Access, Attribute, AutoresetMode, Frames, Goodbye, Header, Kind, Limits, Make, Reader, Reset, Returned, Row,
        Slots, Spec, payload_head, put_value,
    },
};

/// What the agent's user asked for and has not been answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) call: Call,
    pub(super) request: u64,
    pub(super) is_given_up: bool,
}

/// What the environment is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pub(super) call: Call,
    pub(super) request: u64,
    pub(super) slots: Vec<u32>,
    /// What came of a reset or step in each slot: whether it was reset, and whether its episode has ended.
    did: Vec<(bool, bool)>,
}

/// What the agent's user knows of a slot whose environment begins its next episode with the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Known {
    GoesOn,
    HasEnded,
    /// A request has failed, and what the environment did of it is not known.
    Unsure,
}

/// Both ends, what is on the way, and what an onlooker has seen.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) struct World {
    pub(super) agent: AgentSession,
    pub(super) env: EnvSession,
    pub(super) network: Network,
    pub(super) jobs: Vec<Job>,
    pub(super) asked: [Option<Asked>; SLOTS as usize],
    /// Of each slot, every call in order, by the number of its frame; and what the environment did.
    pub(super) sent: [Vec<(Call, u64)>; SLOTS as usize],
    pub(super) done: [Vec<(Call, u64)>; SLOTS as usize],
    mode: AutoresetMode,
    /// Whether the next step of a slot resets it; what its user knows of that.
    is_due: [bool; SLOTS as usize],
    known: [Known; SLOTS as usize],
    /// Steps whose row has reached the agent, or whose failure has.
    pub(super) rows: usize,
    /// The answers that the host gave.
    pub(super) answered: Vec<u64>,
    pub(super) last_down: Option<Vec<u8>>,
    pub(super) is_closing: bool,
    pub(super) is_closed: bool,
    pub(super) is_cut: bool,
    pub(super) is_disturbed: bool,
    pub(super) left: [u8; 5],
    pub(super) wrong: Vec<&'static str>,
}

pub(super) fn limits() -> Limits {
    Limits::default()
}

pub(super) fn number(frame: &[u8]) -> u64 {
    Header::read(&mut Reader::new(frame, 0, &limits())).expect("a frame of ours").seq
}

pub(super) fn goodbye() -> Goodbye {
    Goodbye { code: 0, message: String::new() }
}

impl World {
    /// After the environment was made: the beginning has no choices.
    pub(super) fn new(bounds: &Bounds) -> Self {
        let (mut agent, mut env, mut frame) = (AgentSession::new(), EnvSession::new(), vec![]);
        agent.make(&Make::default(), &mut frame).expect("first");
        env.handle(&frame, &limits()).expect("Make");
        let make = frame.clone();
        let space = Discrete::new(2).describe();
        let spec = Spec {
            env_id: String::new(),
            observation_space: space.clone(),
            action_space: space,
            slots: SLOTS,
            autoreset_mode: bounds.mode,
            render_mode: None,
            metadata: Map::new().into(),
            details: Map::new().into(),
            attributes: vec![],
        };
        env.spec(&spec, &mut frame).expect("answers Make");
        agent.handle(&frame, &limits()).expect("Spec");
        let received = [agent.received(), env.received()];
        let last = [(agent.last_sent(), make), (env.last_sent(), frame)];
        let network = Network::new(bounds.dialer, received, last, bounds.now);
        Self {
            agent,
            env,
            network,
            jobs: vec![],
            asked: Default::default(),
            sent: Default::default(),
            done: Default::default(),
            mode: bounds.mode,
            is_due: [false; SLOTS as usize],
            known: [Known::GoesOn; SLOTS as usize],
            rows: 0,
            answered: vec![],
            last_down: None,
            is_closing: false,
            is_closed: false,
            is_cut: false,
            is_disturbed: false,
            left: [bounds.calls, bounds.deadlines, bounds.failures, bounds.losses, bounds.overtaken],
            wrong: vec![],
        }
    }

    pub(super) fn is_wrong(&mut self, property: &'static str) {
        if !self.wrong.contains(&property) {
            self.wrong.push(property);
        }
    }

    /// The user calls, if the session takes it.
    pub(super) fn call(&mut self, call: Call, slots: &[u32]) -> Option<()> {
        let mut frame = vec![];
        self.retain_unacked(AGENT);
        match call {
            Call::Reset => {
                let rows = slots.iter().map(|slot| (*slot, None)).collect();
                let reset = Reset { rows, options: Value::None };
                self.agent.reset(&reset, &mut frame).ok()?;
            }
            Call::Step => {
                self.agent.step(slots, &mut frame).ok()?;
                payload_head(&mut frame, true, 0);
            }
            Call::Render => self.agent.render(slots, &mut frame).ok()?,
            Call::Attribute => {
                let attribute = Attribute { slots: slots.into(), name: "gravity".into(), access: Access::Get };
                self.agent.attribute(&attribute, &mut frame).ok()?;
            }
        }
        let request = number(&frame);
        self.left[0] -= 1;
        for slot in slots {
            self.sent[*slot as usize].push((call, request));
            self.asked[*slot as usize] = Some(Asked { call, request, is_given_up: false });
        }
        self.say(AGENT, frame);
        Some(())
    }

    /// The host takes a frame.
    pub(super) fn up(&mut self, frame: &[u8]) {
        if self.env.is_over() {
            return; // frames are not read any more
        }
        let limits = limits();
        let (call, request, slots): (_, _, Slots) = match self.env.handle(frame, &limits) {
            Ok(EnvEvent::Reset { request, reset }) => {
                (Call::Reset, request, reset.rows.iter().map(|(slot, _)| *slot).collect())
            }
            Ok(EnvEvent::Step { request, slots, .. }) => (Call::Step, request, slots),
            Ok(EnvEvent::Render { request, slots }) => (Call::Render, request, slots),
            Ok(EnvEvent::Attribute { request, attribute }) => (Call::Attribute, request, attribute.slots),
            Ok(EnvEvent::Close { .. }) => {
                let mut out = vec![];
                self.retain_unacked(ENV);
                self.env.closed(&mut out).expect("it was asked to");
                return self.reply(out);
            }
            Ok(EnvEvent::Refused { request, error }) => {
                // Closing while something is under way is what a user may do.
                if !self.is_closing {
                    self.is_wrong("P8");
                }
                let mut out = vec![];
                self.retain_unacked(ENV);
                self.env.refusal(request, &error, &mut out);
                return self.reply(out);
            }
            Ok(EnvEvent::Make { .. } | EnvEvent::Over(_)) => return,
            Err(error) => {
                if !self.is_disturbed {
                    self.is_wrong("P8");
                }
                if error.kind() == ErrorKind::Protocol {
                    let mut out = vec![];
                    self.retain_unacked(ENV);
                    self.env.abort(&error, &mut out);
                    self.reply(out);
                }
                return;
            }
        };
        // The environment acts when it is asked; how long that takes is up to it.
        for slot in slots.iter().map(|slot| *slot as usize) {
            self.done[slot].push((call, request));
            let (done, sent) = (&self.done[slot], &self.sent[slot]);
            let numbers = |calls: &[(Call, u64)]| calls.iter().map(|(_, number)| *number).collect::<Vec<_>>();
            if !numbers(sent).starts_with(&numbers(done)) {
                self.is_wrong("P1");
            }
            if self.sent[slot].iter().any(|(asked, number)| *number == request && *asked != call) {
                self.is_wrong("P7");
            }
        }
        let did = slots.iter().map(|slot| self.act(call, request, *slot)).collect();
        self.jobs.push(Job { call, request, slots: slots.to_vec(), did });
    }

    /// An environment acts: whether it was reset, and whether its episode has ended.
    fn act(&mut self, call: Call, request: u64, slot: u32) -> (bool, bool) {
        let is_due = &mut self.is_due[slot as usize];
        match call {
            Call::Reset => {
                *is_due = false;
                (true, false)
            }
            Call::Step if std::mem::take(is_due) => (true, false),
            Call::Step => {
                let has_ended = (request + u64::from(slot)).is_multiple_of(3);
                *is_due = has_ended && self.mode == AutoresetMode::NextStep;
                (has_ended && self.mode == AutoresetMode::SameStep, has_ended)
            }
            Call::Render | Call::Attribute => (false, false),
        }
    }

    pub(super) fn reply(&mut self, frame: Vec<u8>) {
        if !frame.is_empty() {
            self.say(ENV, frame);
        }
    }

    /// Before a side writes another frame.
    pub(super) fn retain_unacked(&mut self, side: usize) {
        let unacknowledged = if side == AGENT { self.agent.unacknowledged() } else { self.env.unacknowledged() };
        self.network.retain_unacked(side, unacknowledged);
    }

    pub(super) fn say(&mut self, side: usize, frame: Vec<u8>) {
        if !self.is_cut {
            self.network.send(side, number(&frame), frame);
        }
    }

    /// A side receives a frame, if its connection still counts.
    pub(super) fn receive(&mut self, side: usize) -> Option<Vec<u8>> {
        let received = if side == AGENT { self.agent.received() } else { self.env.received() };
        self.network.receive(side, received)
    }

    /// A side goes on over another connection, if there is one.
    pub(super) fn go_on(&mut self, side: usize) -> Option<()> {
        let gone_on = match side {
            AGENT => self.network.go_on(side, |received| self.agent.frames_to_retransmit(received)),
            _ => self.network.go_on(side, |received| self.env.frames_to_retransmit(received)),
        };
        if let Err(property) = gone_on? {
            self.is_wrong(property);
        }
        Some(())
    }

    /// A Hello reaches the listener.
    pub(super) fn welcome(&mut self, hello: usize) {
        let is_over = if self.network.dialer == AGENT { self.env.is_over() } else { self.agent.is_over() };
        if is_over {
            return self.cut(); // there is no such session any more
        }
        self.network.welcome(hello);
    }

    /// The connection is gone for good, and both ends know.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
        self.network.cut();
        // As both ends do when their channel fails.
        let mut nowhere = vec![];
        let _ = self.agent.goodbye(&goodbye(), &mut nowhere);
        let _ = self.env.goodbye(&goodbye(), &mut nowhere);
        self.asked.iter_mut().for_each(|asked| *asked = None); // every call has failed
        self.jobs.clear();
    }

    /// The host answers; the observation tells which request it is for. The rows are not in the order of the request.
    pub(super) fn answer(&mut self, job: &Job, lie: Option<Lie>) {
        let mut out = vec![];
        self.retain_unacked(ENV);
        let answered = match job.call {
            Call::Render => {
                let mut frames: Frames = Frames(job.slots.iter().rev().map(|slot| (*slot, Value::None)).collect());
                if lie == Some(Lie::LeavesOutASlot) {
                    frames.0.pop();
                }
                self.env.frames(job.request, &frames, &mut out)
            }
            Call::Attribute => {
                let mut returned = Returned(job.slots.iter().rev().map(|slot| (*slot, None)).collect());
                if lie == Some(Lie::LeavesOutASlot) {
                    returned.0.pop();
                }
                self.env.returned(job.request, &returned, &mut out)
            }
            call => {
                let rows = rows(call, job, lie);
                let mut infos = vec![];
                rows.iter().for_each(|row| put_value(&mut infos, &row.info));
                let answered = self.env.result(job.request, &rows, &infos, (true, 1), &mut out);
                if !out.is_empty() {
                    out.push(job.request as u8);
                }
                answered
            }
        };
        if answered.is_ok() {
            if self.answered.contains(&job.request) {
                self.is_wrong("P4");
            }
            self.answered.push(job.request);
            self.reply(out);
        }
    }

    /// The agent takes a frame.
    pub(super) fn down(&mut self, frame: &[u8]) {
        if self.agent.is_over() {
            return; // frames are not read any more
        }
        let limits = limits();
        let (call, late, slots, request): (_, _, Vec<u32>, _) = match self.agent.handle(frame, &limits) {
            Ok(AgentEvent::Result { call, late, rows, payload }) => {
                self.hear(call, &rows);
                let slots: Vec<u32> = rows.iter().filter(|row| !row.last).map(|row| row.slot).collect();
                self.rows += if call == Call::Step { slots.len() } else { 0 };
                (call, late, slots, Some(u64::from(frame[payload.reader.position()])))
            }
            Ok(AgentEvent::Frames { late, frames }) => {
                (Call::Render, late, frames.0.iter().map(|(slot, _)| *slot).collect(), None)
            }
            Ok(AgentEvent::Returned { late, returned }) => {
                (Call::Attribute, late, returned.0.iter().map(|(slot, _)| *slot).collect(), None)
            }
            Ok(AgentEvent::Failed { call: Some(call), late, .. }) => {
                // Whose it is, the session has checked by the number.
                let re = Header::read(&mut Reader::new(frame, 0, &limits)).expect("a frame of ours").re;
                let is_it = |asked: &Option<Asked>| asked.as_ref().is_some_and(|asked| asked.request == re);
                let slots: Vec<u32> = (0..SLOTS).filter(|slot| is_it(&self.asked[*slot as usize])).collect();
                if slots.is_empty() {
                    return self.is_wrong("P2");
                }
                if call.has_rows() && self.mode == AutoresetMode::NextStep {
                    slots.iter().for_each(|slot| self.known[*slot as usize] = Known::Unsure);
                }
                self.rows += if call == Call::Step { slots.len() } else { 0 };
                (call, late, slots, Some(re))
            }
            Ok(AgentEvent::Closed | AgentEvent::Failed { call: None, .. }) => {
                self.is_closed = true;
                return;
            }
            Ok(AgentEvent::Over(_) | AgentEvent::Spec(_)) => return,
            Err(error) => {
                if !self.is_disturbed {
                    self.is_wrong("P8");
                }
                let mut out = vec![];
                self.retain_unacked(AGENT);
                self.agent.abort(&error, &mut out);
                self.say(AGENT, out);
                return;
            }
        };
        for slot in slots {
            match self.asked[slot as usize].take() {
                Some(asked) => {
                    if asked.call != call || request.is_some_and(|request| request != asked.request) {
                        self.is_wrong("P2");
                    }
                    if asked.is_given_up != late {
                        self.is_wrong("P5");
                    }
                }
                None => self.is_wrong("P2"),
            }
        }
    }

    /// Compares rows that the agent has taken with what its user knows: where the env begins episodes by itself, the
    /// user sees each of them begin, and the end of the one before.
    fn hear(&mut self, call: Call, rows: &[Row]) {
        for row in rows.iter().filter(|row| !row.last) {
            let has_ended = row.terminated || row.truncated;
            let lasts = rows.iter().filter(|last| last.last && last.slot == row.slot).count();
            let has_last = call == Call::Step && has_ended && self.mode == AutoresetMode::SameStep;
            let known = &mut self.known[row.slot as usize];
            let is_first = match (call, self.mode) {
                (Call::Reset, _) => true,
                (_, AutoresetMode::Disabled) => false,
                (_, AutoresetMode::NextStep) if *known == Known::Unsure => row.first,
                (_, AutoresetMode::NextStep) => *known == Known::HasEnded,
                (_, AutoresetMode::SameStep) => has_ended,
            };
            if self.mode == AutoresetMode::NextStep {
                *known = if has_ended { Known::HasEnded } else { Known::GoesOn };
            }
            if row.first != is_first || lasts != usize::from(has_last) {
                self.is_wrong("P10");
            }
        }
    }

    /// How many may act next on a slot; always one, while nothing has gone wrong.
    pub(super) fn holders(&self, slot: u32) -> usize {
        let Some(asked) = &self.asked[slot as usize] else {
            return usize::from(self.agent.waiting(slot).is_none());
        };
        let is_about = |frame: &&Vec<u8>, re: bool| {
            let header = Header::read(&mut Reader::new(frame, 0, &limits())).expect("a frame of ours");
            asked.request == if re { header.re } else { header.seq } && header.kind != Kind::Goodbye
        };
        let up = self.network.on_the_way(ENV).filter(|frame| is_about(frame, false)).count();
        let down = self.network.on_the_way(AGENT).filter(|frame| is_about(frame, true)).count();
        up + usize::from(self.env.owes(slot)) + down
    }

    /// Whether all is on its way that was sent.
    pub(super) fn is_whole(&self) -> bool {
        self.network.is_whole()
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_cut || self.agent.is_over() || self.env.is_over()
    }
}

impl World {
    /// How many steps a frame on the way to the agent answers.
    pub(super) fn steps_answered_by(&self, frame: &[u8]) -> usize {
        let re = Header::read(&mut Reader::new(frame, 0, &limits())).expect("a frame of ours").re;
        self.sent.iter().flatten().filter(|call| **call == (Call::Step, re)).count()
    }
}

/// The rows that answer `call`, or those of a host that lies.
fn rows(call: Call, job: &Job, lie: Option<Lie>) -> Vec<Row> {
    let acts = job.slots.iter().zip(&job.did).rev();
    let row = |(slot, (was_reset, has_ended)): (&u32, &(bool, bool))| Row {
        slot: *slot,
        first: *was_reset,
        last: false,
        terminated: *has_ended,
        truncated: false,
        reward: 0.0,
        info: Map::new().into(),
    };
    let mut rows: Vec<Row> = acts.map(row).collect();
    let ended = rows.iter().filter(|row| row.first && row.terminated && call == Call::Step);
    let mut lasts: Vec<Row> = ended.map(|row| Row { first: false, last: true, ..row.clone() }).collect();
    match lie {
        Some(Lie::LeavesOutASlot) => drop(rows.pop()),
        Some(Lie::NamesAnotherSlot) => lasts.iter_mut().for_each(|row| row.slot = SLOTS - 1 - row.slot),
        Some(Lie::HidesTheReset) => rows.iter_mut().for_each(|row| row.first = false),
        None => {}
    }
    [rows, lasts].concat()
}

impl Job {
    /// Whether an answer to this can be wrong in this way.
    pub(super) fn allows(&self, lie: Lie) -> bool {
        let rows = || rows(self.call, self, None);
        match lie {
            Lie::LeavesOutASlot => self.slots.len() > 1,
            Lie::NamesAnotherSlot => self.call == Call::Step && rows().iter().any(|row| row.last),
            Lie::HidesTheReset => self.call == Call::Step && rows().iter().any(|row| row.first),
        }
    }
}
