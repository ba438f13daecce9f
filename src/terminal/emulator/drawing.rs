//! Text and sequences in the making, which draw a terminal on another one.

use super::attributes::{Look, Pen};
use super::line::{Cell, Content};
use super::terminal::State;

/// Text and sequences to come, and the pen that they leave.
pub(super) struct Drawing<'a> {
    pub out: String,
    pub state: &'a State,
    /// None when it has to be made anew.
    pub pen: Option<Pen>,
    /// Whether a cursor was saved on the way.
    pub has_saved: bool,
    /// How much links may still take of it.
    pub link_bytes_left: usize,
    detail: Detail,
}

/// How much of the cells is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    All,
    /// Colours of the palette, and no links.
    Palette,
    /// Characters alone.
    Plain,
}

/// A link's address is drawn wherever it begins: one of 4 KB in every other cell would make hundreds of megabytes. Beyond
/// this the text is drawn without.
const LINKS_MOST_BYTES: usize = 128 * 1024;
/// The most that is drawn with all details. A large screen of which every cell looks otherwise would take tens of megabytes,
/// several times so in JSON.
pub(super) const MOST_BYTES: usize = 2 * 1024 * 1024;

impl<'a> Drawing<'a> {
    /// Nothing yet, of this state.
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

    /// Whether there is more of it than there should be; of characters alone there never is.
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
