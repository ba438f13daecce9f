//! What outlives the process: a record for each session, and the players' spellbooks.
//!
//! ```text
//!   Manager ──▶ SessionStore ──┬─ dir      JSON files below DATA_DIR (the default)
//!                              ├─ redis    JSON values in Redis
//!                              └─ memory   for tests
//! ```
//!
//! The store has no threads of its own: every call blocks the caller, who must not hold a lock. A Redis that cannot be
//! reached says so ([`Error::Unavailable`]) within a few seconds; a disk takes as long as the kernel lets it. A store works
//! again by itself when it is back.

pub mod dir;
mod error;
pub mod games;
pub mod memory;
pub mod metrics;
pub mod record;
pub mod redis;
pub mod timed;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use error::Error;
pub use games::{Adoption, CurrentEpoch, Holder, Opening, Supersedes};
pub use record::{Phase, Record, StoredScreen, StoredTypist, StoredUndrawn};

use super::SessionId;
use crate::auth::PlayerId;

/// The layout of records that this version writes. It reads older ones too.
pub const FORMAT: u32 = 1;
/// How many versions of a spellbook are kept, the newest included.
pub const BOOK_VERSIONS: usize = 5;
/// The block size of most file systems.
const BLOCK_BYTES: u64 = 4096;
/// A store may forget a record that was not written for this long: the server that made it is not coming back. A session
/// that lives longer therefore has its record updated in between; an update that changes nothing is enough.
pub const RECORD_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// The most players whose logins are revoked at a time.
pub const REVOKED_MOST: usize = 10_000;
/// No record is bigger. A screen that does not fit is left out.
pub const RECORD_LIMIT_BYTES: usize = 1024 * 1024;

/// What all spellbooks together amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shelf {
    /// Players who have one.
    pub players: u64,
    /// Bytes that all their versions take, in whole blocks of 4 KiB each, as a file system stores them.
    pub bytes: u64,
    /// Players whose books were too old and are deleted now, or would be if this were not a trial.
    pub expired: u64,
}

/// The disk that a store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// The disk's size in bytes.
    pub total_bytes: u64,
}

/// How [`SessionStore::tend_books`] looks through the books.
pub struct Tending<'a> {
    /// Books of players who can't be recognised again by a name are deleted when they were neither saved nor loaded for
    /// this long.
    pub expiry: Option<Duration>,
    /// Whether expired books are only counted, and stay.
    pub is_trial: bool,
    /// The players whose books stay however old they are, because they are being played with.
    pub in_use: &'a HashSet<PlayerId>,
    /// Called now and then to ask whether to go on.
    pub goes_on: &'a dyn Fn() -> bool,
}

/// The bytes on disk that a version of `bytes` bytes takes: a file system allocates whole blocks, so many small books take
/// much more than their bytes.
fn room_of(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK_BYTES)
}

/// A spellbook as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// The file's bytes, 1 MiB at most.
    pub bytes: Vec<u8>,
    /// When it was saved.
    pub saved_at: SystemTime,
}

/// One of a player's versions, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookVersion {
    /// SHA-256 of its bytes, in hexadecimal: its name.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// When it was saved.
    pub saved_at: SystemTime,
}

/// A player's newest book, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookEntry {
    /// The player whose book it is.
    pub player: PlayerId,
    /// Its size.
    pub bytes: u64,
    /// When it was saved.
    pub saved_at: SystemTime,
}

/// A key that signs cookies.
pub type CookieKeyBytes = [u8; crate::auth::cookie::KEY_BYTES];

/// The key as text, as it is stored.
fn key_to_text(key: &CookieKeyBytes) -> String {
    crate::auth::secret::to_hex(key) + "\n"
}

/// The reverse of [`key_to_text`]; `place` says where the text was found.
fn key_from_text(text: &[u8], place: &str) -> Result<CookieKeyBytes, Error> {
    let text = std::str::from_utf8(text).unwrap_or_default().trim_end();
    let key = crate::auth::secret::from_hex(text);
    let key = key.and_then(|bytes| CookieKeyBytes::try_from(bytes).ok());
    key.ok_or_else(|| {
        Error::Unavailable(format!(
            "{place} is no key of 64 hexadecimal digits: bring it back from a backup, or remove it, \
             and all players are new ones"
        ))
    })
}

