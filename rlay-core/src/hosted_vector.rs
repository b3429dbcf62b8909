//! HostedVector: any `VectorEnv` as the environments that a session hosts.

use std::fmt;

use smallvec::smallvec;

use crate::{
    error::{Error, ErrorKind, Result},
    guard::guard,
    host::{check_frame, no_render_mode, of_action, small_seed},
    host_vector::{HostVectorEnv, VectorOutcome},
    space::{BatchSpace, RowBuffer, Slabs, Space},
    value::Value,
    vector_env::{ResetRows, StepRows, VectorEnv, VectorInfos},
    wire::{AutoresetMode, Frames, Make, Payload, Reset, Row, Spec},
};

/// Any [`VectorEnv`] as a [`HostVectorEnv`]. It begins the next episodes itself, in the mode that the agent asks for. A
/// panic in the simulator becomes an error of the environments.
///
/// [`ServerBackend::bind_vector`](crate::ServerBackend::bind_vector) makes one of what its factory returns. A `&mut E` is a
/// [`VectorEnv`], too: so a program may host one simulator in one session of a
/// [`SessionPool`](crate::endpoint::SessionPool) after another.
///
/// ```
/// # use rlay::{Discrete, EnvError, ResetRows, StepRows, Value, VectorEnv};
/// # struct Coins(Discrete);
/// # impl VectorEnv for Coins {
/// #     type ObservationSpace = Discrete;
/// #     type ActionSpace = Discrete;
/// #     fn num_envs(&self) -> usize { 2 }
/// #     fn single_observation_space(&self) -> &Discrete { &self.0 }
/// #     fn single_action_space(&self) -> &Discrete { &self.0 }
/// #     fn reset(
/// #         &mut self, _: &[(usize, Option<u64>)], _: &Value, _: &mut ResetRows<'_, Discrete>,
/// #     ) -> Result<(), EnvError> { Ok(()) }
/// #     fn step(&mut self, _: &[usize], _: &[i64], _: &mut StepRows<'_, Discrete>) -> Result<(), EnvError> { Ok(()) }
/// # }
/// use rlay::{HostVectorEnv, HostedVector, wire::Make};
///
/// let mut coins = Coins(Discrete::new(2)); // a VectorEnv
/// let hosted = HostedVector::new(&mut coins, &Make::default())?;
/// assert_eq!(hosted.spec().slots, 2);
/// # Ok::<(), rlay::Error>(())
/// ```
pub struct HostedVector<E: VectorEnv> {
    env: E,
    spec: Spec,
    /// The slots that a call is about: those that take a step, and those that are reset, with their seeds.
    stepping: Vec<usize>,
    resetting: Vec<(usize, Option<u64>)>,
    /// Whether the episode of each slot has ended and its next step begins another.
    is_due: Vec<bool>,
    observations: RowBuffer,
    /// Whether the last answer is about all slots in order, so that its observations are where they were written.
    is_whole: bool,
    rewards: Vec<f64>,
    terminations: Vec<bool>,
    truncations: Vec<bool>,
    infos: VectorInfos,
    /// The observations and infos of episodes that have ended, one after another.
    last_observations: Vec<u8>,
    last_infos: Vec<u8>,
    /// Actions that are not to be read where they arrived.
    actions: RowBuffer,
    action: Vec<u8>,
}

impl<E: VectorEnv> HostedVector<E> {
    /// Hosts `env` as `make` asks for it. An error if there is no environment, or one of its spaces has no batch.
    pub fn new(mut env: E, make: &Make) -> Result<Self> {
        let (observations, actions) = match Self::buffers(&env) {
            Ok(buffers) => buffers,
            Err(error) => {
                return Err(match guard(|| env.close()) {
                    Ok(()) => error,
                    Err(besides) => error.advice(&format!("its close() failed besides: {besides}")),
                });
            }
        };
        let (metadata, slots) = (env.metadata(), env.num_envs());
        Ok(Self {
            spec: Spec {
                env_id: String::new(),
                observation_space: env.single_observation_space().describe(),
                action_space: env.single_action_space().describe(),
                slots: slots as u32,
                autoreset_mode: make.autoreset_mode,
                render_mode: make.render_mode.clone(),
                metadata: metadata.to_value(),
                details: metadata.details(),
                attributes: Vec::new(),
            },
            stepping: Vec::with_capacity(slots),
            resetting: Vec::with_capacity(slots),
            is_due: vec![false; slots],
            observations,
            is_whole: false,
            rewards: vec![0.0; slots],
            terminations: vec![false; slots],
            truncations: vec![false; slots],
            infos: VectorInfos::new(slots),
            last_observations: Vec::new(),
            last_infos: Vec::new(),
            actions,
            action: Vec::new(),
            env,
        })
    }

