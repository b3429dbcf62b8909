//! Messages that made people stop: each as it reads now, and the part of it that says what to do next.

use std::{fmt::Display, thread, time::Duration};

use rlay::{ClientBackend, ClientEnv, Env, Options, ServerBackend, ServerEnv};
use rlay_testkit::CountingEnv;
use tracing::Level;

use crate::support::{Log, counting_with, fresh, patient};

/// Asserts that `message` reads as `pattern`, where … stands for any text, and says to do `advice`.
#[allow(dead_code)]
#[track_caller]
fn reads(message: impl Display, pattern: &str, advice: &str) {
    let text = message.to_string();
    assert!(matches(&text, pattern), "{text}");
    assert!(text.contains(advice), "{text:?} does not say {advice:?}");
}

fn matches(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        (rest, last) = (&rest[at + part.len()..], Some(part));
    }
    match last {
        None => rest.is_empty(),
        Some(last) => text.ends_with(last),
    }
}

#[test]
fn a_pattern_tells_texts_apart() {
    for (text, pattern, is_so) in [
        ("it broke; mend it", "it …; mend it", true),
        ("it broke; mend it", "it broke", false),
        ("it broke; mend it", "…mend …", true),
        ("it broke", "it broke", true),
        ("it broke", "they …", false),
    ] {
        assert_eq!(matches(text, pattern), is_so, "{text} {pattern}");
    }
}

// -- values, spaces, options

// -- hosting

/// What an agent is told that dials in vain for a moment.
fn in_vain(address: &str) -> rlay::Error {
    let soon = Options { connect_timeout: Duration::from_millis(300), ..rlay::options() };
    ClientEnv::connect(address, soon).unwrap_err()
}

#[test]
fn a_host_that_does_not_serve_yet() {
    let host = ServerBackend::bind(|_: &_| Ok(CountingEnv::new(None)), &fresh("tcp"), rlay::options()).unwrap();
    reads(
        in_vain(&host.address().to_string()),
        "no connection to tcp://… within … s (the listener refused the connection: the host listens but does not \
         serve yet; did it call run() or start()?); raise connect_timeout to wait for longer",
        "did it call run() or start()?",
    );
}

#[test]
fn a_host_that_is_full() {
    for (max_sessions, taken) in [(1, "the one session there can be is taken"), (2, "all 2 sessions are taken")] {
        let options = Options { max_sessions, ..rlay::options() };
        let (host, address) = counting_with(&fresh("tcp"), options).unwrap();
        let _those: Vec<_> = (0..max_sessions).map(|_| ClientEnv::connect(&address, patient()).unwrap()).collect();
        let pattern = format!("no connection to …: {taken}; try again later, or raise max_sessions); raise …");
        reads(in_vain(&address), &pattern, "raise max_sessions");
        host.close();
    }
}

#[test]
fn a_backend_that_serves_already_or_was_closed() {
    let (host, _) = counting_with(&fresh("tcp"), patient()).unwrap();
    reads(
        host.start().unwrap_err(),
        "the backend serves already; call run() or start() once, and make another one for another address",
        "make another one",
    );
    host.close();
    reads(host.start().unwrap_err(), "the backend was closed; make a new one", "make a new one");
}

#[test]
fn no_sessions() {
    let options = Options { max_sessions: 0, ..rlay::options() };
    reads(
        ServerEnv::bind(&fresh("mem"), options).unwrap_err(),
        "max_sessions is 0; give the number of sessions there can be, from 1 on",
        "from 1 on",
    );
}

#[test]
fn what_hosts_and_dialers_log() {
    let log = Log::keep();
    let said = |texts: &[&str]| log.find(Level::INFO, texts);
    let address = fresh("tcp").replace(":0", ":2"); // where nobody listens yet
    let game = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &address, patient()).unwrap();
    game.start().unwrap();
    reads(
        said(&[&address, "no connection"]),
        "tcp://…: still no connection (…); trying again for … s more",
        "trying again",
    );
    game.close();

    let server = ServerEnv::bind(&fresh("unix"), patient()).unwrap();
    let waiting = {
        let server = server.clone();
        thread::spawn(move || server.accept())
    };
    reads(
        said(&["waiting for an environment", &server.address().to_string()]),
        "waiting for an environment to dial in to unix://…; start the game or ClientBackend with this address",
        "start the game",
    );
    let game = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &server.address().to_string(), patient());
    let game = game.unwrap();
    game.start().unwrap();
    let mut env = waiting.join().unwrap().unwrap();
    // The spare session of the game.
    reads(
        said(&["unix", "connected"]),
        "…: connected; waiting for the agent to ask for an environment, as reset() does there",
        "as reset() does there",
    );
    env.close().unwrap();
    game.close();
}

// -- launching

// -- transports and waits
