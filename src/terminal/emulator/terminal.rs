//! A terminal that does what the page's xterm.js 6 does: two screens, modes, and how characters are printed.
//!
//! How xterm.js behaves was found out by trying it; `tests/emulator` compares both. Where xterm.js behaves oddly, so
//! does this terminal: what counts is that both show the same.

use super::attributes::{Look, Looks, Pen, nearest};
use super::charset::Charset;
use super::clusters::Clusters;
use super::line::{Cell, Content};
use super::links::Links;
use super::modes::Modes;
use super::palette::Palette;
use super::params::Params;
use super::parser::{Act, Name, Parser};
use super::screen::Screen;
use super::width::width;

/// The most characters of a title.
const TITLE_CHARS: usize = 256;

/// The terminal.
pub(super) struct Terminal {
    pub(super) parser: Parser,
    pub(super) state: State,
}

/// All of a terminal but its parser.
pub(super) struct State {
    pub cols: usize,
    pub rows: usize,
    pub normal: Screen,
    /// The alternate screen, while it is shown.
    pub alternate: Option<Box<Screen>>,
    pub pen: Pen,
    /// How the cells look that the pen writes, and those that it erases; none after the pen has changed.
    pub(super) looks_of_pen: Option<(Look, Look)>,
    pub looks: Looks,
    pub clusters: Clusters,
    pub links: Links,
    /// What the alternate screen has saved, while it is not shown.
    pub saved_alternate: super::screen::Saved,
    pub palette: Palette,
    pub modes: Modes,
    /// G0 to G3.
    pub charsets: [Charset; 4],
    pub charset_level: usize,
    /// The character set in use: that of the level, unless a restored cursor brought another one.
    pub charset: Charset,
    /// Width of the character that was printed last: marks join it, and REP repeats it. 0 if something else came after
    /// it.
    pub joinable: u8,
    pub title: String,
    /// The answers so far, during [`Terminal::answers_to`].
    pub answers: Option<String>,
    /// How many more times [`State::tidy`] does nothing, after a search of full tables freed little.
    pub(super) refusals: u32,
}

impl Terminal {
    /// An empty terminal. xterm.js has no fewer than two columns.
    pub(super) fn new(cols: usize, rows: usize) -> Terminal {
        let (cols, rows) = (cols.max(2), rows.max(1));
        Terminal {
            parser: Parser::default(),
            state: State::new(cols, rows),
        }
    }

    /// Takes in output, which may end anywhere.
    pub(super) fn process(&mut self, output: &[u8]) {
        self.parser.advance(output, &mut self.state);
    }

    /// Takes in output; returns what the page would answer to it.
    pub(super) fn answers_to(&mut self, output: &[u8]) -> String {
        self.state.answers = Some(String::new());
        self.process(output);
        self.state.answers.take().unwrap_or_default()
    }

    pub(super) fn resize(&mut self, cols: usize, rows: usize) {
        self.state.resize(cols.max(2), rows.max(1));
    }

    /// The parser, to ask what is incomplete.
    pub(super) fn parser(&mut self) -> &mut Parser {
        &mut self.parser
    }

    /// Bytes of memory this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let state = &self.state;
        let alternate = state.alternate.as_ref().map(|screen| screen.memory_bytes());
        size_of::<Terminal>()
            + state.normal.memory_bytes()
            + alternate.unwrap_or(0)
            + state.looks.memory_bytes()
            + state.clusters.memory_bytes()
            + state.links.memory_bytes()
            + state.title.capacity()
            + self.parser.memory_bytes()
    }
}

impl State {
    fn new(cols: usize, rows: usize) -> State {
        State {
            cols,
            rows,
            normal: Screen::new(cols, rows, true),
            alternate: None,
            pen: Pen::default(),
            looks_of_pen: Some((0, 0)),
            looks: Looks::default(),
            clusters: Clusters::default(),
            links: Links::default(),
            saved_alternate: super::screen::Saved::default(),
            palette: Palette::default(),
            modes: Modes::default(),
            charsets: [Charset::ASCII; 4],
            charset_level: 0,
            charset: Charset::ASCII,
            joinable: 0,
            title: String::new(),
            answers: None,
            refusals: 0,
        }
    }

    /// The screen that is shown.
    pub(super) fn screen(&mut self) -> &mut Screen {
        match &mut self.alternate {
            Some(screen) => screen,
            None => &mut self.normal,
        }
    }

    pub(super) fn pen_changed(&mut self) {
        self.looks_of_pen = None;
    }

    /// How the cells look that the pen writes.
    pub(super) fn look(&mut self) -> Look {
        self.both_looks().0
    }

    /// A cell that the pen has erased.
    pub(super) fn erased(&mut self) -> Cell {
        Cell::blank(self.both_looks().1)
    }

