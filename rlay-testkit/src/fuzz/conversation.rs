//! A conversation in which both ends and the network do whatever the bytes say.

use std::collections::VecDeque;

use rlay_core::{
    Discrete, Error, ErrorKind, Limits, Map, Result, Value,
    session::{AgentEvent, AgentSession, Call, EnvEvent, EnvSession},
    wire::{
        Access, Attribute, AutoresetMode, Goodbye, Header, Kind, Make, Reset, Row, Seed, Slots, payload_head, put_value,
    },
};

use super::{
    Input,
    expected_reply::{Episodes, ExpectedReply, SLOTS},
    messages::is_message,
};

/// Small limits, so that they are reached.
const LIMITS: Limits = Limits { frame: 16 << 10, depth: 8, count: 64 };

/// Both ends and the frames under way.
#[derive(Debug, Default)]
struct World {
    agent: AgentSession,
    env: EnvSession,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    expected: Vec<ExpectedReply>,
    /// What the environments do.
    episodes: Episodes,
    /// How many frames each end has taken.
    taken: [u64; 2],
    /// Whether the network or a peer has broken a rule.
    is_disturbed: bool,
}

/// Lets an agent and a host converse. Whatever happens, a call that is refused changes nothing, a reply answers the
/// request that it belongs to, and a side that is over stays over. If neither side breaks a rule, neither is accused,
/// and every request is answered.
pub(super) fn run(input: &mut Input<'_>) {
    let mut world = World::default();
    while !input.is_empty() {
        world.turn(input);
    }
    if world.is_disturbed {
        return;
    }
    for _ in 0..world.up.len() + world.expected.len() + world.down.len() + 3 {
        world.up();
        world.answer(0);
        world.down();
    }
    if !world.agent.is_over() && !world.env.is_over() {
        let waits = (0..SLOTS).find_map(|slot| world.agent.waiting(slot));
        assert_eq!(waits, None, "a call was never answered");
        assert!(world.expected.is_empty(), "{:?} are expected of neither side", world.expected);
    }
}

impl World {
    fn turn(&mut self, input: &mut Input<'_>) {
        let goodbye = |code: u8| Goodbye { code: code.into(), message: "enough".into() };
        match input.byte() % 20 {
            0 => {
                let autoreset_mode = mode(input.byte());
                let make = Make { slots: SLOTS, autoreset_mode, ..Make::default() };
                self.ask(|agent, out| agent.make(&make, out));
            }
            1 | 2 => {
                let seed = Some(Seed::from(u64::from(input.byte()))).filter(|seed| !seed.0.is_empty());
                let rows = slots(input).into_iter().map(|slot| (slot, seed.clone())).collect();
                self.ask(|agent, out| agent.reset(&Reset { rows, options: Value::None }, out));
            }
            3 | 4 => {
                let (slots, packed) = (slots(input), input.byte());
                self.ask(|agent, out| {
                    agent.step(&slots, out)?;
                    payload_head(out, packed > 0, packed.into());
                    match packed {
                        0 => slots.iter().for_each(|slot| put_value(out, &Value::Int((*slot).into()))),
                        _ => out.extend(vec![packed % 2; packed.into()]),
                    }
                    Ok(())
                });
            }
            5 => {
                let slots = slots(input);
                self.ask(|agent, out| agent.render(&slots, out));
                // The byte after it says whether an attribute is asked for, too.
                if input.yes() {
                    let access = match input.byte() % 3 {
                        0 => Access::Get,
                        1 => Access::Set(slots.iter().map(|slot| Value::Int((*slot).into())).collect()),
                        _ => Access::Call(vec![Value::None], Map::from([("scale", 2)])),
                    };
                    let attribute = Attribute { slots, name: "gravity".into(), access };
                    self.ask(|agent, out| agent.attribute(&attribute, out));
                }
            }
            6 => self.ask(AgentSession::close),
            7 => self.agent.give_up(),
            8 | 9 => self.answer(input.byte().into()),
            10 => self.fail(input.byte().into()),
            11..=13 => self.up(),
            14..=16 => self.down(),
            17 => self.disturb(input),
            18 => self.forge(input),
            _ => {
                let (who, code) = (input.byte() % 4, input.byte());
                let error = Error::new(ErrorKind::from_code(code.into()), "no more");
                match who {
                    0 => self.ask(|agent, out| agent.goodbye(&goodbye(code), out)),
                    1 => self.ask(|agent, out| {
                        agent.abort(&error, out);
                        Ok(())
                    }),
                    2 => drop(self.reply(|env, out| env.goodbye(&goodbye(code), out))),
                    _ => drop(self.reply(|env, out| {
                        env.abort(&error, out);
                        Ok(())
                    })),
                }
            }
        }
    }

