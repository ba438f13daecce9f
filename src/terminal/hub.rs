//! One container's terminal, shared by everybody who looks at it.
//!
//! The session's thread runs [`Hub::pump`]: it reads what the container writes into the scrollback and wakes
//! the viewers, each of which copies from there at its own pace ([`Seat::next`]). The player's pace is the
//! program's pace: when the player is a whole window behind, the pump stops reading, the Engine's pipe
//! fills, and the program's own write blocks. Spectators that fall out of the scrollback skip ahead.
//!
//! Keys go the other way without a thread: whoever has them writes them to the attach socket without
//! blocking; what the socket does not take waits in a bounded backlog ([`Hub::drain_backlog`]).

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rustix::net::SendFlags;

use super::frame::{Close, Level, Role};
use super::scrollback::Scrollback;
use crate::engine::Size;

/// The most the pump reads at once. DOCKER: the Engine itself copies 32 KiB at a time.
const READ_BYTES: usize = 32 * 1024;
/// The most one frame to a viewer carries, so that control messages never wait long.
const FRAME_BYTES: usize = 64 * 1024;
/// Keys that may wait for a container that does not read them: the largest message that is accepted.
const BACKLOG_BYTES: usize = 1024 * 1024;
/// Notices that may wait for one viewer; older ones give way.
const NOTICES: usize = 4;

/// How much a hub keeps and how far it lets a program run ahead of its player.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of output kept for viewers that come back.
    pub scrollback_bytes: usize,
    /// Bytes of output a page may have without having said that they are drawn.
    pub window_bytes: usize,
}

/// How a session's shell ended, as the page is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitNote {
    /// The exit code, where it is known.
    pub code: Option<i64>,
    /// `exited`, `killed`, `out_of_memory`…
    pub reason: String,
}

/// One container's terminal.
pub struct Hub {
    /// Guards the scrollback and who sits where. Held for memory copies only, never across I/O.
    state: Mutex<State>,
    /// Guards the writing half of the attach. Held across non-blocking sends only; never together with `state`.
    input: Mutex<Input>,
    /// Wakes the pump when the player has caught up. One element: it only says "look again".
    pump_wake: Sender<()>,
    pump_wakeups: Receiver<()>,
    /// Called after a new size was noted; must not block.
    on_resize: Box<dyn Fn() + Send + Sync>,
    limits: Limits,
}

struct State {
    scrollback: Scrollback,
    seats: Vec<SeatState>,
    next_seat: u64,
    last_input: Instant,
    size: Option<Size>,
    /// Set once: newcomers are turned away with it.
    closed: Option<Close>,
    exit: Option<ExitNote>,
}

struct SeatState {
    number: u64,
    role: Role,
    /// Whether the viewer says what it has drawn; otherwise what was handed to its socket counts.
    is_acking: bool,
    sent: u64,
    acked: u64,
    close: Option<Close>,
    notices: VecDeque<(Level, String)>,
    wake: Sender<()>,
}

impl SeatState {
    /// Up to here the viewer no longer needs the scrollback.
    fn done(&self) -> u64 {
        if self.is_acking {
            self.acked
        } else {
            self.sent
        }
    }
}

#[derive(Default)]
struct Input {
    stream: Option<Arc<UnixStream>>,
    backlog: VecDeque<u8>,
}

/// What became of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// The container has them, or will get them in order.
    Taken,
    /// The sender is not (or no longer) the player.
    NotPlayer,
    /// No attach right now, so they were dropped.
    NotConnected,
    /// The container has not read its last mebibyte of keys; these were not taken, try again.
    Full,
}

/// What a viewer's writer has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Output was appended to the buffer, behind the frame header.
    Output,
    /// Output was lost to this spectator; say hello with this offset and go on.
    Skipped(u64),
    /// A sentence for the viewer.
    Notice(Level, String),
    /// Nothing to do until the seat's wake-up.
    Wait,
    /// All output is sent and the shell has ended.
    Exit(ExitNote),
    /// Close with this code, whatever is still unsent.
    Close(Close),
}

