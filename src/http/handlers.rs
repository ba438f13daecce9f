//! What each route does. Handlers talk to the session manager and know nothing of Docker.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use serde::Deserialize;
use serde_json::json;

use super::error::ApiError;
use super::route::Route;
use super::server::{Body, Request, Response};
use super::{Outcome, Site, assets, books, origin, terminal};
use crate::auth;
use crate::session::pace::whole_seconds;
use crate::session::{
    self, Manager, Newcomer, Place, QueueTicket, Session, SessionId, Status, WATCH_LINK_LIFE,
};
use crate::terminal::Role;

type Handled = Result<Outcome, ApiError>;

/// The body of `POST /session`. Unknown fields are left alone, for clients newer than we are.
#[derive(Debug, Default, Deserialize)]
struct CreateSession {
    shell: Option<String>,
}

impl Site {
    /// Does what the route says.
    pub(super) fn handle(&self, route: Route, request: Request) -> Handled {
        match route {
            Route::Health => now(text("ok")),
            Route::Ready => self.ready(),
            Route::Landing => now(self.pages.landing(&self.manager.settings().shells)),
            Route::Asset(name) => now(assets::serve(
                &name,
                request.query.as_deref(),
                |name| request.header(name),
                self.pages.version(),
            )?),
            Route::Metrics => self.metrics(),
            Route::ListSessions => self.list(&request),
            Route::CreateSession => self.create(&request),
            Route::Queue(ticket) => self.queue(ticket),
            Route::Status(id) => self.status(id, &request),
            Route::DestroySession(id) => self.destroy(id, &request),
            Route::Connect(id) => self.connect(id, &request),
            Route::Terminal(id) => self.terminal(id, &request),
            Route::CreateWatchLink(id) => self.create_watch_link(id, &request),
            Route::RevokeWatchLinks(id) => self.revoke_watch_links(id, &request),
            Route::Spellbook(id) => self.spellbook(id, &request),
            Route::PutSpellbook(id) => self.put_spellbook(id, request),
            Route::Watch(secret) => self.watch(&secret, &request),
            Route::WatchTerminal(secret) => self.watch_terminal(&secret, &request),
            Route::StartRecording(id) => self.start_recording(id, &request),
            Route::Recording(id) => self.recording(id, &request),
            Route::DropRecording(id) => self.drop_recording(id, &request),
        }
    }

