//! A soak: hundreds of sessions step for minutes, while processes that hold them are killed and replaced, and
//! connections are cut with both ends alive.
//!
//! ```text
//! soak [SECONDS [ADDRESS]]
//! ```
//!
//! This process hosts the environments; [`hold`] says what the others do, which hold ten sessions each. Half of those
//! dial in, the other half are dialed; in each, half of the sessions go through a relay. (Where no relay can cut a
//! connection, as over `shm`, all dial in.) Twice a second one of them is killed and another takes its place, twenty
//! times a second a relay drops the connection of a session, which must resume over another. In the end the host must
//! hold as many descriptors as after the first half (a minute at most), at most a tenth more memory, and no agent may
//! have seen a row that was not the answer to its step.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that prints

mod hold;
mod holder;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../facade/support/relay.rs"]
mod relay;

use std::{
    env, fmt, fs,
    io::{IsTerminal, stderr},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rlay::{EnvError, Rng, ServerBackend};

use hold::{Paradigm, SESSIONS, can_cut, hold};
use holder::{Holder, Tally};

const HOLDERS: usize = 20;
/// The holders that are never killed: their sessions last for the whole run, however often they are cut.
const SPARED: usize = 5;
const BETWEEN_CUTS: Duration = Duration::from_millis(50);
/// Counted in cuts.
const BETWEEN_KILLS: u32 = 10;
/// For so long no session may begin or end before the host's resources are counted.
const CALM: Duration = Duration::from_millis(500);
/// How long the host keeps the environments of agents that are gone. It must drop them before its resources are
/// counted, and with the default that would take half of a short run.
const KEPT: Duration = Duration::from_secs(10);

fn main() -> Result<(), EnvError> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["hold", paradigm, address] => hold(paradigm.parse()?, address),
        [] => soak(600, "tcp://127.0.0.1:0"),
        [seconds] => soak(seconds.parse()?, "tcp://127.0.0.1:0"),
        [seconds, address] => soak(seconds.parse()?, address),
        _ => Err("usage: soak [SECONDS [ADDRESS]]".into()),
    }
}

fn soak(seconds: u64, address: &str) -> Result<(), EnvError> {
    let mut soak = Soak::start(address)?;
    let result = soak.run(Duration::from_secs(seconds));
    println!("\n{soak}");
    soak.holders.clear();
    soak.backend.close();
    result.and_then(|()| soak.judge())
}

struct Soak {
    /// Where holders dial in.
    backend: ServerBackend,
    /// Whether connections are cut, and half of the holders are dialed.
    is_cut: bool,
    tally: Arc<Tally>,
    holders: Vec<Holder>,
    killed: usize,
    /// The host's resources in the beginning, the time of that, and its resources in the end.
    first: Option<(Duration, Held)>,
    last: Held,
}

impl Soak {
    fn start(address: &str) -> Result<Self, EnvError> {
        let is_cut = can_cut(address);
        let dialing = if is_cut { HOLDERS / 2 } else { HOLDERS } * SESSIONS;
        let tally = Arc::new(Tally::default());
        // The sessions of a holder that was killed take a while to end.
        let options = rlay::host_options().max_sessions(2 * dialing).reconnect_timeout(KEPT);
        let backend = ServerBackend::bind(tally.maker(), address, options)?;
        backend.start()?;
        let (holders, first) = (Vec::new(), None);
        let mut this = Self { backend, is_cut, tally, holders, killed: 0, first, last: Held::now() };
        for number in 0..HOLDERS {
            let holder = this.holder(number)?;
            this.holders.push(holder);
        }
        Ok(this)
    }

    /// A process in the place with this number.
    fn holder(&self, number: usize) -> Result<Holder, EnvError> {
        match self.paradigm(number) {
            Paradigm::Dial => Holder::start(Paradigm::Dial, &self.backend.address().to_string(), &self.tally),
            Paradigm::Listen => {
                let scheme = self.backend.address().scheme();
                Holder::start(Paradigm::Listen, &format!("{scheme}://127.0.0.1:0"), &self.tally)
            }
        }
    }

    fn paradigm(&self, number: usize) -> Paradigm {
        if self.is_cut && number % 2 == 1 { Paradigm::Listen } else { Paradigm::Dial }
    }

