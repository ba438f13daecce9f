//! One of the two screens: lines, cursor, scroll region, tab stops, and the lines that have left it at the top.
//!
//! ```text
//!  not kept   ▲
//!  kept       │ above     the page's scrollback
//!  ───────────┴───────
//!  lines of the screen    rows, some of them the scroll region
//! ```
//!
//! Lines that the page has above its screen come back when the screen grows, so some of them are kept here, and all of
//! them are counted.

use std::collections::VecDeque;

use super::attributes::{Look, Pen};
use super::charset::Charset;
use super::line::Line;

/// Lines that the page keeps above its screen: `SCROLLBACK_LINES` of `static/src/page/terminal.ts`.
pub(super) const PAGE_LINES: usize = 2_000;
/// Memory for the lines that are kept above the screen: a screenful of the usual size.
const ABOVE_BYTES: usize = 16 * 1024;
/// The most lines that are kept above the screen, however short they are.
pub(super) const MAX_ABOVE: usize = 200;
const TAB_COLS: usize = 8;

/// How many full lines of `cols` columns are kept above the screen at most.
pub(super) fn most_kept(cols: usize) -> usize {
    (ABOVE_BYTES / (cols.max(1) * size_of::<super::line::Cell>())).min(MAX_ABOVE) + 1
}

/// What DECSC saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Saved {
    pub x: usize,
    /// Counted from the first line of the page's scrollback.
    pub y: usize,
    pub pen: Pen,
    pub charset: Charset,
}

/// One screen.
pub(super) struct Screen {
    pub cols: usize,
    pub rows: usize,
    pub x: usize,
    pub y: usize,
    /// First and last row of the scroll region.
    pub top: usize,
    pub bottom: usize,
    pub saved: Saved,
    pub tabs: Tabs,
    /// Lines that are kept above the screen, then those of the screen.
    pub(super) lines: VecDeque<Line>,
    /// How many of the lines are above the screen.
    pub(super) kept: usize,
    /// How many bytes the cells of the lines above the screen take.
    pub(super) kept_bytes: usize,
    /// How many lines the page has above its screen.
    pub(super) above: usize,
    /// Whether lines that leave at the top are kept, as on the normal screen. If so, lines are reflowed when the width
    /// changes.
    pub(super) has_above: bool,
}

impl Screen {
    pub(super) fn new(cols: usize, rows: usize, has_above: bool) -> Screen {
        Screen {
            cols,
            rows,
            x: 0,
            y: 0,
            top: 0,
            bottom: rows.saturating_sub(1),
            saved: Saved::default(),
            tabs: Tabs::new(cols),
            lines: (0..rows).map(|_| Line::new(cols, 0)).collect(),
            kept: 0,
            kept_bytes: 0,
            above: 0,
            has_above,
        }
    }

    pub(super) fn line(&self, row: usize) -> Option<&Line> {
        self.lines.get(self.kept + row)
    }

    pub(super) fn line_mut(&mut self, row: usize) -> Option<&mut Line> {
        self.lines.get_mut(self.kept + row)
    }

    /// The line of the cursor.
    pub(super) fn here(&mut self) -> Option<&mut Line> {
        self.lines.get_mut(self.kept + self.y)
    }

    /// The lines that are kept above the screen and those of the screen.
    pub(super) fn all_lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// How many of [`Screen::all_lines`] are above the screen.
    pub(super) fn kept_above(&self) -> usize {
        self.kept
    }

    /// The row that the saved cursor is in.
    pub(super) fn saved_row(&self) -> usize {
        self.saved.y.saturating_sub(self.above)
    }

    pub(super) fn set_wrapped(&mut self, row: usize, is_wrapped: bool) {
        if let Some(line) = self.line_mut(row) {
            line.is_wrapped = is_wrapped;
        }
    }

    /// Keeps the cursor on the screen, or in the region.
    pub(super) fn restrict(&mut self, most_x: usize, is_origin: bool) {
        self.x = self.x.min(most_x);
        self.y = match is_origin {
            true => self.y.max(self.top).min(self.bottom),
            false => self.y.min(self.rows - 1),
        };
    }

    /// Moves the region up by a line; a blank line follows at its end. If the region begins at the top of the normal
    /// screen, its first line becomes one above the screen.
    pub(super) fn scroll(&mut self, look: Look, is_wrapped: bool) {
        if self.top > 0 || !self.has_above {
            self.move_up(self.top, self.bottom, 1, look);
        } else {
            self.let_go(look);
        }
        self.set_wrapped(self.bottom, is_wrapped);
    }

    /// Counts more lines that have left at the top.
    pub(super) fn count_above(&mut self, lines: usize) {
        if self.has_above {
            self.above = self.above.saturating_add(lines).min(PAGE_LINES);
        }
    }

    /// The screen's first line becomes the last one above it, and a blank one comes in below the region.
    fn let_go(&mut self, look: Look) {
        let mut line = Line::default();
        self.count_above(1);
        if let Some(first) = self.lines.get(self.kept) {
            self.kept_bytes += first.memory_bytes();
            self.kept += 1;
        }
        while self.is_over() {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.kept = self.kept.saturating_sub(1);
            self.kept_bytes = self.kept_bytes.saturating_sub(oldest.memory_bytes());
            line = oldest;
        }
        line.renew(self.cols, look);
        let place = (self.kept + self.bottom).min(self.lines.len());
        self.lines.insert(place, line);
    }

    /// Whether more is kept above the screen than may be.
    pub(super) fn is_over(&self) -> bool {
        self.kept > 0 && (self.kept_bytes > ABOVE_BYTES || self.kept > MAX_ABOVE)
    }

