//! VectorObservations: the last observation of every env slot, in the memory of the frame that brought them if one did.

use std::sync::Arc;

use super::received::Received;
use crate::{
    error::{Error, ErrorKind, Result},
    frame::{Frame, Pool},
    space::{
        AnySpace, BatchSpace, RowBuffer, Slabs, Space,
        stacked::{SlabSizes, no_packed_form},
    },
    value::Value,
    wire::{Limits, Payload, Row, Spec},
};

/// The last observation of every slot.
#[derive(Debug)]
pub struct VectorObservations {
    space: AnySpace,
    /// `None`: the space has no packed form.
    sizes: Option<SlabSizes>,
    slots: usize,
    held: Held,
    /// Whether each slot has an observation.
    is_there: Vec<bool>,
    element: Vec<u8>,
    limits: Limits,
}

#[derive(Debug)]
enum Held {
    /// From `at` on, the first of so many rows. While the memory is shared, what changes is a copy.
    Packed {
        frame: Arc<Frame>,
        at: usize,
        rows: usize,
    },
    Values(Vec<Value>),
}

/// An observation apart from the others.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// In the packed form of its space.
    Packed(Vec<u8>),
    /// As a value.
    Value(Value),
}

/// The end of an episode whose slot has begun another one in the same step.
#[derive(Debug, Clone, PartialEq)]
pub struct LastRow {
    /// The slot.
    pub slot: u32,
    /// The last observation of the episode.
    pub observation: Element,
    /// The info of its last step.
    pub info: Value,
}

impl VectorObservations {
    /// Of an environment that was never reset.
    pub(crate) fn new(spec: &Spec, limits: Limits) -> Self {
        let (space, slots) = (spec.observation_space.clone(), spec.slots as usize);
        let (sizes, held) = (SlabSizes::of(&space), Held::Values(vec![Value::None; slots]));
        Self { space, sizes, slots, held, is_there: vec![false; slots], element: Vec::new(), limits }
    }

    /// The number of slots.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Whether every slot has an observation.
    pub fn is_complete(&self) -> bool {
        self.is_there.iter().all(|there| *there)
    }

    /// The packed form of all observations if all are packed: so many rows, of which the first are those of the slots.
    pub fn packed(&self) -> Option<(&[u8], usize)> {
        self.shared().map(|(frame, at, rows)| (&frame[at..], rows))
    }

    /// The same with the memory that they lie in, from the returned position on: what it holds never changes again.
    pub fn shared(&self) -> Option<(&Arc<Frame>, usize, usize)> {
        match &self.held {
            Held::Packed { frame, at, rows } => Some((frame, *at, *rows)),
            Held::Values(_) => None,
        }
    }

    /// The packed form of the observations of `slots`, stacked, in memory of `pool`, if all are packed.
    pub fn stack(&self, slots: &[u32], pool: &Pool) -> Option<Frame> {
        let (Held::Packed { frame, at, rows }, Some(sizes)) = (&self.held, &self.sizes) else { return None };
        let mut out = pool.take(sizes.len(slots.len()));
        for (i, slot) in slots.iter().enumerate() {
            sizes.copy_row((&frame[*at..], *rows, *slot as usize), (&mut out, slots.len(), i));
        }
        sizes.fill_padding(&mut out, slots.len());
        Some(out)
    }

    /// The observation of each slot, if not all are packed.
    pub fn values(&self) -> Option<&[Value]> {
        match &self.held {
            Held::Packed { .. } => None,
            Held::Values(values) => Some(values),
        }
    }

    /// The observation of one slot, as an element of `space`, which is that of the spec.
    pub fn element<S: Space>(&mut self, slot: usize, space: &S) -> Result<S::Element> {
        match (&self.held, &self.sizes) {
            (Held::Packed { frame, at, rows }, Some(sizes)) => {
                self.element.clear();
                sizes.row(&frame[*at..], *rows, slot, &mut self.element);
                Payload::of_packed(&self.element, &self.limits).element(space)
            }
            (Held::Values(values), _) => space.from_value(&values[slot]),
            (Held::Packed { .. }, None) => Err(no_packed_form()),
        }
    }

