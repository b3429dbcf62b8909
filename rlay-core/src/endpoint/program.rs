//! Program: an environment's program as a child process, with what it printed and how it ended.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt,
    fs::File,
    io::{PipeReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::error::{Error, ErrorKind, Result};

/// The environment variable in which a program that was launched finds the address to dial.
pub const ADDRESS_VARIABLE: &str = "RLAY_ADDRESS";

/// Of what a program printed last, so many lines are kept for errors, each cut to so many bytes.
const LINES: usize = 10;
const LINE: usize = 500;
/// A log is not written further than this; the last lines are kept all the same.
const LONGEST_LOG: u64 = 64 << 20;
/// How long a program whose connection is gone is given to end, so that the error can say how.
const DYING_TIME: Duration = Duration::from_secs(1);
/// How long it is given to leave when it is not needed any more, and once more when it was asked to.
const LEAVING_TIME: Duration = Duration::from_secs(1);

/// A child process. It is killed when this is dropped, with those of its own that it has not made independent, and
/// on Linux also when this process is killed.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    log: PathBuf,
    shared: Arc<Shared>,
    /// The process that started it; a forked child must let it live.
    owner: u32,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// While it runs.
    pid: Option<Pid>,
    status: Option<ExitStatus>,
    tail: Tail,
    /// Whether all it printed has been read.
    is_silent: bool,
}

impl Program {
    /// Starts `command` with `variables` in its environment. What it prints goes to the file `log`, by default to
    /// one of its own among the temporary files.
    pub(crate) fn start(command: &[String], variables: Vec<(&str, OsString)>, log: Option<&Path>) -> Result<Self> {
        let (name, arguments) =
            command.split_first().ok_or_else(|| Error::new(ErrorKind::Usage, "there is no command to launch"))?;
        let cannot = |e: &dyn fmt::Display| Error::new(ErrorKind::Usage, format!("cannot launch {name:?}: {e}"));
        let log = log.map_or_else(fresh_log, Path::to_path_buf);
        let file = create(&log).map_err(|e| cannot(&format_args!("the log {}: {e}", log.display())))?;
        let (output, theirs) = std::io::pipe().map_err(|e| cannot(&e))?;
        let mut command = Command::new(name);
        command.args(arguments).envs(variables);
        command.stdin(Stdio::null()).stdout(theirs.try_clone().map_err(|e| cannot(&e))?).stderr(theirs);
        // Of a group of its own: Ctrl-C in a terminal is this process's affair, which then closes the environment.
        command.process_group(0);
        die_with_parent(&mut command);

        let shared = Arc::<Shared>::default();
        let (for_reader, for_keeper) = (shared.clone(), shared.clone());
        let (started, is_started) = mpsc::channel();
        // The kernel takes the end of the thread that started a child for the end of its parent, so this one stays.
        let keep = move || {
            let child = command.spawn();
            drop(command); // and with it this process's ends of the pipe
            match child {
                Ok(child) => {
                    for_keeper.state().pid = Pid::from_raw(child.id() as i32);
                    let _ = started.send(Ok(()));
                    for_keeper.bury(child);
                }
                Err(error) => drop(started.send(Err(error))),
            }
        };
        spawn("rlay-program", keep).map_err(|e| cannot(&e))?;
        is_started.recv().map_err(|e| cannot(&e))?.map_err(|e| cannot(&e))?;
        spawn("rlay-output", move || for_reader.read(output, file)).map_err(|e| cannot(&e))?;
        Ok(Self { name: name.clone(), log, shared, owner: process::id() })
    }

    /// How it ended, if it has.
    pub(crate) fn obituary(&self) -> Option<String> {
        self.shared.state().status?;
        let state = self.shared.wait(DYING_TIME, State::is_over);
        state.status.map(|status| self.describe(status, &state.tail))
    }

    /// Adds to the error of a lost connection how the program ended.
    pub(crate) fn explain(&self, error: &Error) -> Error {
        let state = self.shared.wait(DYING_TIME, State::is_over);
        let text = match state.status {
            Some(status) => self.describe(status, &state.tail),
            None => format!("{} still runs, but its connection is gone ({error})", self.name),
        };
        Error::new(error.kind(), text)
    }

