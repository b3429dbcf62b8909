//! Session: an environment of the peer that is reset, stepped and left as an honest agent does, checked on the way.

use rlay::{
    AnySpace, Limits, Value,
    wire::{AutoresetMode, Kind, Make, Message, Row, Seed, Spec},
};

use crate::{
    connection::{Answer, Connection, Stop, Verdict, failed},
    frames,
    target::{Greeting, Target, Wish},
};

/// A session with an environment.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) greeting: Greeting,
    pub(crate) spec: Box<Spec>,
    /// The frame of Spec.
    pub(crate) spec_frame: Vec<u8>,
}

/// What came of a Reset or Step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) row: Row,
    pub(crate) observation: Value,
    pub(crate) is_packed: bool,
}

/// The bits of an outcome, in which a NaN equals itself.
impl Outcome {
    pub(crate) fn bits(&self) -> Vec<u8> {
        let Row { first, last, terminated, truncated, reward, info, .. } = &self.row;
        let mut out = vec![u8::from(*first), u8::from(*last), u8::from(*terminated), u8::from(*truncated)];
        out.extend(reward.to_bits().to_le_bytes());
        out.extend(frames::value(&self.observation));
        out.extend(frames::value(info));
        out
    }

    /// Whether the episode has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.row.terminated || self.row.truncated
    }
}

impl Session {
    /// Begins a session and has the environment made.
    pub(crate) fn begin(target: &Target) -> Verdict<Self> {
        Self::begin_with(target, Wish::default(), &target.make())
    }

    /// The same with other wishes.
    pub(crate) fn begin_with(target: &Target, wish: Wish, make: &Make) -> Verdict<Self> {
        let (mut connection, greeting) = target.begin(wish)?;
        let answer = connection.ask(Kind::Make, &frames::make(make), "Make")?;
        Self::made(connection, greeting, answer)
    }

    /// The session whose Make was answered.
    pub(crate) fn made(connection: Connection, greeting: Greeting, answer: Answer) -> Verdict<Self> {
        match answer.message()? {
            Message::Spec(spec) => Ok(Self { connection, greeting, spec, spec_frame: answer.frame.clone() }),
            _ => failed(10, format!("Make was answered by {}, not by Spec", answer.words())),
        }
    }

    /// The space of actions.
    pub(crate) fn actions(&self) -> &AnySpace {
        &self.spec.action_space
    }

    /// Resets slot 0.
    pub(crate) fn reset(&mut self, seed: Option<u64>) -> Verdict<Outcome> {
        self.reset_with(seed.map(Seed::from), &Value::None)
    }

    /// Resets slot 0 with options.
    pub(crate) fn reset_with(&mut self, seed: Option<Seed>, options: &Value) -> Verdict<Outcome> {
        let answer = self.connection.ask(Kind::Reset, &frames::reset(&[(0, seed)], options), "Reset")?;
        self.outcome(&answer, true)
    }

    /// Steps slot 0, in the packed form where there is one.
    pub(crate) fn step(&mut self, action: &Value) -> Verdict<Outcome> {
        let seq = self.send_step(action, true);
        let answer = self.connection.answer(seq, "Step")?;
        self.outcome(&answer, false)
    }

    /// Sends a Step of slot 0; `is_packed` only where the action has that form.
    pub(crate) fn send_step(&mut self, action: &Value, is_packed: bool) -> u64 {
        let packed = frames::packed(self.actions(), action).filter(|_| is_packed);
        let body = match packed {
            Some(payload) => frames::step(&[0], true, &payload),
            None => frames::step(&[0], false, &frames::value(action)),
        };
        self.connection.send(Kind::Step, &body)
    }

    /// Reads the Result of a Reset or Step of slot 0.
    pub(crate) fn outcome(&self, answer: &Answer, is_reset: bool) -> Verdict<Outcome> {
        let what = if is_reset { "Reset" } else { "Step" };
        let Message::Result(rows, payload) = answer.message()? else {
            return failed(10, format!("{what} was answered by {}, not by Result", answer.words()));
        };
        let slots: Vec<u32> = rows.iter().filter(|row| !row.last).map(|row| row.slot).collect();
        if slots != [0] {
            return failed(10, format!("the rows of a Result to a {what} of slot 0 are about the slots {slots:?}"));
        }
        let row = rows[0].clone();
        let mode = self.spec.autoreset_mode;
        match (is_reset, mode) {
            (true, _) if !row.first => return failed(8, "first is not set in the answer to Reset"),
            (true, _) if row.last || row.terminated || row.truncated => {
                return failed(8, "a row in answer to Reset says last, terminated or truncated");
            }
            (false, AutoresetMode::Disabled) if row.first || row.last => {
                return failed(8, "first or last is set in the answer to Step, though autoreset is 0");
            }
            (_, AutoresetMode::Disabled | AutoresetMode::NextStep) if rows.len() != 1 => {
                return failed(8, "there is a row with last, though autoreset is not 2");
            }
            _ => {}
        }
        let element = match (payload.packed, rows.len()) {
            (true, 1) => payload.element(&self.spec.observation_space),
            (false, 1) => payload.value(),
            // The rows of two observations lie within each other.
            _ => Ok(Value::None),
        };
        match element {
            Ok(observation) => Ok(Outcome { row, observation, is_packed: payload.packed }),
            Err(error) => failed(7, format!("the payload of the Result to {what} is malformed: {error}")),
        }
    }

    /// Ends the session.
    pub(crate) fn goodbye(mut self) -> Verdict {
        self.connection.goodbye()
    }

    /// The limits of what is read.
    pub(crate) fn limits() -> Limits {
        Limits::default()
    }
}

/// A failure in the words of an error, for commands that do not judge.
pub(crate) fn error(stop: Stop) -> rlay::Error {
    let why = match stop {
        Stop::Failed { section, why } => format!("{why} (docs/wire.md, section {section}); try `rlay check`"),
        Stop::NotApplicable(why) => why,
    };
    rlay::Error::protocol(why)
}
