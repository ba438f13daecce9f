//! A player's cookie: `2.<secret>.<signature>`, signed with HMAC-SHA256 (RFC 2104).
//!
//! The signature keeps planted cookies out: a secret that an attacker has made up belongs to no player. Behind TLS the
//! cookie's name begins with `__Host-`, so a browser accepts it only from exactly this host (RFC 6265bis §4.1.3.2):
//! neither a page of a neighbouring host nor an attacker on the network can put the attacker's own signed cookie in its
//! place.
//!
//! Such a cookie must have `Path=/`, so two servers below two paths of one host are told apart by its name: behind
//! `https://play.example.org/shell/` it ends in `.shell`. A path on the cookie would cost the prefix `__Host-`, and would
//! keep out no page of the same origin.

use ring::hmac;

use super::player::PlayerSecret;
use super::secret::{self, from_hex, to_hex};

/// The cookie's name without TLS, and before cookies were signed.
pub const PLAIN_NAME: &str = "shellcraft_player";
/// The cookie's name behind TLS.
pub const HOST_NAME: &str = "__Host-shellcraft_player";
/// A year, after which a browser forgets its player. Each new game starts the year again.
const MAX_AGE_SECONDS: u64 = 365 * 24 * 3600;
/// A key has at least as many bytes as the hash (RFC 2104 §3).
pub const KEY_BYTES: usize = 32;
/// The purpose of the signature. It is signed with the text, so that signatures made for another purpose with the same key
/// are of no use here.
const PURPOSE: &str = "shellcraft player cookie: ";
/// The most values of one name that are looked at in a request.
const VALUES: usize = 8;

/// The key that signs cookies. Its bytes can't be read back.
#[derive(Debug, Clone)]
pub struct CookieKey(hmac::Key);

/// What the cookies of a request say.
#[derive(Clone, PartialEq, Eq)]
pub enum Player {
    /// The cookies name no player.
    Nobody,
    /// A cookie that this server has not signed, or two cookies that contradict each other.
    NotOurs,
    /// A player.
    Known(PlayerSecret),
    /// A player from the time before cookies were signed. To be believed only if there is such a player.
    OfOld(PlayerSecret),
}

impl CookieKey {
    /// A key of these bytes, [`KEY_BYTES`] or more.
    pub fn new(bytes: &[u8]) -> CookieKey {
        CookieKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The bytes of a new, random key.
    pub fn random_bytes() -> [u8; KEY_BYTES] {
        let bytes = from_hex(&secret::new_token()).and_then(|bytes| bytes.try_into().ok());
        // INVARIANT: a token is 64 hexadecimal digits.
        bytes.expect("64 digits are 32 bytes")
    }

    /// The value of the cookie for this player.
    pub fn sign(&self, player: &PlayerSecret) -> String {
        let text = player.to_text();
        let signature = hmac::sign(&self.0, format!("{PURPOSE}{text}").as_bytes());
        format!("{text}.{}", to_hex(signature.as_ref()))
    }

    /// The player whose cookie has this value.
    pub fn verify(&self, value: &str) -> Option<PlayerSecret> {
        let (text, signature) = value.rsplit_once('.')?;
        let signature = from_hex(signature)?;
        // This takes the same time wherever the difference is.
        hmac::verify(&self.0, format!("{PURPOSE}{text}").as_bytes(), &signature).ok()?;
        PlayerSecret::parse(text)
    }
}

/// The names of this server's cookies.
#[derive(Debug, Clone, Default)]
pub struct Names {
    ending: String,
}

impl Names {
    /// The names for a server below this path, such as `/shell`, or for one that has the host for itself.
    ///
    /// INVARIANT: a prefix contains no dot, so no two prefixes have the same name.
    pub fn below(prefix: &str) -> Names {
        Names {
            ending: prefix.replace('/', "."),
        }
    }

    /// The name of the player's cookie.
    pub fn player(&self, is_https: bool) -> String {
        self.whole(if is_https { HOST_NAME } else { PLAIN_NAME })
    }

