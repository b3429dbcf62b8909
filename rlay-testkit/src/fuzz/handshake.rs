//! A handshake in which frames may be changed on their way.

use rlay_core::{
    ErrorKind, Limits, Token,
    session::{ClientHandshake, Grant, Local, ServerHandshake, reject},
    wire::{RESUMABLE, Resume, Role},
};

use super::Input;

/// The claims of one side: one of three tokens, and whether its sessions last.
fn local(role: Role, what: u8) -> Local {
    let token = ["", "the token", "another token"][usize::from(what % 3)];
    Local { role, limits: Limits::default(), token: Token::new(token).ok(), is_resumable: what / 3 % 2 == 1 }
}

/// Lets a dialer and a listener complete a handshake. If no frame was changed, both agree when they should; if both
/// must prove that they know the token, the fields that the proofs cover were not changed.
pub(super) fn run(input: &mut Input<'_>) {
    let (ours, theirs, role) = (input.byte(), input.byte(), [Role::Env, Role::Agent][input.below(2)]);
    let (dialer, listener) = (local(Role::Agent, ours), local(role, theirs));
    let is_match = dialer.token == listener.token && role == Role::Env;
    let [dialer_asks, listener_asks] = [&dialer, &listener].map(|local| local.token.is_some());
    let (mut up, mut down) = (vec![], vec![]);
    let is_resumable = listener.is_resumable;
    let mut dialing = match ours / 6 % 2 {
        0 => ClientHandshake::begin(dialer, [1; 32], None, &mut up),
        _ => ClientHandshake::begin(dialer, [1; 32], Some(Resume { ticket: [3; 32], received: 7 }), &mut up),
    };
    let mut greeting = ServerHandshake::new(listener, [2; 32]);
    // Whether Hello or Challenge was changed, and whether any frame was.
    let (mut is_forged, mut is_changed) = (false, false);
    for round in 0.. {
        is_changed |= carry(&mut up, input);
        is_forged |= is_changed && round == 0;
        match greeting.take(&up, &mut down) {
            Ok(None) => {}
            Ok(Some(hello)) => {
                assert!(is_match || is_changed, "these two have nothing to say to each other");
                assert!(!listener_asks || !is_changed, "the listener took a proof of something else");
                let admission = match hello.resume {
                    Some(_) => Grant::Resumed { received: 9 },
                    None if is_resumable && hello.features & RESUMABLE != 0 => Grant::New { ticket: Some([3; 32]) },
                    None => Grant::New { ticket: None },
                };
                greeting.welcome(admission, &mut down);
            }
            Err(error) if error.kind() == ErrorKind::Protocol => {
                return assert!(is_changed, "a dialer was taken for a foreign peer: {error}");
            }
            Err(error) => {
                assert!(!is_match || is_changed, "a dialer was refused: {error}");
                reject(&error, &mut down);
            }
        }
        is_changed |= carry(&mut down, input);
        is_forged |= is_changed && round == 0;
        match dialing.take(&down, &mut up) {
            Ok(None) => assert_eq!(round, 0, "one challenge is all there is"),
            Ok(Some(_)) => {
                assert!(is_match || is_changed, "these two have nothing to say to each other");
                return assert!(!dialer_asks || !is_forged, "the dialer took a proof of something else");
            }
            Err(error) => return assert!(!is_match || is_changed, "a listener was refused: {error}"),
        }
    }
}

/// Whether `frame` was changed on its way.
fn carry(frame: &mut Vec<u8>, input: &mut Input<'_>) -> bool {
    let sent = frame.clone();
    for _ in 0..input.below(4) {
        input.bend(frame);
    }
    sent != *frame
}
