//! What becomes of the lines when the terminal gets another size. As in xterm.js, the lines of the normal screen are
//! reflowed, except those that the cursor is in.

use super::line::{Cell, Line};
use super::screen::{MAX_ABOVE, PAGE_LINES, Screen};
use super::terminal::State;

impl State {
    pub(super) fn resize(&mut self, cols: usize, rows: usize) {
        if (cols, rows) == (self.cols, self.rows) {
            return;
        }
        self.normal.resize(cols, rows);
        if let Some(screen) = &mut self.alternate {
            screen.resize(cols, rows);
        }
        (self.cols, self.rows) = (cols, rows);
    }
}

impl Screen {
    pub(super) fn resize(&mut self, cols: usize, rows: usize) {
        let old_cols = self.cols;
        if cols > old_cols {
            for line in self.lines.iter_mut().filter(|line| line.cols() < cols) {
                line.set_cols(cols, 0);
            }
        }
        self.cols = cols;
        let pulled = match rows > self.rows {
            true => self.add_rows(rows),
            false => {
                self.remove_rows(rows);
                0
            }
        };
        self.rows = rows;
        self.x = self.x.min(cols - 1);
        self.y = self.y.min(rows - 1) + pulled;
        self.saved.x = self.saved.x.min(cols - 1);
        (self.top, self.bottom) = (0, rows - 1);
        self.tabs.widen(cols);
        if self.has_above {
            if cols != old_cols {
                self.reflow(old_cols);
            }
            if cols < old_cols {
                for line in &mut self.lines {
                    line.set_cols(cols, 0);
                }
            }
        }
        self.settle();
    }

    /// Lines of the screen, which may be more or less than its rows for a moment.
    fn count(&self) -> usize {
        self.lines.len() - self.kept
    }

    /// Lines come back from above while there is nothing below the cursor, otherwise blank ones are added. Returns how
    /// many came back.
    fn add_rows(&mut self, rows: usize) -> usize {
        let mut pulled = 0;
        for _ in self.rows..rows {
            if self.above > 0 && self.count() <= self.y + pulled + 1 {
                self.above -= 1;
                pulled += 1;
                if self.kept > 0 {
                    self.kept -= 1;
                } else {
                    // The page has a line there that is not kept here any more.
                    self.lines.push_front(Line::new(self.cols, 0));
                }
            } else {
                self.lines.push_back(Line::new(self.cols, 0));
            }
        }
        pulled
    }

    /// Removes the lines below the cursor, then those at the top.
    fn remove_rows(&mut self, rows: usize) {
        for _ in rows..self.rows {
            if self.count() > self.y + 1 {
                self.lines.pop_back();
            } else if self.has_above {
                self.above += 1;
                self.kept += 1;
            } else {
                self.lines.pop_front();
                self.saved.y = self.saved.y.saturating_sub(1);
            }
        }
        if let Some(over) = self.above.checked_sub(PAGE_LINES) {
            self.above = PAGE_LINES;
            self.saved.y = self.saved.y.saturating_sub(over);
        }
    }

    fn reflow(&mut self, old_cols: usize) {
        let lines: Vec<Line> = self.lines.drain(..).collect();
        let cursor = self.kept + self.y;
        let lines = match self.cols > old_cols {
            true => self.join_lines(lines, old_cols, cursor),
            false => self.split_lines(lines, old_cols),
        };
        self.lines = lines.into();
        self.kept = self.lines.len().saturating_sub(self.rows);
    }

    /// For more columns: lines that were wrapped take up what follows them.
    fn join_lines(&mut self, mut lines: Vec<Line>, old_cols: usize, cursor: usize) -> Vec<Line> {
        let mut joined = Vec::with_capacity(lines.len());
        let mut removed = 0;
        let mut start = 0;
        while start < lines.len() {
            let end = group_end(&lines, start);
            let group = lines.get_mut(start..end).unwrap_or_default();
            if group.len() == 1 || (start..end).contains(&cursor) {
                joined.extend(group.iter_mut().map(std::mem::take));
            } else {
                let before = group.len();
                let wider = join_group(group, old_cols, self.cols);
                removed += before - wider.len();
                joined.extend(wider);
            }
            start = end;
        }
        for _ in 0..removed {
            if self.above > 0 {
                self.above -= 1;
            } else {
                self.y = self.y.saturating_sub(1);
                joined.push(Line::new(self.cols, 0));
            }
        }
        self.saved.y = self.saved.y.saturating_sub(removed);
        while joined.len() < self.rows {
            joined.insert(0, Line::new(self.cols, 0));
        }
        joined
    }

