//! One container's terminal, shared by everybody who looks at it.
//!
//! The session's thread runs [`Hub::pump`]: it reads what the container writes into the scrollback and wakes
//! the viewers, each of which copies from there at its own pace ([`super::viewer_handle`]). The player's pace is the
//! program's pace: when the player is a whole window behind, the pump stops reading, the Engine's pipe
//! fills, and the program's own write blocks. Spectators that fall out of the scrollback skip ahead.
//!
//! Keys go the other way without a thread of their own ([`super::input`]). What leaves the scrollback is taken in
//! by a terminal emulator ([`super::past`]), so that a page which comes back late still sees the right screen.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;
use uuid::Uuid;

use super::budget::{Around, PumpBudget};
use super::frame::{Close, Notice, Role};
use super::input::Input;
use super::meters::Meters;
use super::parked_writer::ParkedWriter;
use super::past::Past;
use super::present::Present;
use super::recording::Recording;
use super::scrollback::Scrollback;
use super::typists::{Number, Typists};
use super::viewer_handle::{Greeting, Screen, ViewerHandle, ViewerState};
use super::wakeup::Wakeup;
use crate::engine::Size;

pub use super::input::Typed;
pub use super::viewer_handle::Next;

/// What a terminal has before its page has said its size.
pub const FIRST_SIZE: Size = Size { cols: 80, rows: 24 };
/// What memory goes into, as metrics name it.
pub const MEMORY_PARTS: [&str; 3] = ["scrollback", "state", "recording"];
/// Spectators of one session.
pub const MAX_SPECTATORS: usize = 64;

/// The most the pump reads at once. DOCKER: the Engine itself copies 32 KiB at a time.
const READ_BYTES: usize = 32 * 1024;
/// What it has room for while a session is quiet: 32 KiB for each would be half of all its memory.
const QUIET_READ_BYTES: usize = 2 * 1024;
/// After so many small reads a flood is over.
const QUIET_READS: u32 = 64;
/// A read of this size or more is part of a flood: nobody reads so much, and nobody waits for it to the millisecond.
const FLOOD_BYTES: usize = 1024;
/// So long a flood is left to gather between two reads. The Engine passes on every few hundred bytes as they come; to
/// wake up for each of them costs more than everything else, and takes the processor from the program that writes.
const FLOOD_PAUSE: Duration = Duration::from_micros(1000);
/// After a key there are no such pauses: what comes may be its answer, and it may be Ctrl-C.
const KEY_GRACE: Duration = Duration::from_millis(100);
/// When a page is cut off, the program stays held for so long at the page's window, so that a page that comes back
/// finds everything; after that the program runs on and only the scrollback is kept.
const AWAY_GRACE: Duration = Duration::from_secs(30);
/// A page that is there and has drawn nothing of a whole window for so long may never do so: its program runs on, and
/// once the page draws again it is told what it has missed. A hidden page is woken up once a minute.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(150);
/// Downloads of one recording at once.
const MAX_DOWNLOADS: usize = 2;
/// What is kept of an ended program's output for a player who was not there: why it ended is in its last words.
const LAST_WORDS_BYTES: usize = 4 * 1024;
/// Sizes that wait for the output before them to be taken in; the oldest give way.
const SIZES: usize = 64;

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

/// Who sits down, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// What it may do.
    pub role: Role,
    /// Whether it says what it has drawn.
    pub is_acking: bool,
    /// The offset to go on at.
    pub from: Option<u64>,
    /// Whether it wants the screen as it is now, and not the output that leads from there to it.
    pub wants_screen: bool,
    /// The page's own number, if it wants its keys counted.
    pub page: Option<Uuid>,
}

/// Why nobody could sit down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoViewer {
    /// The session is over; this is the code it was closed with.
    Closed(Close),
    /// There are as many spectators as there may be.
    Full,
}

