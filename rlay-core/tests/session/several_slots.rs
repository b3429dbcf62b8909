//! Requests about several slots: which answers an agent takes, and what a host does about requests that it refuses.

use rlay_core::{
    ErrorKind, Limits, Result,
    session::{AgentEvent, AgentSession, Call, EnvEvent, EnvSession},
    wire::{AutoresetMode, Frames, Make, Row},
};

use super::{
    fixtures::{issue, names},
    wire::{Numbers, row, spec},
};

const MODES: [AutoresetMode; 3] = [AutoresetMode::Disabled, AutoresetMode::NextStep, AutoresetMode::SameStep];

/// An agent with an env of several slots, and the numbers of the env's next frame.
#[derive(Debug, Clone)]
pub(crate) struct Several {
    pub(crate) session: AgentSession,
    next: Numbers,
}

impl Several {
    pub(crate) fn new(slots: u32, mode: AutoresetMode) -> Self {
        let mut this = Self { session: AgentSession::new(), next: Numbers { seq: 1, ack: 0, re: 0 } };
        let make = this.send(|session, out| session.make(&Make::default(), out)).unwrap();
        this.hear(this.next.re(make).spec_in(slots, mode)).unwrap();
        this
    }

    /// The same after a reset of every slot.
    pub(crate) fn started(slots: u32, mode: AutoresetMode) -> Self {
        let mut this = Self::new(slots, mode);
        let all: Vec<u32> = (0..slots).collect();
        let re = this.ask(Call::Reset, &all);
        let rows: Vec<Row> = all.iter().map(|slot| row(*slot, true)).collect();
        this.rows(re, &rows).unwrap();
        this
    }

    fn send(&mut self, call: impl FnOnce(&mut AgentSession, &mut Vec<u8>) -> Result<()>) -> Result<u64> {
        call(&mut self.session, &mut Vec::new())?;
        self.next.ack += 1;
        Ok(self.next.ack)
    }

    fn hear(&mut self, frame: Vec<u8>) -> Result<(Option<Call>, bool)> {
        let heard = match self.session.handle(&frame, &Limits::default())? {
            AgentEvent::Result { call, late, .. } => (Some(call), late),
            AgentEvent::Frames { late, .. } => (Some(Call::Render), late),
            AgentEvent::Returned { late, .. } => (Some(Call::Attribute), late),
            AgentEvent::Failed { call, late, .. } => (call, late),
            _ => (None, false),
        };
        self.next.seq += 1;
        Ok(heard)
    }

    /// Makes a call that must succeed; its number.
    pub(crate) fn ask(&mut self, call: Call, slots: &[u32]) -> u64 {
        self.try_to_ask(call, slots).unwrap()
    }

    fn try_to_ask(&mut self, call: Call, slots: &[u32]) -> Result<u64> {
        self.send(|session, out| issue(session, call, slots, out))
    }

    /// A Result with these rows arrives.
    pub(crate) fn rows(&mut self, re: u64, rows: &[Row]) -> Result<(Option<Call>, bool)> {
        self.hear(self.next.re(re).result(rows))
    }

    /// An answer about these slots arrives.
    fn answer(&mut self, call: Call, re: u64, slots: &[u32]) -> Result<(Option<Call>, bool)> {
        if call == Call::Render {
            return self.hear(self.next.re(re).frames(slots));
        }
        if call == Call::Attribute {
            return self.hear(self.next.re(re).returned(slots));
        }
        let rows: Vec<Row> = slots.iter().map(|slot| row(*slot, call == Call::Reset)).collect();
        self.rows(re, &rows)
    }

    /// The answer is that the request has failed.
    pub(crate) fn fail(&mut self, re: u64) -> (Option<Call>, bool) {
        self.hear(self.next.re(re).error(false)).unwrap()
    }

    /// The names of the states of the slots.
    pub(crate) fn slots(&self) -> Vec<String> {
        names(&self.session).1
    }
}

/// Whether a frame was refused as a violation, which ends the session.
pub(crate) fn is_violation<T: std::fmt::Debug>(several: &Several, result: &Result<T>) -> bool {
    let is_refused = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Protocol);
    assert_eq!(is_refused, several.session.is_over(), "{result:?}");
    assert!(is_refused || result.is_ok(), "{result:?}");
    is_refused
}

/// Every order of some slots.
pub(crate) fn orders(slots: &[u32]) -> Vec<Vec<u32>> {
    if slots.is_empty() {
        return vec![vec![]];
    }
    let after = |first: usize| {
        let rest: Vec<u32> = [&slots[..first], &slots[first + 1..]].concat();
        orders(&rest).into_iter().map(move |order| [&[slots[first]], &order[..]].concat())
    };
    (0..slots.len()).flat_map(after).collect()
}

