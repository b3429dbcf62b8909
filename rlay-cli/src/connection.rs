//! Connection: frames to and from the peer as they are, counted and recorded, with every wait bounded.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use rlay::{
    BlockingChannel, ErrorKind, Limits,
    wire::{END, Fault, Header, Kind, Message, Reader},
};

use crate::{frames, stream::ByteStream};

/// Why a check does not pass.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The peer broke what a section of docs/wire.md demands.
    Failed {
        /// The section.
        section: u8,
        /// What is wrong.
        why: String,
    },
    /// The check says nothing about this peer.
    NotApplicable(String),
}

/// The result of a check, and of what checks are made of.
pub(crate) type Verdict<T = ()> = Result<T, Stop>;

/// The peer did what the section does not allow.
pub(crate) fn failed<T>(section: u8, why: impl Into<String>) -> Verdict<T> {
    Err(Stop::Failed { section, why: why.into() })
}

/// The check says nothing about this peer.
pub(crate) fn not_applicable<T>(why: impl Into<String>) -> Verdict<T> {
    Err(Stop::NotApplicable(why.into()))
}

/// An entry of the record of a check.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// A connection began, or something else happened that is no frame.
    Note(String),
    /// A frame to the peer.
    Sent(Vec<u8>),
    /// Bytes to the peer that are no frame.
    SentBytes(Vec<u8>),
    /// A frame of the peer.
    Received(Vec<u8>),
}

/// The record of a check, which is printed if it fails.
pub(crate) type Record = Rc<RefCell<Vec<Entry>>>;

/// What came of waiting for the peer.
#[derive(Debug)]
pub(crate) enum Event {
    /// A frame.
    Frame(Vec<u8>),
    /// The mark that nothing follows.
    Closed,
    /// The end of the connection without it.
    Lost(String),
    /// Bytes that are no frame.
    Malformed(String),
    /// Nothing, for as long as was waited.
    Silence,
}

impl Event {
    /// What happened, as the end of a sentence.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Frame(frame) => {
                let kind = frame.first().copied().and_then(frames::kind);
                kind.map_or_else(|| "a frame of no known kind came".to_owned(), |kind| format!("{kind:?} came"))
            }
            Self::Closed => "the peer closed the connection".to_owned(),
            Self::Lost(why) => format!("the connection broke ({why})"),
            Self::Malformed(why) => format!("what came is no frame ({why})"),
            Self::Silence => "nothing came".to_owned(),
        }
    }
}

/// What carries the frames.
pub(crate) enum Carrier {
    Channel(Box<dyn BlockingChannel>),
    Stream(ByteStream),
    /// It was cut.
    None,
}

/// A connection to the peer.
pub(crate) struct Connection {
    carrier: Carrier,
    record: Record,
    /// How long an answer may take.
    answer_timeout: Duration,
    /// The number of the last frame sent.
    pub(crate) sent: u64,
    /// The number of the last frame received.
    pub(crate) received: u64,
    limits: Limits,
}

/// An answer: a frame with right numbers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) header: Header,
    pub(crate) frame: Vec<u8>,
}

impl Answer {
    /// The message; it was read once already.
    pub(crate) fn message(&self) -> Verdict<Message<'_>> {
        read(&self.frame).map(|(_, message)| message)
    }

    /// The error, if it is one.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self.message() {
            Ok(Message::Error(fault)) => Some(fault),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn words(&self) -> String {
        match self.fault() {
            Some(fault) => format!("Error {} ({})", fault.code, fault.failure.message),
            None => format!("{:?}", self.header.kind),
        }
    }
}

/// Reads a frame of the peer; what is malformed fails the check.
pub(crate) fn read(frame: &[u8]) -> Verdict<(Header, Message<'_>)> {
    let mut reader = Reader::new(frame, 0, &Limits::default());
    let header = match Header::read(&mut reader) {
        Ok(header) => header,
        Err(error) => return failed(2, format!("the peer's header is malformed: {error}")),
    };
    match Message::read(header, reader) {
        Ok(message) => Ok((header, message)),
        Err(error) => failed(8, format!("the peer's {:?} is malformed: {error}", header.kind)),
    }
}

impl Connection {
    pub(crate) fn new(carrier: Carrier, record: Record, answer_timeout: Duration) -> Self {
        Self { carrier, record, answer_timeout, sent: 0, received: 0, limits: Limits::default() }
    }

    /// Keeps the numbers of a session that goes on over another connection.
    pub(crate) fn continued(mut self, sent: u64, received: u64) -> Self {
        (self.sent, self.received) = (sent, received);
        self
    }

