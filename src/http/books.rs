//! Spellbooks over HTTP: download and upload, and the cookie by which a player is known again.

use std::sync::Arc;
use std::time::Duration;

use log::debug;

use super::error::ApiError;
use super::server::{Body, Request, Response};
use super::{Line, Outcome, Site};
use crate::door::Connection;
use crate::session::sandbox::BOOK_LIMIT_BYTES;
use crate::session::{PlayerSecret, SessionId};

/// The cookie that holds a player's secret.
const COOKIE: &str = "shellcraft_player";
/// A year, after which a browser forgets its player; each new game starts it again.
const COOKIE_SECONDS: u32 = 365 * 24 * 3600;
/// How long an upload may take.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(30);

/// What to do with a body, once all of it is there.
pub(super) type WithBody = Box<dyn FnOnce(Vec<u8>) -> Result<Response, ApiError> + Send>;

/// The player a request comes from; a new one where it does not say.
pub(super) fn player(request: &Request) -> PlayerSecret {
    request
        .headers
        .iter()
        .filter(|(name, _)| name == "cookie")
        .flat_map(|(_, value)| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, secret)| PlayerSecret::parse(secret))
        .unwrap_or_else(PlayerSecret::random)
}

/// `Set-Cookie` for that player (RFC 6265 §4.1).
pub(super) fn set_cookie(player: &PlayerSecret, is_https: bool) -> (&'static str, String) {
    let secure = if is_https { "; Secure" } else { "" };
    let value = format!(
        "{COOKIE}={}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict{secure}",
        player.as_str()
    );
    ("Set-Cookie", value)
}

impl Site {
    pub(super) fn spellbook(&self, id: SessionId, request: &Request) -> Result<Outcome, ApiError> {
        let session = self.manager.get(id)?;
        self.check_owner(&session, request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let book = manager.book(id)?;
            Ok(super::handlers::download(
                "application/octet-stream",
                "spellbook.dat",
                book,
            ))
        })))
    }

    pub(super) fn put_spellbook(
        &self,
        id: SessionId,
        request: Request,
    ) -> Result<Outcome, ApiError> {
        self.own_session(id, &request)?;
        let manager = Arc::clone(&self.manager);
        let put: WithBody = Box::new(move |book| {
            manager.replace_book(id, &book)?;
            Ok(super::handlers::no_content())
        });
        match request.body {
            Body::TooLong(length) if length > BOOK_LIMIT_BYTES => Err(ApiError::body_too_large()),
            Body::TooLong(length) => Ok(Outcome::Upload(length as usize, put)),
            Body::Whole(book) => Ok(Outcome::Later(Box::new(move |_| put(book)))),
        }
    }
}

/// Reads the body on the connection's own thread, does what is to be done with it, and answers.
pub(super) fn upload(
    site: &Site,
    line: &Line,
    mut connection: Connection,
    length: usize,
    work: WithBody,
) {
    let body = match connection.read_body(length, UPLOAD_DEADLINE) {
        Ok(body) => body,
        Err(cause) => {
            debug!("request={} the upload broke off: {cause}", line.id);
            site.note(line, 408);
            return;
        }
    };
    let response = work(body).unwrap_or_else(|error| error.response());
    site.note(line, response.status);
    // Fails when the client is gone; what it asked for was done all the same.
    let _ = connection.respond(line.id, response);
}
