//! A program that the agent starts: it dials in, its end is told, and it ends with the agent.

use std::{collections::HashSet, path::PathBuf, process::Command};

use rlay::{ClientEnv, Discrete, Env, ErrorKind, OnLoss, Options, ResetResult, Value};

use crate::support::{bounded, eventually, launch_command, patient};

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
        drop(env);
        eventually("the program has ended", || !is_running(first));
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
