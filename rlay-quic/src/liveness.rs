//! LivenessMonitor: gives a connection up once its peer was silent for the liveness bound, and tells the peer so.
//!
//! QUIC's idle timeout does not suffice. It is never less than three probe timeouts (RFC 9000, 10.1), and these follow
//! the round trips: for a process that stood still, the datagrams in its socket meanwhile were the answer of a round
//! trip as long as the standstill, so the process would wait for minutes. Nor would the idle timeout tell a peer that
//! may only have stood still.

use std::time::Duration;

use quinn::{Connection, VarInt};
use tokio::time::{self, MissedTickBehavior};

/// The error code of a connection that was given up.
pub(crate) const GIVEN_UP: VarInt = VarInt::from_u32(2);
/// Checks within the liveness bound. A peer is given up before the bound is over.
const LOOKS: u32 = 8;

/// Monitors `connection` until it is over.
pub(crate) async fn keep(connection: Connection, liveness: Duration) {
    let mut look = time::interval(liveness / LOOKS);
    // Time in which this process stood still does not count as the peer's silence.
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut heard, mut silent) = (0, 0);
    while silent + 1 < LOOKS {
        tokio::select! {
            _ = connection.closed() => return,
            _ = look.tick() => {}
        }
        let now = frames(&connection);
        silent = if now == heard { silent + 1 } else { 0 };
        heard = now;
    }
    connection.close(GIVEN_UP, b"");
}

/// Frames received from the peer, of the kinds of which one comes at least with every keep-alive of either side. Only
/// packets that no other machine can have made are counted.
fn frames(connection: &Connection) -> u64 {
    let frames = connection.stats().frame_rx;
    frames.acks + frames.ping + frames.stream
}
