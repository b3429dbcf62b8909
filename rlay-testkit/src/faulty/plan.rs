//! Plan: the faults that an address asks for.

use std::{
    num::NonZeroUsize,
    str::FromStr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use rlay_core::{Address, Result};

/// How many connections have broken.
pub(super) type Breaks = Arc<AtomicUsize>;

/// The faults, and when they occur.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The number of bytes after which the connection breaks: those of the dialer, those of its peer.
    pub(super) cut: [Option<u64>; 2],
    /// How many connections break, the first ones of this address.
    pub(super) cuts: Option<usize>,
    /// Counts the connections that have broken.
    pub(super) breaks: Breaks,
    /// Whether bytes that were not read yet are lost when the connection breaks.
    pub(super) reset: bool,
    /// Bytes in one read, at most.
    pub(super) chop: Option<NonZeroUsize>,
    /// How long bytes are under way.
    pub(super) delay: Duration,
}

impl Plan {
    pub(super) fn read(address: &Address) -> Result<Self> {
        let mut plan = Self::default();
        for (key, text) in address.options() {
            match key {
                "cut_up" => plan.cut[0] = Some(number(address, key, text)?),
                "cut_down" => plan.cut[1] = Some(number(address, key, text)?),
                "cuts" => plan.cuts = Some(number(address, key, text)?),
                "end" if text == "eof" => plan.reset = false,
                "end" if text == "reset" => plan.reset = true,
                "chop" => plan.chop = Some(number(address, key, text)?),
                "delay" => plan.delay = Duration::from_millis(number(address, key, text)?),
                _ => {
                    return Err(address.error(format_args!(
                        "no such fault: {key}={text}; there are cut_up, cut_down, cuts, end (eof or reset), chop and delay"
                    )));
                }
            }
        }
        Ok(plan)
    }
}

fn number<T: FromStr>(address: &Address, key: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| address.error(format_args!("{text:?} is no number for {key}")))
}
