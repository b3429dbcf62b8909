//! Party: one of the processes of the benchmark, told over its standard input how many steps to take.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use tokio::runtime::{Builder, Runtime};

/// A child process that is ready, and the address that it has printed.
#[derive(Debug)]
pub(crate) struct Party {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Party {
    /// This program with other arguments, on one core.
    pub(crate) fn this(core: usize, arguments: &[&str]) -> Self {
        Self::spawn(on(core, env::current_exe().expect("the path of this program")).args(arguments))
    }

    /// A Python program on one core, by the interpreter that `PYTHON` names or that of `.venv`.
    pub(crate) fn python(core: usize, script: &Path, arguments: &[&str]) -> Self {
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
        let python = env::var_os("PYTHON").unwrap_or_else(|| venv.into());
        Self::spawn(on(core, python).arg(script).args(arguments))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let to = child.stdin.take().expect("a pipe");
        let mut from = BufReader::new(child.stdout.take().expect("a pipe"));
        let address = line(&mut from);
        Self { child, to, from, address }
    }

    /// Takes `steps` steps and gives the seconds they took.
    pub(crate) fn run(&mut self, steps: u64) -> f64 {
        writeln!(self.to, "{steps}").expect("the process is alive");
        line(&mut self.from).parse().expect("seconds")
    }
}

/// A program that stays on one core. If processes may move, it is a matter of chance whether two that take turns share
/// a core, and that can be worth more than everything else.
fn on(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset"); // of util-linux
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut text = String::new();
    let read = from.read_line(&mut text).expect("a line");
    assert!(read > 0, "a process of the benchmark ended; see what it printed above");
    text.trim().to_owned()
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// An address to listen at: port 0, or a name that this process alone uses.
pub(crate) fn fresh(scheme: &str, what: &str) -> String {
    match scheme {
        "unix" | "zmq+ipc" => {
            let file = env::temp_dir().join(format!("rlay-bench-{}-{what}.sock", std::process::id()));
            let _ = std::fs::remove_file(&file);
            format!("{scheme}://{}", file.display())
        }
        "shm" => format!("shm://rlay-bench-{}-{what}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed)),
        _ => format!("{scheme}://127.0.0.1:0"),
    }
}

/// An agent's loop: reports that it is ready, then takes as many steps as requested and reports how long they took.
pub(crate) fn obey(mut steps: impl FnMut(u64)) {
    say("ready");
    for line in std::io::stdin().lines() {
        let n = line.expect("a line").parse().expect("a number");
        let start = std::time::Instant::now();
        steps(n);
        say(&start.elapsed().as_secs_f64().to_string());
    }
}

/// Tells the parent.
pub(crate) fn say(text: &str) {
    println!("{text}");
    std::io::stdout().flush().expect("the parent reads");
}

/// A runtime of this thread alone.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs a future on such a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}
