//! Hub: the task that reads a socket, answers what needs no channel, and notices who is gone.

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FusedStream};
use rlay_core::{Result, net::lost};
use tokio::{sync::mpsc, task::AbortHandle, time};
use zeromq::{
    DealerRecvHalf, DealerSendHalf, RouterRecvHalf, RouterSendHalf, SocketEvent, SocketRecv, SocketSend, ZmqMessage,
};

use crate::{
    channel::ZmqChannel,
    link::{Link, WINDOW},
    message::Message,
};

/// Connections that may wait for `accept`.
const BACKLOG: usize = 1024;
/// How long to wait for a socket that fails to receive.
const DRY: Duration = Duration::from_millis(10);
/// Looks at the clock within the liveness bound: a peer is asked after one look and given up after four.
const LOOKS: u32 = 4;

/// The reading half of either socket.
pub(crate) enum Reader {
    Dealer(DealerRecvHalf),
    Router(RouterRecvHalf),
}

impl Reader {
    /// The identity of the peer (empty at a DEALER, which has one) and the message. Cancel-safe.
    async fn next(&mut self) -> Option<(Bytes, Option<Message>)> {
        let received = match self {
            Self::Dealer(half) => half.recv().await,
            Self::Router(half) => half.recv().await,
        };
        let mut frames = received.ok()?.into_vecdeque();
        let identity = match self {
            Self::Dealer(_) => Bytes::new(),
            Self::Router(_) => frames.pop_front()?,
        };
        let message = frames.pop_front().filter(|_| frames.is_empty()).and_then(Message::decode);
        Some((identity, message))
    }
}

/// The writing half of either socket, towards one peer.
#[derive(Clone)]
pub(crate) enum Writer {
    Dealer(Arc<tokio::sync::Mutex<DealerSendHalf>>),
    Router(RouterSendHalf, Bytes),
}

impl Writer {
    /// Hands a message to the socket. It has room, because credit bounds what is on the way.
    pub(crate) async fn send(&mut self, message: Bytes) -> Result<(), String> {
        let sent = match self {
            Self::Dealer(half) => half.lock().await.send(message.into()).await,
            Self::Router(half, identity) => {
                let mut frames = ZmqMessage::from(message);
                frames.push_front(identity.clone());
                half.send(frames).await
            }
        };
        sent.map_err(|e| e.to_string())
    }

    /// The same where nothing can be waited for; gives up if it would have to wait.
    pub(crate) fn send_now(&mut self, message: &Message) {
        let sent = pin!(self.send(message.encode())).poll(&mut Context::from_waker(Waker::noop()));
        if sent.is_pending() {
            tracing::debug!("a last {message:?} was not sent");
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dealer(_) => "Writer(DEALER)",
            Self::Router(..) => "Writer(ROUTER)",
        })
    }
}

