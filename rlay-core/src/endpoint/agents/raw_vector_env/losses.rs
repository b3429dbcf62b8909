//! Losses: what becomes of the slots whose environment is gone, and how another one takes its place.

use std::time::{Duration, Instant};

use super::RawVectorEnv;
use crate::{
    endpoint::{agents::lane::Lane, options::OnLoss, wait::Wait},
    error::{Error, ErrorKind, Result},
    session::{Call, observations::LastRow, received::Received},
    value::{Map, Value},
    wire::{AutoresetMode, Rows},
};

impl RawVectorEnv {
    /// Has another environment looked for in each lane that is lost, if that is wanted, and waits for as many as a reset
    /// needs; returns whether it has waited.
    pub(super) fn fill_lanes(&mut self, wait: &mut Wait<'_>) -> Result<bool> {
        let (tell, on_loss) = (wait.told_later(), self.on_loss);
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_lost() && lane.may_replace(on_loss)) {
            lane.replace(tell);
        }
        let mut ready: usize = self.lanes.iter().filter(|lane| !lane.is_vacant()).map(|lane| lane.slots as usize).sum();
        let (deadline, mut has_waited) = (Instant::now().checked_add(self.connect_timeout), false);
        for lane in 0..self.lanes.len() {
            if !self.lanes[lane].is_vacant() {
                continue;
            }
            let needed = ready < self.min_ready;
            has_waited |= needed;
            let found = match needed {
                true => {
                    let mut wait = Wait { deadline, ..wait.without_deadline() };
                    let mut wait = wait.with_cancel_of(&self.cancel);
                    Some(self.lanes[lane].await_found(&mut wait).map_err(|error| self.in_vain(lane, error))?)
                }
                false => self.lanes[lane].take_found(),
            };
            if let Some((rows, received)) = found {
                self.take_found(lane, rows, received)?;
                ready += self.lanes[lane].slots as usize;
            }
        }
        self.results.begin();
        Ok(has_waited)
    }

    /// Waits until one lane at least has an environment.
    pub(super) fn await_one(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        let deadline = Instant::now().checked_add(self.connect_timeout);
        while self.lanes.iter().all(Lane::is_vacant) && !self.lanes.iter_mut().any(Lane::has_found) {
            let mut wait = Wait { deadline, ..wait.without_deadline() };
            let mut wait = wait.with_cancel_of(&self.cancel);
            wait.sleep(Duration::from_millis(10)).map_err(|error| self.in_vain(0, error))?;
        }
        Ok(())
    }

    pub(super) fn in_vain(&self, lane: usize, error: Error) -> Error {
        if error.kind() != ErrorKind::Timeout {
            return error;
        }
        let (slot, waited) = (self.lanes[lane].first, self.connect_timeout.as_secs_f64());
        let text = format!(
            "no environment has taken env slot {slot} within {waited:.1} s; start another, or raise connect_timeout, or \
             let min_ready say how many are enough"
        );
        Error::new(ErrorKind::Timeout, text).with_source(error)
    }

    /// What becomes of a lane that has not answered in time.
    pub(super) fn overdue(&mut self, lane: usize, wait: &mut Wait<'_>) -> Result<()> {
        let (may_replace, on_loss) = (self.lanes[lane].may_replace(self.on_loss), self.on_loss);
        let Some(agent) = self.lanes[lane].agent() else { return Ok(()) };
        if on_loss == OnLoss::Raise || !may_replace || !self.call.has_rows() {
            let error = agent.overdue();
            self.give_up();
            return Err(error);
        }
        let why = agent.leave_overdue();
        self.lose_any(lane, &why, wait);
        Ok(())
    }

    /// What becomes of a lane of which a request has failed.
    pub(super) fn fail(&mut self, lane: usize, error: Error, wait: &mut Wait<'_>) {
        let is_lost = self.lanes[lane].is_lost();
        let first = self.lanes[lane].first;
        self.lanes[lane].under_way = match is_lost {
            true => 0,
            false => self.lanes[lane].under_way.saturating_sub(1),
        };
        // A render has no rows in which nothing could have happened; the next step finds the loss, too.
        let has_rows = self.call.has_rows();
        if is_lost && has_rows && self.on_loss != OnLoss::Raise && self.lanes[lane].may_replace(self.on_loss) {
            self.lose_any(lane, &error, wait);
            return;
        }
        let error = match (self.lanes.len(), error.slot()) {
            (1, _) => error,
            (_, slot) => error.of_slot(first + slot.unwrap_or_default()),
        };
        self.failed.get_or_insert(error);
    }

    /// Looks for another environment in place of one that is lost, whichever way its slots are asked.
    pub(super) fn lose_any(&mut self, lane: usize, why: &Error, wait: &mut Wait<'_>) {
        match self.first_ready.is_active() {
            true => self.lose_lane(lane, why, wait),
            false => self.lose(lane, why, wait),
        }
    }

    /// Looks for another environment in place of one that is lost.
    pub(super) fn lose(&mut self, lane: usize, why: &Error, wait: &mut Wait<'_>) {
        self.lanes[lane].replace(wait.told_later());
        self.fill_vacant(lane);
        let Lane { first, slots, .. } = self.lanes[lane];
        let why = Value::from(why.to_string());
        for (_, info) in self.results.infos.iter_mut().filter(|(slot, _)| (first..first + slots).contains(slot)) {
            *info = Value::Dict(Map::from([("lost", why.clone()), ("vacant", true.into())]));
        }
    }

    /// Writes the rows of a lane that has no environment.
    pub(super) fn fill_vacant(&mut self, lane: usize) {
        let Lane { first, slots, .. } = self.lanes[lane];
        let truncated = self.call == Call::Step && self.on_loss == OnLoss::Truncate;
        (first..first + slots).for_each(|slot| self.fill_vacant_slot(slot as usize, truncated));
    }

    pub(super) fn fill_vacant_slot(&mut self, at: usize, truncated: bool) {
        self.observations.fill(at);
        self.results.rewards[at] = 0.0;
        (self.results.terminations[at], self.results.truncations[at]) = (false, truncated);
        let (slot, info) = (at as u32, Value::Dict(Map::from([("vacant", true)])));
        self.results.infos.push((slot, info));
        if truncated && self.mode == AutoresetMode::SameStep {
            let observation = self.observations.copy(at);
            self.results.lasts.push(LastRow { slot, observation, info: Map::new().into() });
        }
    }

    /// Takes the first rows of an environment that was found.
    pub(super) fn take_found(&mut self, lane: usize, rows: Rows, received: Received) -> Result<()> {
        let truncated =
            self.call == Call::Step && self.on_loss == OnLoss::Truncate && self.mode == AutoresetMode::SameStep;
        for row in &rows {
            let at = row.slot as usize;
            if truncated {
                let observation = self.observations.copy(at);
                self.results.lasts.push(LastRow { slot: row.slot, observation, info: Map::new().into() });
            }
            self.results.rewards[at] = 0.0;
            (self.results.terminations[at], self.results.truncations[at]) = (false, truncated);
        }
        self.lanes[lane].under_way = 0;
        self.take_first_rows(rows, received)
    }

    /// Takes the rows of the reset that an environment has begun with.
    pub(super) fn take_first_rows(&mut self, rows: Rows, received: Received) -> Result<()> {
        self.observations.take(&rows, received, &mut self.results.lasts)?;
        rows.into_iter().for_each(|row| self.results.push_info(row.slot, row.info));
        Ok(())
    }
}
