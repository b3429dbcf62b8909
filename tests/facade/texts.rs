//! Texts of peers and environments: none acts on a terminal or forges a line of a log, and all fit a frame.

use rlay::{
    ClientBackend, ClientEnv, Discrete, Env, EnvError, EnvFailure, Error, ErrorKind, Limits, Map, RemoteEnv,
    ServerBackend, ServerEnv, StepResult, Value,
    printable::LONGEST,
    session::{AgentSession, EnvSession},
    wire::{Fault, Goodbye},
};
use rlay_testkit::CountingEnv;
use tracing::Level;

use crate::support::{Log, Stepping, bounded, fresh, patient, patient_host};

const FORGED: &str = "\x1b[2J\u{202e}\nWARN forged";
const SHOWN: &str = r"\x1b[2J\u202e";

/// Fails with a text of as many letters as its action says.
fn wordy(action: i64) -> Result<StepResult<i64>, EnvError> {
    let text = "x".repeat(action as usize);
    Err(EnvFailure { error_type: text.clone(), message: text.clone(), traceback: text }.into())
}

fn cut(env: &mut RemoteEnv) -> Result<(), EnvError> {
    env.reset(None, &Value::None)?;
    for length in [60_000, 3 << 20] {
        let error = env.step(Value::Int(length)).expect_err("it fails").downcast::<Error>()?;
        let failure = error.env_failure().expect("the environment's");
        for text in [&failure.error_type, &failure.message, &failure.traceback] {
            assert!(text.len() <= LONGEST && text.contains(" bytes left out) …x"), "{text}");
        }
        env.reset(None, &Value::None)?;
    }
    env.close()
}

#[test]
fn a_failure_that_no_frame_holds_is_cut() {
    bounded(|| {
        let limits = Limits { frame: 64 << 10, ..Limits::default() };
        let make = |_: &_| Ok(Stepping(Discrete::new(2), wordy));
        let backend = ServerBackend::bind(make, &fresh("tcp"), patient_host().limits(limits))?;
        backend.start()?;
        cut(&mut ClientEnv::connect(&backend.address().to_string(), patient())?)?;
        backend.close();

        let server = ServerEnv::bind(&fresh("tcp"), patient().limits(limits))?;
        let backend = ClientBackend::new(make, &server.address().to_string(), patient_host())?;
        backend.start()?;
        cut(&mut server.accept()?)?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_host_that_logs_what_its_environment_repeats_forges_nothing() {
    let log = Log::keep();
    bounded(|| {
        let make = |make: &rlay::wire::Make| -> Result<CountingEnv, EnvError> {
            let traceback = format!("at line 1\n{FORGED}");
            Err(EnvFailure { error_type: "ValueError".into(), message: format!("{:?}", make.kwargs), traceback }.into())
        };
        let offers = rlay::Offers { kwargs: vec!["level".into()], ..Default::default() };
        let backend = ServerBackend::bind(make, &fresh("tcp"), patient_host().offers(offers))?;
        backend.start()?;
        let kwargs = Map::from([("level", FORGED)]);
        let error = ClientEnv::connect(&backend.address().to_string(), patient().kwargs(kwargs)).unwrap_err();
        assert!(format!("{error:?}").contains(SHOWN) && !format!("{error:?}").contains(['\x1b', '\u{202e}']));
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
    let entry = log.find(Level::INFO, &["no environment was made for the agent: ValueError", "at line 1"]);
    assert!(entry.lines().skip(1).all(|line| line.starts_with("  ")), "{entry}");
    assert!(!entry.contains(['\x1b', '\u{202e}']), "{entry}");
}

#[test]
fn what_a_peer_says_is_one_line() {
    let (limits, mut frame) = (Limits::default(), vec![]);
    let message = format!("{FORGED}{}", "x".repeat(1 << 20));
    let goodbye = Goodbye { code: 0, message: message.clone() };
    let fault = |code: ErrorKind| Fault {
        code: code.code(),
        fatal: true,
        slots: rlay::wire::Slots::new(),
        failure: EnvFailure::new("", message.clone()),
    };
    let mut said = vec![fault(ErrorKind::Protocol).into_error()];
    AgentSession::new().goodbye(&goodbye, &mut frame).unwrap();
    if let Ok(rlay::session::EnvEvent::Over(error)) = EnvSession::new().handle(&frame, &limits) {
        said.push(error);
    }
    EnvSession::new().goodbye(&goodbye, &mut frame).unwrap();
    if let Ok(rlay::session::AgentEvent::Over(error)) = AgentSession::new().handle(&frame, &limits) {
        said.push(error);
    }
    assert_eq!(said.len(), 3);
    for error in said {
        let text = error.to_string();
        assert!(text.contains(&format!(r"{SHOWN}\nWARN")) && !text.contains(char::is_control), "{text}");
        assert!(text.len() <= LONGEST + 100, "{}", text.len());
    }
    let failure = fault(ErrorKind::Env).into_error().to_string();
    assert!(failure.contains(&format!("{SHOWN}\nWARN")) && !failure.contains('\x1b'), "an exception has its lines");
}
