//! A store in memory, for tests.
//!
//! It keeps what the other stores keep, and records as bytes too, so that it reads and refuses what they do. Several
//! stores may share one [`BackingStore`]: each is the store of one server's life.

mod backing;

use std::sync::Arc;
use std::time::SystemTime;

use log::warn;

use super::games::{HasNewerHolder, not_joined};
use super::record::{self, Unreadable};
use super::{
    Adoption, BOOK_VERSIONS, Book, BookEntry, BookVersion, CookieKeyBytes, CurrentEpoch, Error,
    Holder, Opening, REVOKED_MOST, Record, SessionStore, Shelf, Supersedes, Tending, check_newest,
    checksum, ms_revoked, those_after, time_of,
};
use crate::auth::PlayerId;
use crate::session::SessionId;
use crate::session::sandbox::BOOK_LIMIT_BYTES;
pub use backing::BackingStore;
use backing::Contents;

/// The store of one server's life.
#[derive(Debug)]
pub struct Memory {
    shared: BackingStore,
    instance: String,
    quota_bytes: Option<u64>,
    epoch: Option<Arc<CurrentEpoch>>,
}

impl Memory {
    /// A store over what `shared` holds.
    pub fn new(shared: &BackingStore, instance: &str) -> Memory {
        Memory {
            shared: shared.clone(),
            instance: instance.to_owned(),
            quota_bytes: None,
            epoch: None,
        }
    }

    /// The same store for a server of a fleet.
    pub fn in_fleet(self, epoch: Arc<CurrentEpoch>) -> Memory {
        Memory {
            epoch: Some(epoch),
            ..self
        }
    }

    /// The same store with a limit on the bytes that all books take together.
    pub fn with_quota(self, quota_bytes: Option<u64>) -> Memory {
        Memory {
            quota_bytes,
            ..self
        }
    }

    /// Whether a book of this player may be kept.
    fn find_room(&self, contents: &Contents, player: &PlayerId) -> Result<(), Error> {
        let is_known = contents
            .books
            .get(player)
            .is_some_and(|all| !all.is_empty());
        match self.quota_bytes {
            Some(quota_bytes)
                if !is_known
                    && !player.is_always_kept()
                    && contents.book_bytes() >= quota_bytes =>
            {
                Err(Error::NoRoom { quota_bytes })
            }
            _ => Ok(()),
        }
    }

    fn key(&self, id: SessionId) -> (String, SessionId) {
        (self.instance.clone(), id)
    }

    /// Calls `act` with the contents, or fails while the store is away.
    fn with<T>(&self, act: impl FnOnce(&mut Contents) -> Result<T, Error>) -> Result<T, Error> {
        let mut contents = self.shared.0.lock();
        if contents.is_away {
            return Err(Error::Unavailable("it was sent away".into()));
        }
        act(&mut contents)
    }

    /// This life of the server, if it is one of a fleet.
    fn holder(&self) -> Result<Option<Holder>, Error> {
        let holder = |epoch: &Arc<CurrentEpoch>| {
            Ok(Holder {
                instance: self.instance.clone(),
                epoch: epoch.get().ok_or_else(not_joined)?,
            })
        };
        self.epoch.as_ref().map(holder).transpose()
    }

    /// Like [`Memory::with`], if the server's lease is its own.
    fn with_lease<T>(
        &self,
        act: impl FnOnce(&mut Contents) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let holder = self.holder()?;
        self.with(|contents| {
            if let Some(Holder { instance, epoch }) = holder
                && contents.leases.get(&instance) != Some(&Some(epoch))
            {
                return Err(Error::Fenced);
            }
            act(contents)
        })
    }

    /// Reads one record; a broken one is set aside and counts as missing.
    fn read(&self, contents: &mut Contents, id: SessionId) -> Result<Option<Record>, Error> {
        let key = self.key(id);
        let Some(bytes) = contents.records.get(&key) else {
            return Ok(None);
        };
        match record::decode_of(id, bytes) {
            Ok(record) => Ok(Some(record)),
            Err(Unreadable::Newer { found, .. }) => Err(Error::Newer {
                what: format!("the record of session {}", id.to_text()),
                found,
            }),
            Err(Unreadable::Broken(cause)) => {
                warn!("session={id} its record is set aside: {cause}");
                let bytes = contents.records.remove(&key);
                contents.broken.insert(key, bytes.unwrap_or_default());
                Ok(None)
            }
        }
    }
}

