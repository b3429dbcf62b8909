//! `rlay inspect`: what is hosted at an address.

use std::time::{Duration, Instant};

use rlay::{Result, wire::Kind};
use serde_json::json;

use crate::{
    arguments::InspectArguments,
    frames, json, output,
    session::{Session, error},
    target::{Target, Wish},
};

/// How many round trips are measured.
const TRIPS: usize = 20;

/// Prints spaces, metadata, details, attributes, and what the peer says of itself.
///
/// # Errors
/// Where there is no session with the peer, or the environment cannot be made.
pub(crate) fn inspect(arguments: &InspectArguments) -> Result<()> {
    let target = Target::new(&arguments.peer)?;
    if target.is_listening() {
        output::complain(&format!("listening at {}", target.address()));
    }
    target.await_peer()?;
    let mut session =
        Session::begin_with(&target, Wish { is_resumable: true, ..Wish::default() }, &target.make()).map_err(error)?;
    let trips = round_trips(&mut session).map_err(error)?;
    let (spec, greeting) = (session.spec.clone(), session.greeting.clone());
    session.goodbye().map_err(error)?;

    let address = target.address();
    let milliseconds = trips.as_secs_f64() * 1e3;
    if arguments.json {
        let shown = json!({
            "address": address.to_string(),
            "transport": address.scheme(),
            "peer": greeting.peer,
            "wire": [greeting.wire.0, greeting.wire.1],
            "max_frame": greeting.max_frame,
            "resumable": greeting.ticket.is_some(),
            "round_trip_ms": milliseconds,
            "env_id": spec.env_id,
            "observation_space": spec.observation_space.to_string(),
            "action_space": spec.action_space.to_string(),
            "slots": spec.slots,
            "autoreset": spec.autoreset_mode.to_string(),
            "render_mode": spec.render_mode,
            "metadata": json::of(&spec.metadata),
            "details": json::of(&spec.details),
            "attributes": spec.attributes,
        });
        output::say(&shown.to_string());
        return Ok(());
    }
    let id = if spec.env_id.is_empty() { "(no id)" } else { &spec.env_id };
    let attributes = if spec.attributes.is_empty() { "none".to_owned() } else { spec.attributes.join(", ") };
    let resumable = if greeting.ticket.is_some() { "yes" } else { "no" };
    for (name, value) in [
        ("environment", id.to_owned()),
        ("observations", spec.observation_space.to_string()),
        ("actions", spec.action_space.to_string()),
        ("metadata", json::of(&spec.metadata).to_string()),
        ("details", json::of(&spec.details).to_string()),
        ("attributes", attributes),
        ("autoreset", spec.autoreset_mode.to_string()),
        ("peer", greeting.peer.clone()),
        ("wire number", greeting.wire.0.to_string()),
        ("frame limit", format!("{} bytes", greeting.max_frame)),
        ("resumable", resumable.to_owned()),
        ("transport", address.scheme().to_owned()),
        ("round trip", format!("{milliseconds:.3} ms")),
    ] {
        output::say(&format!("{name:<13} {}", rlay::printable::sentence(&value)));
    }
    Ok(())
}

/// The median of some round trips. A request about no slot is refused without the environment.
pub(crate) fn round_trips(session: &mut Session) -> crate::connection::Verdict<Duration> {
    let mut times = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        let began = Instant::now();
        session.connection.ask(Kind::Render, &frames::slots(&[]), "Render of no slot")?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[TRIPS / 2])
}
