//! Relay: forwards between a dialer and a listener, and drops their connection when the test says so.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// The resources that a relay releases when it drops a connection.
type Ends = Arc<Mutex<Vec<End>>>;

/// The first bytes from the dialer of each stream.
type Openings = Arc<Mutex<Vec<Vec<u8>>>>;

enum End {
    /// Of a stream: both sockets, and whether the end of one is forwarded to the other.
    Stream(TcpStream, TcpStream, Arc<AtomicBool>),
    /// Of a flow of datagrams: the dialer's address, and the socket. Once dropped, the flow's datagrams are lost
    /// silently.
    Flow(SocketAddr, UdpSocket),
}

/// A relay at an address of its own, for as long as the process lives.
pub(crate) struct Relay {
    address: String,
    ends: Ends,
    openings: Openings,
    is_shut: Arc<AtomicBool>,
    is_slow: Arc<AtomicBool>,
}

impl Relay {
    /// Relays to the listener at `target`, an address with host and port.
    pub(crate) fn to(target: &str) -> Self {
        let (scheme, rest) = target.split_once("://").expect("an address");
        let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (to, ends): (SocketAddr, _) = (host.parse().expect("host and port"), Ends::default());
        let (is_shut, is_slow, openings) = (Arc::default(), Arc::default(), Openings::default());
        let local = match scheme {
            "quic" => datagrams(to, ends.clone()),
            _ => streams(to, ends.clone(), openings.clone(), [&is_shut, &is_slow].map(Arc::clone)),
        };
        let address = format!("{scheme}://{local}?{query}").trim_end_matches('?').to_owned();
        Self { address, ends, openings, is_shut, is_slow }
    }

    /// The address to dial.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The first bytes from the dialer of the last stream.
    pub(crate) fn last_opening(&self) -> Vec<u8> {
        let openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
        openings.last().cloned().expect("somebody has dialed")
    }

    /// Drops every present connection; how many. New ones are admitted.
    pub(crate) fn cut(&self) -> usize {
        let ends = std::mem::take(&mut *self.ends());
        for end in &ends {
            if let End::Stream(here, there, _) = end {
                let _ = (here.shutdown(Shutdown::Both), there.shutdown(Shutdown::Both));
            }
        }
        ends.len()
    }

    /// Drops every present connection, and from now on every new one, of streams.
    pub(crate) fn shut(&self) {
        self.is_shut.store(true, SeqCst);
        self.cut();
    }

    /// Admits new connections again.
    pub(crate) fn open(&self) {
        self.is_shut.store(false, SeqCst);
    }

    /// From now on forwards streams slowly: some three megabytes a second.
    pub(crate) fn slow_down(&self) {
        self.is_slow.store(true, SeqCst);
    }

    /// Drops the dialers' ends of streams alone; how many. The listener is not told.
    pub(crate) fn cut_half(&self) -> usize {
        let mut count = 0;
        for end in &*self.ends() {
            if let End::Stream(here, _, is_passed_on) = end
                && is_passed_on.swap(false, SeqCst)
            {
                let _ = here.shutdown(Shutdown::Both);
                count += 1;
            }
        }
        count
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, Vec<End>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn streams(to: SocketAddr, ends: Ends, openings: Openings, [is_shut, is_slow]: [Arc<AtomicBool>; 2]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let local = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for here in listener.incoming().flatten() {
            let Ok(there) = TcpStream::connect(to) else { continue };
            // Before anything is forwarded: a peer that got an answer over this connection can be cut off.
            let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
            if is_shut.load(SeqCst) {
                let _ = (here.shutdown(Shutdown::Both), there.shutdown(Shutdown::Both));
                continue;
            }
            let copy = |stream: &TcpStream| stream.try_clone().expect("descriptors");
            let up = (copy(&here), copy(&there), Some(openings.clone()));
            let down = (copy(&there), copy(&here), None);
            let is_passed_on = Arc::new(AtomicBool::new(true));
            for (from, to, openings) in [up, down] {
                let (_, is_passed_on, is_slow) = (to.set_nodelay(true), is_passed_on.clone(), is_slow.clone());
                thread::spawn(move || pump(from, to, openings, &is_passed_on, &is_slow));
            }
            ends.push(End::Stream(here, there, is_passed_on));
        }
    });
    local
}

/// Forwards bytes, of which the first are kept in `openings`, and the end.
fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    mut openings: Option<Openings>,
    is_passed_on: &AtomicBool,
    is_slow: &AtomicBool,
) {
    let mut bytes = [0; 1 << 14];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        if let Some(openings) = openings.take() {
            openings.lock().unwrap_or_else(PoisonError::into_inner).push(bytes[..n].to_vec());
        }
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
        if is_slow.load(SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
    }
    if is_passed_on.load(SeqCst) {
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn datagrams(to: SocketAddr, ends: Ends) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let local = socket.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut bytes, mut old) = ([0; 1 << 16], Vec::new());
        while let Ok((n, from)) = socket.recv_from(&mut bytes) {
            let mut flows = ends.lock().unwrap_or_else(PoisonError::into_inner);
            let known = flows.iter().find_map(|end| match end {
                End::Flow(whose, flow) if *whose == from => flow.try_clone().ok(),
                _ => None,
            });
            let flow = match known {
                Some(flow) => flow,
                // The connection was cut.
                None if old.contains(&from) => continue,
                None => {
                    let flow = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                    flow.connect(to).expect("a local address");
                    old.push(from);
                    let (back, whole) =
                        (flow.try_clone().expect("descriptors"), flow.try_clone().expect("descriptors"));
                    let (socket, ends) = (socket.try_clone().expect("descriptors"), ends.clone());
                    flows.push(End::Flow(from, whole));
                    thread::spawn(move || answer(&back, &socket, from, &ends));
                    flow
                }
            };
            drop(flows);
            let _ = flow.send(&bytes[..n]);
        }
    });
    local
}

/// Forwards the listener's datagrams back, for as long as the flow is not cut.
fn answer(flow: &UdpSocket, socket: &UdpSocket, to: SocketAddr, ends: &Ends) {
    let mut bytes = [0; 1 << 16];
    let _ = flow.set_read_timeout(Some(Duration::from_millis(100)));
    loop {
        let got = flow.recv(&mut bytes);
        let flows = ends.lock().unwrap_or_else(PoisonError::into_inner);
        if !flows.iter().any(|end| matches!(end, End::Flow(whose, _) if *whose == to)) {
            return;
        }
        drop(flows);
        if let Ok(n) = got {
            let _ = socket.send_to(&bytes[..n], to);
        }
    }
}
