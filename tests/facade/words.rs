//! Messages that made people stop: each as it reads now, and the part of it that says what to do next.

use std::{fmt::Display, time::Duration};

use rlay::{
    ClientEnv, Discrete, Env, EnvError, EnvFailure, Error, ErrorKind, Map, Options, ResetResult, ServerBackend,
    ServerEnv, StepResult, Value,
    endpoint::{Acceptor, Wait, dial},
    wire::Role,
};

use crate::support::{PATIENCE, bounded, eventually, fresh, patient};

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

#[test]
fn options_without_a_transport_say_which_have_it() {
    let advice = "take rlay::options() in place of Options::default(), with the feature";
    for (address, feature, with) in [
        ("tcp://127.0.0.1:1", "tcp", "rlay_tcp::Tcp"),
        ("unix:///tmp/x", "tcp", "rlay_tcp::Tcp"),
        ("tls://127.0.0.1:1", "tls", "rlay_tcp::Tcp"),
        ("zmq+ipc:///tmp/x", "zmq", "rlay_zmq::Zmq"),
        ("quic://127.0.0.1:1", "quic", "rlay_quic::Quic"),
        ("shm://x", "shm", "rlay_shm::Shm"),
    ] {
        let pattern = format!("{address}: no transport for …; there are: mem; …{feature:?}…registry.with({with})");
        reads(ClientEnv::connect(address, Options::default()).unwrap_err(), &pattern, advice);
        reads(ServerEnv::bind(address, Options::default()).unwrap_err(), &pattern, advice);
    }
    // What this project does not know, no feature brings.
    let error = ClientEnv::connect("pigeon://roof", Options::default()).unwrap_err();
    assert!(error.to_string().ends_with("there are: mem"), "{error}");
}

/// What a `main` prints that returns the error.
#[test]
fn a_main_that_fails_prints_a_sentence() {
    let error: EnvError = ClientEnv::connect("127.0.0.1:5005", patient()).unwrap_err().into();
    reads(format!("{error:?}"), "\"127.0.0.1:5005\" is not an address: …", "looks like tcp://127.0.0.1:5005");
    let mut failure = EnvFailure::new("ValueError", "no such action: 7; choose one below 2");
    reads(format!("{failure:?}"), "ValueError: no such action: 7; choose …", "choose one below 2");
    failure.traceback = "  File \"game.py\", line 3".into();
    let printed = format!("{:?}", Error::from(failure));
    reads(printed, "ValueError: …\n\nremote traceback:\n  File \"game.py\", line 3", "choose one below 2");
}

/// An environment whose step panics in this file.
struct Brittle(Discrete);

impl Env for Brittle {
    type ObservationSpace = Discrete;
    type ActionSpace = Discrete;
    fn observation_space(&self) -> &Discrete {
        &self.0
    }
    fn action_space(&self) -> &Discrete {
        &self.0
    }
    fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> {
        Ok(ResetResult { observation: 0, info: Map::new() })
    }
    fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> {
        panic!("the pole broke at {action}")
    }
}

#[test]
fn a_panic_arrives_with_file_and_line() {
    let failed = |tracebacks| {
        bounded(move || {
            let options = Options { tracebacks, ..patient() };
            let backend = ServerBackend::bind(|_: &_| Ok(Brittle(Discrete::new(2))), &fresh("tcp"), options)?;
            backend.start();
            let mut env = ClientEnv::connect(&backend.address().to_string(), patient())?;
            env.reset(None, &Value::None)?;
            let error = env.step(Value::Int(1)).expect_err("it panics");
            backend.close();
            Ok::<_, EnvError>(*error.downcast::<Error>()?)
        })
        .unwrap()
    };
    let told = failed(true);
    reads(format!("{told:?}"), "panic: the pole broke at 1…panicked at …words.rs:…", "words.rs:");
    assert_eq!(failed(false).env_failure().expect("the environment's").traceback, "", "the host keeps it");
}

// -- hosting

// -- launching

// -- transports and waits

/// Every transport over TCP, dialed by each of the others: what the dialer is told, and what the listener notes.
#[test]
fn transports_that_speak_another_protocol_are_recognized() {
    let pairs = [
        ("tcp", "zmq", "tcp://…: a ZeroMQ peer on an RLay port; …", "use zmq:// at both ends", "speaks no ZeroMQ"),
        ("tls", "zmq", "tls://…: a ZeroMQ peer, not a TLS peer; …", "use zmq:// at both ends", "speaks no ZeroMQ"),
        (
            "zmq",
            "tls",
            "zmq://…: a TLS peer, which speaks no ZeroMQ; …",
            "use tls:// at both ends",
            "a ZeroMQ peer, not",
        ),
        ("tcp", "tls", "tcp://…: a TLS peer on an RLay port; …", "use tls:// at both ends", "an RLay peer without TLS"),
        // Who hears nothing tries again.
        ("zmq", "tcp", "no connection to zmq://…hung up …", "dial it as tcp or tls", "a ZeroMQ peer on an RLay port"),
        ("tls", "tcp", "no connection to tls://…", "is the peer's address a tls:// one?", "a TLS peer on an RLay port"),
    ];
    for (dialed, listening, pattern, advice, noted) in pairs {
        bounded(move || {
            let at = format!("{listening}://127.0.0.1:0").parse().expect("an address");
            let acceptor = Acceptor::bind(&at, Role::Env, &patient()).expect("listens");
            let place = acceptor.address().rest();
            let pin = if dialed == "tls" { "?insecure_skip_verification=yes" } else { "" };
            let address = format!("{dialed}://{place}{pin}").parse().expect("an address");
            let is_told_at_once = !pattern.starts_with("no connection");
            let patience = if is_told_at_once { PATIENCE } else { Duration::from_secs(1) };
            let error = dial(&address, Role::Agent, &rlay::options(), &mut Wait::new(Some(patience))).unwrap_err();
            assert_eq!(error.kind() == ErrorKind::Protocol, is_told_at_once, "{error}");
            reads(error, pattern, advice);
            let mut notices = vec![];
            eventually(&format!("{listening} notes that {dialed} dialed"), || {
                notices.extend(acceptor.notices());
                notices.iter().any(|notice| notice.contains(noted))
            });
        });
    }
}

