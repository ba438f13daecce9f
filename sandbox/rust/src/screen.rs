//! Draws the edited line: what is to be written so that the terminal shows the new one where it showed the old one.
//!
//! Only what changed is written, so a line costs what it is long, however it is typed. No I/O.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

const TAB_COLUMNS: usize = 8;
const STAR: &str = "✦";
const COLOURED_STAR: &str = "\x1b[35m✦\x1b[0m";

/// A row and a column, from where the prompt begins.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Place {
    row: usize,
    column: usize,
}

/// What is shown.
#[derive(Debug, Default)]
pub struct Screen {
    columns: usize,
    /// Characters as they are drawn: tabs are spaces, control characters `^X`.
    shown: String,
    cursor: Place,
}

impl Screen {
    /// An empty screen of so many columns: the prompt begins where the cursor is.
    pub fn new(columns: usize) -> Screen {
        Screen {
            columns: columns.max(2),
            ..Screen::default()
        }
    }

    /// Shows `text` with the cursor `at` that byte.
    pub fn show(&mut self, text: &str, at: usize) -> String {
        let (shown, cursor) = self.drawn(text, at);
        let mut out = String::new();
        let kept = common(&self.shown, &shown);
        if self.shown.len() > kept || shown.len() > kept {
            let start = self.place(&shown[..kept]);
            go(&mut out, self.cursor, start);
            if self.shown.len() > kept {
                out.push_str("\x1b[J");
            }
            match shown[kept..].strip_prefix(STAR) {
                Some(rest) if kept == 0 => {
                    out.push_str(COLOURED_STAR);
                    out.push_str(rest);
                }
                _ => out.push_str(&shown[kept..]),
            }
            // A terminal that is full to its right edge goes to the next row only for the next character.
            let end = self.walk(&shown);
            if end.column == self.columns && shown.len() > kept {
                out.push_str(" \r");
            }
            self.cursor = self.wrapped(end);
            self.shown = shown;
        }
        let there = self.place(&self.shown[..cursor]);
        go(&mut out, self.cursor, there);
        self.cursor = there;
        out
    }

    /// Shows all of it anew on a terminal of this many columns, which has not moved what stood there.
    pub fn redraw(&mut self, columns: usize, text: &str, at: usize) -> String {
        let mut out = String::new();
        go(&mut out, self.cursor, Place::default());
        // The cursor may have been in a column that is gone.
        out.push_str("\r\x1b[J");
        *self = Screen::new(columns);
        out + &self.show(text, at)
    }

    /// How text is drawn, and which byte of that the byte `at` has become.
    fn drawn(&self, text: &str, at: usize) -> (String, usize) {
        let (mut shown, mut place, mut cursor) = (String::new(), Place::default(), None);
        for (index, c) in text.char_indices() {
            if index >= at {
                cursor.get_or_insert(shown.len());
            }
            let from = shown.len();
            match c {
                '\n' => shown.push(c),
                '\t' => {
                    let column = self.wrapped(place).column;
                    shown.extend(std::iter::repeat_n(' ', TAB_COLUMNS - column % TAB_COLUMNS));
                }
                '\0'..' ' | '\x7f' => shown.extend(['^', char::from(c as u8 ^ 0x40)]),
                c if c.is_control() => shown.push('\u{fffd}'),
                c => shown.push(c),
            }
            for c in shown[from..].chars() {
                place = self.step(place, c);
            }
        }
        let cursor = cursor.unwrap_or(shown.len());
        (shown, cursor)
    }

    fn step(&self, Place { row, column }: Place, c: char) -> Place {
        let width = columns(c);
        if c == '\n' {
            Place {
                row: row + 1,
                column: 0,
            }
        } else if column + width > self.columns {
            Place {
                row: row + 1,
                column: width,
            }
        } else {
            Place {
                row,
                column: column + width,
            }
        }
    }

    /// Where a text ends; the column may be just beyond the last.
    fn walk(&self, shown: &str) -> Place {
        shown
            .chars()
            .fold(Place::default(), |place, c| self.step(place, c))
    }

