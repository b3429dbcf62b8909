//! Which dialers are admitted, and how the others are refused.

use rlay::{
    Token,
    session::{ClientHandshake, Local},
    wire::{Goodbye, Hello, Kind, Message, RESUMABLE, RESUMING, Resume, Role, Ticket, Welcome},
};

use super::Check;
use crate::{
    arguments::Level::Handshake,
    connection::{Connection, Event, Verdict, failed, not_applicable, read},
    frames,
    session::Session,
    target::{Target, Wish, hello_frame, nonce},
};

pub(crate) fn checks(has_token: bool) -> Vec<Check> {
    let check = |section, name: &str, run: fn(&Target) -> Verdict| Check::new(Handshake, section, name, run);
    let rejected = |name: &str, code: u32, change: fn(&mut Hello)| {
        Check::new(Handshake, 9, name, move |target| {
            let mut hello = target.plain_hello();
            change(&mut hello);
            expect_reject(target, &hello_frame(&hello), code)
        })
    };
    let unheard = |name: &str, make: fn(Hello) -> Vec<u8>| {
        Check::new(Handshake, 9, name, move |target| {
            let (mut connection, event) = target.answer_to_hello(&make(target.plain_hello()))?;
            match event {
                Event::Closed | Event::Lost(_) => Ok(()),
                Event::Silence => {
                    // The time of the handshake bounds that, too.
                    failed(9, "this is no Hello, but the connection stays open")
                }
                // Without the token nothing behind the first ten bytes is read.
                Event::Frame(frame) if target.token.is_some() && is_reject(&frame, 13) => Ok(()),
                _ => {
                    failed(9, format!("this is no Hello; the peer must close without an answer, but {}", event.words()))
                }
            }
            .inspect(|()| connection.close())
        })
    };
    let mut checks = vec![
        check(9, "an agent is welcomed", welcome),
        rejected("wire numbers above the peer's", 7, |hello| (hello.wire_min, hello.wire_max) = (1, 9)),
        rejected("a range of wire numbers that is empty", 7, |hello| (hello.wire_min, hello.wire_max) = (5, 3)),
        rejected("the peer's own role", 7, |hello| hello.role = Role::Env),
        rejected("an unknown kind of authentication", 7, |hello| hello.auth = 9),
        check(9, "a wide range of wire numbers, and unknown features", wide),
        check(9, "a session that no peer knows is not resumed", unknown_ticket),
        unheard("a Hello with another magic word", |hello| with_byte(hello, 32, b'X')),
        unheard("a Hello with a role that there is not", |hello| with_byte(hello, 40, 7)),
        unheard("a Hello that ends too early", |hello| {
            let mut frame = hello_frame(&hello);
            frame.truncate(50);
            frame
        }),
        unheard("a Hello with a byte behind it", |hello| [hello_frame(&hello), vec![0]].concat()),
        unheard("a Hello with a name of 257 bytes", |hello| hello_frame(&Hello { peer: "x".repeat(257), ..hello })),
        unheard("a Hello with a name that is no UTF-8", |hello| {
            let mut frame = hello_frame(&hello);
            if let Some(last) = frame.last_mut() {
                *last = 0xff;
            }
            frame
        }),
        unheard("a Hello with a number", |hello| with_byte(hello, 8, 1)),
        unheard("a Hello with reserved bytes that are not 0", |hello| with_byte(hello, 5, 1)),
        unheard("Make in place of Hello", |_| {
            frames::frame(Kind::Make as u8, 1, 0, 0, &frames::make(&Default::default()))
        }),
        unheard("Goodbye in place of Hello", |_| {
            frames::frame(
                Kind::Goodbye as u8,
                1,
                0,
                0,
                &frames::body(|w| Goodbye { code: 0, message: String::new() }.put(w)),
            )
        }),
        unheard("a frame of 5 bytes in place of Hello", |_| vec![1, 0, 0, 0, 0]),
        unheard("an empty frame in place of Hello", |_| vec![]),
    ];
    let zmtp = [&b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f"[..], &[0; 249]].concat();
    for (name, bytes) in [
        ("HTTP in place of frames", &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..]),
        ("TLS in place of frames", &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..]),
        // As a frame it has 255 bytes, and the kind 0.
        ("ZeroMQ in place of frames", &zmtp),
        ("a length of 2 GiB in place of Hello", b"\xff\xff\xff\x7f"),
        ("a length of 65537 in place of Hello", b"\x01\x00\x01\x00"),
        ("the close mark in place of Hello", b"\xff\xff\xff\xff"),
    ] {
        let bytes = bytes.to_vec();
        checks.push(Check::new(Handshake, 1, name, move |target| {
            let mut connection = target.open_stream()?;
            connection.send_bytes(&bytes);
            connection.expect_silent_end(1, name)?;
            Session::begin(target)?.goodbye()
        }));
    }
    if has_token {
        checks.push(check(9, "a dialer without the token", |target| {
            expect_reject(target, &hello_frame(&target.plain_hello()), 13)
        }));
        checks.push(check(9, "a dialer with another token", wrong_token));
        checks.push(check(9, "a dialer that answers the Challenge with something else", no_proof));
    } else {
        checks.push(check(9, "a dialer with a token where there is none", |target| {
            let hello = Hello { auth: 1, nonce: Some(nonce()), ..target.plain_hello() };
            expect_reject(target, &hello_frame(&hello), 13)
        }));
        for name in ["a dialer without the token", "a dialer with another token"] {
            checks.push(Check::new(Handshake, 9, name, |_| not_applicable("no token: give one by --token-file")));
        }
    }
    checks.push(check(9, "limits of the smallest size there is", smallest_limit));
    checks.push(check(9, "after all that an agent is served", |target| Session::begin(target)?.goodbye()));
    checks
}