    /// Waits for it to end by itself, asks it to, and at last ends it.
    pub(crate) fn close(&self) {
        if self.owner != process::id() {
            return;
        }
        for signal in [Signal::TERM, Signal::KILL] {
            if self.shared.wait(LEAVING_TIME, |state| state.status.is_some()).status.is_some() {
                return;
            }
            self.signal(signal);
        }
        drop(self.shared.wait(LEAVING_TIME, |state| state.status.is_some()));
    }

    /// To its process group: a script may have started the program that matters.
    fn signal(&self, signal: Signal) {
        // Under the lock, so that the number is not another process's by now.
        if let Some(pid) = self.shared.state().pid {
            let _ = kill_process_group(pid, signal);
        }
    }

    fn describe(&self, status: ExitStatus, tail: &Tail) -> String {
        let how = match (status.code(), status.signal()) {
            (Some(0), _) => "ended".to_owned(),
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(number)) => match SIGNALS.iter().find(|(signal, _)| signal.as_raw() == number) {
                Some((_, name)) => format!("was killed by {name}"),
                None => format!("was killed by signal {number}"),
            },
            (None, None) => format!("ended ({status})"),
        };
        let last = tail.lines().map(|line| format!("\n  {line}")).collect::<String>();
        let said = if last.is_empty() { "it printed nothing".to_owned() } else { format!("it printed last:{last}") };
        format!("{} {how}; {said}\n(all of it: {})", self.name, self.log.display())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.owner == process::id() {
            self.signal(Signal::KILL);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration, is_done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if is_done(&state) || left.is_zero() {
                return state;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the child to end. Its number stays taken until the lock is held.
    fn bury(&self, mut child: Child) {
        let pid = Pid::from_raw(child.id() as i32).expect("a process has a number");
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
        let mut state = self.state();
        state.pid = None;
        // Those it left behind in its group.
        let _ = kill_process_group(pid, Signal::KILL);
        state.status = child.wait().ok();
        self.changed.notify_all();
    }

    /// Reads what is printed until nobody is left to print.
    fn read(&self, mut output: PipeReader, mut log: File) {
        let (mut bytes, mut written) = ([0; 8192], 0);
        while let Ok(n @ 1..) = output.read(&mut bytes) {
            self.state().tail.add(&bytes[..n]);
            // A full disk is no reason to stop a program that would wait for its output to be taken.
            if written < LONGEST_LOG {
                let _ = log.write_all(&bytes[..n]);
                written += n as u64;
            }
        }
        self.state().is_silent = true;
        self.changed.notify_all();
    }
}

impl State {
    /// Whether it has ended, and all that it printed was read.
    fn is_over(&self) -> bool {
        self.status.is_some() && self.is_silent
    }
}

/// The last lines of what was printed.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<Vec<u8>>,
    is_amid_line: bool,
}

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_amid_line {
                if self.lines.len() == LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(vec![]);
            }
            let line = self.lines.back_mut().expect("one was just begun");
            let room = LINE.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.is_amid_line = !piece.ends_with(b"\n");
        }
    }

    /// Without what a terminal would take for a command.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(|line| {
            let text = String::from_utf8_lossy(line).trim_end().replace('\t', "    ");
            text.chars().filter(|c| !c.is_control()).collect()
        })
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

fn fresh_log() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("rlay-launch-{}-{}.log", process::id(), NEXT.fetch_add(1, Relaxed));
    std::env::temp_dir().join(name)
}

/// A log that only its user can read. One that is there is begun anew, unless it is another user's or a link.
fn create(log: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    File::options().write(true).create(true).truncate(true).mode(0o600).custom_flags(no_follow).open(log)
}

/// Has the kernel end the child when this process ends, however that is.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before that was said.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Elsewhere the child is ended by `close`, by `drop`, and by the end of its connection.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_no_more() {
        let mut tail = Tail::default();
        for i in 0..100 {
            tail.add(format!("line {i}\nand ").as_bytes());
            tail.add(&vec![b'x'; 2 * LINE]);
        }
        let lines: Vec<_> = tail.lines().collect();
        assert_eq!(lines.len(), LINES);
        assert!(lines.iter().all(|line| line.len() <= LINE), "{lines:?}");
        assert!(lines[LINES - 1].starts_with("and xxx"), "{lines:?}");
        tail.add(b"\n\x1b[31mred\n");
        assert_eq!(tail.lines().last().as_deref(), Some("[31mred"));
    }
}
