//! Characters with combining marks, kept once each under numbers that cells can hold.

use super::table::Table;

/// The most bytes of one character with its marks. Further marks are left out.
pub(super) const MAX_CLUSTER_BYTES: usize = 48;
/// The most different clusters in one terminal: more than texts in any script have.
const MAX_CLUSTERS: usize = 4096;
/// Up to this many clusters, the table is not searched for clusters that are no longer needed.
const FEW_CLUSTERS: usize = 512;

/// All clusters of one terminal.
pub(super) struct Clusters {
    table: Table<Box<str>>,
    /// Once the table has this many clusters, it is time for [`Clusters::keep`].
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
    /// The number of the cluster of `base` and one more mark. None when it is time for [`Clusters::keep`].
    pub(super) fn joined(&mut self, base: &str, mark: char) -> Option<usize> {
        self.joined_below(base, mark, self.due)
    }

    /// Like [`Clusters::joined`], even when it is time for [`Clusters::keep`]. None when nothing can be added.
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

    /// Forgets all clusters but these.
    pub(super) fn keep(&mut self, numbers: impl Iterator<Item = usize>) {
        self.table.keep(numbers);
        self.due = (2 * self.table.len()).clamp(FEW_CLUSTERS, MAX_CLUSTERS);
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of memory this takes, with 16 that the allocator adds to each text.
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
