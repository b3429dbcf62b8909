//! RawVectorEnv: several environments in another process, as `ClientVectorEnv` holds them: bytes ⇄ Python objects.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use numpy::PyArray1;
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyInt, PyList, PyTuple},
};
use rlay_core::{
    Error, ErrorKind, Pool, Value,
    endpoint::{RawVectorEnv as CoreEnv, SlabSizes, Stack, Wait},
    session::Call,
    wire::{AutoresetMode, Frames, Seed},
};

use crate::{
    array::Leaves,
    attributes,
    building::{Builder, Unbuilt, from_value},
    error::{self, raise},
    options::{self, AgentOptions},
    packing::Tree,
    raw_env::{lock, seed},
    space::to_py,
    value::to_data,
    waiting::{wait, wait_raw},
};

/// Several environments in another process. One thread at a time; a call from a second one raises Busy.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct RawVectorEnv {
    state: Mutex<State>,
    /// The process that opened the session.
    pid: u32,
}

struct State {
    raw: CoreEnv,
    observations: Tree,
    actions: Tree,
    stack: Option<Stack>,
    action: Vec<u8>,
    packed: Vec<u8>,
    /// Whether observations are copied out of the memory in which they arrived.
    copies: bool,
    /// Memory for large observations.
    pool: Pool,
}

impl Drop for State {
    /// Never blocks, for the GIL is held meanwhile.
    fn drop(&mut self) {
        self.raw.let_go();
    }
}

/// The mode of this name, which is Gymnasium's.
pub(crate) fn mode(name: &str) -> PyResult<AutoresetMode> {
    let modes = [AutoresetMode::NextStep, AutoresetMode::SameStep, AutoresetMode::Disabled];
    let found = modes.into_iter().find(|mode| mode.to_string() == name);
    found.ok_or_else(|| PyValueError::new_err(format!("there is no autoreset mode {name:?}")))
}

impl State {
    /// Calls the environments without the GIL; a wait that a signal handler ends leaves the answer late.
    fn call<T: Send>(
        &mut self,
        py: Python<'_>,
        timeout: Option<f64>,
        call: impl FnOnce(&mut CoreEnv, &mut Vec<u8>, &mut Wait<'_>) -> rlay_core::Result<T> + Send,
    ) -> PyResult<T> {
        let Self { raw, packed, .. } = self;
        match wait_raw(py, timeout, |wait| call(raw, packed, wait)) {
            Ok(result) => result.map_err(|error| raise(py, &error)),
            Err(interrupt) => {
                self.raw.give_up();
                Err(interrupt)
            }
        }
    }

    /// Calls the environments without the GIL; a wait that a signal handler ends leaves everything as it is.
    fn call_apart(
        &mut self,
        py: Python<'_>,
        timeout: Option<f64>,
        call: impl FnOnce(&mut CoreEnv, &mut Vec<u8>, &mut Wait<'_>) -> rlay_core::Result<()> + Send,
    ) -> PyResult<()> {
        let Self { raw, packed, .. } = self;
        wait_raw(py, timeout, |wait| call(raw, packed, wait))?.map_err(|error| raise(py, &error))
    }

    /// Writes the actions into `packed`; returns whether they are in the packed form. `None`: they are not one array of
    /// just what the space declares.
    fn write_batch(&mut self, actions: &Bound<'_, PyAny>, slots: usize) -> PyResult<bool> {
        self.actions.write_stacked(actions, slots, &mut self.packed)
    }

    /// The same for all slots.
    fn write_all(&mut self, actions: &Bound<'_, PyAny>) -> PyResult<bool> {
        let slots = self.raw.observations().slots();
        self.write_batch(actions, slots)
    }

    /// Writes one action for each slot into `packed`; returns whether they are in the packed form.
    fn write_each(&mut self, actions: &Bound<'_, PyList>) -> PyResult<bool> {
        let py = actions.py();
        let refuse = |slot: usize, text: String| {
            error::new(py, ErrorKind::InvalidAction, format!("the action of env slot {slot}{text}"))
        };
        let Self { actions: tree, stack, action, packed, .. } = self;
        packed.clear();
        let mut is_packed = stack.is_some();
        if let Some(stack) = stack {
            stack.clear();
        }
        for (slot, object) in actions.iter().enumerate() {
            let written = tree.write(&object, action, "action");
            let written = written.map_err(|refusal| refusal.into_error(py, ErrorKind::InvalidAction))?;
            if !written && let Some(text) = tree.check_structure(&object)? {
                return Err(refuse(slot, text));
            }
            match stack {
                Some(stack) if written && is_packed => stack.push(action).map_err(|e| raise(py, &e))?,
                _ => is_packed = false,
            }
        }
        if let Some(stack) = stack
            && is_packed
        {
            stack.finish(packed);
            return Ok(true);
        }
        for object in actions.iter() {
            let data =
                to_data(&object, "action").map_err(|refusal| refusal.into_error(py, ErrorKind::InvalidAction))?;
            rlay_core::wire::put_value(packed, &data);
        }
        Ok(false)
    }

    /// What a reset or step returns: (observations, whether they are a batch rather than a list of one for each slot,
    /// rewards, terminations, truncations, infos, ends of episodes).
    fn results<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyTuple>, Unbuilt> {
        let builder = Builder::new(py, None);
        let (held, results) = (self.raw.observations(), self.raw.results());
        let (observations, is_batch) = match (held.shared(), held.values()) {
            (Some((frame, at, rows)), _) => {
                let (mut stacked, at) = match self.copies {
                    true => (Leaves::copying_into(&self.pool, &frame[at..]), 0),
                    false => (Leaves::shared(frame), at),
                };
                (self.observations.read_stacked(py, &mut stacked, at, rows, held.slots())?, true)
            }
            (_, values) => {
                let items = values.unwrap_or_default().iter().map(|value| builder.build(value));
                (PyList::new(py, items.collect::<Result<Vec<_>, _>>()?)?.into_any(), false)
            }
        };
        let (infos, lasts) = self.infos(&builder, |slot| Some(slot as usize))?;
        let items = (
            observations,
            is_batch,
            PyArray1::from_slice(py, &results.rewards),
            PyArray1::from_slice(py, &results.terminations),
            PyArray1::from_slice(py, &results.truncations),
            infos,
            lasts,
        );
        Ok(items.into_pyobject(py)?)
    }

    /// The infos, and the ends of episodes, of the slots that have a place in what is returned, each with that.
    fn infos<'py>(&self, builder: &Builder<'py>, place: impl Fn(u32) -> Option<usize>) -> Result<Infos<'py>, Unbuilt> {
        let (infos, lasts) = (PyList::empty(builder.py()), PyList::empty(builder.py()));
        let results = self.raw.results();
        for (slot, info) in &results.infos {
            if let Some(place) = place(*slot) {
                infos.append((place, builder.build(info)?))?;
            }
        }
        for last in &results.lasts {
            if let Some(place) = place(last.slot) {
                let observation = self.observations.read_element(builder, &last.observation)?;
                lasts.append((place, observation, builder.build(&last.info)?))?;
            }
        }
        Ok((infos, lasts))
    }

