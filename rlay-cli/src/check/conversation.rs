//! Every message in every state of the env's tables.

use std::time::Duration;

use rlay::{
    Discrete, EnvFailure, Map, Space, Value,
    wire::{Fault, Frames, Goodbye, Kind, Make, Message, Reject, Returned, Row, Seed, Spec, Welcome},
};

use super::{Check, attributes};
use crate::{
    arguments::Level::Conversation,
    connection::{Answer, Connection, Event, Verdict, failed, not_applicable, read},
    frames,
    session::Session,
    target::{Target, Wish, hello_frame},
};

pub(crate) const USAGE: u32 = 1;
const RESET_NEEDED: u32 = 2;
const CLOSED: u32 = 4;
const BUSY: u32 = 5;

/// A state of the env that can be reached and stays.
#[derive(Debug, Clone, Copy)]
enum State {
    NoEnv,
    Open,
    Closed,
}

pub(crate) fn checks() -> Vec<Check> {
    let check = |section, name: &str, run: fn(&Target) -> Verdict| Check::new(Conversation, section, name, run);
    let mut checks = vec![
        check(10, "requests before Make", before_make),
        check(10, "Make that fails, and then one that does not", failing_make),
        check(8, "keyword arguments that the env does not allow", unknown_kwargs),
        check(8, "keyword arguments that are no Dict, or whose names are no Str", strange_kwargs),
        check(8, "the texts of an Error are cut", cut_texts),
        check(10, "Make twice", make_twice),
        check(10, "Step before Reset", step_before_reset),
        check(10, "slots that there are not, the same twice, none", wrong_slots),
        check(8, "an attribute that is not listed", attributes::unlisted),
        check(8, "attributes that are listed", attributes::listed),
        check(8, "a reserved kind", reserved),
        check(8, "seeds of any size, and options", seeds),
        check(10, "requests after Close", after_close),
        check(10, "a request while Make is answered", while_making),
        check(10, "a request while a slot is busy", while_busy),
        check(10, "each request is answered once", once),
        check(10, "Goodbye before Make", |target| target.begin(Wish::default())?.0.goodbye()),
        check(10, "Goodbye amid an episode", |target| {
            let mut session = Session::begin(target)?;
            session.reset(None)?;
            session.goodbye()
        }),
        check(10, "Goodbye after Close", |target| reach(target, State::Closed)?.goodbye()),
        check(10, "Goodbye while a request is under way", goodbye_while_busy),
        check(13, "a fatal Error of the agent", fatal_error),
        check(13, "the close mark without Goodbye", |target| {
            let mut connection = reach(target, State::Open)?;
            connection.close();
            drop(connection);
            Session::begin(target)?.goodbye()
        }),
    ];
    for state in [State::NoEnv, State::Open, State::Closed] {
        for (kind, body) in foreign_messages() {
            checks.push(Check::new(
                Conversation,
                10,
                format!("{kind:?} of the agent in state {state:?}"),
                move |target| {
                    let mut connection = reach(target, state)?;
                    connection.send(kind, &body);
                    connection.expect_violation(&format!("{kind:?} of an agent"))
                },
            ));
        }
    }
    checks
}

/// A session in this state.
fn reach(target: &Target, state: State) -> Verdict<Connection> {
    match state {
        State::NoEnv => Ok(target.begin(Wish::default())?.0),
        State::Open => {
            let mut session = Session::begin(target)?;
            session.reset(None)?;
            Ok(session.connection)
        }
        State::Closed => {
            let mut session = Session::begin(target)?;
            close(&mut session.connection)?;
            Ok(session.connection)
        }
    }
}

fn close(connection: &mut Connection) -> Verdict {
    let answer = connection.ask(Kind::Close, &frames::slots(&[]), "Close")?;
    match answer.header.kind {
        Kind::Closed => Ok(()),
        _ => failed(10, format!("Close was answered by {}, not by Closed", answer.words())),
    }
}

