//! The default store: files below `DATA_DIR`, for one server at a time.
//!
//! ```text
//!   DATA_DIR/lock                                  held by the server that uses it
//!            sessions/<session id>.json            a record each, readable by a person
//!            books/<player>/<number>.<sha256>.book the bytes of a spellbook, a version each
//!            cookie.key                            signs players' cookies
//!            revoked.json                          players whose logins are revoked, and since when
//!            tmp/                                  what is being written; emptied at the start
//! ```
//!
//! A file is written in `tmp`, synced, renamed into its place, and the place's directory is synced: after a crash there
//! is the old version or the new one. (Records of containers that wait for a player are not synced.) There is one `tmp`
//! for all files, because looking for leftovers in each player's directory would make the start slower with every
//! player. A record or a book that can't be read is renamed to `….broken`, in the directory where it was.
//!
//! Every call blocks for as long as the disk does. [`folder`] has the operations on files, [`books`] the names of a
//! book's versions, [`shelf`] looks after all books together, [`revoked`] reads and writes `revoked.json`.

mod books;
mod folder;
mod revoked;
mod shelf;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use log::{info, warn};

use super::record::{self, Unreadable};
use super::{
    BOOK_VERSIONS, Book, BookEntry, BookVersion, CookieKeyBytes, Disk, Error, Phase,
    RECORD_LIMIT_BYTES, REVOKED_MOST, Record, SessionStore, Shelf, Tending, check_newest,
    key_from_text, key_to_text, ms_revoked, room_of, time_of,
};
use crate::auth::CookieKey;
use crate::auth::PlayerId;
use crate::locks::{Mutex, MutexGuard, rank};
use crate::session::SessionId;
use crate::session::sandbox::BOOK_LIMIT_BYTES;
use books::{Version, versions};
use folder::{Folder, Found, Lasts, Lock};

const LOCK_NAME: &str = "lock";
const COOKIE_KEY: &str = "cookie.key";
const REVOKED: &str = "revoked.json";
const SESSIONS: &str = "sessions";
const BOOKS: &str = "books";
const TEMPORARY: &str = "tmp";
const BOOK_LIMIT: usize = BOOK_LIMIT_BYTES as usize;
/// A disk with less free space than this counts as full. A book and a record of the greatest size fit into this space.
const LEAST_FREE_BYTES: u64 = BOOK_LIMIT_BYTES + RECORD_LIMIT_BYTES as u64;
/// How much [`SessionStore::check`] writes: a whole block, because a smaller file may fit where no other does.
const TRIAL_BYTES: usize = 4096;
/// Loading a book is noted as its last use only if the last note is older than this.
const TOUCH_EVERY: Duration = Duration::from_secs(24 * 3600);
/// About how many writes run at the same time: a few, since each waits for the disk and the disk can sync several in
/// one go.
const STRIPES: usize = 16;

/// The store below one `DATA_DIR`.
#[derive(Debug)]
pub struct Directory {
    instance: String,
    root: Folder,
    sessions: Folder,
    books: Folder,
    temporary: Folder,
    _lock: Lock,
    /// Makes the names in `tmp`.
    writes: AtomicU64,
    /// Each guards the reading, changing and writing of the records and the players' books that hash to it. A thread
    /// holds one while the disk writes and while an update's `change` runs, and never two at the same time.
    stripes: [Mutex<(), rank::Stripe>; STRIPES],
    quota_bytes: Option<u64>,
    /// The bytes that all books take, once they are counted. Held for a moment.
    book_bytes: Mutex<Option<u64>>,
}

impl Directory {
    /// Opens a directory, or makes it, and removes what a crash has left half-written.
    ///
    /// # Errors
    /// [`Error::Locked`] when another server uses it; [`Error::Unavailable`].
    pub fn open(path: &Path, instance: &str) -> Result<Directory, Error> {
        let root = Folder::root(path)?;
        let Some(lock) = root.lock(LOCK_NAME)? else {
            let used = format!("another server uses {}", path.display());
            return Err(Error::Locked(used));
        };
        let temporary = root.folder(TEMPORARY, "DATA_DIR/tmp")?;
        // INVARIANT: the lock is taken before, otherwise the files might be those that another server is writing.
        remove_leftovers(&temporary)?;
        let directory = Directory {
            instance: instance.to_owned(),
            sessions: root.folder(SESSIONS, "DATA_DIR/sessions")?,
            books: root.folder(BOOKS, "DATA_DIR/books")?,
            temporary,
            root,
            _lock: lock,
            writes: AtomicU64::new(0),
            stripes: Default::default(),
            quota_bytes: None,
            book_bytes: Mutex::new(None),
        };
        // Both files are read now, so that a damaged one ends the start, where the operator sees the error.
        directory.cookie_key(&CookieKey::random_bytes())?;
        directory.read_revoked()?;
        Ok(directory)
    }

