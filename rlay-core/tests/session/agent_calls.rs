//! What the agent's user may call in which state: every cell of the two tables of calls.

use rlay_core::{
    Error, ErrorKind, Result,
    session::{AgentSession, Call},
    wire::{Goodbye, Header, Kind, Limits, Make, Reader},
};

use super::{
    fixtures::{AgentCase, agents, issue, names, two_slots},
    table::table,
};

/// Makes `call` in `case` and checks that the outcome is what `cell` says.
fn check(case: &AgentCase, label: &str, cell: &str, call: impl Fn(&mut AgentSession, &mut Vec<u8>) -> Result<()>) {
    let (mut session, mut out) = (case.session.clone(), Vec::new());
    let result = call(&mut session, &mut out);
    let at = format!("{label} in {}", case.name);
    match cell.strip_prefix("→ ") {
        Some(state) => {
            result.unwrap_or_else(|e| panic!("{at}: {e}"));
            let (now, slots) = names(&session);
            assert!(now == state || slots[0] == state, "{at}: {session:?}");
            // One frame with the next number was written, and its kind is that of the call.
            let header = Header::read(&mut Reader::new(&out, 0, &Limits::default())).unwrap();
            assert_eq!((header.seq, header.ack, header.re), (case.next.ack + 1, case.next.seq - 1, 0), "{at}");
            assert_eq!(header.kind, kind(label), "{at}");
        }
        None => {
            let error = result.expect_err(&at);
            assert_eq!(format!("{:?}", error.kind()), cell, "{at}: {error}");
            assert_eq!(session, case.session, "{at}: a refused call changes nothing");
            assert!(out.is_empty(), "{at}: a refused call writes nothing");
        }
    }
}

fn kind(label: &str) -> Kind {
    match label {
        "make" => Kind::Make,
        "reset" => Kind::Reset,
        "step" => Kind::Step,
        "render" => Kind::Render,
        "attribute" => Kind::Attribute,
        "close" => Kind::Close,
        "goodbye" => Kind::Goodbye,
        other => panic!("no such call: {other}"),
    }
}

fn calls(label: &str) -> Vec<(&str, Call)> {
    let all = [("reset", Call::Reset), ("step", Call::Step), ("render", Call::Render), ("attribute", Call::Attribute)];
    all.into_iter().filter(|(name, _)| label.split(", ").any(|word| word == *name)).collect()
}

#[test]
fn every_cell_of_the_table_of_calls() {
    let mut cells = 0;
    for (label, columns) in table(&["call", "NoSpec", "Making"]) {
        for (column, cell) in &columns {
            for case in agents().iter().filter(|case| case.column == column) {
                match label.as_str() {
                    "make" => check(case, &label, cell, |s, out| s.make(&Make::default(), out)),
                    "close" => check(case, &label, cell, AgentSession::close),
                    "goodbye" => {
                        check(case, &label, cell, |s, out| s.goodbye(&Goodbye { code: 0, message: String::new() }, out))
                    }
                    "abort (fatal Error)" => abort(case, cell),
                    "give_up" => give_up(case, cell),
                    "reset, step, render, attribute" if cell == "by slot, below" => continue,
                    "reset, step, render, attribute" => {
                        for (name, call) in calls(&label) {
                            check(case, name, cell, |s, out| issue(s, call, &[0], out));
                        }
                    }
                    other => panic!("the table has a call that this test does not know: {other}"),
                }
            }
            cells += 1;
        }
    }
    assert_eq!(cells, 6 * 6);
}

fn abort(case: &AgentCase, cell: &str) {
    let (mut session, mut out) = (case.session.clone(), Vec::new());
    session.abort(&Error::new(ErrorKind::Protocol, "no"), &mut out);
    assert_eq!(names(&session).0, cell.trim_start_matches("→ "), "{}", case.name);
    assert_eq!(out[0], Kind::Error as u8);
    assert_eq!(out[36], 1, "fatal");
}

fn give_up(case: &AgentCase, cell: &str) {
    let mut session = case.session.clone();
    session.give_up();
    if cell == "–" {
        // Nothing is under way that could be reported: a session that is over stays silent.
        assert_eq!(names(&session), names(&case.session), "{}", case.name);
    } else {
        assert_eq!(cell, "Waiting slots become late");
        assert_eq!(session.waiting(0), case.slot.map(|(_, call, _)| (call, true)), "{}", case.name);
    }
}

#[test]
fn every_cell_of_the_table_of_calls_about_a_slot() {
    let mut cells = 0;
    for (label, columns) in table(&["call about a slot"]) {
        let [(name, call)] = calls(&label)[..] else { panic!("{label}") };
        for (column, cell) in &columns {
            let mut found = 0;
            for case in agents().iter().filter(|case| case.column == "Open") {
                let slot = if case.slot.is_some() { "Waiting" } else { case.before };
                if column.starts_with("no such slot") {
                    let wrong: [&[u32]; 4] = [&[2], &[u32::MAX], &[], &[0, 0]];
                    let known = slot == "Waiting" || (slot == "Idle" && call == Call::Step);
                    // A slot named twice that refuses the call for a reason of its own gives that reason.
                    for slots in wrong.iter().filter(|slots| !known || slots.len() < 2) {
                        check(case, name, cell, |s, out| issue(s, call, slots, out));
                        found += 1;
                    }
                } else if column == slot {
                    check(case, name, cell, |s, out| issue(s, call, &[0], out));
                    found += 1;
                }
            }
            assert!(found > 0, "{label}, {column}");
            cells += 1;
        }
    }
    assert_eq!(cells, 4 * 5);
}

#[test]
fn a_call_about_several_slots_needs_every_one_of_them() {
    let ready = agents().into_iter().find(|case| case.name == "Open, slot Ready").unwrap();
    // Slot 1 was never reset.
    check(&ready, "step", "ResetNeeded", |s, out| s.step(&[0, 1], out));
    check(&ready, "step", "Usage", |s, out| s.step(&[0, 2], out));
    let mut session = ready.session.clone();
    session.reset(&two_slots(), &mut Vec::new()).unwrap();
    assert_eq!((session.waiting(0), session.waiting(1)), (Some((Call::Reset, false)), Some((Call::Reset, false))));
    assert_eq!(session.waiting(2), None);
}
