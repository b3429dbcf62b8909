//! Attributes that the Spec lists, and one that it does not.

use rlay::wire::{Kind, Message};

use super::{
    conversation::{USAGE, refused},
    values::{without_double_keys, without_opaque},
};
use crate::{
    connection::{Verdict, failed, not_applicable},
    frames,
    session::Session,
    target::Target,
};

pub(crate) fn unlisted(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    let name = "an attribute that no env lists";
    refused(&mut session.connection, Kind::Attribute, &frames::attribute(&[0], name), USAGE, "an unlisted attribute")?;
    session.reset(None)?;
    session.goodbye()
}

/// The environment need not have what the env lists, which is an error of the environment.
pub(crate) fn listed(target: &Target) -> Verdict {
    let mut session = Session::begin(target)?;
    session.reset(None)?;
    let names = session.spec.attributes.clone();
    if names.is_empty() {
        session.goodbye()?;
        return not_applicable("the Spec lists no attributes");
    }
    for name in names {
        let what = format!("to get the listed attribute {name:?}");
        let answer = session.connection.ask(Kind::Attribute, &frames::attribute(&[0], &name), &what)?;
        let returned = match answer.message()? {
            Message::Returned(returned) => returned,
            Message::Error(fault) if fault.code == 9 => continue,
            _ => return failed(8, format!("{what} is answered by Returned or Error 9, not by {}", answer.words())),
        };
        let [(0, value)] = &returned.0[..] else {
            let slots: Vec<u32> = returned.0.iter().map(|row| row.0).collect();
            return failed(8, format!("{what}, of slot 0, was answered with the slots {slots:?}"));
        };
        if let Some(value) = value {
            without_opaque(value, &format!("the attribute {name:?}"))?;
            without_double_keys(value, &format!("the attribute {name:?}"))?;
        }
    }
    session.reset(None)?;
    session.goodbye()
}
