//! Draws the lines of a screen.
//!
//! The lines are drawn from the first one kept above the screen down to the last, so that on the other terminal, too,
//! the lines above leave the screen at the top. Where a line goes on in the next one, something is printed beyond its
//! end: that is how the other terminal learns that the next line belongs to it.

use super::attributes::{Look, Pen};
use super::drawing::Drawing;
use super::line::{Cell, Line};
use super::screen::Screen;

/// A blank that is two columns wide, to be cut in two.
const WIDE: &str = "\u{3000}";

pub(super) fn draw_lines(drawing: &mut Drawing<'_>, screen: &Screen) {
    let lines: Vec<&Line> = screen.all_lines().collect();
    let is_drawn = |line: &&Line| !line.cells().is_empty() || line.tail() != 0 || line.is_wrapped;
    let last = match screen.kept_above() {
        0 => lines.iter().rposition(is_drawn),
        _ => lines.len().checked_sub(1),
    };
    let Some(last) = last else { return };
    let mut is_dirty = false;
    if screen.rows > 1 && lines.first().is_some_and(|line| line.is_wrapped) {
        // The line that it continues is gone.
        drawing.csi(screen.cols, 'G');
        drawing.push("  \x1b[A\x1b[M");
        is_dirty = true;
    }
    for (at, line) in lines.iter().take(last + 1).enumerate() {
        if drawing.is_too_much() {
            return;
        }
        let next = lines.get(at + 1).filter(|_| at < last);
        let is_pending = draw_line(drawing, line, screen.cols, is_dirty);
        is_dirty = false;
        match next {
            None => {}
            Some(next) if next.is_wrapped => {
                go_on(drawing, line, next, screen, is_pending);
                is_dirty = true;
            }
            Some(_) => {
                drawing.pen(&Pen::default());
                drawing.push("\r\n");
            }
        }
    }
}

/// Goes on to the next line by printing beyond the end of this one. Something is in the next line's first column then.
fn go_on(drawing: &mut Drawing<'_>, line: &Line, next: &Line, screen: &Screen, is_pending: bool) {
    let cols = screen.cols;
    let first = next.get(0);
    if !is_pending {
        drawing.pen(&Pen::default());
        drawing.csi(cols, 'G');
        drawing.push(" ");
    } else if first.has_content() && first.width() == 1 && is_natural(drawing, first) {
        // This character comes next anyway. It is then printed a second time, with its line.
        let pen = drawing.pen_for(first.look);
        drawing.pen(&pen);
        drawing.print(first);
        drawing.push("\r");
        return;
    } else {
        drawing.pen(&Pen::default());
    }
    drawing.push(" ");
    if !is_pending && screen.rows > 1 {
        drawing.push("\x1b[A");
        draw_end(drawing, line, cols);
        drawing.push("\x1b[B");
    }
    drawing.push("\r");
}

fn is_natural(drawing: &Drawing<'_>, cell: Cell) -> bool {
    drawing.pen_for(cell.look).is_natural()
}

/// Draws the last column again, where a blank was printed to get beyond it.
fn draw_end(drawing: &mut Drawing<'_>, line: &Line, cols: usize) {
    let cell = line.get(cols - 1);
    drawing.csi(cols, 'G');
    match is_erasable(drawing, cell) {
        true => erase(drawing, cell.look, 1),
        false => {
            cut_in_two(drawing, cols - 1, cols, cell.look);
            draw_before_end(drawing, line, cols);
        }
    }
}

/// Draws the character before the last column again, which was overwritten by cutting a wide blank in two.
fn draw_before_end(drawing: &mut Drawing<'_>, line: &Line, cols: usize) {
    let at = match line.get(cols - 2).is_rest() {
        true => cols.saturating_sub(3),
        false => cols - 2,
    };
    let cell = line.get(at);
    drawing.csi(at + 1, 'G');
    if cell.has_content() {
        print_cell(drawing, cell);
    } else if is_erasable(drawing, cell) {
        erase(drawing, cell.look, 1);
    }
}

