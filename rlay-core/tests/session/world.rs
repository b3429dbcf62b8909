//! An agent, a host and two queues of frames between them, driven by hand one event at a time.

use std::collections::VecDeque;

use rlay_core::{
    AnySpace, Array, BoxSpace, Discrete, Error, ErrorKind, Limits, Map, Result, Space, Value,
    session::{AgentEvent, AgentSession, Call, EnvEvent, EnvSession},
    wire::{AutoresetMode, Frames, Make, Payload, Reset, Returned, Row, Slots, Spec, payload_head, put_value},
};

use super::{
    rows::{pack_rows, unpack_rows},
    wire::attribute,
};

/// An environment with answers that show which call they answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counter {
    episode: i64,
    step: i64,
    action: i64,
}

impl Counter {
    pub(crate) fn reset(&mut self) {
        *self = Self { episode: self.episode + 1, step: 0, action: -1 };
    }

    pub(crate) fn step(&mut self, action: i64) {
        (self.step, self.action) = (self.step + 1, action);
    }

    /// The observation as three numbers.
    pub(crate) fn observation(self) -> [i64; 3] {
        [self.episode, self.step, self.action]
    }

    pub(crate) fn row(self, slot: u32, first: bool) -> Row {
        let reward = if first { 0.0 } else { (100 * self.step + self.action) as f64 };
        let terminated = !first && self.step % 3 == 0;
        let info = Map::from([("time", self.episode * 1000 + self.step)]).into();
        Row { slot, first, last: false, terminated, truncated: false, reward, info }
    }

    /// Steps as an environment in `mode` does: the row with its observation, and those with which an episode has ended
    /// in the step that has begun another.
    pub(crate) fn step_in(&mut self, mode: AutoresetMode, slot: u32, action: i64) -> (Told, Option<Told>) {
        let has_ended = |counter: &Self| counter.step > 0 && counter.step % 3 == 0;
        if mode == AutoresetMode::NextStep && has_ended(self) {
            self.reset();
            return ((self.row(slot, true), self.observation()), None);
        }
        self.step(action);
        let told = (self.row(slot, false), self.observation());
        if mode != AutoresetMode::SameStep || !has_ended(self) {
            return (told, None);
        }
        let last = Row { last: true, ..told.0.clone() };
        self.reset();
        let info = self.row(slot, true).info;
        ((Row { first: true, info, ..told.0 }, self.observation()), Some((last, told.1)))
    }
}

/// A row and its observation.
pub(crate) type Told = (Row, [i64; 3]);

/// A request that the host has accepted and not answered.
#[derive(Debug, Clone)]
pub(crate) struct Owed {
    request: u64,
    call: Call,
    slots: Slots,
    actions: Vec<i64>,
}

/// Both sides of one session.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) agent: AgentSession,
    pub(crate) env: EnvSession,
    pub(crate) to_env: VecDeque<Vec<u8>>,
    pub(crate) to_agent: VecDeque<Vec<u8>>,
    pub(crate) counters: Vec<Counter>,
    pub(crate) owed: Vec<Owed>,
    /// Calls of an environment's `step`.
    pub(crate) steps: usize,
    /// Whether payloads are packed.
    packed: bool,
    mode: AutoresetMode,
}

fn observations() -> AnySpace {
    BoxSpace::<i64>::new([3], i64::MIN, i64::MAX).describe()
}

fn actions() -> AnySpace {
    Discrete::new(1000).describe()
}

/// What the agent received in one frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    Rows {
        call: Call,
        late: bool,
        rows: Vec<Told>,
    },
    /// Frames, or what came of an attribute.
    Other {
        call: Call,
        late: bool,
        slots: Vec<u32>,
    },
    Failed {
        call: Option<Call>,
        late: bool,
    },
    Closed,
}

impl World {
    /// A session with an environment of `slots` slots that is made.
    pub(crate) fn new(slots: u32, packed: bool) -> Self {
        Self::in_mode(slots, packed, AutoresetMode::Disabled)
    }

