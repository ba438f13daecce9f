//! One WebSocket at a hub: a player's page, a spectator's, or a raw client such as websocat.
//!
//! Two threads. The *reader* is the connection's own thread: it takes keys, sizes and acks from the client. The
//! *writer* (`w-` and the beginning of the session's short name) is the only one that writes to the socket: hello,
//! output, pongs, notices, exit and one close frame, after which it writes nothing. The reader leaves what it wants
//! written in one-element slots ([`Control`]), so it never waits for a client that does not read: 300,000 pings cost
//! one slot.
//!
//! The writer also keeps the [`Heartbeat`]: it pings every 20 s, idle or in the middle of a flood, and gives up on a
//! client that has been silent for 60 s by shutting the socket down, which wakes the reader. So an idle viewer costs no
//! other wake-ups. That a client takes output is no sign of life, its answer to a ping is: so a raw client that only
//! reads stays as long as it answers pings, and a client that takes nothing at all is given up on by the flush.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tungstenite::{Message, WebSocket};
use uuid::Uuid;

use super::budget::{Budget, Paces};
use super::frame::{self, BadFrame, Close, FromPage, Notice};
use super::hub::Typed;
use super::split::{self, ReadSide};
use super::viewer_handle::ViewerHandle;
use crate::locks::Mutex;
use crate::logging::names;
use crate::threads::{self, Kind};

/// How long the server reads on after its last frame: unread input would turn its FIN into a reset, which can destroy
/// the close frame on its way.
pub(super) const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How a client that is gone is told from one that is quiet.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// The time between two pings.
    pub every: Duration,
    /// A client that has sent nothing for this long is gone.
    pub limit: Duration,
}

impl Heartbeat {
    /// Pings at the interval `every`; three of them may go unanswered.
    pub fn every(every: Duration) -> Self {
        Self {
            every,
            limit: every * 3,
        }
    }
}

impl Default for Heartbeat {
    /// Pings more often than every 60 s, after which nginx and most other proxies cut an idle connection.
    fn default() -> Self {
        Self::every(Duration::from_secs(20))
    }
}

/// On what terms a viewer is served.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The session's id, which spectators are not told.
    pub session_id: Uuid,
    /// Whether the client speaks `shellcraft.v1`; raw bytes otherwise.
    pub is_v1: bool,
    /// When it is pinged and given up on.
    pub heartbeat: Heartbeat,
    /// When its login runs out.
    pub until: Option<Instant>,
    /// How much it may send.
    pub paces: Paces,
}

/// How long a viewer stayed and what passed through it, for the log and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Bytes typed.
    pub input_bytes: u64,
    /// The code of the close frame that the server sent, if any.
    pub close_code: Option<u16>,
}

/// What the reader leaves for the writer.
pub(super) struct Control {
    /// Only the newest ping needs an answer (RFC 6455 §5.5.3).
    pub(super) pong: Option<Vec<u8>>,
    pub(super) page_pong: Option<serde_json::Number>,
    /// The first reason to close wins.
    pub(super) close: Option<(u16, &'static str)>,
    /// The reader has left: no answer of the client is read any more.
    pub(super) is_reader_gone: bool,
    pub(super) last_heard: Instant,
}

pub(super) struct Viewer {
    pub(super) handle: ViewerHandle,
    pub(super) stream: Arc<TcpStream>,
    /// Guards the slots between reader and writer. Held for moves only.
    pub(super) control: Mutex<Control>,
    pub(super) terms: Terms,
}

/// Serves one viewer whose 101 has been sent, on this thread and one more, until it leaves or is closed.
/// `leftover` came behind its request's head.
///
/// # Errors
/// Only when the system has no thread or file descriptor left.
pub fn run(
    stream: &TcpStream,
    leftover: Vec<u8>,
    mut handle: ViewerHandle,
    terms: Terms,
) -> io::Result<Visit> {
    let screen = handle.take_screen();
    // This fails for a Unix socket, which has no delay anyway.
    let _ = stream.set_nodelay(true);
    stream.set_read_timeout(None)?;
    let shared = Arc::new(stream.try_clone()?);
    let budget = Budget::new(terms.paces, Instant::now());
    let input = handle.hub().input().clone();
    let mut socket = split::reader(Arc::clone(&shared), leftover, input, budget);
    let control = Control {
        pong: None,
        page_pong: None,
        close: None,
        is_reader_gone: false,
        last_heard: Instant::now(),
    };
    let viewer = Viewer {
        handle,
        stream: shared,
        control: Mutex::new(control),
        terms,
    };
    let visit = thread::scope(|scope| {
        let name = names::short(&terms.session_id.to_string());
        let writer =
            threads::spawn_scoped(scope, Kind::ViewerWriter, name, || viewer.write(screen))?;
        let leaving = Leaving(&viewer);
        let input_bytes = viewer.read(&mut socket);
        drop(leaving);
        let close_code = writer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, io::Error>(Visit {
            input_bytes,
            close_code,
        })
    })?;
    linger(stream);
    Ok(visit)
}

/// Tells the writer that the reader has left, even if it has panicked.
struct Leaving<'a>(&'a Viewer);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

