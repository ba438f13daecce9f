//! HTTP: one route table, handlers, pages, assets; every request logged and counted, every error in one form.
//!
//! ```text
//! door ─▶ server (tiny_http) ─▶ Site::answer ─▶ route ─▶ handlers ─▶ session::Manager
//!                                    │                      └─▶ pages, assets
//!                                    └─ log line, metrics
//! ```
//!
//! Runs on the server's router threads. Whatever may take long (the Engine starts or removes a container) and
//! whatever needs the socket itself (a terminal) is handed off to the connection's own thread, so slow
//! requests never keep quick ones waiting.

pub mod assets;
mod books;
pub mod error;
mod handlers;
pub mod origin;
pub mod pages;
pub mod route;
pub mod server;
mod terminal;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

use crate::door;
use crate::door::Connection;
use crate::metrics::Metrics;
use crate::session::Manager;
use error::ApiError;
use pages::Pages;
use route::Route;
use server::{Answer, Request, RequestId, Response, Service};

/// What the routes need to know beside the sessions.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The server's address as players see it, if it is not simply the one they used.
    pub public_url: Option<String>,
    /// Origins besides our own whose pages may act on us.
    pub allowed_origins: Vec<String>,
    /// The operator's secret; operator routes are closed without it.
    pub admin_token: Option<String>,
}

/// Answers everything that is asked.
pub struct Site {
    manager: Arc<Manager>,
    metrics: Arc<Metrics>,
    door: Arc<door::Stats>,
    pages: Pages,
    settings: Settings,
}

/// A request's own, once its route is known: what a handler on another thread still needs.
struct Line {
    id: RequestId,
    method: String,
    path: String,
    pattern: &'static str,
    peer: IpAddr,
    started: Instant,
}

/// What may take long, with a look at the connection that waits for it.
type Work = Box<dyn FnOnce(&Connection) -> Result<Response, ApiError> + Send>;

/// What a handler decides.
enum Outcome {
    /// This is the answer.
    Now(Response),
    /// Whoever runs this on the connection's own thread gets the answer.
    Later(Work),
    /// Whoever reads so many bytes of body on the connection's own thread gives them to this.
    Upload(usize, books::WithBody),
    /// The connection becomes a terminal.
    Terminal(terminal::Opening),
}

impl Site {
    /// A site in front of `manager`.
    ///
    /// # Errors
    /// For a template that is not valid.
    pub fn new(
        manager: Arc<Manager>,
        metrics: Arc<Metrics>,
        door: Arc<door::Stats>,
        settings: Settings,
    ) -> Result<Self, ramhorns::Error> {
        Ok(Self {
            manager,
            metrics,
            door,
            pages: Pages::new()?,
            settings,
        })
    }

    /// The address the client reached us by.
    fn own_origin(&self, request: &Request) -> String {
        let host = request.header("host").unwrap_or_default();
        origin::own(self.settings.public_url.as_deref(), request.is_https, host)
    }

    fn check_origin(&self, request: &Request) -> Result<(), ApiError> {
        let own = self.own_origin(request);
        let is_allowed = origin::is_allowed(
            request.header("origin"),
            &own,
            &self.settings.allowed_origins,
        );
        if is_allowed {
            Ok(())
        } else {
            Err(ApiError::foreign_origin())
        }
    }

    /// An error: a page for people who followed a link, JSON for everybody else.
    fn error_response(
        &self,
        route: Option<&Route>,
        wants_html: bool,
        error: &ApiError,
    ) -> Response {
        match route {
            Some(Route::Landing | Route::Connect(_) | Route::Watch(_)) | None if wants_html => {
                let mut page = self.pages.error(error.status, &error.message);
                page.headers.extend(error.headers.iter().cloned());
                page
            }
            _ => error.response(),
        }
    }

    /// One line and one count for each request. A watch link's secret is in neither.
    fn note(&self, line: &Line, status: u16) {
        let method = match line.method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH") => known,
            _ => "other",
        };
        self.metrics
            .requests
            .with_label_values(&[method, line.pattern, &status.to_string()])
            .inc();
        let Line {
            id,
            path,
            peer,
            started,
            ..
        } = line;
        let is_secret = path.starts_with("/watch/");
        let path: String = if is_secret {
            line.pattern.into()
        } else {
            path.chars().take(200).collect()
        };
        info!(
            "request={id} {} {path} {status} {} peer={peer}",
            line.method,
            milliseconds(started.elapsed())
        );
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1}ms", duration.as_secs_f64() * 1000.0)
}

/// [`Site`] behind an `Arc`, as hand-offs need it.
pub struct SiteService(pub Arc<Site>);

impl Service for SiteService {
    fn answer(&self, request: Request) -> Answer {
        let site = &self.0;
        let found = route::find(&request.method, &request.path);
        let mut line = Line {
            id: request.id,
            method: request.method.clone(),
            path: request.path.clone(),
            pattern: found.as_ref().map_or("other", Route::pattern),
            peer: request.peer,
            started: request.started,
        };
        let wants_html = request
            .header("accept")
            .is_some_and(|accept| accept.contains("text/html"));
        let route = found.as_ref().ok().cloned();
        let outcome = found
            .map_err(ApiError::from)
            .and_then(|route| site.handle(route, request));
        let response = match outcome {
            Ok(Outcome::Now(response)) => response,
            Ok(Outcome::Later(work)) => return later(Arc::clone(site), line, work),
            Ok(Outcome::Upload(length, work)) => {
                let site = Arc::clone(site);
                return Answer::HandOff(Box::new(move |connection| {
                    books::upload(&site, &line, connection, length, work);
                }));
            }
            Ok(Outcome::Terminal(opening)) => {
                return terminal::open(Arc::clone(site), line, opening);
            }
            Err(error) => site.error_response(route.as_ref(), wants_html, &error),
        };
        line.method.truncate(16);
        site.note(&line, response.status);
        Answer::Response(response)
    }
}

/// Runs `work` on the connection's own thread and answers there.
fn later(site: Arc<Site>, line: Line, work: Work) -> Answer {
    Answer::HandOff(Box::new(move |connection| {
        let response = work(&connection).unwrap_or_else(|error| error.response());
        site.note(&line, response.status);
        // Fails when the client is gone; what it asked for was done all the same.
        let _ = connection.respond(line.id, response);
    }))
}
