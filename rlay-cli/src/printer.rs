//! The frame printer: what the bytes of a frame mean, in words.

use std::fmt::Write;

use rlay::{
    Limits, Space, printable,
    wire::{HEADER_LEN, Header, Message, Payload, Reader, Role},
};

/// Most bytes of a frame that are shown.
const SHOWN: usize = 160;

/// One line that says what a frame is.
pub(crate) fn words(frame: &[u8]) -> String {
    let limits = Limits::default();
    let mut reader = Reader::new(frame, 0, &limits);
    let header = match Header::read(&mut reader) {
        Ok(header) => header,
        Err(error) => return format!("{} bytes: {error}", frame.len()),
    };
    let said = match Message::read(header, reader) {
        Ok(message) => meaning(&message),
        Err(error) => error.to_string(),
    };
    let Header { kind, seq, ack, re } = header;
    let text = format!("{kind:?} seq {seq} ack {ack} re {re}, {} bytes: {said}", frame.len());
    printable::sentence(&text).into_owned()
}

/// The bytes in rows of 32, the header in a row of its own.
pub(crate) fn hex(bytes: &[u8], indent: &str) -> String {
    let mut out = String::new();
    for (i, row) in bytes[..bytes.len().min(SHOWN)].chunks(HEADER_LEN).enumerate() {
        let digits: Vec<String> = row.chunks(8).map(|word| word.iter().map(|b| format!("{b:02x}")).collect()).collect();
        let _ = writeln!(out, "{indent}{:02x}  {}", i * HEADER_LEN, digits.join(" "));
    }
    if bytes.len() > SHOWN {
        let _ = writeln!(out, "{indent}… {} bytes more", bytes.len() - SHOWN);
    }
    out
}

fn meaning(message: &Message<'_>) -> String {
    match message {
        Message::Hello(hello) => format!(
            "the dialer is an {}, speaks wire {} to {}, auth {}, features {}, max_frame {}, {:?}{}",
            if hello.role == Role::Agent { "agent" } else { "env" },
            hello.wire_min,
            hello.wire_max,
            hello.auth,
            hello.features,
            hello.max_frame,
            hello.peer,
            if hello.resume.is_some() { ", resumes a session" } else { "" }
        ),
        Message::Challenge(_) => "asks for proof of the token".to_owned(),
        Message::Proof(_) => "proof of the token".to_owned(),
        Message::Welcome(welcome) => format!(
            "wire {}, features {}, max_frame {}, {:?}, {} proof, {} ticket",
            welcome.wire,
            welcome.features,
            welcome.max_frame,
            welcome.peer,
            if welcome.proof.is_some() { "a" } else { "no" },
            if welcome.ticket.is_some() { "a" } else { "no" },
        ),
        Message::Reject(reject) => format!("code {}: {}", reject.code, reject.message),
        Message::Goodbye(goodbye) => format!("code {}: {}", goodbye.code, goodbye.message),
        Message::Error(fault) => format!(
            "{} error {}: {} {}",
            if fault.fatal { "fatal" } else { "non-fatal" },
            fault.code,
            fault.failure.error_type,
            fault.failure.message
        ),
        Message::Make(make) => format!(
            "make {:?} with {:?}, render mode {:?}, {} slots, autoreset {}",
            make.env_id, make.kwargs, make.render_mode, make.slots, make.autoreset_mode
        ),
        Message::Reset(reset) => {
            let rows: Vec<String> = reset
                .rows
                .iter()
                .map(|(slot, seed)| match seed {
                    Some(seed) if seed.0.len() <= 8 => format!("slot {slot} seed {}", seed.to_u64().unwrap_or(0)),
                    Some(seed) => format!("slot {slot} seed of {} bytes", seed.0.len()),
                    None => format!("slot {slot} without a seed"),
                })
                .collect();
            format!("{}; options {:?}", rows.join(", "), reset.options)
        }
        Message::Step(slots, payload) => format!("slots {:?}, {}", &slots[..], form(payload)),
        Message::Render(slots) => format!("slots {:?}", &slots[..]),
        Message::Attribute(attribute) => {
            format!("{:?} of slots {:?}: {:?}", attribute.name, &attribute.slots[..], attribute.access)
        }
        Message::Close(_) | Message::Closed(_) => "the environment".to_owned(),
        Message::Spec(spec) => format!(
            "{:?}: observations {}, actions {}, {} slots, autoreset {}, render mode {:?}",
            spec.env_id,
            spec.observation_space.describe(),
            spec.action_space.describe(),
            spec.slots,
            spec.autoreset_mode,
            spec.render_mode
        ),
        Message::Result(rows, payload) => {
            let rows: Vec<String> = rows
                .iter()
                .map(|row| {
                    let flags = [
                        (row.first, "first"),
                        (row.last, "last"),
                        (row.terminated, "terminated"),
                        (row.truncated, "truncated"),
                    ];
                    let flags: Vec<_> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
                    format!("slot {} reward {:?} [{}] info {:?}", row.slot, row.reward, flags.join(" "), row.info)
                })
                .collect();
            format!("{}; {}", rows.join(", "), form(payload))
        }
        Message::Frames(frames) => format!("{:?}", frames.0),
        Message::Returned(returned) => format!("{:?}", returned.0),
        Message::Reserved(kind) => format!("{kind:?} is reserved"),
    }
}

fn form(payload: &Payload<'_>) -> String {
    let form = if payload.packed { "packed" } else { "values" };
    format!("payload in the {form} form, {} bytes", payload.reader.remaining())
}
