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
use super::frame::{self, BadFrame, Close, FromPage, Notice, Role, ToPage};
use super::hub::{Next, Typed};
use super::split::{self, Outgoing, ReadSide};
use super::viewer_handle::ViewerHandle;
use super::viewer_state::{Greeting, Screen};
use crate::locks::Mutex;
use crate::logging::names;
use crate::threads::{self, Kind};

/// How long a client may take to answer the server's close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How long the server reads on after its last frame: unread input would turn its FIN into a reset, which can destroy
/// the close frame on its way.
const LINGER: Duration = Duration::from_secs(1);
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

/// What the reader wants written.
struct Control {
    /// Only the newest ping needs an answer (RFC 6455 §5.5.3).
    pong: Option<Vec<u8>>,
    page_pong: Option<serde_json::Number>,
    /// The first reason to close wins.
    close: Option<(u16, &'static str)>,
    /// The reader has left: no answer of the client is read any more.
    is_reader_gone: bool,
    last_heard: Instant,
}

struct Viewer {
    seat: ViewerHandle,
    stream: Arc<TcpStream>,
    /// Guards the slots between reader and writer. Held for moves only.
    control: Mutex<Control>,
    terms: Terms,
}

/// Serves one viewer whose 101 has been sent, on this thread and one more, until it leaves or is closed.
/// `leftover` came behind its request's head.
///
/// # Errors
/// Only when the system has no thread or file descriptor left.
pub fn run(
    stream: &TcpStream,
    leftover: Vec<u8>,
    mut seat: ViewerHandle,
    terms: Terms,
) -> io::Result<Visit> {
    let screen = seat.take_screen();
    // This fails for a Unix socket, which has no delay anyway.
    let _ = stream.set_nodelay(true);
    stream.set_read_timeout(None)?;
    let shared = Arc::new(stream.try_clone()?);
    let budget = Budget::new(terms.paces, Instant::now());
    let input = seat.hub().input().clone();
    let mut socket = split::reader(Arc::clone(&shared), leftover, input, budget);
    let control = Control {
        pong: None,
        page_pong: None,
        close: None,
        is_reader_gone: false,
        last_heard: Instant::now(),
    };
    let viewer = Viewer {
        seat,
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
                    self.seat.wake();
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
            match self.seat.type_in(keys, Instant::now()) {
                Typed::Taken => return keys.len() as u64,
                Typed::NotPlayer => return 0,
                Typed::NotConnected => {
                    self.seat.notify(Notice::not_delivered());
                    return 0;
                }
                // A page's acks come behind its keys, and the program may be held until they are read, so the reader
                // must not wait.
                Typed::Full if self.terms.is_v1 => {
                    self.seat.give_up(keys.len());
                    self.seat.notify(Notice::not_read());
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
        let input = self.seat.hub().input().stream();
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
        self.seat.hub().input().drain();
        fds[0].revents().is_empty() && !self.seat.is_closing()
    }

    /// Does what a control message says. Returns whether the connection may go on.
    fn obey(&self, text: &str) -> bool {
        match frame::parse(text) {
            Ok(FromPage::Resize(size)) => {
                self.seat.resize(size);
            }
            Ok(FromPage::Ack(offset)) => self.seat.ack(offset),
            Ok(FromPage::Stay) => self.seat.stay(Instant::now()),
            Ok(FromPage::Ping(t)) => {
                self.control.lock().page_pong = Some(t);
                self.seat.wake();
            }
            Err(BadFrame::BadSize) => self.seat.notify(Notice::bad_size()),
            Err(BadFrame::Malformed(_)) => {
                self.ask_close(Close::NotAllowed.code(), Close::NotAllowed.reason());
                return false;
            }
        }
        true
    }

    fn ask_close(&self, code: u16, reason: &'static str) {
        self.control.lock().close.get_or_insert((code, reason));
        self.seat.wake();
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
        self.seat.wake();
    }
}

// The writing half.
impl Viewer {
    /// Writes until it has sent a close frame or the client is gone; returns the code that it sent.
    fn write(&self, screen: Option<Screen>) -> Option<u16> {
        let mut out = Outgoing::new(Arc::clone(&self.stream)).ok()?;
        let sent = self.write_until_close(&mut out, screen);
        if sent.is_some() {
            self.wait_for_reader();
        }
        if !self.control.lock().is_reader_gone {
            // The reader is waiting for a client that never answers.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        sent
    }

    fn write_until_close(&self, out: &mut Outgoing, screen: Option<Screen>) -> Option<u16> {
        let Heartbeat { every, limit } = self.terms.heartbeat;
        let mut next_ping = Instant::now() + every;
        self.hello(out, self.seat.greeting(), screen);
        loop {
            if self.code_control(out) {
                return None;
            }
            if self.is_logged_out() {
                self.tell_keys(out);
                out.close(Close::LoggedOut.code(), Close::LoggedOut.reason());
                self.flush_last(out)?;
                return Some(Close::LoggedOut.code());
            }
            // The ping does not wait until there is nothing else to do: a flood may have no pause.
            let now = Instant::now();
            if now >= next_ping {
                if self.silence() >= limit {
                    return None;
                }
                out.ping();
                next_ping = now + every;
            }
            let next = self.next(out);
            if let Some((code, reason)) = next.close {
                self.tell_keys(out);
                out.close(code, reason);
                self.flush(out).ok()?;
                return Some(code);
            }
            self.flush(out).ok()?;
            self.seat.hub().note_echo(next.typed_at);
            if next.is_idle {
                out.rest();
                let next_look = self
                    .terms
                    .until
                    .map_or(next_ping, |until| until.min(next_ping));
                self.seat.rest().lend_until(next_look, out);
            }
        }
    }

    /// Encodes what the reader left in the slots. Returns whether the client is gone.
    fn code_control(&self, out: &mut Outgoing) -> bool {
        let mut control = self.control.lock();
        let (pong, page_pong) = (control.pong.take(), control.page_pong.take());
        let is_gone = control.is_reader_gone && control.close.is_none();
        drop(control);
        if let Some(payload) = pong {
            out.pong(&payload);
        }
        if let Some(t) = page_pong {
            let input = self.seat.settled();
            out.text(&ToPage::Pong { t, input }.to_json());
        }
        is_gone
    }

    /// Encodes the last count of the page's keys. INVARIANT: a seat that is closing types nothing any more.
    fn tell_keys(&self, out: &mut Outgoing) {
        if let Some(input) = self.seat.settled() {
            self.tell(out, &ToPage::Keys { input });
        }
    }

    /// Encodes the next thing that the hub has for this viewer.
    fn next(&self, out: &mut Outgoing) -> WriterStep {
        if let Some((code, reason)) = self.control.lock().close {
            return WriterStep::close(code, reason);
        }
        match self.seat.next(&mut out.buffer) {
            Next::Output { typed_at } => WriterStep {
                typed_at,
                ..WriterStep::GO_ON
            },
            Next::Wait => WriterStep::IDLE,
            Next::Skipped(mut greeting) => {
                let screen = greeting.screen.take();
                self.hello(out, &greeting, screen);
                WriterStep::GO_ON
            }
            Next::Notice(notice) => self.tell(out, &ToPage::Notice(notice)),
            Next::Spectators(count) => self.tell(out, &ToPage::Spectators { count }),
            Next::Size(size) => self.tell(out, &ToPage::Size(size)),
            Next::Exit(exit) => {
                self.tell(
                    out,
                    &ToPage::Exit {
                        code: exit.code,
                        reason: exit.reason,
                    },
                );
                WriterStep::close(Close::ShellEnded.code(), Close::ShellEnded.reason())
            }
            Next::Close(close) => WriterStep::close(close.code(), close.reason()),
        }
    }

    fn hello(&self, out: &mut Outgoing, greeting: &Greeting, screen: Option<Screen>) {
        let Greeting {
            offset,
            head,
            is_exact,
            answered,
            settled,
            ..
        } = greeting;
        let role = self.seat.role();
        // Everyone who knows a session's id may play it, so a spectator is not told.
        let session_id = match role {
            Role::Player => self.terms.session_id,
            Role::Spectator => Uuid::nil(),
        };
        let (offset, head, replay, input) = (*offset, *head, !is_exact, *settled);
        let answered = Some(*answered).filter(|_| role == Role::Player);
        self.tell(
            out,
            &ToPage::Hello {
                session_id,
                offset,
                head,
                answered,
                role,
                replay,
                input,
            },
        );
        if let Some(Screen { size, data }) = screen {
            self.tell(
                out,
                &ToPage::Screen {
                    cols: size.cols,
                    rows: size.rows,
                    data: data.to_string(),
                },
            );
        }
    }

    /// Encodes a control message, if the client understands them.
    fn tell(&self, out: &mut Outgoing, message: &ToPage) -> WriterStep {
        if self.terms.is_v1 {
            out.text(&message.to_json());
        }
        WriterStep::GO_ON
    }

    fn flush(&self, out: &mut Outgoing) -> io::Result<()> {
        // The writer waits for a client that takes nothing, as long as the client is alive and logged in and is not to
        // be closed.
        out.flush(|| {
            self.silence() < self.terms.heartbeat.limit
                && !self.seat.is_closing()
                && !self.is_logged_out()
                && !self.control.lock().is_reader_gone
        })
    }

    /// Writes the frame that tells why the connection ends: the writer waits at most [`LINGER`] for a client that takes
    /// nothing.
    fn flush_last(&self, out: &mut Outgoing) -> Option<()> {
        let deadline = Instant::now() + LINGER;
        out.flush(|| Instant::now() < deadline).ok()
    }

    fn is_logged_out(&self) -> bool {
        self.terms
            .until
            .is_some_and(|until| Instant::now() >= until)
    }

    fn silence(&self) -> Duration {
        self.control.lock().last_heard.elapsed()
    }

    /// Waits for the client's own close, or its end, after the server's close frame.
    fn wait_for_reader(&self) {
        let deadline = Instant::now() + CLOSE_WAIT;
        while !self.control.lock().is_reader_gone {
            if !self.seat.rest().wait_until(deadline) {
                return;
            }
        }
    }
}

/// What the writer found to do.
struct WriterStep {
    close: Option<(u16, &'static str)>,
    is_idle: bool,
    /// When the keys were written that the encoded output follows.
    typed_at: Option<Instant>,
}

impl WriterStep {
    const GO_ON: WriterStep = WriterStep {
        close: None,
        is_idle: false,
        typed_at: None,
    };
    const IDLE: WriterStep = WriterStep {
        close: None,
        is_idle: true,
        typed_at: None,
    };

    fn close(code: u16, reason: &'static str) -> WriterStep {
        WriterStep {
            close: Some((code, reason)),
            is_idle: false,
            typed_at: None,
        }
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