impl Hub {
    /// A hub without a container yet. `on_resize` is told that [`Hub::size`] has changed; it must not block.
    pub fn new(limits: Limits, now: Instant, on_resize: impl Fn() + Send + Sync + 'static) -> Self {
        let (pump_wake, pump_wakeups) = bounded(1);
        Self {
            state: Mutex::new(State {
                scrollback: Scrollback::new(limits.scrollback_bytes),
                seats: Vec::new(),
                next_seat: 0,
                last_input: now,
                size: None,
                closed: None,
                exit: None,
            }),
            input: Mutex::new(Input::default()),
            pump_wake,
            pump_wakeups,
            on_resize: Box::new(on_resize),
            limits,
        }
    }

    /// Keys go to this attach from now on. What waited for an earlier one is dropped: nobody knows how
    /// much of it arrived.
    pub fn connect_input(&self, stream: UnixStream) {
        *self.input.lock() = Input {
            stream: Some(Arc::new(stream)),
            backlog: VecDeque::new(),
        };
    }

    /// Keys go nowhere from now on.
    pub fn disconnect_input(&self) {
        *self.input.lock() = Input::default();
    }

    /// Breaks the attach off, which ends the pump.
    pub fn hang_up(&self) {
        if let Some(stream) = &self.input.lock().stream {
            // Fails only when it is broken already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.wake_pump();
    }

    /// Reads the container's output until its end. Runs on the session's thread.
    ///
    /// # Errors
    /// What the attach socket says, when it breaks rather than ends.
    pub fn pump(&self, output: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.wait_for_player();
            let count = match output.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(cause),
            };
            self.push(&buffer[..count]);
            self.drain_backlog();
        }
    }

    /// Blocks while the player is a whole window behind. A closed hub is read to its end without waiting.
    fn wait_for_player(&self) {
        while self.is_held() {
            // Fails only when the sender is gone, and we own it.
            let _ = self.pump_wakeups.recv();
        }
    }

    fn is_held(&self) -> bool {
        let state = self.state.lock();
        let player = state
            .seats
            .iter()
            .find(|seat| seat.role == Role::Player && seat.close.is_none());
        let ahead = player.map_or(0, |seat| state.scrollback.end() - seat.done());
        state.closed.is_none() && ahead >= self.limits.window_bytes as u64
    }

    fn push(&self, output: &[u8]) {
        let mut state = self.state.lock();
        state.scrollback.push(output);
        for seat in &state.seats {
            seat.wake();
        }
    }

    /// A viewer sits down. A second player takes the first one's place, who is sent away with 4000.
    ///
    /// `from` is the offset to go on at; without one, or when it is no longer kept, the scrollback's start.
    ///
    /// # Errors
    /// With what code to turn the viewer away, when the session is over.
    pub fn join(
        self: &Arc<Self>,
        role: Role,
        is_acking: bool,
        from: Option<u64>,
    ) -> Result<Seat, Close> {
        let (wake, wakeups) = bounded(1);
        let mut state = self.state.lock();
        if let Some(close) = state.closed {
            return Err(close);
        }
        if role == Role::Player {
            for seat in state
                .seats
                .iter_mut()
                .filter(|seat| seat.role == Role::Player)
            {
                seat.close(Close::TakenOver);
            }
        }
        let (wanted, start) = (from.unwrap_or(0), state.scrollback.start());
        let is_exact = state.scrollback.has(wanted);
        let offset = if is_exact { wanted } else { start };
        let number = state.next_seat;
        state.next_seat += 1;
        state.seats.push(SeatState {
            number,
            role,
            is_acking,
            sent: offset,
            acked: offset,
            close: None,
            notices: VecDeque::new(),
            wake: wake.clone(),
        });
        drop(state);
        // A player that held the program may have been replaced by one that is further on.
        self.wake_pump();
        Ok(Seat {
            hub: Arc::clone(self),
            number,
            role,
            offset,
            is_exact,
            wake,
            wakeups,
            window_bytes: self.limits.window_bytes,
        })
    }

    /// Sends everybody away with `close`, at once, and lets the pump run to the end of the output.
    pub fn close(&self, close: Close) {
        let mut state = self.state.lock();
        state.closed.get_or_insert(close);
        for seat in &mut state.seats {
            seat.close(close);
        }
        drop(state);
        self.wake_pump();
    }

    /// The shell has ended: everybody gets what is left, then this note, then 1000.
    pub fn finish(&self, exit: ExitNote) {
        let mut state = self.state.lock();
        state.closed.get_or_insert(Close::ShellEnded);
        state.exit.get_or_insert(exit);
        for seat in &state.seats {
            seat.wake();
        }
    }

    /// Tells everybody a sentence.
    pub fn notify(&self, level: Level, text: &str) {
        for seat in &mut self.state.lock().seats {
            seat.notify(level, text);
        }
    }

    /// When the player last typed something, or the start.
    pub fn last_input(&self) -> Instant {
        self.state.lock().last_input
    }

    /// The size the player's terminal reported last.
    pub fn size(&self) -> Option<Size> {
        self.state.lock().size
    }

    /// How many look on, the player included.
    pub fn viewers(&self) -> usize {
        self.state.lock().seats.len()
    }

    /// Bytes of output so far.
    pub fn output_bytes(&self) -> u64 {
        self.state.lock().scrollback.end()
    }

    /// Whether keys wait for the container to read them.
    pub fn has_backlog(&self) -> bool {
        !self.input.lock().backlog.is_empty()
    }

    /// The socket that takes keys, to wait until it takes more of them.
    pub fn input_stream(&self) -> Option<Arc<UnixStream>> {
        self.input.lock().stream.clone()
    }

    /// Writes what waits, as much as goes without blocking.
    pub fn drain_backlog(&self) {
        self.input.lock().drain();
    }

    fn wake_pump(&self) {
        // A full channel means that the pump will look again anyway.
        let _ = self.pump_wake.try_send(());
    }
}

