//! HostThreads: the environments of a session on several threads, and requests that are answered once theirs are done.

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use crate::{
    error::{EnvFailure, Error, Result},
    guard::guard,
    host::HostEnv,
    host_vector::{HostSlots, HostVectorEnv, VectorOutcome, put_unpacked, same_spaces},
    host_work::{Part, Queues, Task},
    space::stacked::{Joined, SlabSizes, no_packed_form},
    wake_flag::WakeFlag,
    wire::{Access, Attribute, Frames, Limits, Make, Payload, Reader, Reset, Returned, Spec},
};

/// Makes one environment, on the thread that steps it.
pub(crate) type Maker = Arc<dyn Fn(&Make) -> Result<Box<dyn HostEnv>> + Send + Sync>;

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Done {
    /// The rows of a reset (`first`) or step.
    Rows { first: bool },
    /// What was rendered.
    Frames(Frames),
    /// What came of an attribute.
    Returned(Returned),
}

/// Environments on threads, each of which makes, steps and closes some that lie side by side. Requests for different
/// slots are under way at once; the flag tells of those that are done.
pub struct HostThreads {
    queues: Arc<Queues>,
    threads: Vec<JoinHandle<Result<()>>>,
    spec: Spec,
    actions: Option<SlabSizes>,
    observations: Option<SlabSizes>,
    /// Which thread has each slot.
    owners: Vec<usize>,
    /// How many requests are under way.
    under_way: usize,
    /// The parts of a request while it is split, and where that of each thread is among them.
    split: Vec<Part>,
    places: Vec<Option<usize>>,
    /// The parts of a request while they are joined.
    joined: Vec<Part>,
    /// Parts whose buffers serve again.
    spare: Vec<Part>,
    /// One observation in the packed form.
    element: Vec<u8>,
}

impl HostThreads {
    /// Makes as many environments as an agent asks for, one after another, on at most so many threads.
    pub(crate) fn start(maker: &Maker, make: &Make, threads: u32) -> Result<Self> {
        let (slots, count) = (make.slots as usize, threads.min(make.slots) as usize);
        let owners: Vec<usize> = (0..slots).map(|slot| slot * count / slots).collect();
        let queues = Arc::new(Queues::new(count));
        let mut started = Started { queues: queues.clone(), threads: Vec::with_capacity(count) };
        let mut spec: Option<Spec> = None;
        for number in 0..count {
            let first = owners.partition_point(|owner| *owner < number) as u32;
            let made =
                started.start(number, first..owners.partition_point(|owner| *owner <= number) as u32, maker, make);
            let made = made.and_then(|made| match &spec {
                Some(spec) => same_spaces(spec, &made).map_err(|error| error.at(format_args!("env slot {first}"))),
                None => {
                    spec = Some(Spec { slots: make.slots, ..made });
                    Ok(())
                }
            });
            if let Err(error) = made {
                return Err(match started.end() {
                    Ok(()) => error,
                    Err(besides) => error.advice(&format!("its close() failed besides: {besides}")),
                });
            }
        }
        let spec = spec.ok_or_else(|| Error::protocol("a host of no environment"))?;
        Ok(Self {
            queues,
            threads: started.threads,
            actions: SlabSizes::of(&spec.action_space),
            observations: SlabSizes::of(&spec.observation_space),
            spec,
            owners,
            under_way: 0,
            split: Vec::new(),
            places: vec![None; count],
            joined: Vec::new(),
            spare: Vec::new(),
            element: Vec::new(),
        })
    }

    /// Spaces, metadata and the number of slots.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What is set while a request is done.
    pub(crate) fn wake_flag(&self) -> &WakeFlag {
        self.queues.flag()
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way > 0
    }

    /// Whether a request is done; else clears the flag.
    pub(crate) fn has_done(&self) -> bool {
        self.queues.has_done()
    }

    /// Begins to reset slots, none of which has another request under way.
    pub(crate) fn reset(&mut self, request: u64, reset: &Reset) {
        self.split(reset.rows.iter().map(|(slot, _)| *slot));
        for part in &mut self.split {
            let rows = part.rows.iter().map(|row| reset.rows[*row].clone()).collect();
            part.reset = Reset { rows, options: reset.options.clone() };
        }
        self.begin(request, Task::Reset);
    }

    /// Begins to step slots, none of which has another request under way. An error says that none has begun.
    pub(crate) fn step(&mut self, request: u64, slots: &[u32], actions: &Payload<'_>, limits: &Limits) -> Result<()> {
        self.split(slots.iter().copied());
        let filled = match actions.packed {
            true => self.fill_packed(actions.reader.rest(), slots.len()),
            false => self.fill_values(actions, slots),
        };
        if let Err(error) = filled {
            self.spare.append(&mut self.split);
            return Err(error);
        }
        for part in &mut self.split {
            (part.packed, part.limits) = (actions.packed, *limits);
        }
        self.begin(request, Task::Step);
        Ok(())
    }

