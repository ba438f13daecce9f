//! Who applies for a game, or brings a book without one: decides which player that is, one who is known or a new one. The thread
//! that answers requests notes who asks; the connection's own thread decides, because it may have to wait for the store.

use std::sync::Arc;
use std::time::SystemTime;

use super::cookies::{cookie_key, cookies};
use super::error::ApiError;
use super::guard::Guard;
use super::{Metrics, Site};
use crate::auth::cookie::{self, Player};
use crate::auth::{Identity, PlayerId, PlayerSecret, Refusal};
use crate::door::Request;
use crate::session::Manager;

/// A client that wants a new session, or to store a book. Who it is may be known only when the store is.
pub(super) struct Applicant {
    guard: Arc<Guard>,
    manager: Arc<Manager>,
    metrics: Arc<Metrics>,
    identity: Option<Identity>,
    cookies: Vec<String>,
    is_https: bool,
}

/// The player that it is.
pub(super) struct Admitted {
    pub(super) player: PlayerId,
    /// Whether the player has just come into being.
    pub(super) is_new: bool,
    /// `Set-Cookie`, if the browser is to remember who the player is.
    pub(super) cookie: Option<String>,
    /// When the player's login expires.
    pub(super) until: Option<SystemTime>,
    /// The earliest time at which the player was found not to be revoked.
    pub(super) at: SystemTime,
}

impl Site {
    /// The client that asks for a session.
    pub(super) fn applicant(&self, request: &Request) -> Result<Applicant, ApiError> {
        let identity = match self.guard.gate.wants_tokens() {
            // It may not be known yet whether the login is revoked.
            true => Some(self.shown_identity(request)?),
            false => None,
        };
        Ok(Applicant {
            guard: Arc::clone(&self.guard),
            manager: Arc::clone(&self.manager),
            metrics: Arc::clone(&self.metrics),
            identity,
            cookies: cookies(request).map(str::to_owned).collect(),
            is_https: self.is_https(request),
        })
    }
}

impl Applicant {
    /// Counts a refusal, and returns the error for it.
    fn refuse(&self, refusal: Refusal) -> ApiError {
        self.metrics.count_refusal(refusal);
        refusal.into()
    }

    /// Decides which player the session will belong to. Blocks for a while when the server has just started.
    ///
    /// # Errors
    /// When it is not known yet who players are, or when their login is revoked.
    pub(super) fn admit(&self) -> Result<Admitted, ApiError> {
        self.manager.wait_until_settled()?;
        let at = SystemTime::now();
        if let Some(identity) = &self.identity {
            if let Some(player) = &identity.player
                && self.manager.is_revoked(player, identity.issued)?
            {
                return Err(self.refuse(Refusal::Revoked));
            }
            let player = identity.player.clone();
            return Ok(Admitted {
                player: player.unwrap_or_else(PlayerId::operator),
                is_new: false,
                cookie: None,
                until: identity.until,
                at,
            });
        }
        let key = cookie_key(&self.guard.gate, &self.manager)?;
        let cookies: Vec<&str> = self.cookies.iter().map(String::as_str).collect();
        let names = self.guard.gate.names();
        let known = match cookie::player(&cookies, names, self.is_https, key) {
            Player::Known(player) => Some(player),
            Player::OfOld(player) if self.manager.knows(&player.id())? => Some(player),
            Player::Nobody => None,
            // The value that was shown is never used: someone else may know it.
            Player::NotOurs | Player::OfOld(_) => {
                self.metrics.count_refusal(Refusal::BadCookie);
                None
            }
        };
        // Without logins a revoked player can't log in again, and becomes a new player.
        let known = match known {
            Some(player) if self.manager.is_revoked(&player.id(), None)? => {
                self.metrics.count_refusal(Refusal::Revoked);
                None
            }
            known => known,
        };
        let is_new = known.is_none();
        let secret = known.unwrap_or_else(PlayerSecret::random);
        Ok(Admitted {
            player: secret.id(),
            is_new,
            cookie: Some(cookie::set(&secret, key, names, self.is_https)),
            until: None,
            at,
        })
    }
}