    fn run(&mut self, time: Duration) -> Result<(), EnvError> {
        let (start, mut rng, mut ticks) = (Instant::now(), Rng::seeded(1), 0);
        let warm = (time / 2).clamp(Duration::from_secs(5), Duration::from_secs(60));
        while start.elapsed() < time {
            thread::sleep(BETWEEN_CUTS);
            ticks += 1;
            if self.is_cut {
                self.holders[rng.below(HOLDERS as u64) as usize].cut(&mut rng);
            }
            if ticks % BETWEEN_KILLS == 0 {
                let victim = rng.below((HOLDERS - SPARED) as u64) as usize;
                self.check()?;
                self.holders[victim] = self.holder(victim)?;
                self.killed += 1;
                self.show(start.elapsed(), time);
            }
            if self.first.is_none() && start.elapsed() >= warm {
                self.settle()?;
                self.first = Some((warm, Held::now()));
            }
        }
        self.settle()?;
        self.last = Held::now();
        self.check()
    }

    fn check(&mut self) -> Result<(), EnvError> {
        self.holders.iter_mut().try_for_each(Holder::check)
    }

    /// Waits until every session is connected, none is cut off, and there are none beside them, for a while: sessions
    /// that begin must not be taken for those that end.
    fn settle(&mut self) -> Result<(), EnvError> {
        let all = HOLDERS * SESSIONS;
        let dialed = (0..HOLDERS).filter(|number| self.paradigm(*number) == Paradigm::Listen).count() * SESSIONS;
        let (start, mut since) = (Instant::now(), Instant::now());
        while since.elapsed() < CALM {
            let (environments, backends) = (self.tally.environments.load(Relaxed), self.tally.backends.load(Relaxed));
            let (there, due) = ([self.backend.sessions(), backends, environments], [all - dialed, dialed, all]);
            let cut_off = self.holders.iter().filter(|holder| holder.is_cut_off()).count();
            if there != due || cut_off > 0 {
                since = Instant::now();
            }
            if start.elapsed() > 6 * KEPT {
                let what = format!("{there:?} instead of {due:?} sessions dialed in, dialed, and both");
                return Err(format!("{what}; in {cut_off} processes some are cut off").into());
            }
            self.check()?;
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn show(&self, since: Duration, time: Duration) {
        let (since, time, sessions) = (since.as_secs(), time.as_secs(), self.tally.environments.load(Relaxed));
        let line = format!("{since:>4} of {time} s: {sessions} sessions, {}; {}", self.deeds(), Held::now());
        if stderr().is_terminal() {
            eprint!("\r{line}");
        } else if self.killed.is_multiple_of(20) {
            eprintln!("{line}");
        }
    }

    fn deeds(&self) -> String {
        let Tally { rows, misaligned, cut, resumed, .. } = &*self.tally;
        let [rows, misaligned, cut, resumed] = [rows, misaligned, cut, resumed].map(|number| number.load(Relaxed));
        format!(
            "{rows} rows, {misaligned} misaligned, {} processes killed, {cut} connections cut, {resumed} sessions \
             resumed",
            self.killed
        )
    }

    /// Fails if a promise is broken.
    fn judge(&self) -> Result<(), EnvError> {
        let Some((_, first)) = self.first else { return Err("it was too short".into()) };
        let Tally { rows, misaligned, cut, resumed, .. } = &*self.tally;
        let [none_was_cut, none_resumed] = [cut, resumed].map(|number| self.is_cut && number.load(Relaxed) == 0);
        let broken = [
            (misaligned.load(Relaxed) > 0, "a row answered another step"),
            (rows.load(Relaxed) == 0, "nobody has stepped"),
            (self.killed == 0, "no process was ever killed"),
            (none_was_cut, "no connection was ever cut"),
            (none_resumed, "no session has gone on over another connection"),
            (self.last.memory * 10 > first.memory * 11, "the host holds over a tenth more memory than it did"),
            (self.last.descriptors != first.descriptors, "the host holds other descriptors than it did"),
        ];
        broken.into_iter().find(|(is_so, _)| *is_so).map_or(Ok(()), |(_, what)| Err(what.into()))
    }
}

/// The events so far, in one line.
impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (deeds, last) = (self.deeds(), self.last);
        match self.first {
            Some((when, first)) => write!(f, "{deeds}; {first} after {} s, {last} in the end", when.as_secs()),
            None => write!(f, "{deeds}"),
        }
    }
}

/// The resources of this process.
#[derive(Clone, Copy)]
struct Held {
    /// Resident, in KiB.
    memory: u64,
    descriptors: usize,
}

impl Held {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let memory = memory.trim().trim_end_matches(" kB").parse().unwrap_or(0);
        Self { memory, descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB and {} descriptors", self.memory, self.descriptors)
    }
}
