//! Who owns something: a player's name as stores know it, and what proves that a session belongs to a player.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::secret::digest;

const ANONYMOUS: &str = "anon-";
const LOST: &str = "lost-";
const ASIDE: &str = "-aside";

/// A player as stores know them: a name that does not reveal the secret by which the player is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlayerId(String);

/// A text that names no player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a player's name has 1 to 128 characters of A-Z, a-z, 0-9 and -, and begins with a letter or digit"
)]
pub struct BadPlayerId;

impl TryFrom<String> for PlayerId {
    type Error = BadPlayerId;

    /// The name becomes a file's name and a part of a key, so nothing else may be in it.
    fn try_from(name: String) -> Result<Self, BadPlayerId> {
        let is_good = (1..=128).contains(&name.len())
            && !name.starts_with('-')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_good {
            Ok(Self(name))
        } else {
            Err(BadPlayerId)
        }
    }
}

impl From<PlayerId> for String {
    fn from(player: PlayerId) -> String {
        player.0
    }
}

impl fmt::Display for PlayerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl PlayerId {
    /// The player that a cookie's secret makes; `digest` is the secret's hash.
    pub(crate) fn anonymous(digest: &str) -> PlayerId {
        // INVARIANT: hexadecimal digits are allowed in names.
        PlayerId::try_from(format!("{ANONYMOUS}{digest}")).unwrap_or_else(|_| PlayerId::nobody())
    }

    /// The player that a token's subject names. A subject may contain anything, for example an e-mail address; a name may
    /// not, and everyone who looks at the store sees it.
    pub fn of_subject(subject: &str) -> PlayerId {
        let digest = digest(subject);
        PlayerId::try_from(format!("jwt-{digest}")).unwrap_or_else(|_| PlayerId::nobody())
    }

    /// The name under which a book is saved that no longer belongs to a player: that of the session in which it was found.
    pub fn of_lost_session(session_id: &str) -> PlayerId {
        PlayerId::try_from(format!("{LOST}{session_id}")).unwrap_or_else(|_| PlayerId::nobody())
    }

    /// The name of an operator who plays.
    pub fn operator() -> PlayerId {
        PlayerId("operator".into())
    }

    /// Whether a player can come back under this name only with a cookie, which may be lost: books of such players expire.
    pub fn may_expire(&self) -> bool {
        self.0.starts_with(ANONYMOUS) || self.is_lost()
    }

    /// Whether it stands for a book that was found without its player. No visitor can make such a name.
    pub fn is_lost(&self) -> bool {
        self.0.starts_with(LOST)
    }

    /// The name under which those books of this player are kept that no newer book may push out.
    pub fn aside(&self) -> PlayerId {
        // Names that the server gives are shorter than names may be.
        PlayerId::try_from(format!("{self}{ASIDE}")).unwrap_or_else(|_| PlayerId::nobody())
    }

    /// Whether books of this name are kept however much all books take: they could not be put in again.
    pub fn is_always_kept(&self) -> bool {
        self.is_lost() || self.0.ends_with(ASIDE)
    }

    fn nobody() -> PlayerId {
        PlayerId("nobody".into())
    }
}

/// The owner of a session that has a player.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Hash of the secret that the owner was given.
    pub token_hash: String,
    /// The player whose spellbook it has.
    pub player: PlayerId,
    /// The household from which it was started; none for a session that was taken over.
    pub household: Option<IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_books_have_names_of_their_own() {
        let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        assert_eq!(
            PlayerId::of_lost_session(id).to_string(),
            format!("lost-{id}")
        );
        assert_eq!(PlayerId::of_lost_session("a/b").to_string(), "nobody");
    }

    #[test]
    fn only_those_who_may_never_be_known_again_expire() {
        assert!(PlayerId::anonymous(&digest("cookie")).may_expire());
        assert!(PlayerId::of_lost_session("f47ac10b").may_expire());
        for known in [
            PlayerId::of_subject("anna"),
            PlayerId::operator(),
            PlayerId::nobody(),
        ] {
            assert!(!known.may_expire(), "{known}");
        }
    }

    #[test]
    fn what_is_set_aside_is_as_lasting_as_its_player() {
        let anna = PlayerId::anonymous(&digest("cookie"));
        assert!(anna.aside().may_expire() && anna.aside().is_always_kept());
        let known = PlayerId::of_subject("anna");
        assert!(!known.aside().may_expire() && !known.is_always_kept());
        assert_eq!(known.aside().to_string(), format!("{known}-aside"));
    }

    #[test]
    fn subjects_are_hashed() {
        let name = PlayerId::of_subject("../anna@example.org").to_string();
        assert!(name.starts_with("jwt-") && name.len() == 68, "{name}");
        assert_ne!(PlayerId::of_subject("anna"), PlayerId::of_subject("Anna"));
    }
}