    /// The agent's user calls.
    fn ask(&mut self, call: impl FnOnce(&mut AgentSession, &mut Vec<u8>) -> Result<()>) {
        let (before, mut out) = (self.agent.clone(), vec![]);
        match call(&mut self.agent, &mut out) {
            Ok(()) => {
                assert!(is_message(&out), "the agent writes what nobody reads: {out:02x?}");
                self.up.push_back(out);
            }
            Err(error) => {
                assert_eq!(self.agent, before, "a call that was refused: {error}");
                assert!(!before.is_over() || error.kind() == ErrorKind::Closed, "{error}");
            }
        }
    }

    /// The host sends a reply; whether that is allowed.
    fn reply(&mut self, reply: impl FnOnce(&mut EnvSession, &mut Vec<u8>) -> Result<()>) -> bool {
        let (before, mut out) = (self.env.clone(), vec![]);
        match reply(&mut self.env, &mut out) {
            Ok(()) => {
                assert!(is_message(&out), "the host writes what nobody reads: {out:02x?}");
                self.down.push_back(out);
                true
            }
            Err(error) => {
                assert_eq!(self.env, before, "a reply that was refused: {error}");
                assert!(!before.is_over() || error.kind() == ErrorKind::Closed, "{error}");
                false
            }
        }
    }

    /// The host answers a request, once.
    fn answer(&mut self, i: usize) {
        if self.expected.is_empty() {
            return;
        }
        let reply = self.expected.remove(i % self.expected.len());
        let is_over = self.env.is_over();
        let is_answered = self.reply(|env, out| reply.answer(env, out));
        assert_eq!(is_answered, !is_over, "{reply:?}");
        assert!(!self.reply(|env, out| reply.answer(env, out)), "{reply:?} was answered twice");
    }

    fn fail(&mut self, i: usize) {
        if self.expected.is_empty() {
            return;
        }
        let request = self.expected.remove(i % self.expected.len()).request();
        let (is_over, error) = (self.env.is_over(), Error::new(ErrorKind::Env, "it failed"));
        assert_eq!(self.reply(|env, out| env.fail(request, &error, out)), !is_over);
        assert!(!self.reply(|env, out| env.fail(request, &error, out)), "{request} failed twice");
    }

    /// The host takes a frame.
    fn up(&mut self) {
        let Some(frame) = self.up.pop_front() else { return };
        let before = self.env.clone();
        let event = match self.env.handle(&frame, &LIMITS) {
            Ok(event) => event,
            Err(error) => {
                assert!(self.env.is_over());
                return self.refused(&error, before.is_over(), self.env == before);
            }
        };
        self.taken[0] += 1;
        self.expected.push(match event {
            EnvEvent::Make { request, make } => {
                self.episodes = Episodes::new(make.autoreset_mode);
                ExpectedReply::Make(request, make.autoreset_mode)
            }
            EnvEvent::Reset { request, reset } => {
                let slots: Slots = reset.rows.iter().map(|(slot, _)| *slot).collect();
                ExpectedReply::Rows { request, rows: self.episodes.reset(request, &slots) }
            }
            EnvEvent::Step { request, slots, payload } => {
                let _ = payload.element(&Discrete::new(2));
                ExpectedReply::Rows { request, rows: self.episodes.step(request, &slots) }
            }
            EnvEvent::Render { request, slots } => ExpectedReply::Frames { request, slots },
            EnvEvent::Attribute { request, attribute } => ExpectedReply::Returned { request, slots: attribute.slots },
            EnvEvent::Close { request } => ExpectedReply::Close(request),
            EnvEvent::Refused { request, error } => {
                // An agent may close while a slot still owes an answer.
                assert!(self.is_disturbed || error.kind() == ErrorKind::Busy, "{error}");
                self.reply(|env, out| {
                    env.refusal(request, &error, out);
                    Ok(())
                });
                return;
            }
            EnvEvent::Over(_) => return assert!(self.env.is_over()),
        });
    }

