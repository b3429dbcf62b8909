//! The programs in C and C++ compile without a warning and do what they should. `RLAY_VALGRIND=1` runs them under valgrind.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rlay::{
    BoxSpace, ClientEnv, Discrete, Env, EnvError, Map, ResetResult, ServerBackend, StepResult, Value,
    wire::{Header, Hello, Kind, Role, WIRE, Writer},
};

/// How long a program may take; under valgrind it needs much of that.
const BOUND: Duration = Duration::from_secs(120);

/// Where cargo has put the library.
fn library() -> PathBuf {
    let here = std::env::current_exe().expect("a path");
    here.parent().expect("a folder").to_owned()
}

/// Compiles a program in C.
fn compile(name: &str, sources: &[PathBuf], is_static: bool) -> PathBuf {
    link(compiler("cc", C).args(sources), name, is_static)
}

/// Compiles a program in C++, with the rules of Drift in C.
fn compile_cpp(name: &str, source: &Path) -> PathBuf {
    let rules = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.o"));
    finish(compiler("cc", C).arg("-c").arg(self::source("drift.c")).arg("-o").arg(&rules));
    link(compiler("c++", CPP).arg(source).arg(rules), name, false)
}

/// How the languages are compiled, besides what `compiler` says.
const C: &[&str] = &["-std=c99", "-pedantic"];
const CPP: &[&str] = &["-std=c++17", "-Wpedantic", "-Wconversion", "-Wshadow", "-fno-exceptions", "-fno-rtti", "-O1"];

fn compiler(command: &str, language: &[&str]) -> Command {
    let mut compiler = Command::new(command);
    compiler.args(language).args(["-Wall", "-Wextra", "-Werror", "-g", "-ffp-contract=off", "-pthread"]);
    compiler.arg("-I").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"));
    compiler
}

fn finish(compiler: &mut Command) {
    let compiled = compiler.output().expect("there are compilers, cc and c++");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

fn link(compiler: &mut Command, name: &str, is_static: bool) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    compiler.arg("-o").arg(&program);
    match is_static {
        true => compiler.arg(library().join("librlay_ffi.a")).args(["-lpthread", "-ldl", "-lm", "-lgcc_s"]),
        // The name that the library has for the loader is that of an installed one.
        false => {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.lib"));
            fs::create_dir_all(&folder).expect("a folder");
            for (link, target) in
                [("librlay.so.0", library().join("librlay_ffi.so")), ("librlay.so", "librlay.so.0".into())]
            {
                let _ = fs::remove_file(folder.join(link));
                std::os::unix::fs::symlink(target, folder.join(link)).expect("a link");
            }
            compiler.arg("-L").arg(&folder).args(["-lrlay", "-lm"]).arg(format!("-Wl,-rpath,{}", folder.display()))
        }
    };
    finish(compiler);
    program
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name)
}

fn command(program: &Path) -> Command {
    if std::env::var_os("RLAY_VALGRIND").is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("valgrind");
    command
        .args([
            "--error-exitcode=99",
            "--leak-check=full",
            "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite",
            "--quiet",
        ])
        .arg(program);
    command
}

