//! The raw ping-pong over QUIC: the bare quinn crate, one stream, driven by the thread that measures.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TransportConfig, VarInt};

use crate::{
    certificate,
    frames::lengths,
    party::{block_on, obey, say},
};

/// As large as RLay's.
const WINDOW: u32 = 16 << 20;

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.stream_receive_window(VarInt::from_u32(WINDOW)).send_window(WINDOW.into());
    config.max_idle_timeout(None);
    Arc::new(config)
}

/// The env's side.
pub(crate) fn serve(observation: usize) {
    let (step, result) = lengths(observation);
    block_on(async {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        let address = socket.local_addr().expect("bound");
        let (chain, key) = certificate::leave(address);
        let mut config = ServerConfig::with_single_cert(chain, key).expect("it fits");
        config.transport_config(transport());
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).expect("a socket");
        say(&format!("quic://{address}"));
        let connection = endpoint.accept().await.expect("an agent").await.expect("a handshake");
        let (mut send, mut receive) = connection.accept_bi().await.expect("a stream");
        certificate::take_away(address);
        let (mut request, response) = (vec![0; step], vec![7; result]);
        while receive.read_exact(&mut request).await.is_ok() && send.write_all(&response).await.is_ok() {}
    });
}

/// The agent's side.
pub(crate) fn ping(address: &str, observation: usize) {
    let (step, result) = lengths(observation);
    let address: SocketAddr = address.strip_prefix("quic://").expect("quic").parse().expect("an address");
    let runtime = crate::party::runtime();
    let (endpoint, mut send, mut receive) = runtime.block_on(async {
        let roots = certificate::believed(address);
        let mut config = ClientConfig::with_root_certificates(roots).expect("it can be verified");
        config.transport_config(transport());
        let endpoint = Endpoint::client(([0, 0, 0, 0], 0).into()).expect("a socket");
        let connection =
            endpoint.connect_with(config, address, certificate::NAME).expect("valid").await.expect("a handshake");
        let (send, receive) = connection.open_bi().await.expect("a stream");
        (endpoint, send, receive)
    });
    let (request, mut response) = (vec![0; step], vec![0; result]);
    obey(|n| {
        runtime.block_on(async {
            for _ in 0..n {
                send.write_all(&request).await.expect("the other side is alive");
                receive.read_exact(&mut response).await.expect("the other side is alive");
            }
        });
    });
    drop(endpoint);
}
