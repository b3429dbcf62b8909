//! rlay_Turn: what an agent wants of an environment; and what is kept of it until it is answered.

use std::{ffi::c_char, ptr};

use rlay::{
    Value,
    endpoint::{RawTurn, Received},
    wire::{Access, Make},
};

use crate::{access::rlay_Access, value::rlay_Value};

/// What an agent wants.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rlay_TurnKind {
    /// Nothing: draw, and poll again.
    RLAY_TURN_NONE = 0,
    /// Make an environment: rlay_env_reply_make. Only environments that were opened without a spec have this turn.
    RLAY_TURN_MAKE = 1,
    /// Start an episode: rlay_env_reply.
    RLAY_TURN_RESET = 2,
    /// Take an action: rlay_env_reply.
    RLAY_TURN_STEP = 3,
    /// Draw a frame: rlay_env_reply_frame.
    RLAY_TURN_RENDER = 4,
    /// Get, set or call an attribute: rlay_env_reply_attribute.
    RLAY_TURN_ATTRIBUTE = 5,
    /// Nothing more: the agent of this session is gone, and another may come. There is nothing to answer.
    RLAY_TURN_CLOSE = 6,
}

/// What an agent wants of one slot. rlay_env_poll writes all of it. Pointers are into memory of the environment, and valid
/// until the turn is answered or the environment is closed, those of RLAY_TURN_CLOSE until the next turn is polled. Texts
/// have no NUL behind them. A turn may be copied.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_Turn {
    /// What the agent wants.
    pub kind: rlay_TurnKind,
    /// The session, below max_sessions: which agent.
    pub session: u32,
    /// The slot in the session; 0 unless the spec says that there are several.
    pub slot: u32,
    /// A number that no other turn of this environment has.
    pub number: u64,

    /// RESET: whether there is a seed. Without one the generator of random numbers goes on.
    pub has_seed: bool,
    /// RESET: the seed's low 64 bits.
    pub seed: u64,
    /// RESET: the whole seed, little-endian without zeros at the end.
    pub seed_bytes: *const u8,
    /// RESET: its length, above 8 for one that does not fit `seed`.
    pub seed_length: usize,
    /// RESET: the options, a dict or None.
    pub options: *const rlay_Value,

    /// STEP: the action in the packed form, aligned to 64 bytes in a session of one slot and to 8 else; NULL if it is none,
    /// for its space has no packed form or the agent's action is of other types than the space's. rlay_env_action_int and
    /// rlay_env_action_value read either.
    pub action: *const u8,
    /// STEP: bytes of `action`; 0 without.
    pub action_length: usize,

    /// MAKE: the name that is asked for; NULL without one.
    pub env_id: *const c_char,
    /// MAKE: its length.
    pub env_id_length: usize,
    /// MAKE and CALL of an attribute: the keyword arguments, a dict whose keys are texts.
    pub kwargs: *const rlay_Value,
    /// MAKE and RENDER: the render mode; NULL without one.
    pub render_mode: *const c_char,
    /// MAKE and RENDER: its length.
    pub render_mode_length: usize,
    /// MAKE: how many slots the agent wants; 0: as many as there are.
    pub slots: u32,

    /// ATTRIBUTE: the name.
    pub attribute: *const c_char,
    /// ATTRIBUTE: its length.
    pub attribute_length: usize,
    /// ATTRIBUTE: what is done with it, an rlay_Access.
    pub access: u32,
    /// ATTRIBUTE: what it is set to, or the tuple of arguments.
    pub value: *const rlay_Value,

    /// CLOSE: why the agent is gone, for people.
    pub reason: *const c_char,
    /// CLOSE: its length.
    pub reason_length: usize,
}

impl rlay_Turn {
    /// The turn in which nothing is wanted.
    pub(crate) fn none() -> Self {
        Self {
            kind: rlay_TurnKind::RLAY_TURN_NONE,
            session: 0,
            slot: 0,
            number: 0,
            has_seed: false,
            seed: 0,
            seed_bytes: ptr::null(),
            seed_length: 0,
            options: ptr::null(),
            action: ptr::null(),
            action_length: 0,
            env_id: ptr::null(),
            env_id_length: 0,
            kwargs: ptr::null(),
            render_mode: ptr::null(),
            render_mode_length: 0,
            slots: 0,
            attribute: ptr::null(),
            attribute_length: 0,
            access: rlay_Access::RLAY_GET as u32,
            value: ptr::null(),
            reason: ptr::null(),
            reason_length: 0,
        }
    }
}

