//! `GET /session/{id}/ws`: checks the handshake while errors are still ordinary answers, then makes the
//! connection's own thread the terminal's.

use std::sync::Arc;

use log::{debug, info, warn};

use super::error::ApiError;
use super::server::{Answer, Request};
use super::{Line, Site};
use crate::door::Connection;
use crate::session::{Manager, SessionId};
use crate::terminal::hub::Seat;
use crate::terminal::upgrade::Upgrade;
use crate::terminal::{Role, viewer};

/// A handshake that was accepted, with its seat at the terminal.
pub(super) struct Opening {
    id: SessionId,
    upgrade: Upgrade,
    seat: Seat,
}

/// Checks everything that can be wrong before the 101.
pub(super) fn prepare(
    manager: &Manager,
    id: SessionId,
    request: &Request,
) -> Result<Opening, ApiError> {
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
    let from = request.query.as_deref().map(offset).transpose()?.flatten();
    let seat = manager.attach_container(id, Role::Player, upgrade.is_shellcraft_v1, from)??;
    Ok(Opening { id, upgrade, seat })
}

/// The `from` of a query, if it has one.
fn offset(query: &str) -> Result<Option<u64>, ApiError> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("from="));
    let bad = || {
        ApiError::new(
            400,
            "bad_offset",
            "from must be the number of bytes of output seen so far.",
        )
    };
    value
        .map(|value| value.parse().map_err(|_| bad()))
        .transpose()
}

/// Hands the connection over.
pub(super) fn open(site: Arc<Site>, line: Line, opening: Opening) -> Answer {
    Answer::HandOff(Box::new(move |connection| {
        let Opening { id, upgrade, seat } = opening;
        if let Err(cause) = viewer::accept(
            &connection.stream,
            &upgrade.response_head(&line.id.to_string()),
        ) {
            debug!(
                "request={} session={id} gone before the 101: {cause}",
                line.id
            );
            return;
        }
        site.note(&line, 101);
        serve(&site, &line, id, connection, seat, upgrade.is_shellcraft_v1);
    }))
}

fn serve(site: &Site, line: &Line, id: SessionId, connection: Connection, seat: Seat, is_v1: bool) {
    match viewer::run(&connection.stream, connection.leftover, seat, id.0, is_v1) {
        Ok(visit) => {
            site.metrics.input_bytes.inc_by(visit.input_bytes);
            let close_code = visit
                .close_code
                .map_or("none".into(), |code| code.to_string());
            info!(
                "request={} session={id} terminal closed code={close_code} input_bytes={} after={}s",
                line.id,
                visit.input_bytes,
                line.started.elapsed().as_secs()
            );
        }
        Err(cause) => warn!("request={} session={id} terminal failed: {cause}", line.id),
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
            assert_eq!(offset(query), Ok(expected), "{query}");
        }
        for query in ["from=", "from=-1", "from=1e3", "from=99999999999999999999"] {
            assert_eq!(offset(query).expect_err("no number").status, 400, "{query}");
        }
    }
}
