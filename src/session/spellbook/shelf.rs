//! Counts all spellbooks together: what they take, and which are too old.
//!
//! One thread (`librarian`): it has the store count the books at the start, and then twice an hour, when expired books are
//! deleted too; and it renews the records of games that go on. That may take minutes where there are many books, so the
//! reaper does not do it.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use log::{info, warn};

use crate::session::Manager;
use crate::session::store::{self, Shelf, Tending};
use crate::threads;

/// How often the books are counted. A player who plays here uses a book for other servers too, and one of those may let
/// books expire that were not used for an hour.
const EVERY: Duration = Duration::from_secs(1800);
/// For this long after the start nothing expires, so that a clock that is wrong then can be put right.
const TRUST_AFTER: Duration = Duration::from_secs(3600);
/// How long the thread waits after a failure.
const RETRY: Duration = Duration::from_secs(60);
/// A clock that differs by more than this from the time that has passed was set, to the right time or to a wrong one.
const MOST_DRIFT: Duration = Duration::from_secs(600);

/// Whether the wall clock can be trusted when it says that a book is old: it must have kept pace with the monotonic clock
/// for a while.
struct Clock {
    since: (Instant, SystemTime),
}

impl Clock {
    fn new(now: Instant, wall: SystemTime) -> Clock {
        Clock { since: (now, wall) }
    }

    /// Whether the clock has been right for an hour by now. The hour begins anew when the clock has jumped.
    fn is_trusted(&mut self, now: Instant, wall: SystemTime) -> bool {
        let passed = now.saturating_duration_since(self.since.0);
        let drift = match wall.duration_since(self.since.1) {
            Ok(shown) => shown.abs_diff(passed),
            Err(backwards) => backwards.duration() + passed,
        };
        if drift > MOST_DRIFT {
            warn!(
                "the clock has moved by {} s against the time that has passed: no spellbook expires for an hour",
                drift.as_secs()
            );
            *self = Clock::new(now, wall);
            return false;
        }
        passed >= TRUST_AFTER
    }
}

impl Manager {
    /// Counts the books, and deletes those that have expired.
    ///
    /// # Errors
    /// The store's error.
    fn tend_books(&self, may_expire: bool) -> Result<Shelf, store::Error> {
        let expiry = self.settings.book_expiry.filter(|_| may_expire);
        let shelf = self.tend(expiry, false)?;
        if shelf.expired > 0 {
            info!(
                "the spellbooks of {} players have expired: nobody has used them for BOOK_EXPIRY",
                shelf.expired
            );
        }
        Ok(shelf)
    }

    /// Deletes the books that were not used for `unused`, as an operator orders; a trial only counts them.
    ///
    /// # Errors
    /// [`crate::session::Error::Store`]; [`crate::session::Error::Starting`], or the error that says why the server has
    /// not started.
    pub fn expire_books(
        &self,
        unused: Duration,
        is_trial: bool,
    ) -> Result<Shelf, crate::session::Error> {
        // Before that it is not known who plays.
        self.wait_until_settled()?;
        Ok(self.tend(Some(unused), is_trial)?)
    }

    /// Has the store keep the records of all sessions that are not over. The store may forget a record that was not
    /// written for [`store::RECORD_LIFE`], and after a restart the game's player would not be known.
    ///
    /// # Errors
    /// The store's error; the records that were not reached are renewed the next time.
    pub fn renew_records(&self) -> Result<(), store::Error> {
        for session in self.list() {
            let is_over = session.snapshot().state.is_over();
            if is_over || self.has_stopped_within(Duration::ZERO) {
                continue;
            }
            match self.store.update(session.id, &mut |_| ()) {
                // The session is being made, or has just ended.
                Ok(_) | Err(store::Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn tend(&self, expiry: Option<Duration>, is_trial: bool) -> Result<Shelf, store::Error> {
        let sessions = self.list();
        let in_use: HashSet<_> = sessions
            .iter()
            .filter(|session| !session.snapshot().state.is_over())
            .filter_map(|session| Some(session.owner()?.player.clone()))
            .flat_map(|player| [player.aside(), player])
            .collect();
        let shelf = self.store.tend_books(&Tending {
            expiry,
            is_trial,
            in_use: &in_use,
            goes_on: &|| !self.has_stopped_within(Duration::ZERO),
        })?;
        self.metrics.books.note_shelf(&shelf);
        if !is_trial {
            self.metrics.books.expired.inc_by(shelf.expired);
        }
        Ok(shelf)
    }
}

/// Starts the librarian. It returns when the manager stops.
pub(in crate::session) fn spawn(manager: Arc<Manager>) -> io::Result<JoinHandle<()>> {
    threads::spawn(threads::Kind::Librarian, move || {
        let mut clock = Clock::new(Instant::now(), SystemTime::now());
        loop {
            let may_expire = clock.is_trusted(Instant::now(), SystemTime::now());
            let pause = match manager.tend_books(may_expire) {
                Ok(_) => EVERY,
                Err(error) => {
                    warn!("the spellbooks are not counted: {error}");
                    RETRY
                }
            };
            if let Err(error) = manager.renew_records() {
                warn!("records are not renewed: {error}");
            }
            if manager.has_stopped_within(pause) {
                return;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_believed_after_an_hour_without_a_jump() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut clock = Clock::new(start, wall);
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let mut at =
            |passed, shown| clock.is_trusted(start + minutes(passed), wall + minutes(shown));
        assert!(!at(0, 0));
        assert!(!at(59, 59));
        assert!(at(60, 69), "a little off");
        assert!(!at(120, 60 * 24 * 365), "a year at once");
        assert!(!at(150, 60 * 24 * 365 + 30), "and not at once again");
        assert!(at(180, 60 * 24 * 365 + 60));
        assert!(!at(240, 240), "back again");
        assert!(at(300, 300));
    }
}
