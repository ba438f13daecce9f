//! What a terminal shows, as a line of text: for the tests of the other files.

use super::line::Content;
use super::terminal::{State, Terminal};

/// Rows of a terminal of 10 by 4 that has drawn `output`, with the cursor's column and row behind them. Blank cells are
/// dots, the second halves of wide characters `<`; blank cells at the end of a row, and blank rows at the end, are left
/// out. `~` begins a row that goes on with the one above.
pub(super) fn picture(output: &str) -> String {
    let mut terminal = Terminal::new(10, 4);
    terminal.process(output.as_bytes());
    of(&mut terminal.state)
}

pub(super) fn of(state: &mut State) -> String {
    let rows: Vec<String> = (0..state.rows).map(|row| row_of(state, row)).collect();
    let screen = state.screen();
    let cursor = format!(" @{},{}", screen.x, screen.y);
    rows.join("/").trim_end_matches('/').to_owned() + &cursor
}

fn row_of(state: &mut State, row: usize) -> String {
    let cols = state.cols;
    let Some(line) = state.screen().line(row).cloned() else {
        return "none".to_owned();
    };
    let mut text = String::new();
    for at in 0..cols {
        match line.get(at).content() {
            Content::Char(c) => text.push(c),
            Content::Cluster(number) => text.push_str(state.clusters.get(number)),
            Content::Nothing if line.get(at).is_rest() => text.push('<'),
            Content::Nothing => text.push('.'),
        }
    }
    let text = text.trim_end_matches('.');
    match line.is_wrapped {
        true => format!("~{text}"),
        false => text.to_owned(),
    }
}

#[track_caller]
pub(super) fn check(output: &str, expected: &str) {
    assert_eq!(picture(output), expected, "{output:?}");
}
