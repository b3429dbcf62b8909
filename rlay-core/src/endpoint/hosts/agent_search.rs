//! The search for the agent of a polled session, on a thread of its own: it dials, or waits for a dialer.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{
    address::Address,
    bridge::timeout,
    cancel_token::CancelToken,
    endpoint::{
        accept::acceptor::Acceptor,
        connect::connection::Connection,
        connect::dial::{dial, dial_next},
        options::ConnectionOptions,
        wait::{Notice, Wait},
    },
    error::{Error, ErrorKind, Result},
    wire::Role,
};

/// The deadline of callers that give none.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where the connections of a session come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Dialed(Address),
    Accepted(Arc<Acceptor>),
}

/// What comes of a search.
pub(super) enum News {
    /// Something to tell people: a warning, or not.
    Notice(bool, String),
    /// The search is over.
    Found(Result<Box<Connection>>),
}

/// A search that is under way.
#[derive(Debug)]
pub(super) struct AgentSearch {
    news: mpsc::Receiver<News>,
    cancel: CancelToken,
}

impl AgentSearch {
    /// Begins after `pause`. `is_first` says that no agent had the session yet.
    pub(super) fn begin(origin: Origin, options: ConnectionOptions, pause: Duration, is_first: bool) -> Result<Self> {
        let (sender, news) = mpsc::channel();
        let cancel = CancelToken::default();
        let canceled = cancel.clone();
        let run = move || {
            let mut notice = |notice: Notice<'_>| {
                let (is_warning, text) = match notice {
                    Notice::Warning(text) => (true, text),
                    Notice::Info(text) => (false, text),
                };
                let _ = sender.send(News::Notice(is_warning, text.to_owned()));
            };
            let mut wait = Wait::new(None).with_cancel(&canceled).with_notices(&mut notice);
            let found = wait.sleep(pause).and_then(|()| match &origin {
                Origin::Accepted(acceptor) => acceptor.next_repeating(&mut wait, |_| ()),
                Origin::Dialed(address) if is_first => dial(address, Role::Env, &options, &mut wait),
                Origin::Dialed(address) => dial_next(address, &options, &mut wait),
            });
            let _ = sender.send(News::Found(found.map(Box::new)));
        };
        let spawned = thread::Builder::new().name("rlay-dial".into()).spawn(run);
        spawned.map_err(Error::no_thread)?;
        Ok(Self { news, cancel })
    }

    /// The next news; `None` if there are none yet.
    pub(super) fn try_next(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Waits for the next news.
    pub(super) fn next(&self, wait: &mut Wait<'_>) -> Result<News> {
        wait.run(|deadline| {
            let left = deadline.map_or(LONGEST, |end| end.saturating_duration_since(Instant::now()));
            self.news.recv_timeout(left).map_err(|why| match why {
                mpsc::RecvTimeoutError::Timeout => timeout(),
                mpsc::RecvTimeoutError::Disconnected => {
                    Error::new(ErrorKind::ConnectionLost, "dialing was interrupted")
                }
            })
        })
    }

    /// Ends the search.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }
}
