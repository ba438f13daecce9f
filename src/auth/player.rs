//! How a returning player is recognised where no one signs up: by a random secret in a cookie.
//!
//! Only the secret's hash is stored, so a reader of the spellbooks on disk can't become their owner. The cookie is signed
//! ([`super::cookie`]), so that a secret counts only if it came from this server.

use super::owner::PlayerId;
use super::secret;

/// How many digits of a code stand together.
const GROUP: usize = 8;

/// How a player's name is made from the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The way of servers whose cookies were not signed.
    First,
    /// With a prefix, so that cutting the signature off a cookie of today gives the secret of no player.
    Second,
}

/// A player's secret as a browser keeps it. Not `Debug`: it must not get into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct PlayerSecret {
    kind: Kind,
    secret: String,
}

impl PlayerSecret {
    /// The secret of a new player.
    pub fn random() -> Self {
        Self {
            kind: Kind::Second,
            secret: secret::new_token(),
        }
    }

    /// A secret that a cookie held before cookies were signed. None unless it has the form of those: others could be
    /// guessed.
    pub fn of_old(shown: &str) -> Option<Self> {
        has_form(shown).then(|| Self {
            kind: Kind::First,
            secret: shown.to_owned(),
        })
    }

    /// The text that is signed: `2.` and 64 hexadecimal digits.
    pub fn to_text(&self) -> String {
        match self.kind {
            Kind::First => format!("1.{}", self.secret),
            Kind::Second => format!("2.{}", self.secret),
        }
    }

    /// The reverse of [`PlayerSecret::to_text`].
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, secret) = text.split_once('.')?;
        let kind = match kind {
            "1" => Kind::First,
            "2" => Kind::Second,
            _ => return None,
        };
        has_form(secret).then(|| Self {
            kind,
            secret: secret.to_owned(),
        })
    }

    /// The secret as a code that a person takes to another device: in groups of eight digits, `2-01234567-…`.
    pub fn to_code(&self) -> String {
        let text = self.to_text().replace('.', "-");
        let (kind, secret) = text.split_at(1);
        let digits = secret.as_bytes()[1..].chunks(GROUP);
        digits.fold(kind.to_owned(), |code, group| {
            // INVARIANT: the digits are ASCII.
            code + "-" + &String::from_utf8_lossy(group)
        })
    }

    /// The reverse of [`PlayerSecret::to_code`]. Hyphens, white space and capitals do not matter, however the code was
    /// copied.
    pub fn from_code(code: &str) -> Option<Self> {
        let is_told = |letter: &char| !letter.is_whitespace() && *letter != '-';
        let told: String = code.chars().filter(is_told).collect();
        let (kind, secret) = told.split_at_checked(1)?;
        Self::parse(&format!("{kind}.{}", secret.to_ascii_lowercase()))
    }

    /// The name of the player who has this secret.
    pub fn id(&self) -> PlayerId {
        match self.kind {
            Kind::First => PlayerId::anonymous(&secret::digest(&self.secret)),
            Kind::Second => PlayerId::anonymous(&secret::digest(&format!("2.{}", self.secret))),
        }
    }
}

fn has_form(secret: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    secret.len() == 64 && secret.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_one_player_and_is_not_in_the_name() {
        let secret = PlayerSecret::random();
        let again = PlayerSecret::parse(&secret.to_text()).expect("ours");
        assert_eq!(secret.id(), again.id());
        assert_ne!(secret.id(), PlayerSecret::random().id());
        assert!(!secret.id().to_string().contains(&secret.secret));
        let long = "0".repeat(65);
        for shown in ["", "0", "../../../../etc/passwd", &long, &"G".repeat(64)] {
            assert!(PlayerSecret::of_old(shown).is_none(), "{shown}");
            assert!(PlayerSecret::parse(&format!("2.{shown}")).is_none());
        }
        assert!(PlayerSecret::parse(&format!("3.{}", "0".repeat(64))).is_none());
    }

    #[test]
    fn a_code_is_the_secret_however_it_was_copied() {
        for secret in [
            PlayerSecret::random(),
            PlayerSecret::of_old(&"0a".repeat(32)).expect("the old form"),
        ] {
            let code = secret.to_code();
            assert_eq!(code.len(), 1 + 8 * 9, "{}", code.len());
            let spaced = format!(" {}\n", code.to_uppercase().replace('-', " - "));
            for copied in [code.as_str(), &spaced, &code.replace('-', "")] {
                let again = PlayerSecret::from_code(copied).expect("the same");
                assert_eq!(again.id(), secret.id());
            }
            for wrong in [
                "",
                "2",
                "2-",
                "ä",
                &code[1..],
                &code[..code.len() - 1],
                &format!("{code}0"),
            ] {
                assert!(PlayerSecret::from_code(wrong).is_none(), "{wrong}");
            }
        }
    }

    #[test]
    fn without_its_signature_a_secret_is_nobody_s() {
        let new = PlayerSecret::random();
        let cut = PlayerSecret::of_old(&new.secret).expect("the old form");
        assert_ne!(cut.id(), new.id());
        let kept = PlayerSecret::parse(&cut.to_text()).expect("ours");
        assert_eq!(kept.id(), cut.id());
    }
}
