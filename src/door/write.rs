//! Writes answers to strangers: to fast ones immediately, to slow ones for as long as they keep up the least pace.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::MinDataRate;
use super::message::{RequestId, Response};
use super::print::{Form, print};
use super::stop_event::StopEvent;
use super::wire::{Cut, receive, send_all, send_start};

/// How long and how much the server reads and throws away after the answer, so that the answer arrives: closing a
/// socket with unread bytes makes the kernel send a reset, which overtakes the answer. A proxy in front may have
/// megabytes under way.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How one connection's answer is written.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub(super) form: Form,
    /// Headers that every answer gets.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) pace: MinDataRate,
    pub(super) closing: Arc<StopEvent>,
}

impl Manner {
    /// Writes the answer by its deadline, then says that nothing more comes, unless the connection stays open.
    pub(super) fn write(
        &self,
        stream: &TcpStream,
        mut response: Response,
        id: RequestId,
    ) -> Result<(), Cut> {
        response.headers.extend(self.headers.iter().cloned());
        let (head, body) = print(response, id, self.form);
        // Only the kernel sees what the client has taken: megabytes may lie in the socket's buffer, and `poll` stays
        // silent until a third of them is gone. It fails only on a Unix socket, which has no such timeout, and on a
        // socket that is dead already.
        let patience = u32::try_from(self.pace.patience.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, patience);
        let deadline = Instant::now() + self.pace.time_for(head.len() + body.len());
        let closing = Some(&*self.closing);
        if body.is_empty() {
            send_all(stream, &head, deadline, closing)?;
        } else {
            send_start(stream, &head, deadline, closing)?;
            send_all(stream, &body, deadline, closing)?;
        }
        if self.form.stays_open.is_none() {
            self.linger(stream);
        }
        Ok(())
    }

    /// Says that nothing more comes, then waits a moment for the client to have read it.
    fn linger(&self, stream: &TcpStream) {
        if stream.shutdown(Shutdown::Write).is_err() {
            return; // The client is gone already.
        }
        let deadline = Instant::now() + LINGER;
        let mut left = LINGER_BYTES;
        let mut chunk = [0; 4096];
        while left > 0 {
            match receive(stream, &mut chunk, deadline, Some(&self.closing)) {
                Ok(0) | Err(_) => return,
                Ok(got) => left = left.saturating_sub(got),
            }
        }
    }
}
