//! The raw ping-pong over QUIC: the bare quinn crate, one stream, driven by the thread that measures.

use std::{net::SocketAddr, sync::Arc};

use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig, VarInt};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject},
};

use crate::{
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

/// Where the env leaves its certificate for the agent.
fn certificate_file(address: SocketAddr) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("rlay-bench-quic-{}.pem", address.port()))
}

/// The env's side.
pub(crate) fn serve(observation: usize) {
    let (step, result) = lengths(observation);
    block_on(async {
        let made = rcgen::generate_simple_self_signed(["rlay".to_owned()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut config = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key.into()).expect("it fits");
        config.transport_config(transport());
        let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = endpoint.local_addr().expect("bound");
        std::fs::write(certificate_file(address), made.cert.pem()).expect("a temporary file");
        say(&format!("quic://{address}"));
        let connection = endpoint.accept().await.expect("an agent").await.expect("a handshake");
        let (mut send, mut receive) = connection.accept_bi().await.expect("a stream");
        let _ = std::fs::remove_file(certificate_file(address));
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
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(certificate_file(address)).expect("the env wrote it");
        roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("it fits");
        let mut config = ClientConfig::with_root_certificates(Arc::new(roots)).expect("it can be verified");
        config.transport_config(transport());
        let endpoint = Endpoint::client(([0, 0, 0, 0], 0).into()).expect("a socket");
        let connection = endpoint.connect_with(config, address, "rlay").expect("valid").await.expect("a handshake");
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
