//! The stores' contract, kept by each of them.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::time::{Duration, SystemTime};

use shellcraft::auth::PlayerId;
use shellcraft::session::SessionId;
use shellcraft::session::store::SessionStore;
use shellcraft::session::store::dir::Directory;
use shellcraft::session::store::memory::{BackingStore, Memory};
use shellcraft::session::store::redis::Redis;
use tempfile::TempDir;

use crate::redis_server::RedisServer;
use crate::store_promises::{self, Place, with_all_store_promises};

impl Place for BackingStore {
    fn open_with(&self, instance: &str, quota_bytes: Option<u64>) -> Box<dyn SessionStore> {
        Box::new(Memory::new(self, instance).with_quota(quota_bytes))
    }

    fn age(&self, player: &PlayerId, by: Duration) {
        self.age_books(player, by);
    }

    fn remove_books(&self, player: &PlayerId) {
        BackingStore::remove_books(self, player);
    }

    fn plant(&self, instance: &str, id: SessionId, bytes: &[u8]) {
        BackingStore::plant(self, instance, id, bytes);
    }

    fn broken(&self, instance: &str, id: SessionId) -> Option<Vec<u8>> {
        BackingStore::broken(self, instance, id)
    }

    fn plant_revoked(&self, players: &[PlayerId]) {
        let store = Memory::new(self, "there:8080");
        for player in players {
            store.revoke(player, SystemTime::now()).expect("room");
        }
    }

    fn versions(&self, player: &PlayerId) -> usize {
        self.books(player).len()
    }
}

impl Place for TempDir {
    fn open_with(&self, instance: &str, quota_bytes: Option<u64>) -> Box<dyn SessionStore> {
        let store = Directory::open(self.path(), instance).expect("open");
        Box::new(store.with_quota(quota_bytes))
    }

    fn age(&self, player: &PlayerId, by: Duration) {
        let books = self.path().join(format!("books/{player}"));
        let books = fs::File::open(books).expect("books");
        let used_at = books.metadata().and_then(|books| books.modified());
        let older = used_at.expect("a time") - by;
        books.set_modified(older).expect("ours");
    }

    fn remove_books(&self, player: &PlayerId) {
        let books = self.path().join(format!("books/{player}"));
        fs::remove_dir_all(books).expect("books");
    }

    fn plant(&self, _instance: &str, id: SessionId, bytes: &[u8]) {
        let sessions = self.path().join("sessions");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&sessions).expect("a directory");
        fs::write(sessions.join(format!("{}.json", id.to_text())), bytes).expect("a file");
    }

    fn broken(&self, _instance: &str, id: SessionId) -> Option<Vec<u8>> {
        let aside = self
            .path()
            .join(format!("sessions/{}.json.broken", id.to_text()));
        fs::read(aside).ok()
    }

    fn plant_revoked(&self, players: &[PlayerId]) {
        let names = players.iter().map(|player| (player.to_string(), 1.into()));
        let names: serde_json::Map<String, serde_json::Value> = names.collect();
        let file = serde_json::json!({"format": 1, "players": names});
        fs::write(self.path().join("revoked.json"), file.to_string()).expect("written");
    }

    fn versions(&self, player: &PlayerId) -> usize {
        let books = self.path().join(format!("books/{player}"));
        fs::read_dir(books).expect("books").count()
    }
}

impl Place for RedisServer {
    fn open_with(&self, instance: &str, quota_bytes: Option<u64>) -> Box<dyn SessionStore> {
        let url = self.url().parse().expect("a URL");
        Box::new(Redis::new(&url, instance).with_quota(quota_bytes))
    }

    fn age(&self, player: &PlayerId, by: Duration) {
        let (key, by) = ("shellcraft:books:used", format!("-{}", by.as_millis()));
        let player = player.to_string();
        if self
            .ask::<Option<String>>(&[b"ZSCORE", key.as_bytes(), player.as_bytes()])
            .is_some()
        {
            self.ask::<f64>(&[b"ZINCRBY", key.as_bytes(), by.as_bytes(), player.as_bytes()]);
        }
    }

    fn remove_books(&self, player: &PlayerId) {
        self.ask::<u64>(&[b"DEL", format!("shellcraft:book:{player}").as_bytes()]);
    }

    fn plant(&self, instance: &str, id: SessionId, bytes: &[u8]) {
        let id = id.to_text();
        let key = format!("shellcraft:{instance}:session:{id}");
        let index = format!("shellcraft:{instance}:session:index");
        self.ask::<()>(&[b"SET", key.as_bytes(), bytes]);
        self.ask::<()>(&[b"SADD", index.as_bytes(), id.as_bytes()]);
    }

    fn broken(&self, instance: &str, id: SessionId) -> Option<Vec<u8>> {
        let key = format!("shellcraft:{instance}:broken:{}", id.to_text());
        self.ask(&[b"GET", key.as_bytes()])
    }

    fn plant_revoked(&self, players: &[PlayerId]) {
        let names: Vec<String> = players.iter().map(PlayerId::to_string).collect();
        let mut command: Vec<&[u8]> = vec![b"HSET", b"shellcraft:revoked"];
        command.extend(names.iter().flat_map(|name| [name.as_bytes(), b"1"]));
        self.ask::<u64>(&command);
    }

    fn versions(&self, player: &PlayerId) -> usize {
        let key = format!("shellcraft:book:{player}");
        self.ask(&[b"LLEN", key.as_bytes()])
    }
}

macro_rules! memory {
    ($($promise:ident,)*) => {
        mod memory {
            $(#[test] fn $promise() { super::store_promises::$promise(&super::BackingStore::default()); })*
        }
    };
}
with_all_store_promises!(memory);

macro_rules! directory {
    ($($promise:ident,)*) => {
        mod directory {
            $(#[test] fn $promise() {
                super::store_promises::$promise(&tempfile::tempdir().expect("a directory"));
            })*
        }
    };
}
with_all_store_promises!(directory);

macro_rules! redis {
    ($($promise:ident,)*) => {
        mod redis {
            $(#[test] fn $promise() { super::store_promises::$promise(&super::RedisServer::start()); })*
        }
    };
}
with_all_store_promises!(redis);
