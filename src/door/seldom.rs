//! Says of trouble that strangers can cause at will whether the log should hear of it again yet.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Often enough for an operator to see that it goes on, seldom enough never to fill a disk.
const EVERY: Duration = Duration::from_secs(60);

/// Due at first, then once a minute.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    /// Whether to say it now. The one who is told yes is expected to.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock();
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= EVERY);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let due = [0, 1, 59, 60, 61, 119, 120]
            .map(|second| seldom.is_due(start + Duration::from_secs(second)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
