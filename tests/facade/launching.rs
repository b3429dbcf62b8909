//! A program that the agent starts: it dials in, its end is reported, and it ends with the agent.

use std::{
    collections::HashSet,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rlay::{
    ClientEnv, Discrete, Env, ErrorKind, OnLoss, ResetResult, Token, Value,
    endpoint::{Wait, dial},
    wire::Role,
};

use crate::support::{PATIENCE, bounded, eventually, launch_command, patient, saving_command};

/// The observation of `launched` is at first its process's id; the third step ends the process with exit code 7.
fn pid(result: &ResetResult<Value>) -> i64 {
    result.observation.as_i64().expect("a number")
}

fn is_running(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn log(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rlay-launching-{}-{name}.log", std::process::id()))
}

#[test]
fn a_launched_program_is_an_environment() {
    bounded(|| {
        let options = patient().log(log("plays"));
        let mut env = ClientEnv::launch(launch_command("launched"), options).expect("it dials in");
        let first = pid(&env.reset(None, &Value::None).expect("resets"));
        assert!(is_running(first));
        let step = env.step(Value::Int(1)).expect("steps");
        assert_eq!(step.observation.as_i64(), Some(1));
        assert_eq!(env.log(), Some(log("plays").as_path()));
        drop(env);
        assert!(!is_running(first), "it is waited for");
        let _ = std::fs::remove_file(log("plays"));
    });
}

#[test]
fn its_end_is_told_and_it_is_launched_again() {
    bounded(|| {
        let options = patient().log(log("ends")).restarts(1);
        // As part of an address, the command is split into words again.
        let command = launch_command("launched").iter().map(|word| format!("'{word}' ")).collect::<String>();
        let mut env = ClientEnv::connect(&format!("exec:{command}"), options).expect("it dials in");
        let mut seen = HashSet::new();
        for _ in 0..2 {
            seen.insert(pid(&env.reset(None, &Value::None).expect("resets")));
            env.step(Value::Int(0)).expect("steps");
            env.step(Value::Int(0)).expect("steps");
            let error = env.step(Value::Int(0)).expect_err("it ends").to_string();
            assert!(error.contains("ended with exit code 7") && error.contains("no more coins"), "{error}");
        }
        assert_eq!(seen.len(), 2, "two processes");
        let error = env.reset(None, &Value::None).expect_err("as often as it was allowed").to_string();
        assert!(error.contains("exit code 7"), "{error}");
        assert!(std::fs::read_to_string(log("ends")).expect("a log").contains("no more coins"));
        let _ = std::fs::remove_file(log("ends"));
    });
}

#[test]
fn its_end_may_end_the_episode_alone() {
    bounded(|| {
        let options = patient().log(log("truncates")).restarts(1).on_loss(OnLoss::Truncate);
        let env = ClientEnv::launch(launch_command("launched"), options).expect("it dials in");
        let mut env = env.typed::<Discrete, Discrete>().expect("its spaces");
        let mut seen = HashSet::new();
        for _ in 0..2 {
            seen.insert(env.reset(None, &Value::None).expect("resets").observation);
            env.step(0).expect("steps");
            let last = env.step(0).expect("steps").observation;
            let end = env.step(0).expect("the episode ends");
            assert_eq!((end.observation, end.reward, end.terminated, end.truncated), (last, 0.0, false, true));
            let Some(Value::Str(why)) = end.info.get("lost") else { panic!("{:?}", end.info) };
            assert!(why.contains("ended with exit code 7") && why.contains("no more coins"), "{why}");
        }
        assert_eq!(seen.len(), 2, "two processes");
        let error = env.reset(None, &Value::None).expect_err("as often as it was allowed").to_string();
        assert!(error.contains("exit code 7"), "{error}");
        let _ = std::fs::remove_file(log("truncates"));
    });
}

#[test]
fn a_reset_launches_a_killed_program_again_at_once() {
    bounded(|| {
        let options = patient().log(log("killed")).restarts(1);
        let mut env = ClientEnv::launch(launch_command("launched"), options).expect("it dials in");
        let first = pid(&env.reset(None, &Value::None).expect("resets"));
        let killed = Command::new("kill").args(["-KILL", &first.to_string()]).status().expect("a command");
        assert!(killed.success());
        let second = pid(&env.reset(None, &Value::None).expect("goes on"));
        assert_ne!(first, second);
        env.step(Value::Int(0)).expect("steps");
        env.close().expect("closes");
        let _ = std::fs::remove_file(log("killed"));
    });
}

/// Where a program saves its state.
fn file(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("rlay-launching-{}-{name}.saved", std::process::id()));
    let _ = std::fs::remove_file(&file);
    file
}

/// The saved state.
fn saved(file: &Path) -> String {
    let saved = std::fs::read_to_string(file).unwrap_or_default();
    let _ = std::fs::remove_file(file);
    saved
}

#[test]
fn what_it_does_at_its_end_is_waited_for() {
    bounded(|| {
        for way in ["close", "drop"] {
            let file = file(way);
            let command = saving_command("launched-saver", &file);
            let mut env = ClientEnv::launch(command, patient()).expect("it dials in");
            env.reset(None, &Value::None).expect("resets");
            let log = env.log().expect("it has one").to_path_buf();
            assert!(log.exists());
            if way == "close" {
                env.close().expect("closes");
            }
            drop(env);
            // Where tests share a process, another test may have an environment open, and this one ends beside that.
            eventually("it has saved, and its log is gone", || file.exists() && !log.exists());
            assert_eq!(saved(&file), "saved", "{way}");
        }
    });
}

#[test]
fn an_engine_learns_that_no_other_is_wanted() {
    bounded(|| {
        let file = file("engine");
        let mut env = ClientEnv::launch(saving_command("launched-engine", &file), patient().close_timeout(PATIENCE))
            .expect("it dials in");
        env.reset(None, &Value::None).expect("resets");
        env.close().expect("closes");
        eventually("it has saved", || file.exists());
        let why = saved(&file);
        assert!(why.contains("the agent that launched this program has closed the environment"), "{why}");
    });
}

#[test]
fn programs_end_side_by_side() {
    bounded(|| {
        let files: Vec<_> = (0..5).map(|number| file(&format!("beside-{number}"))).collect();
        let launch = |file: &PathBuf| ClientEnv::launch(saving_command("launched-saver", file), patient());
        let mut envs: Vec<_> = files.iter().map(|file| launch(file).expect("it dials in")).collect();
        envs.iter_mut().for_each(|env| drop(env.reset(None, &Value::None).expect("resets")));
        let began = Instant::now();
        envs.iter_mut().for_each(|env| env.close().expect("closes"));
        eventually("all have saved", || files.iter().all(|file| file.exists()));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2) * 5, "they end one after the other, in {took:?}");
        assert!(files.iter().all(|file| saved(file) == "saved"));
    });
}

