//! RLay for Bevy: [`RlayPlugin`] makes entities of a game environments of Gymnasium.
//!
//! `docs/engines/bevy.md` goes from an empty project to a trained agent.

mod agent;
mod components;
mod plugin;

pub use components::{Action, Outcome, Render, Reset, Slot};
pub use plugin::RlayPlugin;
/// Spaces, values and options.
pub use rlay;
