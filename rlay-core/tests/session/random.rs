//! Random interleavings of everything a conforming agent, host and network may do.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use proptest::prelude::*;
use rlay_core::{ErrorKind, session::Call, wire::AutoresetMode};

use super::world::{Counter, Heard, World};

const SLOTS: u32 = 3;

/// One event; numbers choose among what is possible when it happens.
#[derive(Debug, Clone)]
enum Event {
    Reset(u8),
    Step(u8, i64),
    Render(u8),
    Attribute(u8),
    GiveUp,
    HostReceives,
    HostAnswers(usize),
    HostFails(usize),
    AgentReceives,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => any::<u8>().prop_map(Event::Reset),
        4 => (any::<u8>(), 0..1000i64).prop_map(|(slots, action)| Event::Step(slots, action)),
        1 => any::<u8>().prop_map(Event::Render),
        1 => any::<u8>().prop_map(Event::Attribute),
        1 => Just(Event::GiveUp),
        5 => Just(Event::HostReceives),
        4 => any::<usize>().prop_map(Event::HostAnswers),
        1 => any::<usize>().prop_map(Event::HostFails),
        5 => Just(Event::AgentReceives),
    ]
}

/// The state of one slot as the agent's user knows it.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// What the environment must have become by the answers so far.
    counter: Counter,
    started: bool,
    asked: Option<(Call, i64, bool)>,
}

/// The slots that a number stands for, each once and in some order.
fn slots(number: u8) -> Vec<u32> {
    let mut slots: Vec<u32> = (0..SLOTS).filter(|slot| number & (1 << slot) != 0).collect();
    if number & 8 != 0 {
        slots.reverse();
    }
    slots
}

/// Asks, and checks that the session allows it exactly if every slot does.
fn ask(world: &mut World, known: &mut [Known], call: Call, number: u8, action: i64) {
    let slots = slots(number);
    let actions: Vec<i64> = slots.iter().map(|slot| (action + i64::from(*slot)) % 1000).collect();
    let result = match call {
        Call::Reset => world.reset(&slots),
        Call::Step => world.step(&slots, &actions),
        Call::Render => world.render(&slots),
        Call::Attribute => world.attribute(&slots),
    };
    let first_refusal = slots.iter().find_map(|slot| {
        let known = &known[*slot as usize];
        let needs_reset = call == Call::Step && !known.started;
        match known.asked {
            Some(_) => Some(ErrorKind::Busy),
            None => needs_reset.then_some(ErrorKind::ResetNeeded),
        }
    });
    let wanted = if slots.is_empty() { Some(ErrorKind::Usage) } else { first_refusal };
    assert_eq!(result.as_ref().err().map(rlay_core::Error::kind), wanted, "{call:?} of {slots:?}");
    if result.is_ok() {
        for (slot, action) in slots.iter().zip(actions) {
            known[*slot as usize].asked = Some((call, action, false));
        }
    }
}

/// Checks that the event received answers the request sent.
fn hear(known: &mut [Known], heard: Heard, mode: AutoresetMode) -> usize {
    let mut steps = 0;
    match heard {
        Heard::Rows { call, late, rows } => {
            let mut lasts = Vec::new();
            for (row, observation) in rows.iter().filter(|(row, _)| !row.last) {
                let known = &mut known[row.slot as usize];
                let (asked, action, given_up) = known.asked.take().expect("an answer to a question");
                assert_eq!((asked, given_up), (call, late));
                let told = if call == Call::Reset {
                    (known.started, _) = (true, known.counter.reset());
                    (known.counter.row(row.slot, true), known.counter.observation())
                } else {
                    steps += 1;
                    let (told, last) = known.counter.step_in(mode, row.slot, action);
                    lasts.extend(last);
                    told
                };
                assert_eq!((row, *observation), (&told.0, told.1));
            }
            assert_eq!(rows.into_iter().filter(|(row, _)| row.last).collect::<Vec<_>>(), lasts);
        }
        Heard::Other { call, late, slots } => {
            for slot in slots {
                let (asked, _, given_up) = known[slot as usize].asked.take().expect("an answer to a question");
                assert_eq!((asked, given_up), (call, late));
            }
        }
        Heard::Failed { .. } | Heard::Closed => unreachable!("handled by the caller"),
    }
    steps
}