/// One container's terminal.
pub struct Hub {
    /// Guards the writing half of the attach and the count of keys. Held across non-blocking sends only.
    /// Order: before `state`, where both are needed.
    pub(super) input: Mutex<Input>,
    /// Guards the scrollback and who sits where. Held for memory copies only, never across I/O.
    pub(super) state: Mutex<State>,
    /// The past was taken out or given back, or nobody waits for it any more: see [`super::aging`]. Goes with `state`.
    pub(super) past_moved: Condvar,
    /// When the next present may be drawn: see [`super::present`]. Held while one is, and by whoever waits for that, before
    /// any other lock.
    pub(super) present_due: Mutex<Instant>,
    /// Wakes the pump when the player has caught up.
    pump_wake: Wakeup,
    /// Ends a pause of the pump's when the player types.
    pub(super) typed: Wakeup,
    /// Called after a new size was noted; must not block.
    pub(super) on_resize: Box<dyn Fn() + Send + Sync>,
    pub(super) limits: Limits,
    pub(super) meters: Arc<Meters>,
    /// Bytes of keys that the container took.
    pub(super) typed_bytes: AtomicU64,
    /// Shared by all that download the recording now.
    downloads: Arc<()>,
    /// Where somebody types, and which of those terminals this is.
    pub(super) typists: Arc<Typists>,
    pub(super) number: Number,
}

pub(super) struct State {
    pub(super) scrollback: Scrollback,
    /// The terminal at the scrollback's start; none while that is the start of everything.
    pub(super) past: Option<Box<Past>>,
    /// Whether the emulator is at work on it elsewhere. INVARIANT: until it is given back only the session's thread
    /// adds output, and nothing is forgotten.
    pub(super) is_past_out: bool,
    /// How many wait for it.
    pub(super) past_wanted: usize,
    /// Memory that it took when it was here last.
    pub(super) past_bytes: usize,
    /// Sizes by the offset at which they were set, where the past has not come to yet.
    pub(super) sizes: VecDeque<(u64, Size)>,
    pub(super) seats: Vec<ViewerState>,
    next_seat: u64,
    pub(super) last_input: Instant,
    /// The same for keys: who only says to be there is believed for [`super::viewer_handle::STAY_LIMIT`] after them.
    pub(super) last_keys: Instant,
    /// When the oldest keys were written that no output has followed yet.
    pub(super) typed_at: Option<Instant>,
    /// The offset of the output that followed keys, and when those were written; until it is sent.
    pub(super) echo: Option<(u64, Instant)>,
    pub(super) size: Option<Size>,
    /// Counts the panics of the past's emulator.
    pub(super) emulator_panics: IntCounter,
    /// What players that have left had drawn, or what was answered without them: the questions in it are answered.
    pub(super) answered: u64,
    /// Whether the offset is only a guess: see [`super::snapshot`].
    pub(super) is_uncharted: bool,
    /// Set once: newcomers are turned away with it.
    pub(super) closed: Option<Close>,
    pub(super) exit: Option<ExitNote>,
    /// Whether the player was told everything, the end included.
    pub(super) is_read: bool,
    recording: Option<Recording>,
    /// Whether nothing comes any more and nobody is let in: what was kept for viewers goes with the last of them.
    is_retired: bool,
    /// The player's page was cut off: what it had drawn, and until when the program waits for it.
    away: Option<(u64, Instant)>,
    /// Viewers were told that the Engine does not answer, and not yet that it does.
    is_engine_away: bool,
}

impl Hub {
    /// A hub without a container yet. `on_resize` is told that [`Hub::size`] has changed; it must not block.
    pub fn new(limits: Limits, now: Instant, on_resize: impl Fn() + Send + Sync + 'static) -> Self {
        let meters = Arc::<Meters>::default();
        let typists = Arc::<Typists>::default();
        Self {
            number: typists.number(),
            typists,
            input: Mutex::new(Input::default()),
            state: Mutex::new(State {
                scrollback: Scrollback::new(limits.scrollback_bytes),
                past: None,
                is_past_out: false,
                past_wanted: 0,
                past_bytes: 0,
                sizes: VecDeque::new(),
                seats: Vec::new(),
                next_seat: 0,
                last_input: now,
                last_keys: now,
                typed_at: None,
                echo: None,
                size: None,
                emulator_panics: meters.emulator_panics.clone(),
                answered: 0,
                is_uncharted: false,
                closed: None,
                exit: None,
                is_read: false,
                recording: None,
                is_retired: false,
                away: None,
                is_engine_away: false,
            }),
            past_moved: Condvar::new(),
            present_due: Mutex::new(now),
            pump_wake: Wakeup::default(),
            typed: Wakeup::default(),
            on_resize: Box::new(on_resize),
            limits,
            meters,
            typed_bytes: AtomicU64::new(0),
            downloads: Arc::default(),
        }
    }

