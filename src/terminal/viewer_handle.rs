//! A viewer's place at a hub: how it sits down, and what its connection's two threads do there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::frame::{Close, Notice, Role};
use super::hub::Hub;
use super::input::Typed;
use super::parked_writer::ParkedWriter;
use super::state::State;
use super::viewer_state::{Arrival, Greeting, Next, Screen, ViewerState};
use crate::engine::Size;

/// The most one frame to a viewer carries, so that control messages never wait long.
const FRAME_BYTES: usize = 64 * 1024;
/// A player who types nothing may put off the end of an idle game for this long.
pub const STAY_LIMIT: Duration = Duration::from_secs(2 * 3600);

/// The most spectators of one session.
pub const MAX_SPECTATORS: usize = 64;

/// Why a viewer was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoViewer {
    /// The session is over; this is the code it was closed with.
    Closed(Close),
    /// There are as many spectators as there may be.
    Full,
}

impl Hub {
    /// Lets a viewer in. A second connection of the player takes the first one's place, which is closed with 4000.
    ///
    /// Without an offset to go on at, or with one that is no longer kept, the viewer gets the scrollback from
    /// its start, and before that the screen as it was there.
    ///
    /// # Errors
    /// [`NoViewer`].
    pub fn join(self: &Arc<Self>, arrival: Arrival) -> Result<ViewerHandle, NoViewer> {
        let present = self.present_for(arrival);
        // INVARIANT: `input` before `state`. With both, no key of an earlier page can be written after its count
        // was told to this one.
        let mut input = self.input.lock();
        let mut state = self.state.lock();
        // While the past is out, the emulator works with offsets that a chart would change.
        if state.is_uncharted || !state.scrollback.has(arrival.from.unwrap_or(0)) {
            self.wait_for_past(&mut state);
        }
        if let Some(close) = state.closed
            && !state.has_last_words()
        {
            return Err(NoViewer::Closed(close));
        }
        match arrival.role {
            Role::Player => {
                state
                    .viewers
                    .iter_mut()
                    .for_each(|viewer| viewer.settle(&input));
                state.send_player_away();
            }
            Role::Spectator if state.spectators() >= MAX_SPECTATORS => return Err(NoViewer::Full),
            Role::Spectator => {}
        }
        if arrival.role == Role::Player {
            state.chart(arrival.from);
        }
        let greeting = match present {
            Some(present) => state.greet_with(present),
            // The page's terminal is empty, and the output alone does not fill it.
            None if arrival.wants_screen => state.greet(None),
            None => state.greet(arrival.from),
        };
        match (arrival.from, greeting.is_exact) {
            (Some(_), true) => self.metrics.resumed_exactly.inc(),
            (Some(_), false) => self.metrics.resumed_by_state.inc(),
            (None, _) => {}
        }
        let page = arrival.page.filter(|_| arrival.role == Role::Player);
        let settled = page.and_then(|page| input.settled(page, arrival.from.is_none()));
        drop(input);
        let rest = Arc::<ParkedWriter>::default();
        let number = state.next_seat;
        state.next_seat += 1;
        let mut viewer = ViewerState::new(number, arrival, greeting.offset, Arc::clone(&rest));
        if state.is_engine_away {
            viewer.notify(Notice::engine_away());
        }
        state.viewers.push(viewer);
        state.wake_all();
        drop(state);
        // A player that held the program may have been replaced by one that is further on.
        self.wake_pump();
        let greeting = Greeting {
            settled,
            ..greeting
        };
        Ok(ViewerHandle::new(
            Arc::clone(self),
            number,
            arrival,
            greeting,
            rest,
        ))
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
            .is_some_and(|index| !state.scrollback.has(state.viewers[index].sent))
        {
            self.hub.wait_for_past(&mut state);
        }
        let (spectators, size) = (state.spectators(), state.shown_size());
        let Some(index) = self.index(&state) else {
            return Next::Close(Close::GoingAway);
        };
        if let Some(next) = state.viewers[index].untold(spectators, size) {
            return next;
        }
        if !state.scrollback.has(state.viewers[index].sent) {
            // A page that has not drawn what it was sent is not sent more.
            if state.viewers[index].is_full(self.hub.limits.window_bytes as u64) {
                return Next::Wait;
            }
            let greeting = state.greet(None);
            let viewer = &mut state.viewers[index];
            (viewer.sent, viewer.acked) = (greeting.offset, greeting.offset);
            return Next::Skipped(greeting);
        }
        let count = state.sendable(index, self.hub.limits.window_bytes);
        if count > 0 {
            let count = count.min(FRAME_BYTES);
            let typed_at = state.code(index, count, out);
            self.hub.metrics.sent_bytes.inc_by(count as u64);
            let viewer = &state.viewers[index];
            let frees_pump = !viewer.is_acking && viewer.role == Role::Player;
            drop(state);
            if frees_pump {
                self.hub.wake_pump();
            }
            return Next::Output { typed_at };
        }
        let is_all_sent = state.scrollback.end() == state.viewers[index].sent;
        let Some(exit) = state.exit.clone().filter(|_| is_all_sent) else {
            return Next::Wait;
        };
        state.is_read |= state.viewers[index].role == Role::Player;
        Next::Exit(exit)
    }

