//! Impossible frame limits are refused before anything listens or dials; what is too long for a limit is not sent.

use rlay::{
    AgentOptions, ClientBackend, ClientEnv, Env, EnvError, Error, ErrorKind, HostOptions, Limits, ServerBackend,
    ServerEnv, Value, asynchronous,
};
use rlay_testkit::CountingEnv;

use crate::support::{PATIENCE, bounded, counting, fresh, patient};

/// Options of an agent with a frame limit of so many bytes.
fn limited(frame: usize) -> AgentOptions {
    patient().limits(Limits { frame, ..Limits::default() }).timeout(PATIENCE)
}

/// The same for a host.
fn limited_host(frame: usize) -> HostOptions {
    HostOptions::new(limited(frame).connection().clone())
}

#[test]
fn limits_that_cannot_be() {
    bounded(|| {
        let counting = |_: &_| Ok(CountingEnv::new(None));
        for frame in [0, (64 << 10) - 1, u32::MAX as usize] {
            let address = fresh("tcp");
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            for error in [
                ClientEnv::connect(&address, limited(frame)).unwrap_err(),
                ServerEnv::bind(&address, limited(frame)).unwrap_err(),
                ServerBackend::bind(counting, &address, limited_host(frame)).unwrap_err(),
                ClientBackend::new(counting, &address, limited_host(frame)).map(drop).unwrap_err(),
                runtime.block_on(asynchronous::AsyncEnv::connect(&address, &limited(frame))).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
                assert!(error.to_string().contains("from 65536 to 4294967294 in ConnectionOptions::limits"), "{error}");
            }
        }
        for frame in [64 << 10, u32::MAX as usize - 1] {
            let (backend, address) = crate::support::counting_with(&fresh("tcp"), limited_host(frame)).unwrap();
            ClientEnv::connect(&address, limited(frame)).unwrap();
            backend.close();
        }
    });
}

#[test]
fn options_that_do_not_fit_are_not_sent() {
    bounded(|| {
        let (backend, address) = counting(&fresh("tcp"))?;
        let mut env = ClientEnv::connect(&address, limited(64 << 10))?;
        let error = env.reset(None, &Value::Bytes(vec![0; 64 << 10])).unwrap_err();
        let error = error.downcast_ref::<Error>().expect("of RLay");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains("raise the frame limit at both ends"), "{error}");
        env.reset(Some(3), &Value::None)?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn what_does_not_fit_is_not_sent_in_async_code_either() {
    bounded(|| {
        let (backend, address) = counting(&fresh("tcp"))?;
        let play = async {
            let mut env = asynchronous::AsyncEnv::connect(&address, &limited(64 << 10)).await?;
            let error = env.reset(None, &Value::Bytes(vec![0; 64 << 10])).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
            env.reset(Some(3), &Value::None).await?;
            env.step(&Value::Int(1)).await?;
            env.close().await
        };
        tokio::runtime::Runtime::new().expect("a runtime").block_on(play)?;
        backend.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}
