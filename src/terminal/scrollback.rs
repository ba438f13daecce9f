//! The last bytes a container wrote, each under its absolute offset in the session's output.
//!
//! No I/O, no locks, no clock: the hub keeps one behind its own lock.

use std::collections::VecDeque;

/// Room for what comes in until the oldest bytes are forgotten.
const GROWTH_BYTES: usize = 128 * 1024;

/// A byte ring that knows where in the whole output its content lies.
#[derive(Debug)]
pub struct Scrollback {
    bytes: VecDeque<u8>,
    /// Offset just after the last byte kept.
    end: u64,
    limit_bytes: usize,
}

impl Scrollback {
    /// An empty one that wants to keep `limit_bytes`. Memory is taken only as output comes.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            end: 0,
            limit_bytes,
        }
    }

    /// An empty one, before which `offset` bytes were written that are not kept.
    pub fn starting_at(offset: u64, limit_bytes: usize) -> Self {
        Self {
            end: offset,
            ..Self::new(limit_bytes)
        }
    }

    /// Adds `offset` to all offsets: that many more bytes were written before all others.
    pub fn shift(&mut self, offset: u64) {
        self.end += offset;
    }

    /// Appends output. Nothing is forgotten by itself: see [`Scrollback::excess`].
    pub fn push(&mut self, output: &[u8]) {
        self.end += output.len() as u64;
        self.reserve_for(output.len());
        self.bytes.extend(output);
    }

    /// Makes room, because a `VecDeque` doubles when it grows by itself, which would end at twice the limit and more.
    fn reserve_for(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let most = self.limit_bytes + GROWTH_BYTES;
            let wanted = (needed * 2).next_power_of_two().min(most).max(needed);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
    }

    /// How many bytes more than wanted are kept.
    pub fn excess(&self) -> usize {
        self.bytes.len().saturating_sub(self.limit_bytes)
    }

    /// Forgets the oldest bytes.
    pub fn forget(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// Offset of the oldest byte kept.
    pub fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    /// Offset just after the newest byte, which is the number of bytes ever written.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether output can be read on from `offset` without a gap.
    pub fn has(&self, offset: u64) -> bool {
        (self.start()..=self.end).contains(&offset)
    }

    /// Appends to `out` up to `limit_bytes` of what lies at and after `offset`; returns how many.
    /// Nothing comes for an offset that is not kept.
    pub fn copy_from(&self, offset: u64, limit_bytes: usize, out: &mut Vec<u8>) -> usize {
        if !self.has(offset) {
            return 0;
        }
        let from = (offset - self.start()) as usize;
        let count = (self.bytes.len() - from).min(limit_bytes);
        let (older, newer) = self.bytes.as_slices();
        let split = older.len();
        if from < split {
            let first = count.min(split - from);
            out.extend_from_slice(&older[from..from + first]);
            out.extend_from_slice(&newer[..count - first]);
        } else {
            out.extend_from_slice(&newer[from - split..from - split + count]);
        }
        count
    }

    /// Bytes of memory taken.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scrollback: &Scrollback, offset: u64, limit_bytes: usize) -> String {
        let mut out = Vec::new();
        let count = scrollback.copy_from(offset, limit_bytes, &mut out);
        assert_eq!(count, out.len());
        String::from_utf8(out).expect("the tests write ASCII")
    }

    /// Pushes, and forgets what is too much in one go.
    fn push(scrollback: &mut Scrollback, output: &[u8]) {
        scrollback.push(output);
        scrollback.forget(scrollback.excess());
    }

    #[test]
    fn keeps_the_newest_bytes_under_their_offsets() {
        let mut scrollback = Scrollback::new(8);
        push(&mut scrollback, b"abcde");
        push(&mut scrollback, b"fghij");
        assert_eq!((scrollback.start(), scrollback.end()), (2, 10));
        assert_eq!(read(&scrollback, 2, 100), "cdefghij");
        assert_eq!(read(&scrollback, 5, 3), "fgh");
        assert_eq!(read(&scrollback, 10, 3), "");
        assert_eq!(read(&scrollback, 1, 3), "", "forgotten");
        assert_eq!(read(&scrollback, 11, 3), "", "not written yet");
    }

    /// The whole of a long output, read in uneven steps through a small ring, comes out as it went in.
    #[test]
    fn reading_along_loses_nothing() {
        let mut scrollback = Scrollback::new(64);
        let (mut written, mut seen) = (Vec::<u8>::new(), Vec::<u8>::new());
        for step in 0..1000usize {
            let chunk: Vec<u8> = (0..step % 31).map(|n| (step * 7 + n) as u8).collect();
            push(&mut scrollback, &chunk);
            written.extend(&chunk);
            while scrollback.copy_from(seen.len() as u64, 1 + step % 13, &mut seen) > 0 {}
        }
        assert_eq!(seen, written);
    }

    #[test]
    fn memory_stays_within_bounds() {
        let mut scrollback = Scrollback::new(100_000);
        scrollback.push(b"$ ");
        assert!(
            scrollback.memory_bytes() < 100,
            "a quiet session costs little"
        );
        for _ in 0..1000 {
            push(&mut scrollback, &[b'y'; 777]);
        }
        assert!(
            scrollback.memory_bytes() <= 100_000 + GROWTH_BYTES,
            "{}",
            scrollback.memory_bytes()
        );
    }
}
