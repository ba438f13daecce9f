//! The metrics of sessions that begin, that could not begin, and that end.

use prometheus::{IntCounter, IntCounterVec};

use crate::metrics::{self, Counters, Label, Registry};
use crate::session::Reason;

/// The metrics of sessions' lives.
#[derive(Debug)]
pub struct Metrics {
    /// Sessions made, by shell.
    pub created: IntCounterVec,
    /// Sessions that could not be made.
    pub failed: IntCounter,
    /// Sessions that were refused because of a limit, by the limit's name.
    pub refused: Counters<Limit>,
    /// Sessions over, by reason.
    pub ended: Counters<Reason>,
    /// Sessions of the server's last life that go on.
    pub adopted: IntCounter,
    /// Panics of sessions' threads.
    pub panics: IntCounter,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            created: registry.counters("sessions_created_total", "Sessions made.", &["shell"])?,
            failed: registry.counter(
                "sessions_failed_total",
                "Sessions that could not be made.",
            )?,
            refused: registry.counters_by(
                "sessions_refused_total",
                "Sessions refused for a limit: rate_limited, too_many_sessions, address_full, full, stored_too_much.",
                "reason",
                &Limit::ALL,
            )?,
            ended: registry.counters_by(
                "sessions_ended_total",
                "Sessions over, by reason.",
                "reason",
                &Reason::ALL,
            )?,
            adopted: registry.counter(
                "sessions_adopted_total",
                "Sessions of the server's last life that were taken over.",
            )?,
            panics: registry.panics("session")?,
        })
    }

    /// Counts a session that begins.
    pub fn count_created(&self, shell: &str) {
        self.created.with_label_values(&[shell]).inc();
    }
}

impl Label for Reason {
    fn label(self) -> &'static str {
        self.as_str()
    }
}

/// A limit because of which a client is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `RATE_LIMIT`.
    Rate,
    /// `SESSIONS_PER_PLAYER`.
    PerPlayer,
    /// `SESSIONS_PER_ADDRESS`.
    PerAddress,
    /// `MAX_SESSIONS`.
    All,
    /// The limit on what one address may put into the store.
    Stored,
}

impl Limit {
    /// All limits.
    pub const ALL: [Limit; 5] = [
        Limit::Rate,
        Limit::PerPlayer,
        Limit::PerAddress,
        Limit::All,
        Limit::Stored,
    ];
}

impl Label for Limit {
    fn label(self) -> &'static str {
        match self {
            Limit::Rate => "rate_limited",
            Limit::PerPlayer => "too_many_sessions",
            Limit::PerAddress => "address_full",
            Limit::All => "full",
            Limit::Stored => "stored_too_much",
        }
    }
}