#[test]
fn one_that_does_not_end_is_ended() {
    bounded(|| {
        let file = file("deaf");
        let deaf = ["sh", "-c", "trap '' TERM; exec \"$@\"", "sh"].map(str::to_owned);
        let command: Vec<_> = deaf.into_iter().chain(saving_command("launched-saver", &file)).collect();
        let options = patient().close_timeout(Duration::ZERO).log(log("deaf"));
        let mut env = ClientEnv::launch(command, options).expect("it dials in");
        let first = pid(&env.reset(None, &Value::None).expect("resets"));
        env.close().expect("closes");
        eventually("it has ended", || !is_running(first));
        assert_eq!(saved(&file), "saved", "it has ignored SIGTERM, and had five seconds more");
        assert!(log("deaf").exists(), "it was asked for");
        let _ = std::fs::remove_file(log("deaf"));
        let options = patient().close_timeout(Duration::ZERO).connect_timeout(Duration::from_secs(1));
        let error = ClientEnv::launch(launch_command("launched-dreamer"), options).expect_err("it dials nowhere");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.to_string().contains("dreaming"), "{error}");
    });
}

/// Whether a signal to stop has reached every thread of a process.
fn stands_still(pid: i64) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

#[test]
fn a_timeout_tells_what_it_printed_last() {
    bounded(|| {
        // The shell prints a line and then execs the game, which is stopped then.
        let script = ["sh", "-c", "echo dozing; exec \"$@\"", "sh"].map(str::to_owned);
        let command: Vec<_> = script.into_iter().chain(launch_command("launched")).collect();
        let options = patient().timeout(Duration::from_secs(1)).close_timeout(Duration::ZERO);
        let mut env = ClientEnv::launch(command, options).expect("it dials in");
        let first = pid(&env.reset(None, &Value::None).expect("resets"));
        let stopped = Command::new("kill").args(["-STOP", &first.to_string()]).status().expect("a command");
        assert!(stopped.success());
        eventually("all its threads stand still", || stands_still(first));
        let error = env.step(Value::Int(0)).expect_err("it stands still").to_string();
        let log = env.log().expect("it was launched").display().to_string();
        assert!(error.contains("dozing") && error.contains(&log) && error.contains("late() fetches it"), "{error}");
        env.close().expect("closes");
        eventually("it has ended", || !is_running(first));
        let _ = std::fs::remove_file(log);
    });
}

