//! The terminal emulator: a terminal without a window, which shows what the page's xterm.js 6 shows.
//!
//! ```text
//!  bytes ──▶ parser ──▶ control, sequences, sgr, commands ──▶ screen ── line ── attributes, clusters, links (tables)
//!                       terminal (prints, holds the modes)      └─ resize
//!  keys  ◀── answers, to what a program asks
//!  text  ◀── drawing ◀── redraw, redraw_lines, redraw_pen ◀── all of it
//! ```
//!
//! Why the emulator is not a library's: what a page is told to draw must leave the page in the very state in which it
//! would be if it had seen all output. So each mode, each look and each oddity of xterm.js counts, and no library's
//! emulator has them (`tests/emulator` tells how near this one comes). A line ends where its text ends, so a screen
//! that was cleared takes no memory, and clearing it takes no time.
//!
//! No output should make the emulator panic. If some output does so all the same, only what the terminal showed is
//! lost, because each call catches the panic. After a panic the old terminal is not trusted any more: an empty one of
//! the same size takes its place and goes on with the output that follows. The panic is counted.

mod act;
mod answers;
mod attributes;
mod charset;
mod clusters;
mod commands;
mod control;
mod drawing;
mod line;
mod links;
mod modes;
mod palette;
mod params;
mod parser;
#[cfg(test)]
mod picture;
mod redraw;
mod redraw_lines;
mod redraw_pen;
mod repeat;
mod resize;
mod screen;
mod sequences;
mod sgr;
mod table;
mod terminal;
mod tidy;
mod width;

use prometheus::IntCounter;

use self::params::Params;
use self::parser::{Act, Name, Parser};
use self::terminal::Terminal;
use crate::engine::Size;
use crate::logging::caught;
use crate::warn_throttled;

/// Output is taken in by pieces of about this many bytes: a panic loses the rest of its piece.
const PIECE_BYTES: usize = 4 * 1024;

/// A terminal without a window. No call panics.
pub struct Emulator {
    terminal: Terminal,
    size: Size,
    /// Counts the panics of all emulators.
    panics: IntCounter,
}

impl Emulator {
    /// An empty screen.
    pub fn new(size: Size, panics: &IntCounter) -> Self {
        Self {
            terminal: terminal(size),
            size: at_least_one(size),
            panics: panics.clone(),
        }
    }

    /// The terminal's size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Gives the terminal this size.
    pub fn resize(&mut self, size: Size) {
        self.size = at_least_one(size);
        let (cols, rows) = sides(size);
        self.fenced(|terminal| terminal.resize(cols, rows));
    }

    /// About how many bytes of memory this takes.
    pub fn memory_bytes(&self) -> usize {
        self.terminal.memory_bytes()
    }

    /// Takes in output, which may end anywhere.
    pub fn process(&mut self, output: &[u8]) {
        let mut rest = output;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_end(rest));
            self.fenced(|terminal| terminal.process(piece));
            rest = after;
        }
    }

    /// Takes in output up to the last place at which no character and no sequence is incomplete; returns how many bytes
    /// that were. The caller passes the rest again, followed by further output. A sequence that is too long to wait for
    /// its end is taken in as it comes.
    pub fn process_whole(&mut self, output: &[u8]) -> usize {
        self.process(output);
        let parser = self.terminal.parser();
        if parser.is_between() {
            return output.len();
        }
        let open = parser.open_bytes();
        match open.and_then(|open| output.len().checked_sub(open)) {
            Some(whole) => {
                parser.forget_open();
                whole
            }
            None => output.len(),
        }
    }

    /// Takes in output; returns what the page would answer to the questions in it.
    pub fn answers_to(&mut self, output: &[u8]) -> String {
        let mut answers = String::new();
        let mut rest = output;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_end(rest));
            answers += &self
                .fenced(|terminal| terminal.answers_to(piece))
                .unwrap_or_default();
            rest = after;
        }
        answers
    }

    /// Text and escape sequences that draw this terminal on one that was just reset. The beginning of an incomplete
    /// character is left out.
    pub fn redraw(&mut self) -> String {
        let drawn = self.fenced(|terminal| terminal.redraw());
        // If that panicked, an empty terminal has taken its place, and is drawn instead.
        drawn
            .or_else(|| self.fenced(|terminal| terminal.redraw()))
            .unwrap_or_default()
    }

    /// The beginning of a character whose end is still to come.
    pub fn open_char(&self) -> &[u8] {
        self.terminal.open_char()
    }

    /// Calls `act` with the terminal. Returns none if that panicked; an empty terminal has taken its place then.
    fn fenced<T>(&mut self, act: impl FnOnce(&mut Terminal) -> T) -> Option<T> {
        match caught::catch(|| act(&mut self.terminal)) {
            Ok(done) => Some(done),
            Err(place) => {
                self.terminal = terminal(self.size);
                self.panics.inc();
                warn_throttled!(
                    "the terminal emulator panicked at {place}: a page that comes back late misses what was on the \
                     screen then; the game goes on"
                );
                None
            }
        }
    }
}

/// Whether `output`, which follows `before`, contains the end of a sequence that may be a question to the terminal.
pub fn is_asking(before: &[u8], output: &[u8]) -> bool {
    let mut parser = Parser::default();
    let mut asked = Asked(false);
    parser.advance(before, &mut asked);
    asked.0 = false;
    parser.advance(output, &mut asked);
    asked.0
}

