//! The handshake: the dialer says hello, both prove that they know the token, the listener welcomes or rejects.

use crate::{
    error::{Error, ErrorKind, Result},
    frame::Frame,
    token::{NONCE, Prover, Token},
    wire::{
        Challenge, HANDSHAKE_FRAME, Header, Hello, Kind, Limits, Message, Proof, RESUMABLE, RESUMING, Reader, Reject,
        Resume, Role, Ticket, WIRE, Welcome, Writer,
    },
};

/// What an endpoint says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Local {
    /// Whether it is an agent or hosts an environment.
    pub role: Role,
    /// Bounds on what it accepts.
    pub limits: Limits,
    /// What the peer must prove to know.
    pub token: Option<Token>,
    /// Whether its sessions may go on over another connection.
    pub is_resumable: bool,
}

/// What the listener grants a dialer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// A new session. Without a ticket it ends with its connection; with one it may go on over another, which names the
    /// ticket.
    New {
        /// Names the session.
        ticket: Option<Ticket>,
    },
    /// To go on with its session.
    Resumed {
        /// The number of the last frame that the listener has received.
        received: u64,
    },
}

/// Name and version, for the peer's logs.
const PEER: &str = concat!("rlay ", env!("CARGO_PKG_VERSION"));
/// How a peer proves that it knows the token: by HMAC-SHA256 over the handshake, with a key that is derived from it.
const BY_TOKEN: u8 = 1;

/// The dialer's side of a handshake.
///
/// ```
/// use rlay::{Limits, Token, session::{ClientHandshake, Grant, Local, ServerHandshake}, wire::Role};
///
/// let token = Some(Token::new("a long and random text")?);
/// let local = |role| Local { role, limits: Limits::default(), token: token.clone(), is_resumable: false };
/// let (mut to_listener, mut to_dialer) = (Vec::new(), Vec::new());
///
/// // In earnest the nonces are random.
/// let mut client = ClientHandshake::begin(local(Role::Agent), [1; 32], None, &mut to_listener);
/// let mut server = ServerHandshake::new(local(Role::Env), [2; 32]);
/// while server.take(&to_listener, &mut to_dialer)?.is_none() {
///     assert!(client.take(&to_dialer, &mut to_listener)?.is_none()); // the challenge and the proof
/// }
/// server.welcome(Grant::New { ticket: None }, &mut to_dialer);
/// assert!(client.take(&to_dialer, &mut to_listener)?.is_some());
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientHandshake {
    local: Local,
    is_resuming: bool,
    hello: Vec<u8>,
    /// The listener's challenge, once it was answered.
    challenge: Option<Vec<u8>>,
}

impl ClientHandshake {
    /// Begins a handshake by writing the Hello: for a new session, or for one that goes on. No two may have the same
    /// nonce.
    pub fn begin(local: Local, nonce: [u8; NONCE], resume: Option<Resume>, out: &mut Vec<u8>) -> Self {
        let is_resuming = resume.is_some();
        begin(Kind::Hello, out);
        let hello = Hello {
            wire_min: WIRE,
            wire_max: WIRE,
            role: local.role,
            auth: if local.token.is_some() { BY_TOKEN } else { 0 },
            features: bit(local.is_resumable, RESUMABLE) | bit(is_resuming, RESUMING),
            max_frame: local.limits.frame as u64,
            peer: PEER.to_owned(),
            nonce: local.token.is_some().then_some(nonce),
            resume,
        };
        hello.put(&mut Writer(out));
        Self { local, is_resuming, hello: out.clone(), challenge: None }
    }

    /// The same with what came of receiving that frame from `peer`.
    pub(crate) fn take_answer(
        &mut self,
        answer: Result<Option<Frame>>,
        peer: &str,
        out: &mut Vec<u8>,
    ) -> Result<Option<Welcome>> {
        let answer = answer.map_err(|error| unanswered(error, peer))?;
        let closed = || Error::new(ErrorKind::ConnectionLost, "the listener closed the connection");
        self.take(&answer.ok_or_else(closed)?, out)
    }

