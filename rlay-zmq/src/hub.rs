//! Hub: the task that reads a socket, answers messages that need no channel, and detects peers that are gone.

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FusedStream};
use rlay_core::{
    Error, Result,
    net::{Reserve, lost},
};
use tokio::{sync::mpsc, task, time};
use zeromq::{
    DealerRecvHalf, DealerSendHalf, RouterRecvHalf, RouterSendHalf, SocketEvent, SocketRecv, SocketSend, ZmqError,
    ZmqMessage,
};

use crate::{
    channel::ZmqChannel,
    link::{Link, WINDOW},
    message::Message,
};

/// Connections that may wait for `accept`.
const BACKLOG: usize = 1024;
/// How long to pause after a socket fails to receive.
const DRY: Duration = Duration::from_millis(10);
/// Messages that are taken before the hub yields to other tasks.
const TURNS: u64 = 32;
/// Checks within the liveness bound. A peer is pinged at each check if nothing was received since the one before, and
/// given up before the bound is over.
const LOOKS: u32 = 8;

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

/// The writing half of either socket.
pub(crate) enum Writer {
    Dealer(DealerSendHalf),
    Router(RouterSendHalf),
}

impl Writer {
    /// Hands a message to the socket, which has room, for credit bounds the bytes under way. Never blocks for room: a
    /// peer that reads nothing must not delay the others.
    fn send(&mut self, identity: &Bytes, message: Bytes) -> Result<(), String> {
        let mut frames = ZmqMessage::from(message);
        let sent = match self {
            Self::Dealer(half) => half.send(frames),
            Self::Router(half) => {
                frames.push_front(identity.clone());
                half.send(frames)
            }
        };
        match pin!(sent).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => sent.map_err(|_| "it is gone, or takes nothing any more".to_owned()),
            Poll::Pending => Err("it does not read what it is sent".to_owned()),
        }
    }
}

/// Messages for the hub to send, each with the identity of its peer. The hub ends, and with it the socket, once no
/// channel and no listener holds this sender any more.
///
/// Only the hub uses the socket. The crate keeps its peers in a map with a lock that a thread may wait for while a task
/// of the same runtime holds it; if a second thread used the map, the runtime would stop for ever.
pub(crate) type Outbox = mpsc::UnboundedSender<(Bytes, Bytes)>;
type WeakOutbox = mpsc::WeakUnboundedSender<(Bytes, Bytes)>;

/// The connections of a socket, by the peer's identity.
pub(crate) type Links = Arc<Mutex<HashMap<Bytes, Arc<Link>>>>;

/// A connection, or the reason why its dialer has none.
pub(crate) type Arrival = Result<ZmqChannel>;

/// The state by which the hub of a listener accepts new connections.
pub(crate) struct AcceptQueue {
    pub(crate) accepted: mpsc::Sender<Arrival>,
    pub(crate) max_frame: usize,
    pub(crate) name: String,
    pub(crate) reserve: Reserve,
}

/// A queue for accepted connections.
pub(crate) fn backlog() -> (mpsc::Sender<Arrival>, mpsc::Receiver<Arrival>) {
    mpsc::channel(BACKLOG)
}

pub(crate) struct Hub<E> {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// The socket's events about its peers.
    pub(crate) events: E,
    pub(crate) links: Links,
    /// `None` at the end that dials, which has one connection and accepts no others.
    pub(crate) door: Option<AcceptQueue>,
    pub(crate) liveness: Duration,
}