/// Ends a program whatever becomes of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end and returns what it said.
fn run(program: &Path, arguments: &[&str]) -> String {
    let mut running = Running(command(program).args(arguments).stdout(Stdio::piped()).spawn().expect("it runs"));
    let end = Instant::now() + BOUND;
    let status = loop {
        match running.0.try_wait().expect("a status") {
            Some(status) => break status,
            None if Instant::now() > end => panic!("{} does not end", program.display()),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert!(status.success(), "{}: {status}", program.display());
    std::io::read_to_string(running.0.stdout.take().expect("its output")).expect("text")
}

#[test]
fn a_wrong_caller_gets_error_codes() {
    let program = compile("misuse", &[source("misuse.c")], false);
    assert_eq!(run(&program, &[]), "all mistakes are errors\n");
}

#[test]
fn a_learner_plays_with_callbacks() {
    let program = compile("callbacks", &[source("callbacks.c")], false);
    assert_eq!(run(&program, &[]), "the learner has played\n");
}

#[test]
fn the_static_library_does_the_same() {
    let program = compile("callbacks-static", &[source("callbacks.c")], true);
    assert_eq!(run(&program, &[]), "the learner has played\n");
}

/// An environment whose episodes take two steps, or three with an odd seed. `tests/c/vectors.c` knows what it does.
struct Short {
    observation_space: (BoxSpace<u8, [u8; 3]>, Discrete),
    action_space: Discrete,
    seed: u64,
    steps: u8,
}

impl Short {
    fn observe(&self) -> ([u8; 3], i64) {
        ([self.seed as u8, self.steps, 255], (self.seed % 8) as i64)
    }
}

impl Env for Short {
    type ObservationSpace = (BoxSpace<u8, [u8; 3]>, Discrete);
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        &self.observation_space
    }

    fn action_space(&self) -> &Discrete {
        &self.action_space
    }

    fn reset(&mut self, seed: Option<u64>, _: &Value) -> Result<ResetResult<([u8; 3], i64)>, EnvError> {
        (self.seed, self.steps) = (seed.unwrap_or(self.seed), 0);
        Ok(ResetResult { observation: self.observe(), info: Map::new() })
    }

    fn step(&mut self, action: i64) -> Result<StepResult<([u8; 3], i64)>, EnvError> {
        self.steps += 1;
        let terminated = u64::from(self.steps) == 2 + self.seed % 2;
        let info = if terminated { Map::from([("steps", i64::from(self.steps))]) } else { Map::new() };
        let (observation, reward) = (self.observe(), action as f64 + 0.5);
        Ok(StepResult { observation, reward, terminated, truncated: false, info })
    }
}

#[test]
fn a_learner_plays_with_many_environments_of_a_host() -> rlay::Result<()> {
    let program = compile("vectors", &[source("vectors.c")], false);
    for address in ["tcp://127.0.0.1:0".to_owned(), format!("shm://ffi-vectors-{}", std::process::id())] {
        let make = |_: &_| {
            let observation_space = (BoxSpace::new([3], 0, 255), Discrete::new(8));
            Ok(Short { observation_space, action_space: Discrete::new(3), seed: 0, steps: 0 })
        };
        let backend = ServerBackend::bind(make, &address, rlay::host_options())?;
        backend.start()?;
        for mode in ["0", "1", "2"] {
            let said = run(&program, &[&backend.address().to_string(), mode]);
            assert_eq!(said, "the learner has played with all of them\n", "mode {mode} over {address}");
        }
        backend.close();
    }
    Ok(())
}

#[test]
fn learners_listen_for_games_that_dial() {
    let program = compile("dialing", &[source("dialing.c")], false);
    for address in ["tcp://127.0.0.1:0".to_owned(), format!("shm://ffi-dialing-{}", std::process::id())] {
        assert_eq!(run(&program, &[&address]), "all games have dialed\n", "over {address}");
    }
}

#[test]
fn a_wrong_caller_of_vector_agents_gets_error_codes() {
    let program = compile("vector_misuse", &[source("vector_misuse.c")], false);
    assert_eq!(run(&program, &[]), "all mistakes are errors\n");
}

#[test]
fn the_game_compiles() {
    let program = compile("game", &[source("game.c"), source("drift.c"), source("echo.c")], false);
    let mut game = command(&program);
    game.args(["--listen", "tcp://127.0.0.1:0"]).stdout(Stdio::piped());
    let mut running = Running(game.spawn().expect("it runs"));
    let line = first_line(&mut running);
    let address = line.strip_prefix("listening at ").expect("where it listens");
    let mut env = ClientEnv::connect(address, rlay::agent_options()).expect("it plays");
    let first = env.reset(Some(3), &Value::None).expect("an episode");
    assert_eq!(first.info["seeded"].as_bool(), Some(true));
    env.step(Value::from(1)).expect("a step");
    env.close().expect("it ends");
}

#[test]
fn a_learner_in_cpp_plays_over_three_transports() {
    let program = compile_cpp("learner", &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cpp/learner.cpp"));
    assert_eq!(run(&program, &[env!("CARGO_TARGET_TMPDIR")]), "the learner has played\n");
}

#[test]
fn both_headers_for_cpp_fit_into_one_program() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("both.cpp");
    fs::write(&path, "#include <rlay_ffi.hpp>\n#include <rlay/rlay.hpp>\n").expect("it is written");
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/cpp/include");
    finish(compiler("c++", CPP).arg("-I").arg(client).arg("-fsyntax-only").arg(path));
}

/// Writes a block of code of the README into a file.
fn block(language: &str, index: usize, name: &str) -> PathBuf {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let fence = format!("```{language}\n");
    let code = readme.split(&fence).nth(index + 1).and_then(|rest| rest.split("```").next()).expect("a block of code");
    assert!(code.lines().count() < 40, "{} lines", code.lines().count());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{language}"));
    fs::write(&path, code).expect("it is written");
    path
}

/// The first environment of the README, listening at a Unix socket, whose path comes with it.
fn first(name: &str) -> (Running, PathBuf) {
    listening(name, compile(name, &[block("c", 0, name)], false))
}

fn listening(name: &str, program: PathBuf) -> (Running, PathBuf) {
    let socket = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let mut command = command(&program);
    command.arg(format!("unix://{}", socket.display())).stdout(Stdio::piped());
    (Running(command.spawn().expect("it runs")), socket)
}

/// Plays a step with it.
fn guess((mut running, socket): (Running, PathBuf)) {
    let options = rlay::agent_options().connect_timeout(BOUND / 2);
    let env = ClientEnv::connect(&format!("unix://{}", socket.display()), options).unwrap_or_else(|error| {
        let status = running.0.try_wait();
        let _ = running.0.kill();
        let said = running.0.stdout.take().map(std::io::read_to_string);
        panic!("{error}; the program: {status:?}, {said:?}")
    });
    let mut env = env.typed::<Discrete, Discrete>().expect("its spaces");
    let side = env.reset(Some(7), &Value::None).expect("an episode").observation;
    assert_eq!(side, 1);
    let step = env.step(side).expect("a step");
    assert!(step.reward == 1.0 && step.terminated);
    env.close().expect("it ends");
}

#[test]
fn the_first_environment_of_the_readme_plays() {
    guess(first("first"));
}

/// A coin that shows its side, and ends its episode with the first guess.
struct Coin(Discrete, i64);

impl Env for Coin {
    type ObservationSpace = Discrete;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Discrete {
        &self.0
    }

    fn action_space(&self) -> &Discrete {
        &self.0
    }

    fn reset(&mut self, seed: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> {
        self.1 = seed.map_or(self.1, |seed| (seed % 2) as i64);
        Ok(ResetResult { observation: self.1, info: Map::new() })
    }

    fn step(&mut self, guess: i64) -> Result<StepResult<i64>, EnvError> {
        let reward = f64::from(guess == self.1);
        Ok(StepResult { observation: self.1, reward, terminated: true, truncated: false, info: Map::new() })
    }
}

#[test]
fn the_learner_of_the_readme_plays() -> rlay::Result<()> {
    let make = |_: &_| Ok(Coin(Discrete::new(2), 0));
    let backend = ServerBackend::bind(make, "tcp://127.0.0.1:0", rlay::host_options())?;
    backend.start()?;
    // Every other step begins an episode.
    let said = run(&compile("learner-c", &[block("c", 2, "learner-c")], false), &[&backend.address().to_string()]);
    assert_eq!(said, "\nreward 400\n");
    backend.close();
    Ok(())
}

#[test]
fn the_environment_and_the_learner_of_the_readme_in_cpp_play() {
    let (running, socket) = listening("coin", compile_cpp("coin", &block("cpp", 0, "coin")));
    let end = Instant::now() + BOUND / 2;
    while !socket.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let learner = compile_cpp("repeat", &block("cpp", 1, "repeat"));
    assert_eq!(run(&learner, &[&format!("unix://{}", socket.display())]), "return 100 \n");
    guess((running, socket));
}

#[test]
fn peers_that_leave_before_they_are_answered_do_not_end_the_program() {
    let (running, socket) = first("left");
    let mut hello = Vec::new();
    Header { kind: Kind::Hello, seq: 0, ack: 0, re: 0 }.begin(&mut hello);
    let (wire_min, wire_max, max_frame, peer) = (WIRE, WIRE, 1 << 20, String::new());
    Hello { wire_min, wire_max, role: Role::Agent, auth: 0, features: 0, max_frame, peer, nonce: None, resume: None }
        .put(&mut Writer(&mut hello));
    let hello = [&(hello.len() as u32).to_le_bytes()[..], &hello].concat();
    let end = Instant::now() + BOUND / 2;
    for _ in 0..100 {
        // A write to a socket whose peer is gone raises SIGPIPE, which a program in C does not ignore by itself.
        let mut peer = loop {
            match std::os::unix::net::UnixStream::connect(&socket) {
                Ok(peer) => break peer,
                Err(error) if Instant::now() > end => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        std::io::Write::write_all(&mut peer, &hello).expect("it is written");
    }
    guess((running, socket));
}

/// The first line of a program's output.
fn first_line(running: &mut Running) -> String {
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
    line.trim().to_owned()
}

/// Agents of a host are killed amid its writes, which raise SIGPIPE over some transports. The host leaves that signal
/// at its default, which ends a program.
fn survive(name: &str, address: &str) {
    let program = compile(&format!("sigpipe-{name}"), &[source("sigpipe.c")], false);
    let start = |arguments: [&str; 2]| {
        Running(command(&program).args(arguments).stdout(Stdio::piped()).spawn().expect("it runs"))
    };
    let mut host = start(["host", address]);
    let address = first_line(&mut host);
    for pause in [0, 1, 2, 5, 10, 20] {
        let mut agent = start(["agent", &address]);
        assert_eq!(first_line(&mut agent), "playing");
        std::thread::sleep(Duration::from_millis(pause));
        drop(agent);
    }
    assert_eq!(run(&program, &["last", &address]), "playing\n", "{:?}", host.0.try_wait());
    assert!(host.0.try_wait().expect("a status").is_none(), "the host over {address} has ended");
}

macro_rules! agents_that_are_killed {
    ($($name:ident: $address:expr;)*) => {
        mod agents_that_are_killed_do_not_end_a_host_over {
            $(#[test]
            fn $name() {
                super::survive(stringify!($name), &$address);
            })*
        }
    };
}

fn local(name: &str) -> String {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id())).display().to_string()
}

agents_that_are_killed! {
    tcp: "tcp://127.0.0.1:0";
    tls: "tls://127.0.0.1:0";
    unix: format!("unix://{}", super::local("killed"));
    zmq: "zmq://127.0.0.1:0";
    zmq_ipc: format!("zmq+ipc://{}", super::local("killed-zmq"));
    quic: "quic://127.0.0.1:0";
    ws: "ws://127.0.0.1:0";
    wss: "wss://127.0.0.1:0";
    shm: format!("shm://ffi-killed-{}", std::process::id());
}

#[test]
fn an_installed_library_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prefix");
    // What cargo has built for this test takes the place of what install.sh builds.
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("built");
    fs::create_dir_all(built.join("release")).expect("a folder");
    for name in ["librlay_ffi.so", "librlay_ffi.a"] {
        fs::copy(library().join(name), built.join("release").join(name)).expect("a copy");
    }
    let mut install = Command::new(root.join("install.sh"));
    let installed = install.arg(&prefix).arg("--no-build").env("CARGO_TARGET_DIR", &built).output().expect("it runs");
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let mut packages = Command::new("pkg-config");
    packages.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(["--cflags", "--libs", "rlay"]);
    let flags = String::from_utf8(packages.output().expect("there is pkg-config").stdout).expect("text");
    let program = prefix.join("callbacks");
    let mut cc = Command::new("cc");
    cc.arg("-std=c99").arg(source("callbacks.c")).arg("-o").arg(&program).args(flags.split_whitespace());
    finish(cc.arg("-pthread").arg(format!("-Wl,-rpath,{}/lib", prefix.display())));
    assert!(prefix.join("include/rlay_ffi.hpp").exists());
    assert_eq!(run(&program, &[]), "the learner has played\n");
}