    fn both_looks(&mut self) -> (Look, Look) {
        if let Some(both) = self.looks_of_pen {
            return both;
        }
        let pen = self.pen;
        let own = self.look_of(&pen);
        // Noted already here, so that a [`State::tidy`] in the next line keeps this look.
        self.looks_of_pen = Some((own, own));
        let both = (own, self.look_of(&pen.eraser()));
        self.looks_of_pen = Some(both);
        both
    }

    pub(super) fn look_of(&mut self, pen: &Pen) -> Look {
        if let Some(look) = self.looks.find_or_add(pen) {
            return look;
        }
        self.tidy();
        let again = self.looks.find_or_add_at_last(pen);
        again.unwrap_or_else(|| nearest(pen))
    }

    fn print_slowly(&mut self, c: char) {
        let c = match u8::try_from(c) {
            Ok(byte @ 0x20..0x7f) => self.charset.translate(byte),
            _ => c,
        };
        let own_width = width(c);
        let before = self.joinable;
        let is_joined = own_width == 0 && before != 0;
        let columns = usize::from(if is_joined { before } else { own_width });
        let old_columns = if is_joined { usize::from(before) } else { 0 };
        self.joinable = columns as u8;
        let look = self.look();
        let erased = self.erased();
        let (cols, wraps) = (self.cols, self.modes.wraps);
        let is_insert = self.modes.insert;
        let screen = self.screen();
        let blank = Cell::blank(look);
        screen.part_wide(blank);
        if screen.x + columns - old_columns > cols {
            if wraps {
                // A wide character that does not fit leaves a gap.
                let end = screen.x;
                if let Some(line) = screen.here() {
                    line.fill(end, cols, blank);
                }
                screen.wrap(erased);
            } else {
                screen.x = cols - 1;
                if columns == 2 {
                    return;
                }
            }
        }
        if is_joined && screen.x > 0 {
            self.join(c);
            return;
        }
        let at = screen.x;
        let Some(line) = screen.here() else { return };
        if is_insert {
            line.insert(at, columns, blank);
            if line.get(cols - 1).width() == 2 {
                line.set(cols - 1, blank);
            }
        }
        line.set(at, Cell::char(c, columns as u8, look));
        let end = at + columns.max(1);
        for at in at + 1..end {
            line.set(at, Cell::rest(look));
        }
        if end < cols && line.get(end).is_rest() {
            line.set(end, blank);
        }
        screen.x = end;
    }

    /// Adds a mark to the character before the cursor.
    fn join(&mut self, mark: char) {
        let screen = self.screen();
        let (x, y) = (screen.x, screen.y);
        let Some(line) = screen.line(y) else { return };
        let back = match line.get(x - 1).width() {
            0 => 2,
            _ => 1,
        };
        let Some(at) = x.checked_sub(back) else {
            return;
        };
        let cell = line.get(at);
        let width = self.joinable;
        let mut buffer = [0; 4];
        let joined = match cell.content() {
            Content::Nothing => Some(Cell::char(mark, width, cell.look)),
            Content::Char(c) => self.cluster_cell(c.encode_utf8(&mut buffer), mark, width, cell),
            Content::Cluster(number) => {
                let base = self.clusters.get(number).to_owned();
                self.cluster_cell(&base, mark, width, cell)
            }
        };
        if let Some(joined) = joined
            && let Some(line) = self.screen().line_mut(y)
        {
            line.set(at, joined);
        }
    }

    fn cluster_cell(&mut self, base: &str, mark: char, width: u8, cell: Cell) -> Option<Cell> {
        let number = self.clusters.joined(base, mark).or_else(|| {
            self.tidy();
            self.clusters.joined_at_last(base, mark)
        });
        Some(Cell::cluster(number?, width, cell.look))
    }

    pub(super) fn set_title(&mut self, title: &str) {
        self.title = title.chars().take(TITLE_CHARS).collect();
    }
}

impl Act for State {
    fn print_ascii(&mut self, text: &[u8]) {
        if self.modes.insert || self.charset != Charset::ASCII {
            text.iter()
                .for_each(|byte| self.print_slowly(char::from(*byte)));
            return;
        }
        let look = self.look();
        let erased = self.erased();
        let (cols, wraps) = (self.cols, self.modes.wraps);
        self.joinable = 1;
        let screen = self.screen();
        let blank = Cell::blank(look);
        let mut rest = text;
        screen.part_wide(blank);
        while !rest.is_empty() {
            if screen.x >= cols {
                if wraps {
                    screen.wrap(erased);
                } else {
                    screen.x = cols - 1;
                    // All characters left are written to the last column, where the last one stays.
                    rest = rest.split_at(rest.len() - 1).1;
                }
            }
            let (now, later) = rest.split_at(rest.len().min(cols - screen.x));
            let at = screen.x;
            let Some(line) = screen.here() else { return };
            line.write_ascii(at, now, look);
            screen.x += now.len();
            rest = later;
        }
        let at = screen.x;
        if at < cols
            && let Some(line) = screen.here()
            && line.get(at).is_rest()
        {
            line.set(at, blank);
        }
    }

