//! What is counted of the calls to the Engine: how long each operation takes, and which calls fail.

use super::client::Watcher;
use super::error::Kind;
use super::operation;
use crate::metrics::calls::{Calls, Naming};
use crate::metrics::{self, Registry};

/// The buckets' bounds: a ping takes 0.2 ms, a start 0.3 s; the longest deadline of usual calls is a minute.
const SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// The metrics of a server's calls to its Engine.
#[derive(Debug, Clone)]
pub struct Metrics {
    calls: Calls,
}

impl Metrics {
    /// All at zero, on a registry.
    ///
    /// # Errors
    /// Only for a name that is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        let naming = Naming {
            seconds: (
                "engine_call_duration_seconds",
                "How long calls to the Docker Engine took, by API operation.",
            ),
            buckets: &SECONDS,
            errors: (
                "engine_call_errors_total",
                "Calls to the Docker Engine that failed, by API operation and kind.",
            ),
        };
        let kinds = Kind::ALL.map(Kind::as_str);
        Ok(Metrics {
            calls: Calls::register(registry, naming, &operation::ALL, &kinds)?,
        })
    }

    /// A function that notes each call that an [`Engine`](super::Engine) makes.
    pub fn watcher(self) -> Watcher {
        Box::new(move |call, took, error| {
            let kind = error.map(|error| error.kind().as_str());
            self.calls.note(call, took, kind);
        })
    }
}
