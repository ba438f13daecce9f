//! The decision whom a request comes from, and whether a session is theirs.

use std::fmt;
use std::time::SystemTime;

use super::cookie::{self, CookieKey, Names, Player};
use super::error::Refusal;
use super::jwks::{Authorities, Jwks};
use super::jwt::{Bearer, Demands, Keys, Verifier};
use super::key::Key;
use super::owner::Owner;
use super::owner::PlayerId;
use super::secret;

/// How players are known; what the operator has set.
#[derive(Clone, Default)]
pub enum Mode {
    /// By a cookie that anybody gets.
    #[default]
    Anonymous,
    /// By tokens that somebody else gives out.
    Jwt(JwtSettings),
}

/// What `AUTH=jwt` needs.
#[derive(Clone)]
pub struct JwtSettings {
    /// The key.
    pub key: KeySource,
    /// What tokens must say.
    pub demands: Demands,
    /// The cookie that may hold a token.
    pub cookie: String,
}

/// Where the key of tokens comes from.
#[derive(Clone)]
pub enum KeySource {
    /// It is known.
    Known(Key),
    /// It is to be fetched from this address.
    Url {
        /// The address.
        url: String,
        /// The authorities that may vouch for it, in place of those that browsers know.
        authorities: Option<Authorities>,
    },
}

/// What the operator has set.
#[derive(Clone, Default)]
pub struct Settings {
    /// How players are known.
    pub mode: Mode,
    /// The key of cookies, where it does not lie in the store.
    pub cookie_key: Option<CookieKey>,
    /// The operator's secret.
    pub admin_token: Option<String>,
    /// What our own cookies are called.
    pub names: Names,
}

/// What a request shows of whoever sends it.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `Cookie` headers.
    pub cookies: &'a [&'a str],
    /// Whether it came by HTTPS.
    pub is_https: bool,
}

/// Whom a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The player, if it is known.
    pub player: Option<PlayerId>,
    /// Whether it is the operator.
    pub is_operator: bool,
    /// When that runs out.
    pub until: Option<SystemTime>,
    /// When what shows it was issued, at the earliest, if that is known.
    pub issued: Option<SystemTime>,
    /// Hash of what it sends as bearer, which may be a session's token.
    token_hash: Option<String>,
}

/// Decides who somebody is.
pub struct Gate {
    admin_token: Option<String>,
    cookie_key: Option<CookieKey>,
    names: Names,
    jwt: Option<Jwt>,
}

struct Jwt {
    verifier: Verifier,
    cookie: String,
}

