//! What a terminal needs to go on after a restart of the server: its offset and its screen.
//!
//! A server that is stopped takes a [`Snapshot`] of each terminal, and the next server goes on from there: pages come
//! back at their offsets as if nothing had happened, and send again the keys that had not arrived. After a crash there
//! is no snapshot. Then the hub is *uncharted*: it counts from 0 until the first page comes back, whose offset it takes
//! for its own. A hub whose own state may be wrong starts anew in the same way, except that it knows its offset
//! ([`Hub::start_anew`]).

use std::time::Duration;

use super::aging::processor_time;
use super::hub::Hub;
use super::input::Count;
use super::past::Past;
use super::scrollback::Scrollback;
use super::state::State;
use crate::engine::Size;

/// JavaScript, and so a page, counts exactly up to this number.
const MOST_OFFSET: u64 = 1 << 53;
/// The most undrawn output that is handed over as it is. In an ordinary game no page has more output that it has not
/// drawn.
pub const MAX_UNDRAWN_BYTES: usize = 64 * 1024;

/// A terminal at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Absolute offset of the output so far.
    pub offset: u64,
    /// The terminal's size.
    pub size: Size,
    /// Text and escape sequences that draw it on a terminal that was just reset. They may end with an incomplete
    /// sequence.
    pub data: String,
    /// The beginning of a character whose end had not arrived. Its bytes lie before the offset.
    pub open: Vec<u8>,
    /// The last output before the offset, if no player's page has drawn it.
    pub undrawn: Option<Undrawn>,
    /// The page whose keys came last, and how many bytes of them came, so that the page sends the others again; none if
    /// that is not known to the byte.
    pub typist: Option<Count>,
}

/// Output that no player's page has drawn: a program's questions in it are still to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undrawn {
    /// What draws the terminal as it was before that output.
    pub data: String,
    /// The output, which may begin with a character of which a part has been drawn.
    pub output: Vec<u8>,
}

impl Hub {
    /// Takes the snapshot, after the pump has ended. Nearly all output is taken into the past, because no page can
    /// resume on this server any more. The snapshot has no screen if drawing it would take too long for the server's
    /// stop.
    pub fn still(&self) -> Snapshot {
        let began = processor_time();
        let undrawn = self.undrawn(began);
        let is_whole = self.age_until(u64::MAX, began);
        let typist = self.input.lock().last_count();
        let mut state = self.state.lock();
        let offset = state.scrollback.end();
        let size = state.shown_size();
        let past = state.past.as_mut().filter(|_| is_whole);
        let (data, open) = past.map_or_else(Default::default, |past| {
            (past.redraw().to_string(), past.open_char().to_vec())
        });
        Snapshot {
            offset,
            size,
            data,
            open,
            undrawn,
            typist,
        }
    }

    /// The output that no player has drawn, after all output before it was taken into the past. None if there is no
    /// such output, or if that takes too long.
    fn undrawn(&self, began: Duration) -> Option<Undrawn> {
        let drawn = {
            let state = self.state.lock();
            Some(state.drawn()).filter(|drawn| *drawn < state.scrollback.end())?
        };
        if !self.age_until(drawn, began) {
            return None;
        }
        let mut state = self.state.lock();
        let past = state.past.as_mut()?;
        let (data, mut output) = (past.redraw().to_string(), past.open_char().to_vec());
        state.scrollback.copy_from(drawn, usize::MAX, &mut output);
        Some(Undrawn { data, output })
    }

    /// Goes on where the last server's hub was, or, without a snapshot, where the first page says that comes back. To
    /// be called before anything is pumped.
    pub fn go_on_from(&self, still: Option<&Snapshot>) {
        let count = still.and_then(|still| still.typist);
        if let Some(count) = count.filter(|count| count.come < MOST_OFFSET) {
            self.input.lock().count_on(count);
        }
        let mut state = self.state.lock();
        let Some(still) = still else {
            state.is_uncharted = true;
            return;
        };
        let mut past = Past::new(still.size, &state.emulator_panics);
        // Only the output itself can tell a page of half a character, or of a question, so that part goes into the
        // scrollback.
        let (data, output) = match &still.undrawn {
            Some(undrawn) => (&undrawn.data, &undrawn.output),
            None => (&still.data, &still.open),
        };
        past.absorb_all(data.as_bytes());
        state.past_bytes = past.memory_bytes();
        state.past = Some(Box::new(past));
        state.size = Some(still.size);
        let start = still.offset.saturating_sub(output.len() as u64);
        state.answered = match still.undrawn {
            Some(_) => start,
            None => still.offset,
        };
        state.scrollback = Scrollback::starting_at(start, self.limits.scrollback_bytes);
        state.scrollback.push(output);
    }