/// What a turn points to.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The turn that is to be answered; 0: none is.
    pub(crate) number: u64,
    pub(crate) received: Option<Received>,
    /// The action as a value, once that was asked for.
    pub(crate) action: Option<rlay_Value>,
    seed: Vec<u8>,
    text: String,
    render_mode: String,
    value: rlay_Value,
    kwargs: rlay_Value,
}

impl Default for rlay_Value {
    fn default() -> Self {
        Self(Value::None)
    }
}

/// Where a text lies.
fn place(text: &str) -> (*const c_char, usize) {
    (text.as_ptr().cast(), text.len())
}

impl Held {
    /// Keeps what was asked, in place of what was asked before, and says where it lies.
    pub(crate) fn keep(&mut self, asked: RawTurn, render_mode: Option<&str>, turn: &mut rlay_Turn) {
        use rlay_TurnKind::*;
        (self.action, self.received, self.number) = (None, None, turn.number);
        match asked {
            RawTurn::Make(Make { env_id, kwargs, render_mode, slots, .. }) => {
                (turn.kind, turn.slots) = (RLAY_TURN_MAKE, slots);
                if let Some(env_id) = env_id {
                    self.text = env_id;
                    (turn.env_id, turn.env_id_length) = place(&self.text);
                }
                self.kwargs.0 = kwargs;
                turn.kwargs = &raw const self.kwargs;
                self.show_mode(render_mode.as_deref(), turn);
            }
            RawTurn::Reset { seed, options } => {
                turn.kind = RLAY_TURN_RESET;
                if let Some(seed) = seed {
                    self.seed.clear();
                    self.seed.extend_from_slice(&seed.0);
                    let mut low = [0; 8];
                    let len = self.seed.len().min(8);
                    low[..len].copy_from_slice(&self.seed[..len]);
                    (turn.has_seed, turn.seed) = (true, u64::from_le_bytes(low));
                    (turn.seed_bytes, turn.seed_length) = (self.seed.as_ptr(), self.seed.len());
                }
                self.value.0 = options;
                turn.options = &raw const self.value;
            }
            RawTurn::Step(received) => {
                turn.kind = RLAY_TURN_STEP;
                if received.packed {
                    let action = &received.frame[received.at..];
                    (turn.action, turn.action_length) = (action.as_ptr(), action.len());
                }
                self.received = Some(received);
            }
            RawTurn::Render => {
                turn.kind = RLAY_TURN_RENDER;
                self.show_mode(render_mode, turn);
            }
            RawTurn::Attribute(attribute) => {
                turn.kind = RLAY_TURN_ATTRIBUTE;
                self.text = attribute.name;
                (turn.attribute, turn.attribute_length) = place(&self.text);
                let (access, value, kwargs) = match attribute.access {
                    Access::Get => (rlay_Access::RLAY_GET, Value::None, Value::None),
                    Access::Set(values) => {
                        (rlay_Access::RLAY_SET, values.into_iter().next().unwrap_or_default(), Value::None)
                    }
                    Access::Call(args, kwargs) => (rlay_Access::RLAY_CALL, Value::Tuple(args), kwargs.into()),
                };
                (self.value.0, self.kwargs.0, turn.access) = (value, kwargs, access as u32);
                (turn.value, turn.kwargs) = (&raw const self.value, &raw const self.kwargs);
            }
            RawTurn::Close(reason) => {
                (turn.kind, self.number) = (RLAY_TURN_CLOSE, 0);
                self.text = reason;
                (turn.reason, turn.reason_length) = place(&self.text);
            }
        }
    }

    fn show_mode(&mut self, render_mode: Option<&str>, turn: &mut rlay_Turn) {
        if let Some(mode) = render_mode {
            mode.clone_into(&mut self.render_mode);
            (turn.render_mode, turn.render_mode_length) = place(&self.render_mode);
        }
    }
}
