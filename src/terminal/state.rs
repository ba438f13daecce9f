//! What one terminal is at a moment: its output, who looks at it, how big it is; and what follows from that. No lock and no
//! I/O: [`super::hub`] has the lock around it.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use prometheus::IntCounter;

use super::frame::{Close, Notice, Role};
use super::past::Past;
use super::recording::Recording;
use super::scrollback::Scrollback;
use super::split;
use super::viewer_state::{ExitNote, Greeting, Screen, ViewerState};
use crate::engine::Size;

/// When a page is cut off, the program stays held at the page's window for this long, so that a page that comes back
/// finds everything; after that the program runs on and only the scrollback is kept.
const AWAY_GRACE: Duration = Duration::from_secs(30);
/// What is kept of an ended program's output for a player who was not there: why it ended is in its last words.
const LAST_WORDS_BYTES: usize = 4 * 1024;
/// The most sizes that wait for the output before them to be taken in; the oldest give way.
const SIZES: usize = 64;
/// The size of a terminal whose page has not told its size yet.
pub const FIRST_SIZE: Size = Size { cols: 80, rows: 24 };

/// The most that the pump sends for a resting writer, without headers: a screenful of an editor, not a flood.
const LITTLE_BYTES: usize = 4 * 1024;
/// The terminal at one offset.
pub(super) struct Present {
    /// Output at and after this offset is not in the screen. The offset lies between two characters, maybe within a
    /// sequence; then the screen's text ends within that sequence, too.
    pub(super) offset: u64,
    pub(super) screen: Screen,
}

pub(super) struct State {
    pub(super) scrollback: Scrollback,
    /// The terminal at the scrollback's start; none while that is the start of everything.
    pub(super) past: Option<Box<Past>>,
    /// Whether the emulator is at work on the past elsewhere. INVARIANT: until the past is given back, only the
    /// session's thread adds output, and nothing is forgotten.
    pub(super) is_past_out: bool,
    /// How many threads wait for the past.
    pub(super) past_wanted: usize,
    /// The memory that the past took when it was here last.
    pub(super) past_bytes: usize,
    /// Sizes that the past has not come to yet, with the offset at which each was set.
    pub(super) sizes: VecDeque<(u64, Size)>,
    pub(super) viewers: Vec<ViewerState>,
    pub(super) next_seat: u64,
    pub(super) last_input: Instant,
    /// When the player last typed keys: a player who only says to be there is believed for
    /// [`super::viewer_handle::STAY_LIMIT`] after that.
    pub(super) last_keys: Instant,
    /// When the oldest keys were written that no output has followed yet.
    pub(super) typed_at: Option<Instant>,
    /// The offset of the output that followed keys, and when those were written; until it is sent.
    pub(super) echo: Option<(u64, Instant)>,
    pub(super) size: Option<Size>,
    /// Counts the panics of the past's emulator.
    pub(super) emulator_panics: IntCounter,
    /// The offset up to which players that have left had drawn the output, or the server has answered it without them:
    /// the questions before it are answered.
    pub(super) answered: u64,
    /// Whether the offset is only a guess: see [`super::snapshot`].
    pub(super) is_uncharted: bool,
    /// Set once: newcomers are turned away with it.
    pub(super) closed: Option<Close>,
    pub(super) exit: Option<ExitNote>,
    /// Whether the player was told everything, the end included.
    pub(super) is_read: bool,
    pub(super) recording: Option<Recording>,
    /// Whether the session is over: what was kept for viewers is freed when the last of them leaves.
    pub(super) is_retired: bool,
    /// The player's page was cut off: what it had drawn, and until when the program waits for it.
    pub(super) away: Option<(u64, Instant)>,
    /// Viewers were told that the Engine does not answer, and not yet that it does.
    pub(super) is_engine_away: bool,
}

/// Whether the program has to wait for its player.
pub(super) enum Hold {
    No,
    Yes,
    /// For a page that was cut off and may come back, or that may draw again.
    Until(Instant),
}

impl State {
    /// The state of a terminal without output and viewers.
    pub(super) fn new(scrollback_bytes: usize, now: Instant, emulator_panics: IntCounter) -> Self {
        Self {
            scrollback: Scrollback::new(scrollback_bytes),
            past: None,
            is_past_out: false,
            past_wanted: 0,
            past_bytes: 0,
            sizes: VecDeque::new(),
            viewers: Vec::new(),
            next_seat: 0,
            last_input: now,
            last_keys: now,
            typed_at: None,
            echo: None,
            size: None,
            emulator_panics,
            answered: 0,
            is_uncharted: false,
            closed: None,
            exit: None,
            is_read: false,
            recording: None,
            is_retired: false,
            away: None,
            is_engine_away: false,
        }
    }