// The reading half.
impl Viewer {
    /// Reads until the client leaves or is sent away; returns how many bytes it typed.
    fn read(&self, socket: &mut WebSocket<ReadSide>) -> u64 {
        let mut typed_bytes = 0;
        loop {
            let message = match socket.read() {
                Ok(message) => message,
                Err(error) => {
                    if let Some(close) = split::close_for(&error) {
                        self.ask_close(close.code(), close.reason());
                    }
                    return typed_bytes;
                }
            };
            self.control.lock().last_heard = Instant::now();
            socket.get_mut().count_message();
            match message {
                Message::Binary(keys) => typed_bytes += self.type_in(&keys),
                Message::Text(text) if self.terms.is_v1 => {
                    if !self.obey(&text) {
                        return typed_bytes;
                    }
                }
                Message::Text(keys) => typed_bytes += self.type_in(keys.as_bytes()),
                Message::Ping(payload) => {
                    self.control.lock().pong = Some(payload.to_vec());
                    self.handle.wake();
                }
                Message::Close(frame) => {
                    // Echo the code, as RFC 6455 §5.5.1 wants; no code is answered with 1000.
                    let code = frame.map_or(1000, |frame| u16::from(frame.code));
                    self.ask_close(code, "");
                    return typed_bytes;
                }
                Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    fn type_in(&self, keys: &[u8]) -> u64 {
        loop {
            match self.handle.type_in(keys, Instant::now()) {
                Typed::Taken => return keys.len() as u64,
                Typed::NotPlayer => return 0,
                Typed::NotConnected => {
                    self.handle.notify(Notice::not_delivered());
                    return 0;
                }
                // A page's acks come behind its keys, and the program may be held until they are read, so the reader
                // must not wait.
                Typed::Full if self.terms.is_v1 => {
                    self.handle.give_up(keys.len());
                    self.handle.notify(Notice::not_read());
                    return 0;
                }
                // A raw client sends nothing but keys, so the reader waits, which slows the client down.
                Typed::Full if self.wait_for_room() => {}
                Typed::Full => return 0,
            }
        }
    }

    /// Waits a moment for the container to read some of its keys, or for the first attach. Returns whether trying again
    /// makes sense.
    fn wait_for_room(&self) -> bool {
        let input = self.handle.hub().input().stream();
        // `poll` always reports that the client is gone, or that the writer has shut the connection down.
        let mut fds = vec![PollFd::new(&*self.stream, PollFlags::empty())];
        fds.extend(
            input
                .iter()
                .map(|input| PollFd::new(&**input, PollFlags::OUT)),
        );
        let tick = rustix::event::Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        // A failed or timed out poll is followed by another look, which is all that is needed.
        let _ = poll(&mut fds, Some(&tick));
        self.handle.hub().input().drain();
        fds[0].revents().is_empty() && !self.handle.is_closing()
    }

    /// Does what a control message says. Returns whether the connection may go on.
    fn obey(&self, text: &str) -> bool {
        match frame::parse(text) {
            Ok(FromPage::Resize(size)) => {
                self.handle.resize(size);
            }
            Ok(FromPage::Ack(offset)) => self.handle.ack(offset),
            Ok(FromPage::Stay) => self.handle.stay(Instant::now()),
            Ok(FromPage::Ping(t)) => {
                self.control.lock().page_pong = Some(t);
                self.handle.wake();
            }
            Err(BadFrame::BadSize) => self.handle.notify(Notice::bad_size()),
            Err(BadFrame::Malformed(_)) => {
                self.ask_close(Close::NotAllowed.code(), Close::NotAllowed.reason());
                return false;
            }
        }
        true
    }

    fn ask_close(&self, code: u16, reason: &'static str) {
        self.control.lock().close.get_or_insert((code, reason));
        self.handle.wake();
    }

    /// Notes that the reader has left. If it asks for no close frame, the client is gone without one.
    fn leave(&self) {
        let mut control = self.control.lock();
        control.is_reader_gone = true;
        let is_cut = control.close.is_none();
        drop(control);
        if is_cut {
            // Frees a writer that is stuck with a client that is gone.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        self.handle.wake();
    }
}

/// Tells the client that nothing more comes, and throws away what the client still sends.
// Its buffer must not lie on the stack under a terminal that is open for hours.
#[inline(never)]
fn linger(stream: &TcpStream) {
    // Each of these fails only when the client is gone, and then there is nothing to wait for.
    let _ = stream.shutdown(Shutdown::Write);
    let deadline = Instant::now() + LINGER;
    let mut budget_bytes = LINGER_BYTES;
    let mut sink = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || budget_bytes == 0 || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match (&*stream).read(&mut sink) {
            Ok(count) if count > 0 => budget_bytes = budget_bytes.saturating_sub(count),
            _ => return,
        }
    }
}

/// Answers the handshake; `head` is from [`super::upgrade::Upgrade::response_head`].
///
/// # Errors
/// When the client is gone already.
pub fn accept(stream: &TcpStream, head: &str) -> io::Result<()> {
    let mut stream = stream;
    stream.write_all(head.as_bytes())
}
