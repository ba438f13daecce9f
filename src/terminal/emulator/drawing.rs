//! Puts the text and the sequences together that draw a terminal on another one.

use super::attributes::{Look, Pen};
use super::line::{Cell, Content};
use super::terminal::State;

/// The text and the sequences so far, and the pen that the other terminal has after them.
pub(super) struct Drawing<'a> {
    pub out: String,
    pub state: &'a State,
    /// None when it is not known, and has to be set anew.
    pub pen: Option<Pen>,
    /// Whether the sequences so far have saved a cursor, in place of the one that the terminal has saved.
    pub has_saved: bool,
    /// How many bytes links may still take.
    pub link_bytes_left: usize,
    detail: Detail,
}

/// How much of the cells is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    All,
    /// Colours of the palette, and no links.
    Palette,
    /// Characters alone, without marks.
    Plain,
}

/// The most bytes that links take. A link's address is repeated wherever the link begins: one of 4 KB in every other
/// cell would make hundreds of megabytes. Beyond this the text is drawn without links.
const LINKS_MOST_BYTES: usize = 128 * 1024;
/// The most bytes that are drawn with details. A large screen in which every cell has another look would take tens of
/// megabytes, and several times as much in JSON.
pub(super) const MOST_BYTES: usize = 2 * 1024 * 1024;

impl<'a> Drawing<'a> {
    /// An empty drawing of this state.
    pub(super) fn new(state: &'a State, detail: Detail) -> Self {
        Drawing {
            out: String::new(),
            state,
            pen: Some(Pen::default()),
            has_saved: false,
            link_bytes_left: LINKS_MOST_BYTES,
            detail,
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Whether the drawing is too long. One of characters alone is never too long.
    pub(super) fn is_too_much(&self) -> bool {
        self.out.len() > MOST_BYTES && self.detail != Detail::Plain
    }

    /// The pen that draws cells of this look.
    pub(super) fn pen_for(&self, look: Look) -> Pen {
        let looks = &self.state.looks;
        match self.detail {
            Detail::All => looks.pen(look),
            Detail::Palette => looks.pen_of_palette(look),
            Detail::Plain => Pen::default(),
        }
    }

    /// CSI with one number, which is left out where it is 1.
    pub(super) fn csi(&mut self, number: usize, last: char) {
        match number {
            1 => self.push(&format!("\x1b[{last}")),
            _ => self.push(&format!("\x1b[{number}{last}")),
        }
    }

    pub(super) fn go_to(&mut self, x: usize, y: usize) {
        self.push(&format!("\x1b[{};{}H", y + 1, x + 1));
    }

    /// Prints what a cell has in it.
    pub(super) fn print(&mut self, cell: Cell) {
        match cell.content() {
            Content::Char(c) => self.out.push(c),
            Content::Cluster(number) => {
                let text = self.state.clusters.get(number);
                let chars = if self.detail == Detail::Plain {
                    1
                } else {
                    usize::MAX
                };
                self.out.extend(text.chars().take(chars));
            }
            Content::Nothing => {}
        }
    }
}
