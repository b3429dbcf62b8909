//! A model checker's tests: the two sessions, and the two ends that recover from lost connections, in every order that
//! calls, answers, deadlines, failures, lost connections and handshakes, a cut, a repeated frame and a lying host can come
//! in. Nothing is modelled that is not the code of the endpoints, but the network between them.
//!
//! The properties have the names of the specification of the protocol: P1 to P10 say that nothing wrong happens, L1 to
//! L4 that what should happen does. For each there is a [`Mutant`] which breaks it, and which is found.

mod budget;
mod network;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::world::{World, goodbye, number};
use super::{
    Call,
    mutant::{Mutant, tests::Wrong},
};
use crate::{
    error::{Error, ErrorKind},
    wire::AutoresetMode,
};

/// The two sides, as indices.
const AGENT: usize = 0;
const ENV: usize = 1;

pub(super) const SLOTS: u32 = 2;
/// The slots that a request may be about.
const SETS: [&[u32]; 3] = [&[0], &[1], &[0, 1]];

/// How much of each may happen, which is what makes the model finite.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    pub(super) calls: u8,
    /// Deadlines that pass.
    pub(super) deadlines: u8,
    /// Calls of the environment that fail.
    pub(super) failures: u8,
    /// Connections that may be lost, after which the dialer comes back.
    pub(super) losses: u8,
    /// Handshakes with which it comes back that may be lost, and arrive after later ones.
    pub(super) overtaken: u8,
    /// Which side dials.
    pub(super) dialer: usize,
    /// Whether the connection may be cut for good.
    pub(super) cut: bool,
    /// Whether the network may deliver a frame a second time.
    pub(super) repeat: bool,
    /// Whether the host may send an answer a second time, as if it were a new one, or a wrong one.
    pub(super) lie: bool,
    /// Whether requests may be about both slots.
    pub(super) both: bool,
    /// What the env does where an episode has ended.
    pub(super) mode: AutoresetMode,
    /// What is asked for besides episodes and steps.
    pub(super) other: Call,
    /// There is no clock in this model.
    pub(super) now: Instant,
}

/// What may be wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    LeavesOutASlot,
    /// The end of an episode is said to be of another slot.
    NamesAnotherSlot,
    /// A step that has reset a slot does not say so.
    HidesTheReset,
}

