//! What is counted of the calls to the store: how long they take, and which fail.

use std::time::Duration;

use super::Error;
use crate::metrics::calls::{Calls, Naming};
use crate::metrics::{self, Registry};

/// The buckets' bounds: from a file in the page cache to a disk that is busy. A store that can't be reached says so
/// within three seconds.
const SECONDS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0];

/// The metrics of a server's calls to its store.
#[derive(Debug, Clone)]
pub struct Metrics {
    calls: Calls,
}

impl Metrics {
    /// All at zero, on a registry.
    ///
    /// # Errors
    /// Only for a name that is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        let naming = Naming {
            seconds: (
                "store_call_duration_seconds",
                "How long calls to the store took.",
            ),
            buckets: &SECONDS,
            errors: (
                "store_call_errors_total",
                "Calls to the store that failed, by call and kind.",
            ),
        };
        let calls = Call::ALL.map(Call::as_str);
        // The one kind that any call may fail with.
        let away = kind(&Error::Unavailable(String::new()));
        Ok(Metrics {
            calls: Calls::register(registry, naming, &calls, &[away])?,
        })
    }

    /// Notes a call, and why it failed if it did.
    pub fn note(&self, call: Call, took: Duration, error: Option<&Error>) {
        self.calls.note(call.as_str(), took, error.map(kind));
    }
}

/// The error's kind in one word.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Unavailable(_) => "unavailable",
        Error::Exists(_) => "exists",
        Error::NotFound(_) => "not_found",
        Error::Newer { .. } => "newer",
        Error::Locked(_) => "locked",
        Error::NoRoom { .. } => "no_room",
        Error::TooManyRevoked => "too_many_revoked",
        Error::TooBig => "too_big",
        Error::Overtaken => "overtaken",
        Error::Fenced => "fenced",
    }
}

/// The functions of a [`SessionStore`](super::SessionStore) that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`check`](super::SessionStore::check).
    Check,
    /// [`insert`](super::SessionStore::insert).
    Insert,
    /// [`update`](super::SessionStore::update).
    Update,
    /// [`remove`](super::SessionStore::remove).
    Remove,
    /// [`list`](super::SessionStore::list).
    List,
    /// [`save_book_over`](super::SessionStore::save_book_over).
    SaveBook,
    /// [`open_game`](super::SessionStore::open_game).
    OpenGame,
    /// [`adopt_game`](super::SessionStore::adopt_game).
    AdoptGame,
    /// [`close_game`](super::SessionStore::close_game).
    CloseGame,
    /// [`book_versions`](super::SessionStore::book_versions).
    BookVersions,
    /// [`read_version`](super::SessionStore::read_version).
    ReadVersion,
    /// [`read_book`](super::SessionStore::read_book).
    ReadBook,
    /// [`load_book`](super::SessionStore::load_book).
    LoadBook,
    /// [`check_room`](super::SessionStore::check_room).
    CheckRoom,
    /// [`tend_books`](super::SessionStore::tend_books).
    TendBooks,
    /// [`list_books`](super::SessionStore::list_books).
    ListBooks,
    /// [`cookie_key`](super::SessionStore::cookie_key).
    CookieKey,
    /// [`revoke`](super::SessionStore::revoke).
    Revoke,
    /// [`restore`](super::SessionStore::restore).
    Restore,
    /// [`revoked`](super::SessionStore::revoked).
    Revoked,
}

impl Call {
    /// All calls.
    pub const ALL: [Call; 20] = [
        Call::Check,
        Call::Insert,
        Call::Update,
        Call::Remove,
        Call::List,
        Call::SaveBook,
        Call::OpenGame,
        Call::AdoptGame,
        Call::CloseGame,
        Call::BookVersions,
        Call::ReadVersion,
        Call::ReadBook,
        Call::LoadBook,
        Call::CheckRoom,
        Call::TendBooks,
        Call::ListBooks,
        Call::CookieKey,
        Call::Revoke,
        Call::Restore,
        Call::Revoked,
    ];

    /// The call's name in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Call::Check => "check",
            Call::Insert => "insert",
            Call::Update => "update",
            Call::Remove => "remove",
            Call::List => "list",
            Call::SaveBook => "save_book",
            Call::OpenGame => "open_game",
            Call::AdoptGame => "adopt_game",
            Call::CloseGame => "close_game",
            Call::BookVersions => "book_versions",
            Call::ReadVersion => "read_version",
            Call::ReadBook => "read_book",
            Call::LoadBook => "load_book",
            Call::CheckRoom => "check_room",
            Call::TendBooks => "tend_books",
            Call::ListBooks => "list_books",
            Call::CookieKey => "cookie_key",
            Call::Revoke => "revoke",
            Call::Restore => "restore",
            Call::Revoked => "revoked",
        }
    }
}
