//! Control sequences, except SGR.

use super::attributes::PROTECTED;
use super::line::Cell;
use super::params::Params;
use super::parser::Name;
use super::screen::Screen;
use super::terminal::State;

impl State {
    pub(super) fn do_sequence(&mut self, name: Name, params: &Params) {
        match (name.prefix, name.between) {
            (0, 0) => self.do_plain(name.last, params),
            (b'?', 0) => self.do_private(name.last, params),
            (0, b' ') => {
                match name.last {
                    b'@' => self
                        .shift_columns(|line, _, count, fill| line.delete(0, count, fill), params),
                    b'A' => self
                        .shift_columns(|line, _, count, fill| line.insert(0, count, fill), params),
                    b'q' => self.set_cursor_style(params),
                    _ => {}
                }
            }
            (0, b'\'') => match name.last {
                b'}' => {
                    self.shift_columns(|line, at, count, fill| line.insert(at, count, fill), params)
                }
                b'~' => {
                    self.shift_columns(|line, at, count, fill| line.delete(at, count, fill), params)
                }
                _ => {}
            },
            (0, b'!') if name.last == b'p' => self.soft_reset(),
            (0, b'"') if name.last == b'q' => match params.get(0) {
                1 => self.protect(true),
                0 | 2 => self.protect(false),
                _ => {}
            },
            _ => {}
        }
    }

    fn do_plain(&mut self, last: u8, params: &Params) {
        let count = params.count(0);
        match last {
            b'@' => self.change_line(|line, at, fill| line.insert(at, count, fill)),
            b'A' => self.up(count),
            b'B' => self.down(count),
            b'C' | b'a' => self.move_cursor(count as isize, 0),
            b'D' => self.move_cursor(-(count as isize), 0),
            b'E' => {
                self.down(count);
                self.screen().x = 0;
            }
            b'F' => {
                self.up(count);
                self.screen().x = 0;
            }
            b'G' | b'`' => {
                let y = self.screen().y;
                self.set_cursor(count - 1, y);
            }
            b'H' | b'f' => self.set_cursor(params.count(1) - 1, count - 1),
            b'I' => self.tab(count, |screen, cols| screen.tabs.behind(screen.x, cols)),
            b'J' => self.erase_in_display(params.get(0), false),
            b'K' => self.erase_in_line(params.get(0), false),
            b'L' => self.insert_lines(count),
            b'M' => self.delete_lines(count),
            b'P' => self.change_line(|line, at, fill| line.delete(at, count, fill)),
            b'S' => {
                let look = self.erased().look;
                let screen = self.screen();
                screen.move_up(screen.top, screen.bottom, count, look);
            }
            b'T' => {
                let screen = self.screen();
                screen.move_down(screen.top, screen.bottom, count, 0);
            }
            b'X' => self.change_line(|line, at, fill| {
                line.erase(at, at.saturating_add(count), fill, None);
            }),
            b'Z' => self.tab(count, |screen, cols| screen.tabs.before(screen.x, cols)),
            b'b' => self.repeat(count),
            b'd' => {
                let x = self.screen().x;
                self.set_cursor(x, count - 1);
            }
            b'e' => self.move_cursor(0, count as isize),
            b'g' => {
                let screen = self.screen();
                match params.get(0) {
                    0 => screen.tabs.unset(screen.x),
                    3 => screen.tabs.clear(),
                    _ => {}
                }
            }
            b'h' | b'l' => {
                for at in 0..params.len() {
                    match params.get(at) {
                        4 => self.modes.insert = last == b'h',
                        20 => self.modes.newline = last == b'h',
                        _ => {}
                    }
                }
            }
            b'm' => self.set_attributes(params),
            b'r' => self.set_region(params),
            b's' => self.save_cursor(),
            b'u' => self.restore_cursor(),
            _ => {}
        }
    }

    fn do_private(&mut self, last: u8, params: &Params) {
        match last {
            b'J' => self.erase_in_display(params.get(0), true),
            b'K' => self.erase_in_line(params.get(0), true),
            b'h' | b'l' => {
                for at in 0..params.len() {
                    self.set_private_mode(params.get(at), last == b'h');
                }
            }
            _ => {}
        }
    }

