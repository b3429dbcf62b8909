//! The whole vocabulary: every message, its fields in wire order, written and read side by side.

use std::{fmt, mem::take};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    Attribute, Header, Kind, Limits, Payload, RAISE, Reader, Returned, Writer,
    attribute::names,
    bounds::{ENV_ID, RENDER_MODE},
};
use crate::{
    error::{EnvFailure, Error, ErrorKind, Result},
    printable,
    space::{AnySpace, difference},
    value::{Map, Value},
};

/// Env slots that a request is about; nearly always one.
pub type Slots = SmallVec<[u32; 1]>;

/// The rows of a result; nearly always one.
pub type Rows = SmallVec<[Row; 1]>;

/// Most bytes of a seed. NumPy takes time by the square of their number.
pub const SEED: usize = 4096;

/// A seed: a non-negative integer of at most [`SEED`] bytes, little-endian without zeros at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seed(#[serde(with = "crate::value::hex")] pub SmallVec<[u8; 16]>);

impl From<u64> for Seed {
    fn from(seed: u64) -> Self {
        let bytes = seed.to_le_bytes();
        let len = 8 - seed.leading_zeros() as usize / 8;
        Self(SmallVec::from_slice(&bytes[..len]))
    }
}

impl Seed {
    /// The seed, if it fits into 64 bits.
    pub fn to_u64(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.get_mut(..self.0.len())?.copy_from_slice(&self.0);
        Some(u64::from_le_bytes(bytes))
    }
}

/// The role of an endpoint in the conversation, whichever side dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Decides: sends Make, Reset and Step.
    Agent,
    /// Hosts the environment and answers.
    Env,
}

impl Role {
    /// The other role.
    pub fn other(self) -> Self {
        match self {
            Self::Agent => Self::Env,
            Self::Env => Self::Agent,
        }
    }
}

/// The dialer's first message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hello {
    /// Lowest wire number the dialer speaks.
    pub wire_min: u16,
    /// Highest wire number the dialer speaks.
    pub wire_max: u16,
    /// What the dialer is.
    pub role: Role,
    /// How the dialer authenticates: 0, not at all; 1, by the token. Others are reserved.
    pub auth: u8,
    /// What the dialer can do: [`RESUMABLE`], and [`RESUMING`] if `resume` is there; unknown bits are ignored.
    pub features: u64,
    /// Longest frame the dialer accepts.
    pub max_frame: u64,
    /// Name and version of the dialer's software, for logs.
    pub peer: String,
    /// Random bytes for the listener's proof, if `auth` is 1.
    pub nonce: Option<[u8; 32]>,
    /// The session that this connection is for, if it is not for a new one.
    pub resume: Option<Resume>,
}

/// Feature bit: a session may be resumed over a replacement connection when its own is lost.
pub const RESUMABLE: u64 = 1;
/// Feature bit: this connection is for a session that has lost its own.
pub const RESUMING: u64 = 2;

/// Identifies a session that may be resumed over a replacement connection; as good as a key to that session.
pub type Ticket = [u8; 32];

/// A session to be resumed, as its dialer knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resume {
    /// The ticket that the listener issued for the session.
    pub ticket: Ticket,
    /// The number of the last frame that the dialer has received.
    pub received: u64,
}

/// The listener's demand for a proof.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Challenge {
    /// Random bytes for the dialer's proof.
    pub nonce: [u8; 32],
}

/// The dialer's proof.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proof {
    /// HMAC-SHA256 over Hello and Challenge, with a key that is derived from the token.
    pub proof: [u8; 32],
}

/// The listener's acceptance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Welcome {
    /// The wire number both will speak.
    pub wire: u16,
    /// What both sides can do: [`RESUMABLE`] if `ticket` is there, [`RESUMING`] if `received` is.
    pub features: u64,
    /// Longest frame the listener accepts.
    pub max_frame: u64,
    /// Name and version of the listener's software, for logs.
    pub peer: String,
    /// The listener's own proof, if it asked for the dialer's.
    pub proof: Option<[u8; 32]>,
    /// The ticket of the new session, if it may be resumed over a replacement connection.
    pub ticket: Option<Ticket>,
    /// The number of the last frame that the listener has received, if this is a resumed session.
    pub received: Option<u64>,
}

