//! Driver: a private runtime driven by the threads that wait on it, and by an idle driver while none waits.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use tokio::{runtime, sync::Notify, task, task::coop, time};

use super::{
    sigpipe::{self, NoSigpipe},
    timeout,
};
use crate::{
    error::{Error, ErrorKind, Result},
    net::why,
};

/// The idle_driver drives once no call has for this long.
const IDLE: Duration = Duration::from_millis(5);
/// Rounds in which tasks may forward what was sent.
const PASS_ON: usize = 2;
/// Rounds in which the tasks of a connection that was dropped may send their last messages.
const LAST_WORDS: usize = 8;

/// A current-thread runtime, shared by the channels that were made on it. Any of the threads that wait drives it for
/// all of them; driving it from a thread of its own would cost each call two wake-ups. The runtime is dropped with the
/// last of its channels, and so are the sockets of its tasks.
#[derive(Clone)]
pub(super) struct Driver {
    shared: Arc<Shared>,
    /// The idle_driver holds `shared` but not this, so that it knows when it is the last.
    life: Option<Arc<Life>>,
}

struct Shared {
    /// `None` only during drop.
    runtime: Option<runtime::Runtime>,
    /// After a fork the runtime still belongs to the parent.
    pid: u32,
    /// Calls that drive it now.
    busy: AtomicUsize,
    /// Calls so far.
    calls: AtomicU64,
    /// `None` without an idle driver.
    idle_driver: OnceLock<Thread>,
    is_idle_driven: AtomicBool,
    idle_driver_leaves: Notify,
    /// The idle_driver sleeps until the last call is over.
    idle_driver_sleeps: AtomicBool,
    /// An object was dropped for good; the next dialer should not have to wait for the idle_driver.
    is_left: AtomicBool,
    is_over: AtomicBool,
    /// Whether the program ignores SIGPIPE.
    ignores_sigpipe: bool,
}

struct Life {
    shared: Arc<Shared>,
    /// `None` only during drop.
    idle_driver: Option<thread::JoinHandle<()>>,
}

/// A call that drives the runtime.
struct Call<'a> {
    shared: &'a Shared,
    _no_sigpipe: NoSigpipe,
}

impl Driver {
    /// A new runtime, with an idle driver if its tasks have work to do while no thread waits.
    pub(super) fn new(is_kept: bool) -> Result<Self> {
        refuse_inside_tokio()?;
        let cannot = |e: std::io::Error| {
            Error::new(ErrorKind::ResourceExhausted, format!("cannot start a runtime: {}", why(&e))).with_source(e)
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let shared = Arc::new(Shared {
            runtime: Some(runtime),
            pid: std::process::id(),
            busy: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            idle_driver: OnceLock::new(),
            is_idle_driven: AtomicBool::new(false),
            idle_driver_leaves: Notify::new(),
            idle_driver_sleeps: AtomicBool::new(false),
            is_left: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            ignores_sigpipe: sigpipe::is_ignored(),
        });
        let mut life = None;
        if is_kept {
            let kept = shared.clone();
            let idle_driver =
                thread::Builder::new().name("rlay-idle_driver".into()).spawn(move || kept.keep()).map_err(cannot)?;
            let _ = shared.idle_driver.set(idle_driver.thread().clone());
            life = Some(Arc::new(Life { shared: shared.clone(), idle_driver: Some(idle_driver) }));
        }
        Ok(Self { shared, life })
    }

    /// Whether the runtime's tasks continue while no thread waits.
    pub(super) fn is_kept(&self) -> bool {
        self.life.is_some()
    }

    /// Waits for `future` and drives the runtime meanwhile.
    pub(super) fn drive<T>(&self, deadline: Option<Instant>, future: impl Future<Output = Result<T>>) -> Result<T> {
        refuse_inside_tokio()?;
        self.shared.enter().shared.runtime().block_on(until(deadline, future))
    }

    /// Like `drive`, for data that tasks must forward afterwards: the runtime may not be driven for a while.
    pub(super) fn drive_out<T>(&self, deadline: Option<Instant>, future: impl Future<Output = Result<T>>) -> Result<T> {
        refuse_inside_tokio()?;
        self.shared.enter().shared.runtime().block_on(async {
            let result = until(deadline, future).await;
            rounds(if self.is_kept() { PASS_ON } else { 0 }).await;
            result
        })
    }

    /// Waits for `future` and leaves the driving to other threads, if one of them is an idle driver: for calls that
    /// wait nearly always and would keep the runtime from threads that have more to do.
    pub(super) fn watch<T>(&self, deadline: Option<Instant>, future: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.is_kept() {
            return self.drive(deadline, future);
        }
        refuse_inside_tokio()?;
        let _no_sigpipe = self.shared.no_sigpipe();
        let _context = self.shared.runtime().enter();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return result;
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Err(timeout()),
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }

    /// Drops `object` where it was made, and lets its tasks notify the peer.
    pub(super) fn drop_inside<T>(&self, object: T) {
        if !self.shared.is_this_process() {
            // Dropping the object would unregister the parent's sockets.
            std::mem::forget(object);
            return;
        }
        let _no_sigpipe = self.shared.no_sigpipe();
        let runtime = self.shared.runtime();
        let context = runtime.enter();
        drop(object);
        drop(context);
        if refuse_inside_tokio().is_ok() {
            // From a task, which runs after those that the drop has woken: where the idle_driver still drives, this thread's
            // own rounds would be over before any of those tasks runs.
            let _ = self.shared.enter().shared.runtime().block_on(async { task::spawn(rounds(LAST_WORDS)).await });
            self.shared.is_left.store(true, SeqCst);
            self.shared.wake_keeper();
        }
    }
}

impl Shared {
    fn runtime(&self) -> &runtime::Runtime {
        self.runtime.as_ref().expect("there until it is dropped")
    }

