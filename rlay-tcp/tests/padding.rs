//! A peer that endlessly sends what TLS accepts and no frame results from: it does not outlast a deadline or a stop.
#![cfg(feature = "tls")]

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use ring::{aead, hkdf};
use rlay_core::{Address, CancelToken, ErrorKind, Frame, Result, Transport, TransportOptions};
use rlay_tcp::Tcp;
use rlay_tls::TlsOptions;
use rustls::ClientConfig;

/// No wait takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than the kernel buffers.
const ALL: usize = 24 << 20;

/// Records the secret under which the peer's records are encrypted, so that the test can make them itself.
#[derive(Debug, Default)]
struct Secret(Mutex<Vec<u8>>);

impl rustls::KeyLog for Secret {
    fn log(&self, label: &str, _random: &[u8], secret: &[u8]) {
        if label == "CLIENT_TRAFFIC_SECRET_0" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label (RFC 8446, 7.1), for the cipher suite that both ends prefer: TLS_AES_256_GCM_SHA384.
fn expand(secret: &[u8], label: &str, len: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let info = [&[0, len as u8, label.len() as u8][..], label.as_bytes(), &[0]].concat();
    let mut out = vec![0; len];
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA384, secret);
    prk.expand(&[&info], Length(len)).unwrap().fill(&mut out).unwrap();
    out
}

/// A protected record (RFC 8446, 5.2).
fn record(key: &aead::LessSafeKey, iv: &[u8], number: u8, content: &[u8], kind: u8) -> Vec<u8> {
    let mut nonce: [u8; 12] = iv.try_into().unwrap();
    nonce[11] ^= number;
    let mut inner = [content, &[kind]].concat();
    let head = [0x17, 3, 3, 0, (inner.len() + 16) as u8];
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::from(head), &mut inner).unwrap();
    [&head[..], &inner, tag.as_ref()].concat()
}

/// Empty records, then a new key, over and over: each of the two permits as many of the other again.
fn padding(mut secret: Vec<u8>, len: usize) -> Vec<u8> {
    const EMPTY: u8 = 20;
    let mut out = vec![];
    while out.len() < len {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &expand(&secret, "key", 32)).unwrap();
        let (key, iv) = (aead::LessSafeKey::new(key), expand(&secret, "iv", 12));
        (0..EMPTY).for_each(|number| out.extend(record(&key, &iv, number, &[], 0x17)));
        out.extend(record(&key, &iv, EMPTY, &[0x18, 0, 0, 1, 0], 0x16)); // KeyUpdate
        secret = expand(&secret, "traffic upd", 48);
    }
    out
}

/// Completes the handshake with `address`, then sends padding, and counts what it has sent.
fn flood(address: &Address, sent: &AtomicUsize) {
    let (pin, mut options) = (address.options().next().unwrap().1, TlsOptions::default());
    options.take(address, "pin", pin).unwrap();
    let mut config = ClientConfig::clone(&options.dial(address).unwrap().config);
    let secret = Arc::new(Secret::default());
    config.key_log = secret.clone();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), "rlay".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(address.rest()).unwrap();
    connection.complete_io(&mut stream).unwrap();
    let secret = secret.0.lock().unwrap().clone();
    for piece in padding(secret, ALL).chunks(1 << 16) {
        if stream.write_all(piece).is_err() {
            return;
        }
        sent.fetch_add(piece.len(), SeqCst);
    }
}

#[test]
fn a_flood_of_nothing_ends_at_the_deadline_and_at_a_stop() {
    let address: Address = "tls://127.0.0.1:0".parse().unwrap();
    let mut listener = Tcp.listen_blocking(&address, &TransportOptions::default()).unwrap();
    let (address, sent) = (listener.address().clone(), Arc::new(AtomicUsize::new(0)));
    let counted = sent.clone();
    thread::spawn(move || flood(&address, &counted));
    let mut channel = listener.accept(None).unwrap().open_blocking().unwrap();
    let timed_out = |result: Result<Option<Frame>>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(sent.load(SeqCst) < ALL, "it read until nothing came any more");
    };

    let deadline = Instant::now() + PATIENCE;
    while sent.load(SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the flood never begins");
        timed_out(channel.recv(Some(Instant::now() + Duration::from_millis(10)))); // completes the handshake
    }
    timed_out(channel.recv(Some(Instant::now())));
    let stop = CancelToken::default();
    assert!(channel.set_cancel_token(Some(&stop)));
    stop.cancel();
    timed_out(channel.recv(None));
}
