//! How many heavy Engine calls run at once.
//!
//! DOCKER: starts contend. On 2 cores 3.4 a second at one, 5.3 at four, 5.7 at sixteen, where each then takes
//! 2.2 s (20.10). So a few go in and the rest wait here.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

/// A counting semaphore: permits lie in a channel.
pub struct Calls {
    give: Sender<()>,
    take: Receiver<()>,
}

impl Calls {
    /// Lets `at_once` calls run at a time.
    pub fn new(at_once: usize) -> Self {
        let (give, take) = bounded(at_once);
        for _ in 0..at_once {
            // Can't fail: the channel has room for all of them and we hold its other end.
            let _ = give.send(());
        }
        Self { give, take }
    }

    /// Runs `call` when it is its turn.
    pub fn run<T>(&self, call: impl FnOnce() -> T) -> T {
        // Can't fail: we hold the other end.
        let _ = self.take.recv();
        let _permit = Permit(&self.give);
        call()
    }

    /// Runs `call` when it is its turn, unless that does not come before `deadline`.
    ///
    /// # Errors
    /// How long it has waited.
    pub fn run_before<T>(
        &self,
        deadline: Instant,
        call: impl FnOnce() -> T,
    ) -> Result<T, Duration> {
        let began = Instant::now();
        self.take
            .recv_deadline(deadline)
            .map_err(|_| began.elapsed())?;
        let _permit = Permit(&self.give);
        Ok(call())
    }
}

/// Goes back when it is dropped, after a panic too.
struct Permit<'a>(&'a Sender<()>);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn never_more_than_so_many_at_once() {
        let (calls, now, most) = (Calls::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        calls.run(|| {
                            most.fetch_max(
                                now.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            thread::yield_now();
                            now.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 3);
    }

    #[test]
    fn a_panic_gives_its_permit_back() {
        let calls = Calls::new(1);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            calls.run(|| panic!("on purpose"))
        }));
        assert!(caught.is_err());
        assert_eq!(calls.run_before(Instant::now(), || 7).ok(), Some(7));
    }

    #[test]
    fn waits_no_longer_than_it_may() {
        let calls = Calls::new(1);
        calls.run(|| assert!(calls.run_before(Instant::now(), || ()).is_err()));
    }
}
