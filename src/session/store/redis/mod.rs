//! The store in a Redis server (7 or newer), for operators who have one.
//!
//! ```text
//!   shellcraft:<instance>:session:<id>     a record, JSON; forgotten a week after it was last written
//!   shellcraft:<instance>:session:index    the set of ids
//!   shellcraft:<instance>:broken:<id>      what was no record, set aside
//!   shellcraft:cookie-key                  signs players' cookies
//!   shellcraft:revoked                     a hash: players whose logins are revoked, and since when
//!   shellcraft:games:<player>              a hash, in a fleet: the player's games and who holds them
//!   shellcraft:book:<player>               the versions of a book, newest first
//!   shellcraft:books:bytes, :sizes, :used  what all books take, what each takes, and when those that may expire were
//!                                          saved or loaded last
//! ```
//!
//! A version is a line of JSON (when, and the bytes' SHA-256) and then the book's bytes. What Redis has confirmed is as
//! safe as Redis makes it: `appendonly yes` with `appendfsync always` loses nothing.
//!
//! [`records`] reads and changes records, [`version`] is what lies in a book's list, [`games`] knows who plays where, [`shelf`] tends all books together, and [`scripts`] is what Redis does in one step.

mod games;
mod records;
mod scripts;
mod shelf;
mod version;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ::redis::{Cmd, FromRedisValue, Value, cmd};
use log::warn;

use super::record;
use super::{
    Adoption, BLOCK_BYTES, BOOK_VERSIONS, Book, BookEntry, BookVersion, CookieKeyBytes,
    CurrentEpoch, Error, Opening, RECORD_LIFE, REVOKED_MOST, Record, SessionStore, Shelf,
    Supersedes, Tending, checksum, key_from_text, key_to_text, ms_of, ms_revoked, those_after,
    time_of,
};
use crate::auth::PlayerId;
use crate::redis::{CALL, Link, Url};
use crate::session::SessionId;
use crate::session::sandbox::BOOK_LIMIT_BYTES;
use games::games_key;
use records::Lookup;
use version::{BookHead, head_line, whole};

/// How many records are read in one go, each of at most 1 MiB.
const CHUNK: usize = 32;
/// How many ids are asked for in one go.
const IDS_AT_ONCE: usize = 500;

const COOKIE_KEY: &str = "shellcraft:cookie-key";
const REVOKED: &str = "shellcraft:revoked";

/// How the keys of books begin.
const BOOK: &str = "shellcraft:book:";
const BOOK_BYTES: &str = "shellcraft:books:bytes";
const BOOK_SIZES: &str = "shellcraft:books:sizes";
const BOOKS_USED: &str = "shellcraft:books:used";
/// What [`scripts::SAVE_BOOK`] answers when there is no room for the book.
const NO_ROOM: i64 = -1;
/// What [`scripts::SAVE_BOOK`] answers when the newest book is not the one that the new one was to follow.
const OVERTAKEN: i64 = -2;

/// What [`scripts::SAVE_BOOK`] answers when the game that saves is not this server's.
const FENCED: i64 = -3;

/// The store of one instance.
pub struct Redis {
    link: Link,
    instance: String,
    quota_bytes: Option<u64>,
    /// Of a server in a fleet.
    epoch: Option<Arc<CurrentEpoch>>,
}

impl Redis {
    /// Does not connect yet: Redis may be away.
    pub fn new(url: &Url, instance: &str) -> Redis {
        Redis {
            link: Link::new(url),
            instance: instance.to_owned(),
            quota_bytes: None,
            epoch: None,
        }
    }

    /// The same store for a server of a fleet: what it writes is fenced.
    pub fn in_fleet(self, epoch: Arc<CurrentEpoch>) -> Redis {
        Redis {
            epoch: Some(epoch),
            ..self
        }
    }

    /// The same store with a limit on the bytes that all books take together.
    pub fn with_quota(self, quota_bytes: Option<u64>) -> Redis {
        Redis {
            quota_bytes,
            ..self
        }
    }