    fn set_private_mode(&mut self, mode: i32, is_on: bool) {
        let modes = &mut self.modes;
        match mode {
            1 => modes.application_cursor = is_on,
            2 if is_on => self.designate_ascii(),
            6 => {
                modes.origin = is_on;
                self.set_cursor(0, 0);
            }
            7 => modes.wraps = is_on,
            9 | 1000 | 1002 | 1003 => modes.mouse = if is_on { mode as u16 } else { 0 },
            12 => modes.cursor_blinks = Some(is_on),
            25 => modes.is_cursor_hidden = !is_on,
            45 => modes.reverse_wraps = is_on,
            66 => modes.application_keypad = is_on,
            1004 => modes.focus = is_on,
            1006 | 1016 => modes.mouse_encoding = if is_on { mode as u16 } else { 0 },
            1048 if is_on => self.save_cursor(),
            1048 => self.restore_cursor(),
            47 | 1047 | 1049 if is_on => {
                if mode == 1049 {
                    self.save_cursor();
                }
                self.show_alternate();
            }
            47 | 1047 | 1049 => {
                self.show_normal();
                if mode == 1049 {
                    self.restore_cursor();
                }
            }
            2004 => modes.bracketed_paste = is_on,
            2026 => modes.synchronized = is_on,
            _ => {}
        }
    }

    fn designate_ascii(&mut self) {
        let level = self.charset_level;
        self.reset_charsets();
        self.charset_level = level;
    }

    fn show_alternate(&mut self) {
        if self.alternate.is_some() {
            return;
        }
        let look = self.erased().look;
        let mut screen = Screen::new(self.cols, self.rows, false);
        for row in 0..self.rows {
            if let Some(line) = screen.line_mut(row) {
                line.renew(self.cols, look);
            }
        }
        (screen.x, screen.y) = (self.normal.x, self.normal.y);
        // The cursor that the alternate screen has saved is kept while that screen is not shown.
        screen.saved = self.saved_alternate;
        self.alternate = Some(Box::new(screen));
    }

    fn show_normal(&mut self) {
        let Some(screen) = self.alternate.take() else {
            return;
        };
        self.saved_alternate = screen.saved;
        (self.normal.x, self.normal.y) = (screen.x, screen.y);
    }

    pub(super) fn set_cursor(&mut self, x: usize, y: usize) {
        let is_origin = self.modes.origin;
        let screen = self.screen();
        screen.x = x;
        screen.y = if is_origin {
            y.saturating_add(screen.top)
        } else {
            y
        };
        self.restrict();
    }

    /// In origin mode xterm.js adds the region's first row to relative movements, too.
    fn move_cursor(&mut self, x: isize, y: isize) {
        self.restrict();
        let screen = self.screen();
        let (x, y) = (
            screen.x.saturating_add_signed(x),
            screen.y as isize + y.min(1 << 20),
        );
        match usize::try_from(y) {
            Ok(y) => self.set_cursor(x, y),
            Err(_) => {
                let is_origin = self.modes.origin;
                let screen = self.screen();
                screen.x = x;
                let y = if is_origin {
                    y + screen.top as isize
                } else {
                    y
                };
                screen.y = usize::try_from(y).unwrap_or(0);
                self.restrict();
            }
        }
    }

    fn up(&mut self, count: usize) {
        let screen = self.screen();
        let most = screen.y.checked_sub(screen.top);
        self.move_cursor(0, -(most.map_or(count, |most| most.min(count)) as isize));
    }

    fn down(&mut self, count: usize) {
        let screen = self.screen();
        let most = screen.bottom.checked_sub(screen.y);
        self.move_cursor(0, most.map_or(count, |most| most.min(count)) as isize);
    }

    fn tab(&mut self, count: usize, stop: impl Fn(&Screen, usize) -> usize) {
        let cols = self.cols;
        let screen = self.screen();
        if screen.x >= cols {
            return;
        }
        for _ in 0..count.min(cols) {
            screen.x = stop(screen, cols);
        }
    }

    /// Changes the cursor's line from the cursor's column on.
    fn change_line(&mut self, change: impl FnOnce(&mut super::line::Line, usize, Cell)) {
        self.restrict();
        let erased = self.erased();
        let screen = self.screen();
        let at = screen.x;
        if let Some(line) = screen.here() {
            change(line, at, erased);
        }
    }

    /// Changes all lines of the region, if the cursor is in it.
    fn shift_columns(
        &mut self,
        change: impl Fn(&mut super::line::Line, usize, usize, Cell),
        params: &Params,
    ) {
        let erased = self.erased();
        let count = params.count(0);
        let screen = self.screen();
        if screen.y > screen.bottom || screen.y < screen.top {
            return;
        }
        let at = screen.x;
        for row in screen.top..=screen.bottom {
            if let Some(line) = screen.line_mut(row) {
                change(line, at, count, erased);
                line.is_wrapped = false;
            }
        }
    }

