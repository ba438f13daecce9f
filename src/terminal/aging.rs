//! Takes output that leaves the scrollback into the past, without the hub's lock.
//!
//! ```text
//!  hub ── the past, the oldest output ──▶ Aging: the emulator works, no lock held ── what it took in ──▶ hub
//! ```
//!
//! Emulation may take long: a program can write, in three bytes, that a hundred thousand cells are to be filled. So it
//! is done in slices, and between two slices a thread that needs the past gets it. It is done on the session's own
//! thread, so that the session's program waits meanwhile ([`super::budget`] says for how long). The hub answers
//! everything else at the same time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::budget::PumpBudget;
use super::frame::Close;
use super::hub::Hub;
use super::past::Past;
use super::state::{FIRST_SIZE, State};
use crate::engine::Size;
use crate::locks::MutexGuard;

/// How far the scrollback may be over its limit before its oldest bytes are taken into the past.
pub(super) const EXCESS_BYTES: usize = 32 * 1024;
/// The most output that leaves the hub in one slice. A sequence that is still not complete after this many bytes is
/// taken in as it is.
const SLICE_BYTES: usize = 2 * EXCESS_BYTES;
/// The length of a slice: after it the past is given back, for the threads that wait for it.
const SLICE_TIME: Duration = Duration::from_millis(10);
/// The emulator gets this many bytes before the clock is read, or [`PLAIN_STEP_BYTES`] of output without a sequence.
const STEP_BYTES: usize = 128;
const PLAIN_STEP_BYTES: usize = 4 * 1024;
/// The longest that a stop waits for one terminal's last picture; after it there is no picture. A scrollback of
/// ordinary output takes a twentieth of it, and as many terminals as one address may have are done within the grace of
/// a stop.
pub(super) const PICTURE_TIME: Duration = Duration::from_millis(200);

/// The past, and output that is on its way into the past.
pub(super) struct Aging {
    past: Box<Past>,
    /// Offset of the first byte of `output`.
    start: u64,
    output: Vec<u8>,
    /// Sizes that were set before the end of `output` and that the past does not have yet.
    sizes: VecDeque<(u64, Size)>,
    /// How many bytes of `output` the past has taken in.
    done: usize,
}

impl Aging {
    pub(super) fn new(
        past: Box<Past>,
        start: u64,
        output: Vec<u8>,
        sizes: VecDeque<(u64, Size)>,
    ) -> Self {
        Self {
            past,
            start,
            output,
            sizes,
            done: 0,
        }
    }

    /// Takes in the output until all is taken in or the slice's time is over. Returns whether all is taken in, except a
    /// sequence whose end is still to come.
    pub(super) fn absorb(&mut self) -> bool {
        let due = Instant::now() + SLICE_TIME;
        while self.absorb_to_next_size(due) {
            match self.sizes.pop_front() {
                Some((_, size)) => self.past.resize(size),
                None => return true,
            }
        }
        false
    }

    /// The terminal with all of the output, wherever that ends, and the offset of its end.
    pub(super) fn into_past(mut self) -> (Box<Past>, u64) {
        self.absorb_rest();
        (self.past, self.start + self.output.len() as u64)
    }

    /// Takes in output up to the next size. Returns whether it has come there, or to the beginning of a sequence that
    /// continues there.
    fn absorb_to_next_size(&mut self, due: Instant) -> bool {
        let place = |(at, _): &(u64, Size)| at.saturating_sub(self.start) as usize;
        let whole = self.output.len();
        let stop = self.sizes.front().map_or(whole, place).min(whole);
        let stop = stop.max(self.done);
        let mut step = STEP_BYTES;
        while self.done < stop {
            step = step.max(plain_bytes(&self.output[self.done..stop]));
            let end = stop.min(self.done + step);
            let count = self.past.absorb(&self.output[self.done..end]);
            self.done += count;
            if count == 0 && end == stop {
                return true;
            }
            // A sequence longer than the step is offered again with what follows it.
            step = if count == 0 { step * 2 } else { STEP_BYTES };
            if self.done > 0 && Instant::now() >= due && self.done < stop {
                return false;
            }
        }
        true
    }

    /// Takes in all of the output if nothing was taken in and the output is longer than any sequence that makes sense.
    fn absorb_endless(&mut self) {
        if self.done == 0 && self.output.len() >= SLICE_BYTES {
            self.past.absorb_all(&self.output);
            self.done = self.output.len();
        }
    }

    /// Takes in the rest of the output, wherever it ends.
    fn absorb_rest(&mut self) {
        self.past.absorb_all(&self.output[self.done..]);
        self.done = self.output.len();
        for (_, size) in std::mem::take(&mut self.sizes) {
            self.past.resize(size);
        }
    }
}

