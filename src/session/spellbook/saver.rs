//! Keeps the spellbooks: puts a player's book back into a new container, and saves what the game has made of it.
//!
//! Books that have changed are saved: by the saver threads (`saver-N`) while a session is played, and by the session's own
//! thread at its end, before the container is removed. If the player has put something else in the book's place (a link, a
//! device, a file of a terabyte), that is not a book: nothing is saved then, and the stored versions stay.
//!
//! [`crate::session::spellbook::save`] draws a book's life, and decides what happens to each.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use log::{info, warn};

use crate::auth::PlayerId;
use crate::engine::types::PathStat;
use crate::engine::{self, ContainerId};
use crate::session::admission::calls::{self, Newcomer};
use crate::session::session::Session;
use crate::session::spellbook::archive;
use crate::session::spellbook::archive::{Found, Unreadable};
use crate::session::spellbook::metrics::Outcome;
use crate::session::spellbook::slot::{Base, BookNotes, Kept, TURN_WAIT, Turn};
use crate::session::state::State;
use crate::session::store;
use crate::session::{Error, Manager, SessionId, sandbox};
use crate::threads;
use crate::warn_throttled;

/// A tar of the largest book: its header, the book in whole blocks, the end.
const ARCHIVE_LIMIT_BYTES: usize = sandbox::BOOK_LIMIT_BYTES as usize + 16 * 1024;

/// Threads that save books while they are played with: one container that does not answer takes one of them.
const SAVERS: usize = 4;

/// How long a player's new game waits for the books of the player's games that go on.
const OTHERS_WAIT: Duration = Duration::from_secs(2);
/// How often the new game looks whether one of those games has ended.
const OTHERS_LOOK: Duration = Duration::from_millis(50);
/// Requests for books, of all sessions, that are at the Engine at the same time. The Engine copies slower than clients
/// ask, and the saver and newcomers need it too.
pub(in crate::session) const REQUESTS_AT_ONCE: usize = 4;
/// The most requests for books that wait for the Engine, altogether; the next constant is the most of one household.
pub(in crate::session) const REQUESTS_WAITING: usize = 64;
pub(in crate::session) const REQUESTS_WAITING_PER_HOUSEHOLD: usize = 16;

impl Manager {
    /// The book that a player's new session begins with; empty for a new player.
    pub(in crate::session) fn book_of(&self, player: &PlayerId) -> Result<Vec<u8>, Error> {
        let book = self.store.load_book(player)?;
        Ok(book.map_or_else(Vec::new, |book| book.bytes))
    }

