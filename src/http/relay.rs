//! Requests for sessions that another instance of the fleet has: they are handed to that one as they came, and what comes
//! back is copied, for WebSockets and for plain answers alike.
//!
//! A relay runs on the connection's own thread to its end. The other instance answers as if the client had come to it: it
//! checks who the client is, and it logs and counts the request under the same number.

use std::fmt::Write;
use std::sync::Arc;

use log::{debug, info};

use super::error::ApiError;
use super::route::Route;
use super::{Line, Site};
use crate::door::{Answer, Body, Connection, Relayed, Request};
use crate::fleet::dial;
use crate::fleet::front::Front;
use crate::fleet::relay::{Limits, relay};
use crate::fleet::table::Instance;
use crate::session::ids::HomeNumber;
use crate::session::watch;
use crate::warn_throttled;

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
    front: &Arc<Front>,
    line: Line,
    request: Request,
    target: &str,
    home: Arc<Instance>,
) -> Answer {
    let (site, front, target) = (Arc::clone(site), Arc::clone(front), target.to_owned());
    Answer::HandOff(Box::new(move |connection| {
        let _entered = line.enter();
        let head = print(&request, &target, connection.expects_continue);
        run(&site, &front, &line, connection, head, &home);
    }))
}

fn run(
    site: &Site,
    front: &Front,
    line: &Line,
    mut connection: Connection,
    mut head: Vec<u8>,
    home: &Instance,
) {
    let dialled = front.dial(home, connection.closing());
    let stream = match dialled {
        Ok(stream) => stream,
        Err(error) => {
            log_failure(&home.name, &error);
            let response = ApiError::home_away().response();
            site.note(line, response.status);
            // This fails when the client is gone.
            let _ = connection.respond(line.id, response);
            return;
        }
    };
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
        "{} relayed to {}: {} bytes there, {} back",
        line.method, home.name, report.to_home_bytes, report.to_player_bytes
    );
    debug!("the relay to {} ended: {:?}", home.name, report.ending);
}

fn log_failure(home: &str, error: &dial::Error) {
    warn_throttled!("instance {home}: {error}");
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
