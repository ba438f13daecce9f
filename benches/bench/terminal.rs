//! The client's end of a terminal: bytes in, bytes out, as little of its own as possible.
//!
//! [`Bare`] is an attach to the Engine. [`Socket`] is a WebSocket whose frames are coded and parsed by hand:
//! no copies, one `read` a call, so that what is measured is the server and not a client library.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shellcraft::engine::{Attach, AttachReader};

/// No read takes longer, unless the measured side is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// As `docker attach` and the server's pump.
const BARE_BUFFER: usize = 32 * 1024;
/// A whole frame of the server's and some more.
const SOCKET_BUFFER: usize = 72 * 1024;
/// When a page reports what it has drawn (`static/src/net/ack.ts`).
const ACK_EVERY: u64 = 8 * 1024;
const ACK_SMALL: u64 = 1024;

/// A terminal as the measurements use it.
pub trait Terminal: Send {
    /// Sends keys at once.
    fn type_in(&mut self, keys: &[u8]) -> io::Result<()>;

    /// Reads once and shows the output to `sink`. There may be none, when it was a control frame.
    fn read(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()>;

    /// To wait for output.
    fn fd(&self) -> BorrowedFd<'_>;
}

/// Waits until there is something to read; whether there is before `limit`.
pub fn is_readable(terminal: &dyn Terminal, limit: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(terminal.fd(), PollFlags::IN)];
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    Ok(poll(&mut fds, Some(&limit))? > 0)
}

/// Reads until nothing came for `quiet`.
pub fn settle(terminal: &mut dyn Terminal, quiet: Duration) -> io::Result<()> {
    let due = Instant::now() + PATIENCE;
    while is_readable(terminal, quiet)? {
        terminal.read(&mut |_| {})?;
        if Instant::now() > due {
            return Err(io::Error::other("the terminal does not come to rest"));
        }
    }
    Ok(())
}

/// Reads until `marker` was seen; returns how many bytes came up to there, about.
pub fn read_until(terminal: &mut dyn Terminal, marker: &[u8]) -> io::Result<usize> {
    let mut seek = Seek::new(marker);
    let mut count = 0;
    while !seek.is_found {
        terminal.read(&mut |output| {
            count += output.len();
            seek.look(output);
        })?;
    }
    Ok(count)
}

/// Finds a marker in output that comes in pieces. The marker's first byte must not be in it again.
pub struct Seek<'a> {
    marker: &'a [u8],
    matched: usize,
    /// Whether it has been seen.
    pub is_found: bool,
}

impl<'a> Seek<'a> {
    pub fn new(marker: &'a [u8]) -> Self {
        Seek {
            marker,
            matched: 0,
            is_found: false,
        }
    }

    pub fn look(&mut self, output: &[u8]) {
        let mut rest = output;
        while !self.is_found {
            if self.matched == 0 {
                // Much faster than a step a byte: a flood has no marker in it.
                let Some(at) = rest.iter().position(|byte| *byte == self.marker[0]) else {
                    return;
                };
                rest = &rest[at..];
            }
            let Some((byte, others)) = rest.split_first() else {
                return;
            };
            if *byte == self.marker[self.matched] {
                self.matched += 1;
                self.is_found = self.matched == self.marker.len();
                rest = others;
            } else {
                self.matched = 0;
            }
        }
    }
}

/// An attach, with nobody between.
pub struct Bare {
    input: std::os::unix::net::UnixStream,
    output: AttachReader,
    buffer: Vec<u8>,
}

impl Bare {
    pub fn new(attach: Attach) -> io::Result<Bare> {
        // Both ends are one socket, so this is the reader's timeout too.
        attach.input.set_read_timeout(Some(PATIENCE))?;
        Ok(Bare {
            input: attach.input,
            output: attach.output,
            buffer: vec![0; BARE_BUFFER],
        })
    }

    /// For thousands of terminals.
    pub fn small(mut self) -> Bare {
        self.buffer = vec![0; 1024];
        self
    }
}

impl Terminal for Bare {
    fn type_in(&mut self, keys: &[u8]) -> io::Result<()> {
        self.input.write_all(keys)
    }

    fn read(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        match self.output.read(&mut self.buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                sink(&self.buffer[..count]);
                Ok(())
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

/// A TCP connection with nothing but the terminal's bytes in it.
pub struct Relayed {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Relayed {
    pub fn new(stream: TcpStream) -> io::Result<Relayed> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let buffer = vec![0; SOCKET_BUFFER];
        Ok(Relayed { stream, buffer })
    }
}

impl Terminal for Relayed {
    fn type_in(&mut self, keys: &[u8]) -> io::Result<()> {
        self.stream.write_all(keys)
    }

    fn read(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        match self.stream.read(&mut self.buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                sink(&self.buffer[..count]);
                Ok(())
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The tokens of the sessions that were started, by the session's id.
static TOKENS: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// Remembers by what a session's owner is known.
pub fn note_token(session: &str, token: &str) {
    let mut tokens = TOKENS.lock().expect("no panic");
    tokens.insert(session.to_owned(), token.to_owned());
}

/// The header that makes whoever sends it the owner of the session that the path is about.
pub fn authorization(path: &str) -> String {
    let id = path.strip_prefix("/session/");
    let id = id.and_then(|rest| rest.split('/').next());
    let tokens = TOKENS.lock().expect("no panic");
    let token = id.and_then(|id| tokens.get(id));
    token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    })
}

/// A WebSocket at a session, raw or `shellcraft.v1`.
pub struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    /// Payload of the current binary frame that has not come yet.
    left: u64,
    /// The next byte's absolute offset and the last one reported; a raw client has none.
    acks: Option<(u64, u64)>,
    out: Vec<u8>,
}

impl Socket {
    pub fn open(address: SocketAddr, session: &str, is_v1: bool) -> io::Result<Socket> {
        Socket::open_at(address, &format!("/session/{session}/ws"), is_v1)
    }

    /// The same at any path that has a terminal.
    pub fn open_at(address: SocketAddr, path: &str, is_v1: bool) -> io::Result<Socket> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let protocol = if is_v1 {
            "Sec-WebSocket-Protocol: shellcraft.v1\r\n"
        } else {
            ""
        };
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}{}\r\n",
            authorization(path)
        )?;
        let mut socket = Socket {
            stream,
            buffer: vec![0; SOCKET_BUFFER],
            filled: 0,
            left: 0,
            acks: is_v1.then_some((0, 0)),
            out: Vec::new(),
        };
        socket.read_head()?;
        Ok(socket)
    }