impl SessionStore for Memory {
    fn check(&self) -> Result<(), Error> {
        self.holder()?;
        self.with(|_| Ok(()))
    }

    fn insert(&self, record: &Record) -> Result<(), Error> {
        let (_, bytes) = record::encode(record.clone())?;
        let key = self.key(record.session_id);
        self.with_lease(|contents| {
            if contents.records.contains_key(&key) {
                return Err(Error::Exists(record.session_id));
            }
            contents.records.insert(key, bytes);
            Ok(())
        })
    }

    fn update(&self, id: SessionId, change: &mut dyn FnMut(&mut Record)) -> Result<Record, Error> {
        loop {
            let old = self.with(|contents| self.read(contents, id))?;
            let old = old.ok_or(Error::NotFound(id))?;
            // No lock is held here, because `change` is the caller's code.
            let (new, bytes) = record::encode(record::updated(&old, change))?;
            let is_written = self.with_lease(|contents| {
                let now = self.read(contents, id)?.ok_or(Error::NotFound(id))?;
                let is_first = now.revision == old.revision;
                if is_first {
                    contents.records.insert(self.key(id), bytes);
                }
                Ok(is_first)
            })?;
            if is_written {
                return Ok(new);
            }
        }
    }

    fn remove(&self, id: SessionId) -> Result<(), Error> {
        self.with_lease(|contents| {
            contents.records.remove(&self.key(id));
            Ok(())
        })
    }

    fn list(&self) -> Result<Vec<Record>, Error> {
        self.holder()?;
        self.with(|contents| {
            let ours = contents.records.keys();
            let ours: Vec<SessionId> = ours
                .filter(|(instance, _)| *instance == self.instance)
                .map(|(_, id)| *id)
                .collect();
            let mut records = Vec::with_capacity(ours.len());
            for id in ours {
                records.extend(self.read(contents, id)?);
            }
            Ok(records)
        })
    }

    fn save_book_over(
        &self,
        player: &PlayerId,
        book: &[u8],
        over: Option<&str>,
        game: Option<SessionId>,
    ) -> Result<(), Error> {
        if book.len() as u64 > BOOK_LIMIT_BYTES {
            return Err(Error::TooBig);
        }
        let holder = self.holder()?;
        self.with(|contents| {
            if let Some((game, holder)) = game.zip(holder) {
                let games = contents.games.get(player);
                if !games.is_some_and(|games| games.may_save(game, &holder)) {
                    return Err(Error::Fenced);
                }
            }
            self.find_room(contents, player)?;
            let versions = contents.books.entry(player.clone()).or_default();
            if versions.last().is_some_and(|newest| newest.bytes == book) {
                return Ok(());
            }
            check_newest(versions.last(), over)?;
            versions.push(Book {
                bytes: book.to_vec(),
                saved_at: SystemTime::now(),
            });
            let surplus = versions.len().saturating_sub(BOOK_VERSIONS);
            versions.drain(..surplus);
            Ok(())
        })
    }

    fn is_shared(&self) -> bool {
        self.epoch.is_some()
    }

    fn has_joined(&self) -> bool {
        self.epoch
            .as_ref()
            .is_none_or(|epoch| epoch.get().is_some())
    }

    fn open_game(
        &self,
        player: &PlayerId,
        session: SessionId,
        supersedes: Supersedes<'_>,
    ) -> Result<Opening, Error> {
        match self.holder()? {
            None => Ok(Opening::Open(Vec::new())),
            Some(holder) => self.with(|contents| {
                let games = contents.games.entry(player.clone()).or_default();
                Ok(games.open(session, &holder, supersedes))
            }),
        }
    }

    fn adopt_game(&self, player: &PlayerId, session: SessionId) -> Result<Adoption, Error> {
        match self.holder()? {
            None => Ok(Adoption::Open),
            Some(holder) => self.with(|contents| {
                let games = contents.games.entry(player.clone()).or_default();
                let adoption = games.adopt(session, &holder);
                adoption.map_err(|HasNewerHolder| Error::Fenced)
            }),
        }
    }

