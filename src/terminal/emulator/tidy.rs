//! Removes from the tables of looks, clusters and links what neither screen shows any more, so that output without end
//! takes no memory without end.

use super::line::Content;
use super::terminal::State;

/// If a search of the tables frees fewer entries than this, and less than a quarter, the next [`REFUSALS`] searches are
/// not made.
const LEAST_FREED: usize = 512;
/// The limit for links, in percent of the room for them.
const LEAST_FREED_LINKS: usize = 10;
const REFUSALS: u32 = 1024;

impl State {
    /// Removes from the tables what neither screen needs. Returns whether it has searched them: after a search that
    /// freed little, it does not do so for a while.
    pub(super) fn tidy(&mut self) -> bool {
        if self.refusals > 0 {
            self.refusals -= 1;
            return false;
        }
        let Self {
            normal,
            alternate,
            looks,
            clusters,
            ..
        } = self;
        let lines = || {
            let alternate = alternate.iter().flat_map(|screen| screen.all_lines());
            normal.all_lines().chain(alternate)
        };
        let cells = || lines().flat_map(|line| line.cells());
        let of_pen = self
            .looks_of_pen
            .iter()
            .flat_map(|(own, erased)| [*own, *erased]);
        let tails = lines().map(|line| line.tail());
        let before = looks.len() + clusters.len();
        let links_before = self.links.fill();
        looks.keep(cells().map(|cell| cell.look).chain(tails).chain(of_pen));
        clusters.keep(cells().filter_map(|cell| match cell.content() {
            Content::Cluster(number) => Some(number),
            _ => None,
        }));
        let freed = before - (looks.len() + clusters.len());
        self.tidy_links();
        let freed_links = links_before - self.links.fill();
        if freed < LEAST_FREED.min(before / 4) && freed_links < LEAST_FREED_LINKS {
            self.refusals = REFUSALS;
        }
        true
    }

    /// Forgets the links that no look and no pen has any more.
    pub(super) fn tidy_links(&mut self) {
        let saved = [Some(&self.normal), self.alternate.as_deref()];
        let saved = saved
            .into_iter()
            .flatten()
            .map(|screen| screen.saved.pen.link);
        let in_use = self.looks.pens().map(|pen| pen.link);
        self.links.keep(in_use.chain(saved).chain([self.pen.link]));
    }
}