/// The listener's refusal; it closes the connection afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reject {
    /// An [`ErrorKind`] code.
    pub code: u32,
    /// Lowest wire number the listener speaks.
    pub wire_min: u16,
    /// Highest wire number the listener speaks.
    pub wire_max: u16,
    /// Why, and what to try next.
    pub message: String,
}

/// The end of the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Goodbye {
    /// 0 for an ordinary end, else an [`ErrorKind`] code.
    pub code: u32,
    /// Why.
    pub message: String,
}

/// A request that failed, or, if `fatal`, a conversation that cannot continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// An [`ErrorKind`] code.
    pub code: u32,
    /// Whether the sender closes the connection after this.
    pub fatal: bool,
    /// The slots that failed; empty for all slots of the request.
    pub slots: Slots,
    /// What happened; for errors that are not the environment's, only the message is set.
    pub failure: EnvFailure,
}

impl Fault {
    /// The error a caller sees.
    pub fn into_error(self) -> Error {
        match ErrorKind::told(self.code) {
            ErrorKind::Env => match self.slots[..] {
                [slot] => Error::from(self.failure).of_slot(slot),
                _ => self.failure.into(),
            },
            // Its text says in which slot.
            kind => Error::new(kind, printable::log_entry(&self.failure.message)),
        }
    }

    /// The message that reports `error` to the peer.
    pub fn from_error(error: &Error, fatal: bool) -> Self {
        let failure = error.env_failure().cloned().unwrap_or_else(|| EnvFailure::new("", error.to_string()));
        Self { code: error.kind().code(), fatal, slots: error.slot().into_iter().collect(), failure }
    }
}

/// Which side begins the next episode of a slot, and when: Gymnasium's `AutoresetMode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AutoresetMode {
    /// The agent alone, with Reset.
    #[default]
    Disabled,
    /// The env, in place of the first step after an episode has ended.
    NextStep,
    /// The env, in the step that ends an episode.
    SameStep,
}

impl AutoresetMode {
    fn get(r: &mut Reader<'_>) -> Result<Self> {
        let start = r.clone();
        match r.get()? {
            0u8 => Ok(Self::Disabled),
            1 => Ok(Self::NextStep),
            2 => Ok(Self::SameStep),
            mode => Err(start.error(format_args!("unknown autoreset mode {mode}"))),
        }
    }
}

/// Gymnasium's name of the mode.
impl fmt::Display for AutoresetMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "Disabled",
            Self::NextStep => "NextStep",
            Self::SameStep => "SameStep",
        })
    }
}

/// The request to make an environment, or several of the same spaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Make {
    /// Which environment, where the host offers several.
    pub env_id: Option<String>,
    /// Keyword arguments for the environment; a dict.
    pub kwargs: Value,
    /// Gymnasium's render mode.
    pub render_mode: Option<String>,
    /// How many env slots the agent wants; 0: as many as the host has.
    pub slots: u32,
    /// What the host is to do where an episode has ended. It may leave that to the agent.
    pub autoreset_mode: AutoresetMode,
}

/// One environment, whatever the host has.
impl Default for Make {
    fn default() -> Self {
        let autoreset_mode = AutoresetMode::Disabled;
        Self { env_id: None, kwargs: Map::new().into(), render_mode: None, slots: 1, autoreset_mode }
    }
}

/// What Gymnasium may allocate to make both spaces, if the frame limit does not allow more.
const SPACES: usize = 64 << 20;