    /// Forgets what the terminal shows, as a crash of the server would, but not how far the output has come. Pages are
    /// closed with 1001, so that they come back immediately.
    pub fn start_anew(&self) {
        let mut state = self.state.lock();
        let end = state.scrollback.end();
        state.scrollback = Scrollback::starting_at(end, self.limits.scrollback_bytes);
        state.answered = end;
        state.begin_again();
        drop(state);
        self.past_moved.notify_all();
    }
}

impl State {
    /// Where the undrawn output begins that is handed over: after what a player has drawn, after the last change of the
    /// size, and at most [`MAX_UNDRAWN_BYTES`] before the end.
    fn drawn(&self) -> u64 {
        let end = self.scrollback.end();
        let resized = self.sizes.back().map_or(0, |(at, _)| *at);
        let most = end.saturating_sub(MAX_UNDRAWN_BYTES as u64);
        let first = self.answered().max(resized).max(most);
        first.clamp(self.scrollback.start(), end)
    }

    /// Takes over the offset of the first page that comes back after a crash: that page knows how far the output had
    /// come.
    pub(super) fn chart(&mut self, from: Option<u64>) {
        let is_known = from.is_some_and(|from| from > 0 && from < MOST_OFFSET);
        if let Some(from) = from
            && self.is_uncharted
            && is_known
            && self.viewers.is_empty()
        {
            self.scrollback.shift(from);
            self.answered += from;
            for (at, _) in &mut self.sizes {
                *at += from;
            }
        }
        // If the first page comes without an offset, the output begins at 0, for that page and for all later ones.
        self.is_uncharted = false;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;
    use crate::terminal::Role;
    use crate::terminal::emulator::tests::seen;
    use crate::terminal::frame::Close;
    use crate::terminal::hub::{Arrival, BufferLimits};
    use crate::terminal::input::Typed;

    const LIMITS: BufferLimits = BufferLimits {
        scrollback_bytes: 64 * 1024,
        window_bytes: 32 * 1024,
    };

    fn hub(output: &[u8]) -> Arc<Hub> {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        assert!(hub.pump(&mut Cursor::new(output)).is_ok());
        hub
    }

    /// A hub with this output, of which a page has drawn `count` bytes.
    fn drawn(output: &[u8], count: usize) -> Arc<Hub> {
        let hub = hub(output);
        hub.state.lock().answered = count as u64;
        hub
    }

    fn arrival(from: Option<u64>) -> Arrival {
        Arrival {
            role: Role::Player,
            is_acking: true,
            from,
            wants_screen: false,
            page: None,
        }
    }

    #[test]
    fn a_page_resumes_in_the_next_life() {
        let first = drawn(b"hello\r\n$ ", 9);
        let still = first.still();
        assert_eq!(still.offset, 9);
        let next = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        next.go_on_from(Some(&still));
        assert!(next.pump(&mut Cursor::new(b"more")).is_ok());
        let back = next.join(arrival(Some(9))).expect("open");
        assert!(back.greeting().is_exact);
        assert_eq!((back.greeting().offset, back.greeting().head), (9, 13));
        let new = next.join(arrival(None)).expect("open");
        let screen = new.greeting().screen.clone().expect("a screen to draw");
        assert!(screen.data.contains("hello"), "{screen:?}");
        assert_eq!(new.greeting().offset, 9);
    }

    /// The page that typed last hears the count that it needs to send the rest; no other does.
    #[test]
    fn keys_are_counted_on_in_the_next_life() {
        let [page, other] = [1, 2].map(Uuid::from_u128);
        let of = |page, from| Arrival {
            page: Some(page),
            ..arrival(from)
        };
        let first = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let (ours, mut container) = UnixStream::pair().expect("a pair");
        first.connect_input(ours);
        let viewer = first.join(of(page, None)).expect("open");
        assert_eq!(viewer.type_in(b"abc", Instant::now()), Typed::Taken);
        first.close(Close::GoingAway);
        assert_eq!(viewer.type_in(b"def", Instant::now()), Typed::NotPlayer);
        let still = first.still();
        container.read_exact(&mut [0; 3]).expect("keys");

        let next = || {
            let next = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
            next.go_on_from(Some(&still));
            next
        };
        let settled = |hub: &Arc<Hub>, arrival| {
            let viewer = hub.join(arrival).expect("open");
            viewer.greeting().settled
        };
        let hub = next();
        assert_eq!(settled(&hub, of(page, Some(0))), Some(3));
        assert_eq!(settled(&hub, of(page, Some(0))), Some(3), "and again");
        assert_eq!(settled(&next(), of(other, Some(0))), None);
        let hub = next();
        assert_eq!(settled(&hub, of(other, None)), Some(0));
        assert_eq!(settled(&hub, of(page, Some(0))), None, "another has come");
        let wild = Snapshot {
            typist: Some(Count {
                page,
                come: u64::MAX,
            }),
            ..still.clone()
        };
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        hub.go_on_from(Some(&wild));
        assert_eq!(settled(&hub, of(page, Some(0))), None);
    }

    /// Questions of a program that no page has drawn are in the output once more after the restart. Of much undrawn
    /// output, the end is.
    #[test]
    fn what_no_page_has_drawn_is_still_to_be_answered() {
        let output = b"hello\x1b[6n";
        let next = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        next.go_on_from(Some(&drawn(output, 5).still()));
        let viewer = next.join(arrival(None)).expect("open");
        assert_eq!((viewer.greeting().answered, viewer.greeting().head), (5, 9));
        assert_eq!(viewer.greeting().offset, 5, "and it is sent");
        drop(viewer);

        let long = "line\r\n".repeat(40_000);
        let undrawn = drawn(long.as_bytes(), 7).still().undrawn;
        let undrawn = undrawn.expect("its end");
        assert_eq!(undrawn.output.len(), MAX_UNDRAWN_BYTES);
        let resized = drawn(output, 0);
        resized.state.lock().resize(Size { cols: 60, rows: 12 });
        assert_eq!(resized.still().undrawn, None, "drawn in another size");
    }

    /// Wherever the output is cut, in the middle of a sequence or of a character: a page that is new after it shows what
    /// it would have shown without.
    #[test]
    fn a_stop_may_come_within_a_sequence() {
        let output = "a\x1b[1;31mb\u{4e16}\x1b]2;title\u{4e16}\x07c\x1b[2;5Hd".as_bytes();
        for cut in 1..output.len() {
            let (before, after) = output.split_at(cut);
            for drawn_bytes in 0..=cut {
                let still = drawn(before, drawn_bytes).still();
                assert_eq!(still.offset, cut as u64);
                let next = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
                next.go_on_from(Some(&still));
                assert!(next.pump(&mut Cursor::new(after)).is_ok());
                let viewer = next.join(arrival(None)).expect("open");
                let screen = viewer.greeting().screen.clone();
                let screen = screen.map_or_else(Default::default, |screen| screen.data);
                let mut rest = Vec::new();
                let from = viewer.greeting().offset;
                next.state
                    .lock()
                    .scrollback
                    .copy_from(from, usize::MAX, &mut rest);
                let shown = seen(still.size, &[screen.as_bytes(), &rest]);
                let place = format!("cut at {cut}, drawn {drawn_bytes}");
                assert_eq!(shown, seen(still.size, &[output]), "{place}");
                assert!(viewer.greeting().answered <= drawn_bytes as u64, "{place}");
                let exact = next.join(arrival(Some(cut as u64))).expect("open");
                assert!(exact.greeting().is_exact, "{place}");
            }
        }
    }

    /// What was answered before the first page came is answered at its offsets, too.
    #[test]
    fn after_a_crash_what_is_answered_is_charted_as_well() {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let (ours, mut container) = UnixStream::pair().expect("a pair");
        hub.connect_input(ours);
        hub.go_on_from(None);
        assert!(hub.pump(&mut Cursor::new(b"\x1b[5n")).is_ok());
        container.read_exact(&mut [0; 4]).expect("an answer");
        let viewer = hub.join(arrival(Some(1000))).expect("open");
        assert_eq!(
            (viewer.greeting().answered, viewer.greeting().head),
            (1004, 1004)
        );
    }

    #[test]
    fn after_a_crash_the_first_page_tells_where_we_are() {
        for (from, offset, head) in [
            (Some(1000), 1000, 1004),
            (None, 0, 4),
            (Some(u64::MAX), 0, 4),
            (Some(0), 0, 4),
        ] {
            let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
            hub.go_on_from(None);
            assert!(hub.pump(&mut Cursor::new(b"more")).is_ok());
            let viewer = hub.join(arrival(from)).expect("open");
            let greeting = viewer.greeting();
            assert_eq!((greeting.offset, greeting.head), (offset, head), "{from:?}");
            drop(viewer);
            // Only the first page's offset is taken over.
            let viewer = hub.join(arrival(Some(77_777))).expect("open");
            assert_eq!(viewer.greeting().offset, offset);
        }
    }
}