impl<E: FusedStream<Item = SocketEvent> + Send + Unpin + 'static> Hub<E> {
    /// Runs the hub as a task.
    pub(crate) fn spawn(mut self) -> Outbox {
        let (outbox, to_send) = mpsc::unbounded_channel();
        // Accepted channels hold a sender; the hub itself must not keep itself alive.
        let weak = outbox.downgrade();
        tokio::spawn(async move { self.run(to_send, &weak).await });
        outbox
    }

    async fn run(&mut self, mut to_send: mpsc::UnboundedReceiver<(Bytes, Bytes)>, outbox: &WeakOutbox) {
        let mut look = time::interval(self.liveness / LOOKS);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        // The socket failed to receive, and would fail again at once; other tasks must run meanwhile.
        let mut is_dry = false;
        for turn in 1.. {
            if turn % TURNS == 0 {
                // The messages of a peer that sends without end may all lie in one read; other tasks must have their
                // turn.
                task::yield_now().await;
            }
            tokio::select! {
                biased;
                message = to_send.recv() => match message {
                    Some((identity, message)) => self.send(&identity, message),
                    None => return,
                },
                received = self.reader.next(), if !is_dry => match received {
                    Some((identity, message)) => self.take(identity, message, outbox),
                    None => {
                        is_dry = true;
                        if self.door.is_none() {
                            // The only connection has broken, perhaps within a message.
                            self.disconnected(&Bytes::new());
                        }
                    }
                },
                event = self.events.select_next_some() => match event {
                    SocketEvent::Disconnected(identity) => {
                        self.disconnected(&if self.door.is_some() { identity.into() } else { Bytes::new() });
                    }
                    SocketEvent::AcceptFailed(ZmqError::Codec(error)) => self.turned_away(&error.to_string()),
                    SocketEvent::AcceptFailed(ZmqError::Network(error)) => {
                        if let Some(door) = &mut self.door {
                            door.reserve.refused_elsewhere(&error);
                        }
                    }
                    SocketEvent::Accepted(..) => {
                        if let Some(door) = &mut self.door {
                            door.reserve.regain();
                        }
                    }
                    _ => {}
                },
                _ = look.tick() => self.look(),
                () = time::sleep(DRY), if is_dry => is_dry = false,
            }
        }
    }

    fn link(&self, identity: &Bytes) -> Option<Arc<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).get(identity).cloned()
    }

    /// Sends the message of a channel.
    fn send(&mut self, identity: &Bytes, message: Bytes) {
        let link = self.link(identity);
        if link.as_ref().is_some_and(|link| matches!(link.state().end, Some(Err(_)))) {
            return;
        }
        if let (Err(why), Some(link)) = (self.writer.send(identity, message), link) {
            link.end(Err(lost(&link.peer, why)));
        }
    }

    /// Answers a peer. If the peer does not read the answers, they are dropped.
    fn answer(&mut self, identity: &Bytes, message: &Message) {
        let _ = self.writer.send(identity, message.encode());
    }

    fn take(&mut self, identity: Bytes, message: Option<Message>, outbox: &WeakOutbox) {
        let link = match self.link(&identity) {
            // The peer's connection is over, and the peer opens another.
            Some(link) if link.state().is_left && matches!(message, Some(Message::Credit(_))) => None,
            known => known,
        };
        let answer = match link {
            Some(link) => link.take(message),
            None => match message {
                Some(Message::Credit(bytes)) => self.open(identity.clone(), bytes, outbox),
                Some(Message::Abort | Message::ByeAck | Message::Pong) => None,
                // The peer continued after the end, or never spoke RLay.
                _ => Some(Message::Abort),
            },
        };
        if let Some(answer) = answer {
            self.answer(&identity, &answer);
        }
    }

    /// Adds a peer that is new to this socket.
    fn open(&self, identity: Bytes, credit: u64, outbox: &WeakOutbox) -> Option<Message> {
        let (Some(door), Some(outbox)) = (&self.door, outbox.upgrade()) else { return Some(Message::Abort) };
        let (link, arrived) = Link::new(door.name.clone());
        link.take(Some(Message::Credit(credit)));
        let link = Arc::new(link);
        let channel = ZmqChannel::new(link.clone(), arrived, (outbox, identity.clone()), door.max_frame);
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert(identity, link);
        // If there is no acceptor, the channel is dropped, which tells the peer.
        let _ = door.accepted.try_send(Ok(channel));
        Some(Message::Credit(WINDOW))
    }

    /// Tells the listener of a dialer that does not speak ZeroMQ. A dialer that only disconnected does not count as
    /// one.
    fn turned_away(&self, why: &str) {
        if let Some(door) = &self.door
            && why.contains("greeting")
        {
            let text =
                "the dialer speaks no ZeroMQ; it needs the address as it is printed here, or that of another listener";
            // If there is no acceptor, no listener needs to know.
            let _ = door.accepted.try_send(Err(Error::protocol(text)));
        }
    }

    fn disconnected(&self, identity: &Bytes) {
        if let Some(link) = self.link(identity) {
            let why = "the connection ended without a goodbye; the process at the other end was killed or crashed";
            link.end(Err(lost(&link.peer, why)));
        }
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(identity);
    }

    /// Pings silent peers, gives up those that stay silent, and forgets those that have ended.
    fn look(&mut self) {
        if let Some(door) = &mut self.door {
            door.reserve.regain();
        }
        let mut ask = vec![];
        let mut keep = |identity: &Bytes, link: &Arc<Link>| {
            let mut state = link.state();
            if state.is_left {
                return false;
            }
            state.silent = if std::mem::take(&mut state.heard) { 0 } else { state.silent + 1 };
            state.asked = 0;
            let (silent, is_over) = (state.silent, state.end.is_some());
            drop(state);
            if silent + 1 >= LOOKS && !is_over {
                let why = format!(
                    "nothing was heard for {:?}; its machine or the network is gone, or it was killed",
                    self.liveness
                );
                link.end(Err(lost(&link.peer, why)));
            } else if silent > 0 && !is_over {
                ask.push(identity.clone());
            }
            true
        };
        self.links.lock().unwrap_or_else(PoisonError::into_inner).retain(|identity, link| keep(identity, link));
        for identity in ask {
            self.answer(&identity, &Message::Ping);
        }
    }
}
