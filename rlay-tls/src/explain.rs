//! Explain: what went wrong with TLS, in plain words and with what helps.

use rlay_core::{
    Error, ErrorKind,
    net::{Stranger, lost},
    wire::Kind,
};
use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::belief::Refusal;

/// The error for what rustls found wrong with `peer`.
pub fn explain(peer: &str, error: &TlsError) -> Error {
    explain_to(peer, error, &[])
}

/// The same where it is known by which bytes the peer began.
pub(crate) fn explain_to(peer: &str, error: &TlsError, first: &[u8]) -> Error {
    match error {
        TlsError::InvalidCertificate(why) => unauthorized(peer, &certificate(why)),
        TlsError::AlertReceived(alert) => {
            explain_alert(peer, u8::from(*alert)).unwrap_or_else(|| lost(peer, format_args!("it ended TLS: {error}")))
        }
        TlsError::NoCertificatesPresented => {
            unauthorized(peer, "the dialer showed no certificate, and here it must; give it one (cert=FILE)")
        }
        TlsError::InvalidMessage(_) => Error::protocol(format!("{peer}: {}", no_tls(first))),
        TlsError::PeerIncompatible(_) => Error::protocol(format!(
            "{peer}: it speaks TLS, but not version 1.3 with what this end knows; use RLay, or TLS 1.3, at both ends"
        )),
        TlsError::NoApplicationProtocol => Error::protocol(format!(
            "{peer}: it speaks TLS, but not RLay inside; check the address and port at both ends"
        )),
        other => Error::protocol(format!("{peer}: TLS failed: {other}")),
    }
}

/// What a peer is that begins with these bytes, where TLS was to begin.
fn no_tls(first: &[u8]) -> String {
    const HELLO: u8 = Kind::Hello as u8;
    match (Stranger::recognize(first), first) {
        (Some(who), _) => format!("{who}, not a TLS peer; is its address a tls:// one? {}", who.advice()),
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
            "it refuses this end's certificate; the log there says which one, and what to do to let it in"
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
        CertificateError::Other(other) if other.0.is::<Refusal>() => other.to_string(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; it needs a new one (or the clock here is wrong)".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet (or the clock here is wrong)".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is signed by none of those in ca=FILE; give the file of its CA (who dials may take the \
             pin that the listener prints instead)"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is for {}, not for {}; dial it by such a name, or append name=NAME",
            presented.join(", "),
            expected.to_str()
        ),
        other => format!("its certificate cannot be believed: {other}"),
    }
}