    fn print(&mut self, c: char) {
        self.print_slowly(c);
    }

    fn control(&mut self, code: u8) {
        self.do_control(code);
        self.joinable = 0;
    }

    fn escape(&mut self, between: &[u8], last: u8) {
        self.do_escape(between, last);
        self.joinable = 0;
    }

    fn sequence(&mut self, name: Name, params: &Params) {
        self.do_sequence(name, params);
        self.answer_sequence(name, params);
        self.joinable = 0;
    }

    fn command(&mut self, number: u32, text: &str) {
        self.do_command(number, text);
    }

    fn request(&mut self, text: &str) {
        self.answer_request(text);
    }

    fn string_end(&mut self) {
        self.joinable = 0;
    }
}

impl Screen {
    /// Blanks the first half of a wide character whose second half is about to be overwritten.
    fn part_wide(&mut self, blank: Cell) {
        if let Some(before) = self.x.checked_sub(1)
            && let Some(line) = self.here()
            && line.get(before).width() == 2
        {
            line.set(before, blank);
        }
    }

    /// Goes to the next line, which continues this one.
    fn wrap(&mut self, erased: Cell) {
        self.x = 0;
        self.y += 1;
        if self.y == self.bottom + 1 {
            self.y -= 1;
            self.scroll(erased.look, true);
        } else {
            self.y = self.y.min(self.rows - 1);
            self.set_wrapped(self.y, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Color;
    use super::super::picture::check;
    use super::*;

    #[test]
    fn text_goes_on_in_the_next_line() {
        check("abc", "abc @3,0");
        check("0123456789", "0123456789 @10,0");
        check("0123456789a", "0123456789/~a @1,1");
        check("0123456789\ra", "a123456789 @1,0");
        check("\x1b[4;9Habc", "//........ab/~c @1,3");
        check("\x1b[?7l0123456789abc", "012345678c @10,0");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        check("世x", "世<x @3,0");
        check("012345678世", "012345678/~世< @2,1");
        check("\x1b[?7l012345678世x", "012345678x @10,0");
        check("世界\x1b[2Gx", ".x界< @2,0");
        check("世界\x1b[3Gx", "世<x @3,0");
        check("世界\x1b[1Gx", "x.界< @1,0");
        check("\u{1fae8}x", "\u{1fae8}<x @3,0");
    }

    #[test]
    fn marks_join_what_was_just_printed() {
        check("e\u{301}x", "e\u{301}x @2,0");
        check("世\u{301}x", "世\u{301}<x @3,0");
        check("\u{2764}\u{fe0f}x", "\u{2764}\u{fe0f}x @2,0");
        check("0123456789\u{301}x", "0123456789\u{301}/~x @1,1");
        // A mark does not join a character after which something else came, not even a sequence without effect.
        check("e\x1b[m\u{301}x", "e\u{301}x @3,0");
        check("e\r\u{301}x", "\u{301}x @2,0");
    }

    #[test]
    fn insert_mode_moves_what_follows() {
        check("abc\x1b[1G\x1b[4hXY", "XYabc @2,0");
        check("0123456789\x1b[1G\x1b[4hX", "X012345678 @1,0");
        check("世\x1b[2G\x1b[4hX", ".X @2,0");
    }

    #[test]
    fn the_last_character_is_repeated() {
        check("ab\x1b[3bc", "abbbbc @6,0");
        check("世\x1b[2b", "世<世<世< @6,0");
        check("e\u{301}\x1b[2b", "e\u{301}e\u{301}e\u{301} @3,0");
        check("a\r\x1b[3b", "a @0,0");
        check("\x1b[3b", " @0,0");
        // REP has the effect of writing the character that often.
        for count in [9, 10, 11, 100, 99_999, i32::MAX] {
            let mut terminal = Terminal::new(10, 4);
            terminal.process(format!("x\x1b[{count}b").as_bytes());
            let written = (count as usize + 1) % 10;
            let expected = if written == 0 { 10 } else { written };
            assert_eq!(terminal.state.normal.x, expected, "{count}");
        }
    }

    /// REP shows what printing one character after the other shows, whatever is there already.
    #[test]
    fn repeated_is_as_if_printed() {
        let texts = ["x", "\u{e9}", "世", "e\u{301}", "世\u{301}\u{302}"];
        let modes = ["", "\x1b[4h", "\x1b[?7l", "\x1b[4h\x1b[?7l"];
        let places = [
            "",
            "ab\x1b[44m",
            "世世世世世\r",
            "世世世世世\x1b[2G",
            "0123456789\x1b[3;8H",
        ];
        for (text, mode, place) in texts
            .iter()
            .flat_map(|text| modes.iter().map(move |mode| (text, mode)))
            .flat_map(|(text, mode)| places.iter().map(move |place| (text, mode, place)))
        {
            for count in [1, 2, 3, 5, 9, 23, 60] {
                let drawn = [format!("{text}\x1b[{count}b"), text.repeat(count + 1)].map(|end| {
                    let mut terminal = Terminal::new(10, 4);
                    terminal.process(format!("{place}{mode}{end}\x1b[m").as_bytes());
                    terminal.redraw()
                });
                assert_eq!(drawn[0], drawn[1], "{place:?} {mode:?} {text:?} {count}");
            }
        }
    }

    #[test]
    fn line_drawing_takes_the_place_of_letters() {
        check("\x1b(0lqk\x1b(Bq", "┌─┐q @4,0");
        check("\x1b)0q\x0eq\x0fq", "q─q @3,0");
        check("\x1b(0q\x1b[2b", "─── @3,0");
    }

    /// More colours than there is room for, all in one go and one after the other.
    #[test]
    fn colours_without_end_take_no_memory() {
        let mut terminal = Terminal::new(400, 100);
        for number in 0..80_000 {
            let (r, g, b) = (number >> 16, (number >> 8) & 255, number & 255);
            terminal.process(format!("\x1b[38;2;{r};{g};{b}mx").as_bytes());
        }
        assert!(
            terminal.memory_bytes() < 2 << 20,
            "{}",
            terminal.memory_bytes()
        );
        terminal.process(b"\x1b[2J\x1b[3J\x1b[H");
        for number in 0..80_000 {
            terminal.process(
                format!("\x1b[48;2;{};9;{}mx\r", number & 255, number >> 8 & 255).as_bytes(),
            );
        }
        let last = terminal
            .state
            .normal
            .line(0)
            .map_or(0, |line| line.get(0).look);
        let last = terminal.state.looks.pen(last);
        assert_eq!(
            last.bg,
            Color::Rgb((79_999 & 255) as u8, 9, (79_999 >> 8 & 255) as u8)
        );
    }

    /// What is no longer on the screen is given back: ever new colours, marks and links of a small terminal.
    #[test]
    fn what_has_gone_takes_no_memory() {
        let mut terminal = Terminal::new(80, 24);
        for number in 0..200_000u32 {
            let (r, g, b) = (number >> 16, (number >> 8) & 255, number & 255);
            let c = char::from_u32(0x4e00 + number % 20_000).unwrap_or('x');
            let text = format!("\x1b[38;2;{r};{g};{b}m\x1b]8;;http://{number}/\x07{c}\u{301}\r\n");
            terminal.process(text.as_bytes());
        }
        let bytes = terminal.memory_bytes();
        assert!(bytes < 200 << 10, "{bytes}");
    }

    #[test]
    fn a_narrower_screen_gives_memory_back() {
        let mut terminal = Terminal::new(1000, 100);
        terminal.process(&b"x".repeat(100_000));
        terminal.process(b"\x1b[?1049h");
        terminal.process(&b"x".repeat(100_000));
        terminal.resize(20, 100);
        let bytes = terminal.memory_bytes();
        assert!(bytes < 1 << 20, "{bytes}");
    }

    /// Of links that are not all on the screen at the same time none is lost.
    #[test]
    fn links_of_a_long_listing_are_kept() {
        let mut terminal = Terminal::new(80, 24);
        let link =
            |number: usize| format!("http://a.host/a/directory/of/some/depth/file-{number:05}");
        for number in 0..5_000 {
            let line = format!("\x1b]8;;{0}\x07{number}\x1b]8;;\x07\r\n", link(number));
            terminal.process(line.as_bytes());
        }
        let redraw = terminal.redraw();
        for number in 5_000 - 23..5_000 {
            assert!(redraw.contains(&link(number)), "{number}");
        }
    }

    #[test]
    fn clusters_and_links_without_end_take_no_memory() {
        let mut terminal = Terminal::new(400, 100);
        for number in 0..60_000u32 {
            let c = char::from_u32(0x4e00 + number % 20_000).unwrap_or('x');
            terminal.process(format!("\x1b]8;;http://{number}/\x07{c}\u{301}\u{302}").as_bytes());
        }
        assert!(
            terminal.memory_bytes() < 2 << 20,
            "{}",
            terminal.memory_bytes()
        );
    }
}
