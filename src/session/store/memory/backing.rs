//! What stores in memory keep; several may share it. Tests reach into it.
//!
//! No threads of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::auth::PlayerId;
use crate::locks::Mutex;
use crate::session::SessionId;
use crate::session::store::games::Games;
use crate::session::store::{Book, CookieKeyBytes, room_of};

/// What a store keeps, which outlives the server that wrote it.
#[derive(Debug, Clone, Default)]
pub struct BackingStore(pub(super) Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
pub(super) struct Contents {
    /// By instance and session.
    pub(super) records: HashMap<(String, SessionId), Vec<u8>>,
    pub(super) broken: HashMap<(String, SessionId), Vec<u8>>,
    /// Oldest first.
    pub(super) books: HashMap<PlayerId, Vec<Book>>,
    /// When each player's books were loaded last.
    pub(super) loaded_at: HashMap<PlayerId, SystemTime>,
    pub(super) cookie_key: Option<CookieKeyBytes>,
    /// Since when each player's logins are revoked, in milliseconds since 1970.
    pub(super) revoked: HashMap<PlayerId, u64>,
    /// The lease of each server of a fleet: its epoch, if it is not buried.
    pub(super) leases: HashMap<String, Option<u64>>,
    pub(super) games: HashMap<PlayerId, Games>,
    pub(super) is_away: bool,
}

impl BackingStore {
    /// Sets the epoch of a server's lease, or buries it with none.
    pub fn set_lease(&self, instance: &str, epoch: Option<u64>) {
        self.0.lock().leases.insert(instance.to_owned(), epoch);
    }

    /// Loses what is known of a player's games.
    pub fn forget_games(&self, player: &PlayerId) {
        self.0.lock().games.remove(player);
    }

    /// Makes every call fail from now on, or none.
    pub fn set_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    /// Puts bytes in a record's place, whatever they are.
    pub fn plant(&self, instance: &str, id: SessionId, bytes: &[u8]) {
        let key = (instance.to_owned(), id);
        self.0.lock().records.insert(key, bytes.to_vec());
    }

    /// What was set aside because it was no record.
    pub fn broken(&self, instance: &str, id: SessionId) -> Option<Vec<u8>> {
        let key = (instance.to_owned(), id);
        self.0.lock().broken.get(&key).cloned()
    }

    /// Makes the books of a player older than they are.
    pub fn age_books(&self, player: &PlayerId, by: Duration) {
        let mut contents = self.0.lock();
        if let Some(loaded_at) = contents.loaded_at.get_mut(player) {
            *loaded_at -= by;
        }
        for book in contents.books.entry(player.clone()).or_default() {
            book.saved_at -= by;
        }
    }

    /// Removes a player's books.
    pub fn remove_books(&self, player: &PlayerId) {
        self.0.lock().books.remove(player);
    }

    /// A player's books, oldest first.
    pub fn books(&self, player: &PlayerId) -> Vec<Book> {
        self.0.lock().books.get(player).cloned().unwrap_or_default()
    }
}

impl Contents {
    pub(super) fn book_bytes(&self) -> u64 {
        let versions = self.books.values().flatten();
        versions.map(|book| room_of(book.bytes.len() as u64)).sum()
    }
}
