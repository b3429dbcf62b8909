//! The layer between frames and the socket: none, or TLS. Sans-io, so that both forms share it.

use std::{io::IoSlice, net::SocketAddr};

use rlay_core::{
    Address, Result,
    net::{self, ALLOW_REMOTE},
    wire::Framing,
};
#[cfg(feature = "tls")]
use {
    rlay_tls::{Dialer, Listening, TlsOptions, TlsSession},
    std::sync::Arc,
};

/// The security that an address asks for, from which each of its connections gets its layer.
#[derive(Debug, Clone)]
pub(crate) enum Security {
    /// No security: `tcp` and `unix`.
    None { allow_remote: bool },
    #[cfg(feature = "tls")]
    Dialer(Arc<Dialer>),
    #[cfg(feature = "tls")]
    Listener(Arc<Listening>),
}

impl Security {
    pub(crate) fn dial(address: &Address) -> Result<Self> {
        #[cfg(feature = "tls")]
        if address.scheme() == "tls" {
            return Ok(Self::Dialer(Arc::new(tls_options(address)?.dial(address)?)));
        }
        address.no_options()?;
        Ok(Self::None { allow_remote: false })
    }

    pub(crate) fn listen(address: &Address) -> Result<Self> {
        #[cfg(feature = "tls")]
        if address.scheme() == "tls" {
            return Ok(Self::Listener(Arc::new(tls_options(address)?.listen(address)?)));
        }
        match address.options().collect::<Vec<_>>()[..] {
            [] => Ok(Self::None { allow_remote: false }),
            [(ALLOW_REMOTE, "yes")] if address.scheme() == "tcp" => Ok(Self::None { allow_remote: true }),
            _ => Err(address.error(format_args!("a listener has no option but {ALLOW_REMOTE}=yes, for tcp"))),
        }
    }

    /// Refuses a listener that other machines can dial, unless peers are authenticated or the options allow it.
    pub(crate) fn check_exposure(&self, address: &Address, found: &[SocketAddr], is_authenticated: bool) -> Result<()> {
        match self {
            Self::None { .. } if is_authenticated => {
                net::check_exposure(address, found, true, "nothing here is encrypted", "")
            }
            Self::None { allow_remote } => {
                let lacks = "nothing here authenticates or encrypts";
                net::check_exposure(address, found, *allow_remote, lacks, net::SET_A_TOKEN)
            }
            #[cfg(feature = "tls")]
            Self::Listener(listening) => listening.check_exposure(address, found, is_authenticated),
            #[cfg(feature = "tls")]
            Self::Dialer(_) => Ok(()),
        }
    }

    /// The scheme of addresses over TCP with this security.
    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::None { .. } => "tcp",
            #[cfg(feature = "tls")]
            _ => "tls",
        }
    }

    /// The layer of a new connection.
    pub(crate) fn layer(&self) -> Result<Layer> {
        Ok(match self {
            Self::None { .. } => Layer::Plain,
            #[cfg(feature = "tls")]
            Self::Dialer(dialer) => Layer::Tls(Box::new(dialer.session()?)),
            #[cfg(feature = "tls")]
            Self::Listener(listening) => Layer::Tls(Box::new(listening.session()?)),
        })
    }
}

#[cfg(feature = "tls")]
fn tls_options(address: &Address) -> Result<TlsOptions> {
    let mut options = TlsOptions::default();
    for (key, value) in address.options() {
        if !options.take(address, key, value)? {
            return Err(TlsOptions::unknown(address, key, value, ""));
        }
    }
    Ok(options)
}

/// Transforms bytes on their way to and from the socket.
#[derive(Debug)]
pub(crate) enum Layer {
    /// Bytes are passed unchanged.
    Plain,
    #[cfg(feature = "tls")]
    Tls(Box<TlsSession>),
}

#[cfg_attr(not(feature = "tls"), allow(unused_variables))]
impl Layer {
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Whether nothing can be sent yet, for a handshake is under way.
    pub(crate) fn is_shaking(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.is_shaking(),
        }
    }

    /// Whether the layer has bytes for the socket.
    pub(crate) fn is_owing(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => !session.outgoing().is_empty(),
        }
    }

    /// The bytes to write instead of `parts`. The layer may take more of `parts`; then it adds the number of bytes to
    /// `taken`. `None` says that `parts` are to be written unchanged.
    pub(crate) fn seal(&mut self, parts: &[IoSlice<'_>], taken: &mut usize) -> Option<&[u8]> {
        match self {
            Self::Plain => None,
            #[cfg(feature = "tls")]
            Self::Tls(session) => {
                if session.outgoing().is_empty() && !session.is_shaking() {
                    *taken += session.seal(parts);
                }
                Some(session.outgoing())
            }
        }
    }

    /// `n` of the bytes to write instead were written.
    pub(crate) fn sent(&mut self, n: usize) {
        match self {
            Self::Plain => {}
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.sent(n),
        }
    }

    /// The socket takes no more. Received bytes stay valid.
    pub(crate) fn give_up(&mut self) {
        match self {
            Self::Plain => {}
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.give_up(),
        }
    }

    /// Adds the layer's own goodbye after the last frame.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Plain => {}
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.finish(),
        }
    }

    /// Where to read to next. Never empty.
    pub(crate) fn space<'a>(&'a mut self, framing: &'a mut Framing) -> &'a mut [u8] {
        match self {
            Self::Plain => framing.space(),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.space(),
        }
    }

    /// `n` bytes arrived in [`space`](Self::space).
    pub(crate) fn filled(&mut self, framing: &mut Framing, n: usize) {
        match self {
            Self::Plain => framing.filled(n),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.filled(n),
        }
    }

    /// Whether the layer holds something that [`open`](Self::open) would return.
    pub(crate) fn is_holding(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.is_holding(),
        }
    }

    /// Returns received bytes; whether there were any. After an error the peer is [owed](Self::is_owing) an alert.
    pub(crate) fn open(&mut self, framing: &mut Framing, peer: &str) -> Result<bool> {
        match self {
            Self::Plain => Ok(false),
            #[cfg(feature = "tls")]
            Self::Tls(session) => {
                let opened = session.open(framing.space());
                let n = opened.map_err(|e| session.explain(peer, &e))?;
                framing.filled(n);
                Ok(n > 0)
            }
        }
    }
}
