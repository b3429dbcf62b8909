//! Messages that made people stop: each as it reads now, and the part of it that says what to do next.

use std::{fmt::Display, thread, time::Duration};

use rlay::{
    AgentOptions, AnySpace, BoxSpace, ClientBackend, ClientEnv, Contract, Dict, Discrete, Env, EnvError, EnvFailure,
    Error, ErrorKind, Map, Mem, RemoteEnv, ResetResult, ServerBackend, ServerEnv, Space, StepResult, Value,
    endpoint::{Acceptor, Wait, dial},
    wire::Role,
};
use rlay_testkit::CountingEnv;
use tracing::Level;

use crate::support::{Log, PATIENCE, Stepping, bounded, counting_with, eventually, fresh, patient, patient_host};

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
    let advice = "take rlay::agent_options() or rlay::host_options(), with the feature";
    for (address, feature, with) in [
        ("tcp://127.0.0.1:1", "tcp", "rlay_tcp::Tcp"),
        ("unix:///tmp/x", "tcp", "rlay_tcp::Tcp"),
        ("tls://127.0.0.1:1", "tls", "rlay_tcp::Tcp"),
        ("zmq+ipc:///tmp/x", "zmq", "rlay_zmq::Zmq"),
        ("quic://127.0.0.1:1", "quic", "rlay_quic::Quic"),
        ("shm://x", "shm", "rlay_shm::Shm"),
        ("ws://127.0.0.1:1", "ws", "rlay_ws::Ws"),
        ("wss://127.0.0.1:1", "ws", "rlay_ws::Ws"),
    ] {
        let pattern = format!("{address}: no transport for …; there are: mem; …{feature:?}…by .transport({with})");
        reads(ClientEnv::connect(address, AgentOptions::over(Mem)).unwrap_err(), &pattern, advice);
        reads(ServerEnv::bind(address, AgentOptions::over(Mem)).unwrap_err(), &pattern, advice);
    }
    // What this project does not know, no feature brings.
    let error = ClientEnv::connect("pigeon://roof", AgentOptions::over(Mem)).unwrap_err();
    assert!(error.to_string().ends_with("there are: mem"), "{error}");
}

/// The output of a `main` that returns the error.
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

/// A step that panics in this file.
fn breaks(action: i64) -> Result<StepResult<i64>, EnvError> {
    panic!("the pole broke at {action}")
}

