//! Lobby: where those are received, inside tokio, who have dialed a listener.

use std::sync::Arc;

use tokio::time;

use super::{
    super::{
        ConnectionOptions,
        reception::{Guest, Reception},
    },
    Line,
};
use crate::{
    address::Address,
    channel::{Channel, Incoming, Listener},
    error::{Error, ErrorKind, Result},
    session::{Admission, Greeting, reject},
    token::nonce,
    wire::{HANDSHAKE_FRAME, Role},
};

/// Shakes hands with those who dial, and brings those who have lost their connection back to their sessions.
///
/// Who accepts, and on which task each handshake and each session is, is up to the caller. As long as there are sessions
/// whose dialers may come back somebody must accept, and no handshake should have to wait for another: strangers take
/// [`ConnectionOptions::handshake_timeout`] over theirs.
///
/// ```no_run
/// use rlay::{Value, drive::{AsyncEnv, Lobby}, wire::Role};
///
/// # async fn serve() -> Result<(), rlay::Error> {
/// // A learner that listens, and plays with every environment that dials in.
/// let options = rlay::agent_options();
/// let (mut listener, lobby) = Lobby::listen(&"mem://arena".parse()?, Role::Agent, options.connection()).await?;
/// loop {
///     let (incoming, lobby, options) = (listener.accept().await?, lobby.clone(), options.clone());
///     tokio::spawn(async move {
///         // Nobody, if it was one that came back to its session.
///         let Some(line) = lobby.receive(incoming).await? else { return Ok(()) };
///         let mut env = AsyncEnv::open(line, &options).await?;
///         env.reset(Some(7), &Value::None).await?;
///         env.close().await
///     });
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Lobby(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    role: Role,
    options: ConnectionOptions,
    /// Whether its connections can be lost.
    is_network: bool,
    reception: Reception<Box<dyn Channel>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reception.close(true);
    }
}

impl Lobby {
    /// Listens at `address` as `role`. Nobody is accepted yet.
    pub async fn listen(
        address: &Address,
        role: Role,
        options: &ConnectionOptions,
    ) -> Result<(Box<dyn Listener>, Self)> {
        options.check()?;
        let transport = options.registry.find(address)?;
        let listener = transport.listen(address, &options.for_transport()).await?;
        let (is_network, reception) = (transport.is_network(address.scheme()), Reception::new(role, options));
        Ok((listener, Self(Arc::new(Inner { role, options: options.clone(), is_network, reception }))))
    }

    /// Sessions under way.
    pub fn sessions(&self) -> usize {
        self.0.reception.sessions()
    }

    /// Shakes hands with one that was accepted. `None`: it came back to its session, which goes on.
    ///
    /// There are at most [`max_sessions`](ConnectionOptions::max_sessions); further dialers are told to try again, unless
    /// an agent has asked for no environment within [`handshake_timeout`](ConnectionOptions::handshake_timeout): its line
    /// then fails, and makes room. A session's place is free when its line is dropped.
    pub async fn receive(&self, incoming: Box<dyn Incoming>) -> Result<Option<Line>> {
        let late = |_| Err(Error::new(ErrorKind::Timeout, "the peer did not finish the handshake"));
        time::timeout(self.0.options.handshake_timeout, self.shake(incoming)).await.unwrap_or_else(late)
    }

    async fn shake(&self, incoming: Box<dyn Incoming>) -> Result<Option<Line>> {
        let Inner { role, options, is_network, reception } = &*self.0;
        let mut channel = incoming.open()?;
        channel.set_max_frame(options.listener.max_handshake_frame.min(HANDSHAKE_FRAME));
        let local = options.local(*role, *is_network);
        let lasts = local.lasts;
        let mut greeting = Greeting::new(local, nonce()?);
        let mut answer = Vec::new();
        let hello = loop {
            let frame = channel.recv().await?.ok_or_else(|| Error::protocol("the peer closed without a word"))?;
            match greeting.take(&frame, &mut answer) {
                Ok(None) => channel.send(&answer, &[]).await?,
                Ok(Some(hello)) => break Ok(hello),
                Err(error) => break Err(error),
            }
        };
        match hello.and_then(|hello| reception.admit(hello, lasts)) {
            Ok(Guest::New { limits, mut place, admission, seat }) => {
                if *role == Role::Agent {
                    // Who takes it when is up to the caller.
                    place.keep()?;
                }
                greeting.welcome(admission, &mut answer);
                channel.send(&answer, &[]).await?;
                channel.set_max_frame(limits.frame);
                Ok(Some(Line::new(channel, limits).accepted(seat, place, *role, options)))
            }
            Ok(Guest::Old { seat, heard }) => {
                let (visit, received) = seat.meet();
                greeting.welcome(Admission::Again { received }, &mut answer);
                channel.send(&answer, &[]).await?;
                channel.set_max_frame(seat.limits().frame);
                seat.seat_again(visit, channel, heard);
                Ok(None)
            }
            Err(error) => {
                // A stranger gets no answer; a peer of another version or role deserves a reason.
                if error.kind() != ErrorKind::Protocol {
                    reject(&error, &mut answer);
                    // Whether or not it is still there to hear of it, that is what happened.
                    let _ = channel.send(&answer, &[]).await;
                    let _ = channel.close().await;
                }
                Err(error)
            }
        }
    }
}
