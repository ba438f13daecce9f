//! The book in a session's container: how it is put there and read, through the Engine's archives.
//!
//! No threads of its own.

use log::warn;

use crate::auth::PlayerId;
use crate::engine::types::PathStat;
use crate::engine::{self, ContainerId};
use crate::session::session::Session;
use crate::session::spellbook::archive::{self, Found, Unreadable};
use crate::session::spellbook::slot::{Base, Turn};
use crate::session::{Error, Manager, sandbox};

/// A tar of the largest book: its header, the book in whole blocks, the end.
const ARCHIVE_LIMIT_BYTES: usize = sandbox::BOOK_LIMIT_BYTES as usize + 16 * 1024;

impl Manager {
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
    pub(super) fn put(
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
    pub(super) fn read_or_mend(
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

    /// What the Engine says of the file in the book's place.
    pub(super) fn stat_book(&self, container: &ContainerId) -> Result<PathStat, engine::Error> {
        self.engine.stat_archive(container, &book_path())
    }
}

fn book_path() -> String {
    format!("{}/{}", sandbox::HOME, archive::FILE)
}
