//! Echo: round trips of bare frames between two threads of this machine, over the transport of an address.

use std::{
    net::IpAddr,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rlay::{Address, BlockingChannel, Error, ErrorKind, Limits, Result, TransportOptions};

/// A channel to a thread that answers each frame.
pub(crate) struct Echo {
    channel: Box<dyn BlockingChannel>,
    request: Vec<u8>,
    timeout: Duration,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Echo {
    /// Over the transport of `address`, with frames of these lengths there and back. `None`: the address does not say
    /// that its peer is on this machine, and what lies between the two is not measured by two threads here.
    pub(crate) fn new(address: &Address, (there, back): (usize, usize), timeout: Duration) -> Result<Option<Self>> {
        let Some(address) = beside(address) else { return Ok(None) };
        let registry = rlay::connection_options().registry().clone();
        let (transport, options) = (registry.find(&address)?, TransportOptions::default());
        let mut listener = transport.listen_blocking(&address, &options)?;
        let (address, deadline) = (listener.address().clone(), Instant::now() + timeout);
        let answer = move || {
            let mut channel = listener.accept(Some(deadline))?.open_blocking()?;
            channel.set_max_frame(Limits::default().frame);
            let answer = vec![0; back];
            while channel.recv(None)?.is_some() {
                channel.send(&answer, &[], Some(Instant::now() + timeout))?;
            }
            channel.close(Some(Instant::now() + timeout))
        };
        let thread = thread::Builder::new().name("rlay-echo".into()).spawn(answer).map_err(|why| {
            Error::new(ErrorKind::ResourceExhausted, format!("cannot start a thread: {why}")).with_source(why)
        })?;
        let mut channel = transport.connect_blocking(&address, &options, Some(deadline))?;
        channel.set_max_frame(Limits::default().frame);
        Ok(Some(Self { channel, request: vec![0; there], timeout, thread: Some(thread) }))
    }

    /// One round trip.
    pub(crate) fn ping(&mut self) -> Result<()> {
        let deadline = Some(Instant::now() + self.timeout);
        self.channel.send(&self.request, &[], deadline)?;
        match self.channel.recv(deadline)? {
            Some(_) => Ok(()),
            None => Err(Error::protocol("the echo has ended")),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.channel.close(Some(Instant::now() + self.timeout));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Another address of the same transport, if this one is of this machine.
fn beside(address: &Address) -> Option<Address> {
    let name = format!("rlay-bench-{}", std::process::id());
    match address.scheme() {
        "shm" => Some(Address::new("shm", name)),
        scheme @ ("unix" | "zmq+ipc") => {
            Some(Address::new(scheme, std::env::temp_dir().join(name).display().to_string()))
        }
        scheme => {
            let (host, _) = address.rest().split('/').next()?.rsplit_once(':')?;
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let is_here = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
            is_here.then(|| Address::new(scheme, format!("{host}:0")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_have_one_beside_them() {
        for (address, wanted) in [
            ("tcp://127.0.0.1:5005", Some("tcp://127.0.0.1:0")),
            ("wss://[::1]:80/path?pin=sha256:00", Some("wss://[::1]:0")),
            ("quic://localhost:5005", Some("quic://localhost:0")),
            ("tcp://192.0.2.7:5005", None),
            ("tcp://0.0.0.0:5005", None),
            ("mem://here", None),
        ] {
            let beside = beside(&address.parse().unwrap()).map(|address| address.to_string());
            assert_eq!(beside.as_deref(), wanted, "{address}");
        }
        for address in ["unix:///tmp/a.sock", "shm://a", "zmq+ipc:///tmp/a"] {
            let address: Address = address.parse().unwrap();
            assert!(beside(&address).is_some_and(|other| other != address && other.scheme() == address.scheme()));
        }
    }

    #[test]
    fn frames_of_any_length_come_back() {
        for address in ["tcp://127.0.0.1:1", "shm://a", "unix:///tmp/a", "zmq://127.0.0.1:1", "ws://127.0.0.1:1/"] {
            let address: Address = address.parse().unwrap();
            for lengths in [(80, 0), (0, 80), (80, 3 << 20)] {
                let echo = Echo::new(&address, lengths, Duration::from_secs(60)).unwrap();
                let mut echo = echo.expect("it is of this machine");
                (0..3).for_each(|_| echo.ping().unwrap());
            }
        }
    }
}
