//! Watch links: the player makes and revokes them, and anyone who has one can follow it.

use std::time::SystemTime;

use serde_json::json;

use crate::door::Request;
use crate::http::reply::{Handled, json_response, no_content, now, timestamp};
use crate::http::{Outcome, Site, origin, terminal};
use crate::session::{self, SessionId, WATCH_LINK_LIFE};
use crate::terminal::Role;

impl Site {
    pub(in crate::http) fn create_watch_link(&self, id: SessionId, request: &Request) -> Handled {
        let by_operator = self.own_session_or_operator(id, request)?;
        let secret = self.manager.watch_link(id, by_operator)?;
        // The player may have been revoked before there was a link to revoke.
        if let Err(error) = self.own_session_or_operator(id, request) {
            self.manager.revoke_watch_links(id)?;
            return Err(error);
        }
        let own = self.own_address(request);
        let body = json!({
            "watch_url": format!("{own}/watch/{secret}"),
            "ws_url": format!("{}/watch/{secret}/ws", origin::websocket(&own)),
            "expires_at": timestamp(SystemTime::now() + WATCH_LINK_LIFE),
        });
        now(json_response(201, &body))
    }

    pub(in crate::http) fn revoke_watch_links(&self, id: SessionId, request: &Request) -> Handled {
        self.own_session(id, request)?;
        self.manager.revoke_watch_links(id)?;
        now(no_content())
    }

    pub(in crate::http) fn watch(&self, secret: &str, request: &Request) -> Handled {
        let session = self.manager.get(self.manager.watched(secret)?)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        let url = format!(
            "{}/watch/{secret}/ws",
            origin::websocket(&self.own_address(request))
        );
        // A spectator does not need the session's id.
        now(self.pages.terminal("", &session.shell, &url, "spectator"))
    }

    pub(in crate::http) fn watch_terminal(&self, secret: &str, request: &Request) -> Handled {
        self.check_origin(request)?;
        let id = self.manager.watched(secret)?;
        let handshake = terminal::handshake(Role::Spectator, request)?;
        let opening = terminal::sit_down(&self.manager, id, handshake, None)?;
        // The link may have been revoked while there was no spectator yet who could have been sent away.
        self.manager.watched(secret)?;
        self.manager.note_watcher(secret);
        Ok(Outcome::Terminal(opening))
    }
}