    /// Sends a command and waits for its answer.
    fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        Ok(self.link.call(command)?)
    }

    /// The command that runs a script on one player's books.
    fn book_script(&self, script: &str, player: &PlayerId) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(script).arg(5).arg(book_key(player));
        command.arg(BOOK_BYTES).arg(BOOK_SIZES).arg(BOOKS_USED);
        command.arg(games_key(player));
        command.arg(player.to_string()).arg(BLOCK_BYTES);
        command
    }

    /// Notes that the book was used now, if it may expire.
    fn touch(&self, player: &PlayerId) -> Result<(), Error> {
        if !player.may_expire() {
            return Ok(());
        }
        let mut command = cmd("ZADD");
        command.arg(BOOKS_USED).arg("XX");
        command
            .arg(ms_of(SystemTime::now()))
            .arg(player.to_string());
        self.call(&command)
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("shellcraft:{}:{kind}:{name}", self.instance)
    }

    fn index(&self) -> String {
        self.key("session", "index")
    }
}

impl SessionStore for Redis {
    /// Writes a key: a Redis that answers may still refuse to write, because it is a replica, is full, or has lost its
    /// own disk.
    fn check(&self) -> Result<(), Error> {
        self.holder()?;
        let mut command = cmd("SET");
        command
            .arg(self.key("check", "0"))
            .arg(1)
            .arg("PX")
            .arg(60_000);
        self.call(&command)
    }

    fn insert(&self, record: &Record) -> Result<(), Error> {
        let id = record.session_id;
        let (_, text) = record::encode(record.clone())?;
        let fill = |command: &mut Cmd| {
            command.arg(text).arg(life_ms()).arg(id.to_text());
        };
        match self.run(scripts::INSERT, id, &[], fill)? {
            true => Ok(()),
            false => Err(Error::Exists(id)),
        }
    }

    fn update(&self, id: SessionId, change: &mut dyn FnMut(&mut Record)) -> Result<Record, Error> {
        let deadline = Instant::now() + CALL;
        while Instant::now() < deadline {
            let Some(Lookup::Record(old, was)) = self.read(&[id])?.pop() else {
                return Err(Error::NotFound(id));
            };
            let (new, text) = record::encode(record::updated(&old, change))?;
            let fill = |command: &mut Cmd| {
                command.arg(text).arg(life_ms()).arg(id.to_text()).arg(was);
            };
            if self.run(scripts::UPDATE, id, &[], fill)? {
                return Ok(new);
            }
        }
        Err(self
            .link
            .unavailable("others are faster again and again")
            .into())
    }

    fn remove(&self, id: SessionId) -> Result<(), Error> {
        self.run(scripts::REMOVE, id, &[], |command| {
            command.arg(id.to_text());
        })
    }

    fn list(&self) -> Result<Vec<Record>, Error> {
        // INVARIANT: a server that is not in its fleet yet takes nothing over: the records may be those of another host.
        self.holder()?;
        let mut records = Vec::new();
        for chunk in self.ids()?.chunks(CHUNK) {
            for (id, place) in chunk.iter().zip(self.read(chunk)?) {
                match place {
                    Lookup::Record(record, _) => records.push(*record),
                    // Redis has expired the record, and its id is still in the set of ids.
                    Lookup::Empty => drop(self.set_aside(*id, b"")?),
                    Lookup::Broken => {}
                }
            }
        }
        Ok(records)
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
        let (sha256, now) = (checksum(book), SystemTime::now());
        let mut command = self.book_script(scripts::SAVE_BOOK, player);
        command
            .arg(ms_of(now))
            .arg(u8::from(player.may_expire()))
            .arg(head_line(&sha256, now))
            .arg(book)
            .arg(sha256)
            .arg(BOOK_VERSIONS);
        match self.quota_bytes.filter(|_| !player.is_always_kept()) {
            Some(quota_bytes) => command.arg(quota_bytes),
            None => command.arg("none"),
        };
        command.arg(over.unwrap_or("any")).arg(checksum(b""));
        if let Some((game, holder)) = game.zip(self.holder()?) {
            command.arg(game.to_text()).arg(holder.to_string());
        }
        match (self.call(&command)?, self.quota_bytes) {
            (FENCED, _) => Err(Error::Fenced),
            (NO_ROOM, Some(quota_bytes)) => Err(Error::NoRoom { quota_bytes }),
            (OVERTAKEN, _) => Err(Error::Overtaken),
            _ => Ok(()),
        }
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
        self.open(player, session, supersedes)
    }

