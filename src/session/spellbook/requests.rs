//! What players and operators ask for their books: to read one, to replace it, to list what is stored.
//!
//! No threads of its own: the threads of the requests run through here, and few of them are at the Engine simultaneously.

use std::net::IpAddr;
use std::time::Instant;

use crate::auth::PlayerId;
use crate::session::admission::calls::{self, Newcomer};
use crate::session::spellbook::archive;
use crate::session::spellbook::slot::{TURN_WAIT, Turn};
use crate::session::state::State;
use crate::session::store;
use crate::session::{Error, Manager, SessionId, sandbox};

/// Requests for books, of all sessions, that are at the Engine at the same time. The Engine copies slower than clients
/// ask, and the saver and newcomers need it too.
pub(in crate::session) const REQUESTS_AT_ONCE: usize = 4;
/// The most requests for books that wait for the Engine, altogether; the next constant is the most of one household.
pub(in crate::session) const REQUESTS_WAITING: usize = 64;
pub(in crate::session) const REQUESTS_WAITING_PER_HOUSEHOLD: usize = 16;

impl Manager {
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
        self.replace_newest(player, book, None)
    }

    /// Makes a version of a player's book the newest, at the wish of a client from `household`. Returns whether there is a
    /// version of that name.
    ///
    /// # Errors
    /// [`Error::StoredTooMuch`]; [`Error::BookBusy`] when too many requests for books wait; otherwise as
    /// [`Manager::import_book`].
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
    /// [`Error::NotFound`], [`Error::Over`], [`Error::NotText`]; [`Error::StoredTooMuch`]; [`Error::BookBusy`] when too many
    /// requests for books wait; [`Error::Store`] for a book that is too big; the errors of the Engine and the store.
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
        self.replace_newest(&owner.player, book, Some(id))?;
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
