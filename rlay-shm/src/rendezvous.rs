//! Rendezvous: the Unix socket on which both sides connect, the check of the user, and the handover of the memory.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    time::Instant,
};

use rlay_core::{
    Address, Result,
    net::{bind_error, cannot_connect, check_descriptors, check_user, dial_local, dial_local_async, lost_by, own_uid},
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::region::Region;

/// The bytes sent with the memory: the protocol's name, and the layout's number.
const GREETING: &[u8; 8] = b"RLAYSHM1";
/// The descriptors that a connection holds until it is handed over: its socket, and the memory.
pub(crate) const DESCRIPTORS: usize = 2;
/// The length that an abstract name can have beside what is added to it (unix(7)).
const LONGEST: usize = 80;

/// The socket's name, which holds the user's number: users do not get into conflict.
fn socket_name(address: &Address) -> Result<SocketAddr> {
    address.no_options()?;
    let name = address.rest();
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(|c| c.is_ascii_graphic()) {
        return Err(address
            .error(format_args!("a name has 1 to {LONGEST} printable characters without spaces, as in shm://arena")));
    }
    SocketAddr::from_abstract_name(format!("rlay-shm-{}-{name}", own_uid()))
        .map_err(|e| address.error(&e).with_source(e))
}

pub(crate) fn listen(address: &Address) -> Result<UnixListener> {
    let listener = UnixListener::bind_addr(&socket_name(address)?).map_err(|e| bind_error(address, e))?;
    listener.set_nonblocking(true).map_err(|e| bind_error(address, e))?;
    Ok(listener)
}

pub(crate) fn dial(address: &Address, deadline: Option<Instant>) -> Result<UnixStream> {
    dialed(address, dial_local(&socket_name(address)?, deadline))
}

pub(crate) async fn dial_async(address: &Address) -> Result<UnixStream> {
    dialed(address, dial_local_async(&socket_name(address)?).await)
}

fn dialed(address: &Address, socket: io::Result<UnixStream>) -> Result<UnixStream> {
    let socket = socket.map_err(|e| cannot_connect(address, e))?;
    check_user(&socket)?;
    Ok(socket)
}

/// The listener's part: checks the dialer and hands it new memory. Never blocks.
pub(crate) fn hand_over(socket: &UnixStream) -> Result<Region> {
    check_user(socket)?;
    let hand_over = || {
        let (region, memory) = Region::create()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [memory.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(socket, &[IoSlice::new(GREETING)], &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        io::Result::Ok(region)
    };
    hand_over().map_err(|e| {
        check_descriptors(&e).err().unwrap_or_else(|| lost_by("the shared memory could not be handed over", e))
    })
}

/// The dialer's part: receives the memory. `WouldBlock` if the memory has not arrived yet.
pub(crate) fn take_over(socket: &UnixStream) -> io::Result<Region> {
    let mut greeting = [0; GREETING.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(&mut greeting)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let memory: Option<OwnedFd> = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    if message.bytes == 0 {
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the listener refused the connection"));
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(rustix::io::Errno::MFILE.into()); // of this process: there was no room for the memory's descriptor
    }
    let strange =
        || io::Error::new(io::ErrorKind::InvalidData, "the listener there is not RLay, or is another release of it");
    if message.bytes != GREETING.len() || greeting != *GREETING {
        return Err(strange());
    }
    Region::open(memory.ok_or_else(strange)?)
}