    /// The same store with a limit on the bytes that all books take together. The limit holds once
    /// [`SessionStore::tend_books`] has counted the books for the first time: to count them, it looks at every
    /// player's.
    pub fn with_quota(self, quota_bytes: Option<u64>) -> Directory {
        Directory {
            quota_bytes,
            ..self
        }
    }

    fn guard(&self, name: &impl Hash) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        self.stripes[hasher.finish() as usize % STRIPES].lock()
    }

    fn temporary_name(&self) -> String {
        self.writes.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn write(&self, folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let temporary = self.temporary_name();
        folder.write(name, bytes, &self.temporary, &temporary, Lasts::Always)
    }

    /// Writes a record. The record of a container that waits for its player is not worth a wait for the disk: what ends
    /// the host ends that container too, and no player has played in it.
    fn write_record(&self, record: &Record, bytes: &[u8]) -> Result<(), Error> {
        let lasts = match record.phase {
            Phase::Prewarmed => Lasts::WhileTheHostRuns,
            _ => Lasts::Always,
        };
        let (name, temporary) = (file_name(record.session_id), self.temporary_name());
        self.sessions
            .write(&name, bytes, &self.temporary, &temporary, lasts)
    }

    /// Reads a record of this instance; a broken one is set aside and counts as missing.
    fn read(&self, id: SessionId) -> Result<Option<Record>, Error> {
        let name = file_name(id);
        let cause = match self.sessions.read(&name, RECORD_LIMIT_BYTES)? {
            Found::Nothing => return Ok(None),
            Found::Odd(cause) => cause,
            Found::Whole(bytes, _) => match record::decode_of(id, &bytes) {
                Ok(record) => return Ok((record.instance == self.instance).then_some(record)),
                Err(Unreadable::Broken(cause)) => cause,
                Err(Unreadable::Newer { found, instance }) => {
                    if instance.is_some_and(|instance| instance != self.instance) {
                        return Ok(None);
                    }
                    return Err(Error::Newer {
                        what: format!("DATA_DIR/{SESSIONS}/{name}"),
                        found,
                    });
                }
            },
        };
        self.sessions.set_aside(&name)?;
        // The line does not name the file, whose name has the session's whole id in it: no line of the log has that.
        warn!(
            "session={id} its record can't be read and is one of DATA_DIR/{SESSIONS}/*.broken now: {cause}"
        );
        Ok(None)
    }

    /// The newest whole version among these. Newer ones that are not whole are set aside.
    fn newest(
        &self,
        player: &PlayerId,
        folder: &Folder,
        versions: &[Version],
    ) -> Result<Option<Book>, Error> {
        for version in versions {
            let name = version.name();
            let cause = match folder.read(&name, BOOK_LIMIT)? {
                Found::Nothing => continue,
                Found::Odd(cause) => cause,
                Found::Whole(bytes, saved_at) if version.is_of(&bytes) => {
                    return Ok(Some(Book { bytes, saved_at }));
                }
                Found::Whole(..) => "it is not what was written".into(),
            };
            let path = format!("DATA_DIR/{BOOKS}/{player}/{name}");
            match folder.set_aside(&name) {
                Ok(_) => warn!("{path} can't be read and is now {path}.broken or near it: {cause}"),
                // The version before it is tried all the same.
                Err(error) => warn!("{path} can't be read, nor set aside: {cause}; {error}"),
            }
        }
        Ok(None)
    }
}

