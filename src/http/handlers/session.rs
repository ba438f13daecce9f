//! Sessions over HTTP: start one, wait in line, look at it, open its page and its terminal, end it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::Deserialize;
use serde_json::json;

use super::admin;
use crate::door;
use crate::door::{Body, Request};
use crate::http::error::ApiError;
use crate::http::reply::{Handled, json_response, no_content, now, timestamp};
use crate::http::tickets::TICKET_LIFE;
use crate::http::{Outcome, Site, terminal};
use crate::session::admission::estimate::whole_seconds;
use crate::session::{
    self, Manager, Newcomer, QueuePosition, QueueTicket, Session, SessionId, Standing, Status,
};
use crate::terminal::Role;

/// The body of `POST /session`. Unknown fields are ignored, for clients that are newer than the server.
#[derive(Debug, Default, Deserialize)]
struct CreateSession {
    shell: Option<String>,
}

impl Site {
    pub(in crate::http) fn list(&self, request: &Request) -> Handled {
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

    pub(in crate::http) fn create(&self, request: &Request) -> Handled {
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
                // A client that names no ticket may only have ended sending, and is answered.
                has_left: &|| ticket.is_some() && connection.has_ended_sending(),
                ..Newcomer::PATIENT
            };
            let new = manager
                .new_session(newcomer, wanted.shell.as_deref(), &admitted.player)
                .map_err(|error| refused(&manager, error, &own))?;
            let session = new.session;
            let mut body = describe(&manager, &session, &own);
            let ticket = guard.ticket(session.id, admitted.until, admitted.at);
            body["ws_url"] =
                terminal::with_ticket(&terminal::address(&own, session.id), &ticket).into();
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

    pub(in crate::http) fn queue(&self, ticket: QueueTicket) -> Handled {
        // INVARIANT: never a 404. A page asks before its `POST` is in line and after it has left the line, and browsers
        // write each 404 into the console.
        let body = match self.manager.queue_standing(ticket) {
            Standing::Unknown => json!({"state": "unknown"}),
            Standing::Starting => json!({"state": "starting"}),
            Standing::Waiting(QueuePosition {
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

    pub(in crate::http) fn status(&self, id: SessionId, request: &Request) -> Handled {
        let session = match self.owned_session(id, request) {
            Err(error) if error.status == 404 => {
                let mut response = error.response();
                response.body = Cow::Owned(missing(id, None));
                return now(response);
            }
            found => found?,
        };
        now(json_response(
            200,
            &describe(&self.manager, &session, &self.own_address(request)),
        ))
    }

    pub(in crate::http) fn destroy(&self, id: SessionId, request: &Request) -> Handled {
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

    pub(in crate::http) fn destroy_all(&self, request: &Request) -> Handled {
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

    pub(in crate::http) fn connect(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.owned_session(id, request)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        let own = self.own_address(request);
        now(self.pages.terminal(
            &id.to_text(),
            &session.shell,
            &terminal::address(&own, id),
            "player",
        ))
    }

    pub(in crate::http) fn terminal(&self, id: SessionId, request: &Request) -> Handled {
        self.check_origin(request)?;
        let ticket = terminal::ticket(request);
        // A ticket is good only once, so it is redeemed when nothing else can go wrong.
        let entry = match ticket {
            None => Some(self.may_open(id, None, request)?),
            Some(_) => None,
        };
        let handshake = terminal::handshake(Role::Player, request)?;
        let entry = match entry {
            Some(entry) => entry,
            None => self.may_open(id, ticket, request)?,
        };
        let until = entry.deadline();
        let opening = terminal::sit_down(&self.manager, id, handshake, until)?;
        entry.check(self)?;
        if let Ok(session) = self.manager.get(id) {
            session.note_peer(request.peer);
        }
        Ok(Outcome::Terminal(opening))
    }

    /// `POST /session/{id}/ticket`
    pub(in crate::http) fn create_ticket(&self, id: SessionId, request: &Request) -> Handled {
        self.check_origin(request)?;
        let asked = SystemTime::now();
        let (session, identity) = self.owned(id, request)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        let ticket = self.guard.ticket(id, identity.until, asked);
        let body = json!({
            "ticket": ticket,
            "ws_url": terminal::with_ticket(&terminal::address(&self.own_address(request), id), &ticket),
            "expires_at": timestamp(SystemTime::now() + TICKET_LIFE),
        });
        now(json_response(201, &body))
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

/// What clients are told about a session.
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
        "ws_url": terminal::address(own, id),
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

/// The error that says why there is no new session. A player who has as many sessions as allowed is told which, to go on
/// with one.
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

/// `{"status": "missing"}` in the form of an error: the contract demands both. `reason` says why, where that is known.
pub(in crate::http) fn missing(id: SessionId, reason: Option<&str>) -> Vec<u8> {
    let message = session::Error::NotFound.player_message();
    let mut body = json!({
        "session_id": id,
        "status": Status::Missing,
        "error": {"code": "session_not_found", "message": message},
    });
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    body.to_string().into_bytes()
}