    fn ready(&self) -> Handled {
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            if manager.is_stopping() {
                return Err(session::Error::Stopping.into());
            }
            let not_ready = |cause: String, code, message: &str| {
                log::warn!("not ready: {cause}");
                ApiError::new(503, code, message).with("Retry-After", "2")
            };
            manager.engine_health().map_err(|cause| {
                let message = "The container engine does not answer.";
                not_ready(cause, "engine_unavailable", message)
            })?;
            manager.store_health().map_err(|cause| {
                let message = "The store of sessions and spellbooks does not answer.";
                not_ready(cause, "store_unavailable", message)
            })?;
            if !manager.is_settled() {
                return Err(session::Error::Starting.into());
            }
            Ok(text("ok"))
        })))
    }

    fn metrics(&self) -> Handled {
        let (manager, metrics, door) = (&self.manager, &self.metrics, &self.door);
        let sessions = manager.list();
        for (status, name) in [
            (Status::Running, "running"),
            (Status::Stopped, "stopped"),
            (Status::Missing, "missing"),
        ] {
            let count = sessions
                .iter()
                .filter(|session| session.owner().is_some())
                .filter(|session| session.snapshot().state.status() == status)
                .count();
            metrics
                .sessions
                .with_label_values(&[name])
                .set(count as i64);
        }
        metrics.viewers.set(
            sessions
                .iter()
                .map(|session| session.hub.viewers() as i64)
                .sum(),
        );
        metrics.terminal_memory.set(
            sessions
                .iter()
                .map(|session| session.hub.memory_bytes() as i64)
                .sum(),
        );
        metrics
            .books_unsafe
            .set(manager.count_unsafe_books() as i64);
        metrics.queue_length.set(manager.queue_length() as i64);
        metrics
            .connections
            .set(door.connections_open.load(Ordering::Relaxed) as i64);
        for (reason, counter) in [
            ("full", &door.refused_connections),
            ("busy", &door.refused_busy),
            ("bad_request", &door.bad_requests),
            ("slow", &door.client_timeouts),
        ] {
            metrics
                .turned_away
                .with_label_values(&[reason])
                .set(counter.load(Ordering::Relaxed) as i64);
        }
        let (manager, metrics) = (Arc::clone(manager), Arc::clone(metrics));
        Ok(Outcome::Later(Box::new(move |_| {
            metrics
                .engine_up
                .set(manager.engine_health().is_ok().into());
            metrics.store_up.set(manager.store_health().is_ok().into());
            for (shell, count) in manager.pool_counts() {
                metrics.pool.with_label_values(&[&shell]).set(count as i64);
            }
            let text = metrics.to_text().map_err(|error| {
                log::error!("metrics: {error}");
                ApiError::new(
                    500,
                    "internal_error",
                    "The metrics could not be written down.",
                )
            })?;
            let headers = vec![(
                "Content-Type",
                "text/plain; version=0.0.4; charset=utf-8".to_owned(),
            )];
            Ok(Response {
                status: 200,
                headers,
                body: Cow::Owned(text.into_bytes()),
            })
        })))
    }

    fn list(&self, request: &Request) -> Handled {
        let Some(admin_token) = &self.settings.admin_token else {
            return Err(ApiError::new(
                403,
                "operator_only",
                "Operator routes are closed: the server has no ADMIN_TOKEN.",
            ));
        };
        let given = request.header("authorization").and_then(auth::bearer);
        if !given.is_some_and(|given| auth::is_same_secret(given, admin_token)) {
            return Err(ApiError::unauthorized(
                "Send the operator's token as Authorization: Bearer.",
            ));
        }
        let own = self.own_origin(request);
        let sessions = self.manager.list();
        let alive = sessions
            .iter()
            .filter(|session| session.owner().is_some() && !session.snapshot().state.is_over());
        let sessions: Vec<_> = alive
            .map(|session| describe(&self.manager, session, &own))
            .collect();
        now(json_response(200, &json!({"sessions": sessions})))
    }

    fn create(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        let body = match &request.body {
            Body::Whole(body) => body,
            Body::TooLong(_) => return Err(ApiError::body_too_large()),
        };
        let wanted: CreateSession = match body.trim_ascii() {
            b"" => CreateSession::default(),
            body => parse(body)?,
        };
        let ticket = queue_ticket(request)?;
        let (manager, own) = (Arc::clone(&self.manager), self.own_origin(request));
        let player = books::player(request);
        Ok(Outcome::Later(Box::new(move |connection| {
            let newcomer = Newcomer {
                ticket,
                // Whoever names no ticket may have ended sending only, and is answered.
                has_left: &|| ticket.is_some() && connection.has_ended_sending(),
            };
            let new = manager.new_session(newcomer, wanted.shell.as_deref(), &player.id())?;
            let session = new.session;
            let mut body = describe(&manager, &session, &own);
            body["token"] = new.token.into();
            let mut response = json_response(201, &body);
            response
                .headers
                .push(("Location", format!("/session/{}/status", session.id)));
            let is_https = own.starts_with("https:");
            response.headers.push(books::set_cookie(&player, is_https));
            Ok(response)
        })))
    }

    fn queue(&self, ticket: QueueTicket) -> Handled {
        let Place {
            place,
            waiting,
            estimate,
        } = self
            .manager
            .queue_place(ticket)
            .ok_or_else(ApiError::not_waiting)?;
        now(json_response(
            200,
            &json!({"place": place, "waiting": waiting, "estimate_seconds": whole_seconds(estimate).max(1)}),
        ))
    }

    fn status(&self, id: SessionId, request: &Request) -> Handled {
        let session = match self.manager.get(id) {
            Ok(session) => session,
            Err(session::Error::NotFound) => {
                let mut response = ApiError::from(session::Error::NotFound).response();
                response.body = Cow::Owned(missing(id));
                return now(response);
            }
            // Not known yet is not unknown: a page that is told so comes back.
            Err(error) => return Err(error.into()),
        };
        self.check_owner(&session, request)?;
        now(json_response(
            200,
            &describe(&self.manager, &session, &self.own_origin(request)),
        ))
    }

    fn destroy(&self, id: SessionId, request: &Request) -> Handled {
        self.own_session(id, request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            manager.destroy(id)?;
            Ok(no_content())
        })))
    }

    fn connect(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.manager.get(id)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        let own = self.own_origin(request);
        now(self
            .pages
            .terminal(&id.to_string(), &session.shell, &ws_url(&own, id), "player"))
    }

    fn terminal(&self, id: SessionId, request: &Request) -> Handled {
        self.own_session(id, request)?;
        terminal::prepare(&self.manager, id, Role::Player, request).map(Outcome::Terminal)
    }

    fn create_watch_link(&self, id: SessionId, request: &Request) -> Handled {
        self.own_session(id, request)?;
        let secret = self.manager.watch_link(id)?;
        let own = self.own_origin(request);
        let body = json!({
            "watch_url": format!("{own}/watch/{secret}"),
            "ws_url": format!("{}/watch/{secret}/ws", origin::websocket(&own)),
            "expires_at": timestamp(SystemTime::now() + WATCH_LINK_LIFE),
        });
        now(json_response(201, &body))
    }

    fn revoke_watch_links(&self, id: SessionId, request: &Request) -> Handled {
        self.own_session(id, request)?;
        self.manager.revoke_watch_links(id)?;
        now(no_content())
    }

    fn watch(&self, secret: &str, request: &Request) -> Handled {
        let session = self.manager.get(self.manager.watched(secret)?)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        let url = format!(
            "{}/watch/{secret}/ws",
            origin::websocket(&self.own_origin(request))
        );
        // A spectator is not told the session's id: whoever has it, plays.
        now(self.pages.terminal("", &session.shell, &url, "spectator"))
    }

    fn watch_terminal(&self, secret: &str, request: &Request) -> Handled {
        self.check_origin(request)?;
        let id = self.manager.watched(secret)?;
        terminal::prepare(&self.manager, id, Role::Spectator, request).map(Outcome::Terminal)
    }

    fn start_recording(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.own_session(id, request)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        if !session
            .hub
            .start_recording(Instant::now(), SystemTime::now())
        {
            let message = "There is a recording already; delete it to start another.";
            return Err(ApiError::new(409, "already_recording", message));
        }
        now(json_response(
            201,
            &json!({"recording_url": format!("{}/session/{id}/recording", self.own_origin(request))}),
        ))
    }

    fn recording(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.manager.get(id)?;
        self.check_owner(&session, request)?;
        let text = session.hub.recording().ok_or_else(no_recording)?;
        now(download(
            "application/x-asciicast",
            "shellcraft.cast",
            text.into_bytes(),
        ))
    }

    fn drop_recording(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.own_session(id, request)?;
        if session.hub.drop_recording() {
            now(no_content())
        } else {
            Err(no_recording())
        }
    }

    /// The session, for a request that changes something and comes from its owner.
    pub(super) fn own_session(
        &self,
        id: SessionId,
        request: &Request,
    ) -> Result<Arc<Session>, ApiError> {
        self.check_origin(request)?;
        let session = self.manager.get(id)?;
        self.check_owner(&session, request)?;
        Ok(session)
    }

    /// The session's id is a secret of its own, so a token is not needed; but a wrong one is wrong.
    pub(super) fn check_owner(&self, session: &Session, request: &Request) -> Result<(), ApiError> {
        let Some(authorization) = request.header("authorization") else {
            return Ok(());
        };
        let given = auth::bearer(authorization).unwrap_or_default();
        let is_operator = self
            .settings
            .admin_token
            .as_deref()
            .is_some_and(|admin| auth::is_same_secret(given, admin));
        if is_operator || session.is_owned_by(given) {
            Ok(())
        } else {
            Err(ApiError::unauthorized(
                "This token does not belong to this session.",
            ))
        }
    }
}

