//! Endpoint and Listening: channels and listeners of either form behind one interface, for the suite.
//!
//! The async form runs inside the context's runtime, as it would in a program; a deadline cancels the
//! call by dropping its future. A deadline in the past drops it after one poll.

use std::{future::Future, panic::resume_unwind, time::Instant};

use rlay_core::{
    Address, BlockingChannel, BlockingListener, CancelToken, Channel, Frame, Incoming, Listener, Readiness, Result,
    Watch, timeout_error,
};
use tokio::{runtime::Handle, task, time};

/// One end of a connection.
pub(crate) enum Endpoint {
    Blocking(Box<dyn BlockingChannel>),
    Async(Inside<dyn Channel>),
}

/// A listener.
pub(crate) enum Listening {
    Blocking(Box<dyn BlockingListener>),
    Async(Inside<dyn Listener>),
}

/// An object that lives inside a runtime, operated from a thread outside it.
pub(crate) struct Inside<T: ?Sized + Send + 'static> {
    runtime: Handle,
    /// `None` while a call is under way.
    object: Option<Box<T>>,
}

impl<T: ?Sized + Send + 'static> Inside<T> {
    pub(crate) fn new(runtime: &Handle, object: Box<T>) -> Self {
        Self { runtime: runtime.clone(), object: Some(object) }
    }

    fn call<R, F>(&mut self, operate: impl FnOnce(Box<T>) -> F) -> R
    where
        R: Send + 'static,
        F: Future<Output = (Box<T>, R)> + Send + 'static,
    {
        let object = self.object.take().expect("one call at a time");
        let (object, result) = inside(&self.runtime, operate(object));
        self.object = Some(object);
        result
    }
}

impl<T: ?Sized + Send + 'static> Drop for Inside<T> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            let dropping = self.runtime.spawn(async move { drop(object) });
            // An error means that the runtime is gone already, and the object with it.
            let _ = self.runtime.block_on(dropping);
        }
    }
}

/// Runs a future as a task of `runtime` and waits for it.
pub(crate) fn inside<R: Send + 'static>(runtime: &Handle, future: impl Future<Output = R> + Send + 'static) -> R {
    match runtime.block_on(runtime.spawn(future)) {
        Ok(result) => result,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

/// Cancels a call at the deadline.
pub(crate) async fn bounded<R>(deadline: Option<Instant>, call: impl Future<Output = Result<R>>) -> Result<R> {
    let Some(deadline) = deadline else { return call.await };
    task::yield_now().await; // lets the runtime poll its I/O driver, so that one poll of the call is enough
    time::timeout_at(deadline.into(), call).await.unwrap_or_else(|_| Err(timeout_error()))
}

impl Endpoint {
    pub(crate) fn send(&mut self, head: &[u8], body: &[u8], deadline: Option<Instant>) -> Result<()> {
        match self {
            Self::Blocking(channel) => channel.send(head, body, deadline),
            Self::Async(inside) => {
                let (head, body) = (head.to_vec(), body.to_vec());
                inside.call(async move |mut channel: Box<dyn Channel>| {
                    let result = bounded(deadline, channel.send(&head, &body)).await;
                    (channel, result)
                })
            }
        }
    }

    /// The same with a `look`; `None` in the async form, which has cancellation instead.
    pub(crate) fn send_while(
        &mut self,
        head: &[u8],
        body: &[u8],
        deadline: Option<Instant>,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Option<Result<()>> {
        match self {
            Self::Blocking(channel) => Some(channel.send_while(head, body, deadline, look)),
            Self::Async(_) => None,
        }
    }

    pub(crate) fn recv(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>> {
        match self {
            Self::Blocking(channel) => channel.recv(deadline),
            Self::Async(inside) => inside.call(async move |mut channel: Box<dyn Channel>| {
                let result = bounded(deadline, channel.recv()).await;
                (channel, result)
            }),
        }
    }

    /// The brief form; `None` where there is none.
    pub(crate) fn recv_briefly(&mut self) -> Option<Result<Option<Frame>>> {
        match self {
            Self::Blocking(channel) => channel.recv_briefly(),
            Self::Async(_) => None,
        }
    }

    pub(crate) fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        match self {
            Self::Blocking(channel) => channel.close(deadline),
            Self::Async(inside) => inside.call(async move |mut channel: Box<dyn Channel>| {
                let result = bounded(deadline, channel.close()).await;
                (channel, result)
            }),
        }
    }

    /// Whether waits end with `cancel` from now on; the async form has cancellation instead.
    pub(crate) fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        match self {
            Self::Blocking(channel) => channel.set_cancel_token(cancel),
            Self::Async(_) => false,
        }
    }

    /// How to learn that another `recv` is worth it; the async form has tasks instead.
    pub(crate) fn begin_readiness_wait(&mut self) -> Readiness {
        match self {
            Self::Blocking(channel) => channel.begin_readiness_wait(),
            Self::Async(_) => Readiness::Unknown,
        }
    }

    /// Ends that wait.
    pub(crate) fn end_readiness_wait(&mut self, is_ready: bool) {
        if let Self::Blocking(channel) = self {
            channel.end_readiness_wait(is_ready);
        }
    }

    pub(crate) fn watch(&self) -> Option<Watch> {
        match self {
            Self::Blocking(channel) => channel.watch(),
            Self::Async(inside) => inside.object.as_ref().expect("no call is under way").watch(),
        }
    }

    pub(crate) fn set_max_frame(&mut self, max_frame: usize) {
        match self {
            Self::Blocking(channel) => channel.set_max_frame(max_frame),
            Self::Async(inside) => inside.object.as_mut().expect("no call is under way").set_max_frame(max_frame),
        }
    }
}

impl Listening {
    pub(crate) fn accept(&mut self, deadline: Option<Instant>) -> Result<Box<dyn Incoming>> {
        match self {
            Self::Blocking(listener) => listener.accept(deadline),
            Self::Async(inside) => inside.call(async move |mut listener: Box<dyn Listener>| {
                let result = bounded(deadline, listener.accept()).await;
                (listener, result)
            }),
        }
    }

    /// As [`Endpoint::set_cancel_token`].
    pub(crate) fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        match self {
            Self::Blocking(listener) => listener.set_cancel_token(cancel),
            Self::Async(_) => false,
        }
    }

    pub(crate) fn address(&self) -> &Address {
        match self {
            Self::Blocking(listener) => listener.address(),
            Self::Async(inside) => inside.object.as_ref().expect("no call is under way").address(),
        }
    }
}