#[test]
fn inside_tokio_they_are_recognized_as_well() {
    bounded(|| {
        let acceptor = Acceptor::bind(&"zmq://127.0.0.1:0".parse().expect("an address"), Role::Env, &patient());
        let acceptor = acceptor.expect("listens");
        let address = format!("tcp://{}", acceptor.address().rest());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let error = runtime.block_on(rlay::drive::AsyncEnv::connect(&address, &patient())).unwrap_err();
        reads(error, "tcp://…: a ZeroMQ peer on an RLay port; …", "use zmq:// at both ends");
    });
}

#[test]
fn a_listener_on_every_interface_says_an_address_that_can_be_dialed() {
    for scheme in ["tcp", "tls", "zmq", "quic"] {
        for host in ["0.0.0.0", "[::]"] {
            bounded(move || {
                let bound = format!("{scheme}://{host}:0?insecure_allow_remote=yes").parse().expect("an address");
                let acceptor = Acceptor::bind(&bound, Role::Env, &patient()).expect("listens");
                let socket: std::net::SocketAddr = acceptor.address().rest().parse().expect("a socket");
                let expected = rlay::net::dialable(scheme, format!("{host}:1").parse().expect("a socket"));
                assert_eq!(socket.ip(), expected.ip(), "{scheme}");
                let address = acceptor.address();
                let connection = dial(address, Role::Agent, &patient(), &mut Wait::new(Some(PATIENCE)));
                connection.unwrap_or_else(|error| panic!("{address}: {error}"));
            });
        }
    }
}

/// Over both transports with certificates, whose libraries have words of their own.
#[cfg(all(feature = "tls", feature = "quic"))]
#[test]
fn certificates_are_refused_in_plain_words() {
    use crate::support::{Authority, Folder, Years::Good};
    for scheme in ["tls", "quic"] {
        bounded(move || {
            let (folder, authority) = (Folder::new(), Authority::new("ours"));
            let ca = folder.write("ca.pem", &authority.pem()).display().to_string();
            let bind = |options: &str| {
                let at = format!("{scheme}://127.0.0.1:0?{options}").parse().expect("an address");
                Acceptor::bind(&at, Role::Env, &patient())
            };
            let refused = |acceptor: &Acceptor, options: &str| {
                let to = format!("{scheme}://{}?{options}", acceptor.address().rest()).parse().expect("an address");
                dial(&to, Role::Agent, &rlay::options(), &mut Wait::new(Some(PATIENCE))).unwrap_err()
            };
            let paper = authority.vouch(&folder, "a.pem", "learner.test", Good);
            let named = bind(&format!("cert={}", paper.path())).expect("listens");
            let error = refused(&named, &format!("ca={ca}"));
            let pattern = format!("{scheme}://…: its certificate is for learner.test, not for 127.0.0.1; …");
            reads(error, &pattern, "append name=NAME");

            let own = bind(&format!("cert={}", authority.own(&folder).path())).expect("listens");
            let error = refused(&own, &format!("ca={ca}"));
            reads(error, &format!("{scheme}://…: its certificate is one of a CA …"), "let the CA sign one for it");

            let clients = folder.write("clients", "").display().to_string();
            let picky = bind(&format!("clients={clients}")).expect("listens");
            let error = refused(&picky, "insecure_skip_verification=yes");
            let pattern = format!("{scheme}://…: it refuses this end's certificate; …");
            reads(error, &pattern, "the log there says which one, and what to do");
            let mut notices = vec![];
            eventually("the listener notes why", || {
                notices.extend(picky.notices());
                !notices.is_empty()
            });
            let advice = format!("add that as a line to {clients}");
            reads(&notices[0], &format!("{scheme}://…: sha256:… is not in the list of clients; …"), &advice);

            let half = format!("{}", folder.write("half.pem", &paper.pem[..paper.pem.len() / 2]).display());
            let error = bind(&format!("cert={half}")).unwrap_err();
            reads(error, "…half.pem cannot be used: …its PEM breaks off, …", "copy the whole file");
        });
    }
}
