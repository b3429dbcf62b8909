//! Connections that are cut, resumed, slow or silent.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rlay::{
    Rng, Space, Value,
    wire::{Kind, Message, Ticket},
};

use super::{
    Check,
    conversation::lacking,
    determinism::compare,
    handshake::{answer_to_ticket, expect_gone, rejected_by},
    spaces::is_nondeterministic,
};
use crate::{
    arguments::Level::Resilience,
    connection::{Connection, Event, Verdict, failed, not_applicable, read},
    frames,
    session::{Outcome, Session},
    target::{Target, Wish, hello_frame, nonce},
};

/// The time of a handshake, and as much again as a busy machine takes.
const HANDSHAKE: Duration = Duration::from_secs(8);

/// Begins a session and drops its connection somewhere.
type End = fn(&Target) -> Verdict;

pub(crate) fn checks() -> Vec<Check> {
    let check = |section, name: &str, run: fn(&Target) -> Verdict| Check::new(Resilience, section, name, run);
    let ends: [(&str, End); 5] = [
        ("after the handshake", |target| target.begin(Wish::default()).map(drop)),
        ("after Make was sent", |target| {
            let (mut connection, _) = target.begin(Wish::default())?;
            connection.send(Kind::Make, &frames::make(&target.make()));
            Ok(())
        }),
        ("after Spec", |target| Session::begin(target).map(drop)),
        ("while a step is under way", |target| {
            let mut session = Session::begin(target)?;
            session.reset(None)?;
            let action = session.actions().sample(&mut Rng::seeded(41));
            session.send_step(&action, true);
            Ok(())
        }),
        ("after Close", |target| {
            let mut session = Session::begin(target)?;
            session.connection.ask(Kind::Close, &frames::slots(&[]), "Close").map(drop)
        }),
    ];
    let mut checks: Vec<Check> = ends
        .into_iter()
        .map(|(name, end)| {
            Check::new(Resilience, 13, format!("a connection that just ends {name}"), move |target| {
                end(target)?;
                let mut session = Session::begin(target)?;
                session.reset(None)?;
                session.goodbye()
            })
        })
        .collect();
    checks.extend([
        check(13, "a connection that ends before Hello", |target| {
            drop(target.open()?);
            Session::begin(target)?.goodbye()
        }),
        check(1, "a connection that ends inside a frame", inside_a_frame),
        check(1, "frames that arrive byte by byte", slow_bytes),
        check(1, "several frames that arrive at once", at_once),
        check(9, "a silent dialer is given up, and others are served meanwhile", silent_dialer),
        check(
            21,
            "a session that is cut before a request, while it is under way, and after its answer",
            cut_everywhere,
        ),
        check(21, "a session is taken over from a connection that still lives", taken_over),
        check(21, "a request that was lost on the way", lost_request),
        check(21, "a number that the peer has not sent", number_beyond),
        check(21, "a number below one that was acknowledged", stale_number),
        check(9, "a session that has ended is not resumed", ended_session),
        check(21, "a session that no peer knows is not resumed beside another", beside_another),
    ]);
    checks
}

fn inside_a_frame(target: &Target) -> Verdict {
    let mut connection = target.begin_stream()?;
    let frame = connection.next_frame(Kind::Make as u8, &frames::make(&target.make()));
    connection.send_bytes(&[&(frame.len() as u32).to_le_bytes()[..], &frame[..20]].concat());
    drop(connection);
    Session::begin(target)?.goodbye()
}

/// Sends a frame byte by byte.
fn slowly(connection: &mut Connection, frame: &[u8]) {
    for byte in [&(frame.len() as u32).to_le_bytes()[..], frame].concat() {
        connection.send_bytes(&[byte]);
        sleep(Duration::from_millis(2));
    }
}

fn slow_bytes(target: &Target) -> Verdict {
    let mut connection = target.open_stream()?;
    if target.token.is_some() {
        connection = target.begin_stream()?;
    } else {
        slowly(&mut connection, &hello_frame(&target.plain_hello()));
        let event = connection.receive();
        let Event::Frame(_) = event else { return failed(9, format!("Welcome must follow, but {}", event.words())) };
    }
    slowly(&mut connection, &frames::frame(Kind::Make as u8, 1, 0, 0, &frames::make(&target.make())));
    connection.sent = 1;
    let answer = connection.answer(1, "Make that arrived byte by byte")?;
    if answer.header.kind != Kind::Spec {
        return failed(1, format!("Make was answered by {}", answer.words()));
    }
    connection.goodbye()
}