    /// Where observations and actions are written.
    fn buffers(env: &E) -> Result<(RowBuffer, RowBuffer)> {
        let slots = env.num_envs();
        if slots == 0 {
            return Err(Error::new(ErrorKind::Usage, "a VectorEnv of no environments; let num_envs() be one or more"));
        }
        let mut observations = RowBuffer::new(&env.single_observation_space().describe(), slots)?;
        let actions = RowBuffer::new(&env.single_action_space().describe(), slots)?;
        env.single_observation_space().batch_mut(&mut observations.slabs_mut())?;
        env.single_action_space().batch(&mut Slabs::new(actions.bytes(), slots, slots))?;
        Ok((observations, actions))
    }

    /// Forgets the last call.
    fn begin(&mut self) {
        self.stepping.clear();
        self.resetting.clear();
        self.infos.clear();
        self.last_observations.clear();
        self.last_infos.clear();
        self.observations.drop_lasts();
    }

    /// Resets the slots that are to be.
    fn reset(&mut self, options: &Value) -> Result<()> {
        let Self { env, resetting, observations, infos, is_due, .. } = self;
        guard(|| {
            let observations = env.single_observation_space().batch_mut(&mut observations.slabs_mut())?;
            env.reset(resetting, options, &mut ResetRows { observations, infos })
        })?;
        resetting.iter().for_each(|(slot, _)| is_due[*slot] = false);
        Ok(())
    }

    /// Has the slots that are to be take their actions.
    fn step(&mut self, slots: &[u32], actions: &Payload<'_>) -> Result<()> {
        let in_place = self.read_actions(slots, actions)?;
        let all = self.is_due.len();
        let Self { env, stepping, observations, infos, rewards, terminations, truncations, .. } = self;
        let stacked = if in_place { actions.reader.rest() } else { self.actions.bytes() };
        let actions = env.single_action_space().batch(&mut Slabs::new(stacked, all, all)).map_err(of_action)?;
        if stepping.is_empty() {
            return Ok(());
        }
        guard(|| {
            let observations = env.single_observation_space().batch_mut(&mut observations.slabs_mut())?;
            env.step(stepping, actions, &mut StepRows { observations, rewards, terminations, truncations, infos })
        })
    }

    /// Whether the actions can be read where they arrived; otherwise they are written into their rows.
    fn read_actions(&mut self, slots: &[u32], actions: &Payload<'_>) -> Result<bool> {
        let mut reader = actions.reader.clone();
        if actions.packed {
            let (stacked, sizes) = (reader.rest(), self.actions.sizes());
            sizes.check(stacked, slots.len())?;
            if self.is_whole && (stacked.as_ptr() as usize).is_multiple_of(8) {
                return Ok(true);
            }
            for (row, slot) in slots.iter().enumerate() {
                self.action.clear();
                self.actions.sizes().row(stacked, slots.len(), row, &mut self.action);
                self.actions.write(*slot as usize, &self.action)?;
            }
            return Ok(false);
        }
        let space = self.env.single_action_space();
        for slot in slots {
            let reader = reader.split_value()?;
            let action = Payload { packed: false, reader }.element(space).map_err(of_action)?;
            self.action.clear();
            space.pack(&action, &mut self.action);
            self.actions.write(*slot as usize, &self.action)?;
        }
        reader.end()?;
        Ok(false)
    }

    /// Begins the episodes after those that have ended in this step, and keeps their last rows.
    fn reset_ended(&mut self) -> Result<()> {
        for &slot in &self.stepping {
            if self.terminations[slot] || self.truncations[slot] {
                self.resetting.push((slot, None));
                self.observations.read(slot, &mut self.last_observations);
                self.infos.take(slot, &mut self.last_infos);
            }
        }
        if self.resetting.is_empty() { Ok(()) } else { self.reset(&Value::None) }
    }

    /// Begins the episodes that were due.
    fn reset_due(&mut self) -> Result<()> {
        for &slot in &self.stepping {
            self.is_due[slot] = self.terminations[slot] || self.truncations[slot];
        }
        for (slot, _) in &self.resetting {
            self.rewards[*slot] = 0.0;
            (self.terminations[*slot], self.truncations[*slot]) = (false, false);
        }
        if self.resetting.is_empty() { Ok(()) } else { self.reset(&Value::None) }
    }