    /// Sets the limit of frames that are received, and lets longer ones be sent.
    pub(crate) fn lift_limit(&mut self) {
        if let Carrier::Channel(channel) = &mut self.carrier {
            channel.set_max_frame(self.limits.frame);
        }
    }

    /// Waits longer for answers to large frames: many values take their time to read, most of all in an interpreter.
    pub(crate) fn be_patient(&mut self) {
        self.answer_timeout *= 10;
    }

    /// Writes something into the record.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.record.borrow_mut().push(Entry::Note(text.into()));
    }

    /// Sends any bytes as a frame. That the connection is gone shows at the next wait.
    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        self.record.borrow_mut().push(Entry::Sent(frame.to_vec()));
        let result = match &mut self.carrier {
            Carrier::Channel(channel) => {
                channel.send(frame, &[], Some(Instant::now() + self.answer_timeout)).map_err(|e| e.to_string())
            }
            Carrier::Stream(stream) => {
                let prefix = (frame.len() as u32).to_le_bytes();
                stream.write(&[&prefix[..], frame].concat()).map_err(|e| e.to_string())
            }
            Carrier::None => Err("the connection was cut".to_owned()),
        };
        if let Err(why) = result {
            self.note(format!("sending failed: {why}"));
        }
    }

    /// Sends bytes that need not be frames, over a byte stream.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let Carrier::Stream(stream) = &mut self.carrier else { return };
        self.record.borrow_mut().push(Entry::SentBytes(bytes.to_vec()));
        if let Err(why) = stream.write(bytes) {
            self.record.borrow_mut().push(Entry::Note(format!("sending failed: {why}")));
        }
    }

    /// The next frame of an honest agent, which is counted.
    pub(crate) fn next_frame(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        self.sent += 1;
        frames::frame(kind, self.sent, self.received, 0, body)
    }

    /// Sends a message with right numbers; returns its number.
    pub(crate) fn send(&mut self, kind: Kind, body: &[u8]) -> u64 {
        let frame = self.next_frame(kind as u8, body);
        self.send_frame(&frame);
        self.sent
    }

    /// Waits for the peer.
    pub(crate) fn receive(&mut self) -> Event {
        self.receive_within(self.answer_timeout)
    }

    /// Waits for the peer for so long.
    pub(crate) fn receive_within(&mut self, time: Duration) -> Event {
        let event = match &mut self.carrier {
            Carrier::Stream(stream) => stream.receive(time),
            Carrier::None => Event::Lost("the connection was cut".to_owned()),
            Carrier::Channel(channel) => match channel.recv(Some(Instant::now() + time)) {
                Ok(Some(frame)) => Event::Frame(frame.to_vec()),
                Ok(None) => Event::Closed,
                Err(error) => match error.kind() {
                    ErrorKind::Timeout => Event::Silence,
                    ErrorKind::ConnectionLost => Event::Lost(error.to_string()),
                    _ => Event::Malformed(error.to_string()),
                },
            },
        };
        match &event {
            Event::Frame(frame) => self.record.borrow_mut().push(Entry::Received(frame.clone())),
            Event::Closed => self.note("the peer sent the mark that nothing follows"),
            Event::Lost(why) => self.note(format!("the connection ended without the close mark: {why}")),
            Event::Malformed(why) => self.note(format!("what came is no frame: {why}")),
            Event::Silence => self.note(format!("nothing came for {} ms", time.as_millis())),
        }
        event
    }

    /// The answer to one of these requests.
    pub(crate) fn answer_to_any(&mut self, requests: &[u64], what: &str) -> Verdict<Answer> {
        let frame = match self.receive() {
            Event::Frame(frame) => frame,
            Event::Silence => {
                return failed(10, format!("{what} was not answered within {} s", self.answer_timeout.as_secs_f64()));
            }
            other => return failed(10, format!("{what} was to be answered, but {}", other.words())),
        };
        let (header, message) = read(&frame)?;
        self.count(header)?;
        match &message {
            Message::Error(fault) if fault.fatal => {
                return failed(
                    10,
                    format!(
                        "{what} was to be answered, but the peer ended the session with a fatal Error {}: {}",
                        fault.code, fault.failure.message
                    ),
                );
            }
            Message::Goodbye(goodbye) => {
                let text = format!("{what} was to be answered, but the peer said Goodbye: {}", goodbye.message);
                return failed(10, text);
            }
            _ => {}
        }
        if !requests.contains(&header.re) {
            let wanted = requests.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ");
            return failed(
                2,
                format!(
                    "re of {:?} is {}, and must be {wanted}: the seq of the request it answers",
                    header.kind, header.re
                ),
            );
        }
        if header.ack < header.re {
            let (ack, re) = (header.ack, header.re);
            return failed(2, format!("ack is {ack} in the answer to frame {re}, which the peer has received"));
        }
        Ok(Answer { header, frame })
    }

    /// The answer to a request.
    pub(crate) fn answer(&mut self, request: u64, what: &str) -> Verdict<Answer> {
        self.answer_to_any(&[request], what)
    }

    /// Sends a request and returns the answer.
    pub(crate) fn ask(&mut self, kind: Kind, body: &[u8], what: &str) -> Verdict<Answer> {
        let seq = self.send(kind, body);
        self.answer(seq, what)
    }

    /// Checks the numbers of a frame of the peer and counts it.
    pub(crate) fn count(&mut self, header: Header) -> Verdict {
        let wanted = self.received + 1;
        if header.seq != wanted {
            return failed(2, format!("seq of {:?} is {}, and must be {wanted}", header.kind, header.seq));
        }
        self.received = header.seq;
        if header.ack > self.sent {
            return failed(2, format!("ack is {}, though only {} frames were sent", header.ack, self.sent));
        }
        Ok(())
    }

    /// The peer must report a violation by a fatal Error 8 and close.
    pub(crate) fn expect_violation(&mut self, what: &str) -> Verdict {
        let frame = match self.receive() {
            Event::Frame(frame) => frame,
            other => return failed(13, format!("{what}: a fatal Error 8 must follow, but {}", other.words())),
        };
        let (header, message) = read(&frame)?;
        let Message::Error(fault) = message else {
            return failed(13, format!("{what}: a fatal Error 8 must follow, but {:?} came", header.kind));
        };
        self.count(header)?;
        if !fault.fatal || fault.code != 8 {
            let fatal = if fault.fatal { "fatal" } else { "non-fatal" };
            return failed(13, format!("{what}: a fatal Error 8 must follow, not a {fatal} Error {}", fault.code));
        }
        if header.re != 0 {
            return failed(8, format!("re of a fatal Error is {}, and must be 0", header.re));
        }
        self.expect_end(&format!("{what}, after the fatal Error"))
    }

    /// The peer must close the connection, with the mark that nothing follows.
    pub(crate) fn expect_end(&mut self, what: &str) -> Verdict {
        match self.receive() {
            Event::Closed => Ok(()),
            Event::Lost(_) => failed(1, format!("{what}: the connection ended without the close mark, as in a crash")),
            other => failed(13, format!("{what}: the peer must close the connection, but {}", other.words())),
        }
    }

    /// The peer must say nothing more and end the connection, with or without a mark.
    pub(crate) fn expect_silent_end(&mut self, section: u8, what: &str) -> Verdict {
        match self.receive() {
            Event::Closed | Event::Lost(_) => Ok(()),
            other => failed(section, format!("{what}: the peer must close without an answer, but {}", other.words())),
        }
    }

    /// Ends the session as an honest agent does; the peer must close, too.
    pub(crate) fn goodbye(&mut self) -> Verdict {
        self.send(
            Kind::Goodbye,
            &frames::body(|w| {
                w.put(0u32);
                w.str("");
            }),
        );
        self.after_goodbye()
    }

    /// What must follow a Goodbye: perhaps one of the peer, then the end.
    pub(crate) fn after_goodbye(&mut self) -> Verdict {
        match self.receive() {
            Event::Closed => {}
            Event::Frame(frame) => {
                let (header, message) = read(&frame)?;
                if !matches!(message, Message::Goodbye(_)) {
                    return failed(10, format!("after Goodbye nothing may follow, but {:?} came", header.kind));
                }
                self.count(header)?;
                self.expect_end("Goodbye")?;
            }
            Event::Lost(_) => {
                return failed(1, "after Goodbye the connection ended without the close mark, as in a crash");
            }
            other => return failed(10, format!("after Goodbye both sides close, but {}", other.words())),
        }
        self.close();
        Ok(())
    }

    /// Ends the connection as a crash does.
    pub(crate) fn abandon(&mut self) {
        self.note("the connection is cut");
        self.carrier = Carrier::None;
    }

    /// Sends the close mark.
    pub(crate) fn close(&mut self) {
        match &mut self.carrier {
            Carrier::Channel(channel) => drop(channel.close(Some(Instant::now() + Duration::from_millis(500)))),
            Carrier::Stream(stream) => drop(stream.write(&END)),
            Carrier::None => {}
        }
    }
}
