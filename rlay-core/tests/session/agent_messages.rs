//! How the agent handles every message in every state: every cell of the table of messages.

use rlay_core::{
    Limits,
    session::{AgentEvent, Call},
    wire::Row,
};

use super::{
    fixtures::{AgentCase, agents, names},
    table::table,
    wire::{Numbers, row},
};

/// Most slots that an agent accepts in these tests.
const LIMITS: Limits = Limits { frame: 1 << 20, depth: 32, count: 1000 };

/// Numbers of frames that a reply could name, but for those in `but`.
fn others(case: &AgentCase, but: &[Option<u64>]) -> Vec<Numbers> {
    (0..=case.next.ack).filter(|re| !but.contains(&Some(*re))).map(|re| case.next.re(re)).collect()
}

/// The reply to `request`, if it is under way; else to any request at all, none of which is.
fn to(case: &AgentCase, request: Option<u64>) -> Vec<Numbers> {
    match request {
        Some(re) => vec![case.next.re(re)],
        None => others(case, &[case.make, case.close, case.slot.map(|(re, ..)| re)]),
    }
}

/// The rows that may answer `call` in slot 0.
fn rows(call: Call) -> Vec<Row> {
    let row = row(0, call == Call::Reset);
    if row.first { vec![row] } else { vec![row.clone()].into_iter().chain(ended(&row)).collect() }
}

/// The same row where the episode has ended.
fn ended(row: &Row) -> [Row; 2] {
    [Row { terminated: true, ..row.clone() }, Row { truncated: true, ..row.clone() }]
}

