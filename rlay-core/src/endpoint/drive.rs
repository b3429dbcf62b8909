//! The async form of agent and host, for code inside tokio. The session is the same; only the loop differs, and
//! here it ends with its connection.

use std::time::Duration;

use tokio::time;

use super::{Host, HostTurn, Options, Received, agent::check_spaces, dial::agree};
use crate::{
    address::Address,
    channel::{Channel, Incoming},
    env::{ResetResult, StepResult},
    error::{Error, ErrorKind, Result},
    session::{Admission, AgentEvent, AgentSession, Dialing, Greeting, reject},
    space::{AnySpace, Space},
    token::nonce,
    value::{Map, Value},
    wire::{Goodbye, HANDSHAKE_FRAME, Limits, Reset, Role, Row, Spec, payload_head, put_value},
};

/// How long a goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// Dials once and shakes hands as `role`.
pub async fn connect(address: &Address, role: Role, options: &Options) -> Result<(Box<dyn Channel>, Limits)> {
    options.limits.check()?;
    let transport = options.registry.find(address)?;
    let shake = async {
        let mut channel = transport.connect(address, &options.for_transport()).await?;
        channel.set_max_frame(HANDSHAKE_FRAME);
        let mut frame = Vec::new();
        let mut dialing = Dialing::begin(options.local(role, false), nonce()?, &mut frame);
        let welcome = loop {
            channel.send(&frame, &[]).await?;
            let answer = channel.recv().await?;
            let answer = answer.ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "the listener closed"))?;
            if let Some(welcome) = dialing.take(&answer, &mut frame)? {
                break welcome;
            }
        };
        let limits = agree(options.limits, welcome.max_frame);
        channel.set_max_frame(limits.frame);
        Ok((channel, limits))
    };
    time::timeout(options.connect_timeout, shake).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, format!("{address}: no handshake within connect_timeout")))
    })
}

/// Shakes hands as `role` with a peer that a [`Listener`](crate::Listener) accepted.
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

/// An environment in another process, for an agent inside tokio. Spaces are dynamic.
///
/// ```no_run
/// # async fn train() -> Result<(), rlay_core::Error> {
/// use rlay_core::{Options, Value, drive::AsyncEnv};
///
/// let mut env = AsyncEnv::connect("mem://cartpole", &Options::default()).await?;
/// env.reset(Some(7), &Value::None).await?;
/// let result = env.step(&Value::Int(1)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct AsyncEnv {
    channel: Box<dyn Channel>,
    session: AgentSession,
    limits: Limits,
    spec: Box<Spec>,
    out: Vec<u8>,
    /// Set while a request is on its way; still set at the next call if that one was cancelled.
    is_sending: bool,
}

impl AsyncEnv {
    /// Connects to a [`ServerBackend`](crate::ServerBackend) and makes an environment there.
    pub async fn connect(address: &str, options: &Options) -> Result<Self> {
        let (channel, limits) = connect(&address.parse()?, Role::Agent, options).await?;
        Self::open(channel, limits, options).await
    }

    /// Makes an environment over a channel whose handshake is over.
    pub async fn open(mut channel: Box<dyn Channel>, limits: Limits, options: &Options) -> Result<Self> {
        let (mut session, mut out) = (AgentSession::new(), Vec::new());
        session.make(&options.make(), &mut out)?;
        channel.send(&out, &[]).await?;
        let frame = next(channel.as_mut()).await?;
        match session.handle(&frame, &limits)? {
            AgentEvent::Spec(spec) => {
                check_spaces(&spec, &limits)?;
                Ok(Self { channel, session, limits, spec, out, is_sending: false })
            }
            AgentEvent::Failed { fault, .. } => Err(fault.into_error()),
            AgentEvent::Over(error) => Err(error),
            _ => Err(Error::protocol("the environment's host answered Make with something else")),
        }
    }

