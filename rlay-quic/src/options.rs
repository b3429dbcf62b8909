//! Options: what a quic address says besides host and port, and the settings of QUIC that follow from it.

use std::{net::SocketAddr, time::Duration};

use quinn::{EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};
use rlay_core::{Address, Result, TransportOptions, wire::HANDSHAKE_FRAME};

use rlay_tls::TlsOptions;

/// The payload of a packet on an unknown path: Ethernet without the headers of IP and UDP.
const ETHERNET: u16 = 1452;
/// At least this much may be under way, or large frames wait for acknowledgements...
const SMALLEST_WINDOW: usize = 2 << 20;
/// ...and at most this much, whatever the frame limit is, for these bytes may lie unread in memory.
const LARGEST_WINDOW: usize = 16 << 20;
/// An initial round-trip time that fits one machine or one building; the first round trip corrects it.
const FIRST_RTT: Duration = Duration::from_millis(50);

/// How many bytes may lie unread from a peer with frames of at most `max_frame` bytes.
pub(crate) fn window(max_frame: usize) -> VarInt {
    let window = match max_frame {
        ..=HANDSHAKE_FRAME => 2 * HANDSHAKE_FRAME,
        _ => max_frame.clamp(SMALLEST_WINDOW, LARGEST_WINDOW),
    };
    VarInt::from_u32(window as u32)
}

/// A parsed address.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) sockets: Vec<SocketAddr>,
    pub(crate) tls: TlsOptions,
    pub(crate) mtu: Option<u16>,
}

impl Parsed {
    /// The settings that `address` asks for; `sockets` are the socket addresses that it resolves to.
    pub(crate) fn new(address: &Address, sockets: Vec<SocketAddr>) -> Result<Self> {
        let mut parsed = Self { sockets, tls: TlsOptions::default(), mtu: None };
        for option in address.options() {
            match option {
                ("mtu", text) => {
                    let mtu = text.parse().ok().filter(|mtu| (1200..=65527).contains(mtu));
                    parsed.mtu = Some(mtu.ok_or_else(|| address.error("mtu is a number from 1200 to 65527"))?);
                }
                (key, value) if parsed.tls.take(address, key, value)? => {}
                (key, value) => return Err(TlsOptions::unknown(address, key, value, "mtu=N, ")),
            }
        }
        Ok(parsed)
    }

    /// The transport settings of both ends.
    pub(crate) fn transport(&self, options: &TransportOptions) -> TransportConfig {
        let window = window(options.max_frame);
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(window)
            .receive_window(window)
            .send_window(window.into_inner())
            .initial_rtt(FIRST_RTT)
            .keep_alive_interval(Some(options.liveness / 4))
            .max_idle_timeout(None); // see `liveness.rs`
        if let Some(mtu) = self.mtu {
            let mut discovery = MtuDiscoveryConfig::default();
            discovery.upper_bound(mtu);
            config.mtu_discovery_config(Some(discovery));
        }
        config
    }

    /// The same at a listener, where a dialer is unauthenticated at first.
    pub(crate) fn transport_before_handshake(&self, options: &TransportOptions) -> TransportConfig {
        let mut config = self.transport(options);
        config.receive_window(window(HANDSHAKE_FRAME));
        config
    }

    /// The size of the socket's receive buffer.
    pub(crate) fn endpoint(&self) -> EndpointConfig {
        let mut config = EndpointConfig::default();
        let most = self.mtu.unwrap_or(ETHERNET).max(ETHERNET);
        config.max_udp_payload_size(most).expect("between 1200 and 65527");
        config
    }
}