    fn is_this_process(&self) -> bool {
        self.pid == std::process::id()
    }

    fn no_sigpipe(&self) -> NoSigpipe {
        NoSigpipe::new(self.ignores_sigpipe)
    }

    fn enter(&self) -> Call<'_> {
        self.busy.fetch_add(1, SeqCst);
        self.calls.fetch_add(1, SeqCst);
        if self.is_idle_driven.load(SeqCst) {
            self.idle_driver_leaves.notify_one();
        }
        Call { shared: self, _no_sigpipe: self.no_sigpipe() }
    }

    fn wake_keeper(&self) {
        if let Some(idle_driver) = self.idle_driver.get() {
            idle_driver.unpark();
        }
    }

    /// Runs on the idle_driver's thread.
    fn keep(&self) {
        let _no_sigpipe = self.no_sigpipe();
        let mut seen = 0;
        while !self.is_over.load(SeqCst) {
            if self.is_left.swap(false, SeqCst) || self.calls.load(SeqCst) == seen {
                self.is_idle_driven.store(true, SeqCst);
                // A call that enters from here on sees `is_idle_driven` and notifies the idle driver.
                if self.busy.load(SeqCst) == 0 && !self.is_over.load(SeqCst) {
                    self.runtime().block_on(self.idle_driver_leaves.notified());
                }
                self.is_idle_driven.store(false, SeqCst);

                self.idle_driver_sleeps.store(true, SeqCst);
                // A call that leaves sees `idle_driver_sleeps` likewise. A call that lasts is one that waits: there may be
                // hundreds of them.
                if self.busy.load(SeqCst) > 0 {
                    thread::park();
                }
                self.idle_driver_sleeps.store(false, SeqCst);
            }
            seen = self.calls.load(SeqCst);
            if !self.is_over.load(SeqCst) && !self.is_left.load(SeqCst) {
                thread::park_timeout(IDLE);
            }
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.shared.busy.fetch_sub(1, SeqCst) == 1 && self.shared.idle_driver_sleeps.load(SeqCst) {
            self.shared.wake_keeper();
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // A forked child has no idle_driver, and the idle_driver's lock may be held for ever.
        if self.shared.is_this_process() {
            self.shared.is_over.store(true, SeqCst);
            self.shared.idle_driver_leaves.notify_one();
            self.shared.wake_keeper();
            // No call is under way any more, so the idle_driver is about to end. The caller that dropped the last handle may
            // want the address again.
            if let Some(idle_driver) = self.idle_driver.take() {
                let _ = idle_driver.join();
            }
        } else {
            // Releasing the parent's thread would release a thread of this process that has the same number.
            std::mem::forget(self.idle_driver.take());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        match runtime {
            // Unlike a plain drop, this may happen on a thread that runs a runtime of its own.
            Some(runtime) if self.is_this_process() => runtime.shutdown_background(),
            other => std::mem::forget(other),
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("is_kept", &self.is_kept()).finish()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

async fn until<T>(deadline: Option<Instant>, future: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(deadline) = deadline else { return future.await };
    // A deadline in the past polls: what has already arrived is taken.
    let deadline = deadline.max(Instant::now() + Duration::from_micros(1));
    time::timeout_at(deadline.into(), future).await.unwrap_or_else(|_| Err(timeout()))
}

/// Lets every task that is ready run, `count` times.
async fn rounds(count: usize) {
    for _ in 0..count {
        task::yield_now().await;
    }
}

/// The error of every call that would block a thread which runs a tokio runtime.
pub(crate) fn refuse_inside_tokio() -> Result<()> {
    if runtime::Handle::try_current().is_ok() && is_polled() {
        return Err(Error::new(
            ErrorKind::Usage,
            "this call blocks, and the thread runs a tokio runtime; \
             use tokio::task::spawn_blocking, or rlay::asynchronous for the async form",
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn tasks_go_on_while_nobody_waits() {
        let driver = Driver::new(true).unwrap();
        let (tick, ticks) = mpsc::channel();
        driver
            .drive(None, async {
                tokio::spawn(async move {
                    while tick.send(()).is_ok() {
                        time::sleep(Duration::from_millis(1)).await;
                    }
                });
                Ok(())
            })
            .unwrap();
        for _ in 0..200 {
            ticks.recv_timeout(Duration::from_secs(10)).expect("the idle_driver drives");
        }
        // A call that waits still gets the runtime, any number of times.
        for _ in 0..3 {
            let nap = async {
                time::sleep(Duration::from_millis(60)).await;
                Ok(())
            };
            driver.drive(None, nap).unwrap();
        }
        drop(driver);
        while ticks.recv_timeout(Duration::from_secs(10)).is_ok() {}
    }

    #[test]
    fn nothing_of_it_is_left_once_it_is_dropped() {
        for _ in 0..200 {
            let driver = Driver::new(true).unwrap();
            let held = Arc::new(());
            let task = held.clone();
            let spawn = async {
                tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(task);
                });
                Ok(())
            };
            driver.drive(None, spawn).unwrap();
            drop(driver);
            assert_eq!(Arc::strong_count(&held), 1, "its task still holds what it held");
        }
    }

    #[test]
    fn last_words_are_said_also_while_the_keeper_drives() {
        for _ in 0..20 {
            let driver = Driver::new(true).unwrap();
            let (object, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
            let said = Arc::new(AtomicBool::new(false));
            let says = said.clone();
            let spawn = async {
                tokio::spawn(async move {
                    while dropped.recv().await.is_some() {}
                    says.store(true, SeqCst);
                });
                Ok(())
            };
            driver.drive(None, spawn).unwrap();
            thread::sleep(IDLE * 4);
            driver.drop_inside(object);
            drop(driver);
            assert!(said.load(SeqCst), "its task was not heard");
        }
    }

    #[test]
    fn what_was_sent_is_passed_on_before_the_call_returns() {
        let driver = Driver::new(true).unwrap();
        let (send, mut sent) = tokio::sync::mpsc::unbounded_channel();
        let (pass, passed) = mpsc::channel();
        let spawn = async {
            tokio::spawn(async move {
                while let Some(item) = sent.recv().await {
                    pass.send(item).unwrap();
                }
            });
            Ok(())
        };
        driver.drive(None, spawn).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let mut at_once = 0;
            for item in 0..100 {
                driver.drive_out(None, async { send.send(item).map_err(|_| timeout()) }).unwrap();
                at_once += usize::from(passed.try_iter().last() == Some(item));
            }
            // While the idle_driver drives, as after a pause, the idle_driver forwards the items.
            if at_once > 10 {
                return;
            }
            assert!(Instant::now() < end, "{at_once} of 100");
        }
    }

    #[test]
    fn a_watcher_is_woken_by_whoever_drives() {
        let driver = Driver::new(true).unwrap();
        assert_eq!(
            driver.watch(Some(Instant::now()), std::future::pending::<Result<()>>()).unwrap_err().kind(),
            ErrorKind::Timeout
        );
        let slept = driver.watch(None, async {
            time::sleep(Duration::from_millis(100)).await;
            Ok(7)
        });
        assert_eq!(slept.unwrap(), 7);
    }
}
