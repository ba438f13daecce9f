//! The operator's routes: logging in at `/admin`, health, notices and the drain.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::auth::PlayerId;
use crate::auth::cookie;
use crate::auth::desk::{self, LOGIN_LIFE};
use crate::door;
use crate::door::{Body, Request, Response};
use crate::http::cookies::cookies;
use crate::http::error::ApiError;
use crate::http::reply::{Handled, json_response, no_content, now, timestamp};
use crate::http::{Outcome, Site};
use crate::session::admission::estimate::whole_seconds;
use crate::session::quarantine::Aside;
use crate::session::{LONGEST_DRAIN, Manager, SAMPLE_EVERY, Sample, Session, SessionId};

/// The most things set aside that are shown: when the Engine is away, all of them are set aside.
const ASIDE_SHOWN: usize = 50;
/// The longest notice, in characters.
const NOTICE_CHARACTERS: usize = 500;

#[derive(Deserialize)]
struct Login {
    token: String,
}

#[derive(Deserialize)]
struct Say {
    session_id: Option<SessionId>,
    level: Option<Urgency>,
    text: String,
}

/// The body of `POST /admin/drain`, which may be left out as a whole. A body that is not understood is refused: otherwise
/// all games would end now, because the time that was meant would be missing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    after_seconds: u64,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Urgency {
    Info,
    Warning,
}

impl Site {
    /// `POST /admin/login`: exchanges the operator's token for a cookie that is good for the operator's routes only.
    pub(in crate::http) fn admin_login(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        let household = door::household(request.peer);
        if let Some(wait) = self.desk.must_wait(household, Instant::now()) {
            let message = "Too many wrong tokens from your address; wait a minute.";
            let seconds = whole_seconds(wait).max(1).to_string();
            return Err(ApiError::new(429, "too_many_tries", message).with("Retry-After", seconds));
        }
        let login: Login = body(request, "{\"token\": \"…\"}")?;
        let began = SystemTime::now();
        let Some(operator) = self.operator(&login.token) else {
            self.desk.note_failure(household, Instant::now());
            crate::warn_throttled!("somebody tried to log in at /admin with a wrong token");
            return Err(ApiError::unauthorized("This is not the operator's token."));
        };
        let until = operator.until;
        let left = until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
        let life = left.map_or(LOGIN_LIFE, |left| left.min(LOGIN_LIFE));
        let value = self
            .desk
            .log_in(operator.player, began, life, Instant::now());
        Ok(Outcome::Now(self.with_cookie(request, &value, life)))
    }

    /// `POST /admin/logout`
    pub(in crate::http) fn admin_logout(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        let cookies: Vec<&str> = cookies(request).collect();
        let name = desk::cookie_name(self.guard.gate.names(), self.is_https(request));
        cookie::values(&cookies, &name).for_each(|value| self.desk.log_out(value));
        Ok(Outcome::Now(self.with_cookie(request, "", Duration::ZERO)))
    }

    fn with_cookie(&self, request: &Request, value: &str, life: Duration) -> Response {
        let is_https = self.is_https(request);
        let name = desk::cookie_name(self.guard.gate.names(), is_https);
        let set = cookie::set_value(&name, value, life.as_secs(), is_https);
        let mut response = no_content();
        response.headers.push(("Set-Cookie", set));
        response
    }

    /// `GET /admin/health`
    pub(in crate::http) fn admin_health(&self, request: &Request) -> Handled {
        self.check_operator(request)?;
        let manager = Arc::clone(&self.manager);
        let uptime = self.started.elapsed().as_secs();
        Ok(Outcome::Later(Box::new(move |_| {
            let pool = manager.pool_counts();
            let shells = shells(&manager);
            let books = &manager.metrics().books;
            let disk = manager.disk().map(
                |disk| json!({"free_bytes": disk.free_bytes, "total_bytes": disk.total_bytes}),
            );
            let body = json!({
                "version": env!("CARGO_PKG_VERSION"),
                "instance": manager.settings().instance,
                "uptime_seconds": uptime,
                "draining": manager.is_draining(),
                "drains_in_seconds": manager.drains_in().map(|left| left.as_secs()),
                "sessions": manager.count_playing(),
                "max_sessions": manager.settings().max_sessions,
                "pool": pool,
                "shells": shells,
                "pool_size": manager.settings().pool_size,
                "queue": manager.queue_length(),
                "engine": health(manager.engine_health()),
                "store": health(manager.store_health()),
                "disk": disk,
                "books": {
                    "players": books.players.get(),
                    "bytes": books.bytes.get(),
                    // 0 for no limit.
                    "quota_bytes": books.quota_bytes.get(),
                },
                "quarantine": quarantine(&manager),
                "history": history(&manager),
            });
            Ok(json_response(200, &body))
        })))
    }

    /// `GET /admin/revoked`
    pub(in crate::http) fn list_revoked(&self, request: &Request) -> Handled {
        self.check_operator(request)?;
        let revoked = self.manager.revoked()?.into_iter();
        let revoked: Vec<_> = revoked.map(|(player, at)| told(&player, at)).collect();
        now(json_response(200, &json!({"revoked": revoked})))
    }

