//! The games of players in a fleet, as they lie in Redis: a hash for each player, kept by the scripts.
//!
//! No threads of its own.

use std::collections::BTreeMap;

use ::redis::{Cmd, cmd};

use super::{Redis, scripts};
use crate::auth::PlayerId;
use crate::session::SessionId;
use crate::session::store::games::not_joined;
use crate::session::store::{Adoption, Error, Holder, Opening, Supersedes};

/// How long the games of a player are kept who starts none: 30 days, in seconds.
const GAMES_LIFE_S: u64 = 30 * 24 * 3600;

/// The key of a player's games.
pub(super) fn games_key(player: &PlayerId) -> String {
    format!("shellcraft:games:{player}")
}

impl Redis {
    /// This life of the server, if it is one of a fleet.
    pub(super) fn holder(&self) -> Result<Option<Holder>, Error> {
        let Some(epoch) = &self.epoch else {
            return Ok(None);
        };
        Ok(Some(Holder {
            instance: self.instance.clone(),
            epoch: epoch.get().ok_or_else(not_joined)?,
        }))
    }

    /// The command that runs a script on one of the player's games.
    fn game_script(script: &str, player: &PlayerId, session: SessionId, holder: &Holder) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(script).arg(1).arg(games_key(player));
        command.arg(session.to_text()).arg(holder.to_string());
        command
    }

    pub(super) fn open(
        &self,
        player: &PlayerId,
        session: SessionId,
        supersedes: Supersedes<'_>,
    ) -> Result<Opening, Error> {
        let Some(holder) = self.holder()? else {
            return Ok(Opening::Open(Vec::new()));
        };
        let mut command = Self::game_script(scripts::OPEN_GAME, player, session, &holder);
        command.arg(GAMES_LIFE_S);
        command.arg(
            supersedes
                .resumed
                .map_or_else(String::new, SessionId::to_text),
        );
        for holder in supersedes.buried {
            command.arg(holder.to_string());
        }
        let answer: Vec<String> = self.call(&command)?;
        opening(&answer).ok_or_else(|| self.garbled(player))
    }

    pub(super) fn adopt(&self, player: &PlayerId, session: SessionId) -> Result<Adoption, Error> {
        let Some(holder) = self.holder()? else {
            return Ok(Adoption::Open);
        };
        let mut command = Self::game_script(scripts::ADOPT_GAME, player, session, &holder);
        command
            .arg(GAMES_LIFE_S)
            .arg(&holder.instance)
            .arg(holder.epoch);
        let successor: Option<String> = self.call(&command)?;
        match successor.map(|id| id.parse()) {
            None => Ok(Adoption::Open),
            Some(Ok(successor)) => Ok(Adoption::Superseded(successor)),
            Some(Err(_)) => Err(self.garbled(player)),
        }
    }

    pub(super) fn close(&self, player: &PlayerId, session: SessionId) -> Result<(), Error> {
        match self.holder()? {
            None => Ok(()),
            Some(holder) => self.call(&Self::game_script(
                scripts::CLOSE_GAME,
                player,
                session,
                &holder,
            )),
        }
    }

    fn garbled(&self, player: &PlayerId) -> Error {
        let key = games_key(player);
        let cause = format!("{key} has something else than games in it: remove that key");
        self.link.unavailable(&cause).into()
    }
}

/// What the script's answer says.
fn opening(answer: &[String]) -> Option<Opening> {
    match answer {
        [word, successor] if word == "resumed" => Some(Opening::Resumed(successor.parse().ok()?)),
        [word, holder] if word == "held" => Some(Opening::Held(holder.parse().ok()?)),
        [word, others @ ..] if word == "open" => {
            let (pairs, rest) = others.as_chunks::<2>();
            let other = |[id, holder]: &[String; 2]| {
                Some((id.parse::<SessionId>().ok()?, holder.parse().ok()?))
            };
            // Redis gives them in no order.
            let others: Option<BTreeMap<_, _>> = pairs.iter().map(other).collect();
            let others = others?.into_iter().collect();
            rest.is_empty().then_some(Opening::Open(others))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], is_read: bool) {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(opening(&words).is_some(), is_read, "{words:?}");
    }

    /// Somebody else may have written into the hash.
    #[test]
    fn what_is_no_answer_is_not_read() {
        let id = SessionId::random().to_text();
        check(&["open"], true);
        check(&["open", &id, "web/7"], true);
        check(&["resumed", &id], true);
        check(&["held", "web/7"], true);
        for words in [
            &[][..],
            &["open", &id],
            &["open", "x", "web/7"],
            &["open", &id, "web"],
            &["resumed", "x"],
            &["held", "web"],
            &["resumed"],
            &["shut"],
        ] {
            check(words, false);
        }
    }
}
