//! VectorActions: the actions of many env slots as bytes, of all slots or of some.

use crate::{
    error::Result,
    space::{
        Space, check_action,
        stacked::{SlabSizes, Stack, no_packed_form},
    },
    wire::{Limits, Reader, Spec, put_value},
};

/// Where an agent with plain Rust types writes its actions, in memory that is reused.
#[derive(Debug)]
pub(in crate::endpoint) struct VectorActions {
    /// `None`: the space has no packed form.
    stack: Option<Stack>,
    action: Vec<u8>,
    bytes: Vec<u8>,
}

impl VectorActions {
    /// Of these environments.
    pub(in crate::endpoint) fn new(spec: &Spec) -> Self {
        Self { stack: SlabSizes::of(&spec.action_space).map(Stack::new), action: Vec::new(), bytes: Vec::new() }
    }

    /// Writes the actions, packed if all of them can be; returns whether they are, and their bytes, of which another
    /// buffer may take the place.
    pub(in crate::endpoint) fn write<A: Space>(
        &mut self,
        space: &A,
        actions: &[A::Element],
    ) -> Result<(bool, &mut Vec<u8>)> {
        let Self { stack, action, bytes } = self;
        bytes.clear();
        if let Some(stack) = stack {
            stack.clear();
            let mut all = true;
            for x in actions {
                action.clear();
                all = space.pack(x, action);
                if !all {
                    break;
                }
                stack.push(action)?;
            }
            if all {
                stack.finish(bytes);
                return Ok((true, bytes));
            }
        }
        for x in actions {
            let value = space.to_value(x);
            check_action(space, &value)?;
            put_value(bytes, &value);
        }
        Ok((false, bytes))
    }
}

/// The actions of a request about all slots, of which parts are sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::endpoint) enum AllActions<'a> {
    /// So many packed rows.
    Packed(&'a SlabSizes, &'a [u8], usize),
    /// Values, of which each begins and ends there.
    Values(&'a [u8], &'a [(usize, usize)]),
}

impl<'a> AllActions<'a> {
    /// Refuses what are not the actions of so many slots. `values` is where each begins and ends.
    pub(in crate::endpoint) fn new(
        sizes: Option<&'a SlabSizes>,
        packed: bool,
        actions: &'a [u8],
        slots: usize,
        values: &'a mut Vec<(usize, usize)>,
        limits: &Limits,
    ) -> Result<Self> {
        if packed {
            let sizes = sizes.ok_or_else(no_packed_form)?;
            sizes.check(actions, slots)?;
            return Ok(Self::Packed(sizes, actions, slots));
        }
        values.clear();
        let mut reader = Reader::new(actions, 0, limits);
        for _ in 0..slots {
            let start = reader.position();
            reader.split_value()?;
            values.push((start, reader.position()));
        }
        Ok(Self::Values(actions, values))
    }

    /// Whether they are packed.
    pub(in crate::endpoint) fn is_packed(self) -> bool {
        matches!(self, Self::Packed(..))
    }

    /// Writes those of `some` slots, whose slot 0 is slot `first` here.
    pub(in crate::endpoint) fn pick(self, first: u32, some: &[u32], out: &mut Vec<u8>) {
        out.clear();
        if let Self::Packed(sizes, ..) = self {
            out.resize(sizes.len(some.len()), 0);
        }
        for (row, slot) in some.iter().enumerate() {
            let slot = (first + slot) as usize;
            match self {
                Self::Packed(sizes, actions, slots) => {
                    sizes.copy_row((actions, slots, slot), (&mut out[..], some.len(), row));
                }
                Self::Values(actions, values) => out.extend_from_slice(&actions[values[slot].0..values[slot].1]),
            }
        }
    }
}
