//! A peer of another protocol, or the wrong RLay peer, is told or dropped, and does not disturb the others.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use rlay::{
    ClientBackend, ClientEnv, Env, EnvError, Error, ErrorKind, Limits, RemoteEnv, Result, ServerBackend, ServerEnv,
    Value,
    endpoint::{Acceptor, Wait},
    session::{ClientHandshake, Local},
    wire::{END, Framing, HANDSHAKE_FRAME, Header, Kind, Message, Reader, Role, Welcome},
};
use rlay_testkit::CountingEnv;

use crate::support::{PATIENCE, bounded, counting, counting_with, eventually, fresh, patient, patient_host};

/// A raw connection.
struct ForeignPeer {
    stream: TcpStream,
    framing: Framing,
}

impl ForeignPeer {
    fn dial(address: &str) -> Self {
        let stream = TcpStream::connect(address.strip_prefix("tcp://").expect("a tcp address")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        Self { stream, framing: Framing::new(HANDSHAKE_FRAME) }
    }

    /// Sends bytes. A listener that has dropped the connection may not take them all.
    fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn say_frame(&mut self, frame: &[u8]) {
        let prefix = self.framing.prefix(frame.len()).expect("it is short");
        self.say(&[&prefix, frame].concat());
    }

    /// The next frame; `None` once the connection has ended in any way.
    fn hear(&mut self) -> Option<rlay::Frame> {
        loop {
            if let Some(frame) = self.framing.take().expect("the listener speaks well") {
                return Some(frame);
            }
            match self.stream.read(self.framing.space()) {
                Ok(0) => return None,
                Ok(_) if self.framing.ended() => return None,
                Ok(n) => self.framing.filled(n),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it was dropped in time");
                    return None;
                }
            }
        }
    }
}

fn greeting() -> Vec<u8> {
    let mut frame = Vec::new();
    dialing(&mut frame);
    frame
}

fn dialing(hello: &mut Vec<u8>) -> ClientHandshake {
    ClientHandshake::begin(
        Local { role: Role::Agent, limits: Limits::default(), token: None, is_resumable: false },
        [0; 32],
        None,
        hello,
    )
}

fn receive_welcome(frame: &[u8]) -> Result<Option<Welcome>> {
    dialing(&mut Vec::new()).take(frame, &mut Vec::new())
}

