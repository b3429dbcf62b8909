//! The error that led to another is its source; where that is an error of the system, the text includes its text.

use std::{error::Error as _, io, net::TcpListener, time::Duration};

use rlay::{ClientEnv, EnvFailure, Error, ErrorKind, ServerEnv, net};

use crate::{
    support::{bounded, fresh, patient},
    version_mismatch::SCHEMES,
};

/// The error of the system at the end of the chain of sources. Each text is part of the text before it.
fn system(error: &Error) -> Option<&io::Error> {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        assert!(text.contains(&cause.to_string()), "{text:?} and its source {cause:?}");
        if let Some(found) = cause.downcast_ref::<io::Error>() {
            return Some(found);
        }
        (text, source) = (cause.to_string(), cause.source());
    }
    None
}

#[test]
fn a_refused_connection_has_the_error_of_the_socket() {
    for &scheme in SCHEMES {
        let address = match scheme {
            "mem" => continue, // no socket
            "tls" | "quic" | "wss" => {
                let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
                format!("{scheme}://{free}?insecure_skip_verification=yes")
            }
            _ => fresh(scheme).replace(":0", ":9"),
        };
        bounded(move || {
            let options = patient().connect_timeout(Duration::from_millis(300));
            let error = ClientEnv::connect(&address, options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
            let kind = system(&error).map(io::Error::kind);
            let expected = if ["unix", "zmq+ipc"].contains(&scheme) {
                io::ErrorKind::NotFound
            } else {
                io::ErrorKind::ConnectionRefused
            };
            assert_eq!(kind, Some(expected), "{error}");
            assert!(system(&error.clone()).is_some(), "a clone keeps it");
        });
    }
}

#[test]
fn a_listener_that_cannot_bind_has_the_error_of_the_socket() {
    bounded(|| {
        let first = ServerEnv::bind("tcp://127.0.0.1:0", patient()).unwrap();
        let error = ServerEnv::bind(&first.address().to_string(), patient()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressInUse);
        assert_eq!(error.source().unwrap().downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::AddrInUse);

        let error = ServerEnv::bind("unix:///nowhere/at.all", patient()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Address);
        assert_eq!(system(&error).map(io::Error::kind), Some(io::ErrorKind::NotFound));
    });
}

#[cfg(feature = "tls")]
#[test]
fn a_certificate_that_cannot_be_read_has_the_error_of_the_file() {
    let error = ServerEnv::bind("tls://127.0.0.1:0?cert=/nowhere/at.all", patient()).unwrap_err();
    assert_eq!(system(&error).map(io::Error::kind), Some(io::ErrorKind::NotFound), "{error}");
}

#[test]
fn a_program_that_cannot_be_launched_has_the_error_of_the_system() {
    let error = ClientEnv::launch(["/nowhere/at.all"], patient()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.source().unwrap().downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
}

#[test]
fn an_error_of_an_environment_has_what_it_raised() {
    let error = Error::from(EnvFailure::new("ValueError", "no such action")).context("step");
    let source = error.source().and_then(|source| source.downcast_ref::<EnvFailure>());
    assert_eq!(source, error.env_failure());
    assert_eq!(source.unwrap().message, "no such action");
}

#[test]
fn what_is_added_to_the_text_leaves_the_source() {
    let cause = || io::Error::from(io::ErrorKind::BrokenPipe);
    let error = net::lost_by("the peer", cause());
    assert_eq!(error.to_string(), format!("the peer: {}", cause()));
    assert_eq!(system(&error.clone().context("closing")).map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
    let above = Error::new(ErrorKind::ConnectionLost, format!("{error}; no other came")).with_source(error);
    assert_eq!(system(&above).map(io::Error::kind), Some(io::ErrorKind::BrokenPipe), "at the end of the chain");
    assert!(Error::new(ErrorKind::Usage, "no cause").source().is_none());
}