/// The environment that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The environment's id, or empty.
    pub env_id: String,
    /// The space of observations.
    pub observation_space: AnySpace,
    /// The space of actions.
    pub action_space: AnySpace,
    /// How many env slots the session has.
    pub slots: u32,
    /// What the host itself does where an episode has ended.
    pub autoreset_mode: AutoresetMode,
    /// The render mode in force.
    pub render_mode: Option<String>,
    /// Gymnasium's `metadata`.
    pub metadata: Value,
    /// A dict of the facts of Gymnasium's `EnvSpec`: `reward_threshold`, `nondeterministic`, `max_episode_steps`.
    pub details: Value,
    /// Names of the attributes that the host lets agents get, set and call. The host fills it in, see
    /// [`Offers`](crate::Offers).
    pub attributes: Vec<String>,
}

/// The request to start an episode in some slots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reset {
    /// The slots and the seed of each, if any.
    pub rows: SmallVec<[(u32, Option<Seed>); 1]>,
    /// Gymnasium's `options`; `None` and an empty dict are two things.
    pub options: Value,
}

/// What happened in one slot; its observation is in the payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The slot.
    pub slot: u32,
    /// Whether the observation opens an episode. The reward then means nothing, unless the same step has ended another.
    pub first: bool,
    /// Whether this is a second row of the slot, with the last observation of the episode that ended in this step.
    pub last: bool,
    /// Whether the task ended the episode.
    pub terminated: bool,
    /// Whether something else ended the episode.
    pub truncated: bool,
    /// The reward.
    #[serde(with = "crate::value::bits")]
    pub reward: f64,
    /// Gymnasium's `info`.
    pub info: Value,
}

/// Rendered frames, one for each slot that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frames(pub SmallVec<[(u32, Value); 1]>);

/// The slots to close the environments of, or that were closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvClose(pub Slots);

/// A message as it was received. Payloads stay in the frame.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // each variant holds the message of its name
pub enum Message<'a> {
    Hello(Hello),
    Challenge(Challenge),
    Proof(Proof),
    Welcome(Welcome),
    Reject(Reject),
    Goodbye(Goodbye),
    Error(Fault),
    Make(Make),
    Reset(Reset),
    Step(Slots, Payload<'a>),
    Render(Slots),
    Attribute(Attribute),
    Close(EnvClose),
    Spec(Box<Spec>),
    Result(Rows, Payload<'a>),
    Frames(Frames),
    Returned(Returned),
    Closed(EnvClose),
    /// A kind that is reserved for later; its body is not read.
    Reserved(Kind),
}

const MAGIC: [u8; 4] = *b"RLAY";
const FIRST: u8 = 1;
const TERMINATED: u8 = 2;
const TRUNCATED: u8 = 4;
const LAST: u8 = 8;

impl Hello {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.put((MAGIC, self.wire_min, self.wire_max, self.role as u8, self.auth, self.features, self.max_frame));
        w.str(&self.peer);
        if let Some(nonce) = self.nonce {
            w.put(nonce);
        }
        if let Some(Resume { ticket, received }) = self.resume {
            w.put((ticket, received));
        }
    }

    /// Wire numbers, role and authentication: the ten bytes that keep their place in every wire
    /// number, so that a dialer can be refused in words it understands.
    pub(crate) fn opening(r: &mut Reader<'_>) -> Result<(u16, u16, Role, u8)> {
        let start = r.clone();
        let (magic, wire_min, wire_max, role, auth): ([u8; 4], u16, u16, u8, u8) = r.get()?;
        if magic != MAGIC {
            return Err(start.error("not an RLay peer: no magic word"));
        }
        let role = match role {
            0 => Role::Agent,
            1 => Role::Env,
            _ => return Err(start.error("unknown role")),
        };
        Ok((wire_min, wire_max, role, auth))
    }

    fn get(r: &mut Reader<'_>) -> Result<Self> {
        let (wire_min, wire_max, role, auth) = Self::opening(r)?;
        let (features, max_frame) = r.get()?;
        let peer = short(r, 256)?;
        let nonce = if auth == 1 { Some(r.get()?) } else { None };
        let resume = if features & RESUMING == 0 {
            None
        } else {
            let (ticket, received) = r.get()?;
            Some(Resume { ticket, received })
        };
        Ok(Self { wire_min, wire_max, role, auth, features, max_frame, peer, nonce, resume })
    }
}