    /// The viewer has drawn everything before `offset`. Offsets that make no sense change nothing.
    pub fn ack(&self, offset: u64) {
        let mut state = self.hub.state.lock();
        let Some(index) = self.index(&state) else {
            return;
        };
        let viewer = &mut state.viewers[index];
        if offset <= viewer.acked || offset > viewer.sent {
            return;
        }
        // The viewer's writer has nothing new to look at unless the window was full.
        let was_full = viewer.is_full(self.hub.limits.window_bytes as u64);
        (viewer.acked, viewer.held_since) = (offset, None);
        if was_full {
            viewer.wake();
        }
        let is_player = viewer.role == Role::Player;
        drop(state);
        if is_player {
            self.hub.wake_pump();
        }
    }

    /// Whether this viewer is to be closed.
    pub fn is_closing(&self) -> bool {
        let state = self.hub.state.lock();
        self.index(&state)
            .is_none_or(|index| state.viewers[index].is_closing())
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
            self.hub.metrics.input_bytes.inc_by(keys.len() as u64);
            self.hub
                .typed_bytes
                .fetch_add(keys.len() as u64, Ordering::Relaxed);
        }
        self.hub.typed.raise();
        // The terminal's budget may allow more again, because its player types.
        self.hub.wake_pump();
        typed
    }

    /// Notes that `count` bytes of keys were refused, and that their page is told so.
    pub fn give_up(&self, count: usize) {
        self.hub.input.lock().give_up(count, self.arrival.page);
    }

    /// Notes that the player is there, without typing; from spectators this changes nothing. [`STAY_LIMIT`] after the
    /// last keys, only a key counts: a page that was forgotten, or a script, must not keep a place for good.
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
            state.viewers[self.index(&state)?].last_settled
        })
    }

    /// Notes the size of the player's terminal; spectators' sizes change nothing.
    pub fn resize(&self, size: Size) {
        if self.as_player(|state| state.resize(size)) == Some(true) {
            (self.hub.on_resize)();
        }
    }

    /// Calls `act` if this viewer is the player, and is not to be closed.
    fn as_player<T>(&self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.hub.state.lock();
        let viewer = &state.viewers[self.index(&state)?];
        if viewer.role == Role::Player && !viewer.is_closing() {
            Some(act(&mut state))
        } else {
            None
        }
    }

    /// Tells this viewer alone a sentence.
    pub fn notify(&self, notice: Notice) {
        let mut state = self.hub.state.lock();
        if let Some(index) = self.index(&state) {
            state.viewers[index].notify(notice);
        }
    }

    fn index(&self, state: &State) -> Option<usize> {
        state
            .viewers
            .iter()
            .position(|viewer| viewer.number == self.number)
    }
}

impl Drop for ViewerHandle {
    fn drop(&mut self) {
        self.hub.state.lock().remove(self.number);
        self.hub.wake_pump();
    }
}
