//! A line of cells that ends where its text ends: the blank cells behind that cost nothing.

use super::attributes::Look;

/// One column of a line: a character or the rest of one that is two columns wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    /// A character's code, or the number of a cluster in [`super::clusters`]; in the bits above it the flag that tells
    /// which, and the width. Code 0 is no character.
    content: u32,
    pub look: Look,
}

const CODE_BITS: u32 = 21;
const CODE_MASK: u32 = (1 << CODE_BITS) - 1;
const CLUSTER: u32 = 1 << CODE_BITS;
const WIDTH_SHIFT: u32 = CODE_BITS + 1;

/// What a cell has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    Char(char),
    /// A character with marks, by its number.
    Cluster(usize),
}

impl Cell {
    /// A cell without a character, which is one column wide.
    pub(super) const fn blank(look: Look) -> Cell {
        Cell {
            content: 1 << WIDTH_SHIFT,
            look,
        }
    }

    /// The second column of a wide character.
    pub(super) const fn rest(look: Look) -> Cell {
        Cell { content: 0, look }
    }

    pub(super) fn char(c: char, width: u8, look: Look) -> Cell {
        Cell {
            content: u32::from(c) | u32::from(width) << WIDTH_SHIFT,
            look,
        }
    }

    pub(super) fn cluster(number: usize, width: u8, look: Look) -> Cell {
        let number = number as u32 & CODE_MASK;
        Cell {
            content: number | CLUSTER | u32::from(width) << WIDTH_SHIFT,
            look,
        }
    }

    pub(super) fn width(self) -> u8 {
        (self.content >> WIDTH_SHIFT) as u8
    }

    pub(super) fn has_content(self) -> bool {
        self.content & (CODE_MASK | CLUSTER) != 0
    }

    pub(super) fn content(self) -> Content {
        let code = self.content & CODE_MASK;
        if self.content & CLUSTER != 0 {
            return Content::Cluster(code as usize);
        }
        match char::from_u32(code) {
            Some('\0') | None => Content::Nothing,
            Some(c) => Content::Char(c),
        }
    }

    /// Whether the cell is as erasing leaves it, in any colour.
    pub(super) fn is_blank(self) -> bool {
        self.content == Cell::blank(0).content
    }

    /// Whether it is the second column of a wide character.
    pub(super) fn is_rest(self) -> bool {
        self.content == 0
    }
}

/// A line of a screen.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    cells: Vec<Cell>,
    /// How the blank cells look that are not in `cells`.
    tail: Look,
    /// How many columns the line has: more than the screen, if that is the alternate one and was narrowed, because its
    /// lines are not reflowed.
    cols: u16,
    /// Whether the line goes on with what did not fit into the line above.
    pub is_wrapped: bool,
}

/// An emptied line keeps the memory of at most this many cells.
const KEPT_CELLS: usize = 256;

impl Line {
    pub(super) fn new(cols: usize, tail: Look) -> Line {
        Line {
            cells: Vec::new(),
            tail,
            cols: cols as u16,
            is_wrapped: false,
        }
    }

    /// Empties the line. The same as [`Line::new`], but in this line's memory.
    pub(super) fn renew(&mut self, cols: usize, tail: Look) {
        self.cells.clear();
        self.cells.shrink_to(KEPT_CELLS);
        (self.tail, self.cols, self.is_wrapped) = (tail, cols as u16, false);
    }

    pub(super) fn cols(&self) -> usize {
        usize::from(self.cols)
    }