/// Every frame that `label` can mean in `case`; none if it can mean none, such as the answer to a
/// request when the table is about sessions that have no such request.
fn frames(case: &AgentCase, label: &str) -> Vec<Vec<u8>> {
    let next = case.next;
    let slot = case.slot.map(|(re, call, _)| (next.re(re), call));
    let stepping = slot.filter(|(_, call)| matches!(call, Call::Reset | Call::Step));
    let asking = slot.filter(|(_, call)| *call == Call::Attribute);
    let rendering = slot.filter(|(_, call)| *call == Call::Render);
    let anything = |reply: &dyn Fn(Numbers) -> Vec<u8>, but: &[Option<u64>]| {
        others(case, but).into_iter().map(reply).collect::<Vec<_>>()
    };
    match label {
        "Spec, re = Make, 1 to `count` slots" => {
            let counts = [1, 2, LIMITS.count];
            to(case, case.make).into_iter().flat_map(|n| counts.map(|count| n.spec(count))).collect()
        }
        "Spec, else" => {
            let absurd = case.make.into_iter().flat_map(|re| [0, LIMITS.count + 1].map(|n| next.re(re).spec(n)));
            anything(&|n| n.spec(1), &[case.make]).into_iter().chain(absurd).collect()
        }
        "Result, re = a Reset or Step under way" => match stepping {
            Some((n, call)) => rows(call).iter().map(|row| n.result(std::slice::from_ref(row))).collect(),
            None if case.column == "NoSpec" || case.column == "Making" => anything(&|n| n.result(&[row(0, true)]), &[]),
            None => vec![],
        },
        "Result, else" => {
            let re = stepping.map(|(n, _)| n.re);
            let mut all = anything(&|n| n.result(&[row(0, true)]), &[re]);
            all.extend(anything(&|n| n.result(&[]), &[]));
            if let Some((n, call)) = slot {
                let (first, not) = (row(0, call == Call::Reset), row(0, call != Call::Reset));
                let other = |slot| Row { slot, ..first.clone() };
                let last = Row { last: true, ..first.clone() };
                if call == Call::Reset {
                    all.extend(ended(&first).map(|row| n.result(&[row])));
                }
                all.extend([
                    n.result(&[not]),
                    n.result(&[other(1)]),
                    n.result(&[other(9)]),
                    n.result(&[first.clone(), first.clone()]),
                    n.result(&[first.clone(), other(1)]),
                    n.result(std::slice::from_ref(&last)),
                    n.result(&[first.clone(), last]),
                ]);
            }
            all
        }
        "Frames, re = a Render under way" => match rendering {
            Some((n, _)) => vec![n.frames(&[0])],
            None if case.column == "NoSpec" || case.column == "Making" => anything(&|n| n.frames(&[0]), &[]),
            None => vec![],
        },
        "Frames, else" => {
            let re = rendering.map(|(n, _)| n.re);
            let mut all = anything(&|n| n.frames(&[0]), &[re]);
            all.extend(anything(&|n| n.frames(&[]), &[]));
            if let Some((n, _)) = slot {
                all.extend([n.frames(&[1]), n.frames(&[0, 0]), n.frames(&[0, 1]), n.frames(&[u32::MAX])]);
            }
            all
        }
        "Returned, re = an Attribute under way" => match asking {
            Some((n, _)) => vec![n.returned(&[0])],
            None if case.column == "NoSpec" || case.column == "Making" => anything(&|n| n.returned(&[0]), &[]),
            None => vec![],
        },
        "Returned, else" => {
            let re = asking.map(|(n, _)| n.re);
            let mut all = anything(&|n| n.returned(&[0]), &[re]);
            all.extend(anything(&|n| n.returned(&[]), &[]));
            if let Some((n, _)) = slot {
                all.extend([n.returned(&[1]), n.returned(&[0, 0]), n.returned(&[0, 1]), n.returned(&[u32::MAX])]);
            }
            all
        }
        "Closed, re = Close" => to(case, case.close).into_iter().map(Numbers::closed).collect(),
        "Closed, else" => anything(&Numbers::closed, &[case.close]),
        "Error, fatal" => anything(&|n| n.error(true), &[]),
        "Error, re = Make" => to(case, case.make).into_iter().map(|n| n.error(false)).collect(),
        "Error, re = Close" => to(case, case.close).into_iter().map(|n| n.error(false)).collect(),
        "Error, re = a request of slots under way" => match slot {
            Some((n, _)) => vec![n.error(false)],
            None if case.column == "NoSpec" => anything(&|n| n.error(false), &[]),
            None if case.column == "Making" => anything(&|n| n.error(false), &[case.make]),
            None => vec![],
        },
        "Error, else" => anything(&|n| n.error(false), &[case.make, case.close, slot.map(|(n, _)| n.re)]),
        "Goodbye" => vec![next.goodbye(0), next.goodbye(9), next.goodbye(77)],
        "Hello, Challenge, Proof, Welcome, Reject, Make, Reset, Step, Render, Attribute, Close, a reserved kind" => {
            let mut all = vec![next.hello(), next.welcome(), next.reject(), next.make(), next.reset(&[0])];
            all.extend([next.step(&[0]), next.render(&[0]), next.attribute(&[0]), next.close()]);
            all.extend(next.challenge_and_proof());
            all.extend(next.reserved());
            all
        }
        "malformed, wrong numbers" => next.malformed(),
        other => panic!("the table has a message that this test does not know: {other}"),
    }
}

/// What the event says, and whether it says late.
fn describe(event: &AgentEvent<'_>) -> (&'static str, Option<Call>, bool) {
    match event {
        AgentEvent::Spec(_) => ("Spec", None, false),
        AgentEvent::Result { call, late, .. } => ("Result", Some(*call), *late),
        AgentEvent::Frames { late, .. } => ("Frames", Some(Call::Render), *late),
        AgentEvent::Returned { late, .. } => ("Returned", Some(Call::Attribute), *late),
        AgentEvent::Failed { call, late, .. } => ("Failed", *call, *late),
        AgentEvent::Closed => ("Closed", None, false),
        AgentEvent::Over(_) => ("Over", None, false),
    }
}

