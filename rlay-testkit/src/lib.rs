//! Shared helpers of RLay's tests: the conformance suite for transports, environments that hide no bug, and a link that
//! fails on purpose.
//!
//! A transport is correct when it keeps the promises of [`rlay_core::channel`]. One macro line makes a test of each, in
//! the blocking and in the async form: see [`conformance!`].
//!
//! [`CountingEnv`] shows in every result which call it answers. [`ImageEnv`] gives large observations at no cost of its
//! own, for benchmarks. [`Faulty`] is `faulty://`, a byte stream in memory that can be cut after any byte, chopped and
//! delayed. [`allocations`] counts them. [`fuzz`] holds the properties that must hold for any bytes at all.

pub mod allocations;
mod conformance;
mod counting;
mod endpoint;
mod faulty;
pub mod fuzz;
mod image;
pub mod promises;
mod shared;
mod subject;
mod test_context;

pub use counting::CountingEnv;
pub use faulty::Faulty;
pub use image::{ImageEnv, ImageEnvs};
pub use shared::SharedArray;
pub use subject::{Form, Subject};
pub use test_context::{TestContext, check};