impl fmt::Debug for Settings {
    /// Without the secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Anonymous => "anonymous",
            Mode::Jwt(_) => "jwt",
        };
        out.debug_struct("Settings")
            .field("mode", &mode)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate as the operator wants it.
    pub fn new(settings: Settings) -> Gate {
        let jwt = match settings.mode {
            Mode::Anonymous => None,
            Mode::Jwt(jwt) => {
                let keys = match jwt.key {
                    KeySource::Known(key) => Keys::One(key),
                    KeySource::Url { url, authorities } => {
                        Keys::Fetched(Jwks::new(&url, authorities))
                    }
                };
                Some(Jwt {
                    verifier: Verifier::new(keys, jwt.demands),
                    cookie: jwt.cookie,
                })
            }
        };
        Gate {
            admin_token: settings.admin_token,
            cookie_key: settings.cookie_key,
            names: settings.names,
            jwt,
        }
    }

    /// Whether players need a token from elsewhere.
    pub fn wants_tokens(&self) -> bool {
        self.jwt.is_some()
    }

    /// The key of cookies, where the operator has given one.
    pub fn cookie_key(&self) -> Option<&CookieKey> {
        self.cookie_key.as_ref()
    }

    /// What our own cookies are called.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The names of cookies by which somebody may be known.
    pub fn cookie_names(&self, is_https: bool) -> Vec<String> {
        let names = &self.names;
        match &self.jwt {
            Some(jwt) => vec![jwt.cookie.clone()],
            None if is_https => vec![names.player(true), names.player(false)],
            None => vec![names.player(false)],
        }
    }

    /// The cookie that may hold a token.
    pub fn token_cookie(&self) -> Option<&str> {
        self.jwt.as_ref().map(|jwt| jwt.cookie.as_str())
    }

    /// Whom the request comes from. What it sends as `Authorization` counts alone; a cookie does where there is none.
    ///
    /// # Errors
    /// [`Refusal`] for what is neither a token that is good, nor the operator's, nor nothing where nothing is needed.
    pub fn identify(&self, shown: Shown<'_>, key: Option<&CookieKey>) -> Result<Identity, Refusal> {
        let bearer = shown.authorization;
        let bearer = bearer.map(|text| secret::bearer(text).unwrap_or_default());
        if bearer.is_some_and(|token| self.is_operator_s(token)) {
            return Ok(Identity {
                is_operator: true,
                ..Identity::default()
            });
        }
        match &self.jwt {
            Some(jwt) => {
                let token = match bearer {
                    Some(token) => token,
                    None => one_value(shown.cookies, &jwt.cookie)?,
                };
                jwt.verifier.verify(token).map(Identity::from)
            }
            None => Ok(match bearer {
                Some(token) => Identity {
                    token_hash: Some(secret::digest(token)),
                    ..Identity::default()
                },
                None => Identity {
                    player: key.and_then(|key| {
                        let Shown {
                            cookies, is_https, ..
                        } = shown;
                        known(&cookie::player(cookies, &self.names, is_https, key))
                    }),
                    ..Identity::default()
                },
            }),
        }
    }

    /// Whom a token names that somebody logs in with.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(&self, token: &str) -> Result<Bearer, Refusal> {
        match &self.jwt {
            Some(jwt) => jwt.verifier.verify(token),
            None => Err(Refusal::Malformed),
        }
    }

    /// Whether it is the operator's secret. Takes the same time wherever the difference is.
    fn is_operator_s(&self, token: &str) -> bool {
        self.admin_token
            .as_deref()
            .is_some_and(|admin| secret::is_same_secret(token, admin))
    }
}

/// The value of a cookie. Of two that differ one was planted by a neighbouring host, and nobody knows which.
fn one_value<'a>(cookies: &'a [&'a str], name: &'a str) -> Result<&'a str, Refusal> {
    let mut values = cookie::values(cookies, name);
    let first = values.next().ok_or(Refusal::NothingShown)?;
    match values.all(|value| value == first) {
        true => Ok(first),
        false => Err(Refusal::BadCookie),
    }
}

/// Owning a session proves that a player of old is one: nobody else could have a secret that hashes to the owner.
fn known(player: &Player) -> Option<PlayerId> {
    match player {
        Player::Known(player) | Player::OfOld(player) => Some(player.id()),
        Player::Nobody | Player::NotOurs => None,
    }
}

impl Identity {
    /// Whether a session of this owner is theirs. Takes the same time for a session that nobody owns as for somebody
    /// else's.
    pub fn may_have(&self, owner: Option<&Owner>) -> bool {
        let owns = self.owns(owner);
        self.is_operator || owns
    }

    /// The same, and not because it may have all of them.
    pub fn owns(&self, owner: Option<&Owner>) -> bool {
        let token_hash = owner.map_or("", |owner| owner.token_hash.as_str());
        let shown = self.token_hash.as_deref().unwrap_or("-");
        let has_token = secret::is_same_secret(shown, token_hash);
        let player = owner.map(|owner| &owner.player);
        let is_player = self.player.is_some() && self.player.as_ref() == player;
        has_token || is_player
    }
}

impl From<Bearer> for Identity {
    fn from(bearer: Bearer) -> Identity {
        Identity {
            player: Some(bearer.player),
            is_operator: bearer.is_operator,
            until: Some(bearer.until),
            issued: bearer.issued,
            token_hash: None,
        }
    }
}
