//! The certificate of a raw env, which it leaves in a file for its agent.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};

/// The name that the certificate is for.
pub(crate) const NAME: &str = "rlay";

fn file(address: SocketAddr) -> PathBuf {
    std::env::temp_dir().join(format!("rlay-bench-{}.pem", address.port()))
}

/// Makes a certificate for the env at `address`, and leaves it in the file.
pub(crate) fn leave(address: SocketAddr) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    std::fs::write(file(address), made.cert.pem()).expect("a temporary file");
    (vec![made.cert.der().clone()], PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into())
}

/// Removes the file once the agent is connected.
pub(crate) fn take_away(address: SocketAddr) {
    let _ = std::fs::remove_file(file(address));
}

/// The certificates that the agent of the env at `address` trusts.
pub(crate) fn believed(address: SocketAddr) -> Arc<RootCertStore> {
    let pem = std::fs::read(file(address)).expect("the env wrote it");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("it fits");
    Arc::new(roots)
}