/// Milliseconds since 1970.
fn ms_of(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The reverse of [`ms_of`].
fn time_of(ms: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms))
}

/// `at` in milliseconds, rounded up so that it is never earlier than `at`; `kept` if that is later.
fn ms_revoked(at: SystemTime, kept: Option<u64>) -> u64 {
    const ALMOST_ONE: Duration = Duration::from_nanos(999_999);
    ms_of(at.checked_add(ALMOST_ONE).unwrap_or(at)).max(kept.unwrap_or(0))
}

/// The players that come after `after`, by name.
fn those_after(mut players: Vec<PlayerId>, after: Option<&PlayerId>) -> Vec<PlayerId> {
    players.retain(|player| after.is_none_or(|after| player > after));
    players.sort();
    players
}

/// Whether the newest book has the SHA-256 `over`, if one is given. No book counts as an empty one.
fn check_newest(newest: Option<&Book>, over: Option<&str>) -> Result<(), Error> {
    let newest = newest.map_or(&b""[..], |book| &book.bytes);
    match over {
        Some(over) if checksum(newest) != over => Err(Error::Overtaken),
        _ => Ok(()),
    }
}

impl BookVersion {
    /// The list entry of this book.
    fn of(book: &Book) -> BookVersion {
        BookVersion {
            sha256: checksum(&book.bytes),
            bytes: book.bytes.len() as u64,
            saved_at: book.saved_at,
        }
    }
}

/// SHA-256 in hexadecimal, which shows whether a book is whole.
fn checksum(bytes: &[u8]) -> String {
    crate::auth::digest_bytes(bytes)
}

/// Which store, as the operator has chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Files below this directory.
    Directory(PathBuf),
    /// A Redis server.
    Redis(crate::redis::Url),
}

/// Opens the store of this instance, whose books may take `quota_bytes` together. With `epoch`, the instance is one of
/// several that share a Redis. It is no error when Redis can't be
/// reached: Redis may be started later.
///
/// # Errors
/// [`Error::Locked`] and [`Error::Unavailable`] from a directory.
pub fn open(
    choice: &Choice,
    instance: &str,
    quota_bytes: Option<u64>,
    epoch: Option<&Arc<CurrentEpoch>>,
) -> Result<Arc<dyn SessionStore>, Error> {
    Ok(match choice {
        Choice::Directory(path) => {
            Arc::new(dir::Directory::open(path, instance)?.with_quota(quota_bytes))
        }
        Choice::Redis(url) => {
            let store = redis::Redis::new(url, instance).with_quota(quota_bytes);
            Arc::new(match epoch {
                Some(epoch) => store.in_fleet(Arc::clone(epoch)),
                None => store,
            })
        }
    })
}

