//! The world of the model: the two sessions, their network, what the environment does, and what an onlooker has seen.

use super::{AGENT, Bounds, ENV, SLOTS, network::Network};
use crate::{
    error::ErrorKind,
    session::{AgentEvent, AgentSession, Call, EnvEvent, EnvSession},
    space::{Discrete, Space},
    value::{Map, Value},
    wire::{
        AutoresetMode, Frames, Goodbye, Header, Kind, Limits, Make, Reader, Reset, Row, Spec, payload_head, put_value,
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
    pub(super) slot: u32,
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
            autoreset_mode: AutoresetMode::Disabled,
            render_mode: None,
            metadata: Map::new().into(),
            details: Map::new().into(),
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
    pub(super) fn call(&mut self, call: Call, slot: u32) -> Option<()> {
        let mut frame = vec![];
        self.retain_unacked(AGENT);
        match call {
            Call::Reset => {
                let reset = Reset { rows: [(slot, None)].into_iter().collect(), options: Value::None };
                self.agent.reset(&reset, &mut frame).ok()?;
            }
            Call::Step => {
                self.agent.step(&[slot], &mut frame).ok()?;
                payload_head(&mut frame, true, 0);
            }
            Call::Render => self.agent.render(&[slot], &mut frame).ok()?,
        }
        let request = number(&frame);
        self.left[0] -= 1;
        self.sent[slot as usize].push((call, request));
        self.asked[slot as usize] = Some(Asked { call, request, is_given_up: false });
        self.say(AGENT, frame);
        Some(())
    }

    /// The host takes a frame.
    pub(super) fn up(&mut self, frame: &[u8]) {
        if self.env.is_over() {
            return; // frames are not read any more
        }
        let limits = limits();
        let job = match self.env.handle(frame, &limits) {
            Ok(EnvEvent::Reset { request, reset }) => Job { call: Call::Reset, request, slot: reset.rows[0].0 },
            Ok(EnvEvent::Step { request, slots, .. }) => Job { call: Call::Step, request, slot: slots[0] },
            Ok(EnvEvent::Render { request, slots }) => Job { call: Call::Render, request, slot: slots[0] },
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
        let slot = job.slot as usize;
        self.done[slot].push((job.call, job.request));
        let (done, sent) = (&self.done[slot], &self.sent[slot]);
        let numbers = |calls: &[(Call, u64)]| calls.iter().map(|(_, number)| *number).collect::<Vec<_>>();
        if !numbers(sent).starts_with(&numbers(done)) {
            self.is_wrong("P1");
        }
        if self.sent[slot].iter().any(|(call, number)| *number == job.request && *call != job.call) {
            self.is_wrong("P7");
        }
        self.jobs.push(job);
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

    /// The host answers; the observation tells which request it is for.
    pub(super) fn answer(&mut self, job: &Job) {
        let mut out = vec![];
        self.retain_unacked(ENV);
        let answered = match job.call {
            Call::Render => {
                let frames = Frames(vec![(job.slot, Value::None)].into_iter().collect());
                self.env.frames(job.request, &frames, &mut out)
            }
            call => {
                let row = Row {
                    slot: job.slot,
                    first: call == Call::Reset,
                    last: false,
                    terminated: job.request.is_multiple_of(3),
                    truncated: false,
                    reward: 0.0,
                    info: Map::new().into(),
                };
                let mut info = vec![];
                put_value(&mut info, &Value::Dict(Map::new()));
                let answered = self.env.result(job.request, &[row], &info, (true, 1), &mut out);
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
        let (call, late, slot, request) = match self.agent.handle(frame, &limits) {
            Ok(AgentEvent::Result { call, late, rows, payload }) => {
                self.rows += usize::from(!rows[0].first);
                (call, late, rows[0].slot, Some(u64::from(frame[payload.reader.position()])))
            }
            Ok(AgentEvent::Frames { late, frames }) => (Call::Render, late, frames.0[0].0, None),
            Ok(AgentEvent::Failed { call: Some(call), late, .. }) => {
                // Whose it is, the session has checked by the number.
                let re = Header::read(&mut Reader::new(frame, 0, &limits)).expect("a frame of ours").re;
                let is_it = |asked: &Option<Asked>| asked.as_ref().is_some_and(|asked| asked.request == re);
                let Some(slot) = self.asked.iter().position(is_it) else { return self.is_wrong("P2") };
                self.rows += usize::from(call == Call::Step);
                (call, late, slot as u32, Some(re))
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
    pub(super) fn is_of_a_step(&self, frame: &[u8]) -> bool {
        let re = Header::read(&mut Reader::new(frame, 0, &limits())).expect("a frame of ours").re;
        self.sent.iter().flatten().any(|call| *call == (Call::Step, re))
    }
}