    /// The agent takes a frame.
    fn down(&mut self) {
        let Some(frame) = self.down.pop_front() else { return };
        let before = self.agent.clone();
        let answers =
            |slot: u32, call: Call, late: bool| assert_eq!(before.waiting(slot), Some((call, late)), "{slot}");
        match self.agent.handle(&frame, &LIMITS) {
            Ok(AgentEvent::Result { call, late, rows, payload }) => {
                let _ = payload.value();
                rows.iter().for_each(|row| answers(row.slot, call, late));
                check_ends(call, &rows);
                assert!(rows.iter().all(|row| self.agent.waiting(row.slot).is_none()), "a slot was answered");
            }
            Ok(AgentEvent::Frames { late, frames }) => {
                frames.0.iter().for_each(|(slot, _)| answers(*slot, Call::Render, late));
                assert!(frames.0.iter().all(|(slot, _)| self.agent.waiting(*slot).is_none()), "a slot was answered");
            }
            Ok(AgentEvent::Returned { late, returned }) => {
                returned.0.iter().for_each(|(slot, _)| answers(*slot, Call::Attribute, late));
                assert!(returned.0.iter().all(|(slot, _)| self.agent.waiting(*slot).is_none()), "a slot was answered");
            }
            Ok(AgentEvent::Over(_)) => assert!(self.agent.is_over()),
            Ok(AgentEvent::Spec(_) | AgentEvent::Failed { .. } | AgentEvent::Closed) => {}
            Err(error) => {
                assert!(self.agent.is_over());
                return self.refused(&error, before.is_over(), self.agent == before);
            }
        }
        self.taken[1] += 1;
    }

    /// One end did not take a frame: the frame was wrong, or the session over already.
    fn refused(&self, error: &Error, was_over: bool, is_unchanged: bool) {
        let expected = if was_over { ErrorKind::Closed } else { ErrorKind::Protocol };
        assert_eq!(error.kind(), expected, "{error}");
        assert!(is_unchanged || !was_over, "a session went on after it was over");
        assert!(was_over || self.is_disturbed, "an honest peer was accused: {error}");
    }

    /// The network loses, repeats, swaps or changes the next frame.
    fn disturb(&mut self, input: &mut Input<'_>) {
        let queue = if input.yes() { &mut self.up } else { &mut self.down };
        let Some(mut frame) = queue.pop_front() else { return };
        self.is_disturbed = true;
        match input.byte() % 8 {
            0 => return,
            1 => queue.push_front(frame.clone()),
            2 => return queue.push_back(frame),
            _ => input.bend(&mut frame),
        }
        queue.push_front(frame);
    }

    /// A peer sends an invalid frame: one of any kind, with the number that is due.
    fn forge(&mut self, input: &mut Input<'_>) {
        let is_up = input.yes();
        let kind = Kind::ALL[input.below(Kind::ALL.len())];
        let seq = self.taken[usize::from(!is_up)] + 1;
        let mut frame = vec![];
        Header { kind, seq, ack: 0, re: input.byte().into() }.begin(&mut frame);
        let len = input.byte().into();
        frame.extend_from_slice(input.take(len));
        self.is_disturbed = true;
        if is_up { &mut self.up } else { &mut self.down }.push_front(frame);
    }
}

/// What the environments are to do where an episode has ended.
fn mode(byte: u8) -> AutoresetMode {
    [AutoresetMode::Disabled, AutoresetMode::NextStep, AutoresetMode::SameStep][usize::from(byte % 3)]
}

/// Checks rows, of any host: the last rows of episodes are those of the slots that have begun others in a step, and end.
fn check_ends(call: Call, rows: &[Row]) {
    let ended = |row: &&Row| row.terminated || row.truncated;
    let slots = |rows: &mut dyn Iterator<Item = &Row>| rows.map(|row| row.slot).collect::<Vec<_>>();
    let begun = slots(&mut rows.iter().filter(|row| !row.last && row.first).filter(ended));
    assert_eq!(slots(&mut rows.iter().filter(|row| row.last && !row.first).filter(ended)), begun, "{rows:?}");
    assert!(begun.is_empty() || call == Call::Step, "an episode that ends with the reset: {rows:?}");
    assert_eq!(rows.iter().filter(|row| row.last).count(), begun.len(), "{rows:?}");
}

/// Some slots, perhaps none, one twice, or one too many.
fn slots(input: &mut Input<'_>) -> Slots {
    let (bits, again) = (input.byte(), input.byte());
    let slots = (0..=SLOTS).filter(|slot| bits & (1 << slot) != 0);
    slots.chain((again > 250).then_some(0)).collect()
}
