//! Which of a player's games may save the player's book, where several servers share one store: the rules, pure.
//!
//! A game is *open* while the player's entry for it names its holder: one life of the server that has the container. A game
//! whose server was buried is *superseded* by the game that its player has gone on with: a mark in the entry's place names
//! that successor, and what the superseded game still saves is refused, however late it comes. Nothing is compared but the
//! holder, so no clock matters.
//!
//! ```text
//!              open                        open, with the holder among the buried
//!     none ───────────▶ open (holder) ─────────────────────────────────────────────▶ superseded (successor)
//!       ▲                 │    ▲ │                                                          │
//!       └─────────────────┘    └─┘ adopt: a later life of the same server                   └ adopt: told the successor
//!          close
//! ```
//!
//! [`Games`] keeps the entries of one player in memory; the scripts of [`super::redis`] do the same in Redis, and a test
//! compares the two. No threads of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Error;
use crate::session::SessionId;

/// One life of one server of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// The server's `INSTANCE`.
    pub instance: String,
    /// The epoch of its lease: each life of an instance has a higher one than the life before.
    pub epoch: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.instance, self.epoch)
    }
}

/// The error for a text that names no holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance and its epoch are needed, such as web-1:8080/7")]
pub struct NotAHolder;

impl FromStr for Holder {
    type Err = NotAHolder;

    fn from_str(text: &str) -> Result<Holder, NotAHolder> {
        let (instance, epoch) = text.rsplit_once('/').ok_or(NotAHolder)?;
        Ok(Holder {
            instance: instance.to_owned(),
            epoch: epoch.parse().map_err(|_| NotAHolder)?,
        })
    }
}

/// A server's place in a fleet, as its store needs to know it. Shared with what keeps the server's lease.
#[derive(Debug, Default)]
pub struct CurrentEpoch {
    /// Zero until the server has joined.
    epoch: AtomicU64,
}

impl CurrentEpoch {
    /// Notes the epoch that the server has from now on.
    pub fn set(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::SeqCst);
    }

    /// The epoch that the server has; none before it has joined.
    pub fn get(&self) -> Option<u64> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        (epoch > 0).then_some(epoch)
    }
}

/// The error of a store whose server has not joined its fleet yet.
pub(super) fn not_joined() -> Error {
    Error::Unavailable("this server has not joined its fleet yet".into())
}

/// What an opened game supersedes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Supersedes<'a> {
    /// The game that the player goes on with in the new one.
    pub resumed: Option<SessionId>,
    /// The lives of servers that are buried: the player's games there are over.
    pub buried: &'a [Holder],
}

/// What became of [`open_game`](super::SessionStore::open_game).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// The game is open: its saves count from now on. The player's other games that are open, with their holders, by
    /// id.
    Open(Vec<(SessionId, Holder)>),
    /// Nothing has changed: the player goes on with this game already.
    Resumed(SessionId),
    /// Nothing has changed: the game that was to be resumed is open, and its holder is not buried.
    Held(Holder),
}

/// What became of [`adopt_game`](super::SessionStore::adopt_game).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// The game is open, and this life of the server is its holder.
    Open,
    /// Nothing has changed: the player goes on with another game.
    Superseded(SessionId),
}

/// Another life of the same server has the game, which is later than the one that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HasNewerHolder;

/// The entries of one player's games.
#[derive(Debug, Clone, Default)]
pub(super) struct Games {
    open: BTreeMap<SessionId, Holder>,
    /// Each superseded game with its successor.
    superseded: BTreeMap<SessionId, SessionId>,
}

impl Games {
    /// Opens a game, and supersedes others.
    pub(super) fn open(
        &mut self,
        session: SessionId,
        holder: &Holder,
        supersedes: Supersedes<'_>,
    ) -> Opening {
        let is_buried = |holder: &Holder| supersedes.buried.contains(holder);
        if let Some(resumed) = supersedes.resumed {
            // A successor that is gone was never played, or is over: the player may go on anew.
            let successor = self.superseded.get(&resumed);
            let is_there =
                |id: &SessionId| self.open.contains_key(id) || self.superseded.contains_key(id);
            if let Some(successor) = successor.copied().filter(is_there) {
                return Opening::Resumed(successor);
            }
            if let Some(holder) = self.open.get(&resumed).filter(|holder| !is_buried(holder)) {
                return Opening::Held(holder.clone());
            }
            self.superseded.insert(resumed, session);
        }
        let over: Vec<_> = self
            .open
            .iter()
            .filter(|(id, holder)| Some(**id) == supersedes.resumed || is_buried(holder))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.open.remove(&id);
            self.superseded.insert(id, session);
        }
        let others = self.open.iter().filter(|(id, _)| **id != session);
        let others = others.map(|(id, holder)| (*id, holder.clone())).collect();
        self.open.insert(session, holder.clone());
        Opening::Open(others)
    }

    /// Makes a later life of the server the game's holder, or enters the game anew where the entries were lost.
    pub(super) fn adopt(
        &mut self,
        session: SessionId,
        holder: &Holder,
    ) -> Result<Adoption, HasNewerHolder> {
        if let Some(successor) = self.superseded.get(&session) {
            return Ok(Adoption::Superseded(*successor));
        }
        match self.open.get(&session) {
            Some(now) if now.instance != holder.instance || now.epoch > holder.epoch => {
                Err(HasNewerHolder)
            }
            _ => {
                self.open.insert(session, holder.clone());
                Ok(Adoption::Open)
            }
        }
    }

    /// Forgets a game that is over, if this life of the server holds it.
    pub(super) fn close(&mut self, session: SessionId, holder: &Holder) {
        if self.may_save(session, holder) {
            self.open.remove(&session);
        }
    }

    /// Whether what the game saves counts.
    pub(super) fn may_save(&self, session: SessionId, holder: &Holder) -> bool {
        self.open.get(&session) == Some(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(text: &str) -> Holder {
        text.parse().expect("a holder")
    }

    #[test]
    fn a_holder_is_read_as_it_is_printed() {
        for text in ["web-1:8080/7", "a/b/18446744073709551615"] {
            assert_eq!(holder(text).to_string(), text);
        }
        for text in ["", "web", "web/", "web/x", "web/-1"] {
            assert_eq!(text.parse::<Holder>(), Err(NotAHolder), "{text}");
        }
    }

    #[test]
    fn a_server_that_has_not_joined_has_no_epoch() {
        let epoch = CurrentEpoch::default();
        assert_eq!(epoch.get(), None);
        epoch.set(3);
        assert_eq!(epoch.get(), Some(3));
    }
}
