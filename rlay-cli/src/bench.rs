//! `rlay bench`: steps per second and latency, beside a ping that the peer answers without the environment, and an echo
//! of bare frames over the same transport.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rlay::{Error, ErrorKind, Result, Rng, Space, wire::Kind};
use serde_json::{Value as Json, json};

use crate::{
    arguments::BenchArguments,
    connection::{Entry, Verdict, failed},
    echo::Echo,
    frames, output,
    session::{Outcome, Session, error},
    target::Target,
};

/// The share of the time that pings take, and so do echoes.
const PINGS: u32 = 5;
/// Actions that are sampled beforehand.
const ACTIONS: usize = 256;

/// Prints steps per second and quantiles of latency.
///
/// # Errors
/// Where there is no session with the peer, or the environment fails.
pub(crate) fn bench(arguments: &BenchArguments) -> Result<()> {
    if arguments.duration.is_zero() {
        return Err(Error::new(ErrorKind::Usage, "--duration 0 measures nothing; give a number of seconds above 0"));
    }
    let target = Target::new(&arguments.peer)?;
    if target.is_listening() {
        output::complain(&format!("listening at {}", target.address()));
    }
    target.await_peer()?;
    let mut session = Session::begin(&target).map_err(error)?;
    // Nothing is kept of what was sent: that would fill memory.
    let pings = measure(&target, arguments.duration / PINGS, "ping", &mut || ping(&mut session)).map_err(error)?;
    let steps = steps(&target, &mut session, arguments.duration).map_err(error)?;
    let lengths = step_lengths(&target, &mut session).map_err(error)?;
    session.goodbye().map_err(error)?;
    let echoes = match Echo::new(&target.address(), lengths, arguments.peer.timeout)? {
        Some(mut echo) => {
            let mut call = || echo.ping().or_else(|why| failed(1, why.to_string()));
            Some(measure(&target, arguments.duration / PINGS, "echo", &mut call).map_err(error)?)
        }
        None => None,
    };
    if arguments.json {
        let (address, echoes) = (target.address().to_string(), echoes.as_deref().map(as_json));
        let shown = json!({"address": address, "step": as_json(&steps), "ping": as_json(&pings), "echo": echoes});
        output::say(&shown.to_string());
    } else {
        let (there, back) = lengths;
        let echoes = match &echoes {
            Some(times) => {
                format!(
                    "{}   (frames of {there} and {back} bytes, as of a step, between two threads here)",
                    text(times)
                )
            }
            None => "not measured: the address is not of this machine".to_owned(),
        };
        output::say(&format!("{}", target.address()));
        output::say(&format!("step  {}", text(&steps)));
        output::say(&format!("ping  {}   (refused by the peer without the environment)", text(&pings)));
        output::say(&format!("echo  {echoes}"));
    }
    Ok(())
}

/// How long the frames of a Step and of its Result are.
fn step_lengths(target: &Target, session: &mut Session) -> Verdict<(usize, usize)> {
    session.reset(None)?;
    let action = session.actions().sample(&mut Rng::seeded(1));
    target.record().borrow_mut().clear();
    session.step(&action)?;
    let (mut there, mut back) = (0, 0);
    for entry in &*target.record().borrow() {
        match entry {
            Entry::Sent(frame) => there = frame.len(),
            Entry::Received(frame) => back = frame.len(),
            Entry::Note(_) | Entry::SentBytes(_) => {}
        }
    }
    Ok((there, back))
}

fn ping(session: &mut Session) -> Verdict {
    session.connection.ask(Kind::Render, &frames::slots(&[]), "Render of no slot").map(drop)
}

fn steps(target: &Target, session: &mut Session, duration: Duration) -> Verdict<Vec<Duration>> {
    let mut rng = Rng::seeded(1);
    let actions: Vec<_> = (0..ACTIONS).map(|_| session.actions().sample(&mut rng)).collect();
    let mut last: Option<Outcome> = None;
    let mut actions = actions.iter().cycle();
    // A reset, where an episode has ended, counts as a step.
    measure(target, duration, "step", &mut || {
        last = Some(match (last.as_ref().is_none_or(Outcome::is_over), actions.next()) {
            (false, Some(action)) => session.step(action)?,
            _ => session.reset(None)?,
        });
        Ok(())
    })
}

/// The time of each call, for as long as `duration`.
fn measure(
    target: &Target,
    duration: Duration,
    what: &'static str,
    call: &mut dyn FnMut() -> Verdict,
) -> Verdict<Vec<Duration>> {
    let bar = ProgressBar::new(duration.as_millis() as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}%") {
        bar.set_style(style);
    }
    let (began, mut times) = (Instant::now(), vec![]);
    while began.elapsed() < duration || times.is_empty() {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed());
        target.record().borrow_mut().clear();
        if times.len() % 64 == 0 {
            bar.set_position(began.elapsed().as_millis() as u64);
        }
    }
    bar.finish_and_clear();
    times.sort_unstable();
    Ok(times)
}

/// Calls per second, and the quantiles of sorted times in microseconds.
fn summary(times: &[Duration]) -> (f64, [f64; 4]) {
    let total: Duration = times.iter().sum();
    let quantile = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e6;
    (times.len() as f64 / total.as_secs_f64(), [0.5, 0.9, 0.99, 1.0].map(quantile))
}

fn text(times: &[Duration]) -> String {
    let (rate, [p50, p90, p99, max]) = summary(times);
    format!("{rate:>9.0} /s   p50 {p50:.1} µs   p90 {p90:.1} µs   p99 {p99:.1} µs   max {max:.1} µs")
}

fn as_json(times: &[Duration]) -> Json {
    let (rate, [p50, p90, p99, max]) = summary(times);
    json!({"count": times.len(), "per_second": rate, "p50_us": p50, "p90_us": p90, "p99_us": p99, "max_us": max})
}
