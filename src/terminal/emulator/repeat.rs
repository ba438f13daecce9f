//! REP: what was printed last is printed again, without printing it each time.

use super::line::{Cell, Content};
use super::parser::Act;
use super::terminal::State;

impl State {
    /// REP: prints again what was printed last, `count` times.
    pub(super) fn repeat(&mut self, count: usize) {
        let width = usize::from(self.joinable);
        let screen = self.screen();
        let (x, y) = (screen.x, screen.y);
        let Some(at) = x.checked_sub(width).filter(|_| width > 0) else {
            return;
        };
        let Some(line) = screen.line(y) else { return };
        let mut text = String::new();
        match line.get(at).content() {
            Content::Nothing => return,
            Content::Char(c) => text.push(c),
            Content::Cluster(number) => text.push_str(self.clusters.get(number)),
        }
        let mut left = self.enough(count, width);
        let is_insert = self.modes.insert;
        while left > 0 {
            let screen = self.screen();
            let (at, cols) = (screen.x, screen.cols);
            let fit = cols.saturating_sub(at) / width;
            // Where none fits, one is printed all the same, and goes to the next line.
            let now = fit.clamp(1, left);
            if is_insert && fit > 0 {
                // Room is made for all of them in one go: making it for one after the other would move the line's cells
                // each time.
                let blank = Cell::blank(self.look());
                if let Some(line) = self.screen().here() {
                    line.insert(at, now * width, blank);
                }
                self.modes.insert = false;
            }
            self.repeat_in_line(&text, now, width);
            self.modes.insert = is_insert;
            left -= now;
        }
    }

    /// Prints `text`, a character with its marks, `count` times, which fit into the line. The first two are printed;
    /// the second one's cell is copied for all others.
    fn repeat_in_line(&mut self, text: &str, count: usize, width: usize) {
        if let (Ok(byte), 1) = (u8::try_from(text.chars().next().unwrap_or(' ')), text.len()) {
            self.print_ascii(&vec![byte; count]);
            return;
        }
        for _ in 0..count.min(2) {
            text.chars().for_each(|c| self.print(c));
        }
        if count <= 2 {
            return;
        }
        let blank = Cell::blank(self.look());
        let screen = self.screen();
        let mut at = screen.x;
        let Some(line) = screen.here() else { return };
        let Some(cell) = at.checked_sub(width).map(|before| line.get(before)) else {
            return;
        };
        for _ in 2..count {
            line.set(at, cell);
            (at + 1..at + width).for_each(|rest| line.set(rest, Cell::rest(cell.look)));
            at += width;
        }
        if line.get(at).is_rest() {
            line.set(at, blank);
        }
        screen.x = at;
    }

    /// How many repetitions show the same as `count` do: when all lines that are kept are full of them, a further line
    /// only adds to the number of lines above the screen.
    fn enough(&mut self, count: usize, width: usize) -> usize {
        let in_line = (self.cols / width).max(1);
        if !self.modes.wraps {
            // The marks gather on the last character, until that is full.
            return count.min(2 * in_line + super::clusters::MAX_CLUSTER_BYTES);
        }
        let most = in_line * (self.rows + super::screen::most_kept(self.cols) + 2);
        let Some(over) = count.checked_sub(most) else {
            return count;
        };
        let screen = self.screen();
        if screen.top == 0 && screen.y <= screen.bottom {
            screen.count_above(over / in_line);
        }
        most + over % in_line
    }
}
