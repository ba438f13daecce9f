//! The metrics of requests; and all areas' metrics together, as `/metrics` shows them.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use crate::auth::Refusal;
use crate::metrics::{self, Counters, Label, Registry};
use crate::{door, logging};

/// From the time of an asset to that of a game that waits in the queue.
const SECONDS: [f64; 9] = [0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

/// The metrics of requests.
#[derive(Debug)]
pub struct Metrics {
    /// Requests answered, by method, route and status.
    requests: IntCounterVec,
    /// How long requests took, by route.
    seconds: HistogramVec,
    /// Requests whose credentials were refused, by reason.
    auth_failures: Counters<Refusal>,
}

/// All metrics, and those that are brought up to date at a scrape. The manager has those of the sessions.
pub struct Exposition {
    /// The registry of all metrics.
    pub registry: Registry,
    /// The metrics of the door.
    pub door: door::Metrics,
    /// The metrics of the log.
    pub log: logging::Metrics,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            requests: registry.counters(
                "http_requests_total",
                "Requests answered, by method, route and status.",
                &["method", "route", "status"],
            )?,
            seconds: registry.histograms(
                "http_request_duration_seconds",
                "From a request's whole head to its answer, terminals aside.",
                "route",
                &SECONDS,
            )?,
            auth_failures: registry.counters_by(
                "auth_failures_total",
                "Requests that were not believed to be their player's or the operator's, by reason.",
                "reason",
                &Refusal::ALL,
            )?,
        })
    }

    /// Counts a request that was answered. `route` is its path's pattern, which contains nothing that a stranger made up.
    pub fn count_request(&self, method: &str, route: &str, status: u16) {
        let status = status.to_string();
        let requests = self.requests.with_label_values(&[method, route, &status]);
        requests.inc();
    }

    /// Notes how long a request took.
    pub fn note_duration(&self, route: &str, took: Duration) {
        let seconds = self.seconds.with_label_values(&[route]);
        seconds.observe(took.as_secs_f64());
    }

    /// Counts a request whose credentials were refused.
    pub fn count_refusal(&self, refusal: Refusal) {
        self.auth_failures.of(refusal).inc();
    }
}

impl Label for Refusal {
    fn label(self) -> &'static str {
        self.reason()
    }
}
