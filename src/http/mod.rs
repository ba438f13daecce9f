//! HTTP: one route table, handlers, pages, assets; every request logged and counted, every error in one form.
//!
//! ```text
//! door ─▶ Site::answer ─▶ route ─▶ handlers ─▶ session::Manager
//!              │                      └─▶ pages, assets
//!              └─ log line, metrics
//! ```
//!
//! This code runs on the door's router threads. Work that may take long (the Engine starts or removes a container) and
//! work that needs the socket itself (a terminal) is handed off to the connection's own thread, so slow requests never
//! keep quick ones waiting.

mod applicant;
pub mod assets;
mod cookies;
mod cors;
pub mod error;
mod guard;
mod handlers;
pub mod metrics;
pub mod openapi;
pub mod origin;
pub mod pages;
mod reached;
mod relay;
mod reply;
pub mod route;
mod terminal;
pub mod tickets;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, log};

use crate::auth::desk::Desk;
use crate::auth::{self, Gate, cookie};
use crate::door::Connection;
use crate::door::security_headers;
use crate::door::{Answer, Request, RequestId, Response, Service};
use crate::fleet::front::Front;
use crate::logging::{self, Entered, names};
use crate::session::{Manager, SessionId};
use crate::terminal::budget::Paces;
use crate::terminal::viewer::Heartbeat;
use error::ApiError;
use guard::Guard;
use metrics::Exposition;
pub use metrics::Metrics;
use pages::Pages;
use route::{NoRoute, Route};
use tickets::Tickets;

/// What the routes need to know in addition to the sessions.
#[derive(Clone, Default)]
pub struct Settings {
    /// The server's address as players see it, unless it is simply the one they used. It may have a path, without a slash
    /// at its end.
    pub public_url: Option<String>,
    /// Origins besides the server's own whose pages may act on the server.
    pub allowed_origins: Vec<String>,
    /// The pages that may show players' pages in a frame, in the words of a Content-Security-Policy; empty for none.
    pub frame_ancestors: String,
    /// How players and operators are recognised.
    pub auth: auth::Settings,
    /// How much a terminal's client may send.
    pub paces: Paces,
    /// How a terminal's client that is gone is distinguished from one that is quiet.
    pub heartbeat: Heartbeat,
    /// The way to the other instances of the fleet, if there is one.
    pub front: Option<Arc<Front>>,
    /// How long an instance of the fleet may be silent.
    pub lease: Duration,
}

/// Answers all requests.
pub struct Site {
    manager: Arc<Manager>,
    metrics: Arc<Metrics>,
    exposition: Arc<Exposition>,
    pages: Pages,
    guard: Arc<Guard>,
    desk: Desk,
    started: Instant,
    openapi: serde_json::Value,
    settings: Settings,
}

/// The data of one request, once its route is known: what a handler on another thread still needs.
struct Line {
    id: RequestId,
    method: String,
    path: String,
    pattern: &'static str,
    peer: IpAddr,
    started: Instant,
    is_https: bool,
    /// The session that the request names.
    session: Option<SessionId>,
}

impl Line {
    /// Adds the request's fields to the log lines of this thread, which works for the request from now on.
    fn enter(&self) -> Entered {
        let Line { id, peer, .. } = self;
        match &self.session {
            Some(session) => {
                logging::enter(&[("peer", peer), ("request", id), ("session", session)])
            }
            None => logging::enter(&[("peer", peer), ("request", id)]),
        }
    }
}

/// Work that may take long. It can look at the connection that waits for it.
type Work = Box<dyn FnOnce(&Connection) -> Result<Response, ApiError> + Send>;

/// The decision of a handler.
enum Outcome {
    /// The answer.
    Now(Response),
    /// Work that gives the answer when it is run on the connection's own thread.
    Later(Work),
    /// The answer to a download. Its place is given back when the client has taken the answer.
    Download(Response, Arc<()>),
    /// An upload: the connection's own thread reads a body of at most this many bytes, and gives it to this function.
    Upload(usize, handlers::spellbook::WithBody),
    /// The connection becomes a terminal.
    Terminal(terminal::Opening),
}