    pub(super) fn hold(&mut self, window_bytes: u64) -> Hold {
        let end = self.scrollback.end();
        let is_behind = |done: u64| end - done >= window_bytes;
        let now = Instant::now();
        let away = self.away;
        if self.closed.is_some() {
            return Hold::No;
        }
        let until = match (self.player_mut(), away) {
            (Some(player), _) if is_behind(player.done()) => match player.stalls_at(now) {
                Some(stall) => stall,
                None => return Hold::Yes,
            },
            (None, Some((done, until))) if is_behind(done) => until,
            _ => return Hold::No,
        };
        match now < until {
            true => Hold::Until(until),
            false => Hold::No,
        }
    }

    /// Removes a viewer that has left.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(index) = self
            .viewers
            .iter()
            .position(|viewer| viewer.number == number)
        else {
            return;
        };
        let viewer = self.viewers.swap_remove(index);
        if viewer.role == Role::Player {
            self.answered = self.answered.max(viewer.done());
            self.forget_echo();
        }
        // A viewer that was sent away, or that never says what it has drawn, does not come back for the rest.
        if viewer.role == Role::Player && viewer.is_acking && !viewer.is_closing() {
            self.away = Some((viewer.done(), Instant::now() + AWAY_GRACE));
        }
        self.wake_all();
        self.release();
    }

    /// Gives back the memory that is not needed any more.
    pub(super) fn release(&mut self) {
        if self.is_retired && self.viewers.is_empty() {
            let (mut words, end) = (Vec::new(), self.scrollback.end());
            if self.has_last_words() {
                let kept = LAST_WORDS_BYTES.min((end - self.scrollback.start()) as usize);
                let start = end - kept as u64;
                self.scrollback.copy_from(start, kept, &mut words);
            }
            self.scrollback = Scrollback::starting_at(end - words.len() as u64, words.len());
            self.scrollback.push(&words);
            (self.past, self.past_bytes) = (None, 0);
            self.sizes = VecDeque::new();
        }
    }

    /// Whether the program has ended by itself, and its player has not read to the end.
    pub(super) fn has_last_words(&self) -> bool {
        self.closed == Some(Close::ShellEnded) && self.exit.is_some() && !self.is_read
    }

    /// Drops all that belongs to the output so far, and closes all viewers' connections with a code after which they
    /// come back.
    pub(super) fn begin_again(&mut self) {
        (self.past, self.size, self.sizes) = (None, None, VecDeque::new());
        // The thread that had the past out is gone.
        (self.is_past_out, self.past_bytes) = (false, 0);
        (self.recording, self.away) = (None, None);
        self.forget_echo();
        for viewer in &mut self.viewers {
            viewer.close(Close::GoingAway);
        }
    }

    /// Forgets the keys whose echo is measured: output that comes next does not answer them.
    pub(super) fn forget_echo(&mut self) {
        (self.typed_at, self.echo) = (None, None);
    }

    pub(super) fn player(&self) -> Option<&ViewerState> {
        self.viewers
            .iter()
            .find(|viewer| viewer.role == Role::Player && !viewer.is_closing())
    }

    pub(super) fn has_player(&self) -> bool {
        self.player().is_some()
    }

    pub(super) fn player_mut(&mut self) -> Option<&mut ViewerState> {
        self.viewers
            .iter_mut()
            .find(|viewer| viewer.role == Role::Player && !viewer.is_closing())
    }

    pub(super) fn spectators(&self) -> usize {
        self.viewers
            .iter()
            .filter(|viewer| viewer.role == Role::Spectator)
            .count()
    }

    pub(super) fn shown_size(&self) -> Size {
        self.size.unwrap_or(FIRST_SIZE)
    }

    pub(super) fn notify(&mut self, notice: &Notice) {
        for viewer in &mut self.viewers {
            viewer.notify(notice.clone());
        }
    }

    pub(super) fn wake_all(&self) {
        for viewer in &self.viewers {
            viewer.wake();
        }
    }

    pub(super) fn send_player_away(&mut self) {
        self.away = None;
        for viewer in self
            .viewers
            .iter_mut()
            .filter(|viewer| viewer.role == Role::Player)
        {
            viewer.close(Close::TakenOver);
        }
    }

    /// How much of the output some player has drawn, or was sent, if it never says what it has drawn.
    pub(super) fn answered(&self) -> u64 {
        let players = self
            .viewers
            .iter()
            .filter(|viewer| viewer.role == Role::Player);
        players.fold(self.answered, |most, viewer| most.max(viewer.done()))
    }

    /// Where a viewer that wants to go on at `from` can begin, and what it must draw before.
    pub(super) fn greet(&mut self, from: Option<u64>) -> Greeting {
        let is_exact = self.scrollback.has(from.unwrap_or(0));
        let offset = if is_exact {
            from.unwrap_or(0)
        } else {
            self.scrollback.start()
        };
        let past = self.past.as_mut().filter(|_| !is_exact);
        let screen = past.map(|past| Screen {
            size: past.size(),
            data: past.redraw(),
        });
        if let Some(past) = &self.past {
            // This includes what has just been drawn.
            self.past_bytes = past.memory_bytes();
        }
        Greeting {
            offset,
            head: self.scrollback.end(),
            answered: self.answered(),
            is_exact,
            screen,
            settled: None,
        }
    }

    /// Notes the player's size. Returns whether it is a new one.
    pub(super) fn resize(&mut self, size: Size) -> bool {
        if self.size == Some(size) {
            return false;
        }
        self.size = Some(size);
        let end = self.scrollback.end();
        // No output came while the terminal had the size before.
        if self.sizes.back().is_some_and(|(at, _)| *at == end) {
            self.sizes.pop_back();
        }
        if self.sizes.len() == SIZES {
            self.sizes.pop_front();
        }
        self.sizes.push_back((end, size));
        if let Some(recording) = &mut self.recording
            && recording.resize(size, Instant::now())
        {
            self.tell_full();
        }
        self.wake_all();
        true
    }

    /// A recording that begins with this screen, and goes on with the output that has come since.
    pub(super) fn record_from(
        &self,
        present: Option<Present>,
        now: Instant,
        date: SystemTime,
    ) -> Recording {
        // The recording lacks what came before, if that was too much to draw, or to keep until it was drawn.
        let present = present.filter(|present| self.scrollback.has(present.offset));
        let Some(Present { offset, screen }) = present else {
            return Recording::new(self.shown_size(), now, date);
        };
        let mut recording = Recording::new(screen.size, now, date);
        let mut since = Vec::new();
        self.scrollback.copy_from(offset, usize::MAX, &mut since);
        if offset > 0 {
            recording.screen(&screen.data, now);
        }
        recording.output(&since, now);
        if screen.size != self.shown_size() {
            recording.resize(self.shown_size(), now);
        }
        recording
    }

    pub(super) fn tell_full(&mut self) {
        for viewer in self
            .viewers
            .iter_mut()
            .filter(|viewer| viewer.role == Role::Player)
        {
            viewer.notify(Notice::recording_full());
        }
    }
}

