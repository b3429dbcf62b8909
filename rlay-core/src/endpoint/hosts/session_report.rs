//! SessionReport: what a host knows of one agent's stay, and says of it in the log: that it joined, and how it left.

use crate::{
    endpoint::history::History,
    error::{Error, Result},
    printable::{indented, sentence},
};

/// One agent's stay with a host.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct SessionReport {
    /// Set when the agent has asked for an environment: why there was none, if so.
    asked: Option<Result<()>>,
    is_joined: bool,
    is_told: bool,
    steps: u64,
    episodes: u64,
    /// Whether the agent closed its environment before it left.
    is_closed: bool,
    /// How the agent said goodbye.
    goodbye: Option<String>,
}

impl SessionReport {
    /// The agent has asked for an environment, and this came of it.
    pub(in crate::endpoint) fn asked(&mut self, made: &Result<()>) {
        self.is_joined |= made.is_ok();
        self.asked = Some(made.clone());
    }

    pub(in crate::endpoint) fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(in crate::endpoint) fn reset(&mut self) {
        self.episodes += 1;
    }

    /// A step was taken; whether it was the first.
    pub(in crate::endpoint) fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps == 1
    }

    pub(in crate::endpoint) fn closed(&mut self) {
        self.is_closed = true;
    }

    /// The host itself ends the stay.
    pub(in crate::endpoint) fn is_ended_here(&mut self) {
        self.is_closed = true;
        self.goodbye = Some("this host was closed".into());
    }

    pub(in crate::endpoint) fn has_joined(&self) -> bool {
        self.is_joined
    }

    pub(in crate::endpoint) fn goodbye(&mut self, said: &Error) {
        self.goodbye = Some(said.to_string());
    }

    /// Says once that an agent has joined.
    pub(in crate::endpoint) fn news(&mut self, peer: impl FnOnce() -> String) -> Option<String> {
        if self.is_told || !self.is_joined {
            return None;
        }
        self.is_told = true;
        Some(format!("{}: an agent joined", peer()))
    }

    /// Says how the session ended, unless that was said of another one: `result` is what ended it. Whether it is a
    /// warning.
    pub(in crate::endpoint) fn end(
        &self,
        peer: &str,
        result: &Result<()>,
        history: &History,
    ) -> Option<(bool, String)> {
        let comes_to_nothing = self.steps == 0 && !self.is_closed;
        if comes_to_nothing {
            history.came_to_nothing();
        }
        let why = match (result, &self.goodbye) {
            (Err(error), _) => error.to_string(),
            (Ok(()), Some(said)) => said.clone(),
            (Ok(()), None) => "the connection was closed".into(),
        };
        let why = sentence(&why);
        let text = match &self.asked {
            None => format!("the session ended before the agent asked for an environment: {why}"),
            Some(Err(error)) => {
                format!("no environment was made for the agent: {}", sentence(&error.to_string()))
            }
            Some(Ok(())) if comes_to_nothing => format!("the agent left before its first step: {why}"),
            Some(Ok(())) => {
                let (steps, episodes) = (count(self.steps, "step"), count(self.episodes, "episode"));
                format!("the agent left after {steps} in {episodes}: {why}")
            }
        };
        let is_wrong = result.is_err() || matches!(self.asked, Some(Err(_)));
        if !comes_to_nothing {
            // Each stay is told, but what went wrong is a warning once.
            let is_news = is_wrong && history.count(&format!("{peer}: {why}")).is_some();
            return Some((is_news, format!("{peer}: {text}")));
        }
        let (line, times) = history.line(peer, &text)?;
        Some((is_wrong || times > 1, line + &self.traceback()))
    }

    /// Where the environment's own code failed to make one, for its author.
    fn traceback(&self) -> String {
        let error = self.asked.as_ref().and_then(|made| made.as_ref().err());
        match error.and_then(Error::env_failure) {
            Some(failure) if !failure.traceback.is_empty() => indented(&failure.traceback),
            _ => String::new(),
        }
    }
}

pub(in crate::endpoint) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_a_peer_says_cannot_play_with_a_terminal() {
        let mut report = SessionReport::default();
        report.asked(&Ok(()));
        report.step();
        report.goodbye(&Error::new(ErrorKind::Closed, format!("bye\x1b[2J\n{}", "x".repeat(1 << 20))));
        let (is_warning, line) = report.end("tcp://a:1", &Ok(()), &History::default()).expect("it is told");
        assert!(!is_warning);
        let beginning = r"tcp://a:1: the agent left after 1 step in 0 episodes: bye\x1b[2J\nxxx";
        assert!(line.starts_with(beginning), "{line}");
        assert!(line.len() < 3000 && !line.contains(char::is_control));
    }

    #[test]
    fn what_comes_to_nothing_is_said_once_and_becomes_a_warning_when_it_does_not_end() {
        let (history, mut said) = (History::default(), vec![]);
        for port in 0..100 {
            let mut report = SessionReport::default();
            report.asked(&Ok(()));
            said.extend(report.end(&format!("tcp://a:{port}"), &Ok(()), &history));
        }
        let text = "the agent left before its first step: the connection was closed";
        let expected = [
            (false, format!("tcp://a:0: {text}")),
            (true, format!("tcp://a:9: {text} (10 times so far)")),
            (true, format!("tcp://a:99: {text} (100 times so far)")),
        ];
        assert_eq!(said, expected);
        assert_eq!(history.pause().as_secs(), 5);
    }

    #[test]
    fn an_agent_that_closes_its_environment_has_not_come_to_nothing() {
        let (history, mut report) = (History::default(), SessionReport::default());
        report.asked(&Ok(()));
        report.closed();
        let told = report.end("tcp://a:1", &Ok(()), &history);
        assert_eq!(told.map(|(is_warning, _)| is_warning), Some(false));
        assert!(history.pause().is_zero());
    }
}
