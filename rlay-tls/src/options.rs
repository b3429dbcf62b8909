//! Options: the TLS part of an address, and the settings of rustls that follow from it.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use rlay_core::{
    Address, Error, ErrorKind, Result,
    net::{self, ALLOW_REMOTE},
};
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection,
    client::Resumption,
    pki_types::ServerName,
    server::{NoServerSessionStorage, danger::ClientCertVerifier},
    version::TLS13,
};

use crate::{
    ALPN, Pin, TlsSession,
    files::Watched,
    identity::{self, Showing},
    provider,
    verifier::{OfDialers, OfListener},
};

/// The option by which a dialer takes any certificate.
const SKIP: &str = "insecure_skip_verification";

/// The options of an address that concern TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    pin: Option<Pin>,
    ca: Option<PathBuf>,
    name: Option<String>,
    skip_verification: bool,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    clients: Option<PathBuf>,
    allow_remote: bool,
}

/// The TLS settings of a dialer.
#[derive(Debug)]
pub struct Dialer {
    /// The settings of rustls.
    pub config: Arc<ClientConfig>,
    /// The name that is dialed.
    pub name: ServerName<'static>,
    /// Why the listener's certificate was rejected, once it was.
    pub refused: Arc<OnceLock<rustls::Error>>,
}

/// The TLS settings of a listener.
#[derive(Debug)]
pub struct Listening {
    /// The settings of rustls.
    pub config: Arc<ServerConfig>,
    /// The fingerprint of the certificate that the listener shows at first.
    pub pin: Pin,
    /// Whether dialers must show a trusted certificate of their own.
    is_mutual: bool,
    allow_remote: bool,
}

impl Dialer {
    /// Begins TLS on a new connection.
    pub fn session(&self) -> Result<TlsSession> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        connection.map(TlsSession::new).map_err(impossible)
    }
}

impl Listening {
    /// Refuses to listen where other machines can dial, unless dialers are authenticated or the options allow it.
    pub fn check_exposure(&self, address: &Address, found: &[SocketAddr], is_authenticated: bool) -> Result<()> {
        // Advice, for the error.
        const REMEDY: &str =
            "set a token (RLAY_TOKEN, at both ends), let only dialers with certificates in (clients=FILE), ";
        if is_authenticated || self.is_mutual {
            return Ok(());
        }
        net::check_exposure(address, found, self.allow_remote, "nothing authenticates who dials", REMEDY)
    }

    /// Begins TLS on a new connection.
    pub fn session(&self) -> Result<TlsSession> {
        ServerConnection::new(Arc::clone(&self.config)).map(TlsSession::new).map_err(impossible)
    }
}

fn impossible(error: rustls::Error) -> Error {
    Error::new(ErrorKind::Usage, format!("TLS cannot begin: {error}")).with_source(error)
}

impl TlsOptions {
    /// The error for an option that is none of these, and none of the transport's `own`.
    pub fn unknown(address: &Address, key: &str, value: &str, own: &str) -> Error {
        address.error(format_args!(
            "there is no option {key}={value}; there are pin=sha256:…, ca=FILE, cert=FILE, key=FILE, name=NAME, \
             clients=FILE, {own}{SKIP}=yes and {ALLOW_REMOTE}=yes"
        ))
    }

    /// Takes an option of `address`, unless it is none of these.
    pub fn take(&mut self, address: &Address, key: &str, value: &str) -> Result<bool> {
        if value.is_empty() {
            return Err(address.error(format_args!("{key} is empty")));
        }
        match (key, value) {
            ("pin", text) => self.pin = Some(text.parse().map_err(|e: String| address.error(e))?),
            ("ca", file) => self.ca = Some(file.into()),
            ("name", name) => self.name = Some(name.to_owned()),
            (SKIP, "yes") => self.skip_verification = true,
            ("cert", file) => self.cert = Some(file.into()),
            ("key", file) => self.key = Some(file.into()),
            ("clients", file) => self.clients = Some(file.into()),
            (ALLOW_REMOTE, "yes") => self.allow_remote = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The settings for the dialer of `address`.
    pub fn dial(&self, address: &Address) -> Result<Dialer> {
        for (given, option) in [(self.clients.is_some(), "clients"), (self.allow_remote, ALLOW_REMOTE)] {
            if given {
                return Err(address.error(format_args!("{option} is an option of listeners")));
            }
        }
        match (self.pin.is_some() || self.ca.is_some(), self.skip_verification) {
            (false, false) => {
                return Err(address.error(
                    "whose certificate is expected? use the address that the listener prints, with ?pin=sha256:…; \
                     or ca=FILE if a CA signed it; or insecure_skip_verification=yes to trust whoever answers",
                ));
            }
            (true, true) => return Err(address.error(format_args!("{SKIP} and pin or ca are one too many"))),
            _ => {}
        }
        let host = address.rest().rsplit_once(':').map_or_else(|| address.rest(), |(host, _)| host);
        let name = self.name.as_deref().unwrap_or_else(|| host.trim_matches(['[', ']']));
        let name = match ServerName::try_from(name.to_owned()) {
            // Without a CA the name is not checked.
            Err(_) if self.ca.is_none() && self.name.is_none() => ServerName::try_from("rlay").expect("a name"),
            name => name.map_err(|_| {
                address.error(format_args!(
                    "{name:?} is no name that a certificate could be for",
                    name = self.name.as_deref().unwrap_or(host)
                ))
            })?,
        };
        let verifier = OfListener::new(self.pin, self.ca.as_deref())?;
        let refused = verifier.refused.clone();
        let show = match self.files(address)? {
            Some((cert, key)) => {
                let identity = Arc::new(identity::from_files(&cert, &key)?);
                Showing(Box::new(move || Some(identity.clone())))
            }
            // Only made if the listener requests it.
            None => Showing(Box::new(|| {
                let own = identity::own().inspect_err(|error| tracing::warn!("{error}"));
                own.ok().map(Arc::new)
            })),
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(show));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Dialer { config: Arc::new(config), name, refused })
    }

    /// The settings for the listener at `address`.
    pub fn listen(&self, address: &Address) -> Result<Listening> {
        for (given, option) in [(self.name.is_some(), "name"), (self.skip_verification, SKIP)] {
            if given {
                return Err(address.error(format_args!("{option} is an option of dialers")));
            }
        }
        let identity = match self.files(address)? {
            Some((cert, key)) => {
                let files = (cert.clone(), key.clone());
                Watched::new(&[&cert, &key], move || identity::from_files(&files.0, &files.1))?
            }
            None => Watched::new(&[], identity::own)?,
        };
        let pin = identity::pin(&identity.current());
        if self.pin.is_some_and(|expected| expected != pin) {
            return Err(
                address.error(format_args!("the certificate here is {pin}; leave the pin out to listen with it"))
            );
        }
        let is_mutual = self.ca.is_some() || self.clients.is_some();
        let verifier: Arc<dyn ClientCertVerifier> = match is_mutual {
            true => Arc::new(OfDialers::new(self.ca.as_deref(), self.clients.as_deref())?),
            false => rustls::server::WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Showing(Box::new(move || Some(identity.current())))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A client that resumes is not verified again: a client taken off the list would still be admitted.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Listening { config: Arc::new(config), pin, is_mutual, allow_remote: self.allow_remote })
    }

    fn files(&self, address: &Address) -> Result<Option<(PathBuf, PathBuf)>> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), key) => Ok(Some((cert.clone(), key.as_ref().unwrap_or(cert).clone()))),
            (None, Some(_)) => Err(address.error("key without cert; give the file of the certificate, too")),
        }
    }
}
