//! Players log in and out: `POST /login` and `POST /logout`.

use std::time::SystemTime;

use crate::auth::{Refusal, bearer, cookie};
use crate::door::{Request, Response};
use crate::http::error::ApiError;
use crate::http::reply::{Handled, no_content};
use crate::http::route::NoRoute;
use crate::http::{Outcome, Site};

/// Browsers keep cookies of up to 4096 bytes, name and attributes included.
const COOKIE_TOKEN_BYTES: usize = 3800;

impl Site {
    /// `POST /login`: turns a token in a header into one in a cookie, which pages and their WebSockets send by themselves.
    pub(in crate::http) fn login(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        let gate = &self.guard.gate;
        let cookie = gate.token_cookie().ok_or(NoRoute::NotFound)?;
        let token = request.header("authorization").and_then(bearer);
        let token = token.ok_or_else(|| self.refuse(Refusal::NothingShown))?;
        let bearer = gate.verify(token).map_err(|refusal| self.refuse(refusal))?;
        self.check_not_revoked(&bearer.player, bearer.issued)?;
        if token.len() > COOKIE_TOKEN_BYTES {
            let message = "This token is too long for a cookie; send it as Authorization: Bearer.";
            return Err(ApiError::new(400, "token_too_long", message));
        }
        let left = bearer.until.duration_since(SystemTime::now());
        let seconds = left.map_or(0, |left| left.as_secs());
        let is_https = self.is_https(request);
        let mut response = no_content();
        let set = cookie::set_value(cookie, token, seconds, is_https);
        response.headers.push(("Set-Cookie", set));
        Ok(Outcome::Now(response))
    }

    /// `POST /logout`: the browser forgets who the player is, and the player's terminals are closed. Games go on, and end
    /// as others do.
    pub(in crate::http) fn logout(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        // A client that is not recognised, or no longer recognised, has nothing to close.
        if let Ok(identity) = self.identity(request) {
            for session in self.manager.list() {
                if identity.owns(session.owner()) {
                    self.guard.tickets.revoke(session.id);
                    session.hub.log_out();
                }
            }
        }
        let is_https = self.is_https(request);
        let mut response: Response = no_content();
        for name in self.guard.gate.cookie_names(is_https) {
            let clear = cookie::clear(&name, is_https);
            response.headers.push(("Set-Cookie", clear));
        }
        Ok(Outcome::Now(response))
    }
}
