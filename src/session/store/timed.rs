//! A store that tells how long its calls take, and which fail, around one that does the work.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::{
    Book, BookEntry, BookVersion, CookieKeyBytes, Disk, Error, Record, SessionStore, Shelf, Tending,
};
use crate::auth::PlayerId;
use crate::metrics::Metrics;
use crate::session::SessionId;

/// The store inside, watched.
pub struct Timed {
    inner: Arc<dyn SessionStore>,
    metrics: Arc<Metrics>,
}

impl Timed {
    /// Watches `inner`.
    pub fn new(inner: Arc<dyn SessionStore>, metrics: Arc<Metrics>) -> Timed {
        Timed { inner, metrics }
    }

    fn time<T>(
        &self,
        call: &'static str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let result = work();
        let kind = result.as_ref().err().map(kind);
        self.metrics.note_store_call(call, began.elapsed(), kind);
        result
    }
}

/// Of the metric's label.
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
    }
}

impl SessionStore for Timed {
    fn check(&self) -> Result<(), Error> {
        self.time("check", || self.inner.check())
    }

    // So quick that it is not worth a time.
    fn disk(&self) -> Result<Option<Disk>, Error> {
        self.inner.disk()
    }

    fn insert(&self, record: &Record) -> Result<(), Error> {
        self.time("insert", || self.inner.insert(record))
    }

    fn update(&self, id: SessionId, change: &mut dyn FnMut(&mut Record)) -> Result<Record, Error> {
        self.time("update", || self.inner.update(id, change))
    }

    fn remove(&self, id: SessionId) -> Result<(), Error> {
        self.time("remove", || self.inner.remove(id))
    }

    fn list(&self) -> Result<Vec<Record>, Error> {
        self.time("list", || self.inner.list())
    }

    fn save_book_over(
        &self,
        player: &PlayerId,
        book: &[u8],
        over: Option<&str>,
    ) -> Result<(), Error> {
        self.time("save_book", || {
            self.inner.save_book_over(player, book, over)
        })
    }

    fn book_versions(&self, player: &PlayerId) -> Result<Vec<BookVersion>, Error> {
        self.time("book_versions", || self.inner.book_versions(player))
    }

    fn read_version(&self, player: &PlayerId, sha256: &str) -> Result<Option<Book>, Error> {
        self.time("read_version", || self.inner.read_version(player, sha256))
    }

    fn read_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.time("read_book", || self.inner.read_book(player))
    }

    fn load_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.time("load_book", || self.inner.load_book(player))
    }

    fn check_room(&self, player: &PlayerId) -> Result<(), Error> {
        self.time("check_room", || self.inner.check_room(player))
    }

    fn tend_books(&self, tending: &Tending) -> Result<Shelf, Error> {
        self.time("tend_books", || self.inner.tend_books(tending))
    }

    fn list_books(&self, after: Option<&PlayerId>, most: usize) -> Result<Vec<BookEntry>, Error> {
        self.time("list_books", || self.inner.list_books(after, most))
    }

    fn cookie_key(&self, new: &CookieKeyBytes) -> Result<CookieKeyBytes, Error> {
        self.time("cookie_key", || self.inner.cookie_key(new))
    }

    fn revoke(&self, player: &PlayerId, at: SystemTime) -> Result<SystemTime, Error> {
        self.time("revoke", || self.inner.revoke(player, at))
    }

    fn restore(&self, player: &PlayerId) -> Result<(), Error> {
        self.time("restore", || self.inner.restore(player))
    }

    fn revoked(&self) -> Result<Vec<(PlayerId, SystemTime)>, Error> {
        self.time("revoked", || self.inner.revoked())
    }
}