    fn close_game(&self, player: &PlayerId, session: SessionId) -> Result<(), Error> {
        match self.holder()? {
            None => Ok(()),
            Some(holder) => self.with(|contents| {
                if let Some(games) = contents.games.get_mut(player) {
                    games.close(session, &holder);
                }
                Ok(())
            }),
        }
    }

    fn book_versions(&self, player: &PlayerId) -> Result<Vec<BookVersion>, Error> {
        self.with(|contents| {
            let versions = contents.books.get(player).into_iter().flatten().rev();
            Ok(versions.map(BookVersion::of).collect())
        })
    }

    fn read_version(&self, player: &PlayerId, sha256: &str) -> Result<Option<Book>, Error> {
        self.with(|contents| {
            let mut versions = contents.books.get(player).into_iter().flatten();
            let found = versions.find(|book| checksum(&book.bytes) == sha256);
            Ok(found.cloned())
        })
    }

    fn read_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.with(|contents| {
            let versions = contents.books.get(player);
            Ok(versions.and_then(|all| all.last().cloned()))
        })
    }

    fn load_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.with(|contents| {
            let now = SystemTime::now();
            contents.loaded_at.insert(player.clone(), now);
            Ok(())
        })?;
        self.read_book(player)
    }

    fn check_room(&self, player: &PlayerId) -> Result<(), Error> {
        self.with(|contents| self.find_room(contents, player))
    }

    fn tend_books(&self, tending: &Tending) -> Result<Shelf, Error> {
        self.with(|contents| {
            let now = SystemTime::now();
            let Contents {
                books, loaded_at, ..
            } = contents;
            if !tending.is_trial {
                let played = tending.in_use.iter().map(|player| (player.clone(), now));
                loaded_at.extend(played);
            }
            let mut expired = 0;
            books.retain(|player, versions| {
                let times = versions.iter().map(|book| book.saved_at);
                let used_at = times.chain(loaded_at.get(player).copied()).max();
                let age = used_at.and_then(|used_at| now.duration_since(used_at).ok());
                let is_old = age
                    .zip(tending.expiry)
                    .is_some_and(|(age, most)| age >= most);
                let stays = !is_old || !player.may_expire() || tending.in_use.contains(player);
                expired += u64::from(!stays);
                stays || tending.is_trial
            });
            Ok(Shelf {
                players: books.len() as u64,
                expired,
                bytes: contents.book_bytes(),
            })
        })
    }

    fn list_books(&self, after: Option<&PlayerId>, most: usize) -> Result<Vec<BookEntry>, Error> {
        self.with(|contents| {
            let players = contents.books.keys().cloned().collect();
            let players = those_after(players, after).into_iter();
            let entries = players.filter_map(|player| {
                let newest = contents.books.get(&player)?.last()?;
                Some(BookEntry {
                    bytes: newest.bytes.len() as u64,
                    saved_at: newest.saved_at,
                    player,
                })
            });
            Ok(entries.take(most).collect())
        })
    }

    fn cookie_key(&self, new: &CookieKeyBytes) -> Result<CookieKeyBytes, Error> {
        self.with(|contents| Ok(*contents.cookie_key.get_or_insert(*new)))
    }

    fn revoke(&self, player: &PlayerId, at: SystemTime) -> Result<SystemTime, Error> {
        self.with(|contents| {
            let revoked = &mut contents.revoked;
            if revoked.len() >= REVOKED_MOST && !revoked.contains_key(player) {
                return Err(Error::TooManyRevoked);
            }
            let ms = ms_revoked(at, revoked.get(player).copied());
            revoked.insert(player.clone(), ms);
            Ok(time_of(ms).unwrap_or(at))
        })
    }

    fn restore(&self, player: &PlayerId) -> Result<(), Error> {
        self.with(|contents| {
            contents.revoked.remove(player);
            Ok(())
        })
    }

    fn revoked(&self) -> Result<Vec<(PlayerId, SystemTime)>, Error> {
        self.with(|contents| {
            let revoked = contents.revoked.iter();
            let revoked = revoked.filter_map(|(player, ms)| Some((player.clone(), time_of(*ms)?)));
            Ok(revoked.collect())
        })
    }
}
