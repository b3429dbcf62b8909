//! The blocking form: one system call to send a small frame, one to receive it.

use std::{
    io::{self, IoSlice, Read},
    mem::MaybeUninit,
    net::Shutdown,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rlay_core::{
    Address, BlockingChannel, CancelToken, Error, ErrorKind, Frame, Readiness, Result, TransportOptions, Watch,
    net::{
        LAST_WORD, LINGER, ReadinessWait, Want, cannot_connect, check_not_itself, check_user, dial_local, goodbye,
        is_vain, look_up_blocking,
    },
    timeout_error,
    wire::{END, Framing},
};
use socket2::{Domain, SockAddr, SockRef, Socket};

use crate::{
    layer::{Layer, Security},
    liveness::LivenessMonitor,
    socket::{self, Owner, Target, broken, crashed, lost_by},
};

pub(crate) fn connect(
    address: &Address,
    options: &TransportOptions,
    deadline: Option<Instant>,
) -> Result<Box<dyn BlockingChannel>> {
    let security = Security::dial(address)?;
    let mut last = None;
    let target = Target::new(address, |address| look_up_blocking(address, deadline))?;
    for to in target.candidates(address)? {
        match dial(&to, options, deadline) {
            Ok(socket) => {
                if to.is_unix() {
                    check_user(&socket)?;
                }
                return open(socket, options, &security);
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    Err(cannot_connect(address, error))
}

fn dial(to: &SockAddr, options: &TransportOptions, deadline: Option<Instant>) -> io::Result<Socket> {
    if let Some(to) = to.as_unix() {
        return dial_local(&to, deadline).map(Socket::from);
    }
    let socket = socket::new_socket(to, options)?;
    match deadline {
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            socket.connect_timeout(to, left)?;
        }
        None => socket.connect(to)?,
    }
    if let (Some(own), Some(peer)) = (socket.local_addr()?.as_socket(), to.as_socket()) {
        check_not_itself(&socket, own, peer)?;
    }
    Ok(socket)
}

pub(crate) fn open(
    socket: Socket,
    options: &TransportOptions,
    security: &Security,
) -> Result<Box<dyn BlockingChannel>> {
    let set_up = || {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(ReadinessWait::TICK))?;
        socket.set_write_timeout(Some(ReadinessWait::TICK))?;
        socket::configure(&socket, options)
    };
    set_up().map_err(|e| lost_by("cannot use the connection", e))?;
    let monitor = LivenessMonitor::new(&SockRef::from(&socket), options.liveness);
    let reading = ReadinessWait::with_pause(monitor.interval());
    let is_unix = socket.domain().is_ok_and(|domain| domain == Domain::UNIX);
    Ok(Box::new(StreamChannel {
        layer: security.layer()?,
        framing: Framing::new(options.max_frame),
        small: Vec::new(),
        peer: socket::peer_name(&socket, security),
        liveness: options.liveness,
        holds: Arc::default(),
        failed: None,
        reading: if is_unix { reading.polling() } else { reading },
        // A blocked send also polls other conditions.
        writing: ReadinessWait::with_pause(ReadinessWait::TICK),
        monitor,
        owner: Owner::new(),
        socket: Arc::new(socket),
    }))
}

/// Frames of at most so many bytes are copied into one piece: that costs less than a vectored write.
const SMALL: usize = 4 << 10;
/// Makes a write to a peer that is gone an error rather than SIGPIPE, which ends programs that are neither Rust nor Python.
/// Where there is no such flag, the standard library sets a socket option.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: i32 = 0;

#[derive(Debug)]
struct StreamChannel {
    socket: Arc<Socket>,
    layer: Layer,
    framing: Framing,
    /// The buffer of a small frame that is written in one piece.
    small: Vec<u8>,
    peer: String,
    liveness: Duration,
    /// Whether bytes were read that the caller has not received yet, or are being read.
    holds: Arc<AtomicBool>,
    /// Why nothing is sent or received any more: part of a frame was sent and the rest never will be, or the peer was
    /// silent for so long that the channel gave the peer up.
    failed: Option<Error>,
    reading: ReadinessWait,
    writing: ReadinessWait,
    monitor: LivenessMonitor,
    owner: Owner,
}

impl StreamChannel {
    fn usable(&self) -> Result<()> {
        if self.owner.is_closed() {
            return Err(Error::new(ErrorKind::Closed, "the channel was closed"));
        }
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Handles the error of a read or write; `Ok` says that the call is to be repeated.
    fn again(&mut self, want: Want, error: io::Error, deadline: Option<Instant>) -> Result<()> {
        if !is_vain(&error) {
            return Err(lost_by(&self.peer, error));
        }
        // Even if the peer were to send again, a frame may be partly sent.
        let verdict = self.monitor.check(&SockRef::from(&*self.socket), &self.peer, Instant::now());
        verdict.inspect_err(|gone| self.failed = Some(gone.clone()))?;
        match want {
            Want::Read => self.reading.on_would_block(deadline),
            Want::Write => self.writing.on_would_block(deadline),
        }
    }

    /// Writes all of `parts`, of which `*sent` bytes were sent or are held by the layer now, and what the layer owes
    /// the peer.
    fn write(&mut self, parts: [&[u8]; 3], deadline: Option<Instant>, sent: &mut usize) -> Result<()> {
        self.write_while(parts, deadline, sent, &mut || Ok(()))
    }

    /// The same, with a call of `look` whenever nothing has moved for a while.
    fn write_while(
        &mut self,
        parts: [&[u8]; 3],
        deadline: Option<Instant>,
        sent: &mut usize,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let total = parts.iter().map(|part| part.len()).sum();
        if !self.layer.is_plain() && deadline.is_some() {
            // Bytes that the layer has taken cannot be returned at the deadline.
            self.writing.ask_first();
        }
        let is_small = self.layer.is_plain() && total <= SMALL;
        if is_small {
            self.small.clear();
            parts.iter().for_each(|part| self.small.extend_from_slice(part));
        }
        let mut next_look = None;
        while *sent < total || self.layer.is_owing() {
            let is_ready = self.writing.before_io(&*self.socket, Want::Write, deadline);
            let written = is_ready.and_then(|()| match is_small {
                true => self.socket.send_with_flags(&self.small[*sent..], NO_SIGNAL).inspect(|n| *sent += n),
                false => self.write_once(&parts, sent),
            });
            match written {
                Ok(0) => return Err(crashed(&self.peer)),
                Ok(_) => {
                    self.monitor.on_progress();
                    self.writing.on_progress();
                    if *sent < total {
                        self.writing.glance(&mut next_look, deadline, look)?;
                    }
                }
                Err(error) => {
                    self.again(Want::Write, error, deadline).inspect_err(|error| {
                        if error.kind() != ErrorKind::Timeout {
                            self.layer.give_up();
                        }
                    })?;
                    look()?;
                }
            }
        }
        Ok(())
    }

    /// Writes some of the rest of `parts`, or of what the layer made of it.
    fn write_once(&mut self, parts: &[&[u8]; 3], sent: &mut usize) -> io::Result<usize> {
        let mut skip = *sent;
        let slices = parts.map(|part| {
            let from = skip.min(part.len());
            skip -= from;
            IoSlice::new(&part[from..])
        });
        match self.layer.seal(&slices, sent) {
            None => self.socket.send_vectored_with_flags(&slices, NO_SIGNAL).inspect(|n| *sent += n),
            Some(sealed) => {
                let n = self.socket.send_with_flags(sealed, NO_SIGNAL)?;
                self.layer.sent(n);
                Ok(n)
            }
        }
    }

    /// Fails after the first `turn` if the wait is over, however many bytes arrive: over TLS these may be nothing but
    /// padding.
    fn go_on(&self, turn: usize, deadline: Option<Instant>) -> Result<()> {
        if turn > 0 && self.reading.is_over(deadline) { Err(timeout_error()) } else { Ok(()) }
    }

    /// Reads once.
    fn fill(&mut self, deadline: Option<Instant>) -> Result<()> {
        loop {
            let is_ready = self.reading.before_io(&*self.socket, Want::Read, deadline);
            let space = self.layer.space(&mut self.framing);
            match is_ready.and_then(|()| (&*self.socket).read(space)) {
                Ok(0) => return Err(crashed(&self.peer)),
                Ok(n) => {
                    self.monitor.on_progress();
                    self.reading.on_progress();
                    self.layer.filled(&mut self.framing, n);
                    return Ok(());
                }
                Err(error) => self.again(Want::Read, error, deadline)?,
            }
        }
    }

    /// Returns what the layer makes of the received bytes, and writes what the layer owes the peer; whether there was
    /// anything to return.
    fn open_layer(&mut self, deadline: Option<Instant>) -> Result<bool> {
        let opened = self.layer.open(&mut self.framing, &self.peer);
        if opened.is_err() {
            self.failed = Some(broken(&self.peer));
            let latest = Instant::now() + LAST_WORD;
            let latest = deadline.map_or(latest, |deadline| deadline.min(latest));
            if self.write([&[]; 3], Some(latest), &mut 0).is_ok() && self.socket.shutdown(Shutdown::Write).is_ok() {
                self.drain(latest);
            }
        } else if self.layer.is_owing() {
            let answered = self.write([&[]; 3], deadline, &mut 0);
            // Received bytes are valid although the peer takes nothing any more.
            if matches!(opened, Ok(false)) {
                answered?;
            }
        }
        opened
    }

    /// Completes the handshake of the layer, if it has one. The handshake begins with the first call, like that of a
    /// listener's channel, for `connect` does not wait until the other end takes part.
    fn shake(&mut self, deadline: Option<Instant>) -> Result<()> {
        for turn in 0.. {
            if !self.layer.is_shaking() {
                break;
            }
            self.open_layer(deadline)?;
            if self.layer.is_shaking() {
                self.go_on(turn, deadline)?;
                let failed = |e: Error| e.context("the TLS handshake did not end; is the peer's address a tls:// one?");
                self.fill(deadline).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn next(&mut self, mut deadline: Option<Instant>) -> Result<Option<Frame>> {
        self.shake(deadline)?;
        for turn in 0.. {
            if let Some(frame) = self.framing.take()? {
                return Ok(Some(frame));
            }
            if self.framing.ended() {
                return Ok(None);
            }
            if !self.open_layer(deadline)? {
                if turn > 0 && self.reading.is_brief() {
                    // The rest of a frame may arrive in parts, none of them a tick after the one before.
                    self.reading.set_brief(false);
                    deadline = Some(Instant::now() + ReadinessWait::TICK);
                }
                self.go_on(turn, deadline)?;
                self.fill(deadline)?;
            }
        }
        unreachable!("it goes on until it returns")
    }

    fn drain(&mut self, deadline: Instant) {
        let mut waste = [0; 4096];
        while Instant::now() < deadline {
            let is_ready = self.reading.before_io(&*self.socket, Want::Read, Some(deadline));
            match is_ready.and_then(|()| (&*self.socket).read(&mut waste)) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if is_vain(&error) && self.reading.on_would_block(Some(deadline)).is_ok() => {}
                Err(_) => return,
            }
        }
    }
}

impl BlockingChannel for StreamChannel {
    fn send_while(
        &mut self,
        head: &[u8],
        body: &[u8],
        deadline: Option<Instant>,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.usable()?;
        let prefix = self.framing.prefix(head.len() + body.len())?;
        self.shake(deadline)?;
        let (mut sent, mut is_ended) = (0, false);
        let mut look = || look().inspect_err(|_| is_ended = true);
        let result = self.write_while([&prefix, head, body], deadline, &mut sent, &mut look);
        // A timeout before the first byte leaves everything unchanged. If the peer is gone, the kernel reports it again
        // at the next send, and what the peer had sent can still be read.
        if result.as_ref().is_err_and(|e| sent > 0 && (is_ended || e.kind() == ErrorKind::Timeout)) {
            self.failed = Some(broken(&self.peer));
        }
        result
    }

    fn recv(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>> {
        self.usable()?;
        self.holds.store(true, Relaxed);
        let received = self.next(deadline);
        self.holds.store(self.framing.is_amid_frame() || self.layer.is_holding(), Relaxed);
        received
    }

    fn recv_briefly(&mut self) -> Option<Result<Option<Frame>>> {
        // Another layer may have something to write, which takes as long as it takes.
        self.layer.is_plain().then(|| {
            self.reading.set_brief(true);
            let received = self.recv(None);
            self.reading.set_brief(false);
            received
        })
    }

    fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        if self.owner.is_closed() {
            return Ok(());
        }
        let said = match self.usable() {
            // No peer is connected yet that could be told.
            Ok(()) if self.layer.is_shaking() => Ok(()),
            Ok(()) => {
                let said = goodbye(self.write([&END, &[], &[]], deadline, &mut 0));
                self.layer.finish();
                said.and_then(|()| goodbye(self.write([&[]; 3], deadline, &mut 0)))
            }
            broken => broken,
        };
        if said.is_ok() && self.socket.shutdown(Shutdown::Write).is_ok() {
            // Closing with unread bytes resets the connection and discards what the peer has not read yet.
            let latest = Instant::now() + LINGER;
            self.drain(deadline.map_or(latest, |deadline| deadline.min(latest)));
        }
        let _ = self.socket.shutdown(Shutdown::Both);
        self.owner.closed();
        said
    }

    fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        self.reading.set_cancel_token(cancel)
    }

    fn begin_readiness_wait(&mut self) -> Readiness {
        Readiness::Descriptor(self.socket.as_raw_fd())
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.framing.set_max_frame(max_frame);
    }

    fn watch(&self) -> Option<Watch> {
        let mut monitor = LivenessMonitor::new(&SockRef::from(&*self.socket), self.liveness);
        let (socket, holds, peer) = (Arc::downgrade(&self.socket), self.holds.clone(), self.peer.clone());
        Some(Box::new(move || {
            let Some(socket) = socket.upgrade() else { return Ok(()) };
            match peek(&socket) {
                // The bytes not received yet may be a goodbye.
                _ if holds.load(Relaxed) => Ok(()),
                Ok(0) => Err(crashed(&peer)),
                Ok(_) => Ok(()),
                Err(error) if is_vain(&error) => monitor.check(&SockRef::from(&*socket), &peer, Instant::now()),
                Err(error) => Err(lost_by(&peer, error)),
            }
        }))
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}

/// How many bytes can be read, at most one; zero at the end of the stream.
fn peek(socket: &Socket) -> io::Result<usize> {
    socket.recv_with_flags(&mut [MaybeUninit::uninit()], libc::MSG_PEEK | libc::MSG_DONTWAIT)
}

impl Drop for StreamChannel {
    fn drop(&mut self) {
        self.owner.end(&SockRef::from(&*self.socket));
    }
}
