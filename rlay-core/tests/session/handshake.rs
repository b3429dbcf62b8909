//! The handshake: who is let in, who is told why not, and who gets no answer.

use rlay_core::{
    ErrorKind, Limits,
    session::{Local, hello, receive_hello, receive_welcome, reject, welcome},
    wire::{Header, Hello, Kind, Role, Welcome, Writer},
};

use super::wire::Numbers;

fn local(role: Role) -> Local {
    Local { role, limits: Limits { frame: 100_000, ..Limits::default() } }
}

/// A Hello as any dialer may send it.
fn frame(hello: &Hello) -> Vec<u8> {
    let mut out = Vec::new();
    Header { kind: Kind::Hello, seq: 0, ack: 0, re: 0 }.begin(&mut out);
    hello.put(&mut Writer(&mut out));
    out
}

fn agent() -> Hello {
    Hello { wire_min: 0, wire_max: 0, role: Role::Agent, auth: 0, features: 0, max_frame: 1 << 20, peer: "x".into() }
}

#[test]
fn both_roles_may_dial() {
    for role in [Role::Agent, Role::Env] {
        let mut out = Vec::new();
        hello(&local(role), &mut out);
        let heard = receive_hello(&local(role.other()), &out).unwrap();
        assert_eq!((heard.role, heard.max_frame), (role, 100_000));
        welcome(&local(role.other()), &mut out);
        assert_eq!(receive_welcome(&out).unwrap().max_frame, 100_000);
    }
}

#[test]
fn features_of_the_future_are_ignored() {
    let hello = Hello { features: u64::MAX, wire_max: 9, ..agent() };
    assert_eq!(receive_hello(&local(Role::Env), &frame(&hello)).unwrap(), hello);
}

#[test]
fn a_dialer_that_does_not_fit_is_told_why() {
    for (hello, word) in [
        (Hello { wire_min: 1, wire_max: 3, ..agent() }, "wire 0"),
        (Hello { role: Role::Env, ..agent() }, "expects an agent"),
        (Hello { auth: 1, ..agent() }, "authentication"),
    ] {
        // What follows the first ten bytes may be of another age: it is not read.
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
fn a_stranger_gets_no_answer() {
    let good = frame(&agent());
    let n = Numbers { seq: 0, ack: 0, re: 0 };
    let mut magic = good.clone();
    magic[32] = b'r';
    let numbered = Numbers { seq: 1, ..n }.hello();
    let answering = Numbers { re: 1, ..n }.hello();
    let others = [n.welcome(), n.reject(), n.goodbye(0), n.make(), n.step(&[0]), n.spec(1)];
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    let strangers = [magic, numbered, answering, [&good[..], &[0]].concat()];
    for bytes in cut.chain(strangers).chain(others) {
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
    Welcome { wire: 1, features: 0, max_frame: 1 << 20, peer: String::new() }.put(&mut Writer(&mut out));
    let error = receive_welcome(&out).unwrap_err();
    assert!(error.kind() == ErrorKind::Protocol && error.to_string().contains("wire 1"), "{error}");
    let busy = receive_welcome(&n.reject()).unwrap_err();
    assert!(busy.kind() == ErrorKind::Busy && busy.to_string().contains("full"), "{busy}");
}