fn is_reject(frame: &[u8], code: u32) -> bool {
    matches!(read(frame), Ok((_, Message::Reject(reject))) if reject.code == code)
}

/// The frame of a Hello with one byte changed.
fn with_byte(hello: Hello, at: usize, byte: u8) -> Vec<u8> {
    let mut frame = hello_frame(&hello);
    frame[at] = byte;
    frame
}

fn expect_reject(target: &Target, hello: &[u8], code: u32) -> Verdict {
    let (mut connection, event) = target.answer_to_hello(hello)?;
    rejected_by(&mut connection, event, code)
}

/// The peer's answer must be a Reject with this code, behind which the connection ends.
pub(crate) fn rejected_by(connection: &mut Connection, event: Event, code: u32) -> Verdict {
    let frame = match event {
        Event::Frame(frame) => frame,
        other => return failed(9, format!("Reject {code} must follow, but {}", other.words())),
    };
    let (header, message) = read(&frame)?;
    let Message::Reject(reject) = message else {
        return failed(9, format!("Reject {code} must follow, but {:?} came", header.kind));
    };
    if reject.code != code {
        return failed(9, format!("Reject {code} must follow, not {} ({})", reject.code, reject.message));
    }
    if (header.seq, header.ack, header.re) != (0, 0, 0) {
        return failed(9, "seq, ack and re of handshake frames are 0");
    }
    connection.expect_silent_end(9, "after Reject")
}

/// The Welcome of a plain Hello, read by hand.
fn welcomed(target: &Target, hello: &Hello) -> Verdict<Welcome> {
    if target.token.is_some() {
        return not_applicable("the peer asks for a token first");
    }
    let (mut connection, event) = target.answer_to_hello(&hello_frame(hello))?;
    let frame = match event {
        Event::Frame(frame) => frame,
        other => return failed(9, format!("Welcome must follow, but {}", other.words())),
    };
    let (header, message) = read(&frame)?;
    let Message::Welcome(welcome) = message else {
        return failed(9, format!("Welcome must follow, but {:?} came", header.kind));
    };
    if (header.seq, header.ack, header.re) != (0, 0, 0) {
        return failed(9, "seq, ack and re of handshake frames are 0");
    }
    if !(hello.wire_min..=hello.wire_max).contains(&welcome.wire) {
        return failed(9, format!("Welcome says wire {}, which was not offered", welcome.wire));
    }
    if welcome.features & !hello.features != 0 || welcome.features & !(RESUMABLE | RESUMING) != 0 {
        return failed(
            8,
            format!("Welcome has the features {}, of which the dialer has {}", welcome.features, hello.features),
        );
    }
    if welcome.proof.is_some() {
        return failed(8, "Welcome has a proof, though there was no Challenge");
    }
    connection.goodbye()?;
    Ok(welcome)
}