impl Hub {
    /// Takes what is too much for the scrollback into the past. Runs on the session's thread, and may hold it for
    /// longer than the emulator takes; the program waits during that time.
    pub(super) fn age(&self, budget: &mut PumpBudget) {
        let mut left = self.state.lock().too_much();
        while left > 0 {
            let taken = self.out_for(|state| state.begin_aging(left));
            let Some(mut aging) = taken else { return };
            let began = processor_time();
            aging.absorb();
            aging.absorb_endless();
            budget.spend_emulation(processor_time().saturating_sub(began));
            let done = aging.done;
            self.give_back(aging);
            if done == 0 {
                return;
            }
            left = left.saturating_sub(done);
            self.hold_back(budget);
        }
    }

    /// Takes all output before an offset into the past, wherever that lies. Returns whether it was done in time: this
    /// thread has worked for no longer than [`PICTURE_TIME`] since `began`.
    pub(super) fn age_until(&self, end: u64, began: Duration) -> bool {
        loop {
            let mut aging = self.out_for(|state| state.begin_aging_until(end));
            let before = aging.output.len();
            aging.absorb();
            let is_last = aging.done < before && aging.done == 0 || aging.done == before;
            let is_late = processor_time().saturating_sub(began) > PICTURE_TIME;
            if is_last && !is_late {
                aging.absorb_rest();
            }
            self.give_back(aging);
            let state = self.state.lock();
            if is_late || state.scrollback.start() >= end.min(state.scrollback.end()) {
                return !is_late;
            }
        }
    }

    /// Takes something out once no thread waits for the past any more.
    fn out_for<T>(&self, take: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        self.past_moved
            .wait_while(&mut state, |state| state.past_wanted > 0);
        take(&mut state)
    }

    fn give_back(&self, aging: Aging) {
        self.state.lock().end_aging(aging);
        self.past_moved.notify_all();
    }

    /// Waits until the past is back, which takes about a slice. The lock is released meanwhile, and held afterwards.
    pub(super) fn wait_for_past(&self, state: &mut MutexGuard<'_, State>) {
        state.past_wanted += 1;
        self.past_moved.wait_while(state, |state| state.is_past_out);
        state.past_wanted -= 1;
        self.past_moved.notify_all();
    }
}

impl State {
    /// How much is to be taken into the past now.
    fn too_much(&mut self) -> usize {
        let excess = self.scrollback.excess();
        if excess < EXCESS_BYTES {
            return 0;
        }
        // The old output can still be needed only by a page that comes back after the server's next start.
        if self.closed.is_some_and(|close| close != Close::GoingAway) {
            self.scrollback.forget(excess);
            return 0;
        }
        excess
    }

    /// The oldest output that is to leave the scrollback, and the past. None when the terminal was closed meanwhile.
    fn begin_aging(&mut self, count: usize) -> Option<Aging> {
        match self.closed {
            Some(_) => None,
            None => Some(self.take_out(count)),
        }
    }

    fn begin_aging_until(&mut self, end: u64) -> Aging {
        self.take_out(end.saturating_sub(self.scrollback.start()) as usize)
    }

    fn take_out(&mut self, count: usize) -> Aging {
        let start = self.scrollback.start();
        let mut output = Vec::new();
        self.scrollback
            .copy_from(start, count.min(SLICE_BYTES), &mut output);
        let end = start + output.len() as u64;
        let due = self.sizes.iter().take_while(|(at, _)| *at <= end).count();
        let new = || Box::new(Past::new(FIRST_SIZE, &self.emulator_panics));
        let past = self.past.take().unwrap_or_else(new);
        self.is_past_out = true;
        Aging::new(past, start, output, self.sizes.drain(..due).collect())
    }

    fn end_aging(&mut self, aging: Aging) {
        for size in aging.sizes.into_iter().rev() {
            self.sizes.push_front(size);
        }
        self.scrollback.forget(aging.done);
        self.past_bytes = aging.past.memory_bytes();
        self.past = Some(aging.past);
        self.is_past_out = false;
    }
}

/// How many bytes at the beginning are plain text, up to one step. Sequences begin with ESC, or with a C1 character,
/// whose first byte is 0xc2.
fn plain_bytes(output: &[u8]) -> usize {
    let step = &output[..output.len().min(PLAIN_STEP_BYTES)];
    let sequence = step.iter().position(|byte| matches!(byte, 0x1b | 0xc2));
    sequence.unwrap_or(step.len())
}

