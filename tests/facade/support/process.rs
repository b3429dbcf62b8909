//! The other side in another process: this test binary, run again to play a role.

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write, stdin, stdout},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use rlay::{
    ClientBackend, ClientEnv, Discrete, Env, EnvError, ErrorKind, Map, Metadata, PolledEnv, ResetResult, ServerBackend,
    Turn, Value,
    endpoint::{Wait, dial},
    wire::{Make, Role},
};
use rlay_testkit::CountingEnv;

use super::{Gate, Gated, HOLD, Mortal, PATIENCE, eventually, patient, patient_host};
use crate::cartpole::CartPole;

/// Tells the other process which role to play, at which address.
const ROLE: &str = "RLAY_TEST_ROLE";
/// Tells a program that is launched where to save.
const FILE: &str = "RLAY_TEST_FILE";
/// Sends a line to the test.
type Say = Arc<dyn Fn(String) + Send + Sync>;

/// Starts the lines that are meant for the test, among those of the test harness.
const MARK: char = '@';

/// A process that plays a role, or a thread that does. Dropping this kills the process.
pub(crate) struct Process {
    child: Option<Child>,
    /// Dropping the sender ends a thread.
    _stop: Option<Sender<()>>,
    lines: Receiver<String>,
    address: String,
}

impl Process {
    /// Starts `role` at `address`; over `mem`, which cannot leave this process, on a thread.
    pub(crate) fn start(scheme: &str, role: &str, address: &str) -> Self {
        if scheme == "mem" { Self::thread(role, address) } else { Self::other(role, address) }
    }

    fn thread(role: &str, address: &str) -> Self {
        let ((say, lines), (stop, until)) = (channel(), channel::<()>());
        let there = address.to_owned();
        let (role, address) = (role.to_owned(), address.to_owned());
        thread::spawn(move || {
            let say: Say = Arc::new(move |line| drop(say.send(line)));
            let result = play(&role, &address, &say, &move || {
                let _ = until.recv(); // an error, when the sender is dropped
            });
            result.unwrap_or_else(|error| panic!("{role} at {address}: {error}"));
        });
        Self { child: None, _stop: Some(stop), lines, address: there }
    }

    /// Starts `role` in another process.
    pub(crate) fn other(role: &str, address: &str) -> Self {
        Self::run(Command::new(env::current_exe().expect("a test binary has a path")), role, address)
    }

    /// The same after a shell command, such as `ulimit -n 64`.
    pub(crate) fn after(shell: &str, role: &str, address: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")]).arg(env::current_exe().expect("it has a path"));
        Self::run(command, role, address)
    }

