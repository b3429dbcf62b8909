//! Process: a program that was launched, as the threads see it that watch it, read what it prints, and end it.

use crate::endpoint::wait::{Notice, Tell};
use std::{
    fs::File,
    io::{PipeReader, Read, Write},
    process::Child,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};

use super::output::{Log, Tail};

/// A log is not written further than this; the last lines are kept all the same.
const LONGEST_LOG: u64 = 64 << 20;
/// How long a program has after SIGTERM.
const TERM_TIME: Duration = Duration::from_secs(5);
/// How long after SIGKILL it is waited for: what does not end then never does.
const KILL_TIME: Duration = Duration::from_secs(2);
/// How long the last that was printed may take to be read. What is still open then, another process holds.
const READING_TIME: Duration = Duration::from_millis(300);

/// How often the reader checks whether there is any need to read, while nothing is printed.
const LOOK_UP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A child process, the leader of a process group of its own.
#[derive(Debug)]
pub(in crate::endpoint) struct Process {
    pub(in crate::endpoint) name: String,
    pub(in crate::endpoint) log: Log,
    tell: Tell,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(in crate::endpoint) struct State {
    /// While the number is its own.
    pid: Option<Pid>,
    pub(in crate::endpoint) end: Option<End>,
    /// The last that was sent to end it.
    sent: Option<Signal>,
    /// Whether that was before it had ended.
    is_forced: bool,
    /// Whether an error has told of its end, and of its log.
    pub(in crate::endpoint) is_explained: bool,
    /// Whether it ended, but not what it had started.
    has_left_some: bool,
    /// Whether it has ended, with what it left in its process group.
    is_gone: bool,
    /// Whether all is done that its end takes.
    pub(in crate::endpoint) is_done: bool,
    tail: Tail,
    /// Whether all it printed has been read.
    is_silent: bool,
}

/// How a process ended: by its exit code, or by a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::endpoint) struct End {
    pub(in crate::endpoint) code: Option<i32>,
    signal: Option<i32>,
}

impl State {
    /// Whether it has ended, and all that it printed was read.
    pub(in crate::endpoint) fn is_told(&self) -> bool {
        self.end.is_some() && (self.is_silent || self.has_left_some)
    }
}

