//! Whole sessions over `faulty://`: wherever the connection breaks, nothing is lost but time; and where it breaks again
//! and again, every call ends, and none with a wrong result.

use std::time::{Duration, Instant};

use rlay_core::{
    BoxSpace, ClientBackend, ClientEnv, Discrete, Env, EnvError, Error, ErrorKind, Options, RemoteEnv, ServerBackend,
    ServerEnv, Value,
};
use rlay_testkit::{CountingEnv, Faulty};

/// How long an agent's calls wait for another connection.
const PATIENCE: Duration = Duration::from_secs(20);

fn options(connect_timeout: u64, reconnect_timeout: Duration) -> Options {
    let reconnect_timeout = Some(reconnect_timeout);
    Options { connect_timeout: Duration::from_millis(connect_timeout), reconnect_timeout, ..Options::over(Faulty) }
}

/// A short session; each result is compared with what the environment would have answered locally.
fn play(remote: RemoteEnv) -> Result<(), EnvError> {
    let mut local = CountingEnv::new(None);
    let mut remote = remote.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
    assert_eq!(remote.reset(Some(7), &Value::None)?, local.reset(Some(7), &Value::None)?);
    assert_eq!(remote.step(1)?, local.step(1)?);
    assert_eq!(remote.step(0)?, local.step(0)?);
    remote.close()
}

/// Who dials, over the link that fails.
#[derive(Debug, Clone, Copy)]
enum Dialer {
    Agent,
    Env,
}

/// Plays with a cut after every byte of one direction, until it is no longer cut. `cuts` of the connections break.
fn cut_everywhere(who: Dialer, fault: &str, end: &str, cuts: Option<usize>) {
    let name = format!("faulty://session-{who:?}-{fault}-{end}-{}", cuts.unwrap_or_default());
    let (connect_timeout, patience) = if cuts.is_some() { (20_000, PATIENCE) } else { (15, Duration::from_millis(15)) };
    let options = options(connect_timeout, patience);
    let backend = ServerBackend::bind(|_| Ok(CountingEnv::new(None)), &format!("{name}-env"), options.clone());
    let (backend, server) = (backend.unwrap(), ServerEnv::bind(&format!("{name}-agent"), options.clone()).unwrap());
    backend.start();
    let session = |faults: &str| -> Result<(), EnvError> {
        match who {
            Dialer::Agent => play(ClientEnv::connect(&format!("{name}-env{faults}"), options.clone())?),
            Dialer::Env => {
                let only = Options { max_sessions: 1, ..options.clone() };
                let dialer =
                    ClientBackend::new(|_| Ok(CountingEnv::new(None)), &format!("{name}-agent{faults}"), only)?;
                dialer.start();
                let played = server.accept().map_err(EnvError::from).and_then(play);
                dialer.close();
                played
            }
        }
    };
    let mut whole = 0;
    for k in 0.. {
        let start = Instant::now();
        let some = cuts.map(|cuts| format!("&cuts={cuts}")).unwrap_or_default();
        let outcome = session(&format!("?{fault}={k}&end={end}{some}"));
        let took = start.elapsed();
        match outcome {
            Ok(()) if cuts.is_none() => whole += 1,
            Ok(()) => whole = k,
            Err(error) => {
                let error = error.downcast::<Error>().expect("an error of RLay");
                assert!(cuts.is_none(), "cut after byte {k}: {error}");
                // Where nobody dials in any more, that is what is said.
                let fits = matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::Timeout);
                assert!(fits, "cut after byte {k}: {error}");
                whole = 0;
            }
        }
        assert!(took < Duration::from_secs(10), "cut after byte {k}: a call took {took:?}");
        // Without a bound on the cuts the end shows in sessions that are whole; with one, all are.
        if (cuts.is_none() && whole == 3) || k == LONGEST {
            break;
        }
    }
    // Whoever listens is unharmed.
    while let Err(error) = session("") {
        assert!(cuts.is_none(), "{error}");
    }
    backend.close();
    server.close();
}

/// More bytes than either side of a session sends.
const LONGEST: usize = 1200;

#[test]
fn a_cut_after_any_byte_costs_only_time() {
    for who in [Dialer::Agent, Dialer::Env] {
        for fault in ["cut_up", "cut_down"] {
            cut_everywhere(who, fault, "eof", Some(1));
        }
    }
}

#[test]
fn a_cut_that_loses_what_was_on_the_way_costs_only_time() {
    for who in [Dialer::Agent, Dialer::Env] {
        for fault in ["cut_up", "cut_down"] {
            cut_everywhere(who, fault, "reset", Some(1));
        }
    }
}

#[test]
fn three_connections_that_break_alike_cost_only_time() {
    for fault in ["cut_up", "cut_down"] {
        cut_everywhere(Dialer::Agent, fault, "reset", Some(3));
    }
}

#[test]
fn connections_that_always_break_are_an_honest_error() {
    for who in [Dialer::Agent, Dialer::Env] {
        for fault in ["cut_up", "cut_down"] {
            cut_everywhere(who, fault, "eof", None);
        }
    }
}
