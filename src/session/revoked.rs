//! Players whose logins an operator has ended: nothing that was issued to them before that moment is accepted any more.
//!
//! No threads of its own: the reaper asks the store now and then, because another server may have changed the list.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{info, warn};

use super::metrics::Work;
use super::{Error, Manager, Session};
use crate::auth::PlayerId;
use crate::locks::{Mutex, RwLock, rank};

/// How often the store is asked for the changes of other servers.
const EVERY: Duration = Duration::from_secs(5);
/// The pause after a failure: a failing call takes seconds, and the reaper has other things to do.
const RETRY: Duration = Duration::from_secs(30);

/// Who is revoked, and since when; unknown before the store has told.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    /// The turn of a thread that reads or changes the store's list, held while the store answers: a list that was read
    /// before a change must not be taken over after it. A thread that only looks up a player does not wait for it.
    turn: Mutex<(), rank::Turn>,
    /// Held for look-ups and changes only, together with no other lock but `turn`.
    since: RwLock<Option<HashMap<PlayerId, SystemTime>>>,
}

impl Revoked {
    /// Takes over the list that the store has. Returns the players who are newly revoked.
    fn learn(&self, kept: Vec<(PlayerId, SystemTime)>) -> Vec<PlayerId> {
        let kept: HashMap<_, _> = kept.into_iter().collect();
        let mut since = self.since.write();
        let known = since.take().unwrap_or_default();
        let is_new =
            |player: &PlayerId, at: &SystemTime| known.get(player).is_none_or(|known| known < at);
        let new = kept.iter().filter(|(player, at)| is_new(player, at));
        let new = new.map(|(player, _)| player.clone()).collect();
        *since = Some(kept);
        new
    }
}

/// When the reaper asks the store next.
pub(super) struct NextPoll(Instant);

impl NextPoll {
    pub(super) fn new(now: Instant) -> NextPoll {
        NextPoll(now + EVERY)
    }
}

impl Manager {
    /// Whether a credential of this player is revoked: every credential is that was issued before the player's logins were
    /// revoked, or at an unknown time.
    ///
    /// # Errors
    /// [`Error::Starting`] while the store has not told the list yet.
    pub fn is_revoked(&self, player: &PlayerId, issued: Option<SystemTime>) -> Result<bool, Error> {
        let since = self.revoked.since.read();
        let since = since.as_ref().ok_or(Error::Starting)?.get(player);
        Ok(since.is_some_and(|at| issued.is_none_or(|issued| issued <= *at)))
    }

    /// The players whose logins are revoked, by name, and since when.
    ///
    /// # Errors
    /// [`Error::Starting`] while the store has not told the list yet.
    pub fn revoked(&self) -> Result<Vec<(PlayerId, SystemTime)>, Error> {
        let since = self.revoked.since.read();
        let since = since.as_ref().ok_or(Error::Starting)?.iter();
        let mut all: Vec<_> = since.map(|(player, at)| (player.clone(), *at)).collect();
        all.sort();
        Ok(all)
    }

    /// Revokes every credential of this player, and closes the terminals. Games go on, and end as others do. Returns since
    /// when the player is revoked, and how many games the player has.
    ///
    /// # Errors
    /// [`Error::Starting`], [`Error::Store`].
    pub fn revoke(&self, player: &PlayerId) -> Result<(SystemTime, usize), Error> {
        self.is_revoked(player, None)?;
        let turn = self.revoked.turn.lock();
        // INVARIANT: stored first, then told: what an operator was told is still so after a crash.
        let at = self.store.revoke(player, SystemTime::now())?;
        if let Some(since) = self.revoked.since.write().as_mut() {
            since.insert(player.clone(), at);
        }
        drop(turn);
        Ok((at, self.show_out(player)))
    }

    /// Takes a revocation back. Returns whether the player was revoked.
    ///
    /// # Errors
    /// [`Error::Starting`], [`Error::Store`].
    pub fn restore(&self, player: &PlayerId) -> Result<bool, Error> {
        let was_revoked = self.is_revoked(player, None)?;
        let _turn = self.revoked.turn.lock();
        self.store.restore(player)?;
        if let Some(since) = self.revoked.since.write().as_mut() {
            since.remove(player);
        }
        Ok(was_revoked)
    }

    /// Asks the store which players are revoked.
    ///
    /// # Errors
    /// The store's error.
    pub(super) fn learn_revoked(&self) -> Result<(), Error> {
        let turn = self.revoked.turn.lock();
        let new = self.revoked.learn(self.store.revoked()?);
        drop(turn);
        for player in new {
            if self.show_out(&player) > 0 {
                info!("{player} was revoked at another server: the terminals here are closed");
            }
        }
        Ok(())
    }

    /// The part of [`Manager::learn_revoked`] that the reaper runs when it is due.
    pub(super) fn learn_revoked_at(&self, next_poll: &mut NextPoll) {
        // An operator's orders may keep the store busy for as long as it hangs, one after the other; the next pass asks
        // then.
        if Instant::now() < next_poll.0 || self.revoked.turn.is_locked() {
            return;
        }
        let pause = match self.learn_revoked() {
            Ok(()) => EVERY,
            Err(error) => {
                self.metrics.reaper.count_failure(Work::Revoked);
                warn!("whether another server has revoked somebody is not known: {error}");
                RETRY
            }
        };
        next_poll.0 = Instant::now() + pause;
    }

    /// Closes everything that a player has open, and the links for spectators, because the spectator may be the same
    /// player.
    fn show_out(&self, player: &PlayerId) -> usize {
        let is_alive = |session: &Arc<Session>| !session.snapshot().state.is_over();
        let sessions: Vec<_> = self.sessions_of(player).filter(is_alive).collect();
        for session in &sessions {
            self.watch_links.revoke(session.id);
            session.hub.log_out();
            session.hub.dismiss_spectators();
        }
        sessions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_are_newly_revoked_are_told_of() {
        let revoked = Revoked::default();
        let (anna, ben) = (PlayerId::of_subject("anna"), PlayerId::of_subject("ben"));
        let now = SystemTime::now();
        let one = vec![(anna.clone(), now)];
        assert_eq!(revoked.learn(one.clone()).first(), Some(&anna));
        assert!(revoked.learn(one.clone()).is_empty());
        let both = [one, vec![(ben.clone(), now)]].concat();
        assert_eq!(revoked.learn(both), [ben]);
        let again = now + Duration::from_secs(1);
        assert_eq!(revoked.learn(vec![(anna.clone(), again)]), [anna]);
        assert!(revoked.learn(Vec::new()).is_empty());
    }
}
