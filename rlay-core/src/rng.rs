//! Seeded random numbers for sampling spaces and for environments written in Rust.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// A small, fast, seeded generator. Equal seeds give equal numbers on every platform.
///
/// ```
/// use rlay::Rng;
/// assert_eq!(Rng::seeded(7).uniform(-0.05, 0.05), Rng::seeded(7).uniform(-0.05, 0.05));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng(Pcg64);

impl Rng {
    /// The generator of `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Pcg64::seed_from_u64(seed))
    }

    /// An unpredictable generator, for an environment that was never given a seed.
    pub fn from_entropy() -> Self {
        // The standard library seeds every map's hasher from the operating system.
        use std::hash::{BuildHasher, RandomState};
        Self::seeded(RandomState::new().hash_one(std::time::Instant::now()))
    }

    /// An integer from 0 up to but not including `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.0.random_range(0..n) }
    }

    /// A float from `low` up to but not including `high`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        // Halves first: the difference of two large bounds overflows.
        let x: f64 = self.0.random();
        2.0 * (low / 2.0 + x * (high / 2.0 - low / 2.0))
    }

    /// A float of the standard normal distribution (Box and Muller's transform).
    pub fn normal(&mut self) -> f64 {
        let (u, v): (f64, f64) = (1.0 - self.0.random::<f64>(), self.0.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// A float of the exponential distribution of mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.0.random::<f64>()).ln()
    }
}
