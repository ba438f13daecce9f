//! Requests for sessions that another instance of the fleet has: they are handed to that one as they came, and what comes
//! back is copied, for WebSockets and for plain answers alike.
//!
//! A relay runs on the connection's own thread to its end. The other instance answers as if the client had come to it: it
//! checks who the client is, and it logs and counts the request under the same number.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::TcpStream;
use std::sync::Arc;

use log::{debug, info};

use super::error::ApiError;
use super::handlers::session::missing;
use super::route::Route;
use super::{Line, Site};
use crate::door::{Answer, Body, Connection, Relayed, Request, Response};
use crate::fleet::front::Front;
use crate::fleet::record::State;
use crate::fleet::relay::{Limits, relay};
use crate::fleet::table::Instance;
use crate::session;
use crate::session::ids::HomeNumber;
use crate::session::watch;
use crate::warn_throttled;

/// Why a session is missing whose instance was taken for dead and can't be reached.
const HOST_LOST: &str = "host_lost";

/// The other instance that has what the route is about, if there is one.
pub(super) fn elsewhere(front: &Front, site: &Site, route: &Route) -> Option<Arc<Instance>> {
    let home: HomeNumber = match route {
        Route::Watch(secret) | Route::WatchTerminal(secret) => watch::home_of(secret)?,
        route => {
            let session = route.session()?;
            // A session that is here is served here, whatever its number.
            if site.manager.get(session).is_ok() {
                return None;
            }
            session.home()?
        }
    };
    front.other(home)
}

/// Hands the request on. `target` is the path and the query as the client has sent them.
pub(super) fn hand_on(
    site: &Arc<Site>,
    line: Line,
    (route, request): (Route, Request),
    target: String,
    (front, home): (Arc<Front>, Arc<Instance>),
) -> Answer {
    let site = Arc::clone(site);
    Answer::HandOff(Box::new(move |connection| {
        let _entered = line.enter();
        match front.dial(&home, connection.closing()) {
            Ok(stream) => {
                let head = print(&request, &target, connection.expects_continue);
                run(&line, connection, stream, head, (&front, &home.name));
            }
            Err(error) => {
                warn_throttled!("instance {}: {error}", home.name);
                let response = away(&route, home.state);
                site.note(&line, response.status);
                // This fails when the client is gone.
                let _ = connection.respond(line.id, response);
            }
        }
    }))
}

/// The answer for what another instance has that can't be reached. Once that is buried it is not waited for any longer: the
/// player's next game supersedes the one there.
fn away(route: &Route, state: State) -> Response {
    if state != State::Buried {
        return ApiError::home_away().response();
    }
    let mut response = ApiError::from(session::Error::NotFound).response();
    if let Route::Status(id) = route {
        response.body = Cow::Owned(missing(*id, Some(HOST_LOST)));
    }
    response
}

fn run(
    line: &Line,
    mut connection: Connection,
    stream: TcpStream,
    mut head: Vec<u8>,
    (front, home): (&Front, &str),
) {
    let open = front.metrics().relay_opened();
    head.append(&mut connection.leftover);
    let limits = Limits::default();
    let report = relay(
        &connection.stream,
        &stream,
        head,
        connection.closing(),
        &limits,
    );
    open.note(&report);
    drop(open);
    info!(
        "{} relayed to {home}: {} bytes there, {} back",
        line.method, report.to_home_bytes, report.to_player_bytes
    );
    debug!("the relay to {home} ended: {:?}", report.ending);
}

/// The request as the home is to read it.
fn print(request: &Request, target: &str, expects_continue: bool) -> Vec<u8> {
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method);
    let mut push = |name: &str, value: &str| {
        // A text takes whatever is written.
        let _ = write!(head, "{name}: {value}\r\n");
    };
    for (name, value) in &request.headers {
        if !["connection", "upgrade", "content-length", "expect"].contains(&name.as_str()) {
            push(name, value);
        }
    }
    if request.is_websocket_upgrade {
        push("connection", "Upgrade");
        push("upgrade", "websocket");
    } else {
        push("connection", "close");
    }
    let body = match &request.body {
        Body::Whole(body) => body.as_slice(),
        Body::TooLong(_) => &[],
    };
    match request.body {
        Body::TooLong(length) => {
            push("content-length", &length.to_string());
            if expects_continue {
                push("expect", "100-continue");
            }
        }
        Body::Whole(_) if !body.is_empty() => push("content-length", &body.len().to_string()),
        Body::Whole(_) => {}
    }
    for (name, value) in Relayed::of(request).headers() {
        push(name, &value);
    }
    head.push_str("\r\n");
    let mut head = head.into_bytes();
    head.extend_from_slice(body);
    head
}