    /// Takes the listener's next frame: its Welcome, or `None` if `out` is the answer to send.
    pub fn take(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<Option<Welcome>> {
        let (header, reader) = open(frame)?;
        match (Message::read(header, reader)?, &self.local.token, &self.challenge) {
            (Message::Challenge(_), Some(token), None) => {
                begin(Kind::Proof, out);
                Proof { proof: token.prove(Prover::Dialer, &self.hello, frame) }.put(&mut Writer(out));
                self.challenge = Some(frame.to_vec());
                Ok(None)
            }
            (Message::Welcome(welcome), ..) if welcome.wire != WIRE => {
                Err(Error::protocol(format!("the listener chose wire {}, which was not offered", welcome.wire)))
            }
            (Message::Welcome(welcome), ..)
                if welcome.received.is_some() != self.is_resuming
                    || (welcome.ticket.is_some() && (self.is_resuming || !self.local.is_resumable)) =>
            {
                Err(Error::protocol("the listener took a new session for an old one, or the other way round"))
            }
            (Message::Welcome(welcome), None, _) => Ok(Some(welcome)),
            (Message::Welcome(welcome), Some(token), challenge) => {
                let proof = welcome.proof.as_ref().map_or(&[][..], |proof| proof);
                let is_proven = |challenge: &Vec<u8>| token.is_proven(Prover::Listener, &self.hello, challenge, proof);
                if challenge.as_ref().is_some_and(is_proven) {
                    return Ok(Some(welcome));
                }
                Err(Error::new(
                    ErrorKind::Unauthorized,
                    "the listener did not prove that it knows the token; it is not the one that is meant",
                ))
            }
            (Message::Reject(reject), ..) => Err(refused(&reject, self.is_resuming)),
            (Message::Hello(_), ..) => {
                Err(Error::protocol("the listener answered Hello with Hello; both sides dialed"))
            }
            _ => Err(Error::protocol("the listener asked for what it should not")),
        }
    }
}

/// The error of a handshake that `peer` did not answer, or not as an endpoint does.
fn unanswered(error: Error, peer: &str) -> Error {
    match error.kind() {
        ErrorKind::ConnectionLost | ErrorKind::Timeout => {
            error.context(format_args!("{peer} did not answer the handshake; is it an RLay endpoint?"))
        }
        // TLS says so itself.
        _ if error.to_string().starts_with(peer) => error,
        _ => error.context(peer),
    }
}

/// The limits of a session: this end's own, and no frame longer than the peer accepts.
pub(crate) fn agree(own: Limits, max_frame: u64) -> Limits {
    Limits { frame: usize::try_from(max_frame).unwrap_or(usize::MAX).min(own.frame).max(HANDSHAKE_FRAME), ..own }
}

/// What a refusal says, as far as a foreign peer may say it: nothing that looks like an end on one's own side.
fn refused(reject: &Reject, is_resuming: bool) -> Error {
    let kind = match ErrorKind::from_code(reject.code) {
        ErrorKind::ConnectionLost if is_resuming => return Error::gone("the listener has ended the session"),
        kind @ (ErrorKind::Busy | ErrorKind::Incompatible | ErrorKind::Unauthorized) => kind,
        _ => ErrorKind::Protocol,
    };
    Error::said(kind, "the listener refused the connection", &reject.message)
}

/// The listener's side of a handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerHandshake {
    local: Local,
    nonce: [u8; NONCE],
    /// Hello as it was read and as it came, and the challenge, once that was sent.
    challenged: Option<(Hello, Vec<u8>, Vec<u8>)>,
}

impl ServerHandshake {
    /// For one dialer. No two may have the same nonce.
    pub fn new(local: Local, nonce: [u8; NONCE]) -> Self {
        Self { local, nonce, challenged: None }
    }

