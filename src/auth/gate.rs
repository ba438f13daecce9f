//! Decides which player or operator a request comes from, and whether a session belongs to them.

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

/// How players are recognised, as the operator has set it.
#[derive(Clone, Default)]
pub enum Mode {
    /// By a cookie that any browser gets.
    #[default]
    Anonymous,
    /// By tokens that another service issues.
    Jwt(JwtSettings),
}

/// What `AUTH=jwt` needs.
#[derive(Clone)]
pub struct JwtSettings {
    /// Where the key that checks tokens comes from.
    pub key: KeySource,
    /// What tokens must say.
    pub demands: Demands,
    /// The cookie that may hold a token.
    pub cookie: String,
}

/// Where the key that checks tokens comes from.
#[derive(Clone)]
pub enum KeySource {
    /// The key was given at the start.
    Known(Key),
    /// The keys are fetched from this address.
    Url {
        /// The address.
        url: String,
        /// The authorities that may vouch for the address, instead of those that browsers trust.
        authorities: Option<Authorities>,
    },
}

/// The operator's settings.
#[derive(Clone, Default)]
pub struct Settings {
    /// How players are recognised.
    pub mode: Mode,
    /// The key of cookies, if the store does not keep it.
    pub cookie_key: Option<CookieKey>,
    /// The operator's secret.
    pub admin_token: Option<String>,
    /// The names of this server's own cookies.
    pub names: Names,
}

/// What a request shows about its sender.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `Cookie` headers.
    pub cookies: &'a [&'a str],
    /// Whether it came by HTTPS.
    pub is_https: bool,
}

/// The sender of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The player, if known.
    pub player: Option<PlayerId>,
    /// Whether it is the operator.
    pub is_operator: bool,
    /// When the identity expires.
    pub until: Option<SystemTime>,
    /// The earliest time at which the credential was issued, if that is known.
    pub issued: Option<SystemTime>,
    /// The hash of the bearer token that was sent, which may be a session's token.
    token_hash: Option<String>,
}

/// Decides who the sender of a request is.
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
    /// Prints the gate without its secrets.
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
    /// Makes a gate with the operator's settings.
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

    /// Whether players need a token from another service.
    pub fn wants_tokens(&self) -> bool {
        self.jwt.is_some()
    }

    /// The key of cookies, if the operator has given one.
    pub fn cookie_key(&self) -> Option<&CookieKey> {
        self.cookie_key.as_ref()
    }

    /// The names of this server's own cookies.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The names of the cookies by which a player or operator may be recognised.
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

    /// The sender of the request. If there is an `Authorization` header, it alone counts; otherwise a cookie does.
    ///
    /// # Errors
    /// [`Refusal`] when the request shows something that is neither a valid token nor the operator's secret, or shows
    /// nothing where something is needed.
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

    /// Verifies the token with which a player or operator logs in, and returns who that is.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(&self, token: &str) -> Result<Bearer, Refusal> {
        match &self.jwt {
            Some(jwt) => jwt.verifier.verify(token),
            None => Err(Refusal::Malformed),
        }
    }

    /// Whether this is the operator's secret. Takes the same time wherever the difference is.
    fn is_operator_s(&self, token: &str) -> bool {
        self.admin_token
            .as_deref()
            .is_some_and(|admin| secret::is_same_secret(token, admin))
    }
}

/// The value of a cookie. Of two values that differ, one was planted by a neighbouring host, and it is not known which.
fn one_value<'a>(cookies: &'a [&'a str], name: &'a str) -> Result<&'a str, Refusal> {
    let mut values = cookie::values(cookies, name);
    let first = values.next().ok_or(Refusal::NothingShown)?;
    match values.all(|value| value == first) {
        true => Ok(first),
        false => Err(Refusal::BadCookie),
    }
}

/// The player that the cookies name. Owning a session proves that a player from before signed cookies is real: no one else
/// could have a secret that hashes to the owner.
fn known(player: &Player) -> Option<PlayerId> {
    match player {
        Player::Known(player) | Player::OfOld(player) => Some(player.id()),
        Player::Nobody | Player::NotOurs => None,
    }
}

impl Identity {
    /// Whether this identity may have a session of `owner`. Takes the same time for a session without an owner as for
    /// another player's.
    pub fn may_have(&self, owner: Option<&Owner>) -> bool {
        let owns = self.owns(owner);
        self.is_operator || owns
    }

    /// Whether this identity owns a session of `owner`, rather than being an operator, who may have every session.
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
