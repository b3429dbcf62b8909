//! The C ABI of RLay. `include/rlay.h` is made of this crate, and its README says how to begin.
//!
//! Names are those of C, types included, so that a word of the header is found here by searching for it.
//!
//! Parameters are types that Rust checks as far as C allows: `Option<&T>` is a pointer that may be NULL, `Option<Box<T>>`
//! one that gives its object away, `Option<&mut MaybeUninit<T>>` the place of a result. Environments and agents are
//! numbers in the guise of pointers (`handle.rs`), so that a closed one is recognized.
#![allow(unsafe_code)] // this crate is a border to foreign functions
#![allow(non_camel_case_types)] // the names are C's
#![allow(clippy::enum_variant_names)] // as above

pub mod access;
pub mod agent;
mod agent_env;
pub mod env;
mod env_sessions;
mod handle;
mod input;
pub mod options;
pub mod reply;
pub mod run;
pub mod space;
pub mod space_reader;
pub mod spec;
pub mod status;
pub mod turn;
pub mod value;
pub mod value_reader;
pub mod vector_agent;
