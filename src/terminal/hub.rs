//! One container's terminal, shared by all its viewers.
//!
//! The session's thread runs [`Hub::pump`]: it reads what the container writes into the scrollback and wakes
//! the viewers, each of which copies from there at its own pace ([`super::viewer_handle`]). The player's pace is the
//! program's pace: when the player is a whole window behind, the pump stops reading, the Engine's pipe
//! fills, and the program's own write blocks. Spectators that fall out of the scrollback skip ahead.
//!
//! Keys go the other way without a thread of their own ([`super::input`]). What leaves the scrollback is taken in
//! by a terminal emulator ([`super::past`]), so that a page which comes back late still sees the right screen.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::frame::{Close, Notice, Role};
use super::input::SharedInput;
use super::metrics::{MemoryPart, Metrics};
use super::state::State;
use super::typists::{Number, Typists};
use super::wakeup::Wakeup;
use crate::engine::Size;
use crate::locks::{Condvar, Mutex, rank};

pub use super::input::Typed;
pub use super::state::FIRST_SIZE;
pub use super::viewer_state::{Arrival, ExitNote, Next};

/// The most downloads of one recording at the same time.
const MAX_DOWNLOADS: usize = 2;

/// How much a hub keeps and how far it lets a program run ahead of its player.
#[derive(Debug, Clone, Copy)]
pub struct BufferLimits {
    /// Bytes of output kept for viewers that come back.
    pub scrollback_bytes: usize,
    /// Bytes of output a page may have without having said that they are drawn.
    pub window_bytes: usize,
}

/// One container's terminal.
pub struct Hub {
    /// The writing half of the attach and the count of keys. Taken before `state`, where both are needed.
    pub(super) input: SharedInput,
    /// Guards the scrollback and the viewers. Held for memory copies, and across the non-blocking send of an answer to the
    /// program: see [`super::answering`].
    pub(super) state: Mutex<State, rank::TerminalState>,
    /// Signalled when the past was taken out or given back, or when no thread waits for it any more: see
    /// [`super::aging`]. Used with the lock `state`.
    pub(super) past_moved: Condvar,
    /// When the next present may be drawn: see [`super::present`]. Held while one is drawn, and by the thread that
    /// waits for its turn. Taken before any other lock.
    pub(super) present_due: Mutex<Instant, rank::Picture>,
    /// Wakes the pump when the player has caught up.
    pub(super) pump_wake: Wakeup,
    /// Ends a pause of the pump's when the player types.
    pub(super) typed: Wakeup,
    /// Called after a new size was noted; must not block.
    pub(super) on_resize: Box<dyn Fn() + Send + Sync>,
    pub(super) limits: BufferLimits,
    pub(super) metrics: Arc<Metrics>,
    /// Bytes of keys that the container took.
    pub(super) typed_bytes: AtomicU64,
    /// Shared by all downloads of the recording that are under way.
    downloads: Arc<()>,
    /// At which of the server's terminals players type, and which of those terminals this is.
    pub(super) typists: Arc<Typists>,
    pub(super) number: Number,
}

impl Hub {
    /// A hub without a container yet. `on_resize` is told that [`Hub::size`] has changed; it must not block.
    pub fn new(
        limits: BufferLimits,
        now: Instant,
        on_resize: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let metrics = Arc::<Metrics>::default();
        let typists = Arc::<Typists>::default();
        Self {
            number: typists.number(),
            typists,
            input: SharedInput::default(),
            state: Mutex::new(State::new(
                limits.scrollback_bytes,
                now,
                metrics.emulator_panics.clone(),
            )),
            past_moved: Condvar::new(),
            present_due: Mutex::new(now),
            pump_wake: Wakeup::default(),
            typed: Wakeup::default(),
            on_resize: Box::new(on_resize),
            limits,
            metrics,
            typed_bytes: AtomicU64::new(0),
            downloads: Arc::default(),
        }
    }

