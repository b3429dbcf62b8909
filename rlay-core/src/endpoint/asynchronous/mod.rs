//! The async form of agent and host, for code inside tokio. The session is the same; only the loop differs.

mod acceptor;
mod connection;
mod env;
mod session;
mod vector_env;

use std::time::Duration;

use tokio::time;

pub use acceptor::AsyncAcceptor;
pub use connection::AsyncConnection;
pub use env::AsyncEnv;
pub use vector_env::AsyncVectorEnv;

use crate::{
    address::Address,
    channel::Channel,
    endpoint::{
        hosts::{
            host::{Host, Turn},
            host_loop::is_make,
        },
        options::ConnectionOptions,
        wait::{Notice, Wait},
    },
    error::{Error, ErrorKind, Result},
    net::unheard,
    session::{ClientHandshake, Local, agree},
    token::nonce,
    wire::{HANDSHAKE_FRAME, Limits, Resume, Role, Ticket, Welcome},
};

/// How long a goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// Dials once and shakes hands as `role`.
///
/// # Cancel safety
///
/// If the future is dropped, so is the connection. A listener that has admitted it already frees the session's permit,
/// over a network after its [`ConnectionOptions::handshake_timeout`].
pub async fn connect(address: &Address, role: Role, options: &ConnectionOptions) -> Result<AsyncConnection> {
    AsyncConnection::dial(address, role, options).await
}

/// Dials once and shakes hands. There is a ticket if the session may go on over another connection.
async fn dial(
    address: &Address,
    local: Local,
    options: &ConnectionOptions,
) -> Result<(Box<dyn Channel>, Limits, Option<Ticket>)> {
    options.check_dialer()?;
    let transport = options.registry.find(address)?;
    let meet = async {
        let mut channel = transport.connect(address, &options.for_transport()).await?;
        let welcome = handshake(channel.as_mut(), local, None).await?;
        let limits = agree(options.limits, welcome.max_frame);
        channel.set_max_frame(limits.frame);
        Ok((channel, limits, welcome.ticket))
    };
    time::timeout(options.connect_timeout, meet).await.unwrap_or_else(|_| {
        let text = format!("{address}: no handshake within connect_timeout");
        Err(unheard(address).unwrap_or_else(|| Error::new(ErrorKind::Timeout, text)))
    })
}

/// Shakes hands over a channel that was dialed, for a new session or for one that goes on.
async fn handshake(channel: &mut dyn Channel, local: Local, session: Option<Resume>) -> Result<Welcome> {
    channel.set_max_frame(HANDSHAKE_FRAME);
    let mut frame = Vec::new();
    let mut handshake = ClientHandshake::begin(local, nonce()?, session, &mut frame);
    loop {
        channel.send(&frame, &[]).await?;
        let answer = channel.recv().await;
        if let Some(welcome) = handshake.take_answer(answer, &channel.peer(), &mut frame)? {
            return Ok(welcome);
        }
    }
}

/// Hosts one session until it ends. The environment's own calls run on this task; if they are long, give the host a
/// thread and use [`serve`](super::serve) instead.
///
/// While the environment is in a call the connection is not looked at. If that is lost meanwhile, and it is this side
/// that dials, the agent waits for the call's end before another one comes, and may give up first.
///
/// # Cancel safety
///
/// If the future is dropped while it waits for a request, nothing is lost: call it again with the same `connection` and
/// `host`. If it is dropped while it sends an answer, the connection is lost: the next call brings the answer over
/// another connection where the session may have one, and fails otherwise. The environment's own calls are not
/// interrupted, for they do not wait. The environment is closed when `host` is dropped.
pub async fn serve(connection: &mut AsyncConnection, host: &mut Host<'_>) -> Result<()> {
    let result = turn(connection, host).await;
    if let Err(error) = &result
        && error.kind() == ErrorKind::Busy
        && host.part(error).is_ok()
    {
        // Another session has its permit.
        let _ = time::timeout(GOODBYE_TIME, connection.send(host.answer().into())).await;
    }
    if !result.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionLost) {
        let _ = time::timeout(GOODBYE_TIME, connection.close()).await;
    }
    let (peer, mut wait) = (connection.peer(), Wait::default());
    let result = host.finish(&peer, result, &mut wait);
    host.tell_end(&peer, &result, &mut wait);
    result
}

async fn turn(connection: &mut AsyncConnection, host: &mut Host<'_>) -> Result<()> {
    // An earlier call may have been cancelled in the middle of an answer.
    connection.begin()?;
    loop {
        let frame = match connection.next(host.received(), |peer_received| host.to_retransmit(peer_received)).await {
            Err(error) if error.kind() == ErrorKind::Protocol => {
                host.abort(&error);
                let _ = time::timeout(GOODBYE_TIME, connection.send(host.answer().into())).await;
                return Err(error);
            }
            result => result?,
        };
        // An agent that closes without a goodbye is gone all the same.
        let Some(frame) = frame else { return Ok(()) };
        if !host.was_asked() && is_make(&frame) {
            connection.keep_permit()?;
        }
        match host.handle(&frame) {
            Turn::Answer => {
                drop(frame);
                connection.send(host.answer().into()).await?;
                if let Some(text) = host.news(|| connection.peer()) {
                    Wait::default().tell(Notice::Info(&text));
                }
            }
            // Only backends make environments that answer later.
            Turn::Later => {}
            Turn::End(error) if error.kind() == ErrorKind::Closed => return Ok(()),
            Turn::End(error) => return Err(error),
            Turn::Abort(error) => {
                let _ = time::timeout(GOODBYE_TIME, connection.send(host.answer().into())).await;
                return Err(error);
            }
        }
    }
}
