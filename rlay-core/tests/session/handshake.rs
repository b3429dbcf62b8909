//! The handshake: which dialers are admitted, which are told why not, and which get no answer.

use rlay_core::{
    ErrorKind, Limits, Result, Token,
    session::{ClientHandshake, Grant, Local, ServerHandshake, reject},
    wire::{Header, Hello, Kind, RESUMABLE, RESUMING, Resume, Role, Welcome, Writer},
};

use super::wire::Numbers;

fn local(role: Role) -> Local {
    Local { role, limits: Limits { frame: 100_000, ..Limits::default() }, token: None, is_resumable: false }
}

/// The same with a token.
fn secretive(role: Role, token: &str) -> Local {
    Local { token: Some(Token::new(token).unwrap()), ..local(role) }
}

/// How a listener without a token handles its first frame.
fn receive_hello(local: &Local, frame: &[u8]) -> Result<Hello> {
    let hello = ServerHandshake::new(local.clone(), [2; 32]).take(frame, &mut Vec::new())?;
    Ok(hello.expect("nothing is to be proven"))
}

/// How a dialer without a token handles the answer.
fn receive_welcome(frame: &[u8]) -> Result<Welcome> {
    let welcome =
        ClientHandshake::begin(local(Role::Agent), [1; 32], None, &mut Vec::new()).take(frame, &mut Vec::new())?;
    Ok(welcome.expect("nothing is to be proven"))
}

/// A Hello as any dialer may send it.
fn frame(hello: &Hello) -> Vec<u8> {
    let mut out = Vec::new();
    Header { kind: Kind::Hello, seq: 0, ack: 0, re: 0 }.begin(&mut out);
    hello.put(&mut Writer(&mut out));
    out
}

fn agent() -> Hello {
    Hello {
        wire_min: 0,
        wire_max: 0,
        role: Role::Agent,
        auth: 0,
        features: 0,
        max_frame: 1 << 20,
        peer: "x".into(),
        nonce: None,
        resume: None,
    }
}

/// A Welcome as any listener may send it.
fn plain() -> Welcome {
    let (peer, proof, ticket, received) = (String::new(), None, None, None);
    Welcome { wire: 0, features: 0, max_frame: 1 << 20, peer, proof, ticket, received }
}

#[test]
fn both_roles_may_dial() {
    for role in [Role::Agent, Role::Env] {
        let mut out = Vec::new();
        let mut dialing = ClientHandshake::begin(local(role), [1; 32], None, &mut out);
        let mut greeting = ServerHandshake::new(local(role.other()), [2; 32]);
        let heard = greeting.take(&out, &mut Vec::new()).unwrap().unwrap();
        assert_eq!((heard.role, heard.max_frame), (role, 100_000));
        greeting.welcome(Grant::New { ticket: None }, &mut out);
        assert_eq!(dialing.take(&out, &mut Vec::new()).unwrap().unwrap().max_frame, 100_000);
    }
}

#[test]
fn features_of_the_future_are_ignored() {
    let hello = Hello { features: u64::MAX ^ RESUMING, wire_max: 9, ..agent() };
    assert_eq!(receive_hello(&local(Role::Env), &frame(&hello)).unwrap(), hello);
}

