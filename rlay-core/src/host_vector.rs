//! HostVectorEnv: several environments of the same spaces, as a session with as many slots hosts them.

use std::fmt;

use crate::{
    error::{Error, ErrorKind, Result},
    host::{HostEnv, Outcome, access, no_attribute},
    host_threads::HostThreads,
    space::stacked::{SlabSizes, Stack, no_packed_form},
    value::Value,
    wire::{Attribute, AutoresetMode, Frames, Limits, Payload, Reset, Returned, Row, Seed, Spec, put_value},
};

/// The results of a reset or step of several slots, in buffers that are reused for the next one.
#[derive(Debug, Default)]
pub struct VectorOutcome {
    /// One row for each slot of the request, in its order, and then those with `last`. Their infos are not here.
    pub rows: Vec<Row>,
    /// The infos, one encoded value for each row.
    pub infos: Vec<u8>,
    /// Whether the observations are in packed form; otherwise they are one encoded value for each row.
    pub packed: bool,
    /// The observations of all rows, unless [`HostVectorEnv::observations`] has them.
    pub observations: Vec<u8>,
}

/// Several environments as a session uses them. [`HostSlots`] makes one of single environments, and
/// [`HostedVector`](crate::HostedVector) of a [`VectorEnv`](crate::VectorEnv); language bindings implement it directly.
///
/// A call fails as a whole. The slot that failed is best named in the error's text.
pub trait HostVectorEnv: fmt::Debug {
    /// Spaces, metadata, the number of slots, and what the environments do themselves where an episode has ended.
    fn spec(&self) -> Spec;

    /// Starts episodes in the slots of `reset`, the results into `outcome`, which still holds the last ones.
    fn reset_into(&mut self, reset: &Reset, outcome: &mut VectorOutcome) -> Result<()>;

    /// Takes one action in each of `slots`, the results into `outcome`, which still holds the last ones.
    fn step_into(&mut self, slots: &[u32], actions: Payload<'_>, outcome: &mut VectorOutcome) -> Result<()>;

    /// The last observations' packed form where it lies in memory, if it need not be copied into the outcome.
    fn observations(&self) -> Option<&[u8]> {
        None
    }

    /// Renders these slots.
    fn render(&mut self, slots: &[u32]) -> Result<Frames>;

    /// Gets, sets or calls an attribute in these slots. By default there are none.
    fn attribute(&mut self, attribute: &Attribute) -> Result<Returned> {
        Err(no_attribute(&attribute.name).into())
    }

    /// Closes all environments.
    fn close(&mut self) -> Result<()>;
}

/// What a host makes for a session: one environment, or several that step at once.
///
/// One is made as often as an agent asks for environments ([`HostSlots`]); several have to be as many as it asks for.
#[derive(Debug)]
pub enum HostedEnv<'m> {
    /// One environment.
    One(Box<dyn HostEnv + 'm>),
    /// Several at once.
    Several(Box<dyn HostVectorEnv + 'm>),
    /// Several that step on threads of their own. Only backends make them, see
    /// [`HostOptions::threads`](crate::HostOptions::threads).
    Threads(Box<HostThreads>),
}

impl HostedEnv<'_> {
    /// Spaces, metadata and the number of slots.
    pub fn spec(&self) -> Spec {
        match self {
            Self::One(env) => env.spec(),
            Self::Several(envs) => envs.spec(),
            Self::Threads(threads) => threads.spec().clone(),
        }
    }

    /// Closes what there is.
    pub fn close(&mut self) -> Result<()> {
        match self {
            Self::One(env) => env.close(),
            Self::Several(envs) => envs.close(),
            Self::Threads(threads) => threads.close(),
        }
    }
}

/// Single environments side by side, one in each slot, which begin their next episodes by themselves if asked to.
#[derive(Debug)]
pub struct HostSlots<'m> {
    envs: Vec<Box<dyn HostEnv + 'm>>,
    /// The slot of the first of them.
    first_slot: u32,
    spec: Spec,
    /// Whether the episode of each slot has ended and its next step begins another.
    is_due: Vec<bool>,
    actions: Option<SlabSizes>,
    /// One action in the packed form, whose padding stays zero.
    action: Vec<u8>,
    outcome: Outcome,
    rows: Collected,
    lasts: Collected,
}

/// Rows while they are collected: as a stack for as long as all of them are packed.
#[derive(Debug)]
struct Collected {
    rows: Vec<Row>,
    infos: Vec<u8>,
    stack: Option<Stack>,
    /// Whether all rows so far are in the stack.
    packed: bool,
    values: Vec<u8>,
    element: Vec<u8>,
}

impl<'m> HostSlots<'m> {
    /// One slot for each of `envs`, of which there is at least one. All have the spaces of the first, which is checked;
    /// if they do not, all are closed.
    pub fn new(envs: Vec<Box<dyn HostEnv + 'm>>, autoreset_mode: AutoresetMode) -> Result<Self> {
        Self::from_slot(0, envs, autoreset_mode)
    }

