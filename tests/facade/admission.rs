//! A peer that is admitted and sends nothing, or is admitted again and again, keeps no other peer out.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use rlay::{
    AgentOptions, ClientBackend, ClientEnv, ConnectionOptions, Env, EnvError, ErrorKind, HostOptions, Limits, Result,
    ServerEnv, Value,
    asynchronous::AsyncEnv,
    endpoint::{Connection, Wait, dial},
    session::{Grant, Local, ServerHandshake},
    wire::{Framing, HANDSHAKE_FRAME, Header, Hello, Kind, Role, Writer},
};
use rlay_testkit::CountingEnv;
use tracing::Level;

use crate::{
    support::{Log, PATIENCE, bounded, counting_with, eventually, fresh, patient, patient_host},
    tokio_listening::Hosting,
    tokio_reconnecting::on_tokio,
};

/// How long a silent session keeps its slot undisputed.
const SOON: Duration = Duration::from_millis(300);
const TRANSPORTS: [&str; 7] = ["mem", "tcp", "unix", "zmq", "quic", "shm", "ws"];

/// The options of a listener for so many sessions.
fn few(max_sessions: usize) -> ConnectionOptions {
    patient().connection().clone().max_sessions(max_sessions).handshake_timeout(SOON)
}

/// Dials, is admitted, and sends nothing.
fn silent(address: &str, role: Role) -> Result<Connection> {
    dial(&address.parse()?, role, patient().connection(), &mut Wait::new(Some(PATIENCE)))
}

/// Plays as an honest agent, which is admitted soon.
fn plays(address: &str) -> Result<(), EnvError> {
    let mut env = ClientEnv::connect(address, rlay::agent_options().connect_timeout(PATIENCE / 4))?;
    env.reset(None, &Value::None)?;
    assert_eq!(env.step(Value::Int(1))?.reward, 101.0);
    env.close()
}