impl SessionStore for Directory {
    /// Writes a block: the free space alone does not show a quota, a disk that has become read-only, or one that is
    /// failing. Then looks at the free space too: a block often still fits where a book doesn't.
    fn check(&self) -> Result<(), Error> {
        let block = [b'x'; TRIAL_BYTES];
        self.temporary.try_out(&self.temporary_name(), &block)?;
        match self.temporary.disk()? {
            Some(Disk { free_bytes, .. }) if free_bytes < LEAST_FREE_BYTES => {
                Err(Error::Unavailable(format!(
                    "DATA_DIR has {free_bytes} bytes left, and {LEAST_FREE_BYTES} are needed"
                )))
            }
            _ => Ok(()),
        }
    }

    fn disk(&self) -> Result<Option<Disk>, Error> {
        self.temporary.disk()
    }

    fn insert(&self, record: &Record) -> Result<(), Error> {
        let id = record.session_id;
        let (_, bytes) = record::encode(record.clone())?;
        let name = file_name(id);
        let _guard = self.guard(&id);
        if self.sessions.has(&name)? {
            return Err(Error::Exists(id));
        }
        self.write_record(record, &bytes)
    }

    fn update(&self, id: SessionId, change: &mut dyn FnMut(&mut Record)) -> Result<Record, Error> {
        let _guard = self.guard(&id);
        let old = self.read(id)?.ok_or(Error::NotFound(id))?;
        let (new, bytes) = record::encode(record::updated(&old, change))?;
        self.write_record(&new, &bytes)?;
        Ok(new)
    }

    fn remove(&self, id: SessionId) -> Result<(), Error> {
        let _guard = self.guard(&id);
        // The record of another instance stays: that instance may have used this directory before, and may come back.
        match self.read(id) {
            Ok(Some(_)) | Err(Error::Newer { .. }) => self.sessions.remove(&file_name(id)),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn list(&self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for name in self.sessions.names()? {
            let Some(id) = name.strip_suffix(".json").and_then(|id| id.parse().ok()) else {
                continue;
            };
            let _guard = self.guard(&id);
            records.extend(self.read(id)?);
        }
        Ok(records)
    }

    fn save_book_over(
        &self,
        player: &PlayerId,
        book: &[u8],
        over: Option<&str>,
        _game: Option<SessionId>,
    ) -> Result<(), Error> {
        if book.len() > BOOK_LIMIT {
            return Err(Error::TooBig);
        }
        let _guard = self.guard(player);
        let name = player.to_string();
        let found = self.books.existing_folder(&name, "DATA_DIR/books")?;
        let kept = found.as_ref().map(Folder::names).transpose()?;
        let kept = versions(&kept.unwrap_or_default());
        self.find_room(player, &kept)?;
        let folder = match found {
            Some(folder) => folder,
            None => self.books.folder(&name, "DATA_DIR/books")?,
        };
        let newest = self.newest(player, &folder, &kept)?;
        if newest.as_ref().is_some_and(|newest| newest.bytes == book) {
            return Ok(());
        }
        check_newest(newest.as_ref(), over)?;
        let version = Version::next(&kept, book)
            .ok_or_else(|| Error::Unavailable(format!("no numbers left in books/{player}")))?;
        self.write(&folder, &version.name(), book)?;
        let mut gone = 0;
        for old in versions(&folder.names()?).iter().skip(BOOK_VERSIONS) {
            let name = old.name();
            let size = folder.size(&name)?.map_or(0, |(bytes, _)| room_of(bytes));
            match folder.remove(&name) {
                Ok(()) => gone += size,
                // The new version is safe; the next save tries again to remove the old one.
                Err(error) => warn!("an old version of {player}'s spellbook stays: {error}"),
            }
        }
        if let Some(bytes) = self.book_bytes.lock().as_mut() {
            *bytes = (*bytes + room_of(book.len() as u64)).saturating_sub(gone);
        }
        Ok(())
    }

    fn book_versions(&self, player: &PlayerId) -> Result<Vec<BookVersion>, Error> {
        let _guard = self.guard(player);
        let name = player.to_string();
        let Some(folder) = self.books.existing_folder(&name, "DATA_DIR/books")? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for version in versions(&folder.names()?) {
            if let Some((bytes, saved_at)) = folder.size(&version.name())? {
                found.push(BookVersion {
                    sha256: version.checksum,
                    bytes,
                    saved_at,
                });
            }
        }
        Ok(found)
    }

    fn read_version(&self, player: &PlayerId, sha256: &str) -> Result<Option<Book>, Error> {
        let _guard = self.guard(player);
        let name = player.to_string();
        let Some(folder) = self.books.existing_folder(&name, "DATA_DIR/books")? else {
            return Ok(None);
        };
        let mut found = versions(&folder.names()?);
        found.retain(|version| version.checksum == sha256);
        self.newest(player, &folder, &found)
    }

    fn read_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        let _guard = self.guard(player);
        let name = player.to_string();
        match self.books.existing_folder(&name, "DATA_DIR/books")? {
            Some(folder) => self.newest(player, &folder, &versions(&folder.names()?)),
            None => Ok(None),
        }
    }

    fn load_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        let _guard = self.guard(player);
        match self
            .books
            .existing_folder(&player.to_string(), "DATA_DIR/books")?
        {
            Some(folder) => {
                let age = SystemTime::now().duration_since(folder.used_at()?);
                if age.is_ok_and(|age| age >= TOUCH_EVERY) {
                    // The book is loaded all the same.
                    if let Err(error) = folder.touch() {
                        warn!("that {player}'s spellbook is in use is not noted: {error}");
                    }
                }
                self.newest(player, &folder, &versions(&folder.names()?))
            }
            None => Ok(None),
        }
    }

