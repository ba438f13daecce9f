//! The one place where errors become answers: a status, a code for programs, a sentence for people.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Value, json};

use super::route::NoRoute;
use crate::auth::Refusal;
use crate::door::Response;
use crate::session;
use crate::session::admission::estimate::whole_seconds;
use crate::terminal::upgrade::BadUpgrade;

/// An error as a client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// A snake_case word, for programs.
    pub code: &'static str,
    /// One sentence, for people.
    pub message: String,
    /// The headers that belong to the error.
    pub headers: Vec<(&'static str, String)>,
    /// The player's running sessions, if they are the reason for the error.
    pub sessions: Vec<Value>,
}

impl ApiError {
    /// An error without headers of its own.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
            sessions: Vec::new(),
        }
    }

    /// Adds a header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds when it makes sense to try again.
    pub fn retry_after(self, wait: Duration) -> Self {
        // Rounded up, so that a client that comes at that second is not told to wait again.
        self.with("Retry-After", whole_seconds(wait).max(1).to_string())
    }

    /// The error for a client that is not recognised.
    pub fn unauthorized(message: &str) -> Self {
        Self::new(401, "unauthorized", message).with("WWW-Authenticate", "Bearer")
    }

    /// The error for a session whose instance can't be reached now.
    pub fn home_away() -> Self {
        let message = "The server that has this game can't be reached; try again in a moment.";
        Self::new(503, "home_away", message).retry_after(Duration::from_secs(1))
    }

    /// The error for a request that a page of another site made.
    pub fn foreign_origin() -> Self {
        Self::new(
            403,
            "foreign_origin",
            "This request comes from a page of another site, which is not allowed here.",
        )
    }

    /// The error for a page that reached the server by a name that may be anyone's.
    pub fn unknown_name() -> Self {
        Self::new(
            403,
            "unknown_name",
            "This server does not know this address as its own; whoever runs it must set PUBLIC_URL to it.",
        )
    }

    /// The error for a ticket that no client can have.
    pub fn no_such_ticket() -> Self {
        Self::new(404, "no_such_ticket", "A queue's ticket is a UUIDv4.")
    }

    /// The error for a body that is bigger than the route allows.
    pub fn body_too_large() -> Self {
        Self::new(
            413,
            "body_too_large",
            "The request's body is too large for this route.",
        )
    }

    /// The answer that tells the client the error.
    pub fn response(&self) -> Response {
        let mut response = Response::error(self.status, self.code, &self.message);
        if !self.sessions.is_empty() {
            let error = json!({"code": self.code, "message": self.message});
            let body = json!({"error": error, "sessions": self.sessions});
            response.body = Cow::Owned(body.to_string().into_bytes());
        }
        response.headers.extend(self.headers.iter().cloned());
        response.headers.push(("Cache-Control", "no-store".into()));
        response
    }
}

impl From<NoRoute> for ApiError {
    fn from(no_route: NoRoute) -> Self {
        match no_route {
            NoRoute::NotFound => Self::new(404, "not_found", "There is nothing at this address."),
            NoRoute::NoSuchTicket => Self::no_such_ticket(),
            NoRoute::NoSuchSession => session::Error::NotFound.into(),
            NoRoute::MethodNotAllowed(allowed) => {
                Self::new(405, "method_not_allowed", format!("Use {allowed} here."))
                    .with("Allow", allowed)
            }
        }
    }
}

