//! The raw ping-pong over WebSocket: the bare tungstenite crate on blocking sockets.

use std::net::{TcpListener, TcpStream};

use tungstenite::{Bytes, Message, WebSocket};

use crate::{
    frames::lengths,
    party::{obey, say},
};

/// The next message's length.
fn receive(socket: &mut WebSocket<TcpStream>) -> Option<usize> {
    match socket.read() {
        Ok(Message::Binary(bytes)) => Some(bytes.len()),
        _ => None,
    }
}

/// The env's side.
pub(crate) fn serve(observation: usize) {
    let (step, result) = lengths(observation);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    say(&format!("ws://{}", listener.local_addr().expect("bound")));
    let stream = listener.accept().expect("the agent").0;
    stream.set_nodelay(true).expect("a TCP socket");
    let mut socket = tungstenite::accept(stream).expect("a handshake");
    let response = Bytes::from(vec![7; result]);
    while receive(&mut socket) == Some(step) && socket.send(Message::Binary(response.clone())).is_ok() {}
}

/// The agent's side.
pub(crate) fn ping(address: &str, observation: usize) {
    let (step, result) = lengths(observation);
    let stream = TcpStream::connect(address.strip_prefix("ws://").expect("ws")).expect("the env listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let (mut socket, _) = tungstenite::client(address, stream).expect("a handshake");
    let request = Bytes::from(vec![0; step]);
    obey(|n| {
        for _ in 0..n {
            socket.send(Message::Binary(request.clone())).expect("the other side is alive");
            assert_eq!(receive(&mut socket), Some(result), "the other side is alive");
        }
    });
}