    fn run(mut command: Command, role: &str, address: &str) -> Self {
        let mut child = command
            .args(["--exact", "support::process::another_process", "--nocapture"])
            .env(ROLE, format!("{role} {address}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (say, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK) {
                    let _ = say.send(line.to_owned());
                }
            }
        });
        Self { child: Some(child), _stop: None, lines, address: address.to_owned() }
    }

    /// The next line that the process sends.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the other side says something")
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops the process as Ctrl-Z does: it exists, but does nothing.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Resumes the process.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it is a process").id();
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // A process that is killed leaves its socket file behind.
        if let Some(path) = self.address.strip_prefix("unix://") {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The command by which this test binary plays `role` at the address that it is launched with.
pub(crate) fn launch_command(role: &str) -> Vec<String> {
    let program = env::current_exe().expect("a test binary has a path").display().to_string();
    let role = format!("{ROLE}={role} {}", rlay::endpoint::ADDRESS_VARIABLE);
    ["env", &role, &program, "--exact", "support::process::another_process", "--nocapture"].map(str::to_owned).to_vec()
}

/// The same for a program that saves to `file`.
pub(crate) fn saving_command(role: &str, file: &Path) -> Vec<String> {
    let mut command = launch_command(role);
    command.insert(1, format!("{FILE}={}", file.display()));
    command
}

/// Not a test: the code of a process that was started by [`Process::other`].
#[test]
#[allow(clippy::print_stdout)]
fn another_process() {
    let Ok(role) = env::var(ROLE) else { return };
    let (role, address) = role.split_once(' ').expect("a role and an address");
    let say: Say = Arc::new(|line| {
        println!("\n{MARK}{line}"); // the harness may not have ended its line
        let _ = stdout().flush();
    });
    let until_told = || drop(stdin().read_to_end(&mut Vec::new()));
    play(role, address, &say, &until_told).unwrap_or_else(|error| panic!("{role} at {address}: {error}"));
}

/// Plays `role` at `address` until `until_told` returns.
fn play(role: &str, address: &str, say: &Say, until_told: &dyn Fn()) -> Result<(), EnvError> {
    match role {
        "host-counting" => host(address, |make| CountingEnv::new(make.render_mode.as_deref()), say, until_told),
        "dial-counting" => dial_in(address, |make| CountingEnv::new(make.render_mode.as_deref()), until_told),
        "host-cartpole" => host(address, |make| CartPole::new(make.render_mode.as_deref()), say, until_told),
        "dial-cartpole" => dial_in(address, |make| CartPole::new(make.render_mode.as_deref()), until_told),
        "host-stuck" => host(address, stuck(say.clone()), say, until_told),
        "dial-stuck" => dial_in(address, stuck(say.clone()), until_told),
        "launched" => Ok(ClientBackend::new(|_| Ok(Mortal::default()), &env::var(address)?, patient_host())?.run()?),
        // Takes two seconds to save its state, once its agent needs it no more.
        "launched-saver" => {
            ClientBackend::new(|_| Ok(Mortal::default()), &env::var(address)?, patient_host())?.run()?;
            thread::sleep(Duration::from_secs(2));
            Ok(std::fs::write(env::var(FILE)?, "saved")?)
        }
        // The same role with a loop of its own.
        "launched-engine" => {
            let (spaces, address) = (Discrete::new(1000), env::var(address)?);
            let mut engine = PolledEnv::new(spaces, Discrete::new(2), &Metadata::default(), &address, patient_host())?;
            let why = loop {
                match engine.turn(Duration::from_millis(100)) {
                    Ok(Some(Turn::Reset { .. })) => {
                        engine.reply_reset(&ResetResult { observation: 0, info: Map::new() })?;
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Closed => break error,
                    Err(error) => return Err(error.into()),
                }
            };
            Ok(std::fs::write(env::var(FILE)?, why.to_string())?)
        }
        // Reports this, and does not dial in.
        "launched-dreamer" => {
            say("dreaming".to_owned());
            until_told();
            thread::sleep(PATIENCE);
            Ok(())
        }
        // An environment that dialed in, waits for an agent and does nothing.
        "wait-in-queue" => {
            let open = dial(&address.parse()?, Role::Env, patient().connection(), &mut Wait::new(Some(PATIENCE)))?;
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
        // An agent in the middle of a step that is blocked.
        "stepping-agent" => {
            let mut env = ClientEnv::connect(address, patient())?;
            env.reset(None, &Value::None)?;
            env.step(Value::Int(HOLD))?;
            env.close()
        }
        // Asks for threads and descriptors where there are none, and reports how that failed.
        "refused" => refused(address, say),
        "refused-descriptors" => {
            let mut held = Vec::new();
            let last = loop {
                match File::open("/dev/null") {
                    Ok(file) => held.push(file),
                    Err(error) => break error,
                }
            };
            say(format!("{last}"));
            refused(address, say)
        }
        _ => Err(format!("there is no role {role}").into()),
    }
}

/// Has each endpoint ask for what the system refuses, and reports the kind of each error and that of its cause.
fn refused(address: &str, say: &Say) -> Result<(), EnvError> {
    let options = patient().connect_timeout(Duration::from_millis(300));
    let bound = ServerBackend::bind(|_| Ok(Mortal::default()), "tcp://127.0.0.1:0", patient_host()).map(drop);
    let launched = ClientEnv::launch(["true"], options.clone()).map(drop);
    let dialed = ClientEnv::connect(address, options).map(drop);
    for refused in [bound, launched, dialed] {
        let error = refused.expect_err("it has too little");
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let code = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        say(format!("{:?} {code:?}", error.kind()));
    }
    say("done".to_owned());
    Ok(())
}

/// Makes environments that report when they are blocked, for ever.
fn stuck(say: Say) -> impl Fn(&Make) -> Gated + Send + Sync + 'static {
    move |_| {
        let gate = Gate::default();
        let (visited, say) = (gate.clone(), say.clone());
        thread::spawn(move || {
            eventually("the env is held up", || visited.visits() == 1);
            say("stuck".to_owned());
        });
        Gated { env: CountingEnv::new(None), gate }
    }
}

fn host<E: Env + 'static>(
    address: &str,
    make: impl Fn(&Make) -> E + Send + Sync + 'static,
    say: &Say,
    until_told: &dyn Fn(),
) -> Result<(), EnvError> {
    let backend = ServerBackend::bind(move |options: &Make| Ok(make(options)), address, patient_host())?;
    backend.start()?;
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
    let backend = ClientBackend::new(move |options: &Make| Ok(make(options)), address, patient_host())?;
    backend.start()?;
    until_told();
    backend.close();
    Ok(())
}
