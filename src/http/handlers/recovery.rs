//! A player takes their identity to another device with a code, which is the secret of their cookie. Servers with logins
//! have no such code, because the spellbooks come with the login.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::PlayerSecret;
use crate::auth::cookie::{self, Player};
use crate::door::{Body, Request};
use crate::http::cookies::{cookie_key, cookies};
use crate::http::error::ApiError;
use crate::http::reply::Handled;
use crate::http::route::NoRoute;
use crate::http::{Outcome, Site};

impl Site {
    /// `POST /recovery-code`: the visitor's code. It is not a GET, because answers to GET stay in histories and caches.
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

    /// `POST /recover`: makes the browser the player of that code from now on.
    pub(in crate::http) fn recover(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_has_codes()?;
        let Body::Whole(body) = &request.body else {
            return Err(ApiError::body_too_large());
        };
        // Unknown fields are ignored, for clients that are newer than the server.
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
            // A player who is revoked can't be told from one who never existed.
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
