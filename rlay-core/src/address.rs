//! Addresses: `scheme://rest?option=value`. The only place that takes such strings apart.

use std::{fmt, str::FromStr};

use crate::error::{Error, ErrorKind};

/// The place of a peer. The scheme selects the transport.
///
/// ```
/// use rlay::Address;
///
/// let address: Address = "tcp://127.0.0.1:5005".parse()?;
/// assert_eq!((address.scheme(), address.rest()), ("tcp", "127.0.0.1:5005"));
/// assert!("127.0.0.1:5005".parse::<Address>().is_err());
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: String,
    rest: String,
    options: Vec<(String, String)>,
}

impl Address {
    /// An address without options.
    pub fn new(scheme: impl Into<String>, rest: impl Into<String>) -> Self {
        Self { scheme: scheme.into(), rest: rest.into(), options: vec![] }
    }

    /// The part before `://`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The part between `://` and `?`: host and port, a path, a name.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// The options behind `?`.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Refuses options, for transports that have none.
    pub fn no_options(&self) -> Result<(), Error> {
        match self.options.first() {
            None => Ok(()),
            Some((key, _)) => Err(self.error(format_args!("{} addresses have no option {key:?}", self.scheme))),
        }
    }

    /// The error for an address that cannot be used.
    pub fn error(&self, why: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Address, format!("{self}: {why}"))
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Error::new(
                ErrorKind::Address,
                format!("{text:?} is not an address: {why}; an address looks like tcp://127.0.0.1:5005"),
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| match text.chars().next() {
            None => bad("it is empty"),
            Some('/' | '.') => bad(&format!("it has no ://; for a Unix socket write \"unix://{text}\"")),
            Some(_) => bad(&format!("it has no ://; write \"tcp://{text}\", or another transport before it")),
        })?;
        let is_scheme = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '+';
        if scheme.is_empty() || !scheme.chars().all(is_scheme) {
            return Err(bad("a scheme is lower-case letters, digits and +"));
        }
        if text.chars().any(char::is_control) {
            return Err(bad("it holds a control character"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options: Vec<(String, String)> = vec![];
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| bad("an option is key=value"))?;
            if options.iter().any(|(known, _)| known == key) {
                return Err(bad("an option is given twice"));
            }
            options.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { scheme: scheme.to_owned(), rest: rest.to_owned(), options })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.rest)?;
        for (i, (key, value)) in self.options.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}
