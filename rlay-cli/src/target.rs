//! Target: the peer that a command is about, and the ways to begin a session with it, whichever side dials.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use rlay::{
    Address, BlockingListener, Error, ErrorKind, Limits, Registry, Result, Token, TransportOptions, Value,
    session::{ClientHandshake, Grant, Local, ServerHandshake, reject},
    wire::{Header, Hello, Kind, Make, Message, RESUMABLE, Reader, Resume, Role, Ticket},
};

use crate::{
    arguments::PeerArguments,
    connection::{Carrier, Connection, Event, Record, Stop, Verdict, failed, not_applicable, read},
    frames, json,
    stream::ByteStream,
};

/// Pause before another attempt at a peer that is busy or not there yet.
const PAUSE: Duration = Duration::from_millis(20);
/// The pauses of dialers grow to 5 s; a listener waits for twice that.
const REDIAL: Duration = Duration::from_secs(10);
/// After so many connections in a row that came to nothing, the peer is taken for gone.
const MAX_FAILED_CONNECTIONS: u32 = 3;

/// The peer.
pub(crate) struct Target {
    address: Address,
    registry: Registry,
    listener: Option<RefCell<Box<dyn BlockingListener>>>,
    /// Dialers that came while another one was waited for, each with its Hello.
    waiting: RefCell<VecDeque<(Connection, Vec<u8>)>>,
    pub(crate) token: Option<Token>,
    env_id: Option<String>,
    kwargs: Value,
    answer_timeout: Cell<Duration>,
    connect_timeout: Duration,
    record: Record,
    failures: Cell<u32>,
}

/// How long an answer may take of a peer that has left several checks without one.
const SHORTENED_TIMEOUT: Duration = Duration::from_millis(300);

/// What a session is to be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// Whether it can be resumed over another connection.
    pub(crate) is_resumable: bool,
    /// The longest frame that is accepted, if it is not that of the default.
    pub(crate) max_frame: Option<usize>,
}

/// What the peer said of itself in the handshake.
#[derive(Debug, Clone)]
pub(crate) struct Greeting {
    /// Name and version of the peer's software.
    pub(crate) peer: String,
    /// The longest frame the peer accepts.
    pub(crate) max_frame: u64,
    /// Lowest and highest wire number that the peer has named.
    pub(crate) wire: (u16, u16),
    /// The ticket of the session, if it can be resumed.
    pub(crate) ticket: Option<Ticket>,
}

impl Target {
    /// The peer of the arguments. Binds the listener, if it is the peer that dials.
    pub(crate) fn new(arguments: &PeerArguments) -> Result<Self> {
        let registry = rlay::connection_options().registry().clone();
        let text = arguments.listen.as_ref().or(arguments.address.as_ref()).map_or("", String::as_str);
        let address: Address = text.parse()?;
        let token = match &arguments.token_file {
            Some(file) => {
                let text = fs::read_to_string(file).map_err(|e| {
                    Error::new(ErrorKind::Usage, format!("{} cannot be read: {e}", file.display())).with_source(e)
                })?;
                Some(Token::new(text.trim_end_matches(['\r', '\n']))?)
            }
            None => Token::from_env(),
        };
        let options = transport_options(token.is_some());
        let transport = registry.find(&address)?;
        let listener = match arguments.listen {
            Some(_) => Some(transport.listen_blocking(&address, &options)?),
            None => None,
        };
        // With the real port, and the pin of a certificate.
        let address = listener.as_ref().map_or(address, |listener| listener.address().clone());
        let kwargs = arguments.env_kwargs.as_deref().map_or(Ok(Value::Dict(rlay::Map::new())), json::kwargs)?;
        Ok(Self {
            address,
            listener: listener.map(RefCell::new),
            waiting: RefCell::default(),
            token,
            env_id: arguments.env_id.clone(),
            kwargs,
            answer_timeout: Cell::new(arguments.timeout.max(Duration::from_millis(100))),
            connect_timeout: arguments.connect_timeout,
            record: Record::default(),
            failures: Cell::new(0),
            registry,
        })
    }

    /// The address that peers dial, or that is dialed.
    pub(crate) fn address(&self) -> Address {
        self.address.clone()
    }

    /// Whether the peer dials.
    pub(crate) fn is_listening(&self) -> bool {
        self.listener.is_some()
    }

    /// The record of what was sent and received.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// What the peer is asked to make.
    pub(crate) fn make(&self) -> Make {
        Make { env_id: self.env_id.clone(), kwargs: self.kwargs.clone(), ..Make::default() }
    }

    /// Whether the peer is taken for gone, so that waiting for it is vain.
    pub(crate) fn is_gone(&self) -> bool {
        self.failures.get() >= MAX_FAILED_CONNECTIONS
    }