impl State {
    /// How many bytes of output its viewer may be sent now, of those that are kept.
    pub(super) fn sendable(&self, index: usize, window_bytes: usize) -> usize {
        let viewer = &self.viewers[index];
        let unsent = self.scrollback.end() - viewer.sent;
        // Once the shell has ended the scrollback's own size bounds what is left.
        let room = match (viewer.is_acking, self.exit.is_some()) {
            (true, false) => (window_bytes as u64).saturating_sub(viewer.sent - viewer.acked),
            _ => u64::MAX,
        };
        unsent.min(room) as usize
    }

    /// Encodes the next `count` bytes for a viewer as a binary frame. If they are the first output after the player's
    /// keys, returns when those were written.
    pub(super) fn code(
        &mut self,
        index: usize,
        count: usize,
        out: &mut Vec<u8>,
    ) -> Option<Instant> {
        let viewer = &mut self.viewers[index];
        split::binary_header(count, out);
        viewer.sent += self.scrollback.copy_from(viewer.sent, count, out) as u64;
        let is_echo = |(offset, _): &mut (u64, Instant)| {
            viewer.role == Role::Player && !viewer.is_closing() && viewer.sent > *offset
        };
        self.echo.take_if(is_echo).map(|(_, typed_at)| typed_at)
    }

    /// Encodes all that a viewer has not been sent yet, if that is output only, and little; otherwise nothing. Returns
    /// what [`State::code`] does.
    pub(super) fn code_little(
        &mut self,
        number: u64,
        window_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Option<Option<Instant>> {
        let (spectators, size) = (self.spectators(), self.shown_size());
        let index = self
            .viewers
            .iter()
            .position(|viewer| viewer.number == number)?;
        let viewer = &self.viewers[index];
        if viewer.has_untold(spectators, size) || !self.scrollback.has(viewer.sent) {
            return None;
        }
        let unsent = self.scrollback.end() - viewer.sent;
        let count = self.sendable(index, window_bytes);
        if count == 0 || count as u64 != unsent || count > LITTLE_BYTES {
            return None;
        }
        Some(self.code(index, count, out))
    }
}