    /// The same for the slots from `first_slot` on.
    pub(crate) fn from_slot(
        first_slot: u32,
        mut envs: Vec<Box<dyn HostEnv + 'm>>,
        autoreset_mode: AutoresetMode,
    ) -> Result<Self> {
        let first = envs.first().ok_or_else(|| Error::protocol("a host of no environment"))?.spec();
        let spec = Spec { slots: envs.len() as u32, autoreset_mode, ..first };
        let other = envs.iter().enumerate().skip(1).find_map(|(slot, env)| {
            let slot = first_slot as usize + slot;
            same_spaces(&spec, &env.spec()).err().map(|error| error.at(format_args!("env slot {slot}")))
        });
        if let Some(error) = other {
            return Err(envs.iter_mut().fold(error, |error, env| match env.close() {
                Ok(()) => error,
                Err(besides) => error.advice(&format!("its close() failed besides: {besides}")),
            }));
        }
        let collected = || Collected::new(SlabSizes::of(&spec.observation_space));
        Ok(Self {
            is_due: vec![false; envs.len()],
            action: vec![0; SlabSizes::of(&spec.action_space).map_or(0, |sizes| sizes.len(1))],
            actions: SlabSizes::of(&spec.action_space),
            outcome: Outcome::default(),
            rows: collected(),
            lasts: collected(),
            envs,
            first_slot,
            spec,
        })
    }

    /// How many bytes of infos, and of observations as values, the rows without `last` of the last call take.
    pub(crate) fn first_lens(&self) -> (usize, usize) {
        (self.rows.infos.len(), self.rows.values.len())
    }

    /// Where the environment of a slot is.
    fn at(&self, slot: u32) -> usize {
        (slot - self.first_slot) as usize
    }

    /// Resets one slot; the row says `first` and is what `row` says otherwise.
    fn reset_slot(&mut self, row: Row, seed: Option<&Seed>, options: &Value) -> Result<()> {
        let at = self.at(row.slot);
        let env = &mut self.envs[at];
        env.reset_into(seed, options, &mut self.outcome)?;
        self.is_due[at] = false;
        self.rows.push(Row { first: true, ..row }, &self.outcome, env.as_ref(), &self.spec)
    }

