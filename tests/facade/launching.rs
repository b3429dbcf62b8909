//! A program that the agent starts: it dials in, its end is told, and it ends with the agent.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rlay::{ClientEnv, Discrete, Env, ErrorKind, OnLoss, Options, ResetResult, Value};

use crate::support::{PATIENCE, bounded, eventually, launch_command, patient, saving_command};

/// The observation of `launched` is its process's id at first; the third step ends it with exit code 7.
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
        let options = Options { log: Some(log("plays")), ..patient() };
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
        let options = Options { log: Some(log("ends")), restarts: 1, ..patient() };
        // As an address, it is split into words again.
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
        let options = Options { log: Some(log("truncates")), restarts: 1, on_loss: OnLoss::Truncate, ..patient() };
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
        let options = Options { log: Some(log("killed")), restarts: 1, ..patient() };
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

/// Where a program saves what it has.
fn file(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("rlay-launching-{}-{name}.saved", std::process::id()));
    let _ = std::fs::remove_file(&file);
    file
}

/// What it has saved.
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
            // Where tests share a process, another one of it may have one open, and this one ends beside that.
            eventually("it has saved, and its log is gone", || file.exists() && !log.exists());
            assert_eq!(saved(&file), "saved", "{way}");
        }
    });
}

#[test]
fn an_engine_learns_that_no_other_is_wanted() {
    bounded(|| {
        let file = file("engine");
        let mut env = ClientEnv::launch(
            saving_command("launched-engine", &file),
            Options { close_timeout: PATIENCE, ..patient() },
        )
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
        let options = Options { close_timeout: Duration::ZERO, log: Some(log("deaf")), ..patient() };
        let mut env = ClientEnv::launch(command, options).expect("it dials in");
        let first = pid(&env.reset(None, &Value::None).expect("resets"));
        env.close().expect("closes");
        eventually("it has ended", || !is_running(first));
        assert_eq!(saved(&file), "saved", "it has ignored SIGTERM, and had five seconds more");
        assert!(log("deaf").exists(), "it was asked for");
        let _ = std::fs::remove_file(log("deaf"));
        let options = Options { close_timeout: Duration::ZERO, connect_timeout: Duration::from_secs(1), ..patient() };
        let error = ClientEnv::launch(launch_command("launched-dreamer"), options).expect_err("it dials nowhere");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.to_string().contains("dreaming"), "{error}");
    });
}

#[test]
fn a_timeout_tells_what_it_printed_last() {
    bounded(|| {
        // The shell says something and lets the game take its place, which is stopped then.
        let script = ["sh", "-c", "echo dozing; exec \"$@\"", "sh"].map(str::to_owned);
        let command: Vec<_> = script.into_iter().chain(launch_command("launched")).collect();
        let options = Options { timeout: Some(Duration::from_secs(1)), close_timeout: Duration::ZERO, ..patient() };
        let mut env = ClientEnv::launch(command, options).expect("it dials in");
        let first = pid(&env.reset(None, &Value::None).expect("resets"));
        let stopped = Command::new("kill").args(["-STOP", &first.to_string()]).status().expect("a command");
        assert!(stopped.success());
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
            let options = Options { log: Some(log("fails")), ..patient() };
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
