//! The reconnect budget in a model of its own, for it is about time: [`Recovery`] as it is, in every order in which
//! connections are lost, waited for, thought beside, replaced and deliver.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{
    error::{Error, ErrorKind},
    session::{
        mutant::{Mutant, tests::Wrong},
        recovery::{BRIEF, Recovery},
    },
    wire::Role,
};

/// The reconnect timeout, in ticks; a replacement that lasts for one tick is brief.
const BUDGET: u32 = 3;
const TICK: Duration = Duration::from_millis(400);
/// Longest that is looked at.
const END: u32 = 12;

#[derive(Debug, Clone, Copy)]
struct Budget {
    role: Role,
    start: Instant,
}

#[derive(Debug, Clone, PartialEq, Hash)]
struct Waiting {
    recovery: Recovery,
    now: u32,
    /// When the connection took the place of another, until it delivers a frame.
    replaced_at: Option<u32>,
    /// Ticks for which calls have waited, or brief connections lasted, since there was more than a brief connection.
    without_frame: u32,
    is_failed: bool,
    /// What an onlooker has seen go wrong.
    is_failed_early: bool,
    is_waited_too_long: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Lose,
    /// A call waits for one tick, or until the budget is used up.
    Wait,
    /// Between calls the agent computes for one tick.
    Think,
    Replace,
    /// The connection lasts for one tick, and delivers nothing.
    Last,
    Deliver,
}

impl Budget {
    fn at(self, tick: u32) -> Instant {
        self.start + TICK * tick
    }
}

impl Model for Budget {
    type State = Waiting;
    type Action = Act;

    fn init_states(&self) -> Vec<Waiting> {
        let recovery = Recovery::new(self.role, TICK * BUDGET, TICK * BUDGET);
        let (replaced_at, without_frame, is_failed) = (None, 0, false);
        let (is_failed_early, is_waited_too_long) = (false, false);
        vec![Waiting { recovery, now: 0, replaced_at, without_frame, is_failed, is_failed_early, is_waited_too_long }]
    }

    fn actions(&self, state: &Waiting, acts: &mut Vec<Act>) {
        match state {
            Waiting { is_failed: true, .. } | Waiting { now: END, .. } => {}
            state if state.recovery.has_connection() => acts.extend([Act::Lose, Act::Last, Act::Deliver]),
            _ => acts.extend([Act::Wait, Act::Think, Act::Replace]),
        }
    }

    fn next_state(&self, before: &Waiting, act: Act) -> Option<Waiting> {
        let mut state = before.clone();
        match act {
            Act::Lose => {
                let is_brief = state.replaced_at.take().is_some_and(|at| TICK * (state.now - at) < BRIEF);
                if !is_brief {
                    state.without_frame = 0;
                }
                state.recovery.lose(Error::new(ErrorKind::ConnectionLost, "lost"), self.at(state.now));
            }
            Act::Wait => {
                let left = state.recovery.begin_wait(1, self.at(state.now));
                if !left.is_zero() {
                    (state.now, state.without_frame) = (state.now + 1, state.without_frame + 1);
                }
                state.recovery.end_wait(self.at(state.now));
                if state.recovery.is_exhausted() {
                    state.recovery.give_up(None);
                    state.is_failed = true;
                    state.is_failed_early = state.without_frame < BUDGET;
                } else {
                    state.is_waited_too_long |= state.without_frame >= BUDGET;
                }
            }
            Act::Think => {
                state.now += 1;
                // A host waits all the time.
                state.without_frame += u32::from(self.role == Role::Env);
            }
            Act::Replace => {
                // A call finds it there.
                state.recovery.begin_wait(1, self.at(state.now));
                state.recovery.end_wait(self.at(state.now));
                state.recovery.replace(self.at(state.now));
                state.replaced_at = Some(state.now);
            }
            Act::Last => (state.now, state.without_frame) = (state.now + 1, state.without_frame + 1),
            Act::Deliver => {
                state.recovery.delivered();
                (state.replaced_at, state.without_frame) = (None, 0);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("B1", |_: &Self, state: &Waiting| !state.is_failed_early),
            Property::always("B2", |_: &Self, state: &Waiting| !state.is_waited_too_long),
            Property::sometimes("a budget that is used up", |_: &Self, state: &Waiting| state.is_failed),
        ]
    }
}

fn budget(role: Role) -> Budget {
    Budget { role, start: Instant::now() }
}

#[test]
#[allow(clippy::print_stderr)]
fn the_reconnect_budget_is_used_up_in_time_and_not_before() {
    let _right = Wrong::with(None);
    for role in [Role::Agent, Role::Env] {
        let checker = budget(role).checker().spawn_bfs().join();
        eprintln!("{} states, {role:?}", checker.unique_state_count());
        checker.assert_properties();
    }
}

#[test]
#[allow(clippy::print_stderr)]
fn whatever_breaks_the_reconnect_budget_is_found() {
    for (mutant, property) in
        [(Mutant::RenewsTheBudget, "B2"), (Mutant::WaitsForEver, "B2"), (Mutant::CountsWhatAnAgentThinks, "B1")]
    {
        let _wrong = Wrong::with(Some(mutant));
        let enough = HasDiscoveries::AnyOf([property].into());
        let checker = budget(Role::Agent).checker().finish_when(enough).spawn_bfs().join();
        let found = checker.discovery(property).unwrap_or_else(|| panic!("{mutant:?} keeps {property}"));
        eprintln!("{mutant:?} breaks {property}: {:?}", found.into_actions());
    }
}