#[derive(Debug, Clone, PartialEq)]
enum Act {
    Call(Call, &'static [u32]),
    Deadline,
    Close,
    Leave,
    Up,
    Down,
    Answer(usize),
    AnswerAgain(usize),
    AnswerWrongly(usize, Lie),
    Fail(usize),
    /// The dialer loses its connection, with all that was on the way to it.
    Lose,
    /// A side notices that the other has left their connection, or has another.
    Notice(usize),
    /// The dialer dials again, and says Hello.
    Redial,
    /// The handshake is lost, and the dialer tries again; its Hello may yet arrive.
    LoseHandshake,
    /// A Hello arrives, and the listener welcomes the dialer back.
    Welcome(usize),
    /// The listener offers the connection to its session.
    Offer(usize),
    /// The Welcome arrives.
    BeWelcomed,
    /// A side goes on over the connection that was offered to it, and sends what was lost with the old one.
    GoOn(usize),
    Cut,
    RepeatUp,
    RepeatDown,
    Lie,
}

impl Model for Bounds {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        let calls = [Call::Reset, Call::Step, self.other];
        if world.left[0] > 0 && !world.is_closing {
            let sets = SETS.into_iter().filter(|slots| self.both || slots.len() == 1);
            acts.extend(sets.flat_map(|slots| calls.map(|call| Act::Call(call, slots))));
        }
        let waits = |given_up| world.asked.iter().flatten().any(|asked| asked.is_given_up == given_up);
        if world.left[1] > 0 && waits(false) && !world.is_over() {
            acts.push(Act::Deadline);
        }
        // As `Agent::close` does: only when no call waits for an answer.
        if !world.is_closing && !waits(false) && !world.is_over() {
            acts.push(Act::Close);
        }
        if world.is_closed || world.agent.is_over() && !world.env.is_over() {
            acts.push(Act::Leave);
        }
        if world.network.can_receive(ENV) {
            acts.push(Act::Up);
        }
        if world.network.can_receive(AGENT) {
            acts.push(Act::Down);
        }
        if !world.is_cut {
            self.recoveries(world, acts);
        }
        for job in 0..world.jobs.len() {
            acts.push(Act::Answer(job));
            if world.left[2] > 0 {
                acts.push(Act::Fail(job));
            }
            if world.answered.is_empty() && world.jobs[job].call.has_rows() {
                acts.push(Act::AnswerAgain(job));
            }
            if self.lie && !world.is_disturbed && !world.is_over() {
                let lies = [Lie::LeavesOutASlot, Lie::NamesAnotherSlot, Lie::HidesTheReset];
                let lies = lies.into_iter().filter(|lie| world.jobs[job].allows(*lie));
                acts.extend(lies.map(|lie| Act::AnswerWrongly(job, lie)));
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
            Act::Call(call, slots) => world.call(call, slots)?,
            Act::Deadline => {
                world.left[1] -= 1;
                world.agent.give_up();
                world.asked.iter_mut().flatten().for_each(|asked| asked.is_given_up = true);
            }
            Act::Close => {
                let mut frame = vec![];
                world.retain_unacked(AGENT);
                world.agent.close(&mut frame).ok()?;
                world.is_closing = true;
                world.say(AGENT, frame);
            }
            Act::Leave => {
                let mut frame = vec![];
                world.retain_unacked(AGENT);
                world.agent.goodbye(&goodbye(), &mut frame).ok()?;
                world.say(AGENT, frame);
            }
            Act::Up => {
                if let Some(frame) = world.receive(ENV) {
                    world.up(&frame);
                }
            }
            Act::Down => {
                if let Some(frame) = world.receive(AGENT) {
                    world.last_down = Some(frame.clone());
                    world.down(&frame);
                }
            }
            Act::Answer(job) => {
                let job = world.jobs.remove(job);
                world.answer(&job, None);
            }
            Act::AnswerAgain(job) => {
                let job = world.jobs.remove(job);
                world.answer(&job, None);
                world.answer(&job, None);
            }
            Act::AnswerWrongly(job, lie) => {
                world.is_disturbed = true;
                let job = world.jobs.remove(job);
                world.answer(&job, Some(lie));
            }
            Act::Fail(job) => {
                world.left[2] -= 1;
                let (job, mut out) = (world.jobs.remove(job), vec![]);
                world.retain_unacked(ENV);
                if world.env.fail(job.request, &Error::new(ErrorKind::Env, "it failed"), &mut out).is_ok() {
                    world.answered.push(job.request);
                    world.reply(out);
                }
            }
            Act::Lose => {
                world.left[3] -= 1;
                world.network.lose(self.dialer);
            }
            Act::Notice(side) => world.network.lose(side),
            Act::Redial => world.network.redial(),
            Act::LoseHandshake => {
                world.left[4] -= 1;
                world.network.lose_handshake();
            }
            Act::Welcome(hello) => world.welcome(hello),
            Act::Offer(offer) => world.network.offer(offer),
            Act::BeWelcomed => world.network.be_welcomed(),
            Act::GoOn(side) => world.go_on(side)?,
            Act::Cut => world.cut(),
            Act::RepeatUp => {
                world.is_disturbed = true;
                let frame = world.network.to(ENV).front()?.clone();
                world.network.to(ENV).push_front(frame);
            }
            Act::RepeatDown => {
                world.is_disturbed = true;
                let frame = world.network.to(AGENT).front()?.clone();
                world.network.to(AGENT).push_front(frame);
            }
            Act::Lie => {
                world.is_disturbed = true;
                let mut frame = world.last_down.clone()?;
                // The same answer under the next number (docs/wire.md, section 2).
                let next = number(&frame) + 1;
                frame[8..16].copy_from_slice(&next.to_le_bytes());
                world.network.to(AGENT).push_front(frame);
            }
        }
        world.network.forget_closed();
        if !world.is_disturbed
            && !world.is_over()
            && world.is_whole()
            && (0..SLOTS).any(|slot| world.holders(slot) != 1)
        {
            world.is_wrong("P3");
        }
        let steps = |calls: &[Vec<(Call, u64)>]| calls.iter().flatten().filter(|(call, _)| *call == Call::Step).count();
        let jobs = world.jobs.iter().filter(|job| job.call == Call::Step);
        let on_the_way = jobs.map(|job| job.slots.len()).sum::<usize>()
            + world.network.on_the_way(AGENT).map(|frame| world.steps_answered_by(frame)).sum::<usize>();
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
        never_wrong!("P1" "P2" "P3" "P4" "P5" "P6" "P7" "P8" "P9" "P10");
        all.extend([
            // Where nothing more happens, and the connection holds, every call has its answer.
            Property::always("L1", |model: &Self, world: &World| {
                !model.is_at_rest(world) || world.is_over() || world.asked.iter().all(Option::is_none)
            }),
            // Where it does not hold, every call has failed: none is taken that would stay without an answer.
            Property::always("L2", |_: &Self, world: &World| !world.is_cut || world.asked.iter().all(Option::is_none)),
            // A side that has closed is told so.
            Property::always("L3", |model: &Self, world: &World| {
                !model.is_at_rest(world) || !world.is_closing || world.is_closed || world.is_over()
            }),
            // It always comes to an end: everything on the way there is possible, so only the last states count.
            Property::always("L4", |model: &Self, world: &World| {
                !model.is_at_rest(world) || !world.is_closed || world.agent.is_over()
            }),
            // The checker gets somewhere at all.
            Property::sometimes("a late answer", |model: &Self, world: &World| {
                world.asked.iter().flatten().any(|asked| asked.is_given_up) && world.rows > 0
                    || model.deadlines == 0
                    || model.calls < 3
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

impl Bounds {
    /// What may happen to connections.
    fn recoveries(&self, world: &World, acts: &mut Vec<Act>) {
        let (network, is_over) = (&world.network, world.is_over());
        if world.left[3] > 0 && !is_over && network.is_whole() {
            acts.push(Act::Lose);
        }
        acts.extend([AGENT, ENV].into_iter().filter(|side| network.can_notice(*side)).map(Act::Notice));
        let dialer_is_over = if self.dialer == AGENT { world.agent.is_over() } else { world.env.is_over() };
        // Each loss takes one dial, and a handshake that comes late some more. What needs others would need ever more.
        let dials = usize::from(2 + self.losses + 4 * self.overtaken);
        if network.can_redial() && network.dials() < dials && !dialer_is_over {
            acts.push(Act::Redial);
        }
        if world.left[4] > 0 && network.can_lose_handshake() && !is_over {
            acts.push(Act::LoseHandshake);
        }
        acts.extend((0..network.hellos.len()).map(Act::Welcome));
        acts.extend((0..network.offers.len()).map(Act::Offer));
        if network.can_be_welcomed() {
            acts.push(Act::BeWelcomed);
        }
        acts.extend([AGENT, ENV].map(Act::GoOn));
    }

    /// Nothing more can happen but that the user goes on, or the world disturbs.
    fn is_at_rest(&self, world: &World) -> bool {
        let mut acts = vec![];
        self.actions(world, &mut acts);
        acts.retain(|act| {
            !matches!(
                act,
                Act::Call(..)
                    | Act::Deadline
                    | Act::Lose
                    | Act::LoseHandshake
                    | Act::Cut
                    | Act::Lie
                    | Act::AnswerWrongly(..)
                    | Act::Close
            )
        });
        acts.into_iter().all(|act| self.next_state(world, act).is_none())
    }
}

/// Two slots; deadlines and failures, with and without a cut.
fn peace() -> Bounds {
    Bounds {
        calls: 3,
        deadlines: 1,
        failures: 1,
        losses: 0,
        overtaken: 0,
        dialer: AGENT,
        cut: true,
        repeat: false,
        lie: false,
        both: false,
        mode: AutoresetMode::Disabled,
        other: Call::Render,
        now: Instant::now(),
    }
}
/// Connections that are lost while the agent dials, or the environment; of two, the second may be lost in the handshake.
fn losses() -> Bounds {
    Bounds { deadlines: 0, failures: 0, losses: 1, cut: false, ..peace() }
}

fn losses_and_deadlines() -> Bounds {
    Bounds { calls: 2, deadlines: 1, ..losses() }
}

fn losses_of_env() -> Bounds {
    Bounds { calls: 2, deadlines: 0, losses: 2, dialer: ENV, ..losses() }
}

/// One that is lost, after which the handshake comes once more than it should.
fn overtaken() -> Bounds {
    Bounds { calls: 2, overtaken: 1, ..losses() }
}

fn overtaken_of_env() -> Bounds {
    Bounds { dialer: ENV, ..overtaken() }
}

/// A network that repeats, a host that lies.
fn trouble() -> Bounds {
    Bounds { failures: 0, cut: false, repeat: true, lie: true, ..peace() }
}

/// Requests about one slot or both, where the env does this when an episode has ended.
fn both(mode: AutoresetMode) -> Bounds {
    Bounds { mode, both: true, cut: false, ..peace() }
}

/// The same over connections that are lost.
fn both_and_losses(mode: AutoresetMode) -> Bounds {
    Bounds { calls: 2, losses: 1, deadlines: 0, failures: 0, ..both(mode) }
}

/// The same with a host that lies.
fn both_in_trouble(mode: AutoresetMode) -> Bounds {
    Bounds { deadlines: 0, failures: 0, lie: true, ..both(mode) }
}

const MODES: [AutoresetMode; 3] = [AutoresetMode::Disabled, AutoresetMode::NextStep, AutoresetMode::SameStep];

#[allow(clippy::print_stderr)]
fn keep_every_property(bounds: Bounds) {
    let _right = Wrong::with(None);
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    eprintln!("{} states, {bounds:?}", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn the_sessions_keep_every_property_in_peace() {
    keep_every_property(peace());
}

#[test]
fn the_sessions_keep_every_property_of_attributes() {
    let other = Call::Attribute;
    for bounds in [peace(), losses(), trouble(), both(AutoresetMode::NextStep)] {
        keep_every_property(Bounds { other, calls: 2, ..bounds });
    }
}

#[test]
fn the_sessions_keep_every_property_when_connections_of_the_agent_are_lost() {
    keep_every_property(losses());
    keep_every_property(losses_and_deadlines());
}

#[test]
fn the_sessions_keep_every_property_when_connections_of_the_environment_are_lost() {
    keep_every_property(losses_of_env());
}

#[test]
fn the_sessions_keep_every_property_when_handshakes_are_overtaken() {
    keep_every_property(overtaken());
    keep_every_property(overtaken_of_env());
}

#[test]
fn the_sessions_keep_every_property_in_trouble() {
    keep_every_property(trouble());
}

#[test]
fn the_sessions_keep_every_property_when_requests_are_about_both_slots() {
    for mode in MODES {
        keep_every_property(both(mode));
        keep_every_property(both_and_losses(mode));
        keep_every_property(both_in_trouble(mode));
    }
}

#[test]
#[allow(clippy::print_stderr)]
fn whatever_breaks_a_property_is_found() {
    use AutoresetMode::{Disabled, NextStep, SameStep};
    for (mutant, property, bounds) in [
        (Mutant::Repeats, "P1", trouble()),
        (Mutant::BelievesAnyReply, "P2", trouble()),
        (Mutant::ForgetsItsTurn, "P3", peace()),
        (Mutant::AnswersTwice, "P4", peace()),
        (Mutant::ForgetsTheDeadline, "P5", peace()),
        (Mutant::KeepsTheRow, "P6", peace()),
        (Mutant::StepsToRender, "P7", peace()),
        (Mutant::CountsBadly, "P8", peace()),
        (Mutant::HidesFailures, "L1", peace()),
        (Mutant::GoesOn, "L2", peace()),
        (Mutant::NeverCloses, "L3", peace()),
        (Mutant::CannotLeave, "L4", peace()),
        (Mutant::SendsAgain, "P8", losses()),
        (Mutant::ForgetsWhatWasLost, "L1", losses_of_env()),
        (Mutant::AccusesTheOvertaken, "P8", overtaken()),
        (Mutant::CountsLateFrames, "P8", losses()),
        (Mutant::StaysGivenUp, "L1", losses()),
        (Mutant::TakesAnyOffer, "P9", overtaken()),
        (Mutant::KeepsNothing, "P8", losses()),
        (Mutant::FreesOneSlot, "P3", both(Disabled)),
        (Mutant::TakesHalfAnAnswer, "L1", both_in_trouble(Disabled)),
        (Mutant::TakesAnyLast, "P10", both_in_trouble(SameStep)),
        (Mutant::TakesAnyFirst, "P10", both_in_trouble(NextStep)),
        (Mutant::IsSureAfterFailures, "P8", both(NextStep)),
    ] {
        let _wrong = Wrong::with(Some(mutant));
        let enough = HasDiscoveries::AnyOf([property].into());
        let checker = bounds.checker().threads(2).finish_when(enough).spawn_bfs().join();
        let found = checker.discovery(property).unwrap_or_else(|| panic!("{mutant:?} keeps {property}"));
        eprintln!("{mutant:?} breaks {property}: {:?}", found.into_actions());
    }
}