#[test]
fn a_program_that_is_none_or_does_not_dial_in_is_an_error() {
    bounded(|| {
        let launch = |command: &[&str]| {
            let options = patient().log(log("fails"));
            ClientEnv::launch(command.iter().copied(), options).expect_err("it fails")
        };
        let error = launch(&["./no-such-program"]);
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        let error = launch(&["sh", "-c", "echo the disk is missing >&2; kill -SEGV $$"]);
        assert_eq!(error.kind(), ErrorKind::ConnectionLost);
        let error = error.to_string();
        assert!(error.contains("before it dialed in") && error.contains("killed by SIGSEGV"), "{error}");
        assert!(error.contains("the disk is missing"), "{error}");
        let _ = std::fs::remove_file(log("fails"));
    });
}

/// Writes the address to dial to `file`, and runs `command` once the file is removed.
fn gated(file: &Path, command: Vec<String>) -> Vec<String> {
    const SCRIPT: &str = "echo $RLAY_ADDRESS > $0.new; mv $0.new $0; while [ -e $0 ]; do sleep 0.02; done; exec \"$@\"";
    let start = ["sh", "-c", SCRIPT, &file.display().to_string()].map(str::to_owned);
    start.into_iter().chain(command).collect()
}

#[test]
fn nobody_else_becomes_the_environment() {
    bounded(|| {
        let file = file("gate");
        let command = gated(&file, launch_command("launched"));
        let launching = thread::spawn(move || ClientEnv::launch(command, patient().token(None)));
        eventually("it is told where to dial", || file.exists());
        let address = std::fs::read_to_string(&file).expect("an address").trim().parse().expect("an address");
        for token in [None, Some(Token::new("a guess of somebody's").expect("long enough"))] {
            let options = patient().token(token);
            let dialed = dial(&address, Role::Env, options.connection(), &mut Wait::new(Some(PATIENCE))).map(drop);
            assert_eq!(dialed.expect_err("it is not the program").kind(), ErrorKind::Unauthorized);
        }
        std::fs::remove_file(&file).expect("it is there");
        let mut env = launching.join().expect("it does not panic").expect("it dials in");
        assert!(is_running(pid(&env.reset(None, &Value::None).expect("resets"))));
    });
}

#[test]
fn one_that_dials_without_the_token_is_told_of() {
    bounded(|| {
        let without = |then: &str| {
            let script = format!("unset RLAY_TOKEN; \"$@\"; {then}");
            let start = ["sh", "-c", &script, "sh"].map(str::to_owned);
            let command: Vec<_> = start.into_iter().chain(launch_command("launched")).collect();
            let (token, connect_timeout) = (None, Duration::from_secs(3));
            let options = patient().token(token).connect_timeout(connect_timeout).close_timeout(Duration::ZERO);
            ClientEnv::launch(command, options).expect_err("it is not admitted")
        };
        for (then, kind) in [("exit 3", ErrorKind::ConnectionLost), ("exec sleep 60", ErrorKind::Timeout)] {
            let error = without(then);
            assert_eq!(error.kind(), kind, "{error}");
            let error = error.to_string();
            assert!(error.contains("dialed without the launch's token") && error.contains("RLAY_TOKEN"), "{error}");
            // The program received the goodbye, too.
            assert!(error.contains("a token is needed here"), "{error}");
        }
    });
}

