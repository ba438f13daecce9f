//! At which of a server's terminals players type: what each terminal needs to know of the others.
//!
//! Called by the reader thread of each player (keys), and by each session's thread (output).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::locks::Mutex;

/// A player who has typed within this time counts as present, and notices the load of other terminals.
const PRESENT: Duration = Duration::from_secs(10);

/// A terminal among those of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(u64);

/// The terminals at which players have typed last.
#[derive(Debug, Default)]
pub struct Typists {
    next: AtomicU64,
    /// Guards the last two terminals, the newer one first: for any terminal, at least one of the two is another one.
    /// Held for a few comparisons.
    last: Mutex<[Option<(Number, Instant)>; 2]>,
}

impl Typists {
    /// Adds a terminal, and returns its number.
    pub fn number(&self) -> Number {
        Number(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes that a player has typed at this terminal.
    pub fn note(&self, own: Number, now: Instant) {
        let mut last = self.last.lock();
        if last[0].is_some_and(|(number, _)| number != own) {
            last[1] = last[0];
        }
        last[0] = Some((own, now));
    }

    /// Whether a player has typed at another terminal just now.
    pub fn has_others(&self, own: Number, now: Instant) -> bool {
        let last = *self.last.lock();
        let others = last.into_iter().flatten();
        others
            .filter(|(number, _)| *number != own)
            .any(|(_, at)| now.saturating_duration_since(at) < PRESENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_known_for_a_while() {
        let typists = Typists::default();
        let [a, b, c] = [(); 3].map(|()| typists.number());
        let start = Instant::now();
        let all = |now| [a, b, c].map(|own| typists.has_others(own, now));
        assert_eq!(all(start), [false; 3]);
        typists.note(a, start);
        assert_eq!(all(start), [false, true, true]);
        let later = start + Duration::from_secs(6);
        typists.note(b, later);
        typists.note(b, later);
        assert_eq!(all(later), [true; 3]);
        let last = start + PRESENT;
        assert_eq!(all(last), [true, false, true], "a has stopped");
        typists.note(c, last);
        typists.note(a, last);
        assert_eq!(all(last), [true; 3]);
        assert_eq!(all(last + PRESENT), [false; 3]);
    }
}
