//! `GET /session/{id}/ws`: checks the handshake while errors are still ordinary answers, then gives the connection's own
//! thread to the terminal.

use std::sync::Arc;
use std::time::Instant;

use log::{debug, info};
use uuid::Uuid;

use super::error::ApiError;
use super::{Line, Site, origin};
use crate::door::Connection;
use crate::door::{Answer, Request};
use crate::session::{Manager, SessionId};
use crate::terminal::hub::Arrival;
use crate::terminal::upgrade::Upgrade;
use crate::terminal::viewer::Terms;
use crate::terminal::viewer_handle::ViewerHandle;
use crate::terminal::{Role, viewer};
use crate::warn_throttled;

/// A handshake that was accepted, with its handle at the terminal.
pub(super) struct Opening {
    id: SessionId,
    upgrade: Upgrade,
    handle: ViewerHandle,
    /// When the viewer's login expires.
    until: Option<Instant>,
}

/// A handshake in which no fault was found.
pub(super) struct Handshake {
    upgrade: Upgrade,
    arrival: Arrival,
}

/// Checks the handshake itself.
pub(super) fn handshake(role: Role, request: &Request) -> Result<Handshake, ApiError> {
    let query = request.query.as_deref().unwrap_or_default();
    let (from, page, wants_screen) = (from(query)?, client(query)?, wants_screen(query)?);
    if !request.is_websocket_upgrade {
        return Err(ApiError::new(
            426,
            "upgrade_required",
            "This address speaks WebSocket only.",
        )
        .with("Upgrade", "websocket")
        .with("Sec-WebSocket-Version", "13"));
    }
    let upgrade = Upgrade::new(|name| request.header(name))?;
    let arrival = Arrival {
        role,
        is_acking: upgrade.is_shellcraft_v1,
        from,
        wants_screen,
        page,
    };
    Ok(Handshake { upgrade, arrival })
}

/// Adds the viewer to the terminal, which is the last thing that can go wrong before the 101.
pub(super) fn sit_down(
    manager: &Manager,
    id: SessionId,
    handshake: Handshake,
    until: Option<Instant>,
) -> Result<Opening, ApiError> {
    let Handshake { upgrade, arrival } = handshake;
    let handle = manager.join_terminal(id, arrival)?;
    Ok(Opening {
        id,
        upgrade,
        handle,
        until,
    })
}

/// The address of a session's terminal, on a server that is reached at `own`.
pub(super) fn address(own: &str, id: SessionId) -> String {
    format!("{}/session/{}/ws", origin::websocket(own), id.to_text())
}

/// The WebSocket's address with a ticket in it.
pub(super) fn with_ticket(ws_url: &str, ticket: &str) -> String {
    format!("{ws_url}?ticket={ticket}")
}

/// The ticket in the query, if there is one.
pub(super) fn ticket(request: &Request) -> Option<&str> {
    value(request.query.as_deref().unwrap_or_default(), "ticket")
}

/// The offset to continue at, if the query has one.
fn from(query: &str) -> Result<Option<u64>, ApiError> {
    let bad = |_| {
        ApiError::new(
            400,
            "bad_offset",
            "from must be the number of bytes of output seen so far.",
        )
    };
    value(query, "from")
        .map(|value| value.parse().map_err(bad))
        .transpose()
}

/// Whether the query asks for the screen as it is now.
fn wants_screen(query: &str) -> Result<bool, ApiError> {
    match value(query, "screen") {
        None => Ok(false),
        Some("now") => Ok(true),
        Some(_) => {
            let message = "screen can only be now, which asks for the screen as it is now.";
            Err(ApiError::new(400, "bad_screen", message))
        }
    }
}

/// The page's own number, if it wants its keys counted.
fn client(query: &str) -> Result<Option<Uuid>, ApiError> {
    let bad = |_| {
        ApiError::new(
            400,
            "bad_client",
            "client must be a UUID that the page has made for itself.",
        )
    };
    value(query, "client")
        .map(|value| Uuid::try_parse(value).map_err(bad))
        .transpose()
}

fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Hands the connection over to the terminal.
pub(super) fn open(site: Arc<Site>, line: Line, opening: Opening) -> Answer {
    Answer::HandOff(Box::new(move |connection| {
        let _entered = line.enter();
        let Opening {
            id,
            upgrade,
            handle,
            until,
        } = opening;
        if let Err(cause) = viewer::accept(
            &connection.stream,
            &upgrade.response_head(&line.id.to_string()),
        ) {
            debug!("session={id} gone before the 101: {cause}");
            return;
        }
        site.note(&line, 101);
        let terms = Terms {
            session_id: id.0,
            is_v1: upgrade.is_shellcraft_v1,
            heartbeat: site.settings.heartbeat,
            until,
            paces: site.settings.paces,
        };
        serve(&site, &line, id, connection, handle, terms);
    }))
}

fn serve(
    site: &Site,
    line: &Line,
    id: SessionId,
    connection: Connection,
    handle: ViewerHandle,
    terms: Terms,
) {
    match viewer::run(&connection.stream, connection.leftover, handle, terms) {
        Ok(visit) => {
            let terminals = &site.manager.metrics().terminals;
            terminals.count_close(visit.close_code);
            let close_code = visit
                .close_code
                .map_or("none".into(), |code| code.to_string());
            info!(
                "session={id} terminal closed code={close_code} input_bytes={} after={}s",
                visit.input_bytes,
                line.started.elapsed().as_secs()
            );
        }
        Err(cause) => warn_throttled!("session={id} terminal failed: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_is_a_number_of_bytes() {
        for (query, expected) in [
            ("", None),
            ("a=b", None),
            ("from=0", Some(0)),
            ("a=b&from=77", Some(77)),
        ] {
            assert_eq!(from(query), Ok(expected), "{query}");
        }
        for query in ["from=", "from=-1", "from=1e3", "from=99999999999999999999"] {
            assert_eq!(from(query).expect_err("no number").status, 400, "{query}");
        }
    }

    #[test]
    fn screen_is_the_one_of_now() {
        assert_eq!(wants_screen("from=1"), Ok(false));
        assert_eq!(wants_screen("from=1&screen=now"), Ok(true));
        for query in ["screen=", "screen=1", "screen=NOW"] {
            assert_eq!(wants_screen(query).expect_err("no").status, 400, "{query}");
        }
    }

    #[test]
    fn client_is_a_uuid() {
        let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        assert_eq!(client(&format!("client={id}&from=1")), Ok(id.parse().ok()));
        assert_eq!(client("client=me").expect_err("no UUID").status, 400);
    }
}