/// Notes whether there was a question, and ignores everything else.
struct Asked(bool);

impl Act for Asked {
    fn print_ascii(&mut self, _: &[u8]) {}
    fn print(&mut self, _: char) {}
    fn control(&mut self, _: u8) {}
    fn escape(&mut self, _: &[u8], _: u8) {}
    fn string_end(&mut self) {}

    fn sequence(&mut self, name: Name, _: &Params) {
        self.0 |= matches!(
            (name.prefix, name.between, name.last),
            (0 | b'>', 0, b'c') | (0 | b'?', 0, b'n') | (0 | b'?', b'$', b'p') | (b'>', 0, b'q')
        );
    }

    fn command(&mut self, number: u32, text: &str) {
        self.0 |= matches!(number, 4 | 10..=12) && text.contains('?');
    }

    fn request(&mut self, text: &str) {
        self.0 |= answers::wanted(text).is_some();
    }
}

fn terminal(size: Size) -> Terminal {
    let (cols, rows) = sides(size);
    Terminal::new(cols, rows)
}

fn sides(size: Size) -> (usize, usize) {
    (usize::from(size.cols), usize::from(size.rows))
}

fn at_least_one(size: Size) -> Size {
    Size {
        cols: size.cols.max(1),
        rows: size.rows.max(1),
    }
}

/// Where the first piece of `output` ends. After a panic an empty terminal begins with the next piece, so that piece
/// must not begin within a sequence: it begins with an ESC, which begins a new sequence wherever it stands, or after a
/// line feed, which hardly any sequence contains.
fn piece_end(output: &[u8]) -> usize {
    let Some(beyond) = output.get(PIECE_BYTES..) else {
        return output.len();
    };
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\x1b');
    match beyond.iter().position(is_end) {
        Some(at) if beyond[at] == b'\n' => PIECE_BYTES + at + 1,
        Some(at) => PIECE_BYTES + at,
        None => output.len(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::terminal::Metrics;

    const SIZE: Size = Size { cols: 80, rows: 24 };

    /// Output that made an earlier emulator panic, on a terminal of 80 columns and 24 rows.
    const ONCE_DEADLY: [&str; 3] = [
        "\x1b[24;80H\u{2764}\u{fe0f}\x1b[23;80Hy",
        "\x1b[3;9r\x1b[?6h\x1b[16;80H\u{2764}\u{fe0f}\x1b[6;77H\x1b[5b",
        "\x1b[24;81H\u{2764}\u{fe0f}\x1b[3S\x1b[20;79H\x1b[5b",
    ];
    /// Output that makes the emulator panic, in tests only.
    pub(in crate::terminal) const DEADLY: &str = "\x1b]77777;\x07";

    /// An emulator, and the counter of its own panics.
    fn emulator() -> (Emulator, IntCounter) {
        let panics = Metrics::default().emulator_panics;
        (Emulator::new(SIZE, &panics), panics)
    }

    /// What draws a terminal that has taken in all of `output`, without the lines above its screen.
    pub(in crate::terminal) fn seen(size: Size, output: &[&[u8]]) -> String {
        let mut terminal = terminal(size);
        output.iter().for_each(|part| terminal.process(part));
        terminal.state.normal.clear_above();
        terminal.redraw()
    }

    #[test]
    fn an_emoji_at_the_margin_is_drawn() {
        for deadly in ONCE_DEADLY {
            let (mut emulator, panics) = emulator();
            let lines = "one more line\r\n".repeat(30);
            emulator.process(format!("{deadly}{lines}").as_bytes());
            assert_eq!(panics.get(), 0, "{deadly:?}");
        }
    }

    #[test]
    fn after_a_panic_it_shows_what_follows() {
        let (mut emulator, panics) = emulator();
        let lines: String = (0..2000).map(|line| format!("line {line}\r\n")).collect();
        // The rest of the piece is lost too.
        let lost = "x".repeat(PIECE_BYTES);
        emulator.process(format!("before\x1b]2;title\x07{DEADLY}{lost}\n{lines}$ ").as_bytes());
        assert_eq!(panics.get(), 1);
        assert_eq!(emulator.size(), SIZE);
        let whole = seen(SIZE, &[lines.as_bytes(), b"$ "]);
        assert_eq!(seen(SIZE, &[emulator.redraw().as_bytes()]), whole);
        // The next panic has the same effect as the first one.
        emulator.process(format!("{DEADLY}{lost}\n{lines}$ ").as_bytes());
        assert_eq!(panics.get(), 2);
        assert_eq!(seen(SIZE, &[emulator.redraw().as_bytes()]), whole);
    }

    #[test]
    fn pieces_end_where_no_sequence_is_open() {
        let check = |output: &[u8], expected: usize| {
            assert_eq!(piece_end(output), expected);
        };
        let long = vec![b'x'; PIECE_BYTES];
        check(b"", 0);
        check(b"a\nb", 3);
        check(&long, PIECE_BYTES);
        check(&[&long, &b"yy"[..]].concat(), PIECE_BYTES + 2);
        check(&[&long, &b"y\nzz\n"[..]].concat(), PIECE_BYTES + 2);
        check(&[&long, &b"y\x1b[mz\n"[..]].concat(), PIECE_BYTES + 1);
        check(&[&long, &b"\x1b[m"[..]].concat(), PIECE_BYTES);
    }
}
