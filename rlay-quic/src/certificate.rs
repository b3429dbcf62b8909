//! Certificates: the listener's own, made on first use, and the pin by which a dialer knows it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ring::digest::{SHA256, digest};
use rlay_core::{Error, ErrorKind, Result};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

/// The name in the certificate. Nobody checks it: the pin says whose it is.
const NAME: &str = "rlay";

/// The SHA-256 fingerprint of a certificate in DER form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin([u8; 32]);

impl Pin {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = digest(&SHA256, certificate);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("{text:?} is not a pin; a pin is sha256: and 64 hexadecimal digits, as a listener prints it");
        let digits = text
            .strip_prefix("sha256:")
            .filter(|digits| digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(bad)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// This user's development certificate, made on first use. It is kept in a file, so that an address
    /// with its pin is still good tomorrow; where that cannot be, it lasts as long as the process.
    pub(crate) fn own() -> Result<Self> {
        static LASTING: OnceLock<String> = OnceLock::new();
        static MAKING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pem) = LASTING.get() {
            return Self::from_pem(pem);
        }
        let pem = match directory().map(|directory| kept(&directory)) {
            Some(Ok(pem)) => pem,
            failed => {
                let why = failed.map_or_else(|| "there is no home directory".to_owned(), |e| format!("{:?}", e.err()));
                tracing::warn!("the QUIC certificate is good for this process only: {why}");
                generate()?
            }
        };
        let identity = Self::from_pem(&pem)?;
        let _ = LASTING.set(pem);
        Ok(identity)
    }

    fn from_pem(pem: &str) -> Result<Self> {
        let bad = |e: rustls::pki_types::pem::Error| unusable(format_args!("{e}; remove the file and try again"));
        Ok(Self {
            certificate: CertificateDer::from_pem_slice(pem.as_bytes()).map_err(bad)?,
            key: PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(bad)?,
        })
    }
}

fn unusable(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("the QUIC certificate cannot be used: {why}"))
}

/// A new certificate and its key, as PEM.
fn generate() -> Result<String> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(unusable)?;
    Ok(format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))
}

/// Where programs keep what should outlast them: the XDG base directory specification, `XDG_STATE_HOME`.
fn directory() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")));
    state.map(|state| state.join("rlay"))
}

/// The certificate kept in `directory`, made now if there is none.
fn kept(directory: &Path) -> io::Result<String> {
    let file = directory.join("quic.pem");
    match fs::read_to_string(&file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    fs::create_dir_all(directory)?;
    let pem = generate().map_err(io::Error::other)?;
    // Written aside and linked, so that nobody reads half of it and two processes agree on one.
    let aside = directory.join(format!("quic.pem.{}", std::process::id()));
    let written = write_private(&aside, &pem).and_then(|()| match fs::hard_link(&aside, &file) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let _ = fs::remove_file(&aside);
    written?;
    fs::read_to_string(&file)
}

fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(file)?, text.as_bytes())
}

/// Takes the certificate with the pin, or any.
#[derive(Debug)]
pub(crate) struct PinVerifier {
    pub(crate) pin: Option<Pin>,
    pub(crate) provider: Arc<CryptoProvider>,
    /// The fingerprint that was offered instead.
    pub(crate) other: Arc<OnceLock<Pin>>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Pin::of(end_entity);
        if self.pin.is_some_and(|pin| pin != found) {
            let _ = self.other.set(found);
            return Err(rustls::Error::General("another certificate than the pinned one".into()));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC is TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_as_it_is_written() {
        let pin = Pin::of(&Identity::from_pem(&generate().unwrap()).unwrap().certificate);
        assert_eq!(pin.to_string().parse(), Ok(pin));
        let (short, long) = (format!("sha256:{}", "0".repeat(63)), format!("sha256:{}", "0".repeat(65)));
        let signs = format!("sha256:{}", "+1".repeat(32));
        let letters = format!("sha256:{}", "é".repeat(32));
        let other = format!("sha384:{}", "0".repeat(64));
        for bad in ["", "sha256:", &short, &long, &signs, &letters, &other] {
            assert!(bad.parse::<Pin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_certificate_is_made_once_and_private() {
        let directory = std::env::temp_dir().join(format!("rlay-quic-{}", std::process::id()));
        let first = kept(&directory).unwrap();
        assert_eq!(kept(&directory).unwrap(), first);
        assert_ne!(generate().unwrap(), first);
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(directory.join("quic.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&directory).unwrap();
    }
}
