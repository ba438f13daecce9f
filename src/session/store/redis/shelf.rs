//! All books together: counts them, and removes those that expire. The librarian's thread calls this.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use ::redis::{Value, cmd};

use super::{BOOK, BOOK_SIZES, BOOKS_USED, IDS_AT_ONCE, Redis, book_key, scripts};
use crate::auth::PlayerId;
use crate::session::store::{Error, Tending, ms_of};

impl Redis {
    /// Counts books that are not counted yet, such as those that an older version of the server saved, and forgets
    /// those that an operator has removed.
    pub(super) fn recount(&self, goes_on: &dyn Fn() -> bool) -> Result<(), Error> {
        let mut cursor = 0u64;
        while goes_on() {
            let mut command = cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(format!("{BOOK}*"));
            command.arg("COUNT").arg(IDS_AT_ONCE);
            let (next, found): (u64, Vec<String>) = self.call(&command)?;
            let names = found.iter().filter_map(|key| key.strip_prefix(BOOK));
            let players: Vec<_> = names
                .filter_map(|name| PlayerId::try_from(name.to_owned()).ok())
                .collect();
            if !players.is_empty() {
                let sizes: Vec<Option<u64>> = self.of_all("HMGET", BOOK_SIZES, &players)?;
                let used: Vec<Option<f64>> = self.of_all("ZMSCORE", BOOKS_USED, &players)?;
                for (player, (size, used)) in players.iter().zip(sizes.iter().zip(used)) {
                    if size.is_none() || used.is_none() && player.may_expire() {
                        self.weigh(player)?;
                    }
                }
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
        let mut cursor = 0u64;
        while goes_on() {
            let mut command = cmd("HSCAN");
            command.arg(BOOK_SIZES).arg(cursor);
            command.arg("COUNT").arg(IDS_AT_ONCE);
            let (next, found): (u64, Vec<(String, String)>) = self.call(&command)?;
            let players: Vec<_> = found
                .into_iter()
                .filter_map(|(name, _)| PlayerId::try_from(name).ok())
                .collect();
            if !players.is_empty() {
                let mut command = cmd("EXISTS");
                for player in &players {
                    command.arg(book_key(player));
                }
                let there: usize = self.call(&command)?;
                if there < players.len() {
                    for player in &players {
                        self.weigh(player)?;
                    }
                }
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
        Ok(())
    }

    /// What the command `ask` answers about each of these players at a key.
    pub(super) fn of_all<T: ::redis::FromRedisValue>(
        &self,
        ask: &str,
        key: &str,
        players: &[PlayerId],
    ) -> Result<T, Error> {
        let mut command = cmd(ask);
        command.arg(key);
        for player in players {
            command.arg(player.to_string());
        }
        self.call(&command)
    }

    /// Counts one player's books anew.
    pub(super) fn weigh(&self, player: &PlayerId) -> Result<(), Error> {
        let mut command = self.book_script(scripts::WEIGH_BOOK, player);
        command
            .arg(ms_of(SystemTime::now()))
            .arg(u8::from(player.may_expire()));
        self.call(&command)
    }

    /// Removes the books that were not used for as long as `most`; a trial only counts them. Returns how many players'.
    pub(super) fn expire(&self, most: Duration, tending: &Tending) -> Result<u64, Error> {
        let now = SystemTime::now();
        let before = now.checked_sub(most).map_or(0, ms_of);
        if tending.is_trial {
            return self.count_unused(before, tending.in_use);
        }
        let mut expired = 0;
        while (tending.goes_on)() {
            let mut command = cmd("ZRANGEBYSCORE");
            command.arg(BOOKS_USED).arg("-inf").arg(before);
            command.arg("LIMIT").arg(0).arg(IDS_AT_ONCE);
            let names: Vec<String> = self.call(&command)?;
            if names.is_empty() {
                break;
            }
            for name in names {
                let Ok(player) = PlayerId::try_from(name.clone()) else {
                    // The name is no player's, so no server has put it there.
                    let mut command = cmd("ZREM");
                    command.arg(BOOKS_USED).arg(name);
                    self.call::<Value>(&command)?;
                    continue;
                };
                let mut command = self.book_script(scripts::EXPIRE_BOOK, &player);
                command.arg(before);
                expired += self.call::<u64>(&command)?;
            }
        }
        Ok(expired)
    }

    /// How many players' books were last used at `since` or before, without those of the players in `in_use`.
    pub(super) fn count_unused(
        &self,
        since: u64,
        in_use: &HashSet<PlayerId>,
    ) -> Result<u64, Error> {
        let mut command = cmd("ZCOUNT");
        command.arg(BOOKS_USED).arg("-inf").arg(since);
        let unused: u64 = self.call(&command)?;
        let players: Vec<_> = in_use.iter().cloned().collect();
        if players.is_empty() {
            return Ok(unused);
        }
        let used: Vec<Option<f64>> = self.of_all("ZMSCORE", BOOKS_USED, &players)?;
        let stay = used.iter().flatten().filter(|at| **at <= since as f64);
        Ok(unused.saturating_sub(stay.count() as u64))
    }
}
