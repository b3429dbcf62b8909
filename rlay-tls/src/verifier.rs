//! Verifier: which certificates of the other end are trusted.

use std::{
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
};

use rlay_core::Result;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::{
    Pin,
    files::{Watched, in_words, read, unusable},
    provider,
};

/// Why a certificate was rejected, in words of our own, which `Debug` prints, too: rustls shows nothing else.
struct Refusal(String);

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

fn refuse(why: String) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(Refusal(why)))).into()
}

/// The certificates of CAs in `file`.
fn authorities(file: &Path) -> Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    let pem = read(file).map_err(|e| unusable(file, e))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| unusable(file, in_words(&e)))?;
        store.add(certificate).map_err(|_| unusable(file, "it holds something that is no certificate of a CA"))?;
    }
    if store.is_empty() { Err(unusable(file, "it holds no certificate in PEM form")) } else { Ok(Arc::new(store)) }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

/// What both traits of rustls require: the peer has the key of the certificate that it shows.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(rustls::Error::General("only TLS 1.3 is spoken here".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, certificate, signature, &algorithms())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            algorithms().supported_schemes()
        }
    };
}

/// Verifies a listener's certificate for a dialer.
#[derive(Debug)]
pub(crate) struct OfListener {
    pin: Option<Pin>,
    ca: Option<Arc<WebPkiServerVerifier>>,
    /// Why the certificate was rejected: quinn reports it only in words.
    pub(crate) refused: Arc<OnceLock<rustls::Error>>,
}

impl OfListener {
    /// With neither, every certificate is trusted.
    pub(crate) fn new(pin: Option<Pin>, ca: Option<&Path>) -> Result<Self> {
        let ca = ca.map(|file| {
            let built = WebPkiServerVerifier::builder_with_provider(authorities(file)?, provider()).build();
            built.map_err(|e| unusable(file, e))
        });
        Ok(Self { pin, ca: ca.transpose()?, refused: Arc::default() })
    }
}

impl ServerCertVerifier for OfListener {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Pin::of(end_entity);
        let verified = match (self.pin, &self.ca) {
            (Some(pin), _) if pin != found => Err(refuse(format!(
                "the certificate there is {found}, not {pin}; use the address that the listener prints, \
                 and if it is the right one, somebody else answers"
            ))),
            (_, Some(ca)) => ca.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            _ => Ok(ServerCertVerified::assertion()),
        };
        verified.inspect_err(|error| drop(self.refused.set(error.clone())))
    }

    signatures!();
}

/// Verifies dialers' certificates for a listener. Both files count where both are given.
#[derive(Debug)]
pub(crate) struct OfDialers {
    ca: Option<Watched<Arc<dyn ClientCertVerifier>>>,
    clients: Option<Watched<Vec<Pin>>>,
}

impl OfDialers {
    pub(crate) fn new(ca: Option<&Path>, clients: Option<&Path>) -> Result<Self> {
        let ca = ca.map(|file| {
            let path = file.to_path_buf();
            Watched::new(&[file], move || {
                let built = WebPkiClientVerifier::builder_with_provider(authorities(&path)?, provider()).build();
                built.map_err(|e| unusable(&path, e))
            })
        });
        let clients = clients.map(|file| {
            let path = file.to_path_buf();
            Watched::new(&[file], move || listed(&path))
        });
        Ok(Self { ca: ca.transpose()?, clients: clients.transpose()? })
    }
}

/// The pins in `file`: one on a line, then space and any text; empty lines and lines that begin with # are ignored.
fn listed(file: &Path) -> Result<Vec<Pin>> {
    let text = read(file).map_err(|e| unusable(file, e))?;
    let text = String::from_utf8(text).map_err(|_| unusable(file, "it is no text in UTF-8"))?;
    let words = text.lines().enumerate().filter_map(|(i, line)| Some((i, line.split_whitespace().next()?)));
    let words = words.filter(|(_, word)| !word.starts_with('#'));
    words.map(|(i, word)| word.parse().map_err(|e| unusable(file, format_args!("line {}: {e}", i + 1)))).collect()
}

impl ClientCertVerifier for OfDialers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if let Some(ca) = &self.ca {
            ca.current().verify_client_cert(end_entity, intermediates, now)?;
        }
        let found = Pin::of(end_entity);
        if let Some(clients) = &self.clients
            && !clients.current().contains(&found)
        {
            return Err(refuse(format!(
                "{found} is not in the list of clients; if it may come in, add that as a line to {clients}"
            )));
        }
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}
