//! Program: an environment's program as a child process, with what it printed and how it ended.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{self, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    await_programs::{GRACE, LaunchedPrograms, wait_for},
    command::{check_script, why_not},
    output::Log,
    process::{Process, State},
};
use crate::{
    endpoint::wait::{Tell, Wait},
    error::{Error, ErrorKind, Result},
    net::{is_exhausted, why},
    printable::sentence,
};

/// How long a program whose connection is gone is given to end, so that the error can say how.
const DYING_TIME: Duration = Duration::from_secs(1);

/// So many characters of a command are shown: of its beginning, and of its end.
const TITLE: (usize, usize) = (30, 60);

/// A child process. It ends when this is dropped, with those of its own that it has not made independent, and on Linux
/// also when this process is killed.
#[derive(Debug)]
pub(crate) struct Program {
    process: Arc<Process>,
    close_timeout: Duration,
    /// The process that started it; a forked child must let it live.
    owner: u32,
    /// Whether it is still to be told to end.
    is_open: bool,
}

impl Program {
    /// Starts `command` with `variables` in its environment. What it prints goes to the file `log`, by default to
    /// one in a folder of its own among the temporary files; what becomes of it later is told `tell`.
    pub(crate) fn start(
        command: &[String],
        variables: Vec<(&str, OsString)>,
        log: Option<&Path>,
        close_timeout: Duration,
        tell: Tell,
    ) -> Result<Self> {
        let (name, arguments) =
            command.split_first().ok_or_else(|| Error::new(ErrorKind::Usage, "there is no command to launch"))?;
        let title = title(command);
        let cannot = |why: String, cause: Option<io::Error>| {
            let kind = match &cause {
                Some(cause) if is_refused(cause) => ErrorKind::ResourceExhausted,
                _ => ErrorKind::Usage,
            };
            let error = Error::new(kind, format!("cannot launch {name:?}: {why}"));
            cause.into_iter().fold(error, Error::with_source)
        };
        let refused = |e: io::Error| cannot(why(&e), Some(e));
        check_script(name).map_err(|why| cannot(why, None))?;
        let (output, theirs) = io::pipe().map_err(refused)?;
        let errors = theirs.try_clone().map_err(refused)?;
        let (log, file) = Log::open(log).map_err(|(why, cause)| cannot(why, cause))?;
        let mut command = Command::new(name);
        command.args(arguments).envs(variables);
        command.stdin(Stdio::null()).stdout(theirs).stderr(errors);
        // Of a group of its own: Ctrl-C in a terminal is this process's affair, which then closes the environment.
        command.process_group(0);
        die_with_parent(&mut command);

        let process = Arc::new(Process::new(title, log, tell));
        let (for_reader, for_keeper) = (process.clone(), process.clone());
        let (started, is_started) = mpsc::channel();
        // The kernel takes the end of the thread that started a child for the end of its parent, so this one stays.
        let keep = move || {
            let child = command.spawn();
            drop(command); // and with it this process's ends of the pipe
            match child {
                Ok(child) => {
                    for_keeper.has_started(&child);
                    let _ = started.send(Ok(()));
                    for_keeper.reap(child);
                }
                Err(error) => drop(started.send(Err(error))),
            }
        };
        spawn("rlay-program", keep).map_err(|e| {
            process.log.discard();
            refused(e)
        })?;
        is_started.recv().map_err(|e| cannot(e.to_string(), None))?.map_err(|e| {
            process.log.discard();
            cannot(why_not(name, &e), Some(e))
        })?;
        LaunchedPrograms::here().open();
        let program = Self { process, close_timeout, owner: process::id(), is_open: true };
        if let Err(error) = spawn("rlay-output", move || for_reader.read(output, file)) {
            let _ = program.end(Duration::ZERO, "although nothing can be read from it", &mut Wait::default());
            return Err(refused(error));
        }
        Ok(program)
    }

    /// Where its log lies.
    pub(crate) fn log(&self) -> &Path {
        &self.process.log.path
    }

    /// How it ended, if it has.
    pub(crate) fn exit_report(&self, has_dialed: bool) -> Option<String> {
        self.process.state().end?;
        Some(self.process.describe(&self.process.wait(DYING_TIME, State::is_told), has_dialed))
    }

    /// What it printed last.
    pub(crate) fn printed(&self) -> String {
        self.process.printed(&self.process.state())
    }

