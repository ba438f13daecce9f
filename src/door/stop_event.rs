//! A flag that wakes every thread waiting in `poll`, once and for all. No ticks: an idle connection sleeps
//! until its client, its deadline or this flag.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Lowered at first; once raised it stays raised.
#[derive(Debug)]
pub(super) struct StopEvent {
    raised: AtomicBool,
    // Readable from the moment of raising on, because it is never read.
    event: OwnedFd,
}

impl StopEvent {
    pub(super) fn new() -> io::Result<StopEvent> {
        Ok(StopEvent {
            raised: AtomicBool::new(false),
            event: eventfd(0, EventfdFlags::CLOEXEC)?,
        })
    }

    pub(super) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        // Adding to an eventfd fails only when the sum would overflow, and then it is readable already.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }
}

impl AsFd for StopEvent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
