//! Peers that are no RLay endpoints: pages of other sites, and WebSocket clients that say something else.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rlay_core::{Address, BlockingChannel, BlockingListener, Error, ErrorKind, Transport, TransportOptions};
use rlay_ws::Ws;
use tungstenite::{
    ClientRequestBuilder, Error as WsError, Message, WebSocket,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// No wait takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
const LIVENESS: Duration = Duration::from_secs(2);

fn soon() -> Option<Instant> {
    Some(Instant::now() + PATIENCE)
}

fn listen(address: &str) -> Box<dyn BlockingListener> {
    let options = TransportOptions { liveness: LIVENESS, max_frame: 1000, ..TransportOptions::default() };
    Ws.listen_blocking(&address.parse().unwrap(), &options).unwrap()
}

/// Dials as a page from `origin` does, if there is one.
fn dial(address: &Address, path: &str, origin: Option<&str>) -> Result<WebSocket<TcpStream>, WsError> {
    let stream = TcpStream::connect(address.rest().split('/').next().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = ClientRequestBuilder::new(format!("ws://{}{path}", stream.peer_addr().unwrap()).parse().unwrap());
    let request = match origin {
        Some(origin) => request.with_header("Origin", origin),
        None => request,
    };
    tungstenite::client(request, stream).map(|(socket, _)| socket).map_err(|error| match error {
        tungstenite::HandshakeError::Failure(error) => error,
        tungstenite::HandshakeError::Interrupted(_) => panic!("no answer within {PATIENCE:?}"),
    })
}

/// A client of another make, and the listener's end.
fn meet() -> (WebSocket<TcpStream>, Box<dyn BlockingChannel>, Box<dyn BlockingListener>) {
    let mut listener = listen("ws://127.0.0.1:0");
    let address = listener.address().clone();
    let dialing = thread::spawn(move || dial(&address, "/", None).unwrap());
    let channel = listener.accept(soon()).unwrap().open_blocking().unwrap();
    (dialing.join().unwrap(), channel, listener)
}

fn status(refused: Result<WebSocket<TcpStream>, WsError>) -> u16 {
    match refused {
        Err(WsError::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?} instead of a refusal"),
    }
}

#[test]
fn pages_of_other_sites_are_refused() {
    let mut listener = listen("ws://127.0.0.1:0/game?origin=https://friend.example");
    let address = listener.address().clone();
    let own = format!("http://{}", address.rest().split('/').next().unwrap());
    let mut attempt = |path: &'static str, origin: Option<String>| {
        let address = address.clone();
        let dialing = thread::spawn(move || dial(&address, path, origin.as_deref()));
        let mut channel = listener.accept(soon()).unwrap().open_blocking().unwrap();
        let noted = channel.recv(Some(Instant::now() + Duration::from_millis(200)));
        (dialing.join().unwrap(), noted)
    };
    for allowed in [None, Some("http://localhost:8000"), Some("https://friend.example"), Some(own.as_str())] {
        let (dialed, _) = attempt("/game", allowed.map(str::to_owned));
        dialed.unwrap_or_else(|error| panic!("{allowed:?}: {error}"));
    }
    for refused in ["http://127.0.0.2:8000", "https://evil.example", "null", "http://friend.example"] {
        let (dialed, noted) = attempt("/game", Some(refused.to_owned()));
        assert_eq!(status(dialed), 403, "{refused}");
        let error = noted.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(error.to_string().contains(&format!("listen with the option origin={refused}")), "{error}");
    }
    let (dialed, noted) = attempt("/", None);
    assert_eq!(status(dialed), 404);
    assert!(noted.unwrap_err().to_string().contains("this listener has /game"));
}

#[test]
fn frames_are_binary_messages() {
    let (mut client, mut channel, _listener) = meet();
    client.send(Message::Binary(vec![7; 1000].into())).unwrap();
    assert_eq!(channel.recv(soon()).unwrap().unwrap()[..], [7; 1000]);
    channel.send(b"he", b"ad", soon()).unwrap();
    assert_eq!(client.read().unwrap(), Message::Binary(b"head".to_vec().into()));
    client.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).unwrap();
    assert!(channel.recv(soon()).unwrap().is_none(), "code 1000 is the goodbye");
}

/// What the listener's end makes of a message, and the code with which it ends the connection.
fn refuse(message: Message) -> (Error, Option<CloseCode>) {
    let (mut client, mut channel, _listener) = meet();
    client.send(message).unwrap();
    let error = channel.recv(soon()).unwrap_err();
    assert_eq!(channel.recv(soon()).unwrap_err().to_string(), error.to_string(), "it lasts");
    let code = match client.read() {
        Ok(Message::Close(close)) => close.map(|close| close.code),
        _ => None,
    };
    (error, code)
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let (error, code) = refuse(Message::text("hello"));
    assert_eq!((error.kind(), code), (ErrorKind::Protocol, Some(CloseCode::Unsupported)));
    assert!(error.to_string().contains("a message of text"), "{error}");

    let (error, code) = refuse(Message::Binary(vec![0; 1001].into()));
    // Unread bytes may reset the connection before the code is read.
    assert!(error.kind() == ErrorKind::Protocol && code.is_none_or(|code| code == CloseCode::Size), "{code:?}");
    assert!(error.to_string().contains("1001 bytes is larger than the limit of 1000"), "{error}");

    for (close, text) in [
        (None, "without a code"),
        (Some(CloseFrame { code: CloseCode::Away, reason: "".into() }), "its page was left"),
        (Some(CloseFrame { code: CloseCode::Library(4000), reason: "enough".into() }), "code 4000: enough"),
    ] {
        let (error, _) = refuse(Message::Close(close));
        assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn a_client_that_answers_pings_is_alive_and_is_answered_meanwhile() {
    let (mut client, mut channel, _listener) = meet();
    // Opens the channel, which then is left alone.
    client.send(Message::Binary(b"first".to_vec().into())).unwrap();
    channel.recv(soon()).unwrap().unwrap();
    let (mut pings, mut pongs) = (0, 0);
    let end = Instant::now() + 3 * LIVENESS;
    client.send(Message::Ping(b"anybody?".to_vec().into())).unwrap();
    while Instant::now() < end {
        match client.read().unwrap() {
            Message::Ping(_) => pings += 1,
            Message::Pong(payload) => {
                assert_eq!(payload, b"anybody?"[..]);
                pongs += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pings >= 2 && pongs == 1, "{pings} pings and {pongs} answers");
    client.send(Message::Binary(b"last".to_vec().into())).unwrap();
    assert_eq!(channel.recv(soon()).unwrap().unwrap()[..], *b"last");
}

#[test]
fn a_client_that_answers_nothing_is_given_up() {
    let (client, mut channel, _listener) = meet();
    let error = channel.recv(soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert!(error.to_string().contains("nothing was heard for too long"), "{error}");
    drop(client);
}
