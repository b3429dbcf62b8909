//! Spaces, and the actions and observations that cross the wire.

use rlay::{
    AnySpace, DType, Map, Rng, Space, Value, violation,
    wire::{HEADER_LEN, Kind},
};

use super::{Check, boundary};
use crate::{
    arguments::Level::Spaces,
    connection::{Verdict, failed, not_applicable},
    frames,
    session::{Outcome, Session},
    target::Target,
};

/// Steps that observations are looked at for.
const STEPS: usize = 60;

pub(crate) fn checks() -> Vec<Check> {
    let check = |section, name: &str, run: fn(&Target) -> Verdict| Check::new(Spaces, section, name, run);
    vec![
        check(6, "the Spec is written in the one way there is", spec_bytes),
        check(12, "the spaces can be made", |target| {
            let session = Session::begin(target)?;
            match session.spec.check_spaces(&Session::limits()) {
                Ok(()) => session.goodbye(),
                Err(error) => failed(12, error.to_string()),
            }
        }),
        check(8, "metadata, details and modes of the Spec", facts),
        check(7, "actions of the action space are taken", sampled_actions),
        check(6, "actions at the boundary of the action space are taken", boundary_actions),
        check(7, "packed form and values form of an action are the same", both_forms),
        check(6, "observations lie in their space", observations),
        check(7, "an observation that can be packed is packed", packed_observations),
        check(7, "a malformed payload ends the request, not the session", malformed_payloads),
    ]
}

fn spec_bytes(target: &Target) -> Verdict {
    let session = Session::begin(target)?;
    let body = frames::body(|w| session.spec.put(w));
    let sent = &session.spec_frame[HEADER_LEN..];
    if let Some(at) = (0..body.len().max(sent.len())).find(|i| body.get(*i) != sent.get(*i)) {
        return failed(
            3,
            format!("the Spec decodes, but what it says is written otherwise from byte {} on", at + HEADER_LEN),
        );
    }
    for (name, space) in [("observation", &session.spec.observation_space), ("action", session.actions())] {
        if let Some(why) = wasteful(space) {
            return failed(6, format!("{name} space: {why}"));
        }
    }
    session.goodbye()
}

/// A bound that should be written in the shorter form.
fn wasteful(space: &AnySpace) -> Option<String> {
    match space {
        AnySpace::Box(b) => [&b.low, &b.high].into_iter().find_map(|bound| match bound {
            rlay::Bound::Each { values, bounded } => {
                let shorter = rlay::Bound::new(values.clone(), bounded.clone(), b.dtype.size());
                matches!(shorter, rlay::Bound::Uniform { .. })
                    .then(|| format!("all elements of a bound of {space} are alike, which has the first form"))
            }
            rlay::Bound::Uniform { .. } => None,
        }),
        AnySpace::Tuple(spaces) | AnySpace::OneOf(spaces) => spaces.iter().find_map(wasteful),
        AnySpace::Dict(spaces) => spaces.iter().find_map(|(_, space)| wasteful(space)),
        AnySpace::Sequence { space, .. } => wasteful(space),
        AnySpace::Graph { node, edge } => wasteful(node).or_else(|| edge.as_ref().and_then(|edge| wasteful(edge))),
        _ => None,
    }
}

fn facts(target: &Target) -> Verdict {
    let session = Session::begin(target)?;
    let spec = &session.spec;
    if spec.slots == 0 || spec.slots > 1 {
        return failed(10, format!("the Spec has {} slots, and one was asked for", spec.slots));
    }
    if let Some(mode) = &spec.render_mode {
        return failed(8, format!("the render mode in force is {mode:?}, and none was asked for"));
    }
    let Value::Dict(details) = &spec.details else { return failed(8, "details is no Dict") };
    for (key, value) in &details.0 {
        let fits = match key.as_str() {
            Some("reward_threshold") => value.as_f64().is_some(),
            Some("nondeterministic") => value.as_bool().is_some(),
            Some("max_episode_steps") => value.as_i64().is_some(),
            _ => return failed(8, format!("details has the key {key:?}, which is none of the three")),
        };
        if !fits {
            return failed(8, format!("details: {key:?} is {value:?}"));
        }
    }
    session.goodbye()
}

/// Takes a step, beginning another episode where one has ended.
fn play(session: &mut Session, is_over: &mut bool, action: &Value) -> Verdict<Outcome> {
    if *is_over {
        session.reset(None)?;
    }
    let outcome = session.step(action)?;
    *is_over = outcome.is_over();
    Ok(outcome)
}

fn sampled_actions(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    let (mut rng, mut is_over) = (Rng::seeded(11), true);
    for _ in 0..20 {
        let action = session.actions().sample(&mut rng);
        play(&mut session, &mut is_over, &action)?;
    }
    session.goodbye()
}

fn boundary_actions(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    let mut is_over = true;
    for action in boundary::elements(&session.actions().clone(), &mut Rng::seeded(12)) {
        session.connection.note(format!("the action {action:?}"));
        play(&mut session, &mut is_over, &action)?;
    }
    session.goodbye()
}

/// The outcomes of some actions, all in one form. None: the env reads no values (section 15).
fn in_form(target: &Target, is_packed: bool) -> Verdict<Option<Vec<Outcome>>> {
    let mut session = Session::begin(target)?;
    let (mut rng, mut is_over, mut outcomes) = (Rng::seeded(13), false, vec![]);
    outcomes.push(session.reset(Some(13))?);
    for _ in 0..10 {
        let action = session.actions().sample(&mut rng);
        if is_over {
            outcomes.push(session.reset(None)?);
        }
        let seq = session.send_step(&action, is_packed);
        let answer = session.connection.answer(seq, "Step")?;
        if !is_packed && answer.fault().is_some_and(|fault| fault.code == 3) {
            session.goodbye()?;
            return Ok(None);
        }
        let outcome = session.outcome(&answer, false)?;
        is_over = outcome.is_over();
        outcomes.push(outcome);
    }
    session.goodbye()?;
    Ok(Some(outcomes))
}

