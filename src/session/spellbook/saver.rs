//! Saves what a game has made of its player's book.
//!
//! Books that have changed are saved by the saver threads (`saver-N`) while a session is played, and by the session's own
//! thread at its end, before the container is removed. If the player has put something else in the book's place (a link, a
//! device, a file of a terabyte), that is not a book: nothing is saved then, and the stored versions stay.
//!
//! [`crate::session::spellbook::save`] draws a book's life, and decides what happens to each.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::auth::PlayerId;
use crate::engine::ContainerId;
use crate::session::session::Session;
use crate::session::spellbook::metrics::Outcome;
use crate::session::spellbook::slot::{Base, BookNotes, Kept, Turn};
use crate::session::state::State;
use crate::session::store;
use crate::session::{Error, Manager, SessionId};
use crate::threads;
use crate::warn_throttled;

/// Threads that save books while they are played with: one container that does not answer takes one of them.
const SAVERS: usize = 4;

/// How long a player's new game waits for the books of the player's games that go on.
const OTHERS_WAIT: Duration = Duration::from_secs(2);
/// How often the new game looks whether one of those games has ended.
const OTHERS_LOOK: Duration = Duration::from_millis(50);

impl Manager {
    /// The book that a player's new session begins with; empty for a new player.
    pub(in crate::session) fn book_of(&self, player: &PlayerId) -> Result<Vec<u8>, Error> {
        let book = self.store.load_book(player)?;
        Ok(book.map_or_else(Vec::new, |book| book.bytes))
    }

    /// Notes that the books set aside for a player are in use, because the player is there.
    pub(in crate::session) fn use_aside(&self, player: &PlayerId) {
        if let Err(error) = self.store.load_book(&player.aside()) {
            warn_throttled!("what is set aside for {player} may expire: {error}");
        }
    }

    /// Has the books saved of this player's games that still go on, so that the next game begins with what they have
    /// learnt. A book that is not saved in time is joined with the next game's when it is saved.
    pub(in crate::session) fn save_others(&self, player: &PlayerId) {
        let began = Instant::now();
        let games: Vec<_> = self.sessions_of(player).collect();
        for game in games {
            if game.snapshot().state != State::Running {
                continue;
            }
            self.queue_save(&game);
            let is_due = |notes: &mut BookNotes| {
                notes.is_busy || notes.checked.is_none_or(|checked| checked < began)
            };
            // A game that ends meanwhile is saved by its own thread.
            while game.snapshot().state == State::Running && began.elapsed() < OTHERS_WAIT {
                let next_look = Instant::now() + OTHERS_LOOK;
                let mut notes = game.book.lock();
                let has_timed_out = game.book.wait_while_until(&mut notes, is_due, next_look);
                if !has_timed_out {
                    break;
                }
            }
        }
    }

    /// Saves the book if it may have changed since the last look. For sessions that go on.
    fn keep_changed_book(
        &self,
        session: &Session,
        container: &ContainerId,
        player: &PlayerId,
    ) -> Result<Kept, Error> {
        let Some(turn) = Turn::take_if_free(&session.book) else {
            return Ok(Kept::Later);
        };
        let stat = self.stat_book(container)?;
        let seen = Some((stat.size, stat.mtime));
        let mut notes = session.book.lock();
        notes.checked = Some(Instant::now());
        if notes.seen == seen {
            return Ok(Kept::Unchanged);
        }
        drop(notes);
        let book = self.read_or_mend(session, container, player);
        let kept = self.save(session, book, player)?;
        // INVARIANT: noted only now, and with the values from before the copy was taken: what is written during the copy
        // or after a failure is then looked at again; and there may be room the next time.
        if kept != Kept::NoRoom {
            session.book.lock().seen = seen;
        }
        drop(turn);
        Ok(kept)
    }

    /// Saves the book, whatever its size and time are. For sessions that end.
    pub(in crate::session) fn keep_book(
        &self,
        session: &Session,
        container: &ContainerId,
        player: &PlayerId,
    ) -> Result<Kept, Error> {
        let _turn = Turn::take(&session.book);
        self.save(session, self.read_book(container), player)
    }

