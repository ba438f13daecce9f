//! Control characters, and escape sequences without parameters.

use super::attributes::{Color, Pen};
use super::charset::Charset;
use super::line::Cell;
use super::modes::Modes;
use super::screen::{Saved, Screen};
use super::terminal::State;

impl State {
    pub(super) fn do_control(&mut self, code: u8) {
        match code {
            0x08 => self.backspace(),
            0x09 => {
                let cols = self.cols;
                let screen = self.screen();
                if screen.x < cols {
                    screen.x = screen.tabs.behind(screen.x, cols);
                }
            }
            0x0a..=0x0c => self.line_feed(),
            0x0d => self.screen().x = 0,
            0x0e => self.set_level(1),
            0x0f => self.set_level(0),
            0x84 => self.index(),
            0x85 => {
                self.screen().x = 0;
                self.index();
            }
            0x88 => self.set_tab(),
            _ => {}
        }
    }

    pub(super) fn do_escape(&mut self, between: &[u8], last: u8) {
        match (between, last) {
            ([], b'7') => self.save_cursor(),
            ([], b'8') => self.restore_cursor(),
            ([], b'D') => self.index(),
            ([], b'E') => {
                self.screen().x = 0;
                self.index();
            }
            ([], b'H') => self.set_tab(),
            ([], b'M') => self.reverse_index(),
            ([], b'=') => self.modes.application_keypad = true,
            ([], b'>') => self.modes.application_keypad = false,
            ([], b'c') => self.reset(),
            ([], b'n' | b'}') => self.set_level(2),
            ([], b'o' | b'|') => self.set_level(3),
            ([], b'~') => self.set_level(1),
            ([b'%'], b'@' | b'G') => {
                self.set_level(0);
                self.designate(0, b'B');
            }
            ([b'('], name) => self.designate(0, name),
            ([b')' | b'-'], name) => self.designate(1, name),
            ([b'*' | b'.'], name) => self.designate(2, name),
            ([b'+'], name) => self.designate(3, name),
            ([b'#'], b'8') => self.fill_with_e(),
            _ => {}
        }
    }

    fn backspace(&mut self) {
        let (cols, is_origin) = (self.cols, self.modes.origin);
        let reverse_wraps = self.modes.reverse_wraps;
        let screen = self.screen();
        if !reverse_wraps {
            screen.restrict(cols - 1, is_origin);
            screen.x = screen.x.saturating_sub(1);
            return;
        }
        screen.restrict(cols, is_origin);
        if screen.x > 0 {
            screen.x -= 1;
        } else if screen.y > screen.top && screen.y <= screen.bottom {
            let row = screen.y;
            if screen.line(row).is_some_and(|line| line.is_wrapped) {
                screen.set_wrapped(row, false);
                screen.y -= 1;
                screen.x = cols - 1;
                // The last column is empty if a character of two columns did not fit there.
                let last = screen.line(screen.y).map(|line| line.get(cols - 1));
                if last.is_some_and(|cell| cell.width() > 0 && !cell.has_content()) {
                    screen.x -= 1;
                }
            }
        }
        screen.restrict(cols - 1, is_origin);
    }

    fn line_feed(&mut self) {
        let erased = self.erased();
        let (cols, is_newline) = (self.cols, self.modes.newline);
        let screen = self.screen();
        if is_newline {
            screen.x = 0;
        }
        screen.y += 1;
        if screen.y == screen.bottom + 1 {
            screen.y -= 1;
            screen.scroll(erased.look, false);
        } else if screen.y >= screen.rows {
            screen.y = screen.rows - 1;
        } else {
            screen.set_wrapped(screen.y, false);
        }
        if screen.x >= cols {
            screen.x -= 1;
        }
    }

    fn index(&mut self) {
        let erased = self.erased();
        self.restrict();
        let screen = self.screen();
        screen.y += 1;
        if screen.y == screen.bottom + 1 {
            screen.y -= 1;
            screen.scroll(erased.look, false);
        } else if screen.y >= screen.rows {
            screen.y = screen.rows - 1;
        }
        self.restrict();
    }

    fn reverse_index(&mut self) {
        let erased = self.erased();
        self.restrict();
        let screen = self.screen();
        if screen.y == screen.top {
            screen.move_down(screen.top, screen.bottom, 1, erased.look);
        } else {
            screen.y = screen.y.saturating_sub(1);
            self.restrict();
        }
    }

    fn set_tab(&mut self) {
        let screen = self.screen();
        screen.tabs.set(screen.x);
    }

    pub(super) fn save_cursor(&mut self) {
        let (pen, charset) = (self.pen, self.charset);
        let screen = self.screen();
        screen.saved = Saved {
            x: screen.x,
            y: screen.above + screen.y,
            pen,
            charset,
        };
    }

    pub(super) fn restore_cursor(&mut self) {
        let screen = self.screen();
        let saved = screen.saved;
        screen.x = saved.x;
        screen.y = saved.y.saturating_sub(screen.above);
        // xterm.js restores whether there is an underline or a link, and not which.
        self.pen = Pen {
            underline: self.pen.underline,
            underline_color: self.pen.underline_color,
            link: self.pen.link,
            ..saved.pen
        };
        self.pen_changed();
        self.charset = saved.charset;
        self.restrict();
    }

    /// Moves the cursor from behind the last column into that column, and from outside into the screen or the region.
    pub(super) fn restrict(&mut self) {
        let (most_x, is_origin) = (self.cols - 1, self.modes.origin);
        self.screen().restrict(most_x, is_origin);
    }

    fn set_level(&mut self, level: usize) {
        self.charset_level = level;
        self.charset = self.charsets.get(level).copied().unwrap_or_default();
    }