    /// Players who have a book in the store, by name: the first `most` of those that come after `after`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn list_books(
        &self,
        after: Option<&PlayerId>,
        most: usize,
    ) -> Result<Vec<store::BookEntry>, Error> {
        Ok(self.store.list_books(after, most)?)
    }

    /// A player's book as it was saved last, if there is one. To copy it this way does not keep it from expiring.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn stored_book(&self, player: &PlayerId) -> Result<Option<store::Book>, Error> {
        Ok(self.store.read_book(player)?)
    }

    /// Makes `book` a player's newest. This is refused while they play: the game would save its own book over it.
    ///
    /// # Errors
    /// [`Error::Playing`], [`Error::Store`].
    pub fn import_book(&self, player: &PlayerId, book: &[u8]) -> Result<(), Error> {
        let mut sessions = self.sessions_of(player);
        if sessions.any(|session| !session.snapshot().state.is_over()) {
            return Err(Error::Playing);
        }
        self.replace_newest(player, book)
    }

    /// Makes a version of a player's book the newest, at the wish of a client from `household`. Returns whether there is a
    /// version of that name.
    ///
    /// # Errors
    /// [`Error::StoredTooMuch`] and [`Error::BookBusy`] as for an upload; otherwise as [`Manager::import_book`].
    pub fn restore_book(
        &self,
        player: &PlayerId,
        sha256: &str,
        household: IpAddr,
    ) -> Result<bool, Error> {
        self.check_stored(household)?;
        let _call = self.book_call(Some(household))?;
        let Some(book) = self.book_version(player, sha256)? else {
            return Ok(false);
        };
        self.import_book(player, &book.bytes)?;
        let now = Instant::now();
        self.stored.charge(household, book.bytes.len() as u64, now);
        Ok(true)
    }

    /// Makes a book that a client from `household` has sent the newest of a player who has no game. The former newest is
    /// set aside. A new player counts as a game that is started: otherwise a client could make players without end.
    ///
    /// # Errors
    /// [`Error::NotText`], [`Error::RateLimited`], [`Error::Store`] for a book that is too big or finds no room; otherwise
    /// as [`Manager::restore_book`].
    pub fn upload_book(
        &self,
        player: &PlayerId,
        is_new: bool,
        book: &[u8],
        household: IpAddr,
    ) -> Result<(), Error> {
        if book.len() as u64 > sandbox::BOOK_LIMIT_BYTES {
            return Err(store::Error::TooBig.into());
        }
        check_text(book, None)?;
        self.check_stored(household)?;
        if is_new {
            self.check_rate(household, None)?;
        }
        let _call = self.book_call(Some(household))?;
        self.store.check_room(player)?;
        self.import_book(player, book)?;
        let now = Instant::now();
        self.stored.charge(household, book.len() as u64, now);
        Ok(())
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

    /// Notes that the container holds `book`, which the store has too.
    pub(in crate::session) fn note_book(&self, session: &Session, book: &[u8]) {
        session.book.lock().base = Base::of(book);
    }

    /// Puts `book` into the session's container.
    pub(in crate::session) fn put_book(
        &self,
        session: &Session,
        container: &ContainerId,
        book: &[u8],
    ) -> Result<(), Error> {
        let _turn = Turn::take(&session.book);
        self.put(session, container, (book, &archive::pack(book)?))?;
        self.note_book(session, book);
        Ok(())
    }

    /// Puts a book, packed as `tar`, into the container, and looks whether it is there. Otherwise a book that the Engine
    /// only claims to have put there would be taken for what the game has made of it, and saved.
    fn put(
        &self,
        session: &Session,
        container: &ContainerId,
        (book, tar): (&[u8], &[u8]),
    ) -> Result<(), Error> {
        self.engine.put_archive(container, sandbox::HOME, tar)?;
        session.book.lock().seen = None;
        let is_there = self.stat_book(container)?.size == book.len() as i64
            // The game may have written in it immediately.
            || self.read_book(container)?.bytes.starts_with(book);
        match is_there {
            true => Ok(()),
            false => Err(engine::Error::Garbled {
                call: engine::operation::PUT_CONTAINER_ARCHIVE,
                what: "what was said to be put there is not there".into(),
            }
            .into()),
        }
    }

    /// A session's book: as it is in its container, or as it was saved last when the container is gone.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotABook`]; the errors of the Engine and the store.
    pub fn book(&self, id: SessionId) -> Result<Vec<u8>, Error> {
        let session = self.get(id)?;
        let owner = session.owner().ok_or(Error::NotFound)?;
        let container = session
            .container()
            .filter(|_| !session.snapshot().state.is_over());
        let read = |container| {
            let _turn = Turn::take_asked(&session.book)?;
            let _call = self.book_call(owner.household)?;
            self.read_or_mend(&session, container, &owner.player)
        };
        match container.map(read) {
            Some(Ok(book)) => Ok(book.bytes),
            Some(Err(Error::Engine(error))) if error.is_not_found() => self.book_of(&owner.player),
            Some(Err(error)) => Err(error),
            None => self.book_of(&owner.player),
        }
    }

    /// Replaces a session's book with `book`, in its container and in the store.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Over`], [`Error::NotText`], [`Error::Store`] for a book that is too big; the errors
    /// of the Engine and the store.
    pub fn replace_book(&self, id: SessionId, book: &[u8]) -> Result<(), Error> {
        if book.len() as u64 > sandbox::BOOK_LIMIT_BYTES {
            return Err(store::Error::TooBig.into());
        }
        let session = self.get(id)?;
        let owner = session.owner().ok_or(Error::NotFound)?;
        let (State::Running, Some(container)) = (session.snapshot().state, session.container())
        else {
            return Err(Error::Over);
        };
        if let Some(household) = owner.household {
            self.check_stored(household)?;
        }
        // One turn for all of it: what the game writes in the new book must not be saved before the new book is.
        let _turn = Turn::take_asked(&session.book)?;
        let _call = self.book_call(owner.household)?;
        // This is checked before anything is changed.
        self.store.check_room(&owner.player)?;
        // The book that is there now becomes a version of its own.
        let book_before = self.read_book(container);
        check_text(
            book,
            book_before.as_ref().ok().map(|book| book.bytes.as_slice()),
        )?;
        self.save(&session, book_before, &owner.player)?;
        self.set_newest_aside(&owner.player, book)?;
        self.put(&session, container, (book, &archive::pack_new(book)?))?;
        self.replace_newest(&owner.player, book)?;
        self.charge_stored(&session, book.len());
        // INVARIANT: noted only now: after a failure the end of the session saves it.
        self.note_book(&session, book);
        self.keep_base(&session);
        Ok(())
    }

    /// A request's place among the few that are at the Engine for a book. INVARIANT: taken after the session's turn, so
    /// that requests which wait for each other hold one place, not several.
    fn book_call(&self, household: Option<IpAddr>) -> Result<calls::Permit<'_>, Error> {
        let asker = Newcomer {
            household,
            ..Newcomer::PATIENT
        };
        let turn = self.book_calls.turn(asker, Instant::now() + TURN_WAIT);
        turn.map_err(|_| Error::BookBusy)
    }

    /// The book as it is in the session's container now.
    ///
    /// # Errors
    /// [`Error::NotABook`] for something that is not a book, [`Error::BookInPart`] for a part of one; otherwise the
    /// Engine's error.
    pub(in crate::session) fn read_book(&self, container: &ContainerId) -> Result<Found, Error> {
        let stat = match self.stat_book(container) {
            Ok(stat) => stat,
            // DOCKER: 404 says either that there is no such file or that there is no such container.
            Err(error) if error.is_not_found() && self.engine.inspect(container).is_ok() => {
                // DOCKER: an archive's file takes the place of one that is removed first. A player can't remove it.
                return Err(Error::BookInPart);
            }
            // DOCKER: 500 for a link that leads to itself.
            Err(engine::Error::Refused { status: 500, .. })
                if self.is_link_to_itself(container) =>
            {
                return Err(Error::NotABook("it is a link that leads to itself".into()));
            }
            Err(error) => return Err(error.into()),
        };
        if !stat.is_file() || stat.size > sandbox::BOOK_LIMIT_BYTES as i64 {
            return Err(Error::NotABook(format!(
                "mode {:o}, {} bytes",
                stat.mode, stat.size
            )));
        }
        let archive = self
            .engine
            .get_archive(container, &book_path(), ARCHIVE_LIMIT_BYTES)?;
        archive::unpack(&archive, self.engine.unfinished()?).map_err(|cause| match cause {
            Unreadable::InPart => Error::BookInPart,
            // The book is to be asked for again: nothing is saved of what is not a book.
            Unreadable::Spoiled => engine::Error::Garbled {
                call: engine::operation::CONTAINER_ARCHIVE,
                what: cause.to_string(),
            }
            .into(),
            Unreadable::NotABook(cause) => Error::NotABook(cause.to_string()),
        })
    }

    /// Reads the book like [`Manager::read_book`]. A book that is there only in part is put there again as the store has
    /// it, because it was saved before it was replaced. For sessions that go on; the caller must have the turn.
    fn read_or_mend(
        &self,
        session: &Session,
        container: &ContainerId,
        player: &PlayerId,
    ) -> Result<Found, Error> {
        match self.read_book(container) {
            Err(Error::BookInPart) => {}
            read => return read,
        }
        let bytes = self.book_of(player)?;
        self.put(session, container, (&bytes, &archive::pack(&bytes)?))?;
        self.note_book(session, &bytes);
        warn!(
            "session={} its book was there in part only: put back as it was saved last",
            session.id
        );
        Ok(Found {
            bytes,
            is_touched: false,
        })
    }

    /// Whether a link that leads to itself is in the book's place.
    fn is_link_to_itself(&self, container: &ContainerId) -> bool {
        // DOCKER: the answer to HEAD has no body that could tell.
        let asked = self
            .engine
            .get_archive(container, &book_path(), ARCHIVE_LIMIT_BYTES);
        matches!(asked, Err(engine::Error::Refused { status: 500, message, .. }) if message.contains("too many links"))
    }

    fn stat_book(&self, container: &ContainerId) -> Result<PathStat, engine::Error> {
        self.engine.stat_archive(container, &book_path())
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
        if session.is_save_queued.swap(true, Ordering::SeqCst) {
            return false;
        }
        let is_queued = self.saves.try_send(session.id).is_ok();
        if !is_queued {
            // The reaper's next pass finds it again.
            session.is_save_queued.store(false, Ordering::SeqCst);
        }
        is_queued
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
        session.is_save_queued.store(false, Ordering::SeqCst);
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
            .and_then(|session| Some((session.owner()?, session.book.lock().base.clone())));
        let (player, base) = match known {
            Some((owner, base)) => (owner.player.clone(), base),
            None => (PlayerId::of_lost_session(session_id), Base::Unknown),
        };
        let player = match self.file(&player, &book.bytes, &base).map(drop) {
            // There is no session whose player could be told, so the book is kept under the name that is always kept.
            Err(Error::Store(store::Error::NoRoom { .. })) => {
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

/// Checks that a book is text, in UTF-8 and without control characters except tabs and line ends: anything else would be a
/// book without a spell in it. A game that itself keeps something else may be given something else.
fn check_text(book: &[u8], before: Option<&[u8]>) -> Result<(), Error> {
    let is_text = |book: &[u8]| {
        let is_good = |letter: char| !letter.is_control() || matches!(letter, '\t' | '\n' | '\r');
        std::str::from_utf8(book).is_ok_and(|text| text.chars().all(is_good))
    };
    match is_text(book) || before.is_some_and(|before| !is_text(before)) {
        true => Ok(()),
        false => Err(Error::NotText),
    }
}

fn book_path() -> String {
    format!("{}/{}", sandbox::HOME, archive::FILE)
}

/// Starts the savers. They return when the manager stops.
pub(in crate::session) fn spawn(
    manager: &Arc<Manager>,
    list: &Receiver<SessionId>,
) -> io::Result<Vec<JoinHandle<()>>> {
    threads::spawn_all(threads::Kind::Saver, SAVERS, |_| {
        let (manager, list) = (Arc::clone(manager), list.clone());
        move || save_listed(&manager, &list)
    })
}

fn save_listed(manager: &Manager, list: &Receiver<SessionId>) {
    loop {
        select! {
            recv(list) -> id => match id {
                Ok(id) => manager.save_running(id),
                Err(_) => return,
            },
            recv(manager.stopped) -> _ => return,
        }
    }
}