/// The processor time that this thread has used, whatever else the machine does.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::terminal::Role;
    use crate::terminal::hub::{Arrival, BufferLimits};

    const LIMITS: BufferLimits = BufferLimits {
        scrollback_bytes: 64 * 1024,
        window_bytes: 32 * 1024,
    };
    /// Three bytes that fill every cell there is.
    const FILLS: &[u8] = b"\x1b#8";

    fn arrival(from: Option<u64>) -> Arrival {
        Arrival {
            role: Role::Player,
            is_acking: true,
            from,
            wants_screen: false,
            page: None,
        }
    }

    fn hub(output: &[u8]) -> Arc<Hub> {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        hub.state.lock().resize(Size {
            cols: 1000,
            rows: 100,
        });
        hub.state.lock().scrollback.push(output);
        hub
    }

    /// While the emulator is at work, which is whenever the past is out, the hub answers everything else.
    #[test]
    fn nobody_waits_for_the_emulator() {
        let hub = hub(&FILLS.repeat(40_000));
        let wanted = hub.state.lock().too_much();
        let mut aging = hub
            .state
            .lock()
            .begin_aging(wanted)
            .expect("it is not over");
        aging.absorb();
        assert!(0 < aging.done && aging.done < aging.output.len());
        // These are the calls of status, metrics and the reaper, of a page that goes on where it was, and of the end.
        assert_eq!((hub.viewers(), hub.has_recording()), (0, false));
        assert!(hub.memory_bytes() > 0 && hub.output_bytes() == 120_000);
        hub.touch(Instant::now());
        let viewer = hub.join(arrival(Some(119_999))).expect("it is not over");
        assert!(viewer.greeting().is_exact);
        viewer.resize(Size { cols: 80, rows: 24 });
        hub.close(Close::Destroyed);
        let taken = aging.done as u64;
        hub.give_back(aging);
        let state = hub.state.lock();
        assert_eq!(state.scrollback.start(), taken);
        assert_eq!(state.sizes.len(), 1, "the size of now is still to come");
    }

    /// A thread that needs the past gets it after the slice, and the next slice waits for that.
    #[test]
    fn who_needs_the_past_gets_it_between_two_slices() {
        let hub = hub(&b"hello ".repeat(20_000));
        let first = hub.state.lock().begin_aging(60_000);
        let mut aging = first.expect("it is not over");
        aging.absorb();
        hub.give_back(aging);
        let mut aging = hub.state.lock().begin_aging(6_000).expect("open");
        std::thread::scope(|scope| {
            let newcomer = scope.spawn(|| {
                let viewer = hub.join(arrival(None)).expect("it is not over");
                let screen = viewer.greeting().screen.clone();
                screen.is_some_and(|screen| screen.data.contains("hello"))
            });
            while hub.state.lock().past_wanted == 0 {
                std::thread::yield_now();
            }
            aging.absorb();
            hub.give_back(aging);
            // The past is taken out only after the newcomer has had it.
            assert_eq!(hub.out_for(|state| state.past_wanted), 0);
            assert!(newcomer.join().expect("no panic"));
        });
    }

    /// Output that is taken in by slices or as a whole gives the same picture, wherever the size changes.
    #[test]
    fn slices_make_no_difference() {
        let lines: String = (0..4_000)
            .map(|line| {
                format!(
                    "\x1b[{}mline {line}\x1b[0m of {}\r\n",
                    31 + line % 7,
                    "many ".repeat(line % 40)
                )
            })
            .collect();
        let pictures = [3_000, usize::MAX].map(|step| {
            let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
            for (number, piece) in lines.as_bytes().chunks(10_000).enumerate() {
                let (cols, rows) = (40 + number as u16 % 50, 10 + number as u16 % 20);
                hub.state.lock().resize(Size { cols, rows });
                hub.state.lock().scrollback.push(piece);
                while hub.state.lock().too_much() > 0 {
                    let mut aging = hub.state.lock().begin_aging(step).expect("open");
                    aging.absorb();
                    hub.give_back(aging);
                }
            }
            hub.still()
        });
        assert_eq!(pictures[0], pictures[1]);
        assert!(pictures[0].data.contains("line"));
    }

    /// A stop does not wait for minutes of emulation: the picture is left out, the offset is right.
    #[test]
    fn a_picture_that_would_take_too_long_is_left_out() {
        let hub = hub(&FILLS.repeat(4_000_000));
        let still = hub.still();
        assert_eq!((still.offset, still.data.as_str()), (12_000_000, ""));
    }

    /// The emulator's work is not done at all once the terminal is closed.
    #[test]
    fn after_the_end_nothing_is_emulated() {
        let hub = hub(&FILLS.repeat(4_000_000));
        hub.close(Close::Destroyed);
        let mut budget = PumpBudget::new(Instant::now());
        hub.age(&mut budget);
        let state = hub.state.lock();
        assert!(state.past.is_none());
        assert_eq!(state.scrollback.excess(), 0);
    }
}
