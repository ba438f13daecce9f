//! What each route does. Handlers talk to the session manager and know nothing of Docker.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use serde_json::json;

use super::error::ApiError;
use super::pages::Visitor;
use super::route::Route;
use super::{Outcome, Side, Site, admin, assets, identity, origin, terminal};
use crate::door;
use crate::door::{Body, Request, Response};
use crate::session::pace::whole_seconds;
use crate::session::{
    self, Manager, Newcomer, NotReady, Place, QueueTicket, Session, SessionId, Standing, Status,
    WATCH_LINK_LIFE,
};
use crate::terminal::Role;

pub(super) type Handled = Result<Outcome, ApiError>;

/// The body of `POST /session`. Unknown fields are left alone, for clients newer than we are.
#[derive(Debug, Default, Deserialize)]
struct CreateSession {
    shell: Option<String>,
}

impl Site {
    /// Does what the route says.
    pub(super) fn handle(&self, route: Route, request: Request, side: Side) -> Handled {
        check_encoding(&request)?;
        match route {
            Route::Health => now(text("ok")),
            Route::Ready => self.ready(),
            Route::Landing => {
                let shells = &self.manager.settings().shells;
                let broken = self.manager.shells_known_broken();
                let visitor = Visitor {
                    has_logins: self.guard.gate.wants_tokens(),
                    is_known: self.is_known(&request),
                };
                now(self.pages.landing(shells, &broken, visitor))
            }
            Route::Asset(name) => now(assets::serve(
                &name,
                request.query.as_deref(),
                |name| request.header(name),
                self.pages.version(),
            )?),
            Route::Metrics => self.metrics(&request, side),
            Route::OpenApi => now(json_response(200, &self.openapi)),
            Route::ListSessions => self.list(&request),
            Route::DestroySessions => self.destroy_all(&request),
            Route::CreateSession => self.create(&request),
            Route::Queue(ticket) => self.queue(ticket),
            Route::Status(id) => self.status(id, &request),
            Route::DestroySession(id) => self.destroy(id, &request),
            Route::Connect(id) => self.connect(id, &request),
            Route::Terminal(id) => self.terminal(id, &request),
            Route::CreateTicket(id) => self.create_ticket(id, &request),
            Route::Admin => now(self.pages.admin()),
            Route::AdminLogin => self.admin_login(&request),
            Route::AdminLogout => self.admin_logout(&request),
            Route::AdminHealth => self.admin_health(&request),
            Route::AdminNotice => self.admin_notice(&request),
            Route::AdminDrain => self.admin_drain(&request),
            Route::Revoked => self.list_revoked(&request),
            Route::Revoke(player) => self.revoke(player, &request),
            Route::Restore(player) => self.restore(player, &request),
            Route::UndoDrain => self.undo_drain(&request),
            Route::AdminBooks => self.list_books(&request),
            Route::ExpireBooks => self.expire_books(&request),
            Route::AdminBook(player) => self.export_book(player, &request),
            Route::PutAdminBook(player) => self.import_book(player, request),
            Route::Login => self.login(&request),
            Route::Logout => self.logout(&request),
            Route::CreateWatchLink(id) => self.create_watch_link(id, &request),
            Route::RevokeWatchLinks(id) => self.revoke_watch_links(id, &request),
            Route::Spellbook(id) => self.spellbook(id, &request),
            Route::PutSpellbook(id) => self.put_spellbook(id, request),
            Route::BookVersions => self.book_versions(&request),
            Route::RecoveryCode => self.recovery_code(&request),
            Route::Recover => self.recover(&request),
            Route::UploadBook => self.upload_book(request),
            Route::BookVersion(sha256) => self.book_version(sha256, &request),
            Route::RestoreVersion(sha256) => self.restore_version(sha256, &request),
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
            let Err(missing) = manager.readiness() else {
                return Ok(text("ok"));
            };
            let (code, message) = match &missing {
                NotReady::Ending => return Err(session::Error::Stopping.into()),
                NotReady::Starting => return Err(session::Error::Starting.into()),
                NotReady::Engine(_) => (
                    "engine_unavailable",
                    "The container engine does not answer.".to_owned(),
                ),
                NotReady::Store(_) => (
                    "store_unavailable",
                    "The store of sessions and spellbooks does not answer.".to_owned(),
                ),
                NotReady::Image(_) => (
                    "shell_not_ready",
                    "A shell's image is still to be loaded into the container engine.".to_owned(),
                ),
                // Why, is the operator's: it may name what is on the host.
                NotReady::Shell { shell, .. } => (
                    "shell_broken",
                    format!("The shell {shell} can't be started; the server's log says why."),
                ),
            };
            crate::warn_throttled!("not ready: {missing}");
            Err(ApiError::new(503, code, message).with("Retry-After", "2"))
        })))
    }

    fn list(&self, request: &Request) -> Handled {
        self.check_operator(request)?;
        let own = self.own_address(request);
        let sessions = self.manager.list();
        let alive = sessions
            .iter()
            .filter(|session| session.owner().is_some() && !session.snapshot().state.is_over());
        let sessions: Vec<_> = alive
            .map(|session| {
                let mut body = describe(&self.manager, session, &own);
                admin::add_details(&mut body, &self.manager, session);
                body
            })
            .collect();
        now(json_response(200, &json!({"sessions": sessions})))
    }

    /// Metrics are open to the machine itself and on the private address; others show the operator's token.
    pub(super) fn check_may_scrape(&self, request: &Request, side: Side) -> Result<(), ApiError> {
        let is_open = side == Side::Private || request.is_local();
        // A page whose name was turned to point here (DNS rebinding) asks from this machine, by that name.
        if is_open && (!request.peer.is_loopback() || self.reached(request).is_by_our_name()) {
            return Ok(());
        }
        self.check_operator(request)
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
        let (manager, own) = (Arc::clone(&self.manager), self.own_address(request));
        let applicant = self.applicant(request)?;
        let household = door::household(request.peer);
        let prefix = self.prefix().to_owned();
        let guard = Arc::clone(&self.guard);
        Ok(Outcome::Later(Box::new(move |connection| {
            let admitted = applicant.admit()?;
            let newcomer = Newcomer {
                household: Some(household),
                is_new_player: admitted.is_new,
                ticket,
                // Whoever names no ticket may have ended sending only, and is answered.
                has_left: &|| ticket.is_some() && connection.has_ended_sending(),
                ..Newcomer::PATIENT
            };
            let new = manager
                .new_session(newcomer, wanted.shell.as_deref(), &admitted.player)
                .map_err(|error| refused(&manager, error, &own))?;
            let session = new.session;
            let mut body = describe(&manager, &session, &own);
            let ticket = guard.ticket(session.id, admitted.until, admitted.at);
            body["ws_url"] = identity::with_ticket(&ws_url(&own, session.id), &ticket).into();
            if guard.gives_session_tokens() {
                body["token"] = new.token.into();
            }
            let mut response = json_response(201, &body);
            response.headers.push((
                "Location",
                format!("{prefix}/session/{}/status", session.id.to_text()),
            ));
            let cookie = admitted.cookie.map(|cookie| ("Set-Cookie", cookie));
            response.headers.extend(cookie);
            Ok(response)
        })))
    }

    fn queue(&self, ticket: QueueTicket) -> Handled {
        // INVARIANT: never a 404. A page asks before its `POST` is in line and after it has left it, and browsers write each
        // 404 into the console.
        let body = match self.manager.queue_standing(ticket) {
            Standing::Unknown => json!({"state": "unknown"}),
            Standing::Starting => json!({"state": "starting"}),
            Standing::Waiting(Place {
                place,
                waiting,
                estimate,
            }) => json!({
                "state": "waiting",
                "place": place,
                "waiting": waiting,
                "estimate_seconds": whole_seconds(estimate).max(1),
            }),
        };
        now(json_response(200, &body))
    }

    fn status(&self, id: SessionId, request: &Request) -> Handled {
        let session = match self.owned_session(id, request) {
            Err(error) if error.status == 404 => {
                let mut response = error.response();
                response.body = Cow::Owned(missing(id));
                return now(response);
            }
            found => found?,
        };
        now(json_response(
            200,
            &describe(&self.manager, &session, &self.own_address(request)),
        ))
    }

    fn destroy(&self, id: SessionId, request: &Request) -> Handled {
        let by_operator = self.own_session_or_operator(id, request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            if by_operator {
                log::info!("session={id} destroyed by operator");
            }
            manager.destroy(id)?;
            Ok(no_content())
        })))
    }

    fn destroy_all(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_operator(request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            log::warn!("an operator ends all games");
            let (ended, ending) = manager.destroy_all();
            Ok(json_response(
                200,
                &json!({"ended": ended, "ending": ending}),
            ))
        })))
    }

    fn connect(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.owned_session(id, request)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        let own = self.own_address(request);
        now(self
            .pages
            .terminal(&id.to_text(), &session.shell, &ws_url(&own, id), "player"))
    }

    fn terminal(&self, id: SessionId, request: &Request) -> Handled {
        self.check_origin(request)?;
        let ticket = terminal::ticket(request);
        // A ticket is good once, so it is looked at when nothing else can go wrong.
        let entry = match ticket {
            None => Some(self.may_open(id, None, request)?),
            Some(_) => None,
        };
        let handshake = terminal::handshake(Role::Player, request)?;
        let entry = match entry {
            Some(entry) => entry,
            None => self.may_open(id, ticket, request)?,
        };
        let until = identity::deadline(entry.until);
        let opening = terminal::sit_down(&self.manager, id, handshake, until)?;
        entry.check(self)?;
        if let Ok(session) = self.manager.get(id) {
            session.note_peer(request.peer);
        }
        Ok(Outcome::Terminal(opening))
    }

    fn create_watch_link(&self, id: SessionId, request: &Request) -> Handled {
        let by_operator = self.own_session_or_operator(id, request)?;
        let secret = self.manager.watch_link(id, by_operator)?;
        // Whoever was revoked before there was a link to revoke.
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
            origin::websocket(&self.own_address(request))
        );
        // A spectator has no need of the session's id.
        now(self.pages.terminal("", &session.shell, &url, "spectator"))
    }

    fn watch_terminal(&self, secret: &str, request: &Request) -> Handled {
        self.check_origin(request)?;
        let id = self.manager.watched(secret)?;
        let handshake = terminal::handshake(Role::Spectator, request)?;
        let opening = terminal::sit_down(&self.manager, id, handshake, None)?;
        // It may have been revoked while there was no spectator yet who could have been sent away.
        self.manager.watched(secret)?;
        self.manager.note_watcher(secret);
        Ok(Outcome::Terminal(opening))
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
            &json!({"recording_url": format!("{}/session/{}/recording", self.own_address(request), id.to_text())}),
        ))
    }

    fn recording(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.owned_session(id, request)?;
        if !session.hub.has_recording() {
            return Err(no_recording());
        }
        let place = session.hub.download().ok_or_else(|| {
            let message =
                "This recording is being downloaded twice already; try again in a moment.";
            ApiError::new(429, "too_many_downloads", message).retry_after(Duration::from_secs(2))
        })?;
        let text = session.hub.recording().ok_or_else(no_recording)?;
        let response = download(
            "application/x-asciicast",
            "shellcraft.cast",
            text.into_bytes(),
        );
        Ok(Outcome::Download(response, place))
    }

    fn drop_recording(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.own_session(id, request)?;
        if session.hub.drop_recording() {
            now(no_content())
        } else {
            Err(no_recording())
        }
    }
}

