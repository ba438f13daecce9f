//! By what a returning player is known.
//!
//! Nobody signs up. A browser keeps a random secret in a cookie, and whoever shows it again is the same player.
//! What is stored is the secret's hash, so that the spellbooks on disk tell nobody how to be their owner.

use super::store::PlayerId;
use crate::auth;

/// A player's secret as a browser keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct PlayerSecret(String);

impl PlayerSecret {
    /// A new player's.
    pub fn random() -> Self {
        Self(auth::new_token())
    }

    /// One that somebody shows. None unless it has the form of ours: others could be guessed.
    pub fn parse(shown: &str) -> Option<Self> {
        let is_ours = shown.len() == 64
            && shown
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_ours.then(|| Self(shown.to_owned()))
    }

    /// What the browser is to keep.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The player.
    pub fn id(&self) -> PlayerId {
        PlayerId::anonymous(&auth::digest(&self.0))
    }
}

impl PlayerId {
    fn anonymous(digest: &str) -> PlayerId {
        // INVARIANT: hexadecimal digits are allowed in names.
        PlayerId::try_from(format!("anon-{digest}")).unwrap_or_else(|_| PlayerId::nobody())
    }

    /// Under whose name a book is saved that is nobody's any more: the session that it was found in.
    pub fn of_lost_session(session_id: &str) -> PlayerId {
        PlayerId::try_from(format!("lost-{session_id}")).unwrap_or_else(|_| PlayerId::nobody())
    }

    fn nobody() -> PlayerId {
        PlayerId("nobody".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_one_player_and_is_not_in_the_name() {
        let secret = PlayerSecret::random();
        let again = PlayerSecret::parse(secret.as_str()).expect("ours");
        assert_eq!(secret.id(), again.id());
        assert_ne!(secret.id(), PlayerSecret::random().id());
        assert!(!secret.id().to_string().contains(secret.as_str()));
        let long = "0".repeat(65);
        for shown in ["", "0", "../../../../etc/passwd", &long, &"G".repeat(64)] {
            assert!(PlayerSecret::parse(shown).is_none(), "{shown}");
        }
    }

    #[test]
    fn lost_books_have_names_of_their_own() {
        let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        assert_eq!(
            PlayerId::of_lost_session(id).to_string(),
            format!("lost-{id}")
        );
        assert_eq!(PlayerId::of_lost_session("a/b").to_string(), "nobody");
    }
}
