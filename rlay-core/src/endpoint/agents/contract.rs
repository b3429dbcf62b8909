//! What an agent does about an environment that breaks its own contract: observations outside of their space.

use crate::{
    endpoint::options::Contract,
    error::{Error, ErrorKind, Result},
    printable::log_entry,
    session::received::Received,
    space::{AnySpace, Space, short, violation},
};

/// As Gymnasium's passive checker does, the first results are looked at and the rest trusted.
const CHECKED: u8 = 2;

const BROKEN: &str = "the environment broke its contract";
/// What helps against that.
const MEND: &str = "mend the environment (make a new session if its spaces change in reset)";

/// Compares observations with their space, as far as the contract says so.
#[derive(Debug)]
pub(in crate::endpoint) struct ContractChecker {
    contract: Contract,
    /// Observations still to be checked, unless the contract is strict.
    to_check: u8,
    /// Whether the log says already that one was outside of the space.
    told: bool,
}

impl ContractChecker {
    pub(in crate::endpoint) fn new(contract: Contract) -> Self {
        Self { contract, to_check: CHECKED, told: false }
    }

    /// The observation that was received, of an episode that it may begin. `declared` describes `space`.
    pub(in crate::endpoint) fn element<S: Space>(
        &mut self,
        received: Received,
        space: &S,
        declared: &AnySpace,
        is_first: bool,
    ) -> Result<S::Element> {
        // What could have been packed and was not is of another dtype or shape than was declared.
        let is_odd = is_first && !received.packed && declared.is_fixed();
        let observation = received.element(space).map_err(|error| match error.kind() {
            ErrorKind::InvalidAction => {
                let text = error.at("observation");
                Error::new(ErrorKind::Env, format!("{BROKEN}: {text}; {MEND}"))
            }
            _ => error.context("an observation"),
        })?;
        let check = match self.contract {
            Contract::Strict => true,
            Contract::Warn => self.to_check > 0 || (is_odd && !self.told),
            Contract::Off => false,
        };
        self.to_check = self.to_check.saturating_sub(1);
        if check && !space.contains(&observation) {
            let why = violation(declared, &space.to_value(&observation), "observation");
            let why = why.unwrap_or_else(|| format!("observation is not in {}", short(declared)));
            if self.contract == Contract::Strict {
                return Err(Error::new(ErrorKind::Env, format!("{BROKEN}: {why}; {MEND}, or take Contract::Warn")));
            }
            self.told = true;
            let why = log_entry(&why);
            tracing::warn!("{BROKEN}: {why}; it is passed on as it is; {MEND}, or take Contract::Off");
        }
        Ok(observation)
    }
}