    /// `PUT /admin/revoked/{player}`
    pub(in crate::http) fn revoke(&self, player: PlayerId, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_operator(request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let (at, sessions) = manager.revoke(&player)?;
            log::info!("an operator has revoked {player}, who has {sessions} games");
            let mut body = told(&player, at);
            body["sessions"] = sessions.into();
            Ok(json_response(200, &body))
        })))
    }

    /// `DELETE /admin/revoked/{player}`
    pub(in crate::http) fn restore(&self, player: PlayerId, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_operator(request)?;
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            if !manager.restore(&player)? {
                let message = "That player is not revoked.";
                return Err(ApiError::new(404, "not_revoked", message));
            }
            log::info!("an operator has restored {player}");
            Ok(no_content())
        })))
    }

    /// `POST /admin/notice`
    pub(in crate::http) fn admin_notice(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_operator(request)?;
        let say: Say = body(
            request,
            "{\"session_id\": null, \"level\": \"info\", \"text\": \"…\"}",
        )?;
        let text = say.text.trim();
        let length = text.chars().count();
        if length == 0 || length > NOTICE_CHARACTERS || text.chars().any(char::is_control) {
            let message = "text must be one line of 1 to 500 characters.";
            return Err(ApiError::new(400, "bad_notice", message));
        }
        let is_urgent = say.level == Some(Urgency::Warning);
        let told = self.manager.say(say.session_id, is_urgent, text)?;
        now(json_response(200, &json!({"sessions": told})))
    }

    /// `POST /admin/drain`: answers when the pages have been told; without a time, that is just before the end.
    pub(in crate::http) fn admin_drain(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_operator(request)?;
        let example = "{\"after_seconds\": 600}, at most a day, or nothing";
        let order = match &request.body {
            Body::Whole(body) if body.trim_ascii().is_empty() => Drain::default(),
            _ => body(request, example)?,
        };
        let wait = Duration::from_secs(order.after_seconds);
        if wait > LONGEST_DRAIN {
            return Err(bad_body(example));
        }
        let manager = Arc::clone(&self.manager);
        if !wait.is_zero() {
            let sessions = manager.drain_in(wait)?;
            log::warn!("an operator drains the server in {wait:?}");
            let body = json!({"sessions": sessions, "ends_in_seconds": order.after_seconds});
            return now(json_response(202, &body));
        }
        log::warn!("an operator drains the server");
        Ok(Outcome::Later(Box::new(move |_| {
            let sessions = manager.drain();
            Ok(json_response(202, &json!({"sessions": sessions})))
        })))
    }

    /// `DELETE /admin/drain`
    pub(in crate::http) fn undo_drain(&self, request: &Request) -> Handled {
        self.check_origin(request)?;
        self.check_operator(request)?;
        let sessions = self.manager.undo_drain()?;
        log::warn!("an operator has undone the drain");
        now(json_response(200, &json!({"sessions": sessions})))
    }
}

/// A revoked player, as operators are told.
fn told(player: &PlayerId, at: SystemTime) -> Value {
    json!({"player": player, "revoked_at": timestamp(at)})
}

/// What operators are told about a session in addition to what its player is told.
pub(in crate::http) fn add_details(body: &mut Value, manager: &Manager, session: &Session) {
    let now = Instant::now();
    let usage = manager.usage(session.id, now);
    body["log_name"] = session.id.log_name().into();
    body["state"] = format!("{:?}", session.snapshot().state)
        .to_lowercase()
        .into();
    body["age_seconds"] = session.age(now).as_secs().into();
    body["idle_seconds"] = session.idle(now).as_secs().into();
    body["bytes_in"] = session.hub.input_bytes().into();
    body["bytes_out"] = session.hub.output_bytes().into();
    body["spectators"] = session.hub.spectators().into();
    body["peer"] = session.peer().map(|peer| peer.to_string()).into();
    body["player"] = session.owner().map(|owner| owner.player.to_string()).into();
    body["memory_bytes"] = usage.and_then(|usage| usage.memory_bytes).into();
    body["cpus"] = usage.and_then(|usage| usage.cpus).into();
}

/// Whether each shell can be started, and the state of its pool.
fn shells(manager: &Manager) -> Vec<Value> {
    let (broken, backoffs) = (manager.broken_shells(), manager.pool_backoffs());
    let shells = manager.settings().shells.iter();
    let tell = |name: &String| {
        let cause = broken.get(name);
        let wait = backoffs.get(name).map(Duration::as_secs);
        json!({
            "name": name, "ok": cause.is_none(), "cause": cause, "backoff_seconds": wait,
        })
    };
    shells.map(|shell| tell(&shell.name)).collect()
}

/// What is set aside because it failed; what failed last comes first.
fn quarantine(manager: &Manager) -> Vec<Value> {
    let mut aside = manager.quarantine();
    aside.sort_by_key(|one| one.since);
    aside.truncate(ASIDE_SHOWN);
    let tell = |one: &Aside| {
        json!({
            "kind": one.kind.as_str(), "name": one.name, "cause": one.cause, "failures": one.failures,
            "retry_in_seconds": whole_seconds(one.retry_in), "failed_seconds_ago": one.since.as_secs(),
        })
    };
    aside.iter().map(tell).collect()
}

/// The samples of the last hour, the oldest first, as the page draws them.
fn history(manager: &Manager) -> Value {
    let samples = manager.history();
    let column = |of: fn(&Sample) -> u64| samples.iter().map(of).collect::<Vec<_>>();
    json!({
        "every_seconds": SAMPLE_EVERY.as_secs(),
        "sessions": column(|sample| sample.sessions as u64),
        "queue": column(|sample| sample.queue as u64),
        "output": column(|sample| sample.output),
    })
}

/// A health check's result. The cause is for the log and for the operator, who may read it.
fn health(health: Result<(), String>) -> Value {
    json!({"ok": health.is_ok(), "cause": health.err()})
}

fn body<T: DeserializeOwned>(request: &Request, example: &str) -> Result<T, ApiError> {
    let Body::Whole(body) = &request.body else {
        return Err(ApiError::body_too_large());
    };
    serde_json::from_slice(body).map_err(|_| bad_body(example))
}

fn bad_body(example: &str) -> ApiError {
    let message = format!("The body must be JSON: {example}.");
    ApiError::new(400, "bad_body", message)
}
