//! Closing: several environments at a time, so that hosts which do not answer are waited for together.

use std::{sync::mpsc, thread};

use super::raw_env::RawEnv;
use crate::{
    cancel_token::CancelToken,
    endpoint::wait::{SLICE, Wait},
};

/// Closes environments side by side, within two seconds in all, but for programs that were launched; see
/// [`RawEnv::close`]. What the environments raise is lost. Once `wait` is over nothing is waited for but goodbyes.
pub fn close_all(envs: Vec<&mut RawEnv>, wait: &mut Wait<'_>) {
    let cancel = CancelToken::default();
    thread::scope(|scope| {
        let (open, closed) = mpsc::channel::<()>();
        for env in envs {
            let (cancel, open) = (cancel.clone(), open.clone());
            let close = move || {
                let _ = env.close(&mut Wait::default().with_cancel(&cancel));
                drop(open);
            };
            // One that cannot have a thread is left as it is.
            let _ = thread::Builder::new().name("rlay-close".into()).spawn_scoped(scope, close);
        }
        drop(open);
        while closed.recv_timeout(SLICE) == Err(mpsc::RecvTimeoutError::Timeout) {
            if wait.check_interrupts().is_err() {
                cancel.cancel();
            }
        }
    });
}