impl From<session::Error> for ApiError {
    fn from(error: session::Error) -> Self {
        use session::Error;
        // How soon it makes sense to try again.
        let (soon, later) = (Duration::from_secs(2), Duration::from_secs(15));
        let (status, code, retry) = match &error {
            Error::UnknownShell(_) => (422, "unknown_shell", None),
            Error::NotFound => (404, "session_not_found", None),
            Error::Over => (410, "session_over", None),
            Error::TooManySpectators => (429, "too_many_spectators", Some(later)),
            Error::Full { retry_after, .. } => (503, "full", Some((*retry_after).min(later))),
            Error::TooManySessions { retry_after, .. } => {
                (429, "too_many_sessions", Some(*retry_after))
            }
            Error::AddressFull { retry_after, .. } => {
                (429, "address_full", Some((*retry_after).min(later)))
            }
            Error::BookBusy => (429, "spellbook_busy", Some(soon)),
            Error::RateLimited { retry_after } | Error::StoredTooMuch { retry_after } => {
                (429, "rate_limited", Some(*retry_after))
            }
            Error::Busy { retry_after, .. } => (503, "busy", Some(*retry_after)),
            Error::QueueFull { retry_after, .. } => (503, "queue_full", Some(*retry_after)),
            Error::QueueAddressFull { retry_after, .. } => {
                (429, "queue_address_full", Some(*retry_after))
            }
            // Only the log reads this; nginx made the number known.
            Error::Left { .. } => (499, "client_left", None),
            Error::Stopping => (503, "stopping", Some(soon)),
            Error::NoImage(_) => (503, "shell_not_installed", Some(later)),
            Error::ImageNotLoaded(_) => (503, "shell_not_ready", Some(soon)),
            // It is of no use to try again: the operator has to repair the shell.
            Error::ShellBroken { .. } => (502, "shell_broken", None),
            Error::Engine(_) => (503, "engine_unavailable", Some(soon)),
            Error::System(_) => (503, "out_of_resources", Some(later)),
            Error::State(_) => (500, "internal_error", None),
            Error::Store(session::store::Error::NoRoom { .. }) => {
                (507, "no_room_for_spellbooks", None)
            }
            Error::Store(session::store::Error::TooBig) => (413, "body_too_large", None),
            Error::Store(session::store::Error::TooManyRevoked) => (507, "too_many_revoked", None),
            Error::Store(_) => (503, "store_unavailable", Some(soon)),
            // It is repaired before any client is told.
            Error::BookInPart => (503, "engine_unavailable", Some(soon)),
            Error::NotABook(_) => (409, "no_spellbook", None),
            Error::NotText => (422, "not_a_spellbook", None),
            Error::Playing => (409, "player_is_playing", None),
            Error::NoDrain => (409, "no_drain", None),
            Error::Starting => (503, "starting", Some(soon)),
            Error::StillEnding(_) => (503, "still_ending", Some(soon)),
        };
        let api = Self::new(status, code, error.player_message());
        match retry {
            Some(wait) => api.retry_after(wait),
            None => api,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.player_message();
        match refusal {
            // INVARIANT: the answer is the same as if there were no such session.
            Refusal::NotOwner | Refusal::BadTicket => session::Error::NotFound.into(),
            Refusal::KeysAway => {
                Self::new(503, "login_unavailable", message).retry_after(Duration::from_secs(10))
            }
            Refusal::NothingShown => Self::unauthorized(&message),
            _ => Self::new(401, "unauthorized", message)
                .with("WWW-Authenticate", "Bearer error=\"invalid_token\""),
        }
    }
}

impl From<BadUpgrade> for ApiError {
    fn from(bad: BadUpgrade) -> Self {
        match bad {
            BadUpgrade::Version => Self::new(
                426,
                "upgrade_required",
                "Only version 13 of the WebSocket protocol is spoken here.",
            )
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13"),
            BadUpgrade::Key => Self::new(
                400,
                "bad_handshake",
                "Sec-WebSocket-Key must be 16 bytes in base64.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_json_of_one_form() {
        let error = ApiError::from(NoRoute::MethodNotAllowed("GET, HEAD"));
        let response = error.response();
        let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({"error": {"code": "method_not_allowed", "message": "Use GET, HEAD here."}})
        );
        assert!(response.headers.contains(&("Allow", "GET, HEAD".into())));
    }

    #[test]
    fn what_can_be_tried_again_says_when() {
        let soon = Duration::from_secs(1);
        let full = session::Error::Full {
            limit: 3,
            retry_after: soon,
        };
        for error in [full, session::Error::Stopping] {
            let api = ApiError::from(error);
            assert_eq!(api.status, 503);
            assert!(
                api.headers.iter().any(|(name, _)| *name == "Retry-After"),
                "{api:?}"
            );
        }
    }

    /// What the Engine said is only for the log.
    #[test]
    fn the_engine_s_words_stay_inside() {
        let refused = crate::engine::Error::Refused {
            call: "ContainerCreate",
            status: 500,
            message: "/var/lib/docker is full".into(),
        };
        let response = ApiError::from(session::Error::from(refused)).response();
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(
            !text.contains("/var") && !text.contains("ContainerCreate"),
            "{text}"
        );
    }
}