impl SeatState {
    fn wake(&self) {
        // A full channel means that the writer will look again anyway; a closed one that it has left.
        let _ = self.wake.try_send(());
    }

    fn close(&mut self, close: Close) {
        self.close.get_or_insert(close);
        self.wake();
    }

    fn notify(&mut self, level: Level, text: &str) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back((level, text.to_owned()));
        self.wake();
    }
}

impl Input {
    fn write(&mut self, keys: &[u8]) -> Typed {
        if self.stream.is_none() {
            return Typed::NotConnected;
        }
        if self.backlog.len() + keys.len() > BACKLOG_BYTES {
            return Typed::Full;
        }
        let sent = if self.backlog.is_empty() {
            self.send(keys)
        } else {
            0
        };
        self.backlog.extend(&keys[sent..]);
        if self.stream.is_some() {
            Typed::Taken
        } else {
            Typed::NotConnected
        }
    }

    fn drain(&mut self) {
        while !self.backlog.is_empty() {
            let front = self.backlog.as_slices().0.to_vec();
            let sent = self.send(&front);
            self.backlog.drain(..sent.min(self.backlog.len()));
            if sent == 0 {
                break;
            }
        }
        if self.backlog.is_empty() {
            self.backlog.shrink_to(0);
        }
    }

    /// Sends without blocking; returns how much was taken. A broken socket is forgotten, with its backlog:
    /// the pump learns of it too, and sees to a new one.
    fn send(&mut self, keys: &[u8]) -> usize {
        let Some(stream) = &self.stream else { return 0 };
        match rustix::net::send(stream, keys, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
            Err(_) => {
                *self = Input::default();
                0
            }
        }
    }
}

/// A viewer's place at a hub. Leaving is dropping it.
pub struct Seat {
    hub: Arc<Hub>,
    number: u64,
    role: Role,
    offset: u64,
    is_exact: bool,
    wake: Sender<()>,
    wakeups: Receiver<()>,
    window_bytes: usize,
}

impl Seat {
    /// What this viewer may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Absolute offset of the first byte that [`Seat::next`] gives.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether that is where the viewer wanted to go on.
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// The hub it belongs to.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Where "look again" arrives.
    pub fn wakeups(&self) -> &Receiver<()> {
        &self.wakeups
    }

