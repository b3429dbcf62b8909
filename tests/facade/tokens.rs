//! A token makes a listener of either role, over every transport, admit the peers that prove to know it, and no other.

use std::time::{Duration, Instant};

use rlay::{
    Address, BlockingChannel, Error, ErrorKind, Limits, Result, Token, TransportOptions,
    endpoint::{Acceptor, Wait},
    session::{ClientHandshake, Local},
    wire::{HANDSHAKE_FRAME, Role, Welcome},
};

use crate::support::{PATIENCE, bounded, eventually, fresh};

const SECRET: &str = "between the two of us";

fn local(role: Role, token: Option<&str>) -> Local {
    let token = token.map(|secret| Token::new(secret).expect("not empty"));
    Local { role, limits: Limits::default(), token, is_resumable: false }
}

/// A dialer by hand.
struct Dialer {
    channel: Box<dyn BlockingChannel>,
    dialing: ClientHandshake,
    frame: Vec<u8>,
}

impl Dialer {
    /// Connects and says hello.
    fn hello(address: &Address, local: Local, nonce: [u8; 32]) -> Result<Self> {
        let options = rlay::connection_options();
        let transport = options.registry().find(address)?;
        let mut channel = transport.connect_blocking(address, &TransportOptions::default(), soon())?;
        channel.set_max_frame(HANDSHAKE_FRAME);
        let mut frame = vec![];
        let dialing = ClientHandshake::begin(local, nonce, None, &mut frame);
        channel.send(&frame, &[], soon())?;
        Ok(Self { channel, dialing, frame })
    }

    /// Takes the listener's next frame.
    fn take(&mut self) -> Result<Option<Welcome>> {
        let lost = || Error::new(ErrorKind::ConnectionLost, "no answer");
        let answer = self.channel.recv(soon())?.ok_or_else(lost)?;
        self.dialing.take(&answer, &mut self.frame)
    }

    /// Sends `proof` after the challenge and takes the answer.
    fn prove(&mut self, proof: &[u8]) -> Result<Option<Welcome>> {
        self.channel.send(proof, &[], soon())?;
        self.take()
    }

    /// Completes the handshake; returns the proof that was sent.
    fn shake(&mut self) -> Result<Vec<u8>> {
        if self.take()?.is_some() {
            return Ok(vec![]);
        }
        let proof = self.frame.clone();
        self.prove(&proof).map(|_| proof)
    }
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + PATIENCE)
}

/// The kind of the error, if there was one.
fn verdict<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// What each kind of dialer sees, and what the listener logs of it.
fn attempt(scheme: &str, own: Role) {
    let options = rlay::connection_options().token(Token::new(SECRET).expect("not empty"));
    let address = fresh(scheme).parse().expect("an address");
    let acceptor = Acceptor::bind(&address, own, &options).expect("listens");
    let address = acceptor.address();
    let role = own.other();
    let note = |text: &str| {
        eventually(&format!("{scheme}: {text}"), || {
            let notices = acceptor.notices().join("\n");
            assert!(!notices.contains(SECRET), "{notices}");
            notices.contains(text)
        });
    };
    let shake = |token, nonce| Dialer::hello(address, local(role, token), nonce).and_then(|mut dialer| dialer.shake());

    let unauthorized = Some(ErrorKind::Unauthorized);
    assert_eq!(verdict(shake(Some("between the three of us"), [1; 32])), unauthorized, "{scheme}: wrong");
    note("the token is wrong");
    assert_eq!(verdict(shake(None, [2; 32])), unauthorized, "{scheme}: missing");
    note("a token is needed here");

    let proof = shake(Some(SECRET), [3; 32]).expect("the right token");
    acceptor.next(&mut Wait::new(Some(PATIENCE))).expect("admitted");

    let mut replay = Dialer::hello(address, local(role, Some(SECRET)), [3; 32]).expect("connects");
    assert!(replay.take().expect("a challenge").is_none());
    assert_eq!(verdict(replay.prove(&proof)), unauthorized, "{scheme}: replayed");
    note("the token is wrong");

    let mut truncated = Dialer::hello(address, local(role, Some(SECRET)), [4; 32]).expect("connects");
    assert!(truncated.take().expect("a challenge").is_none());
    let half = truncated.frame[..truncated.frame.len() - 1].to_vec();
    assert_eq!(verdict(truncated.prove(&half)), Some(ErrorKind::ConnectionLost), "{scheme}: truncated");
    note("malformed");

    let mut hasty = Dialer::hello(address, local(role, Some(SECRET)), [5; 32]).expect("connects");
    assert!(hasty.take().expect("a challenge").is_none());
    let mut hello = vec![];
    ClientHandshake::begin(local(role, Some(SECRET)), [5; 32], None, &mut hello);
    assert_eq!(verdict(hasty.prove(&hello)), Some(ErrorKind::ConnectionLost), "{scheme}: no proof at all");
    note("did not answer the challenge");

    // Only that one dialer was admitted, and the next one is.
    assert_eq!(verdict(acceptor.next(&mut Wait::new(Some(Duration::ZERO)))), Some(ErrorKind::Timeout));
    shake(Some(SECRET), [6; 32]).expect("the right token");
    acceptor.next(&mut Wait::new(Some(PATIENCE))).expect("admitted");
    acceptor.close();
}

/// The same for both roles of a listener: both paradigms.
fn attempts(scheme: &'static str) {
    bounded(move || [Role::Env, Role::Agent].map(|own| attempt(scheme, own)));
}

#[test]
fn over_tcp() {
    attempts("tcp");
}

#[test]
fn over_unix_sockets() {
    attempts("unix");
}

#[test]
fn over_mem() {
    attempts("mem");
}

#[cfg(feature = "zmq")]
#[test]
fn over_zmq() {
    attempts("zmq");
    attempts("zmq+ipc");
}

#[cfg(feature = "tls")]
#[test]
fn over_tls() {
    attempts("tls");
}

#[cfg(feature = "quic")]
#[test]
fn over_quic() {
    attempts("quic");
}

#[cfg(feature = "ws")]
#[test]
fn over_ws() {
    attempts("ws");
    attempts("wss");
}

#[cfg(all(feature = "shm", target_os = "linux"))]
#[test]
fn over_shm() {
    attempts("shm");
}

#[test]
fn with_a_token_others_may_dial() {
    let everywhere = "tcp://0.0.0.0:0".parse().expect("an address");
    let refused = Acceptor::bind(&everywhere, Role::Env, &rlay::connection_options()).expect_err("without a token");
    assert!(refused.to_string().contains("RLAY_TOKEN"), "{refused}");
    let options = rlay::connection_options().token(Token::new(SECRET).expect("not empty"));
    Acceptor::bind(&everywhere, Role::Env, &options).expect("with a token").close();
}
