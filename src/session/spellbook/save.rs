//! Decides what happens to a book that was read from a container. This is the only place where that is decided; who tries
//! again when it fails is decided by [`crate::session::reaper::is_save_due`] while the game goes on, and at its end by the
//! session's own thread ([`crate::session::supervisor`]).
//!
//! ```text
//!             put in, read back                  learn, forget
//!   in the store ──────────────▶ in the container ─────────────▶ changed ◀──── failed: again, by the clock
//!        ▲                          ▲                               │                ▲
//!        │                          │   noted: it is the base now   │ looked at      │
//!        │                          └────────────────────┐          ▼                │
//!        │                                               │       a save ─────────────┘
//!        │   the newest there is what this game had      │          │
//!        ├───────────────────────────────────────────────┴──────────┤
//!        │                                                          │ another game was faster
//!        │   what this game has changed is carried into its book    ▼
//!        └────────────────────────────────────────────────────── joined ──▶ set aside, if both have changed one
//!                                                                           spell, or the books can't be joined
//! ```
//!
//! A book that is set aside, or that an upload replaces, is kept under a name of its own beside the player's versions, so
//! that no autosave pushes it out. Players get it back from the start page.
//!
//! Threads: the savers, a session's own thread, and those of requests work here. Each takes the session's turn with its
//! book. Two games of one player have two turns, and the store decides which was first.

use log::{debug, warn};

use crate::auth;
use crate::auth::PlayerId;
use crate::session::session::Session;
use crate::session::spellbook::archive::Found;
use crate::session::spellbook::join::{self, Joined};
use crate::session::spellbook::slot::{Base, Kept};
use crate::session::state::Reason;
use crate::session::store::{self, Adoption, Book, BookVersion};
use crate::session::{Error, Manager, SessionId};
use crate::terminal::frame::Notice;
use crate::warn_throttled;

/// How often a book is joined with one that another game has just saved, before it is left for the next look.
const TRIES: usize = 5;

impl Manager {
    /// Saves a book that was read from a container, if it is a book and new.
    pub(in crate::session) fn save(
        &self,
        session: &Session,
        read: Result<Found, Error>,
        player: &PlayerId,
    ) -> Result<Kept, Error> {
        let book = match read {
            Ok(book) => book,
            // INVARIANT: part of a book is not saved over a whole one.
            Err(error @ (Error::NotABook(_) | Error::BookInPart)) => {
                warn!("session={} no book to save: {error}", session.id);
                return Ok(Kept::NotABook);
            }
            Err(error) => return Err(error),
        };
        let base = session.book.lock().base.clone();
        let is_as_it_was = base.name() == Some(auth::digest_bytes(&book.bytes).as_str());
        // INVARIANT: if the base comes from the last life, a book in which no one has written since it came from the store
        // is not saved: it is an old version if the player has another game by now, or was never put in.
        let is_old = matches!(base, Base::Unknown | Base::Left(_)) && !book.is_touched;
        if is_as_it_was || is_old {
            if is_as_it_was {
                session.book.lock().base = Base::of(&book.bytes);
            }
            return Ok(Kept::Unchanged);
        }
        let filed = match self.file(player, &book.bytes, &base, Some(session.id)) {
            Err(Error::Store(store::Error::Fenced)) => {
                if self.is_superseded(session.id, player)? {
                    return self.keep_superseded(session, &book.bytes);
                }
                self.file(player, &book.bytes, &base, Some(session.id))
            }
            filed => filed,
        };
        match filed {
            Ok(Filed::Differing) => session.hub.notify(&Notice::books_differ()),
            Ok(Filed::Whole) => {}
            Err(Error::Store(error @ store::Error::NoRoom { .. })) => {
                warn_throttled!("session={} its book is not kept: {error}", session.id);
                if !std::mem::replace(&mut session.book.lock().is_told_of_no_room, true) {
                    session.hub.notify(&Notice::no_room_for_book());
                }
                return Ok(Kept::NoRoom);
            }
            Err(error) => return Err(error),
        }
        session.book.lock().base = Base::of(&book.bytes);
        self.keep_base(session);
        let size = book.bytes.len();
        self.charge_stored(session, size);
        debug!("session={} book saved: {size} bytes", session.id);
        Ok(Kept::Saved)
    }