    /// Begins to render slots, none of which has another request under way.
    pub(crate) fn render(&mut self, request: u64, slots: &[u32]) {
        self.split(slots.iter().copied());
        self.begin(request, Task::Render);
    }

    /// Begins to get, set or call an attribute of slots, none of which has another request under way.
    pub(crate) fn attribute(&mut self, request: u64, attribute: &Attribute) {
        self.split(attribute.slots.iter().copied());
        for part in &mut self.split {
            let access = match &attribute.access {
                Access::Set(values) => Access::Set(part.rows.iter().map(|row| values[*row].clone()).collect()),
                access => access.clone(),
            };
            let slots = part.slots.iter().copied().collect();
            part.attribute = Some(Attribute { slots, name: attribute.name.clone(), access });
        }
        self.begin(request, Task::Attribute);
    }

    /// A request that is done; the rows of a reset or step into `outcome`: in the order of the request if that is the
    /// order of slots, else those of each thread together.
    pub(crate) fn take_done(&mut self, outcome: &mut VectorOutcome) -> Option<(u64, Result<Done>)> {
        let (request, task) = self.queues.take_done(&mut self.joined)?;
        self.under_way -= 1;
        self.joined.sort_unstable_by_key(|part| part.thread);
        let mut failed = None;
        for part in &mut self.joined {
            failed = failed.or(std::mem::replace(&mut part.result, Ok(())).err());
        }
        let result = match (failed, task) {
            (Some(error), _) => Err(error),
            (None, Task::Render) => {
                let frames = self.joined.iter_mut().flat_map(|part| std::mem::take(&mut part.frames.0));
                Ok(Done::Frames(Frames(frames.collect())))
            }
            (None, Task::Attribute) => {
                let rows = self.joined.iter_mut().flat_map(|part| std::mem::take(&mut part.returned.0));
                Ok(Done::Returned(Returned(rows.collect())))
            }
            (None, _) => self.join(outcome).map(|()| Done::Rows { first: task == Task::Reset }),
        };
        self.spare.append(&mut self.joined);
        Some((request, result))
    }

    /// Closes all environments once their calls have returned, and ends the threads.
    pub(crate) fn close(&mut self) -> Result<()> {
        end(&self.queues, &mut self.threads)
    }

    /// Splits a request for these slots by threads.
    fn split(&mut self, slots: impl Iterator<Item = u32>) {
        for (row, slot) in slots.enumerate() {
            let thread = self.owners[slot as usize];
            let place = *self.places[thread].get_or_insert_with(|| {
                self.split.push(self.spare.pop().unwrap_or_default().emptied(thread));
                self.split.len() - 1
            });
            self.split[place].slots.push(slot);
            self.split[place].rows.push(row);
        }
        self.split.iter().for_each(|part| self.places[part.thread] = None);
    }

    fn fill_packed(&mut self, stacked: &[u8], count: usize) -> Result<()> {
        let sizes = self.actions.as_ref().ok_or_else(no_packed_form)?;
        sizes.check(stacked, count)?;
        for part in &mut self.split {
            let rows = part.rows.len();
            part.actions.resize(sizes.len(rows), 0);
            for (to, from) in part.rows.iter().enumerate() {
                sizes.copy_row((stacked, count, *from), (&mut part.actions, rows, to));
            }
        }
        Ok(())
    }

    fn fill_values(&mut self, actions: &Payload<'_>, slots: &[u32]) -> Result<()> {
        let mut reader = actions.reader.clone();
        for slot in slots {
            let (thread, value) = (self.owners[*slot as usize], reader.split_value()?);
            if let Some(part) = self.split.iter_mut().find(|part| part.thread == thread) {
                part.actions.extend_from_slice(value.rest());
            }
        }
        reader.end()
    }

    fn begin(&mut self, request: u64, task: Task) {
        self.under_way += 1;
        self.queues.begin(request, task, &mut self.split);
    }

    /// Joins the rows of all parts.
    fn join(&mut self, outcome: &mut VectorOutcome) -> Result<()> {
        let Self { joined: parts, spec, observations: sizes, element, .. } = self;
        if let [part] = &mut parts[..] {
            std::mem::swap(outcome, &mut part.outcome);
            return Ok(());
        }
        outcome.observations.clear();
        outcome.packed = parts.iter().all(|part| part.outcome.packed);
        match sizes {
            Some(sizes) if outcome.packed => {
                let stacks = parts.iter().map(|part| Joined {
                    stacked: &part.outcome.observations,
                    rows: part.outcome.rows.len(),
                    firsts: part.slots.len(),
                });
                sizes.join(stacks, &mut outcome.observations);
            }
            _ => {
                for is_last in [false, true] {
                    for part in &*parts {
                        part.put_values(is_last, (spec, sizes.as_ref()), element, &mut outcome.observations)?;
                    }
                }
            }
        }
        outcome.infos.clear();
        parts.iter().for_each(|part| outcome.infos.extend_from_slice(&part.outcome.infos[..part.first_infos]));
        parts.iter().for_each(|part| outcome.infos.extend_from_slice(&part.outcome.infos[part.first_infos..]));
        outcome.rows.clear();
        parts.iter_mut().for_each(|part| outcome.rows.extend(part.outcome.rows.drain(..part.slots.len())));
        parts.iter_mut().for_each(|part| outcome.rows.append(&mut part.outcome.rows));
        Ok(())
    }
}

