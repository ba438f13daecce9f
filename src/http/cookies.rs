//! The cookies that a request shows, and the key by which those of players are recognised. It runs in the thread that asks
//! for them.

use crate::auth::Gate;
use crate::auth::cookie::CookieKey;
use crate::door::Request;
use crate::session::{self, Manager};

/// The request's `Cookie` headers.
pub(super) fn cookies(request: &Request) -> impl Iterator<Item = &str> {
    let headers = request.headers.iter();
    let cookies = headers.filter(|(name, _)| name == "cookie");
    cookies.map(|(_, value)| value.as_str())
}

/// The key of players' cookies: the one that the operator has given, or the one that the store has handed over.
pub(super) fn cookie_key<'a>(
    gate: &'a Gate,
    manager: &'a Manager,
) -> Result<&'a CookieKey, session::Error> {
    match gate.cookie_key() {
        Some(key) => Ok(key),
        None => manager.cookie_key(),
    }
}
