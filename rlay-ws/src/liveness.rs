//! Liveness: pings that show the peer that this end is there, and an end for a peer that shows nothing.
//!
//! Both ends ping of their own accord rather than only answer: an end that has no room for another frame does not read,
//! and so answers nothing, for as long as its program is busy. Bytes count, not messages, so that a frame may take long.

use std::{sync::Arc, time::Duration};

use tokio::time::{self, MissedTickBehavior};

use crate::connection::Connection;

/// Looks within the liveness bound. A peer is given up before the bound is over...
const LOOKS: u32 = 8;
/// ...and pinged at every second look.
const PING: u32 = 2;

/// Looks after `connection` until it is over.
pub(crate) async fn keep(connection: Arc<Connection>, liveness: Duration) {
    let mut ticks = time::interval(liveness / LOOKS);
    // Time in which this process stood still does not count as the peer's silence.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // passes at once
    for look in 1.. {
        ticks.tick().await;
        if !connection.look(LOOKS - 1, look % PING == 1) {
            return;
        }
    }
}