    fn wrapped(&self, place: Place) -> Place {
        if place.column == self.columns {
            Place {
                row: place.row + 1,
                column: 0,
            }
        } else {
            place
        }
    }

    fn place(&self, shown: &str) -> Place {
        self.wrapped(self.walk(shown))
    }
}

/// The columns that a character takes in the page's terminal: a control none, and a soft hyphen one, as everything below
/// the first marks.
pub fn columns(c: char) -> usize {
    match c.width() {
        Some(_) if ('\u{a0}'..'\u{300}').contains(&c) => 1,
        width => width.map_or(0, |width| width.min(2)),
    }
}

/// How many bytes at the start of both are the same, up to a character that stands by itself.
fn common(old: &str, new: &str) -> usize {
    let same = old
        .chars()
        .zip(new.chars())
        .take_while(|(old, new)| old == new);
    let mut kept: usize = same.map(|(c, _)| c.len_utf8()).sum();
    let is_drawn_over = |text: &str| text.chars().next().is_some_and(|c| columns(c) == 0);
    while kept > 0 && (is_drawn_over(&old[kept..]) || is_drawn_over(&new[kept..])) {
        kept = new[..kept]
            .char_indices()
            .next_back()
            .map_or(0, |(at, _)| at);
    }
    kept
}

fn go(out: &mut String, from: Place, to: Place) {
    let up = from.row.saturating_sub(to.row);
    let down = to.row.saturating_sub(from.row);
    steps(out, up, 'A');
    steps(out, down, 'B');
    if to.column == 0 && from != to {
        out.push('\r');
    } else {
        steps(out, from.column.saturating_sub(to.column), 'D');
        steps(out, to.column.saturating_sub(from.column), 'C');
    }
}

fn steps(out: &mut String, count: usize, direction: char) {
    // Writing to a String cannot fail.
    let _ = match count {
        0 => Ok(()),
        1 => write!(out, "\x1b[{direction}"),
        count => write!(out, "\x1b[{count}{direction}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(columns: usize, steps: &[(&str, usize, &str)]) {
        let mut screen = Screen::new(columns);
        for (text, at, expected) in steps {
            assert_eq!(screen.show(text, *at), *expected, "{text:?} at {at}");
        }
    }

    #[test]
    fn only_what_changed_is_written() {
        check(
            20,
            &[
                ("✦ $ ", 6, "\x1b[35m✦\x1b[0m $ "),
                ("✦ $ ab", 8, "ab"),
                ("✦ $ ab", 6, "\x1b[2D"),
                ("✦ $ xab", 7, "\x1b[Jxab\x1b[2D"),
                ("✦ $ xa", 8, "\x1b[C\x1b[J"),
            ],
        );
    }

    #[test]
    fn rows_end_at_the_right_edge() {
        check(
            4,
            &[
                ("abcd", 4, "abcd \r"),
                ("abcde", 5, "e"),
                ("abcde", 0, "\x1b[A\r"),
                ("abc", 3, "\x1b[3C\x1b[J"),
                ("abc日", 6, "日"),
                ("abc日", 3, "\x1b[A\x1b[C"),
            ],
        );
    }

    #[test]
    fn newlines_tabs_and_control_characters() {
        check(
            20,
            &[
                ("a\tb\n\x01c", 6, "a       b\n^Ac"),
                ("a\tb\n\x01c", 1, "\x1b[A\x1b[2D"),
            ],
        );
    }

    #[test]
    fn a_new_size_draws_all_of_it_anew() {
        let mut screen = Screen::new(4);
        screen.show("abcdef", 6);
        assert_eq!(screen.redraw(10, "abcdef", 6), "\x1b[A\r\r\x1b[Jabcdef");
    }

    /// 16 KiB typed at the end, character by character.
    #[test]
    fn a_long_line_costs_what_it_is_long() {
        let (mut screen, text) = (Screen::new(80), "x".repeat(16 * 1024));
        let mut written = 0;
        for end in (0..=text.len()).step_by(16) {
            written += screen.show(&text[..end], end).len();
        }
        assert!(written < 2 * text.len(), "{written}");
    }
}
