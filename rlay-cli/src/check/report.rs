//! The report of the judge: what passed, what failed and by which bytes, as text or as JSON.

use std::time::{Duration, Instant};

use rlay::printable;
use serde_json::{Value as Json, json};

use crate::{arguments::Level, connection::Entry, output, printer};

/// Most entries of a record that are shown; what matters is at its end.
const SHOWN: usize = 12;

/// What came of a check.
pub(crate) enum Result {
    Passed,
    NotApplicable(String),
    Failed { section: u8, why: String, record: Vec<Entry> },
}

/// A check and what came of it.
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) section: u8,
    pub(crate) name: String,
    pub(crate) found: Result,
    pub(crate) took: Duration,
}

/// All findings. Text is printed as they come.
pub(crate) struct Report {
    address: String,
    is_json: bool,
    began: Instant,
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(address: String, is_json: bool) -> Self {
        Self { address, is_json, began: Instant::now(), findings: vec![] }
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        if !self.is_json {
            if self.findings.last().is_none_or(|last| last.level != finding.level) {
                output::say(name(finding.level));
            }
            output::say(&text(&finding));
        }
        self.findings.push(finding);
    }

    /// How many checks failed because nothing came.
    pub(crate) fn silences(&self) -> usize {
        let is_silent = |finding: &&Finding| match &finding.found {
            Result::Failed { record, .. } => {
                matches!(record.last(), Some(Entry::Note(text)) if text.starts_with("nothing came"))
            }
            _ => false,
        };
        self.findings.iter().filter(is_silent).count()
    }

    pub(crate) fn has_failures(&self) -> bool {
        self.findings.iter().any(|finding| matches!(finding.found, Result::Failed { .. }))
    }

    /// Prints the summary, or all of it as JSON.
    pub(crate) fn finish(&self) {
        let count = |is: fn(&Result) -> bool| self.findings.iter().filter(|finding| is(&finding.found)).count();
        let passed = count(|found| matches!(found, Result::Passed));
        let failed = count(|found| matches!(found, Result::Failed { .. }));
        let others = count(|found| matches!(found, Result::NotApplicable(_)));
        let seconds = self.began.elapsed().as_secs_f64();
        if self.is_json {
            let checks: Vec<Json> = self.findings.iter().map(as_json).collect();
            let report = json!({
                "address": self.address, "passed": passed, "failed": failed, "not_applicable": others,
                "seconds": seconds, "checks": checks,
            });
            output::say(&report.to_string());
        } else {
            output::say(&format!(
                "{}: {passed} passed, {failed} failed, {others} do not apply, in {seconds:.1} s",
                self.address
            ));
        }
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Handshake => "handshake",
        Level::Conversation => "conversation",
        Level::Spaces => "spaces",
        Level::Determinism => "determinism",
        Level::Resilience => "resilience",
        Level::Contract => "contract",
    }
}

fn text(finding: &Finding) -> String {
    let Finding { name, section, .. } = finding;
    match &finding.found {
        Result::Passed => format!("  ok    {name} (section {section})"),
        Result::NotApplicable(why) => format!("  --    {name}: does not apply: {}", printable::sentence(why)),
        Result::Failed { section, why, record } => {
            let mut out = format!("  FAIL  {name} (section {section})\n        {}", printable::sentence(why));
            let skipped = record.len().saturating_sub(SHOWN);
            if skipped > 0 {
                out.push_str(&format!("\n        … {skipped} entries before"));
            }
            for entry in &record[skipped..] {
                out.push_str("\n        ");
                out.push_str(&shown(entry));
            }
            out
        }
    }
}

fn shown(entry: &Entry) -> String {
    let (what, bytes, words) = parts(entry);
    match bytes {
        Some(bytes) => format!("{what}: {words}\n{}", printer::hex(bytes, "            ")).trim_end().to_owned(),
        None => format!("{what}: {words}"),
    }
}

/// The direction of an entry, its bytes, and what they mean.
fn parts(entry: &Entry) -> (&'static str, Option<&[u8]>, String) {
    match entry {
        Entry::Note(text) => ("note", None, printable::sentence(text).into_owned()),
        Entry::Sent(frame) => ("sent", Some(frame), printer::words(frame)),
        Entry::SentBytes(bytes) => ("sent", Some(bytes), format!("{} bytes that are no frame", bytes.len())),
        Entry::Received(frame) => ("received", Some(frame), printer::words(frame)),
    }
}

fn as_json(finding: &Finding) -> Json {
    let base = json!({
        "level": name(finding.level), "name": finding.name, "section": finding.section,
        "seconds": finding.took.as_secs_f64(),
    });
    let more = match &finding.found {
        Result::Passed => json!({"result": "passed"}),
        Result::NotApplicable(why) => json!({"result": "not applicable", "why": why}),
        Result::Failed { section, why, record } => {
            let record: Vec<Json> = record
                .iter()
                .map(|entry| {
                    let (what, bytes, words) = parts(entry);
                    let hex = bytes.map(|bytes| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>());
                    json!({"what": what, "words": words, "hex": hex})
                })
                .collect();
            json!({"result": "failed", "section": section, "why": why, "record": record})
        }
    };
    let (Json::Object(mut all), Json::Object(more)) = (base, more) else { return Json::Null };
    all.extend(more);
    Json::Object(all)
}