    /// The name of any other cookie, from its name on a server that has the host for itself.
    pub fn whole(&self, name: &str) -> String {
        format!("{name}{}", self.ending)
    }
}

/// The values of the cookie `name` in `Cookie` headers (RFC 6265 §4.2.1).
pub fn values<'a>(headers: &'a [&'a str], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(move |(found, _)| *found == name)
        .map(|(_, value)| value)
        .take(VALUES)
}

/// The player that these cookies name.
pub fn player(headers: &[&str], names: &Names, is_https: bool, key: &CookieKey) -> Player {
    let (plain, name) = (names.player(false), names.player(is_https));
    let mut known: Option<PlayerSecret> = None;
    let mut has_any = values(headers, &plain).next().is_some();
    for value in values(headers, &name) {
        has_any = true;
        let Some(player) = key.verify(value) else {
            continue;
        };
        // Two players in one browser: one of the cookies was planted, and it is not known which.
        if known.as_ref().is_some_and(|known| *known != player) {
            return Player::NotOurs;
        }
        known = Some(player);
    }
    if let Some(player) = known {
        return Player::Known(player);
    }
    let mut old = values(headers, &plain).filter_map(PlayerSecret::of_old);
    match (old.next(), old.next()) {
        (Some(player), None) => Player::OfOld(player),
        (Some(one), Some(other)) if one == other => Player::OfOld(one),
        (None, _) if !has_any => Player::Nobody,
        _ => Player::NotOurs,
    }
}

/// `Set-Cookie` for a player (RFC 6265 §4.1).
pub fn set(player: &PlayerSecret, key: &CookieKey, names: &Names, is_https: bool) -> String {
    let (name, value) = (names.player(is_https), key.sign(player));
    set_value(&name, &value, MAX_AGE_SECONDS, is_https)
}

/// `Set-Cookie` that makes a browser forget the cookie.
pub fn clear(name: &str, is_https: bool) -> String {
    set_value(name, "", 0, is_https)
}

/// `Set-Cookie` for any of this server's cookies.
pub fn set_value(name: &str, value: &str, max_age_seconds: u64, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

    /// Checks what these headers say: a word, and the player's name.
    #[track_caller]
    fn check(headers: &[&str], is_https: bool, expected: &str) {
        let names = Names::default();
        let found = match player(headers, &names, is_https, &CookieKey::new(&KEY)) {
            Player::Nobody => "nobody".to_owned(),
            Player::NotOurs => "not ours".to_owned(),
            Player::Known(player) => format!("known {}", player.id()),
            Player::OfOld(player) => format!("of old {}", player.id()),
        };
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn only_signed_cookies_are_ours() {
        let key = CookieKey::new(&KEY);
        let (one, two) = (PlayerSecret::random(), PlayerSecret::random());
        let signed = key.sign(&one);
        let cookie = |value: &str| format!("{PLAIN_NAME}={value}");
        let (one_s, two_s) = (cookie(&signed), cookie(&key.sign(&two)));
        let known = format!("known {}", one.id());
        check(&[], false, "nobody");
        check(&["a=b; c=d"], false, "nobody");
        check(&[&one_s], false, &known);
        check(&["a=b", &format!("x=y; {one_s}; z=1")], false, &known);
        check(&[&one_s, &one_s], false, &known);
        check(&[&one_s, &two_s], false, "not ours");
        check(&[&cookie("planted"), &one_s], false, &known);
        let (text, signature) = signed.rsplit_once('.').expect("a signature");
        let other = CookieKey::new(&[8; KEY_BYTES]).sign(&one);
        // Change the first digit, whichever it is: no particular digit is certain to be in the signature.
        let (first, rest) = signature.split_at(1);
        let flipped = format!("{text}.{}{rest}", if first == "1" { "2" } else { "1" });
        let upper = format!("{text}.{}", signature.to_uppercase());
        let short = &signed[..signed.len() - 2];
        for value in [text, &other, &flipped, &upper, short, "2..", "", "."] {
            check(&[&cookie(value)], false, "not ours");
        }
    }

    #[test]
    fn behind_tls_only_this_host_s_own_counts() {
        let player = PlayerSecret::random();
        let signed = CookieKey::new(&KEY).sign(&player);
        let (plain, host) = (
            format!("{PLAIN_NAME}={signed}"),
            format!("{HOST_NAME}={signed}"),
        );
        check(&[&plain], true, "not ours");
        check(&[&plain, &host], true, &format!("known {}", player.id()));
        check(&[&host], false, "nobody");
    }

    #[test]
    fn servers_below_two_paths_of_a_host_share_no_cookie() {
        // The servers share no cookie even when both have been given the same key.
        let (key, one) = (CookieKey::new(&KEY), PlayerSecret::random());
        let names = ["", "/a", "/b", "/a/b", "/a-b"].map(Names::below);
        for own in &names {
            for other in &names {
                for is_https in [false, true] {
                    let cookie = set(&one, &key, other, is_https);
                    let found = player(&[&cookie], own, is_https, &key);
                    let is_own = own.ending == other.ending;
                    assert_eq!(found == Player::Known(one.clone()), is_own, "{cookie}");
                    assert_eq!(found == Player::Nobody, !is_own, "{cookie}");
                }
            }
        }
    }

    #[test]
    fn unsigned_ones_are_of_old() {
        let secret = "ab".repeat(32);
        let player = PlayerSecret::of_old(&secret).expect("the old form");
        let old = format!("{PLAIN_NAME}={secret}");
        let expected = format!("of old {}", player.id());
        check(&[&old], false, &expected);
        check(&[&old], true, &expected);
        check(
            &[&old, &format!("{PLAIN_NAME}={}", "cd".repeat(32))],
            false,
            "not ours",
        );
        // Signed again, the cookie still names the same player.
        let signed = CookieKey::new(&KEY).sign(&player);
        check(
            &[&format!("{PLAIN_NAME}={signed}"), &old],
            false,
            &format!("known {}", player.id()),
        );
    }

    #[test]
    fn what_a_browser_is_told() {
        let (key, player) = (CookieKey::new(&KEY), PlayerSecret::random());
        let names = Names::default();
        let plain = set(&player, &key, &names, false);
        assert!(plain.starts_with("shellcraft_player=2.") && !plain.contains("Secure"));
        let host = set(&player, &key, &names, true);
        assert!(host.starts_with("__Host-shellcraft_player=2."), "{host}");
        for part in ["; Path=/;", "; HttpOnly", "; SameSite=Strict; Secure"] {
            assert!(host.contains(part), "{host}");
        }
        let below = set(&player, &key, &Names::below("/play/a-b"), true);
        assert!(
            below.starts_with("__Host-shellcraft_player.play.a-b=2."),
            "{below}"
        );
        assert!(below.contains("; Path=/;"), "{below}");
        assert!(clear(PLAIN_NAME, false).starts_with("shellcraft_player=; Path=/; Max-Age=0;"));
    }
}
