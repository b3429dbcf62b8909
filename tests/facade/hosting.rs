//! What hosts do and log: when they serve, on which thread, which agents join and leave, and how sessions that fail to
//! start back off.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use rlay::{
    BoxSpace, ClientBackend, ClientEnv, Discrete, Env, EnvError, EnvFailure, ErrorKind, HostOptions, Metadata, OnLoss,
    PolicyServer, PolledEnv, ServerBackend, ServerEnv, Turn, Value,
    endpoint::{Acceptor, Host, Wait, serve},
    host::Hosted,
    wire::{Make, Role},
};
use rlay_testkit::CountingEnv;
use tracing::Level;

use crate::{
    cartpole::CartPole,
    support::{Log, PATIENCE, bounded, counting, eventually, fresh, patient, patient_host},
};

type Numbers = BoxSpace<f64, [f64; 4]>;

/// The times of attempts.
#[derive(Clone, Default)]
struct Attempts(Arc<Mutex<Vec<Instant>>>);

impl Attempts {
    fn note(&self) {
        self.0.lock().expect("no one panics here").push(Instant::now());
    }

    fn count(&self) -> usize {
        self.0.lock().expect("no one panics here").len()
    }

    /// A factory that notes each environment it makes, or fails to make.
    fn making<E, F: Fn() -> Result<E, EnvError>>(&self, make: F) -> impl Fn(&Make) -> Result<E, EnvError> + use<E, F> {
        let attempts = self.clone();
        move |_| {
            attempts.note();
            make()
        }
    }

    /// Waits for eight attempts more than `first`. Between the attempts lie 20 ms, 40 ms and so on, which add up; a
    /// slow machine can only add to that.
    fn back_off_after(&self, first: usize) {
        eventually("there are eight attempts", || self.count() >= first + 8);
        let at = self.0.lock().expect("no one panics here").clone();
        let took = at[first + 7] - at[first];
        // The first gap may belong to the session that was dialed before the first attempt had failed.
        assert!(took >= Duration::from_millis(20 * (1 + 2 + 4 + 8 + 16 + 32)), "eight attempts within {took:?}");
    }
}

/// Serves a policy on a thread of its own.
fn serving(server: &PolicyServer, policy: fn(&[f64; 4]) -> i64) -> thread::JoinHandle<Result<(), rlay::Error>> {
    let server = server.clone();
    thread::spawn(move || server.run::<Numbers, Discrete, _>(move || policy))
}

fn only() -> HostOptions {
    patient_host().max_sessions(1)
}

