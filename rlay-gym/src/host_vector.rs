//! Hosting of many: a `gymnasium.vector.VectorEnv` as a `HostVectorEnv` of RLay.

use std::fmt;

use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};
use rlay_core::{
    Error, ErrorKind, HostVectorEnv, Result, Value, VectorOutcome,
    endpoint::{SlabSizes, Stack},
    wire::{Attribute, Frames, Payload, Reset, Returned, Row, Spec, put_value},
};

use crate::{
    array::Leaves,
    attributes,
    building::{Builder, from_value},
    error::{raise, text},
    host::{Interrupt, blame, refuse, seed_object, spec},
    packing::Tree,
    results,
    value::{Refusal, to_data, to_dict},
};

/// A vector environment of Python, and the object in `rlay._vector_hosting` that takes its results apart.
pub(crate) struct PyHostVectorEnv {
    host: Py<PyAny>,
    spec: Spec,
    observations: Tree,
    actions: Tree,
    action_sizes: Option<SlabSizes>,
    stack: Option<Stack>,
    element: Vec<u8>,
    interrupt: Interrupt,
    own_close: bool,
}

impl fmt::Debug for PyHostVectorEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PyHostVectorEnv")
    }
}

impl PyHostVectorEnv {
    /// `made` is `rlay._hosting.Described`.
    pub(crate) fn described(py: Python<'_>, made: &Bound<'_, PyAny>, interrupt: &Interrupt) -> PyResult<Self> {
        let spec = spec(made)?;
        let host = py.import("rlay._vector_hosting")?.call_method1("VectorHost", (made.get_item(0)?,))?;
        Ok(Self {
            host: host.unbind(),
            observations: Tree::new(py, &spec.observation_space)?,
            actions: Tree::new(py, &spec.action_space)?,
            action_sizes: SlabSizes::of(&spec.action_space),
            stack: SlabSizes::of(&spec.observation_space).map(Stack::new),
            element: Vec::new(),
            spec,
            interrupt: interrupt.clone(),
            own_close: made.get_item(7)?.extract()?,
        })
    }

    /// Runs the environments' own code; an exception is their failure.
    fn call<T>(&mut self, run: impl FnOnce(&mut Self, Python<'_>) -> PyResult<T>) -> Result<T> {
        let interrupt = self.interrupt.clone();
        Python::attach(|py| run(self, py).map_err(|raised| blame(py, raised, &interrupt)))
    }

    /// Writes what `reset` or `step` of the host returned: (batch of observations, rows, infos, ends of episodes). A row
    /// is (slot, first, terminated, truncated, reward), an info belongs to each, and an end is (slot, observation, info).
    fn write(&mut self, result: &Bound<'_, PyAny>, outcome: &mut VectorOutcome) -> PyResult<()> {
        let (batch, rows, infos, ends) =
            (result.get_item(0)?, result.get_item(1)?, result.get_item(2)?, result.get_item(3)?);
        let (infos, ends) = (infos.cast_into::<PyList>()?, ends.cast_into::<PyList>()?);
        outcome.rows.clear();
        outcome.infos.clear();
        for row in rows.try_iter()? {
            let (slot, first, terminated, truncated, reward) = row?.extract()?;
            outcome.rows.push(Row { slot, first, last: false, terminated, truncated, reward, info: Value::None });
        }
        for info in infos.iter() {
            put_value(&mut outcome.infos, &to_dict(&info, "info")?);
        }
        for end in ends.iter() {
            let slot: u32 = end.get_item(0)?.extract()?;
            let Some(row) = outcome.rows.iter().find(|row| row.slot == slot && !row.last) else { continue };
            let last = Row { first: false, last: true, ..row.clone() };
            outcome.rows.push(last);
            put_value(&mut outcome.infos, &to_dict(&end.get_item(2)?, "info")?);
        }
        let slots = self.spec.slots as usize;
        outcome.packed =
            outcome.rows.len() == slots && self.observations.write_stacked(&batch, slots, &mut outcome.observations)?;
        if outcome.packed { Ok(()) } else { self.write_each(&batch, &ends, outcome) }
    }

    /// Writes the observations one by one.
    fn write_each(
        &mut self,
        batch: &Bound<'_, PyAny>,
        ends: &Bound<'_, PyList>,
        outcome: &mut VectorOutcome,
    ) -> PyResult<()> {
        let py = batch.py();
        let slots: Vec<u32> = outcome.rows.iter().filter(|row| !row.last).map(|row| row.slot).collect();
        let each = self.host.bind(py).call_method1("each", (batch, slots))?.cast_into::<PyList>()?;
        for end in ends.iter() {
            each.append(end.get_item(1)?)?;
        }
        let Self { observations, stack, element, .. } = self;
        outcome.observations.clear();
        if let Some(stack) = stack {
            stack.clear();
            let mut all = true;
            for observation in each.iter() {
                let packed = observations.write(&observation, element, "observation");
                all = packed.map_err(Refusal::into_type_error)? && stack.push(element).is_ok();
                if !all {
                    break;
                }
            }
            if all {
                stack.finish(&mut outcome.observations);
                outcome.packed = true;
                return Ok(());
            }
        }
        for observation in each.iter() {
            let data = to_data(&observation, "observation").map_err(Refusal::into_type_error)?;
            put_value(&mut outcome.observations, &data);
        }
        Ok(())
    }

    /// Refuses requests about some of the slots, which step together.
    fn check_all(&self, slots: usize) -> Result<()> {
        if slots == self.spec.slots as usize {
            return Ok(());
        }
        let text = format!("the {} environments of this host step together; ask for all of them", self.spec.slots);
        Err(Error::new(ErrorKind::Usage, text))
    }
}

impl HostVectorEnv for PyHostVectorEnv {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn reset_into(&mut self, reset: &Reset, outcome: &mut VectorOutcome) -> Result<()> {
        let interrupt = self.interrupt.clone();
        let options = Python::attach(|py| {
            let built = Builder::new(py, None).build(&reset.options).map(Bound::unbind);
            built.map_err(|unbuilt| refuse(py, unbuilt, &interrupt))
        })?;
        self.call(|this, py| {
            let seeds = PyDict::new(py);
            for (slot, seed) in &reset.rows {
                seeds.set_item(slot, seed_object(py, seed.as_ref())?)?;
            }
            let result = this.host.bind(py).call_method1("reset", (seeds, options))?;
            this.write(&result, outcome)
        })
    }

