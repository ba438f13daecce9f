//! Where a viewer's writer rests: it can be woken, and meanwhile another thread may use its end of the socket.
//!
//! A key's echo is a few bytes that the pump has in hand while the writer sleeps. To wake the writer for them
//! takes longer than to send them: on two virtual processors each hand-over between threads costs 15 to 30 µs,
//! a non-blocking send 5. So a resting writer lends its [`Outgoing`], and the pump sends what is small
//! itself. There is still one writer at a time, and only whole frames: what the socket does not take
//! stays in the buffer for the owner, who is woken then.

use std::time::Instant;

use super::split::Outgoing;
use super::wakeup::Wakeup;
use crate::locks::{Mutex, rank};

/// The resting place of one viewer's writer.
#[derive(Default)]
pub struct ParkedWriter {
    wake: Wakeup,
    /// The writer's half of the socket, while the writer rests. Held over a non-blocking send at most. Order: before
    /// the hub's `state`.
    lent: Mutex<Option<Outgoing>, rank::ParkedWriter>,
}

impl ParkedWriter {
    /// Lets the writer look again.
    pub fn wake(&self) {
        self.wake.raise();
    }

    /// Waits for a wake-up, until `deadline` at most. Returns whether there was one.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        self.wake.wait_until(deadline)
    }

    /// Waits like [`ParkedWriter::wait_until`], and lends `out` meanwhile.
    pub fn lend_until(&self, deadline: Instant, out: &mut Outgoing) {
        // INVARIANT: a thread that appends output looks here afterwards, and wakes the writer if nothing is lent: so
        // output that comes between the writer's last look and this line is not forgotten.
        *self.lent.lock() = Some(out.take());
        self.wake.wait_until(deadline);
        let lent = self.lent.lock().take();
        if let Some(lent) = lent {
            *out = lent;
        }
    }

    /// Sends the frames that `code` puts into the buffer, if the writer rests. Returns whether all of it is sent;
    /// otherwise the writer must be woken.
    pub fn send(&self, code: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let Some(mut lent) = self.lent.try_lock() else {
            return false;
        };
        let Some(out) = lent.as_mut().filter(|out| out.buffer.is_empty()) else {
            return false;
        };
        code(&mut out.buffer) && out.send_now()
    }
}