    /// Makes the writer look again.
    pub fn wake(&self) {
        // Full means that it will look anyway.
        let _ = self.wake.try_send(());
    }

    /// Decides what the viewer's writer does next. Output is appended to `out` after `header` has put the
    /// frame's header for so many bytes there.
    pub fn next(&self, out: &mut Vec<u8>, header: impl FnOnce(usize, &mut Vec<u8>)) -> Next {
        let mut state = self.hub.state.lock();
        let State {
            scrollback,
            seats,
            exit,
            ..
        } = &mut *state;
        let Some(seat) = seats.iter_mut().find(|seat| seat.number == self.number) else {
            return Next::Close(Close::GoingAway);
        };
        if let Some(close) = seat.close {
            return Next::Close(close);
        }
        if let Some((level, text)) = seat.notices.pop_front() {
            return Next::Notice(level, text);
        }
        if !scrollback.has(seat.sent) {
            seat.sent = scrollback.start();
            seat.acked = seat.sent;
            return Next::Skipped(seat.sent);
        }
        let unsent = scrollback.end() - seat.sent;
        // Once the shell has ended the scrollback's own size bounds what is left.
        let room = match (seat.is_acking, exit.is_some()) {
            (true, false) => (self.window_bytes as u64).saturating_sub(seat.sent - seat.acked),
            _ => u64::MAX,
        };
        let count = unsent.min(room).min(FRAME_BYTES as u64) as usize;
        if count > 0 {
            header(count, out);
            seat.sent += scrollback.copy_from(seat.sent, count, out) as u64;
            let frees_pump = !seat.is_acking && seat.role == Role::Player;
            drop(state);
            if frees_pump {
                self.hub.wake_pump();
            }
            return Next::Output;
        }
        match exit {
            Some(exit) if unsent == 0 => Next::Exit(exit.clone()),
            _ => Next::Wait,
        }
    }

    /// The viewer has drawn everything before `offset`. Offsets that make no sense change nothing.
    pub fn ack(&self, offset: u64) {
        let mut state = self.hub.state.lock();
        let Some(seat) = state
            .seats
            .iter_mut()
            .find(|seat| seat.number == self.number)
        else {
            return;
        };
        if offset <= seat.acked || offset > seat.sent {
            return;
        }
        seat.acked = offset;
        seat.wake();
        let is_player = seat.role == Role::Player;
        drop(state);
        if is_player {
            self.hub.wake_pump();
        }
    }

    /// Whether somebody wants this viewer closed.
    pub fn is_closing(&self) -> bool {
        let state = self.hub.state.lock();
        state
            .seats
            .iter()
            .find(|seat| seat.number == self.number)
            .is_none_or(|seat| seat.close.is_some())
    }

    /// Types `keys` for the player.
    pub fn type_in(&self, keys: &[u8], now: Instant) -> Typed {
        if !self.note_player(|state| state.last_input = now) {
            return Typed::NotPlayer;
        }
        self.hub.input.lock().write(keys)
    }

    /// Notes the size of the player's terminal. Returns whether the viewer may do that.
    pub fn resize(&self, size: Size) -> bool {
        let mut has_changed = false;
        let is_player = self.note_player(|state| {
            has_changed = state.size != Some(size);
            state.size = Some(size);
        });
        if has_changed {
            (self.hub.on_resize)();
        }
        is_player
    }

    fn note_player(&self, note: impl FnOnce(&mut State)) -> bool {
        let mut state = self.hub.state.lock();
        let seat = state.seats.iter().find(|seat| seat.number == self.number);
        let is_player = seat.is_some_and(|seat| seat.role == Role::Player && seat.close.is_none());
        if is_player {
            note(&mut state);
        }
        is_player
    }

    /// Tells this viewer alone a sentence.
    pub fn notify(&self, level: Level, text: &str) {
        let mut state = self.hub.state.lock();
        if let Some(seat) = state
            .seats
            .iter_mut()
            .find(|seat| seat.number == self.number)
        {
            seat.notify(level, text);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub
            .state
            .lock()
            .seats
            .retain(|seat| seat.number != self.number);
        self.hub.wake_pump();
    }
}
