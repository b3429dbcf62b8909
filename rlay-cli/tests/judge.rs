//! A host in Rust passes the judge, whichever side dials, and what is no host does not.

use std::{io::Write, net::TcpListener, thread, time::Duration};

use rlay::{ClientBackend, Discrete, Env, EnvError, Map, ResetResult, ServerBackend, StepResult, Value};

struct Coin {
    side: i64,
    sides: Discrete,
}

impl Env for Coin {
    type ObservationSpace = Discrete;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Discrete {
        &self.sides
    }

    fn action_space(&self) -> &Discrete {
        &self.sides
    }

    fn reset(&mut self, seed: Option<u64>, _options: &Value) -> Result<ResetResult<i64>, EnvError> {
        self.side = seed.map_or(self.side, |seed| (seed % 2) as i64);
        Ok(ResetResult { observation: self.side, info: Map::new() })
    }

    fn step(&mut self, guess: i64) -> Result<StepResult<i64>, EnvError> {
        let reward = f64::from(guess == self.side);
        Ok(StepResult { observation: self.side, reward, terminated: true, truncated: false, info: Map::new() })
    }
}

#[test]
fn a_host_that_listens_passes() {
    let coin = |_: &_| Ok(Coin { side: 0, sides: Discrete::new(2) });
    let host = ServerBackend::bind(coin, "tcp://127.0.0.1:0", rlay::host_options()).unwrap();
    host.start().unwrap();
    assert_eq!(rlay_cli::run(["rlay", "check", &host.address().to_string()]), rlay_cli::GOOD);
    assert_eq!(rlay_cli::run(["rlay", "inspect", &host.address().to_string()]), rlay_cli::GOOD);
    host.close();
}

#[test]
fn a_host_that_dials_passes() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("tcp://127.0.0.1:{port}");
    let coin = |_: &_| Ok(Coin { side: 0, sides: Discrete::new(2) });
    let options = rlay::host_options().connect_timeout(Duration::from_secs(60));
    let host = ClientBackend::new(coin, &address, options).unwrap();
    host.start().unwrap();
    assert_eq!(rlay_cli::run(["rlay", "check", "--listen", &address, "--connect-timeout", "60"]), rlay_cli::GOOD);
    host.close();
}

#[test]
fn what_is_no_host_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"));
        }
    });
    assert_eq!(rlay_cli::run(["rlay", "check", &address, "--level", "contract"]), rlay_cli::FAILED);
    assert_eq!(rlay_cli::run(["rlay", "inspect", &address, "--timeout", "1"]), rlay_cli::NO_SESSION);
}
