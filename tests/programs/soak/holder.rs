//! Holder: the host's side of a process that holds sessions, and the environments that it hosts for it.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rlay::{BoxSpace, ClientBackend, Discrete, Env, EnvError, ResetResult, Rng, StepResult, Token, Value, wire::Make};
use rlay_testkit::CountingEnv;

use crate::hold::{PAUSE, Paradigm, SESSIONS, is_relayed};

/// The host's record of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rows: AtomicU64,
    pub(crate) misaligned: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) resumed: AtomicU64,
    /// The sessions that are hosted now.
    pub(crate) environments: AtomicUsize,
    /// The sessions that dial, or have dialed, and have not ended yet.
    pub(crate) backends: AtomicUsize,
    /// Processes that were ever started.
    holders: AtomicU64,
}

impl Tally {
    /// Makes the environments, and counts them.
    pub(crate) fn maker(self: &Arc<Self>) -> impl Fn(&Make) -> Result<Slow, EnvError> + Send + Sync + use<> {
        let tally = self.clone();
        move |_| {
            tally.environments.fetch_add(1, Relaxed);
            Ok(Slow { env: CountingEnv::new(None), tally: tally.clone() })
        }
    }

    /// Handles a report of a holder; `secret` and `missing` are the holder's own.
    fn hear(self: &Arc<Self>, line: &str, secret: &str, missing: &AtomicI64) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = rest.parse().unwrap_or(0);
        let sum = match word {
            "host" => {
                let (tally, address, token) = (self.clone(), rest.to_owned(), Token::new(secret).ok());
                thread::spawn(move || tally.dial(&address, token));
                return;
            }
            "rows" => &self.rows,
            "misaligned" => &self.misaligned,
            "cut" => {
                missing.fetch_add(number as i64, Relaxed);
                &self.cut
            }
            "resumed" => {
                missing.fetch_sub(number as i64, Relaxed);
                &self.resumed
            }
            _ => return,
        };
        sum.fetch_add(number, Relaxed);
    }

    /// Hosts an environment where a holder listens, until the listener is gone.
    fn dial(self: &Arc<Self>, address: &str, token: Option<Token>) {
        self.backends.fetch_add(1, Relaxed);
        let options = rlay::host_options().max_sessions(1).connect_timeout(Duration::from_secs(5)).token(token);
        // A gone listener is the normal end; the holder's session reports all other failures.
        let _ = ClientBackend::new(self.maker(), address, options).map(|backend| backend.run());
        self.backends.fetch_sub(1, Relaxed);
    }
}

/// A process with sessions.
pub(crate) struct Holder {
    child: Child,
    input: ChildStdin,
    /// Connections that were cut, less those that were replaced by resumption.
    missing: Arc<AtomicI64>,
}

impl Holder {
    /// Starts a holder with sessions that dial this address, or listen at it.
    pub(crate) fn start(paradigm: Paradigm, address: &str, tally: &Arc<Tally>) -> Result<Self, EnvError> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["hold", paradigm.word(), address]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // The port of a holder that was killed may be given to the next, while environments still dial it: none of them
        // knows this secret.
        let secret = format!("the secret of holder {}", tally.holders.fetch_add(1, Relaxed));
        if paradigm == Paradigm::Listen {
            command.env(rlay::TOKEN_VARIABLE, &secret);
        }
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (tally, missing) = (tally.clone(), Arc::new(AtomicI64::new(0)));
        let this = Self { child, input, missing: missing.clone() };
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                tally.hear(&line, &secret, &missing);
            }
        });
        Ok(this)
    }

    /// Whether one of its sessions has not resumed yet after its connection was cut.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.missing.load(Relaxed) != 0
    }

    /// Has the connection of one of its sessions cut, if there is one already; now and then so that only the dialer is
    /// told.
    pub(crate) fn cut(&mut self, rng: &mut Rng) {
        let how = if rng.below(2) == 0 { "cut" } else { "half" };
        let which = (0..SESSIONS).filter(|number| is_relayed(*number)).nth(rng.below(SESSIONS as u64 / 2) as usize);
        // A holder that has ended by itself is detected soon.
        let _ = writeln!(self.input, "{how} {}", which.unwrap_or(0));
    }

    /// Fails if the holder has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), EnvError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("a holder of sessions ended by itself: {status}").into()),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An environment that is counted for as long as it is hosted, and takes as long for a step as its agent takes to
/// choose an action: so a cut finds it in the middle of a step as often as not.
pub(crate) struct Slow {
    env: CountingEnv,
    tally: Arc<Tally>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.tally.environments.fetch_sub(1, Relaxed);
    }
}

impl Env for Slow {
    type ObservationSpace = BoxSpace<f64, [f64; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<[f64; 4]>, EnvError> {
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f64; 4]>, EnvError> {
        thread::sleep(PAUSE);
        self.env.step(action)
    }
}
