//! The one error type of RLay, sorted by blame: yours, the peer's, the environment's, the world's.

use std::{borrow::Cow, error, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::printable;

/// What every fallible function of RLay returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The party at fault for an [`Error`], and therefore the remedy.
///
/// The number of each kind is its code on the wire (`docs/wire.md`, "Errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Yours: a function was called in a way its documentation rules out.
    Usage = 1,
    /// Yours: `step` before the first `reset`, or after a failure that asks for one.
    ResetNeeded = 2,
    /// Yours: the action's structure is not that of the action space.
    InvalidAction = 3,
    /// Yours: the endpoint was closed.
    Closed = 4,
    /// Yours: another call is under way, or the answer to an earlier one is still to come.
    Busy = 5,
    /// Yours: the address is malformed, or no transport serves its scheme.
    Address = 6,
    /// Both sides': wire version, role, limits or spaces do not fit together.
    Incompatible = 7,
    /// The peer's: it sent bytes or messages that the protocol does not allow.
    Protocol = 8,
    /// The environment's: it raised an error while being made, reset, stepped, rendered or closed.
    Env = 9,
    /// The world's: the connection could not be made, or was lost.
    ConnectionLost = 10,
    /// The world's: no answer within the caller's deadline. The answer may still come.
    Timeout = 11,
    /// The world's: the address is already taken by another listener.
    AddressInUse = 12,
    /// Yours: a token or certificate is missing or wrong, at this end or the other.
    Unauthorized = 13,
    /// The world's: the system refused this process a thread, a descriptor or a child process. The
    /// [source](std::error::Error::source) says why.
    ResourceExhausted = 14,
}

impl ErrorKind {
    /// The kind's code on the wire.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The kind with this code on the wire; an unknown code (a newer peer) is the peer's own trouble.
    pub fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Usage,
            2 => Self::ResetNeeded,
            3 => Self::InvalidAction,
            4 => Self::Closed,
            5 => Self::Busy,
            6 => Self::Address,
            7 => Self::Incompatible,
            9 => Self::Env,
            10 => Self::ConnectionLost,
            11 => Self::Timeout,
            12 => Self::AddressInUse,
            13 => Self::Unauthorized,
            14 => Self::ResourceExhausted,
            _ => Self::Protocol,
        }
    }

    /// The kind that a peer may claim in an Error, Reject or Goodbye with this code. Kinds that only this end can know,
    /// such as that its own deadline has passed, are not accepted.
    pub(crate) fn told(code: u32) -> Self {
        match Self::from_code(code) {
            Self::Address | Self::ConnectionLost | Self::Timeout | Self::AddressInUse | Self::ResourceExhausted => {
                Self::Protocol
            }
            kind => kind,
        }
    }
}

/// Everything that can go wrong in RLay: a [`kind`](Error::kind) to match on and a sentence to read.
///
/// ```
/// use rlay::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::ResetNeeded, "step before reset; call reset() first");
/// assert_eq!(error.kind(), ErrorKind::ResetNeeded);
/// assert_eq!(error.to_string(), "step before reset; call reset() first");
/// ```
///
/// Its texts are [printable](crate::printable::text), also those that a peer has sent.
///
/// [`source`](std::error::Error::source) is the error that led to this one, where there is one: the `std::io::Error` of
/// a socket that failed, the [`EnvFailure`] of an environment. The text says what people need of the source, too, so
/// that the text can be shown alone.
///
/// ```
/// use std::{error::Error as _, io};
/// use rlay::{Error, ErrorKind};
///
/// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
/// let error = Error::new(ErrorKind::ConnectionLost, format!("cannot connect: {refused}")).with_source(refused);
/// let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
/// assert_eq!(cause, Some(io::ErrorKind::ConnectionRefused));
/// ```
///
/// `Debug` prints the sentence, too, and below it the traceback of a remote environment if there is one: that is what
/// a `main` shows which returns the error.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn error::Error + Send + Sync>>,
    is_gone: bool,
    slot: Option<u32>,
}

