//! Dialing and listening: sockets, handshakes, and which peers are admitted.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use quinn::{
    Endpoint, ServerConfig, TokioRuntime,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rlay_core::{
    Address, BlockingChannel, Channel, Error, ErrorKind, Incoming, Listener, Result, TransportOptions,
    net::{self, lost, lost_by},
    open_bridged,
};
use rlay_tls::explain;
use socket2::{Domain, Socket, Type};
use tokio::{task::JoinHandle, time};

use crate::{
    channel::{QuicChannel, Streams, explain as explain_end},
    options::Parsed,
};

/// The dialer's first byte on the stream; only with it the stream exists for the listener.
const OPENING: u8 = 0;
/// The time after which a handshake is given up.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// The size of the socket's buffer that the kernel is asked for, for when no call drives the runtime; the kernel grants
/// what it may.
const SOCKET_BUFFER: usize = 4 << 20;

fn socket(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
    socket.bind(&at.into())?;
    socket.set_nonblocking(true)?;
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    Ok(socket.into())
}

pub(crate) async fn connect(address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    let parsed = Parsed::new(address, net::look_up(address).await?)?;
    let dialer = parsed.tls.dial(address)?;
    let crypto = QuicClientConfig::try_from(dialer.config).expect("ring has the initial cipher suite");
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(parsed.transport(options)));

    let mut last = None;
    for to in &parsed.sockets {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let cannot = |e: io::Error| net::cannot_connect(address, e);
        let what = || format!("cannot connect to {address}");
        let socket = socket(SocketAddr::new(any, 0)).map_err(cannot)?;
        let endpoint = Endpoint::new(parsed.endpoint(), None, socket, Arc::new(TokioRuntime)).map_err(cannot)?;
        let connecting = endpoint.connect_with(config.clone(), *to, &dialer.name.to_str());
        let connecting = connecting.map_err(|e| lost_by(what(), e))?;
        let met = tokio::select! {
            met = time::timeout(HANDSHAKE_TIME, connecting) => met,
            error = refused(*to, any) => {
                last = Some(cannot(error));
                continue;
            }
        };
        match met {
            Ok(Ok(connection)) => {
                let peer = format!("quic://{to}");
                // A listener that refuses this end's certificate reports it only now.
                let refused = || match connection.close_reason() {
                    Some(reason) => explain_end(&peer, &reason),
                    None => lost(what(), "the connection ended at once"),
                };
                let (mut send, receive) = connection.open_bi().await.map_err(|_| refused())?;
                send.write_all(&[OPENING]).await.map_err(|_| refused())?;
                let streams = Streams::new(connection, (send, receive), options.liveness);
                return Ok(Box::new(QuicChannel::open(streams, peer, options)));
            }
            Ok(Err(error)) => {
                if let Some(why) = dialer.refused.get() {
                    return Err(explain(&address.to_string(), why));
                }
                last = Some(explain_end(&address.to_string(), &error));
            }
            Err(_) => last = Some(lost(what(), format_args!("no answer within {HANDSHAKE_TIME:?}"))),
        }
    }
    Err(last.expect("there is an address"))
}

/// Ends when the machine at `to` reports the port as not in use. QUIC ignores such reports.
async fn refused(to: SocketAddr, any: IpAddr) -> io::Error {
    let knock = async {
        let socket = tokio::net::UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.connect(to).await?;
        // Too short to be a QUIC packet.
        socket.send(&[0]).await?;
        socket.recv(&mut [0]).await
    };
    match knock.await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => error,
        _ => std::future::pending().await,
    }
}

pub(crate) fn listen(address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
    let parsed = Parsed::new(address, net::resolve(address)?)?;
    let tls = parsed.tls.listen(address)?;
    tls.check_exposure(address, &parsed.sockets, options.is_authenticated)?;
    let crypto = QuicServerConfig::try_from(tls.config).expect("ring has the initial cipher suite");
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(parsed.transport_before_handshake(options)));

    let socket = socket(parsed.sockets[0]).map_err(|e| net::bind_error(address, e))?;
    let descriptor = socket.as_raw_fd();
    let endpoint = Endpoint::new(parsed.endpoint(), Some(config), socket, Arc::new(TokioRuntime));
    let endpoint = endpoint.map_err(|e| net::bind_error(address, e))?;
    let local = net::dialable("quic", endpoint.local_addr().map_err(|e| net::bind_error(address, e))?);
    let mtu = parsed.mtu.map(|mtu| format!("&mtu={mtu}")).unwrap_or_default();
    let address = format!("quic://{local}?pin={}{mtu}", tls.pin).parse()?;
    Ok(Box::new(QuicListener { endpoint, address, options: options.clone(), descriptor }))
}

#[derive(Debug)]
struct QuicListener {
    endpoint: Endpoint,
    address: Address,
    options: TransportOptions,
    descriptor: i32,
}

#[async_trait]
impl Listener for QuicListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        loop {
            let incoming = self.endpoint.accept().await;
            let incoming = incoming.ok_or_else(|| Error::new(ErrorKind::Closed, "the listener was closed"))?;
            let peer = format!("quic://{}", incoming.remote_address());
            // The dialer waits for the answer to its handshake, whether or not this connection is opened.
            let Ok(connecting) = incoming.accept() else { continue };
            let (liveness, dialer) = (self.options.liveness, peer.clone());
            let handshake = tokio::spawn(async move {
                let ended = |reason| explain_end(&dialer, &reason);
                let meet = async {
                    let connection = connecting.await.map_err(ended)?;
                    let (send, mut receive) = connection.accept_bi().await.map_err(ended)?;
                    let mut opening = [0];
                    receive.read_exact(&mut opening).await.map_err(|_| match connection.close_reason() {
                        Some(reason) => ended(reason),
                        None => lost(&dialer, "its stream ended before it began"),
                    })?;
                    if opening != [OPENING] {
                        let text = format!("{dialer}: it begins as no RLay endpoint of this release does");
                        return Err(Error::protocol(text));
                    }
                    Ok(Streams::new(connection, (send, receive), liveness))
                };
                let late = |_| Err(lost(&dialer, "the handshake took too long"));
                time::timeout(HANDSHAKE_TIME, meet).await.unwrap_or_else(late)
            });
            return Ok(Box::new(Accepted {
                handshake: PendingHandshake(handshake),
                peer,
                options: self.options.clone(),
            }));
        }
    }

    fn address(&self) -> &Address {
        &self.address
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.descriptor)
    }
}

impl Drop for QuicListener {
    fn drop(&mut self) {
        // Sessions keep the endpoint; without this the endpoint would answer for a listener that is gone.
        self.endpoint.set_server_config(None);
    }
}

/// A handshake under way. Dropping this gives the handshake up.
#[derive(Debug)]
pub(crate) struct PendingHandshake(JoinHandle<Result<Streams>>);

impl PendingHandshake {
    /// Cancel-safe.
    pub(crate) async fn streams(&mut self) -> Result<Streams> {
        let gone = |_| Err(Error::new(ErrorKind::Closed, "the handshake was given up"));
        (&mut self.0).await.unwrap_or_else(gone)
    }
}

impl Drop for PendingHandshake {
    fn drop(&mut self) {
        self.0.abort();
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
        Ok(Box::new(QuicChannel::meet(self.handshake, self.peer, &self.options)))
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        open_bridged(self)
    }
}
