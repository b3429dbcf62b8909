//! Properties that hold for any bytes at all: `fuzz/` tests them without a time limit, `tests/fuzz.rs` for a moment.
//!
//! Each target takes made-up bytes and panics if the library handles them wrongly.

mod addresses;
mod conversation;
mod expected_reply;
mod frames;
mod handshake;
mod input;
mod messages;

pub use addresses::addresses;
pub use frames::frames;
pub use messages::messages;

use input::Input;

/// A function that takes made-up bytes.
pub type Target = fn(&[u8]);

/// Every target, by the name it has in `fuzz/`.
pub const TARGETS: [(&str, Target); 4] =
    [("addresses", addresses), ("frames", frames), ("messages", messages), ("sessions", sessions)];

/// A handshake and a conversation in which `data` says what happens next.
///
/// # Panics
/// If a side takes what it should refuse, refuses what it should take, or continues after it was over.
pub fn sessions(data: &[u8]) {
    let mut input = Input::new(data);
    handshake::run(&mut input);
    conversation::run(&mut input);
}