impl Process {
    pub(in crate::endpoint) fn new(name: String, log: Log, tell: Tell) -> Self {
        Self { name, log, tell, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(in crate::endpoint) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for at most `timeout` until it is so.
    pub(in crate::endpoint) fn wait(&self, timeout: Duration, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state();
        while !is_so(&state) {
            let left = deadline.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    pub(in crate::endpoint) fn has_started(&self, child: &Child) {
        self.state().pid = Pid::from_raw(child.id() as i32);
    }

    /// Sends a signal to the process group: a script may have started the program that matters.
    pub(in crate::endpoint) fn signal(&self, signal: Signal) {
        // Under the lock, so that the number is not another process's by now.
        self.change(|state| {
            if let Some(pid) = state.pid {
                state.sent = Some(signal);
                state.is_forced |= state.end.is_none();
                let _ = kill_process_group(pid, signal);
            }
        });
    }

    /// Waits for the child to end, and ends what it leaves in its process group. Its number stays taken until then.
    pub(in crate::endpoint) fn reap(&self, mut child: Child) {
        let pid = Pid::from_raw(child.id() as i32).expect("a process has a number");
        let end = loop {
            match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Err(Errno::INTR) => {}
                Ok(Some(status)) => break End { code: status.exit_status(), signal: status.terminating_signal() },
                _ => break End::default(),
            }
        };
        self.change(|state| state.end = Some(end));
        if !self.wait(READING_TIME, |state| state.is_silent).is_silent {
            self.end_what_is_left();
        }
        self.change(|state| {
            state.pid = None;
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = child.wait();
            state.is_gone = true;
        });
    }

    /// Has the processes end that it left in its group, which may have something to save.
    fn end_what_is_left(&self) {
        self.change(|state| state.has_left_some = true);
        if self.state().sent.is_none() {
            self.signal(Signal::TERM);
        }
        let state = self.wait(TERM_TIME, |state| state.is_silent || state.sent == Some(Signal::KILL));
        if !state.is_silent && state.sent != Some(Signal::KILL) {
            drop(state);
            self.warn(&format!("it has ended, but not what it started, {TERM_TIME:?} after SIGTERM; sending SIGKILL"));
        }
    }

    /// Has it end if it does not by itself within `timeout`. `why` says since what it is to.
    pub(in crate::endpoint) fn end(&self, timeout: Duration, why: &str) {
        // The signals that are sent to what it left behind are sent by `reap`.
        let is_ended = |state: &State| state.end.is_some();
        if !is_ended(&self.wait(timeout, is_ended)) {
            self.signal(Signal::TERM);
            self.warn(&format!("it still runs {why}; sending SIGTERM"));
            if !is_ended(&self.wait(TERM_TIME, is_ended)) {
                self.signal(Signal::KILL);
                self.warn(&format!(
                    "it still runs {TERM_TIME:?} after SIGTERM; sending SIGKILL, what it has not saved is lost"
                ));
            }
        }
        let is_ended = is_ended(&self.wait(KILL_TIME, is_ended));
        if !is_ended || !self.wait(TERM_TIME + KILL_TIME, |state| state.is_gone).is_gone {
            self.warn("it does not end by SIGKILL either; a driver or a file system may hang");
        }
        self.settle();
        self.change(|state| state.is_done = true);
    }

    /// Says of an end that was none in good order, and removes the log of one that was.
    fn settle(&self) {
        let state = self.state();
        let Some(end) = state.end.filter(|_| !state.is_forced && !state.is_explained) else { return };
        drop(state);
        match end.code {
            Some(0) => self.log.discard(),
            _ => self.warn(&format!("it {} while its environment was closed", end.how())),
        }
    }

    /// Warns in the agent's log.
    fn warn(&self, text: &str) {
        let log = self.log.name();
        (self.tell)(Notice::Warning(&format!("{}: {text} (what it printed: {log})", self.name)));
    }

    /// Reads what is printed until nothing is left that could print, or the program has ended and is done with: a
    /// daemon that it has left may hold its output for ever.
    pub(in crate::endpoint) fn read(&self, mut output: PipeReader, mut log: File) {
        let (mut bytes, mut written) = ([0; 8192], 0);
        while !self.state().is_done {
            match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&LOOK_UP)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => break,
            }
            let Ok(n @ 1..) = output.read(&mut bytes) else { break };
            self.state().tail.add(&bytes[..n]);
            // A full disk is no reason to stop a program that would wait for its output to be taken.
            if written < LONGEST_LOG {
                let _ = log.write_all(&bytes[..n]);
                written += n as u64;
            }
        }
        self.change(|state| state.is_silent = true);
    }

    /// How it ended, or that it runs, and what it printed last.
    pub(in crate::endpoint) fn describe(&self, state: &State, has_dialed: bool) -> String {
        let how = state.end.map_or_else(|| "still runs".to_owned(), End::how);
        let advice = match state.end.and_then(|end| end.code) {
            Some(0) if state.has_left_some => LEFT,
            Some(0) if !has_dialed => EARLY,
            _ => "",
        };
        format!("{} {how}{advice}; {}", self.name, self.last_lines(state))
    }

    /// What it printed last, and where all of it is.
    pub(in crate::endpoint) fn last_lines(&self, state: &State) -> String {
        let where_all_is = match self.log.path.exists() {
            true => format!("all of it: {}", self.log.name()),
            false => format!("its log, {}, was removed", self.log.path.display()),
        };
        format!("{}\n  ({where_all_is})", self.printed(state))
    }

    /// What it printed last.
    pub(in crate::endpoint) fn printed(&self, state: &State) -> String {
        let last = state.tail.lines().map(|line| format!("\n  {line}")).collect::<String>();
        if last.is_empty() { "it printed nothing".to_owned() } else { format!("it printed last:{last}") }
    }
}

/// What to do about a script that ends, but not what it started.
const LEFT: &str = ", and what it had put into the background was ended with it: it must stay for as long as its game; \
                    let the game take its place, by exec ./game without &";
/// What to do about a program that ends in good order before it has dialed in.
const EARLY: &str = ", but it must dial in to RLAY_ADDRESS, as ClientBackend does, and stay; a script that starts the \
                     game lets that take its place, by exec ./game";

impl End {
    fn how(self) -> String {
        match (self.code, self.signal) {
            (Some(0), _) => "ended".to_owned(),
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(number)) => match SIGNALS.iter().find(|(signal, _)| signal.as_raw() == number) {
                Some((_, name)) => format!("was killed by {name}"),
                None => format!("was killed by signal {number}"),
            },
            (None, None) => "ended".to_owned(),
        }
    }
}

/// The names of the signals that end programs (signal(7)).
const SIGNALS: [(Signal, &str); 15] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::TERM, "SIGTERM"),
    (Signal::XCPU, "SIGXCPU"),
    (Signal::SYS, "SIGSYS"),
];
