//! Why a store did not do what it was asked; one sentence for the operator.

use super::{FORMAT, REVOKED_MOST};
use crate::session::SessionId;
use crate::session::sandbox::BOOK_LIMIT_BYTES;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be reached or written now. Either nothing has changed, or it is not known whether something has.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// There is a record with that id already.
    #[error("there is a record of session {0} already")]
    Exists(SessionId),
    /// There is no record with that id.
    #[error("there is no record of session {0}")]
    NotFound(SessionId),
    /// A newer server has written it.
    #[error(
        "{what} has format {found}, and this version reads up to {FORMAT}: start the newer version again, or move it away"
    )]
    Newer {
        /// Which record.
        what: String,
        /// The format of that record.
        found: u32,
    },
    /// Another process uses the store.
    #[error("{0}: choose another DATA_DIR, or end the other server first")]
    Locked(String),
    /// The player's newest book is not the one that this one was to follow.
    #[error("another game has saved a newer spellbook")]
    Overtaken,
    /// All books together take as much as they may, and this player has no book yet.
    #[error(
        "all spellbooks together take the {quota_bytes} bytes of BOOKS_QUOTA, so no new player's is kept: raise it, or remove old books"
    )]
    NoRoom {
        /// `BOOKS_QUOTA`.
        quota_bytes: u64,
    },
    /// As many players are revoked as are allowed.
    #[error(
        "{REVOKED_MOST} players are revoked, which is the limit: restore those whose tokens have run out"
    )]
    TooManyRevoked,
    /// This server's lease is another process's by now, or was buried; or the game is not this server's any more. Nothing
    /// has changed.
    #[error("another server has taken this one's place")]
    Fenced,
    /// The book or the record is above 1 MiB.
    #[error("a spellbook or a record has at most {BOOK_LIMIT_BYTES} bytes")]
    TooBig,
}

impl From<crate::redis::Error> for Error {
    fn from(error: crate::redis::Error) -> Error {
        match error {
            crate::redis::Error::Unavailable(cause) => Error::Unavailable(cause),
            crate::redis::Error::Fenced => Error::Fenced,
        }
    }
}
