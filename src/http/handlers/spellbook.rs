//! Spellbooks over HTTP: download and upload, by players of their own books, in a game or without one, and by
//! operators of any player's.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use log::debug;
use serde_json::json;

use crate::auth::PlayerId;
use crate::door::security_headers;
use crate::door::{self, Connection};
use crate::door::{Body, Request, Response};
use crate::http::error::ApiError;
use crate::http::reply::{json_response, timestamp};
use crate::http::{Line, Outcome, Site};
use crate::session::SessionId;
use crate::session::sandbox::BOOK_LIMIT_BYTES;
use crate::session::store::BookVersion;

/// How long an upload may take.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(30);

/// The times without use after which an operator may remove books: the same range as for `BOOK_EXPIRY`.
const UNUSED_SECONDS: RangeInclusive<u64> = 3600..=101 * 366 * 24 * 3600;

/// How many books one page of the list has.
const BOOKS_PER_PAGE: usize = 1000;

/// What to do with a body once it is complete.
pub(in crate::http) type WithBody = Box<dyn FnOnce(Vec<u8>) -> Result<Response, ApiError> + Send>;

impl Site {
    pub(in crate::http) fn spellbook(
        &self,
        id: SessionId,
        request: &Request,
    ) -> Result<Outcome, ApiError> {
        self.owned_session(id, request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let book = manager.book(id)?;
            Ok(crate::http::reply::download(
                "application/octet-stream",
                "spellbook.dat",
                book,
            ))
        })))
    }

    pub(in crate::http) fn put_spellbook(
        &self,
        id: SessionId,
        request: Request,
    ) -> Result<Outcome, ApiError> {
        self.own_session(id, &request)?;
        let manager = Arc::clone(&self.manager);
        with_book(
            request,
            Box::new(move |book| {
                manager.replace_book(id, &book)?;
                Ok(crate::http::reply::no_content())
            }),
        )
    }

    /// `GET /spellbook`: the versions of the visitor's book, newest first, and those that were set aside.
    pub(in crate::http) fn book_versions(&self, request: &Request) -> Result<Outcome, ApiError> {
        let player = self.visitor(request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let (versions, aside) = match &player {
                Some(player) => manager.book_versions(player)?,
                None => Default::default(),
            };
            let row = |version: &BookVersion, is_aside| {
                json!({
                    "sha256": version.sha256,
                    "bytes": version.bytes,
                    "saved_at": timestamp(version.saved_at),
                    "set_aside": is_aside,
                })
            };
            let versions = versions.iter().map(|version| row(version, false));
            let aside = aside.iter().map(|version| row(version, true));
            let all: Vec<_> = versions.chain(aside).collect();
            Ok(json_response(200, &json!({ "versions": all })))
        })))
    }

    /// `PUT /spellbook`: makes this book the visitor's newest. A visitor who is not known yet becomes a new player by it.
    pub(in crate::http) fn upload_book(&self, request: Request) -> Result<Outcome, ApiError> {
        self.check_origin(&request)?;
        let applicant = self.applicant(&request)?;
        let household = door::household(request.peer);
        let manager = Arc::clone(&self.manager);
        with_book(
            request,
            Box::new(move |book| {
                let admitted = applicant.admit()?;
                manager.upload_book(&admitted.player, admitted.is_new, &book, household)?;
                let mut response = crate::http::reply::no_content();
                let cookie = admitted.cookie.map(|cookie| ("Set-Cookie", cookie));
                response.headers.extend(cookie);
                Ok(response)
            }),
        )
    }

    /// `GET /spellbook/{sha256}`
    pub(in crate::http) fn book_version(
        &self,
        sha256: String,
        request: &Request,
    ) -> Result<Outcome, ApiError> {
        let player = self.visitor(request)?.ok_or_else(no_version)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let book = manager.book_version(&player, &sha256)?;
            let book = book.ok_or_else(no_version)?;
            Ok(crate::http::reply::download(
                "application/octet-stream",
                "spellbook.dat",
                book.bytes,
            ))
        })))
    }

    /// `POST /spellbook/{sha256}`: makes this version the newest.
    pub(in crate::http) fn restore_version(
        &self,
        sha256: String,
        request: &Request,
    ) -> Result<Outcome, ApiError> {
        self.check_origin(request)?;
        let player = self.visitor(request)?.ok_or_else(no_version)?;
        let household = door::household(request.peer);
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            match manager.restore_book(&player, &sha256, household)? {
                true => Ok(crate::http::reply::no_content()),
                false => Err(no_version()),
            }
        })))
    }

    /// `GET /admin/books`: a page of the list; `next` says where the next page begins.
    pub(in crate::http) fn list_books(&self, request: &Request) -> Result<Outcome, ApiError> {
        self.check_operator(request)?;
        let after = after(request.query.as_deref().unwrap_or_default())?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let entries = manager.list_books(after.as_ref(), BOOKS_PER_PAGE)?;
            let is_full = entries.len() == BOOKS_PER_PAGE;
            let next = entries.last().filter(|_| is_full);
            let next = next.map(|entry| entry.player.clone());
            let books = entries.into_iter().map(|entry| {
                json!({
                    "player": entry.player,
                    "bytes": entry.bytes,
                    "saved_at": timestamp(entry.saved_at),
                })
            });
            let body = json!({"books": books.collect::<Vec<_>>(), "next": next});
            Ok(json_response(200, &body))
        })))
    }

    /// `DELETE /admin/books`: removes the books that were not used for the given time, and that may expire.
    pub(in crate::http) fn expire_books(&self, request: &Request) -> Result<Outcome, ApiError> {
        self.check_origin(request)?;
        self.check_operator(request)?;
        let query = request.query.as_deref().unwrap_or_default();
        let unused = parameter(query, "unused_seconds").and_then(|text| text.parse().ok());
        let unused = unused.filter(|seconds| UNUSED_SECONDS.contains(seconds));
        let is_trial = match parameter(query, "dry_run") {
            None | Some("false") => Some(false),
            Some("true") => Some(true),
            Some(_) => None,
        };
        let (Some(unused), Some(is_trial)) = (unused, is_trial) else {
            let message = "unused_seconds must be 3600 or more, and dry_run true or false.";
            return Err(ApiError::new(400, "bad_query", message));
        };
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let shelf = manager.expire_books(Duration::from_secs(unused), is_trial)?;
            if !is_trial {
                log::warn!(
                    "an operator has removed the spellbooks of {} players, unused for {unused} s",
                    shelf.expired
                );
            }
            let body = json!({"expired": shelf.expired, "players": shelf.players, "bytes": shelf.bytes, "dry_run": is_trial});
            Ok(json_response(200, &body))
        })))
    }

    /// `GET /admin/books/{player}`: the player's book as it was saved last.
    pub(in crate::http) fn export_book(
        &self,
        player: PlayerId,
        request: &Request,
    ) -> Result<Outcome, ApiError> {
        self.check_operator(request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let message = "There is no spellbook of that player.";
            let missing = || ApiError::new(404, "spellbook_not_found", message);
            let book = manager.stored_book(&player)?.ok_or_else(missing)?;
            Ok(crate::http::reply::download(
                "application/octet-stream",
                "spellbook.dat",
                book.bytes,
            ))
        })))
    }

    /// `PUT /admin/books/{player}`
    pub(in crate::http) fn import_book(
        &self,
        player: PlayerId,
        request: Request,
    ) -> Result<Outcome, ApiError> {
        self.check_origin(&request)?;
        self.check_operator(&request)?;
        let manager = Arc::clone(&self.manager);
        with_book(
            request,
            Box::new(move |book| {
                manager.import_book(&player, &book)?;
                log::info!(
                    "an operator has put {} bytes in as {player}'s spellbook",
                    book.len()
                );
                Ok(crate::http::reply::no_content())
            }),
        )
    }
}