    /// What it printed last, and where all of it is.
    pub(crate) fn last_lines(&self) -> String {
        self.process.last_lines(&self.process.state())
    }

    /// Adds to the error of a lost connection how the program ended.
    pub(crate) fn explain(&self, error: &Error) -> Error {
        let mut state = self.process.wait(DYING_TIME, State::is_told);
        state.is_explained = true;
        let text = match state.end {
            Some(_) => self.process.describe(&state, true),
            None => format!(
                "{} still runs, but its connection is gone ({error}); {}",
                self.process.name,
                self.process.last_lines(&state)
            ),
        };
        Error::new(error.kind(), text).with_source(error.clone())
    }

    /// How long its environment has to answer that it is closed.
    pub(crate) fn answer_time(&self) -> Duration {
        if LaunchedPrograms::here().has_open(1) { GRACE.min(self.close_timeout) } else { self.close_timeout }
    }

    /// Waits for it to end, since its environment was told so at `began`; in the end it is made to. If other programs
    /// still have an environment that is open, the wait is short, and whichever is closed last waits for all. Where
    /// `wait` is over first, it is killed.
    pub(crate) fn close(mut self, began: Instant, wait: &mut Wait<'_>) -> Result<()> {
        if !self.begin_to_end(began) {
            return Ok(());
        }
        let launched = LaunchedPrograms::here();
        if launched.has_open(0) {
            wait_for(&self.process, Some(GRACE.saturating_sub(began.elapsed())), wait)
        } else {
            launched.wait_for_all(wait)
        }
    }

    /// The same, but waits for nothing: a thread sees to its end.
    pub(crate) fn leave(mut self) {
        self.begin_to_end(Instant::now());
    }

    /// Waits for the end of one that is no environment, or none any more, whatever others are open. `timeout` bounds
    /// how long it may take to end by itself.
    pub(crate) fn end(mut self, timeout: Duration, why: &str, wait: &mut Wait<'_>) -> Result<()> {
        self.process.state().is_explained = true;
        if self.tell_to_end(timeout.min(self.close_timeout), why.to_owned()) {
            wait_for(&self.process, None, wait)?;
        }
        Ok(())
    }

    fn begin_to_end(&mut self, began: Instant) -> bool {
        let time = self.close_timeout;
        let why = format!("{time:?} after its environment was closed; raise close_timeout if it needs longer");
        self.tell_to_end(self.close_timeout.saturating_sub(began.elapsed()), why)
    }

    /// Has a thread see to its end; whether it was open and this process's.
    fn tell_to_end(&mut self, timeout: Duration, why: String) -> bool {
        let is_ours = std::mem::take(&mut self.is_open) && self.owner == process::id();
        if is_ours {
            LaunchedPrograms::here().end(self.process.clone(), timeout, why);
        }
        is_ours
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let is_ours = self.begin_to_end(Instant::now());
        if is_ours {
            let _ = wait_for(&self.process, None, &mut Wait::default());
        }
    }
}

/// A command as people know it, on one line that is not too long.
pub(crate) fn title(command: &[String]) -> String {
    let words = shlex::try_join(command.iter().map(String::as_str)).unwrap_or_default();
    let words: Vec<char> = sentence(&words).chars().collect();
    match words.len().checked_sub(TITLE.0 + TITLE.1) {
        None | Some(0) => words.into_iter().collect(),
        Some(over) => words[..TITLE.0].iter().chain(&['…']).chain(&words[TITLE.0 + over..]).collect(),
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

/// Whether `error` says that the system has no process, memory or descriptor for a child (fork(2)).
fn is_refused(error: &io::Error) -> bool {
    is_exhausted(error) || matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory)
}

/// Has the kernel end the child when this process ends, however that is.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // It may have ended before that was said.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Elsewhere the child is ended by `close`, by `drop`, and by the end of its connection.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_shows_the_beginning_and_the_end() {
        let title = |words: &[&str]| title(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(title(&["./game", "--name", "my own\n"]), "./game --name 'my own\\n'");
        let long = title(&["/usr/bin/python3", &"x".repeat(200), "game.py", "--hard"]);
        assert_eq!(long.chars().count(), TITLE.0 + 1 + TITLE.1);
        assert!(long.starts_with("/usr/bin/python3 xxx") && long.ends_with("xxx game.py --hard"), "{long}");
    }
}