    /// The same where the environments do this when an episode has ended.
    pub(crate) fn in_mode(slots: u32, packed: bool, mode: AutoresetMode) -> Self {
        let (mut agent, mut env, mut frame) = (AgentSession::new(), EnvSession::new(), Vec::new());
        agent.make(&Make::default(), &mut frame).unwrap();
        assert!(matches!(env.handle(&frame, &Limits::default()).unwrap(), EnvEvent::Make { request: 1, .. }));
        let spec = Spec {
            env_id: "Counter-v0".into(),
            observation_space: observations(),
            action_space: actions(),
            slots,
            autoreset_mode: mode,
            render_mode: None,
            metadata: Map::new().into(),
            details: Map::new().into(),
            attributes: vec!["gravity".into()],
        };
        env.spec(&spec, &mut frame).unwrap();
        let AgentEvent::Spec(heard) = agent.handle(&frame, &Limits::default()).unwrap() else { panic!() };
        assert_eq!(*heard, spec);
        let counters = vec![Counter::default(); slots as usize];
        Self {
            agent,
            env,
            to_env: VecDeque::new(),
            to_agent: VecDeque::new(),
            counters,
            owed: vec![],
            steps: 0,
            packed,
            mode,
        }
    }

    pub(crate) fn reset(&mut self, slots: &[u32]) -> Result<()> {
        let mut frame = Vec::new();
        let rows = slots.iter().map(|slot| (*slot, None)).collect();
        self.agent.reset(&Reset { rows, options: Value::None }, &mut frame)?;
        self.to_env.push_back(frame);
        Ok(())
    }

    pub(crate) fn step(&mut self, slots: &[u32], actions: &[i64]) -> Result<()> {
        let mut frame = Vec::new();
        self.agent.step(slots, &mut frame)?;
        let values: Vec<Value> = actions.iter().map(|x| Value::Int(*x)).collect();
        self.append(&self::actions(), &values, &mut frame);
        self.to_env.push_back(frame);
        Ok(())
    }

    pub(crate) fn render(&mut self, slots: &[u32]) -> Result<()> {
        let mut frame = Vec::new();
        self.agent.render(slots, &mut frame)?;
        self.to_env.push_back(frame);
        Ok(())
    }

    pub(crate) fn attribute(&mut self, slots: &[u32]) -> Result<()> {
        let mut frame = Vec::new();
        self.agent.attribute(&attribute(slots), &mut frame)?;
        self.to_env.push_back(frame);
        Ok(())
    }

    /// Appends a payload of `values` in the form of this world.
    fn append(&self, space: &AnySpace, values: &[Value], frame: &mut Vec<u8>) {
        if self.packed {
            let packed = pack_rows(space, values).unwrap();
            payload_head(frame, true, packed.len());
            frame.extend(packed);
        } else {
            payload_head(frame, false, 0);
            values.iter().for_each(|value| put_value(frame, value));
        }
    }

    /// The host takes the next frame.
    pub(crate) fn host_receives(&mut self) {
        let frame = self.to_env.pop_front().expect("a frame on its way to the host");
        let owed = match self.env.handle(&frame, &Limits::default()).unwrap() {
            EnvEvent::Reset { request, reset } => {
                let slots = reset.rows.iter().map(|(slot, _)| *slot).collect();
                Owed { request, call: Call::Reset, slots, actions: vec![] }
            }
            EnvEvent::Step { request, slots, payload } => {
                let values = elements(&actions(), slots.len(), &payload);
                let actions = values.iter().map(|x| x.as_i64().expect("an int")).collect();
                Owed { request, call: Call::Step, slots, actions }
            }
            EnvEvent::Render { request, slots } => Owed { request, call: Call::Render, slots, actions: vec![] },
            EnvEvent::Attribute { request, attribute } => {
                Owed { request, call: Call::Attribute, slots: attribute.slots, actions: vec![] }
            }
            EnvEvent::Close { .. } => {
                let mut frame = Vec::new();
                self.env.closed(&mut frame).unwrap();
                return self.to_agent.push_back(frame);
            }
            other => panic!("a conforming agent cannot cause this: {other:?}"),
        };
        self.owed.push(owed);
    }

