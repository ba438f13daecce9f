//! The terminal emulator (`vt100`), fenced off: whatever a program's output makes it panic at, no more is lost than what
//! it showed.
//!
//! `vt100` 0.18.1 panics at sequences that any program can write: a character that another one widens in the last
//! column, and then something in the row above. So each call is made inside a fence. After a panic nothing of the old
//! emulator is believed any more: an empty one of the same size takes its place, goes on with the output that
//! follows, and it is counted.

use std::num::NonZeroU16;

use prometheus::IntCounter;

use crate::engine::Size;
use crate::logging::caught;
use crate::warn_seldom;

/// Titles are cut to this many bytes.
const TITLE_BYTES: usize = 256;
/// Output is taken in by pieces of about so many bytes: what a panic takes along is the rest of a piece.
const PIECE_BYTES: usize = 4 * 1024;

/// A terminal without a window. No call panics.
pub struct Emulator {
    parser: vt100::Parser<Title>,
    size: Size,
    /// Counts its panics, with those of others.
    panics: IntCounter,
}

/// The window's title, which `vt100` leaves to its user.
#[derive(Default)]
struct Title(Vec<u8>);

impl vt100::Callbacks for Title {
    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.0 = title
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_control())
            .take(TITLE_BYTES)
            .collect();
    }
}

impl Emulator {
    /// An empty screen.
    pub fn new(size: Size, panics: &IntCounter) -> Self {
        Self {
            parser: parser(size),
            size: at_least_one(size),
            panics: panics.clone(),
        }
    }

    /// The terminal's size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The terminal has this size from here on.
    pub fn resize(&mut self, size: Size) {
        self.size = at_least_one(size);
        let (rows, cols) = sides(size);
        self.fenced(|parser| parser.screen_mut().set_size(rows, cols));
    }

    /// About how many bytes of memory this takes: two screens of cells.
    pub fn memory_bytes(&self) -> usize {
        let Size { cols, rows } = self.size;
        2 * usize::from(cols) * usize::from(rows) * size_of::<vt100::Cell>()
    }

    /// Takes in output, which may end anywhere.
    pub fn process(&mut self, output: &[u8]) {
        let mut rest = output;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_end(rest));
            self.fenced(|parser| parser.process(piece));
            rest = after;
        }
    }

    /// What draws this terminal on one that was just reset.
    pub fn redraw(&mut self) -> String {
        let drawn = self.fenced(redraw);
        // An empty one has been put in its place then.
        drawn.or_else(|| self.fenced(redraw)).unwrap_or_default()
    }

    /// Does something with the emulator. None when that panicked, and then an empty one is in its place.
    fn fenced<T>(&mut self, act: impl FnOnce(&mut vt100::Parser<Title>) -> T) -> Option<T> {
        match caught::catch(|| act(&mut self.parser)) {
            Ok(done) => Some(done),
            Err(place) => {
                self.parser = parser(self.size);
                self.panics.inc();
                warn_seldom!(
                    "the terminal emulator panicked at {place}: a page that comes back late misses what was on the \
                     screen then; the game goes on"
                );
                None
            }
        }
    }
}

fn parser(size: Size) -> vt100::Parser<Title> {
    let (rows, cols) = sides(size);
    vt100::Parser::new_with_callbacks(rows, cols, 0, Title::default())
}

fn sides(size: Size) -> (NonZeroU16, NonZeroU16) {
    let side = |cells| NonZeroU16::new(cells).unwrap_or(NonZeroU16::MIN);
    (side(size.rows), side(size.cols))
}

fn at_least_one(size: Size) -> Size {
    Size {
        cols: size.cols.max(1),
        rows: size.rows.max(1),
    }
}

/// Where the first piece of `output` ends. An emulator that begins with the next one must not find itself within a
/// sequence: ESC begins a new one wherever it stands, and hardly any sequence has a line end in it.
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

