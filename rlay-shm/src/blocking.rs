//! The blocking form: no system call while both sides are awake, and a futex for the first part of a wait.

use std::{
    hint::spin_loop,
    io,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use rlay_core::{
    Address, BlockingChannel, CancelToken, ErrorKind, Frame, Readiness, Result, TransportOptions,
    net::{ReadinessWait, Want, cannot_connect, goodbye, is_vain, lost_by},
};

use crate::{
    pipe::{Need, Pipe, Sleep},
    region::Side,
    rendezvous,
    spin::Spin,
    stream::{Look, Stream},
};

/// How long the listener may take to hand over the memory.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long a wait sleeps on the futex, before the socket. An agent of many environments waits for one after the other,
/// so of those that have died at once each takes this long to be noticed.
const FUTEX: Duration = Duration::from_millis(5);

pub(crate) fn connect(
    address: &Address,
    options: &TransportOptions,
    deadline: Option<Instant>,
) -> Result<Box<dyn BlockingChannel>> {
    let socket = rendezvous::dial(address, deadline)?;
    let cannot = |e: io::Error| cannot_connect(address, e);
    let left = deadline.map_or(HAND_OVER, |deadline| deadline.saturating_duration_since(Instant::now()));
    let wait = left.clamp(Duration::from_millis(1), HAND_OVER);
    socket.set_nonblocking(false).map_err(cannot)?;
    socket.set_read_timeout(Some(wait)).map_err(cannot)?;
    let region = rendezvous::take_over(&socket).map_err(cannot)?;
    open(Stream::new(region, Side::Dialer, socket, address.to_string(), options))
}

pub(crate) fn open(stream: Stream) -> Result<Box<dyn BlockingChannel>> {
    stream.socket.set_nonblocking(true).map_err(|e| lost_by("cannot use the connection", e))?;
    Ok(Box::new(ShmChannel {
        stream,
        spin: Spin::new(),
        flow: Spin::new(),
        reading: ReadinessWait::default(),
        // A wait for room also calls `look`.
        writing: ReadinessWait::with_pause(ReadinessWait::TICK),
    }))
}

#[derive(Debug)]
struct ShmChannel {
    stream: Stream,
    /// For waits between frames.
    spin: Spin,
    /// For waits within a frame, while the other side is copying.
    flow: Spin,
    /// For waits for data.
    reading: ReadinessWait,
    /// For waits for room.
    writing: ReadinessWait,
}

impl ShmChannel {
    /// Waits until the need is met, or the peer is gone, or the longest single wait is over.
    ///
    /// A short wait costs least with a futex, but a futex reports neither the peer's death nor a cancellation: after
    /// [`FUTEX`] in vain the wait continues on the socket.
    fn wait(&mut self, need: Need, deadline: Option<Instant>) -> Result<()> {
        let now = Instant::now();
        let is_flowing = need == Need::Room || self.stream.is_amid_frame();
        // Within a frame the other side has one piece to copy at a time.
        let (spin, bytes) =
            if is_flowing { (&mut self.flow, 0) } else { (&mut self.spin, self.stream.longest_frame()) };
        let is_poll = deadline.is_some_and(|deadline| deadline <= now);
        let time = if is_poll { Duration::ZERO } else { spin.time(self.stream.peer_is_awake, bytes, now) };
        if !time.is_zero() {
            // Others have work for this thread once the token is set.
            let wait = &self.reading;
            let found = found(&mut self.stream.pipe, need, now + time, || wait.is_over(None))?;
            spin.learn(found, now);
            if found {
                return Ok(());
            }
        }
        let wait = if need == Need::Data { &mut self.reading } else { &mut self.writing };
        let first = wait.first_tick(now, deadline);
        let sleep = if first.is_some() { Sleep::Futex } else { Sleep::Socket };
        self.stream.pipe.set_asleep(need, sleep);
        let slept = match (self.stream.pipe.has(need), first) {
            (Ok(false), Some(tick)) => {
                self.stream.pipe.sleep_on_futex(need, tick.min(FUTEX));
                Ok(())
            }
            (Ok(false), None) => {
                let is_ready = wait.before_io(&self.stream.socket, Want::Read, deadline);
                is_ready.and_then(|()| self.stream.take_wakeups())
            }
            _ => Ok(()),
        };
        self.stream.pipe.set_awake();
        match slept {
            Err(error) if !is_vain(&error) => return Err(lost_by(self.stream.peer(), error)),
            _ => {}
        }
        if self.stream.pipe.has(need)? || self.stream.has_ended() {
            wait.on_progress();
            let spin = if is_flowing { &mut self.flow } else { &mut self.spin };
            spin.learn_sleep(now.elapsed());
            return Ok(());
        }
        wait.on_would_block(deadline)
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

/// Spins until the need is met, or until `end`, or until `is_over`.
fn found(pipe: &mut Pipe, need: Need, end: Instant, is_over: impl Fn() -> bool) -> Result<bool> {
    loop {
        for _ in 0..16 {
            if pipe.has(need)? {
                return Ok(true);
            }
            spin_loop();
        }
        if is_over() || Instant::now() >= end {
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
        // If the peer is gone, what it had sent can still be read.
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
        self.stream.end();
        said
    }

    fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        self.reading.set_cancel_token(cancel)
    }

    fn begin_readiness_wait(&mut self) -> Readiness {
        self.stream.pipe.set_asleep(Need::Data, Sleep::Socket);
        match self.stream.pipe.has(Need::Data) {
            Ok(false) if !self.stream.has_ended() => Readiness::Descriptor(self.stream.socket.as_raw_fd()),
            _ => Readiness::Now,
        }
    }

    fn end_readiness_wait(&mut self, is_ready: bool) {
        self.stream.pipe.set_awake();
        if is_ready {
            // What else there is to say of the socket, `recv` finds again.
            let _ = self.stream.take_wakeups();
        }
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.stream.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.stream.peer().to_owned()
    }
}