/// The ticket that the request names, if it names one.
fn queue_ticket(request: &Request) -> Result<Option<QueueTicket>, ApiError> {
    let bad = |_| ApiError::new(400, "bad_ticket", "X-Queue-Ticket must be a UUIDv4.");
    request
        .header("x-queue-ticket")
        .map(|ticket| ticket.parse().map_err(bad))
        .transpose()
}

fn now(response: Response) -> Handled {
    Ok(Outcome::Now(response))
}

fn parse(body: &[u8]) -> Result<CreateSession, ApiError> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|_| {
        ApiError::new(
            400,
            "bad_json",
            "The body must be JSON, such as {\"shell\": \"rust\"}, or empty.",
        )
    })?;
    let wrong = || {
        ApiError::new(
            400,
            "bad_body",
            "The body must be an object whose \"shell\", if any, is a text.",
        )
    };
    if !value.is_object() {
        return Err(wrong());
    }
    serde_json::from_value(value).map_err(|_| wrong())
}

fn ws_url(own: &str, id: SessionId) -> String {
    format!("{}/session/{id}/ws", origin::websocket(own))
}

/// What clients are told of a session.
fn describe(manager: &Manager, session: &Session, own: &str) -> serde_json::Value {
    let life = session.snapshot();
    let status = life.state.status();
    let id = session.id;
    let mut body = json!({
        "session_id": id,
        "shell": session.shell,
        "status": status,
        "created_at": session.owner().map(|owner| timestamp(owner.created_at)),
        "connect_url": format!("{own}/session/{id}/connect"),
        "ws_url": ws_url(own, id),
        "recording": session.hub.has_recording(),
    });
    if status == Status::Running {
        let expires_in = manager.expires_in(session, Instant::now());
        body["expires_at"] = timestamp(SystemTime::now() + expires_in).into();
        body["expires_in_seconds"] = expires_in.as_secs().into();
        body["viewers"] = session.hub.viewers().into();
    } else {
        body["exit_code"] = life.exit_code.into();
        body["reason"] = life.reason.map(session::Reason::as_str).into();
    }
    body
}

