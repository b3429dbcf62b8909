//! Readiness: blocks until one of several lanes has an answer, or an environment.

use std::time::{Duration, Instant};

use super::{RawVectorEnv, first_ready::Turn};
use crate::{
    channel::Readiness,
    endpoint::{
        agents::{agent::Agent, lane::Lane},
        options::OnLoss,
        wait::{SLICE, Wait},
    },
    error::{Error, ErrorKind, Result},
};

/// How often a channel is polled that cannot say when it is ready.
const POLL: Duration = Duration::from_millis(1);

/// How long one look for another connection, or for another environment, may keep the other lanes waiting.
const LOOK: Duration = Duration::from_millis(10);

impl RawVectorEnv {
    /// Looks for answers in every lane that has some to give, at most until `max` rows are there. Waits for the first if
    /// the caller lacks rows, at most until the deadline of `wait`.
    pub(super) fn look(
        &mut self,
        max: usize,
        lacks: bool,
        timeout: Option<Duration>,
        wait: &mut Wait<'_>,
    ) -> Result<()> {
        let is_alone = self.lanes.len() == 1 && self.lanes[0].under_way > 0 && !self.first_ready.lanes[0].has_more;
        match (is_alone, lacks) {
            (true, true) => self.await_only_lane(timeout, wait)?,
            (true, false) => self.first_ready.lanes[0].has_more = true,
            (false, _) => self.await_lanes(lacks, wait)?,
        }
        let lanes = self.lanes.len();
        for i in 0..lanes {
            let at = (self.first_ready.next + i) % lanes;
            while self.first_ready.lanes[at].has_more && self.first_ready.ready.len() < max {
                let mut now = Wait::new(Some(Duration::ZERO));
                now.later = wait.later;
                match self.lanes[at].under_way > 0 {
                    true => match self.take_reply(at, &mut now) {
                        Err(error) if error.kind() == ErrorKind::Timeout => self.first_ready.lanes[at].has_more = false,
                        taken => taken?,
                    },
                    false => self.first_ready.lanes[at].has_more = false,
                }
            }
        }
        self.first_ready.next = (self.first_ready.next + 1) % lanes.max(1);
        Ok(())
    }

