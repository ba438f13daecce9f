//! Characters with marks joined to them, once each, for cells that hold their numbers.

use super::table::Table;

/// Bytes of one character with its marks: more marks than that are left out.
pub(super) const MAX_CLUSTER_BYTES: usize = 48;
/// Different ones at the same time in one terminal: more than texts in any script have.
const MAX_CLUSTERS: usize = 4096;
/// Up to so many are not looked through for what is no longer needed.
const FEW_CLUSTERS: usize = 512;

/// All clusters of one terminal.
pub(super) struct Clusters {
    table: Table<Box<str>>,
    /// With so many it is time to forget those that no cell has any more.
    due: usize,
}

impl Default for Clusters {
    fn default() -> Self {
        Self {
            table: Table::default(),
            due: FEW_CLUSTERS,
        }
    }
}

impl Clusters {
    /// The number of what comes of `base` with one mark more. None when it is time for [`Clusters::keep`].
    pub(super) fn joined(&mut self, base: &str, mark: char) -> Option<usize> {
        self.joined_below(base, mark, self.due)
    }

    /// The same, whatever the time. None when nothing can be added.
    pub(super) fn joined_at_last(&mut self, base: &str, mark: char) -> Option<usize> {
        self.joined_below(base, mark, MAX_CLUSTERS)
    }

    fn joined_below(&mut self, base: &str, mark: char, limit: usize) -> Option<usize> {
        let mut text = String::with_capacity(base.len() + mark.len_utf8());
        text.push_str(base);
        if base.len() + mark.len_utf8() <= MAX_CLUSTER_BYTES {
            text.push(mark);
        }
        self.table.find_or_add(&text.into_boxed_str(), limit)
    }

    pub(super) fn get(&self, number: usize) -> &str {
        self.table.get(number).map_or("", |text| text)
    }

    /// Forgets those that no cell has any more.
    pub(super) fn keep(&mut self, numbers: impl Iterator<Item = usize>) {
        self.table.keep(numbers);
        self.due = (2 * self.table.len()).clamp(FEW_CLUSTERS, MAX_CLUSTERS);
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Most of it is what the allocator adds to each.
    pub(super) fn memory_bytes(&self) -> usize {
        let texts: usize = self.table.values().map(|text| text.len() + 16).sum();
        self.table.memory_bytes() + texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_bounded() {
        let mut clusters = Clusters::default();
        let mut text = "e".to_owned();
        for _ in 0..1000 {
            let number = clusters.joined(&text, '\u{301}').expect("room");
            text = clusters.get(number).to_owned();
        }
        assert!(text.len() <= MAX_CLUSTER_BYTES && text.starts_with("e\u{301}\u{301}"));
        for c in '\u{4e00}'..'\u{9000}' {
            let _ = clusters.joined_at_last(&c.to_string(), '\u{301}');
        }
        assert!(clusters.joined_at_last("new", '\u{301}').is_none());
        assert!(clusters.memory_bytes() < 400 << 10);
        clusters.keep([0].into_iter());
        assert!(clusters.joined("new", '\u{301}').is_some());
    }
}
