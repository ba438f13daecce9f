//! Draws a terminal on one that was just reset: first the two screens, then everything on which the effect of further
//! output depends.

use super::attributes::Pen;
use super::charset::Charset;
use super::drawing::{Detail, Drawing};
use super::line::Cell;
use super::modes::Modes;
use super::redraw_lines::draw_lines;
use super::screen::{Saved, Screen, Tabs};
use super::terminal::Terminal;

impl Terminal {
    /// Text and escape sequences that draw this terminal on one that was just reset. The text may end with an
    /// incomplete sequence. The beginning of an incomplete character is left out: see [`Terminal::open_char`]. If the
    /// text would be too long, the looks are drawn more simply.
    pub(super) fn redraw(&self) -> String {
        let drawn = [Detail::All, Detail::Palette, Detail::Plain]
            .into_iter()
            .map(|detail| self.draw(detail))
            .find(|drawing| !drawing.is_too_much());
        drawn.map_or_else(String::new, |drawing| drawing.out) + self.parser.open().0
    }

    fn draw(&self, detail: Detail) -> Drawing<'_> {
        let mut drawing = Drawing::new(&self.state, detail);
        drawing.all();
        drawing
    }

    /// The bytes of a character that is not complete.
    pub(super) fn open_char(&self) -> &[u8] {
        self.parser.open().1
    }
}

