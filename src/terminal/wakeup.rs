//! A signal to look again, which any thread may give to one that waits. Two signals before that thread looks count as
//! one.
//!
//! Not a channel: crossbeam's receivers spin and yield for a while before they sleep, which costs a bridge
//! whose every key and chunk is a wake-up two `sched_yield` each, on processors that the Engine needs.

use std::time::Instant;

use crate::locks::{Condvar, Mutex};

/// A flag to wait for.
#[derive(Debug, Default)]
pub struct Wakeup {
    is_raised: Mutex<bool>,
    raised: Condvar,
}

impl Wakeup {
    /// Lets the waiting thread look again, now or when it next wants to wait. Never blocks.
    pub fn raise(&self) {
        let mut is_raised = self.is_raised.lock();
        let was_raised = std::mem::replace(&mut *is_raised, true);
        drop(is_raised);
        if !was_raised {
            self.raised.notify_one();
        }
    }

    /// Waits until it is raised, and lowers it.
    pub fn wait(&self) {
        let mut is_raised = self.is_raised.lock();
        self.raised
            .wait_while(&mut is_raised, |is_raised| !*is_raised);
        *is_raised = false;
    }

    /// Waits until it is raised, but until `deadline` at most, and lowers it. Returns whether it was raised.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        let mut is_raised = self.is_raised.lock();
        self.raised
            .wait_while_until(&mut is_raised, |is_raised| !*is_raised, deadline);
        std::mem::take(&mut is_raised)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn raised_before_or_after_the_wait_and_heard_once() {
        let wake = Wakeup::default();
        let soon = || Instant::now() + Duration::from_millis(1);
        assert!(!wake.wait_until(soon()));
        wake.raise();
        wake.raise();
        assert!(wake.wait_until(soon()));
        assert!(!wake.wait_until(soon()));
        std::thread::scope(|scope| {
            scope.spawn(|| wake.wait());
            wake.raise();
        });
    }
}
