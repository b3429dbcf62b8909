//! The blocking form: no system call while both sides are awake.

use std::{
    hint::spin_loop,
    io,
    os::{fd::AsRawFd, unix::net::UnixListener},
    time::{Duration, Instant},
};

use rlay_core::{
    Address, BlockingChannel, BlockingListener, Channel, ErrorKind, Frame, Incoming, Result, Stop, TransportOptions,
    net::{ReadinessWait, Reserve, Want, cannot_connect, goodbye, is_vain, lost_by, wait_to_accept},
};

use crate::{
    pipe::{Need, Pipe},
    region::Side,
    rendezvous,
    stream::{Look, Stream},
};

/// How long the listener may take to hand over the memory.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long to spin while the other side is awake: as long as an agent in Python takes between two calls
/// (docs/adr/0009).
const SPIN: Duration = Duration::from_micros(15);
/// How long to spin, once in a while, for a side that was asleep: as long as waking it up may take.
const IGNITION: Duration = Duration::from_micros(200);
/// How long not to try that again: first, and after many attempts in vain.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// When to spin before sleeping.
///
/// Two sides that find each other awake stay so, and no step costs a system call. But two that sleep
/// between steps wake each other up, and neither is ever found awake, however fast both are. So now
/// and then one waits for the other to wake up. Where both share a core neither pays; both are then
/// left off, but for an attempt once in a while.
#[derive(Debug)]
struct Spin {
    /// How many of the last spins for an awake peer paid, as a moving sum.
    score: u32,
    /// Waits for an awake peer without a spin.
    skipped: u32,
    next_ignition: Instant,
    pause: Duration,
}

impl Spin {
    const BEST: u32 = 8;
    /// Where spinning does not pay, it is tried again after so many waits.
    const RETRY: u32 = 256;

    fn new() -> Self {
        Self { score: Self::BEST, skipped: 0, next_ignition: Instant::now(), pause: SHORTEST_PAUSE }
    }

    /// How long to spin now.
    fn time(&mut self, peer_is_awake: bool, now: Instant) -> Duration {
        if !peer_is_awake {
            return if now >= self.next_ignition { IGNITION } else { Duration::ZERO };
        }
        self.skipped += 1;
        if self.score == 0 && self.skipped < Self::RETRY {
            return Duration::ZERO;
        }
        self.skipped = 0;
        SPIN
    }

    /// Whether a spin paid.
    fn learn(&mut self, time: Duration, paid: bool, now: Instant) {
        if time <= SPIN {
            self.score = if paid { (self.score + 2).min(Self::BEST) } else { self.score.saturating_sub(1) };
            return;
        }
        if paid {
            self.score = self.score.max(1);
        }
        self.pause = if paid { SHORTEST_PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
        self.next_ignition = now + self.pause;
    }
}

pub(crate) fn connect(
    address: &Address,
    options: &TransportOptions,
    deadline: Option<Instant>,
) -> Result<Box<dyn BlockingChannel>> {
    let socket = rendezvous::dial(address, deadline)?;
    let cannot = |e: io::Error| cannot_connect(address, e);
    let left = deadline.map_or(HAND_OVER, |deadline| deadline.saturating_duration_since(Instant::now()));
    let patience = left.clamp(Duration::from_millis(1), HAND_OVER);
    socket.set_nonblocking(false).map_err(cannot)?;
    socket.set_read_timeout(Some(patience)).map_err(cannot)?;
    let region = rendezvous::take_over(&socket).map_err(cannot)?;
    ShmChannel::open(Stream::new(region, Side::Dialer, socket, address.to_string(), options))
}

#[derive(Debug)]
pub(crate) struct ShmChannel {
    stream: Stream,
    /// For waits between frames.
    spin: Spin,
    /// For waits amid a frame, where the other side is copying.
    flow: Spin,
    /// For waits for data.
    reading: ReadinessWait,
    /// For waits for room.
    writing: ReadinessWait,
}

impl ShmChannel {
    pub(crate) fn open(stream: Stream) -> Result<Box<dyn BlockingChannel>> {
        let set_up = || {
            stream.socket.set_nonblocking(false)?;
            stream.socket.set_read_timeout(Some(ReadinessWait::TICK))
        };
        set_up().map_err(|e| lost_by("cannot use the connection", e))?;
        Ok(Box::new(Self {
            stream,
            spin: Spin::new(),
            flow: Spin::new(),
            reading: ReadinessWait::default(),
            // Who waits to write has to look at other things, too.
            writing: ReadinessWait::with_pause(ReadinessWait::TICK),
        }))
    }

    /// Waits until there is what is needed, or the peer is gone, or for as long as is waited at a time.
    fn wait(&mut self, need: Need, deadline: Option<Instant>) -> Result<()> {
        let now = Instant::now();
        let is_flowing = need == Need::Room || self.stream.is_amid_frame();
        let spin = if is_flowing { &mut self.flow } else { &mut self.spin };
        let time = spin.time(self.stream.peer_is_awake, now);
        if !time.is_zero() {
            let found = found(&mut self.stream.pipe, need, now + time)?;
            spin.learn(time, found, now);
            if found {
                return Ok(());
            }
        }
        self.stream.pipe.doze(need);
        let wait = if need == Need::Data { &mut self.reading } else { &mut self.writing };
        let is_there = self.stream.pipe.has(need);
        let slept = match is_there {
            Ok(false) => {
                wait.before_io(&self.stream.socket, Want::Read, deadline).and_then(|()| self.stream.answer_bell())
            }
            _ => Ok(()),
        };
        self.stream.pipe.wake();
        is_there?;
        match slept {
            Ok(()) => {
                wait.on_progress();
                Ok(())
            }
            Err(error) if is_vain(&error) => wait.on_would_block(deadline),
            Err(error) => Err(lost_by(self.stream.peer(), error)),
        }
    }

