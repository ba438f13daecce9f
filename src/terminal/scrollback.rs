//! The last bytes a container wrote, each under its absolute offset in the session's output.
//!
//! No I/O, no locks, no clock: the hub keeps one behind its own lock.

use std::collections::VecDeque;

/// A byte ring that knows where in the whole output its content lies.
#[derive(Debug)]
pub struct Scrollback {
    bytes: VecDeque<u8>,
    /// Offset just after the last byte kept.
    end: u64,
    limit_bytes: usize,
}

impl Scrollback {
    /// An empty one that keeps at most `limit_bytes`. Memory is taken only as output comes.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            end: 0,
            limit_bytes,
        }
    }

    /// Appends output; the oldest bytes beyond the limit are forgotten.
    pub fn push(&mut self, output: &[u8]) {
        self.end += output.len() as u64;
        let kept = &output[output.len().saturating_sub(self.limit_bytes)..];
        let over = (self.bytes.len() + kept.len()).saturating_sub(self.limit_bytes);
        self.bytes.drain(..over);
        self.reserve_for(kept.len());
        self.bytes.extend(kept);
    }

    /// `VecDeque` doubles when it grows, which would end at up to twice the limit.
    fn reserve_for(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let wanted = (needed * 2)
                .next_power_of_two()
                .min(self.limit_bytes)
                .max(needed);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
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

    #[test]
    fn keeps_the_newest_bytes_under_their_offsets() {
        let mut scrollback = Scrollback::new(8);
        scrollback.push(b"abcde");
        scrollback.push(b"fghij");
        assert_eq!((scrollback.start(), scrollback.end()), (2, 10));
        assert_eq!(read(&scrollback, 2, 100), "cdefghij");
        assert_eq!(read(&scrollback, 5, 3), "fgh");
        assert_eq!(read(&scrollback, 10, 3), "");
        assert_eq!(read(&scrollback, 1, 3), "", "forgotten");
        assert_eq!(read(&scrollback, 11, 3), "", "not written yet");
    }

    #[test]
    fn one_chunk_larger_than_the_limit_keeps_its_tail() {
        let mut scrollback = Scrollback::new(4);
        scrollback.push(b"0123456789");
        assert_eq!((scrollback.start(), scrollback.end()), (6, 10));
        assert_eq!(read(&scrollback, 6, 100), "6789");
    }

    /// The whole of a long output, read in uneven steps through a small ring, comes out as it went in.
    #[test]
    fn reading_along_loses_nothing() {
        let mut scrollback = Scrollback::new(64);
        let (mut written, mut seen) = (Vec::<u8>::new(), Vec::<u8>::new());
        for step in 0..1000usize {
            let chunk: Vec<u8> = (0..step % 31).map(|n| (step * 7 + n) as u8).collect();
            scrollback.push(&chunk);
            written.extend(&chunk);
            while scrollback.copy_from(seen.len() as u64, 1 + step % 13, &mut seen) > 0 {}
        }
        assert_eq!(seen, written);
    }

    #[test]
    fn memory_stays_within_the_limit() {
        let mut scrollback = Scrollback::new(100_000);
        scrollback.push(b"$ ");
        assert!(
            scrollback.memory_bytes() < 100,
            "a quiet session costs little"
        );
        for _ in 0..1000 {
            scrollback.push(&[b'y'; 777]);
        }
        assert!(
            scrollback.memory_bytes() <= 100_000,
            "{}",
            scrollback.memory_bytes()
        );
    }
}
