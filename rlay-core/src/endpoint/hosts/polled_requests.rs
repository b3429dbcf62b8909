//! PolledRequests: the requests that an engine has yet to answer, slot by slot.

use smallvec::smallvec;

use super::turn::RawTurn;
use crate::{
    error::{Error, ErrorKind, Result},
    frame::{Frame, Pool},
    host::Outcome,
    host_vector::{VectorOutcome, put_unpacked},
    session::{Call, received::Received},
    space::stacked::{SlabSizes, Stack, no_packed_form},
    value::Value,
    wire::{Access, Attribute, Frames, Limits, Reset, Returned, Row, Slots, Spec},
};

/// Requests under way. The engine learns of each slot of a request apart and answers it apart, in any order; the answer
/// goes out when it is whole.
#[derive(Debug)]
pub(super) struct PolledRequests {
    spec: Spec,
    actions: Option<SlabSizes>,
    /// In the order in which they came. Of the last one alone there may be slots that the engine has not learned of.
    requests: Vec<PolledRequest>,
    slots: Vec<Slot>,
    /// Where the value of each action of the last request begins and ends.
    values: Vec<(usize, usize)>,
    /// One action of several, and the frames that it is handed out in.
    action: Vec<u8>,
    pool: Pool,
    /// The rows of an answer.
    stack: Option<Stack>,
    pub(super) outcome: VectorOutcome,
}

/// A request of some slots.
#[derive(Debug)]
pub(super) struct PolledRequest {
    pub(super) number: u64,
    pub(super) call: Call,
    pub(super) slots: Slots,
    asked: Asked,
    /// How many of its slots the engine has learned of, and how many it has yet to answer.
    told: usize,
    left: usize,
}

#[derive(Debug)]
enum Asked {
    Reset(Reset),
    Step(Received),
    Render,
    Attribute(Attribute),
    /// The engine knows all of it, and nothing of the frame is held any more.
    Told,
}

/// What the engine has said of one slot, until the answer goes out.
#[derive(Debug, Default)]
struct Slot {
    /// The number of the request that the engine is to answer, once it knows.
    owes: Option<u64>,
    outcome: Outcome,
    frame: Option<Value>,
    returned: Option<Value>,
    failed: Option<Error>,
}

impl PolledRequests {
    /// None, of environments of this description.
    pub(super) fn new(spec: &Spec) -> Self {
        Self {
            actions: SlabSizes::of(&spec.action_space),
            requests: Vec::new(),
            slots: (0..spec.slots).map(|_| Slot::default()).collect(),
            values: Vec::new(),
            action: Vec::new(),
            pool: Pool::new(),
            stack: SlabSizes::of(&spec.observation_space).map(Stack::new),
            outcome: VectorOutcome::default(),
            spec: spec.clone(),
        }
    }

    /// Whether there are several slots, which are named where something is said of one.
    pub(super) fn are_several(&self) -> bool {
        self.slots.len() > 1
    }

