//! `rlay bench`: steps per second and latency of a remote environment, beside a raw ping over the same transport.

use rlay::Result;

use crate::arguments::BenchArguments;

pub(crate) fn bench(_: &BenchArguments) -> Result<()> {
    Ok(())
}
