//! Decides whether trouble that strangers can cause at will is to be logged again yet.

use std::time::{Duration, Instant};

use crate::locks::{Mutex, rank};

/// Often enough for an operator to see that it goes on, seldom enough never to fill a disk.
const EVERY: Duration = Duration::from_secs(60);

/// Due at first, then once a minute.
#[derive(Debug, Default)]
pub struct LogThrottle {
    state: Mutex<State, rank::Log>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    swallowed: u64,
}

impl LogThrottle {
    /// A throttle that is due.
    pub const fn new() -> LogThrottle {
        LogThrottle {
            state: Mutex::new(State {
                last: None,
                swallowed: 0,
            }),
        }
    }

    /// Whether to log it now. If so, the caller must log it.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due(now).is_some()
    }

    /// Like [`LogThrottle::is_due`]; if so, how many times it was not logged since the last time.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        let is_due = |last: Instant| now.saturating_duration_since(last) >= EVERY;
        if state.last.is_none_or(is_due) {
            state.last = Some(now);
            Some(std::mem::take(&mut state.swallowed))
        } else {
            state.swallowed += 1;
            None
        }
    }
}

/// A warning that a stranger can cause: once a minute from this place in the code, with how many more there were since
/// the last one; the others are logged at `debug`.
#[macro_export]
macro_rules! warn_throttled {
    ($($message:tt)+) => {{
        static SELDOM: $crate::logging::LogThrottle = $crate::logging::LogThrottle::new();
        match SELDOM.due(std::time::Instant::now()) {
            Some(0) => log::warn!($($message)+),
            Some(more) => log::warn!("{} ({more} more like it since the last)", format_args!($($message)+)),
            None => log::debug!($($message)+),
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute() {
        let (seldom, start) = (LogThrottle::new(), Instant::now());
        let due = [0, 1, 59, 60, 61, 119, 120]
            .map(|second| seldom.due(start + Duration::from_secs(second)));
        let expected = [Some(0), None, None, Some(2), None, None, Some(2)];
        assert_eq!(due, expected);
    }
}
