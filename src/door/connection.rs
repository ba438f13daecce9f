//! A stranger's connection as a hand-off gets it: the socket, what is already read of it, and how to answer there.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::head::read_body;
use super::message::{RequestId, Response};
use super::wire::{Cut, send_all};
use super::write::Manner;

/// A stranger's connection as a hand-off gets it: blocking, no timeouts set, `TCP_NODELAY` on.
#[derive(Debug)]
pub struct Connection {
    /// The socket itself, which no other part holds.
    pub stream: TcpStream,
    /// Bytes that came behind the request and are already read: the start of the body or of the first frames.
    pub leftover: Vec<u8>,
    /// The client's address, as told by trusted proxies.
    pub peer: IpAddr,
    /// The client waits for `100 Continue` before it sends the body announced by `Body::TooLong`.
    pub expects_continue: bool,
    pub(super) manner: Manner,
}

impl Connection {
    /// Reads the body announced by `Body::TooLong`, all `length` bytes of it, within `limit`.
    ///
    /// # Errors
    /// When the client is gone or too slow, or the door closes.
    pub fn read_body(&mut self, length: usize, limit: Duration) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let closing = Arc::clone(&self.manner.closing);
        if self.expects_continue && self.leftover.is_empty() {
            let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
            send_all(&self.stream, go_on, deadline, Some(&closing))
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        }
        let received = std::mem::take(&mut self.leftover);
        let read = read_body(&self.stream, received, length, deadline, &closing);
        let (body, leftover) = read.map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.leftover = leftover;
        self.stream.set_read_timeout(None)?;
        self.stream.set_write_timeout(None)?;
        Ok(body)
    }

    /// Becomes readable when the door closes: what runs the connection has to end then.
    pub fn closing(&self) -> BorrowedFd<'_> {
        self.manner.closing.as_fd()
    }

    /// Whether the client sends nothing more: it has hung up, or only closed its sending side, which look the same
    /// from here.
    pub fn has_ended_sending(&self) -> bool {
        let signs = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut fds = [PollFd::new(&self.stream, signs)];
        // A look that fails tells nothing.
        let looked = poll(&mut fds, Some(&Timespec::default()));
        looked.is_ok() && fds[0].revents().intersects(signs)
    }

    /// Answers and closes, gently: what the client still sends is read and thrown away for a moment. May last as
    /// long as a slow client needs, or until the door closes; only the head is sent to a HEAD.
    pub fn respond(self, id: RequestId, response: Response) -> io::Result<()> {
        match self.manner.write(&self.stream, response, id) {
            Ok(()) => Ok(()),
            Err(Cut::Gone(error)) => Err(error),
            Err(Cut::TimedOut | Cut::Closing) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