    /// Takes the dialer's next frame: its Hello, or `None` if `out` is the answer to send.
    ///
    /// The error is what [`reject`] should tell the dialer, unless its kind is [`Protocol`](ErrorKind::Protocol):
    /// then the dialer is a foreign peer and gets no answer.
    pub fn take(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<Option<Hello>> {
        let Some((hello, first, challenge)) = &self.challenged else {
            let hello = receive_hello(&self.local, frame)?;
            if self.local.token.is_none() {
                return Ok(Some(hello));
            }
            begin(Kind::Challenge, out);
            Challenge { nonce: self.nonce }.put(&mut Writer(out));
            self.challenged = Some((hello, frame.to_vec(), out.clone()));
            return Ok(None);
        };
        let (header, reader) = open(frame)?;
        let Message::Proof(Proof { proof }) = Message::read(header, reader)? else {
            return Err(Error::protocol("the dialer did not answer the challenge"));
        };
        let token = self.local.token.as_ref().expect("a challenge was sent, which needs a token");
        if token.is_proven(Prover::Dialer, first, challenge, &proof) {
            return Ok(Some(hello.clone()));
        }
        Err(Error::new(ErrorKind::Unauthorized, "the token is wrong; both ends must have the same"))
    }

    /// Writes the Welcome, after [`take`](Self::take) gave the Hello it answers.
    pub fn welcome(&self, grant: Grant, out: &mut Vec<u8>) {
        let (ticket, received) = match grant {
            Grant::New { ticket } => (ticket, None),
            Grant::Resumed { received } => (None, Some(received)),
        };
        begin(Kind::Welcome, out);
        let proof = self.local.token.as_ref().zip(self.challenged.as_ref());
        Welcome {
            wire: WIRE,
            features: bit(ticket.is_some(), RESUMABLE) | bit(received.is_some(), RESUMING),
            max_frame: self.local.limits.frame as u64,
            peer: PEER.to_owned(),
            ticket,
            received,
            proof: proof.map(|(token, (_, hello, challenge))| token.prove(Prover::Listener, hello, challenge)),
        }
        .put(&mut Writer(out));
    }
}

/// Listener: writes a Reject; the connection is closed after it.
pub fn reject(error: &Error, out: &mut Vec<u8>) {
    begin(Kind::Reject, out);
    Reject { code: error.kind().code(), wire_min: WIRE, wire_max: WIRE, message: error.to_string() }
        .put(&mut Writer(out));
}

fn bit(is_set: bool, bit: u64) -> u64 {
    if is_set { bit } else { 0 }
}

fn begin(kind: Kind, out: &mut Vec<u8>) {
    Header { kind, seq: 0, ack: 0, re: 0 }.begin(out);
}

/// Opens a handshake frame, which is small and shallow whatever the limits of the session.
fn open(frame: &[u8]) -> Result<(Header, Reader<'_>)> {
    let limits = Limits { frame: HANDSHAKE_FRAME, depth: 4, count: 64 };
    let mut reader = Reader::new(frame, 0, &limits);
    let header = Header::read(&mut reader)?;
    // Nothing but the bounded handshake is parsed before it is over.
    match header {
        Header {
            kind: Kind::Hello | Kind::Challenge | Kind::Proof | Kind::Welcome | Kind::Reject,
            seq: 0,
            ack: 0,
            re: 0,
        } => Ok((header, reader)),
        Header { kind, .. } => Err(Error::protocol(format!("{kind:?} before the handshake was over"))),
    }
}

fn receive_hello(local: &Local, frame: &[u8]) -> Result<Hello> {
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
    match (auth, &local.token) {
        (0, None) | (BY_TOKEN, Some(_)) => {}
        (0, Some(_)) => {
            return Err(Error::new(
                ErrorKind::Unauthorized,
                "a token is needed here; give the dialer the one of the listener, as token= or RLAY_TOKEN",
            ));
        }
        (BY_TOKEN, None) => {
            return Err(Error::new(
                ErrorKind::Unauthorized,
                "the dialer has a token and the listener has none; give both the same, or neither",
            ));
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Incompatible,
                "this side does not know the dialer's kind of authentication; install matching releases of rlay",
            ));
        }
    }
    match Message::read(header, reader)? {
        Message::Hello(hello) => Ok(hello),
        _ => Err(Error::protocol("the dialer did not start with Hello")),
    }
}
