//! How the host handles every message and what it may reply: every cell of its three tables.

use rlay_core::{
    Error, ErrorKind, Limits, Result,
    session::{Call, EnvEvent, EnvSession},
    wire::{Frames, Goodbye, Header, Kind, Message, Reader, Returned},
};

use super::{
    fixtures::{EnvCase, envs, names},
    table::table,
    wire::{Numbers, row, spec},
};

fn limits() -> Limits {
    Limits::default()
}

fn request(n: Numbers, name: &str, slots: &[u32]) -> Vec<u8> {
    match name {
        "Make" => n.make(),
        "Reset" => n.reset(slots),
        "Step" => n.step(slots),
        "Render" => n.render(slots),
        "Attribute" => n.attribute(slots),
        "Close" => n.close(),
        other => panic!("no such request: {other}"),
    }
}

fn frames(case: &EnvCase, label: &str) -> Vec<Vec<u8>> {
    let n = case.next;
    match label {
        "Make" | "Close" => vec![request(n, label, &[])],
        "Reset, Step, Render, Attribute" => label.split(", ").map(|name| request(n, name, &[0])).collect(),
        "a reserved kind" => n.reserved(),
        "Goodbye" => vec![n.goodbye(0), n.goodbye(9)],
        "Error, fatal" => vec![n.error(true)],
        "Error, not fatal" => vec![n.error(false)],
        "Hello, Challenge, Proof, Welcome, Reject, Spec, Result, Frames, Returned, Closed" => {
            let replies = [n.spec(1), n.result(&[row(0, true)]), n.frames(&[0]), n.returned(&[0]), n.closed()];
            [n.hello(), n.welcome(), n.reject()].into_iter().chain(n.challenge_and_proof()).chain(replies).collect()
        }
        "malformed, wrong numbers" => n.malformed(),
        other => panic!("the table has a message that this test does not know: {other}"),
    }
}

/// The refusal written by the session tells the agent what the event tells the host.
fn check_refusal(session: &mut EnvSession, request: u64, error: &Error, at: &str) {
    let mut out = Vec::new();
    session.refusal(request, error, &mut out);
    let mut reader = Reader::new(&out, 0, &limits());
    let header = Header::read(&mut reader).unwrap();
    assert_eq!((header.kind, header.re), (Kind::Error, request), "{at}");
    let Ok(Message::Error(fault)) = Message::read(header, reader) else { panic!("{at}") };
    assert_eq!((fault.code, fault.fatal), (error.kind().code(), false), "{at}");
}

/// Delivers `frame` in `case` and checks that the outcome is what `cell` says.
fn check(case: &EnvCase, label: &str, cell: &str, frame: &[u8]) {
    let mut session = case.session.clone();
    let at = format!("{label} in {}, frame {frame:02x?}", case.name);
    let event = session.handle(frame, &limits());
    let (state, slots) = names(&session);
    let (before, slots_before) = names(&case.session);
    if cell == "✗" {
        let error = event.map(|_| ()).expect_err(&at);
        assert!(session.is_over() && error.kind() == ErrorKind::Protocol, "{at}: {error}");
        return;
    }
    let event = event.unwrap_or_else(|e| panic!("{at}: {e}, not {cell}"));
    if let Some(kind) = cell.strip_prefix("R:") {
        let EnvEvent::Refused { request, error } = event else { panic!("{at}: {event:?}") };
        assert_eq!((format!("{:?}", error.kind()), request), (kind.to_owned(), case.next.seq), "{at}: {error}");
        assert_eq!((&state, &slots), (&before, &slots_before), "{at}: a refusal changes no state");
        return check_refusal(&mut session, request, &error, &at);
    }
    let seq = match event {
        EnvEvent::Make { request, .. } | EnvEvent::Close { request } => request,
        EnvEvent::Reset { request, .. }
        | EnvEvent::Step { request, .. }
        | EnvEvent::Render { request, .. }
        | EnvEvent::Attribute { request, .. } => request,
        EnvEvent::Over(_) => case.next.seq,
        EnvEvent::Refused { error, .. } => panic!("{at}: {error}, not {cell}"),
    };
    assert_eq!(seq, case.next.seq, "{at}");
    let wanted = cell.strip_prefix("→ ").unwrap_or_else(|| panic!("the table has an unknown cell: {cell}"));
    assert!(state == wanted || slots.first().is_some_and(|slot| slot == wanted), "{at}: {session:?}");
}

#[test]
fn every_cell_of_the_table_of_messages() {
    let mut cells = 0;
    for (label, columns) in table(&["message", "NoEnv"]) {
        for (column, cell) in &columns {
            for case in envs().iter().filter(|case| case.column == column) {
                let cell = match cell.as_str() {
                    "by slot, below" => continue,
                    "→ Closing; R:Busy if a slot is Busy" if case.slot.is_some() => "R:Busy",
                    "→ Closing; R:Busy if a slot is Busy" => "→ Closing",
                    cell => cell,
                };
                frames(case, &label).iter().for_each(|frame| check(case, &label, cell, frame));
            }
            cells += 1;
        }
    }
    assert_eq!(cells, 9 * 5);
}

