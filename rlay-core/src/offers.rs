//! Offers: what agents may ask a host for.

use crate::{
    error::{Error, ErrorKind, Result},
    value::{Map, Value},
    wire::{Attribute, Make, NAME, NAMES},
};

/// What a host lets agents ask for: environments by name, keyword arguments, and attributes. By default nothing; an
/// agent then gets the host's environment as it is.
///
/// ```
/// use rlay::{Offers, wire::Make};
///
/// let offers = Offers { env_ids: vec!["arena".into()], ..Offers::default() };
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
    /// Names of the attributes that an agent may get, set and call: [`Env::get_attr`](crate::Env::get_attr),
    /// [`set_attr`](crate::Env::set_attr) and [`call`](crate::Env::call) are asked for no others. At most 256 names of
    /// 256 bytes; none that begins with an underscore or that environments have in any case, such as `step`.
    pub attributes: Vec<String>,
}

/// Names that an environment of an agent has itself, so that no attribute of the host's environment can have them.
const OWN: [&str; 21] = [
    "action_space",
    "address",
    "close",
    "contract",
    "get_wrapper_attr",
    "has_wrapper_attr",
    "late",
    "log",
    "metadata",
    "np_random",
    "np_random_seed",
    "observation_space",
    "on_loss",
    "render",
    "render_mode",
    "reset",
    "set_wrapper_attr",
    "spec",
    "step",
    "timeout",
    "unwrapped",
];

/// Refuses a name that is not among the attributes that a host offers.
pub(crate) fn check_attribute(name: &str, offered: &[String]) -> Result<()> {
    if offered.iter().any(|other| other == name) { Ok(()) } else { Err(refusal("attribute", name, offered)) }
}

impl Offers {
    /// Refuses attributes that no host can offer.
    ///
    /// ```
    /// use rlay::Offers;
    ///
    /// let offers = Offers { attributes: vec!["gravity".into(), "step".into()], ..Offers::default() };
    /// assert!(offers.check_attributes().unwrap_err().to_string().starts_with("attributes: \"step\""));
    /// ```
    pub fn check_attributes(&self) -> Result<()> {
        let usage = |text: String| Err(Error::new(ErrorKind::Usage, text));
        if self.attributes.len() > NAMES {
            return usage(format!("attributes: {} names, of which {NAMES} are the most", self.attributes.len()));
        }
        for name in &self.attributes {
            if name.is_empty() || name.len() > NAME {
                return usage(format!("attributes: a name of {} bytes; give 1 to {NAME}", name.len()));
            }
            if name.starts_with('_') || OWN.contains(&name.as_str()) {
                return usage(format!(
                    "attributes: {name:?} cannot be offered, for the agent's own environment has names like that; leave \
                     it out, or give the attribute another name"
                ));
            }
        }
        Ok(())
    }

    /// Refuses an attribute that is not offered.
    pub(crate) fn check_attribute(&self, attribute: &Attribute) -> Result<()> {
        check_attribute(&attribute.name, &self.attributes)
    }

    /// Refuses what is not offered.
    pub fn check(&self, make: &Make) -> Result<()> {
        if let Some(id) = make.env_id.as_ref().filter(|id| !self.env_ids.contains(id)) {
            return Err(refusal("environment", id, &self.env_ids));
        }
        for name in keywords(&make.kwargs)? {
            if !self.kwargs.iter().any(|offered| offered == name) {
                return Err(refusal("keyword argument", name, &self.kwargs));
            }
        }
        Ok(())
    }
}

/// The names of keyword arguments, or why they are none.
pub(crate) fn keywords(kwargs: &Value) -> Result<Vec<&str>> {
    let Value::Dict(Map(entries)) = kwargs else {
        return Err(Error::new(ErrorKind::Usage, "keyword arguments are a dict"));
    };
    let names = entries.iter().map(|(name, _)| name.as_str());
    names
        .collect::<Option<_>>()
        .ok_or_else(|| Error::new(ErrorKind::Usage, "the name of a keyword argument is a string"))
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
        "attribute" => format!("let the host offer it: ServerBackend(..., attributes=[{name:?}])"),
        _ => format!("leave it out, or let the host allow it: ServerBackend(..., env_kwargs=[{name:?}])"),
    };
    let text = format!("this host offers no {what} {name:?}; {there_are}; {how}, in Rust HostOptions::offers");
    Error::new(ErrorKind::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_arguments_are_a_dict_with_texts_as_keys() {
        assert_eq!(keywords(&Map::from([("size", 5)]).into()).unwrap(), ["size"]);
        let numbered = Value::Dict(Map(vec![(Value::Int(1), Value::Int(5))]));
        for kwargs in [Value::None, Value::Int(5), Value::List(vec![]), numbered] {
            assert_eq!(keywords(&kwargs).unwrap_err().kind(), ErrorKind::Usage, "{kwargs:?}");
        }
    }
}
