//! A store that counts how long its calls take, and which fail, around the store that does the work.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::metrics::{Call, Metrics};
use super::{
    Adoption, Book, BookEntry, BookVersion, CookieKeyBytes, Disk, Error, Opening, Record,
    SessionStore, Shelf, Supersedes, Tending,
};
use crate::auth::PlayerId;
use crate::session::SessionId;

/// A store whose calls are measured.
pub struct Timed {
    inner: Arc<dyn SessionStore>,
    metrics: Metrics,
}

impl Timed {
    /// Measures the calls to `inner`, and counts them in `metrics`.
    pub fn new(inner: Arc<dyn SessionStore>, metrics: Metrics) -> Timed {
        Timed { inner, metrics }
    }

    fn time<T>(&self, call: Call, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let began = Instant::now();
        let result = work();
        self.metrics
            .note(call, began.elapsed(), result.as_ref().err());
        result
    }
}

impl SessionStore for Timed {
    fn check(&self) -> Result<(), Error> {
        self.time(Call::Check, || self.inner.check())
    }

    // Not measured, because it is quick.
    fn disk(&self) -> Result<Option<Disk>, Error> {
        self.inner.disk()
    }

    fn insert(&self, record: &Record) -> Result<(), Error> {
        self.time(Call::Insert, || self.inner.insert(record))
    }

    fn update(&self, id: SessionId, change: &mut dyn FnMut(&mut Record)) -> Result<Record, Error> {
        self.time(Call::Update, || self.inner.update(id, change))
    }

    fn remove(&self, id: SessionId) -> Result<(), Error> {
        self.time(Call::Remove, || self.inner.remove(id))
    }

    fn list(&self) -> Result<Vec<Record>, Error> {
        self.time(Call::List, || self.inner.list())
    }

    fn save_book_over(
        &self,
        player: &PlayerId,
        book: &[u8],
        over: Option<&str>,
        game: Option<SessionId>,
    ) -> Result<(), Error> {
        self.time(Call::SaveBook, || {
            self.inner.save_book_over(player, book, over, game)
        })
    }

    // It is no call to the store.
    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn has_joined(&self) -> bool {
        self.inner.has_joined()
    }

    fn open_game(
        &self,
        player: &PlayerId,
        session: SessionId,
        supersedes: Supersedes<'_>,
    ) -> Result<Opening, Error> {
        self.time(Call::OpenGame, || {
            self.inner.open_game(player, session, supersedes)
        })
    }

    fn adopt_game(&self, player: &PlayerId, session: SessionId) -> Result<Adoption, Error> {
        self.time(Call::AdoptGame, || self.inner.adopt_game(player, session))
    }

    fn close_game(&self, player: &PlayerId, session: SessionId) -> Result<(), Error> {
        self.time(Call::CloseGame, || self.inner.close_game(player, session))
    }

    fn book_versions(&self, player: &PlayerId) -> Result<Vec<BookVersion>, Error> {
        self.time(Call::BookVersions, || self.inner.book_versions(player))
    }

    fn read_version(&self, player: &PlayerId, sha256: &str) -> Result<Option<Book>, Error> {
        self.time(Call::ReadVersion, || {
            self.inner.read_version(player, sha256)
        })
    }

    fn read_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.time(Call::ReadBook, || self.inner.read_book(player))
    }

    fn load_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.time(Call::LoadBook, || self.inner.load_book(player))
    }

    fn check_room(&self, player: &PlayerId) -> Result<(), Error> {
        self.time(Call::CheckRoom, || self.inner.check_room(player))
    }

    fn tend_books(&self, tending: &Tending) -> Result<Shelf, Error> {
        self.time(Call::TendBooks, || self.inner.tend_books(tending))
    }

    fn list_books(&self, after: Option<&PlayerId>, most: usize) -> Result<Vec<BookEntry>, Error> {
        self.time(Call::ListBooks, || self.inner.list_books(after, most))
    }

    fn cookie_key(&self, new: &CookieKeyBytes) -> Result<CookieKeyBytes, Error> {
        self.time(Call::CookieKey, || self.inner.cookie_key(new))
    }

    fn revoke(&self, player: &PlayerId, at: SystemTime) -> Result<SystemTime, Error> {
        self.time(Call::Revoke, || self.inner.revoke(player, at))
    }

    fn restore(&self, player: &PlayerId) -> Result<(), Error> {
        self.time(Call::Restore, || self.inner.restore(player))
    }

    fn revoked(&self) -> Result<Vec<(PlayerId, SystemTime)>, Error> {
        self.time(Call::Revoked, || self.inner.revoked())
    }
}
