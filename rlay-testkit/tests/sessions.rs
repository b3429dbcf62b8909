//! Whole sessions over `faulty://`: wherever the connection breaks, every call ends, and none with a wrong result.

use std::time::{Duration, Instant};

use rlay_core::{BoxSpace, ClientEnv, Discrete, Env, EnvError, Error, ErrorKind, Options, ServerBackend, Value};
use rlay_testkit::{CountingEnv, Faulty};

fn options(connect_timeout: u64) -> Options {
    Options { connect_timeout: Duration::from_millis(connect_timeout), ..Options::over(Faulty) }
}

/// A short session; each result is compared with what the environment would have answered locally.
fn session(address: &str, connect_timeout: u64) -> Result<(), EnvError> {
    let mut local = CountingEnv::new(None);
    let remote = ClientEnv::connect(address, options(connect_timeout))?;
    let mut remote = remote.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
    assert_eq!(remote.reset(Some(7), &Value::None)?, local.reset(Some(7), &Value::None)?);
    assert_eq!(remote.step(1)?, local.step(1)?);
    remote.close()
}

/// Runs the session with a cut after every `stride`th byte of one direction, until it is no longer cut.
fn cut_everywhere(fault: &str, end: &str, stride: usize) {
    let name = format!("faulty://session-{fault}-{end}");
    let backend = ServerBackend::bind(|_| Ok(CountingEnv::new(None)), &name, options(10_000)).unwrap();
    backend.start();
    let mut whole = 0;
    let mut k = 0;
    while whole < 3 {
        let start = Instant::now();
        match session(&format!("{name}?{fault}={k}&end={end}"), 50) {
            Ok(()) => whole += 1,
            Err(error) => {
                let error = error.downcast::<Error>().expect("an error of RLay");
                assert_eq!(error.kind(), ErrorKind::ConnectionLost, "cut after byte {k}: {error}");
                whole = 0;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(10), "cut after byte {k}: a call took {:?}", start.elapsed());
        k += stride;
    }
    session(&name, 10_000).expect("the host is unharmed");
    backend.close();
}

#[test]
fn every_cut_of_the_agents_bytes_is_an_honest_error() {
    cut_everywhere("cut_up", "eof", 1);
    cut_everywhere("cut_up", "reset", 5);
}

#[test]
fn every_cut_of_the_hosts_bytes_is_an_honest_error() {
    cut_everywhere("cut_down", "eof", 1);
    cut_everywhere("cut_down", "reset", 5);
}
