//! The opening handshake: HTTP that turns into a WebSocket, and what is said to peers that ask for something else.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    task::Poll,
};

use rlay_core::{Error, ErrorKind, Result, net::lost, wire::ForeignProtocol};
use tungstenite::{
    Error as WsError, WebSocket,
    client::IntoClientRequest,
    error::ProtocolError,
    handshake::{
        HandshakeError, HandshakeRole, MidHandshake,
        client::ClientHandshake,
        server::{ErrorResponse, Request, Response, ServerHandshake},
    },
    http::{StatusCode, header},
};

use crate::{connection::explain_io, options::Parsed, origin::Origins, socket::Socket};

/// Runs a handshake whenever there is something to read or room to write.
async fn run<R: HandshakeRole<InternalStream = Socket>>(handshake: MidHandshake<R>) -> Result<R::FinalResult, WsError> {
    let mut pending = Some(handshake);
    poll_fn(|cx| {
        let mut handshake = pending.take().expect("not over yet");
        let socket = handshake.get_mut().get_mut();
        socket.set_reader(cx);
        socket.set_writer(cx);
        match handshake.handshake() {
            Ok(result) => Poll::Ready(Ok(result)),
            Err(HandshakeError::Failure(error)) => Poll::Ready(Err(error)),
            Err(HandshakeError::Interrupted(handshake)) => {
                pending = Some(handshake);
                Poll::Pending
            }
        }
    })
    .await
}

/// A socket after its opening handshake, and the bytes that came behind it.
pub(crate) type Opened = (Socket, Vec<u8>);

fn opened(socket: WebSocket<Socket>) -> Opened {
    let mut socket = socket.into_inner();
    let tail = socket.opened();
    (socket, tail)
}

/// The dialer's part. `what` names the address, for errors.
pub(crate) async fn dial(socket: Socket, parsed: &Parsed, what: &str) -> Result<Opened> {
    let url = format!("{}://{}{}", parsed.place.scheme(), parsed.place.rest(), parsed.path);
    let request = url.as_str().into_client_request();
    let request = request.map_err(|e| parsed.place.error(format_args!("HTTP has no such address: {e}")))?;
    let handshake = ClientHandshake::start(socket, request, None);
    let shaken = match handshake {
        Ok(handshake) => run(handshake).await,
        Err(error) => Err(error),
    };
    shaken.map(|(socket, _)| opened(socket)).map_err(|error| explain_answer(what, error))
}

/// What a listener's answer means.
fn explain_answer(what: &str, error: WsError) -> Error {
    let explained = match error {
        WsError::Io(error) => return explain_io(what, error),
        WsError::Protocol(ProtocolError::HandshakeIncomplete) => lost(
            what,
            "it hung up when it was greeted as WebSocket does; if it is no ws listener, dial it as tcp or tls",
        ),
        WsError::Http(ref response) => match response.status() {
            StatusCode::NOT_FOUND => Error::protocol(format!(
                "{what}: there is no WebSocket at this path (HTTP 404); use the address that the listener prints"
            )),
            // A proxy whose listener is not there yet.
            status if status.is_server_error() => lost(what, format_args!("what answers there says HTTP {status}")),
            status => Error::protocol(format!(
                "{what}: what answers there says HTTP {status} and speaks no WebSocket here; check address, port and path"
            )),
        },
        ref other => Error::protocol(format!(
            "{what}: what listens there speaks no WebSocket ({other}); check the address and port at both ends"
        )),
    };
    explained.with_source(error)
}

/// The listener's part: which pages and which paths are served.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) path: String,
    pub(crate) origins: Origins,
    /// The address to dial, for the log.
    pub(crate) address: String,
}

impl Door {
    /// Why the request is refused, and the status that says so.
    fn check(&self, request: &Request, local: SocketAddr) -> Result<(), (StatusCode, String)> {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        if let Some(origin) = origins.next() {
            let text = String::from_utf8_lossy(origin.as_bytes());
            if origins.next().is_some() || !self.origins.allow(&text, local) {
                let listed = if self.address.contains('?') { '&' } else { '?' };
                let why = format!(
                    "a page from {text} was refused; if pages from there may dial, listen with the option \
                     origin={text}, as in {}{listed}origin={text} (several are separated by commas)",
                    self.address
                );
                return Err((StatusCode::FORBIDDEN, why));
            }
        }
        if request.uri().path() != self.path {
            let (asked, path) = (request.uri().path(), &self.path);
            return Err((StatusCode::NOT_FOUND, format!("it dialed the path {asked}, and this listener has {path}")));
        }
        Ok(())
    }

    /// Opens a connection.
    pub(crate) async fn accept(self: Arc<Self>, socket: Socket, local: SocketAddr, peer: &str) -> Result<Opened> {
        let refused = Arc::new(OnceLock::new());
        let (door, why) = (self, refused.clone());
        #[allow(clippy::result_large_err)] // the library's own type
        let check = move |request: &Request, response: Response| match door.check(request, local) {
            Ok(()) => Ok(response),
            Err((status, text)) => {
                let said = answer(status, &text);
                let _ = why.set(text);
                Err(said)
            }
        };
        let handshake = ServerHandshake::start(socket, check, None);
        run(handshake).await.map(opened).map_err(|error| match refused.get() {
            Some(text) => Error::new(ErrorKind::Unauthorized, format!("{peer}: {text}")).with_source(error),
            None => explain_request(peer, error),
        })
    }
}

fn answer(status: StatusCode, text: &str) -> ErrorResponse {
    // A page learns nothing of it; its author finds it among the browser's requests.
    let text = match status {
        StatusCode::FORBIDDEN => "This RLay listener takes no pages from there; its log says how to allow it.\n",
        _ => text,
    };
    let mut response = ErrorResponse::new(Some(text.to_owned()));
    *response.status_mut() = status;
    for (name, value) in [("connection", "close"), ("content-type", "text/plain; charset=utf-8")] {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response.headers_mut().insert("content-length", text.len().into());
    response
}

/// What a dialer's request is instead of what it should be.
fn explain_request(peer: &str, error: WsError) -> Error {
    let explained = match error {
        WsError::Io(error) => return explain_io(peer, error),
        WsError::Protocol(ProtocolError::HandshakeIncomplete) => lost(peer, "it left during the handshake"),
        ref other => Error::protocol(format!(
            "{peer}: {} that asks for no WebSocket ({other}); check the address and port at both ends",
            ForeignProtocol::Http
        )),
    };
    explained.with_source(error)
}

/// A peer that begins in no way that is known here; `scheme` is that of the listener.
pub(crate) fn foreign(peer: &str, first: &[u8], scheme: &str) -> String {
    match ForeignProtocol::recognize(first) {
        Some(ForeignProtocol::Zmq) => {
            format!("{peer}: {} on a {scheme} port; {}", ForeignProtocol::Zmq, ForeignProtocol::Zmq.advice())
        }
        Some(ForeignProtocol::Http) if scheme == "ws" => {
            format!(
                "{peer}: {} that asks for no WebSocket; check the address and port at both ends",
                ForeignProtocol::Http
            )
        }
        // TLS to a listener without, or the other way round.
        Some(who) => format!("{peer}: {who} on a {scheme} port; use wss:// at both ends, or at neither"),
        None => format!(
            "{peer}: not a WebSocket peer (first bytes: {first:02x?}); check the address and port at both ends, and \
             dial {scheme}://"
        ),
    }
}