/// A body is taken as it is: one that has to be unpacked first could be a bomb.
fn check_encoding(request: &Request) -> Result<(), ApiError> {
    let is_packed = request
        .header("content-encoding")
        .is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"));
    let is_empty = matches!(&request.body, Body::Whole(body) if body.is_empty());
    if is_packed && !is_empty {
        return Err(ApiError::new(
            415,
            "unsupported_encoding",
            "Send the body as it is, without a Content-Encoding.",
        )
        .with("Accept-Encoding", "identity"));
    }
    Ok(())
}

/// The ticket that the request names, if it names one.
fn queue_ticket(request: &Request) -> Result<Option<QueueTicket>, ApiError> {
    let bad = |_| ApiError::new(400, "bad_ticket", "X-Queue-Ticket must be a UUIDv4.");
    request
        .header("x-queue-ticket")
        .map(|ticket| ticket.parse().map_err(bad))
        .transpose()
}

pub(super) fn now(response: Response) -> Handled {
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

pub(super) fn ws_url(own: &str, id: SessionId) -> String {
    format!("{}/session/{}/ws", origin::websocket(own), id.to_text())
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
        "created_at": session.created_at().map(timestamp),
        "connect_url": format!("{own}/session/{}/connect", id.to_text()),
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

/// Why there is no new session. A player who has as many as may be is told of those, to go on with one.
fn refused(manager: &Manager, error: session::Error, own: &str) -> ApiError {
    let sessions = match &error {
        session::Error::TooManySessions { sessions, .. } => {
            let known = sessions.iter().filter_map(|id| manager.get(*id).ok());
            known
                .map(|session| describe(manager, &session, own))
                .collect()
        }
        _ => Vec::new(),
    };
    ApiError {
        sessions,
        ..error.into()
    }
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

pub(super) fn timestamp(at: SystemTime) -> String {
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

pub(super) fn json_response(status: u16, body: &serde_json::Value) -> Response {
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