/// A counting backend and an agent in the middle of an episode, which is checked afterwards.
fn in_good_company(test: impl FnOnce(&str) + Send + 'static) {
    bounded(move || {
        let (backend, address) = counting(&fresh("tcp"))?;
        let mut env: RemoteEnv = ClientEnv::connect(&address, patient())?;
        env.reset(Some(1), &Value::None)?;
        test(&address);
        assert_eq!(env.step(Value::Int(1))?.reward, 101.0);
        let mut late_comer = ClientEnv::connect(&address, patient())?;
        late_comer.reset(Some(1), &Value::None)?;
        drop((env, late_comer));
        eventually("no session is left", || backend.sessions() == 0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const TLS: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, for five hundred bytes";
const GARBAGE: &[u8] = &[0xa5; 4096];

#[test]
fn foreign_peers_are_dropped_without_an_answer() {
    for words in [HTTP, TLS, GARBAGE, b"", b"\x08\0\0\0 a frame", &[0; 64]] {
        in_good_company(move |address| {
            let mut peer = ForeignPeer::dial(address);
            peer.say(words);
            let _ = peer.stream.shutdown(Shutdown::Write);
            assert!(peer.hear().is_none(), "{words:?} got an answer");
        });
    }
}

/// Bytes of private memory of this process.
#[cfg(target_os = "linux")]
fn own_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it tells");
    kib.trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_announced_takes_no_memory() {
    in_good_company(|address| {
        let before = own_memory();
        let peers: Vec<ForeignPeer> = (0..56)
            .map(|_| {
                let mut peer = ForeignPeer::dial(address);
                peer.say_frame(&greeting());
                assert!(receive_welcome(&peer.hear().expect("an answer")).is_ok());
                peer.say(&[&(64_u32 << 20).to_le_bytes()[..], &[0; 77]].concat());
                peer
            })
            .collect();
        // The peer's bytes are read at some later time.
        thread::sleep(Duration::from_millis(300));
        assert!(own_memory() < before + (32 << 20), "{} bytes more", own_memory() - before);
        drop(peers);
    });
}

#[test]
fn the_listener_says_who_came() {
    bounded(|| {
        let acceptor = Acceptor::bind(&fresh("tcp").parse()?, Role::Env, patient().connection())?;
        let address = acceptor.address().to_string();
        for (words, who) in [(HTTP, "an HTTP peer"), (TLS, "a TLS peer"), (GARBAGE, "not an RLay peer")] {
            ForeignPeer::dial(&address).say(words);
            let mut heard = vec![];
            eventually(who, || {
                heard.extend(acceptor.notices());
                heard.iter().any(|notice| notice.contains(who))
            });
        }
        acceptor.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_silent_connection_is_dropped_after_a_while_and_blocks_nobody() {
    in_good_company(|address| {
        let mut silent: Vec<_> = (0..8).map(|_| ForeignPeer::dial(address)).collect();
        let mut env = ClientEnv::connect(address, patient()).expect("there is room");
        env.reset(None, &Value::None).expect("it works");
        assert!(silent.iter_mut().all(|peer| peer.hear().is_none()));
    });
}

#[test]
fn more_silent_connections_than_there_is_room_for_only_delay() {
    in_good_company(|address| {
        let silent: Vec<_> = (0..80).map(|_| ForeignPeer::dial(address)).collect();
        let mut env = ClientEnv::connect(address, patient()).expect("there is room again");
        env.reset(None, &Value::None).expect("it works");
        drop(silent);
    });
}

#[test]
fn a_frame_beyond_the_limit_ends_its_own_session_only() {
    in_good_company(|address| {
        let mut peer = ForeignPeer::dial(address);
        peer.say_frame(&greeting());
        receive_welcome(&peer.hear().expect("an answer")).expect("a welcome");
        peer.say(&(65_u32 << 20).to_le_bytes());
        let answer = peer.hear().expect("an answer");
        let mut reader = Reader::new(&answer, 0, &Limits::default());
        let header = Header::read(&mut reader).expect("a header");
        let Ok(Message::Error(fault)) = Message::read(header, reader) else { panic!("not an error") };
        assert!(fault.fatal);
        let error = fault.into_error();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains("larger than the limit"), "{error}");
        assert!(peer.hear().is_none());
    });
}

#[test]
fn a_frame_beyond_the_limit_of_handshakes_is_dropped() {
    in_good_company(|address| {
        let mut peer = ForeignPeer::dial(address);
        peer.say(&(1_u32 << 20).to_le_bytes());
        assert!(peer.hear().is_none());
    });
}

#[test]
fn messages_out_of_turn_end_the_session_with_a_reason() {
    in_good_company(|address| {
        let mut peer = ForeignPeer::dial(address);
        peer.say_frame(&greeting());
        receive_welcome(&peer.hear().expect("an answer")).expect("a welcome");
        peer.say_frame(&greeting()); // once more
        let answer = peer.hear().expect("an answer");
        let mut reader = Reader::new(&answer, 0, &Limits::default());
        let header = Header::read(&mut reader).expect("a header");
        assert_eq!(header.kind, Kind::Error);
        assert!(peer.hear().is_none());
    });
}

#[test]
fn the_wrong_role_is_told_the_right_one() {
    bounded(|| {
        let told = |error: Error, word: &str| {
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
            assert!(error.to_string().contains(word), "{error}");
        };
        let server = ServerEnv::bind(&fresh("tcp"), patient())?;
        let error = ClientEnv::connect(&server.address().to_string(), patient()).unwrap_err();
        told(error, "connect with ClientBackend, not ClientEnv");

        let factory = |_: &_| Ok(CountingEnv::new(None));
        let backend = ServerBackend::bind(factory, &fresh("tcp"), patient_host())?;
        backend.start()?;
        let wrong = ClientBackend::new(factory, &backend.address().to_string(), patient_host())?;
        told(wrong.run().unwrap_err(), "connect with ClientEnv, not ClientBackend");
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

/// Answers one connection with `words`, whatever it receives.
fn pretender(words: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(words);
        }
    });
    address
}

#[test]
fn an_agent_that_dials_something_else_says_so() {
    bounded(|| {
        let address = pretender(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let error = ClientEnv::connect(&address, patient()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("HTTP"), "{error}");

        // Two dialers that meet, as through a relay.
        let mut echo = END.to_vec();
        echo.clear();
        let frame = greeting();
        echo.extend((frame.len() as u32).to_le_bytes());
        echo.extend(&frame);
        let error = ClientEnv::connect(&pretender(echo.leak()), patient()).unwrap_err();
        assert!(error.to_string().contains("both sides dialed"), "{error}");

        // A listener that never answers costs the dialer the time that was allowed for it.
        let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = format!("tcp://{}", silent.local_addr()?);
        let options = rlay::agent_options().connect_timeout(Duration::from_millis(200));
        let error = ClientEnv::connect(&address, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
        assert!(error.to_string().contains(&address) && error.to_string().contains("handshake"), "{error}");
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_acceptor_hands_out_who_passed() {
    bounded(|| {
        let acceptor = Acceptor::bind(&fresh("tcp").parse()?, Role::Env, patient().connection())?;
        let mut peer = ForeignPeer::dial(&acceptor.address().to_string());
        peer.say_frame(&greeting());
        let ready = acceptor.next(&mut Wait::new(Some(PATIENCE)))?;
        assert_eq!(acceptor.sessions(), 1);
        drop(ready);
        assert_eq!(acceptor.sessions(), 0);
        acceptor.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_flood_of_silent_connections_keeps_nobody_out() {
    bounded(|| {
        // Each silent peer would be given longer than the test takes.
        let options = patient_host().handshake_timeout(PATIENCE);
        let (backend, address) = counting_with(&fresh("tcp"), options)?;
        let target = address.strip_prefix("tcp://").expect("a tcp address").to_owned();
        let mut silent: Vec<_> = (0..100).map(|_| TcpStream::connect(&target)).collect();
        let (flood, water) = mpsc::channel::<()>();
        let flooding = thread::spawn(move || {
            while water.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                if silent.len() < 600 {
                    silent.push(TcpStream::connect(&target));
                }
            }
        });
        for _ in 0..3 {
            let soon = rlay::agent_options().connect_timeout(PATIENCE / 4);
            let mut env = ClientEnv::connect(&address, soon)?;
            env.reset(None, &Value::None)?;
        }
        drop(flood);
        flooding.join().expect("no panic");
        backend.close();
        Ok::<_, EnvError>(())
    })
    .expect("admitted although the silent ones are not given up yet");
}