/// Delivers `frame` in `case` and checks that the outcome is what `cell` says.
fn check(case: &AgentCase, label: &str, cell: &str, frame: &[u8]) {
    let mut session = case.session.clone();
    let at = format!("{label} in {}, frame {frame:02x?}", case.name);
    let event = session.handle(frame, &LIMITS);
    let (state, slots) = names(&session);
    let event = match (cell, event) {
        ("✗", Err(error)) => {
            assert!(session.is_over(), "{at}: {error}");
            assert_eq!(error.kind(), rlay_core::ErrorKind::Protocol, "{at}: {error}");
            return;
        }
        (_, Err(error)) => panic!("{at}: {error}, not {cell}"),
        (_, Ok(event)) => describe(&event),
    };
    let waited = case.slot.map_or((None, false), |(_, call, late)| (Some(call), late));
    match cell {
        "→ Over" => {
            assert!(session.is_over() && event.0 == "Over", "{at}: {event:?}");
            assert!(session.handle(&case.next.goodbye(0), &LIMITS).is_err(), "{at}: over is over");
        }
        "→ Open, slots Idle" => {
            assert_eq!((state.as_str(), event.0), ("Open", "Spec"), "{at}");
            assert!(slots.iter().all(|slot| slot == "Idle"), "{at}: {slots:?}");
        }
        "→ NoSpec" => assert_eq!((state.as_str(), event), ("NoSpec", ("Failed", None, false)), "{at}"),
        "→ Closed" => {
            assert_eq!(state, "Closed", "{at}");
            assert_eq!(event.0, if label.starts_with("Error") { "Failed" } else { "Closed" }, "{at}");
            assert_eq!(event.1, None, "{at}");
        }
        "slots → Ready or Done" => {
            assert_eq!((state.as_str(), event), (case.column, ("Result", waited.0, waited.1)), "{at}");
            let flags = frame[44];
            assert_eq!(slots, [if flags > 1 { "Done" } else { "Ready" }, "Idle"], "{at}");
        }
        "slots → as before" => {
            let name = if label.starts_with("Error") { "Failed" } else { &label[..label.find(',').expect("one")] };
            assert_eq!((state.as_str(), event), (case.column, (name, waited.0, waited.1)), "{at}");
            assert_eq!(slots, [case.before, "Idle"], "{at}");
        }
        other => panic!("the table has a cell that this test does not know: {other}"),
    }
    // Whatever was answered is answered for good: the same reply with the next number is a violation.
    if !session.is_over() {
        let again = { frame.to_vec() };
        let again = [&again[..8], &(case.next.seq + 1).to_le_bytes(), &again[16..]].concat();
        assert!(session.handle(&again, &LIMITS).is_err(), "{at}: a second answer");
        assert!(session.is_over());
    }
}

#[test]
fn every_cell_of_the_table_of_messages() {
    let (mut cells, mut frames_tried) = (0, 0);
    for (label, columns) in table(&["message", "NoSpec"]) {
        for (column, cell) in &columns {
            let before = frames_tried;
            for case in agents().iter().filter(|case| case.column == column) {
                for frame in frames(case, &label) {
                    check(case, &label, cell, &frame);
                    frames_tried += 1;
                }
            }
            assert!(frames_tried > before, "nothing was tried for {label} in {column}");
            cells += 1;
        }
    }
    assert_eq!(cells, 18 * 5);
    assert!(frames_tried > 2000, "{frames_tried} frames");
}

#[test]
fn a_session_that_is_over_reads_nothing() {
    for case in agents().iter().filter(|case| case.column == "Over") {
        for frame in [case.next.goodbye(0), case.next.error(true), vec![], case.next.spec(1)] {
            let mut session = case.session.clone();
            let error = session.handle(&frame, &LIMITS).unwrap_err();
            assert_eq!(error.kind(), rlay_core::ErrorKind::Closed, "{}", case.name);
            assert_eq!(session, case.session, "{}", case.name);
        }
    }
}

#[test]
fn the_code_of_a_goodbye_becomes_the_kind_of_the_error() {
    for (code, kind) in [(0, "ConnectionLost"), (9, "Env"), (4, "Closed"), (77, "Protocol")] {
        let case = &agents()[0];
        let mut session = case.session.clone();
        let frame = case.next.goodbye(code);
        let AgentEvent::Over(error) = session.handle(&frame, &LIMITS).unwrap() else { panic!() };
        assert_eq!(format!("{:?}", error.kind()), kind);
        assert!(error.to_string().contains("enough"), "{error}");
    }
}