fn welcome(target: &Target) -> Verdict {
    if target.is_listening() {
        let (mut connection, greeting) = target.begin(Wish::default())?;
        if greeting.wire.0 > greeting.wire.1 || greeting.wire.0 != 0 {
            return failed(9, format!("the peer's Hello offers the wire numbers {:?}", greeting.wire));
        }
        return connection.goodbye();
    }
    if target.token.is_some() {
        let (mut connection, _) = target.begin(Wish::default())?;
        return connection.goodbye();
    }
    welcomed(target, &target.plain_hello()).map(drop)
}

fn wide(target: &Target) -> Verdict {
    // Bit 1 would bring the fields of a session to be resumed.
    let features = !(RESUMABLE | RESUMING);
    let hello = Hello { wire_max: u16::MAX, features, ..target.plain_hello() };
    if target.is_listening() {
        return not_applicable("the peer dials, and does not listen");
    }
    welcomed(target, &hello).map(drop)
}

fn unknown_ticket(target: &Target) -> Verdict {
    expect_gone(target, nonce())
}

/// The session of this ticket is none that can be resumed.
pub(crate) fn expect_gone(target: &Target, ticket: Ticket) -> Verdict {
    let (mut connection, event) = answer_to_ticket(target, ticket)?;
    rejected_by(&mut connection, event, 10)
}

/// Asks for the session of this ticket, once: Reject 5 (Busy) is no answer to that.
pub(crate) fn answer_to_ticket(target: &Target, ticket: Ticket) -> Verdict<(Connection, Event)> {
    if target.token.is_some() {
        return not_applicable("the peer asks for a token first");
    }
    let resume = Some(Resume { ticket, received: 1 });
    let hello = Hello { features: RESUMABLE | RESUMING, resume, ..target.plain_hello() };
    let mut connection = target.open()?;
    connection.send_frame(&hello_frame(&hello));
    let event = connection.receive();
    Ok((connection, event))
}

fn wrong_token(target: &Target) -> Verdict {
    let token = Token::new("not the token of the peer").ok();
    let local = Local { role: Role::Agent, limits: Session::limits(), token, is_resumable: false };
    let mut frame = Vec::new();
    let mut handshake = ClientHandshake::begin(local, nonce(), None, &mut frame);
    let (mut connection, event) = target.answer_to_hello(&frame)?;
    let Event::Frame(challenge) = event else {
        return failed(9, format!("Challenge must follow, but {}", event.words()));
    };
    if !matches!(handshake.take(&challenge, &mut frame), Ok(None)) {
        return failed(9, "the peer has a token, and must answer Hello with Challenge");
    }
    connection.send_frame(&frame);
    let event = connection.receive();
    let Event::Frame(answer) = event else {
        return failed(9, format!("Reject 13 must follow a wrong proof, but {}", event.words()));
    };
    match read(&answer)? {
        (_, Message::Reject(reject)) if reject.code == 13 => connection.expect_silent_end(9, "after Reject"),
        (_, Message::Reject(reject)) => failed(9, format!("Reject 13 must follow a wrong proof, not {}", reject.code)),
        (header, _) => failed(9, format!("Reject 13 must follow a wrong proof, but {:?} came", header.kind)),
    }
}

fn no_proof(target: &Target) -> Verdict {
    let hello = Hello { auth: 1, nonce: Some(nonce()), ..target.plain_hello() };
    let (mut connection, event) = target.answer_to_hello(&hello_frame(&hello))?;
    if !matches!(event, Event::Frame(_)) {
        return failed(9, format!("Challenge must follow, but {}", event.words()));
    }
    let make = connection.next_frame(Kind::Make as u8, &frames::make(&target.make()));
    connection.send_frame(&make);
    connection.expect_silent_end(9, "Make in place of Proof")
}

fn smallest_limit(target: &Target) -> Verdict {
    let (mut connection, _) = target.begin(Wish { max_frame: Some(1), ..Wish::default() })?;
    let answer = connection.ask(Kind::Make, &frames::make(&target.make()), "Make")?;
    if answer.frame.len() > 65536 {
        return failed(9, format!("a frame of {} bytes came, and 65536 are the limit", answer.frame.len()));
    }
    if answer.header.kind == Kind::Spec {
        let answer = connection.ask(Kind::Reset, &frames::reset(&[(0, None)], &rlay::Value::None), "Reset")?;
        if answer.frame.len() > 65536 {
            return failed(12, format!("a frame of {} bytes came, and 65536 are the limit", answer.frame.len()));
        }
    }
    connection.goodbye()
}
