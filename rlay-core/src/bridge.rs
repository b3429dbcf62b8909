//! The blocking form of channels that only have an async one: each call drives a private runtime.

use std::{
    future::Future,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{runtime, task::coop, time};

use crate::{
    address::Address,
    channel::{BlockingChannel, BlockingListener, Channel, Incoming, Listener},
    error::{Error, ErrorKind, Result},
    frame::Frame,
};

/// A private runtime. Unlike tokio's own it may be dropped anywhere, on a thread that runs another one too.
#[derive(Debug)]
struct Runtime(Option<runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The error of every call that would block a thread which runs a tokio runtime.
pub(crate) fn refuse_inside_tokio() -> Result<()> {
    if runtime::Handle::try_current().is_ok() && is_polled() {
        return Err(Error::new(
            ErrorKind::Usage,
            "this call blocks, and the thread runs a tokio runtime; \
             use tokio::task::spawn_blocking, or rlay_core::drive for the async form",
        ));
    }
    Ok(())
}

/// Whether tokio is polling the caller. A thread of `spawn_blocking` belongs to a runtime, too, but may
/// block. What tells them apart is that a future has a budget, after which it must yield.
fn is_polled() -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let _restores_the_budget = coop::poll_proceed(&mut context);
    (0..=u8::MAX).any(|_| match coop::poll_proceed(&mut context) {
        Poll::Ready(spent) => {
            spent.made_progress();
            false
        }
        Poll::Pending => true,
    })
}

fn new_runtime() -> Result<Runtime> {
    refuse_inside_tokio()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map(|runtime| Runtime(Some(runtime)))
        .map_err(|e| Error::new(ErrorKind::Usage, format!("cannot start a runtime: {e}")))
}

fn drive<T>(runtime: &Runtime, deadline: Option<Instant>, future: impl Future<Output = Result<T>>) -> Result<T> {
    refuse_inside_tokio()?;
    let runtime = runtime.0.as_ref().expect("a runtime lives until it is dropped");
    runtime.block_on(async {
        let Some(deadline) = deadline else { return future.await };
        // A deadline in the past polls: what is there already is taken.
        let deadline = deadline.max(Instant::now() + Duration::from_micros(1));
        time::timeout_at(deadline.into(), future).await.unwrap_or_else(|_| Err(timeout()))
    })
}

/// The error of a deadline that passed, for implementations of channels.
pub fn timeout() -> Error {
    Error::plain(ErrorKind::Timeout, "no answer before the deadline")
}

pub(crate) fn connect(
    connecting: impl Future<Output = Result<Box<dyn Channel>>>,
    deadline: Option<Instant>,
) -> Result<Box<dyn BlockingChannel>> {
    let runtime = new_runtime()?;
    let channel = drive(&runtime, deadline, connecting)?;
    Ok(Box::new(Bridged { runtime, channel }))
}

pub(crate) fn listen(listening: impl Future<Output = Result<Box<dyn Listener>>>) -> Result<Box<dyn BlockingListener>> {
    let runtime = new_runtime()?;
    let listener = drive(&runtime, None, listening)?;
    Ok(Box::new(BridgedListener { runtime, listener }))
}

/// Opens an accepted connection for a thread that may block, on a runtime of its own.
pub fn open(incoming: Box<dyn Incoming>) -> Result<Box<dyn BlockingChannel>> {
    let runtime = new_runtime()?;
    let channel = drive(&runtime, None, async { incoming.open() })?;
    Ok(Box::new(Bridged { runtime, channel }))
}

#[derive(Debug)]
struct Bridged {
    channel: Box<dyn Channel>,
    runtime: Runtime,
}

impl BlockingChannel for Bridged {
    fn send(&mut self, head: &[u8], body: &[u8], deadline: Option<Instant>) -> Result<()> {
        drive(&self.runtime, deadline, self.channel.send(head, body))
    }

    fn recv(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>> {
        drive(&self.runtime, deadline, self.channel.recv())
    }

    fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        drive(&self.runtime, deadline, self.channel.close())
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.channel.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.channel.peer()
    }
}

#[derive(Debug)]
struct BridgedListener {
    listener: Box<dyn Listener>,
    runtime: Runtime,
}

impl BlockingListener for BridgedListener {
    fn accept(&mut self, deadline: Option<Instant>) -> Result<Box<dyn Incoming>> {
        drive(&self.runtime, deadline, self.listener.accept())
    }

    fn address(&self) -> &Address {
        self.listener.address()
    }
}
