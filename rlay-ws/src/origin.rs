//! Origins: the pages that may dial a listener, by what their browser says of them (RFC 6454).

use std::net::SocketAddr;

use rlay_core::{Address, Result};

/// Hosts whose pages come from the listener's own machine, as far as a browser there is concerned.
const OWN_MACHINE: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The origins that may dial.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// As browsers write them.
    listed: Vec<String>,
    /// Host and port in the listener's address.
    own: String,
}

impl Origins {
    /// Those of a listener at `place`, its host and port, and the `listed` ones.
    pub(crate) fn new(listed: Vec<String>, place: &str) -> Self {
        Self { listed, own: place.to_ascii_lowercase() }
    }

    /// Whether a page from `origin` may dial the listener, which was reached at `local`. The header Host is not
    /// consulted: a page whose name was made to lead to this machine would name itself there.
    pub(crate) fn allow(&self, origin: &str, local: SocketAddr) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.listed.contains(&origin) {
            return true;
        }
        let Some((scheme @ ("http" | "https"), place)) = origin.split_once("://") else { return false };
        let (host, port) = split(place);
        let port = port.unwrap_or(if scheme == "http" { "80" } else { "443" });
        let (own_host, _) = split(&self.own);
        let is_own_host = [own_host.to_owned(), bracketed(local)].iter().any(|own| own == host);
        OWN_MACHINE.contains(&host) || (is_own_host && port == local.port().to_string())
    }
}

/// The origins that the option `origin=` of `address` lists.
pub(crate) fn parse(address: &Address, text: &str) -> Result<Vec<String>> {
    text.split(',').map(|origin| parse_one(address, origin)).collect()
}

fn parse_one(address: &Address, origin: &str) -> Result<String> {
    let is_place = |place: &str| {
        let (host, port) = split(place);
        !host.is_empty() && !place.contains(['/', '*', '@', ' ']) && port.is_none_or(|port| port.parse::<u16>().is_ok())
    };
    // The origin of a page from a file.
    let is_known = origin == "null"
        || origin.split_once("://").is_some_and(|(scheme, place)| !scheme.is_empty() && is_place(place));
    if !is_known {
        return Err(address.error(format_args!(
            "{origin:?} is not an origin; one looks like https://example.org or http://192.0.2.7:8000, without a path"
        )));
    }
    // A browser leaves the port out where it is the scheme's own.
    let lower = origin.to_ascii_lowercase();
    let shorter = [("http://", ":80"), ("https://", ":443")]
        .iter()
        .find_map(|(scheme, port)| lower.strip_suffix(port).filter(|rest| rest.starts_with(scheme)));
    Ok(shorter.unwrap_or(&lower).to_owned())
}

/// Host and port; the host of IPv6 keeps its brackets.
fn split(place: &str) -> (&str, Option<&str>) {
    match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    }
}

fn bracketed(socket: SocketAddr) -> String {
    match socket {
        SocketAddr::V4(socket) => socket.ip().to_string(),
        SocketAddr::V6(socket) => format!("[{}]", socket.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_from_elsewhere_are_told_from_those_that_may_dial() {
        let address: Address = "ws://learner.example:5005".parse().unwrap();
        let listed = parse(&address, "https://Example.org:443,http://192.0.2.9:8000,null").unwrap();
        let origins = Origins::new(listed, "learner.example:5005");
        let local = "192.0.2.7:5005".parse().unwrap();
        for allowed in [
            "http://localhost:8000",
            "https://127.0.0.1",
            "http://[::1]:1",
            "http://learner.example:5005",
            "https://LEARNER.example:5005",
            "http://192.0.2.7:5005",
            "https://example.org",
            "http://192.0.2.9:8000",
            "null",
        ] {
            assert!(origins.allow(allowed, local), "{allowed}");
        }
        for refused in [
            "",
            "https://example.com",
            "http://example.org",
            "https://example.org:8443",
            "http://learner.example",
            "http://192.0.2.7",
            "http://192.0.2.9:8001",
            "http://127.0.0.2:8000",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com:5005",
            "chrome-extension://localhost",
            "localhost",
        ] {
            assert!(!origins.allow(refused, local), "{refused}");
        }
        let bare = Origins::new(vec![], "[::]:443");
        assert!(!bare.allow("null", local));
        assert!(bare.allow("https://[2001:db8::1]", "[2001:db8::1]:443".parse().unwrap()));
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        let address: Address = "ws://127.0.0.1:0".parse().unwrap();
        for bad in
            ["", "example.org", "https://", "https://example.org/", "https://*", "https://a:b", "https://a,", "*"]
        {
            let error = parse(&address, bad).unwrap_err();
            assert!(error.to_string().contains("looks like https://example.org"), "{error}");
        }
    }
}