impl Drawing<'_> {
    fn all(&mut self) {
        let state = self.state;
        // This resets what a reset of xterm.js leaves as it is.
        self.push("\x1b[20l\x1b[?25h\x1b]104\x07\x1b]110\x07\x1b]111\x07\x1b]112\x07");
        self.palette();
        if !state.title.is_empty() {
            self.push(&format!("\x1b]2;{}\x07", state.title));
        }
        self.screen(&state.normal);
        let shown = match &state.alternate {
            Some(alternate) => {
                self.pen(&Pen::default());
                self.go_to(state.normal.x.min(state.cols - 1), state.normal.y);
                self.push("\x1b[?47h\x1b[H");
                self.screen(alternate);
                alternate
            }
            None => {
                self.saved_alternate();
                &state.normal
            }
        };
        self.charsets(shown);
        self.cursor(shown);
        self.modes();
        let join = self.joinable(shown);
        if join.is_none() && self.pen != Some(state.pen) {
            self.pen_without_saving(&state.pen);
        }
        if let Some((cell, x)) = join {
            self.go_to_cell(shown, x);
            self.reprint(cell);
        }
    }

    fn palette(&mut self) {
        let palette = &self.state.palette;
        let rgb = |[r, g, b]: &[u8; 3]| format!("rgb:{r:02x}/{g:02x}/{b:02x}");
        for (number, color) in &palette.colors {
            self.push(&format!("\x1b]4;{number};{}\x07", rgb(color)));
        }
        for (number, color) in palette.special.iter().enumerate() {
            if let Some(color) = color {
                self.push(&format!("\x1b]{};{}\x07", 10 + number, rgb(color)));
            }
        }
    }

    fn screen(&mut self, screen: &Screen) {
        draw_lines(self, screen);
        self.tabs(screen);
        if (screen.top, screen.bottom) != (0, screen.rows - 1) {
            self.push(&format!("\x1b[{};{}r", screen.top + 1, screen.bottom + 1));
        }
        let fresh = Saved {
            y: screen.saved.y,
            ..Saved::default()
        };
        if screen.saved != fresh || screen.saved_row() > 0 || self.has_saved {
            self.saved(screen);
        }
    }

    fn tabs(&mut self, screen: &Screen) {
        let fresh = Tabs::new(screen.cols);
        let cols = 0..screen.cols;
        if cols
            .clone()
            .all(|at| screen.tabs.is_set(at) == fresh.is_set(at))
        {
            return;
        }
        self.push("\x1b[3g");
        for at in cols.filter(|at| screen.tabs.is_set(*at)) {
            self.csi(at + 1, 'G');
            self.push("\x1bH");
        }
    }

    fn saved(&mut self, screen: &Screen) {
        let row = screen.saved_row().min(screen.rows - 1);
        self.save(&screen.saved, row);
    }

    /// Draws the cursor that the alternate screen has saved: it is kept while that screen is not shown.
    fn saved_alternate(&mut self) {
        let saved = self.state.saved_alternate;
        if saved != Saved::default() {
            self.push("\x1b[?47h");
            self.save(&saved, saved.y.min(self.state.rows - 1));
            self.push("\x1b[?47l");
        }
    }

    fn save(&mut self, saved: &Saved, row: usize) {
        self.flags(&saved.pen);
        if saved.charset != Charset::ASCII {
            self.designate(0, saved.charset);
        }
        self.go_to(saved.x.min(self.state.cols - 1), row);
        self.push("\x1b7");
        self.has_saved = false;
        if saved.charset != Charset::ASCII {
            self.designate(0, Charset::ASCII);
        }
    }

    fn designate(&mut self, level: usize, charset: Charset) {
        let between = ['(', ')', '*', '+'].get(level).copied().unwrap_or('(');
        let name = char::from(charset.name());
        self.push(&format!("\x1b{between}{name}"));
    }

    fn charsets(&mut self, screen: &Screen) {
        let state = self.state;
        for (level, charset) in state.charsets.iter().enumerate() {
            if *charset != Charset::ASCII {
                self.designate(level, *charset);
            }
        }
        match state.charset_level {
            0 => {}
            1 => self.push("\x0e"),
            2 => self.push("\x1bn"),
            _ => self.push("\x1bo"),
        }
        // Restoring a cursor is the only way to a character set that is not the level's, and to a pen whose flags
        // differ from what its underline and link imply.
        let of_level = state.charsets.get(state.charset_level);
        let brings_charset = of_level != Some(&state.charset);
        let brings_pen = !state.pen.is_natural() && screen.saved.pen.is_like(&state.pen);
        if screen.saved.charset != state.charset {
            return;
        }
        if brings_pen {
            self.pen_by_restoring(&state.pen, &screen.saved.pen);
        } else if brings_charset {
            self.push("\x1b8");
            self.pen = None;
        }
    }

    /// Puts the cursor into its place, which may be behind the last column: from there the next character goes to the
    /// next line.
    fn cursor(&mut self, screen: &Screen) {
        let is_origin = self.state.modes.origin;
        if is_origin {
            self.push("\x1b[?6h");
        }
        let (x, y) = (screen.x, screen.y);
        if x < screen.cols {
            self.go_to_cell(screen, x);
            return;
        }
        // Printing the last column's character again leads there.
        let last = screen.cols - 1;
        let cell = |at: usize| screen.line(y).map_or(Cell::blank(0), |line| line.get(at));
        let at = match cell(last).is_rest() {
            true => last - 1,
            false => last,
        };
        self.go_to_cell(screen, at);
        self.pen_of(cell(at));
        if !cell(at).has_content() {
            self.push(" ");
            let is_empty = screen
                .line(screen.y)
                .is_some_and(|line| line.cells().is_empty() && !line.is_wrapped);
            if is_empty && cell(at).is_blank() {
                // Erasing the line leaves the cursor where it is.
                self.push("\x1b[2K");
            }
            return;
        }
        // The cell holds the character that is shown. If it is an ASCII letter, the character set in use would turn it
        // into another character, so ASCII is in use meanwhile.
        let state = self.state;
        let level = state.charset_level;
        let is_mapped =
            state.charset != Charset::ASCII && state.charsets.get(level) == Some(&state.charset);
        if is_mapped {
            self.designate(level, Charset::ASCII);
        }
        self.print(cell(at));
        if is_mapped {
            self.designate(level, state.charset);
        }
    }

    /// Goes to a column of the cursor's row.
    fn go_to_cell(&mut self, screen: &Screen, x: usize) {
        let row = match self.state.modes.origin {
            true => screen.y.saturating_sub(screen.top),
            false => screen.y,
        };
        self.go_to(x, row);
    }

    fn modes(&mut self) {
        let modes = &self.state.modes;
        let is_set = |set: &mut Vec<u16>, mode: u16, is_on: bool| {
            if is_on {
                set.push(mode);
            }
        };
        let mut set = Vec::new();
        is_set(&mut set, 1, modes.application_cursor);
        is_set(&mut set, 45, modes.reverse_wraps);
        is_set(&mut set, 66, modes.application_keypad);
        is_set(&mut set, 1004, modes.focus);
        is_set(&mut set, 2004, modes.bracketed_paste);
        is_set(&mut set, modes.mouse, modes.mouse != 0);
        is_set(&mut set, modes.mouse_encoding, modes.mouse_encoding != 0);
        is_set(&mut set, 12, modes.cursor_blinks == Some(true));
        is_set(&mut set, 2026, modes.synchronized);
        if !set.is_empty() {
            let set: Vec<String> = set.iter().map(u16::to_string).collect();
            self.push(&format!("\x1b[?{}h", set.join(";")));
        }
        let fresh = Modes::default();
        for (mode, is_reset) in [
            ("7", modes.wraps != fresh.wraps),
            ("25", modes.is_cursor_hidden),
            ("12", modes.cursor_blinks == Some(false)),
        ] {
            if is_reset {
                self.push(&format!("\x1b[?{mode}l"));
            }
        }
        if modes.newline {
            self.push("\x1b[20h");
        }
        if modes.cursor_style != 0 {
            self.push(&format!("\x1b[{} q", modes.cursor_style));
        }
        if modes.insert {
            self.push("\x1b[4h");
        }
    }

    /// The character before the cursor, if a mark that came next would join it, and its column.
    fn joinable(&self, screen: &Screen) -> Option<(Cell, usize)> {
        let width = usize::from(self.state.joinable);
        let x = screen.x.checked_sub(width).filter(|_| width > 0)?;
        let cell = screen.line(screen.y)?.get(x);
        cell.has_content().then_some((cell, x))
    }

    /// Prints the character before the cursor again, as the last step, so that a mark that comes next joins it.
    fn reprint(&mut self, cell: Cell) {
        let width = usize::from(self.state.joinable);
        if self.state.modes.insert {
            self.csi(width, 'P');
        }
        self.pen_of(cell);
        self.print(cell);
    }

    /// Sets the pen that wrote this cell: the terminal's own pen, if it would write the same.
    fn pen_of(&mut self, cell: Cell) {
        let own = self.state.pen;
        let is_own = own.kept() == self.state.looks.pen(cell.look);
        let pen = self.pen_for(cell.look);
        self.pen_without_saving(if is_own { &own } else { &pen });
    }
}

