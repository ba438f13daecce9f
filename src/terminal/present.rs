//! The terminal as it is now, for a recording that begins now, and for a page whose own terminal could not draw the
//! output that led here.
//!
//! The scrollback goes through a second emulator, which begins with what the past shows. That may take long, so it is
//! done without the hub's lock, on the thread that asks. Output that comes meanwhile is then taken from the scrollback.
//! One present is drawn at a time, and a pause follows each, so that a game whose output is hard to draw can't occupy
//! the processor by asking again and again.

use std::time::{Duration, Instant};

use super::aging::{Aging, PICTURE_TIME, processor_time};
use super::frame::Role;
use super::hub::Hub;
use super::past::Past;
use super::state::{FIRST_SIZE, Present, State};
use super::viewer_state::{Arrival, Greeting, Screen};

/// How long a thread waits for another one that draws; longer than one drawing and its pause usually take.
const WAIT: Duration = Duration::from_secs(2);
/// The pause after a drawing, as a multiple of the processor time that it took.
const PAUSE: u32 = 4;

impl Hub {
    /// The terminal as it is now. None where drawing it would take too much of the processor's time.
    pub(super) fn present(&self) -> Option<Present> {
        let mut due = self.present_due.try_lock_for(WAIT)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let began = processor_time();
        let drawn = self.draw_present(began);
        *due = Instant::now() + PAUSE * processor_time().saturating_sub(began);
        drawn
    }

    fn draw_present(&self, began: Duration) -> Option<Present> {
        let mut aging = {
            let mut state = self.state.lock();
            self.wait_for_past(&mut state);
            state.copy_all()
        };
        let is_late = || processor_time().saturating_sub(began) > PICTURE_TIME;
        while !aging.absorb() {
            if is_late() {
                return None;
            }
        }
        let (mut past, end) = aging.into_past();
        Some(Present {
            offset: end - past.open_char().len() as u64,
            screen: Screen {
                size: past.size(),
                data: past.redraw(),
            },
        })
    }

    /// The terminal as it is now, for a viewer that wants it.
    pub(super) fn present_for(&self, arrival: Arrival) -> Option<Present> {
        if !arrival.wants_screen {
            return None;
        }
        // This comes before anything is copied, because it changes all offsets.
        if arrival.role == Role::Player {
            let mut state = self.state.lock();
            self.wait_for_past(&mut state);
            state.chart(arrival.from);
        }
        self.present()
    }
}

impl State {
    /// What a viewer is told that begins with the present; or, if so much output has come since that not all of it is
    /// kept, what a viewer is told that begins with the past.
    pub(super) fn greet_with(&mut self, Present { offset, screen }: Present) -> Greeting {
        if !self.scrollback.has(offset) {
            return self.greet(None);
        }
        Greeting {
            offset,
            head: self.scrollback.end(),
            answered: self.answered(),
            is_exact: false,
            screen: Some(screen),
            settled: None,
        }
    }

    /// A copy of the past, with all output on its way into it.
    fn copy_all(&mut self) -> Aging {
        self.copy_until(self.scrollback.end())
    }