#[test]
fn silent_agents_make_room() {
    for (scheme, most) in TRANSPORTS.into_iter().flat_map(|scheme| [(scheme, 1), (scheme, 3)]) {
        bounded(move || {
            let (backend, address) = counting_with(&fresh(scheme), HostOptions::new(few(most)))?;
            let silent = (0..most).map(|_| silent(&address, Role::Agent)).collect::<Result<Vec<_>>>()?;
            plays(&address)?;
            drop(silent);
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("over {scheme}, with {most} sessions: {error}"));
    }
}

/// An agent that sends requests that are refused, for as long as there is room for them, and reads no refusal.
fn deaf(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address.trim_start_matches("tcp://")).expect("somebody listens");
    let write = |kind: Kind, seq: u64, body: &dyn Fn(&mut Writer<'_>)| {
        let mut frame = Vec::new();
        Header { kind, seq, ack: 0, re: 0 }.begin(&mut frame);
        body(&mut Writer(&mut frame));
        [&(frame.len() as u32).to_le_bytes()[..], &frame].concat()
    };
    let hello = Hello {
        wire_min: 0,
        wire_max: 0,
        role: Role::Agent,
        auth: 0,
        features: 0,
        max_frame: 1 << 20,
        peer: "deaf".into(),
        nonce: None,
        resume: None,
    };
    stream.write_all(&write(Kind::Hello, 0, &|w| hello.put(w))).expect("there is room");
    stream.set_write_timeout(Some(SOON)).expect("a timeout");
    let mut numbers = 1..;
    let close = |seq| write(Kind::Close, seq, &|w| w.put(0u64));
    while stream.write_all(&numbers.by_ref().take(1000).flat_map(close).collect::<Vec<_>>()).is_ok() {}
    stream
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

#[test]
fn agents_that_take_no_answers_in_cost_a_lobby_nothing() {
    bounded(move || {
        let host = Hosting::counting("tcp", few(2));
        plays(&host.address)?;
        let (before, mut deaf_ones) = (descriptors(), vec![]);
        for n in 1..4 {
            deaf_ones.push(deaf(&host.address));
            plays(&host.address)?;
            plays(&host.address)?;
            eventually("the host lets go of it", || descriptors() <= before + n + 1);
        }
        Ok::<_, EnvError>(())
    })
    .expect("good company goes on");
}

#[test]
fn silent_agents_make_room_in_a_lobby() {
    for scheme in ["tcp", "unix"] {
        bounded(move || {
            let host = Hosting::counting(scheme, few(2));
            let silent = [silent(&host.address, Role::Agent)?, silent(&host.address, Role::Agent)?];
            plays(&host.address)?;
            drop(silent);
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}

#[test]
fn an_agent_with_an_environment_keeps_its_place() {
    bounded(|| {
        let (backend, address) = counting_with(&fresh("tcp"), HostOptions::new(few(1)))?;
        let mut env = ClientEnv::connect(&address, patient())?;
        let soon = rlay::agent_options().connect_timeout(4 * SOON);
        let error = ClientEnv::connect(&address, soon).expect_err("it has no room");
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        env.reset(None, &Value::None)?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn silent_environments_are_passed_over() {
    bounded(|| {
        let server = ServerEnv::bind(&fresh("tcp"), AgentOptions::new(few(64)).connect_timeout(PATIENCE / 4))?;
        let address = server.address().to_string();
        let silent = (0..5).map(|_| silent(&address, Role::Env)).collect::<Result<Vec<_>>>()?;
        let game = ClientBackend::new(|_| Ok(CountingEnv::new(None)), &address, patient_host())?;
        game.start()?;
        server.accept()?.reset(None, &Value::None)?;
        game.close();
        drop(silent);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_listener_that_is_dropped_frees_its_address() {
    for scheme in ["tcp", "unix", "zmq+ipc", "shm"] {
        bounded(move || {
            let server = ServerEnv::bind(&fresh(scheme), patient())?;
            let address = server.address().to_string();
            let _queued = silent(&address, Role::Env)?;
            drop(server);
            eventually("the address is free", || ServerEnv::bind(&address, patient()).is_ok());
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}

/// Welcomes and drops every dialer, and counts them.
fn dropping() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = dropped.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = welcome(stream);
            count.fetch_add(1, SeqCst);
        }
    });
    (address, dropped)
}

fn welcome(mut stream: TcpStream) -> Result<(), EnvError> {
    let mut framing = Framing::new(HANDSHAKE_FRAME);
    let hello = loop {
        match framing.take()? {
            Some(frame) => break frame,
            None => {
                let n = stream.read(framing.space())?;
                framing.filled(n);
            }
        }
    };
    let local = Local { role: Role::Env, limits: Limits::default(), token: None, is_resumable: true };
    let (mut greeting, mut answer) = (ServerHandshake::new(local, [1; 32]), Vec::new());
    let again = greeting.take(&hello, &mut answer)?.is_some_and(|hello| hello.resume.is_some());
    let admission = if again { Grant::Resumed { received: 0 } } else { Grant::New { ticket: Some([7; 32]) } };
    greeting.welcome(admission, &mut answer);
    stream.write_all(&framing.prefix(answer.len())?)?;
    stream.write_all(&answer)?;
    Ok(())
}

#[test]
fn a_connection_that_breaks_at_once_is_regained_with_pauses() {
    type Dials = fn(&str, AgentOptions) -> Result<(), EnvError>;
    let dials: [(&str, Dials); 2] = [
        ("blocking", |address, options| Ok(ClientEnv::connect(address, options).map(drop)?)),
        ("async", |address, options| {
            on_tokio(async move { Ok(AsyncEnv::connect(address, &options).await.map(drop)?) })
        }),
    ];
    for (form, dial) in dials {
        bounded(move || {
            let log = Log::keep();
            let (address, dropped) = dropping();
            let timeout = Duration::from_secs(2);
            let options = rlay::agent_options().connect_timeout(timeout).reconnect_timeout(timeout);
            dial(&address, options).expect_err("nobody plays there");
            // Pauses of 20 ms that double make eight in two seconds.
            let (count, lines) = (dropped.load(SeqCst), log.lines(Level::WARN, &[&address]));
            assert!((2..80).contains(&count), "{form}: {count}");
            assert!(lines.len() < 80, "{form}: {lines:?}");
        });
    }
}