    /// Puts the hub among the terminals of a server: while a player types at another one, a flood here is held back.
    pub fn among(self, typists: Arc<Typists>) -> Self {
        Self {
            number: typists.number(),
            typists,
            ..self
        }
    }

    /// Lets the hub count into `metrics`, together with other hubs.
    pub fn metered(mut self, metrics: Arc<Metrics>) -> Self {
        self.state.get_mut().emulator_panics = metrics.emulator_panics.clone();
        Self { metrics, ..self }
    }

    /// The writing half of its attach.
    pub fn input(&self) -> &SharedInput {
        &self.input
    }

    /// Keys go to this attach from now on. Viewers that were told that the Engine is away are told that it is back.
    pub fn connect_input(&self, stream: UnixStream) {
        self.input.lock().connect(stream);
        let mut state = self.state.lock();
        // It is not known what became of keys that the last attach took.
        state.forget_echo();
        if std::mem::take(&mut state.is_engine_away) {
            state.notify(&Notice::engine_back());
        }
    }

    /// Tells all viewers that the Engine does not answer, and newcomers too, until there is an attach again.
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

    /// Sends all viewers away with `close`, immediately, and lets the pump run to the end of the output.
    pub fn close(&self, close: Close) {
        let mut state = self.state.lock();
        state.closed.get_or_insert(close);
        for viewer in &mut state.viewers {
            viewer.close(close);
        }
        drop(state);
        self.wake_pump();
    }

    /// Sends all spectators away.
    pub fn dismiss_spectators(&self) {
        for viewer in self
            .state
            .lock()
            .viewers
            .iter_mut()
            .filter(|viewer| viewer.role == Role::Spectator)
        {
            viewer.close(Close::NotAllowed);
        }
    }

    /// Sends the player's own connections away: it has logged out. The game goes on without it.
    pub fn log_out(&self) {
        let mut state = self.state.lock();
        let viewers = state.viewers.iter_mut();
        for viewer in viewers.filter(|viewer| viewer.role == Role::Player) {
            viewer.close(Close::LoggedOut);
        }
    }

    /// The shell has ended: each viewer gets the rest of the output, then this note, then 1000.
    pub fn finish(&self, exit: ExitNote) {
        let mut state = self.state.lock();
        state.closed.get_or_insert(Close::ShellEnded);
        state.exit.get_or_insert(exit);
        state.wake_all();
    }

    /// The session is over: its memory is given back when the last viewer has the rest of the output, except a
    /// program's last words that its player has not read. A recording stays.
    pub fn retire(&self) {
        self.input.lock().forget();
        let mut state = self.state.lock();
        state.is_retired = true;
        state.release();
    }

    /// Tells all viewers a sentence.
    pub fn notify(&self, notice: &Notice) {
        self.state.lock().notify(notice);
    }

    /// When the player last typed something, or the start if nothing was typed.
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

    /// The number of viewers, the player included.
    pub fn viewers(&self) -> usize {
        self.state.lock().viewers.len()
    }

    /// The number of spectators.
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

    /// Bytes of memory that output takes.
    pub fn memory_by_part(&self) -> [(MemoryPart, usize); MemoryPart::ALL.len()] {
        let state = self.state.lock();
        let (scrollback, past) = (state.scrollback.memory_bytes(), state.past_bytes);
        drop(state);
        [
            (MemoryPart::Scrollback, scrollback),
            (MemoryPart::State, past),
            (MemoryPart::Recording, self.recording_bytes()),
        ]
    }

