//! BuggyTransport: a correct transport behind a wrapper that breaks one promise.

use std::{
    collections::VecDeque,
    future::Future,
    os::fd::IntoRawFd,
    pin::pin,
    task, thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rlay_core::{
    Address, BlockingChannel, CancelToken, Channel, Error, ErrorKind, Frame, Incoming, Listener, Readiness, Registry,
    Result, Transport, TransportOptions, Watch, open_bridged,
};
use rlay_testkit::Faulty;
use tokio::time::{sleep, timeout};

/// The bug of the wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    RepeatsFrames,
    JoinsFrames,
    LosesEmptyFrames,
    LimitOffByOne,
    CollectsBeforeRefusing,
    ForgivesLargeFrames,
    LosesFramesWhenCancelled,
    SendsCancelledFramesLater,
    ForgetsTheLastFrame,
    CrashReadsNone,
    CloseReadsError,
    NeverNotices,
    TakesEverything,
    ListensTwice,
    WrongAddress,
    DropBlocks,
    DropCloses,
    TiresOfSilence,
    HeedsNothing,
    WatchesNothing,
    WatchesTheStreamAlone,
}

/// The transport of an address's scheme, with a bug.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuggyTransport(pub(crate) Bug);

impl BuggyTransport {
    fn options(self, options: &TransportOptions) -> TransportOptions {
        TransportOptions { max_frame: self.limit(options.max_frame), ..options.clone() }
    }

    /// The limit that the correct transport is given.
    fn limit(self, max_frame: usize) -> usize {
        match self.0 {
            Bug::LimitOffByOne => max_frame + 1,
            Bug::CollectsBeforeRefusing | Bug::ForgivesLargeFrames => usize::MAX,
            _ => max_frame,
        }
    }

    fn wrap(self, inner: Box<dyn Channel>, max_frame: usize) -> Box<dyn Channel> {
        Box::new(LyingChannel { inner, bug: self, max_frame, sent: 0, backlog: VecDeque::new(), refused: false })
    }
}

fn honest() -> Registry {
    Registry::default().with(Faulty)
}

#[async_trait]
impl Transport for BuggyTransport {
    fn schemes(&self) -> &'static [&'static str] {
        &["mem", "faulty"]
    }

    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        let inner = honest().find(address)?.connect(address, &self.options(options)).await?;
        Ok(self.wrap(inner, options.max_frame))
    }

    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
        let (honest, own) = (honest(), self.options(options));
        let transport = honest.find(address)?;
        let elsewhere = Address::new(address.scheme(), format!("{}-elsewhere", address.rest()));
        let (inner, address) = match transport.listen(address, &own).await {
            Err(_) if self.0 == Bug::ListensTwice => (transport.listen(&elsewhere, &own).await?, address.clone()),
            result if self.0 == Bug::WrongAddress => (result?, elsewhere),
            result => (result?, address.clone()),
        };
        Ok(Box::new(LyingListener { inner, address, bug: *self, max_frame: options.max_frame }))
    }
}

/// Claims to watch a cancel token, and does not; nor does it check anything while it sends.
#[derive(Debug)]
struct Deaf(Box<dyn BlockingChannel>);

impl BlockingChannel for Deaf {
    fn send_while(
        &mut self,
        head: &[u8],
        body: &[u8],
        deadline: Option<Instant>,
        _: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.0.send(head, body, deadline)
    }

    fn recv(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>> {
        self.0.recv(deadline)
    }

    fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.0.close(deadline)
    }

    fn set_cancel_token(&mut self, _: Option<&CancelToken>) -> bool {
        true
    }

    fn begin_readiness_wait(&mut self) -> Readiness {
        // Nothing is ever written into it; a test that fails leaves it open.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        std::mem::forget(writer);
        Readiness::Descriptor(reader.into_raw_fd())
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.0.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.0.peer()
    }
}

#[derive(Debug)]
struct LyingListener {
    inner: Box<dyn Listener>,
    address: Address,
    bug: BuggyTransport,
    max_frame: usize,
}

#[async_trait]
impl Listener for LyingListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        let inner = self.inner.accept().await?;
        Ok(Box::new(LyingIncoming { inner, bug: self.bug, max_frame: self.max_frame }))
    }

    fn address(&self) -> &Address {
        &self.address
    }
}

#[derive(Debug)]
struct LyingIncoming {
    inner: Box<dyn Incoming>,
    bug: BuggyTransport,
    max_frame: usize,
}

