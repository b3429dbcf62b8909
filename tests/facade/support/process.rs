//! The other side in another process: this test binary, run again to play a role.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write, stdin, stdout},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use rlay::{
    ClientBackend, ClientEnv, Env, EnvError, ServerBackend, Value,
    endpoint::{Wait, dial},
    wire::{Make, Role},
};
use rlay_testkit::CountingEnv;

use super::{PATIENCE, patient};
use crate::cartpole::CartPole;

/// Tells the other process which role to play, at which address.
const ROLE: &str = "RLAY_TEST_ROLE";
/// Starts the lines that are meant for the test, among those of the test harness.
const MARK: char = '@';

/// A process that plays a role, or a thread that does. It is killed when dropped.
pub(crate) struct Process {
    child: Option<(Child, Option<ChildStdin>)>,
    /// Dropping it ends a thread, as closing its standard input ends a process.
    _stop: Option<Sender<()>>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `role` at `address`; over `mem`, which cannot leave this process, on a thread.
    pub(crate) fn start(scheme: &str, role: &str, address: &str) -> Self {
        if scheme == "mem" { Self::thread(role, address) } else { Self::process(role, address) }
    }

    fn thread(role: &str, address: &str) -> Self {
        let ((say, lines), (stop, until)) = (channel(), channel::<()>());
        let (role, address) = (role.to_owned(), address.to_owned());
        thread::spawn(move || {
            let result = play(&role, &address, &move |line| drop(say.send(line)), &move || drop(until.recv()));
            result.unwrap_or_else(|error| panic!("{role} at {address}: {error}"));
        });
        Self { child: None, _stop: Some(stop), lines }
    }

    pub(crate) fn process(role: &str, address: &str) -> Self {
        let mut child = Command::new(env::current_exe().expect("a test binary has a path"))
            .args(["--exact", "support::process::another_process", "--nocapture"])
            .env(ROLE, format!("{role} {address}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let (say, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK) {
                    let _ = say.send(line.to_owned());
                }
            }
        });
        Self { child: Some((child, stdin)), _stop: None, lines }
    }

    /// The next thing it says.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the other side says something")
    }

    /// Lets it end by itself, and says whether all was well.
    pub(crate) fn finish(mut self) -> bool {
        let (mut child, stdin) = self.child.take().expect("it is a process");
        drop(stdin);
        child.wait().expect("it ends").success()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some((child, _)) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it as Ctrl-Z does: it is there, but does nothing.
    pub(crate) fn freeze(&self) {
        let pid = self.child.as_ref().expect("it is a process").0.id();
        let status = Command::new("sh").args(["-c", &format!("kill -STOP {pid}")]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Not a test: what a process does that was started by [`Process::process`].
#[test]
fn another_process() {
    let Ok(role) = env::var(ROLE) else { return };
    let (role, address) = role.split_once(' ').expect("a role and an address");
    let say = |line| {
        println!("\n{MARK}{line}"); // the harness may not have ended its line
        stdout().flush().expect("standard output is open");
    };
    let until_told = || drop(stdin().read_to_end(&mut Vec::new()));
    play(role, address, &say, &until_told).unwrap_or_else(|error| panic!("{role} at {address}: {error}"));
}

/// Plays `role` at `address` until `until_told` returns.
fn play(
    role: &str,
    address: &str,
    say: &(dyn Fn(String) + Sync),
    until_told: &dyn Fn(),
) -> Result<(), EnvError> {
    match role {
        "host-counting" => host(address, |make| CountingEnv::new(make.render_mode.as_deref()), say, until_told),
        "dial-counting" => dial_in(address, |make| CountingEnv::new(make.render_mode.as_deref()), until_told),
        "host-cartpole" => host(address, |make| CartPole::new(make.render_mode.as_deref()), say, until_told),
        "dial-cartpole" => dial_in(address, |make| CartPole::new(make.render_mode.as_deref()), until_told),
        // An environment that dialed in, waits for an agent and does nothing.
        "wait-in-queue" => {
            let open = dial(&address.parse()?, Role::Env, &patient(), &mut Wait::new(Some(PATIENCE)))?;
            say("dialed".to_owned());
            until_told();
            drop(open);
            Ok(())
        }
        // An agent in the middle of an episode that does nothing.
        "idle-agent" => {
            let mut env = ClientEnv::connect(address, patient())?;
            env.reset(Some(7), &Value::None)?;
            say("ready".to_owned());
            until_told();
            env.close()
        }
        _ => Err(format!("there is no role {role}").into()),
    }
}

fn host<E: Env + 'static>(
    address: &str,
    make: impl Fn(&Make) -> E + Send + Sync + 'static,
    say: &dyn Fn(String),
    until_told: &dyn Fn(),
) -> Result<(), EnvError> {
    let backend = ServerBackend::bind(move |options: &Make| Ok(make(options)), address, patient())?;
    backend.start();
    say(backend.address().to_string());
    until_told();
    backend.close();
    Ok(())
}

fn dial_in<E: Env + 'static>(
    address: &str,
    make: impl Fn(&Make) -> E + Send + Sync + 'static,
    until_told: &dyn Fn(),
) -> Result<(), EnvError> {
    let backend = ClientBackend::new(move |options: &Make| Ok(make(options)), address, patient())?;
    backend.start();
    until_told();
    backend.close();
    Ok(())
}

/// How long a machine may take over something that takes no time.
pub(crate) const _SLACK: Duration = Duration::from_secs(10);