    /// The same, among the terminals of a server: while somebody types at another one, a flood here is held back.
    pub fn among(self, typists: Arc<Typists>) -> Self {
        Self {
            number: typists.number(),
            typists,
            ..self
        }
    }

    /// The same, counted together with others.
    pub fn metered(mut self, meters: Arc<Meters>) -> Self {
        self.state.get_mut().emulator_panics = meters.emulator_panics.clone();
        Self { meters, ..self }
    }

    /// Keys go to this attach from now on. Whoever was told that the Engine is away hears that it is back.
    pub fn connect_input(&self, stream: UnixStream) {
        self.input.lock().connect(stream);
        let mut state = self.state.lock();
        // Nobody knows what came of keys that the last attach took.
        state.forget_echo();
        if std::mem::take(&mut state.is_engine_away) {
            state.notify(&Notice::engine_back());
        }
    }

    /// Tells everybody that the Engine does not answer, and newcomers too, until there is an attach again.
    pub fn engine_away(&self) {
        self.input.lock().await_no_longer();
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.is_engine_away, true) {
            state.notify(&Notice::engine_away());
        }
    }

    /// Keys go nowhere from now on.
    pub fn disconnect_input(&self) {
        self.input.lock().disconnect();
    }

    /// Breaks the attach off, which ends the pump.
    pub fn hang_up(&self) {
        self.input.lock().hang_up();
        self.wake_pump();
    }

    /// Reads the container's output until its end. Runs on the session's thread.
    ///
    /// # Errors
    /// What the attach socket says, when it breaks rather than ends.
    pub fn pump(&self, output: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; QUIET_READ_BYTES];
        let mut small_reads = 0;
        let mut budget = PumpBudget::new(Instant::now());
        loop {
            self.wait_for_player();
            let count = match output.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(cause),
            };
            let is_watched = self.push(&buffer[..count]);
            budget.spend(count, is_watched);
            self.answer(&buffer[..count], &mut budget);
            self.age(&mut budget);
            // Whoever has the lock is writing keys at this moment, and waiting for it would cost a wake-up a key.
            if let Some(mut input) = self.input.try_lock() {
                input.drain();
            }
            small_reads = if count < QUIET_READ_BYTES {
                small_reads + 1
            } else {
                0
            };
            // A full buffer means that more has gathered already.
            if (FLOOD_BYTES..buffer.len()).contains(&count) {
                self.let_gather();
            }
            if let Some(room) = next_room(buffer.len(), count, small_reads) {
                buffer = vec![0; room];
            }
            self.hold_back(&mut budget);
        }
    }

    /// Waits a moment for more of a flood, unless somebody types.
    fn let_gather(&self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.last_input()) >= KEY_GRACE {
            self.typed.wait_until(now + FLOOD_PAUSE);
        }
    }

    /// Blocks while the player is a whole window behind. A closed hub is read to its end without waiting.
    fn wait_for_player(&self) {
        loop {
            // INVARIANT: the lock is released before the wait; in the scrutinee of `match` it would not be.
            let hold = self.state.lock().hold(self.limits.window_bytes as u64);
            match hold {
                Hold::No => return,
                Hold::Yes => self.pump_wake.wait(),
                // Woken or too late: each time the state decides.
                Hold::Until(end) => drop(self.pump_wake.wait_until(end)),
            }
        }
    }

    /// Lets the program wait when its terminal has used up what it may, of time, of output that nobody sees, or of output
    /// beside others who type.
    pub(super) fn hold_back(&self, budget: &mut PumpBudget) {
        while !budget.is_unspent() {
            let state = self.state.lock();
            let is_closed = state.closed.is_some();
            let now = Instant::now();
            let around = Around {
                is_watched: !state.seats.is_empty(),
                has_others: self.typists.has_others(self.number, now),
                keys_at: state.last_keys,
            };
            drop(state);
            let pause = budget.pause(around, now);
            if is_closed || pause.is_zero() {
                return;
            }
            self.pump_wake.wait_until(now + pause);
        }
    }

    /// Adds output and wakes the viewers. Returns whether there are any.
    fn push(&self, output: &[u8]) -> bool {
        self.meters.output_bytes.inc_by(output.len() as u64);
        let mut state = self.state.lock();
        if let Some(typed_at) = state.typed_at.take() {
            let offset = state.scrollback.end();
            state.echo.get_or_insert((offset, typed_at));
        }
        state.scrollback.push(output);
        let player = state.player().map(ViewerState::address);
        let window_bytes = self.limits.window_bytes as u64;
        let spectators = state
            .seats
            .iter()
            .filter(|seat| seat.role == Role::Spectator);
        let spectators: Vec<Arc<ParkedWriter>> = spectators
            .filter(|seat| !seat.is_full(window_bytes))
            .map(|seat| seat.address().1)
            .collect();
        if let Some(recording) = &mut state.recording
            && recording.output(output, Instant::now())
        {
            state.tell_full();
        }
        let is_watched = !state.seats.is_empty();
        // Not under the lock: whoever is woken wants it at once.
        drop(state);
        if let Some((number, rest)) = player {
            let mut typed_at = None;
            let code = |out: &mut Vec<u8>| {
                let coded = self.code_little(number, out);
                typed_at = coded.flatten();
                coded.is_some()
            };
            if !rest.send(code) {
                rest.wake();
            }
            self.note_echo(typed_at);
        }
        // After the player's: each wake-up takes the time of one.
        for rest in spectators {
            rest.wake();
        }
        is_watched
    }

    fn code_little(&self, number: u64, out: &mut Vec<u8>) -> Option<Option<Instant>> {
        let before = out.len();
        let coded = {
            let mut state = self.state.lock();
            state.code_little(number, self.limits.window_bytes, out)
        };
        self.meters.sent_bytes.inc_by((out.len() - before) as u64);
        coded
    }

    /// Output that follows these keys has been sent to the player.
    pub(super) fn note_echo(&self, typed_at: Option<Instant>) {
        if let Some(typed_at) = typed_at {
            self.meters.echo.observe(typed_at.elapsed().as_secs_f64());
        }
    }

    /// A viewer sits down. A second player takes the first one's place, who is sent away with 4000.
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
        // What is out has offsets that a chart would change.
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
                state.seats.iter_mut().for_each(|seat| seat.settle(&input));
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
            // Its terminal is empty, and the output alone does not fill it.
            None if arrival.wants_screen => state.greet(None),
            None => state.greet(arrival.from),
        };
        match (arrival.from, greeting.is_exact) {
            (Some(_), true) => self.meters.resumed_exactly.inc(),
            (Some(_), false) => self.meters.resumed_by_state.inc(),
            (None, _) => {}
        }
        let page = arrival.page.filter(|_| arrival.role == Role::Player);
        let settled = page.and_then(|page| input.settled(page, arrival.from.is_none()));
        drop(input);
        let rest = Arc::<ParkedWriter>::default();
        let number = state.next_seat;
        state.next_seat += 1;
        let mut seat = ViewerState::new(number, arrival, greeting.offset, Arc::clone(&rest));
        if state.is_engine_away {
            seat.notify(Notice::engine_away());
        }
        state.seats.push(seat);
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

    /// Sends all spectators away.
    pub fn dismiss_spectators(&self) {
        for seat in self
            .state
            .lock()
            .seats
            .iter_mut()
            .filter(|seat| seat.role == Role::Spectator)
        {
            seat.close(Close::NotAllowed);
        }
    }

    /// Sends the player's own connections away: it has logged out. The game goes on without it.
    pub fn log_out(&self) {
        let mut state = self.state.lock();
        let seats = state.seats.iter_mut();
        for seat in seats.filter(|seat| seat.role == Role::Player) {
            seat.close(Close::LoggedOut);
        }
    }

    /// The shell has ended: everybody gets what is left, then this note, then 1000.
    pub fn finish(&self, exit: ExitNote) {
        let mut state = self.state.lock();
        state.closed.get_or_insert(Close::ShellEnded);
        state.exit.get_or_insert(exit);
        state.wake_all();
    }

    /// The session is over: its memory is given back when the last viewer has what is left, all but a program's last words
    /// that its player has not read. A recording stays.
    pub fn retire(&self) {
        self.input.lock().forget();
        let mut state = self.state.lock();
        state.is_retired = true;
        state.release();
    }

    /// Tells everybody a sentence.
    pub fn notify(&self, notice: &Notice) {
        self.state.lock().notify(notice);
    }

    /// When the player last typed something, or the start.
    pub fn last_input(&self) -> Instant {
        self.state.lock().last_input
    }

    /// Counts as if the player had typed something at `now`.
    pub fn touch(&self, now: Instant) {
        let mut state = self.state.lock();
        (state.last_input, state.last_keys) = (now, now);
    }

    /// The size the player's terminal reported last.
    pub fn size(&self) -> Option<Size> {
        self.state.lock().size
    }

    /// How many look on, the player included.
    pub fn viewers(&self) -> usize {
        self.state.lock().seats.len()
    }

    /// How many of them are spectators.
    pub fn spectators(&self) -> usize {
        self.state.lock().spectators()
    }

    /// Bytes of keys so far.
    pub fn input_bytes(&self) -> u64 {
        self.typed_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of output so far.
    pub fn output_bytes(&self) -> u64 {
        self.state.lock().scrollback.end()
    }

    /// Bytes of memory that output takes, by [`MEMORY_PARTS`].
    pub fn memory_by_part(&self) -> [usize; 3] {
        let state = self.state.lock();
        let (scrollback, past) = (state.scrollback.memory_bytes(), state.past_bytes);
        drop(state);
        [scrollback, past, self.recording_bytes()]
    }

    /// The same in all.
    pub fn memory_bytes(&self) -> usize {
        self.memory_by_part().iter().sum()
    }

    /// Whether keys wait for the container to read them.
    pub fn has_backlog(&self) -> bool {
        self.input.lock().has_backlog()
    }

    /// The socket that takes keys, to wait until it takes more of them.
    pub fn input_stream(&self) -> Option<Arc<UnixStream>> {
        self.input.lock().stream()
    }

    /// Writes what waits, as much as goes without blocking.
    pub fn drain_backlog(&self) {
        self.input.lock().drain();
    }

    /// Starts to record, with the screen as it is now. Returns whether no recording was there yet.
    pub fn start_recording(&self, now: Instant, date: SystemTime) -> bool {
        if self.has_recording() {
            return false;
        }
        let present = self.present();
        let mut state = self.state.lock();
        let is_new = state.recording.is_none();
        if is_new {
            state.recording = Some(state.record_from(present, now, date));
        }
        is_new
    }

    /// The recording so far, as an asciicast v2 file.
    pub fn recording(&self) -> Option<String> {
        self.state
            .lock()
            .recording
            .as_ref()
            .map(|recording| recording.text().to_owned())
    }

    /// Leave to download the recording, until it is dropped: each download takes as much memory as the recording has,
    /// for as long as its client wants to take. None while two are under way.
    pub fn download(&self) -> Option<Arc<()>> {
        // Our own is one of them.
        (Arc::strong_count(&self.downloads) <= MAX_DOWNLOADS).then(|| Arc::clone(&self.downloads))
    }

    /// Bytes of the recording, if there is one.
    pub fn recording_bytes(&self) -> usize {
        let state = self.state.lock();
        let recording = state.recording.as_ref();
        recording.map_or(0, |recording| recording.text().len())
    }

    /// Whether there is a recording.
    pub fn has_recording(&self) -> bool {
        self.state.lock().recording.is_some()
    }

    /// Drops the recording. Returns whether there was one.
    pub fn drop_recording(&self) -> bool {
        self.state.lock().recording.take().is_some()
    }

    pub(super) fn wake_pump(&self) {
        self.pump_wake.raise();
    }
}

