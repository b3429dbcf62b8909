//! Foreign dialers: what they can make a listener hold, and what they are told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::{Connection, Endpoint, TransportConfig, crypto::rustls::QuicClientConfig};
use rlay_core::{Address, Listener, Transport, TransportOptions};
use rlay_quic::Quic;
use rustls::{RootCertStore, pki_types::CertificateDer};
use tokio::time::timeout;

/// No wait takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listener with a certificate that the foreign peer trusts, and with `options` as well.
async fn listen(options: &str) -> (Box<dyn Listener>, SocketAddr, CertificateDer<'static>, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(["learner".to_owned()]).unwrap();
    let name = format!("rlay-quic-foreign-peers-{}-{}", std::process::id(), options.len());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem())).unwrap();
    let options = options.replace("FILE", &file.display().to_string());
    let address: Address = format!("quic://127.0.0.1:0?cert={}{options}", file.display()).parse().unwrap();
    let listener = Quic.listen(&address, &TransportOptions::default()).await.unwrap();
    let at = listener.address().rest().parse().unwrap();
    (listener, at, made.cert.der().clone(), file)
}

/// Connects with no certificate of its own.
async fn dial(at: SocketAddr, believed: CertificateDer<'static>, send_window: u64) -> (Endpoint, Connection) {
    let mut roots = RootCertStore::empty();
    roots.add(believed).unwrap();
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"rlay".to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.send_window(send_window);
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let connection = endpoint.connect_with(config, at, "learner").unwrap().await.unwrap();
    (endpoint, connection)
}

#[tokio::test]
async fn a_foreign_peer_leaves_little_unread() {
    const OWN: usize = 64 << 10;
    let (mut listener, at, believed, file) = listen("").await;
    let accepted = tokio::spawn(async move { (listener.accept().await.unwrap(), listener) });
    let (_endpoint, connection) = dial(at, believed, OWN as u64).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&[0]).await.unwrap();
    // The accepted connection is not opened, so its bytes are not read.
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_millis(500), send.write(&[7; 4096])).await {
        sent += written.unwrap();
        assert!(sent < 16 * OWN, "a foreign peer filled {sent} bytes of the listener's memory");
    }
    assert!(sent >= OWN, "it could send something");
    drop((accepted.await, std::fs::remove_file(file)));
}

#[tokio::test]
async fn who_shows_no_certificate_is_told_that_one_is_needed() {
    let (mut listener, at, believed, file) = listen("&ca=FILE").await;
    let accepted = tokio::spawn(async move {
        let mut channel = listener.accept().await.unwrap().open().unwrap();
        timeout(PATIENCE, channel.recv()).await.unwrap().unwrap_err()
    });
    let (_endpoint, connection) = dial(at, believed, 1 << 20).await;
    // The handshake is complete before the listener has checked the certificate.
    let reason = timeout(PATIENCE, connection.closed()).await.unwrap().to_string();
    assert!(reason.contains("116"), "certificate_required (RFC 8446, 6): {reason}");
    let noted = accepted.await.unwrap().to_string();
    assert!(noted.contains("certificate"), "{noted}");
    let _ = std::fs::remove_file(file);
}