/// Text of at most `max` bytes.
pub(super) fn short(r: &mut Reader<'_>, max: usize) -> Result<String> {
    let start = r.clone();
    let text = r.str()?;
    if text.len() > max {
        return Err(start.error(format_args!("a name of more than {max} bytes")));
    }
    Ok(text.to_owned())
}

pub(super) fn put_slots(w: &mut Writer<'_>, slots: &[u32]) {
    w.list(slots, |w, slot| w.put(*slot));
}

pub(super) fn get_slots(r: &mut Reader<'_>) -> Result<Slots> {
    r.u32s().map(Iterator::collect)
}

impl Challenge {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.put(self.nonce);
    }
}

impl Proof {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.put(self.proof);
    }
}

impl Welcome {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.put((self.wire, self.features, self.max_frame));
        w.str(&self.peer);
        w.option(self.proof.as_ref(), |w, proof| w.put(*proof));
        if let Some(ticket) = self.ticket {
            w.put(ticket);
        }
        if let Some(received) = self.received {
            w.put(received);
        }
    }

    fn get(r: &mut Reader<'_>) -> Result<Self> {
        let (wire, features, max_frame): (u16, u64, u64) = r.get()?;
        let (peer, proof) = (short(r, 256)?, r.option(Reader::get)?);
        let ticket = if features & RESUMABLE == 0 { None } else { Some(r.get()?) };
        let received = if features & RESUMING == 0 { None } else { Some(r.get()?) };
        Ok(Self { wire, features, max_frame, peer, proof, ticket, received })
    }
}

impl Reject {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.put((self.code, self.wire_min, self.wire_max));
        w.str(&self.message);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self> {
        let (code, wire_min, wire_max) = r.get()?;
        Ok(Self { code, wire_min, wire_max, message: r.str()?.to_owned() })
    }
}

impl Goodbye {
    /// The end because of an error, in a sentence that is not too long.
    pub fn because(why: &Error) -> Self {
        Self { code: why.kind().code(), message: printable::sentence(&why.to_string()).into_owned() }
    }

    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.put(self.code);
        w.str(&self.message);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { code: r.get()?, message: r.str()?.to_owned() })
    }
}

impl Fault {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.put((self.code, self.fatal));
        put_slots(w, &self.slots);
        w.str(&self.failure.error_type);
        w.str(&self.failure.message);
        w.str(&self.failure.traceback);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self> {
        let (code, fatal) = r.get()?;
        let slots = get_slots(r)?;
        let mut text = || r.str().map(str::to_owned);
        let failure = EnvFailure { error_type: text()?, message: text()?, traceback: text()? };
        Ok(Self { code, fatal, slots, failure })
    }
}

impl Make {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.option(self.env_id.as_ref(), |w, id| w.str(id));
        w.value(&self.kwargs);
        w.option(self.render_mode.as_ref(), |w, mode| w.str(mode));
        w.put((self.slots, self.autoreset_mode as u8));
    }

    pub(super) fn get(r: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            env_id: r.option(|r| short(r, ENV_ID))?,
            kwargs: r.value()?,
            render_mode: r.option(|r| short(r, RENDER_MODE))?,
            slots: r.get()?,
            autoreset_mode: AutoresetMode::get(r)?,
        })
    }
}

/// A placeholder for a spec that is not known yet.
impl Default for Spec {
    fn default() -> Self {
        Self {
            env_id: String::new(),
            observation_space: AnySpace::Tuple(vec![]),
            action_space: AnySpace::Tuple(vec![]),
            slots: 1,
            autoreset_mode: AutoresetMode::Disabled,
            render_mode: None,
            metadata: Map::new().into(),
            details: Map::new().into(),
            attributes: Vec::new(),
        }
    }
}

