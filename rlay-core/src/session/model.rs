//! A model checker's tests: the two sessions themselves, in every order that calls, answers, deadlines, failures, lost
//! connections and those that follow them, a cut, a repeated frame and a lying host can come in.
//!
//! The properties have the names of the specification of the protocol: P1 to P8 say that nothing wrong happens, L1 to
//! L4 that what should happen does. For each there is a [`Mutant`] which breaks it, and which is found.

use std::collections::VecDeque;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{
    AgentEvent, AgentSession, Call, EnvEvent, EnvSession,
    mutant::{Mutant, tests::Wrong},
};
use crate::{
    error::{Error, ErrorKind},
    space::{Discrete, Space},
    value::{Map, Value},
    wire::{Frames, Goodbye, Header, Kind, Limits, Make, Reader, Reset, Row, Spec, payload_head, put_value},
};

const SLOTS: u32 = 2;

/// How much of each may happen, which is what makes the model finite.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    calls: u8,
    /// Deadlines that pass.
    deadlines: u8,
    /// Calls of the environment that fail.
    failures: u8,
    /// Connections that may be lost, after which the dialer comes back.
    losses: u8,
    /// Handshakes with which it came back that may arrive once more, after later ones.
    overtaken: u8,
    /// Which side dials.
    dialer: usize,
    /// Whether the connection may be cut for good.
    cut: bool,
    /// Whether the network may deliver a frame a second time.
    repeat: bool,
    /// Whether the host may send an answer a second time, as if it were a new one.
    lie: bool,
}

/// What the agent's user asked for and has not been answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    call: Call,
    request: u64,
    is_given_up: bool,
}

/// What the environment is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    call: Call,
    request: u64,
    slot: u32,
}

/// The two sides, as indices.
const AGENT: usize = 0;
const ENV: usize = 1;

/// The connection, as the two ends see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Line {
    /// The dialer has lost it, and the listener may not know.
    is_away: bool,
    /// For each side that is yet to go on over a new one: what the other has received.
    heard: [Option<u64>; 2],
    /// What the dialer said it had received when it first came back.
    old: Option<u64>,
}

/// Both ends, what is on the way, and what an onlooker has seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    agent: AgentSession,
    env: EnvSession,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    line: Line,
    /// What each side has sent.
    kept: [Vec<Vec<u8>>; 2],
    jobs: Vec<Job>,
    asked: [Option<Asked>; SLOTS as usize],
    /// Of each slot, every call in order, by the number of its frame; and what the environment did.
    sent: [Vec<(Call, u64)>; SLOTS as usize],
    done: [Vec<(Call, u64)>; SLOTS as usize],
    /// Steps whose row has reached the agent, or whose failure has.
    rows: usize,
    /// The answers that the host gave.
    answered: Vec<u64>,
    last_down: Option<Vec<u8>>,
    is_closing: bool,
    is_closed: bool,
    is_cut: bool,
    is_disturbed: bool,
    left: [u8; 5],
    wrong: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq)]
enum Act {
    Call(Call, u32),
    Deadline,
    Close,
    Leave,
    Up,
    Down,
    Answer(usize),
    AnswerAgain(usize),
    Fail(usize),
    /// The dialer's connection is gone, with all that was on the way to it.
    Lose,
    /// The dialer has shaken hands anew: what is still on the way from it is void.
    Meet,
    /// A side sends over the new connection what was lost with the old one.
    GoOn(usize),
    /// An old handshake of the dialer arrives only now: the listener leaves the connection it has for one that is dead.
    Overtake,
    Cut,
    RepeatUp,
    RepeatDown,
    Lie,
}

fn limits() -> Limits {
    Limits::default()
}

fn number(frame: &[u8]) -> u64 {
    Header::read(&mut Reader::new(frame, 0, &limits())).expect("a frame of ours").seq
}

fn goodbye() -> Goodbye {
    Goodbye { code: 0, message: String::new() }
}