    /// Whether the player goes on with another game in this one's place. A game that is not open by now, such as one of this
    /// server's last life, is open from now on.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(in crate::session) fn is_superseded(
        &self,
        id: SessionId,
        player: &PlayerId,
    ) -> Result<bool, Error> {
        if !self.store.is_shared() {
            return Ok(false);
        }
        Ok(match self.store.adopt_game(player, id)? {
            Adoption::Open => false,
            Adoption::Superseded(_) => true,
        })
    }

    /// Keeps the book of a game whose player goes on with another one, under a name of its own, and ends the game: nothing
    /// is thrown away, and nothing newer is overwritten.
    fn keep_superseded(&self, session: &Session, book: &[u8]) -> Result<Kept, Error> {
        let lost = PlayerId::of_lost_session(&session.id.to_text());
        self.store.save_book(&lost, book)?;
        session.book.lock().base = Base::of(book);
        warn!(
            "session={} its player goes on with another game: its book is kept as {lost}",
            session.id
        );
        // Illegal only when it is over already.
        let _ = session.order_end(Reason::Moved);
        Ok(Kept::Saved)
    }

    /// Writes the current base into the record. Otherwise the server's next life would take an older book for the base,
    /// and would join what need not be joined.
    pub(in crate::session) fn keep_base(&self, session: &Session) {
        let name = session.book.lock().base.name().map(str::to_owned);
        let kept = self
            .store
            .update(session.id, &mut |record| record.book = name.clone());
        match kept {
            // A session that is about to be forgotten may have no record any more.
            Ok(_) | Err(store::Error::NotFound(_)) => {}
            Err(error) => {
                warn_throttled!(
                    "session={} its record does not tell that its book is saved: {error}",
                    session.id
                );
            }
        }
    }

    /// Makes `book`, which `game` saves, the player's newest. If another game has saved one since `base`, the two are
    /// joined.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(in crate::session) fn file(
        &self,
        player: &PlayerId,
        book: &[u8],
        base: &Base,
        game: Option<SessionId>,
    ) -> Result<Filed, Error> {
        let mut over = base.name().map(str::to_owned);
        if let Some(name) = &over {
            match self.store.save_book_over(player, book, Some(name), game) {
                Err(store::Error::Overtaken) => {}
                saved => return Ok(saved.map(|()| Filed::Whole)?),
            }
        }
        let before = self.base_bytes(player, base)?;
        let before = match (base, &before) {
            (Base::Known(bytes, _), _) => join::MergeBase::Exact(bytes),
            (Base::Named(_), Some(book)) => join::MergeBase::Exact(&book.bytes),
            (_, Some(book)) => join::MergeBase::Likely(&book.bytes),
            (_, None) => join::MergeBase::Unknown,
        };
        for _ in 0..TRIES {
            let newest = self.store.read_book(player)?;
            let newest = newest.map_or_else(Vec::new, |book| book.bytes);
            let name = auth::digest_bytes(&newest);
            let joined = match newest.as_slice() {
                // The stored copy is empty or was removed.
                b"" => Joined::Whole(book.to_vec()),
                newest => join::join(before, book, newest),
            };
            let (joined, filed) = match joined {
                Joined::Whole(joined) => (joined, Filed::Whole),
                Joined::Differing(joined) => (joined, Filed::Differing),
                Joined::Apart => (book.to_vec(), Filed::Differing),
            };
            if filed == Filed::Differing {
                self.set_aside_book(player, &newest)?;
            }
            // The store itself says that this book is the newest: what seemed to be newer is not a book.
            let is_again = over.as_ref() == Some(&name);
            let only_over = (!is_again).then_some(name.as_str());
            match self.store.save_book_over(player, &joined, only_over, game) {
                Err(store::Error::Overtaken) => over = Some(name),
                saved => return Ok(saved.map(|()| filed)?),
            }
        }
        Err(store::Error::Overtaken.into())
    }

    /// The bytes of a base of which only the name is known, if the store still has them.
    fn base_bytes(&self, player: &PlayerId, base: &Base) -> Result<Option<Book>, Error> {
        match base {
            Base::Left(name) | Base::Named(name) => Ok(self.store.read_version(player, name)?),
            _ => Ok(None),
        }
    }

    /// Makes `book` the player's newest, whichever is the newest now; with `game`, only while that is open here. The former
    /// newest is kept where no autosave pushes it out, and so is a book that another game saves meanwhile.
    pub(in crate::session) fn replace_newest(
        &self,
        player: &PlayerId,
        book: &[u8],
        game: Option<SessionId>,
    ) -> Result<(), Error> {
        for _ in 0..TRIES {
            let newest = self.set_newest_aside(player, book)?;
            match self.store.save_book_over(player, book, Some(&newest), game) {
                Err(store::Error::Overtaken) => {}
                saved => return Ok(saved?),
            }
        }
        Err(store::Error::Overtaken.into())
    }

    /// Sets the player's newest book aside before `next` takes its place. Returns its SHA-256.
    pub(in crate::session) fn set_newest_aside(
        &self,
        player: &PlayerId,
        next: &[u8],
    ) -> Result<String, Error> {
        let newest = self.store.read_book(player)?;
        let newest = newest.map_or_else(Vec::new, |book| book.bytes);
        if !newest.is_empty() && newest != next {
            self.set_aside_book(player, &newest)?;
        }
        Ok(auth::digest_bytes(&newest))
    }

    /// Adds a book to those that are set aside, unless it is there already.
    fn set_aside_book(&self, player: &PlayerId, book: &[u8]) -> Result<(), Error> {
        let name = auth::digest_bytes(book);
        let mut versions = self.store.book_versions(&player.aside())?.into_iter();
        match versions.any(|version| version.sha256 == name) {
            true => Ok(()),
            false => Ok(self.store.save_book(&player.aside(), book)?),
        }
    }

    /// The versions of a player's book that can be read, newest first, and those that were set aside.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn book_versions(
        &self,
        player: &PlayerId,
    ) -> Result<(Vec<BookVersion>, Vec<BookVersion>), Error> {
        let versions = self.store.book_versions(player)?;
        let mut aside = self.store.book_versions(&player.aside())?;
        aside.retain(|version| versions.iter().all(|other| other.sha256 != version.sha256));
        Ok((versions, aside))
    }

    /// One of the versions that [`Manager::book_versions`] lists.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn book_version(&self, player: &PlayerId, sha256: &str) -> Result<Option<Book>, Error> {
        match self.store.read_version(player, sha256)? {
            Some(book) => Ok(Some(book)),
            None => Ok(self.store.read_version(&player.aside(), sha256)?),
        }
    }
}

/// How a book got into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Filed {
    /// The stored book has all that this game and others have changed.
    Whole,
    /// Another game has changed the same spell; its book was set aside.
    Differing,
}