const CALLS: [Call; 4] = [Call::Reset, Call::Step, Call::Render, Call::Attribute];

#[test]
fn an_answer_names_its_slots_in_any_order_and_each_of_them_once() {
    let wrong: [&[u32]; 10] = [
        &[],
        &[3],
        &[1, 3],
        &[1, 3, 3],
        &[3, 1, 1],
        &[1, 3, 0],
        &[1, 3, 4, 4],
        &[1, 3, 4, 0],
        &[1, 3, 4, 5],
        &[1, 3, u32::MAX],
    ];
    for call in CALLS {
        let mut asked = Several::started(5, AutoresetMode::Disabled);
        let re = asked.ask(call, &[3, 1, 4]);
        let before = asked.slots();
        assert_eq!(before, ["Ready", "Waiting", "Ready", "Waiting", "Waiting"]);
        for order in orders(&[1, 3, 4]) {
            let mut several = asked.clone();
            assert_eq!(several.answer(call, re, &order).unwrap(), (Some(call), false), "{order:?}");
            assert_eq!(several.slots(), ["Ready"; 5], "{order:?}");
            let again = several.answer(call, re, &order);
            assert!(is_violation(&several, &again), "{call:?} {order:?} once more");
        }
        for slots in wrong {
            let mut several = asked.clone();
            let answered = several.answer(call, re, slots);
            assert!(is_violation(&several, &answered), "{call:?} {slots:?}");
        }
    }
}

#[test]
fn an_answer_is_about_the_slots_of_one_request() {
    for call in CALLS {
        let mut asked = Several::started(4, AutoresetMode::Disabled);
        let (one, other) = (asked.ask(call, &[0, 2]), asked.ask(call, &[3, 1]));
        for (re, slots) in [(one, [1, 3]), (other, [0, 2]), (one, [0, 1]), (other, [3, 2]), (one, [2, 3])] {
            let mut several = asked.clone();
            let answered = several.answer(call, re, &slots);
            assert!(is_violation(&several, &answered), "{call:?} {re}: {slots:?}");
        }
        let mut several = asked.clone();
        let answered = several.answer(call, one, &[0, 2, 1, 3]);
        assert!(is_violation(&several, &answered), "the answers to two requests in one");
        asked.answer(call, other, &[1, 3]).unwrap();
        assert_eq!(asked.slots(), ["Waiting", "Ready", "Waiting", "Ready"]);
        asked.answer(call, one, &[2, 0]).unwrap();
    }
}

#[test]
fn an_error_frees_all_slots_of_its_request_and_no_other() {
    let mut several = Several::started(4, AutoresetMode::Disabled);
    let (one, other) = (several.ask(Call::Step, &[3, 0]), several.ask(Call::Step, &[1]));
    assert_eq!(several.fail(one), (Some(Call::Step), false));
    assert_eq!(several.slots(), ["Ready", "Waiting", "Ready", "Ready"]);
    several.answer(Call::Step, other, &[1]).unwrap();
}

#[test]
fn giving_up_makes_late_what_is_under_way_and_nothing_after_it() {
    let mut several = Several::started(4, AutoresetMode::Disabled);
    let (step, render) = (several.ask(Call::Step, &[2, 0]), several.ask(Call::Render, &[1]));
    several.session.give_up();
    let reset = several.ask(Call::Reset, &[3]);
    let waiting = |several: &Several| [0, 1, 2, 3].map(|slot| several.session.waiting(slot));
    let late = |call| Some((call, true));
    let under_way = [late(Call::Step), late(Call::Render), late(Call::Step), Some((Call::Reset, false))];
    assert_eq!(waiting(&several), under_way);
    for slots in [&[0][..], &[3, 1], &[1, 2], &[3]] {
        assert_eq!(several.try_to_ask(Call::Reset, slots).unwrap_err().kind(), ErrorKind::Busy, "{slots:?}");
        assert_eq!(waiting(&several), under_way, "a refused call changes nothing");
    }
    let answers = [(Call::Step, step, &[2, 0][..]), (Call::Render, render, &[1]), (Call::Reset, reset, &[3])];
    for order in orders(&[0, 1, 2]) {
        let mut several = several.clone();
        for (call, re, slots) in order.iter().map(|i| answers[*i as usize]) {
            assert_eq!(several.answer(call, re, slots).unwrap(), (Some(call), call != Call::Reset), "{order:?}");
            assert!(slots.iter().all(|slot| several.session.waiting(*slot).is_none()));
        }
        several.ask(Call::Step, &[0, 1, 2, 3]);
        assert_eq!(waiting(&several), [Some((Call::Step, false)); 4], "what was given up is over");
    }
}