impl Spec {
    /// Which space of `other` is not the same, and the first leaf that differs, from this one to the other.
    pub(crate) fn other_space(&self, other: &Self) -> Option<(&'static str, String)> {
        let of_observations = difference(&self.observation_space, &other.observation_space);
        let of_actions = || difference(&self.action_space, &other.action_space);
        let found = of_observations.map(|how| ("observation_space", how));
        found.or_else(|| of_actions().map(|how| ("action_space", how)))
    }

    /// Refuses spaces of which no value would fit a frame, and spaces that take Gymnasium more memory to make than both
    /// `limits.frame` and `SPACES`, before they are made.
    pub fn check_spaces(&self, limits: &Limits) -> Result<()> {
        let (observations, actions) = (&self.observation_space, &self.action_space);
        limits.fit(ErrorKind::Incompatible, "observation space", observations.element_bytes())?;
        limits.fit(ErrorKind::Incompatible, "action space", actions.element_bytes())?;
        let bytes = observations.gymnasium_bytes().saturating_add(actions.gymnasium_bytes());
        let most = limits.frame.max(SPACES);
        if bytes <= most {
            return Ok(());
        }
        let text = format!(
            "Gymnasium would allocate about {bytes} bytes to make the spaces, more than {most}; use smaller spaces, or \
             {RAISE}"
        );
        Err(Error::new(ErrorKind::Incompatible, text))
    }

    /// Refuses a number of slots that no one has asked for and whose spaces, made for each slot, would take more memory
    /// than [`check_spaces`](Self::check_spaces) allows for one.
    pub(crate) fn check_number(&self, limits: &Limits) -> Result<()> {
        let each = self.observation_space.gymnasium_bytes().saturating_add(self.action_space.gymnasium_bytes());
        if self.slots == 1 || each.saturating_mul(self.slots as usize) <= limits.frame.max(SPACES) {
            return Ok(());
        }
        let text =
            format!("the host has {} environments, which is many for their spaces; say how many to take", self.slots);
        Err(Error::new(ErrorKind::Incompatible, text))
    }

    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.str(&self.env_id);
        w.space(&self.observation_space);
        w.space(&self.action_space);
        w.put((self.slots, self.autoreset_mode as u8));
        w.option(self.render_mode.as_ref(), |w, mode| w.str(mode));
        w.value(&self.metadata);
        w.value(&self.details);
        w.list(&self.attributes, |w, name| w.str(name));
    }

    pub(super) fn get(r: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            env_id: short(r, ENV_ID)?,
            observation_space: r.space()?,
            action_space: r.space()?,
            slots: r.get()?,
            autoreset_mode: AutoresetMode::get(r)?,
            render_mode: r.option(|r| short(r, RENDER_MODE))?,
            metadata: r.dict("metadata")?,
            details: r.dict("details")?,
            attributes: names(r)?,
        })
    }
}

impl Reset {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.list(&self.rows, |w, (slot, seed)| {
            w.put(*slot);
            w.option(seed.as_ref(), |w, seed| w.bytes(&seed.0));
        });
        w.value(&self.options);
    }

    pub(super) fn get(r: &mut Reader<'_>) -> Result<Self> {
        let seed = |r: &mut Reader<'_>| {
            let start = r.clone();
            let bytes = r.bytes()?;
            if bytes.len() > SEED {
                return Err(start.error(format_args!("a seed of {} bytes, of which {SEED} are the most", bytes.len())));
            }
            if bytes.last() == Some(&0) {
                return Err(start.error("a seed with zeros at its end"));
            }
            Ok(Seed(SmallVec::from_slice(bytes)))
        };
        let rows = r.list(5, |r| r.nested(|r| Ok((r.get()?, r.option(seed)?))))?;
        Ok(Self { rows, options: r.value()? })
    }
}

impl Row {
    /// Appends slot, flags and reward; the infos of all rows follow the last row.
    pub fn put(&self, w: &mut Writer<'_>) {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let ended = flag(self.terminated, TERMINATED) | flag(self.truncated, TRUNCATED);
        let flags = flag(self.first, FIRST) | ended | flag(self.last, LAST);
        w.group((self.slot, flags, self.reward));
    }