    fn adopt_game(&self, player: &PlayerId, session: SessionId) -> Result<Adoption, Error> {
        self.adopt(player, session)
    }

    fn close_game(&self, player: &PlayerId, session: SessionId) -> Result<(), Error> {
        self.close(player, session)
    }

    fn check_room(&self, player: &PlayerId) -> Result<(), Error> {
        let Some(quota_bytes) = self.quota_bytes.filter(|_| !player.is_always_kept()) else {
            return Ok(());
        };
        let taken: Option<u64> = self.call(cmd("GET").arg(BOOK_BYTES))?;
        if taken.unwrap_or(0) < quota_bytes {
            return Ok(());
        }
        match self.call(cmd("EXISTS").arg(book_key(player)))? {
            true => Ok(()),
            false => Err(Error::NoRoom { quota_bytes }),
        }
    }

    fn tend_books(&self, tending: &Tending) -> Result<Shelf, Error> {
        self.recount(tending.goes_on)?;
        // This is done even if nothing expires here: another server that removes old books does not know who plays on
        // this one.
        for player in tending.in_use.iter().filter(|_| !tending.is_trial) {
            self.touch(player)?;
        }
        let expired = match tending.expiry {
            Some(most) => self.expire(most, tending)?,
            None => 0,
        };
        let mut sum = cmd("EVAL");
        sum.arg(scripts::SUM_BOOKS).arg(2);
        sum.arg(BOOK_BYTES).arg(BOOK_SIZES);
        Ok(Shelf {
            players: self.call(cmd("HLEN").arg(BOOK_SIZES))?,
            bytes: self.call(&sum)?,
            expired,
        })
    }