impl World {
    /// After the environment was made: the beginning has no choices.
    fn new(bounds: &Bounds) -> Self {
        let (mut agent, mut env, mut frame) = (AgentSession::new(), EnvSession::new(), vec![]);
        agent.make(&Make::default(), &mut frame).expect("first");
        env.handle(&frame, &limits()).expect("Make");
        let space = Discrete::new(2).describe();
        let spec = Spec {
            env_id: String::new(),
            observation_space: space.clone(),
            action_space: space,
            slots: SLOTS,
            render_mode: None,
            metadata: Map::new().into(),
            details: Map::new().into(),
        };
        env.spec(&spec, &mut frame).expect("answers Make");
        agent.handle(&frame, &limits()).expect("Spec");
        Self {
            agent,
            env,
            up: VecDeque::new(),
            down: VecDeque::new(),
            line: Line::default(),
            kept: Default::default(),
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

    fn is_wrong(&mut self, property: &'static str) {
        if !self.wrong.contains(&property) {
            self.wrong.push(property);
        }
    }

    /// The user calls, if the session takes it.
    fn call(&mut self, call: Call, slot: u32) -> Option<()> {
        let mut frame = vec![];
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
    fn up(&mut self, frame: &[u8]) {
        if self.env.is_over() {
            return; // nobody reads any more
        }
        let limits = limits();
        let job = match self.env.handle(frame, &limits) {
            Ok(EnvEvent::Reset { request, reset }) => Job { call: Call::Reset, request, slot: reset.rows[0].0 },
            Ok(EnvEvent::Step { request, slots, .. }) => Job { call: Call::Step, request, slot: slots[0] },
            Ok(EnvEvent::Render { request, slots }) => Job { call: Call::Render, request, slot: slots[0] },
            Ok(EnvEvent::Close { .. }) => {
                let mut out = vec![];
                self.env.closed(&mut out).expect("it was asked to");
                return self.reply(out);
            }
            Ok(EnvEvent::Refused { request, error }) => {
                // Closing while something is under way is what a user may do.
                if !self.is_closing {
                    self.is_wrong("P8");
                }
                let mut out = vec![];
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

    fn reply(&mut self, frame: Vec<u8>) {
        if !frame.is_empty() {
            self.say(ENV, frame);
        }
    }

    fn say(&mut self, side: usize, frame: Vec<u8>) {
        if !self.is_cut && !self.line.is_away && self.line.heard[side].is_none() {
            let queue = if side == AGENT { &mut self.up } else { &mut self.down };
            queue.push_back(frame.clone());
        }
        self.kept[side].push(frame);
    }

    /// Whether a side reads what comes to it.
    fn listens(&self, side: usize, dialer: usize) -> bool {
        self.line.heard[side].is_none() && !(self.line.is_away && side == dialer)
    }

    /// The connection is gone for good, and both ends know.
    fn cut(&mut self) {
        self.is_cut = true;
        self.up.clear();
        self.down.clear();
        // As both ends do when their channel fails.
        let mut nowhere = vec![];
        let _ = self.agent.goodbye(&goodbye(), &mut nowhere);
        let _ = self.env.goodbye(&goodbye(), &mut nowhere);
        self.asked.iter_mut().for_each(|asked| *asked = None); // every call has failed
        self.jobs.clear();
    }

    fn meet(&mut self, dialer: usize) {
        let (queue, is_over) =
            if dialer == AGENT { (&mut self.up, self.env.is_over()) } else { (&mut self.down, self.agent.is_over()) };
        if is_over {
            return self.cut(); // there is no such session any more
        }
        queue.clear();
        self.line.is_away = false;
        self.line.heard = [Some(self.env.received()), Some(self.agent.received())];
        if self.left[4] > 0 {
            let said = if dialer == AGENT { self.agent.received() } else { self.env.received() };
            self.line.old.get_or_insert(said);
        }
    }

    fn overtake(&mut self, heard: u64, dialer: usize) {
        let (unheard, unacknowledged) = match dialer {
            AGENT => (self.env.unheard(heard), self.env.unacknowledged()),
            _ => (self.agent.unheard(heard), self.agent.unacknowledged()),
        };
        match unheard {
            Ok(unheard) if unheard > unacknowledged => self.is_wrong("P8"),
            Err(error) if error.kind() != ErrorKind::ConnectionLost => self.is_wrong("P8"),
            _ => {}
        }
        self.up.clear();
        self.down.clear();
        self.line.is_away = true;
    }

    fn go_on(&mut self, side: usize) {
        let Some(heard) = self.line.heard[side].take() else { return };
        let (unheard, unacknowledged) = match side {
            AGENT => (self.agent.unheard(heard), self.agent.unacknowledged()),
            _ => (self.env.unheard(heard), self.env.unacknowledged()),
        };
        let Ok(unheard) = unheard else { return self.is_wrong("P8") };
        // Nothing is wanted that was not kept.
        if unheard > unacknowledged {
            self.is_wrong("P8");
        }
        let kept = &self.kept[side];
        let again = kept[kept.len() - (unheard as usize).min(kept.len())..].to_vec();
        if !self.line.is_away {
            let queue = if side == AGENT { &mut self.up } else { &mut self.down };
            queue.extend(again);
        }
    }

    /// The host answers; the observation tells which request it is for.
    fn answer(&mut self, job: &Job) {
        let mut out = vec![];
        let answered = match job.call {
            Call::Render => {
                let frames = Frames(vec![(job.slot, Value::None)].into_iter().collect());
                self.env.frames(job.request, &frames, &mut out)
            }
            call => {
                let row = Row {
                    slot: job.slot,
                    first: call == Call::Reset,
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
    fn down(&mut self, frame: &[u8]) {
        if self.agent.is_over() {
            return; // nobody reads any more
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

    /// Who may act next on a slot; always one, while nothing has gone wrong.
    fn holders(&self, slot: u32) -> usize {
        let Some(asked) = &self.asked[slot as usize] else {
            return usize::from(self.agent.waiting(slot).is_none());
        };
        let is_about = |frame: &&Vec<u8>, re: bool| {
            let header = Header::read(&mut Reader::new(frame, 0, &limits())).expect("a frame of ours");
            asked.request == if re { header.re } else { header.seq } && header.kind != Kind::Goodbye
        };
        let up = self.up.iter().filter(|frame| is_about(frame, false)).count();
        let down = self.down.iter().filter(|frame| is_about(frame, true)).count();
        up + usize::from(self.env.owes(slot)) + down
    }

    /// Whether all is on its way that was sent.
    fn is_whole(&self) -> bool {
        !self.line.is_away && self.line.heard == [None; 2]
    }

    fn is_over(&self) -> bool {
        self.is_cut || self.agent.is_over() || self.env.is_over()
    }
}

impl Model for Bounds {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        let calls = [Call::Reset, Call::Step, Call::Render];
        if world.left[0] > 0 && !world.is_closing {
            acts.extend((0..SLOTS).flat_map(|slot| calls.map(|call| Act::Call(call, slot))));
        }
        let waits = |given_up| world.asked.iter().flatten().any(|asked| asked.is_given_up == given_up);
        if world.left[1] > 0 && waits(false) && !world.is_over() {
            acts.push(Act::Deadline);
        }
        // As `Agent::close` does: only when nobody waits for an answer.
        if !world.is_closing && !waits(false) && !world.is_over() {
            acts.push(Act::Close);
        }
        if world.is_closed || world.agent.is_over() && !world.env.is_over() {
            acts.push(Act::Leave);
        }
        if !world.up.is_empty() && world.listens(ENV, self.dialer) {
            acts.push(Act::Up);
        }
        if !world.down.is_empty() && world.listens(AGENT, self.dialer) {
            acts.push(Act::Down);
        }
        if world.left[3] > 0 && !world.is_over() && !world.line.is_away {
            acts.push(Act::Lose);
        }
        if world.left[4] > 0 && world.line.old.is_some() && world.is_whole() && !world.is_over() {
            acts.push(Act::Overtake);
        }
        let dialer_is_over = if self.dialer == AGENT { world.agent.is_over() } else { world.env.is_over() };
        if world.line.is_away && !dialer_is_over && !world.is_cut {
            acts.push(Act::Meet);
        }
        acts.extend((AGENT..=ENV).filter(|side| world.line.heard[*side].is_some()).map(Act::GoOn));
        for job in 0..world.jobs.len() {
            acts.push(Act::Answer(job));
            if world.left[2] > 0 {
                acts.push(Act::Fail(job));
            }
            if world.answered.is_empty() && world.jobs[job].call != Call::Render {
                acts.push(Act::AnswerAgain(job));
            }
        }
        if self.cut && !world.is_over() {
            acts.push(Act::Cut);
        }
        if self.repeat && !world.is_disturbed {
            acts.extend([Act::RepeatUp, Act::RepeatDown]);
        }
        if self.lie && !world.is_disturbed && world.last_down.is_some() && !world.is_over() {
            acts.push(Act::Lie);
        }
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        match act {
            Act::Call(call, slot) => world.call(call, slot)?,
            Act::Deadline => {
                world.left[1] -= 1;
                world.agent.give_up();
                world.asked.iter_mut().flatten().for_each(|asked| asked.is_given_up = true);
            }
            Act::Close => {
                let mut frame = vec![];
                world.agent.close(&mut frame).ok()?;
                world.is_closing = true;
                world.say(AGENT, frame);
            }
            Act::Leave => {
                let mut frame = vec![];
                world.agent.goodbye(&goodbye(), &mut frame).ok()?;
                world.say(AGENT, frame);
            }
            Act::Up => {
                let frame = world.up.pop_front()?;
                world.up(&frame);
            }
            Act::Down => {
                let frame = world.down.pop_front()?;
                world.last_down = Some(frame.clone());
                world.down(&frame);
            }
            Act::Answer(job) => {
                let job = world.jobs.remove(job);
                world.answer(&job);
            }
            Act::AnswerAgain(job) => {
                let job = world.jobs.remove(job);
                world.answer(&job);
                world.answer(&job);
            }
            Act::Fail(job) => {
                world.left[2] -= 1;
                let (job, mut out) = (world.jobs.remove(job), vec![]);
                if world.env.fail(job.request, &Error::new(ErrorKind::Env, "it failed"), &mut out).is_ok() {
                    world.answered.push(job.request);
                    world.reply(out);
                }
            }
            Act::Lose => {
                world.left[3] -= 1;
                world.line.is_away = true;
                world.line.heard[self.dialer] = None;
                if self.dialer == AGENT { world.down.clear() } else { world.up.clear() }
            }
            Act::Meet => world.meet(self.dialer),
            Act::Overtake => {
                world.left[4] -= 1;
                world.overtake(world.line.old?, self.dialer);
            }
            Act::GoOn(side) => world.go_on(side),
            Act::Cut => world.cut(),
            Act::RepeatUp => {
                world.is_disturbed = true;
                let frame = world.up.front()?.clone();
                world.up.push_front(frame);
            }
            Act::RepeatDown => {
                world.is_disturbed = true;
                let frame = world.down.front()?.clone();
                world.down.push_front(frame);
            }
            Act::Lie => {
                world.is_disturbed = true;
                let mut frame = world.last_down.clone()?;
                // The same answer under the next number (docs/wire.md, section 2).
                let next = number(&frame) + 1;
                frame[8..16].copy_from_slice(&next.to_le_bytes());
                world.down.push_front(frame);
            }
        }
        if !world.is_disturbed
            && !world.is_over()
            && world.is_whole()
            && (0..SLOTS).any(|slot| world.holders(slot) != 1)
        {
            world.is_wrong("P3");
        }
        let steps = |calls: &[Vec<(Call, u64)>]| calls.iter().flatten().filter(|(call, _)| *call == Call::Step).count();
        let on_the_way = world.jobs.iter().filter(|job| job.call == Call::Step).count()
            + world.down.iter().filter(|frame| world.is_of_a_step(frame)).count();
        if !world.is_disturbed && !world.is_over() && world.is_whole() && steps(&world.done) != world.rows + on_the_way
        {
            world.is_wrong("P6");
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![];
        macro_rules! never_wrong {
            ($($name:literal)*) => {
                $(all.push(Property::always($name, |_: &Self, world: &World| !world.wrong.contains(&$name)));)*
            };
        }
        never_wrong!("P1" "P2" "P3" "P4" "P5" "P6" "P7" "P8");
        all.extend([
            // Where nothing more happens, and the connection holds, every call has its answer.
            Property::always("L1", |model: &Self, world: &World| {
                !model.is_at_rest(world) || world.is_over() || world.asked.iter().all(Option::is_none)
            }),
            // Where it does not hold, every call has failed: none is taken that nobody would answer.
            Property::always("L2", |_: &Self, world: &World| !world.is_cut || world.asked.iter().all(Option::is_none)),
            // Whoever has closed is told so.
            Property::always("L3", |model: &Self, world: &World| {
                !model.is_at_rest(world) || !world.is_closing || world.is_closed || world.is_over()
            }),
            // It always comes to an end: everything on the way there is possible, so only the last states count.
            Property::always("L4", |model: &Self, world: &World| {
                !model.is_at_rest(world) || !world.is_closed || world.agent.is_over()
            }),
            // The checker gets somewhere at all.
            Property::sometimes("a late answer", |model: &Self, world: &World| {
                world.asked.iter().flatten().any(|asked| asked.is_given_up) && world.rows > 0 || model.deadlines == 0
            }),
            Property::sometimes("a step that was sent over two connections", |model: &Self, world: &World| {
                world.left[3] < model.losses && world.is_whole() && !world.is_over() && world.rows > 0
                    || model.losses == 0
            }),
            Property::sometimes("a good end", |_: &Self, world: &World| world.is_closed && world.env.is_over()),
        ]);
        all
    }
}

impl World {
    fn is_of_a_step(&self, frame: &[u8]) -> bool {
        let re = Header::read(&mut Reader::new(frame, 0, &limits())).expect("a frame of ours").re;
        self.sent.iter().flatten().any(|call| *call == (Call::Step, re))
    }
}

impl Bounds {
    /// Nothing more can happen but that the user goes on, or the world disturbs.
    fn is_at_rest(&self, world: &World) -> bool {
        let mut acts = vec![];
        self.actions(world, &mut acts);
        acts.retain(|act| {
            !matches!(act, Act::Call(..) | Act::Deadline | Act::Lose | Act::Overtake | Act::Cut | Act::Lie | Act::Close)
        });
        acts.into_iter().all(|act| self.next_state(world, act).is_none())
    }
}

/// Two slots; deadlines and failures, with and without a cut.
const PEACE: Bounds = Bounds {
    calls: 3,
    deadlines: 1,
    failures: 1,
    losses: 0,
    overtaken: 0,
    dialer: AGENT,
    cut: true,
    repeat: false,
    lie: false,
};
/// Connections that are lost while the agent dials, or the environment; of two, the second may be lost in the handshake.
const LOSSES: Bounds = Bounds { failures: 0, losses: 1, cut: false, ..PEACE };
const LOSSES_OF_ENV: Bounds = Bounds { calls: 2, deadlines: 0, losses: 2, dialer: ENV, ..LOSSES };
/// One that is lost, after which the handshake comes once more than it should.
const OVERTAKEN: Bounds = Bounds { deadlines: 0, overtaken: 1, ..LOSSES };
const OVERTAKEN_OF_ENV: Bounds = Bounds { dialer: ENV, ..OVERTAKEN };
/// A network that repeats, a host that lies.
const TROUBLE: Bounds = Bounds { failures: 0, cut: false, repeat: true, lie: true, ..PEACE };

#[allow(clippy::print_stderr)]
fn keep_every_property(bounds: Bounds) {
    let _right = Wrong::with(None);
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    eprintln!("{} states, {bounds:?}", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn the_sessions_keep_every_property_in_peace() {
    keep_every_property(PEACE);
}

#[test]
fn the_sessions_keep_every_property_when_connections_of_the_agent_are_lost() {
    keep_every_property(LOSSES);
}

#[test]
fn the_sessions_keep_every_property_when_connections_of_the_environment_are_lost() {
    keep_every_property(LOSSES_OF_ENV);
}

#[test]
fn the_sessions_keep_every_property_when_handshakes_are_overtaken() {
    keep_every_property(OVERTAKEN);
    keep_every_property(OVERTAKEN_OF_ENV);
}

#[test]
fn the_sessions_keep_every_property_in_trouble() {
    keep_every_property(TROUBLE);
}

#[test]
#[allow(clippy::print_stderr)]
fn whatever_breaks_a_property_is_found() {
    for (mutant, property, bounds) in [
        (Mutant::Repeats, "P1", TROUBLE),
        (Mutant::BelievesAnyReply, "P2", TROUBLE),
        (Mutant::ForgetsItsTurn, "P3", PEACE),
        (Mutant::AnswersTwice, "P4", PEACE),
        (Mutant::ForgetsTheDeadline, "P5", PEACE),
        (Mutant::KeepsTheRow, "P6", PEACE),
        (Mutant::StepsToRender, "P7", PEACE),
        (Mutant::CountsBadly, "P8", PEACE),
        (Mutant::HidesFailures, "L1", PEACE),
        (Mutant::GoesOn, "L2", PEACE),
        (Mutant::NeverCloses, "L3", PEACE),
        (Mutant::CannotLeave, "L4", PEACE),
        (Mutant::SendsAgain, "P8", LOSSES),
        (Mutant::ForgetsWhatWasLost, "L1", LOSSES_OF_ENV),
        (Mutant::AccusesTheOvertaken, "P8", OVERTAKEN),
    ] {
        let _wrong = Wrong::with(Some(mutant));
        let enough = HasDiscoveries::AnyOf([property].into());
        let checker = bounds.checker().threads(2).finish_when(enough).spawn_bfs().join();
        let found = checker.discovery(property).unwrap_or_else(|| panic!("{mutant:?} keeps {property}"));
        eprintln!("{mutant:?} breaks {property}: {:?}", found.into_actions());
    }
}
