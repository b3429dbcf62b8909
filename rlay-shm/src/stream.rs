//! Stream: what both forms of the channel share: framing over the pipe, wake-ups, and the end.

use std::{
    io::{self, Read},
    net::Shutdown,
    os::unix::net::UnixStream,
};

use rlay_core::{
    Error, ErrorKind, Frame, Result, TransportOptions,
    net::{broken, lost},
    wire::{END, Framing},
};
use rustix::net::{SendFlags, send};

use crate::{
    pipe::{Need, Pipe, Sleep},
    region::{Region, Side},
};

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) pipe: Pipe,
    pub(crate) socket: UnixStream,
    framing: Framing,
    peer: String,
    /// Part of a frame was sent and the rest never will be, or is being sent.
    pub(crate) is_sending: bool,
    is_closed: bool,
    /// The other side was awake when it was last told of bytes or room.
    pub(crate) peer_is_awake: bool,
    /// The other side was not told yet of the present room.
    owes_room: bool,
    /// Bytes of the last frame in each direction.
    last_sent: usize,
    last_received: usize,
    /// The socket has ended: nothing is written any more.
    has_ended: bool,
    /// After a fork the connection still belongs to the parent.
    pid: u32,
}

/// The result of one check of the pipe.
#[derive(Debug)]
pub(crate) enum Look {
    Frame(Frame),
    End,
    /// Nothing yet.
    Wait,
}

impl Stream {
    pub(crate) fn new(
        region: Region,
        side: Side,
        socket: UnixStream,
        peer: String,
        options: &TransportOptions,
    ) -> Self {
        Self {
            pipe: Pipe::new(region, side),
            socket,
            framing: Framing::new(options.max_frame),
            peer,
            is_sending: false,
            is_closed: false,
            peer_is_awake: true,
            owes_room: false,
            last_sent: 0,
            last_received: 0,
            has_ended: false,
            pid: std::process::id(),
        }
    }

    pub(crate) fn usable(&self) -> Result<()> {
        if self.is_closed {
            return Err(Error::new(ErrorKind::Closed, "the channel was closed"));
        }
        if self.is_sending { Err(broken(&self.peer)) } else { Ok(()) }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(crate) fn prefix(&mut self, len: usize) -> Result<[u8; 4]> {
        self.last_sent = len;
        self.framing.prefix(len)
    }

    /// Bytes of the longer one of the last frames in both directions.
    pub(crate) fn longest_frame(&self) -> usize {
        self.last_sent.max(self.last_received)
    }

    pub(crate) fn set_max_frame(&mut self, max_frame: usize) {
        self.framing.set_max_frame(max_frame);
    }

    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether the socket has ended, so that nothing but the ring's content can arrive any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Wakes the peer if it sleeps for this need; whether it did.
    fn wake_peer(pipe: &Pipe, socket: &UnixStream, need: Need) -> bool {
        let woken = pipe.wake_peer(need);
        if woken == Some(Sleep::Socket) {
            Self::send_wakeup(socket);
        }
        woken.is_some()
    }

    fn send_wakeup(socket: &UnixStream) {
        // A full socket holds enough wake-ups, and reads report a broken one.
        let _ = send(socket, &[1], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Writes what fits. Whether that was all.
    pub(crate) fn put(&mut self, parts: &[&[u8]], sent: &mut usize) -> Result<bool> {
        if self.has_ended || self.pipe.is_closed() {
            return Err(lost(&self.peer, "the other end has closed the channel or is gone"));
        }
        let socket = &self.socket;
        let mut is_awake = true;
        let put = self.pipe.put(parts, sent, |pipe| {
            // Whom the first piece wakes, the last one finds awake.
            is_awake = !Self::wake_peer(pipe, socket, Need::Data);
        });
        self.peer_is_awake = is_awake;
        put
    }

    /// Reads the available bytes.
    pub(crate) fn get(&mut self) -> Result<Look> {
        loop {
            if let Some(frame) = self.framing.take()? {
                self.last_received = frame.len();
                // The next check may be long after.
                if self.owes_room {
                    self.tell_of_room();
                }
                return Ok(Look::Frame(frame));
            }
            if self.framing.ended() {
                return Ok(Look::End);
            }
            let n = self.pipe.get(self.framing.space())?;
            if n == 0 {
                if self.has_ended {
                    return Err(lost(
                        &self.peer,
                        "the connection ended without a goodbye; the process at the other end was killed or crashed",
                    ));
                }
                return Ok(Look::Wait);
            }
            self.framing.filled(n);
            // A writer that sleeps would fill a little room in less time than its wake-up takes.
            self.owes_room = !self.pipe.is_half_free();
            if !self.owes_room {
                self.tell_of_room();
            }
        }
    }

    /// Whether the other side is within a frame, and so has more to write.
    pub(crate) fn is_amid_frame(&self) -> bool {
        self.framing.is_amid_frame()
    }

    fn tell_of_room(&mut self) {
        self.owes_room = false;
        self.peer_is_awake = !Self::wake_peer(&self.pipe, &self.socket, Need::Room);
    }

    /// Takes the wake-ups that have arrived over the socket. `WouldBlock` if there is none.
    pub(crate) fn take_wakeups(&mut self) -> io::Result<()> {
        match self.socket.read(&mut [0; 64]) {
            Ok(0) => self.has_ended = true,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                self.has_ended = true;
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// The goodbye: nothing follows.
    pub(crate) const END: [&[u8]; 1] = [&END];

    /// Ends the connection. Written bytes stay in the memory for the peer to read.
    pub(crate) fn end(&mut self) {
        self.is_closed = true;
        if self.pid == std::process::id() {
            self.pipe.close();
            Self::send_wakeup(&self.socket);
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.is_closed {
            self.end();
        }
    }
}
