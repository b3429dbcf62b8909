//! Addresses that cannot be used are refused with an error that helps.

use std::{
    thread,
    time::{Duration, Instant},
};

use rlay::{
    Address, AgentOptions, ClientBackend, ClientEnv, Env, EnvError, ErrorKind, Mem, ServerEnv, TransportOptions, Value,
};
use rlay_testkit::CountingEnv;

use crate::{
    support::{PATIENCE, Process, bounded, counting, eventually, fresh, patient, patient_host},
    version_mismatch::SCHEMES,
};

#[test]
fn an_unknown_scheme_lists_those_there_are() {
    bounded(|| {
        for error in [
            ClientEnv::connect("pigeon://roof", patient()).unwrap_err(),
            ServerEnv::bind("pigeon://roof", patient()).unwrap_err(),
            ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), "pigeon://roof", patient_host()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Address);
            let there_are = error.to_string().split("there are: ").last().expect("text").to_owned();
            for scheme in ["mem", "tcp", "unix"] {
                assert!(there_are.split(", ").any(|known| known == scheme), "{error}");
            }
        }
        // A transport that was left out is one that can be enabled.
        let error = ClientEnv::connect("tcp://127.0.0.1:1", AgentOptions::over(Mem)).unwrap_err().to_string();
        assert!(error.contains("the feature \"tcp\" of the crate rlay"), "{error}");
        for malformed in ["127.0.0.1:5005", "tcp:/127.0.0.1", "tcp://127.0.0.1", "unix://relative/path", "TCP://x:1"] {
            let error = ServerEnv::bind(malformed, patient()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Address, "{malformed}: {error}");
        }
    });
}

#[test]
fn an_address_is_taken_once() {
    bounded(|| {
        for scheme in ["mem", "tcp", "unix"] {
            let server = ServerEnv::bind(&fresh(scheme), patient())?;
            let address = server.address().to_string();
            let error = ServerEnv::bind(&address, patient()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddressInUse, "{error}");
            assert!(error.to_string().contains(&address), "{error}");
            server.close();
            // A process that another test starts at this moment holds our descriptors for an instant.
            eventually("the address is free", || {
                ServerEnv::bind(&address, patient()).is_ok_and(|server| {
                    server.close();
                    true
                })
            });
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_address_is_free_once_its_backend_is_closed() {
    let run = |scheme| bounded(move || again_and_again(scheme).unwrap_or_else(|error| panic!("{scheme}: {error}")));
    thread::scope(|scope| {
        for &scheme in SCHEMES {
            scope.spawn(move || run(scheme));
        }
    });
}

fn again_and_again(scheme: &str) -> Result<(), EnvError> {
    let (mut backend, address) = counting(&fresh(scheme))?;
    let to: Address = address.parse()?;
    for _ in 0..10 {
        let mut env = ClientEnv::connect(&address, patient())?;
        env.reset(None, &Value::None)?;
        // Another dialer is in the middle of a handshake.
        let (options, deadline) = (patient(), Some(Instant::now() + PATIENCE));
        let transport = options.connection().registry().find(&to)?;
        let _foreign_peer = transport.connect_blocking(&to, &TransportOptions::default(), deadline)?;
        backend.close();
        let closed = Instant::now();
        backend = loop {
            match counting(&address) {
                Ok((next, same)) => {
                    assert_eq!(same, address);
                    break next;
                }
                // `close` does not wait for ever where a thread gets no processor.
                Err(error) => assert!(closed.elapsed() < Duration::from_secs(2), "{error}"),
            }
            thread::sleep(Duration::from_millis(5));
        };
    }
    backend.close();
    Ok(())
}

#[test]
fn the_socket_file_of_a_killed_process_is_replaced() {
    bounded(|| {
        let address = fresh("unix");
        let mut host = Process::other("host-counting", &address);
        assert_eq!(host.line(), address);
        assert_eq!(ServerEnv::bind(&address, patient()).unwrap_err().kind(), ErrorKind::AddressInUse);
        host.kill();
        let path = address.strip_prefix("unix://").expect("a unix address");
        assert!(std::fs::exists(path)?, "nobody was there to remove it");
        let server = ServerEnv::bind(&address, patient())?;
        server.close();
        assert!(!std::fs::exists(path)?, "this one removed it");

        std::fs::write(path, "precious")?;
        let error = ServerEnv::bind(&address, patient()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Address, "{error}");
        assert_eq!(std::fs::read(path)?, b"precious", "what is no socket stays");
        std::fs::remove_file(path)?;
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn other_machines_are_let_in_only_if_one_says_so() {
    bounded(|| {
        for address in ["tcp://0.0.0.0:0", "tcp://[::]:0"] {
            let error = ServerEnv::bind(address, patient()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Address);
            assert!(error.to_string().contains("insecure_allow_remote"), "{error}");
        }
    });
}
