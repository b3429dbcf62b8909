//! What Gymnasium asks of an environment, as far as it can be seen from outside.

use std::time::{Duration, Instant};

use rlay::{
    DType, Rng, Space, Value,
    wire::{AutoresetMode, Kind, Make, Message},
};

use super::{Check, values};
use crate::{
    arguments::Level::Contract,
    connection::{Verdict, failed, not_applicable},
    frames,
    session::{Outcome, Session},
    target::{Target, Wish},
};

/// How long and how far an episode is followed.
const STEPS: usize = 1000;
const TIME: Duration = Duration::from_secs(2);

pub(crate) fn checks() -> Vec<Check> {
    let check = |section, name: &str, run: fn(&Target) -> Verdict| Check::new(Contract, section, name, run);
    vec![
        check(8, "first, rewards and flags of rows", rows),
        check(8, "options None and an empty Dict", |target| {
            let mut session = Session::begin(target)?;
            session.reset_with(None, &Value::None)?;
            session.reset_with(None, &rlay::Map::new().into())?;
            session.goodbye()
        }),
        check(10, "Reset amid an episode", |target| {
            let mut session = Session::begin(target)?;
            let mut rng = Rng::seeded(31);
            for _ in 0..3 {
                session.reset(None)?;
                let action = session.actions().sample(&mut rng);
                session.step(&action)?;
            }
            session.goodbye()
        }),
        check(10, "what follows the end of an episode", after_the_end),
        check(8, "autoreset as it was asked for", autoreset),
        check(8, "Render without a mode", |target| {
            let mut session = Session::begin(target)?;
            session.reset(None)?;
            let answer = session.connection.ask(Kind::Render, &frames::slots(&[0]), "Render")?;
            match answer.message()? {
                Message::Frames(_) | Message::Error(_) => {}
                _ => return failed(8, format!("Render was answered by {}", answer.words())),
            }
            session.reset(None)?;
            session.goodbye()
        }),
        check(8, "render in each declared mode", render),
    ]
}

fn rows(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    let mut rng = Rng::seeded(32);
    let mut last: Option<Outcome> = None;
    for _ in 0..100 {
        if last.as_ref().is_none_or(Outcome::is_over) {
            let first = session.reset(None)?;
            if first.row.reward.to_bits() != 0 {
                return failed(8, format!("the reward in answer to Reset is {:?}, and must be 0.0", first.row.reward));
            }
        }
        let action = session.actions().sample(&mut rng);
        let outcome = session.step(&action)?;
        if !outcome.row.reward.is_finite() {
            return failed(8, format!("the reward is {:?}", outcome.row.reward));
        }
        last = Some(outcome);
    }
    session.goodbye()
}

/// Steps until the episode has ended; None if that takes too long.
fn to_the_end(session: &mut Session, rng: &mut Rng) -> Verdict<Option<Outcome>> {
    let began = Instant::now();
    for _ in 0..STEPS {
        let action = session.actions().sample(rng);
        let outcome = session.step(&action)?;
        if outcome.is_over() {
            return Ok(Some(outcome));
        }
        if began.elapsed() > TIME {
            break;
        }
    }
    Ok(None)
}

fn after_the_end(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    let mut rng = Rng::seeded(33);
    session.reset(Some(33))?;
    if to_the_end(&mut session, &mut rng)?.is_none() {
        session.goodbye()?;
        return not_applicable("no episode of random actions ended in time");
    }
    session.reset(None)?;
    to_the_end(&mut session, &mut rng)?;
    // What that means is for the environment to say.
    let action = session.actions().sample(&mut rng);
    let seq = session.send_step(&action, true);
    let answer = session.connection.answer(seq, "Step after the end of an episode")?;
    match answer.fault() {
        Some(fault) if fault.code == 9 => {}
        _ => drop(session.outcome(&answer, false)?),
    }
    session.reset(None)?;
    let action = session.actions().sample(&mut rng);
    session.step(&action)?;
    session.goodbye()
}