    /// Spaces, metadata and the rest of what the host told.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Gymnasium's `reset`. Cancelling it leaves the answer late; the next `reset` drops it.
    pub async fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Value>> {
        self.give_up()?;
        while self.session.waiting(0).is_some() {
            let frame = next(self.channel.as_mut()).await?;
            self.session.handle(&frame, &self.limits)?;
        }
        self.out.clear();
        put_value(&mut self.out, options);
        self.limits.fit(ErrorKind::Usage, "reset", self.out.len())?;
        let reset = Reset { rows: smallvec::smallvec![(0, seed.map(Into::into))], options: options.clone() };
        self.session.reset(&reset, &mut self.out)?;
        let (row, observation) = self.exchange(&[]).await?;
        Ok(ResetResult { observation, info: info(row.info) })
    }

    /// Gymnasium's `step`. After a cancelled one only `reset` goes on.
    pub async fn step(&mut self, action: &Value) -> Result<StepResult<Value>> {
        self.give_up()?;
        let space: &AnySpace = &self.spec.action_space;
        let mut bytes = Vec::new();
        let packed = space.pack(action, &mut bytes);
        if !packed {
            space.from_value(action)?;
            bytes.clear();
            put_value(&mut bytes, action);
        }
        self.limits.fit(ErrorKind::InvalidAction, "action", bytes.len())?;
        self.session.step(&[0], &mut self.out)?;
        payload_head(&mut self.out, packed, bytes.len());
        let (row, observation) = self.exchange(&bytes).await?;
        let Row { reward, terminated, truncated, .. } = row;
        Ok(StepResult { observation, reward, terminated, truncated, info: info(row.info) })
    }

    /// Gymnasium's `render`.
    pub async fn render(&mut self) -> Result<Value> {
        self.give_up()?;
        self.session.render(&[0], &mut self.out)?;
        self.send(&[]).await?;
        let frame = next(self.channel.as_mut()).await?;
        match self.session.handle(&frame, &self.limits)? {
            AgentEvent::Frames { mut frames, .. } => Ok(frames.0.pop().map(|(_, frame)| frame).unwrap_or_default()),
            AgentEvent::Failed { fault, .. } => Err(fault.into_error()),
            AgentEvent::Over(error) => Err(error),
            _ => Err(Error::protocol("a render was answered with something else")),
        }
    }

    /// Ends the session. A host that does not listen is left after half a second.
    pub async fn close(mut self) -> Result<()> {
        let goodbye = Goodbye { code: 0, message: "the agent closed the environment".into() };
        self.session.goodbye(&goodbye, &mut self.out)?;
        let say = async {
            self.channel.send(&self.out, &[]).await?;
            self.channel.close().await
        };
        time::timeout(GOODBYE_TIME, say).await.unwrap_or(Ok(()))
    }

    /// Answers still to come belong to calls that were cancelled. A request that was cancelled before
    /// it was sent has none.
    fn give_up(&mut self) -> Result<()> {
        if self.is_sending {
            return Err(Error::new(
                ErrorKind::ConnectionLost,
                "an earlier call was cancelled while its request was being sent; open a new environment",
            ));
        }
        self.session.give_up();
        Ok(())
    }

    async fn send(&mut self, body: &[u8]) -> Result<()> {
        self.is_sending = true;
        let sent = self.channel.send(&self.out, body).await;
        self.is_sending = false;
        sent
    }

    async fn exchange(&mut self, body: &[u8]) -> Result<(Row, Value)> {
        self.send(body).await?;
        let frame = next(self.channel.as_mut()).await?;
        let (mut rows, at, packed) = match self.session.handle(&frame, &self.limits)? {
            AgentEvent::Result { rows, payload, .. } => (rows, payload.reader.position(), payload.packed),
            AgentEvent::Failed { fault, .. } => return Err(fault.into_error()),
            AgentEvent::Over(error) => return Err(error),
            _ => return Err(Error::protocol("a request was answered with something else")),
        };
        let row = rows.pop().ok_or_else(|| Error::protocol("a result without a row"))?;
        let observation = Received::new(frame, at, packed, self.limits).element(&self.spec.observation_space)?;
        Ok((row, observation))
    }
}

async fn next(channel: &mut dyn Channel) -> Result<crate::Frame> {
    let frame = channel.recv().await?;
    frame.ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "the environment's host closed the connection"))
}

fn info(info: Value) -> Map {
    match info {
        Value::Dict(map) => map,
        _ => Map::new(),
    }
}
