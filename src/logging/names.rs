//! What the log may have of a secret: a short name, by which lines about the same thing are found, and which opens
//! nothing. Pure.
//!
//! It is the beginning of the id's SHA-256: a person who has a session's id can compute its short name (`printf %s ID |
//! sha256sum`), and not the other way round.

use crate::auth;

/// The chance that two of a thousand sessions have the same name is one in eight thousand.
const DIGITS: usize = 8;
/// Letters of a UUID with its hyphens.
const UUID_LETTERS: usize = 36;
/// Words of at least this many letters may be secrets: those of watch links, tokens, tickets.
const SECRET_LETTERS: usize = 32;

/// The short name of a session's id.
pub fn short(id: &str) -> String {
    let mut name = auth::digest(id);
    name.truncate(DIGITS);
    name
}

/// The text with short names in place of all UUIDs, as sessions' ids are; but for those of requests (`request=…`),
/// which give access to nothing, and which clients are told too.
pub fn without_ids(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let id = rest.get(..UUID_LETTERS).filter(|start| is_uuid(start));
        let length = id.map_or(letter.len_utf8(), str::len);
        match id {
            Some(id) if !shown.ends_with("request=") => shown += &short(&id.to_ascii_lowercase()),
            _ => shown += &rest[..length],
        }
        rest = &rest[length..];
    }
    shown
}

/// Does what [`without_ids`] does, and removes all words that are long enough to be a secret: for text that may come
/// from a stranger.
pub fn without_secrets(text: &str) -> String {
    let text = without_ids(text);
    let is_in_words = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(|letter: char| !is_in_words(letter)) {
        let word = piece.trim_end_matches(|letter: char| !is_in_words(letter));
        match word.len() {
            SECRET_LETTERS.. => shown.push('…'),
            _ => shown += word,
        }
        shown += &piece[word.len()..];
    }
    shown
}

/// A path as the log may have it: as [`without_secrets`] makes it, and without the secret of a watch link or a ticket,
/// however short that is.
pub fn path_without_secrets(path: &str) -> String {
    let mut shown = without_secrets(path);
    // The path may also begin with a prefix of a proxy's.
    for secret in ["/watch/", "/queue/"] {
        if let Some((before, _)) = shown.split_once(secret) {
            shown = format!("{before}{secret}…");
        }
    }
    shown.chars().take(200).collect()
}

fn is_uuid(text: &str) -> bool {
    let is_right = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == UUID_LETTERS && text.bytes().enumerate().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    /// `printf %s f47ac10b-58cc-4372-a567-0e02b2c3d479 | sha256sum`
    const NAME: &str = "8f400c25";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let filled = |text: &str| text.replace("ID", ID).replace("NAME", NAME);
        assert_eq!(without_ids(&filled(text)), filled(expected), "{text}");
    }

    #[test]
    fn ids_have_short_names() {
        assert_eq!(short(ID), NAME);
        check("", "");
        check("nothing é…", "nothing é…");
        check("session=ID is gone", "session=NAME is gone");
        check("/shellcraft-ID and IDID", "/shellcraft-NAME and NAMENAME");
        check("éIDé", "éNAMEé");
        check("request=ID session=ID", "request=ID session=NAME");
        assert_eq!(without_ids(&ID.to_uppercase()), NAME);
        assert_eq!(without_ids(&ID[1..]), &ID[1..], "it is none");
    }

    #[test]
    fn long_words_are_left_out() {
        let secret = "0123456789abcdef".repeat(4);
        for (text, expected) in [
            ("a short word", "a short word".to_owned()),
            ("SECRET", "…".to_owned()),
            ("/watch/SECRET/ws é", "/watch/…/ws é".to_owned()),
            ("inside `SECRET`, ID", format!("inside `…`, {NAME}")),
            ("SECRET.SECRET", "….…".to_owned()),
        ] {
            let text = text.replace("SECRET", &secret).replace("ID", ID);
            assert_eq!(without_secrets(&text), expected);
        }
    }

    #[test]
    fn no_secret_of_a_path_is_shown() {
        let id = "00000000-0000-4000-8000-000000000000";
        for (path, expected) in [
            ("/session", "/session"),
            ("/watch/secret", "/watch/…"),
            ("/watch/secret/ws", "/watch/…"),
            ("/queue/secret", "/queue/…"),
            // Below the path that players see, or any other that a proxy passes on.
            ("/shell/watch/secret/ws", "/shell/watch/…"),
            ("/a/b/queue/secret", "/a/b/queue/…"),
        ] {
            assert_eq!(path_without_secrets(path), expected);
        }
        let shown = path_without_secrets(&format!("/shell/session/{id}/watch/secret"));
        assert!(
            shown.ends_with("/watch/…") && !shown.contains(id),
            "{shown}"
        );
        assert_eq!(path_without_secrets(&"/a".repeat(500)).chars().count(), 200);
    }
}