    fn step_into(&mut self, slots: &[u32], actions: Payload<'_>, outcome: &mut VectorOutcome) -> Result<()> {
        self.check_all(slots.len())?;
        let interrupt = self.interrupt.clone();
        Python::attach(|py| {
            let actions = self.read_actions(py, slots, &actions);
            let actions = actions.map_err(|raised| blame_agent(py, &raised))?;
            let result = self.host.bind(py).call_method1("step", (actions,));
            result.and_then(|result| self.write(&result, outcome)).map_err(|raised| blame(py, raised, &interrupt))
        })
    }

    fn render(&mut self, slots: &[u32]) -> Result<Frames> {
        self.call(|this, py| {
            let frames = this.host.bind(py).call_method0("render")?.cast_into::<PyTuple>()?;
            let mode = this.spec.render_mode.as_deref();
            let frame = |slot: &u32| Ok((*slot, results::frame(&frames.get_item(*slot as usize)?, mode)?));
            slots.iter().map(frame).collect::<PyResult<_>>().map(Frames)
        })
    }

    fn attribute(&mut self, attribute: &Attribute) -> Result<Returned> {
        self.check_all(attribute.slots.len())?;
        let interrupt = self.interrupt.clone();
        Python::attach(|py| {
            let asked = attributes::asked(py, &attribute.access);
            let (how, values, kwargs) = asked.map_err(|unbuilt| refuse(py, unbuilt, &interrupt))?;
            let (name, slots) = (attribute.name.as_str(), attribute.slots.to_vec());
            let host = self.host.bind(py);
            let done = host.call_method1("attribute", (slots, name, how, values, kwargs)).and_then(|values| {
                attributes::rows(attribute, |slot| {
                    to_data(&values.get_item(slot)?, name).map(Some).map_err(Refusal::into_type_error)
                })
            });
            done.map_err(|raised| blame(py, raised, &interrupt))
        })
    }

    fn close(&mut self) -> Result<()> {
        if !self.own_close {
            return Ok(());
        }
        self.call(|this, py| this.host.bind(py).call_method0("close").map(drop))
    }
}

impl PyHostVectorEnv {
    /// The batch of actions, in the order of the slots.
    fn read_actions<'py>(&self, py: Python<'py>, slots: &[u32], actions: &Payload<'_>) -> PyResult<Bound<'py, PyAny>> {
        let (number, mut reader) = (slots.len(), actions.reader.clone());
        if actions.packed {
            let stacked = reader.rest();
            let sizes = self.action_sizes.as_ref();
            let sizes = sizes.ok_or_else(|| Error::protocol("a packed payload for a space that has no packed form"));
            let sizes = sizes.and_then(|sizes| sizes.check(stacked, number).map(|()| sizes));
            let sizes = sizes.map_err(|e| raise(py, &e))?;
            if slots.iter().enumerate().all(|(i, slot)| i == *slot as usize) {
                return self.actions.read_stacked(py, &mut Leaves::copying(stacked), 0, number, number);
            }
            let mut ordered = vec![0; stacked.len()];
            for (i, slot) in slots.iter().enumerate() {
                sizes.copy_row((stacked, number, i), (&mut ordered, number, *slot as usize));
            }
            return self.actions.read_stacked(py, &mut Leaves::copying(&ordered), 0, number, number);
        }
        let each = PyList::empty(py);
        for _ in slots {
            let value = reader.value().map_err(|e| raise(py, &e))?;
            each.append(from_value(py, &value)?)?;
        }
        reader.end().map_err(|e| raise(py, &e))?;
        self.host.bind(py).call_method1("batch", (each, slots.to_vec()))
    }
}

/// The error of an agent whose actions cannot be read.
fn blame_agent(py: Python<'_>, raised: &PyErr) -> Error {
    Error::new(ErrorKind::InvalidAction, text(py, raised))
}
