//! Explain: says what went wrong with TLS, in plain words and with advice.

use rlay_core::{Error, ErrorKind, net::lost, wire::ForeignProtocol, wire::Kind};
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// The error for a fault that rustls found with `peer`.
pub fn explain(peer: &str, error: &TlsError) -> Error {
    explain_to(peer, error, &[])
}

/// The same where the first bytes of the peer are known.
pub(crate) fn explain_to(peer: &str, error: &TlsError, first: &[u8]) -> Error {
    let explained = match error {
        TlsError::InvalidCertificate(why) => unauthorized(peer, &certificate(why)),
        TlsError::AlertReceived(alert) => {
            explain_alert(peer, u8::from(*alert)).unwrap_or_else(|| lost(peer, format_args!("it ended TLS: {error}")))
        }
        TlsError::NoCertificatesPresented => {
            unauthorized(peer, "the dialer showed no certificate, and here it must; give it one (cert=FILE)")
        }
        TlsError::InvalidMessage(_) => Error::protocol(format!("{peer}: {}", no_tls(first))),
        TlsError::PeerIncompatible(_) => {
            Error::protocol(format!("{peer}: it does not speak TLS 1.3 as it is spoken here; use RLay at both ends"))
        }
        TlsError::NoApplicationProtocol => Error::protocol(format!(
            "{peer}: it speaks TLS, but not RLay inside; check the address and port at both ends"
        )),
        other => Error::protocol(format!("{peer}: TLS failed: {other}; check the address and port at both ends")),
    };
    explained.with_source(error.clone())
}

/// The error for a fault that this end found with `peer` and reported to it by `alert`, where the fault is known only
/// in words.
pub fn explain_own_alert(peer: &str, alert: u8, text: &str) -> Error {
    match AlertDescription::from(alert) {
        AlertDescription::NoApplicationProtocol => explain(peer, &TlsError::NoApplicationProtocol),
        AlertDescription::CertificateRequired => explain(peer, &TlsError::NoCertificatesPresented),
        AlertDescription::CertificateExpired => unauthorized(
            peer,
            "its certificate has expired or is not valid yet; it needs a new one (or the clock here is wrong)",
        ),
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => unauthorized(peer, &said(text)),
        _ => Error::protocol(format!("{peer}: TLS failed: {text}; check the address and port at both ends")),
    }
}

/// Says what a peer is that begins with these bytes where TLS was expected.
fn no_tls(first: &[u8]) -> String {
    const HELLO: u8 = Kind::Hello as u8;
    match (ForeignProtocol::recognize(first), first) {
        (Some(foreign), _) => {
            format!("{foreign}, not a TLS peer; is its address a tls:// one? {}", foreign.advice())
        }
        // A length, and the header that follows it (docs/wire.md, sections 1 and 2).
        (None, [_, _, 0, 0, HELLO, 0, 0, 0, ..]) => {
            "an RLay peer without TLS, not a TLS peer; is its address a tls:// one? Dial the address that is printed here"
                .to_owned()
        }
        _ => "not a TLS peer; is its address a tls:// one?".to_owned(),
    }
}

/// The error for an alert by which `peer` ended the handshake, if it is about certificates (RFC 8446, 6.2).
pub fn explain_alert(peer: &str, alert: u8) -> Option<Error> {
    let what = match AlertDescription::from(alert) {
        AlertDescription::CertificateRequired => "it wants a certificate of this end; give one (cert=FILE)",
        AlertDescription::CertificateExpired => "it says that this end's certificate has expired or is not valid yet",
        AlertDescription::UnknownCA => "it does not know who signed this end's certificate; give another (cert=FILE)",
        AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            "it refuses this end's certificate; the log there says which one, and what to do to admit it"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::DecryptError => "it cannot use this end's certificate",
        AlertDescription::NoApplicationProtocol => {
            return Some(Error::protocol(format!("{peer}: it speaks TLS, but not RLay inside; check the address")));
        }
        _ => return None,
    };
    Some(unauthorized(peer, what))
}

fn unauthorized(peer: &str, what: &str) -> Error {
    Error::new(ErrorKind::Unauthorized, format!("{peer}: {what}"))
}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; it needs a new one (or the clock here is wrong)".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet (or the clock here is wrong)".to_owned()
        }
        CertificateError::UnknownIssuer => UNKNOWN_ISSUER.to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            format!(
                "its certificate is for {}, not for {}; dial it by such a name, or append name=NAME",
                if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") },
                expected.to_str()
            )
        }
        other => said(&other.to_string()),
    }
}

const UNKNOWN_ISSUER: &str = "its certificate is signed by none of those in ca=FILE; give the file of its CA (who dials \
                              may take the pin that the listener prints instead)";

/// The name in what rustls calls `DnsName("game.test")` or `IpAddress(127.0.0.1)`.
fn bare(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"')
}

/// The sentence for a fault of a certificate, where rustls has only the name of a variant, perhaps in brackets; or for
/// a sentence of our own in brackets.
fn said(text: &str) -> String {
    let text = text.strip_prefix("invalid peer certificate: ").unwrap_or(text);
    let name = text.rsplit_once("OtherError(").map_or(text, |(_, rest)| rest.trim_end_matches(')'));
    match name {
        "UnknownIssuer" => UNKNOWN_ISSUER.to_owned(),
        "CaUsedAsEndEntity" => {
            "its certificate is one of a CA (CA:TRUE), which stands for nobody; let the CA sign one for \
                                it (who dials may take the pin that the listener prints instead)"
                .to_owned()
        }
        // A sentence of our own.
        sentence if sentence.contains(' ') => sentence.to_owned(),
        name => format!("its certificate cannot be used: {}; make a new one", words(name)),
    }
}

/// `BadEncoding` as words.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_variant_reaches_people() {
        for (name, sentence) in [
            ("Other(OtherError(CaUsedAsEndEntity))", "one of a CA"),
            (
                "invalid peer certificate: Other(OtherError(sha256:0f is not in the list))",
                "sha256:0f is not in the list",
            ),
            ("BadEncoding", "bad encoding; make a new one"),
            ("invalid peer certificate: UnknownIssuer", "signed by none of those"),
        ] {
            let said = said(name);
            assert!(said.contains(sentence) && !said.contains("OtherError"), "{said}");
        }
        assert_eq!(bare("DnsName(\"game.test\")"), "game.test");
        assert_eq!(bare("IpAddress(127.0.0.1)"), "127.0.0.1");
    }
}