    /// What `recv` returns: the slots, and what a step returns of these alone, its slots counted as they stand there.
    fn received<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyTuple>, Unbuilt> {
        let builder = Builder::new(py, None);
        let slots = self.raw.received().to_vec();
        let (held, results) = (self.raw.observations(), self.raw.results());
        let (observations, is_batch) = if let Some(stacked) = held.stack(&slots, &self.pool) {
            let mut stacked = Leaves::new(stacked);
            (self.observations.read_stacked(py, &mut stacked, 0, slots.len(), slots.len())?, true)
        } else {
            let values = held.values().unwrap_or_default();
            let items = slots.iter().map(|slot| builder.build(&values[*slot as usize]));
            (PyList::new(py, items.collect::<Result<Vec<_>, _>>()?)?.into_any(), false)
        };
        let places: HashMap<u32, usize> = slots.iter().enumerate().map(|(place, slot)| (*slot, place)).collect();
        let (infos, lasts) = self.infos(&builder, |slot| places.get(&slot).copied())?;
        let of = |values: &[bool]| -> Vec<bool> { slots.iter().map(|slot| values[*slot as usize]).collect() };
        let rewards: Vec<f64> = slots.iter().map(|slot| results.rewards[*slot as usize]).collect();
        let items = (
            observations,
            is_batch,
            PyArray1::from_vec(py, rewards),
            PyArray1::from_vec(py, of(&results.terminations)),
            PyArray1::from_vec(py, of(&results.truncations)),
            infos,
            lasts,
            PyArray1::from_vec(py, slots.iter().map(|slot| i64::from(*slot)).collect()),
        );
        Ok(items.into_pyobject(py)?)
    }

    fn built<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.results(py).map_err(|unbuilt| unbuilt.into_error(py))
    }
}

impl RawVectorEnv {
    pub(crate) fn new(py: Python<'_>, raw: CoreEnv) -> PyResult<Self> {
        let state = State {
            observations: Tree::new(py, &raw.spec().observation_space)?,
            actions: Tree::new(py, &raw.spec().action_space)?,
            stack: SlabSizes::of(&raw.spec().action_space).map(Stack::new),
            action: Vec::new(),
            packed: Vec::new(),
            copies: true,
            pool: Pool::new(),
            raw,
        };
        Ok(Self { state: Mutex::new(state), pid: std::process::id() })
    }

    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        lock(py, &self.state, self.pid)
    }
}