impl Site {
    /// A site in front of `manager`.
    ///
    /// # Errors
    /// When a template is not valid.
    pub fn new(
        manager: Arc<Manager>,
        metrics: Metrics,
        exposition: Exposition,
        settings: Settings,
    ) -> Result<Self, ramhorns::Error> {
        let shells = &manager.settings().shells;
        let url = settings.public_url.as_deref().unwrap_or_default();
        let (_, prefix) = origin::split_prefix(url);
        let openapi = openapi::document(prefix, shells.iter().map(|shell| shell.name.as_str()));
        let auth = auth::Settings {
            names: cookie::Names::below(prefix),
            ..settings.auth.clone()
        };
        Ok(Self {
            openapi,
            manager,
            metrics: Arc::new(metrics),
            exposition: Arc::new(exposition),
            pages: Pages::new(&settings.frame_ancestors, prefix)?,
            guard: Arc::new(Guard {
                gate: Gate::new(auth),
                tickets: Tickets::default(),
            }),
            desk: Desk::default(),
            started: Instant::now(),
            settings,
        })
    }

    /// The answer for an error: a page for people who followed a link, JSON for all other clients.
    fn error_response(
        &self,
        route: Option<&Route>,
        wants_html: bool,
        error: &ApiError,
    ) -> Response {
        match route {
            Some(Route::Landing | Route::Admin | Route::Connect(_) | Route::Watch(_)) | None
                if wants_html =>
            {
                let mut page = self.pages.error(error.status, &error.message);
                page.headers.extend(error.headers.iter().cloned());
                page
            }
            _ => error.response(),
        }
    }

    /// Writes one log line and adds one count for each request. A watch link's secret is in neither.
    fn note(&self, line: &Line, status: u16) {
        let method = match line.method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH") => known,
            _ => "other",
        };
        self.metrics.count_request(method, line.pattern, status);
        let took = line.started.elapsed();
        if status != 101 {
            self.metrics.note_duration(line.pattern, took);
        }
        // Tenths of a millisecond are precise enough.
        let duration_ms = (took.as_secs_f64() * 10_000.0).round() / 10.0;
        let told = format!(
            "{} {}",
            line.method,
            names::path_without_secrets(&line.path)
        );
        let level = match line.pattern {
            // Paths that machines ask for all the time.
            "/healthz" | "/readyz" | "/metrics" | "/assets/{name}" | "/sessions"
            | "/admin/health"
                if status < 400 =>
            {
                Level::Debug
            }
            _ => Level::Info,
        };
        log!(level, status, duration_ms; "{told}");
    }
}

/// The address through which a client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The only address there is.
    Only,
    /// The public one of two addresses: the operator's routes are not there.
    Public,
    /// The private one of two addresses.
    Private,
    /// The one at which other instances of the fleet hand on what came to them: nothing is handed on from there.
    Peer,
}

/// A [`Site`] at one of its addresses, behind an `Arc`, as hand-offs need it.
pub struct SiteService(pub Arc<Site>, pub Side);

