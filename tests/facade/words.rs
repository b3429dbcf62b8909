//! Messages that made people stop: each as it reads now, and the part of it that says what to do next.

use std::fmt::Display;

/// Asserts that `message` reads as `pattern`, where … stands for any text, and says to do `advice`.
#[allow(dead_code)]
#[track_caller]
fn reads(message: impl Display, pattern: &str, advice: &str) {
    let text = message.to_string();
    assert!(matches(&text, pattern), "{text}");
    assert!(text.contains(advice), "{text:?} does not say {advice:?}");
}

fn matches(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        (rest, last) = (&rest[at + part.len()..], Some(part));
    }
    match last {
        None => rest.is_empty(),
        Some(last) => text.ends_with(last),
    }
}

#[test]
fn a_pattern_tells_texts_apart() {
    for (text, pattern, is_so) in [
        ("it broke; mend it", "it …; mend it", true),
        ("it broke; mend it", "it broke", false),
        ("it broke; mend it", "…mend …", true),
        ("it broke", "it broke", true),
        ("it broke", "they …", false),
    ] {
        assert_eq!(matches(text, pattern), is_so, "{text} {pattern}");
    }
}

// -- values, spaces, options

// -- hosting

// -- launching

#[cfg(target_os = "linux")]
mod launching {
    use std::{path::Path, time::Duration};

    use rlay::{ClientEnv, Env, Options, Value};

    use super::reads;
    use crate::support::{bounded, patient, saving_command};

    fn refused(command: &[&str]) -> String {
        let options = Options { connect_timeout: Duration::from_secs(2), ..patient() };
        ClientEnv::launch(command.iter().copied(), options).expect_err("it is none").to_string()
    }

    #[test]
    fn commands_that_are_none() {
        let directory = std::env::temp_dir().display().to_string();
        for (command, pattern, advice) in [
            ("no-such-game", "cannot launch \"no-such-game\": command not found; …", "install it, or give its path"),
            ("./no-such-game", "…: there is no such file in the working directory, …", "give the whole path"),
            ("/no/such/game", "…: there is no such file; …", "check the path"),
            (&directory, "…: it is a directory; …", "name the program in it"),
            ("/etc/passwd", "…: it is not executable; …", "chmod +x /etc/passwd"),
        ] {
            reads(refused(&[command]), pattern, advice);
        }
        for (address, pattern, advice) in [
            ("exec:", "\"exec:\" names no command, …", "as in exec:./game"),
            ("exec:./game 'a", "…a quotation mark or backslash is not closed; …", "put a backslash before one"),
        ] {
            reads(ClientEnv::connect(address, Options::default()).expect_err("it is none"), pattern, advice);
        }
    }

    #[test]
    fn programs_that_are_no_environment() {
        bounded(|| {
            for (script, pattern, advice) in [
                ("exit 0", "before it dialed in, sh -c 'exit 0' ended, but …; it printed nothing…", "by exec ./game"),
                (
                    "echo on its way; sleep 60 &",
                    "before it dialed in, sh -c … ended, and what it had put into the background …:\n  on its way…",
                    "by exec ./game without &",
                ),
                (
                    "echo loading; exec sleep 60",
                    "sh -c … did not dial in to tcp://…, which it finds in RLAY_ADDRESS; …:\n  loading\n(all of it: …)",
                    "does it host an environment, as with ClientBackend? or raise connect_timeout",
                ),
                ("echo no display; exit 3", "…ended with exit code 3; …:\n  no display\n(all of it: …)", "all of it: /"),
            ] {
                reads(refused(&["sh", "-c", script]), pattern, advice);
            }
        });
    }

    #[test]
    fn an_engine_that_was_launched() {
        bounded(|| {
            let file = std::env::temp_dir().join(format!("rlay-words-{}.saved", std::process::id()));
            let command = saving_command("launched-engine", &file);
            let mut env = ClientEnv::launch(command, patient()).expect("it dials in");
            env.reset(None, &Value::None).expect("resets");
            drop(env);
            let said = std::fs::read_to_string(&file).unwrap_or_default();
            reads(said, "tcp://…: the agent that launched this program has closed the environment; …", "end it");
            let _ = std::fs::remove_file(Path::new(&file));
        });
    }
}

// -- transports and waits
