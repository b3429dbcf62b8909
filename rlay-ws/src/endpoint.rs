//! Dialing and listening: sockets, TLS, and the opening handshakes of those that dial.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rlay_core::{
    Address, BlockingChannel, Channel, Error, ErrorKind, Incoming, Listener, Result, TransportOptions,
    net::{self, Reserve, lost},
    open_bridged,
    wire::HANDSHAKE_FRAME,
};
use rlay_tls::{Dialer, Listening, TlsOptions};
use rustls::{ClientConfig, ServerConfig};
use socket2::{Domain, Socket as NewSocket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tungstenite::protocol::Role;

use crate::{
    channel::WsChannel,
    connection::{Connection, explain_io},
    handshake::{self, Door, Opened},
    liveness,
    options::Parsed,
    origin::Origins,
    socket::{Layer, Socket, Tcp},
};

/// The time after which an opening handshake is given up.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// The kernel's backlog of connections.
const BACKLOG: i32 = 1024;
/// The protocol inside TLS (RFC 7301): what browsers ask for.
const ALPN: &[u8] = b"http/1.1";
/// How many first bytes tell the protocol of a peer.
const FIRST: usize = 16;

pub(crate) async fn connect(address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    let parsed = Parsed::new(address, false)?;
    let dialer = parsed.tls.as_ref().map(|tls| dialer(tls, &parsed.place)).transpose()?;
    let found = net::look_up(&parsed.place).await?;
    let tcp = TcpStream::connect(&found[..]).await.map_err(|e| net::cannot_connect(address, e))?;
    let what = format!("cannot connect to {address}");
    let cannot_use = |e| net::lost_by(&what, e);
    tcp.set_nodelay(true).map_err(cannot_use)?;
    let peer = format!("{}://{}", address.scheme(), tcp.peer_addr().map_err(cannot_use)?);
    let shake = async {
        let layer = match dialer {
            None => Layer::Plain(Tcp::new(tcp)),
            Some((connector, dialer)) => {
                let shaken = connector.connect(dialer.name.clone(), Tcp::new(tcp)).await;
                let failed = |e: std::io::Error| match e.kind() {
                    std::io::ErrorKind::UnexpectedEof => {
                        lost(&what, "the TLS handshake did not end; is the peer's address a wss:// one?").with_source(e)
                    }
                    _ => explain_io(&address.to_string(), e),
                };
                Layer::Tls(Box::new(shaken.map_err(failed)?.into()))
            }
        };
        handshake::dial(Socket::new(layer), &parsed, &address.to_string()).await
    };
    let late = |_| Err(lost(&what, format_args!("no answer within {HANDSHAKE_TIME:?}")));
    let opened = time::timeout(HANDSHAKE_TIME, shake).await.unwrap_or_else(late)?;
    Ok(Box::new(WsChannel::open(opened, peer, options)))
}

fn dialer(tls: &TlsOptions, place: &Address) -> Result<(TlsConnector, Dialer)> {
    let dialer = tls.dial(place)?;
    let mut config = ClientConfig::clone(&dialer.config);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok((Arc::new(config).into(), dialer))
}

fn acceptor(tls: &Listening) -> TlsAcceptor {
    let mut config = ServerConfig::clone(&tls.config);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config).into()
}

fn bind(to: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = NewSocket::new(Domain::for_address(to), Type::STREAM, None)?;
    // A port in TIME_WAIT can be bound again; one in use cannot.
    socket.set_reuse_address(true)?;
    socket.bind(&to.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(StdListener::from(socket))
}

pub(crate) fn listen(address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
    let parsed = Parsed::new(address, true)?;
    let found = net::resolve(&parsed.place)?;
    let tls = parsed.tls.as_ref().map(|tls| tls.listen(&parsed.place)).transpose()?;
    match &tls {
        Some(tls) => tls.check_exposure(address, &found, options.is_authenticated)?,
        None if options.is_authenticated => {
            net::check_exposure(address, &found, true, "nothing here is encrypted", "")?;
        }
        None => {
            let lacks = "nothing here authenticates or encrypts";
            net::check_exposure(address, &found, parsed.allow_remote, lacks, net::SET_A_TOKEN)?;
        }
    }
    let bound = |e| net::bind_error(address, e);
    let listener = bind(found[0]).map_err(bound)?;
    let local = net::dialable(address.scheme(), listener.local_addr().map_err(bound)?);
    let path = if parsed.path == "/" { "" } else { &parsed.path };
    let pin = tls.as_ref().map(|tls| format!("?pin={}", tls.pin)).unwrap_or_default();
    let to_dial: Address = format!("{}://{local}{path}{pin}", address.scheme()).parse()?;
    let door = Door {
        path: parsed.path.clone(),
        origins: Origins::new(parsed.origins, parsed.place.rest()),
        address: Address::new(address.scheme(), format!("{local}{path}")).to_string(),
    };
    Ok(Box::new(WsListener {
        listener,
        address: to_dial,
        acceptor: tls.as_ref().map(acceptor),
        door: Arc::new(door),
        options: options.clone(),
        reserve: Reserve::default(),
    }))
}

struct WsListener {
    listener: TcpListener,
    address: Address,
    /// `None` without TLS.
    acceptor: Option<TlsAcceptor>,
    door: Arc<Door>,
    options: TransportOptions,
    reserve: Reserve,
}

impl std::fmt::Debug for WsListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WsListener").field("address", &self.address).finish_non_exhaustive()
    }
}