    /// The memory of all parts together.
    pub fn memory_bytes(&self) -> usize {
        self.memory_by_part().iter().map(|(_, bytes)| bytes).sum()
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

    /// Permission to download the recording, held until it is dropped. Each download takes as much memory as the
    /// recording, for as long as its client takes to read it. None while two are under way.
    pub fn download(&self) -> Option<Arc<()>> {
        // The hub's own reference is one of them.
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::state::Hold;
    use super::super::viewer_state::{STALL_LIMIT, Screen};
    use super::*;
    use crate::terminal::viewer_handle::{MAX_SPECTATORS, NoViewer, ViewerHandle};
    use std::time::Duration;

    const LIMITS: BufferLimits = BufferLimits {
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

    /// Pumps what a program without end would write; returns how much memory that takes.
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
        // A page that comes then is told something to draw.
        let viewer = hub.join(PLAYER).expect("it is not over");
        assert!(viewer.greeting().screen.is_some() && !viewer.greeting().is_exact);
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

    /// A session that has ended is remembered for minutes, and must not take a terminal's memory during that time.
    #[test]
    fn a_retired_terminal_keeps_its_recording_only() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let viewer = hub.join(PLAYER).expect("it is not over");
        hub.start_recording(Instant::now(), SystemTime::UNIX_EPOCH);
        hub.push(&[b'x'; 200 * 1024]);
        hub.close(Close::Destroyed);
        hub.retire();
        assert!(hub.memory_bytes() > 300 * 1024, "somebody still reads");
        drop(viewer);
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
        let viewer = hub.join(PLAYER).expect("it is not over");
        let hours = |count: u64| start + Duration::from_secs(count * 3600);
        viewer.stay(hours(1));
        assert_eq!(hub.last_input(), hours(1));
        viewer.stay(hours(3));
        assert_eq!(hub.last_input(), hours(1), "no key for three hours");
        // There is no attach, but a player who types counts as present.
        viewer.type_in(b"x", hours(4));
        viewer.stay(hours(5));
        assert_eq!(hub.last_input(), hours(5));
        let spectator = Arrival {
            role: Role::Spectator,
            ..PLAYER
        };
        let spectator = hub.join(spectator).expect("it is not over");
        spectator.stay(hours(5) + Duration::from_secs(1));
        assert_eq!(hub.last_input(), hours(5));
    }

    /// However many viewers look on, the screen that they begin with is kept once, and freed when the last has it.
    #[test]
    fn all_spectators_begin_with_one_screen() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let mut output = io::Cursor::new(b"\x1b[31mred\x1b[0m ".repeat(8 << 10));
        assert!(hub.pump(&mut output).is_ok());
        let spectator = Arrival {
            role: Role::Spectator,
            ..PLAYER
        };
        let mut viewers: Vec<ViewerHandle> = (0..MAX_SPECTATORS)
            .map(|_| hub.join(spectator).expect("it is not over"))
            .collect();
        let screens: Vec<Screen> = viewers
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
        // One reference is the past's own, which it keeps until there is more output.
        assert_eq!(Arc::strong_count(first), MAX_SPECTATORS + 1);
        assert!(hub.memory_bytes() > first.len());
        hub.push(b"more");
        assert!(
            viewers
                .iter()
                .all(|viewer| viewer.greeting().screen.is_none())
        );
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
        let viewer = hub.join(PLAYER).expect("it is not over");
        assert!(matches!(hold(&hub), Hold::Until(_)), "it is there again");
        viewer.ack(1);
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
        let viewer = hub.join(PLAYER).expect("it is not over");
        hub.push(&[b'x'; 40 * 1024]);
        let mut out = Vec::new();
        assert_eq!(viewer.next(&mut out), Next::Output { typed_at: None });
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
        while viewer.next(&mut out) != Next::Wait {}
        assert!(
            out.len() == sent && sent <= LIMITS.window_bytes + 16,
            "{sent}"
        );
        viewer.ack(1);
        let Next::Skipped(greeting) = viewer.next(&mut out) else {
            panic!("it has missed a lot");
        };
        assert!(greeting.screen.is_some() && greeting.offset > 200 * 1024);
        // From now on the page is a slow one again.
        while viewer.next(&mut out) != Next::Wait {}
        assert!(matches!(hold(&hub), Hold::Until(_)));
    }
}