fn at_once(target: &Target) -> Verdict {
    let mut connection = target.begin_stream()?;
    let make = connection.next_frame(Kind::Make as u8, &frames::make(&target.make()));
    let reset = connection.next_frame(Kind::Close as u8, &frames::slots(&[]));
    let bytes: Vec<u8> =
        [make, reset].iter().flat_map(|frame| [&(frame.len() as u32).to_le_bytes()[..], frame].concat()).collect();
    connection.send_bytes(&bytes);
    for _ in 0..2 {
        connection.answer_to_any(&[1, 2], "each of two frames that arrived at once")?;
    }
    connection.goodbye()
}

fn silent_dialer(target: &Target) -> Verdict {
    let began = Instant::now();
    let mut silent = target.open()?;
    // Where no other is served meanwhile, the Welcome waits.
    let deadline = began + HANDSHAKE;
    let second = loop {
        let (mut connection, event) = target.answer_to_hello(&hello_frame(&target.plain_hello()))?;
        let event = match event {
            Event::Silence => connection.receive_within(deadline.saturating_duration_since(Instant::now())),
            other => other,
        };
        match event {
            Event::Frame(_) => break Ok(connection),
            Event::Lost(_) if Instant::now() < deadline => {}
            other => break failed(9, format!("a second dialer is served or told Busy, but {}", other.words())),
        }
    };
    drop(second?);
    match silent.receive_within(deadline.saturating_duration_since(Instant::now())) {
        Event::Closed | Event::Lost(_) => Ok(()),
        other => failed(9, format!("a dialer that says nothing is given up after 5 seconds, but {}", other.words())),
    }
}

/// A session that can be resumed, and what it takes.
struct Resumable<'a> {
    target: &'a Target,
    ticket: Ticket,
    session: Session,
}

impl<'a> Resumable<'a> {
    fn begin(target: &'a Target) -> Verdict<Self> {
        let session = Session::begin_with(target, Wish { is_resumable: true, ..Wish::default() }, &target.make())?;
        match session.greeting.ticket {
            Some(ticket) => Ok(Self { target, ticket, session }),
            None => {
                session.goodbye()?;
                lacking("tickets")
            }
        }
    }

    /// Drops the connection and resumes the session over another one, sending again what the peer has not received.
    fn cut(&mut self, last: Option<&[u8]>) -> Verdict {
        let Connection { sent, received, .. } = self.session.connection;
        let (connection, peer_received) = self.target.resume(self.ticket, sent, received)?;
        // With its successor there, the old connection goes.
        self.session.connection = connection;
        if peer_received > sent {
            return failed(21, format!("the peer says that it has received frame {peer_received}, of {sent} sent"));
        }
        match last {
            Some(frame) if peer_received + 1 == sent => self.session.connection.send_frame(frame),
            _ if peer_received == sent => {}
            _ => {
                return failed(
                    21,
                    format!("the peer has lost frames behind {peer_received}, which it had acknowledged"),
                );
            }
        }
        Ok(())
    }

    fn request(&mut self, kind: Kind, body: &[u8], cut: Cut) -> Verdict<Outcome> {
        if cut == Cut::Before {
            self.drop_and_cut(None)?;
        }
        let connection = &mut self.session.connection;
        let frame = connection.next_frame(kind as u8, body);
        connection.send_frame(&frame);
        let seq = connection.sent;
        if cut == Cut::During {
            self.drop_and_cut(Some(&frame))?;
        }
        let answer = self.session.connection.answer(seq, "a request of a session that was resumed")?;
        let outcome = self.session.outcome(&answer, kind == Kind::Reset)?;
        if cut == Cut::After {
            self.drop_and_cut(None)?;
        }
        Ok(outcome)
    }