fn redraw(parser: &mut vt100::Parser<Title>) -> String {
    let mut drawn = String::new();
    if parser.screen().alternate_screen() {
        // Mode 47 looks at the other screen and back without clearing either.
        parser.process(b"\x1b[?47l");
        drawn += &parser.screen().contents_formatted();
        parser.process(b"\x1b[?47h");
        drawn += "\x1b[?1049h";
    }
    let screen = parser.screen();
    drawn += &screen.state_formatted();
    drawn += &screen.attributes_formatted();
    let title = &parser.callbacks().0;
    if !title.is_empty() {
        drawn += &format!("\x1b]2;{}\x07", String::from_utf8_lossy(title));
    }
    drawn
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::terminal::meters::Meters;

    const SIZE: Size = Size { cols: 80, rows: 24 };

    /// What made `vt100` 0.18.1 panic, on a terminal of 80 columns and 24 rows.
    pub const DEADLY: [&str; 3] = [
        "\x1b[24;80H\u{2764}\u{fe0f}\x1b[23;80Hy",
        "\x1b[3;9r\x1b[?6h\x1b[16;80H\u{2764}\u{fe0f}\x1b[6;77H\x1b[5b",
        "\x1b[24;81H\u{2764}\u{fe0f}\x1b[3S\x1b[20;79H\x1b[5b",
    ];

    /// One that counts its own panics.
    fn emulator() -> (Emulator, IntCounter) {
        let panics = Meters::default().emulator_panics;
        (Emulator::new(SIZE, &panics), panics)
    }

    /// A screen that has seen all of `output`, as text, cursor, modes and title.
    pub fn seen(size: Size, output: &[&[u8]]) -> String {
        let mut parser = parser(size);
        for part in output {
            parser.process(part);
        }
        let screen = parser.screen();
        let title = String::from_utf8_lossy(&parser.callbacks().0).into_owned();
        let (modes, at) = (screen.input_mode_formatted(), screen.cursor_position());
        format!(
            "{:?} {at:?} {modes:?} {:?} {title}",
            screen.contents_formatted(),
            screen.alternate_screen()
        )
    }

    #[test]
    fn what_made_it_panic_still_does() {
        for deadly in DEADLY {
            let (mut emulator, panics) = emulator();
            let lines = "one more line\r\n".repeat(30);
            emulator.process(format!("{deadly}{lines}").as_bytes());
            assert_eq!(panics.get(), 1, "{deadly:?}: is the fence of use still?");
        }
    }

    #[test]
    fn after_a_panic_it_shows_what_follows() {
        for deadly in DEADLY {
            let (mut emulator, panics) = emulator();
            let lines: String = (0..2000).map(|line| format!("line {line}\r\n")).collect();
            emulator.process(format!("before\x1b]2;title\x07{deadly}{lines}$ ").as_bytes());
            assert_eq!(panics.get(), 1, "{deadly:?}");
            assert_eq!(emulator.size(), SIZE);
            let shown = |emulator: &mut Emulator| seen(SIZE, &[emulator.redraw().as_bytes()]);
            let whole = seen(SIZE, &[lines.as_bytes(), b"$ "]);
            assert_eq!(shown(&mut emulator), whole, "{deadly:?}");
            // And it panics again as if for the first time.
            emulator.process(format!("{deadly}{lines}$ ").as_bytes());
            assert_eq!(panics.get(), 2, "{deadly:?}");
            assert_eq!(shown(&mut emulator), whole, "{deadly:?}");
        }
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

    /// Whatever comes, at whatever size: every tenth of these made a bare emulator panic.
    #[test]
    fn random_sequences_panic_in_vain() {
        const WORDS: [&str; 16] = [
            "\u{2764}\u{fe0f}",
            "\u{4e16}",
            "y",
            "\r\n",
            "\x1b[3;9r",
            "\x1b[?6h",
            "\x1b[5b",
            "\x1b[3S",
            "\x1b[2T",
            "\x1b[4L",
            "\x1b[3@",
            "\x1b[2P",
            "\x1b[?1049h",
            "\x1b[?1049l",
            "\x1b[2K",
            "e\u{301}",
        ];
        let mut seed = 0x2545_f491_4f6c_dd1du64;
        let mut below = |most: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % most
        };
        let panics = Meters::default().emulator_panics;
        for _ in 0..300 {
            let mut emulator = Emulator::new(SIZE, &panics);
            for _ in 0..200 {
                let (row, col) = (1 + below(25), 70 + below(12));
                let word = WORDS[below(16) as usize];
                emulator.process(format!("\x1b[{row};{col}H{word}").as_bytes());
                if below(50) == 0 {
                    let size = Size {
                        cols: 1 + below(90) as u16,
                        rows: 1 + below(30) as u16,
                    };
                    emulator.resize(size);
                    assert_eq!(emulator.size(), size);
                }
            }
            let _ = emulator.redraw();
        }
        assert!(panics.get() > 0, "these are too tame");
    }
}