    /// Waits for less from now on: the peer has left several checks without an answer.
    pub(crate) fn shorten_timeout(&self) {
        self.answer_timeout.set(self.answer_timeout.get().min(SHORTENED_TIMEOUT));
    }

    fn wait(&self) -> Duration {
        match (self.is_gone(), self.is_listening()) {
            (true, _) => Duration::from_millis(300),
            (false, true) => self.answer_timeout.get().max(REDIAL),
            (false, false) => self.answer_timeout.get(),
        }
    }

    /// Waits until the peer can be connected to, for as long as the arguments say.
    pub(crate) fn await_peer(&self) -> Result<()> {
        let deadline = Instant::now() + self.connect_timeout;
        if let Some(listener) = &self.listener {
            let accepted = listener.borrow_mut().accept(Some(deadline));
            let incoming = accepted.map_err(|error| match error.kind() {
                ErrorKind::Timeout => {
                    let (address, waited) = (self.address(), self.connect_timeout.as_secs_f64());
                    let text =
                        format!("{address}: nothing has dialed within {waited} s; start the peer with this address");
                    Error::new(ErrorKind::ConnectionLost, text).with_source(error)
                }
                _ => error,
            })?;
            let mut connection = self.connection(Carrier::Channel(incoming.open_blocking()?), "the peer dialed");
            if let Event::Frame(hello) = connection.receive() {
                self.waiting.borrow_mut().push_back((connection, hello));
            }
            return Ok(());
        }
        loop {
            // A connection goes without a word, as that of a peer that only looked whether the port is open.
            let Err(error) = self.dial(deadline) else { return Ok(()) };
            if error.kind() != ErrorKind::ConnectionLost || Instant::now() >= deadline {
                return Err(error);
            }
            sleep(PAUSE);
        }
    }

    fn dial(&self, deadline: Instant) -> Result<Connection> {
        let options = transport_options(self.token.is_some());
        let channel = self.registry.find(&self.address)?.connect_blocking(&self.address, &options, Some(deadline))?;
        Ok(self.connection(Carrier::Channel(channel), "a connection begins"))
    }

    fn connection(&self, carrier: Carrier, note: &str) -> Connection {
        let connection = Connection::new(carrier, self.record.clone(), self.answer_timeout.get());
        connection.note(note);
        connection
    }

    /// A connection to a peer that listens, before anything is said.
    pub(crate) fn open(&self) -> Verdict<Connection> {
        if self.is_listening() {
            return not_applicable("the peer dials, and does not listen");
        }
        let deadline = Instant::now() + self.wait();
        loop {
            match self.dial(deadline) {
                Ok(connection) => return Ok(connection),
                // A refused connection is that of a peer that has ended, if there was one before.
                Err(error) if error.is_gone() || Instant::now() >= deadline => {
                    self.failures.set(self.failures.get() + 1);
                    return failed(10, format!("the peer cannot be connected to any more: {error}"));
                }
                Err(_) => sleep(PAUSE),
            }
        }
    }

    /// A connection on which any bytes can be written.
    pub(crate) fn open_stream(&self) -> Verdict<Connection> {
        if self.is_listening() || !ByteStream::reaches(&self.address) {
            return not_applicable("only where a tcp:// or unix:// address is dialed can any bytes be written");
        }
        match ByteStream::dial(&self.address, self.answer_timeout.get()) {
            Ok(stream) => Ok(self.connection(Carrier::Stream(stream), "a connection begins")),
            Err(error) => failed(10, format!("the peer cannot be connected to any more: {error}")),
        }
    }

    /// A session on a connection on which any bytes can be written.
    pub(crate) fn begin_stream(&self) -> Verdict<Connection> {
        let deadline = Instant::now() + self.wait();
        loop {
            let mut connection = self.open_stream()?;
            if self.shake(&mut connection, Wish::default(), None, deadline)?.is_some() {
                return Ok(connection);
            }
            sleep(PAUSE);
        }
    }

    fn local(&self, wish: Wish) -> Local {
        Local {
            role: Role::Agent,
            limits: Limits { frame: wish.max_frame.unwrap_or_else(|| Limits::default().frame), ..Limits::default() },
            token: self.token.clone(),
            is_resumable: wish.is_resumable,
        }
    }

    /// Begins a session as an honest agent does.
    pub(crate) fn begin(&self, wish: Wish) -> Verdict<(Connection, Greeting)> {
        let begun = if self.is_listening() { self.welcome(wish) } else { self.hello(wish) };
        match &begun {
            Ok(_) => self.failures.set(0),
            Err(Stop::Failed { .. }) => self.failures.set(self.failures.get() + 1),
            Err(Stop::NotApplicable(_)) => {}
        }
        begun
    }

