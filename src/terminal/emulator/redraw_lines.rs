//! What draws the lines of a screen.
//!
//! They are drawn from the first one kept above the screen down to the last, so that what is above comes to be above. A line
//! that goes on in the next one is left by printing over its end, which is how the other terminal knows that it does.

use super::attributes::{Look, Pen};
use super::drawing::Drawing;
use super::line::{Cell, Line};
use super::screen::Screen;

/// A wide blank, to be cut in two.
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
        // What it goes on with is gone.
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

/// On to the next line by printing over the end of this one. There is something in the next line's first column then.
fn go_on(drawing: &mut Drawing<'_>, line: &Line, next: &Line, screen: &Screen, is_pending: bool) {
    let cols = screen.cols;
    let first = next.get(0);
    if !is_pending {
        drawing.pen(&Pen::default());
        drawing.csi(cols, 'G');
        drawing.push(" ");
    } else if first.has_content() && first.width() == 1 && is_natural(drawing, first) {
        // What comes next anyway. That it is printed twice takes fewer bytes than to tell both cases apart.
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

/// The last column again, where something else was printed.
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

/// What was drawn over to get there.
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

/// Draws a line that the cursor stands at the beginning of. Returns whether the cursor is behind the last column then.
fn draw_line(drawing: &mut Drawing<'_>, line: &Line, cols: usize, is_dirty: bool) -> bool {
    let cells = line.cells();
    let cells = cells.get(..cols.min(cells.len())).unwrap_or_default();
    // First what destroys its neighbours.
    for (x, cell) in cells.iter().enumerate() {
        if cell.is_blank() && !is_erasable(drawing, *cell) {
            cut_in_two(drawing, x, cols, cell.look);
            drawing.push("\r");
        }
    }
    let mut x = 0;
    // Columns that are passed over without anything drawn.
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
        // Half a wide character stays when the other half is written over in the last column, where lines don't wrap.
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
        // A mark that joins nothing, not even what was just printed.
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

/// Erases so many columns; the cursor stays.
fn erase(drawing: &mut Drawing<'_>, look: Look, count: usize) {
    let pen = drawing.pen_for(look);
    drawing.pen(&pen);
    drawing.csi(count, 'X');
}

/// A blank as only half of a wide character leaves it when something is printed over the other half. The cursor is anywhere
/// in the line then.
fn cut_in_two(drawing: &mut Drawing<'_>, x: usize, cols: usize, look: Look) {
    let pen = drawing.pen_for(look);
    drawing.pen(&pen);
    let is_last = x + 1 == cols;
    let (wide, over) = if is_last { (x - 1, x - 1) } else { (x, x + 1) };
    drawing.csi(wide + 1, 'G');
    drawing.push(WIDE);
    drawing.csi(over + 1, 'G');
    drawing.push(" ");
    // What stands there now is drawn over, or was blank.
    drawing.csi(over + 1, 'G');
    drawing.pen(&Pen::default());
    drawing.csi(1, 'X');
}
