//! What links lead to (OSC 8), kept once each under numbers that pens hold.

use super::table::Table;

/// The most different links in one terminal, and the most bytes of theirs. The text of further links is plain text.
const MAX_LINKS: usize = 1024;
const MAX_BYTES: usize = 32 * 1024;

/// A link as a program gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// Tells that separate pieces of text belong to one link; may be empty.
    pub id: String,
    pub uri: String,
}

impl Link {
    fn bytes(&self) -> usize {
        self.id.len() + self.uri.len()
    }
}

/// All links of one terminal.
#[derive(Default)]
pub(super) struct Links {
    table: Table<Link>,
    bytes: usize,
}

impl Links {
    /// The number of a link, from 1. None when there is no room for it.
    pub(super) fn find_or_add(&mut self, link: &Link) -> Option<u16> {
        let number = match self.table.find(link) {
            Some(number) => number,
            None if self.bytes + link.bytes() > MAX_BYTES => return None,
            None => {
                let number = self.table.find_or_add(link, MAX_LINKS)?;
                self.bytes += link.bytes();
                number
            }
        };
        Some(number as u16 + 1)
    }

    pub(super) fn get(&self, number: u16) -> Option<&Link> {
        self.table.get(usize::from(number.checked_sub(1)?))
    }

    /// Forgets all links but those under these numbers.
    pub(super) fn keep(&mut self, numbers: impl Iterator<Item = u16>) {
        let places = numbers.filter_map(|number| number.checked_sub(1));
        self.table.keep(places.map(usize::from));
        self.bytes = self.table.values().map(Link::bytes).sum();
    }

    /// How full this is, in percent.
    pub(super) fn fill(&self) -> usize {
        (self.bytes * 100 / MAX_BYTES).max(self.table.len() * 100 / MAX_LINKS)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_bounded_in_number_and_in_bytes() {
        let link = |number: usize, len: usize| Link {
            id: number.to_string(),
            uri: "x".repeat(len),
        };
        let mut links = Links::default();
        let first = links.find_or_add(&link(1, 10)).expect("room");
        assert_eq!(links.find_or_add(&link(1, 10)), Some(first));
        let added = (2..10_000).filter_map(|number| links.find_or_add(&link(number, 0)));
        assert_eq!(added.count(), MAX_LINKS - 1);
        links.keep([first].into_iter());
        assert_eq!(links.get(first), Some(&link(1, 10)));
        let added = (2..10_000).filter_map(|number| links.find_or_add(&link(number, 1000)));
        assert_eq!(added.count(), 32);
        assert_eq!((links.get(0), links.get(999)), (None, None));
        // A link that is there already needs no room.
        assert_eq!(links.find_or_add(&link(33, 1000)), Some(33));
        assert_eq!(links.find_or_add(&link(34, 1000)), None);
    }
}