impl Service for SiteService {
    fn answer(&self, mut request: Request) -> Answer {
        let site = &self.0;
        let side = self.1;
        let target = match &request.query {
            Some(query) => format!("{}?{query}", request.path),
            None => request.path.clone(),
        };
        request.path = route::below(site.prefix(), &request.path).to_owned();
        let found = route::find(&request.method, &request.path);
        let found = match found {
            Ok(route) if side == Side::Public && route.is_operator_s() => Err(NoRoute::NotFound),
            // A wrong method must not show either that there is such a route elsewhere.
            Err(NoRoute::MethodNotAllowed(allowed))
                if side == Side::Public && is_operator_s(allowed, &request.path) =>
            {
                Err(NoRoute::NotFound)
            }
            found => found,
        };
        let mut line = Line {
            id: request.id,
            method: request.method.clone(),
            path: request.path.clone(),
            pattern: found.as_ref().map_or("other", Route::pattern),
            peer: request.peer,
            started: request.started,
            is_https: site.is_https(&request),
            session: found.as_ref().ok().and_then(Route::session),
        };
        if let (Some(front), Ok(route), true) = (&site.settings.front, &found, side != Side::Peer)
            && let Some(home) = relay::elsewhere(front, site, route)
        {
            let way = (Arc::clone(front), home);
            return relay::hand_on(site, line, (route.clone(), request), target, way);
        }
        let _entered = line.enter();
        let accept_encoding = request.header("accept-encoding").map(str::to_owned);
        let wants_html = request.header("accept").is_some_and(wants_page);
        let route = found.as_ref().ok().cloned();
        let is_known = found != Err(NoRoute::NotFound);
        let preflight = cors::preflight(&request, &site.settings.allowed_origins);
        let asked = preflight.filter(|_| is_known);
        let outcome = match asked.or_else(|| cors::options(&request, &found)) {
            Some(response) => Ok(Outcome::Now(response)),
            None => found
                .map_err(ApiError::from)
                .and_then(|route| site.handle(route, request, side)),
        };
        let mut response = match outcome {
            Ok(Outcome::Now(response)) => response,
            Ok(Outcome::Later(work)) => return later(Arc::clone(site), line, work, None),
            Ok(Outcome::Download(response, place)) => {
                return later(
                    Arc::clone(site),
                    line,
                    Box::new(|_| Ok(response)),
                    Some(place),
                );
            }
            Ok(Outcome::Upload(length, work)) => {
                let site = Arc::clone(site);
                return Answer::HandOff(Box::new(move |connection| {
                    let _entered = line.enter();
                    handlers::spellbook::upload(&site, &line, connection, length, work);
                }));
            }
            Ok(Outcome::Terminal(opening)) => {
                return terminal::open(Arc::clone(site), line, opening);
            }
            Err(error) => site.error_response(route.as_ref(), wants_html, &error),
        };
        pages::pack(&mut response, accept_encoding.as_deref());
        security_headers::keep_to_tls(&mut response, line.is_https);
        line.method.truncate(16);
        site.note(&line, response.status);
        Answer::Response(response)
    }

    fn headers_for(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        cors::headers(origin, &self.0.settings.allowed_origins)
    }
}

/// Whether that path is an operator's route when it is asked for with the first of these methods.
fn is_operator_s(allowed: &str, path: &str) -> bool {
    let method = allowed.split(',').next().unwrap_or_default();
    route::find(method, path).is_ok_and(|route| route.is_operator_s())
}

/// Runs `work` on the connection's own thread and sends the answer from there; `place` is given back then.
fn later(site: Arc<Site>, line: Line, work: Work, place: Option<Arc<()>>) -> Answer {
    Answer::HandOff(Box::new(move |connection| {
        let _entered = line.enter();
        let mut response = work(&connection).unwrap_or_else(|error| error.response());
        security_headers::keep_to_tls(&mut response, line.is_https);
        site.note(&line, response.status);
        // This fails when the client is gone; what it asked for was done all the same.
        let _ = connection.respond(line.id, response);
        drop(place);
    }))
}

/// Whether an `Accept` header prefers a page to JSON (RFC 9110 §12.5.1). It does only if it names the page's type: a
/// client that accepts anything is usually a program.
fn wants_page(accept: &str) -> bool {
    let weight = |wanted: &str| {
        let ranges = accept.split(',').map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            (
                name,
                weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)),
            )
        });
        let mut named = ranges.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.next().map_or(0.0_f32, |(_, weight)| weight)
    };
    let page = weight("text/html");
    page > 0.0 && page >= weight("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_prefers_a_page_gets_one() {
        for accept in [
            "text/html",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json;q=0.5, Text/HTML; q=0.6",
            "text/html, application/json",
        ] {
            assert!(wants_page(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/json, text/html;q=0",
            "application/json, text/html;q=0.9",
            "text/html;q=x",
            "application/text/html",
        ] {
            assert!(!wants_page(accept), "{accept}");
        }
    }
}
