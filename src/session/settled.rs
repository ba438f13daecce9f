//! Whether the sessions of the server's last life are taken over. Newcomers and the sweeper wait for that.
//!
//! No threads of its own: the reaper takes the sessions over and says so here.

use std::time::Instant;

use crate::locks::{Condvar, Mutex};

/// A condition that comes true once, and the threads that wait for it.
#[derive(Default)]
pub(super) struct Settled {
    /// Held for moves only.
    is_settled: Mutex<bool>,
    changed: Condvar,
}

impl Settled {
    /// Whether it has come true.
    pub(super) fn is_settled(&self) -> bool {
        *self.is_settled.lock()
    }

    /// Makes it true, and wakes all threads that wait.
    pub(super) fn settle(&self) {
        *self.is_settled.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until it is true, until `deadline`. Returns whether it is.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
        let mut is_settled = self.is_settled.lock();
        self.changed
            .wait_while_until(&mut is_settled, |is_settled| !*is_settled, deadline);
        *is_settled
    }

    /// Waits until it is true or `gives_up` says so, which is asked again after each [`Settled::wake`]. Returns whether it
    /// is true.
    pub(super) fn wait_unless(&self, gives_up: impl Fn() -> bool) -> bool {
        let mut is_settled = self.is_settled.lock();
        while !*is_settled {
            if gives_up() {
                return false;
            }
            self.changed.wait(&mut is_settled);
        }
        true
    }

    /// Has the threads that wait look again whether to give up.
    pub(super) fn wake(&self) {
        // The lock is taken first; otherwise a thread that has just looked would sleep on.
        let is_settled = self.is_settled.lock();
        self.changed.notify_all();
        drop(is_settled);
    }
}