#[cfg(test)]
mod tests {
    use super::super::drawing::MOST_BYTES;
    use super::super::terminal::Terminal;

    fn after(parts: &[&[u8]]) -> Terminal {
        let mut terminal = Terminal::new(20, 5);
        parts.iter().for_each(|part| terminal.process(part));
        terminal
    }

    /// Wherever output is cut, the redraw and the rest of the output show what the whole output shows, and the redraw
    /// of that is the same. `tests/emulator` compares with xterm.js; this compares the emulator with itself.
    #[track_caller]
    fn check(output: &str) {
        let output = output.as_bytes();
        let whole = after(&[output]).redraw();
        for cut in 0..=output.len() {
            let (before, rest) = output.split_at(cut);
            let cut_off = after(&[before]);
            let (redraw, open) = (cut_off.redraw(), cut_off.open_char());
            let restored = after(&[redraw.as_bytes(), open, rest]).redraw();
            assert_eq!(restored, whole, "cut at {cut}: {redraw:?}");
        }
    }

    /// Two links of 4 KB take turns in all cells of the largest screen.
    #[test]
    fn links_make_no_redraw_without_end() {
        let mut terminal = Terminal::new(1000, 100);
        let link = |letter: &str| format!("\x1b]8;;http://{}\x07", letter.repeat(4050));
        terminal.process(format!("{}x\x1b[99999b{}", link("a"), link("b")).as_bytes());
        for row in 1..=100 {
            let cells = "x\x1b[C".repeat(500);
            terminal.process(format!("\x1b[{row};1H{cells}").as_bytes());
        }
        let redraw = terminal.redraw();
        assert!(redraw.len() < 4 << 20, "{} bytes", redraw.len());
        assert!(redraw.contains(&link("a")) && redraw.contains(&link("b")));
    }

