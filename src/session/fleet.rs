//! What changes where this server is one of several that share a store: its number in the sessions' ids, which of the others
//! are buried, and its own games after it was taken for dead.
//!
//! Threads: the fleet's heartbeat tells all this; the reaper asks for the games.

use std::sync::atomic::Ordering;

use log::warn;

use super::ids::{HomeNumber, SessionId};
use super::state::Reason;
use super::store::{self, Holder, Supersedes};
use super::{Error, Manager};
use crate::auth::Owner;
use crate::warn_throttled;

impl Manager {
    /// Notes the number that this server has in its fleet: the ids of new sessions say it.
    pub fn set_home(&self, number: HomeNumber) {
        self.home.store(number.get(), Ordering::SeqCst);
    }

    /// This server's number in its fleet, if it is in one.
    pub fn home(&self) -> Option<HomeNumber> {
        HomeNumber::new(self.home.load(Ordering::SeqCst))
    }

    /// A new session's id, which says where the session is.
    pub(super) fn new_id(&self) -> SessionId {
        SessionId::random_at(self.home())
    }

    /// Notes the lives of the fleet's servers that are buried. A player's games there are superseded by the player's next
    /// game.
    pub fn set_buried(&self, buried: Vec<Holder>) {
        *self.buried.write() = buried;
    }

    /// Opens the player's game, where several servers share the store, and loads the book again.
    pub(super) fn open_game(
        &self,
        id: SessionId,
        owner: &Owner,
        book: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if !self.store.is_shared() {
            return Ok(());
        }
        let buried = self.buried.read().clone();
        let supersedes = Supersedes {
            resumed: None,
            buried: &buried,
        };
        self.store.open_game(&owner.player, id, supersedes)?;
        // INVARIANT: only now, because from now on no game that this one supersedes can save a newer one.
        *book = self.book_of(&owner.player)?;
        Ok(())
    }

    /// Notes that this life of the server is another one now, as far as the others know. Soon after, the store is asked for
    /// each game whether it goes on here.
    pub fn note_rejoined(&self) {
        self.has_rejoined.store(true, Ordering::SeqCst);
    }

    /// Asks for all games, if that is due: those whose players have gone on elsewhere are ended.
    pub(super) fn adopt_games_again(&self) {
        if !self.has_rejoined.swap(false, Ordering::SeqCst) {
            return;
        }
        for session in self.list() {
            let Some(player) = session.player() else {
                continue;
            };
            if session.snapshot().state.is_over() {
                continue;
            }
            match self.is_superseded(session.id, player) {
                Ok(false) => {}
                Ok(true) => {
                    warn!(
                        "session={} its player has gone on with another game",
                        session.id
                    );
                    // Illegal for one that has just ended, and for one that is being made, which its maker opens.
                    let _ = session.order_end(Reason::Moved);
                }
                // Another life of this server has the game: this one is about to end.
                Err(Error::Store(store::Error::Fenced)) => return,
                Err(error) => {
                    warn_throttled!("games are not asked for yet: {error}");
                    return self.note_rejoined();
                }
            }
        }
    }
}