    fn hello(&self, wish: Wish) -> Verdict<(Connection, Greeting)> {
        let deadline = Instant::now() + self.wait();
        loop {
            let mut connection = self.open()?;
            match self.shake(&mut connection, wish, None, deadline)? {
                Some(greeting) => return Ok((connection, greeting)),
                None => sleep(PAUSE),
            }
        }
    }

    /// The dialer's handshake. None: the peer was busy, which may pass before `deadline`.
    fn shake(
        &self,
        connection: &mut Connection,
        wish: Wish,
        resume: Option<Resume>,
        deadline: Instant,
    ) -> Verdict<Option<Greeting>> {
        let mut frame = Vec::new();
        let mut handshake = ClientHandshake::begin(self.local(wish), nonce(), resume, &mut frame);
        loop {
            connection.send_frame(&frame);
            let answer = match connection.receive_within(self.wait()) {
                Event::Frame(answer) => answer,
                other => return failed(9, format!("Hello was to be answered, but {}", other.words())),
            };
            match handshake.take(&answer, &mut frame) {
                Ok(None) => {}
                Ok(Some(welcome)) => {
                    connection.lift_limit();
                    return Ok(Some(Greeting {
                        peer: welcome.peer,
                        max_frame: welcome.max_frame,
                        wire: (welcome.wire, welcome.wire),
                        ticket: welcome.ticket,
                    }));
                }
                Err(error) if error.kind() == ErrorKind::Busy && Instant::now() < deadline => return Ok(None),
                Err(error) => return failed(9, error.to_string()),
            }
        }
    }

    /// The next dialer and its Hello.
    fn accept(&self, deadline: Instant) -> Verdict<(Connection, Vec<u8>)> {
        if let Some(waiting) = self.waiting.borrow_mut().pop_front() {
            return Ok(waiting);
        }
        self.accept_new(deadline)
    }

    fn accept_new(&self, deadline: Instant) -> Verdict<(Connection, Vec<u8>)> {
        let Some(listener) = &self.listener else { return not_applicable("the peer listens") };
        loop {
            let accepted = listener.borrow_mut().accept(Some(deadline));
            let incoming = match accepted {
                Ok(incoming) => incoming,
                Err(error) => return failed(15, format!("the peer has not dialed again: {error}")),
            };
            let Ok(channel) = incoming.open_blocking() else { continue };
            let mut connection = self.connection(Carrier::Channel(channel), "the peer dialed");
            match connection.receive() {
                Event::Frame(hello) => return Ok((connection, hello)),
                // One that has given up meanwhile.
                Event::Lost(_) | Event::Closed => {}
                other => return failed(9, format!("a dialer sends Hello at once, but {}", other.words())),
            }
        }
    }

    /// The listener's handshake.
    fn welcome(&self, wish: Wish) -> Verdict<(Connection, Greeting)> {
        let deadline = Instant::now() + self.wait();
        let mut is_first = true;
        loop {
            let (mut connection, frame) = self.accept(deadline)?;
            let mut out = Vec::new();
            let mut handshake = ServerHandshake::new(self.local(wish), nonce());
            let hello = match self.admit(&mut connection, &mut handshake, &frame, &mut out) {
                // One that has waited for too long in the queue.
                Err(_) if is_first => {
                    is_first = false;
                    continue;
                }
                hello => hello?,
            };
            if hello.resume.is_some() {
                reject(&Error::gone("the session has ended"), &mut out);
                connection.send_frame(&out);
                connection.close();
                continue;
            }
            let is_resumable = wish.is_resumable && hello.features & RESUMABLE != 0;
            let ticket = is_resumable.then(nonce);
            handshake.welcome(Grant::New { ticket }, &mut out);
            connection.send_frame(&out);
            connection.lift_limit();
            let wire = (hello.wire_min, hello.wire_max);
            return Ok((connection, Greeting { peer: hello.peer, max_frame: hello.max_frame, wire, ticket }));
        }
    }

