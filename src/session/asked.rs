//! An answer that many threads want at the same time and one of them fetches: threads that come meanwhile wait for that
//! answer.
//!
//! No threads of its own. Without this, sixty requests for `/readyz` at an Engine that hangs would be sixty connections to
//! it.

use std::time::{Duration, Instant};

use crate::locks::{Condvar, Mutex};

/// The last answer, and whether a thread is fetching the next one.
pub(super) struct Asked<T> {
    fresh_for: Duration,
    /// Held for moves only, never while the answer is fetched.
    state: Mutex<State<T>>,
    told: Condvar,
}

struct State<T> {
    /// When the last answer came, and what it was.
    last: Option<(Instant, T)>,
    is_asking: bool,
}

impl<T: Clone> Asked<T> {
    /// Makes one that has no answer yet. An answer stays fresh for `fresh_for`.
    pub(super) fn new(fresh_for: Duration) -> Asked<T> {
        Asked {
            fresh_for,
            state: Mutex::new(State {
                last: None,
                is_asking: false,
            }),
            told: Condvar::new(),
        }
    }

    /// The last answer, if it is younger than `at_most`. Never asks, and so never waits.
    pub(super) fn last(&self, at_most: Duration) -> Option<T> {
        let state = self.state.lock();
        let last = state.last.as_ref();
        let young = last.filter(|(came, _)| came.elapsed() < at_most);
        young.map(|(_, answer)| answer.clone())
    }

    /// Forgets the last answer, because it is no longer true.
    pub(super) fn forget(&self) {
        self.state.lock().last = None;
    }

    /// Returns the last answer while it is fresh; otherwise the answer of `ask`, which runs once however many threads want
    /// it.
    pub(super) fn ask(&self, ask: impl FnOnce() -> T) -> T {
        let mut state = self.state.lock();
        loop {
            if let Some((came, answer)) = &state.last
                && came.elapsed() < self.fresh_for
            {
                return answer.clone();
            }
            if !state.is_asking {
                break;
            }
            self.told.wait(&mut state);
        }
        state.is_asking = true;
        drop(state);
        let asking = Asking(self);
        let answer = ask();
        self.state.lock().last = Some((Instant::now(), answer.clone()));
        drop(asking);
        answer
    }
}

/// A thread asks for as long as this lives. The drop also runs after a panic; otherwise all others would wait for ever.
struct Asking<'a, T>(&'a Asked<T>);

impl<T> Drop for Asking<'_, T> {
    fn drop(&mut self) {
        self.0.state.lock().is_asking = false;
        self.0.told.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use crossbeam_channel::{bounded, unbounded};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn sixty_who_want_it_at_once_ask_once() {
        let (asked, asks) = (Asked::new(LONG), AtomicUsize::new(0));
        let (begun, begins) = unbounded();
        let (answer, answers) = bounded(60);
        thread::scope(|scope| {
            let all: Vec<_> = (0..60)
                .map(|_| {
                    let (asked, asks, begun, answers) =
                        (&asked, &asks, begun.clone(), answers.clone());
                    scope.spawn(move || {
                        asked.ask(|| {
                            asks.fetch_add(1, Ordering::SeqCst);
                            begun.send(()).expect("somebody waits");
                            answers.recv().expect("the Engine's answer")
                        })
                    })
                })
                .collect();
            begins.recv().expect("the first asks");
            // One answer for each thread: a thread that should not have asked gets one too, and is counted.
            for _ in 0..60 {
                answer.send(7).expect("somebody waits");
            }
            assert!(
                all.into_iter()
                    .all(|one| one.join().expect("no panic") == 7)
            );
        });
        assert_eq!(asks.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_old_answer_is_asked_for_again() {
        let asked = Asked::new(Duration::ZERO);
        assert_eq!(asked.last(LONG), None);
        assert_eq!((asked.ask(|| 1), asked.ask(|| 2)), (1, 2));
        assert_eq!(
            (asked.last(LONG), asked.last(Duration::ZERO)),
            (Some(2), None)
        );
    }

    #[test]
    fn who_panics_keeps_nobody_waiting() {
        let asked = Asked::new(LONG);
        let panicked = catch_unwind(AssertUnwindSafe(|| asked.ask(|| panic!("as tests do"))));
        assert!(panicked.is_err());
        assert_eq!(asked.ask(|| 2), 2);
    }
}
