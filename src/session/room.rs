//! Whether one more game may be started, by the limits on games at the same time: of a player, of an address, of all,
//! and of the line.
//!
//! No threads of its own. [`super::create`] asks with the session map locked, and turns the newcomer away without it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::admission::calls::NoPlace;
use super::admission::line;
use super::ids::SessionId;
use super::metrics::Limit;
use super::session::Session;
use super::state::State;
use super::{ENGINE_CALLS_AT_ONCE, Error, Manager};
use crate::auth::Owner;
use crate::warn_throttled;

/// The limit that is reached, with the sessions that count for it.
pub(super) enum NoRoom {
    Player(Vec<Arc<Session>>),
    Address(Vec<Arc<Session>>),
    All(Vec<Arc<Session>>),
}

/// A session that counts for the limits.
pub(super) struct Playing<'a> {
    session: &'a Arc<Session>,
    owner: &'a Owner,
    /// Whether its container is still to be made, when its turn comes.
    is_in_line: bool,
}

impl Manager {
    /// Checks that one more player may play, and that this player and this household may have one more session.
    pub(super) fn check_room(&self, playing: &[Playing<'_>], owner: &Owner) -> Result<(), NoRoom> {
        let settings = &self.settings;
        let those = |is_theirs: &dyn Fn(&Owner) -> bool| -> Vec<Arc<Session>> {
            let theirs = playing.iter().filter(|one| is_theirs(one.owner));
            theirs.map(|one| Arc::clone(one.session)).collect()
        };
        let of_player = those(&|theirs| theirs.player == owner.player);
        if of_player.len() >= settings.sessions_per_player {
            return Err(NoRoom::Player(of_player));
        }
        if let Some(household) = owner.household {
            let of_household = those(&|theirs| theirs.household == Some(household));
            if of_household.len() >= settings.sessions_per_address {
                return Err(NoRoom::Address(of_household));
            }
        }
        if playing.len() >= settings.max_sessions {
            return Err(NoRoom::All(those(&|_| true)));
        }
        Ok(())
    }

    /// Turns a newcomer away because a limit is reached. INVARIANT: the sessions' lock is not held: each session in
    /// `no_room` is asked, and may be busy.
    pub(super) fn turn_away(&self, no_room: &NoRoom) -> Error {
        let now = Instant::now();
        // When a place is free at the latest, unless a player goes on typing.
        let first_end = |sessions: &[Arc<Session>]| {
            let ends = sessions.iter().map(|session| self.expires_in(session, now));
            ends.min().unwrap_or_default()
        };
        let settings = &self.settings;
        let (limit, error) = match no_room {
            NoRoom::Player(sessions) => (
                Limit::PerPlayer,
                Error::TooManySessions {
                    limit: settings.sessions_per_player,
                    sessions: oldest_first(sessions),
                    retry_after: first_end(sessions),
                },
            ),
            NoRoom::Address(sessions) => (
                Limit::PerAddress,
                Error::AddressFull {
                    limit: settings.sessions_per_address,
                    retry_after: first_end(sessions),
                },
            ),
            NoRoom::All(sessions) => (
                Limit::All,
                Error::Full {
                    limit: settings.max_sessions,
                    retry_after: first_end(sessions),
                },
            ),
        };
        self.metrics.lives.refused.of(limit).inc();
        // Each limit has a log line of its own: a line that is logged once a minute must not hide another.
        match no_room {
            NoRoom::Player(_) => warn_throttled!("refused a game: {error}"),
            NoRoom::Address(_) => warn_throttled!("refused a game: {error}"),
            NoRoom::All(_) => warn_throttled!("refused a game: {error}"),
        }
        error
    }
}

/// The sessions in the map that have an owner and are not over. Those that wait for a player are not among them.
pub(super) fn those_playing(sessions: &HashMap<SessionId, Arc<Session>>) -> Vec<Playing<'_>> {
    let playing = sessions.values().filter_map(|session| {
        let owner = session.owner()?;
        let state = session.snapshot().state;
        let is_in_line = state == State::Creating && !session.has_turn();
        (!state.is_over()).then_some(Playing {
            session,
            owner,
            is_in_line,
        })
    });
    playing.collect()
}

/// Checks that one more newcomer may join the line. Newcomers who will be turned away in the line count as players until
/// they are: without this check a flood of them would take all places for a moment, and others would be told that the
/// server is full.
pub(super) fn check_line(playing: &[Playing<'_>], owner: &Owner) -> Result<(), NoPlace> {
    let in_line = || playing.iter().filter(|one| one.is_in_line);
    let is_theirs = |one: &&Playing<'_>| {
        one.owner.household.is_some() && one.owner.household == owner.household
    };
    let of_household = in_line().filter(is_theirs).count();
    // The sessions whose turn comes without waiting are among them.
    if of_household >= line::WAITING_PER_HOUSEHOLD + ENGINE_CALLS_AT_ONCE {
        return Err(NoPlace::OfHousehold(of_household));
    }
    let of_all = in_line().count();
    if of_all >= line::WAITING_MAX + ENGINE_CALLS_AT_ONCE {
        return Err(NoPlace::OfAll(of_all));
    }
    Ok(())
}

fn oldest_first(sessions: &[Arc<Session>]) -> Vec<SessionId> {
    let mut sessions: Vec<_> = sessions.iter().collect();
    sessions.sort_by_key(|session| session.since());
    sessions.iter().map(|session| session.id).collect()
}