impl Part {
    /// Appends the observations of the rows with `last`, or of those without, as values.
    fn put_values(
        &self,
        is_last: bool,
        (spec, sizes): (&Spec, Option<&SlabSizes>),
        element: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let VectorOutcome { rows, packed, observations, .. } = &self.outcome;
        if !packed {
            let (firsts, lasts) = observations.split_at(self.first_values);
            out.extend_from_slice(if is_last { lasts } else { firsts });
            return Ok(());
        }
        let sizes = sizes.ok_or_else(no_packed_form)?;
        for row in if is_last { self.slots.len()..rows.len() } else { 0..self.slots.len() } {
            element.clear();
            sizes.row(observations, rows.len(), row, element);
            put_unpacked(element, spec, out)?;
        }
        Ok(())
    }
}

impl Drop for HostThreads {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl fmt::Debug for HostThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slots, threads) = (self.spec.slots, self.threads.len());
        f.debug_struct("HostThreads").field("slots", &slots).field("threads", &threads).finish_non_exhaustive()
    }
}

/// Threads that are started one by one.
struct Started {
    queues: Arc<Queues>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Started {
    /// Starts one that makes the environments of these slots, and waits until they are made.
    fn start(&mut self, number: usize, slots: std::ops::Range<u32>, maker: &Maker, make: &Make) -> Result<Spec> {
        let (queues, maker, make) = (self.queues.clone(), maker.clone(), make.clone());
        let (tell, told) = mpsc::channel();
        let work = move || {
            let mut envs = match make_slots(slots, &maker, &make) {
                Ok(envs) => envs,
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return Ok(());
                }
            };
            let _ = tell.send(Ok(envs.spec()));
            while let Some(mut part) = queues.next(number) {
                part.result = guard(|| Ok(run(&mut envs, &mut part))).and_then(|result| result);
                queues.finish(part);
            }
            envs.close()
        };
        let spawned = thread::Builder::new().name("rlay-envs".into()).spawn(work).map_err(Error::no_thread)?;
        self.threads.push(spawned);
        told.recv().unwrap_or_else(|_| Err(panicked()))
    }

    fn end(&mut self) -> Result<()> {
        end(&self.queues, &mut self.threads)
    }
}

/// Ends threads, each of which closes its environments. The first error is that of the lowest slot.
fn end(queues: &Queues, threads: &mut Vec<JoinHandle<Result<()>>>) -> Result<()> {
    queues.end();
    let mut result = Ok(());
    for thread in threads.drain(..) {
        let ended = thread.join().unwrap_or_else(|_| Err(panicked()));
        result = result.and(ended);
    }
    result
}

fn panicked() -> Error {
    let message = "a thread that steps environments has panicked".to_owned();
    EnvFailure { error_type: "panic".into(), message, traceback: String::new() }.into()
}

fn make_slots(slots: std::ops::Range<u32>, maker: &Maker, make: &Make) -> Result<HostSlots<'static>> {
    let mut envs: Vec<Box<dyn HostEnv>> = Vec::with_capacity(slots.len());
    for _ in slots.clone() {
        match maker(make) {
            Ok(env) => envs.push(env),
            Err(error) => {
                return Err(envs.iter_mut().fold(error, |error, env| match env.close() {
                    Ok(()) => error,
                    Err(besides) => error.advice(&format!("its close() failed besides: {besides}")),
                }));
            }
        }
    }
    HostSlots::from_slot(slots.start, envs, make.autoreset_mode)
}

fn run(envs: &mut HostSlots<'_>, part: &mut Part) -> Result<()> {
    match part.task {
        Task::Reset => envs.reset_into(&part.reset, &mut part.outcome)?,
        Task::Step => {
            let actions = Payload { packed: part.packed, reader: Reader::new(&part.actions, 0, &part.limits) };
            envs.step_into(&part.slots, actions, &mut part.outcome)?;
        }
        Task::Render => {
            part.frames = envs.render(&part.slots)?;
            return Ok(());
        }
        Task::Attribute => {
            if let Some(attribute) = part.attribute.take() {
                part.returned = envs.attribute(&attribute)?;
            }
            return Ok(());
        }
    }
    (part.first_infos, part.first_values) = envs.first_lens();
    Ok(())
}