    fn row(&self, slot: usize, last: bool) -> Row {
        Row {
            slot: slot as u32,
            first: false,
            last,
            terminated: self.terminations[slot],
            truncated: self.truncations[slot],
            reward: self.rewards[slot],
            info: Value::None,
        }
    }

    /// Writes the rows of these slots, and the last rows behind them.
    fn finish(&mut self, slots: impl ExactSizeIterator<Item = u32> + Clone, outcome: &mut VectorOutcome) {
        outcome.rows.clear();
        outcome.infos.clear();
        outcome.packed = true;
        for slot in slots.clone() {
            outcome.rows.push(self.row(slot as usize, false));
            self.infos.put(slot as usize, &mut outcome.infos);
        }
        // The slots that were reset stand in the order of the request.
        let mut begun = self.resetting.iter().map(|(slot, _)| *slot as u32).peekable();
        for row in &mut outcome.rows {
            row.first = begun.next_if_eq(&row.slot).is_some();
        }
        let lasts = if self.last_infos.is_empty() { 0 } else { self.resetting.len() };
        outcome.rows.extend(self.resetting[..lasts].iter().map(|(slot, _)| self.row(*slot, true)));
        outcome.infos.extend_from_slice(&self.last_infos);
        if self.is_whole {
            if lasts > 0 {
                self.observations.add_lasts(&self.last_observations, lasts);
            }
            return;
        }
        let (sizes, rows) = (self.observations.sizes(), outcome.rows.len());
        outcome.observations.clear();
        outcome.observations.resize(sizes.len(rows), 0);
        for (row, slot) in slots.enumerate() {
            let from = (self.observations.bytes(), self.is_due.len(), slot as usize);
            sizes.copy_row(from, (&mut outcome.observations, rows, row));
        }
        for (last, element) in self.last_observations.chunks_exact(sizes.len(1).max(1)).enumerate() {
            sizes.copy_row((element, 1, 0), (&mut outcome.observations, rows, rows - lasts + last));
        }
    }

    /// Whether these are all slots in order.
    fn are_all(&self, slots: impl ExactSizeIterator<Item = u32>) -> bool {
        slots.len() == self.is_due.len() && slots.enumerate().all(|(at, slot)| at == slot as usize)
    }
}

impl<E: VectorEnv> HostVectorEnv for HostedVector<E> {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn reset_into(&mut self, reset: &Reset, outcome: &mut VectorOutcome) -> Result<()> {
        self.begin();
        for (slot, seed) in &reset.rows {
            self.resetting.push((*slot as usize, seed.as_ref().map(small_seed).transpose()?));
        }
        let slots = reset.rows.iter().map(|(slot, _)| *slot);
        self.is_whole = self.are_all(slots.clone());
        for slot in slots.clone().map(|slot| slot as usize) {
            self.rewards[slot] = 0.0;
            (self.terminations[slot], self.truncations[slot]) = (false, false);
        }
        self.reset(&reset.options)?;
        self.finish(slots, outcome);
        Ok(())
    }

    fn step_into(&mut self, slots: &[u32], actions: Payload<'_>, outcome: &mut VectorOutcome) -> Result<()> {
        self.begin();
        self.is_whole = self.are_all(slots.iter().copied());
        for slot in slots.iter().map(|slot| *slot as usize) {
            match self.is_due[slot] {
                true => self.resetting.push((slot, None)),
                false => self.stepping.push(slot),
            }
        }
        self.step(slots, &actions)?;
        match self.spec.autoreset_mode {
            AutoresetMode::Disabled => {}
            AutoresetMode::NextStep => self.reset_due()?,
            AutoresetMode::SameStep => self.reset_ended()?,
        }
        self.finish(slots.iter().copied(), outcome);
        Ok(())
    }

    fn observations(&self) -> Option<&[u8]> {
        self.is_whole.then(|| self.observations.bytes())
    }

    fn render(&mut self, slots: &[u32]) -> Result<Frames> {
        let Some(mode) = self.spec.render_mode.as_deref() else { return Err(no_render_mode()) };
        let mut frames = Frames(smallvec![]);
        for slot in slots {
            let frame = guard(|| self.env.render(*slot as usize)).map_err(|error| error.of_slot(*slot))?;
            check_frame(&frame, Some(mode)).map_err(|failure| Error::from(failure).of_slot(*slot))?;
            frames.0.push((*slot, frame));
        }
        Ok(frames)
    }

    fn close(&mut self) -> Result<()> {
        guard(|| self.env.close())
    }
}

impl<E: VectorEnv> fmt::Debug for HostedVector<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostedVector<{}>", std::any::type_name::<E>())
    }
}
