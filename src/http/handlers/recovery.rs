//! A player takes who they are to another device: by a code, which is the secret of their cookie. Where players log in there
//! is none, for their spellbooks come with their login.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::PlayerSecret;
use crate::auth::cookie::{self, Player};
use crate::door::{Body, Request};
use crate::http::error::ApiError;
use crate::http::identity::{cookie_key, cookies};
use crate::http::reply::Handled;
use crate::http::route::NoRoute;
use crate::http::{Outcome, Site};

impl Site {
    /// `POST /recovery-code`: the visitor's. Not by GET, whose answers stay in histories and caches.
    pub(in crate::http) fn recovery_code(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_has_codes()?;
        let player = self.visitor(request)?.ok_or_else(nobody_yet)?;
        let key = cookie_key(&self.guard.gate, &self.manager)?;
        let shown: Vec<&str> = cookies(request).collect();
        let names = self.guard.gate.names();
        let secret = match cookie::player(&shown, names, self.is_https(request), key) {
            Player::Known(secret) | Player::OfOld(secret) if secret.id() == player => secret,
            _ => return Err(nobody_yet()),
        };
        let body = json!({"recovery_code": secret.to_code()});
        Ok(Outcome::Now(crate::http::reply::json_response(200, &body)))
    }

    /// `POST /recover`: from now on the browser is the player of that code.
    pub(in crate::http) fn recover(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_has_codes()?;
        let Body::Whole(body) = &request.body else {
            return Err(ApiError::body_too_large());
        };
        // Unknown fields are left alone, for clients newer than we are.
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = told["recovery_code"].as_str().ok_or_else(|| {
            let message = "The body must be JSON, such as {\"recovery_code\": \"2-…\"}.";
            ApiError::new(400, "bad_json", message)
        })?;
        let secret = PlayerSecret::from_code(code).ok_or_else(unknown_code)?;
        let manager = Arc::clone(&self.manager);
        let guard = Arc::clone(&self.guard);
        let is_https = self.is_https(request);
        Ok(Outcome::Later(Box::new(move |_| {
            let player = secret.id();
            // One who is revoked can't be told from one who never was.
            if manager.is_revoked(&player, None)? || !manager.knows(&player)? {
                return Err(unknown_code());
            }
            let key = cookie_key(&guard.gate, &manager)?;
            let set = cookie::set(&secret, key, guard.gate.names(), is_https);
            let mut response = crate::http::reply::no_content();
            response.headers.push(("Set-Cookie", set));
            Ok(response)
        })))
    }

    fn check_has_codes(&self) -> Result<(), ApiError> {
        match self.guard.gate.wants_tokens() {
            true => Err(NoRoute::NotFound.into()),
            false => Ok(()),
        }
    }
}

fn nobody_yet() -> ApiError {
    let message = "There is nothing to recover yet: start a game first.";
    ApiError::new(404, "unknown_player", message)
}

fn unknown_code() -> ApiError {
    let message =
        "No player has that recovery code. Take all of it, from its first digit to its last.";
    ApiError::new(404, "unknown_recovery_code", message)
}