    /// Every cell of both screens has a look of its own: they are drawn with as much of their looks as there is room
    /// for.
    #[test]
    fn looks_make_no_redraw_without_end() {
        let mut terminal = Terminal::new(1000, 100);
        let screen = |terminal: &mut Terminal, cols: u32| {
            for number in 0..100 * cols {
                let (row, col) = (number / cols + 1, number % cols + 1);
                let c = 100 + number % 2 * 100 + number % 50;
                let ink =
                    format!("\x1b[{row};{col}H\x1b[1;3;4:3;7;9;38;2;{c};9;{c};48;2;9;{c};9mX");
                terminal.process(ink.as_bytes());
            }
            terminal.process(b"\x1b[m");
        };
        screen(&mut terminal, 100);
        let redraw = terminal.redraw();
        assert!(
            redraw.contains("38;2;227;9;227"),
            "that much there is room for"
        );
        screen(&mut terminal, 490);
        let redraw = terminal.redraw();
        assert!(
            redraw.len() < MOST_BYTES && !redraw.contains("38;2;"),
            "{}",
            redraw.len()
        );
        assert!(redraw.contains(";38;5;"), "colours of the palette");
        screen(&mut terminal, 1000);
        terminal.process(b"\x1b[?47h");
        screen(&mut terminal, 1000);
        let redraw = terminal.redraw();
        assert!(
            redraw.len() < MOST_BYTES && !redraw.contains(";38;"),
            "{}",
            redraw.len()
        );
        assert!(redraw.matches('X').count() >= 200_000);
    }

    /// The cursor stands behind the last column, which is where printing the last character leads to.
    #[test]
    fn behind_the_last_column() {
        check("01234567890123456789\x1b(0");
        check("\x1b)0\x0e01234567890123456789");
        check("\x1b[2H\x1b[41mred\x1b[m\x1b[H01234567890123456789\x1b[2K");
        check("\x1b[2H\x1b[41mred\x1b[H01234567890123456789\x1b[2K\x1b[m");
    }

    #[test]
    fn text_of_all_kinds() {
        check("hello\r\nworld\r\n");
        check("x\u{301}世界\u{2764}\u{fe0f}1\u{fe0f}\u{20e3}\u{1fae8}y");
        check("0123456789012345678世x\r\n$ ");
        check(&"a line that is longer than the screen is wide\r\n".repeat(4));
        check("\x1b[?7l0123456789012345678901234");
    }

    #[test]
    fn looks_of_all_kinds() {
        check("\x1b[1;2;3;4;5;7;8;9;53mall\x1b[mnone");
        check("\x1b[4:3;58;5;9mx\x1b[59my\x1b[21;38;2;1;2;3;48;5;17mz");
        check("\x1b[44mabc\x1b[K\r\n\x1b[2Jx\x1b[1@\x1b[m");
        check("\x1b]8;id=1;http://a/\x07link\x1b[4mline\x1b]8;;\x07none");
        check("ab\x1b[1\"qcd\x1b[0\"qef\x1b[?2J");
    }

    #[test]
    fn state_that_cannot_be_seen() {
        check("\x1b[2;4r\x1b[?6h\x1b[2;2Ha\x1b7\x1b[?6l\x1b[Hb\x1b8c");
        check("\x1b[3g\x1b[4G\x1bH\r\tx\ty");
        check("\x1b(0\x1b7\x1b(B\x1b)0q\x0eq\x1b8q\x1bnq");
        check("\x1b[31;1m\x1b[3;3H\x1b7\x1b[m\x1b[5H\n\n\x1b8x");
        check("\x1b[?1;7;45;66;1000;1006;1004;2004;2026;12h\x1b[20h\x1b[?25l\x1b[3 q\x1b[4h");
        check("\x1b]4;1;#123456\x07\x1b]10;#010203\x07\x1b]2;title\x07");
    }

    #[test]
    fn both_screens() {
        check("main\x1b[2;3r\x1b[31m\x1b7\x1b[?1049h\x1b[2;4r\x1b[4Halt\n\x1b7\x1b[?1049lmain");
        check("1\r\n2\r\n3\r\n4\r\n5\r\n6\x1b[?47hx\x1b[?47ly");
    }

    #[test]
    fn a_reset_terminal_is_drawn_in_few_bytes() {
        let empty = after(&[]).redraw();
        assert!(empty.len() < 60, "{empty:?}");
        let cleared = after(&[
            "\x1b[31mred\r\n".repeat(10).as_bytes(),
            b"\x1b[m\x1b[H\x1b[2J\x1b[3J",
        ]);
        assert_eq!(cleared.redraw(), empty);
    }
}