/// How big the pump's buffer should be from now on, if not as it is.
fn next_room(room: usize, count: usize, small_reads: u32) -> Option<usize> {
    if count == room && room < READ_BYTES {
        Some(READ_BYTES)
    } else if small_reads >= QUIET_READS && room > QUIET_READ_BYTES {
        Some(QUIET_READ_BYTES)
    } else {
        None
    }
}

/// Whether the program has to wait for its player.
enum Hold {
    No,
    Yes,
    /// For a page that was cut off and may come back, or that may draw again.
    Until(Instant),
}

impl State {
    fn hold(&mut self, window_bytes: u64) -> Hold {
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

    /// A viewer has left.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(index) = self.seats.iter().position(|seat| seat.number == number) else {
            return;
        };
        let seat = self.seats.swap_remove(index);
        if seat.role == Role::Player {
            self.answered = self.answered.max(seat.done());
            self.forget_echo();
        }
        // Who was sent away, or never says what it has drawn, does not come back for the rest.
        if seat.role == Role::Player && seat.is_acking && !seat.is_closing() {
            self.away = Some((seat.done(), Instant::now() + AWAY_GRACE));
        }
        self.wake_all();
        self.release();
    }

    /// Gives the memory back that nobody needs any more.
    fn release(&mut self) {
        if self.is_retired && self.seats.is_empty() {
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
    fn has_last_words(&self) -> bool {
        self.closed == Some(Close::ShellEnded) && self.exit.is_some() && !self.is_read
    }

    /// Drops all that belongs to the output so far, and sends everybody away to come back.
    pub(super) fn begin_again(&mut self) {
        (self.past, self.size, self.sizes) = (None, None, VecDeque::new());
        // The thread that had it out is gone.
        (self.is_past_out, self.past_bytes) = (false, 0);
        (self.recording, self.away) = (None, None);
        self.forget_echo();
        for seat in &mut self.seats {
            seat.close(Close::GoingAway);
        }
    }

    /// What comes next is no answer to keys that were typed before.
    fn forget_echo(&mut self) {
        (self.typed_at, self.echo) = (None, None);
    }

    fn player(&self) -> Option<&ViewerState> {
        self.seats
            .iter()
            .find(|seat| seat.role == Role::Player && !seat.is_closing())
    }

    pub(super) fn has_player(&self) -> bool {
        self.player().is_some()
    }

    fn player_mut(&mut self) -> Option<&mut ViewerState> {
        self.seats
            .iter_mut()
            .find(|seat| seat.role == Role::Player && !seat.is_closing())
    }

    pub(super) fn spectators(&self) -> usize {
        self.seats
            .iter()
            .filter(|seat| seat.role == Role::Spectator)
            .count()
    }

    pub(super) fn shown_size(&self) -> Size {
        self.size.unwrap_or(FIRST_SIZE)
    }

    fn notify(&mut self, notice: &Notice) {
        for seat in &mut self.seats {
            seat.notify(notice.clone());
        }
    }

    pub(super) fn wake_all(&self) {
        for seat in &self.seats {
            seat.wake();
        }
    }

    fn send_player_away(&mut self) {
        self.away = None;
        for seat in self
            .seats
            .iter_mut()
            .filter(|seat| seat.role == Role::Player)
        {
            seat.close(Close::TakenOver);
        }
    }

    /// How much of the output some player has drawn, or was sent, if it never says what it has drawn.
    pub(super) fn answered(&self) -> u64 {
        let players = self.seats.iter().filter(|seat| seat.role == Role::Player);
        players.fold(self.answered, |most, seat| most.max(seat.done()))
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
            // With what has just been drawn.
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
        // Nothing was drawn in the one before.
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

    /// A recording that begins with this screen, and goes on with what has come since.
    fn record_from(&self, present: Option<Present>, now: Instant, date: SystemTime) -> Recording {
        // What came before is lost to it where that is too much to draw, or to keep until it is drawn.
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

    fn tell_full(&mut self) {
        for seat in self
            .seats
            .iter_mut()
            .filter(|seat| seat.role == Role::Player)
        {
            seat.notify(Notice::recording_full());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        scrollback_bytes: 64 * 1024,
        window_bytes: 32 * 1024,
    };

    const PLAYER: Arrival = Arrival {
        role: Role::Player,
        is_acking: true,
        from: None,
        wants_screen: false,
        page: None,
    };

    /// Pumps what a program without end would write; how much memory that takes.
    #[track_caller]
    fn check_memory(start: &[u8], endless: &[u8]) {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let mut output =
            io::Cursor::new([start, &endless.repeat((256 << 10) / endless.len())].concat());
        assert!(hub.pump(&mut output).is_ok());
        assert_eq!(hub.output_bytes(), output.position());
        assert!(
            hub.memory_bytes() < 512 * 1024,
            "{} bytes",
            hub.memory_bytes()
        );
        // And a page that comes then is told something to draw.
        let seat = hub.join(PLAYER).expect("it is not over");
        assert!(seat.greeting().screen.is_some() && !seat.greeting().is_exact);
    }

    #[test]
    fn endless_sequences_take_no_memory() {
        check_memory(b"\x1b]2;", b"title");
        check_memory(b"\x1b]52;c;", b"QUFB");
        check_memory(b"\x1bP", b"1$r");
        check_memory(b"\x1b[", b"1;");
        check_memory(b"\x1b_", b"\xf0\x9f");
        check_memory(b"", b"\x1b[31mred\x1b[0m ");
        check_memory(b"", b"no line ever ends ");
        check_memory(b"", b"lines\r\n");
        check_memory(b"", b"\xff\xfe\x80");
    }

    /// What has ended is remembered for minutes, and must not take a terminal's memory for so long.
    #[test]
    fn a_retired_terminal_keeps_its_recording_only() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let seat = hub.join(PLAYER).expect("it is not over");
        hub.start_recording(Instant::now(), SystemTime::UNIX_EPOCH);
        hub.push(&[b'x'; 200 * 1024]);
        hub.close(Close::Destroyed);
        hub.retire();
        assert!(hub.memory_bytes() > 300 * 1024, "somebody still reads");
        drop(seat);
        assert_eq!(hub.memory_bytes(), hub.recording_bytes());
        assert!(hub.recording_bytes() > 200 * 1024);
        assert_eq!(hub.output_bytes(), 200 * 1024);
        assert_eq!(
            hub.join(PLAYER).err(),
            Some(NoViewer::Closed(Close::Destroyed))
        );
    }

    #[test]
    fn who_only_says_to_be_there_is_believed_for_a_while() {
        let start = Instant::now();
        let hub = Arc::new(Hub::new(LIMITS, start, || {}));
        let seat = hub.join(PLAYER).expect("it is not over");
        let hours = |count: u64| start + Duration::from_secs(count * 3600);
        seat.stay(hours(1));
        assert_eq!(hub.last_input(), hours(1));
        seat.stay(hours(3));
        assert_eq!(hub.last_input(), hours(1), "no key for three hours");
        // There is no attach; who types is there all the same.
        seat.type_in(b"x", hours(4));
        seat.stay(hours(5));
        assert_eq!(hub.last_input(), hours(5));
        let spectator = Arrival {
            role: Role::Spectator,
            ..PLAYER
        };
        let spectator = hub.join(spectator).expect("it is not over");
        spectator.stay(hours(5) + Duration::from_secs(1));
        assert_eq!(hub.last_input(), hours(5));
    }

    /// However many look on, the screen that they begin with is there once, and gone when the last has it.
    #[test]
    fn all_spectators_begin_with_one_screen() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let mut output = io::Cursor::new(b"\x1b[31mred\x1b[0m ".repeat(8 << 10));
        assert!(hub.pump(&mut output).is_ok());
        let spectator = Arrival {
            role: Role::Spectator,
            ..PLAYER
        };
        let mut seats: Vec<ViewerHandle> = (0..MAX_SPECTATORS)
            .map(|_| hub.join(spectator).expect("it is not over"))
            .collect();
        let screens: Vec<Screen> = seats
            .iter_mut()
            .filter_map(ViewerHandle::take_screen)
            .collect();
        assert_eq!(screens.len(), MAX_SPECTATORS);
        let first = &screens[0].data;
        assert!(
            screens
                .iter()
                .all(|screen| Arc::ptr_eq(&screen.data, first))
        );
        // The past's own, which it keeps until there is more output.
        assert_eq!(Arc::strong_count(first), MAX_SPECTATORS + 1);
        assert!(hub.memory_bytes() > first.len());
        hub.push(b"more");
        assert!(seats.iter().all(|seat| seat.greeting().screen.is_none()));
    }

    #[test]
    fn a_recording_is_downloaded_twice_at_once() {
        let hub = Hub::new(LIMITS, Instant::now(), || {});
        let (first, second) = (hub.download(), hub.download());
        assert!(first.is_some() && second.is_some() && hub.download().is_none());
        drop(first);
        assert!(hub.download().is_some());
    }

    #[test]
    fn a_lost_page_holds_the_program_for_a_while_only() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        drop(hub.join(PLAYER).expect("it is not over"));
        hub.push(&[b'x'; 40 * 1024]);
        let hold = |hub: &Hub| hub.state.lock().hold(LIMITS.window_bytes as u64);
        assert!(matches!(hold(&hub), Hold::Until(_)));
        hub.state.lock().away = Some((0, Instant::now()));
        assert!(matches!(hold(&hub), Hold::No), "the grace is over");
        let seat = hub.join(PLAYER).expect("it is not over");
        assert!(matches!(hold(&hub), Hold::Until(_)), "it is there again");
        seat.ack(1);
        drop(hub.join(Arrival {
            is_acking: false,
            ..PLAYER
        }));
        assert!(
            matches!(hold(&hub), Hold::No),
            "a raw client does not come back for the rest"
        );
    }

    /// A page that is there and never draws is no slow one: its program goes on after a while, and what the page is sent
    /// has an end. Once it draws again it is told what it has missed.
    #[test]
    fn a_page_that_draws_nothing_holds_the_program_for_a_while_only() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let seat = hub.join(PLAYER).expect("it is not over");
        hub.push(&[b'x'; 40 * 1024]);
        let mut out = Vec::new();
        assert_eq!(seat.next(&mut out), Next::Output { typed_at: None });
        let hold = |hub: &Hub| hub.state.lock().hold(LIMITS.window_bytes as u64);
        let Hold::Until(until) = hold(&hub) else {
            panic!("it is not waited for");
        };
        assert!(until > Instant::now() + STALL_LIMIT / 2);
        let held_for_long = |hub: &Hub| {
            let mut state = hub.state.lock();
            let player = state.player_mut().expect("it is there");
            player.held_since = Instant::now().checked_sub(STALL_LIMIT);
        };
        held_for_long(&hub);
        assert!(matches!(hold(&hub), Hold::No));
        assert!(
            hub.pump(&mut io::Cursor::new(vec![b'y'; 400 * 1024]))
                .is_ok()
        );
        let sent = out.len();
        while seat.next(&mut out) != Next::Wait {}
        assert!(
            out.len() == sent && sent <= LIMITS.window_bytes + 16,
            "{sent}"
        );
        seat.ack(1);
        let Next::Skipped(greeting) = seat.next(&mut out) else {
            panic!("it has missed a lot");
        };
        assert!(greeting.screen.is_some() && greeting.offset > 200 * 1024);
        // And from now on it is a slow one again.
        while seat.next(&mut out) != Next::Wait {}
        assert!(matches!(hold(&hub), Hold::Until(_)));
    }
}
