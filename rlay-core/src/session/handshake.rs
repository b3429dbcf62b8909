//! The handshake: the dialer says hello, the listener welcomes or rejects it.

use crate::{
    error::{Error, ErrorKind, Result},
    wire::{HANDSHAKE_FRAME, Header, Hello, Kind, Limits, Message, Reader, Reject, Role, WIRE, Welcome, Writer},
};

/// What an endpoint says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Local {
    /// Whether it is an agent or hosts an environment.
    pub role: Role,
    /// Bounds on what it accepts.
    pub limits: Limits,
}

/// Name and version, for the peer's logs.
const PEER: &str = concat!("rlay ", env!("CARGO_PKG_VERSION"));

fn begin(kind: Kind, out: &mut Vec<u8>) {
    Header { kind, seq: 0, ack: 0, re: 0 }.begin(out);
}

/// Dialer, first: writes the Hello.
pub fn hello(local: &Local, out: &mut Vec<u8>) {
    begin(Kind::Hello, out);
    let hello = Hello {
        wire_min: WIRE,
        wire_max: WIRE,
        role: local.role,
        auth: 0,
        features: 0,
        max_frame: local.limits.frame as u64,
        peer: PEER.to_owned(),
    };
    hello.put(&mut Writer(out));
}

/// Opens a handshake frame, which is small and shallow whatever the limits of the session.
fn open(frame: &[u8]) -> Result<(Header, Reader<'_>)> {
    let limits = Limits { frame: HANDSHAKE_FRAME, depth: 4, count: 64 };
    let mut reader = Reader::new(frame, 0, &limits);
    let header = Header::read(&mut reader)?;
    // Nothing but the bounded handshake is parsed before it is over.
    match header {
        Header { kind: Kind::Hello | Kind::Welcome | Kind::Reject, seq: 0, ack: 0, re: 0 } => Ok((header, reader)),
        Header { kind, .. } => Err(Error::protocol(format!("{kind:?} before the handshake was over"))),
    }
}

/// Listener: reads the Hello and decides. The error is what [`reject`] should tell the dialer, if
/// its kind is [`Incompatible`](ErrorKind::Incompatible); otherwise the dialer is a stranger and gets no answer.
pub fn receive_hello(local: &Local, frame: &[u8]) -> Result<Hello> {
    let (header, reader) = open(frame)?;
    if header.kind != Kind::Hello {
        return Err(Error::protocol("the dialer did not start with Hello"));
    }
    // What follows these ten bytes depends on them.
    let (wire_min, wire_max, role, auth) = Hello::opening(&mut reader.clone())?;
    if !(wire_min..=wire_max).contains(&WIRE) {
        return Err(Error::new(
            ErrorKind::Incompatible,
            format!(
                "this side speaks wire {WIRE}, the dialer speaks {wire_min} to {wire_max}; \
                 install matching releases of rlay"
            ),
        ));
    }
    if role == local.role {
        let (serves, dial) = match local.role {
            Role::Env => ("an environment", "an agent: connect with ClientEnv, not ClientBackend"),
            Role::Agent => ("an agent", "an environment: connect with ClientBackend, not ClientEnv"),
        };
        return Err(Error::new(ErrorKind::Incompatible, format!("this address serves {serves} and expects {dial}")));
    }
    if auth != 0 {
        return Err(Error::new(ErrorKind::Incompatible, "this side does not know the dialer's kind of authentication"));
    }
    match Message::read(header, reader)? {
        Message::Hello(hello) => Ok(hello),
        _ => Err(Error::protocol("the dialer did not start with Hello")),
    }
}

/// Listener: writes the Welcome.
pub fn welcome(local: &Local, out: &mut Vec<u8>) {
    begin(Kind::Welcome, out);
    Welcome { wire: WIRE, features: 0, max_frame: local.limits.frame as u64, peer: PEER.to_owned() }
        .put(&mut Writer(out));
}

/// Listener: writes a Reject; the connection is closed after it.
pub fn reject(error: &Error, out: &mut Vec<u8>) {
    begin(Kind::Reject, out);
    Reject { code: error.kind().code(), wire_min: WIRE, wire_max: WIRE, message: error.to_string() }
        .put(&mut Writer(out));
}

/// Dialer: reads the listener's answer.
pub fn receive_welcome(frame: &[u8]) -> Result<Welcome> {
    let (header, reader) = open(frame)?;
    match Message::read(header, reader)? {
        Message::Welcome(welcome) if welcome.wire == WIRE => Ok(welcome),
        Message::Welcome(welcome) => {
            Err(Error::protocol(format!("the listener chose wire {}, which was not offered", welcome.wire)))
        }
        Message::Reject(reject) => Err(Error::new(
            ErrorKind::from_code(reject.code),
            format!("the listener refused the connection: {}", reject.message),
        )),
        _ => Err(Error::protocol("the listener answered Hello with Hello; both sides dialed")),
    }
}
