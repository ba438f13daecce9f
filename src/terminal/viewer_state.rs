//! A viewer as its terminal knows it: what it has been sent, what it has drawn, what it must still be told. No lock and no
//! I/O: it is a part of [`super::state`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::frame::{Close, Notice, Role};
use super::input::Input;
use super::parked_writer::ParkedWriter;
use crate::engine::Size;

/// Notices that may wait for one viewer; older ones give way.
const NOTICES: usize = 4;
/// A page that is there and has drawn nothing of a whole window for this long may never do so: its program runs on, and
/// once the page draws again it is told what it has missed. A hidden page is woken up once a minute.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(150);

/// A viewer that arrives, and what it asks for.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// What it may do.
    pub role: Role,
    /// Whether it says what it has drawn.
    pub is_acking: bool,
    /// The offset to go on at.
    pub from: Option<u64>,
    /// Whether it wants the screen as it is now, instead of the output from `from` on that leads there.
    pub wants_screen: bool,
    /// The page's own number, if it wants its keys counted.
    pub page: Option<Uuid>,
}

/// How a session's shell ended, as the page is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitNote {
    /// The exit code, where it is known.
    pub code: Option<i64>,
    /// `exited`, `killed`, `out_of_memory`…
    pub reason: String,
}

/// A screen to draw on a terminal that was just reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// The terminal's size that it is meant for.
    pub size: Size,
    /// Text and escape sequences. They are not part of the output and have no offsets. Shared by all viewers that are
    /// told the same.
    pub data: Arc<str>,
}

/// What a viewer is told first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Absolute offset of the first byte it gets.
    pub offset: u64,
    /// How far the output has come.
    pub head: u64,
    /// How much of that players have drawn before: the questions in it are answered.
    pub answered: u64,
    /// Whether `offset` is where the viewer wanted to go on.
    pub is_exact: bool,
    /// What to draw before, where the output's beginning is not kept.
    pub screen: Option<Screen>,
    /// How many bytes of this page's keys are settled.
    pub settled: Option<u64>,
}

/// What a viewer's writer has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Output was appended to the buffer, behind the frame header; `typed_at` is when the keys were written that it
    /// follows, where it is the first to do so.
    Output {
        /// To be noted when the buffer is sent.
        typed_at: Option<Instant>,
    },
    /// Output was lost to this spectator; greet it again and go on.
    Skipped(Greeting),
    /// A sentence for the viewer.
    Notice(Notice),
    /// For the player: this many spectators look on now.
    Spectators(usize),
    /// For spectators: the player's terminal has this size now.
    Size(Size),
    /// Nothing to do until the viewer's wake-up.
    Wait,
    /// All output is sent and the shell has ended.
    Exit(ExitNote),
    /// Close with this code, whatever is still unsent.
    Close(Close),
}

/// A viewer as its hub knows it. Guarded by the hub's lock.
pub(super) struct ViewerState {
    pub(super) number: u64,
    pub(super) role: Role,
    /// Whether the viewer says what it has drawn; otherwise what was handed to its socket counts.
    pub(super) is_acking: bool,
    page: Option<Uuid>,
    /// How many bytes of its page's keys were settled when another page took its place.
    pub(super) last_settled: Option<u64>,
    pub(super) sent: u64,
    pub(super) acked: u64,
    close: Option<Close>,
    notices: VecDeque<Notice>,
    told_spectators: usize,
    told_size: Option<Size>,
    /// Since when the program has waited for this viewer, which has drawn nothing since.
    pub(super) held_since: Option<Instant>,
    rest: Arc<ParkedWriter>,
}

impl ViewerState {
    pub(super) fn new(number: u64, arrival: Arrival, offset: u64, rest: Arc<ParkedWriter>) -> Self {
        Self {
            number,
            role: arrival.role,
            is_acking: arrival.is_acking,
            page: arrival.page,
            last_settled: None,
            sent: offset,
            acked: offset,
            close: None,
            notices: VecDeque::new(),
            told_spectators: 0,
            told_size: None,
            held_since: None,
            rest,
        }
    }

    /// Up to here the viewer no longer needs the scrollback.
    pub(super) fn done(&self) -> u64 {
        if self.is_acking {
            self.acked
        } else {
            self.sent
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    /// Whether it gets no more output before it has said that it has drawn some.
    pub(super) fn is_full(&self, window_bytes: u64) -> bool {
        self.is_acking && self.sent - self.acked >= window_bytes
    }

    /// Until when the program waits for this viewer if it draws nothing. None if it never says what it has drawn: then
    /// what its socket takes decides.
    pub(super) fn stalls_at(&mut self, now: Instant) -> Option<Instant> {
        let since = *self.held_since.get_or_insert(now);
        self.is_acking.then_some(since + STALL_LIMIT)
    }

    pub(super) fn wake(&self) {
        self.rest.wake();
    }

    /// Notes the count of this page's keys, because another page is about to type.
    pub(super) fn settle(&mut self, input: &Input) {
        if self.role == Role::Player && !self.is_closing() {
            self.last_settled = self.page.and_then(|page| input.settled_so_far(page));
        }
    }

    pub(super) fn close(&mut self, close: Close) {
        self.close.get_or_insert(close);
        self.wake();
    }

    pub(super) fn notify(&mut self, notice: Notice) {
        // The same notice is not given twice in a row: a long paste may be refused in a hundred pieces.
        if self.notices.back() == Some(&notice) {
            return;
        }
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
        self.wake();
    }

    pub(super) fn has_untold(&self, spectators: usize, size: Size) -> bool {
        let is_outdated = match self.role {
            Role::Player => self.told_spectators != spectators,
            Role::Spectator => self.told_size != Some(size),
        };
        self.close.is_some() || !self.notices.is_empty() || is_outdated
    }

    /// Number and resting place, to send it something.
    pub(super) fn address(&self) -> (u64, Arc<ParkedWriter>) {
        (self.number, Arc::clone(&self.rest))
    }

    /// What it has not been told yet, other than output.
    pub(super) fn untold(&mut self, spectators: usize, size: Size) -> Option<Next> {
        if let Some(close) = self.close {
            return Some(Next::Close(close));
        }
        if let Some(notice) = self.notices.pop_front() {
            return Some(Next::Notice(notice));
        }
        match self.role {
            Role::Player if self.told_spectators != spectators => {
                self.told_spectators = spectators;
                Some(Next::Spectators(spectators))
            }
            Role::Spectator if self.told_size != Some(size) => {
                self.told_size = Some(size);
                Some(Next::Size(size))
            }
            _ => None,
        }
    }
}
