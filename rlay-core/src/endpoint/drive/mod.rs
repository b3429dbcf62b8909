//! The async form of agent and host, for code inside tokio. The session is the same; only the loop differs.

mod env;
mod line;

use std::time::Duration;

use tokio::time;

pub use env::AsyncEnv;

use super::{
    Host, HostTurn, Options,
    dial::{agree, hello},
};
use crate::{
    address::Address,
    channel::{Channel, Incoming},
    error::{Error, ErrorKind, Result},
    session::{Admission, Greeting, Local, reject},
    token::nonce,
    wire::{HANDSHAKE_FRAME, Limits, Resume, Role, Ticket, Welcome},
};

/// How long a goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// Dials once and shakes hands as `role`, for a session that ends with its connection.
pub async fn connect(address: &Address, role: Role, options: &Options) -> Result<(Box<dyn Channel>, Limits)> {
    let (channel, limits, _) = dial(address, options.local(role, false), options).await?;
    Ok((channel, limits))
}

/// Dials once and shakes hands. There is a ticket if the session may go on over another connection.
async fn dial(
    address: &Address,
    local: Local,
    options: &Options,
) -> Result<(Box<dyn Channel>, Limits, Option<Ticket>)> {
    options.limits.check()?;
    let transport = options.registry.find(address)?;
    let meet = async {
        let mut channel = transport.connect(address, &options.for_transport()).await?;
        let welcome = shake(channel.as_mut(), local, None).await?;
        let limits = agree(options.limits, welcome.max_frame);
        channel.set_max_frame(limits.frame);
        Ok((channel, limits, welcome.ticket))
    };
    time::timeout(options.connect_timeout, meet).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, format!("{address}: no handshake within connect_timeout")))
    })
}

/// Shakes hands over a channel that was dialed, for a new session or for one that goes on.
async fn shake(channel: &mut dyn Channel, local: Local, session: Option<Resume>) -> Result<Welcome> {
    channel.set_max_frame(HANDSHAKE_FRAME);
    let mut frame = Vec::new();
    let mut dialing = hello(local, session, &mut frame)?;
    loop {
        channel.send(&frame, &[]).await?;
        let answer = channel.recv().await?;
        let answer = answer.ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "the listener closed"))?;
        if let Some(welcome) = dialing.take(&answer, &mut frame)? {
            return Ok(welcome);
        }
    }
}

/// Shakes hands as `role` with a peer that a [`Listener`](crate::Listener) accepted. The session ends with its
/// connection, and the peer is told so: where dialers come back to is the listener's business, which is the caller's.
pub async fn accept(incoming: Box<dyn Incoming>, role: Role, options: &Options) -> Result<(Box<dyn Channel>, Limits)> {
    options.limits.check()?;
    let shake = async {
        let mut channel = incoming.open()?;
        channel.set_max_frame(options.max_handshake_frame.min(HANDSHAKE_FRAME));
        let mut greeting = Greeting::new(options.local(role, false), nonce()?);
        let mut answer = Vec::new();
        let hello = loop {
            let frame = channel.recv().await?.ok_or_else(|| Error::protocol("the peer closed without a word"))?;
            match greeting.take(&frame, &mut answer) {
                Ok(None) => channel.send(&answer, &[]).await?,
                Ok(Some(hello)) => break Ok(hello),
                Err(error) => break Err(error),
            }
        };
        match hello {
            Ok(hello) => {
                greeting.welcome(Admission::Once, &mut answer);
                channel.send(&answer, &[]).await?;
                let limits = agree(options.limits, hello.max_frame);
                channel.set_max_frame(limits.frame);
                Ok((channel, limits))
            }
            Err(error) => {
                if error.kind() != ErrorKind::Protocol {
                    reject(&error, &mut answer);
                    channel.send(&answer, &[]).await?;
                    channel.close().await?;
                }
                Err(error)
            }
        }
    };
    time::timeout(options.handshake_timeout, shake)
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "the peer did not finish the handshake")))
}

/// Hosts one session until it ends. The environment's own calls run on this task; if they are long,
/// give the host a thread and use [`serve`](super::serve) instead.
pub async fn serve(channel: &mut dyn Channel, host: &mut Host<'_>) -> Result<()> {
    let result = loop {
        let frame = match channel.recv().await {
            Ok(Some(frame)) => frame,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        match host.handle(&frame) {
            HostTurn::Answer => {
                let (head, body) = host.answer();
                if let Err(error) = channel.send(head, body).await {
                    break Err(error);
                }
            }
            HostTurn::End(error) if error.kind() == ErrorKind::Closed => break Ok(()),
            HostTurn::End(error) => break Err(error),
            HostTurn::Abort(error) => {
                let _ = time::timeout(GOODBYE_TIME, channel.send(host.answer().0, &[])).await;
                break Err(error);
            }
        }
    };
    let _ = time::timeout(GOODBYE_TIME, channel.close()).await;
    let closed = host.close_env();
    result.and(closed)
}