impl Incoming for LyingIncoming {
    fn peer(&self) -> String {
        self.inner.peer()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        Ok(self.bug.wrap(self.inner.open()?, self.max_frame))
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        let is_deaf = self.bug.0 == Bug::HeedsNothing;
        let channel = open_bridged(self)?;
        Ok(if is_deaf { Box::new(Deaf(channel)) } else { channel })
    }
}

#[derive(Debug)]
struct LyingChannel {
    inner: Box<dyn Channel>,
    bug: BuggyTransport,
    max_frame: usize,
    sent: usize,
    /// Frames that `send` was given and that were not sent yet.
    backlog: VecDeque<Vec<u8>>,
    refused: bool,
}

impl LyingChannel {
    async fn flush(&mut self) -> Result<()> {
        while let Some(frame) = self.backlog.front() {
            self.inner.send(frame, &[]).await?;
            self.backlog.pop_front();
        }
        Ok(())
    }
}

/// Polls a future once and drops it.
fn poll_once(future: impl Future) {
    let _ = pin!(future).poll(&mut task::Context::from_waker(task::Waker::noop()));
}

#[async_trait]
impl Channel for LyingChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        let frame = [head, body].concat();
        if frame.len() > self.bug.limit(self.max_frame) || frame.len() > self.max_frame + 1 {
            return Err(Error::protocol("the frame is too large"));
        }
        self.sent += 1;
        match self.bug.0 {
            Bug::CollectsBeforeRefusing | Bug::ForgivesLargeFrames if frame.len() > self.max_frame => {
                return Err(Error::protocol("the frame is too large"));
            }
            Bug::RepeatsFrames if self.sent.is_multiple_of(7) => self.inner.send(head, body).await?,
            Bug::LosesEmptyFrames if frame.is_empty() => return Ok(()),
            Bug::JoinsFrames if self.backlog.is_empty() && frame.len() == 64 => {
                self.backlog.push_back(frame);
                return Ok(());
            }
            Bug::JoinsFrames => {
                let first = self.backlog.pop_front().unwrap_or_default();
                return self.inner.send(&first, &frame).await;
            }
            Bug::SendsCancelledFramesLater => {
                self.backlog.push_back(frame);
                return self.flush().await;
            }
            Bug::ForgetsTheLastFrame => {
                self.flush().await?;
                self.backlog.push_back(frame);
                return Ok(());
            }
            Bug::TakesEverything => {
                self.backlog.push_back(frame);
                poll_once(self.flush());
                return Ok(());
            }
            _ => {}
        }
        self.inner.send(head, body).await
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        if self.refused && self.bug.0 == Bug::CollectsBeforeRefusing {
            return Err(Error::protocol("an earlier frame was too large"));
        }
        let longest = Duration::from_secs(if self.bug.0 == Bug::TiresOfSilence { 4 } else { 3600 });
        let result = timeout(longest, self.inner.recv()).await.unwrap_or_else(|_| Err(Error::protocol("silence")));
        let is_lost = matches!(&result, Err(error) if error.kind() == ErrorKind::ConnectionLost);
        match self.bug.0 {
            Bug::LosesFramesWhenCancelled => sleep(Duration::from_millis(5)).await,
            Bug::CrashReadsNone if is_lost => return Ok(None),
            Bug::CloseReadsError if matches!(result, Ok(None)) => return Err(Error::protocol("the stream ended")),
            Bug::NeverNotices if is_lost => std::future::pending().await,
            Bug::CollectsBeforeRefusing | Bug::ForgivesLargeFrames => {
                if matches!(&result, Ok(Some(frame)) if frame.len() > self.max_frame) {
                    self.refused = true;
                    return Err(Error::protocol("the frame is too large"));
                }
            }
            _ => {}
        }
        result
    }

    async fn close(&mut self) -> Result<()> {
        if self.bug.0 != Bug::ForgetsTheLastFrame {
            self.flush().await?;
        }
        self.inner.close().await
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
        self.inner.set_max_frame(self.bug.limit(max_frame));
    }

    fn watch(&self) -> Option<Watch> {
        match self.bug.0 {
            Bug::WatchesNothing => Some(Box::new(|| Ok(()))),
            // As a channel that takes every end for a loss, a goodbye among them.
            Bug::WatchesTheStreamAlone => Some(Box::new({
                let mut looks = 0;
                move || {
                    looks += 1;
                    if looks == 1 { Ok(()) } else { Err(Error::new(ErrorKind::ConnectionLost, "the stream ended")) }
                }
            })),
            _ => None,
        }
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }
}

impl Drop for LyingChannel {
    fn drop(&mut self) {
        match self.bug.0 {
            Bug::DropBlocks => thread::sleep(Duration::from_millis(5100)),
            Bug::DropCloses => poll_once(self.inner.close()),
            _ => {}
        }
    }
}
