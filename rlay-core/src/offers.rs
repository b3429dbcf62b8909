//! Offers: what agents may ask a host for.

use crate::{
    error::{Error, ErrorKind, Result},
    value::{Map, Value},
    wire::Make,
};

/// What a host lets agents ask for: environments by name, and keyword arguments. By default nothing; an agent then gets
/// the host's environment as it is.
///
/// ```
/// use rlay::{Offers, wire::Make};
///
/// let offers = Offers { env_ids: vec!["arena".into()], kwargs: vec![] };
/// let make = |env_id: &str| Make { env_id: Some(env_id.into()), ..Make::default() };
/// assert!(offers.check(&make("arena")).is_ok());
/// assert!(offers.check(&make("the cellar")).unwrap_err().to_string().contains("\"arena\""));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// Names that an agent may ask for. The code that makes the environments defines what the names mean.
    pub env_ids: Vec<String>,
    /// Names of the keyword arguments that an agent may give. The agent chooses the values, so the environment must
    /// tolerate any.
    pub kwargs: Vec<String>,
}

impl Offers {
    /// Refuses what is not offered.
    pub fn check(&self, make: &Make) -> Result<()> {
        if let Some(id) = make.env_id.as_ref().filter(|id| !self.env_ids.contains(id)) {
            return Err(refusal("environment", id, &self.env_ids));
        }
        let names = match &make.kwargs {
            Value::Dict(Map(entries)) => entries.iter().map(|(name, _)| name),
            Value::None => return Ok(()),
            _ => return Err(Error::new(ErrorKind::Usage, "keyword arguments are a dict")),
        };
        for name in names {
            match name {
                Value::Str(name) if self.kwargs.contains(name) => {}
                Value::Str(name) => return Err(refusal("keyword argument", name, &self.kwargs)),
                _ => return Err(Error::new(ErrorKind::Usage, "the name of a keyword argument is a string")),
            }
        }
        Ok(())
    }
}

/// The agent's user reads this, and may also run the host.
fn refusal(what: &str, name: &str, there_are: &[String]) -> Error {
    // The name is a peer's, and may be as long as a frame.
    let name: String = name.chars().take(100).collect();
    let there_are = match there_are {
        [] => "agents may ask for none".to_owned(),
        some => format!("agents may ask for {some:?}"),
    };
    let how = match what {
        "environment" => format!("leave env_id out, or let the host offer it: ServerBackend({{{name:?}: ...}})"),
        _ => format!("leave it out, or let the host allow it: ServerBackend(..., env_kwargs=[{name:?}])"),
    };
    let text = format!("this host offers no {what} {name:?}; {there_are}; {how}, in Rust HostOptions::offers");
    Error::new(ErrorKind::Usage, text)
}
