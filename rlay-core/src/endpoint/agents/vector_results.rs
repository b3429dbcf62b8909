//! VectorResults: what a call to many environments brought besides observations.

use crate::{
    error::Result,
    session::{
        Call,
        observations::{LastRow, VectorObservations},
        received::Received,
    },
    value::Value,
    wire::{Row, Rows, Slots},
};

/// What a call brought, by slot. What a slot was not asked about is as it was.
#[derive(Debug, Default)]
pub struct VectorResults {
    /// The reward of each slot.
    pub rewards: Vec<f64>,
    /// Whether the task ended the episode of each slot.
    pub terminations: Vec<bool>,
    /// Whether something else ended it.
    pub truncations: Vec<bool>,
    /// Slots that have an info that is not empty, in order.
    pub infos: Vec<(u32, Value)>,
    /// The ends of episodes of slots that have begun another one, in order.
    pub lasts: Vec<LastRow>,
}

impl VectorResults {
    pub(in crate::endpoint) fn new(slots: usize) -> Self {
        let (terminations, truncations) = (vec![false; slots], vec![false; slots]);
        Self { rewards: vec![0.0; slots], terminations, truncations, ..Self::default() }
    }

    /// Forgets what the last call brought of some slots alone.
    pub(in crate::endpoint) fn begin(&mut self) {
        self.infos.clear();
        self.lasts.clear();
    }

    /// The episode of a slot begins at this end, with a reward of zero as in Gymnasium's own vector environments.
    pub(in crate::endpoint) fn begin_episode(&mut self, slot: usize) {
        self.rewards[slot] = 0.0;
        (self.terminations[slot], self.truncations[slot]) = (false, false);
    }

    pub(in crate::endpoint) fn push_info(&mut self, slot: u32, info: Value) {
        if !matches!(&info, Value::Dict(map) if map.is_empty()) {
            self.infos.push((slot, info));
        }
    }

    /// Takes the answer to `call` from a session whose slot 0 is slot `first` here; leaves the rows empty.
    ///
    /// `resets_ended`: in a slot whose episode has ended this end begins another one. Those slots of the session are
    /// written into `due`.
    #[allow(clippy::too_many_arguments)] // all of it belongs to one answer
    pub(in crate::endpoint) fn take(
        &mut self,
        observations: &mut VectorObservations,
        first: u32,
        call: Call,
        resets_ended: bool,
        rows: &mut Rows,
        received: Received,
        due: &mut Slots,
    ) -> Result<()> {
        let is_reset = call == Call::Reset;
        rows.iter_mut().for_each(|row| row.slot += first);
        observations.take(rows, received, &mut self.lasts)?;
        for Row { slot, last, terminated, truncated, reward, info, .. } in rows.drain(..) {
            if last {
                continue;
            }
            let at = slot as usize;
            if !is_reset {
                self.rewards[at] = reward;
                (self.terminations[at], self.truncations[at]) = (terminated, truncated);
            }
            if resets_ended && !is_reset && (terminated || truncated) {
                self.lasts.push(LastRow { slot, observation: observations.copy(at), info });
                due.push(slot - first);
                continue;
            }
            self.push_info(slot, info);
        }
        Ok(())
    }

    /// Puts what came of several answers into the order of the slots.
    pub(in crate::endpoint) fn finish(&mut self) {
        self.infos.sort_by_key(|(slot, _)| *slot);
        self.lasts.sort_by_key(|last| last.slot);
    }
}
