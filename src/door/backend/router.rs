//! What a router thread does with one request: checks its ticket, asks the service, leaves the answer under the
//! ticket.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::TICKET_HEADER;
use super::tickets::{Facts, Tickets};
use crate::door::message::{Body, Request, Response};
use crate::door::service::{Answer, Service};
use crate::door::stats::{Stats, count};
use crate::logging::names;

/// What router threads share.
pub(super) struct Router {
    pub(super) service: Arc<dyn Service>,
    pub(super) stats: Arc<Stats>,
    pub(super) tickets: Arc<Tickets>,
}

impl Router {
    /// Answers one request that came through tiny_http.
    pub(super) fn serve(&self, mut tiny: tiny_http::Request) {
        let redeemed =
            tiny_header(&tiny, TICKET_HEADER).and_then(|ticket| self.tickets.redeem(&ticket));
        let Some((key, facts)) = redeemed else {
            // The ticket is not valid: another process on this machine has found the socket, or the client is gone
            // already.
            let _ = tiny.respond(tiny_http::Response::empty(403));
            return;
        };
        if let Some(request) = to_request(&mut tiny, facts) {
            count(&self.stats.requests);
            // INVARIANT: the answer is left before the end of the connection tells the door to look for it.
            self.tickets.leave(key, self.ask(request));
        }
        // Ends the connection without a byte. Dropping the request itself would print a 500.
        drop(tiny.into_writer());
    }

    fn ask(&self, request: Request) -> Answer {
        let path = names::path_without_secrets(&request.path);
        let told = format!("{} {path} request={}", request.method, request.id);
        catch_unwind(AssertUnwindSafe(|| self.service.answer(request))).unwrap_or_else(|panic| {
            count(&self.stats.panics);
            let said = names::without_secrets(panic_message(&*panic));
            log::error!("a handler panicked: {said}: {told}");
            Answer::Response(Response::error(
                500,
                "internal_error",
                "Something went wrong on our side.",
            ))
        })
    }
}

/// What a panic said, for the log.
pub(in crate::door) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

fn tiny_header(tiny: &tiny_http::Request, name: &'static str) -> Option<String> {
    tiny.headers()
        .iter()
        .find(|header| header.field.equiv(name))
        .map(|header| header.value.to_string())
}

/// The request as the service sees it; `None` when the body is not as long as its head says.
fn to_request(tiny: &mut tiny_http::Request, facts: Facts) -> Option<Request> {
    let body = match facts.body_left {
        Some(length) => Body::TooLong(length),
        None => Body::Whole(read_body(tiny)?),
    };
    let (path, query) = match tiny.url().split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (tiny.url().to_owned(), None),
    };
    let headers = tiny.headers().iter();
    let headers = headers
        .map(|header| {
            (
                header.field.as_str().as_str().to_ascii_lowercase(),
                header.value.to_string(),
            )
        })
        .filter(|(name, _)| name != "connection" && name != TICKET_HEADER)
        .collect();
    Some(Request {
        id: facts.id,
        method: tiny.method().to_string(),
        path,
        query,
        headers,
        body,
        peer: facts.peer,
        is_https: facts.is_https,
        is_forwarded: facts.is_forwarded,
        is_websocket_upgrade: facts.is_websocket_upgrade,
        started: facts.started,
    })
}

/// All of the body, which the door has sent along and kept small.
fn read_body(tiny: &mut tiny_http::Request) -> Option<Vec<u8>> {
    let length = tiny.body_length().unwrap_or(0);
    let mut body = Vec::with_capacity(length);
    tiny.as_reader().read_to_end(&mut body).ok()?;
    (body.len() == length).then_some(body)
}