    fn admit(
        &self,
        connection: &mut Connection,
        handshake: &mut ServerHandshake,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> Verdict<Hello> {
        match handshake.take(frame, out) {
            Ok(Some(hello)) => return Ok(hello),
            Ok(None) => {}
            Err(error) => return failed(9, format!("the peer's Hello: {error}")),
        }
        connection.send_frame(out);
        match connection.receive() {
            Event::Frame(proof) => match handshake.take(&proof, out) {
                Ok(Some(hello)) => Ok(hello),
                Ok(None) => failed(9, "the peer's Proof was not taken"),
                Err(error) => failed(9, format!("the peer's Proof: {error}")),
            },
            other => failed(9, format!("Challenge was to be answered by Proof, but {}", other.words())),
        }
    }

    /// Resumes a session over another connection; returns what the peer has received, too.
    pub(crate) fn resume(&self, ticket: Ticket, sent: u64, received: u64) -> Verdict<(Connection, u64)> {
        let (connection, peer_received) =
            if self.is_listening() { self.take_back(ticket, received)? } else { self.redial(ticket, received)? };
        Ok((connection.continued(sent, received), peer_received))
    }

    fn redial(&self, ticket: Ticket, received: u64) -> Verdict<(Connection, u64)> {
        let mut connection = self.open()?;
        let mut frame = Vec::new();
        let local = self.local(Wish { is_resumable: true, ..Wish::default() });
        let mut handshake = ClientHandshake::begin(local, nonce(), Some(Resume { ticket, received }), &mut frame);
        loop {
            connection.send_frame(&frame);
            let answer = match connection.receive() {
                Event::Frame(answer) => answer,
                other => return failed(21, format!("the session was to be resumed, but {}", other.words())),
            };
            match handshake.take(&answer, &mut frame) {
                Ok(None) => {}
                Ok(Some(welcome)) => {
                    connection.lift_limit();
                    return Ok((connection, welcome.received.unwrap_or_default()));
                }
                Err(error) => return failed(21, format!("the session cannot be resumed: {error}")),
            }
        }
    }

    fn take_back(&self, ticket: Ticket, received: u64) -> Verdict<(Connection, u64)> {
        let deadline = Instant::now() + self.wait();
        let mut others = Vec::new();
        let found = loop {
            let (mut connection, frame) = match self.accept_new(deadline) {
                Ok(accepted) => accepted,
                Err(stop) => break Err(stop),
            };
            let mut out = Vec::new();
            if !matches!(read(&frame), Ok((_, Message::Hello(Hello { resume: Some(_), .. })))) {
                others.push((connection, frame));
                continue;
            }
            let mut handshake =
                ServerHandshake::new(self.local(Wish { is_resumable: true, ..Wish::default() }), nonce());
            let hello = match self.admit(&mut connection, &mut handshake, &frame, &mut out) {
                Ok(hello) => hello,
                Err(stop) => break Err(stop),
            };
            let Some(resume) = hello.resume else { continue };
            if resume.ticket != ticket {
                reject(&Error::gone("the session has ended"), &mut out);
                connection.send_frame(&out);
                connection.close();
                continue;
            }
            handshake.welcome(Grant::Resumed { received }, &mut out);
            connection.send_frame(&out);
            connection.lift_limit();
            break Ok((connection, resume.received));
        };
        self.waiting.borrow_mut().extend(others);
        found
    }

    /// A Hello of an honest agent without a token, for changes by hand.
    pub(crate) fn plain_hello(&self) -> Hello {
        Hello {
            wire_min: 0,
            wire_max: 0,
            role: Role::Agent,
            auth: 0,
            features: 0,
            max_frame: 64 << 20,
            peer: concat!("rlay check ", env!("CARGO_PKG_VERSION")).to_owned(),
            nonce: None,
            resume: None,
        }
    }

    /// Sends a Hello and returns what came of it; tries again where the peer is busy with the session before.
    pub(crate) fn answer_to_hello(&self, hello: &[u8]) -> Verdict<(Connection, Event)> {
        let deadline = Instant::now() + self.wait();
        loop {
            let mut connection = self.open()?;
            connection.send_frame(hello);
            let event = connection.receive();
            if let Event::Frame(frame) = &event {
                let reader = Reader::new(frame, rlay::wire::HEADER_LEN, &Limits::default());
                let header = Header { kind: Kind::Reject, seq: 0, ack: 0, re: 0 };
                let is_reject = frame.first() == Some(&(Kind::Reject as u8));
                if is_reject
                    && let Ok(Message::Reject(told)) = Message::read(header, reader)
                    && told.code == ErrorKind::Busy.code()
                    && Instant::now() < deadline
                {
                    sleep(PAUSE);
                    continue;
                }
            }
            return Ok((connection, event));
        }
    }
}

/// The frame of a Hello.
pub(crate) fn hello_frame(hello: &Hello) -> Vec<u8> {
    frames::frame(Kind::Hello as u8, 0, 0, 0, &frames::body(|w| hello.put(w)))
}

/// Random bytes: nonces and tickets.
pub(crate) fn nonce() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

fn transport_options(is_authenticated: bool) -> TransportOptions {
    TransportOptions { is_authenticated, ..TransportOptions::default() }
}
