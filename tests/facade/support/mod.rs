//! Shared code of the tests: bounded waits, fresh addresses, other processes, and faulty environments.

#[cfg(feature = "tls")]
mod authority;
mod envs;
mod log;
mod process;
mod relay;

use std::{
    panic::resume_unwind,
    process::id,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rlay::{AgentOptions, ClientEnv, HostOptions, RemoteEnv, Result, ServerBackend, ServerEnv};
use rlay_testkit::CountingEnv;

#[cfg(feature = "tls")]
pub(crate) use authority::{Authority, Folder, Years};
pub(crate) use envs::{Deed, Gate, Gated, HOLD, Mortal, Stepping, Trouble, WORDS};
pub(crate) use log::Log;
pub(crate) use process::{Process, launch_command, saving_command};
pub(crate) use relay::Relay;

/// No wait of a test takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test on a thread of its own, and fails if that takes for ever.
pub(crate) fn bounded<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    let thread = thread::spawn(move || done.send(run()));
    match result.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("still waiting after {PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => resume_unwind(thread.join().expect_err("it did not return")),
    }
}

/// Waits until `condition` holds, where nothing reports when it does.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it is still not so that {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An address of this scheme that no other test listens at.
pub(crate) fn fresh(scheme: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Relaxed);
    match scheme {
        // No other process is given a port of this host by chance, so a port can be used again.
        "tcp" | "zmq" | "ws" => {
            let [_, _, a, b] = id().to_be_bytes();
            format!("{scheme}://127.77.{a}.{b}:0")
        }
        "tls" | "quic" | "wss" => format!("{scheme}://127.0.0.1:0"),
        "unix" | "zmq+ipc" => format!("{scheme}://{}/rlay-{}-{n}.sock", std::env::temp_dir().display(), id()),
        "shm" => format!("shm://test-{}-{n}", id()),
        _ => format!("{scheme}://test-{n}"),
    }
}

/// Options of an agent with which no call times out because the machine is busy.
pub(crate) fn patient() -> AgentOptions {
    rlay::agent_options().connect_timeout(PATIENCE)
}

/// The same for a host.
pub(crate) fn patient_host() -> HostOptions {
    rlay::host_options().connect_timeout(PATIENCE)
}

/// How long a call of an agent with [`hasty`] options may take.
pub(crate) const HURRY: Duration = Duration::from_millis(50);

/// Options with which a call that is not answered times out soon.
pub(crate) fn hasty() -> AgentOptions {
    patient().timeout(HURRY)
}

/// A backend that serves counting environments, and its address.
pub(crate) fn counting(address: &str) -> Result<(ServerBackend, String)> {
    counting_with(address, patient_host())
}

/// The same with other options.
pub(crate) fn counting_with(address: &str, options: HostOptions) -> Result<(ServerBackend, String)> {
    let factory = |make: &rlay::wire::Make| Ok(CountingEnv::new(make.render_mode.as_deref()));
    let backend = ServerBackend::bind(factory, address, options)?;
    backend.start()?;
    let address = backend.address().to_string();
    Ok((backend, address))
}

/// Which side dials the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paradigm {
    /// The agent dials.
    Client,
    /// The environment dials.
    Server,
}

/// An agent's environment of `kind`, hosted by another process (by another thread for `mem`), and
/// what keeps it alive.
pub(crate) fn remote(kind: &str, scheme: &str, paradigm: Paradigm) -> Result<(RemoteEnv, Process)> {
    match paradigm {
        Paradigm::Client => {
            let host = Process::start(scheme, &format!("host-{kind}"), &fresh(scheme));
            let address = host.line();
            Ok((ClientEnv::connect(&address, patient())?, host))
        }
        Paradigm::Server => {
            let server = ServerEnv::bind(&fresh(scheme), patient())?;
            let host = Process::start(scheme, &format!("dial-{kind}"), &server.address().to_string());
            Ok((server.accept()?, host))
        }
    }
}