    fn insert_lines(&mut self, count: usize) {
        self.restrict();
        let look = self.erased().look;
        let screen = self.screen();
        if (screen.top..=screen.bottom).contains(&screen.y) {
            screen.move_down(screen.y, screen.bottom, count, look);
            screen.x = 0;
        }
    }

    fn delete_lines(&mut self, count: usize) {
        self.restrict();
        let look = self.erased().look;
        let screen = self.screen();
        if (screen.top..=screen.bottom).contains(&screen.y) {
            screen.move_up(screen.y, screen.bottom, count, look);
            screen.x = 0;
        }
    }

    fn erase_in_line(&mut self, what: i32, is_selective: bool) {
        let (cols, is_origin) = (self.cols, self.modes.origin);
        self.screen().restrict(cols, is_origin);
        let (x, y) = (self.screen().x, self.screen().y);
        match what {
            0 => self.erase_cells(y, x, cols, x == 0, is_selective),
            1 => self.erase_cells(y, 0, x + 1, false, is_selective),
            2 => self.erase_cells(y, 0, cols, true, is_selective),
            _ => {}
        }
    }

    fn erase_in_display(&mut self, what: i32, is_selective: bool) {
        let (cols, rows, is_origin) = (self.cols, self.rows, self.modes.origin);
        self.screen().restrict(cols, is_origin);
        let (x, y) = (self.screen().x, self.screen().y);
        match what {
            0 => {
                self.erase_cells(y, x, cols, x == 0, is_selective);
                self.erase_rows(y + 1, rows, is_selective);
            }
            1 => {
                self.erase_cells(y, 0, x + 1, true, is_selective);
                if x + 1 >= cols {
                    // The next line does not continue this one any more.
                    self.screen().set_wrapped(y + 1, false);
                }
                self.erase_rows(0, y, is_selective);
            }
            2 => self.erase_rows(0, rows, is_selective),
            3 => self.screen().clear_above(),
            _ => {}
        }
    }

    fn erase_rows(&mut self, from: usize, to: usize, is_selective: bool) {
        for row in from..to {
            let screen = self.screen();
            let whole = screen.line(row).map_or(0, |line| line.cols());
            self.erase_cells(row, 0, whole, true, is_selective);
        }
    }

    fn erase_cells(
        &mut self,
        row: usize,
        from: usize,
        to: usize,
        unwraps: bool,
        is_selective: bool,
    ) {
        let erased = self.erased();
        let Self {
            normal,
            alternate,
            looks,
            ..
        } = self;
        let screen = alternate.as_deref_mut().unwrap_or(normal);
        let is_protected = |look| looks.pen(look).has(PROTECTED);
        if let Some(line) = screen.line_mut(row) {
            line.erase(from, to, erased, is_selective.then_some(&is_protected));
            if unwraps {
                line.is_wrapped = false;
            }
        }
    }

    fn set_region(&mut self, params: &Params) {
        let rows = self.rows;
        let top = params.count(0);
        let bottom = match usize::try_from(params.get(1)) {
            Ok(bottom) if params.len() > 1 && bottom > 0 && bottom <= rows => bottom,
            _ => rows,
        };
        if bottom > top {
            let screen = self.screen();
            (screen.top, screen.bottom) = (top - 1, bottom - 1);
            self.set_cursor(0, 0);
        }
    }

    fn set_cursor_style(&mut self, params: &Params) {
        let style = params.get(0);
        if style == 0 {
            self.modes.cursor_style = 0;
        } else if let Ok(style @ 1..=6) = u8::try_from(style) {
            self.modes.cursor_style = style;
        }
    }

    fn protect(&mut self, is_on: bool) {
        self.pen.set(PROTECTED, is_on);
        self.pen_changed();
    }
}

#[cfg(test)]
mod tests {
    use super::super::picture::check;

    const FOUR: &str = "1\r\n2\r\n3\r\n4";

    #[test]
    fn the_cursor_moves() {
        check("\x1b[2;3Hx", "/..x @3,1");
        check("\x1b[99;99Hx", "///.........x @10,3");
        check("\x1b[2;3fx\x1b[Ay\x1b[2Bz", "...y/..x/....z @5,2");
        check("\x1b[5Cx\x1b[3Dy", "...y.x @4,0");
        check("\x1b[3Ex\x1b[2Fy", "/y//x @1,1");
        check(
            "\x1b[3Gx\x1b[5`y\x1b[2dz\x1b[2aq\x1b[er",
            "..x.y/.....z..q/.........r @10,2",
        );
        check("\x1b[99Ax\x1b[99Dy", "y @1,0");
    }

