//! How options are made, and what they refuse.

use std::time::Duration;

use rlay::{
    AgentOptions, ClientBackend, ClientEnv, ConnectionOptions, ErrorKind, HostOptions, Mem, PolicyServer, Registry,
    Result, ServerBackend, ServerEnv,
};
use rlay_testkit::CountingEnv;

use crate::support::{bounded, fresh};

/// Two implementations where a type has a `Default`, so that `named` is ambiguous and does not compile; else one.
trait WithoutDefault<Which> {
    fn named() {}
}
impl<T> WithoutDefault<()> for T {}
impl<T: Default> WithoutDefault<bool> for T {}

#[test]
fn no_options_are_made_without_a_word_about_transports() {
    // Compiling is the proof.
    <AgentOptions as WithoutDefault<_>>::named();
    <HostOptions as WithoutDefault<_>>::named();
    <ConnectionOptions as WithoutDefault<_>>::named();
}

#[test]
fn those_of_the_facade_find_every_scheme_that_is_enabled() {
    let schemes = [
        ("mem://arena", true),
        ("tcp://127.0.0.1:1", cfg!(feature = "tcp")),
        ("unix:///tmp/x", cfg!(feature = "tcp")),
        ("tls://127.0.0.1:1", cfg!(feature = "tls")),
        ("zmq://127.0.0.1:1", cfg!(feature = "zmq")),
        ("zmq+ipc:///tmp/x", cfg!(feature = "zmq")),
        ("quic://127.0.0.1:1", cfg!(feature = "quic")),
        ("shm://x", cfg!(feature = "shm")),
        ("ws://127.0.0.1:1", cfg!(feature = "ws")),
        ("wss://127.0.0.1:1/game", cfg!(feature = "ws")),
    ];
    let (agent, host, connection) = (rlay::agent_options(), rlay::host_options(), rlay::connection_options());
    for (address, is_enabled) in schemes {
        let address = address.parse().expect("an address");
        for options in [agent.connection(), host.connection(), &connection] {
            assert_eq!(options.registry().find(&address).is_ok(), is_enabled, "{address}");
        }
    }
}

#[test]
fn those_over_one_transport_have_that_and_mem() {
    let (agent, host) = (AgentOptions::over(rlay::Tcp), HostOptions::over(rlay::Tcp));
    for options in [agent.connection(), host.connection()] {
        let find = |address: &str| options.registry().find(&address.parse().expect("an address")).map(drop);
        assert!(find("tcp://127.0.0.1:1").is_ok() && find("mem://arena").is_ok());
        assert_eq!(find("quic://127.0.0.1:1").unwrap_err().kind(), ErrorKind::Address);
    }
    let bare = ConnectionOptions::new(Registry::default());
    let tcp = "tcp://127.0.0.1:1".parse().expect("an address");
    assert!(bare.registry().find(&tcp).is_err());
    assert!(bare.transport(rlay::Tcp).registry().find(&tcp).is_ok());
}

#[test]
fn what_is_not_set_of_waits_is_as_documented() {
    let options = format!("{:?}", ConnectionOptions::new(Registry::default()));
    assert!(options.contains("liveness: 18s") && options.contains("notice_after: 10s"), "{options}");
    let least = ConnectionOptions::new(Registry::default()).notice_after(Duration::ZERO);
    assert!(format!("{least:?}").contains("notice_after: 1s"), "no interval is zero");
}

/// Why an endpoint of each kind cannot be made, or that it can: of those that listen or take sessions, and of those
/// that dial.
fn made(options: &ConnectionOptions) -> ([Result<()>; 4], Result<()>) {
    let (agent, host) = (AgentOptions::new(options.clone()), HostOptions::new(options.clone()));
    let make = |_: &_| Ok(CountingEnv::new(None));
    let takes_sessions = [
        ServerBackend::bind(make, &fresh("mem"), host.clone()).map(drop),
        ClientBackend::new(make, &fresh("mem"), host).map(drop),
        ServerEnv::bind(&fresh("mem"), agent.clone()).map(drop),
        PolicyServer::bind(&fresh("mem"), agent.clone()).map(drop),
    ];
    (takes_sessions, ClientEnv::connect(&fresh("mem"), agent.connect_timeout(Duration::ZERO)).map(drop))
}

#[test]
fn what_cannot_be_is_refused_before_anything_listens_or_dials() {
    bounded(|| {
        let base = || ConnectionOptions::new(Registry::default().with(Mem)).token(None);
        let frame = |frame| base().limits(rlay::Limits { frame, ..rlay::Limits::default() });

        let (takes_sessions, dials) = made(&base());
        assert!(takes_sessions.iter().all(Result::is_ok), "{takes_sessions:?}");
        assert_eq!(dials.unwrap_err().kind(), ErrorKind::ConnectionLost, "there is no listener");

        for (options, text) in [
            (frame(0), "from 65536 to 4294967294 in ConnectionOptions::limits"),
            (frame(u32::MAX as usize), "from 65536 to 4294967294 in ConnectionOptions::limits"),
            (base().liveness(Duration::ZERO), "liveness is 0ns; give a time from one second to a day"),
            (base().liveness(Duration::MAX), "give a time from one second to a day"),
        ] {
            let (takes_sessions, dials) = made(&options);
            for error in takes_sessions.into_iter().chain([dials]).map(Result::unwrap_err) {
                assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
                assert!(error.to_string().contains(text), "{error}");
            }
        }

        let (takes_sessions, dials) = made(&base().max_sessions(0));
        for error in takes_sessions.into_iter().map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
            assert!(error.to_string().contains("max_sessions is 0"), "{error}");
        }
        assert_eq!(dials.unwrap_err().kind(), ErrorKind::ConnectionLost, "a dialer has one session whatever it says");
    });
}