    /// Forgets all of them: the agent is gone.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.slots.iter_mut().for_each(|slot| (slot.owes, slot.failed) = (None, None));
    }

    /// Whether the engine is to answer in every slot.
    pub(super) fn are_all_owed(&self) -> bool {
        self.slots.iter().all(|slot| slot.owes.is_some())
    }

    /// Takes a reset.
    pub(super) fn reset(&mut self, number: u64, reset: Reset) {
        let slots = reset.rows.iter().map(|(slot, _)| *slot).collect();
        self.push(number, Call::Reset, slots, Asked::Reset(reset));
    }

    /// Takes a render.
    pub(super) fn render(&mut self, number: u64, slots: Slots) {
        self.push(number, Call::Render, slots, Asked::Render);
    }

    /// Takes a request about an attribute.
    pub(super) fn attribute(&mut self, number: u64, attribute: Attribute) {
        self.push(number, Call::Attribute, attribute.slots.clone(), Asked::Attribute(attribute));
    }

    /// Takes a step. Refuses what are not the actions of these slots, so that an engine may read them as they lie.
    pub(super) fn step(&mut self, number: u64, slots: Slots, actions: Received) -> Result<()> {
        let mut reader = actions.payload().reader;
        self.values.clear();
        if actions.packed {
            self.actions.as_ref().ok_or_else(no_packed_form)?.check(reader.rest(), slots.len())?;
        } else {
            for _ in 0..slots.len() {
                let start = reader.position();
                reader.split_value()?;
                self.values.push((start, reader.position()));
            }
            reader.end()?;
        }
        self.push(number, Call::Step, slots, Asked::Step(actions));
        Ok(())
    }

    fn push(&mut self, number: u64, call: Call, slots: Slots, asked: Asked) {
        let left = slots.len();
        self.requests.push(PolledRequest { number, call, slots, asked, told: 0, left });
    }

    /// The next slot that the engine has not learned of, and what is asked of it.
    pub(super) fn next_turn(&mut self, limits: &Limits) -> Option<(u32, RawTurn)> {
        let request = self.requests.last_mut().filter(|request| request.told < request.slots.len())?;
        let (row, rows) = (request.told, request.slots.len());
        let slot = request.slots[row];
        request.told += 1;
        self.slots[slot as usize].owes = Some(request.number);
        let asked = match std::mem::replace(&mut request.asked, Asked::Told) {
            Asked::Step(action) if rows == 1 => return Some((slot, RawTurn::Step(action))),
            asked => asked,
        };
        let turn = match &asked {
            Asked::Render | Asked::Told => RawTurn::Render,
            Asked::Attribute(attribute) => {
                let access = match &attribute.access {
                    Access::Set(values) => Access::Set(vec![values[row].clone()]),
                    access => access.clone(),
                };
                RawTurn::Attribute(Attribute { slots: smallvec![slot], name: attribute.name.clone(), access })
            }
            Asked::Reset(reset) => RawTurn::Reset { seed: reset.rows[row].1.clone(), options: reset.options.clone() },
            Asked::Step(actions) => {
                let bytes = match (&self.actions, actions.packed) {
                    (Some(sizes), true) => {
                        self.action.clear();
                        sizes.row(&actions.frame[actions.at..], rows, row, &mut self.action);
                        &self.action[..]
                    }
                    _ => &actions.frame[self.values[row].0..self.values[row].1],
                };
                RawTurn::Step(Received::new(Frame::copy_of(&self.pool, bytes), 0, actions.packed, *limits))
            }
        };
        if request.told < rows {
            request.asked = asked;
        }
        Some((slot, turn))
    }

    /// What the engine is to answer in this slot.
    pub(super) fn owed(&self, slot: u32) -> Result<Call> {
        let owes = self.slots.get(slot as usize).and_then(|slot| slot.owes);
        let request = self.requests.iter().find(|request| Some(request.number) == owes);
        request.map(|request| request.call).ok_or_else(|| {
            let text = match self.are_several() {
                false => "there is nothing to reply to; call turn() first".to_owned(),
                true => format!("there is nothing to reply to in env slot {slot}; turn() says which slots are asked"),
            };
            Error::new(ErrorKind::Usage, text)
        })
    }

    /// Takes the engine's answer to a reset or step of a slot, and leaves other buffers. The request, if that was the last
    /// answer that it wanted.
    pub(super) fn answer(&mut self, slot: u32, outcome: &mut Outcome) -> Option<PolledRequest> {
        std::mem::swap(&mut self.slots[slot as usize].outcome, outcome);
        self.settle(slot)
    }

    /// The same for a render.
    pub(super) fn answer_frame(&mut self, slot: u32, frame: Value) -> Option<PolledRequest> {
        self.slots[slot as usize].frame = Some(frame);
        self.settle(slot)
    }

    /// The same for an attribute.
    pub(super) fn answer_attribute(&mut self, slot: u32, value: Option<Value>) -> Option<PolledRequest> {
        self.slots[slot as usize].returned = value;
        self.settle(slot)
    }

    /// The same for any request that failed in a slot: it fails as a whole.
    pub(super) fn fail(&mut self, slot: u32, error: Error) -> Option<PolledRequest> {
        let error = if self.are_several() { error.of_slot(slot) } else { error };
        self.slots[slot as usize].failed = Some(error);
        self.settle(slot)
    }

    fn settle(&mut self, slot: u32) -> Option<PolledRequest> {
        let owes = self.slots[slot as usize].owes.take();
        let at = self.requests.iter().position(|request| Some(request.number) == owes)?;
        self.requests[at].left -= 1;
        (self.requests[at].left == 0).then(|| self.requests.remove(at))
    }

    /// Why a request has failed, if it has: in the first of its slots in which something did.
    pub(super) fn take_failure(&mut self, slots: &[u32]) -> Option<Error> {
        // All are taken, for the next request is another matter.
        let failures = slots.iter().filter_map(|slot| self.slots[*slot as usize].failed.take());
        failures.fold(None, |first, failed| first.or(Some(failed)))
    }

    /// The frames that answer a render.
    pub(super) fn take_frames(&mut self, slots: &[u32]) -> Frames {
        let frame = |slot: &u32| (*slot, self.slots[*slot as usize].frame.take().unwrap_or(Value::None));
        Frames(slots.iter().map(frame).collect())
    }

    /// The values that answer a request about an attribute.
    pub(super) fn take_returned(&mut self, slots: &[u32]) -> Returned {
        Returned(slots.iter().map(|slot| (*slot, self.slots[*slot as usize].returned.take())).collect())
    }

    /// The answer of the only slot there is.
    pub(super) fn only(&mut self) -> &mut Outcome {
        &mut self.slots[0].outcome
    }

    /// Writes the rows that answer a request into the outcome.
    pub(super) fn collect(&mut self, request: &PolledRequest) -> Result<()> {
        let Self { spec, slots, stack, outcome: all, .. } = self;
        let first = request.call == Call::Reset;
        let each = || request.slots.iter().map(|slot| (*slot, &slots[*slot as usize].outcome));
        all.rows.clear();
        all.infos.clear();
        all.observations.clear();
        for (slot, outcome) in each() {
            // What a reset left there of the last step is not said of its row.
            let (terminated, truncated) = (outcome.terminated && !first, outcome.truncated && !first);
            let reward = outcome.reward;
            all.rows.push(Row { slot, first, last: false, terminated, truncated, reward, info: Value::None });
            all.infos.extend_from_slice(&outcome.info);
        }
        all.packed = each().all(|(_, outcome)| outcome.packed);
        if all.packed {
            let stack = stack.as_mut().ok_or_else(no_packed_form)?;
            stack.clear();
            each().try_for_each(|(_, outcome)| stack.push(&outcome.observation))?;
            stack.finish(&mut all.observations);
            return Ok(());
        }
        each().try_for_each(|(_, outcome)| match outcome.packed {
            true => put_unpacked(&outcome.observation, spec, &mut all.observations),
            false => {
                all.observations.extend_from_slice(&outcome.observation);
                Ok(())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Discrete, Space};

    /// Engines read an action where it lies, so a short one must not reach them.
    #[test]
    fn what_is_no_action_of_a_single_slot_is_refused() {
        let space = Discrete::new(3).describe();
        let spec = Spec { observation_space: space.clone(), action_space: space, ..Spec::default() };
        let mut requests = PolledRequests::new(&spec);
        let mut step = |bytes: &[u8], packed| {
            let received = Received::new(Frame::copy_of(&Pool::default(), bytes), 0, packed, Limits::default());
            requests.step(1, smallvec![0], received).map_err(|error| error.kind())
        };
        assert_eq!(step(&[0; 4], true), Err(ErrorKind::Protocol));
        assert_eq!(step(&[0; 24], true), Err(ErrorKind::Protocol));
        assert_eq!(step(&[255; 3], false), Err(ErrorKind::Protocol));
        assert_eq!(step(&[0; 16], true), Ok(()));
    }
}