    /// A copy of the past, with the output before an offset on its way into it.
    pub(super) fn copy_until(&mut self, end: u64) -> Aging {
        let panics = self.emulator_panics.clone();
        let mut past = Past::new(FIRST_SIZE, &panics);
        if let Some(original) = &mut self.past {
            past = Past::new(original.size(), &panics);
            past.absorb_all(original.redraw().as_bytes());
        }
        let start = self.scrollback.start();
        let mut output = Vec::new();
        let count = end.saturating_sub(start) as usize;
        self.scrollback.copy_from(start, count, &mut output);
        Aging::new(Box::new(past), start, output, self.sizes.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::engine::Size;
    use crate::terminal::Metrics;
    use crate::terminal::emulator::tests::seen;
    use crate::terminal::hub::BufferLimits;

    const LIMITS: BufferLimits = BufferLimits {
        scrollback_bytes: 64 * 1024,
        window_bytes: 32 * 1024,
    };

    fn pump(hub: &Hub, output: &[u8]) {
        assert!(hub.pump(&mut Cursor::new(output)).is_ok());
    }

    /// What a player of asciicasts shows at the end, as what draws it.
    fn replayed(hub: &Hub) -> (Size, String) {
        let text = hub.recording().expect("a recording");
        let mut lines = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let header = lines.next().expect("a header");
        let side = |name: &str| header[name].as_u64().expect("a number") as u16;
        let size = Size {
            cols: side("width"),
            rows: side("height"),
        };
        let mut past = Past::new(size, &Metrics::default().emulator_panics);
        for event in lines {
            let data = event[2].as_str().expect("text");
            match event[1].as_str() {
                Some("o") => past.absorb_all(data.as_bytes()),
                _ => {
                    let (cols, rows) = data.split_once('x').expect("a size");
                    past.resize(Size {
                        cols: cols.parse().expect("a number"),
                        rows: rows.parse().expect("a number"),
                    });
                }
            }
        }
        (past.size(), past.redraw().to_string())
    }

    /// Wherever a recording begins, in the middle of a sequence or of a character: at its end it shows what a page shows
    /// that saw everything.
    #[test]
    fn a_recording_begins_with_the_screen() {
        let output = "a\x1b[1;31mb\u{4e16}\x1b]2;title\u{4e16}\x07c\x1b[2;5Hd".as_bytes();
        for cut in 0..=output.len() {
            let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
            pump(&hub, &output[..cut]);
            assert!(hub.start_recording(Instant::now(), SystemTime::UNIX_EPOCH));
            pump(&hub, &output[cut..]);
            let (size, shown) = replayed(&hub);
            assert_eq!(
                seen(size, &[shown.as_bytes()]),
                seen(size, &[output]),
                "cut at {cut}"
            );
        }
    }

    /// Much has left the scrollback, and the window had other sizes.
    #[test]
    fn a_recording_begins_with_the_screen_of_a_long_game() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let lines: String = (0..8_000)
            .map(|line| format!("\x1b[{}mline {line}\x1b[m\r\n", 31 + line % 7))
            .collect();
        let last = Size { cols: 60, rows: 12 };
        for (number, piece) in lines.as_bytes().chunks(20_000).enumerate() {
            let cols = 40 + number as u16;
            hub.state.lock().resize(Size { cols, rows: 20 });
            pump(&hub, piece);
        }
        pump(&hub, b"\x1b[3;9r\x1b[?6h\x1b[4hin a region");
        hub.state.lock().resize(last);
        assert!(hub.state.lock().past.is_some());
        assert!(hub.start_recording(Instant::now(), SystemTime::UNIX_EPOCH));
        assert!(
            hub.recording_bytes() < 8 * 1024,
            "one screen, not the way to it"
        );
        pump(&hub, b"\x1b[2;1Hmore");
        let (size, shown) = replayed(&hub);
        assert_eq!(size, last);
        let still = hub.still();
        assert_eq!(
            seen(size, &[shown.as_bytes()]),
            seen(size, &[still.data.as_bytes()])
        );
        assert!(!hub.start_recording(Instant::now(), SystemTime::UNIX_EPOCH));
    }

    /// A recording does not wait for minutes of emulation: it begins empty then.
    #[test]
    fn a_screen_that_takes_too_long_is_left_out() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        hub.state.lock().resize(Size {
            cols: 1000,
            rows: 100,
        });
        hub.state
            .lock()
            .scrollback
            .push(&b"\x1b#8".repeat(4_000_000));
        assert!(hub.present().is_none());
        assert!(
            *hub.present_due.lock() > Instant::now(),
            "the next one waits"
        );
        assert!(hub.start_recording(Instant::now(), SystemTime::UNIX_EPOCH));
    }

    fn arrival(role: Role, from: u64) -> Arrival {
        Arrival {
            role,
            is_acking: true,
            from: Some(from),
            wants_screen: true,
            page: None,
        }
    }

    /// A viewer that wants the screen gets it, wherever the output is cut, and the output that follows; and no other
    /// output.
    #[test]
    fn who_wants_the_screen_of_now_gets_it() {
        let output = "a\x1b[1;31mb\u{4e16}\x1b]2;title\u{4e16}\x07c\x1b[2;5Hd".as_bytes();
        for (role, cut) in [Role::Player, Role::Spectator]
            .into_iter()
            .flat_map(|role| (1..output.len()).map(move |cut| (role, cut)))
        {
            let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
            pump(&hub, &output[..cut]);
            let mut viewer = hub.join(arrival(role, 1)).expect("it is not over");
            let screen = viewer.take_screen().expect("a screen");
            let greeting = viewer.greeting();
            let begun = cut as u64 - greeting.offset;
            assert!(!greeting.is_exact && begun < 4, "{greeting:?}");
            assert_eq!(greeting.head, cut as u64);
            pump(&hub, &output[cut..]);
            let mut rest = Vec::new();
            let state = hub.state.lock();
            state
                .scrollback
                .copy_from(greeting.offset, usize::MAX, &mut rest);
            drop(state);
            assert_eq!(
                seen(screen.size, &[screen.data.as_bytes(), &rest]),
                seen(screen.size, &[output]),
                "cut at {cut}"
            );
        }
    }

    /// After a crash the page knows how far the output had come, whatever it wants to be told.
    #[test]
    fn after_a_crash_the_screen_of_now_has_the_page_s_offset() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        hub.go_on_from(None);
        pump(&hub, b"more");
        let viewer = hub.join(arrival(Role::Player, 1000)).expect("open");
        let greeting = viewer.greeting();
        assert_eq!((greeting.offset, greeting.head), (1004, 1004));
        let screen = greeting.screen.as_ref().expect("a screen");
        assert!(screen.data.contains("more"), "{screen:?}");
    }

    /// Where it takes too long to draw, the newcomer begins with what is kept, and not in the middle of it.
    #[test]
    fn without_a_screen_of_now_all_that_is_kept_is_told() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        hub.state.lock().resize(Size {
            cols: 1000,
            rows: 100,
        });
        hub.state
            .lock()
            .scrollback
            .push(&b"\x1b#8".repeat(1_000_000));
        let viewer = hub.join(arrival(Role::Player, 2_000_000)).expect("open");
        let greeting = viewer.greeting();
        assert_eq!((greeting.offset, greeting.is_exact), (0, true));
    }
}