/// `{"status": "missing"}` in the form of an error: the contract wants both.
fn missing(id: SessionId) -> Vec<u8> {
    let message = session::Error::NotFound.player_message();
    let body = json!({
        "session_id": id,
        "status": Status::Missing,
        "error": {"code": "session_not_found", "message": message},
    });
    body.to_string().into_bytes()
}

fn no_recording() -> ApiError {
    ApiError::new(404, "no_recording", "Nothing was recorded in this session.")
}

/// A file for the player alone, which no browser may take for a page.
pub(super) fn download(content_type: &str, file: &str, body: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{file}\"");
    let headers = vec![
        ("Content-Type", content_type.to_owned()),
        ("Content-Disposition", disposition),
        ("Cache-Control", "no-store".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    Response {
        status: 200,
        headers,
        body: Cow::Owned(body),
    }
}

pub(super) fn no_content() -> Response {
    Response {
        status: 204,
        headers: vec![("Cache-Control", "no-store".into())],
        body: Cow::Borrowed(b""),
    }
}

fn timestamp(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

fn text(text: &'static str) -> Response {
    let headers = vec![
        ("Content-Type", "text/plain; charset=utf-8".into()),
        ("Cache-Control", "no-store".into()),
    ];
    Response {
        status: 200,
        headers,
        body: Cow::Borrowed(text.as_bytes()),
    }
}

fn json_response(status: u16, body: &serde_json::Value) -> Response {
    let headers = vec![
        ("Content-Type", "application/json".into()),
        ("Cache-Control", "no-store".into()),
    ];
    Response {
        status,
        headers,
        body: Cow::Owned(body.to_string().into_bytes()),
    }
}