    fn designate(&mut self, level: usize, name: u8) {
        let Some(charset) = Charset::named(name) else {
            return;
        };
        if let Some(place) = self.charsets.get_mut(level) {
            *place = charset;
        }
        if level == self.charset_level {
            self.charset = charset;
        }
    }

    pub(super) fn reset_charsets(&mut self) {
        self.charsets = [Charset::ASCII; 4];
        (self.charset_level, self.charset) = (0, Charset::ASCII);
    }

    fn fill_with_e(&mut self) {
        // DECALN keeps whether there is an underline or a link, and not which.
        let pen = Pen {
            underline: 0,
            underline_color: Color::Default,
            link: 0,
            ..self.pen
        };
        let look = self.look_of(&pen);
        let (cols, rows) = (self.cols, self.rows);
        self.set_cursor(0, 0);
        let screen = self.screen();
        // In origin mode only the rows from the region's first one on are filled.
        for row in screen.y..rows {
            if let Some(line) = screen.line_mut(row) {
                line.fill(0, cols, Cell::char('E', 1, look));
                line.is_wrapped = false;
            }
        }
    }

    /// RIS: the full reset.
    fn reset(&mut self) {
        let (cols, rows) = (self.cols, self.rows);
        self.normal = Screen::new(cols, rows, true);
        (self.alternate, self.saved_alternate) = (None, Saved::default());
        self.pen = Pen::default();
        self.pen_changed();
        self.reset_charsets();
        self.modes = Modes::reset(&self.modes);
    }

    /// DECSTR: the soft reset.
    pub(super) fn soft_reset(&mut self) {
        let rows = self.rows;
        let (pen, charset) = (Pen::default(), Charset::ASCII);
        self.pen = pen;
        self.pen_changed();
        self.reset_charsets();
        self.modes = self.modes.soft_reset();
        let screen = self.screen();
        (screen.top, screen.bottom) = (0, rows - 1);
        screen.saved = Saved {
            x: 0,
            y: screen.above,
            pen,
            charset,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::picture::check;

    #[test]
    fn control_characters() {
        check("abc\x08x", "abx @3,0");
        check("\x08\x08x", "x @1,0");
        check("a\tb", "a.......b @9,0");
        check("a\t\tb", "a........b @10,0");
        check("a\r\nb", "a/b @1,1");
        check("a\nb", "a/.b @2,1");
        check("a\x0bb\x0cc", "a/.b/..c @3,2");
        check("\x1b[20ha\nb", "a/b @1,1");
        check("a\u{85}b\u{84}c", "a/b/.c @2,2");
        check("1\r\n2\r\n3\r\n4\r\n5", "2/3/4/5 @1,3");
    }

    #[test]
    fn backspace_goes_back_to_the_line_above_where_it_may() {
        let wrapped = "0123456789ab";
        check(&format!("{wrapped}\x08\x08\x08X"), "0123456789/~Xb @1,1");
        check(
            &format!("\x1b[?45h{wrapped}\x08\x08\x08X"),
            "012345678X/ab @10,0",
        );
    }

    #[test]
    fn lines_move_at_the_edges() {
        check("1\r\n2\x1b[H\x1bMx", "x/1/2 @1,0");
        check("1\r\n2\x1bDx", "1/2/.x @2,2");
        check("1\r\n2\x1bEx", "1/2/x @1,2");
        check("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3H\nx", "1/3/x/4 @1,2");
        check("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[2H\x1bMx", "1/x/2/4 @1,1");
        check("\x1b[1;3r\x1b[4Hx\n\ny", "///xy @2,3");
    }

    #[test]
    fn the_cursor_is_saved_and_restored() {
        check("\x1b[2;3H\x1b7\x1b[Ha\x1b8b", "a/..b @3,1");
        check("\x1b[2;3H\x1b[s\x1b[Ha\x1b[ub", "a/..b @3,1");
        check("\x1b[2;3H\x1b8b", "b @1,0");
        // The saved cursor moves with the lines that scroll away.
        check("\x1b[3;3H\x1b7\x1b[4H\n\x1b8b", "/..b @3,1");
        check("\x1b[1;3H\x1b7\x1b[4H\n\n\x1b8b", "..b @3,0");
        check("0123456789\x1b7\x1b[4H\x1b8b", "012345678b @10,0");
        // The character set is saved too, but not origin mode.
        check("\x1b(0\x1b7\x1b(B\x1b8q", "─ @1,0");
        check("\x1b[2;3r\x1b[?6h\x1b7\x1b[?6l\x1b8\x1b[1;1Ha", "a @1,0");
    }

    #[test]
    fn tab_stops_are_set_and_taken_away() {
        check("\x1b[3g\x1b[4G\x1bH\r\tx\ty", "...x.....y @10,0");
        check("\x1b[9G\x1b[g\r\tx", ".........x @10,0");
        check("\x1b[9Gx\x1b[2Zy", "y.......x @1,0");
    }

    #[test]
    fn resets() {
        check("ab\x1b[2;3r\x1b[4h\x1b(0\x1bcqa\x1b[1Gb", "ba @1,0");
        check("ab\x1b[2;3r\x1b[4h\x1b(0\x1b[!pqa\x1b[1Gb", "ba @1,0");
        check("\x1b[?1049hab\x1bcx", "x @1,0");
        check("\x1b#8", "EEEEEEEEEE/EEEEEEEEEE/EEEEEEEEEE/EEEEEEEEEE @0,0");
    }

    #[test]
    fn character_sets_have_four_places() {
        check("\x1b*0\x1bnq\x1b+A\x1bo#\x0fq#", "─£q# @4,0");
        check("\x1b)0\x1b~q\x1b%Gq", "─q @2,0");
        check("\x1b(0\x1b(<q", "─ @1,0");
    }
}
