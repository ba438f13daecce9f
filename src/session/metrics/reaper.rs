//! The metrics of the reaper's work, and of the sweep's, which removes containers that belong to no session.

use std::time::SystemTime;

use prometheus::{Gauge, IntCounter};

use crate::metrics::{self, Counters, Label, Registry};
use crate::session::Reason;

/// The metrics of periodic work.
#[derive(Debug)]
pub struct Metrics {
    /// Passes of the reaper over all sessions.
    passes: IntCounter,
    /// When the last pass was done.
    last_pass: Gauge,
    /// Sessions that the reaper ended, by reason.
    pub ended: Counters<Reason>,
    /// Books that the reaper queued for the savers.
    pub saves_queued: IntCounter,
    /// What could not be done yet, by kind of work.
    pub failures: Counters<Work>,
    /// Containers without a session that were found.
    pub leftovers_found: IntCounter,
    /// Containers without a session that were removed.
    pub leftovers_removed: IntCounter,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            passes: registry.counter(
                "reaper_passes_total",
                "Passes of the reaper over all sessions.",
            )?,
            last_pass: registry.seconds(
                "reaper_last_pass_timestamp_seconds",
                "When the reaper's last pass was done.",
            )?,
            ended: registry.counters_by(
                "reaper_sessions_ended_total",
                "Sessions that the reaper ended, by reason.",
                "reason",
                &[Reason::Idle, Reason::MaxLifetime],
            )?,
            saves_queued: registry.counter(
                "reaper_saves_queued_total",
                "Spellbooks of running sessions that the reaper had looked at.",
            )?,
            failures: registry.counters_by(
                "reaper_failures_total",
                "What the reaper could not do and tries again, by kind of work: settle, sweep, forget_record, revoked.",
                "work",
                &Work::ALL,
            )?,
            leftovers_found: registry.counter(
                "leftovers_found_total",
                "Containers of this instance without a session that were found, each time they were.",
            )?,
            leftovers_removed: registry.counter(
                "leftovers_removed_total",
                "Containers of this instance without a session that were removed.",
            )?,
        })
    }

    /// Counts a pass of the reaper that is done.
    pub fn count_pass(&self) {
        self.passes.inc();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.last_pass.set(now.map_or(0.0, |now| now.as_secs_f64()));
    }

    /// Counts something that could not be done yet.
    pub fn count_failure(&self, work: Work) {
        self.failures.of(work).inc();
    }
}

/// Work that is tried again until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Taking over what the server's last life left.
    Settle,
    /// Removing containers that belong to no session.
    Sweep,
    /// Having the store forget a session that is over.
    ForgetRecord,
    /// Learning from the store whose logins are revoked.
    Revoked,
}

impl Work {
    /// All kinds of work.
    pub const ALL: [Work; 4] = [Work::Settle, Work::Sweep, Work::ForgetRecord, Work::Revoked];
}

impl Label for Work {
    fn label(self) -> &'static str {
        match self {
            Work::Settle => "settle",
            Work::Sweep => "sweep",
            Work::ForgetRecord => "forget_record",
            Work::Revoked => "revoked",
        }
    }
}