    fn check_room(&self, player: &PlayerId) -> Result<(), Error> {
        let _guard = self.guard(player);
        let name = player.to_string();
        let found = self.books.existing_folder(&name, "DATA_DIR/books")?;
        let names = found.as_ref().map(Folder::names).transpose()?;
        self.find_room(player, &versions(&names.unwrap_or_default()))
    }

    /// A book that is saved meanwhile may be counted twice or not at all; the next time puts that right.
    fn tend_books(&self, tending: &Tending) -> Result<Shelf, Error> {
        self.tend_all(tending)
    }

    fn list_books(&self, after: Option<&PlayerId>, most: usize) -> Result<Vec<BookEntry>, Error> {
        self.list_shelf(after, most)
    }

    fn cookie_key(&self, new: &CookieKeyBytes) -> Result<CookieKeyBytes, Error> {
        let _guard = self.guard(&COOKIE_KEY);
        let place = format!("DATA_DIR/{COOKIE_KEY}");
        match self.root.read(COOKIE_KEY, 1024)? {
            Found::Whole(text, _) => key_from_text(&text, &place),
            Found::Odd(cause) => Err(Error::Unavailable(format!(
                "{place} can't be read: {cause}"
            ))),
            Found::Nothing => {
                let text = key_to_text(new);
                self.write(&self.root, COOKIE_KEY, text.as_bytes())?;
                Ok(*new)
            }
        }
    }

    fn revoke(&self, player: &PlayerId, at: SystemTime) -> Result<SystemTime, Error> {
        let _guard = self.guard(&REVOKED);
        let mut kept = self.read_revoked()?;
        if kept.players.len() >= REVOKED_MOST && !kept.players.contains_key(player) {
            return Err(Error::TooManyRevoked);
        }
        let ms = ms_revoked(at, kept.players.get(player).copied());
        kept.players.insert(player.clone(), ms);
        self.write_revoked(&kept)?;
        Ok(time_of(ms).unwrap_or(at))
    }

    fn restore(&self, player: &PlayerId) -> Result<(), Error> {
        let _guard = self.guard(&REVOKED);
        let mut kept = self.read_revoked()?;
        match kept.players.remove(player) {
            Some(_) => self.write_revoked(&kept),
            None => Ok(()),
        }
    }

    fn revoked(&self) -> Result<Vec<(PlayerId, SystemTime)>, Error> {
        let _guard = self.guard(&REVOKED);
        let players = self.read_revoked()?.players.into_iter();
        Ok(players
            .filter_map(|(player, ms)| Some((player, time_of(ms)?)))
            .collect())
    }
}

fn file_name(id: SessionId) -> String {
    format!("{}.json", id.to_text())
}

fn remove_leftovers(temporary: &Folder) -> Result<(), Error> {
    let names = temporary.names()?;
    for name in names
        .iter()
        .filter(|name| !matches!(name.as_str(), "." | ".."))
    {
        match temporary.remove(name) {
            Ok(()) => info!("removed DATA_DIR/{TEMPORARY}/{name}, left half-written by a crash"),
            Err(error) => warn!("DATA_DIR/{TEMPORARY}/{name} stays: {error}"),
        }
    }
    Ok(())
}