    fn write(
        &mut self,
        parts: &[&[u8]],
        deadline: Option<Instant>,
        sent: &mut usize,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut next_look = None;
        while !self.stream.put(parts, sent)? {
            self.wait(Need::Room, deadline)?;
            self.writing.glance(&mut next_look, deadline, look)?;
        }
        Ok(())
    }
}

/// Spins until there is what is needed, or until `end`.
fn found(pipe: &mut Pipe, need: Need, end: Instant) -> Result<bool> {
    loop {
        for _ in 0..16 {
            if pipe.has(need)? {
                return Ok(true);
            }
            spin_loop();
        }
        if Instant::now() >= end {
            return Ok(false);
        }
    }
}

impl BlockingChannel for ShmChannel {
    fn send_while(
        &mut self,
        head: &[u8],
        body: &[u8],
        deadline: Option<Instant>,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.stream.usable()?;
        let prefix = self.stream.prefix(head.len() + body.len())?;
        let (mut sent, mut is_ended) = (0, false);
        let mut look = || look().inspect_err(|_| is_ended = true);
        let result = self.write(&[&prefix, head, body], deadline, &mut sent, &mut look);
        // If the peer has gone, what it had sent can still be read.
        let is_timeout = result.as_ref().is_err_and(|e| e.kind() == ErrorKind::Timeout);
        self.stream.is_sending = sent > 0 && (is_ended || is_timeout);
        result
    }

    fn recv(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>> {
        self.stream.usable()?;
        loop {
            match self.stream.get()? {
                Look::Frame(frame) => return Ok(Some(frame)),
                Look::End => return Ok(None),
                Look::Wait => self.wait(Need::Data, deadline)?,
            }
        }
    }

    fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        if self.stream.is_closed() {
            return Ok(());
        }
        let said = match self.stream.usable() {
            Ok(()) => goodbye(self.write(&Stream::END, deadline, &mut 0, &mut || Ok(()))),
            broken => broken,
        };
        self.stream.leave();
        said
    }

    fn heed(&mut self, stop: Option<&Stop>) -> bool {
        self.reading.heed(stop)
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.stream.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.stream.peer().to_owned()
    }
}

pub(crate) fn listen(address: &Address, options: &TransportOptions) -> Result<Box<dyn BlockingListener>> {
    let socket = rendezvous::listen(address)?;
    Ok(Box::new(ShmListener {
        socket,
        address: address.clone(),
        options: options.clone(),
        stop: None,
        reserve: Reserve::of(rendezvous::DESCRIPTORS),
    }))
}

#[derive(Debug)]
struct ShmListener {
    socket: UnixListener,
    address: Address,
    options: TransportOptions,
    stop: Option<Stop>,
    reserve: Reserve,
}

impl BlockingListener for ShmListener {
    fn accept(&mut self, deadline: Option<Instant>) -> Result<Box<dyn Incoming>> {
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => match Accepted::new(socket, &mut self.reserve, &self.address, &self.options) {
                    Ok(accepted) => {
                        self.reserve.regain();
                        return Ok(Box::new(accepted));
                    }
                    Err(error) => tracing::warn!("a connection to {} was refused: {error}", self.address),
                },
                Err(error) if is_vain(&error) => {}
                // The dialer went away while it waited, or descriptors ran out: neither ends the listener.
                Err(error) => std::thread::sleep(self.reserve.refused(&error, &self.socket)),
            }
            wait_to_accept(&self.socket, deadline, self.stop.as_ref())?;
        }
    }

    fn heed(&mut self, stop: Option<&Stop>) -> bool {
        self.stop = stop.filter(|stop| stop.pipe().is_some()).cloned();
        self.stop.is_some()
    }

    fn address(&self) -> &Address {
        &self.address
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.socket.as_raw_fd())
    }
}

/// An accepted connection, before it belongs to a thread or runtime. The dialer has its memory already.
#[derive(Debug)]
pub(crate) struct Accepted {
    stream: Stream,
}

impl Accepted {
    pub(crate) fn new(
        socket: std::os::unix::net::UnixStream,
        reserve: &mut Reserve,
        address: &Address,
        options: &TransportOptions,
    ) -> Result<Self> {
        let region = match rendezvous::hand_over(&socket) {
            Err(error) if error.kind() == ErrorKind::Busy => {
                reserve.spend();
                rendezvous::hand_over(&socket)?
            }
            region => region?,
        };
        Ok(Self { stream: Stream::new(region, Side::Listener, socket, address.to_string(), options) })
    }
}

impl Incoming for Accepted {
    fn peer(&self) -> String {
        self.stream.peer().to_owned()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        crate::asynchronous::open(self.stream)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        ShmChannel::open(self.stream)
    }
}