#[test]
fn a_thousand_slots_take_one_request() {
    const MANY: u32 = 1024;
    let all: Vec<u32> = (0..MANY).collect();
    let ended = |slot: u32| Row { truncated: true, ..row(slot, false) };
    for mode in MODES {
        let mut several = Several::started(MANY, mode);
        let first = |slot: u32, first| Row { first, ..ended(slot) };
        let backwards = || all.iter().rev().copied();
        let mut rows: Vec<Row> = backwards().map(|slot| first(slot, mode == AutoresetMode::SameStep)).collect();
        if mode == AutoresetMode::SameStep {
            rows.extend(backwards().map(|slot| Row { last: true, ..ended(slot) }));
        }
        let re = several.ask(Call::Step, &all);
        several.rows(re, &rows).unwrap();
        let name = if mode == AutoresetMode::SameStep { "Ready" } else { "Done" };
        assert!(several.slots().iter().all(|slot| slot == name));
        let twice: Vec<u32> = all.iter().copied().chain([0]).collect();
        assert_eq!(several.try_to_ask(Call::Step, &twice).unwrap_err().kind(), ErrorKind::Usage);
        assert!(all.iter().all(|slot| several.session.waiting(*slot).is_none()));
    }
}

/// A host with a slot in each state: 0 and 1 are Ready, 2 is Idle, 3 is Busy since it was Ready, 4 since it was Idle.
/// With it, the numbers of the agent's next frame and the requests that are owed an answer.
fn host() -> (EnvSession, Numbers, [u64; 2]) {
    let (mut session, mut next) = (EnvSession::new(), Numbers { seq: 1, ack: 0, re: 0 });
    let mut receive = |session: &mut EnvSession, frame: &dyn Fn(Numbers) -> Vec<u8>| {
        session.handle(&frame(next), &Limits::default()).unwrap();
        next.seq += 1;
        next.seq - 1
    };
    receive(&mut session, &Numbers::make);
    session.spec(&spec(5), &mut Vec::new()).unwrap();
    let reset = receive(&mut session, &|n| n.reset(&[0, 1, 3]));
    let rows = [0, 1, 3].map(|slot| row(slot, true));
    session.result(reset, &rows, &[], (false, 0), &mut Vec::new()).unwrap();
    let owed = [receive(&mut session, &|n| n.step(&[3])), receive(&mut session, &|n| n.render(&[4]))];
    (session, next, owed)
}

#[test]
fn a_request_that_is_refused_for_one_of_its_slots_leaves_all_as_they_were() {
    let (session, next, owed) = host();
    let before = names(&session);
    assert_eq!(before.1, ["Ready", "Ready", "Idle", "Busy", "Busy"]);
    let wrong: [(&[u32], ErrorKind); 7] = [
        (&[], ErrorKind::Usage),
        (&[0, 1, 5], ErrorKind::Usage),
        (&[1, u32::MAX, 0], ErrorKind::Usage),
        (&[0, 1, 0], ErrorKind::Usage),
        (&[0, 3, 1], ErrorKind::Busy),
        (&[1, 0, 4], ErrorKind::Busy),
        (&[0, 2, 1], ErrorKind::ResetNeeded),
    ];
    for (slots, kind) in wrong {
        for (call, frame) in [
            (Call::Reset, next.reset(slots)),
            (Call::Step, next.step(slots)),
            (Call::Render, next.render(slots)),
            (Call::Attribute, next.attribute(slots)),
        ] {
            if kind == ErrorKind::ResetNeeded && call != Call::Step {
                continue;
            }
            let mut session = session.clone();
            let EnvEvent::Refused { request, error } = session.handle(&frame, &Limits::default()).unwrap() else {
                panic!("{call:?} {slots:?} was taken")
            };
            assert_eq!(error.kind(), kind, "{call:?} {slots:?}: {error}");
            assert_eq!(names(&session), before, "{call:?} {slots:?}");
            let mut out = Vec::new();
            assert!(session.result(request, &[], &[], (false, 0), &mut out).is_err(), "nothing is owed");
            session.refusal(request, &error, &mut out);
            // What was owed before is still owed, and the other slots can be asked.
            let after = Numbers { seq: next.seq + 1, ..next };
            session.handle(&after.step(&[1, 0]), &Limits::default()).unwrap();
            session.result(owed[0], &[row(3, false)], &[], (false, 0), &mut out).unwrap();
            session.frames(owed[1], &Frames(Default::default()), &mut out).unwrap();
            assert_eq!(names(&session).1, ["Busy", "Busy", "Idle", "Ready", "Idle"], "{call:?} {slots:?}");
        }
    }
}
