//! Characters with marks joined to them, once each, for cells that hold their numbers.

use super::table::Table;

/// Bytes of one character with its marks: more marks than that are left out.
const MAX_CLUSTER_BYTES: usize = 48;
/// Different ones at once in one terminal: more than texts in any script have.
const MAX_CLUSTERS: usize = 4096;

/// All clusters of one terminal.
#[derive(Default)]
pub struct Clusters {
    table: Table<Box<str>>,
}

impl Clusters {
    /// The number of what comes of `base` with one mark more. None when nothing can be added.
    pub fn joined(&mut self, base: &str, mark: char) -> Option<usize> {
        let mut text = String::with_capacity(base.len() + mark.len_utf8());
        text.push_str(base);
        if base.len() + mark.len_utf8() <= MAX_CLUSTER_BYTES {
            text.push(mark);
        }
        self.table.find_or_add(&text.into_boxed_str(), MAX_CLUSTERS)
    }

    pub fn get(&self, number: usize) -> &str {
        self.table.get(number).map_or("", |text| text)
    }

    /// Forgets those that no cell has any more.
    pub fn keep(&mut self, numbers: impl Iterator<Item = usize>) {
        self.table.keep(numbers);
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Most of it is what the allocator adds to each.
    pub fn memory_bytes(&self) -> usize {
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
            let _ = clusters.joined(&c.to_string(), '\u{301}');
        }
        assert!(clusters.joined("new", '\u{301}').is_none());
        assert!(clusters.memory_bytes() < 400 << 10);
        clusters.keep([0].into_iter());
        assert!(clusters.joined("new", '\u{301}').is_some());
    }
}