    /// Waits for the only lane, which has answers to give.
    fn await_only_lane(&mut self, timeout: Option<Duration>, wait: &mut Wait<'_>) -> Result<()> {
        let is_sliced = timeout.is_some() || wait.notice.is_some();
        let slice = is_sliced.then(|| Instant::now() + timeout.map_or(SLICE, |timeout| timeout.min(SLICE)));
        let deadline = wait.deadline.into_iter().chain(slice).min();
        let taken = {
            let mut wait = Wait { deadline, ..wait.without_deadline() };
            self.take_reply(0, &mut wait)
        };
        match taken {
            Ok(()) => {
                self.first_ready.lanes[0].has_more = true;
                Ok(())
            }
            // An interrupt, the deadline, or a look at the clock: the caller tells them apart.
            Err(error) if error.kind() == ErrorKind::Timeout => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until one of the lanes has something to say, if the caller lacks rows; marks those that have.
    fn await_lanes(&mut self, lacks: bool, wait: &mut Wait<'_>) -> Result<()> {
        let mut limit = if lacks { SLICE } else { Duration::ZERO };
        if let Some(deadline) = wait.deadline {
            limit = limit.min(deadline.saturating_duration_since(Instant::now()));
        }
        let Self { lanes, first_ready, .. } = self;
        first_ready.poll_set.clear();
        first_ready.polled.clear();
        let mut is_lost = false;
        for (at, lane) in lanes.iter_mut().enumerate() {
            let (first, slots) = (lane.first as usize, lane.slots as usize);
            if lane.is_vacant() {
                let waits = first_ready.turns[first..first + slots].contains(&Turn::Vacant);
                limit = if waits { limit.min(LOOK) } else { limit };
            }
            if lane.under_way == 0 || first_ready.lanes[at].has_more {
                limit = if lane.under_way == 0 { limit } else { Duration::ZERO };
                continue;
            }
            let Some(agent) = lane.agent() else { continue };
            if agent.seeks_connection() {
                is_lost = true;
                first_ready.lanes[at].has_more = true;
                continue;
            }
            match agent.begin_readiness_wait() {
                Readiness::Now => {
                    first_ready.lanes[at].has_more = true;
                    limit = Duration::ZERO;
                    agent.end_readiness_wait(false);
                }
                Readiness::Descriptor(descriptor) => {
                    first_ready.poll_set.add(descriptor);
                    first_ready.polled.push(at);
                }
                Readiness::Unknown => {
                    first_ready.lanes[at].has_more = true;
                    limit = limit.min(POLL);
                    agent.end_readiness_wait(false);
                }
            }
        }
        first_ready.poll_set.wait(if is_lost { Duration::ZERO } else { limit });
        for (index, at) in first_ready.polled.iter().enumerate() {
            let is_ready = first_ready.poll_set.is_ready(index);
            first_ready.lanes[*at].has_more = is_ready;
            if let Some(agent) = lanes[*at].agent() {
                agent.end_readiness_wait(is_ready);
            }
        }
        if is_lost {
            self.await_connections(limit.min(LOOK), wait)?;
        }
        self.take_found_lanes()
    }

    /// Waits a moment for another connection of each session that has lost its own, which counts as the session's wait.
    fn await_connections(&mut self, time: Duration, wait: &mut Wait<'_>) -> Result<()> {
        let seeks = |lane: &Lane| lane.under_way > 0 && lane.session().is_some_and(Agent::seeks_connection);
        let number = self.lanes.iter().filter(|lane| seeks(lane)).count();
        let time = time / number.max(1) as u32;
        for at in 0..self.lanes.len() {
            if !seeks(&self.lanes[at]) {
                continue;
            }
            let taken = {
                let mut wait = wait.within(time);
                self.take_reply(at, &mut wait)
            };
            match taken {
                Err(error) if error.kind() == ErrorKind::Timeout => self.first_ready.lanes[at].has_more = false,
                result => result?,
            }
        }
        Ok(())
    }

    /// What becomes of lanes that have not answered within `timeout`.
    pub(super) fn check_overdue(&mut self, timeout: Option<Duration>, wait: &mut Wait<'_>) -> Result<()> {
        let Some(timeout) = timeout else { return Ok(()) };
        let now = Instant::now();
        for slot in 0..self.all.len() {
            let is_overdue =
                self.first_ready.asked[slot].is_some_and(|asked| now.saturating_duration_since(asked) >= timeout);
            if !is_overdue || self.first_ready.turns[slot] != Turn::Env {
                continue;
            }
            let at = self.lane_of(slot as u32);
            if self.first_ready.lanes[at].has_more {
                // Its answer may be there, where no more rows were wanted.
                continue;
            }
            let may_replace = self.on_loss != OnLoss::Raise && self.lanes[at].may_replace(self.on_loss);
            let Some(agent) = self.lanes[at].agent() else { continue };
            if may_replace {
                let why = agent.leave_overdue();
                self.lose_lane(at, &why, wait);
                continue;
            }
            // It may take as long again before that is said again.
            self.first_ready.asked[slot] = Some(now);
            let text = format!(
                "no answer came within the timeout of {:.1} s; its row may still come: recv again",
                timeout.as_secs_f64()
            );
            return Err(Error::new(ErrorKind::Timeout, text).of_slot(slot as u32));
        }
        Ok(())
    }

    /// A slot without an environment, if all that is waited for is environments, and none has come within
    /// `connect_timeout`.
    pub(super) fn vacant_for_good(&self, began: Instant) -> Option<u32> {
        if began.elapsed() < self.connect_timeout || self.first_ready.turns.contains(&Turn::Env) {
            return None;
        }
        self.first_ready.turns.iter().position(|turn| *turn == Turn::Vacant).map(|slot| slot as u32)
    }

    /// Tells people what a long wait is for; returns whether it has.
    pub(super) fn notice(&self, began: Instant, wait: &mut Wait<'_>) -> bool {
        let awaited = self.lanes.iter().filter(|lane| lane.under_way > 0).find_map(Lane::session);
        let Some(agent) = awaited.filter(|agent| began.elapsed() >= agent.notice_after()) else { return false };
        wait.warn(&agent.what_is_awaited());
        true
    }
}
