//! Launched: what a program knows of the agent that started it.

use crate::address::Address;

/// The environment variable in which a program that was launched finds the address to dial; the token that it has to
/// have is in [`TOKEN_VARIABLE`](crate::TOKEN_VARIABLE).
pub const ADDRESS_VARIABLE: &str = "RLAY_ADDRESS";

/// Whether the agent that launched this program listens at `address`.
pub(in crate::endpoint) fn is_launcher(address: &Address) -> bool {
    let launcher = std::env::var(ADDRESS_VARIABLE).ok().and_then(|text| text.parse::<Address>().ok());
    launcher.as_ref() == Some(address)
}