/// Draws the line at whose beginning the cursor is. Returns whether the cursor is behind the last column then.
fn draw_line(drawing: &mut Drawing<'_>, line: &Line, cols: usize, is_dirty: bool) -> bool {
    let cells = line.cells();
    let cells = cells.get(..cols.min(cells.len())).unwrap_or_default();
    // The blanks that are made by cutting a wide one in two come first, because that overwrites their neighbours.
    for (x, cell) in cells.iter().enumerate() {
        if cell.is_blank() && !is_erasable(drawing, *cell) {
            cut_in_two(drawing, x, cols, cell.look);
            drawing.push("\r");
        }
    }
    let mut x = 0;
    // Columns that the cursor still has to pass, in which nothing is drawn.
    let mut skipped = 0;
    while let Some(cell) = cells.get(x) {
        if cell.is_blank() || (cell.is_rest() && !follows_wide(cells, x)) {
            let alike = |other: &&Cell| *other == cell;
            let count = cells
                .get(x..)
                .unwrap_or_default()
                .iter()
                .take_while(alike)
                .count();
            if is_erasable(drawing, *cell) && (cell.look != 0 || (is_dirty && x == 0)) {
                skip(drawing, &mut skipped);
                erase(drawing, cell.look, count);
            }
            skipped += count;
            x += count;
            continue;
        }
        if cell.has_content() {
            skip(drawing, &mut skipped);
            print_cell(drawing, *cell);
        }
        x += 1;
        // The first half of a wide character stays if the second half is overwritten in the last column, while wrapping
        // is off.
        if cell.width() == 2
            && x + 1 == cols
            && let Some(last) = cells.get(x).filter(|last| last.has_content())
        {
            drawing.push("\x1b[?7l");
            print_cell(drawing, *last);
            drawing.push("\x1b[?7h");
            x += 1;
        }
    }
    if cells.len() < cols && (line.tail() != 0 || (is_dirty && cells.is_empty())) {
        skip(drawing, &mut skipped);
        erase(drawing, line.tail(), cols - cells.len());
        return false;
    }
    skipped == 0 && cells.len() == cols && cells.last().is_some_and(|cell| !cell.is_blank())
}

fn follows_wide(cells: &[Cell], x: usize) -> bool {
    let before = x.checked_sub(1).and_then(|at| cells.get(at));
    before.is_some_and(|cell| cell.width() == 2)
}

fn print_cell(drawing: &mut Drawing<'_>, cell: Cell) {
    let pen = drawing.pen_for(cell.look);
    drawing.pen(&pen);
    if cell.width() == 0 {
        // A mark that stands alone. After a control character it does not join what was just printed.
        drawing.push("\0");
    }
    drawing.print(cell);
}

fn skip(drawing: &mut Drawing<'_>, skipped: &mut usize) {
    if *skipped > 0 {
        drawing.csi(*skipped, 'C');
        *skipped = 0;
    }
}

/// Whether erasing leaves such a cell.
fn is_erasable(drawing: &Drawing<'_>, cell: Cell) -> bool {
    let pen = drawing.pen_for(cell.look);
    cell.is_blank() && pen == pen.eraser()
}

/// Erases `count` columns; the cursor stays.
fn erase(drawing: &mut Drawing<'_>, look: Look, count: usize) {
    let pen = drawing.pen_for(look);
    drawing.pen(&pen);
    drawing.csi(count, 'X');
}

/// Draws a blank whose look erasing can't make. Such a blank is left of a wide character when its other half is
/// overwritten. Afterwards the cursor may be anywhere in the line.
fn cut_in_two(drawing: &mut Drawing<'_>, x: usize, cols: usize, look: Look) {
    let pen = drawing.pen_for(look);
    drawing.pen(&pen);
    let is_last = x + 1 == cols;
    let (wide, over) = if is_last { (x - 1, x - 1) } else { (x, x + 1) };
    drawing.csi(wide + 1, 'G');
    drawing.push(WIDE);
    drawing.csi(over + 1, 'G');
    drawing.push(" ");
    // The other half is erased: its column is drawn later, or is blank.
    drawing.csi(over + 1, 'G');
    drawing.pen(&Pen::default());
    drawing.csi(1, 'X');
}