fn no_version() -> ApiError {
    let message = "You have no spellbook of that name.";
    ApiError::new(404, "spellbook_not_found", message)
}

/// Reads a request's body, which is a book, and gives it to `put`.
fn with_book(request: Request, put: WithBody) -> Result<Outcome, ApiError> {
    match request.body {
        Body::TooLong(length) if length > BOOK_LIMIT_BYTES => Err(ApiError::body_too_large()),
        Body::TooLong(length) => Ok(Outcome::Upload(length as usize, put)),
        Body::Whole(book) => Ok(Outcome::Later(Box::new(move |_| put(book)))),
    }
}

/// The player after whom the list goes on, if the query names one.
fn after(query: &str) -> Result<Option<PlayerId>, ApiError> {
    let Some(name) = parameter(query, "after") else {
        return Ok(None);
    };
    let wrong = |_| ApiError::new(400, "bad_query", "after must be a player's name.");
    PlayerId::try_from(name.to_owned()).map(Some).map_err(wrong)
}

/// The value of a parameter of the query, as it was sent.
pub(super) fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut parts = query.split('&').filter_map(|part| part.split_once('='));
    parts.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Reads the body on the connection's own thread, gives it to its function, and sends the answer.
pub(in crate::http) fn upload(
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
            let message = "The body did not arrive whole in time; nothing was changed.";
            let mut response = ApiError::new(408, "request_timeout", message).response();
            security_headers::keep_to_tls(&mut response, line.is_https);
            // This fails when the client is gone, which is usual here; but the client may only have ended sending.
            let _ = connection.respond(line.id, response);
            return;
        }
    };
    let mut response = work(body).unwrap_or_else(|error| error.response());
    security_headers::keep_to_tls(&mut response, line.is_https);
    site.note(line, response.status);
    // This fails when the client is gone; what it asked for was done all the same.
    let _ = connection.respond(line.id, response);
}
