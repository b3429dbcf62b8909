//! Identities: one's own certificate and key, from files or made on first use.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rlay_core::{Error, ErrorKind, Result};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{
    Pin,
    files::{in_words, read, unreadable, unusable},
    provider,
};

/// The name in the development certificate. It is not checked: the pin identifies the listener.
const NAME: &str = "rlay";

/// The certificate in `cert` with those that follow it in the file, and its key in `key`.
pub(crate) fn from_files(cert: &Path, key: &Path) -> Result<CertifiedKey> {
    let pem = |file: &Path| read(file).map_err(|e| unreadable(file, e));
    certified(&pem(cert)?, &pem(key)?).map_err(|why| {
        let key = if cert == key { String::new() } else { format!(" with the key in {}", key.display()) };
        unusable(cert, format_args!("{why}{key}"))
    })
}

/// This user's development certificate, made on first use. It is kept in a file, so that an address with its pin stays
/// valid across runs; where that is not possible, it lasts as long as the process.
pub(crate) fn own() -> Result<CertifiedKey> {
    static LASTING: OnceLock<String> = OnceLock::new();
    static MAKING: Mutex<()> = Mutex::new(());
    let unusable = |why: String| {
        Error::new(ErrorKind::Usage, format!("the development certificate cannot be used: {why}; remove the file"))
    };
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pem) = LASTING.get() {
        return certified(pem.as_bytes(), pem.as_bytes()).map_err(unusable);
    }
    let pem = match directory().map(|directory| kept(&directory)) {
        Some(Ok(pem)) => pem,
        failed => {
            let why = match failed.and_then(Result::err) {
                Some(error) => error.to_string(),
                None => "there is no home directory".to_owned(),
            };
            tracing::warn!(
                "the development certificate is good for this process only, and so is the pin in its address: {why}; \
                 let XDG_STATE_HOME name a folder that can be written to"
            );
            generate().map_err(|e| unusable(e.to_string()).with_source(e))?
        }
    };
    let identity = certified(pem.as_bytes(), pem.as_bytes()).map_err(unusable)?;
    let _ = LASTING.set(pem);
    Ok(identity)
}

/// The pin by which peers identify `identity`.
pub(crate) fn pin(identity: &CertifiedKey) -> Pin {
    Pin::of(identity.cert.first().expect("there is a certificate"))
}

fn certified(certificates: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
    let chain = chain.map_err(|e| format!("it holds no certificate in PEM form: {}", in_words(&e)))?;
    if chain.is_empty() {
        return Err("it holds no certificate in PEM form".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|e| format!("there is no private key in PEM form: {}", in_words(&e)))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => "the certificate and the key do not belong together".to_owned(),
        rustls::Error::InvalidCertificate(_) => "what it holds is no certificate".to_owned(),
        other => other.to_string(),
    })
}

/// A new certificate and its key, as PEM.
fn generate() -> Result<String, rcgen::Error> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    Ok(format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))
}

/// Where programs keep state that outlasts them: the XDG base directory specification, `XDG_STATE_HOME`.
fn directory() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")));
    state.map(|state| state.join("rlay"))
}

/// The certificate kept in `directory`, made now if there is none.
fn kept(directory: &Path) -> io::Result<String> {
    const FILE: &str = "certificate.pem";
    let file = directory.join(FILE);
    let pem = || String::from_utf8(read(&file)?).map_err(io::Error::other);
    match pem() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    fs::create_dir_all(directory)?;
    let made = generate().map_err(io::Error::other)?;
    // Written to a temporary file and linked, so that no process reads half of it and two processes agree on one.
    let aside = directory.join(format!("{FILE}.{}", std::process::id()));
    let _ = fs::remove_file(&aside); // left by a process that was killed
    let written = write_private(&aside, &made).and_then(|()| match fs::hard_link(&aside, &file) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let _ = fs::remove_file(&aside);
    written?;
    pem()
}

fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(file)?, text.as_bytes())
}

/// Presents an identity whenever it is requested: the same to every peer, and at a listener the one in its files now.
pub(crate) struct Showing(pub(crate) Box<dyn Fn() -> Option<Arc<CertifiedKey>> + Send + Sync>);

impl fmt::Debug for Showing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Showing")
    }
}

impl rustls::server::ResolvesServerCert for Showing {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0()
    }
}

impl rustls::client::ResolvesClientCert for Showing {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_made_once_and_private() {
        let directory = std::env::temp_dir().join(format!("rlay-tls-{}", std::process::id()));
        let first = kept(&directory).unwrap();
        assert_eq!(kept(&directory).unwrap(), first);
        assert_ne!(generate().unwrap(), first);
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(directory.join("certificate.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&directory).unwrap();
    }
}
