//! Reach: the address by which other machines find a listener that listens on every interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Destinations of routes to other machines. Both are reserved for documentation (RFC 5737, RFC 3849); nothing is sent
/// to them.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))];

/// The address to dial for a listener that was bound to `bound`. That is the same, unless it listens on every interface
/// (`0.0.0.0`, `[::]`): then it is the address of the interface that leads elsewhere, which this machine and others can
/// dial, and the log says so. Without such an interface it stays as it is, which only this machine can dial.
///
/// Never a name: this machine cannot find out whether other machines know it by its name.
///
/// ```
/// use rlay::net::dialable;
///
/// let bound = "127.0.0.1:5005".parse()?;
/// assert_eq!(dialable("tcp", bound), bound);
/// assert_eq!(dialable("tcp", "0.0.0.0:5005".parse()?).port(), 5005);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn dialable(scheme: &str, bound: SocketAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    // A listener on every interface of IPv6 is reached by IPv4, too.
    let leading = ELSEWHERE.iter().filter(|to| bound.is_ipv6() || to.is_ipv4()).find_map(|to| leading(*to));
    let found = leading.map_or(bound, |ip| SocketAddr::new(ip, bound.port()));
    tracing::info!(
        "{scheme}://{bound} is every interface of this machine; other machines dial {scheme}://{found}, or the same \
         port at another address or name of it{}",
        own_name()
    );
    found
}

/// This machine's address on the way to `to`. Only queries the kernel's table of routes.
fn leading(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

#[cfg(unix)]
fn own_name() -> String {
    format!(", such as {}", rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(not(unix))]
fn own_name() -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_is_dialed_at_one_of_them() {
        for bound in ["0.0.0.0:5005", "[::]:5005"] {
            let bound: SocketAddr = bound.parse().unwrap();
            let found = dialable("tcp", bound);
            assert_eq!(found.port(), 5005);
            // A machine without a network has no better address.
            assert!(found == bound || !found.ip().is_unspecified(), "{found}");
            let leads = ELSEWHERE.iter().any(|to| (bound.is_ipv6() || to.is_ipv4()) && leading(*to).is_some());
            assert_eq!(found != bound, leads, "{found}");
        }
    }
}
