//! The async form of agent and host, for code inside tokio. The session is the same; only the loop differs.

mod env;
mod line;
mod lobby;

use std::time::Duration;

use tokio::time;

pub use env::AsyncEnv;
pub use line::Line;
pub use lobby::Lobby;

use super::{
    ConnectionOptions, Host, HostTurn, Notice, Wait,
    dial::{agree, hello, unanswered},
    host_loop::is_make,
};
use crate::{
    address::Address,
    channel::Channel,
    error::{Error, ErrorKind, Result},
    net::unheard,
    session::Local,
    wire::{HANDSHAKE_FRAME, Limits, Resume, Role, Ticket, Welcome},
};

/// How long a goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// Dials once and shakes hands as `role`.
pub async fn connect(address: &Address, role: Role, options: &ConnectionOptions) -> Result<Line> {
    Line::dial(address, role, options).await
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
        let welcome = shake(channel.as_mut(), local, None).await?;
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
async fn shake(channel: &mut dyn Channel, local: Local, session: Option<Resume>) -> Result<Welcome> {
    channel.set_max_frame(HANDSHAKE_FRAME);
    let mut frame = Vec::new();
    let mut dialing = hello(local, session, &mut frame)?;
    loop {
        channel.send(&frame, &[]).await?;
        let answer = channel.recv().await.map_err(|e| unanswered(e, &channel.peer()))?;
        let answer = answer.ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "the listener closed"))?;
        if let Some(welcome) = dialing.take(&answer, &mut frame)? {
            return Ok(welcome);
        }
    }
}

/// Hosts one session until it ends. The environment's own calls run on this task; if they are long, give the host a
/// thread and use [`serve`](super::serve) instead.
///
/// While the environment is in a call nobody looks at the connection. If that is lost meanwhile, and it is this side that
/// dials, the agent waits for the call's end before another one comes, and may give up first.
pub async fn serve(line: &mut Line, host: &mut Host<'_>) -> Result<()> {
    let result = turn(line, host).await;
    if let Err(error) = &result
        && error.kind() == ErrorKind::Busy
        && host.part(error).is_ok()
    {
        // Another session has its place.
        let _ = time::timeout(GOODBYE_TIME, line.send(host.answer().into())).await;
    }
    if !result.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionLost) {
        let _ = time::timeout(GOODBYE_TIME, line.close()).await;
    }
    let (peer, mut wait) = (line.peer(), Wait::default());
    let result = host.finish(&peer, result, &mut wait);
    host.tell_end(&peer, &result, &mut wait);
    result
}

async fn turn(line: &mut Line, host: &mut Host<'_>) -> Result<()> {
    // An earlier call may have been cancelled in the middle of an answer.
    line.begin()?;
    loop {
        let frame = match line.next(host.received(), |heard| host.missing(heard)).await {
            Err(error) if error.kind() == ErrorKind::Protocol => {
                host.abort(&error);
                let _ = time::timeout(GOODBYE_TIME, line.send(host.answer().into())).await;
                return Err(error);
            }
            result => result?,
        };
        // An agent that closes without a goodbye is gone all the same.
        let Some(frame) = frame else { return Ok(()) };
        if !host.was_asked() && is_make(&frame) {
            line.keep_place()?;
        }
        match host.handle(&frame) {
            HostTurn::Answer => {
                drop(frame);
                line.send(host.answer().into()).await?;
                if let Some(text) = host.news(|| line.peer()) {
                    Wait::default().tell(Notice::Info(&text));
                }
            }
            HostTurn::End(error) if error.kind() == ErrorKind::Closed => return Ok(()),
            HostTurn::End(error) => return Err(error),
            HostTurn::Abort(error) => {
                let _ = time::timeout(GOODBYE_TIME, line.send(host.answer().into())).await;
                return Err(error);
            }
        }
    }
}