    /// Tells the server that this one lives, without reading what it wrote (RFC 6455 §5.5.3).
    pub fn pong(&mut self) -> io::Result<()> {
        self.send(10, b"")
    }

    /// Tells the size of the page's terminal.
    pub fn resize(&mut self, cols: u16, rows: u16) -> io::Result<()> {
        let text = format!("{{\"type\":\"resize\",\"cols\":{cols},\"rows\":{rows}}}");
        self.send(1, text.as_bytes())
    }

    /// For thousands of terminals.
    pub fn small(mut self) -> Socket {
        self.buffer.truncate(2048.max(self.filled));
        self.buffer.shrink_to_fit();
        self
    }

    fn read_head(&mut self) -> io::Result<()> {
        loop {
            let count = self.stream.read(&mut self.buffer[self.filled..])?;
            self.filled += count;
            let head = &self.buffer[..self.filled];
            if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                if !head.starts_with(b"HTTP/1.1 101") {
                    let shown = String::from_utf8_lossy(head).into_owned();
                    return Err(io::Error::other(shown));
                }
                self.buffer.copy_within(at + 4..self.filled, 0);
                self.filled -= at + 4;
                return Ok(());
            }
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Takes whole headers and control frames, and as much of binary frames as has come.
    fn parse(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut at = 0;
        loop {
            if self.left > 0 {
                let here = (self.left.min((self.filled - at) as u64)) as usize;
                sink(&self.buffer[at..at + here]);
                if let Some((seen, _)) = &mut self.acks {
                    *seen += here as u64;
                }
                at += here;
                self.left -= here as u64;
            }
            let Some((opcode, header, length)) = header(&self.buffer[at..self.filled]) else {
                break;
            };
            if opcode == 2 {
                at += header;
                self.left = length;
                continue;
            }
            let end = at + header + length as usize;
            if end > self.filled {
                break;
            }
            self.control(opcode, at + header, end)?;
            at = end;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    fn control(&mut self, opcode: u8, from: usize, to: usize) -> io::Result<()> {
        match opcode {
            1 => {
                // The hello is the only one that matters here.
                let text = String::from_utf8_lossy(&self.buffer[from..to]);
                let offset = text.split("\"offset\":").nth(1).and_then(|rest| {
                    let digits = rest.split(|digit: char| !digit.is_ascii_digit()).next()?;
                    digits.parse().ok()
                });
                if let (Some(offset), Some(acks)) = (offset, &mut self.acks) {
                    *acks = (offset, offset);
                }
                Ok(())
            }
            9 => {
                let payload = self.buffer[from..to].to_vec();
                self.send(10, &payload)
            }
            8 => Err(io::Error::other("the server closed the terminal")),
            _ => Ok(()),
        }
    }

    /// Codes a masked frame; a mask of zeros is one too, and the server can't tell.
    fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.out.clear();
        self.out.push(0x80 | opcode);
        match payload.len() {
            short @ 0..126 => self.out.push(0x80 | short as u8),
            long => {
                self.out.push(0x80 | 126);
                let long = u16::try_from(long).map_err(io::Error::other)?;
                self.out.extend_from_slice(&long.to_be_bytes());
            }
        }
        self.out.extend_from_slice(&[0; 4]);
        self.out.extend_from_slice(payload);
        self.stream.write_all(&self.out)
    }

    fn acknowledge(&mut self) -> io::Result<()> {
        let Some((seen, acked)) = self.acks else {
            return Ok(());
        };
        let is_all = self.left == 0 && self.filled == 0;
        if seen - acked < if is_all { ACK_SMALL } else { ACK_EVERY } {
            return Ok(());
        }
        self.acks = Some((seen, seen));
        self.send(
            1,
            format!("{{\"type\":\"ack\",\"offset\":{seen}}}").as_bytes(),
        )
    }
}

impl Terminal for Socket {
    fn type_in(&mut self, keys: &[u8]) -> io::Result<()> {
        self.send(2, keys)
    }

    fn read(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        if self.filled == 0 || self.left == 0 {
            // Frames that came together with the handshake's answer need no read.
            let before = self.filled;
            self.parse(sink)?;
            if self.filled < before {
                return self.acknowledge();
            }
        }
        match self.stream.read(&mut self.buffer[self.filled..])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => self.filled += count,
        }
        self.parse(sink)?;
        self.acknowledge()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Opcode, header length and payload length of an unmasked frame, if its whole header is there.
fn header(bytes: &[u8]) -> Option<(u8, usize, u64)> {
    let opcode = bytes.first()? & 0x0f;
    match bytes.get(1)? {
        126 => Some((
            opcode,
            4,
            u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into(),
        )),
        127 => Some((
            opcode,
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?),
        )),
        short => Some((opcode, 2, (*short).into())),
    }
}
