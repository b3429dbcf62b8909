//! The end that dials.

use std::{collections::HashMap, io, os::unix::net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use rlay_core::{
    Address, Channel, Error, Result, TransportOptions,
    net::{self, lost},
    wire::ForeignProtocol,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use zeromq::{DealerSocket, Socket, ZmqError};

use crate::{
    channel::ZmqChannel,
    hub::{Hub, Links, Reader, Writer},
    link::{Link, WINDOW},
    message::Message,
};

/// The first bytes of ZeroMQ, sent by both ends before either has received any (ZMTP 3.1, "signature").
const SIGNATURE: [u8; 10] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f];

/// The address as the `zeromq` crate writes it, if its listener speaks ZeroMQ: the crate would retry for ever and never
/// say why.
async fn endpoint(address: &Address) -> Result<String> {
    let cannot = |e: io::Error| net::cannot_connect(address, e);
    if address.scheme() == "zmq+ipc" {
        let path = net::file(address)?;
        let to = SocketAddr::from_pathname(path).map_err(cannot)?;
        let stream = net::dial_local_async(&to).await.and_then(UnixStream::from_std);
        let mut stream = stream.map_err(cannot)?;
        net::check_user(&stream)?;
        greet(address, &mut stream).await?;
        return Ok(format!("ipc://{}", path.display()));
    }
    let found = net::look_up(address).await?;
    let mut stream = TcpStream::connect(&found[..]).await.map_err(cannot)?;
    let ends = stream.local_addr().and_then(|own| Ok((own, stream.peer_addr()?)));
    ends.and_then(|(own, peer)| net::check_not_itself(&stream, own, peer)).map_err(cannot)?;
    greet(address, &mut stream).await?;
    Ok(format!("tcp://{}", stream.peer_addr().map_err(cannot)?))
}

/// Fails unless the listener begins as ZeroMQ does.
async fn greet(address: &Address, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<()> {
    let mut first = [0; SIGNATURE.len()];
    let mut known = 0;
    let greeted: io::Result<()> = async {
        stream.write_all(&SIGNATURE).await?;
        while known < first.len() {
            match stream.read(&mut first[known..]).await? {
                0 => break,
                n => known += n,
            }
        }
        Ok(())
    }
    .await;
    match ForeignProtocol::recognize(&first[..known]) {
        Some(ForeignProtocol::Zmq) => Ok(()),
        Some(who) => Err(Error::protocol(format!("{address}: {who}, which speaks no ZeroMQ; {}", who.advice()))),
        None if known > 0 => {
            Err(Error::protocol(format!("{address}: what listens there speaks no ZeroMQ; check the address and port")))
        }
        None => {
            let why = greeted.as_ref().err().map_or_else(|| "it hung up".to_owned(), ToString::to_string);
            let text =
                format!("{why} when it was greeted as ZeroMQ does; if it is no zmq listener, dial it as tcp or tls");
            let error = lost(format_args!("cannot connect to {address}"), text);
            Err(match greeted {
                Ok(()) => error,
                Err(cause) => error.with_source(cause),
            })
        }
    }
}

pub(crate) async fn connect(address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    address.no_options()?;
    let endpoint = endpoint(address).await?;
    let mut socket = DealerSocket::new();
    let events = socket.monitor().fuse();
    let failed = |e| match e {
        ZmqError::Network(error) => net::cannot_connect(address, error),
        // The listener began as ZeroMQ does, and continued otherwise.
        _ => lost(format_args!("cannot connect to {address}"), "what listens there is no ZeroMQ socket of RLay's"),
    };
    socket.connect(&endpoint).await.map_err(failed)?;
    let (writer, reader) = socket.split();
    let (link, arrived) = Link::new(address.to_string());
    let link = Arc::new(link);
    let links: Links = Arc::new(HashMap::from([(Bytes::new(), link.clone())]).into());
    let (reader, writer) = (Reader::Dealer(reader), Writer::Dealer(writer));
    let outbox = Hub { reader, writer, events, links, door: None, liveness: options.liveness }.spawn();
    // The first message tells the listener of the connection.
    let _ = outbox.send((Bytes::new(), Message::Credit(WINDOW).encode()));
    Ok(Box::new(ZmqChannel::new(link, arrived, (outbox, Bytes::new()), options.max_frame)))
}