fn both_forms(target: &Target) -> Verdict {
    let session = Session::begin(target)?;
    let (is_fixed, is_random) = (session.actions().is_fixed(), is_nondeterministic(&session));
    session.goodbye()?;
    if !is_fixed {
        return not_applicable("the action space has no packed form");
    }
    let packed = in_form(target, true)?;
    let Some(values) = in_form(target, false)? else {
        return not_applicable("the env reads actions in the packed form alone, which section 15 allows");
    };
    let packed = packed.unwrap_or_default();
    if is_random {
        return Ok(());
    }
    match packed.iter().zip(&values).position(|(one, other)| one.bits() != other.bits()) {
        Some(at) => failed(
            7,
            format!(
                "after {at} equal answers, an action in the values form led to another row than the same action packed: {:?} and {:?}",
                values[at].observation, packed[at].observation
            ),
        ),
        None => Ok(()),
    }
}

/// Whether the env says that equal seeds do not give equal rows.
pub(crate) fn is_nondeterministic(session: &Session) -> bool {
    session.spec.details.get("nondeterministic").and_then(Value::as_bool).unwrap_or(false)
}

pub(crate) fn each_observation(target: &Target, look: impl Fn(&Session, &Outcome) -> Verdict) -> Verdict {
    let mut session = Session::begin(target)?;
    let (mut rng, mut is_over) = (Rng::seeded(14), false);
    let first = session.reset(Some(14))?;
    look(&session, &first)?;
    for _ in 0..STEPS {
        if is_over {
            let first = session.reset(None)?;
            look(&session, &first)?;
        }
        let action = session.actions().sample(&mut rng);
        let outcome = session.step(&action)?;
        look(&session, &outcome)?;
        is_over = outcome.is_over();
    }
    session.goodbye()
}

fn observations(target: &Target) -> Verdict {
    each_observation(target, |session, outcome| {
        match violation(&session.spec.observation_space, &outcome.observation, "observation") {
            Some(why) => failed(6, why),
            None => Ok(()),
        }
    })
}

fn packed_observations(target: &Target) -> Verdict {
    each_observation(target, |session, outcome| {
        let space = &session.spec.observation_space;
        if outcome.is_packed || frames::packed(space, &outcome.observation).is_none() {
            return Ok(());
        }
        failed(7, format!("the observation {:?} travels in the values form, and could be packed", outcome.observation))
    })
}

fn malformed_payloads(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    session.reset(None)?;
    let space = session.actions().clone();
    let action = space.sample(&mut Rng::seeded(15));
    let mut bodies = vec![
        ("a value of an unknown tag", frames::step(&[0], false, &99u32.to_le_bytes())),
        ("a value with a byte behind it", frames::step(&[0], false, &[frames::value(&action), vec![0]].concat())),
        (
            "an array of bools that are neither 0 nor 1",
            frames::step(
                &[0],
                false,
                &frames::body(|w| {
                    w.put((10u32, 0u32, 1u64, 1u64));
                    w.bytes(&[2]);
                }),
            ),
        ),
        ("no value at all", frames::step(&[0], false, b"")),
        (
            "a Dict with a list as its key",
            frames::step(&[0], false, &frames::body(|w| w.put((9u32, 1u64, 7u32, 0u64, 0u32)))),
        ),
    ];
    match frames::packed(&space, &action) {
        Some(packed) => {
            let short = packed[..packed.len().saturating_sub(8)].to_vec();
            bodies.push(("packed bytes that end too early", frames::step(&[0], true, &short)));
            bodies
                .push(("packed bytes with eight too many", frames::step(&[0], true, &[&packed[..], &[0; 8]].concat())));
            if let AnySpace::Box(b) = &space
                && b.dtype == DType::Bool
                && !packed.is_empty()
            {
                let bytes = [&[2], &packed[1..]].concat();
                bodies.push(("packed bools that are neither 0 nor 1", frames::step(&[0], true, &bytes)));
            }
            if let AnySpace::Discrete(_) = space {
                let marked = |at: usize, byte: u8| {
                    let mut bytes = packed.clone();
                    bytes[at] = byte;
                    frames::step(&[0], true, &bytes)
                };
                bodies.push(("a mark of a Discrete that is neither 0 nor 1", marked(8, 7)));
                bodies.push(("padding of a Discrete that is not 0", marked(12, 1)));
            }
        }
        None => bodies.push(("packed bytes for a space without that form", frames::step(&[0], true, &[0; 8]))),
    }
    for (what, body) in bodies {
        if body.len() == frames::step(&[0], true, b"").len() && space == AnySpace::Tuple(vec![]) {
            continue;
        }
        let is_packed = body.get(12..16) == Some(&[0; 4][..]);
        let answer = session.connection.ask(Kind::Step, &body, &format!("a Step with {what}"))?;
        let code = answer.fault().map(|fault| fault.code);
        // An env that reads no values says so with Error 3 (section 15).
        if code != Some(8) && (is_packed || code != Some(3)) {
            return failed(7, format!("a Step with {what} must be answered by Error 8, not by {}", answer.words()));
        }
    }
    session.step(&action)?;
    session.reset_with(None, &Map::new().into())?;
    session.goodbye()
}
