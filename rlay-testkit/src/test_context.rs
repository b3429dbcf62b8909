//! TestContext: one test's connections, its runtime and the watchdog over it.

use std::{
    fmt,
    io::{self, Write},
    panic::resume_unwind,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use rlay_core::{Address, Incoming, Result, TransportOptions};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::{
    endpoint::{Endpoint, Inside, Listening, bounded, inside},
    subject::{Form, Subject},
};

/// A test that takes longer than this hangs.
const WATCHDOG: Duration = Duration::from_secs(60);
/// The liveness bound that the suite asks for: long enough for a machine that runs six tests at once.
pub(crate) const LIVENESS: Duration = Duration::from_secs(5);
/// Longer than the liveness bound.
pub(crate) const LONGER: Duration = Duration::from_secs(6);
/// How long a peer may take for a required action.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A peer that has moved nothing for this long is blocked.
pub(crate) const STALL: Duration = Duration::from_millis(300);

/// The context of a promise's test: it opens connections over the subject, in one form.
pub struct TestContext {
    subject: Subject,
    form: Form,
    runtime: Handle,
    /// Listeners live as long as the test.
    listening: Mutex<Vec<Listening>>,
    _stop: oneshot::Sender<()>,
}

/// Runs the test of `promise` in one form, or prints the reason for which the subject does not keep it.
///
/// # Panics
/// If the test fails, or is not over after a minute.
pub fn check(promise: &'static str, subject: Subject, form: Form, test: fn(&TestContext)) {
    if let Some(reason) = subject.exception(promise) {
        // Written past the capture of the test harness, so that it is shown even though nothing fails.
        let _ = writeln!(io::stderr(), "exception: {:?} does not keep {promise}: {reason}", subject.transport);
        return;
    }
    let (done, is_done) = mpsc::channel();
    let run = move || {
        test(&TestContext::new(subject, form));
        let _ = done.send(());
    };
    let body = thread::Builder::new().name(promise.to_owned()).spawn(run).expect("a thread");
    if is_done.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("{promise} hangs: not over after {WATCHDOG:?}");
    }
    body.join().unwrap_or_else(|panic| resume_unwind(panic));
}

/// The deadline of calls that should take no time.
pub(crate) fn soon() -> Option<Instant> {
    after(PATIENCE)
}

/// The deadline that lies `time` ahead.
pub(crate) fn after(time: Duration) -> Option<Instant> {
    Some(Instant::now() + time)
}

/// The options of the suite: the frame limit `limit`, and a short liveness bound.
pub(crate) fn options(max_frame: usize) -> TransportOptions {
    TransportOptions { max_frame, liveness: LIVENESS, ..TransportOptions::default() }
}

/// The limit where a test is about something else.
const MAX_FRAME: usize = 64 << 20;

impl TestContext {
    fn new(subject: Subject, form: Form) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::spawn(move || runtime.block_on(stopped));
        Self { subject, form, runtime: handle, listening: Mutex::default(), _stop: stop }
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn fresh_address(&self) -> Address {
        self.subject.fresh_address()
    }

    /// A dialer and the listener's end, and another such pair the other way round.
    pub(crate) fn pairs(&self) -> [(Endpoint, Endpoint); 2] {
        let ((dialer, accepted), (other, another)) = (self.pair(), self.pair());
        [(dialer, accepted), (another, other)]
    }

    /// A dialer and the listener's end.
    pub(crate) fn pair(&self) -> (Endpoint, Endpoint) {
        self.pair_of([self.form; 3], [MAX_FRAME; 2])
    }

    /// A dialer and the listener's end, each with its own limit.
    pub(crate) fn pair_with_limits(&self, dialer: usize, accepted: usize) -> (Endpoint, Endpoint) {
        self.pair_of([self.form; 3], [dialer, accepted])
    }

    /// A dialer, a listener, and what was accepted, each in a form of its own.
    pub(crate) fn pair_of(&self, [dial, listen, open]: [Form; 3], [own, peer]: [usize; 2]) -> (Endpoint, Endpoint) {
        let mut listening = self.listen_as(listen, &self.fresh_address(), peer).expect("a listener");
        let address = listening.address().clone();
        let (mut dialer, accepted) = self.meet(&mut listening, |context| context.dial_as(dial, &address, own));
        let mut accepted = self.open_as(open, accepted);
        if self.subject.takes_two {
            let (sent, received) = together(|| dialer.send(b"hello", b"", soon()), || accepted.recv(soon()));
            assert_eq!(sent.and(received).expect("they meet").expect("a frame")[..], *b"hello");
        }
        self.listening.lock().expect("no panic").push(listening);
        (dialer, accepted)
    }

    /// Accepts while `dial` dials, as a transport may need both at once.
    pub(crate) fn meet(
        &self,
        listening: &mut Listening,
        dial: impl FnOnce(&Self) -> Result<Endpoint> + Send,
    ) -> (Endpoint, Box<dyn Incoming>) {
        let accept = || listening.accept(soon()).expect("accepts");
        let (dialer, accepted) = together(|| dial(self).expect("dials"), accept);
        (dialer, accepted)
    }

    pub(crate) fn listen(&self, address: &Address) -> Result<Listening> {
        self.listen_as(self.form, address, MAX_FRAME)
    }

    fn listen_as(&self, form: Form, address: &Address, max_frame: usize) -> Result<Listening> {
        let (transport, options) = (self.subject.transport.clone(), options(max_frame));
        if form == Form::Blocking {
            return transport.listen_blocking(address, &options).map(Listening::Blocking);
        }
        let address = address.clone();
        let listener =
            inside(&self.runtime, async move { bounded(soon(), transport.listen(&address, &options)).await })?;
        Ok(Listening::Async(Inside::new(&self.runtime, listener)))
    }

    pub(crate) fn dial(&self, address: &Address) -> Result<Endpoint> {
        self.dial_as(self.form, address, MAX_FRAME)
    }

    fn dial_as(&self, form: Form, address: &Address, max_frame: usize) -> Result<Endpoint> {
        let (transport, options) = (self.subject.transport.clone(), options(max_frame));
        if form == Form::Blocking {
            return transport.connect_blocking(address, &options, soon()).map(Endpoint::Blocking);
        }
        let address = address.clone();
        let channel =
            inside(&self.runtime, async move { bounded(soon(), transport.connect(&address, &options)).await })?;
        Ok(Endpoint::Async(Inside::new(&self.runtime, channel)))
    }

    pub(crate) fn open(&self, incoming: Box<dyn Incoming>) -> Endpoint {
        self.open_as(self.form, incoming)
    }

    fn open_as(&self, form: Form, incoming: Box<dyn Incoming>) -> Endpoint {
        match form {
            Form::Blocking => Endpoint::Blocking(incoming.open_blocking().expect("opens")),
            Form::Async => {
                let channel = inside(&self.runtime, async move { incoming.open() }).expect("opens");
                Endpoint::Async(Inside::new(&self.runtime, channel))
            }
        }
    }
}

impl fmt::Debug for TestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestContext").field("subject", &self.subject).field("form", &self.form).finish_non_exhaustive()
    }
}

/// Runs `there` on a thread of its own and `here` on this one.
pub(crate) fn together<T: Send, H>(there: impl FnOnce() -> T + Send, here: impl FnOnce() -> H) -> (T, H) {
    thread::scope(|scope| {
        let there = scope.spawn(there);
        let here = here();
        (there.join().unwrap_or_else(|panic| resume_unwind(panic)), here)
    })
}
