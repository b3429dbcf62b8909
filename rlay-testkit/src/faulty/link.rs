//! Link: two byte streams in memory, one each way, that break together.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time};

use super::plan::{Breaks, Plan};

/// Bytes that may be under way in one direction.
const CAPACITY: usize = 64 << 10;

/// The connection is broken, or the other end is gone.
#[derive(Debug)]
pub(super) struct Broken;

/// One direction.
#[derive(Debug, Default)]
struct Stream {
    /// The written parts and their arrival times, oldest first.
    on_the_way: VecDeque<(Instant, Vec<u8>)>,
    /// How much of the oldest part was read already.
    start: usize,
    /// The number of bytes in these parts.
    len: usize,
    /// Bytes that may still be written before the cut.
    left: Option<u64>,
}

#[derive(Debug)]
struct State {
    /// From the dialer, and to the dialer.
    streams: [Stream; 2],
    broken: bool,
    reset: bool,
    breaks: Breaks,
}

/// The state that both sides share.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    changed: Notify,
    chop: usize,
    delay: Duration,
}

impl Link {
    /// The side of the dialer and that of its peer.
    pub(super) fn sides(plan: &Plan) -> [Side; 2] {
        let streams = plan.cut.map(|left| Stream { left, ..Stream::default() });
        let mut state = State { streams, broken: false, reset: plan.reset, breaks: plan.breaks.clone() };
        if plan.cut.contains(&Some(0)) {
            state.cut();
        }
        let state = Mutex::new(state);
        let chop = plan.chop.map_or(usize::MAX, NonZeroUsize::get);
        let link = Arc::new(Self { state, changed: Notify::new(), chop, delay: plan.delay });
        [0, 1].map(|index| Side { link: link.clone(), index })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One side of a link. When it is dropped, the link breaks.
#[derive(Debug)]
pub(super) struct Side {
    link: Arc<Link>,
    index: usize,
}

/// The result of a read at this moment.
enum Arrival {
    Bytes(usize),
    In(Instant),
    Nothing,
}

impl Side {
    /// Writes some of `bytes`, once there is room; how many. Nothing is written if the call is cancelled.
    pub(super) async fn write(&self, bytes: &[u8]) -> Result<usize, Broken> {
        loop {
            let changed = self.link.changed.notified();
            let written = self.link.state().write(self.index, bytes, Instant::now() + self.link.delay)?;
            if let Some(n) = written {
                self.link.changed.notify_waiters();
                return Ok(n);
            }
            changed.await;
        }
    }

    /// Reads some bytes into `space`, once there are any; how many. Nothing is lost if the call is cancelled.
    pub(super) async fn read(&self, space: &mut [u8]) -> Result<usize, Broken> {
        let most = space.len().min(self.link.chop);
        loop {
            let changed = self.link.changed.notified();
            let arrival = self.link.state().read(1 - self.index, &mut space[..most])?;
            match arrival {
                Arrival::Bytes(n) => {
                    self.link.changed.notify_waiters();
                    return Ok(n);
                }
                Arrival::In(when) => time::sleep_until(when.into()).await,
                Arrival::Nothing => changed.await,
            }
        }
    }
}

impl State {
    /// How many bytes were written, if there was room for any.
    fn write(&mut self, index: usize, bytes: &[u8], arrival: Instant) -> Result<Option<usize>, Broken> {
        if self.broken {
            return Err(Broken);
        }
        let stream = &mut self.streams[index];
        let before_cut = stream.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let n = bytes.len().min(CAPACITY - stream.len).min(before_cut);
        if n == 0 {
            return Ok(None);
        }
        stream.on_the_way.push_back((arrival, bytes[..n].to_vec()));
        stream.len += n;
        if let Some(left) = &mut stream.left {
            *left -= n as u64;
        }
        if n == before_cut {
            self.cut();
            return Ok(Some(bytes.len())); // the rest is lost, which neither side knows yet
        }
        Ok(Some(n))
    }

    fn read(&mut self, index: usize, space: &mut [u8]) -> Result<Arrival, Broken> {
        let stream = &mut self.streams[index];
        let Some((arrival, bytes)) = stream.on_the_way.front() else {
            return if self.broken { Err(Broken) } else { Ok(Arrival::Nothing) };
        };
        if *arrival > Instant::now() {
            return Ok(Arrival::In(*arrival));
        }
        let unread = &bytes[stream.start..];
        let n = unread.len().min(space.len());
        space[..n].copy_from_slice(&unread[..n]);
        stream.len -= n;
        stream.start += n;
        if stream.start == bytes.len() {
            stream.start = 0;
            stream.on_the_way.pop_front();
        }
        Ok(Arrival::Bytes(n))
    }

    fn cut(&mut self) {
        self.broken = true;
        self.breaks.fetch_add(1, SeqCst);
        if self.reset {
            self.streams.iter_mut().for_each(|stream| stream.on_the_way.clear());
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.link.state().broken = true;
        self.link.changed.notify_waiters();
    }
}
