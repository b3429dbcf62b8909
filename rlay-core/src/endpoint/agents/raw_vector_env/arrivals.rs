//! Arrivals: what the answers of the lanes mean for slots that were sent for one by one.

use super::{
    RawVectorEnv,
    first_ready::{News, Turn, Work},
};
use crate::{
    endpoint::{agents::lane::Lane, options::OnLoss, wait::Wait},
    error::{Error, ErrorKind, Result},
    session::agent_core::Reply,
    value::{Map, Value},
    wire::Slots,
};

impl RawVectorEnv {
    /// Takes one answer of a lane. What fails in the environment is kept for the caller of `recv`.
    pub(super) fn take_reply(&mut self, at: usize, wait: &mut Wait<'_>) -> Result<()> {
        let Some(agent) = self.lanes[at].agent() else { return Ok(()) };
        match agent.receive_reply(wait) {
            Ok(Reply::Rows(call, rows, received)) => {
                self.answered(at);
                let first = self.lanes[at].first;
                let slots: Slots = rows.iter().filter(|row| !row.last).map(|row| row.slot + first).collect();
                let taken = self.take_rows(at, call, rows, received, wait);
                for slot in slots {
                    // Where the episode has ended and this end begins the next, there is another answer to come.
                    let is_waiting = self.lanes[at].session().is_some_and(|agent| agent.is_waiting(slot - first));
                    if !is_waiting && self.first_ready.turns[slot as usize] == Turn::Env {
                        self.first_ready.arrive(slot as usize);
                    }
                }
                let failed = self.failed.take().or_else(|| taken.err());
                self.first_ready.failures.extend(failed);
                Ok(())
            }
            Ok(_) => Err(Error::protocol("a request about slots was answered with something else")),
            Err(error) if error.kind() == ErrorKind::Timeout => Err(error),
            Err(error) => {
                self.reply_failed(at, error, wait);
                Ok(())
            }
        }
    }

    /// Counts an answer.
    fn answered(&mut self, at: usize) {
        let Lane { under_way, .. } = &mut self.lanes[at];
        let work = &mut self.first_ready.lanes[at];
        // The answers do not say which requests they are to; these are of about the same length.
        work.bytes -= work.bytes / (*under_way).max(1);
        *under_way = under_way.saturating_sub(1);
    }

    fn reply_failed(&mut self, at: usize, error: Error, wait: &mut Wait<'_>) {
        let Lane { first, slots, .. } = self.lanes[at];
        if self.lanes[at].is_lost() && self.on_loss != OnLoss::Raise && self.lanes[at].may_replace(self.on_loss) {
            self.lose_lane(at, &error, wait);
            return;
        }
        self.answered(at);
        if self.lanes[at].is_lost() {
            (self.lanes[at].under_way, self.first_ready.lanes[at]) = (0, Work::default());
        }
        let mut failed = None;
        for own in 0..slots {
            let is_waiting = self.is_under_way(first + own);
            let turn = &mut self.first_ready.turns[(first + own) as usize];
            if *turn == Turn::Env && !is_waiting {
                *turn = Turn::Agent;
                failed.get_or_insert(first + own);
            }
        }
        let error = match failed {
            Some(slot) if self.all.len() > 1 => error.of_slot(slot),
            _ => error,
        };
        self.first_ready.failures.push_back(error);
    }

    /// Looks for another environment in place of one that is lost. The rows that were under way say so.
    pub(super) fn lose_lane(&mut self, at: usize, why: &Error, wait: &mut Wait<'_>) {
        self.lanes[at].replace(wait.told_later());
        self.say_lane_lost(at, &why.to_string().into());
    }

    fn say_lane_lost(&mut self, at: usize, why: &Value) {
        self.first_ready.lanes[at] = Work::default();
        let Lane { first, slots, .. } = self.lanes[at];
        for slot in (first..first + slots).map(|slot| slot as usize) {
            match self.first_ready.turns[slot] {
                Turn::Env => {
                    // What an ended episode has left, if this end was about to begin the next.
                    self.forget_row(slot as u32);
                    self.say_lost(slot, why.clone());
                    self.first_ready.arrive(slot);
                }
                Turn::Agent | Turn::Ready => self.first_ready.news[slot] = News::Lost(why.clone()),
                Turn::Vacant => {}
            }
        }
    }

    fn forget_row(&mut self, slot: u32) {
        self.results.infos.retain(|(other, _)| *other != slot);
        self.results.lasts.retain(|last| last.slot != slot);
    }

    /// Writes the row of a slot whose environment is lost.
    pub(super) fn say_lost(&mut self, slot: usize, why: Value) {
        self.fill_vacant_slot(slot, self.on_loss == OnLoss::Truncate);
        if let Some((_, info)) = self.results.infos.iter_mut().rfind(|(other, _)| *other as usize == slot) {
            *info = Value::Dict(Map::from([("lost", why), ("vacant", true.into())]));
        }
    }

    /// Takes the first rows of environments that were found.
    pub(super) fn take_found_lanes(&mut self) -> Result<()> {
        for at in 0..self.lanes.len() {
            if !self.lanes[at].is_vacant() || !self.lanes[at].has_found() {
                continue;
            }
            let Lane { first, slots, .. } = self.lanes[at];
            let range = first as usize..(first + slots) as usize;
            // Rows of the environment before come first: those that were not received yet, and those that are to say that
            // it was lost, with its last observation.
            let is_to_tell = |slot: usize| {
                self.first_ready.turns[slot] == Turn::Ready || matches!(self.first_ready.news[slot], News::Lost(_))
            };
            if range.clone().any(is_to_tell) {
                continue;
            }
            let Some((rows, received)) = self.lanes[at].take_found() else { continue };
            self.first_ready.lanes[at] = Work::default();
            self.take_first_rows(rows, received)?;
            for slot in range {
                self.results.begin_episode(slot);
                match self.first_ready.turns[slot] {
                    Turn::Vacant => self.first_ready.arrive(slot),
                    _ => self.first_ready.news[slot] = News::Found,
                }
            }
        }
        Ok(())
    }
}