/// What no agent sends within a session, each well-formed.
fn foreign_messages() -> Vec<(Kind, Vec<u8>)> {
    let hello = rlay::wire::Hello {
        wire_min: 0,
        wire_max: 0,
        role: rlay::wire::Role::Agent,
        auth: 0,
        features: 0,
        max_frame: 1 << 20,
        peer: String::new(),
        nonce: None,
        resume: None,
    };
    let welcome = Welcome {
        wire: 0,
        features: 0,
        max_frame: 1 << 20,
        peer: String::new(),
        proof: None,
        ticket: None,
        received: None,
    };
    let space = Discrete::new(2).describe();
    let spec = Spec { observation_space: space.clone(), action_space: space, ..Spec::default() };
    let row =
        Row { slot: 0, first: false, last: false, terminated: false, truncated: false, reward: 0.0, info: Value::None };
    let reject = Reject { code: 5, wire_min: 0, wire_max: 0, message: String::new() };
    let fault = Fault { code: 1, fatal: false, slots: Default::default(), failure: EnvFailure::new("", "no") };
    vec![
        (Kind::Hello, hello_frame(&hello).split_off(rlay::wire::HEADER_LEN)),
        (Kind::Challenge, vec![7; 32]),
        (Kind::Proof, vec![7; 32]),
        (Kind::Welcome, frames::body(|w| welcome.put(w))),
        (Kind::Reject, frames::body(|w| reject.put(w))),
        (Kind::Error, frames::body(|w| fault.put(w))),
        (Kind::Spec, frames::body(|w| spec.put(w))),
        (
            Kind::Result,
            frames::body(|w| {
                w.list(std::slice::from_ref(&row), |w, row| row.put(w));
                w.value(&Map::new().into());
                w.put(1u32);
                w.value(&Value::Int(0));
            }),
        ),
        (Kind::Frames, frames::body(|w| Frames([(0, Value::None)].into_iter().collect()).put(w))),
        (Kind::Returned, frames::body(|w| Returned([(0, None)].into_iter().collect()).put(w))),
        (Kind::Closed, frames::slots(&[])),
    ]
}

/// The answer must be a non-fatal Error with this code.
pub(crate) fn refused(connection: &mut Connection, kind: Kind, body: &[u8], code: u32, what: &str) -> Verdict {
    let answer = connection.ask(kind, body, what)?;
    expect_fault(&answer, &[code], what)
}

fn expect_fault(answer: &Answer, codes: &[u32], what: &str) -> Verdict {
    match answer.fault() {
        Some(fault) if codes.contains(&fault.code) => Ok(()),
        _ => {
            let codes = codes.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ");
            failed(10, format!("{what} must be answered by Error {codes}, not by {}", answer.words()))
        }
    }
}

/// A Step of these slots without any action.
fn bare_step(slots: &[u32]) -> Vec<u8> {
    let actions: Vec<u8> = slots.iter().flat_map(|_| frames::value(&Value::Int(0))).collect();
    frames::step(slots, false, &actions)
}

/// Requests about slot 0, but Make and Close.
fn requests() -> Vec<(Kind, Vec<u8>)> {
    vec![
        (Kind::Reset, frames::reset(&[(0, None)], &Value::None)),
        (Kind::Step, bare_step(&[0])),
        (Kind::Render, frames::slots(&[0])),
        (Kind::Attribute, frames::attribute(&[0], "gravity")),
    ]
}

fn before_make(target: &Target) -> Verdict {
    let (mut connection, greeting) = target.begin(Wish::default())?;
    for (kind, body) in requests().into_iter().chain([(Kind::Close, frames::slots(&[]))]) {
        refused(&mut connection, kind, &body, USAGE, &format!("{kind:?} before Make"))?;
    }
    let answer = connection.ask(Kind::Make, &frames::make(&target.make()), "Make")?;
    Session::made(connection, greeting, answer)?.goodbye()
}

/// A Make that may fail; then the env must make what it has.
fn then_made(target: &Target, make: &Make, what: &str, may_succeed: bool) -> Verdict {
    let (mut connection, greeting) = target.begin(Wish::default())?;
    let answer = connection.ask(Kind::Make, &frames::make(make), what)?;
    match answer.message()? {
        Message::Error(_) => {
            let answer = connection.ask(Kind::Make, &frames::make(&target.make()), "Make after one that failed")?;
            Session::made(connection, greeting, answer)?.goodbye()
        }
        Message::Spec(_) if may_succeed => connection.goodbye(),
        _ => failed(8, format!("{what} must be answered by Error, not by {}", answer.words())),
    }
}

fn failing_make(target: &Target) -> Verdict {
    let id = Make { env_id: Some("no environment has this id".to_owned()), ..target.make() };
    then_made(target, &id, "Make of an unknown env_id", true)?;
    let mode = Make { render_mode: Some("no such mode".to_owned()), ..target.make() };
    then_made(target, &mode, "Make with an unknown render mode", true)
}

fn unknown_kwargs(target: &Target) -> Verdict {
    let kwargs = Map::from([("no_such_argument", Value::Int(1))]).into();
    then_made(target, &Make { kwargs, ..target.make() }, "Make with an unknown keyword argument", false)
}

