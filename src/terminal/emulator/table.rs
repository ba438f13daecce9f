//! Values that are kept once each, under small numbers that cells can hold.

use std::hash::{BuildHasher, Hash, RandomState};

/// Numbered values. No value is there twice.
pub(super) struct Table<T> {
    values: Vec<Option<T>>,
    /// Free numbers below the length of `values`.
    free: Vec<u16>,
    /// A hash table with open addressing. An entry is a value's number plus one, or 0 if it is empty. The length is a
    /// power of two, or 0.
    index: Vec<u16>,
    hasher: RandomState,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
            index: Vec::new(),
            hasher: RandomState::new(),
        }
    }
}

impl<T: Eq + Hash + Clone> Table<T> {
    /// The number of a value, if it is there.
    pub(super) fn find(&self, value: &T) -> Option<usize> {
        let mask = self.index.len().checked_sub(1)?;
        let mut slot = self.slot(value) & mask;
        loop {
            match *self.index.get(slot)? {
                0 => return None,
                entry => {
                    let number = usize::from(entry - 1);
                    if self.get(number) == Some(value) {
                        return Some(number);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The number of a value, which is added if it is not there yet. None when there are `limit` others, or 65,534.
    pub(super) fn find_or_add(&mut self, value: &T, limit: usize) -> Option<usize> {
        if let Some(number) = self.find(value) {
            return Some(number);
        }
        let limit = limit.min(usize::from(u16::MAX) - 1);
        let number = match self.free.pop() {
            Some(number) => usize::from(number),
            None if self.values.len() < limit => {
                self.values.push(None);
                self.values.len() - 1
            }
            None => return None,
        };
        *self.values.get_mut(number)? = Some(value.clone());
        if self.values.len() * 2 > self.index.len() {
            self.build_index();
        } else {
            self.insert(number);
        }
        Some(number)
    }

    /// The value under this number.
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.values.get(number)?.as_ref()
    }

    /// All values.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    /// Forgets all values but those under these numbers.
    pub(super) fn keep(&mut self, numbers: impl Iterator<Item = usize>) {
        let mut is_kept = vec![false; self.values.len()];
        for number in numbers {
            if let Some(kept) = is_kept.get_mut(number) {
                *kept = true;
            }
        }
        let used = is_kept
            .iter()
            .rposition(|kept| *kept)
            .map_or(0, |at| at + 1);
        self.values.truncate(used);
        self.values.shrink_to_fit();
        self.free = Vec::new();
        for (number, (value, kept)) in self.values.iter_mut().zip(is_kept).enumerate() {
            if !kept {
                *value = None;
                self.free.push(number as u16);
            }
        }
        self.build_index();
    }

    /// About how many bytes of memory this takes, without the memory that the values point to.
    pub(super) fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<T>>()
            + (self.free.capacity() + self.index.capacity()) * size_of::<u16>()
    }

    fn slot(&self, value: &T) -> usize {
        self.hasher.hash_one(value) as usize
    }

    /// INVARIANT: the index has more slots than there are values, so there is an empty one.
    fn insert(&mut self, number: usize) {
        let Some(value) = self.get(number) else {
            return;
        };
        let mask = self.index.len().saturating_sub(1);
        let mut slot = self.slot(value) & mask;
        while self.index.get(slot).is_some_and(|entry| *entry != 0) {
            slot = (slot + 1) & mask;
        }
        if let Some(entry) = self.index.get_mut(slot) {
            *entry = number as u16 + 1;
        }
    }

    fn build_index(&mut self) {
        let slots = (self.values.len() * 2 + 2).next_power_of_two();
        self.index = vec![0; slots];
        for number in 0..self.values.len() {
            self.insert(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_number() {
        let mut table = Table::default();
        for round in 0..2 {
            for value in 0..1000u32 {
                assert_eq!(table.find_or_add(&value, 1000), Some(value as usize));
            }
            assert_eq!(table.len(), 1000, "{round}");
        }
        assert_eq!(table.find_or_add(&7_777, 1000), None);
        table.keep((0..1000).filter(|number| number % 3 == 0));
        assert_eq!(table.get(3), Some(&3));
        assert_eq!(table.get(4), None);
        let new = table.find_or_add(&7_777, 1000).expect("room again");
        assert_eq!(table.get(new), Some(&7_777));
        assert_eq!(table.find_or_add(&7_777, 1000), Some(new));
        assert_eq!(table.find_or_add(&3, 1000), Some(3));
        assert_eq!(table.values().count(), 335);
    }
}
