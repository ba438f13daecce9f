//! Spellbooks over HTTP: download and upload.

use std::sync::Arc;
use std::time::Duration;

use log::debug;

use super::error::ApiError;
use super::server::{Body, Request, Response};
use super::{Line, Outcome, Site, headers};
use crate::door::Connection;
use crate::session::SessionId;
use crate::session::sandbox::BOOK_LIMIT_BYTES;

/// How long an upload may take.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(30);

/// What to do with a body, once all of it is there.
pub(super) type WithBody = Box<dyn FnOnce(Vec<u8>) -> Result<Response, ApiError> + Send>;

impl Site {
    pub(super) fn spellbook(&self, id: SessionId, request: &Request) -> Result<Outcome, ApiError> {
        self.owned_session(id, request)?;
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
    let mut response = work(body).unwrap_or_else(|error| error.response());
    headers::keep_to_tls(&mut response, line.is_https);
    site.note(line, response.status);
    // Fails when the client is gone; what it asked for was done all the same.
    let _ = connection.respond(line.id, response);
}