    /// Moves the lines from row `top` to row `bottom` up by `count`; blank ones follow.
    pub(super) fn move_up(&mut self, top: usize, bottom: usize, count: usize, look: Look) {
        let (first, end) = (self.kept + top, self.kept + bottom + 1);
        let count = count.min(end.saturating_sub(first));
        for at in first..end.saturating_sub(count) {
            self.lines.swap(at, at + count);
        }
        self.blank(end.saturating_sub(count), end, look);
    }

    /// Moves the lines from row `top` to row `bottom` down by `count`; blank ones come in at the top.
    pub(super) fn move_down(&mut self, top: usize, bottom: usize, count: usize, look: Look) {
        let (first, end) = (self.kept + top, self.kept + bottom + 1);
        let count = count.min(end.saturating_sub(first));
        for at in (first + count..end).rev() {
            self.lines.swap(at, at - count);
        }
        self.blank(first, first + count, look);
    }

    fn blank(&mut self, from: usize, to: usize, look: Look) {
        for line in self
            .lines
            .range_mut(from.min(self.lines.len())..to.min(self.lines.len()))
        {
            line.renew(self.cols, look);
        }
    }

    /// Forgets the lines above the screen.
    pub(super) fn clear_above(&mut self) {
        self.lines.drain(..self.kept);
        (self.kept, self.kept_bytes, self.above) = (0, 0, 0);
    }

    /// Bytes of memory this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let cells: usize = self.lines.iter().map(Line::memory_bytes).sum();
        cells + self.lines.capacity() * size_of::<Line>() + self.tabs.memory_bytes()
    }
}

/// Tab stops: a bit for each column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tabs {
    bits: Vec<u64>,
}

impl Tabs {
    pub(super) fn new(cols: usize) -> Tabs {
        let mut tabs = Tabs { bits: Vec::new() };
        tabs.every_eighth(0, cols);
        tabs
    }

    fn every_eighth(&mut self, from: usize, cols: usize) {
        for at in (from..cols).step_by(TAB_COLS) {
            self.set(at);
        }
    }

    /// Adds stops for a screen that has `cols` columns now: from its last stop on, every eighth column has one.
    pub(super) fn widen(&mut self, cols: usize) {
        self.every_eighth(self.before(cols, cols), cols);
    }

    pub(super) fn set(&mut self, at: usize) {
        let word = at / 64;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        if let Some(bits) = self.bits.get_mut(word) {
            *bits |= 1 << (at % 64);
        }
    }

    pub(super) fn unset(&mut self, at: usize) {
        if let Some(bits) = self.bits.get_mut(at / 64) {
            *bits &= !(1 << (at % 64));
        }
    }

    pub(super) fn clear(&mut self) {
        self.bits.clear();
    }

    pub(super) fn is_set(&self, at: usize) -> bool {
        self.bits
            .get(at / 64)
            .is_some_and(|bits| bits & 1 << (at % 64) != 0)
    }

    /// The stop behind this column, or the last column.
    pub(super) fn behind(&self, at: usize, cols: usize) -> usize {
        let next = (at + 1..cols).find(|at| self.is_set(*at));
        next.unwrap_or(cols - 1)
    }

    /// The stop before this column, or the first column.
    pub(super) fn before(&self, at: usize, cols: usize) -> usize {
        let stop = (1..at).rev().find(|at| self.is_set(*at));
        stop.unwrap_or(0).min(cols - 1)
    }

    fn memory_bytes(&self) -> usize {
        self.bits.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        let mut screen = Screen::new(10, 5, true);
        for row in 0..5 {
            if let Some(line) = screen.line_mut(row) {
                line.write_ascii(0, &[b'0' + row as u8], 0);
            }
        }
        screen
    }

    fn text(screen: &Screen) -> String {
        let first = |line: &Line| match line.get(0).content() {
            super::super::line::Content::Char(c) => c,
            _ => '.',
        };
        screen.all_lines().map(first).collect()
    }

    #[test]
    fn lines_move_within_a_region() {
        let mut screen = screen();
        screen.move_up(1, 3, 2, 0);
        assert_eq!(text(&screen), "03..4");
        screen.move_down(0, 4, 1, 0);
        assert_eq!(text(&screen), ".03..");
        screen.move_down(0, 4, 100, 0);
        assert_eq!(text(&screen), ".....");
    }

    #[test]
    fn what_leaves_at_the_top_is_kept_above() {
        let mut screen = screen();
        screen.scroll(0, false);
        assert_eq!((text(&screen).as_str(), screen.kept_above()), ("01234.", 1));
        screen.bottom = 2;
        screen.scroll(0, true);
        assert_eq!(
            (text(&screen).as_str(), screen.kept_above()),
            ("0123.4.", 2)
        );
        assert!(screen.line(2).is_some_and(|line| line.is_wrapped));
        for _ in 0..5000 {
            screen.scroll(0, false);
        }
        assert_eq!((screen.kept_above(), screen.above), (MAX_ABOVE, PAGE_LINES));
        screen.clear_above();
        assert_eq!(screen.all_lines().count(), 5);
    }

    #[test]
    fn tabs_go_both_ways() {
        let mut tabs = Tabs::new(20);
        assert_eq!((tabs.behind(0, 20), tabs.behind(16, 20)), (8, 19));
        assert_eq!((tabs.before(16, 20), tabs.before(3, 20)), (8, 0));
        tabs.clear();
        tabs.set(4);
        tabs.widen(40);
        assert_eq!((tabs.behind(4, 40), tabs.behind(12, 40)), (12, 20));
    }
}
