//! The blocking loop of a host: moves frames between a connection and the session until it ends.

use std::time::{Duration, Instant};

use super::host::{Host, Turn};
use crate::{
    endpoint::{
        connect::connection::Connection,
        wait::{Notice, Wait, absent_after},
    },
    error::{ErrorKind, Result},
    frame::Frame,
    wire::Kind,
};

/// How long the last frame of a session may take.
const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// Hosts one session on the calling thread until it ends. `Ok` if the agent said goodbye or `wait`
/// ended it, by its flag or an error of kind [`Closed`](ErrorKind::Closed).
///
/// That an agent joined, and how it left, is told to [`Wait::notice`].
pub fn serve(connection: &mut Connection, host: &mut Host<'_>, wait: &mut Wait<'_>) -> Result<()> {
    connection.attend(wait.cancel);
    let result = turn(connection, host, wait);
    // What follows has a bound of its own.
    let mut last = Wait::new(Some(GOODBYE_TIME));
    let mut is_closing = false;
    let result = match result {
        Err(error) if error.kind() == ErrorKind::Closed => {
            if host.goodbye("the host is closing").is_ok() {
                let _ = connection.send(host.answer().0, &[], &mut last);
            }
            host.core.report.is_ended_here();
            is_closing = true;
            Ok(())
        }
        // Another session has its permit.
        Err(error) if error.kind() == ErrorKind::Busy => {
            if host.part(&error).is_ok() {
                let _ = connection.send(host.answer().0, &[], &mut last);
            }
            Err(error)
        }
        result => result,
    };
    if !result.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionLost) {
        let _ = connection.close(last.deadline);
    }
    let result = host.finish(&connection.peer(), result, wait);
    if !is_closing || host.core.report.has_joined() {
        host.tell_end(&connection.peer(), &result, wait);
    }
    result
}

/// Whether a frame asks for an environment.
pub(in crate::endpoint) fn is_make(frame: &[u8]) -> bool {
    frame.first() == Some(&(Kind::Make as u8))
}

/// For people: that the agent has not asked for an environment yet.
pub(in crate::endpoint) fn waiting_for_agent(connection: &Connection) -> String {
    format!("{connection}: connected; waiting for the agent to ask for an environment, as reset() does there")
}

/// How often a session whose agent has asked for no environment checks that it still has its permit.
const PERMIT_INTERVAL: Duration = Duration::from_secs(1);

/// What a session waits for.
enum Incoming {
    /// A request.
    Frame(Frame),
    /// The agent has closed the connection.
    End,
    /// An answer to an earlier request, see [`Host::next_answer`].
    Done,
}

/// Tells people of an agent that asks for nothing: it may think for hours.
struct IdleNotice {
    /// [`ConnectionOptions::notice_after`](crate::ConnectionOptions::notice_after).
    notice_after: Duration,
    /// Since when no environment was asked for, until people are told.
    unasked: Option<Instant>,
    /// Look again then. It is not counted from each request on, which would cost a look at the clock.
    until: Option<Instant>,
    /// Looks since the last request.
    looks: u32,
}

impl IdleNotice {
    fn new(notice_after: Duration) -> Self {
        let now = Instant::now();
        let until = now.checked_add(absent_after(notice_after).min(PERMIT_INTERVAL));
        Self { notice_after, unasked: Some(now), until, looks: 0 }
    }

    /// The next request, or something that the environments have answered.
    fn next(&mut self, connection: &mut Connection, host: &Host<'_>, wait: &mut Wait<'_>) -> Result<Incoming> {
        self.looks = 0;
        loop {
            match host.next(connection, &mut wait.soft_deadline(self.until)) {
                Err(error) if error.kind() == ErrorKind::Timeout => {
                    wait.check_interrupts()?;
                    if host.has_answer() {
                        return Ok(Incoming::Done);
                    }
                    if !host.was_asked() {
                        let absent_after = absent_after(self.notice_after);
                        self.until = Instant::now().checked_add(absent_after.min(PERMIT_INTERVAL));
                        // Its permit may be needed.
                        connection.check_permit()?;
                        if self.unasked.take_if(|since| since.elapsed() >= absent_after).is_some() {
                            wait.tell(Notice::Info(&waiting_for_agent(connection)));
                        }
                        continue;
                    }
                    if matches!(host.wake_flag(), Some((_, true))) {
                        // It is the agent that waits.
                        (self.looks, self.until) = (0, Instant::now().checked_add(self.notice_after / 2));
                        continue;
                    }
                    self.looks += 1;
                    self.until = Instant::now().checked_add(self.notice_after / 2);
                    // By then it is two whole rounds, for the first may have begun before the last request.
                    if self.looks == 3 {
                        let text = format!(
                            "{connection}: for more than {} s the agent has asked for nothing; {}",
                            self.notice_after.as_secs_f64(),
                            host.core.last_request()
                        );
                        wait.tell(Notice::Info(&text));
                    }
                }
                next => return Ok(next?.map_or(Incoming::End, Incoming::Frame)),
            }
        }
    }
}

fn turn(connection: &mut Connection, host: &mut Host<'_>, wait: &mut Wait<'_>) -> Result<()> {
    let mut idle = IdleNotice::new(connection.notice_after());
    loop {
        // One at a time: an agent that sends many requests may take no answer before the next request is taken.
        if let Some(answer) = host.next_answer() {
            if let Turn::End(error) = answer {
                return Err(error);
            }
            send_answer(connection, host, wait)?;
        }
        if let Some((flag, is_armed)) = host.wake_flag() {
            connection.arm(flag, is_armed);
        }
        let incoming = match idle.next(connection, host, wait) {
            Err(error) if error.kind() == ErrorKind::Protocol => {
                host.abort(&error);
                let _ = connection.send(host.answer().0, &[], &mut Wait::new(Some(GOODBYE_TIME)));
                return Err(error);
            }
            result => result?,
        };
        let frame = match incoming {
            Incoming::Frame(frame) => frame,
            // An agent that closes without a goodbye is gone all the same.
            Incoming::End => return Ok(()),
            Incoming::Done => continue,
        };
        if !host.was_asked() {
            match is_make(&frame) {
                true => connection.keep_permit()?,
                // It may ask for other things without end.
                false => connection.check_permit()?,
            }
        }
        match host.handle(&frame) {
            Turn::Answer => {
                drop(frame);
                send_answer(connection, host, wait)?;
            }
            Turn::Later => {}
            Turn::End(error) => {
                return if error.kind() == ErrorKind::Closed { Ok(()) } else { Err(error) };
            }
            Turn::Abort(error) => {
                let _ = connection.send(host.answer().0, &[], &mut Wait::new(Some(GOODBYE_TIME)));
                return Err(error);
            }
        }
    }
}

fn send_answer(connection: &mut Connection, host: &mut Host<'_>, wait: &mut Wait<'_>) -> Result<()> {
    let (head, body) = host.answer();
    // The frame is sent in pieces if the agent reads slowly; the deadline is the agent's life.
    connection.send(head, body, wait)?;
    if let Some(text) = host.news(|| connection.peer()) {
        wait.tell(Notice::Info(&text));
    }
    Ok(())
}
