//! `rlay check`: the judge.

use rlay::Result;

use crate::arguments::CheckArguments;

pub(crate) fn check(_: &CheckArguments) -> Result<u8> {
    Ok(0)
}