    fn load_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.touch(player)?;
        self.read_book(player)
    }

    fn book_versions(&self, player: &PlayerId) -> Result<Vec<BookVersion>, Error> {
        let mut command = cmd("EVAL");
        command.arg(scripts::VERSIONS).arg(1).arg(book_key(player));
        let found: Vec<(Vec<u8>, u64)> = self.call(&command)?;
        let version = |(head, bytes): (Vec<u8>, u64)| {
            // The entry may be something that no server has saved.
            let head: BookHead = serde_json::from_slice(&head).ok()?;
            Some(BookVersion {
                sha256: head.sha256,
                bytes,
                saved_at: time_of(head.saved_at_ms)?,
            })
        };
        Ok(found.into_iter().filter_map(version).collect())
    }

    fn read_version(&self, player: &PlayerId, sha256: &str) -> Result<Option<Book>, Error> {
        // Whole versions are fetched only if one of them has that checksum.
        let mut known = self.book_versions(player)?.into_iter();
        if !known.any(|version| version.sha256 == sha256) {
            return Ok(None);
        }
        for place in 0..BOOK_VERSIONS {
            let mut command = cmd("LINDEX");
            command.arg(book_key(player)).arg(place);
            let version: Option<Vec<u8>> = self.call(&command)?;
            let Some(version) = version else { break };
            let found = whole(&version).filter(|book| checksum(&book.bytes) == sha256);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn read_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        for place in 0..BOOK_VERSIONS {
            let mut command = cmd("LINDEX");
            command.arg(book_key(player)).arg(place);
            let version: Option<Vec<u8>> = self.call(&command)?;
            let Some(version) = version else {
                return Ok(None);
            };
            if let Some(book) = whole(&version) {
                return Ok(Some(book));
            }
            let key = book_key(player);
            warn!("number {place} of {key} is not what was written; the one before it is taken");
        }
        Ok(None)
    }

    fn list_books(&self, after: Option<&PlayerId>, most: usize) -> Result<Vec<BookEntry>, Error> {
        let mut players = HashSet::new();
        let mut cursor = 0u64;
        loop {
            let mut command = cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(format!("{BOOK}*"));
            command.arg("COUNT").arg(IDS_AT_ONCE);
            let (next, found): (u64, Vec<Vec<u8>>) = self.call(&command)?;
            let names = found.into_iter().filter_map(|key| {
                let key = String::from_utf8(key).ok()?;
                PlayerId::try_from(key.strip_prefix(BOOK)?.to_owned()).ok()
            });
            players.extend(names);
            if next == 0 {
                break;
            }
            cursor = next;
        }
        let mut entries = Vec::new();
        for player in those_after(players.into_iter().collect(), after) {
            if entries.len() == most {
                break;
            }
            let mut command = cmd("EVAL");
            command.arg(scripts::NEWEST).arg(1).arg(book_key(&player));
            // The book may be gone by now, or may be something that no server has saved.
            let found: Option<(Vec<u8>, u64)> = self.call(&command)?;
            let Some((head, bytes)) = found else { continue };
            let Ok(head) = serde_json::from_slice::<BookHead>(&head) else {
                continue;
            };
            let saved_at = time_of(head.saved_at_ms);
            entries.extend(saved_at.map(|saved_at| BookEntry {
                player,
                bytes,
                saved_at,
            }));
        }
        Ok(entries)
    }

    fn cookie_key(&self, new: &CookieKeyBytes) -> Result<CookieKeyBytes, Error> {
        let mut keep = cmd("SET");
        keep.arg(COOKIE_KEY).arg(key_to_text(new)).arg("NX");
        // Whether `new` was stored or there was a key already: `GET` tells, and tells all servers the same.
        let _: Value = self.call(&keep)?;
        let kept: Vec<u8> = self.call(cmd("GET").arg(COOKIE_KEY))?;
        key_from_text(&kept, COOKIE_KEY)
    }

    /// Two servers that revoke at the same time may together go beyond the limit, which only keeps the list's memory
    /// small.
    fn revoke(&self, player: &PlayerId, at: SystemTime) -> Result<SystemTime, Error> {
        let name = player.to_string();
        let count: usize = self.call(cmd("HLEN").arg(REVOKED))?;
        let kept: Option<u64> = self.call(cmd("HGET").arg(REVOKED).arg(&name))?;
        if count >= REVOKED_MOST && kept.is_none() {
            return Err(Error::TooManyRevoked);
        }
        let ms = ms_revoked(at, kept);
        self.call::<Value>(cmd("HSET").arg(REVOKED).arg(name).arg(ms))?;
        Ok(time_of(ms).unwrap_or(at))
    }

    fn restore(&self, player: &PlayerId) -> Result<(), Error> {
        self.call(cmd("HDEL").arg(REVOKED).arg(player.to_string()))
    }

    fn revoked(&self) -> Result<Vec<(PlayerId, SystemTime)>, Error> {
        let found: Vec<(String, String)> = self.call(cmd("HGETALL").arg(REVOKED))?;
        let read = |(name, ms): (String, String)| {
            let at = ms.parse().ok().and_then(time_of)?;
            Some((PlayerId::try_from(name).ok()?, at))
        };
        let revoked: Option<Vec<_>> = found.into_iter().map(read).collect();
        revoked.ok_or_else(|| {
            let cause = format!("{REVOKED} has something else than players and milliseconds in it");
            Error::Unavailable(cause)
        })
    }
}

fn book_key(player: &PlayerId) -> String {
    format!("{BOOK}{player}")
}

fn life_ms() -> u64 {
    u64::try_from(RECORD_LIFE.as_millis()).unwrap_or(u64::MAX)
}
