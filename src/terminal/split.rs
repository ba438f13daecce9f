//! One WebSocket, two threads: how its reading and its writing half are kept apart.
//!
//! tungstenite's `WebSocket` can't be split, and two of them on clones of one socket corrupt the stream: the reader's
//! automatic pong lands inside a frame that the writer has half sent. So the reading thread's `WebSocket` writes into
//! nothing ([`ReadSide`]), believes that its pongs and closes went out, and passes the client's pings and closes on as
//! messages; the writing thread is the only one that touches the socket ([`Outgoing`]) and encodes whole frames itself;
//! while it rests it lends its half ([`super::parked_writer`]).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;
use tungstenite::WebSocket;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::{Role, WebSocketConfig};

use super::budget::{Budget, Leave};
use super::frame::Close;
use super::input::SharedInput;

/// The largest message taken from a client.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// tungstenite's default is 128 KiB, which it zeroes, so they take real memory: four times that of a whole session.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// How long one write may block before the writer looks whether it should give up.
const WRITE_TICK: Duration = Duration::from_secs(1);
/// A frame buffer above this is given back when there is nothing more to send.
const IDLE_BUFFER_BYTES: usize = 4 * 1024;

/// The reading half, for a `WebSocket` whose writes are thrown away.
///
/// It is also the one place where the reading thread waits, so while keys wait for the container it waits for both:
/// input from the client, and room in the attach socket. An `ack` behind a huge paste is therefore always read, and a
/// program that is held until it comes goes on.
///
/// And it is where a client that sends too much is not read for a moment ([`super::budget`]).
pub struct ReadSide {
    stream: Arc<TcpStream>,
    input: SharedInput,
    budget: Budget,
}

/// Puts a `WebSocket` over the reading half. `leftover` came behind the handshake's head.
pub fn reader(
    stream: Arc<TcpStream>,
    leftover: Vec<u8>,
    input: SharedInput,
    budget: Budget,
) -> WebSocket<ReadSide> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let side = ReadSide {
        stream,
        input,
        budget,
    };
    WebSocket::from_partially_read(side, leftover, Role::Server, Some(config))
}

impl ReadSide {
    /// Counts a message that was read.
    pub fn count_message(&mut self) {
        self.budget.spend_message();
    }

    /// Waits until the client may send more.
    fn hold_back(&mut self) -> io::Result<()> {
        loop {
            match self.budget.leave(Instant::now()) {
                Leave::Now => return Ok(()),
                Leave::Never => return Err(io::ErrorKind::QuotaExceeded.into()),
                Leave::After(wait) if self.is_shut_within(wait)? => return Ok(()),
                Leave::After(_) => {}
            }
        }
    }

    /// Lets the time pass, writing the container's waiting keys meanwhile. Returns early, with true, when the
    /// connection was shut down.
    fn is_shut_within(&self, wait: Duration) -> io::Result<bool> {
        let until = Instant::now() + wait;
        loop {
            let input = self.input.stream().filter(|_| self.input.has_backlog());
            // `poll` always reports that the client has hung up, or that the connection is broken.
            let mut fds = vec![PollFd::new(&*self.stream, PollFlags::empty())];
            fds.extend(
                input
                    .iter()
                    .map(|input| PollFd::new(&**input, PollFlags::OUT)),
            );
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let limit = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(&mut fds, Some(&limit)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(cause) => return Err(cause.into()),
            }
            if !fds[0].revents().is_empty() {
                return Ok(true);
            }
            if fds.get(1).is_some_and(|input| !input.revents().is_empty()) {
                self.input.drain();
            }
        }
    }

