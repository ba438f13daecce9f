//! The terminal as it was where the scrollback begins: what a page must draw first when it comes back after
//! more output than is kept.
//!
//! Output that leaves the scrollback goes through a terminal emulator ([`super::emulator`]), so a page that draws
//! [`Past::redraw`] and then the scrollback has the screen, the modes and the title of a page that saw everything.
//! Sessions that never outgrow their scrollback cost nothing here. After a panic the emulator goes on with an empty
//! screen; it has taken in the same bytes as without the panic, so the scrollback begins at the same place.
//!
//! The scrollback must begin between two characters, never within an escape sequence, so only as much is taken in as ends
//! at such a place ([`Past::absorb`]).

use std::sync::{Arc, Weak};

use prometheus::IntCounter;

use super::emulator::Emulator;
use crate::engine::Size;

/// A terminal emulator that follows the output at a distance.
pub struct Past {
    emulator: Emulator,
    /// What draws the terminal, until it takes in more output. All viewers that come meanwhile share it.
    drawn: Option<Weak<str>>,
    /// The same text, kept for viewers that come after the others have dropped it, unless it is large.
    kept: Option<Arc<str>>,
}

/// The most bytes of a drawn screen that are kept. An editor's screen takes a tenth of this.
const KEPT_BYTES: usize = 64 * 1024;

impl Past {
    /// An empty screen. The emulator's panics are counted by `panics`.
    pub fn new(size: Size, panics: &IntCounter) -> Self {
        Self {
            emulator: Emulator::new(size, panics),
            drawn: None,
            kept: None,
        }
    }

    /// Gives the terminal this size.
    pub fn resize(&mut self, size: Size) {
        self.forget_drawn();
        self.emulator.resize(size);
    }

    /// The terminal's size at this place in the output.
    pub fn size(&self) -> Size {
        self.emulator.size()
    }

    /// About how many bytes of memory this takes.
    pub fn memory_bytes(&self) -> usize {
        self.emulator.memory_bytes() + self.drawn().map_or(0, |drawn| drawn.len())
    }

    /// Takes in the beginning of `output`, up to the last place at which no character and no sequence is incomplete;
    /// returns how many bytes that were. The caller passes the rest again, followed by further output.
    pub fn absorb(&mut self, output: &[u8]) -> usize {
        self.forget_drawn();
        self.emulator.process_whole(output)
    }

    /// Takes in all of `output`, wherever it ends. If that is within a sequence, what draws the terminal ends within it
    /// too.
    pub fn absorb_all(&mut self, output: &[u8]) {
        self.forget_drawn();
        self.emulator.process(output);
    }

    /// Takes in all of `output`; returns what a page would answer to the questions in it.
    pub fn answers_to(&mut self, output: &[u8]) -> String {
        self.forget_drawn();
        self.emulator.answers_to(output)
    }

    /// The beginning of an incomplete character, which [`Past::redraw`] leaves out.
    pub fn open_char(&self) -> &[u8] {
        self.emulator.open_char()
    }

    /// What draws this terminal on one that was just reset.
    pub fn redraw(&mut self) -> Arc<str> {
        if let Some(drawn) = self.drawn() {
            return drawn;
        }
        let drawn: Arc<str> = self.emulator.redraw().into();
        self.drawn = Some(Arc::downgrade(&drawn));
        self.kept = (drawn.len() <= KEPT_BYTES).then(|| Arc::clone(&drawn));
        drawn
    }

    fn drawn(&self) -> Option<Arc<str>> {
        self.drawn.as_ref()?.upgrade()
    }

