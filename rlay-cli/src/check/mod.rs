//! `rlay check`: the judge. It plays the agent against any implementation of docs/wire.md, by raw frames.

mod attributes;
mod boundary;
mod contract;
mod conversation;
mod determinism;
mod handshake;
mod limits;
mod malformed;
mod report;
mod resilience;
mod spaces;
mod values;

use std::time::Instant;

use rlay::{Result, Rng, Space};

use crate::{
    FAILED, GOOD,
    arguments::{CheckArguments, Level},
    connection::{Stop, Verdict},
    output,
    session::Session,
    target::Target,
};

use report::{Finding, Report, Result as Found};

/// After so many checks in which the peer did not answer in time, answers are waited for less.
const SILENT: usize = 4;

/// One demand of docs/wire.md.
pub(crate) struct Check {
    level: Level,
    /// The section that demands it, unless a failure says another.
    section: u8,
    name: String,
    run: Box<dyn Fn(&Target) -> Verdict>,
}

impl Check {
    fn new(level: Level, section: u8, name: impl Into<String>, run: impl Fn(&Target) -> Verdict + 'static) -> Self {
        Self { level, section, name: name.into(), run: Box::new(run) }
    }
}

/// Runs the checks and prints what they found.
///
/// # Errors
/// Where the peer cannot be reached at all.
pub(crate) fn check(arguments: &CheckArguments) -> Result<u8> {
    let target = Target::new(&arguments.peer)?;
    if target.is_listening() {
        output::complain(&format!("listening at {}", target.address()));
    }
    target.await_peer()?;
    let all = [
        handshake::checks(target.token.is_some()),
        conversation::checks(),
        malformed::checks(),
        spaces::checks(),
        values::checks(),
        determinism::checks(),
        resilience::checks(),
        contract::checks(),
    ];
    let wanted = |level: Level| arguments.level.is_empty() || arguments.level.contains(&level);
    let mut report = Report::new(target.address().to_string(), arguments.json);
    for check in all.into_iter().flatten().filter(|check| wanted(check.level)) {
        report.add(judge(&target, &check));
        if report.silences() == SILENT {
            target.shorten_timeout();
        }
    }
    report.finish();
    Ok(if report.has_failures() { FAILED } else { GOOD })
}

/// Plays an ordinary session. Dialers wait for longer and longer after sessions that end before their first step, as
/// those of most checks do; one that was played ends that.
fn calm(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    session.reset(None)?;
    let action = session.actions().sample(&mut Rng::seeded(1));
    session.step(&action)?;
    session.goodbye()
}

fn judge(target: &Target, check: &Check) -> Finding {
    if target.is_listening() {
        // What is wrong with it shows in the checks.
        let _ = calm(target);
    }
    target.record().borrow_mut().clear();
    let began = Instant::now();
    let verdict = (check.run)(target);
    let found = match verdict {
        Ok(()) => Found::Passed,
        Err(Stop::NotApplicable(why)) => Found::NotApplicable(why),
        Err(Stop::Failed { section, why }) => Found::Failed { section, why, record: target.record().borrow().clone() },
    };
    Finding { level: check.level, section: check.section, name: check.name.clone(), found, took: began.elapsed() }
}
