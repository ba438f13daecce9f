//! The writing half of a viewer: what is due next, in which order, until the close frame.
//!
//! All of it runs on the viewer's writer thread (`w-`…), see [`super::viewer`].

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::frame::{Close, Role, ToPage};
use super::hub::Next;
use super::split::Outgoing;
use super::viewer::{Heartbeat, LINGER, Viewer};
use super::viewer_state::{Greeting, Screen};

/// How long a client may take to answer the server's close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

impl Viewer {
    /// Writes until it has sent a close frame or the client is gone; returns the code that it sent.
    pub(super) fn write(&self, screen: Option<Screen>) -> Option<u16> {
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
        self.hello(out, self.handle.greeting(), screen);
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
            self.handle.hub().note_echo(next.typed_at);
            if next.is_idle {
                out.rest();
                let next_look = self
                    .terms
                    .until
                    .map_or(next_ping, |until| until.min(next_ping));
                self.handle.rest().lend_until(next_look, out);
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
            let input = self.handle.settled();
            out.text(&ToPage::Pong { t, input }.to_json());
        }
        is_gone
    }

    /// Encodes the last count of the page's keys. INVARIANT: a handle that is closing types nothing any more.
    fn tell_keys(&self, out: &mut Outgoing) {
        if let Some(input) = self.handle.settled() {
            self.tell(out, &ToPage::Keys { input });
        }
    }

    /// Encodes the next thing that the hub has for this viewer.
    fn next(&self, out: &mut Outgoing) -> WriterStep {
        if let Some((code, reason)) = self.control.lock().close {
            return WriterStep::close(code, reason);
        }
        match self.handle.next(&mut out.buffer) {
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
        let role = self.handle.role();
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
                && !self.handle.is_closing()
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
            if !self.handle.rest().wait_until(deadline) {
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