    #[test]
    fn rows_count_from_the_region_in_origin_mode() {
        check("\x1b[2;3r\x1b[?6hx\x1b[9;9Hy", "/x/........y @9,2");
        check("\x1b[2;3r\x1b[?6h\x1b[?6lx", "x @1,0");
        // In xterm.js this holds for relative movements, too.
        check("\x1b[2;4r\x1b[?6h\x1b[Cx", "//.x @2,2");
    }

    #[test]
    fn cells_are_erased() {
        check("abcdef\x1b[3G\x1b[K", "ab @2,0");
        check("abcdef\x1b[3G\x1b[1K", "...def @2,0");
        check("abcdef\x1b[3G\x1b[2K", " @2,0");
        check("abcdef\x1b[3G\x1b[2X", "ab..ef @2,0");
        check(&format!("{FOUR}\x1b[2H\x1b[J"), "1 @0,1");
        check(&format!("{FOUR}\x1b[3Hx\x1b[1J"), "///4 @1,2");
        check(&format!("{FOUR}\x1b[2J"), " @1,3");
        check("ab\x1b[1\"qcd\x1b[0\"qef\x1b[?2J", "..cd @6,0");
        check("ab\x1b[1\"qcd\x1b[0\"qef\x1b[3G\x1b[?K\x1b[K", "ab @2,0");
        // The place behind the last column is not part of the line.
        check("0123456789\x1b[Kx", "0123456789/~x @1,1");
        check("0123456789\x1b[1Kx", "/~x @1,1");
    }

    #[test]
    fn cells_come_and_go() {
        check("abcdef\x1b[3G\x1b[2@x", "abx.cdef @3,0");
        check("abcdef\x1b[3G\x1b[2Px", "abxf @3,0");
        check("abc\r\ndef\x1b[1;2H\x1b[2'}", "a..bc/d..ef @1,0");
        check("abc\r\ndef\x1b[1;2H\x1b['~", "ac/df @1,0");
        check("abc\r\ndef\x1b[ @", "bc/ef @3,1");
        check("abc\r\ndef\x1b[2 A", "..abc/..def @3,1");
    }

    #[test]
    fn lines_come_and_go() {
        check(&format!("{FOUR}\x1b[2H\x1b[Lx"), "1/x/2/3 @1,1");
        check(&format!("{FOUR}\x1b[2H\x1b[2Mx"), "1/x @1,1");
        check(&format!("{FOUR}\x1b[Sx"), "2/3/4/.x @2,3");
        check(&format!("{FOUR}\x1b[2Tx"), "//1/2x @2,3");
        check(&format!("{FOUR}\x1b[99Sx"), "///.x @2,3");
        check(&format!("{FOUR}\x1b[2;3r\x1b[S"), "1/3//4 @0,0");
        check(&format!("{FOUR}\x1b[2;3r\x1b[Lx"), "x/2/3/4 @1,0");
    }

    #[test]
    fn a_region_has_two_lines_at_least() {
        check("\x1b[3;3r\x1b[4Hx\ny", "//x/.y @2,3");
        check("\x1b[2;99rx", "x @1,0");
        check("\x1b[3Hx\x1b[ry", "y//x @1,0");
    }

    #[test]
    fn there_are_two_screens() {
        check("ab\x1b[?1049hcd", "..cd @4,0");
        check("ab\x1b[?1049hcd\x1b[?1049lx", "abx @3,0");
        check("ab\x1b[?47hcd\x1b[?47lx", "ab..x @5,0");
        check("ab\x1b[?47hcd\x1b[?47l\x1b[?47hx", "....x @5,0");
        check("\x1b[?1048h\x1b[3;3H\x1b[?1048lx", "x @1,0");
        // Each screen has a region of its own.
        check(
            &format!("\x1b[2;3r\x1b[?47h\x1b[H{FOUR}\r\n5"),
            "2/3/4/5 @1,3",
        );
        check(
            &format!("\x1b[H{FOUR}\x1b[2;3r\x1b[?47h\x1b[?47l\x1b[3H\nx"),
            "1/3/x/4 @1,2",
        );
    }

    #[test]
    fn what_is_unknown_does_nothing() {
        check("a\x1b[>4;1mb\x1b[?9999hc\x1b[1;2yd\x1b[3^e", "abcde @5,0");
        check("a\x1b[8;20;20tb\x1b[?3hc\x1b[=5ud", "abcd @4,0");
    }
}