#[async_trait]
impl Listener for WsListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        loop {
            match self.listener.accept().await {
                Ok((tcp, from)) => {
                    self.reserve.regain();
                    let peer = format!("{}://{from}", self.address.scheme());
                    let (acceptor, door, name) = (self.acceptor.clone(), self.door.clone(), peer.clone());
                    let liveness = self.options.liveness;
                    let (met, connection) = oneshot::channel();
                    // The dialer waits for the answer, whether or not this connection is opened, and for signs of life.
                    let keeper = tokio::spawn(async move {
                        let late = |_| Err(lost(&name, "the handshake took too long"));
                        let meet = time::timeout(HANDSHAKE_TIME, meet(tcp, acceptor, door, &name));
                        match meet.await.unwrap_or_else(late) {
                            Err(error) => drop(met.send(Err(error))),
                            Ok((socket, tail)) => {
                                let connection = Connection::new(socket, &tail, Role::Server, name, HANDSHAKE_FRAME);
                                let connection = Arc::new(connection);
                                if met.send(Ok(connection.clone())).is_ok() {
                                    liveness::keep(connection, liveness).await;
                                }
                            }
                        }
                    });
                    return Ok(Box::new(Accepted {
                        handshake: PendingHandshake { connection, keeper: Keeper(keeper) },
                        peer,
                        options: self.options.clone(),
                    }));
                }
                // The dialer disconnected while it waited, or descriptors ran out: neither ends the listener.
                Err(error) => time::sleep(self.reserve.refused(&error, &self.listener)).await,
            }
        }
    }

    fn address(&self) -> &Address {
        &self.address
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.listener.as_raw_fd())
    }
}

/// The listener's part in all that comes before the first message.
async fn meet(tcp: TcpStream, acceptor: Option<TlsAcceptor>, door: Arc<Door>, peer: &str) -> Result<Opened> {
    let broke = |e| explain_io(peer, e);
    tcp.set_nodelay(true).map_err(broke)?;
    let local = tcp.local_addr().map_err(broke)?;
    let mut first = [0; FIRST];
    let known = tcp.peek(&mut first).await.map_err(broke)?;
    let first = &first[..known];
    // Both begin in one way alone. What begins otherwise may never be long enough for a parser to say so.
    let (expected, scheme): (&[u8], _) = if acceptor.is_some() { (TLS_HANDSHAKE, "wss") } else { (HTTP, "ws") };
    if known > 0 && !first.starts_with(expected) && !expected.starts_with(first) {
        let error = Error::protocol(handshake::foreign(peer, first, scheme));
        // Closing with unread bytes would reset the connection, which tells the dialer less.
        let _ = tcp.try_read(&mut [0; 4096]);
        return Err(error);
    }
    let layer = match acceptor {
        None => Layer::Plain(Tcp::new(tcp)),
        Some(acceptor) => Layer::Tls(Box::new(acceptor.accept(Tcp::new(tcp)).await.map_err(broke)?.into())),
    };
    door.accept(Socket::new(layer), local, peer).await
}

/// The first bytes of TLS (RFC 8446, 5.1).
const TLS_HANDSHAKE: &[u8] = &[0x16, 3];
/// The first bytes of a request for a WebSocket (RFC 6455, 4.1).
const HTTP: &[u8] = b"GET ";

/// A task that opens a connection or looks after it. Dropping this ends the task.
#[derive(Debug)]
pub(crate) struct Keeper(pub(crate) JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An opening handshake under way. Dropping this gives the handshake up.
#[derive(Debug)]
pub(crate) struct PendingHandshake {
    connection: oneshot::Receiver<Result<Arc<Connection>>>,
    pub(crate) keeper: Keeper,
}

impl PendingHandshake {
    /// Cancel-safe.
    pub(crate) async fn connection(&mut self) -> Result<Arc<Connection>> {
        let gone = |_| Err(Error::new(ErrorKind::Closed, "the handshake was given up"));
        (&mut self.connection).await.unwrap_or_else(gone)
    }
}

#[derive(Debug)]
struct Accepted {
    handshake: PendingHandshake,
    peer: String,
    options: TransportOptions,
}

impl Incoming for Accepted {
    fn peer(&self) -> String {
        self.peer.clone()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        Ok(Box::new(WsChannel::meet(self.handshake, self.peer, &self.options)))
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        open_bridged(self)
    }
}