    /// For fewer columns: what does not fit goes into lines of its own.
    fn split_lines(&mut self, mut lines: Vec<Line>, old_cols: usize) -> Vec<Line> {
        // xterm.js looks for the cursor's line at a place that moves while lines are split, and so does this.
        let (kept, above) = (self.kept, self.above);
        // Lines to insert, each with the place to insert it at; the last ones first.
        let mut inserts: Vec<(usize, Vec<Line>)> = Vec::new();
        let mut inserted = 0;
        let most = self.rows + PAGE_LINES;
        let mut end = lines.len();
        while end > 0 {
            let last = end - 1;
            let start = group_start(&lines, last);
            end = start;
            // These lines were removed meanwhile.
            let Some(group) = lines.get_mut(start..last + 1) else {
                continue;
            };
            let text_cols = group.last().map_or(0, Line::text_cols);
            let cursor = kept + self.above + self.y - above;
            if (group.len() == 1 && text_cols <= self.cols) || (start..=last).contains(&cursor) {
                continue;
            }
            let place = start + group.len();
            let is_last = place == lines.len();
            let Some(group) = lines.get_mut(start..last + 1) else {
                continue;
            };
            let more = split_group(group, old_cols, self.cols);
            let added = more.len();
            if added > 0 {
                inserts.push((place, more));
                inserted += added;
            }
            let whole = self.above + (lines.len() - self.kept.min(lines.len()));
            let trimmed = match self.above == 0 && !is_last {
                true => (self.y + added).saturating_sub(most),
                false => (whole + added).saturating_sub(most),
            };
            for _ in trimmed..added {
                if self.above == 0 && self.y + 1 < self.rows {
                    self.y += 1;
                    lines.pop();
                } else if self.above == 0
                    || self.above < most.min(whole + inserted).saturating_sub(self.rows)
                {
                    self.above += 1;
                }
            }
            self.saved.y = (self.saved.y + added).min(self.above + self.rows - 1);
        }
        let mut split = Vec::with_capacity(lines.len() + inserted);
        let mut inserts = inserts.into_iter().rev().peekable();
        for (at, line) in lines.into_iter().enumerate() {
            while let Some((_, more)) = inserts.next_if(|(place, _)| *place <= at) {
                split.extend(more);
            }
            split.push(line);
        }
        split.extend(inserts.flat_map(|(_, more)| more));
        split
    }

    /// Brings what is kept above the screen within its bounds again.
    fn settle(&mut self) {
        while self.lines.len() < self.rows {
            self.lines.push_back(Line::new(self.cols, 0));
        }
        self.kept = self.lines.len() - self.rows;
        let bytes = self.lines.iter().take(self.kept).map(Line::memory_bytes);
        self.kept_bytes = bytes.sum();
        let most = self.above.min(MAX_ABOVE);
        while self.kept > most || self.is_over() {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.kept -= 1;
            self.kept_bytes = self.kept_bytes.saturating_sub(oldest.memory_bytes());
        }
        self.y = self.y.min(self.rows - 1);
        self.lines.shrink_to(self.lines.len() * 2);
    }
}

/// Where the lines end that continue the one at `start`.
fn group_end(lines: &[Line], start: usize) -> usize {
    let behind = lines.iter().skip(start + 1);
    start + 1 + behind.take_while(|line| line.is_wrapped).count()
}

/// Where the lines begin that the one at `last` continues.
fn group_start(lines: &[Line], last: usize) -> usize {
    let upwards = lines.iter().take(last + 1).rev();
    last - upwards.take_while(|line| line.is_wrapped).count().min(last)
}

/// How many cells of a line in a group belong to the text: all except a gap before a wide character that did not fit,
/// and in the last line all up to its last character.
fn text_cols(group: &[Line], at: usize, cols: usize) -> usize {
    let (Some(line), next) = (group.get(at), group.get(at + 1)) else {
        return 0;
    };
    let Some(next) = next else {
        return line.text_cols();
    };
    let last = line.get(cols - 1);
    match last.is_blank() && next.get(0).width() == 2 {
        true => cols - 1,
        false => cols,
    }
}

/// All cells of the text in these lines.
fn text_of(group: &[Line], cols: usize) -> Vec<Cell> {
    let lines = (0..group.len()).zip(group);
    let cells = lines.flat_map(|(at, line)| (0..text_cols(group, at, cols)).map(|x| line.get(x)));
    cells.collect()
}