/// docs/wire.md says what they are, not whether others are refused or a violation: either will do.
fn strange_kwargs(target: &Target) -> Verdict {
    let numbered = Map(vec![(Value::Int(1), Value::Int(2))]).into();
    for (kwargs, which) in
        [(Value::Int(1), "an Int"), (Value::List(vec![]), "a List"), (numbered, "a Dict with a number as its key")]
    {
        let what = format!("Make with {which} as its keyword arguments");
        let (mut connection, greeting) = target.begin(Wish::default())?;
        let seq = connection.send(Kind::Make, &frames::make(&Make { kwargs, ..target.make() }));
        let event = connection.receive();
        let Event::Frame(frame) = event else {
            return failed(8, format!("{what} must be refused, but {}", event.words()));
        };
        let (header, message) = read(&frame)?;
        connection.count(header)?;
        match message {
            Message::Error(fault) if fault.fatal && fault.code == 8 => connection.expect_end(&what)?,
            Message::Error(fault) if !fault.fatal && header.re == seq => {
                let answer = connection.ask(Kind::Make, &frames::make(&target.make()), "Make after one that failed")?;
                Session::made(connection, greeting, answer)?.goodbye()?;
            }
            _ => return failed(8, format!("{what} must be refused, but {:?} came", header.kind)),
        }
    }
    Ok(())
}

/// An Error is to fit the smallest frame limit, whatever it quotes.
fn cut_texts(target: &Target) -> Verdict {
    const LONGEST: usize = 16384;
    let (mut connection, _) = target.begin(Wish::default())?;
    let kwargs = Map::from([("no_such_argument_".repeat(3000), Value::Int(1))]).into();
    let make = Make { kwargs, ..target.make() };
    let answer = connection.ask(Kind::Make, &frames::make(&make), "Make with a keyword argument of a long name")?;
    let Some(fault) = answer.fault() else {
        return failed(8, format!("an unknown keyword argument must be answered by Error, not by {}", answer.words()));
    };
    let failure = &fault.failure;
    for text in [&failure.error_type, &failure.message, &failure.traceback] {
        if text.len() > LONGEST {
            return failed(8, format!("a text of Error has {} bytes, and is to be cut to {LONGEST}", text.len()));
        }
    }
    connection.goodbye()
}

fn make_twice(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    let make = frames::make(&target.make());
    refused(&mut session.connection, Kind::Make, &make, USAGE, "a second Make")?;
    session.reset(None)?;
    refused(&mut session.connection, Kind::Make, &make, USAGE, "Make amid an episode")?;
    session.goodbye()
}

fn step_before_reset(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    refused(&mut session.connection, Kind::Step, &bare_step(&[0]), RESET_NEEDED, "Step before Reset")?;
    session.reset(None)?;
    session.goodbye()
}

fn wrong_slots(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    session.reset(None)?;
    let beyond = session.spec.slots;
    for (slots, which) in
        [(vec![], "no slot"), (vec![0, 0], "one slot twice"), (vec![beyond], "a slot that there is not")]
    {
        let rows: Vec<(u32, Option<Seed>)> = slots.iter().map(|slot| (*slot, None)).collect();
        for (kind, body) in [
            (Kind::Reset, frames::reset(&rows, &Value::None)),
            (Kind::Step, bare_step(&slots)),
            (Kind::Render, frames::slots(&slots)),
            (Kind::Attribute, frames::attribute(&slots, "gravity")),
        ] {
            refused(&mut session.connection, kind, &body, USAGE, &format!("{kind:?} of {which}"))?;
        }
    }
    session.reset(None)?;
    session.goodbye()
}

fn reserved(target: &Target) -> Verdict {
    let (mut connection, greeting) = target.begin(Wish::default())?;
    for kind in [Kind::StepAgents, Kind::ResultAgents] {
        refused(&mut connection, kind, b"no body yet", USAGE, "a reserved kind before Make")?;
    }
    let answer = connection.ask(Kind::Make, &frames::make(&target.make()), "Make")?;
    let mut session = Session::made(connection, greeting, answer)?;
    session.reset(None)?;
    for kind in [Kind::StepAgents, Kind::ResultAgents] {
        refused(&mut session.connection, kind, b"", USAGE, "a reserved kind amid an episode")?;
    }
    close(&mut session.connection)?;
    for kind in [Kind::StepAgents, Kind::ResultAgents] {
        refused(&mut session.connection, kind, b"\xff", USAGE, "a reserved kind after Close")?;
    }
    session.goodbye()
}