    /// Where the connection is gone before the peer is asked for another.
    fn drop_and_cut(&mut self, last: Option<&[u8]>) -> Verdict {
        self.session.connection.abandon();
        self.cut(last)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    Before,
    During,
    After,
}

/// A rollout whose requests are cut as `cuts` says.
fn rollout(target: &Target, cuts: &[Cut]) -> Verdict<Vec<Outcome>> {
    let mut resumable = Resumable::begin(target)?;
    let (mut rng, mut outcomes) = (Rng::seeded(42), vec![]);
    for cut in cuts {
        let outcome = if outcomes.last().is_none_or(Outcome::is_over) {
            let seed = outcomes.is_empty().then(|| 42u64.into());
            resumable.request(Kind::Reset, &frames::reset(&[(0, seed)], &Value::None), *cut)?
        } else {
            let action = resumable.session.actions().sample(&mut rng);
            let packed = frames::packed(resumable.session.actions(), &action);
            let body = match packed {
                Some(packed) => frames::step(&[0], true, &packed),
                None => frames::step(&[0], false, &frames::value(&action)),
            };
            resumable.request(Kind::Step, &body, *cut)?
        };
        outcomes.push(outcome);
    }
    resumable.session.goodbye()?;
    Ok(outcomes)
}

fn cut_everywhere(target: &Target) -> Verdict {
    use Cut::{After, Before, During, Never};
    let cuts = [During, Before, After, During, During, Never, Before, After];
    let cut = rollout(target, &cuts)?;
    let session = Session::begin(target)?;
    let is_random = is_nondeterministic(&session);
    session.goodbye()?;
    if is_random {
        return Ok(());
    }
    let whole = rollout(target, &[Never; 8])?;
    compare(&whole, &cut, "over a connection that was cut").or_else(|_| {
        failed(21, "the rows of a session that was cut and resumed are not those of one that was not: a request was carried out twice, or not at all")
    })
}

fn taken_over(target: &Target) -> Verdict {
    let mut resumable = Resumable::begin(target)?;
    if target.is_listening() {
        return not_applicable("a dialer resumes a session when it has lost the connection");
    }
    let connection = &resumable.session.connection;
    let (sent, received) = (connection.sent, connection.received);
    let (connection, peer_received) = target.resume(resumable.ticket, sent, received)?;
    let mut old = std::mem::replace(&mut resumable.session.connection, connection);
    if peer_received != sent {
        return failed(21, format!("the peer has received {peer_received}, of {sent} sent and acknowledged"));
    }
    resumable.session.reset(None)?;
    match old.receive() {
        Event::Closed | Event::Lost(_) => {}
        other => return failed(21, format!("the old connection is to be abandoned, but {}", other.words())),
    }
    resumable.session.goodbye()
}

fn lost_request(target: &Target) -> Verdict {
    let mut resumable = Resumable::begin(target)?;
    let body = frames::reset(&[(0, Some(1u64.into()))], &Value::None);
    // As if it were in the network when the connection was lost.
    let frame = resumable.session.connection.next_frame(Kind::Reset as u8, &body);
    resumable.drop_and_cut(Some(&frame))?;
    let seq = resumable.session.connection.sent;
    let answer = resumable.session.connection.answer(seq, "a request that was lost and sent again")?;
    resumable.session.outcome(&answer, true)?;
    resumable.session.goodbye()
}

fn number_beyond(target: &Target) -> Verdict {
    let mut resumable = Resumable::begin(target)?;
    resumable.session.connection.abandon();
    let connection = &resumable.session.connection;
    let (sent, received) = (connection.sent, connection.received + 5);
    let Ok((mut connection, _)) = target.resume(resumable.ticket, sent, received) else { return Ok(()) };
    match connection.receive() {
        Event::Closed | Event::Lost(_) => Ok(()),
        Event::Frame(frame) => match read(&frame)? {
            (_, Message::Error(fault)) if fault.fatal => Ok(()),
            (header, _) => failed(21, format!("the session is over by a violation, but {:?} came", header.kind)),
        },
        other => failed(21, format!("the session is over by a violation, but {}", other.words())),
    }
}

/// As if the network had held back a handshake that its dialer has given up. The session goes on over a third
/// connection.
fn stale_number(target: &Target) -> Verdict {
    let mut resumable = Resumable::begin(target)?;
    resumable.session.reset(None)?;
    // It acknowledges the answers to Make and to the Reset before.
    resumable.session.reset(None)?;
    resumable.session.connection.abandon();
    let Connection { sent, .. } = resumable.session.connection;
    if let Ok((mut connection, _)) = target.resume(resumable.ticket, sent, 0) {
        match connection.receive() {
            Event::Closed | Event::Lost(_) => {}
            other => {
                return failed(
                    21,
                    format!(
                        "the number is below one that was acknowledged, so the connection is closed, but {}",
                        other.words()
                    ),
                );
            }
        }
    }
    resumable.cut(None)?;
    resumable.session.reset(None)?;
    resumable.session.goodbye()
}

fn ended_session(target: &Target) -> Verdict {
    let resumable = Resumable::begin(target)?;
    if target.is_listening() {
        return not_applicable("a dialer knows by itself that the session has ended");
    }
    let (ticket, sent) = (resumable.ticket, resumable.session.connection.sent);
    resumable.session.goodbye()?;
    if target.token.is_none() {
        return expect_gone(target, ticket);
    }
    match target.resume(ticket, sent, 1) {
        Err(_) => Ok(()),
        Ok(_) => failed(21, "a session that has ended with Goodbye was resumed"),
    }
}

/// A peer that has no room for another session does not say so to a dialer that resumes one.
fn beside_another(target: &Target) -> Verdict {
    let (mut session, _) = target.begin(Wish::default())?;
    let (mut connection, event) = answer_to_ticket(target, nonce())?;
    if matches!(event, Event::Silence) {
        // It serves one connection after another.
        return not_applicable("the peer answers no dialer while there is another");
    }
    rejected_by(&mut connection, event, 10)?;
    session.goodbye()
}