/// Infos, and the ends of episodes.
type Infos<'py> = (Bound<'py, PyList>, Bound<'py, PyList>);

/// Slots, and the seed of each.
type SeedRows = Vec<(u32, Option<Seed>)>;

/// The rows of a reset, and its options.
fn reset_rows(
    py: Python<'_>,
    seeds: &[(u32, Option<Bound<'_, PyInt>>)],
    options: &Bound<'_, PyAny>,
) -> PyResult<(SeedRows, Value)> {
    let options = to_data(options, "options").map_err(|refusal| refusal.into_error(py, ErrorKind::Usage))?;
    let row = |(slot, seed): &(u32, Option<Bound<'_, PyInt>>)| Ok((*slot, seed.as_ref().map(self::seed).transpose()?));
    Ok((seeds.iter().map(row).collect::<PyResult<_>>()?, options))
}

/// The tuple that `render` returns.
fn build_frames<'py>(py: Python<'py>, frames: &Frames) -> PyResult<Bound<'py, PyTuple>> {
    let builder = Builder::new(py, None);
    let built: Result<Vec<_>, Unbuilt> = frames.0.iter().map(|(_, frame)| builder.build(frame)).collect();
    PyTuple::new(py, built.map_err(|unbuilt| unbuilt.into_error(py))?)
}

#[pymethods]
impl RawVectorEnv {
    /// Dials the host at `address`, or starts the program that an `exec:` address names, and has it make so many
    /// environments; 0: as many as it has.
    #[staticmethod]
    fn connect(py: Python<'_>, address: &str, options: AgentOptions<'_>, slots: u32, mode: &str) -> PyResult<Self> {
        let (options, mode) = (options.into_core(py)?, self::mode(mode)?);
        Self::new(
            py,
            wait(py, None, |wait| CoreEnv::connect(address, options.num_envs(slots).autoreset_mode(mode), wait))?,
        )
    }

    /// One vector of the environments of several, which are left without any.
    #[staticmethod]
    fn join(py: Python<'_>, envs: Vec<Py<Self>>) -> PyResult<Self> {
        let states = envs.iter().map(|envs| envs.get().lock(py));
        let mut states = states.collect::<PyResult<Vec<_>>>()?;
        let joined = CoreEnv::join(&mut states.iter_mut().map(|state| &mut state.raw).collect::<Vec<_>>());
        Self::new(py, joined.map_err(|error| raise(py, &error))?)
    }

    /// The host's Spec: id, spaces, render mode, metadata, details, the number of slots and the names of attributes.
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let state = self.lock(py)?;
        let spec = state.raw.spec();
        let items = [
            spec.env_id.as_str().into_pyobject(py)?.into_any(),
            to_py(py, &spec.observation_space)?,
            to_py(py, &spec.action_space)?,
            spec.render_mode.as_deref().into_pyobject(py)?.into_any(),
            from_value(py, &spec.metadata)?,
            from_value(py, &spec.details)?,
            spec.slots.into_pyobject(py)?.into_any(),
            attributes::names(py, &spec.attributes)?,
        ];
        PyTuple::new(py, items)
    }

    /// Asks for episodes in these slots, each with its seed.
    fn send_reset(
        &self,
        py: Python<'_>,
        seeds: Vec<(u32, Option<Bound<'_, PyInt>>)>,
        options: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let (rows, options) = reset_rows(py, &seeds, options)?;
        // An interrupt may have come between a request and the wait for its answer.
        state.raw.give_up();
        state.call(py, timeout, |raw, _, wait| raw.send_reset(&rows, &options, wait))
    }

    /// Asks for a step, if the actions are one array of just what the space declares; returns whether they are.
    fn send_step(&self, py: Python<'_>, actions: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<bool> {
        let mut state = self.lock(py)?;
        if !state.write_all(actions)? {
            return Ok(false);
        }
        state.call(py, timeout, |raw, packed, wait| raw.send_step(true, packed, wait))?;
        Ok(true)
    }

    /// Asks for a step with one action for each slot.
    fn send_step_each(&self, py: Python<'_>, actions: &Bound<'_, PyList>, timeout: Option<f64>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let is_packed = state.write_each(actions)?;
        state.call(py, timeout, |raw, packed, wait| raw.send_step(is_packed, packed, wait))
    }

    /// Asks for a step and waits for it, if the actions are one array of just what the space declares; else None.
    fn step<'py>(
        &self,
        py: Python<'py>,
        actions: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let mut state = self.lock(py)?;
        if !state.write_all(actions)? {
            return Ok(None);
        }
        state.call(py, timeout, |raw, packed, wait| raw.step(true, packed, wait))?;
        state.built(py).map(Some)
    }

    /// Asks for a step of these slots, if the actions are one array of just what the space declares; returns whether
    /// they are.
    fn send(
        &self,
        py: Python<'_>,
        actions: &Bound<'_, PyAny>,
        slots: Vec<u32>,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        let mut state = self.lock(py)?;
        if !state.write_batch(actions, slots.len())? {
            return Ok(false);
        }
        state.call_apart(py, timeout, |raw, packed, wait| raw.send(&slots, true, packed, wait))?;
        Ok(true)
    }

    /// Asks for a step of these slots with one action for each.
    fn send_each(
        &self,
        py: Python<'_>,
        actions: &Bound<'_, PyList>,
        slots: Vec<u32>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let is_packed = state.write_each(actions)?;
        state.call_apart(py, timeout, |raw, packed, wait| raw.send(&slots, is_packed, packed, wait))
    }

    /// Asks for episodes in these slots, each with its seed, whose rows `recv` returns.
    fn send_resets(
        &self,
        py: Python<'_>,
        seeds: Vec<(u32, Option<Bound<'_, PyInt>>)>,
        options: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let (rows, options) = reset_rows(py, &seeds, options)?;
        state.call_apart(py, timeout, |raw, _, wait| raw.send_resets(&rows, &options, wait))
    }

    /// Waits for rows that were asked for; what it returns is as for `receive`, with the slots.
    fn recv<'py>(
        &self,
        py: Python<'py>,
        min: usize,
        max: usize,
        timeout: Option<f64>,
        overdue: Option<f64>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let mut state = self.lock(py)?;
        let overdue = overdue.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let came = state.call_apart(py, timeout, |raw, _, wait| raw.recv(min, max, overdue, wait));
        if came.is_err() {
            state.raw.receive_again();
        }
        came?;
        state.received(py).map_err(|unbuilt| unbuilt.into_error(py))
    }

    /// Waits for the answer that is under way.
    fn receive<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyTuple>> {
        let mut state = self.lock(py)?;
        state.call(py, timeout, |raw, _, wait| raw.receive(wait))?;
        state.built(py)
    }

    /// The answer that came after its call had timed out or was interrupted, and which call that was.
    fn late<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<(Bound<'py, PyTuple>, &'static str)> {
        let mut state = self.lock(py)?;
        state.raw.give_up();
        match state.call(py, timeout, |raw, _, wait| raw.late(wait))? {
            Call::Render => Ok((build_frames(py, &state.raw.take_frames())?, "render")),
            Call::Attribute => Ok((attributes::build_returned(py, &state.raw.take_returned())?, "call")),
            Call::Reset => Ok((state.built(py)?, "reset")),
            Call::Step => Ok((state.built(py)?, "step")),
        }
    }

    /// Renders all slots.
    fn render<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyTuple>> {
        let mut state = self.lock(py)?;
        let frames = state.call(py, timeout, |raw, _, wait| raw.render(wait))?;
        build_frames(py, &frames)
    }

    /// Asks to set or call an attribute of all slots.
    fn send_attribute<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        how: &str,
        values: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let access = attributes::to_access(how, values, kwargs)?;
        state.call(py, timeout, |raw, _, wait| raw.send_attribute(name, access, wait))
    }

    /// Waits for what that returns in each slot; None where there is no environment.
    fn receive_attribute<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyTuple>> {
        let mut state = self.lock(py)?;
        state.call(py, timeout, |raw, _, wait| raw.receive(wait))?;
        attributes::build_returned(py, &state.raw.take_returned())
    }

    /// Closes the environments and ends the session: see `RawEnv.close`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let raw = &mut state.raw;
        wait(py, None, |wait| raw.close(wait))
    }

    /// Whether each slot has no environment at present.
    fn vacant(&self, py: Python<'_>) -> PyResult<Vec<bool>> {
        Ok(self.lock(py)?.raw.vacant().collect())
    }

    /// What to do from now on about a host that vanished for good.
    fn set_on_loss(&self, py: Python<'_>, on_loss: &str) -> PyResult<()> {
        self.lock(py)?.raw.set_on_loss(options::on_loss(on_loss)?);
        Ok(())
    }

    /// Whether observations are from now on copied out of the memory in which they arrived; else they are not writable.
    fn set_copy(&self, py: Python<'_>, copies: bool) -> PyResult<()> {
        self.lock(py)?.copies = copies;
        Ok(())
    }

    /// Ends the session, and tells the host why the environments are not used, or not any more.
    fn leave(&self, py: Python<'_>, why: String) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let raw = &mut state.raw;
        py.detach(|| raw.leave(&Error::new(ErrorKind::Usage, why)));
        Ok(())
    }

    /// Whether the host vanished for good.
    fn is_lost(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.raw.is_lost())
    }

    /// Drops the connection without a goodbye to the peer: this is a forked child.
    fn abandon(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.raw.abandon();
        }
    }
}