fn seeds(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    let long = Seed(std::iter::repeat_n(0x5a, 4096).collect());
    let seeds = [None, Some(Seed::from(0)), Some(Seed::from(1)), Some(Seed::from(u64::MAX)), Some(long)];
    for seed in seeds {
        // What an environment thinks of a seed is its own affair; the session goes on.
        let body = frames::reset(&[(0, seed.clone())], &Value::None);
        let answer = session.connection.ask(Kind::Reset, &body, "Reset")?;
        match answer.fault() {
            Some(fault) if fault.code == 9 => {}
            _ => drop(session.outcome(&answer, true)?),
        }
    }
    session.reset_with(Some(Seed::from(3)), &Map::new().into())?;
    session.goodbye()
}

fn after_close(target: &Target) -> Verdict {
    let mut connection = reach(target, State::Closed)?;
    for (kind, body) in requests().into_iter().chain([(Kind::Close, frames::slots(&[]))]) {
        refused(&mut connection, kind, &body, CLOSED, &format!("{kind:?} after Close"))?;
    }
    refused(&mut connection, Kind::Make, &frames::make(&target.make()), USAGE, "Make after Close")?;
    connection.goodbye()
}

/// The answers to two requests, in the order of the requests.
fn both(connection: &mut Connection, requests: [u64; 2], what: &str) -> Verdict<[Answer; 2]> {
    let one = connection.answer_to_any(&requests, what)?;
    let other = if one.header.re == requests[0] { requests[1] } else { requests[0] };
    let two = connection.answer(other, what)?;
    Ok(if other == requests[1] { [one, two] } else { [two, one] })
}

fn while_making(target: &Target) -> Verdict {
    let (mut connection, greeting) = target.begin(Wish::default())?;
    let make = connection.send(Kind::Make, &frames::make(&target.make()));
    let reset = connection.send(Kind::Reset, &frames::reset(&[(0, None)], &Value::None));
    let [made, answer] = both(&mut connection, [make, reset], "Make with a Reset behind it")?;
    let session = Session::made(connection, greeting, made)?;
    match answer.fault() {
        Some(fault) if fault.code == USAGE => {}
        _ => drop(session.outcome(&answer, true)?),
    }
    session.goodbye()
}

fn while_busy(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    let reset = frames::reset(&[(0, None)], &Value::None);
    let requests = [session.connection.send(Kind::Reset, &reset), session.connection.send(Kind::Reset, &reset)];
    let [first, second] = both(&mut session.connection, requests, "Reset with another one behind it")?;
    session.outcome(&first, true)?;
    if second.fault().is_none_or(|fault| fault.code != BUSY) {
        session.outcome(&second, true)?;
    }
    let requests =
        [session.connection.send(Kind::Reset, &reset), session.connection.send(Kind::Close, &frames::slots(&[]))];
    let [first, second] = both(&mut session.connection, requests, "Reset with Close behind it")?;
    session.outcome(&first, true)?;
    if second.header.kind != Kind::Closed {
        expect_fault(&second, &[BUSY], "Close while a slot is busy")?;
    }
    session.goodbye()
}

fn once(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    session.reset(None)?;
    let mut rng = rlay::Rng::seeded(1);
    let action = session.actions().sample(&mut rng);
    session.step(&action)?;
    match session.connection.receive_within(Duration::from_millis(200)) {
        Event::Silence => session.goodbye(),
        other => failed(10, format!("every request was answered, but {}", other.words())),
    }
}

fn goodbye_while_busy(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    session.connection.send(Kind::Reset, &frames::reset(&[(0, None)], &Value::None));
    let goodbye = frames::body(|w| Goodbye { code: 0, message: String::new() }.put(w));
    session.connection.send(Kind::Goodbye, &goodbye);
    // The answer may have been under way.
    for _ in 0..3 {
        match session.connection.receive() {
            Event::Frame(frame) => session.connection.count(read(&frame)?.0)?,
            Event::Closed => return Session::begin(target)?.goodbye(),
            Event::Lost(_) => {
                return failed(1, "after Goodbye the connection ended without the close mark, as in a crash");
            }
            other => return failed(10, format!("after Goodbye both sides close, but {}", other.words())),
        }
    }
    failed(10, "after Goodbye frames keep coming")
}

fn fatal_error(target: &Target) -> Verdict {
    let mut connection = reach(target, State::Open)?;
    let fault =
        Fault { code: 8, fatal: true, slots: Default::default(), failure: EnvFailure::new("", "the judge ends it") };
    connection.send(Kind::Error, &frames::body(|w| fault.put(w)));
    connection.expect_silent_end(10, "after a fatal Error of the agent")?;
    Session::begin(target)?.goodbye()
}

/// Says that a check needs what the peer has not.
pub(crate) fn lacking<T>(what: &str) -> Verdict<T> {
    not_applicable(format!("the peer has no {what}"))
}
