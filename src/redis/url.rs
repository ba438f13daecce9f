//! Where Redis is, and its password, which is never printed.

use std::fmt;
use std::str::FromStr;

use ::redis::{Client, IntoConnectionInfo};

/// What is printed in place of a secret.
const HIDDEN: &str = "***";

/// Where Redis is: `redis://user:password@host:6379/0` or `unix:///run/redis.sock?db=0&user=…&pass=…`.
///
/// However it is printed, the password is not in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// With the secret.
    text: String,
    password: Option<String>,
    database: i64,
}

/// A text that is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "redis://user:password@host:6379/0 or unix:///run/redis/redis.sock?db=0 is needed; special characters in a \
     password are written %40"
)]
pub struct NotAUrl;

impl FromStr for Url {
    type Err = NotAUrl;

    fn from_str(text: &str) -> Result<Url, NotAUrl> {
        let is_known = text.starts_with("redis://") || text.starts_with("unix:///");
        // The parser would ignore what follows a #, and with it hardly do what the operator meant.
        if !is_known || text.contains('#') {
            return Err(NotAUrl);
        }
        let info = text.into_connection_info().map_err(|_| NotAUrl)?;
        let settings = info.redis_settings();
        if settings.db() < 0 {
            return Err(NotAUrl);
        }
        Ok(Url {
            text: text.to_owned(),
            password: settings.password().map(str::to_owned),
            database: settings.db(),
        })
    }
}

impl Url {
    /// The number of the database in it.
    pub fn database(&self) -> i64 {
        self.database
    }

    /// A client for it; does not connect.
    pub(super) fn client(&self) -> ::redis::RedisResult<Client> {
        Client::open(self.text.as_str())
    }

    /// A message of the Redis client, without the password.
    pub(super) fn conceal(&self, words: &str) -> String {
        match &self.password {
            Some(password) if !password.is_empty() => words.replace(password.as_str(), HIDDEN),
            _ => words.to_owned(),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&without_secret(&self.text))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Url({self})")
    }
}

/// A text that may be such a URL, or should have been one, without what may be a password.
pub fn without_secret(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    // Up to the last @ it may be a user and a password, and from a ? on settings, one of which is the password. With a
    // ? before the last @ it is unclear which part is secret, so all of it is hidden.
    let (before, address) = match rest.rsplit_once('@') {
        Some((before, address)) => (Some(before), address),
        None => (None, rest),
    };
    let is_mixed_up = before.is_some_and(|before| before.contains('?'));
    if is_mixed_up {
        return format!("{scheme}{HIDDEN}");
    }
    let user = before.map_or(String::new(), |_| format!("{HIDDEN}@"));
    match address.split_once('?') {
        Some((address, _)) => format!("{scheme}{user}{address}?{HIDDEN}"),
        None => format!("{scheme}{user}{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: Option<&str>) {
        let url: Result<Url, NotAUrl> = text.parse();
        assert_eq!(url.as_ref().ok().map(Url::to_string).as_deref(), shown);
        assert!(!without_secret(text).contains("secret"), "{text}");
        assert!(!format!("{url:?}").contains("secret"), "{text}");
    }

    #[test]
    fn what_is_a_url_and_how_it_is_shown() {
        check("redis://localhost", Some("redis://localhost"));
        check("redis://[::1]:7000/3", Some("redis://[::1]:7000/3"));
        check("redis://:secret@db:6379/0", Some("redis://***@db:6379/0"));
        check("redis://me:secret@db", Some("redis://***@db"));
        check("redis://me:sec%40secret@db", Some("redis://***@db"));
        check("unix:///run/redis.sock", Some("unix:///run/redis.sock"));
        check(
            "unix:///run/redis.sock?db=1&user=me&pass=secret",
            Some("unix:///run/redis.sock?***"),
        );
        check("unix:///run/r?pass=a@secret", Some("unix://***"));
        for no_url in [
            "",
            "localhost:6379",
            "me:secret@localhost",
            "http://localhost",
            "rediss://:secret@localhost",
            "redis://",
            "redis://0.0.0.0",
            "redis://db/nought",
            "redis://db/-1",
            "redis://db:99999",
            "redis://:secret#more@db",
            "redis://:pa?secret@db",
            "unix://run/redis.sock",
            "unix:///run/redis.sock?db=x",
        ] {
            check(no_url, None);
        }
    }

    #[test]
    fn the_database_is_known() {
        for (text, expected) in [
            ("redis://db", 0),
            ("redis://db/3", 3),
            ("unix:///run/r?db=1", 1),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!(url.database(), expected, "{text}");
        }
    }

    #[test]
    fn others_words_are_concealed() {
        let url: Url = "redis://:s%40cret@db".parse().unwrap();
        assert_eq!(url.conceal("no s@cret here"), "no *** here");
        let open: Url = "redis://db".parse().unwrap();
        assert_eq!(open.conceal("as it is"), "as it is");
    }
}