fn autoreset(target: &Target) -> Verdict {
    let mut is_seen = false;
    for wanted in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
        let make = Make { autoreset_mode: wanted, ..target.make() };
        let mut session = Session::begin_with(target, Wish::default(), &make)?;
        let mode = session.spec.autoreset_mode;
        if mode == AutoresetMode::Disabled {
            // It leaves that to the agent.
            session.goodbye()?;
            continue;
        }
        if mode != wanted {
            return failed(8, format!("autoreset {wanted} was asked for, and the Spec says {mode}"));
        }
        let mut rng = Rng::seeded(34);
        session.reset(Some(34))?;
        let Some(end) = to_the_end(&mut session, &mut rng)? else {
            session.goodbye()?;
            continue;
        };
        is_seen = true;
        let is_first = match mode {
            AutoresetMode::SameStep => end.row.first,
            _ => {
                let action = session.actions().sample(&mut rng);
                let next = session.step(&action)?;
                if next.row.reward != 0.0 || next.is_over() {
                    return failed(8, "the row of an automatic reset says a reward, terminated or truncated");
                }
                next.row.first && !end.row.first
            }
        };
        if !is_first {
            return failed(8, format!("first is not where autoreset {mode} has it"));
        }
        session.goodbye()?;
    }
    if is_seen { Ok(()) } else { not_applicable("the env leaves that to the agent, or no episode ended in time") }
}

/// The render modes that the metadata lists, but `human`, which opens a window.
pub(crate) fn declared_modes(session: &Session) -> Vec<String> {
    let modes = match session.spec.metadata.get("render_modes") {
        Some(Value::List(modes) | Value::Tuple(modes)) => &modes[..],
        _ => &[],
    };
    modes.iter().filter_map(Value::as_str).filter(|mode| *mode != "human").map(str::to_owned).collect()
}

fn render(target: &Target) -> Verdict {
    let session = Session::begin(target)?;
    let modes = declared_modes(&session);
    session.goodbye()?;
    if modes.is_empty() {
        return not_applicable("metadata has no render_modes but human, which opens a window");
    }
    for mode in modes {
        let make = Make { render_mode: Some(mode.clone()), ..target.make() };
        let mut session = Session::begin_with(target, Wish::default(), &make)?;
        if session.spec.render_mode.as_ref() != Some(&mode) {
            let told = &session.spec.render_mode;
            return failed(8, format!("the render mode {mode:?} was asked for, and the Spec says {told:?}"));
        }
        session.reset(Some(35))?;
        let action = session.actions().sample(&mut Rng::seeded(35));
        session.step(&action)?;
        let answer = session.connection.ask(Kind::Render, &frames::slots(&[0]), &format!("Render in mode {mode:?}"))?;
        let Message::Frames(frames) = answer.message()? else {
            return failed(8, format!("Render in mode {mode:?} was answered by {}", answer.words()));
        };
        let [(0, frame)] = &frames.0[..] else {
            return failed(
                8,
                format!("the Frames are about the slots {:?}", frames.0.iter().map(|f| f.0).collect::<Vec<_>>()),
            );
        };
        if let Some(why) = misfit(&mode, frame) {
            return failed(8, format!("mode {mode:?}: {why}"));
        }
        values::without_opaque(frame, &format!("a frame of mode {mode:?}"))?;
        session.goodbye()?;
    }
    Ok(())
}

/// What is wrong with a frame of this mode.
fn misfit(mode: &str, frame: &Value) -> Option<String> {
    match (mode, frame) {
        ("rgb_array", Value::Array(array)) if array.dtype == DType::U8 && matches!(array.shape[..], [_, _, 3]) => None,
        ("ansi", Value::Str(_)) => None,
        (list, Value::List(_)) if list.ends_with("_list") => None,
        ("rgb_array", _) => {
            Some(format!("it is {}, not an array of uint8 of shape (height, width, 3)", frame.type_name()))
        }
        ("ansi", _) => Some(format!("it is {}, not a str", frame.type_name())),
        (list, _) if list.ends_with("_list") => Some(format!("it is {}, not a list", frame.type_name())),
        _ => None,
    }
}