#[test]
fn a_panic_arrives_with_file_and_line() {
    let failed = |tracebacks| {
        bounded(move || {
            let options = patient_host().tracebacks(tracebacks);
            let backend = ServerBackend::bind(|_: &_| Ok(Stepping(Discrete::new(2), breaks)), &fresh("tcp"), options)?;
            backend.start()?;
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

/// Observes a value outside its space, or one of another dtype, as its action says.
struct Flawed {
    space: Dict<(Discrete, BoxSpace<u8>)>,
    actions: Discrete,
}

impl Env for Flawed {
    type ObservationSpace = Dict<(Discrete, BoxSpace<u8>)>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        &self.space
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, _seed: Option<u64>, _options: &Value) -> Result<ResetResult<(i64, Vec<u8>)>, EnvError> {
        Ok(ResetResult { observation: (3, vec![0; 4]), info: Map::new() })
    }

    fn step(&mut self, lives: i64) -> Result<StepResult<(i64, Vec<u8>)>, EnvError> {
        let pixels = if lives == 2 { vec![0, 0, 200, 0] } else { vec![0; 3] };
        let observation = (lives, pixels);
        Ok(StepResult { observation, reward: 0.0, terminated: false, truncated: false, info: Map::new() })
    }
}

fn flawed(contract: Contract) -> Result<(ServerBackend, RemoteEnv), Error> {
    let make = |_: &_| {
        let space = Dict::new(["lives", "image"], (Discrete::new(4), BoxSpace::new([2, 2], 0, 9)));
        Ok(Flawed { space, actions: Discrete::new(100) })
    };
    let backend = ServerBackend::bind(make, &fresh("mem"), patient_host())?;
    backend.start()?;
    let env = ClientEnv::connect(&backend.address().to_string(), patient().contract(contract))?;
    Ok((backend, env))
}

#[test]
fn other_spaces_than_were_asked_for() {
    bounded(|| {
        for kind in 0..5 {
            let (backend, env) = flawed(Contract::Warn)?;
            let (error, pattern, advice) = match kind {
                0 => (
                    env.typed::<Dict<(Discrete, BoxSpace<f32>)>, Discrete>().err(),
                    "observation_space[\"image\"]: a float32 Box was asked for, it is Box(0, 9, (2, 2), uint8); …",
                    "the Rust type of that is BoxSpace<u8>, or AnySpace",
                ),
                1 => (
                    env.typed::<Dict<(Discrete, BoxSpace<u8, [u8; 5]>)>, Discrete>().err(),
                    "observation_space[\"image\"]: a Box whose elements are [u8; 5] was asked for, it is Box(0, 9, (2, 2), uint8); …",
                    "the Rust type of that is BoxSpace<u8>",
                ),
                2 => (
                    env.typed::<BoxSpace<f32>, Discrete>().err(),
                    "observation_space: a float32 Box was asked for, it is Dict('lives': Discrete(4), 'image': Box(0, 9, (2, 2), uint8)); …",
                    "the Rust type of that is Dict<(Discrete, BoxSpace<u8>)>, or AnySpace",
                ),
                3 => (
                    env.typed::<Dict<(Discrete,)>, Discrete>().err(),
                    "observation_space: 1 members were asked for, there are 2; …",
                    "ask for as many",
                ),
                _ => (
                    env.typed::<AnySpace, BoxSpace<f32>>().err(),
                    "action_space: a float32 Box was asked for, it is Discrete(100); …",
                    "the Rust type of that is Discrete",
                ),
            };
            let error = error.expect("they are others");
            assert_eq!(error.kind(), ErrorKind::Incompatible);
            reads(error, pattern, advice);
            backend.close();
        }
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn an_observation_that_is_not_in_its_space() {
    bounded(|| {
        for typed in [false, true] {
            let (backend, mut env) = flawed(Contract::Strict)?;
            env.reset(None, &Value::None)?;
            let out_of_bounds = "the environment broke its contract: observation[\"image\"] is not in \
                                 Box(0, 9, (2, 2), uint8): element [1, 0] is 200, above 9; …";
            let mend =
                "mend the environment (make a new session if its spaces change in reset), or take Contract::Warn";
            if typed {
                let mut env = env.typed::<Dict<(Discrete, BoxSpace<u8>)>, Discrete>()?;
                reads(env.step(2).unwrap_err(), out_of_bounds, mend);
                let unreadable = "the environment broke its contract: observation[\"image\"]: a uint8 array of shape \
                                  (3,) is no element of Box(0, 9, (2, 2), uint8); …";
                reads(env.step(1).unwrap_err(), unreadable, "mend the environment");
            } else {
                reads(env.step(2.into()).unwrap_err(), out_of_bounds, mend);
            }
            backend.close();
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn nothing_that_stands_for_something_else_is_sent_to_an_environment() {
    let opaque = || Value::Opaque { type_name: "Engine".into(), repr: "<Engine>".into() };
    let what = "an Opaque only stands for an object that did not cross the wire; …";
    let advice = "give numbers, text, bytes, arrays, or lists, tuples and dicts of these";
    bounded(move || {
        let (backend, mut env) = flawed(Contract::Warn)?;
        let options = Map::from([("level", Value::List(vec![1.into(), opaque()]))]).into();
        reads(env.reset(None, &options).unwrap_err(), &format!("options[\"level\"][1]: {what}"), advice);
        env.reset(None, &Value::None)?;
        let action = Value::List(vec![Map::from([("goal", opaque())]).into()]);
        let error = env.step(action).unwrap_err();
        assert_eq!(error.downcast_ref::<Error>().expect("of RLay").kind(), ErrorKind::InvalidAction);
        reads(error, &format!("action[0][\"goal\"]: {what}"), advice);
        assert_eq!(env.step(2.into())?.reward, 0.0, "the session goes on");
        let kwargs = Map::from([("size", opaque())]);
        let refused = ClientEnv::connect(&backend.address().to_string(), patient().kwargs(kwargs));
        reads(refused.unwrap_err(), &format!("env_kwargs[\"size\"]: {what}"), advice);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_action_of_another_structure() {
    let space =
        AnySpace::Dict(vec![("go".into(), AnySpace::Tuple(vec![BoxSpace::<f32>::new([2], -1.0, 1.0).describe()]))]);
    let action = |value: Value| Value::from(Map::from([("go", value)]));
    for (value, pattern) in [
        (action(Value::Int(1)), "[\"go\"]: an int is no element of Tuple(Box(-1.0, 1.0, (2,), float32))"),
        (
            action(Value::Tuple(vec![rlay::Array::new(&[3], &[0.0f32; 3]).into()])),
            "[\"go\"][0]: a float32 array of shape (3,) is no element of Box(-1.0, 1.0, (2,), float32)",
        ),
        (Map::from([("gone", 1)]).into(), "a dict of 1 is no element of Dict(…): the key \"go\" is missing"),
    ] {
        reads(space.from_value(&value).unwrap_err(), pattern, "is no element of");
    }
}

// -- arguments and the surface

#[test]
fn an_address_without_a_scheme() {
    let words = |text: &str| text.parse::<rlay::Address>().unwrap_err();
    reads(
        words("localhost:5005"),
        "\"localhost:5005\" is not an address: it has no ://; write …",
        "\"tcp://localhost:5005\"",
    );
    reads(
        words("/tmp/x.sock"),
        "\"/tmp/x.sock\" is not an address: …",
        "for a Unix socket write \"unix:///tmp/x.sock\"",
    );
    reads(words(""), "\"\" is not an address: it is empty; …", "an address looks like tcp://127.0.0.1:5005");
}

#[test]
fn what_a_host_does_not_offer() {
    let make = rlay::wire::Make { kwargs: Value::Dict(Map::from([("size", 5i64)])), ..rlay::wire::Make::default() };
    reads(
        rlay::Offers::default().check(&make).unwrap_err(),
        "this host offers no keyword argument \"size\"; agents may ask for none; leave it out, or let the host allow it: …",
        "ServerBackend(..., env_kwargs=[\"size\"]), in Rust HostOptions::offers",
    );
    let make = rlay::wire::Make { env_id: Some("maze".into()), ..rlay::wire::Make::default() };
    reads(
        rlay::Offers::default().check(&make).unwrap_err(),
        "this host offers no environment \"maze\"; agents may ask for none; leave env_id out, or let the host …",
        "ServerBackend({\"maze\": ...}), in Rust HostOptions::offers",
    );
}

// -- hosting

/// The error of an agent that dials in vain for a moment.
fn in_vain(address: &str) -> Error {
    let soon = rlay::agent_options().connect_timeout(Duration::from_millis(300));
    ClientEnv::connect(address, soon).unwrap_err()
}

#[test]
fn a_host_that_does_not_serve_yet() {
    let host = ServerBackend::bind(|_: &_| Ok(CountingEnv::new(None)), &fresh("tcp"), rlay::host_options()).unwrap();
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
        let options = rlay::host_options().max_sessions(max_sessions);
        let (host, address) = counting_with(&fresh("tcp"), options).unwrap();
        let _those: Vec<_> = (0..max_sessions).map(|_| ClientEnv::connect(&address, patient()).unwrap()).collect();
        let pattern = format!("no connection to …: {taken}; try again later, or raise max_sessions); raise …");
        reads(in_vain(&address), &pattern, "raise max_sessions");
        host.close();
    }
}

#[test]
fn a_backend_that_serves_already_or_was_closed() {
    let (host, _) = counting_with(&fresh("tcp"), patient_host()).unwrap();
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
    let options = rlay::agent_options().max_sessions(0);
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
    let address = fresh("tcp").replace(":0", ":2"); // no listener at this port yet
    let game = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &address, patient_host()).unwrap();
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
    let game = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &server.address().to_string(), patient_host());
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

#[cfg(target_os = "linux")]
mod launching {
    use std::{path::Path, time::Duration};

    use rlay::{AgentOptions, ClientEnv, Env, Mem, Value};

    use super::reads;
    use crate::support::{bounded, patient, saving_command};

    fn refused(command: &[&str]) -> String {
        let options = patient().connect_timeout(Duration::from_secs(2));
        ClientEnv::launch(command.iter().copied(), options).expect_err("it is none").to_string()
    }

    #[test]
    fn commands_that_are_none() {
        let directory = std::env::temp_dir().display().to_string();
        for (command, pattern, advice) in [
            ("no-such-game", "cannot launch \"no-such-game\": command not found; …", "install it, or give its path"),
            ("./no-such-game", "…: there is no such file in the working directory, …", "give the whole path"),
            ("/no/such/game", "…: there is no such file; …", "check the path"),
            (&directory, "…: it is a directory; …", "name the program in it"),
            ("/etc/passwd", "…: it is not executable; …", "chmod +x /etc/passwd"),
        ] {
            reads(refused(&[command]), pattern, advice);
        }
        for (address, pattern, advice) in [
            ("exec:", "\"exec:\" names no command, …", "as in exec:./game"),
            ("exec:./game 'a", "…a quotation mark or backslash is not closed; …", "put a backslash before one"),
        ] {
            reads(ClientEnv::connect(address, AgentOptions::over(Mem)).expect_err("it is none"), pattern, advice);
        }
    }

    #[test]
    fn programs_that_are_no_environment() {
        bounded(|| {
            for (script, pattern, advice) in [
                ("exit 0", "before it dialed in, sh -c 'exit 0' ended, but …; it printed nothing…", "by exec ./game"),
                (
                    "echo on its way; sleep 60 &",
                    "before it dialed in, sh -c … ended, and what it had put into the background …:\n  on its way…",
                    "by exec ./game without &",
                ),
                (
                    "echo loading; exec sleep 60",
                    "sh -c … did not dial in to tcp://…, which it finds in RLAY_ADDRESS; …:\n  loading\n  (all of it: …)",
                    "does it host an environment, as with ClientBackend? or raise connect_timeout",
                ),
                (
                    "echo no display; exit 3",
                    "…ended with exit code 3; …:\n  no display\n  (all of it: …)",
                    "all of it: /",
                ),
            ] {
                reads(refused(&["sh", "-c", script]), pattern, advice);
            }
        });
    }

    #[test]
    fn an_engine_that_was_launched() {
        bounded(|| {
            let file = std::env::temp_dir().join(format!("rlay-words-{}.saved", std::process::id()));
            let command = saving_command("launched-engine", &file);
            let mut env = ClientEnv::launch(command, patient()).expect("it dials in");
            env.reset(None, &Value::None).expect("resets");
            drop(env);
            let said = std::fs::read_to_string(&file).unwrap_or_default();
            reads(said, "tcp://…: the agent that launched this program has closed the environment; …", "end it");
            let _ = std::fs::remove_file(Path::new(&file));
        });
    }
}

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
        // A dialer that receives nothing retries.
        ("zmq", "tcp", "no connection to zmq://…hung up …", "dial it as tcp or tls", "a ZeroMQ peer on an RLay port"),
        ("tls", "tcp", "no connection to tls://…", "is the peer's address a tls:// one?", "a TLS peer on an RLay port"),
        ("ws", "tcp", "no connection to ws://…hung up …", "dial it as tcp or tls", "use ws:// at both ends"),
        ("ws", "tls", "ws://…: what listens there speaks no WebSocket …", "check the address and port", "an HTTP peer"),
        ("tcp", "ws", "no connection to tcp://…", "is it an RLay endpoint?", "not a WebSocket peer"),
        ("tls", "ws", "no connection to tls://…", "is the peer's address a tls:// one?", "use wss:// at both ends"),
        ("zmq", "ws", "no connection to zmq://…hung up …", "dial it as tcp or tls", "a ZeroMQ peer on a ws port"),
        ("wss", "ws", "no connection to wss://…", "is the peer's address a wss:// one?", "use wss:// at both ends"),
        ("ws", "wss", "no connection to ws://…hung up …", "dial it as tcp or tls", "use wss:// at both ends"),
        ("wss", "tls", "wss://…: it speaks TLS, but …", "check the address", "not RLay inside"),
    ];
    for (dialed, listening, pattern, advice, noted) in pairs {
        bounded(move || {
            let at = format!("{listening}://127.0.0.1:0").parse().expect("an address");
            let acceptor = Acceptor::bind(&at, Role::Env, patient().connection()).expect("listens");
            let place = acceptor.address().rest();
            let pin = if ["tls", "wss"].contains(&dialed) { "?insecure_skip_verification=yes" } else { "" };
            let address = format!("{dialed}://{place}{pin}").parse().expect("an address");
            let is_told_at_once = !pattern.starts_with("no connection");
            let timeout = if is_told_at_once { PATIENCE } else { Duration::from_secs(1) };
            let error =
                dial(&address, Role::Agent, &rlay::connection_options(), &mut Wait::new(Some(timeout))).unwrap_err();
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
        let acceptor =
            Acceptor::bind(&"zmq://127.0.0.1:0".parse().expect("an address"), Role::Env, patient().connection());
        let acceptor = acceptor.expect("listens");
        let address = format!("tcp://{}", acceptor.address().rest());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let error = runtime.block_on(rlay::asynchronous::AsyncEnv::connect(&address, &patient())).unwrap_err();
        reads(error, "tcp://…: a ZeroMQ peer on an RLay port; …", "use zmq:// at both ends");
    });
}

#[test]
fn a_listener_on_every_interface_says_an_address_that_can_be_dialed() {
    for scheme in ["tcp", "tls", "zmq", "quic", "ws", "wss"] {
        for host in ["0.0.0.0", "[::]"] {
            bounded(move || {
                let bound = format!("{scheme}://{host}:0?insecure_allow_remote=yes").parse().expect("an address");
                let acceptor = Acceptor::bind(&bound, Role::Env, patient().connection()).expect("listens");
                let socket: std::net::SocketAddr = acceptor.address().rest().parse().expect("a socket");
                let expected = rlay::net::dialable(scheme, format!("{host}:1").parse().expect("a socket"));
                assert_eq!(socket.ip(), expected.ip(), "{scheme}");
                let address = acceptor.address();
                let connection = dial(address, Role::Agent, patient().connection(), &mut Wait::new(Some(PATIENCE)));
                connection.unwrap_or_else(|error| panic!("{address}: {error}"));
            });
        }
    }
}

/// Over the transports with certificates, which have libraries with texts of their own.
#[cfg(all(feature = "tls", feature = "quic", feature = "ws"))]
#[test]
fn certificates_are_refused_in_plain_words() {
    use crate::support::{Authority, Folder, Years::Good};
    for scheme in ["tls", "quic", "wss"] {
        bounded(move || {
            let (folder, authority) = (Folder::new(), Authority::new("ours"));
            let ca = folder.write("ca.pem", &authority.pem()).display().to_string();
            let bind = |options: &str| {
                let at = format!("{scheme}://127.0.0.1:0?{options}").parse().expect("an address");
                Acceptor::bind(&at, Role::Env, patient().connection())
            };
            let refused = |acceptor: &Acceptor, options: &str| {
                let to = format!("{scheme}://{}?{options}", acceptor.address().rest()).parse().expect("an address");
                dial(&to, Role::Agent, &rlay::connection_options(), &mut Wait::new(Some(PATIENCE))).unwrap_err()
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