#[test]
fn a_policy_server_and_a_game_that_do_not_fit_say_so_once_and_back_off() {
    let log = Log::keep();
    for max_sessions in [1, 64] {
        bounded(move || {
            let server = PolicyServer::bind(&fresh("tcp"), patient())?;
            let address = server.address().to_string();
            let serving = serving(&server, |_| 0);
            let attempts = Attempts::default();
            let game = ClientBackend::new(
                attempts.making(|| Ok(CartPole::new(None))),
                &address,
                patient_host().max_sessions(max_sessions),
            )?;
            game.start()?;
            attempts.back_off_after(0);
            let host = log.find(Level::WARN, &[&address, "the agent left before its first step"]);
            assert!(host.contains("the agent said goodbye: observation_space: a float64 Box was asked for"), "{host}");
            assert_eq!(log.lines(Level::WARN, &[&address, "before its first step"]).len(), 1);
            game.close();
            server.close();
            serving.join().expect("it does not panic")?;
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
    // Dialers have a port of their own each, so these lines are those of all dialers.
    let lines =
        log.lines(Level::WARN, &["the environment was not played: observation_space: a float64 Box was asked for"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_policy_that_panics_says_so_at_the_other_end() {
    let log = Log::keep();
    bounded(move || {
        let server = PolicyServer::bind(&fresh("tcp"), patient())?;
        let address = server.address().to_string();
        let serving = serving(&server, |_| panic!("at its wits' end"));
        let attempts = Attempts::default();
        let game = ClientBackend::new(attempts.making(|| Ok(CountingEnv::new(None))), &address, only())?;
        game.start()?;
        attempts.back_off_after(0);
        let text = "the policy failed: panic: at its wits' end";
        assert_eq!(log.lines(Level::WARN, &[&address, "before its first step", text]).len(), 1);
        assert_eq!(log.lines(Level::WARN, &["the environment was not played", text]).len(), 1);
        game.close();
        server.close();
        serving.join().expect("it does not panic")?;
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_environment_that_cannot_be_made_says_why_at_both_ends() {
    let log = Log::keep();
    bounded(move || {
        let server = PolicyServer::bind(&fresh("tcp"), patient())?;
        let address = server.address().to_string();
        let serving = serving(&server, |_| 0);
        let attempts = Attempts::default();
        let failing = || Err::<CountingEnv, _>(EnvFailure::new("OSError", "no display for the test").into());
        let game = ClientBackend::new(attempts.making(failing), &address, patient_host())?;
        game.start()?;
        attempts.back_off_after(0);
        let text = "OSError: no display for the test";
        assert_eq!(log.lines(Level::WARN, &[&address, "no environment was made for the agent", text]).len(), 1);
        assert_eq!(log.lines(Level::WARN, &["the environment was not played", text]).len(), 1);
        game.close();
        server.close();
        serving.join().expect("it does not panic")?;
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_host_that_drops_whoever_comes_back_is_not_dialed_without_pause() {
    bounded(|| {
        let acceptor = Acceptor::bind(&fresh("unix").parse()?, Role::Env, patient().connection())?;
        let (address, attempts) = (acceptor.address().to_string(), Attempts::default());
        let for_host = attempts.clone();
        let (over, is_over) = mpsc::channel();
        let host = thread::spawn(move || {
            let mut connection = acceptor.next(&mut Wait::default())?;
            let stop = rlay::CancelToken::default();
            let for_env = stop.clone();
            let mut factory = move |_: &Make| {
                for_env.cancel();
                Ok(rlay::HostedEnv::One(Box::new(Hosted::new(CountingEnv::new(None), None))))
            };
            let mut host = Host::new(&mut factory, connection.limits(), true);
            serve(&mut connection, &mut host, &mut Wait::default().with_cancel(&stop))?;
            over.send(())?;
            while for_host.count() < 8 {
                drop(acceptor.next(&mut Wait::default())?);
                for_host.note();
            }
            Ok::<_, EnvError>(())
        });
        // Once the host has seen eight attempts, nothing listens any more.
        let connect_timeout = Duration::from_secs(5);
        let options = rlay::agent_options().on_loss(OnLoss::Replace).connect_timeout(connect_timeout);
        let mut env = ClientEnv::connect(&address, options)?;
        is_over.recv_timeout(PATIENCE)?;
        while !host.is_finished() {
            assert!(env.reset(None, &Value::None).is_err());
        }
        host.join().expect("it does not panic")?;
        attempts.back_off_after(0);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn the_poll_form_backs_off_and_never_fails_while_nobody_is_there() {
    let log = Log::keep();
    bounded(move || {
        let connect_timeout = Duration::from_millis(100);
        let options = rlay::host_options().connect_timeout(connect_timeout);
        let address = fresh("tcp").replace(":0", ":1"); // no listener at this port
        let space = || Discrete::new(2);
        let mut engine = PolledEnv::new(space(), space(), &Metadata::default(), &address, options.clone())?;
        let began = Instant::now();
        while began.elapsed() < 3 * connect_timeout {
            assert_eq!(engine.turn(Duration::from_millis(10))?, None);
        }
        eventually("it says what it waits for", || {
            assert_eq!(engine.turn(Duration::ZERO).expect("it waits"), None);
            !log.lines(Level::WARN, &[&address, "still no connection"]).is_empty()
        });
        drop(engine);

        // An engine with agents that leave at once.
        let acceptor = Acceptor::bind(&fresh("unix").parse()?, Role::Agent, patient().connection())?;
        let (address, attempts) = (acceptor.address().to_string(), Attempts::default());
        let for_agent = attempts.clone();
        let agent = thread::spawn(move || {
            while for_agent.count() < 8 {
                drop(acceptor.next(&mut Wait::default())?);
                for_agent.note();
            }
            Ok::<_, rlay::Error>(())
        });
        let mut engine = PolledEnv::new(space(), space(), &Metadata::default(), &address, options)?;
        while !agent.is_finished() {
            assert_eq!(engine.turn(Duration::from_millis(10))?, None);
        }
        agent.join().expect("it does not panic")?;
        attempts.back_off_after(0);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn the_poll_form_says_who_joins_and_leaves() {
    let log = Log::keep();
    bounded(move || {
        let server = ServerEnv::bind(&fresh("unix"), patient())?;
        let world = CountingEnv::new(None);
        let spaces = (world.observation_space().clone(), world.action_space().clone());
        let address = server.address().to_string();
        let mut engine = PolledEnv::new(spaces.0, spaces.1, &world.metadata(), &address, patient_host())?;
        let agent = thread::spawn(move || {
            let mut env = server.accept()?;
            env.reset(None, &Value::None)?;
            env.step(Value::Int(1))?;
            env.close()
        });
        let mut world = world;
        loop {
            match engine.turn(PATIENCE)? {
                Some(Turn::Reset { seed, options }) => engine.reply_reset(&world.reset(seed, &options)?)?,
                Some(Turn::Step(action)) => engine.reply(&world.step(action)?)?,
                Some(Turn::Close(_)) => break,
                other => panic!("{other:?}"),
            }
        }
        agent.join().expect("it does not panic")?;
        log.find(Level::INFO, &["an agent joined"]);
        log.find(Level::INFO, &["the agent left after 1 step in 1 episode: the agent said goodbye"]);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_host_says_who_joins_and_who_leaves() {
    let log = Log::keep();
    for max_sessions in [1, 64] {
        bounded(move || {
            let options = patient_host().max_sessions(max_sessions);
            let backend = ServerBackend::bind(|_: &_| Ok(CountingEnv::new(None)), &fresh("mem"), options)?;
            backend.start()?;
            let address = backend.address().to_string();
            let mut env = ClientEnv::connect(&address, patient())?;
            log.find(Level::INFO, &[&address, "an agent joined"]);
            for _ in 0..2 {
                env.reset(None, &Value::None)?;
                (0..6).try_for_each(|action| env.step(Value::Int(action)).map(drop))?;
            }
            env.close()?;
            let left = log.find(Level::INFO, &[&address, "the agent left after 12 steps in 2 episodes"]);
            assert!(left.ends_with("the agent said goodbye: the agent closed the environment"), "{left}");
            assert_eq!(log.lines(Level::WARN, &[&address]), [] as [String; 0], "nothing is wrong");
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn one_that_waits_at_a_full_host_is_one_line() {
    let log = Log::keep();
    bounded(move || {
        let backend = ServerBackend::bind(|_: &_| Ok(CountingEnv::new(None)), &fresh("tcp"), only())?;
        backend.start()?;
        let address = backend.address().to_string();
        let _first = ClientEnv::connect(&address, patient())?;
        let soon = rlay::agent_options().connect_timeout(Duration::from_secs(2));
        ClientEnv::connect(&address, soon).unwrap_err();
        assert_eq!(log.lines(Level::WARN, &["the one session there can be is taken; try again later"]).len(), 2);
        assert_eq!(log.lines(Level::WARN, &[&address, "still no connection"]).len(), 1, "that is the dialer's");
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_game_says_what_it_waits_for_once_it_is_connected() {
    let log = Log::keep();
    bounded(move || {
        let server = ServerEnv::bind(&fresh("tcp"), patient())?;
        let address = server.address().to_string();
        let game = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &address, patient_host())?;
        game.start()?;
        log.find(Level::INFO, &[&address, "connected; waiting for the agent to ask for an environment"]);
        server.accept()?.close()?;
        game.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_agent_that_asks_for_nothing_is_mentioned_after_the_time_of_the_option() {
    let log = Log::keep();
    bounded(move || {
        let options = patient_host().notice_after(Duration::from_secs(1));
        let backend = ServerBackend::bind(|_: &_| Ok(CountingEnv::new(None)), &fresh("tcp"), options)?;
        backend.start()?;
        let mut env = ClientEnv::connect(&backend.address().to_string(), patient())?;
        let began = Instant::now();
        env.reset(None, &Value::None)?;
        log.find(Level::INFO, &["for more than 1 s the agent has asked for nothing; the last was a reset"]);
        assert!(began.elapsed() >= Duration::from_secs(1));
        env.close()?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_host_that_does_not_serve_yet_lets_nobody_in() {
    for scheme in ["mem", "tcp", "unix"] {
        bounded(move || {
            let backend = ServerBackend::bind(|_: &_| Ok(CountingEnv::new(None)), &fresh(scheme), patient_host())?;
            let address = backend.address().to_string();
            let soon = rlay::agent_options().connect_timeout(Duration::from_millis(300));
            let error = ClientEnv::connect(&address, soon).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
            assert!(error.to_string().contains("did it call run() or start()?"), "{error}");

            // An agent that waits is admitted once the host serves.
            let waiting = thread::spawn(move || ClientEnv::connect(&address, patient()));
            backend.start()?;
            waiting.join().expect("it does not panic")?.reset(None, &Value::None)?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn a_backend_serves_once() {
    bounded(|| {
        let (server, address) = counting(&fresh("tcp"))?;
        let listener = ServerEnv::bind(&fresh("tcp"), patient())?;
        let dialed = listener.address().to_string();
        let client = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &dialed, patient_host())?;
        client.start()?;
        let twice = [server.start(), server.run(), client.start(), client.run()];
        for error in twice.map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains("serves already"), "{error}");
        }
        ClientEnv::connect(&address, patient())?.close()?;
        listener.accept()?.close()?;
        server.close();
        client.close();
        for error in [server.start(), server.run(), client.start(), client.run()].map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Closed);
            assert!(error.to_string().contains("make a new one"), "{error}");
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn no_session_at_all_is_refused() {
    let none = || rlay::host_options().max_sessions(0);
    let make = |_: &Make| Ok(CountingEnv::new(None));
    let refused = [
        ServerBackend::bind(make, &fresh("mem"), none()).map(drop),
        ClientBackend::new(make, &fresh("mem"), none()).map(drop),
        ServerEnv::bind(&fresh("mem"), rlay::agent_options().max_sessions(0)).map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

#[test]
fn one_session_at_a_time_is_on_the_thread_that_runs() {
    bounded(|| {
        let (tell, made) = mpsc::channel();
        let factory = |tell: mpsc::Sender<thread::ThreadId>| {
            move |_: &Make| {
                let _ = tell.send(thread::current().id());
                Ok(CountingEnv::new(None))
            }
        };
        let server = ServerBackend::bind(factory(tell.clone()), &fresh("tcp"), only())?;
        let address = server.address().to_string();
        let running = {
            let server = server.clone();
            thread::spawn(move || server.run())
        };
        let mut env = ClientEnv::connect(&address, patient())?;
        env.reset(None, &Value::None)?;
        assert_eq!(made.recv_timeout(PATIENCE)?, running.thread().id());
        server.close(); // from another thread
        assert!(env.reset(None, &Value::None).is_err());
        running.join().expect("it does not panic")?;

        let listener = ServerEnv::bind(&fresh("tcp"), patient())?;
        let client = ClientBackend::new(factory(tell), &listener.address().to_string(), only())?;
        let running = {
            let client = client.clone();
            thread::spawn(move || client.run())
        };
        for _ in 0..2 {
            listener.accept()?.close()?;
            assert_eq!(made.recv_timeout(PATIENCE)?, running.thread().id());
        }
        client.close();
        running.join().expect("it does not panic")?;
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_game_that_was_played_ends_well_when_no_other_agent_comes() {
    let log = Log::keep();
    for max_sessions in [1, 64] {
        bounded(move || {
            let listener = ServerEnv::bind(&fresh("tcp"), patient())?;
            let address = listener.address().to_string();
            let options = rlay::host_options().max_sessions(max_sessions).connect_timeout(Duration::from_secs(2));
            let game = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &address, options.clone())?;
            let running = thread::spawn(move || game.run());
            let mut env = listener.accept()?;
            env.reset(None, &Value::None)?;
            env.step(Value::Int(1))?;
            env.close()?;
            listener.close();
            running.join().expect("it does not panic")?;
            log.find(Level::INFO, &[&address, "the agent left; waiting 2 s for another"]);
            log.find(Level::INFO, &[&address, "the agent left, and no other came"]);

            let nobody = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &address, options)?;
            assert_eq!(nobody.run().unwrap_err().kind(), ErrorKind::ConnectionLost, "it never had an agent");
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn an_environment_that_takes_long_to_make_keeps_no_other_waiting() {
    bounded(|| {
        let server = PolicyServer::bind(&fresh("tcp"), patient())?;
        let address = server.address().to_string();
        let serving = serving(&server, |_| 0);
        let (release, until) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let until = Mutex::new(until);
        let slow = move |_: &Make| {
            let _ = begun.send(());
            let _ = until.lock().expect("no one panics here").recv();
            Ok(CountingEnv::new(None))
        };
        let slow = ClientBackend::new(slow, &address, only())?;
        slow.start()?;
        has_begun.recv_timeout(PATIENCE)?;
        let (played, is_played) = mpsc::channel();
        let quick = move |_: &Make| {
            let _ = played.send(());
            Ok(CountingEnv::new(None))
        };
        let quick = ClientBackend::new(quick, &address, only())?;
        quick.start()?;
        is_played.recv_timeout(PATIENCE)?;
        drop(release);
        quick.close();
        slow.close();
        server.close();
        serving.join().expect("it does not panic")?;
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
