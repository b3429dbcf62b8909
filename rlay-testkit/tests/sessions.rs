//! Whole sessions over `faulty://`: wherever the connection breaks, nothing is lost but time; and where it breaks again
//! and again, every call ends, and none with a wrong result.

use std::time::{Duration, Instant};

use rlay_core::{
    AgentOptions, ClientBackend, ClientEnv, ConnectionOptions, Discrete, Env, EnvError, Error, ErrorKind, HostOptions,
    Map, Registry, RemoteEnv, ResetResult, ServerBackend, ServerEnv, StepResult, Value,
};
use rlay_testkit::Faulty;

/// How long an agent's calls wait for another connection.
const PATIENCE: Duration = Duration::from_secs(20);

fn options(connect_timeout: u64, reconnect_timeout: Duration) -> ConnectionOptions {
    ConnectionOptions::new(Registry::default().with(Faulty))
        .connect_timeout(Duration::from_millis(connect_timeout))
        .reconnect_timeout(reconnect_timeout)
}

/// An environment with small messages, for every byte is cut: the observation tells episode, step and last action.
struct Tally {
    observations: Discrete,
    actions: Discrete,
    episode: i64,
    step: i64,
}

impl Tally {
    fn new() -> Self {
        Self { observations: Discrete::new(1000), actions: Discrete::new(10), episode: 0, step: 0 }
    }

    fn observation(&self, action: i64) -> i64 {
        100 * self.episode + 10 * self.step + action
    }
}

impl Env for Tally {
    type ObservationSpace = Discrete;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Discrete {
        &self.observations
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> {
        (self.episode, self.step) = (self.episode + 1, 0);
        Ok(ResetResult { observation: self.observation(0), info: Map::new() })
    }

    fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> {
        self.step += 1;
        let observation = self.observation(action);
        Ok(StepResult { observation, reward: 0.5, terminated: false, truncated: false, info: Map::new() })
    }
}

/// A short session; each result is compared with what the environment would have answered locally.
fn play(remote: RemoteEnv) -> Result<(), EnvError> {
    let mut local = Tally::new();
    let mut remote = remote.typed::<Discrete, Discrete>()?;
    assert_eq!(remote.reset(Some(7), &Value::None)?, local.reset(Some(7), &Value::None)?);
    assert_eq!(remote.step(3)?, local.step(3)?);
    assert_eq!(remote.step(4)?, local.step(4)?);
    remote.close()
}

/// Which side dials, over the link that fails.
#[derive(Debug, Clone, Copy)]
enum Dialer {
    Agent,
    Env,
}

/// Plays with a cut after every byte of one direction, until none of `cuts` connections breaks any more; or, if they
/// always do, until the rest of each is enough to resume the session.
fn cut_everywhere(who: Dialer, fault: &str, end: &str, cuts: Option<usize>) {
    let name = format!("faulty://session-{who:?}-{fault}-{end}-{}", cuts.unwrap_or_default());
    let (connect_timeout, reconnect_timeout) =
        if cuts.is_some() { (20_000, PATIENCE) } else { (30, Duration::from_millis(30)) };
    let options = options(connect_timeout, reconnect_timeout);
    let backend = ServerBackend::bind(|_| Ok(Tally::new()), &format!("{name}-env"), HostOptions::new(options.clone()));
    let (backend, server) =
        (backend.unwrap(), ServerEnv::bind(&format!("{name}-agent"), AgentOptions::new(options.clone())).unwrap());
    backend.start().unwrap();
    let session = |address: &str| -> Result<(), EnvError> {
        match who {
            Dialer::Agent => play(ClientEnv::connect(address, AgentOptions::new(options.clone()))?),
            Dialer::Env => {
                let only = HostOptions::new(options.clone()).max_sessions(1);
                let dialer = ClientBackend::new(|_| Ok(Tally::new()), address, only)?;
                dialer.start()?;
                let played = server.accept().map_err(EnvError::from).and_then(play);
                dialer.close();
                played
            }
        }
    };
    let listener = if let Dialer::Agent = who { format!("{name}-env") } else { format!("{name}-agent") };
    let some = cuts.map(|cuts| format!("&cuts={cuts}")).unwrap_or_default();
    let (mut whole, mut k) = (0, 0);
    while whole < 3 {
        let (start, address) = (Instant::now(), format!("{listener}?{fault}={k}&end={end}{some}"));
        match session(&address) {
            Ok(()) if cuts.is_some() && Faulty::breaks(&address) > 0 => whole = 0,
            Ok(()) => whole += 1,
            Err(error) => {
                let error = error.downcast::<Error>().expect("an error of RLay");
                assert!(cuts.is_none(), "cut after byte {k}: {error}");
                // Where no environment dials in any more, the error says so.
                let fits = matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::Timeout);
                assert!(fits, "cut after byte {k}: {error}");
                whole = 0;
            }
        }
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "cut after byte {k}: a call took {took:?}");
        // No side sends more. A machine that is too slow for so short timeouts has had every byte cut by then.
        if k == LONGEST {
            assert!(cuts.is_none(), "byte {k} is still cut");
            break;
        }
        k += 1;
    }
    // The listening side is unharmed.
    while let Err(error) = session(&listener) {
        assert!(cuts.is_none(), "{error}");
    }
    backend.close();
    server.close();
}

/// More bytes than either side of a session sends.
const LONGEST: usize = 1500;

/// A test of each way in which a connection may end, for each dialing side and each direction.
macro_rules! cut_everywhere {
    ($($name:ident: $who:ident $fault:literal $end:literal $cuts:expr;)*) => {
        $(#[test]
        fn $name() {
            cut_everywhere(Dialer::$who, $fault, $end, $cuts);
        })*
    };
}

cut_everywhere! {
    what_an_agent_that_dials_says_may_be_cut_anywhere: Agent "cut_up" "eof" Some(1);
    what_a_host_that_listens_says_may_be_cut_anywhere: Agent "cut_down" "eof" Some(1);
    what_a_host_that_dials_says_may_be_cut_anywhere: Env "cut_up" "eof" Some(1);
    what_an_agent_that_listens_says_may_be_cut_anywhere: Env "cut_down" "eof" Some(1);
    what_an_agent_that_dials_says_may_be_lost_anywhere: Agent "cut_up" "reset" Some(1);
    what_a_host_that_listens_says_may_be_lost_anywhere: Agent "cut_down" "reset" Some(1);
    what_a_host_that_dials_says_may_be_lost_anywhere: Env "cut_up" "reset" Some(1);
    what_an_agent_that_listens_says_may_be_lost_anywhere: Env "cut_down" "reset" Some(1);
    three_connections_of_an_agent_may_break_alike: Agent "cut_up" "reset" Some(3);
    three_connections_to_a_host_may_break_alike: Agent "cut_down" "reset" Some(3);
    connections_of_an_agent_that_always_break_are_an_honest_error: Agent "cut_up" "eof" None;
    connections_to_a_host_that_always_break_are_an_honest_error: Agent "cut_down" "eof" None;
    connections_of_a_host_that_always_break_are_an_honest_error: Env "cut_up" "eof" None;
    connections_to_an_agent_that_always_break_are_an_honest_error: Env "cut_down" "eof" None;
}
