//! Spin: when a thread spins before it sleeps, and for how long.

use std::time::{Duration, Instant};

/// How long to spin while the other side is awake, at least: as long as an agent in Python takes between two calls of
/// one environment (docs/adr/0009).
const SPIN: Duration = Duration::from_micros(15);
/// How long at most. An agent of some hundred environments takes so long; what takes longer is worth a sleep.
const LONGEST_SPIN: Duration = Duration::from_micros(60);
/// A wait that ended after no more than this, with the sleep and the wake-up, would have been short without a sleep.
const SHORT_SLEEP: Duration = Duration::from_micros(150);
/// How many bytes a side copies in a microsecond, at worst: for as long the other side spins for it, too.
const BYTES_PER_MICRO: usize = 4 << 10;
/// The longest spin for that: what takes longer is worth a sleep.
const LONGEST_COPY: Duration = Duration::from_micros(500);
/// How long to spin, once in a while, for a side that was asleep: as long as waking it up may take.
const IGNITION: Duration = Duration::from_micros(200);
/// How long to wait before the next such attempt: first, and after many attempts in vain.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// When to spin before sleeping.
///
/// Two sides that find each other awake stay awake, and no step costs a system call. But two sides that sleep between
/// steps wake each other up, and neither is ever found awake, however fast both are. So now and then one side spins
/// until the other has woken up. Where both share a core, spinning for an awake peer pays as little as spinning for one
/// that wakes up: neither is done, but for an attempt once in a while.
#[derive(Debug)]
pub(crate) struct Spin {
    /// How long a spin for an awake peer is.
    length: Duration,
    /// How many of the last spins for an awake peer paid, as a moving sum.
    score: u32,
    /// How many waits for an awake peer passed without a spin.
    skipped: u32,
    /// Whether the present spin is for a side that was asleep, and whether the last such spin has found it awake.
    is_ignition: bool,
    is_lit: bool,
    next_ignition: Instant,
    pause: Duration,
}

impl Spin {
    const BEST: u32 = 8;
    /// Where spinning does not pay, it is retried after so many waits.
    const RETRY: u32 = 256;

    pub(crate) fn new() -> Self {
        Self {
            length: SPIN,
            score: Self::BEST,
            skipped: 0,
            is_ignition: false,
            is_lit: false,
            next_ignition: Instant::now(),
            pause: SHORTEST_PAUSE,
        }
    }

    /// How long to spin now for a side that has so many bytes to copy before it answers, or for the first of its answer.
    pub(crate) fn time(&mut self, peer_is_awake: bool, bytes: usize, now: Instant) -> Duration {
        self.is_ignition = !peer_is_awake;
        if self.is_ignition {
            return if now >= self.next_ignition { IGNITION } else { Duration::ZERO };
        }
        if std::mem::take(&mut self.is_lit) {
            self.pause = SHORTEST_PAUSE;
        }
        self.skipped += 1;
        if self.score == 0 && self.skipped < Self::RETRY {
            return Duration::ZERO;
        }
        self.skipped = 0;
        self.length + Duration::from_micros((bytes / BYTES_PER_MICRO) as u64).min(LONGEST_COPY)
    }

    /// Records how long a wait was that ended in a sleep.
    pub(crate) fn learn_sleep(&mut self, waited: Duration) {
        if !self.is_ignition && waited <= SHORT_SLEEP {
            self.length = (self.length * 2).min(LONGEST_SPIN);
        }
    }

    /// Records whether a spin paid.
    pub(crate) fn learn(&mut self, paid: bool, now: Instant) {
        if !self.is_ignition {
            if paid {
                self.length = (self.length - self.length / 64).max(SPIN);
            }
            self.score = if paid { (self.score + 2).min(Self::BEST) } else { self.score.saturating_sub(1) };
            return;
        }
        if paid {
            self.score = self.score.max(1);
        }
        // It was worth it only if both are awake from now on: a side that computes for long between its frames is found
        // by such a spin now and then, and sleeps at the next wait again.
        self.is_lit = paid;
        self.next_ignition = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
