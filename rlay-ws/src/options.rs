//! Options: the parts of a ws or wss address.

use rlay_core::{Address, Result, net::ALLOW_REMOTE};
use rlay_tls::TlsOptions;

use crate::origin;

/// A parsed address.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The same address without its path: host, port, and options.
    pub(crate) place: Address,
    /// Begins with a slash.
    pub(crate) path: String,
    /// `None` without TLS.
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) origins: Vec<String>,
    pub(crate) allow_remote: bool,
}

impl Parsed {
    /// The parts of `address`, of a listener's if `is_listener`.
    pub(crate) fn new(address: &Address, is_listener: bool) -> Result<Self> {
        let (place, path) = match address.rest().split_once('/') {
            None => (address.rest(), ""),
            Some((place, path)) => (place, path),
        };
        if !path.chars().all(|c| c.is_ascii_graphic() && c != '#') {
            return Err(address.error("the path holds a character that HTTP has encoded; write it as %20 and the like"));
        }
        let path = format!("/{path}");
        let mut bare = format!("{}://{place}", address.scheme());
        let mut tls = (address.scheme() == "wss").then(TlsOptions::default);
        let (mut origins, mut allow_remote) = (vec![], false);
        for (i, (key, value)) in address.options().enumerate() {
            bare += &format!("{}{key}={value}", if i == 0 { '?' } else { '&' });
            match (key, value) {
                ("origin", text) if is_listener => {
                    origins = origin::parse(address, text)?;
                    continue;
                }
                ("origin", _) => return Err(address.error("origin is an option of listeners")),
                _ => {}
            }
            if let Some(tls) = &mut tls {
                if !tls.take(address, key, value)? {
                    return Err(TlsOptions::unknown(address, key, value, "origin=https://example.org, "));
                }
                continue;
            }
            match (key, value) {
                (ALLOW_REMOTE, "yes") if is_listener => allow_remote = true,
                _ if is_listener => {
                    return Err(address.error(format_args!(
                        "a listener has no option {key}={value}; there are origin=https://example.org and \
                         {ALLOW_REMOTE}=yes, and those of certificates for wss"
                    )));
                }
                _ => {
                    return Err(address.error(format_args!(
                        "ws addresses have no option {key:?}; for an encrypted connection dial wss://"
                    )));
                }
            }
        }
        Ok(Self { place: bare.parse()?, path, tls, origins, allow_remote })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, is_listener: bool) -> Result<Parsed> {
        Parsed::new(&text.parse().unwrap(), is_listener)
    }

    #[test]
    fn an_address_has_a_place_and_a_path() {
        for (text, place, path) in [
            ("ws://127.0.0.1:5005", "ws://127.0.0.1:5005", "/"),
            ("ws://127.0.0.1:5005/", "ws://127.0.0.1:5005", "/"),
            ("ws://[::1]:5005/a/b:c", "ws://[::1]:5005", "/a/b:c"),
            (
                "wss://host:1/game?insecure_skip_verification=yes",
                "wss://host:1?insecure_skip_verification=yes",
                "/game",
            ),
        ] {
            let parsed = parsed(text, false).unwrap();
            assert_eq!((parsed.place.to_string(), parsed.path), (place.to_owned(), path.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_an_address_cannot_say_is_refused_with_advice() {
        for (text, is_listener, advice) in [
            ("ws://127.0.0.1:1?pin=sha256:0f", false, "dial wss://"),
            ("ws://127.0.0.1:1?pin=sha256:0f", true, "those of certificates for wss"),
            ("ws://127.0.0.1:1?origin=https://a.example", false, "option of listeners"),
            ("wss://127.0.0.1:1?mtu=1", true, "cert=FILE"),
            ("ws://127.0.0.1:1/a b", true, "%20"),
            ("ws://127.0.0.1:1/a#b", true, "%20"),
        ] {
            let error = parsed(text, is_listener).unwrap_err();
            assert!(error.to_string().contains(advice), "{error}");
        }
        let both = parsed("ws://0.0.0.0:1?origin=https://a.example,http://b.example&insecure_allow_remote=yes", true);
        let both = both.unwrap();
        assert_eq!((both.origins.len(), both.allow_remote), (2, true));
    }
}