fn run(events: &[Event], packed: bool, mode: AutoresetMode) {
    let mut world = World::in_mode(SLOTS, packed, mode);
    let mut known = vec![Known::default(); SLOTS as usize];
    let mut steps = 0;
    // A failure does not name its slots; the order of requests tells.
    let mut failed: VecDeque<Vec<u32>> = VecDeque::new();
    let drain = (0..100).flat_map(|_| [Event::HostReceives, Event::HostAnswers(0), Event::AgentReceives]);
    for event in events.iter().cloned().chain(drain) {
        let owed = world.owed.len();
        match event {
            Event::Reset(number) => ask(&mut world, &mut known, Call::Reset, number, 0),
            Event::Step(number, action) => ask(&mut world, &mut known, Call::Step, number, action),
            Event::Render(number) => ask(&mut world, &mut known, Call::Render, number, 0),
            Event::Attribute(number) => ask(&mut world, &mut known, Call::Attribute, number, 0),
            Event::GiveUp => {
                world.agent.give_up();
                known.iter_mut().for_each(|known| known.asked = known.asked.map(|(call, x, _)| (call, x, true)));
            }
            Event::HostReceives if !world.to_env.is_empty() => world.host_receives(),
            Event::HostAnswers(i) if owed > 0 => world.host_answers(i % owed),
            Event::HostFails(i) if owed > 0 => {
                failed.push_back(world.owed_slots(i % owed));
                world.host_fails(i % owed);
            }
            Event::AgentReceives if !world.to_agent.is_empty() => match world.agent_receives() {
                Heard::Failed { call, late } => {
                    for slot in failed.pop_front().expect("a request that failed") {
                        let (asked, _, given_up) = known[slot as usize].asked.take().expect("a question");
                        assert_eq!((Some(asked), given_up), (call, late));
                    }
                }
                heard => steps += hear(&mut known, heard, mode),
            },
            _ => {}
        }
        for slot in 0..SLOTS {
            let asked = known[slot as usize].asked.map(|(call, _, late)| (call, late));
            assert_eq!(world.agent.waiting(slot), asked, "slot {slot}");
        }
    }
    assert!(known.iter().all(|known| known.asked.is_none()), "every question was answered");
    assert_eq!(world.steps, steps, "every executed step was told, once");
    let counters: Vec<Counter> = known.iter().map(|known| known.counter).collect();
    assert_eq!(world.counters, counters);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_match_questions_in_every_order(
        events in prop::collection::vec(event(), 0..200),
        packed: bool,
        mode in prop::sample::select(vec![AutoresetMode::Disabled, AutoresetMode::NextStep, AutoresetMode::SameStep]),
    ) {
        run(&events, packed, mode);
    }
}

fn hash(x: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    x.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn sessions_are_values() {
    let mut world = World::new(2, true);
    let copy = world.clone();
    assert_eq!((&world.agent, &world.env), (&copy.agent, &copy.env));
    assert_eq!((hash(&world.agent), hash(&world.env)), (hash(&copy.agent), hash(&copy.env)));
    world.reset(&[0]).unwrap();
    assert_ne!(world.agent, copy.agent);
    // The copy has not received the reset, and diverges.
    let mut copy = copy;
    assert_eq!(copy.step(&[0], &[1]).unwrap_err().kind(), ErrorKind::ResetNeeded);
    copy.reset(&[1]).unwrap();
    assert!(matches!(copy.settle(), Heard::Rows { call: Call::Reset, .. }));
}

/// Every state that an agent and a host can reach together within a few requests: no dead end, no surprise.
#[test]
fn every_reachable_state_leads_to_an_answer() {
    let mut seen = HashSet::new();
    let mut todo = vec![(World::new(2, false), 0)];
    while let Some((world, asked)) = todo.pop() {
        let state = (world.agent.clone(), world.env.clone(), world.to_env.clone(), world.to_agent.clone());
        if !seen.insert(state) {
            continue;
        }
        let mut next = |turn: &dyn Fn(&mut World) -> bool, asked: usize| {
            let mut world = world.clone();
            if turn(&mut world) {
                todo.push((world, asked));
            }
        };
        if asked < 4 {
            for slots in [&[0][..], &[1], &[0, 1]] {
                next(&|w| w.reset(slots).is_ok(), asked + 1);
                next(&|w| w.step(slots, &[1, 2][..slots.len()]).is_ok(), asked + 1);
            }
        }
        next(&|w| (w.agent.give_up(), true).1, asked);
        if !world.to_env.is_empty() {
            next(&|w| (w.host_receives(), true).1, asked);
        }
        for i in 0..world.owed.len() {
            next(&|w| (w.host_answers(i), true).1, asked);
            next(&|w| (w.host_fails(i), true).1, asked);
        }
        if !world.to_agent.is_empty() {
            next(&|w| (w.agent_receives(), true).1, asked);
        }
        let idle = world.to_env.is_empty() && world.owed.is_empty() && world.to_agent.is_empty();
        let waiting = (0..2).any(|slot| world.agent.waiting(slot).is_some());
        assert_eq!(idle, !waiting, "a question without an answer on its way, or an answer without a question");
    }
    assert!(seen.len() > 5000, "{} states", seen.len());
}