/// Splits the text into parts of at most `cols` columns, and no wide character in two.
fn parts(text: &[Cell], cols: usize) -> Vec<&[Cell]> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > cols {
        let is_wide = rest.get(cols - 1).is_some_and(|cell| cell.width() == 2);
        let (part, behind) = rest.split_at(if is_wide { cols - 1 } else { cols });
        parts.push(part);
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

fn join_group(group: &mut [Line], old_cols: usize, cols: usize) -> Vec<Line> {
    let text = text_of(group, old_cols);
    let lines = parts(&text, cols)
        .into_iter()
        .enumerate()
        .map(|(at, part)| {
            let mut line = Line::new(cols, 0);
            part.iter()
                .enumerate()
                .for_each(|(x, cell)| line.set(x, *cell));
            line.is_wrapped = at > 0 || group.first().is_some_and(|line| line.is_wrapped);
            line
        });
    let mut lines: Vec<Line> = lines.collect();
    while lines.len() > 1 && lines.last().is_some_and(|line| line.text_cols() == 0) {
        lines.pop();
    }
    if lines.is_empty() {
        lines.push(Line::new(cols, 0));
    }
    lines
}

/// Puts the text into the lines of the group; returns the further lines that it needs.
fn split_group(group: &mut [Line], old_cols: usize, cols: usize) -> Vec<Line> {
    let text = text_of(group, old_cols);
    let mut more = Vec::new();
    for (at, part) in parts(&text, cols).into_iter().enumerate() {
        let line = match group.get_mut(at) {
            Some(line) => line,
            None => {
                let mut line = Line::new(cols, 0);
                line.is_wrapped = true;
                more.push(line);
                match more.last_mut() {
                    Some(line) => line,
                    None => break,
                }
            }
        };
        part.iter()
            .enumerate()
            .for_each(|(x, cell)| line.set(x, *cell));
        if part.len() < cols {
            line.set(part.len(), Cell::blank(0));
        }
    }
    more
}

#[cfg(test)]
mod tests {
    use super::super::picture;
    use super::super::terminal::Terminal;

    /// Checks what a terminal of 10 by 4 shows after this output and these changes of its size.
    #[track_caller]
    fn check(output: &str, sizes: &[(usize, usize)], expected: &str) {
        let mut terminal = Terminal::new(10, 4);
        terminal.process(output.as_bytes());
        sizes
            .iter()
            .for_each(|(cols, rows)| terminal.resize(*cols, *rows));
        assert_eq!(
            picture::of(&mut terminal.state),
            expected,
            "{output:?} {sizes:?}"
        );
    }

    const SIX: &str = "1\r\n2\r\n3\r\n4\r\n5\r\n6";

    #[test]
    fn rows_go_at_the_top_and_come_back() {
        check(SIX, &[(10, 2)], "5/6 @1,1");
        check(SIX, &[(10, 2), (10, 5)], "2/3/4/5/6 @1,4");
        check(SIX, &[(10, 9)], "1/2/3/4/5/6 @1,5");
        check("a\r\nb", &[(10, 2)], "a/b @1,1");
        check("a\r\nb", &[(10, 9)], "a/b @1,1");
        check("a\r\nb\r\nc\r\nd\x1b[2H", &[(10, 2)], "a/b @0,1");
        check(
            &format!("\x1b[?1049h\x1b[H{SIX}"),
            &[(10, 2), (10, 5)],
            "5/6 @1,1",
        );
    }

    #[test]
    fn lines_flow() {
        let line = "0123456789abc\r\n$ ";
        check(line, &[(20, 4)], "0123456789abc/$  @2,1");
        check(line, &[(5, 4)], "01234/~56789/~abc/$  @2,3");
        check(line, &[(5, 4), (10, 4)], "0123456789/~abc/$  @2,2");
        // The line that the cursor is in is not reflowed.
        check("0123456789abc", &[(20, 4)], "0123456789/~abc @3,1");
        check("0123456", &[(5, 4)], "01234 @4,0");
        // Lines of the alternate screen are not reflowed: what does not fit is kept.
        check("\x1b[?1049h0123456\r\n", &[(5, 4)], "01234 @0,1");
        check("\x1b[?1049h0123456\r\n", &[(5, 4), (10, 4)], "0123456 @0,1");
    }

    #[test]
    fn wide_characters_stay_whole() {
        check("012世界\r\n$ ", &[(4, 4)], "012/~世<界</$  @2,2");
        check("012世界\r\n$ ", &[(4, 4), (10, 4)], "012世<界</$  @2,1");
    }

    #[test]
    fn a_terminal_has_two_columns_at_least() {
        check("ab", &[(1, 1)], "ab @1,0");
        check("ab", &[(0, 0)], "ab @1,0");
    }
}
