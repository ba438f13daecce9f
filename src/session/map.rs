//! The session map: all sessions that are remembered, by their ids.
//!
//! No threads of its own. Its lock is held for look-ups and changes only, never across an Engine call or a channel send.

use std::collections::HashMap;
use std::sync::Arc;

use crate::locks::{RwLock, RwLockWriteGuard, rank};

use super::{Session, SessionId};

/// What the map's lock guards.
pub(super) type Sessions = HashMap<SessionId, Arc<Session>>;

/// All sessions that are remembered.
#[derive(Default)]
pub(super) struct SessionMap {
    sessions: RwLock<Sessions, rank::SessionMap>,
}

impl SessionMap {
    /// The session of this id, if there is one.
    pub(super) fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.sessions.read().get(&id).cloned()
    }

    /// All sessions, in no order.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.sessions.read().values().cloned().collect()
    }

    /// How many sessions there are for which `counts` is true. It is called with the map's lock held.
    pub(super) fn count(&self, counts: impl Fn(&Session) -> bool) -> usize {
        let sessions = self.sessions.read();
        sessions.values().filter(|session| counts(session)).count()
    }

    /// Adds the session, unless there is one of its id.
    pub(super) fn add(&self, session: Arc<Session>) {
        self.sessions.write().entry(session.id).or_insert(session);
    }

    /// Takes the session out of the map. Returns none if another thread has done so before.
    pub(super) fn remove(&self, id: SessionId) -> Option<Arc<Session>> {
        self.sessions.write().remove(&id)
    }

    /// The map, locked, for a thread that decides by what is in it and changes it in the same moment.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Sessions> {
        self.sessions.write()
    }
}
