//! The end that dials.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use rlay_core::{
    Address, Channel, Result, TransportOptions,
    net::{self, lost},
};
use zeromq::{DealerSocket, Socket};

use crate::{
    channel::ZmqChannel,
    hub::{Hub, Links, Reader, Side, Writer},
    link::{Link, WINDOW},
    message::Message,
};

/// What the `zeromq` crate calls the address.
pub(crate) fn endpoint(address: &Address) -> Result<String> {
    Ok(match address.scheme() {
        "zmq+ipc" => format!("ipc://{}", net::file(address)?.display()),
        _ => format!("tcp://{}", net::resolve(address)?[0]),
    })
}

pub(crate) async fn connect(address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    address.no_options()?;
    let endpoint = endpoint(address)?;
    let mut socket = DealerSocket::new();
    let events = socket.monitor().fuse();
    socket.connect(&endpoint).await.map_err(|e| lost(format_args!("cannot connect to {address}"), e))?;
    let (writer, reader) = socket.split();
    let (link, arrived) = Link::new(address.to_string());
    let link = Arc::new(link);
    let links: Links = Arc::new(HashMap::from([(Bytes::new(), link.clone())]).into());
    let mut writer = Writer::Dealer(Arc::new(writer.into()));
    let hub = Hub {
        reader: Reader::Dealer(reader),
        events,
        links,
        side: Side::Dealer(writer.clone()),
        liveness: options.liveness,
    };
    // The listener learns of the connection by its first message.
    let opened = writer.send(Message::Credit(WINDOW).encode()).await;
    opened.map_err(|e| lost(format_args!("cannot connect to {address}"), e))?;
    Ok(Box::new(ZmqChannel::new(link, arrived, writer, options.max_frame, hub.spawn())))
}
