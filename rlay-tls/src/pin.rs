//! Pins: the fingerprint that identifies one certificate.

use std::{fmt, path::Path, str::FromStr};

use ring::digest::{SHA256, digest};
use rlay_core::Result;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::files::{in_words, read, unreadable, unusable};

/// The SHA-256 fingerprint of a certificate in DER form.
///
/// ```
/// use rlay_tls::Pin;
///
/// let pin: Pin = "sha256:0F:1e:00000000000000000000000000000000000000000000000000000000beef".parse().unwrap();
/// assert!(pin.to_string().starts_with("sha256:0f1e0000"));
/// assert!("sha256:0f1e".parse::<Pin>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// The fingerprint of the first certificate in a PEM file.
    ///
    /// # Errors
    /// Of kind [`Usage`](rlay_core::ErrorKind::Usage) if the file cannot be read, or holds no certificate.
    ///
    /// ```
    /// let error = rlay_tls::Pin::of_file("/no/such/file.pem".as_ref()).unwrap_err();
    /// assert!(error.to_string().contains("/no/such/file.pem"));
    /// ```
    pub fn of_file(file: &Path) -> Result<Self> {
        let pem = read(file).map_err(|e| unreadable(file, e))?;
        let certificate = CertificateDer::from_pem_slice(&pem);
        certificate.map(|certificate| Self::of(&certificate)).map_err(|e| unusable(file, in_words(&e)))
    }

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

    /// Reads what `Display` writes, in either case and with colons between the bytes, as `openssl x509
    /// -fingerprint -sha256` writes them.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("{text:?} is not a pin; a pin is sha256: and 64 hexadecimal digits, as a listener prints it");
        let digits: Vec<u8> = text.strip_prefix("sha256:").ok_or_else(bad)?.bytes().filter(|b| *b != b':').collect();
        if digits.len() != 64 {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(bad);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_as_it_is_written() {
        let pin = Pin::of(&CertificateDer::from_slice(b"any bytes will do"));
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_eq!(pin.to_string().to_uppercase().replace("SHA256", "sha256").parse(), Ok(pin));
        let (short, long) = (format!("sha256:{}", "0".repeat(63)), format!("sha256:{}", "0".repeat(65)));
        let signs = format!("sha256:{}", "+1".repeat(32));
        let letters = format!("sha256:{}", "é".repeat(32));
        let other = format!("sha384:{}", "0".repeat(64));
        for bad in ["", "sha256:", &short, &long, &signs, &letters, &other] {
            assert!(bad.parse::<Pin>().is_err(), "{bad}");
        }
    }
}