/// The store of one instance. It never shows the records of other instances. Books belong to the players, whichever
/// instance they play on. Several threads may call it at the same time. What a caller was told is done survives a crash.
pub trait SessionStore: Send + Sync + 'static {
    /// Whether the store can be read and written now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn check(&self) -> Result<(), Error>;

    /// The disk that the store is on; none for a store that is elsewhere, or on a file system that does not tell.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn disk(&self) -> Result<Option<Disk>, Error> {
        Ok(None)
    }

    /// Adds a record, which must be of this instance.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::TooBig`], [`Error::Unavailable`].
    fn insert(&self, record: &Record) -> Result<(), Error>;

    /// Changes a record, and returns the changed record, whose revision is one higher. `change` may be called again when
    /// another update came first. The session's id, its instance and the layout stay as they are.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Newer`], [`Error::TooBig`], [`Error::Unavailable`].
    fn update(&self, id: SessionId, change: &mut dyn FnMut(&mut Record)) -> Result<Record, Error>;

    /// Forgets a record. It is no error when there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn remove(&self, id: SessionId) -> Result<(), Error>;

    /// All records of this instance, in any order. A record that can't be read is set aside, and a line in the log says
    /// where; the others are returned.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Unavailable`].
    fn list(&self) -> Result<Vec<Record>, Error>;

    /// Saves a new version of a player's book, and deletes the oldest beyond [`BOOK_VERSIONS`]. A book that is the same as
    /// the newest adds no version. With `over`, the book is saved only if the newest has that SHA-256, where no book
    /// counts as an empty one. With `game`, it is saved only if that game is open on this server. Checks and save are one
    /// step.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Overtaken`], [`Error::TooBig`], [`Error::NoRoom`], [`Error::Unavailable`].
    fn save_book_over(
        &self,
        player: &PlayerId,
        book: &[u8],
        over: Option<&str>,
        game: Option<SessionId>,
    ) -> Result<(), Error>;

    /// Saves a new version of a player's book like [`SessionStore::save_book_over`], whatever the newest is, and whoever
    /// plays.
    ///
    /// # Errors
    /// As [`SessionStore::save_book_over`].
    fn save_book(&self, player: &PlayerId, book: &[u8]) -> Result<(), Error> {
        self.save_book_over(player, book, None, None)
    }

    /// Whether several servers share the store, so that games are opened and closed.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether the server may use it: one of a fleet has to join that first.
    fn has_joined(&self) -> bool {
        true
    }

    /// Opens a player's game on this server, and supersedes the player's games that `supersedes` names: what these save is
    /// refused from now on. A store that one server uses has nothing to fence, and does nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn open_game(
        &self,
        player: &PlayerId,
        session: SessionId,
        supersedes: Supersedes<'_>,
    ) -> Result<Opening, Error> {
        let _ = (player, session, supersedes);
        Ok(Opening::Open(Vec::new()))
    }

    /// Takes over a game that an earlier life of this server has opened, unless it is superseded.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a later life of this server has it; [`Error::Unavailable`].
    fn adopt_game(&self, player: &PlayerId, session: SessionId) -> Result<Adoption, Error> {
        let _ = (player, session);
        Ok(Adoption::Open)
    }

    /// Closes a game that is over. It is no error when it is not open here.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn close_game(&self, player: &PlayerId, session: SessionId) -> Result<(), Error> {
        let _ = (player, session);
        Ok(())
    }

    /// The versions of a player's book, newest first. It does not check whether they are whole.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn book_versions(&self, player: &PlayerId) -> Result<Vec<BookVersion>, Error>;

    /// The version with that SHA-256, if there is one and it is whole.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn read_version(&self, player: &PlayerId, sha256: &str) -> Result<Option<Book>, Error>;

    /// The newest version of a player's book that is whole. It does not count as a use of the book.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn read_book(&self, player: &PlayerId) -> Result<Option<Book>, Error>;

    /// The newest version of a player's book that is whole, for a player who plays: the book counts as used now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn load_book(&self, player: &PlayerId) -> Result<Option<Book>, Error>;

    /// Whether a book of this player would be saved.
    ///
    /// # Errors
    /// [`Error::NoRoom`], [`Error::Unavailable`].
    fn check_room(&self, player: &PlayerId) -> Result<(), Error>;

    /// Counts the books anew, as they are, and deletes those that are too old. It may take minutes; all other calls go on
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn tend_books(&self, tending: &Tending) -> Result<Shelf, Error>;

    /// Players who have a book, by name: the first `most` of those that come after `after`. It does not check whether
    /// their books are whole.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn list_books(&self, after: Option<&PlayerId>, most: usize) -> Result<Vec<BookEntry>, Error>;

    /// The key that signs players' cookies: the one that is stored; otherwise `new`, which is stored from now on. All
    /// instances share one key, as they share the books.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also when something else is in the key's place: to overwrite it could make all players
    /// strangers.
    fn cookie_key(&self, new: &CookieKeyBytes) -> Result<CookieKeyBytes, Error>;

    /// Revokes the player's logins from before `at`, in whole milliseconds, rounded up. If a later moment is stored
    /// already, as after a clock was put back, that one stays. Returns the moment that is stored. All instances share it,
    /// as they share the books.
    ///
    /// # Errors
    /// [`Error::TooManyRevoked`], [`Error::Unavailable`].
    fn revoke(&self, player: &PlayerId, at: SystemTime) -> Result<SystemTime, Error>;

    /// Forgets that a player's logins are revoked. It is no error when they are not.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn restore(&self, player: &PlayerId) -> Result<(), Error>;

    /// The players whose logins are revoked, and since when, in any order.
    ///
    /// # Errors
    /// [`Error::Newer`]; [`Error::Unavailable`], also when something else is in the list's place: without the list, logins
    /// that an operator has ended would count again.
    fn revoked(&self) -> Result<Vec<(PlayerId, SystemTime)>, Error>;
}
