//! ExpectedReply: a request to a host, and the answer that the host gives.

use rlay_core::{
    Discrete, Map, Result, Space, Value,
    session::EnvSession,
    wire::{AutoresetMode, Frames, Row, Slots, Spec, put_value},
};

/// Slots of the environment.
pub(super) const SLOTS: u32 = 3;

/// A request that the host has taken and not answered.
#[derive(Debug)]
pub(super) enum ExpectedReply {
    Make(u64),
    Rows { request: u64, slots: Slots, first: bool },
    Frames { request: u64, slots: Slots },
    Close(u64),
}

impl ExpectedReply {
    pub(super) fn request(&self) -> u64 {
        let (Self::Make(request) | Self::Rows { request, .. } | Self::Frames { request, .. } | Self::Close(request)) =
            self;
        *request
    }

    /// Has `env` answer the request.
    pub(super) fn answer(&self, env: &mut EnvSession, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Make(_) => env.spec(&spec(), out),
            Self::Rows { request, slots, first } => {
                let (terminated, mut values) = (request % 3 == 0, vec![]);
                let rows: Vec<Row> = slots
                    .iter()
                    .map(|slot| {
                        put_value(&mut values, &Map::new().into());
                        let (slot, first) = (*slot, *first);
                        Row { slot, first, last: false, terminated, truncated: false, reward: 1.0, info: Value::None }
                    })
                    .collect();
                env.result(*request, &rows, &values, (false, 0), out)?;
                out.extend(values); // the observations are dicts, too
                Ok(())
            }
            Self::Frames { request, slots } => {
                env.frames(*request, &Frames(slots.iter().map(|slot| (*slot, Value::None)).collect()), out)
            }
            Self::Close(_) => env.closed(out),
        }
    }
}

fn spec() -> Spec {
    let space = Discrete::new(2).describe();
    Spec {
        env_id: String::new(),
        observation_space: space.clone(),
        action_space: space,
        slots: SLOTS,
        autoreset_mode: AutoresetMode::Disabled,
        render_mode: None,
        metadata: Map::new().into(),
        details: Map::new().into(),
    }
}