    fn get(r: &mut Reader<'_>) -> Result<Self> {
        let start = r.clone();
        let (slot, flags, reward): (u32, u8, f64) = r.group()?;
        if flags & !(FIRST | TERMINATED | TRUNCATED | LAST) != 0 {
            return Err(start.error("unknown row flags"));
        }
        let on = |bit: u8| flags & bit != 0;
        let (first, terminated, truncated, last) = (on(FIRST), on(TERMINATED), on(TRUNCATED), on(LAST));
        Ok(Self { slot, first, last, terminated, truncated, reward, info: Value::None })
    }
}

impl Frames {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.list(&self.0, |w, (slot, frame)| {
            w.put(*slot);
            w.value(frame);
        });
    }

    fn get(r: &mut Reader<'_>) -> Result<Self> {
        Ok(Self(r.list(8, |r| Ok((r.get()?, r.value()?)))?))
    }
}

impl EnvClose {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        put_slots(w, &self.0);
    }
}

/// Appends the body of Step or Render up to the payload.
pub(crate) fn put_request(w: &mut Writer<'_>, slots: &[u32]) {
    put_slots(w, slots);
}

/// Appends the body of Result up to the payload; `infos` holds one encoded value per row.
pub(crate) fn put_rows(w: &mut Writer<'_>, rows: &[Row], infos: &[u8]) {
    w.list(rows, |w, row| row.put(w));
    w.0.extend_from_slice(infos);
}

/// Lists that messages of many slots are read into, once they were given back. So a step allocates none.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    pub(crate) slots: Slots,
    pub(crate) rows: Rows,
}

impl<'a> Message<'a> {
    /// Reads the message that follows `header` in a frame.
    pub fn read(header: Header, r: Reader<'a>) -> Result<Self> {
        Self::read_into(&mut Spare::default(), header, r)
    }

    /// The same, into a list of `spare` if it has one.
    pub(crate) fn read_into(spare: &mut Spare, header: Header, mut r: Reader<'a>) -> Result<Self> {
        let message = match header.kind {
            Kind::Hello => Message::Hello(Hello::get(&mut r)?),
            Kind::Challenge => Message::Challenge(Challenge { nonce: r.get()? }),
            Kind::Proof => Message::Proof(Proof { proof: r.get()? }),
            Kind::Welcome => Message::Welcome(Welcome::get(&mut r)?),
            Kind::Reject => Message::Reject(Reject::get(&mut r)?),
            Kind::Goodbye => Message::Goodbye(Goodbye::get(&mut r)?),
            Kind::Error => Message::Error(Fault::get(&mut r)?),
            Kind::Make => Message::Make(Make::get(&mut r)?),
            Kind::Reset => Message::Reset(Reset::get(&mut r)?),
            Kind::Render => Message::Render(get_slots(&mut r)?),
            Kind::Attribute => Message::Attribute(Attribute::get(&mut r)?),
            Kind::Close => Message::Close(EnvClose(get_slots(&mut r)?)),
            Kind::Spec => Message::Spec(Box::new(Spec::get(&mut r)?)),
            Kind::Frames => Message::Frames(Frames::get(&mut r)?),
            Kind::Returned => Message::Returned(Returned::get(&mut r)?),
            Kind::Closed => Message::Closed(EnvClose(get_slots(&mut r)?)),
            // A payload ends the frame, so these two return without looking for its end.
            Kind::Step => {
                let mut slots = take(&mut spare.slots);
                slots.clear();
                slots.extend(r.u32s()?);
                return Ok(Message::Step(slots, Payload::read(r)?));
            }
            Kind::Result => {
                let mut rows = take(&mut spare.rows);
                r.list_into(13, &mut rows, |r| r.nested(Row::get))?;
                for row in &mut rows {
                    row.info = r.dict("an info")?;
                }
                return Ok(Message::Result(rows, Payload::read(r)?));
            }
            Kind::StepAgents | Kind::ResultAgents => return Ok(Message::Reserved(header.kind)),
        };
        r.end()?;
        Ok(message)
    }
}