#[test]
fn a_dialer_that_does_not_fit_is_told_why() {
    for (hello, word) in [
        (Hello { wire_min: 1, wire_max: 3, ..agent() }, "wire 0"),
        (Hello { role: Role::Env, ..agent() }, "expects an agent"),
        (Hello { auth: 2, ..agent() }, "authentication"),
    ] {
        // The bytes after the first ten may be of another wire version: they are not read.
        let whole = frame(&hello);
        for bytes in [&whole[..], &whole[..42], &[&whole[..], b"more"].concat()] {
            let error = receive_hello(&local(Role::Env), bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
            assert!(error.to_string().contains(word), "{error}");
            let mut out = Vec::new();
            reject(&error, &mut out);
            let told = receive_welcome(&out).unwrap_err();
            assert_eq!(told.kind(), ErrorKind::Incompatible);
            assert!(told.to_string().contains(word), "{told}");
        }
    }
}

#[test]
fn a_foreign_peer_gets_no_answer() {
    let good = frame(&agent());
    let n = Numbers { seq: 0, ack: 0, re: 0 };
    let mut magic = good.clone();
    magic[32] = b'r';
    let numbered = Numbers { seq: 1, ..n }.hello();
    let answering = Numbers { re: 1, ..n }.hello();
    let others = [n.welcome(), n.reject(), n.goodbye(0), n.make(), n.step(&[0]), n.spec(1)];
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    let foreign = [magic, numbered, answering, [&good[..], &[0]].concat()];
    for bytes in cut.chain(foreign).chain(others) {
        let error = receive_hello(&local(Role::Env), &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
}

#[test]
fn a_dialer_believes_nothing_but_welcome_and_reject() {
    let n = Numbers { seq: 0, ack: 0, re: 0 };
    for bytes in [n.hello(), n.goodbye(0), n.spec(1), n.error(true), vec![], n.welcome()[..40].to_vec()] {
        assert_eq!(receive_welcome(&bytes).unwrap_err().kind(), ErrorKind::Protocol);
    }
    let mut out = Vec::new();
    Header { kind: Kind::Welcome, seq: 0, ack: 0, re: 0 }.begin(&mut out);
    Welcome { wire: 1, ..plain() }.put(&mut Writer(&mut out));
    let error = receive_welcome(&out).unwrap_err();
    assert!(error.kind() == ErrorKind::Protocol && error.to_string().contains("wire 1"), "{error}");
    let busy = receive_welcome(&n.reject()).unwrap_err();
    assert!(busy.kind() == ErrorKind::Busy && busy.to_string().contains("full"), "{busy}");
}

#[test]
fn a_session_goes_on_if_both_say_so() {
    let lasting = Local { is_resumable: true, ..local(Role::Agent) };
    let (mut hello, mut answer) = (Vec::new(), Vec::new());
    // A new session, which may last.
    let mut dialing = ClientHandshake::begin(lasting.clone(), [1; 32], None, &mut hello);
    let mut greeting = ServerHandshake::new(local(Role::Env), [2; 32]);
    let heard = greeting.take(&hello, &mut answer).unwrap().unwrap();
    assert_eq!((heard.features, &heard.resume), (RESUMABLE, &None));
    greeting.welcome(Grant::New { ticket: Some([7; 32]) }, &mut answer);
    let welcome = dialing.take(&answer, &mut hello).unwrap().unwrap();
    assert_eq!((welcome.ticket, welcome.received), (Some([7; 32]), None));
    // The same, over another connection.
    let resume = Resume { ticket: [7; 32], received: 5 };
    let mut dialing = ClientHandshake::begin(lasting.clone(), [3; 32], Some(resume.clone()), &mut hello);
    let heard = ServerHandshake::new(local(Role::Env), [4; 32]).take(&hello, &mut answer).unwrap().unwrap();
    assert_eq!((heard.features, &heard.resume), (RESUMABLE | RESUMING, &Some(resume.clone())));
    greeting.welcome(Grant::Resumed { received: 9 }, &mut answer);
    let welcome = dialing.take(&answer, &mut hello).unwrap().unwrap();
    assert_eq!((welcome.ticket, welcome.received), (None, Some(9)));
    // The session no longer exists.
    let mut dialing = ClientHandshake::begin(lasting, [3; 32], Some(resume), &mut hello);
    reject(&rlay_core::Error::gone("it has ended"), &mut answer);
    assert!(dialing.take(&answer, &mut hello).unwrap_err().is_gone());
}

#[test]
fn a_dialer_does_not_take_one_session_for_another() {
    let resume = Resume { ticket: [7; 32], received: 5 };
    let new = |is_resumable| {
        ClientHandshake::begin(Local { is_resumable, ..local(Role::Agent) }, [1; 32], None, &mut Vec::new())
    };
    let old = || {
        ClientHandshake::begin(
            Local { is_resumable: true, ..local(Role::Agent) },
            [1; 32],
            Some(resume.clone()),
            &mut Vec::new(),
        )
    };
    for (mut dialing, admission) in [
        (new(false), Grant::New { ticket: Some([7; 32]) }),
        (new(true), Grant::Resumed { received: 0 }),
        (old(), Grant::New { ticket: None }),
        (old(), Grant::New { ticket: Some([7; 32]) }),
    ] {
        let mut answer = Vec::new();
        ServerHandshake::new(local(Role::Env), [2; 32]).welcome(admission, &mut answer);
        let error = dialing.take(&answer, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{admission:?}: {error}");
    }
    // A dialer that asked for no old session learns nothing of one.
    let mut answer = Vec::new();
    reject(&rlay_core::Error::gone("it has ended"), &mut answer);
    assert!(!new(true).take(&answer, &mut Vec::new()).unwrap_err().is_gone());
}

/// Hello, Challenge and Proof of a dialer and a listener; or the side that refuses, and its error.
fn meet(dialer: &Local, listener: &Local) -> std::result::Result<Vec<Vec<u8>>, (&'static str, ErrorKind)> {
    let (mut frame, mut frames) = (Vec::new(), Vec::new());
    let mut dialing = ClientHandshake::begin(dialer.clone(), [1; 32], None, &mut frame);
    let mut greeting = ServerHandshake::new(listener.clone(), [2; 32]);
    loop {
        frames.push(frame.clone());
        let heard = greeting.take(&frame.clone(), &mut frame).map_err(|e| ("listener", e.kind()))?;
        if heard.is_some() {
            greeting.welcome(Grant::New { ticket: None }, &mut frame);
        }
        frames.push(frame.clone());
        if dialing.take(&frame.clone(), &mut frame).map_err(|e| ("dialer", e.kind()))?.is_some() {
            return Ok(frames);
        }
    }
}

#[test]
fn both_prove_that_they_know_the_token() {
    let (agent, env) = (secretive(Role::Agent, "the secret"), secretive(Role::Env, "the secret"));
    let frames = meet(&agent, &env).unwrap();
    assert_eq!(frames.len(), 4);
    let told = frames.concat();
    assert!(!told.windows(6).any(|bytes| bytes == b"secret"), "the token itself is never sent");
    meet(&env, &agent).unwrap();
}

#[test]
fn a_token_that_is_missing_or_wrong() {
    let (known, other) = (secretive(Role::Agent, "the secret"), secretive(Role::Agent, "the secreT"));
    let env = secretive(Role::Env, "the secret");
    let unauthorized = Err(("listener", ErrorKind::Unauthorized));
    assert_eq!(meet(&other, &env).map(|_| ()), unauthorized);
    assert_eq!(meet(&local(Role::Agent), &env).map(|_| ()), unauthorized);
    assert_eq!(meet(&known, &local(Role::Env)).map(|_| ()), unauthorized);
}

#[test]
fn a_listener_that_proves_nothing_is_not_believed() {
    let mut out = Vec::new();
    let dialer = secretive(Role::Agent, "the secret");
    let mut hello = Vec::new();
    let mut dialing = ClientHandshake::begin(dialer.clone(), [1; 32], None, &mut hello);

    // The listener admits every dialer.
    ServerHandshake::new(local(Role::Env), [2; 32]).welcome(Grant::New { ticket: None }, &mut out);
    assert_eq!(dialing.clone().take(&out.clone(), &mut out).unwrap_err().kind(), ErrorKind::Unauthorized);

    // The listener asks for a proof, either to send the same proof back or without knowing the token itself.
    let mut rogue = ServerHandshake::new(secretive(Role::Env, "a wild guess"), [2; 32]);
    rogue.take(&hello, &mut out).unwrap();
    let mut proof = Vec::new();
    assert!(dialing.take(&out, &mut proof).unwrap().is_none());
    assert!(rogue.take(&proof, &mut out).is_err());
    rogue.welcome(Grant::New { ticket: None }, &mut out);
    assert_eq!(dialing.clone().take(&out.clone(), &mut out).unwrap_err().kind(), ErrorKind::Unauthorized);
    let at = out.len() - 32;
    out[at..].copy_from_slice(&proof[32..]);
    assert_eq!(dialing.take(&out.clone(), &mut out).unwrap_err().kind(), ErrorKind::Unauthorized);
}

#[test]
fn a_proof_is_good_for_one_handshake() {
    let (agent, env) = (secretive(Role::Agent, "the secret"), secretive(Role::Env, "the secret"));
    let frames = meet(&agent, &env).unwrap();
    let mut out = Vec::new();
    let mut later = ServerHandshake::new(env.clone(), [3; 32]);
    assert!(later.take(&frames[0], &mut out).unwrap().is_none());
    assert_eq!(later.take(&frames[2], &mut out).unwrap_err().kind(), ErrorKind::Unauthorized);

    for len in 0..frames[2].len() {
        let mut truncated = ServerHandshake::new(env.clone(), [2; 32]);
        truncated.take(&frames[0], &mut out).unwrap();
        assert_eq!(truncated.take(&frames[2][..len], &mut out).unwrap_err().kind(), ErrorKind::Protocol);
    }
}

#[test]
fn a_challenge_to_who_knows_no_token_is_a_violation() {
    let (agent, env) = (secretive(Role::Agent, "the secret"), secretive(Role::Env, "the secret"));
    let frames = meet(&agent, &env).unwrap();
    assert_eq!(receive_welcome(&frames[1]).unwrap_err().kind(), ErrorKind::Protocol);

    // A second challenge is a violation, too.
    let mut out = Vec::new();
    let mut dialing = ClientHandshake::begin(agent, [1; 32], None, &mut out);
    assert!(dialing.take(&frames[1], &mut out).unwrap().is_none());
    assert_eq!(dialing.take(&frames[1], &mut out).unwrap_err().kind(), ErrorKind::Protocol);
}

#[test]
fn what_a_foreign_peer_says_in_a_refusal_is_taken_with_care() {
    for kind in [ErrorKind::Closed, ErrorKind::Timeout, ErrorKind::Env, ErrorKind::Usage] {
        let mut out = Vec::new();
        let message = format!("\x1b[2J\n{}", "a".repeat(10_000));
        reject(&rlay_core::Error::new(kind, message), &mut out);
        let error = receive_welcome(&out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().len() < 600 && !error.to_string().contains(['\x1b', '\n']), "{error}");
    }
}
