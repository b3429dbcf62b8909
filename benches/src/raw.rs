//! The raw ping-pong: blocking sockets of the standard library, with the bare rustls over them for TLS, buffers made
//! once, one write per frame.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
};

use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::{
    certificate,
    frames::lengths,
    party::{obey, say},
};

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// The env's side: answers every request with a frame of a Result's length.
pub(crate) fn serve(address: &str, observation: usize) {
    let mut stream = accept(address);
    let (step, result) = lengths(observation);
    let (mut request, response) = (vec![0; step], vec![7; result]);
    while stream.read_exact(&mut request).is_ok() && stream.write_all(&response).is_ok() {}
}

/// The agent's side.
pub(crate) fn ping(address: &str, observation: usize) {
    let mut stream = connect(address);
    let (step, result) = lengths(observation);
    let (request, mut response) = (vec![0; step], vec![0; result]);
    obey(|n| {
        for _ in 0..n {
            stream.write_all(&request).expect("the other side is alive");
            stream.read_exact(&mut response).expect("the other side is alive");
        }
    });
}

fn accept(address: &str) -> Box<dyn Stream> {
    if let Some(path) = address.strip_prefix("unix://") {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path).expect("a free path");
        say(address);
        let stream = listener.accept().expect("the agent").0;
        let _ = fs::remove_file(path);
        return Box::new(stream);
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound");
    let tls = address.starts_with("tls://").then(|| {
        let (chain, key) = certificate::leave(at);
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        ServerConnection::new(Arc::new(config.expect("it fits"))).expect("TLS")
    });
    say(&format!("{}://{at}", if tls.is_some() { "tls" } else { "tcp" }));
    let stream = listener.accept().expect("the agent").0;
    stream.set_nodelay(true).expect("a TCP socket");
    match tls {
        Some(connection) => Box::new(StreamOwned::new(connection, stream)),
        None => Box::new(stream),
    }
}

fn connect(address: &str) -> Box<dyn Stream> {
    if let Some(path) = address.strip_prefix("unix://") {
        return Box::new(UnixStream::connect(path).expect("the env listens"));
    }
    let (scheme, address) = address.split_once("://").expect("an address");
    let stream = TcpStream::connect(address).expect("the env listens");
    stream.set_nodelay(true).expect("a TCP socket");
    if scheme == "tcp" {
        return Box::new(stream);
    }
    let at = stream.peer_addr().expect("connected");
    let config = rustls::ClientConfig::builder().with_root_certificates(certificate::believed(at));
    let name = certificate::NAME.try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).expect("TLS");
    let mut stream = StreamOwned::new(connection, stream);
    stream.flush().expect("a handshake");
    certificate::take_away(at);
    Box::new(stream)
}
