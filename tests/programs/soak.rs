//! A soak: hundreds of sessions step for minutes, while the processes that hold them are killed and replaced.
//!
//! ```text
//! soak [SECONDS [ADDRESS]]
//! ```
//!
//! This process hosts the environments. Others hold ten sessions each, and check that every row answers its own
//! step. Twice a second one of them is killed and another takes its place. In the end the host must hold no more
//! descriptors than after the first quarter (a minute at most), at most a tenth more memory, and nobody may have seen
//! a row that was not his.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that prints

use std::{
    env, fs,
    io::{BufRead, BufReader, IsTerminal, Write, stderr},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rlay::{BoxSpace, ClientEnv, Discrete, Env, EnvError, Options, Rng, ServerBackend, Value};
use rlay_testkit::CountingEnv;

const HOLDERS: usize = 20;
const SESSIONS: usize = 10;
/// Between two steps of a session: two hundred at full speed would tell nothing more.
const PAUSE: Duration = Duration::from_millis(50);
const BETWEEN_KILLS: Duration = Duration::from_millis(500);
/// The exit code of a holder that saw a row which was not the answer to its step.
const MISALIGNED: i32 = 9;

fn main() -> Result<(), EnvError> {
    let words: Vec<String> = env::args().skip(1).collect();
    match &words[..] {
        [hold, address] if hold == "hold" => hold_sessions(address),
        [] => soak(600, "tcp://127.0.0.1:0"),
        [seconds] => soak(seconds.parse()?, "tcp://127.0.0.1:0"),
        [seconds, address] => soak(seconds.parse()?, address),
        _ => Err("usage: soak [SECONDS [ADDRESS]]".into()),
    }
}

/// A process with sessions, which says how many rows it has had.
struct Holder(Child);

impl Holder {
    fn start(address: &str, rows: &Arc<AtomicU64>) -> Result<Self, EnvError> {
        let mut child = Command::new(env::current_exe()?)
            .args(["hold", address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (output, rows) = (child.stdout.take().expect("a pipe"), rows.clone());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                rows.fetch_add(line.parse().unwrap_or(0), Relaxed);
            }
        });
        Ok(Self(child))
    }

    /// Fails if it has ended by itself.
    fn check(&mut self) -> Result<(), EnvError> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) if status.code() == Some(MISALIGNED) => Err("a row that answers another step".into()),
            Some(status) => Err(format!("a holder of sessions ended by itself: {status}").into()),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn soak(seconds: u64, address: &str) -> Result<(), EnvError> {
    // Those of a holder that was killed may take a moment to go.
    let options = Options { max_sessions: 2 * HOLDERS * SESSIONS, ..rlay::options() };
    let backend = ServerBackend::bind(|_: &_| Ok(CountingEnv::new(None)), address, options)?;
    backend.start();
    let (address, rows) = (backend.address().to_string(), Arc::new(AtomicU64::new(0)));
    let mut holders = (0..HOLDERS).map(|_| Holder::start(&address, &rows)).collect::<Result<Vec<_>, _>>()?;
    let (start, mut rng, mut killed) = (Instant::now(), Rng::seeded(1), 0);
    let (warm, mut first) = ((seconds / 4).clamp(5, 60), None);
    while start.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(BETWEEN_KILLS);
        holders.iter_mut().try_for_each(Holder::check)?;
        let held = held();
        if start.elapsed() >= Duration::from_secs(warm) && first.is_none() {
            settle(&backend)?;
            first = Some(self::held());
        }
        let victim = rng.below(HOLDERS as u64) as usize;
        holders[victim] = Holder::start(&address, &rows)?;
        killed += 1;
        let line = format!(
            "{:>4} of {seconds} s: {} sessions, {} rows, {killed} processes killed, {} KiB, {} descriptors",
            start.elapsed().as_secs(),
            backend.sessions(),
            rows.load(Relaxed),
            held.0,
            held.1
        );
        if stderr().is_terminal() {
            eprint!("\r{line}");
        } else if killed % 20 == 0 {
            eprintln!("{line}");
        }
    }
    settle(&backend)?;
    let (first, last) = (first.ok_or("it was too short")?, held());
    holders.iter_mut().try_for_each(Holder::check)?;
    println!(
        "\n{} rows, none misaligned; {killed} processes of {SESSIONS} sessions killed; memory {} and {} KiB, \
         descriptors {} and {}",
        rows.load(Relaxed),
        first.0,
        last.0,
        first.1,
        last.1
    );
    drop(holders);
    backend.close();
    if last.0 * 10 > first.0 * 11 {
        return Err("the host holds over a tenth more memory than in the beginning".into());
    }
    if last.1 > first.1 { Err("the host holds more descriptors than in the beginning".into()) } else { Ok(()) }
}

/// Waits until every session is there and none beside them, for a while: those that come must not be taken for
/// those that go.
fn settle(backend: &ServerBackend) -> Result<(), EnvError> {
    let (start, mut since) = (Instant::now(), Instant::now());
    while since.elapsed() < BETWEEN_KILLS {
        if backend.sessions() != HOLDERS * SESSIONS {
            since = Instant::now();
        }
        if start.elapsed() > Duration::from_secs(60) {
            return Err(format!("{} sessions instead of {}", backend.sessions(), HOLDERS * SESSIONS).into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Resident memory in KiB, and descriptors.
fn held() -> (u64, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let memory = memory.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    (memory, fs::read_dir("/proc/self/fd").map_or(0, Iterator::count))
}

/// Steps in ten sessions until this process is killed, or its parent is gone.
fn hold_sessions(address: &str) -> Result<(), EnvError> {
    let rows = Arc::new(AtomicU64::new(0));
    for number in 0..SESSIONS as u64 {
        let (address, rows) = (address.to_owned(), rows.clone());
        thread::spawn(move || {
            if let Err(error) = hold_one(&address, number, &rows) {
                eprintln!("{error}");
                std::process::exit(1);
            }
        });
    }
    loop {
        thread::sleep(Duration::from_millis(200));
        println!("{}", rows.swap(0, Relaxed));
        if std::io::stdout().flush().is_err() {
            return Ok(());
        }
    }
}

fn hold_one(address: &str, number: u64, rows: &AtomicU64) -> Result<(), EnvError> {
    let options = Options { connect_timeout: Duration::from_secs(60), ..rlay::options() };
    let mut env = ClientEnv::connect(address, options)?.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
    for episode in 1.. {
        env.reset(Some(number), &Value::None)?;
        for step in 1.. {
            thread::sleep(PAUSE);
            let action = (step + number as i64) % 1000;
            let result = env.step(action)?;
            if result.observation != [number as f64, f64::from(episode), step as f64, action as f64] {
                eprintln!("{:?} answers step {step} of episode {episode}", result.observation);
                std::process::exit(MISALIGNED);
            }
            rows.fetch_add(1, Relaxed);
            if result.terminated || result.truncated {
                break;
            }
        }
    }
    Ok(())
}