    fn forget_drawn(&mut self) {
        (self.drawn, self.kept) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Metrics;
    use crate::terminal::emulator::tests::{DEADLY, seen as seen_at};

    const SIZE: Size = Size { cols: 40, rows: 10 };

    fn past() -> Past {
        Past::new(SIZE, &Metrics::default().emulator_panics)
    }

    /// A screen that has seen all of `output`, as text, cursor, modes and title.
    fn seen(output: &[&[u8]]) -> String {
        seen_at(SIZE, output)
    }

    /// Whatever part of `output` has left the scrollback: redraw and rest show the same as all of it.
    #[track_caller]
    fn check(output: &[u8]) {
        let whole = seen(&[output]);
        for cut in 0..=output.len() {
            let mut past = past();
            let taken = past.absorb(&output[..cut]);
            let redraw = past.redraw();
            assert_eq!(
                seen(&[redraw.as_bytes(), &output[taken..]]),
                whole,
                "cut at {cut}, taken {taken}"
            );
        }
    }

    #[test]
    fn plain_text_and_wrapping() {
        check(b"hello\r\nworld");
        check("\u{2726} ~ $ wide \u{4e16}\u{754c} and e\u{301}\r\n".as_bytes());
        check("x".repeat(95).as_bytes());
    }

    #[test]
    fn colours_cursor_and_modes() {
        check(b"\x1b[1;31mred\x1b[0m plain\x1b[3;7Hthere\x1b[K\x1b[?25l");
        check(b"\x1b[?2004h\x1b[?1h\x1b=typed\x1b[?1000h\x1b[?1006h");
    }

    #[test]
    fn titles_end_in_two_ways() {
        check(b"\x1b]2;a title\x07after\x1b]0;another\x1b\\and on");
    }

    #[test]
    fn the_alternate_screen_keeps_the_other_one() {
        let mut past = past();
        let before =
            b"main \x1b[32mscreen\x1b[0m\r\nline two\r\n\x1b[?1049h\x1b[2J\x1b[Hin the editor";
        assert_eq!(past.absorb(before), before.len());
        let redraw = past.redraw();
        for rest in [&b""[..], b"\x1b[?1049l", b"\x1b[?1049lback"] {
            assert_eq!(seen(&[redraw.as_bytes(), rest]), seen(&[before, rest]));
        }
    }

    #[test]
    fn a_flood_leaves_what_it_wrote_last() {
        let mut flood = b"\x1b[32mgreen\r\n".to_vec();
        flood.extend((0..5000).flat_map(|line| {
            format!("line {line} of the flood, longer than the screen is wide\r\n").into_bytes()
        }));
        let whole = seen(&[&flood, b"$ "]);
        let mut past = past();
        let mut rest = &flood[..];
        while rest.len() > 3000 {
            let taken = past.absorb(&rest[..3000]);
            assert!(taken > 0);
            rest = &rest[taken..];
        }
        assert_eq!(seen(&[past.redraw().as_bytes(), rest, b"$ "]), whole);
    }

    #[test]
    fn a_sequence_without_end_is_not_waited_for() {
        let mut past = past();
        let endless = [b"ok\x1b]2;".to_vec(), vec![b'x'; 10_000]].concat();
        assert_eq!(past.absorb(&endless[..1000]), 2);
        assert_eq!(past.absorb(&endless[2..1000]), 0);
        assert_eq!(past.absorb(&endless[2..]), endless.len() - 2);
        let open = past.redraw();
        assert_eq!(past.absorb(b"\x07more"), 5);
        assert!(past.redraw().contains("more"));
        assert_eq!(
            seen(&[open.as_bytes(), b"\x07more"]),
            seen(&[past.redraw().as_bytes()])
        );
    }

    /// A control character within a sequence that is cut acts once.
    #[test]
    fn a_line_end_within_a_sequence_counts_once() {
        check(b"a\x1b[3\n1mb\x1b]2;x\ny\x07c\x1b[\r4mcd");
    }

    /// Output at which the emulator panics is taken in like all other output, in whatever steps it comes: each byte
    /// once, and what is left begins between two characters. The output after it is shown.
    #[test]
    fn a_panic_of_the_emulator_costs_no_byte() {
        let size = Size { cols: 80, rows: 24 };
        let lines: String = (0..30_000)
            .map(|line| format!("line {line}\x1b[m\r\n"))
            .collect();
        assert!(lines.len() > 300 << 10);
        for step in [7, 1000, 32 << 10] {
            let panics = Metrics::default().emulator_panics;
            let mut past = Past::new(size, &panics);
            let output = format!("{DEADLY}{lines}\x1b[1;3");
            let (mut done, mut offered) = (0, 0);
            while offered < output.len() {
                offered = output.len().min(offered + step);
                done += past.absorb(&output.as_bytes()[done..offered]);
            }
            assert_eq!(done, output.len() - "\x1b[1;3".len(), "by {step}");
            assert_eq!(panics.get(), 1, "by {step}");
            let screen = seen_at(size, &[past.redraw().as_bytes(), b"\x1b[1;3Hx"]);
            let whole = seen_at(size, &[lines.as_bytes(), b"\x1b[1;3Hx"]);
            assert_eq!(screen, whole, "by {step}");
        }
    }

    #[test]
    fn a_large_redraw_is_kept_for_those_who_have_it_only() {
        let size = Size {
            cols: 1000,
            rows: 100,
        };
        let mut past = Past::new(size, &Metrics::default().emulator_panics);
        past.absorb("\x1b[31mx\x1b[m ".repeat(50_000).as_bytes());
        let before = past.memory_bytes();
        let (one, other) = (past.redraw(), past.redraw());
        assert!(Arc::ptr_eq(&one, &other) && one.len() > KEPT_BYTES);
        assert_eq!(past.memory_bytes(), before + one.len());
        drop((one, other));
        assert_eq!(past.memory_bytes(), before);
    }

    #[test]
    fn random_bytes_never_hurt() {
        let mut seed = 0x2545_f491_4f6c_dd1du64;
        let mut past = past();
        for _ in 0..500 {
            let chunk: Vec<u8> = (0..257)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed as u8
                })
                .collect();
            let taken = past.absorb(&chunk);
            past.absorb_all(&chunk[taken..]);
            let _ = past.redraw();
        }
    }
}