    /// Puts the session on the saver's list, unless it is there already. Returns whether this call has put it there.
    pub(in crate::session) fn queue_save(&self, session: &Session) -> bool {
        // When the list is full the reaper's next pass finds the session again.
        self.saves.push(session.id, &session.is_save_queued)
    }

    /// How many sessions there are whose player would lose something if the container were lost now: the session has ended
    /// and its book is not saved yet, or the last try to save it failed.
    pub fn count_unsafe_books(&self) -> usize {
        let is_unsafe = |session: &&Arc<Session>| {
            let state = session.snapshot().state;
            let has_ended = matches!(state, State::Ending | State::Stopped | State::Saving);
            let notes = session.book.lock();
            session.owner().is_some()
                && !state.is_over()
                && !notes.is_final
                && (has_ended || notes.failures > 0)
        };
        self.list().iter().filter(is_unsafe).count()
    }

    fn save_running(&self, id: SessionId) {
        let Ok(session) = self.get(id) else { return };
        session.is_save_queued.take_off();
        let (Some(container), Some(owner)) = (session.container(), session.owner()) else {
            return;
        };
        if session.snapshot().state != State::Running {
            return;
        }
        match self.keep_changed_book(&session, container, &owner.player) {
            Ok(Kept::Later) => self.metrics.books.count_save(Kept::Later),
            Ok(kept) => {
                session.book.lock().failures = 0;
                self.metrics.books.count_save(kept);
            }
            Err(error) => {
                // It is not tried again immediately; see `reaper::is_save_due`.
                let mut notes = session.book.lock();
                notes.checked = Some(Instant::now());
                notes.failures = notes.failures.saturating_add(1);
                drop(notes);
                // A new game of the same player may wait for this to begin.
                session.book.notify_all();
                self.metrics.books.count_save(Outcome::Failed);
                warn!("session={id} its book is not saved yet: {error}");
            }
        }
    }

    /// Saves the book of a container that no longer has a session, under a name of its own.
    pub(in crate::session) fn keep_lost_book(
        &self,
        session_id: &str,
        container: &ContainerId,
    ) -> Result<(), Error> {
        let book = match self.read_book(container) {
            Ok(book) => book,
            Err(Error::NotABook(_) | Error::BookInPart) => return Ok(()),
            Err(Error::Engine(error)) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        if !book.is_touched {
            return Ok(());
        }
        // The session's thread may have died while the session is still remembered.
        let session = session_id.parse().ok().and_then(|id| self.get(id).ok());
        let known = session
            .as_ref()
            // INVARIANT: a container that only bears the session's label must not overwrite the player's book.
            .filter(|session| session.container() == Some(container))
            .and_then(|session| {
                let base = session.book.lock().base.clone();
                Some((session.owner()?, base, session.id))
            });
        let (player, base, game) = match known {
            Some((owner, base, game)) => (owner.player.clone(), base, Some(game)),
            None => (PlayerId::of_lost_session(session_id), Base::Unknown, None),
        };
        let player = match self.file(&player, &book.bytes, &base, game).map(drop) {
            // There is no session whose player could be told, or the player plays elsewhere: the book is kept under the
            // name that is always kept.
            Err(Error::Store(store::Error::NoRoom { .. } | store::Error::Fenced)) => {
                let lost = PlayerId::of_lost_session(session_id);
                self.store.save_book(&lost, &book.bytes)?;
                lost
            }
            saved => saved.map(|()| player)?,
        };
        info!("container={container} has no session; its book is kept as {player}");
        Ok(())
    }
}

/// Starts the savers. They return when the manager stops.
pub(in crate::session) fn spawn(manager: &Arc<Manager>) -> io::Result<Vec<JoinHandle<()>>> {
    threads::spawn_all(threads::Kind::Saver, SAVERS, |_| {
        let manager = Arc::clone(manager);
        move || {
            let stopped = manager.shutdown.stopped();
            manager
                .saves
                .work_through(stopped, |id| manager.save_running(id));
        }
    })
}