    /// The observations of all slots where they lie, as a batch of `space`, which is that of the spec. If some of them
    /// came as values, all are packed first.
    pub fn batch<S: BatchSpace>(&mut self, space: &S) -> Result<S::Batch<'_>> {
        if let Held::Values(values) = &self.held {
            if !self.is_complete() {
                return Err(Error::new(ErrorKind::ResetNeeded, "some environments were never reset; reset them first"));
            }
            let mut rows = RowBuffer::new(&self.space, self.slots)?;
            for (slot, value) in values.iter().enumerate() {
                self.element.clear();
                space.pack(&space.from_value(value)?, &mut self.element);
                rows.write(slot, &self.element)?;
            }
            self.held = Held::Packed { frame: Arc::new(rows.into_frame()), at: 0, rows: self.slots };
        }
        match &self.held {
            Held::Packed { frame, at, rows } => space.batch(&mut Slabs::new(&frame[*at..], *rows, self.slots)),
            Held::Values(_) => Err(no_packed_form()),
        }
    }

    /// Takes the observations of `rows`, of which the first are about slots and the others end episodes. Those are
    /// appended to `lasts`.
    pub(crate) fn take(&mut self, rows: &[Row], received: Received, lasts: &mut Vec<LastRow>) -> Result<()> {
        let about = rows.iter().position(|row| row.last).unwrap_or(rows.len());
        let last = |row: &Row, observation| LastRow { slot: row.slot, observation, info: row.info.clone() };
        if !received.packed {
            let mut reader = received.payload().reader;
            let mut values = rows.iter().map(|_| reader.value()).collect::<Result<Vec<_>>>()?;
            reader.end()?;
            let ended = rows[about..].iter().zip(values.drain(about..));
            lasts.extend(ended.map(|(row, value)| last(row, Element::Value(value))));
            let held = self.as_values()?;
            rows.iter().zip(values).for_each(|(row, value)| held[row.slot as usize] = value);
            rows.iter().for_each(|row| self.is_there[row.slot as usize] = true);
            return Ok(());
        }
        let sizes = self.sizes.as_ref().ok_or_else(no_packed_form)?;
        let stacked = &received.frame[received.at..];
        sizes.check(stacked, rows.len())?;
        for (i, row) in rows.iter().enumerate().skip(about) {
            let mut element = Vec::with_capacity(sizes.len(1));
            sizes.row(stacked, rows.len(), i, &mut element);
            lasts.push(last(row, Element::Packed(element)));
        }
        let rows_in_order = rows[..about].iter().enumerate().all(|(slot, row)| row.slot as usize == slot);
        if about == self.slots && rows_in_order {
            self.hold(received.frame, received.at, rows.len());
            self.is_there.fill(true);
            return Ok(());
        }
        if let Held::Values(values) = &mut self.held {
            if self.is_there.iter().any(|there| *there) {
                for (i, row) in rows[..about].iter().enumerate() {
                    self.element.clear();
                    sizes.row(stacked, rows.len(), i, &mut self.element);
                    values[row.slot as usize] = Payload::of_packed(&self.element, &self.limits).element(&self.space)?;
                }
                rows[..about].iter().for_each(|row| self.is_there[row.slot as usize] = true);
                return Ok(());
            }
            let frame = self.zeros(sizes);
            self.hold(frame, 0, self.slots);
        }
        let sizes = self.sizes.as_ref().ok_or_else(no_packed_form)?;
        if let Held::Packed { frame, at, rows: held_rows } = &mut self.held {
            let frame = Arc::make_mut(frame);
            for (i, row) in rows[..about].iter().enumerate() {
                let to = (&mut frame[*at..], *held_rows, row.slot as usize);
                sizes.copy_row((stacked, rows.len(), i), to);
                self.is_there[row.slot as usize] = true;
            }
        }
        Ok(())
    }

    /// Gives a slot that has no observation yet one to stand in: zeros, or where there is no packed form that of another
    /// slot.
    pub(crate) fn fill(&mut self, slot: usize) {
        if self.is_there[slot] {
            return;
        }
        if let Held::Values(values) = &mut self.held {
            match (&self.sizes, self.is_there.iter().position(|there| *there)) {
                (_, Some(other)) => values[slot] = values[other].clone(),
                (Some(sizes), None) => {
                    let frame = self.zeros(sizes);
                    self.hold(frame, 0, self.slots);
                }
                (None, None) => {}
            }
        }
    }

    /// One row of zeros for each slot.
    fn zeros(&self, sizes: &SlabSizes) -> Frame {
        let mut frame = Pool::new().take(sizes.len(self.slots));
        frame.fill(0);
        frame
    }

    /// Holds these rows instead of those so far, in the same allocation unless that is shared.
    fn hold(&mut self, frame: Frame, at: usize, rows: usize) {
        match &mut self.held {
            Held::Packed { frame: held, at: held_at, rows: held_rows } => {
                match Arc::get_mut(held) {
                    Some(held) => *held = frame,
                    None => *held = Arc::new(frame),
                }
                (*held_at, *held_rows) = (at, rows);
            }
            Held::Values(_) => self.held = Held::Packed { frame: Arc::new(frame), at, rows },
        }
    }

    /// The observation of one slot once more, apart from the others.
    pub(crate) fn copy(&self, slot: usize) -> Element {
        match (&self.held, &self.sizes) {
            (Held::Packed { frame, at, rows }, Some(sizes)) => {
                let mut element = Vec::with_capacity(sizes.len(1));
                sizes.row(&frame[*at..], *rows, slot, &mut element);
                Element::Packed(element)
            }
            (Held::Values(values), _) => Element::Value(values[slot].clone()),
            (Held::Packed { .. }, None) => unreachable!("a space without a packed form"),
        }
    }

    /// The same as values, one for each slot.
    fn as_values(&mut self) -> Result<&mut Vec<Value>> {
        if let (Held::Packed { frame, at, rows }, Some(sizes)) = (&self.held, &self.sizes) {
            let mut values = Vec::with_capacity(self.slots);
            for slot in 0..self.slots {
                self.element.clear();
                sizes.row(&frame[*at..], *rows, slot, &mut self.element);
                values.push(Payload::of_packed(&self.element, &self.limits).element(&self.space)?);
            }
            self.held = Held::Values(values);
        }
        match &mut self.held {
            Held::Values(values) => Ok(values),
            Held::Packed { .. } => Err(no_packed_form()),
        }
    }
}