    /// Waits until the client has sent something, writing the container's waiting keys meanwhile.
    fn wait_for_client(&self) -> io::Result<()> {
        while self.input.has_backlog() {
            let Some(input) = self.input.stream() else {
                return Ok(());
            };
            let mut fds = [
                PollFd::new(&*self.stream, PollFlags::IN),
                PollFd::new(&*input, PollFlags::OUT),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(cause) => return Err(cause.into()),
            }
            let (client, container) = (fds[0].revents(), fds[1].revents());
            if !container.is_empty() {
                self.input.drain();
            }
            if !client.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Read for ReadSide {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.hold_back()?;
        loop {
            self.wait_for_client()?;
            match (&*self.stream).read(buffer) {
                // tungstenite would pass this up as the end of the connection.
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.budget.spend_bytes(count);
                    return Ok(count);
                }
                Err(cause) => return Err(cause),
            }
        }
    }
}

impl Write for ReadSide {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The writing half: encodes frames into a buffer, then writes whole frames.
pub struct Outgoing {
    stream: Arc<TcpStream>,
    /// Encoded frames that were not written yet.
    pub buffer: Vec<u8>,
}

impl Outgoing {
    /// The only writer of `stream` from now on.
    ///
    /// # Errors
    /// When the socket is broken already.
    pub fn new(stream: Arc<TcpStream>) -> io::Result<Self> {
        stream.set_write_timeout(Some(WRITE_TICK))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Encodes a text frame.
    pub fn text(&mut self, text: &str) {
        frame(OpCode::Data(Data::Text), text.as_bytes(), &mut self.buffer);
    }

    /// Encodes a ping (RFC 6455 §5.5.2).
    pub fn ping(&mut self) {
        frame(OpCode::Control(Control::Ping), b"", &mut self.buffer);
    }

    /// Encodes a pong with the ping's payload (RFC 6455 §5.5.3).
    pub fn pong(&mut self, payload: &[u8]) {
        frame(OpCode::Control(Control::Pong), payload, &mut self.buffer);
    }

    /// Encodes a close frame (RFC 6455 §5.5.1). Nothing may be encoded after it.
    pub fn close(&mut self, code: u16, reason: &str) {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(reason.bytes().take(123));
        frame(OpCode::Control(Control::Close), &payload, &mut self.buffer);
    }

    /// Writes everything encoded so far. Whenever the client takes nothing for a while, `may_go_on` decides.
    ///
    /// # Errors
    /// When the client is gone, or `may_go_on` said no: then a frame may be half written and the socket is
    /// of no more use, so it is shut down.
    pub fn flush(&mut self, may_go_on: impl Fn() -> bool) -> io::Result<()> {
        let mut written = 0;
        while written < self.buffer.len() {
            match (&*self.stream).write(&self.buffer[written..]) {
                Ok(0) => return Err(self.give_up(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock && may_go_on() => {}
                Err(cause) => return Err(self.give_up(cause)),
            }
        }
        self.buffer.clear();
        Ok(())
    }

    /// Sends what is encoded, without blocking; what the socket does not take stays in the buffer. Returns whether all
    /// is sent.
    pub fn send_now(&mut self) -> bool {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // The writer learns that the socket is broken when it writes next.
        let sent = rustix::net::send(&*self.stream, &self.buffer, flags).unwrap_or(0);
        if sent == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..sent);
        }
        self.buffer.is_empty()
    }

    /// Moves the writing half out, to be lent. What stays here must not be written to.
    pub fn take(&mut self) -> Self {
        Self {
            stream: Arc::clone(&self.stream),
            buffer: std::mem::take(&mut self.buffer),
        }
    }

    /// Gives back a big buffer, before a long wait.
    pub fn rest(&mut self) {
        self.buffer.shrink_to(IDLE_BUFFER_BYTES);
    }

    fn give_up(&self, cause: io::Error) -> io::Error {
        // Wakes the reading thread too. Fails only when the socket is gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
        cause
    }
}

/// Puts the header of an unmasked binary frame of `count` bytes into `out`; the payload follows it.
pub fn binary_header(count: usize, out: &mut Vec<u8>) {
    header(OpCode::Data(Data::Binary), count, out);
}

fn frame(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    header(opcode, payload.len(), out);
    out.extend_from_slice(payload);
}

fn header(opcode: OpCode, count: usize, out: &mut Vec<u8>) {
    let header = FrameHeader {
        is_final: true,
        opcode,
        mask: None,
        ..FrameHeader::default()
    };
    header
        .format(count as u64, out)
        .expect("writing into a Vec can't fail");
}

/// Which close frame answers what tungstenite found wrong, if the socket still works.
pub fn close_for(error: &tungstenite::Error) -> Option<Close> {
    match error {
        tungstenite::Error::Capacity(_) => Some(Close::TooBig),
        tungstenite::Error::Utf8(_) => Some(Close::NotUtf8),
        tungstenite::Error::Io(cause) if cause.kind() == io::ErrorKind::QuotaExceeded => {
            Some(Close::TooMuch)
        }
        tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => None,
        tungstenite::Error::Protocol(_) => Some(Close::ProtocolError),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_in_rfc_6455_section_5_7() {
        let mut out = Vec::new();
        frame(OpCode::Data(Data::Text), b"Hello", &mut out);
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        frame(OpCode::Control(Control::Pong), b"Hello", &mut out);
        assert_eq!(out, [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        for (count, expected) in [
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (256, vec![0x82, 126, 1, 0]),
            (65536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            out.clear();
            binary_header(count, &mut out);
            assert_eq!(out, expected);
        }
    }
}
