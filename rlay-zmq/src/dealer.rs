//! The end that dials.

use std::{collections::HashMap, io, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use rlay_core::{
    Address, Channel, Result, TransportOptions,
    net::{self, lost},
};
use tokio::net::{TcpStream, UnixStream};
use zeromq::{DealerSocket, Socket};

use crate::{
    channel::ZmqChannel,
    hub::{Hub, Links, Reader, Writer},
    link::{Link, WINDOW},
    message::Message,
};

/// What the `zeromq` crate calls the address, if somebody listens there: it would try again for ever
/// and never say why.
async fn endpoint(address: &Address) -> Result<String> {
    let cannot = |e: io::Error| net::cannot_connect(address, &e);
    if address.scheme() == "zmq+ipc" {
        let path = net::file(address)?;
        net::check_user(UnixStream::connect(path).await.map_err(cannot)?)?;
        return Ok(format!("ipc://{}", path.display()));
    }
    let found = net::look_up(address).await?;
    let stream = TcpStream::connect(&found[..]).await.map_err(cannot)?;
    Ok(format!("tcp://{}", stream.peer_addr().map_err(cannot)?))
}

pub(crate) async fn connect(address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    address.no_options()?;
    let endpoint = endpoint(address).await?;
    let mut socket = DealerSocket::new();
    let events = socket.monitor().fuse();
    socket.connect(&endpoint).await.map_err(|e| lost(format_args!("cannot connect to {address}"), e))?;
    let (writer, reader) = socket.split();
    let (link, arrived) = Link::new(address.to_string());
    let link = Arc::new(link);
    let links: Links = Arc::new(HashMap::from([(Bytes::new(), link.clone())]).into());
    let (reader, writer) = (Reader::Dealer(reader), Writer::Dealer(writer));
    let outbox = Hub { reader, writer, events, links, door: None, liveness: options.liveness }.spawn();
    // The listener learns of the connection by its first message.
    let _ = outbox.send((Bytes::new(), Message::Credit(WINDOW).encode()));
    Ok(Box::new(ZmqChannel::new(link, arrived, (outbox, Bytes::new()), options.max_frame)))
}
