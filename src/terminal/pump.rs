//! The loop that reads what a container writes, on the session's thread: into the scrollback, and no faster than its
//! player and its budget allow.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::{Around, PumpBudget};
use super::frame::Role;
use super::hub::Hub;
use super::parked_writer::ParkedWriter;
use super::state::Hold;
use super::viewer_state::ViewerState;

/// The most the pump reads in one read. DOCKER: the Engine itself copies 32 KiB at a time.
const READ_BYTES: usize = 32 * 1024;
/// The size of the pump's buffer while a session is quiet: 32 KiB for each session would be half of its memory.
const QUIET_READ_BYTES: usize = 2 * 1024;
/// A flood is over after this many small reads.
const QUIET_READS: u32 = 64;
/// A read of this size or more is part of a flood: no person reads that much, or notices that it comes a millisecond
/// later.
const FLOOD_BYTES: usize = 1024;
/// How long a flood is left to gather between two reads. The Engine passes on every few hundred bytes as they come; to
/// wake up for each of them costs more than everything else, and takes the processor from the program that writes.
const FLOOD_PAUSE: Duration = Duration::from_micros(1000);
/// After a key there are no such pauses: what comes may be its answer, and it may be Ctrl-C.
const KEY_GRACE: Duration = Duration::from_millis(100);

impl Hub {
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
            // A thread that has the lock is most likely writing keys at this moment, and waiting for it would cost a
            // wake-up for each key.
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

    /// Waits a moment for more of a flood, unless the player types.
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
                // Whether the pump was woken or the time is over, the state decides what is next.
                Hold::Until(end) => drop(self.pump_wake.wait_until(end)),
            }
        }
    }

    /// Lets the program wait when its terminal has used up what it may: of the emulator's time, of output without a
    /// viewer, or of output while others type at other terminals.
    pub(super) fn hold_back(&self, budget: &mut PumpBudget) {
        while !budget.is_unspent() {
            let state = self.state.lock();
            let is_closed = state.closed.is_some();
            let now = Instant::now();
            let around = Around {
                is_watched: !state.viewers.is_empty(),
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
    pub(super) fn push(&self, output: &[u8]) -> bool {
        self.metrics.output_bytes.inc_by(output.len() as u64);
        let mut state = self.state.lock();
        if let Some(typed_at) = state.typed_at.take() {
            let offset = state.scrollback.end();
            state.echo.get_or_insert((offset, typed_at));
        }
        state.scrollback.push(output);
        let player = state.player().map(ViewerState::address);
        let window_bytes = self.limits.window_bytes as u64;
        let spectators = state
            .viewers
            .iter()
            .filter(|viewer| viewer.role == Role::Spectator);
        let spectators: Vec<Arc<ParkedWriter>> = spectators
            .filter(|viewer| !viewer.is_full(window_bytes))
            .map(|viewer| viewer.address().1)
            .collect();
        if let Some(recording) = &mut state.recording
            && recording.output(output, Instant::now())
        {
            state.tell_full();
        }
        let is_watched = !state.viewers.is_empty();
        // The lock is released first, because a viewer that is woken takes it immediately.
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
        // Spectators come after the player, because each wake-up takes time.
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
        self.metrics.sent_bytes.inc_by((out.len() - before) as u64);
        coded
    }

    /// Measures the time from keys to the output that follows them, which has just been sent to the player.
    pub(super) fn note_echo(&self, typed_at: Option<Instant>) {
        if let Some(typed_at) = typed_at {
            self.metrics.echo.observe(typed_at.elapsed().as_secs_f64());
        }
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