#[test]
fn its_log_is_nobody_elses() {
    bounded(|| {
        let launch = || ClientEnv::launch(launch_command("launched"), patient()).expect("it dials in");
        let envs = [launch(), launch()];
        let logs = envs.each_ref().map(|env| env.log().expect("it has one").to_path_buf());
        let folders = logs.each_ref().map(|log| log.parent().expect("a folder").to_path_buf());
        for (log, folder) in logs.iter().zip(&folders) {
            assert_eq!(log.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
            assert_eq!(folder.metadata().expect("it is there").permissions().mode() & 0o777, 0o700);
            let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(name.len() > 40, "{name} can be foretold");
        }
        assert_ne!(folders[0], folders[1]);
        drop(envs);
        eventually("nothing is left of them", || !folders.iter().any(|folder| folder.exists()));
    });
}

#[test]
fn a_log_that_is_none_of_this_users_files_is_refused() {
    let folder = std::env::temp_dir().join(format!("rlay-launching-{}-logs", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("a folder");
    let at = |name: &str| folder.join(name);
    assert!(Command::new("mkfifo").arg(at("fifo")).status().expect("a command").success());
    assert!(Command::new("mkfifo").arg(at("read")).status().expect("a command").success());
    let _reader = std::fs::File::options().read(true).write(true).open(at("read")).expect("opens");
    std::fs::write(at("own"), "before\n").expect("writes");
    std::os::unix::fs::symlink(at("own"), at("link")).expect("links");
    std::fs::write(at("precious"), "").expect("writes");
    std::fs::hard_link(at("precious"), at("hard")).expect("links");
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("binds");
    std::fs::write(at("theirs"), "").expect("writes");
    // Only root can give a file away.
    let is_given = std::os::unix::fs::chown(at("theirs"), Some(65534), None).is_ok();
    let mut rows = vec![
        ("fifo", "it is a FIFO"),
        ("read", "it is a FIFO"),
        ("link", "it is a link"),
        ("hard", "a hard link"),
        ("socket", "it is a socket"),
        ("", "it is a directory"),
    ];
    if is_given {
        rows.push(("theirs", "it is a file of user 65534"));
    }
    for (name, why) in rows {
        let log = at(name);
        bounded(move || {
            let began = Instant::now();
            let options = patient().log(log.clone()).connect_timeout(Duration::from_secs(1));
            let error = ClientEnv::launch(["sleep", "60"], options).expect_err("it cannot be the log");
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
            let error = error.to_string();
            assert!(error.contains(why) && error.contains(&log.display().to_string()), "{error}");
            assert!(began.elapsed() < Duration::from_secs(10), "it waits");
        });
    }
    assert_eq!(std::fs::read_to_string(at("own")).expect("a file"), "before\n");
    std::fs::remove_dir_all(&folder).expect("it is there");
}

/// How many threads read the output of programs, and how many ends of pipes this process has.
#[cfg(target_os = "linux")]
fn held() -> (usize, usize) {
    let names = |folder: &str, name: &str| {
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        entries
            .map(|entry| {
                std::fs::read_link(entry.path()).map_or_else(
                    |_| std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default(),
                    |path| path.display().to_string(),
                )
            })
            .filter(|found| found.starts_with(name))
            .count()
    };
    (names("/proc/self/task", "rlay-output"), names("/proc/self/fd", "pipe:"))
}

#[test]
#[cfg(target_os = "linux")]
fn what_it_leaves_behind_costs_nothing() {
    bounded(|| {
        let before = held();
        // A process outside the program's process group is not ended with it.
        let start = ["sh", "-c", "setsid sleep 50 & exec \"$@\"", "sh"].map(str::to_owned);
        let command: Vec<_> = start.into_iter().chain(launch_command("launched")).collect();
        let mut env = ClientEnv::launch(command, patient()).expect("it dials in");
        env.reset(None, &Value::None).expect("resets");
        let log = env.log().expect("it was launched").to_path_buf();
        let during = held();
        assert!(during.0 > before.0 && during.1 > before.1, "{before:?} {during:?}");
        env.close().expect("closes");
        drop(env);
        eventually("its output is given up", || held() == before);
        assert!(log.exists(), "a warning has named it");
        std::fs::remove_dir_all(log.parent().expect("a folder")).expect("it is there");
    });
}