    fn step_slot(&mut self, slot: u32, action: Action<'_>) -> Result<()> {
        let row = Row {
            slot,
            first: false,
            last: false,
            terminated: false,
            truncated: false,
            reward: 0.0,
            info: Value::None,
        };
        let at = self.at(slot);
        if self.is_due[at] {
            return self.reset_slot(row, None, &Value::None);
        }
        let action = match action {
            Action::Packed { stacked, rows, row, limits } => {
                let Some(sizes) = &self.actions else { return Err(no_packed_form()) };
                sizes.copy_row((stacked, rows, row), (&mut self.action, 1, 0));
                Payload::of_packed(&self.action, limits)
            }
            Action::Value(payload) => payload,
        };
        let env = &mut self.envs[at];
        env.step_into(action, &mut self.outcome)?;
        let Outcome { reward, terminated, truncated, .. } = self.outcome;
        let row = Row { terminated, truncated, reward, ..row };
        match (terminated || truncated, self.spec.autoreset_mode) {
            (true, AutoresetMode::SameStep) => {
                let last = Row { last: true, ..row.clone() };
                self.lasts.push(last, &self.outcome, env.as_ref(), &self.spec)?;
                self.reset_slot(row, None, &Value::None)
            }
            (ended, mode) => {
                self.is_due[at] = ended && mode == AutoresetMode::NextStep;
                self.rows.push(row, &self.outcome, env.as_ref(), &self.spec)
            }
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.lasts.clear();
    }

    /// Writes what was collected.
    fn finish(&mut self, outcome: &mut VectorOutcome) -> Result<()> {
        let (rows, lasts) = (&mut self.rows, &mut self.lasts);
        if !(rows.packed && lasts.packed) {
            rows.unpack(&self.spec)?;
            lasts.unpack(&self.spec)?;
        }
        outcome.rows.clear();
        outcome.rows.append(&mut rows.rows);
        outcome.rows.append(&mut lasts.rows);
        outcome.infos.clear();
        outcome.observations.clear();
        for part in [&*rows, &*lasts] {
            outcome.infos.extend_from_slice(&part.infos);
            outcome.observations.extend_from_slice(&part.values);
        }
        outcome.packed = rows.packed;
        if let (true, Some(stack), Some(last)) = (rows.packed, &mut rows.stack, &lasts.stack) {
            stack.finish_with(last, &mut outcome.observations);
        }
        Ok(())
    }
}

/// The action of one slot.
enum Action<'a> {
    Packed { stacked: &'a [u8], rows: usize, row: usize, limits: &'a Limits },
    Value(Payload<'a>),
}

/// Refuses spaces other than those of `spec`, with the first leaf that differs.
pub(crate) fn same_spaces(spec: &Spec, other: &Spec) -> Result<()> {
    match spec.other_space(other) {
        None => Ok(()),
        Some((space, how)) => {
            let text = format!("its {space} is not that of the others, from theirs to its own: {how}");
            Err(Error::new(ErrorKind::Incompatible, text))
        }
    }
}

impl HostVectorEnv for HostSlots<'_> {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn reset_into(&mut self, reset: &Reset, outcome: &mut VectorOutcome) -> Result<()> {
        self.clear();
        for (slot, seed) in &reset.rows {
            let row = Row {
                slot: *slot,
                first: true,
                last: false,
                terminated: false,
                truncated: false,
                reward: 0.0,
                info: Value::None,
            };
            self.reset_slot(row, seed.as_ref(), &reset.options).map_err(|error| in_slot(*slot, error))?;
        }
        self.finish(outcome)
    }

    /// Steps every slot, also those behind one that fails: whatever happens, each has taken its action.
    fn step_into(&mut self, slots: &[u32], actions: Payload<'_>, outcome: &mut VectorOutcome) -> Result<()> {
        self.clear();
        let limits = Limits::default();
        let mut reader = actions.reader.clone();
        if actions.packed {
            self.actions.as_ref().ok_or_else(no_packed_form)?.check(reader.rest(), slots.len())?;
        }
        // All are read before the first slot takes its action.
        let mut values = Vec::new();
        if !actions.packed {
            values = slots.iter().map(|_| reader.split_value()).collect::<Result<_>>()?;
            reader.end()?;
        }
        let mut failed = None;
        for (row, slot) in slots.iter().enumerate() {
            let action = match values.get(row) {
                Some(value) => Action::Value(Payload { packed: false, reader: value.clone() }),
                None => Action::Packed { stacked: reader.rest(), rows: slots.len(), row, limits: &limits },
            };
            if let Err(error) = self.step_slot(*slot, action) {
                failed.get_or_insert_with(|| in_slot(*slot, error));
            }
        }
        match failed {
            Some(error) => Err(error),
            None => self.finish(outcome),
        }
    }

    fn render(&mut self, slots: &[u32]) -> Result<Frames> {
        let render = |slot: &u32| {
            let at = self.at(*slot);
            let frame = self.envs[at].render().map_err(|error| in_slot(*slot, error))?;
            Ok((*slot, frame))
        };
        slots.iter().map(render).collect::<Result<_>>().map(Frames)
    }

    /// Ends with the first slot that fails, as Gymnasium's own vectors do.
    fn attribute(&mut self, attribute: &Attribute) -> Result<Returned> {
        let access = |(row, slot): (usize, &u32)| {
            let at = self.at(*slot);
            let value = access(self.envs[at].as_mut(), attribute, row);
            value.map(|value| (*slot, value)).map_err(|error| in_slot(*slot, error))
        };
        attribute.slots.iter().enumerate().map(access).collect::<Result<_>>().map(Returned)
    }

    fn close(&mut self) -> Result<()> {
        let mut result = Ok(());
        for (slot, env) in (self.first_slot..).zip(&mut self.envs) {
            let closed = env.close().map_err(|error| in_slot(slot, error));
            result = result.and(closed);
        }
        result
    }
}

/// Says where it happened.
fn in_slot(slot: u32, error: Error) -> Error {
    error.of_slot(slot)
}

impl Collected {
    fn new(sizes: Option<SlabSizes>) -> Self {
        let packed = sizes.is_some();
        let stack = sizes.map(Stack::new);
        Self { rows: Vec::new(), infos: Vec::new(), stack, packed, values: Vec::new(), element: Vec::new() }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.infos.clear();
        self.values.clear();
        self.packed = self.stack.is_some();
        if let Some(stack) = &mut self.stack {
            stack.clear();
        }
    }

    fn push(&mut self, row: Row, outcome: &Outcome, env: &dyn HostEnv, spec: &Spec) -> Result<()> {
        let observation = env.observation().unwrap_or(&outcome.observation);
        if outcome.packed && self.packed {
            self.stack.as_mut().ok_or_else(no_packed_form)?.push(observation)?;
        } else {
            self.unpack(spec)?;
            match outcome.packed {
                true => put_unpacked(observation, spec, &mut self.values)?,
                false => self.values.extend_from_slice(observation),
            }
        }
        self.infos.extend_from_slice(&outcome.info);
        self.rows.push(row);
        Ok(())
    }

    /// Turns the rows so far into values.
    fn unpack(&mut self, spec: &Spec) -> Result<()> {
        if !std::mem::take(&mut self.packed) {
            return Ok(());
        }
        let Self { stack: Some(stack), element, values, .. } = self else { return Ok(()) };
        for row in 0..stack.rows() {
            element.clear();
            stack.row(row, element);
            put_unpacked(element, spec, values)?;
        }
        Ok(())
    }
}

/// Appends the value of a packed observation.
pub(crate) fn put_unpacked(packed: &[u8], spec: &Spec, out: &mut Vec<u8>) -> Result<()> {
    let payload = Payload::of_packed(packed, &Limits::default());
    put_value(out, &payload.element(&spec.observation_space)?);
    Ok(())
}
