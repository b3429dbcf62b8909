//! ExpectedReply: a request to a host, and the answer that the host gives.

use rlay_core::{
    Discrete, Map, Result, Space, Value,
    session::EnvSession,
    wire::{AutoresetMode, Frames, Returned, Row, Slots, Spec, put_value},
};

/// Slots of the environment.
pub(super) const SLOTS: u32 = 3;

/// A request that the host has taken and not answered.
#[derive(Debug)]
pub(super) enum ExpectedReply {
    Make(u64, AutoresetMode),
    Rows { request: u64, rows: Vec<Row> },
    Frames { request: u64, slots: Slots },
    Returned { request: u64, slots: Slots },
    Close(u64),
}

impl ExpectedReply {
    pub(super) fn request(&self) -> u64 {
        let (Self::Make(request, _)
        | Self::Rows { request, .. }
        | Self::Frames { request, .. }
        | Self::Returned { request, .. }
        | Self::Close(request)) = self;
        *request
    }

    /// Has `env` answer the request.
    pub(super) fn answer(&self, env: &mut EnvSession, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Make(_, mode) => env.spec(&spec(*mode), out),
            Self::Rows { request, rows } => {
                let mut values = vec![];
                rows.iter().for_each(|row| put_value(&mut values, &row.info));
                env.result(*request, rows, &values, (false, 0), out)?;
                out.extend(values); // the observations are dicts, too
                Ok(())
            }
            Self::Frames { request, slots } => {
                env.frames(*request, &Frames(slots.iter().map(|slot| (*slot, Value::None)).collect()), out)
            }
            Self::Returned { request, slots } => {
                env.returned(*request, &Returned(slots.iter().map(|slot| (*slot, None)).collect()), out)
            }
            Self::Close(_) => env.closed(out),
        }
    }
}

/// The episodes of the environments, which go on when a request is taken, whether or not it is said to have failed.
#[derive(Debug, Default)]
pub(super) struct Episodes {
    mode: AutoresetMode,
    /// Whether the next step of a slot resets it.
    is_due: [bool; SLOTS as usize],
}

impl Episodes {
    pub(super) fn new(mode: AutoresetMode) -> Self {
        Self { mode, ..Self::default() }
    }

    pub(super) fn reset(&mut self, request: u64, slots: &[u32]) -> Vec<Row> {
        slots.iter().for_each(|slot| self.is_due[*slot as usize] = false);
        in_some_order(request, slots.iter().map(|slot| Row { first: true, ..row(*slot) }).collect())
    }

    pub(super) fn step(&mut self, request: u64, slots: &[u32]) -> Vec<Row> {
        let mut step = |slot: u32| {
            let is_due = &mut self.is_due[slot as usize];
            if std::mem::take(is_due) {
                return Row { first: true, ..row(slot) };
            }
            let number = request + u64::from(slot);
            let (terminated, truncated) = (number.is_multiple_of(3), number.is_multiple_of(4));
            let has_ended = terminated || truncated;
            *is_due = has_ended && self.mode == AutoresetMode::NextStep;
            let first = has_ended && self.mode == AutoresetMode::SameStep;
            Row { first, terminated, truncated, reward: 1.0, ..row(slot) }
        };
        let rows = in_some_order(request, slots.iter().map(|slot| step(*slot)).collect());
        let ends = rows.iter().filter(|row| row.first && (row.terminated || row.truncated));
        let lasts: Vec<Row> = ends.map(|row| Row { first: false, last: true, ..row.clone() }).collect();
        [rows, lasts].concat()
    }
}

/// Not always that of the request.
fn in_some_order(request: u64, mut rows: Vec<Row>) -> Vec<Row> {
    if request % 2 == 1 {
        rows.reverse();
    }
    rows
}

fn row(slot: u32) -> Row {
    let (first, last, terminated, truncated) = (false, false, false, false);
    Row { slot, first, last, terminated, truncated, reward: 0.0, info: Map::new().into() }
}

fn spec(autoreset_mode: AutoresetMode) -> Spec {
    let space = Discrete::new(2).describe();
    Spec {
        env_id: String::new(),
        observation_space: space.clone(),
        action_space: space,
        slots: SLOTS,
        autoreset_mode,
        render_mode: None,
        metadata: Map::new().into(),
        details: Map::new().into(),
        attributes: vec!["gravity".into()],
    }
}
