//! The blocking form of channels that only have an async one: each call drives a private runtime.

mod driver;
mod sigpipe;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use driver::Driver;
pub(crate) use driver::refuse_inside_tokio;
use tokio::{task, time};

use crate::{
    address::Address,
    cancel_token::CancelToken,
    channel::{BlockingChannel, BlockingListener, Channel, Incoming, Listener, Watch},
    error::{Error, ErrorKind, Result},
    frame::Frame,
};

/// How often a blocked send polls other conditions.
const LOOK: Duration = Duration::from_millis(100);

/// The error of a deadline that passed, for implementations of channels.
pub fn timeout() -> Error {
    Error::plain(ErrorKind::Timeout, "no answer before the deadline")
}

/// Waits for `future`, or for `cancel` as for a deadline.
async fn unless<T>(cancel: Option<&CancelToken>, future: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(cancel) = cancel else { return future.await };
    let stopped = async {
        cancel.cancelled().await;
        // As at a deadline, what has already arrived is taken; for that the runtime must poll first. Where the caller
        // comes back soon, once is enough.
        match cancel.is_prompt() {
            true => task::yield_now().await,
            false => time::sleep(Duration::from_millis(1)).await,
        }
    };
    let (mut future, mut stopped) = (pin!(future), pin!(stopped));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Pending => stopped.as_mut().poll(context).map(|()| Err(timeout())),
        ready => ready,
    })
    .await
}

/// Waits for a future that uses nothing but time and other threads.
pub(crate) fn wait<T>(deadline: Option<Instant>, future: impl Future<Output = Result<T>>) -> Result<T> {
    Driver::new(false)?.drive(deadline, future)
}

pub(crate) fn connect(
    connecting: impl Future<Output = Result<Box<dyn Channel>>>,
    is_kept: bool,
    deadline: Option<Instant>,
) -> Result<Box<dyn BlockingChannel>> {
    let driver = Driver::new(is_kept)?;
    let channel = driver.drive(deadline, connecting)?;
    Ok(Box::new(Bridged { channel: Some(channel), driver, cancel: None }))
}

pub(crate) fn listen(
    listening: impl Future<Output = Result<Box<dyn Listener>>>,
    is_kept: bool,
) -> Result<Box<dyn BlockingListener>> {
    let driver = Driver::new(is_kept)?;
    let listener = driver.drive(None, listening)?;
    Ok(Box::new(BridgedListener { listener: Some(listener), driver, cancel: None }))
}

/// Opens an accepted connection for a thread that may block, on a runtime of its own.
pub fn open(incoming: Box<dyn Incoming>) -> Result<Box<dyn BlockingChannel>> {
    open_on(Driver::new(false)?, incoming)
}

fn open_on(driver: Driver, incoming: Box<dyn Incoming>) -> Result<Box<dyn BlockingChannel>> {
    let channel = driver.drive(None, async { incoming.open() })?;
    Ok(Box::new(Bridged { channel: Some(channel), driver, cancel: None }))
}

#[derive(Debug)]
struct Bridged {
    /// `None` only during drop.
    channel: Option<Box<dyn Channel>>,
    driver: Driver,
    cancel: Option<CancelToken>,
}

impl Bridged {
    fn channel(&self) -> &dyn Channel {
        self.channel.as_deref().expect("there until it is dropped")
    }

    fn parts(&mut self) -> (&Driver, &mut dyn Channel) {
        (&self.driver, self.channel.as_deref_mut().expect("there until it is dropped"))
    }
}

impl BlockingChannel for Bridged {
    fn send_while(
        &mut self,
        head: &[u8],
        body: &[u8],
        deadline: Option<Instant>,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let (driver, channel) = self.parts();
        // An error of kind `Timeout` may also be the channel's own.
        let mut sending = pin!(async { Ok(channel.send(head, body).await) });
        loop {
            let next = Instant::now() + LOOK;
            let (slice, is_last) = deadline.filter(|end| *end <= next).map_or((next, false), |end| (end, true));
            match driver.drive_out(Some(slice), sending.as_mut()) {
                Ok(sent) => return sent,
                Err(error) if error.kind() == ErrorKind::Timeout && !is_last => look()?,
                Err(error) => return Err(error),
            }
        }
    }

    fn recv(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>> {
        let channel = self.channel.as_deref_mut().expect("there until it is dropped");
        self.driver.drive(deadline, unless(self.cancel.as_ref(), channel.recv()))
    }

    fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        let (driver, channel) = self.parts();
        driver.drive(deadline, channel.close())
    }

    fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        self.cancel = cancel.cloned();
        cancel.is_some()
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.parts().1.set_max_frame(max_frame);
    }

    fn watch(&self) -> Option<Watch> {
        self.channel().watch()
    }

    fn peer(&self) -> String {
        self.channel().peer()
    }
}

impl Drop for Bridged {
    fn drop(&mut self) {
        self.driver.drop_inside(self.channel.take());
    }
}

#[derive(Debug)]
struct BridgedListener {
    /// `None` only during drop.
    listener: Option<Box<dyn Listener>>,
    driver: Driver,
    cancel: Option<CancelToken>,
}

impl BlockingListener for BridgedListener {
    fn accept(&mut self, deadline: Option<Instant>) -> Result<Box<dyn Incoming>> {
        let listener = self.listener.as_deref_mut().expect("there until it is dropped");
        let incoming = self.driver.watch(deadline, unless(self.cancel.as_ref(), listener.accept()))?;
        if !self.driver.is_kept() {
            return Ok(incoming);
        }
        Ok(Box::new(BridgedIncoming { incoming: Some(incoming), driver: self.driver.clone() }))
    }

    fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        self.cancel = cancel.cloned();
        cancel.is_some()
    }

    fn address(&self) -> &Address {
        self.listener.as_deref().expect("there until it is dropped").address()
    }

    fn descriptor(&self) -> Option<i32> {
        self.listener.as_deref().and_then(Listener::descriptor)
    }
}

impl Drop for BridgedListener {
    fn drop(&mut self) {
        self.driver.drop_inside(self.listener.take());
    }
}

/// A connection that lives on its listener's runtime.
#[derive(Debug)]
struct BridgedIncoming {
    incoming: Option<Box<dyn Incoming>>,
    driver: Driver,
}

impl Incoming for BridgedIncoming {
    fn peer(&self) -> String {
        self.incoming.as_ref().map_or_else(String::new, |incoming| incoming.peer())
    }

    fn open(mut self: Box<Self>) -> Result<Box<dyn Channel>> {
        self.incoming.take().expect("there until it is opened").open()
    }

    fn open_blocking(mut self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        open_on(self.driver.clone(), self.incoming.take().expect("there until it is opened"))
    }
}

impl Drop for BridgedIncoming {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.driver.drop_inside(incoming);
        }
    }
}
