//! Equal seeds and equal actions give equal rows, to the bit.

use rlay::{Rng, Space};

use super::{Check, spaces::is_nondeterministic};
use crate::{
    arguments::Level::Determinism,
    connection::{Verdict, failed, not_applicable},
    session::{Outcome, Session},
    target::Target,
};

const STEPS: usize = 30;

pub(crate) fn checks() -> Vec<Check> {
    vec![
        Check::new(Determinism, 8, "twice in one session", |target| {
            let mut session = ready(target)?;
            let first = play(&mut session, 21)?;
            play(&mut session, 22)?;
            let again = play(&mut session, 21)?;
            compare(&first, &again, "twice in one session")?;
            session.goodbye()
        }),
        Check::new(Determinism, 8, "in two sessions", |target| {
            let mut session = ready(target)?;
            let first = play(&mut session, 23)?;
            session.goodbye()?;
            let mut session = ready(target)?;
            let again = play(&mut session, 23)?;
            compare(&first, &again, "in two sessions")?;
            session.goodbye()
        }),
        Check::new(Determinism, 8, "a seed of 0 is a seed", |target| {
            let mut session = ready(target)?;
            let first = play(&mut session, 0)?;
            let again = play(&mut session, 0)?;
            compare(&first, &again, "twice after a seed of 0")?;
            session.goodbye()
        }),
    ]
}

fn ready(target: &Target) -> Verdict<Session> {
    let session = Session::begin(target)?;
    if is_nondeterministic(&session) {
        session.goodbye()?;
        return not_applicable("details say nondeterministic");
    }
    Ok(session)
}

/// A rollout after a seed, over the ends of episodes.
fn play(session: &mut Session, seed: u64) -> Verdict<Vec<Outcome>> {
    let mut rng = Rng::seeded(seed);
    let mut outcomes = vec![session.reset(Some(seed))?];
    for _ in 0..STEPS {
        if outcomes.last().is_some_and(Outcome::is_over) {
            // Goes on with the generator as it is.
            outcomes.push(session.reset(None)?);
        }
        let action = session.actions().sample(&mut rng);
        outcomes.push(session.step(&action)?);
    }
    Ok(outcomes)
}

pub(crate) fn compare(first: &[Outcome], again: &[Outcome], when: &str) -> Verdict {
    let Some(at) = first.iter().zip(again).position(|(one, other)| one.bits() != other.bits()) else { return Ok(()) };
    let (one, other) = (&first[at], &again[at]);
    let what = if one.row.reward.to_bits() != other.row.reward.to_bits() {
        format!("rewards are {:?} and {:?}", one.row.reward, other.row.reward)
    } else if (one.row.terminated, one.row.truncated) != (other.row.terminated, other.row.truncated) {
        "the ends of episodes differ".to_owned()
    } else if one.row.info == other.row.info {
        format!("observations are {:?} and {:?}", one.observation, other.observation)
    } else {
        format!("infos are {:?} and {:?}", one.row.info, other.row.info)
    };
    failed(
        8,
        format!(
            "the same seed and actions {when} gave another row {at}: {what}; if that is meant, set nondeterministic in details"
        ),
    )
}
