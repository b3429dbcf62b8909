//! Hold: a process with sessions, which checks that every row answers its own step.
//!
//! This process reports on its output, in lines of a word and a number: `rows`, `misaligned`, `cut`, `resumed`; and
//! `host ADDRESS` where it waits for an environment. Its input says which connection to cut. The relays are in this
//! process and not in the host, because the host's memory and descriptors are counted.

use std::{
    io::stdin,
    process::exit,
    str::FromStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use rlay::{BoxSpace, ClientEnv, Discrete, Env, EnvError, RemoteEnv, ServerEnv, Value};

use crate::relay::Relay;

/// Sessions in a process.
pub(crate) const SESSIONS: usize = 10;
/// How long an agent takes to choose an action, and an environment to step: two hundred at full speed would show
/// nothing more.
pub(crate) const PAUSE: Duration = Duration::from_millis(25);
/// No call takes longer, and no reconnection, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_REPORTS: Duration = Duration::from_millis(200);

/// Whether the session with this number goes through a relay, which can cut it.
pub(crate) fn is_relayed(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// Whether a relay can forward for this address and cut the connection. Over `quic` a cut is only silence, which takes
/// too long to be detected.
pub(crate) fn can_cut(address: &str) -> bool {
    ["tcp", "tls", "zmq", "ws"].iter().any(|scheme| address.split("://").next() == Some(scheme))
}

/// The work of the agents of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paradigm {
    Dial,
    Listen,
}

impl Paradigm {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Dial => "dial",
            Self::Listen => "listen",
        }
    }
}

impl FromStr for Paradigm {
    type Err = EnvError;

    fn from_str(word: &str) -> Result<Self, EnvError> {
        let known = [Self::Dial, Self::Listen].into_iter().find(|paradigm| paradigm.word() == word);
        known.ok_or_else(|| "dial or listen".into())
    }
}

/// Steps in ten sessions until this process is killed, or its parent is gone.
pub(crate) fn hold(paradigm: Paradigm, address: &str) -> Result<(), EnvError> {
    let sessions: Vec<_> = (0..SESSIONS).map(|number| Arc::new(Session::new(number))).collect();
    for session in &sessions {
        let (session, address) = (session.clone(), address.to_owned());
        thread::spawn(move || {
            if let Err(error) = session.run(paradigm, &address) {
                eprintln!("{error}");
                exit(1);
            }
        });
    }
    let all = sessions.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(BETWEEN_REPORTS);
            println!("rows {}", all.iter().map(|session| session.rows.swap(0, SeqCst)).sum::<u64>());
        }
    });
    for line in stdin().lines() {
        let line = line?;
        let (how, which) = line.split_once(' ').ok_or("a word and a number")?;
        sessions[which.parse::<usize>()?].cut(how == "half");
    }
    Ok(())
}

struct Session {
    number: usize,
    rows: AtomicU64,
    /// The relay of the connection, once the session can be resumed.
    relay: OnceLock<Relay>,
    cuts: AtomicU64,
}

impl Session {
    fn new(number: usize) -> Self {
        Self { number, rows: AtomicU64::new(0), relay: OnceLock::new(), cuts: AtomicU64::new(0) }
    }

    fn cut(&self, is_half: bool) {
        let Some(relay) = self.relay.get() else { return };
        if (if is_half { relay.cut_half() } else { relay.cut() }) > 0 {
            self.cuts.fetch_add(1, SeqCst);
            println!("cut 1");
        }
    }

    fn run(&self, paradigm: Paradigm, address: &str) -> Result<(), EnvError> {
        // The listener stays: an environment redials it.
        let (env, _server) = self.open(paradigm, address)?;
        let mut env = env.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
        let (seed, mut resumed) = (self.number as u64, 0);
        for episode in 1.. {
            let result = env.reset(Some(seed), &Value::None)?;
            self.compare(result.observation, episode, 0, -1)?;
            for step in 1.. {
                thread::sleep(PAUSE);
                let action = (step + self.number as i64) % 1000;
                let cuts = self.cuts.load(SeqCst);
                let result = env.step(action)?;
                self.compare(result.observation, episode, step, action)?;
                self.rows.fetch_add(1, SeqCst);
                // A connection that was cut before the step cannot have brought its answer.
                if cuts > resumed {
                    println!("resumed {}", cuts - resumed);
                    resumed = cuts;
                }
                if result.terminated || result.truncated {
                    break;
                }
            }
        }
        Ok(())
    }

    fn open(&self, paradigm: Paradigm, address: &str) -> Result<(RemoteEnv, Option<ServerEnv>), EnvError> {
        let (timeout, reconnect_timeout) = (Some(PATIENCE), Some(PATIENCE));
        let options =
            rlay::agent_options().timeout(timeout).reconnect_timeout(reconnect_timeout).connect_timeout(3 * PATIENCE);
        let server = match paradigm {
            Paradigm::Dial => None,
            Paradigm::Listen => Some(ServerEnv::bind(address, options.clone())?),
        };
        let address = server.as_ref().map_or_else(|| address.to_owned(), |server| server.address().to_string());
        let relay = (is_relayed(self.number) && can_cut(&address)).then(|| Relay::to(&address));
        let address = relay.as_ref().map_or(&*address, Relay::address);
        let env = match &server {
            None => ClientEnv::connect(address, options)?,
            Some(server) => {
                println!("host {address}");
                server.accept()?
            }
        };
        if let Some(relay) = relay {
            let _ = self.relay.set(relay);
        }
        Ok((env, server))
    }

    /// Fails if the observation is not that of this step.
    fn compare(&self, observation: [f64; 4], episode: i64, step: i64, action: i64) -> Result<(), EnvError> {
        if observation == [self.number as i64, episode, step, action].map(|number| number as f64) {
            return Ok(());
        }
        println!("misaligned 1");
        Err(format!("{observation:?} answers step {step} of episode {episode}").into())
    }
}