/// Ends the hub, and with it the socket, when the last channel and the listener are gone.
#[derive(Debug)]
pub(crate) struct Stop(AbortHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The connections of a socket, by the peer's identity.
pub(crate) type Links = Arc<Mutex<HashMap<Bytes, Arc<Link>>>>;

/// Which end the hub serves, and how it answers there.
pub(crate) enum Side {
    /// One connection, the dialer's own.
    Dealer(Writer),
    /// Any number, and new ones.
    Router(Door),
}

/// What the hub needs to take in new connections.
pub(crate) struct Door {
    pub(crate) accepted: mpsc::Sender<ZmqChannel>,
    pub(crate) writer: RouterSendHalf,
    pub(crate) max_frame: usize,
    pub(crate) name: String,
}

/// A queue for accepted connections.
pub(crate) fn backlog() -> (mpsc::Sender<ZmqChannel>, mpsc::Receiver<ZmqChannel>) {
    mpsc::channel(BACKLOG)
}

pub(crate) struct Hub<E> {
    pub(crate) reader: Reader,
    /// What the socket tells of its peers.
    pub(crate) events: E,
    pub(crate) links: Links,
    pub(crate) side: Side,
    pub(crate) liveness: Duration,
}

impl<E: FusedStream<Item = SocketEvent> + Send + Unpin + 'static> Hub<E> {
    /// Runs the hub as a task. `weak` gives accepted channels their share in its life.
    pub(crate) fn spawn(mut self) -> Arc<Stop> {
        let (share, shared) = tokio::sync::oneshot::channel::<std::sync::Weak<Stop>>();
        let task = tokio::spawn(async move {
            if let Ok(stop) = shared.await {
                self.run(&stop).await;
            }
        });
        let stop = Arc::new(Stop(task.abort_handle()));
        let _ = share.send(Arc::downgrade(&stop));
        stop
    }

    async fn run(&mut self, stop: &std::sync::Weak<Stop>) {
        let mut look = time::interval(self.liveness / LOOKS);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        // The socket failed to receive, and would again at once; the rest must have its turn.
        let mut is_dry = false;
        loop {
            tokio::select! {
                biased;
                received = self.reader.next(), if !is_dry => match received {
                    Some((identity, message)) => self.take(identity, message, stop).await,
                    None => {
                        is_dry = true;
                        if matches!(self.side, Side::Dealer(_)) {
                            // Its only connection has broken, perhaps within a message.
                            self.disconnected(&Bytes::new());
                        }
                    }
                },
                event = self.events.select_next_some() => {
                    if let SocketEvent::Disconnected(identity) = event {
                        self.disconnected(&match self.side {
                            Side::Dealer(_) => Bytes::new(),
                            Side::Router(_) => identity.into(),
                        });
                    }
                }
                _ = look.tick() => self.look().await,
                () = time::sleep(DRY), if is_dry => is_dry = false,
            }
        }
    }

    fn link(&self, identity: &Bytes) -> Option<Arc<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).get(identity).cloned()
    }

    async fn answer(&mut self, identity: &Bytes, message: &Message) {
        let mut writer = match &self.side {
            Side::Dealer(writer) => writer.clone(),
            Side::Router(door) => Writer::Router(door.writer.clone(), identity.clone()),
        };
        let _ = writer.send(message.encode()).await;
    }

    async fn take(&mut self, identity: Bytes, message: Option<Message>, stop: &std::sync::Weak<Stop>) {
        let link = match self.link(&identity) {
            // A peer whose connection is over and who opens anew.
            Some(link) if link.state().is_left && matches!(message, Some(Message::Credit(_))) => None,
            known => known,
        };
        let answer = match link {
            Some(link) => link.take(message),
            None => match message {
                Some(Message::Credit(bytes)) => self.open(identity.clone(), bytes, stop),
                Some(Message::Abort | Message::ByeAck | Message::Pong) => None,
                // Somebody who went on after the end, or never was a peer of RLay's.
                _ => Some(Message::Abort),
            },
        };
        if let Some(answer) = answer {
            self.answer(&identity, &answer).await;
        }
    }

    /// A peer that is new here.
    fn open(&self, identity: Bytes, credit: u64, stop: &std::sync::Weak<Stop>) -> Option<Message> {
        let (Side::Router(door), Some(stop)) = (&self.side, stop.upgrade()) else { return Some(Message::Abort) };
        let (link, arrived) = Link::new(door.name.clone());
        link.take(Some(Message::Credit(credit)));
        let link = Arc::new(link);
        let writer = Writer::Router(door.writer.clone(), identity.clone());
        let channel = ZmqChannel::new(link.clone(), arrived, writer, door.max_frame, stop);
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert(identity, link);
        // If nobody accepts, the channel is dropped, which says so to the peer.
        let _ = door.accepted.try_send(channel);
        Some(Message::Credit(WINDOW))
    }

    fn disconnected(&self, identity: &Bytes) {
        if let Some(link) = self.link(identity) {
            let why = "the connection ended without a goodbye; the process at the other end was killed or crashed";
            link.end(Err(lost(&link.peer, why)));
        }
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(identity);
    }

    /// Asks those who are silent, gives up those who stay so, and forgets those who are gone.
    async fn look(&mut self) {
        let mut ask = vec![];
        let mut keep = |identity: &Bytes, link: &Arc<Link>| {
            let mut state = link.state();
            if state.is_left {
                return false;
            }
            state.silent = if std::mem::take(&mut state.heard) { 0 } else { state.silent + 1 };
            let (silent, is_over) = (state.silent, state.end.is_some());
            drop(state);
            if silent >= LOOKS && !is_over {
                let why = format!("nothing was heard for {:?}; its machine or the network is gone", self.liveness);
                link.end(Err(lost(&link.peer, why)));
            } else if silent > 0 && !is_over {
                ask.push(identity.clone());
            }
            true
        };
        self.links.lock().unwrap_or_else(PoisonError::into_inner).retain(|identity, link| keep(identity, link));
        for identity in ask {
            self.answer(&identity, &Message::Ping).await;
        }
    }
}
