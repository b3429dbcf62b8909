//! AsyncAcceptor: shakes hands, inside tokio, with the dialers of a listener.

use std::sync::Arc;

use tokio::time;

use super::connection::AsyncConnection;
use crate::{
    address::Address,
    channel::{Channel, Incoming, Listener},
    endpoint::{
        accept::{
            admission::{Admission, NewSession},
            handshake::{ListenerHandshake, Next},
        },
        options::ConnectionOptions,
    },
    error::{Error, ErrorKind, Result},
    wire::Role,
};

/// Shakes hands with dialers, and brings those that have lost their connection back to their sessions.
///
/// The caller accepts, and chooses the task of each handshake and each session. As long as there are sessions whose
/// dialers may come back, go on accepting, and let no handshake wait for another: one with a peer that is no endpoint
/// takes [`ConnectionOptions::handshake_timeout`] over theirs.
///
/// ```no_run
/// use rlay::{Value, asynchronous::{AsyncAcceptor, AsyncEnv}, wire::Role};
///
/// # async fn serve() -> Result<(), rlay::Error> {
/// // A learner that listens, and plays with every environment that dials in.
/// let options = rlay::agent_options();
/// let address = "mem://arena".parse()?;
/// let (mut listener, acceptor) = AsyncAcceptor::listen(&address, Role::Agent, options.connection()).await?;
/// loop {
///     let (incoming, acceptor, options) = (listener.accept().await?, acceptor.clone(), options.clone());
///     tokio::spawn(async move {
///         // `None`: a dialer has come back to its session.
///         let Some(connection) = acceptor.handshake(incoming).await? else { return Ok(()) };
///         let mut env = AsyncEnv::open(connection, &options).await?;
///         env.reset(Some(7), &Value::None).await?;
///         env.close().await
///     });
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AsyncAcceptor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    role: Role,
    options: ConnectionOptions,
    /// Whether its connections can be lost.
    is_network: bool,
    admission: Admission<Box<dyn Channel>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.admission.close(true);
    }
}

impl AsyncAcceptor {
    /// Listens at `address` as `role`. No connection is accepted yet.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing listens.
    pub async fn listen(
        address: &Address,
        role: Role,
        options: &ConnectionOptions,
    ) -> Result<(Box<dyn Listener>, Self)> {
        options.check()?;
        let transport = options.registry.find(address)?;
        let listener = transport.listen(address, &options.for_transport()).await?;
        let (is_network, admission) = (transport.is_network(address.scheme()), Admission::new(role, options));
        Ok((listener, Self(Arc::new(Inner { role, options: options.clone(), is_network, admission }))))
    }

    /// Sessions under way.
    pub fn sessions(&self) -> usize {
        self.0.admission.sessions()
    }

    /// Shakes hands with one that was accepted. `None`: it came back to its session, which goes on.
    ///
    /// There are at most [`ConnectionOptions::max_sessions`] sessions; further dialers are told to try again, unless an
    /// agent has asked for no environment within [`ConnectionOptions::handshake_timeout`]: its connection then fails,
    /// and makes room. A session's permit is free when its connection is dropped.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, so are the connection and the permit of a new session; the dialer finds that the
    /// connection is lost. A session that the connection was to carry on waits for another one, for as long as it would
    /// have waited for this one.
    pub async fn handshake(&self, incoming: Box<dyn Incoming>) -> Result<Option<AsyncConnection>> {
        let late = |_| Err(Error::new(ErrorKind::Timeout, "the peer did not finish the handshake"));
        time::timeout(self.0.options.handshake_timeout, self.admit(incoming)).await.unwrap_or_else(late)
    }

    async fn admit(&self, incoming: Box<dyn Incoming>) -> Result<Option<AsyncConnection>> {
        let Inner { role, options, is_network, admission } = &*self.0;
        let mut channel = incoming.open()?;
        channel.set_max_frame(ListenerHandshake::<Box<dyn Channel>>::max_frame(options));
        let mut handshake = ListenerHandshake::new(admission, *role, options, *is_network)?;
        let mut answer = Vec::new();
        loop {
            let frame = channel.recv().await?;
            match handshake.take(frame.as_deref(), &mut answer) {
                Next::Receive => channel.send(&answer, &[]).await?,
                Next::New(NewSession { limits, mut permit, slot, .. }) => {
                    if *role == Role::Agent {
                        // The caller takes it when it likes.
                        permit.keep()?;
                    }
                    channel.send(&answer, &[]).await?;
                    channel.set_max_frame(limits.frame);
                    return Ok(Some(AsyncConnection::new(channel, limits).accepted(slot, permit, *role, options)));
                }
                Next::Resume { slot, attempt, peer_received } => {
                    channel.send(&answer, &[]).await?;
                    channel.set_max_frame(slot.limits().frame);
                    slot.offer(attempt, channel, peer_received);
                    return Ok(None);
                }
                Next::Refuse(error) => {
                    if !answer.is_empty() {
                        // Whether or not the dialer is still there to learn of it, that is what happened.
                        let _ = channel.send(&answer, &[]).await;
                        let _ = channel.close().await;
                    }
                    return Err(error);
                }
            }
        }
    }
}
