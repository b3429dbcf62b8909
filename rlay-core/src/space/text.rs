//! Text: strings of bounded length over a set of characters.

use serde::{Deserialize, Serialize};

use super::{AnySpace, Space, mismatch, other_class};
use crate::{error::Result, rng::Rng, value::Value};

/// Strings of `min_length` to `max_length` characters (code points) out of `charset`.
///
/// ```
/// use rlay::{Space, Text};
/// assert!(Text::new(10, "abc").contains(&"cab".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Text {
    /// Fewest characters.
    pub min_length: u64,
    /// Most characters.
    pub max_length: u64,
    /// The allowed characters; their order decides how Gymnasium samples.
    pub charset: String,
}

impl Text {
    /// Strings of one to `max_length` characters out of `charset`.
    pub fn new(max_length: u64, charset: impl Into<String>) -> Self {
        Self { min_length: 1, max_length, charset: charset.into() }
    }
}

impl Space for Text {
    type Element = String;

    fn contains(&self, x: &String) -> bool {
        let length = x.chars().count() as u64;
        length >= self.min_length && length <= self.max_length && x.chars().all(|c| self.charset.contains(c))
    }

    fn sample(&self, rng: &mut Rng) -> String {
        let charset: Vec<char> = self.charset.chars().collect();
        let length = self.min_length + rng.below((self.max_length - self.min_length).saturating_add(1));
        (0..length).filter_map(|_| charset.get(rng.below(charset.len() as u64) as usize)).collect()
    }

    fn describe(&self) -> AnySpace {
        AnySpace::Text(self.clone())
    }

    fn is_described_by(&self, any: &AnySpace) -> bool {
        matches!(any, AnySpace::Text(space) if space == self)
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        match any {
            AnySpace::Text(space) => Ok(space.clone()),
            _ => Err(other_class("Text", any)),
        }
    }

    fn to_value(&self, x: &String) -> Value {
        Value::Str(x.clone())
    }

    fn from_value(&self, value: &Value) -> Result<String> {
        value.as_str().map(str::to_owned).ok_or_else(|| mismatch(&self.describe(), value))
    }
}
