//! Answers the questions that a program asks its terminal while no player is there: where the cursor is, what the
//! terminal can do, which colours it has. Each question is answered once:
//!
//! * while a player's page is there, by the page, which answers nothing that lies before [`State::answered`];
//! * while no player's page is there, immediately, by this server's emulator;
//! * a question that was sent to a page which left before it had drawn it, by the next page.
//!
//! Runs on the session's thread, behind the output that asks. The emulator's time is the terminal's own
//! ([`super::budget`]), and only output with a question in it costs any.

use super::aging::{Aging, PICTURE_TIME, processor_time};
use super::budget::PumpBudget;
use super::emulator::is_asking;
use super::hub::Hub;
use super::input::Typed;
use super::state::State;

/// How many bytes before a piece of output a question may begin that ends in the piece.
const MOST_BEFORE: u64 = 128;

impl Hub {
    /// Answers the questions in the last output, if no player is there to do it.
    pub(super) fn answer(&self, output: &[u8], budget: &mut PumpBudget) {
        let before = self.state.lock().before_last(output.len());
        // Most output asks nothing.
        if !before.is_some_and(|before| is_asking(&before, output)) {
            return;
        }
        let began = processor_time();
        let answers = self.answers_to_last(output.len());
        budget.spend_emulation(processor_time().saturating_sub(began));
        let Some((answers, end)) = answers.filter(|(answers, _)| !answers.is_empty()) else {
            return;
        };
        let mut input = self.input.lock();
        let mut state = self.state.lock();
        // A player who has come meanwhile was told that the question is still to be answered.
        if state.has_player() || state.closed.is_some() {
            return;
        }
        if input.type_in(answers.as_bytes(), None) == Typed::Taken {
            state.answered = state.answered.max(end);
        }
    }

    /// The answers to the last `count` bytes of the output, and the offset of their end. None where that takes too
    /// long.
    fn answers_to_last(&self, count: usize) -> Option<(String, u64)> {
        let began = processor_time();
        let (mut before, last) = {
            let mut state = self.state.lock();
            self.wait_for_past(&mut state);
            state.copy_but(count)
        };
        while !before.absorb() {
            if processor_time().saturating_sub(began) > PICTURE_TIME {
                return None;
            }
        }
        let (mut past, start) = before.into_past();
        Some((past.answers_to(&last), start + last.len() as u64))
    }
}

impl State {
    /// The output before the last `count` bytes, in which a question may begin. None while a player is there who
    /// answers it, or when the terminal is closed.
    fn before_last(&self, count: usize) -> Option<Vec<u8>> {
        if self.has_player() || self.closed.is_some() {
            return None;
        }
        let start = self.scrollback.end().saturating_sub(count as u64);
        let from = start.saturating_sub(MOST_BEFORE);
        let from = from.max(self.scrollback.start()).min(start);
        let mut before = Vec::new();
        self.scrollback
            .copy_from(from, (start - from) as usize, &mut before);
        Some(before)
    }

    /// A copy of the terminal as it was before the last `count` bytes, and these bytes. It must be called while no
    /// output is added.
    fn copy_but(&mut self, count: usize) -> (Aging, Vec<u8>) {
        let mut last = Vec::new();
        let start = self.scrollback.end().saturating_sub(count as u64);
        self.scrollback.copy_from(start, usize::MAX, &mut last);
        (self.copy_until(start), last)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::engine::Size;
    use crate::terminal::Role;
    use crate::terminal::hub::{Arrival, BufferLimits};

    const LIMITS: BufferLimits = BufferLimits {
        scrollback_bytes: 64 * 1024,
        window_bytes: 32 * 1024,
    };

    /// A hub and the container's end of its attach.
    fn hub() -> (Arc<Hub>, UnixStream) {
        let hub = Arc::new(Hub::new(LIMITS, Instant::now(), || {}));
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        theirs.set_nonblocking(true).expect("an option");
        hub.connect_input(ours);
        (hub, theirs)
    }

    fn pump(hub: &Hub, output: &[u8]) {
        assert!(hub.pump(&mut Cursor::new(output)).is_ok());
    }

    fn answers(container: &mut UnixStream) -> String {
        let mut got = vec![0; 8192];
        match container.read(&mut got) {
            Ok(count) => String::from_utf8_lossy(&got[..count]).into_owned(),
            Err(_) => String::new(),
        }
    }

    fn arrival(role: Role, from: Option<u64>) -> Arrival {
        Arrival {
            role,
            is_acking: true,
            from,
            wants_screen: false,
            page: None,
        }
    }

    #[test]
    fn nobody_there() {
        let (hub, mut container) = hub();
        pump(&hub, b"hello\x1b[6n");
        assert_eq!(answers(&mut container), "\x1b[1;6R");
        pump(&hub, b"no question\x1b[m");
        assert_eq!(answers(&mut container), "");
        // The question may be cut anywhere, and is answered once.
        for cut in 1..4 {
            let (before, after) = b"\x1b[5n".split_at(cut);
            pump(&hub, before);
            pump(&hub, after);
            assert_eq!(answers(&mut container), "\x1b[0n", "cut at {cut}");
        }
        // A spectator answers nothing, and the page that comes then has nothing left to answer.
        let spectator = hub.join(arrival(Role::Spectator, None)).expect("open");
        pump(&hub, b"\x1b[c");
        assert_eq!(answers(&mut container), "\x1b[?1;2c");
        drop(spectator);
        let viewer = hub.join(arrival(Role::Player, None)).expect("open");
        assert_eq!(viewer.greeting().answered, viewer.greeting().head);
    }

    #[test]
    fn with_a_player_the_page_answers_and_what_it_left_the_next_one() {
        let (hub, mut container) = hub();
        let viewer = hub.join(arrival(Role::Player, None)).expect("open");
        pump(&hub, b"hello\x1b[6n");
        let mut out = Vec::new();
        viewer.next(&mut out);
        drop(viewer);
        assert_eq!(answers(&mut container), "");
        // The question was sent to a page that has not drawn it.
        let viewer = hub.join(arrival(Role::Player, None)).expect("open");
        assert_eq!(viewer.greeting().answered, 0);
        viewer.next(&mut out);
        viewer.ack(9);
        drop(viewer);
        pump(&hub, b"x");
        let viewer = hub.join(arrival(Role::Player, None)).expect("open");
        assert_eq!(
            (viewer.greeting().answered, viewer.greeting().head),
            (9, 10)
        );
        assert_eq!(answers(&mut container), "");
    }

    /// The answer is that of a terminal that has seen all of it, whatever is kept.
    #[test]
    fn after_much_output_and_other_sizes() {
        let (hub, mut container) = hub();
        pump(&hub, "line\r\n".repeat(20_000).as_bytes());
        hub.state.lock().resize(Size { cols: 60, rows: 12 });
        pump(&hub, b"\x1b[99;99H\x1b[6n\x1b]11;?\x07");
        let expected = "\x1b[12;60R\x1b]11;rgb:1414/1010/1f1f\x1b\\";
        assert_eq!(answers(&mut container), expected);
    }

    /// A program that asks without end while no player is there spends only its own budget.
    #[test]
    fn many_questions_have_few_answers() {
        let (hub, mut container) = hub();
        pump(&hub, &b"\x1b[c".repeat(20_000));
        let answers = answers(&mut container);
        assert!(answers.starts_with("\x1b[?1;2c"), "{answers:?}");
    }
}