    /// The host answers the request that stands at `index` among those it owes.
    pub(crate) fn host_answers(&mut self, index: usize) {
        let Owed { request, call, slots, actions } = self.owed.remove(index);
        let mut frame = Vec::new();
        if call == Call::Render {
            let frames = slots.iter().map(|slot| (*slot, Value::None)).collect();
            self.env.frames(request, &Frames(frames), &mut frame).unwrap();
            return self.to_agent.push_back(frame);
        }
        if call == Call::Attribute {
            let values = slots.iter().map(|slot| (*slot, Some(Value::None))).collect();
            self.env.returned(request, &Returned(values), &mut frame).unwrap();
            return self.to_agent.push_back(frame);
        }
        let (mut told, mut lasts) = (Vec::new(), Vec::new());
        for (i, slot) in slots.iter().enumerate() {
            let counter = &mut self.counters[*slot as usize];
            let Some(action) = actions.get(i) else {
                counter.reset();
                told.push((counter.row(*slot, true), counter.observation()));
                continue;
            };
            let (row, last) = counter.step_in(self.mode, *slot, *action);
            told.push(row);
            lasts.extend(last);
        }
        let (rows, observations): (Vec<Row>, Vec<[i64; 3]>) = told.into_iter().chain(lasts).unzip();
        let values: Vec<Value> = observations.iter().map(|x| Value::Array(Array::new(&[3], x))).collect();
        let mut infos = Vec::new();
        rows.iter().for_each(|row| put_value(&mut infos, &row.info));
        self.steps += actions.len();
        // The head that `result` writes needs the payload's length; the payload itself follows.
        let space = self::observations();
        let form = if self.packed { (true, pack_rows(&space, &values).unwrap().len()) } else { (false, 0) };
        self.env.result(request, &rows, &infos, form, &mut frame).unwrap();
        if self.packed {
            frame.extend(pack_rows(&space, &values).unwrap());
        } else {
            values.iter().for_each(|value| put_value(&mut frame, value));
        }
        self.to_agent.push_back(frame);
    }

    /// The slots of the request that stands at `index`.
    pub(crate) fn owed_slots(&self, index: usize) -> Vec<u32> {
        self.owed[index].slots.to_vec()
    }

    /// The host's environment fails at the request that stands at `index`; nothing was executed.
    pub(crate) fn host_fails(&mut self, index: usize) {
        let owed = self.owed.remove(index);
        let mut frame = Vec::new();
        self.env.fail(owed.request, &Error::new(ErrorKind::Env, "no"), &mut frame).unwrap();
        self.to_agent.push_back(frame);
    }

    /// The agent takes the next frame.
    pub(crate) fn agent_receives(&mut self) -> Heard {
        let frame = self.to_agent.pop_front().expect("a frame on its way to the agent");
        match self.agent.handle(&frame, &Limits::default()).unwrap() {
            AgentEvent::Result { call, late, rows, payload } => {
                let values = elements(&observations(), rows.len(), &payload);
                let numbers = values.iter().map(|value| match value {
                    Value::Array(array) => array.to_vec::<i64>().unwrap().try_into().unwrap(),
                    other => panic!("no observation: {other:?}"),
                });
                Heard::Rows { call, late, rows: rows.into_iter().zip(numbers).collect() }
            }
            AgentEvent::Frames { late, frames } => {
                Heard::Other { call: Call::Render, late, slots: frames.0.iter().map(|(slot, _)| *slot).collect() }
            }
            AgentEvent::Returned { late, returned } => {
                Heard::Other { call: Call::Attribute, late, slots: returned.0.iter().map(|(slot, _)| *slot).collect() }
            }
            AgentEvent::Failed { call, late, .. } => Heard::Failed { call, late },
            AgentEvent::Closed => Heard::Closed,
            other => panic!("a conforming host cannot cause this: {other:?}"),
        }
    }

    /// Delivers every frame and answers in order; returns what the agent received last.
    pub(crate) fn settle(&mut self) -> Heard {
        let mut heard = None;
        while !(self.to_env.is_empty() && self.owed.is_empty() && self.to_agent.is_empty()) {
            if !self.to_env.is_empty() {
                self.host_receives();
            } else if !self.owed.is_empty() {
                self.host_answers(0);
            } else {
                heard = Some(self.agent_receives());
            }
        }
        heard.expect("an answer")
    }
}

/// The elements of a payload of `rows` rows, whatever its form.
fn elements(space: &AnySpace, rows: usize, payload: &Payload<'_>) -> Vec<Value> {
    let mut reader = payload.reader.clone();
    if payload.packed {
        let bytes = reader.take(reader.remaining() as u64).unwrap();
        return unpack_rows(space, rows, bytes, &Limits::default()).unwrap();
    }
    let values = (0..rows).map(|_| reader.value().unwrap()).collect();
    reader.end().unwrap();
    values
}