#[test]
fn every_cell_of_the_table_of_messages_about_a_slot() {
    let mut cells = 0;
    for (label, columns) in table(&["message about a slot"]) {
        for (column, cell) in &columns {
            let mut found = 0;
            for case in envs().iter().filter(|case| case.column == "Open") {
                let slot = if case.slot.is_some() { "Busy" } else { case.before };
                if column.starts_with("no such slot") {
                    let own_reason = slot == "Busy" || (slot == "Idle" && label == "Step");
                    let wrong: [&[u32]; 4] = [&[2], &[u32::MAX], &[], &[0, 0]];
                    for slots in wrong.iter().filter(|slots| !own_reason || slots.len() < 2) {
                        check(case, &label, cell, &request(case.next, &label, slots));
                        found += 1;
                    }
                } else if column == slot {
                    check(case, &label, cell, &request(case.next, &label, &[0]));
                    found += 1;
                }
            }
            assert!(found > 0, "{label}, {column}");
            cells += 1;
        }
    }
    assert_eq!(cells, 4 * 4);
}

type Reply<'a> = Box<dyn Fn(&mut EnvSession, u64, &mut Vec<u8>) -> Result<()> + 'a>;

/// The calls that `label` names, and the kind of frame that each writes.
fn replies(label: &str) -> Vec<(&'static str, Kind, Reply<'static>)> {
    let all: Vec<(&'static str, Kind, Reply<'static>)> = vec![
        ("spec", Kind::Spec, Box::new(|s, _, out| s.spec(&spec(2), out))),
        ("result", Kind::Result, Box::new(|s, re, out| s.result(re, &[row(0, true)], &[], (false, 0), out))),
        ("frames", Kind::Frames, Box::new(|s, re, out| s.frames(re, &Frames(Default::default()), out))),
        ("returned", Kind::Returned, Box::new(|s, re, out| s.returned(re, &Returned::default(), out))),
        ("closed", Kind::Closed, Box::new(|s, _, out| s.closed(out))),
        ("fail", Kind::Error, Box::new(|s, re, out| s.fail(re, &Error::new(ErrorKind::Env, "no"), out))),
        ("goodbye", Kind::Goodbye, Box::new(|s, _, out| s.goodbye(&Goodbye { code: 0, message: String::new() }, out))),
        (
            "abort (fatal Error)",
            Kind::Error,
            Box::new(|s, _, out| {
                s.abort(&Error::new(ErrorKind::Protocol, "no"), out);
                Ok(())
            }),
        ),
    ];
    let named: Vec<_> = all.into_iter().filter(|(name, ..)| label.split(", ").any(|word| word == *name)).collect();
    assert!(!named.is_empty(), "the table has a call that this test does not know: {label}");
    named
}

#[test]
fn every_cell_of_the_table_of_replies() {
    let mut cells = 0;
    for (label, columns) in table(&["call", "NoEnv"]) {
        for (column, cell) in &columns {
            for case in envs().iter().filter(|case| case.column == column) {
                for (name, kind, reply) in replies(&label) {
                    for request in 0..=case.next.seq {
                        let cell = cell_for(case, name, cell, request);
                        check_reply(case, name, cell, kind, &reply, request);
                    }
                }
            }
            cells += 1;
        }
    }
    assert_eq!(cells, 6 * 6);
}

/// What a cell with a condition says about a reply to `request`.
fn cell_for<'c>(case: &EnvCase, name: &str, cell: &'c str, request: u64) -> &'c str {
    let owed = |under_way: Option<u64>, then: &'static str| if under_way == Some(request) { then } else { "Usage" };
    match cell {
        "frees the slots Busy with that request; Usage if there is none" | "as result, frames, returned" => {
            owed(case.slot.map(|(re, _)| re), "free")
        }
        "→ NoEnv if that request is Make, else Usage" => owed(case.make, "→ NoEnv"),
        "→ Closed if that request is Close, else Usage" => owed(case.close, "→ Closed"),
        "→ Open, slots Idle" => "→ Open",
        cell => {
            assert!(!cell.contains("if"), "{name}: a cell that this test does not know: {cell}");
            cell
        }
    }
}

fn check_reply(case: &EnvCase, name: &str, cell: &str, kind: Kind, reply: &Reply<'_>, request: u64) {
    let (mut session, mut out) = (case.session.clone(), Vec::new());
    let result = reply(&mut session, request, &mut out);
    let at = format!("{name} to {request} in {}", case.name);
    let (state, slots) = names(&session);
    if matches!(cell, "Usage" | "Closed") {
        let error = result.expect_err(&at);
        assert_eq!(format!("{:?}", error.kind()), cell, "{at}: {error}");
        assert_eq!(session, case.session, "{at}: a refused call changes nothing");
        assert!(out.is_empty(), "{at}: a refused call writes nothing");
        return;
    }
    result.unwrap_or_else(|e| panic!("{at}: {e}"));
    let header = Header::read(&mut Reader::new(&out, 0, &limits())).unwrap();
    assert_eq!((header.kind, header.seq, header.ack), (kind, case.next.ack + 1, case.next.seq - 1), "{at}");
    if cell == "free" {
        let ready =
            case.before == "Ready" || name == "result" && case.slot.is_some_and(|(_, call)| call == Call::Reset);
        assert_eq!(slots, [if ready { "Ready" } else { "Idle" }, "Idle"], "{at}");
        assert_eq!((state.as_str(), header.re), ("Open", request), "{at}");
        reply(&mut session, request, &mut out).expect_err(&format!("{at}: answered twice"));
    } else {
        assert_eq!(state, cell.trim_start_matches("→ "), "{at}");
    }
}

#[test]
fn a_session_that_is_over_reads_nothing() {
    for case in envs().iter().filter(|case| case.column == "Over") {
        for frame in [case.next.goodbye(0), case.next.make(), vec![]] {
            let mut session = case.session.clone();
            assert_eq!(session.handle(&frame, &limits()).unwrap_err().kind(), ErrorKind::Closed, "{}", case.name);
            assert_eq!(session, case.session, "{}", case.name);
        }
    }
}