impl Error {
    /// An error of `kind`. Its text should say what to try next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: own(message.into()), source: None, is_gone: false, slot: None }
    }

    /// An error of `kind` with a peer's text `words`, introduced by `what`.
    pub(crate) fn said(kind: ErrorKind, what: &str, words: &str) -> Self {
        Self::new(kind, format!("{what}: {}", printable::sentence(words)))
    }

    /// An error of kind [`ConnectionLost`](ErrorKind::ConnectionLost) that is known to last: no listener has the port,
    /// or the one that has it knows of no such session.
    pub fn gone(message: impl Into<String>) -> Self {
        Self { is_gone: true, ..Self::new(ErrorKind::ConnectionLost, message) }
    }

    /// An error that costs no allocation, for errors that occur all the time.
    pub(crate) const fn plain(kind: ErrorKind, message: &'static str) -> Self {
        Self { kind, message: Cow::Borrowed(message), source: None, is_gone: false, slot: None }
    }

    /// Shorthand for a violation of the protocol by the peer.
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    /// The error of a thread that the system did not start.
    pub(crate) fn no_thread(refused: std::io::Error) -> Self {
        Self::new(ErrorKind::ResourceExhausted, format!("cannot start a thread: {refused}")).with_source(refused)
    }

    /// The kind, which names the party at fault.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the error was made by [`gone`](Self::gone): a session that lost its connection need not try again.
    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// The env slot whose environment failed, where a session has several.
    pub fn slot(&self) -> Option<u32> {
        self.slot
    }

    /// The same error of the environment in this slot, which its text says.
    #[must_use]
    pub fn of_slot(self, slot: u32) -> Self {
        Self { slot: Some(slot), ..self.context(format_args!("env slot {slot}")) }
    }

    /// What the remote environment raised, if that is what happened.
    pub fn env_failure(&self) -> Option<&EnvFailure> {
        self.source.as_ref()?.downcast_ref()
    }

    /// The same error with `source` as the error that led to it. The text should say what people need of `source`: many
    /// programs show the text alone.
    #[must_use]
    pub fn with_source(mut self, source: impl error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The same with a source that is shared with other errors.
    #[must_use]
    pub(crate) fn with_shared_source(mut self, source: Arc<dyn error::Error + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    /// The same error with `prefix` before its text, to say where it happened.
    #[must_use]
    pub fn context(mut self, prefix: impl fmt::Display) -> Self {
        self.message = own(format!("{prefix}: {}", self.message));
        self
    }

    /// The same error of the item at `part` of something: `[1]: …`, and `action[1]: …` one level up.
    #[must_use]
    pub(crate) fn at(mut self, part: impl fmt::Display) -> Self {
        let colon = if self.message.starts_with(['[', '.']) { "" } else { ": " };
        self.message = own(format!("{part}{colon}{}", self.message));
        self
    }

    /// The same error with what to try next after its text.
    #[must_use]
    pub(crate) fn advice(mut self, next: &str) -> Self {
        self.message = own(format!("{}; {next}", self.message));
        self
    }
}

/// Makes `text` printable, as an error holds it.
fn own(text: String) -> Cow<'static, str> {
    match printable::text(&text) {
        Cow::Borrowed(_) => text.into(),
        Cow::Owned(shown) => shown.into(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The sentence, and the environment's traceback.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.env_failure().map_or(Ok(()), |failure| failure.write_traceback(f))
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Texts that are too long are cut, with a mark where ([`printable::LONGEST`]).
impl From<EnvFailure> for Error {
    fn from(failure: EnvFailure) -> Self {
        let EnvFailure { error_type, message, traceback } = failure;
        let failure = EnvFailure {
            error_type: printable::sentence(&error_type).into_owned(),
            message: own(message).into(),
            traceback: own(traceback).into(),
        };
        let message = own(failure.to_string());
        Self { kind: ErrorKind::Env, message, source: Some(Arc::new(failure)), is_gone: false, slot: None }
    }
}

/// What an environment's own code may return: any error at all, so that `?` works on everything.
pub type EnvError = Box<dyn error::Error + Send + Sync>;

/// An environment's error in the form in which it crosses the wire.
///
/// A Rust environment that wants a Python agent to see a particular exception class returns one
/// of these as its [`EnvError`]:
///
/// ```
/// use rlay::{EnvError, EnvFailure};
///
/// fn step(action: i64) -> Result<(), EnvError> {
///     if action > 1 {
///         return Err(EnvFailure::new("ValueError", format!("no such action: {action}")).into());
///     }
///     Ok(())
/// }
/// assert_eq!(step(7).unwrap_err().to_string(), "ValueError: no such action: 7");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnvFailure {
    /// Name of the exception class, qualified by its module unless that is `builtins`.
    pub error_type: String,
    /// The exception's text alone.
    pub message: String,
    /// The traceback as text; empty if there is none or the host keeps it.
    pub traceback: String,
}

impl EnvFailure {
    /// A failure without a traceback.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into(), traceback: String::new() }
    }

    fn write_traceback(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.traceback.is_empty() { Ok(()) } else { write!(f, "\n\nremote traceback:\n{}", self.traceback) }
    }
}

impl fmt::Display for EnvFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}

/// As `Display`, with the traceback below.
impl fmt::Debug for EnvFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        self.write_traceback(f)
    }
}

impl error::Error for EnvFailure {}

impl From<EnvError> for EnvFailure {
    fn from(error: EnvError) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => *failure,
            Err(other) => Self::new("Error", other.to_string()),
        }
    }
}
