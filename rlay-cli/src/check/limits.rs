//! What is beyond the limits: frames, the values and rows in one, and answers that do not fit.

use rlay::{
    Map, Value,
    wire::{HEADER_LEN, Kind, Make, Message, Seed},
};

use super::{Check, contract::declared_modes};
use crate::{
    arguments::Level::Conversation,
    connection::{Answer, Connection, Event, Verdict, failed, not_applicable, read},
    frames,
    session::Session,
    target::{Target, Wish},
};

/// The smallest frame limit there is.
const SMALLEST: usize = 65536;
/// The most values, spaces and rows in one frame, unless the peer's user has set another bound.
const COUNT: usize = 1 << 20;

pub(crate) fn checks() -> Vec<Check> {
    let check = |section, name: &str, run: fn(&Target) -> Verdict| Check::new(Conversation, section, name, run);
    vec![
        check(12, "a frame above the agreed limit", beyond_the_limit),
        check(1, "a length above any limit", endless),
        check(12, "options with more than 2^20 values", |target| {
            let options = frames::body(|w| {
                w.put((1u64, 0u32, 0u8));
                // None takes four bytes.
                w.put((7u32, COUNT as u64 + 1));
                w.0.resize(w.0.len() + 4 * (COUNT + 1), 0);
            });
            too_many(target, &options, "options with 2^20+1 values, of which 2^20 are the most by default")
        }),
        check(12, "a Reset of more than 2^20 rows", |target| {
            let rows = frames::body(|w| {
                w.put(COUNT as u64 + 1);
                (0..=COUNT as u32).for_each(|slot| w.put((slot, 0u8)));
                w.value(&Value::None);
            });
            too_many(target, &rows, "a Reset of 2^20+1 rows, of which 2^20 are the most by default")
        }),
        check(13, "an answer above the agreed limit is Error 1", long_answers),
    ]
}

/// The session ends, with or without a word, for the frame is not read.
fn ended(connection: &mut Connection, what: &str) -> Verdict {
    match connection.receive() {
        Event::Closed | Event::Lost(_) => Ok(()),
        Event::Frame(frame) => match read(&frame)? {
            (_, Message::Error(fault)) if fault.fatal && fault.code == 8 => Ok(()),
            (header, _) => failed(12, format!("{what}: the session must end, but {:?} came", header.kind)),
        },
        other => failed(12, format!("{what}: the session must end, but {}", other.words())),
    }
}

/// The limit is the smaller of both sides', here 65536.
fn beyond_the_limit(target: &Target) -> Verdict {
    let (mut connection, _) = target.begin(Wish { max_frame: Some(1), ..Wish::default() })?;
    let options = Value::Bytes(vec![7; 70_000]);
    let frame = connection.next_frame(Kind::Reset as u8, &frames::reset(&[(0, None)], &options));
    connection.send_frame(&frame);
    ended(&mut connection, "a frame of 70 KB where 65536 bytes are the limit")
}

/// Nothing is allocated for it, and nothing is waited for.
fn endless(target: &Target) -> Verdict {
    let mut connection = target.begin_stream()?;
    connection.send_bytes(&[0xfe, 0xff, 0xff, 0xff, 0x21, 0]);
    ended(&mut connection, "a length of 4 GiB")?;
    Session::begin(target)?.goodbye()
}

/// Sends a Reset that has more in it than one frame may have. Others are served afterwards.
fn too_many(target: &Target, body: &[u8], what: &str) -> Verdict {
    let mut session = Session::begin(target)?;
    session.reset(None)?;
    let (len, most) = (HEADER_LEN + body.len(), session.greeting.max_frame);
    if len as u64 > most {
        session.goodbye()?;
        return not_applicable(format!("that takes a frame of {len} bytes, and the peer takes {most} at most"));
    }
    session.connection.be_patient();
    session.connection.send(Kind::Reset, body);
    session.connection.expect_violation(what)?;
    Session::begin(target)?.goodbye()
}

/// Requests that some envs answer at length: with options in the info, or with a picture.
fn requests(target: &Target, render_mode: Option<String>) -> Vec<(Kind, Vec<u8>)> {
    let reset = |len| {
        let options = Map::from([("note", Value::Str("a".repeat(len)))]).into();
        frames::reset(&[(0, Some(Seed::from(1)))], &options)
    };
    // The longest that may be sent to an env with the smallest limit.
    let room = SMALLEST - HEADER_LEN - reset(0).len();
    vec![
        (Kind::Make, frames::make(&Make { render_mode, ..target.make() })),
        (Kind::Reset, reset(room)),
        (Kind::Render, frames::slots(&[0])),
    ]
}

/// The answers to these requests, of which some may be errors.
fn answers(target: &Target, wish: Wish, requests: &[(Kind, Vec<u8>)]) -> Verdict<Vec<Answer>> {
    let (mut connection, _) = target.begin(wish)?;
    let answers = requests.iter().map(|(kind, body)| connection.ask(*kind, body, &format!("{kind:?}"))).collect();
    connection.goodbye()?;
    answers
}

/// What the env answers without a small limit shows which answers are too long for one.
fn long_answers(target: &Target) -> Verdict {
    let session = Session::begin(target)?;
    let render_mode = declared_modes(&session).into_iter().next();
    session.goodbye()?;
    let requests = requests(target, render_mode);
    let whole = answers(target, Wish::default(), &requests)?;
    if whole.iter().all(|answer| answer.frame.len() <= SMALLEST) {
        return not_applicable(format!("no answer of the peer was longer than {SMALLEST} bytes"));
    }
    let bounded = answers(target, Wish { max_frame: Some(1), ..Wish::default() }, &requests)?;
    for ((kind, _), (whole, bounded)) in requests.iter().zip(whole.iter().zip(&bounded)) {
        let len = whole.frame.len();
        if len > SMALLEST && bounded.fault().is_none_or(|fault| fault.code != 1) {
            let (words, came) = (bounded.words(), bounded.frame.len());
            return failed(
                13,
                format!(
                    "the answer to {kind:?} takes {len} bytes, and {SMALLEST} are the limit here: Error 1 must follow, not {words} of {came} bytes"
                ),
            );
        }
    }
    Ok(())
}