    /// The cells up to the last one that is not like the blank ones behind it.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    pub(super) fn tail(&self) -> Look {
        self.tail
    }

    pub(super) fn get(&self, at: usize) -> Cell {
        let cell = self.cells.get(at).copied();
        cell.unwrap_or(Cell::blank(self.tail))
    }

    pub(super) fn set(&mut self, at: usize, cell: Cell) {
        if let Some(place) = self.cells.get_mut(at) {
            *place = cell;
        } else if at < self.cols() && cell != Cell::blank(self.tail) {
            self.extend_to(at);
            self.reserve(1);
            self.cells.push(cell);
        }
    }

    /// Writes bytes of ASCII, which must end before the line does.
    pub(super) fn write_ascii(&mut self, at: usize, text: &[u8], look: Look) {
        self.extend_to(at);
        let cell = |byte: &u8| Cell::char(char::from(*byte), 1, look);
        let over = text.len().min(self.cells.len().saturating_sub(at));
        let (first, behind) = text.split_at(over);
        if let Some(places) = self.cells.get_mut(at..at + over) {
            for (place, byte) in places.iter_mut().zip(first) {
                *place = cell(byte);
            }
        }
        if !behind.is_empty() {
            self.reserve(behind.len());
            self.cells.extend(behind.iter().map(cell));
        }
    }

    /// Puts `fill` into the columns from `start` up to `end`, both within the line.
    pub(super) fn fill(&mut self, start: usize, end: usize, fill: Cell) {
        let (start, end) = (start.min(self.cols()), end.min(self.cols()));
        if start >= end {
            return;
        }
        if end == self.cols() && fill.is_blank() {
            if self.tail != fill.look {
                self.extend_to(start);
                self.tail = fill.look;
            }
            self.cells.truncate(start);
            self.trim();
            return;
        }
        if fill == Cell::blank(self.tail) && start >= self.cells.len() {
            return;
        }
        self.extend_to(end);
        if let Some(places) = self.cells.get_mut(start..end) {
            places.fill(fill);
        }
    }

    /// Moves what is at `at` and behind it `count` columns to the right; what goes beyond the end is lost.
    pub(super) fn insert(&mut self, at: usize, count: usize, fill: Cell) {
        let cols = self.cols();
        let count = count.min(cols.saturating_sub(at));
        if at > 0 && self.get(at - 1).width() == 2 {
            self.set(at - 1, fill);
        }
        if at < self.cells.len() || fill != Cell::blank(self.tail) {
            self.extend_to(at);
            let kept = self.cells.len().min(cols - count);
            self.cells.truncate(kept);
            self.reserve(count);
            let fills = std::iter::repeat_n(fill, count);
            self.cells.splice(at.min(kept)..at.min(kept), fills);
        }
        if cols > 0 && self.get(cols - 1).width() == 2 {
            self.set(cols - 1, fill);
        }
    }

    /// Moves what is `count` columns behind `at` to `at`; `fill`, a blank, comes in at the end.
    pub(super) fn delete(&mut self, at: usize, count: usize, fill: Cell) {
        let cols = self.cols();
        let count = count.min(cols.saturating_sub(at));
        let end = (at + count).min(self.cells.len());
        if at < end {
            self.cells.drain(at..end);
        }
        if fill.look != self.tail {
            self.extend_to(cols - count);
            self.tail = fill.look;
        }
        self.trim();
        if at > 0 && self.get(at - 1).width() == 2 {
            self.set(at - 1, fill);
        }
        if self.get(at).is_rest() {
            self.set(at, fill);
        }
    }

    /// Erases the columns from `start` up to `end`; with `is_protected`, cells stay whose look it says is protected.
    pub(super) fn erase(
        &mut self,
        start: usize,
        end: usize,
        fill: Cell,
        is_protected: Option<&dyn Fn(Look) -> bool>,
    ) {
        let end = end.min(self.cols());
        let is_free = |line: &Line, at: usize| {
            is_protected.is_none_or(|is_protected| !is_protected(line.get(at).look))
        };
        if start > 0 && self.get(start - 1).width() == 2 && is_free(self, start - 1) {
            self.set(start - 1, fill);
        }
        if end > 0 && end < self.cols() && self.get(end - 1).width() == 2 && is_free(self, end) {
            self.set(end, fill);
        }
        if is_protected.is_none() {
            self.fill(start, end, fill);
            return;
        }
        for at in start..end {
            if is_free(self, at) {
                self.set(at, fill);
            }
        }
    }

    /// Gives the line `cols` columns.
    pub(super) fn set_cols(&mut self, cols: usize, tail: Look) {
        if cols < self.cols() {
            self.cells.truncate(cols);
            self.cells.shrink_to(cols);
        } else if self.tail != tail {
            self.extend_to(self.cols());
            self.tail = tail;
        }
        self.cols = cols as u16;
        self.trim();
    }

    /// Columns up to the last character.
    pub(super) fn text_cols(&self) -> usize {
        let last = self.cells.iter().rposition(|cell| cell.has_content());
        last.map_or(0, |at| at + usize::from(self.get(at).width()))
    }

    /// Bytes of memory its cells take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }

    /// Makes `cells` at least `count` long, but not longer than the line.
    fn extend_to(&mut self, count: usize) {
        let count = count.min(self.cols());
        if let Some(more) = count.checked_sub(self.cells.len())
            && more > 0
        {
            self.reserve(more);
            self.cells.resize(count, Cell::blank(self.tail));
        }
    }

    /// Removes the last cells that are like the tail.
    fn trim(&mut self) {
        let blank = Cell::blank(self.tail);
        let last = self.cells.iter().rposition(|cell| *cell != blank);
        self.cells.truncate(last.map_or(0, |at| at + 1));
        if self.cells.is_empty() {
            self.cells.shrink_to(0);
        }
    }

    /// Makes room for more cells: for half as many again as are needed then, but not for more than the line has
    /// columns.
    fn reserve(&mut self, more: usize) {
        let needed = self.cells.len() + more;
        if needed > self.cells.capacity() {
            let wanted = (needed + needed / 2).max(16).min(self.cols().max(needed));
            self.cells.reserve_exact(wanted - self.cells.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line) -> String {
        let cells = (0..line.cols()).map(|at| match line.get(at).content() {
            Content::Char(c) => c,
            Content::Cluster(_) => '*',
            Content::Nothing => match line.get(at) {
                cell if cell.is_rest() => '<',
                cell if cell.look == 0 => '.',
                _ => '_',
            },
        });
        cells.collect()
    }

    fn line(written: &str) -> Line {
        let mut line = Line::new(10, 0);
        line.write_ascii(0, written.as_bytes(), 0);
        line
    }

    const RED: Cell = Cell::blank(1);

    #[test]
    fn erased_cells_take_no_memory() {
        let mut line = line("0123456789");
        line.fill(4, 10, RED);
        assert_eq!(text(&line), "0123______");
        assert_eq!(line.cells().len(), 4);
        line.fill(0, 10, RED);
        assert_eq!((line.cells().len(), line.memory_bytes()), (0, 0));
        line.fill(6, 10, Cell::blank(0));
        assert_eq!(text(&line), "______....");
        line.set(8, Cell::char('x', 1, 0));
        assert_eq!(text(&line), "______..x.");
    }

    #[test]
    fn cells_move_within_the_line() {
        let mut moved = line("0123456789");
        moved.insert(3, 2, RED);
        assert_eq!(text(&moved), "012__34567");
        moved.delete(0, 4, Cell::blank(0));
        assert_eq!(text(&moved), "_34567....");
        moved.delete(1, 2, RED);
        assert_eq!(text(&moved), "_567....__");
        moved.insert(9, 100, Cell::blank(0));
        assert_eq!(text(&moved), "_567...._.");
        moved.delete(20, 5, RED);
        let mut short = line("ab");
        short.insert(5, 2, Cell::blank(0));
        assert_eq!(short.cells().len(), 2);
        short.insert(1, 20, Cell::blank(0));
        assert_eq!(text(&short), "a.........");
    }

    #[test]
    fn half_a_wide_character_is_none() {
        let wide = |line: &mut Line, at: usize| {
            line.set(at, Cell::char('\u{4e16}', 2, 0));
            line.set(at + 1, Cell::rest(0));
        };
        let mut line = line("0123456789");
        wide(&mut line, 4);
        line.erase(5, 6, Cell::blank(0), None);
        assert_eq!(text(&line), "0123..6789");
        wide(&mut line, 4);
        line.erase(2, 5, Cell::blank(0), None);
        assert_eq!(text(&line), "01....6789");
        wide(&mut line, 8);
        line.insert(0, 1, Cell::blank(0));
        assert_eq!(text(&line), ".01....67.");
        wide(&mut line, 4);
        line.delete(5, 1, Cell::blank(0));
        assert_eq!(text(&line), ".01...67..");
    }
}
