//! A viewer's place at a hub: what it has been sent, what it has drawn, what it must still be told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::frame::{Close, Notice, Role};
use super::hub::{Arrival, Hub, STALL_LIMIT};
use super::input::{Input, Typed};
use super::parked_writer::ParkedWriter;
use super::split;
use super::state::{ExitNote, State};
use crate::engine::Size;

/// The most one frame to a viewer carries, so that control messages never wait long.
const FRAME_BYTES: usize = 64 * 1024;
/// The most that is sent past a resting writer, headers aside: a screenful of an editor, not a flood.
const LITTLE_BYTES: usize = 4 * 1024;
/// Notices that may wait for one viewer; older ones give way.
const NOTICES: usize = 4;
/// A player who types nothing may put off the end of an idle game for so long.
pub const STAY_LIMIT: Duration = Duration::from_secs(2 * 3600);

/// A screen to draw on a terminal that was just reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// The terminal's size that it is meant for.
    pub size: Size,
    /// Text and escape sequences. They are not part of the output and have no offsets. Shared by all that are told the same.
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
    /// Whether that is where the viewer wanted to go on.
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
    /// So many spectators look on now: for the player.
    Spectators(usize),
    /// The player's terminal has this size now: for spectators.
    Size(Size),
    /// Nothing to do until the seat's wake-up.
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
    /// How many bytes of its page's keys were settled when another took its place.
    last_settled: Option<u64>,
    pub(super) sent: u64,
    acked: u64,
    close: Option<Close>,
    notices: VecDeque<Notice>,
    told_spectators: usize,
    told_size: Option<Size>,
    /// Since when the program waits for it, without its having drawn anything.
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

    /// The program waits for it: until when, at most, if it does not draw anything. None if it never says what it has
    /// drawn: then its socket tells.
    pub(super) fn stalls_at(&mut self, now: Instant) -> Option<Instant> {
        let since = *self.held_since.get_or_insert(now);
        self.is_acking.then_some(since + STALL_LIMIT)
    }

    pub(super) fn wake(&self) {
        self.rest.wake();
    }

    /// Another page is about to type: this is the last that is known of this one's keys.
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
        // Nothing is said twice running: a long paste may be refused in a hundred pieces.
        if self.notices.back() == Some(&notice) {
            return;
        }
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
        self.wake();
    }

    fn has_untold(&self, spectators: usize, size: Size) -> bool {
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
    fn untold(&mut self, spectators: usize, size: Size) -> Option<Next> {
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

/// A viewer's place at a hub. Leaving is dropping it.
pub struct ViewerHandle {
    hub: Arc<Hub>,
    number: u64,
    arrival: Arrival,
    greeting: Greeting,
    rest: Arc<ParkedWriter>,
}

impl ViewerHandle {
    pub(super) fn new(
        hub: Arc<Hub>,
        number: u64,
        arrival: Arrival,
        greeting: Greeting,
        rest: Arc<ParkedWriter>,
    ) -> Self {
        Self {
            hub,
            number,
            arrival,
            greeting,
            rest,
        }
    }

    /// What this viewer may do.
    pub fn role(&self) -> Role {
        self.arrival.role
    }

    /// What to tell it first.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Takes out what it is told to draw first: a screen may be large, and is of no use once it is sent.
    pub fn take_screen(&mut self) -> Option<Screen> {
        self.greeting.screen.take()
    }

    /// The hub it belongs to.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Where the writer rests.
    pub fn rest(&self) -> &ParkedWriter {
        &self.rest
    }

    /// Makes the writer look again.
    pub fn wake(&self) {
        self.rest.wake();
    }

    /// Decides what the viewer's writer does next. Output is appended to `out` as a binary frame.
    pub fn next(&self, out: &mut Vec<u8>) -> Next {
        let mut state = self.hub.state.lock();
        if self
            .index(&state)
            .is_some_and(|index| !state.scrollback.has(state.seats[index].sent))
        {
            self.hub.wait_for_past(&mut state);
        }
        let (spectators, size) = (state.spectators(), state.shown_size());
        let Some(index) = self.index(&state) else {
            return Next::Close(Close::GoingAway);
        };
        if let Some(next) = state.seats[index].untold(spectators, size) {
            return next;
        }
        if !state.scrollback.has(state.seats[index].sent) {
            // What it does not draw is not followed by more of it.
            if state.seats[index].is_full(self.hub.limits.window_bytes as u64) {
                return Next::Wait;
            }
            let greeting = state.greet(None);
            let seat = &mut state.seats[index];
            (seat.sent, seat.acked) = (greeting.offset, greeting.offset);
            return Next::Skipped(greeting);
        }
        let count = state.sendable(index, self.hub.limits.window_bytes);
        if count > 0 {
            let count = count.min(FRAME_BYTES);
            let typed_at = state.code(index, count, out);
            self.hub.meters.sent_bytes.inc_by(count as u64);
            let seat = &state.seats[index];
            let frees_pump = !seat.is_acking && seat.role == Role::Player;
            drop(state);
            if frees_pump {
                self.hub.wake_pump();
            }
            return Next::Output { typed_at };
        }
        let is_all_sent = state.scrollback.end() == state.seats[index].sent;
        let Some(exit) = state.exit.clone().filter(|_| is_all_sent) else {
            return Next::Wait;
        };
        state.is_read |= state.seats[index].role == Role::Player;
        Next::Exit(exit)
    }

    /// The viewer has drawn everything before `offset`. Offsets that make no sense change nothing.
    pub fn ack(&self, offset: u64) {
        let mut state = self.hub.state.lock();
        let Some(index) = self.index(&state) else {
            return;
        };
        let seat = &mut state.seats[index];
        if offset <= seat.acked || offset > seat.sent {
            return;
        }
        // Its writer has nothing new to look at unless the window was full.
        let was_full = seat.is_full(self.hub.limits.window_bytes as u64);
        (seat.acked, seat.held_since) = (offset, None);
        if was_full {
            seat.wake();
        }
        let is_player = seat.role == Role::Player;
        drop(state);
        if is_player {
            self.hub.wake_pump();
        }
    }

    /// Whether somebody wants this viewer closed.
    pub fn is_closing(&self) -> bool {
        let state = self.hub.state.lock();
        self.index(&state)
            .is_none_or(|index| state.seats[index].is_closing())
    }

    /// Types `keys` for the player.
    pub fn type_in(&self, keys: &[u8], now: Instant) -> Typed {
        // INVARIANT: `input` before `state`, and held over the write, so that a newcomer's count is exact.
        let mut input = self.hub.input.lock();
        let as_player = self.as_player(|state| {
            (state.last_input, state.last_keys) = (now, now);
            state.typed_at.get_or_insert(now);
        });
        if as_player.is_none() {
            return Typed::NotPlayer;
        }
        let typed = input.type_in(keys, self.arrival.page);
        drop(input);
        if typed == Typed::Taken {
            self.hub.typists.note(self.hub.number, now);
            self.hub.meters.input_bytes.inc_by(keys.len() as u64);
            self.hub
                .typed_bytes
                .fetch_add(keys.len() as u64, Ordering::Relaxed);
        }
        self.hub.typed.raise();
        // It may have something to spend again.
        self.hub.wake_pump();
        typed
    }

    /// So many bytes of keys were refused, and their page is told so.
    pub fn give_up(&self, count: usize) {
        self.hub.input.lock().give_up(count, self.arrival.page);
    }

    /// The player is there, and types nothing; others' presence changes nothing. So long after the last keys it takes a
    /// key again: a page that is forgotten, or a script, must not keep a place for good.
    pub fn stay(&self, now: Instant) {
        self.as_player(|state| {
            if now.saturating_duration_since(state.last_keys) < STAY_LIMIT {
                state.last_input = now;
            }
        });
    }

    /// How many bytes of this page's keys are settled.
    pub fn settled(&self) -> Option<u64> {
        let page: Uuid = self.arrival.page?;
        let settled = self.hub.input.lock().settled_so_far(page);
        settled.or_else(|| {
            let state = self.hub.state.lock();
            state.seats[self.index(&state)?].last_settled
        })
    }

    /// Notes the size of the player's terminal; others' sizes change nothing.
    pub fn resize(&self, size: Size) {
        if self.as_player(|state| state.resize(size)) == Some(true) {
            (self.hub.on_resize)();
        }
    }

    /// Does something that only the player may.
    fn as_player<T>(&self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.hub.state.lock();
        let seat = &state.seats[self.index(&state)?];
        if seat.role == Role::Player && !seat.is_closing() {
            Some(act(&mut state))
        } else {
            None
        }
    }

    /// Tells this viewer alone a sentence.
    pub fn notify(&self, notice: Notice) {
        let mut state = self.hub.state.lock();
        if let Some(index) = self.index(&state) {
            state.seats[index].notify(notice);
        }
    }

    fn index(&self, state: &State) -> Option<usize> {
        state
            .seats
            .iter()
            .position(|seat| seat.number == self.number)
    }
}

impl State {
    /// How many bytes of output its viewer may be sent now, of those that are kept.
    fn sendable(&self, index: usize, window_bytes: usize) -> usize {
        let seat = &self.seats[index];
        let unsent = self.scrollback.end() - seat.sent;
        // Once the shell has ended the scrollback's own size bounds what is left.
        let room = match (seat.is_acking, self.exit.is_some()) {
            (true, false) => (window_bytes as u64).saturating_sub(seat.sent - seat.acked),
            _ => u64::MAX,
        };
        unsent.min(room) as usize
    }

    /// Codes the next `count` bytes for a viewer as a binary frame. Returns when the player wrote the keys that they
    /// are the first output after.
    fn code(&mut self, index: usize, count: usize, out: &mut Vec<u8>) -> Option<Instant> {
        let seat = &mut self.seats[index];
        split::binary_header(count, out);
        seat.sent += self.scrollback.copy_from(seat.sent, count, out) as u64;
        let is_echo = |(offset, _): &mut (u64, Instant)| {
            seat.role == Role::Player && !seat.is_closing() && seat.sent > *offset
        };
        self.echo.take_if(is_echo).map(|(_, typed_at)| typed_at)
    }

    /// Codes all that a viewer has not been sent yet, if that is output only, and little; else nothing. Returns what
    /// [`State::code`] does.
    pub(super) fn code_little(
        &mut self,
        number: u64,
        window_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Option<Option<Instant>> {
        let (spectators, size) = (self.spectators(), self.shown_size());
        let index = self.seats.iter().position(|seat| seat.number == number)?;
        let seat = &self.seats[index];
        if seat.has_untold(spectators, size) || !self.scrollback.has(seat.sent) {
            return None;
        }
        let unsent = self.scrollback.end() - seat.sent;
        let count = self.sendable(index, window_bytes);
        if count == 0 || count as u64 != unsent || count > LITTLE_BYTES {
            return None;
        }
        Some(self.code(index, count, out))
    }
}

impl Drop for ViewerHandle {
    fn drop(&mut self) {
        self.hub.state.lock().remove(self.number);
        self.hub.wake_pump();
    }
}
