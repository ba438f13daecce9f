//! The door's metrics. They follow what [`Stats`] has counted, at each scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::stats::Stats;
use crate::metrics::{self, Registry, catch_up, whole};

/// Finds a counter.
type Find = fn(&Stats) -> &AtomicU64;

/// Why connections are turned away, and what has counted that.
const TURNED_AWAY: [(&str, Find); 6] = [
    ("full", |stats| &stats.refused_connections),
    ("per_address", |stats| &stats.refused_per_address),
    ("busy", |stats| &stats.refused_busy),
    ("bad_request", |stats| &stats.bad_requests),
    ("slow", |stats| &stats.client_timeouts),
    ("lost", |stats| &stats.lost_requests),
];

/// The metrics of a server's doors.
pub struct Metrics {
    stats: Arc<Stats>,
    /// Connections open now.
    connections: IntGauge,
    /// Connections that got a thread.
    accepted: IntCounter,
    /// Connections turned away at the door, by reason.
    turned_away: IntCounterVec,
    /// Panics of connections' threads.
    panics: IntCounter,
}

impl Metrics {
    /// Those of the doors that count into `stats`, all at zero, on a registry.
    ///
    /// # Errors
    /// Only for a name that is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry, stats: Arc<Stats>) -> metrics::Result<Metrics> {
        let metrics = Metrics {
            stats,
            connections: registry.gauge("connections", "Connections open now.")?,
            accepted: registry.counter(
                "connections_accepted_total",
                "Connections that were let in.",
            )?,
            turned_away: registry.counters(
                "door_turned_away_total",
                "Connections turned away at the door, by reason.",
                &["reason"],
            )?,
            panics: registry.panics("connection")?,
        };
        for (reason, _) in TURNED_AWAY {
            metrics.turned_away.with_label_values(&[reason]).reset();
        }
        Ok(metrics)
    }

    /// Brings them up to what the doors have counted. Only while the scrape is held.
    pub fn catch_up(&self) {
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stats = &self.stats;
        self.connections.set(whole(total(&stats.connections_open)));
        catch_up(&self.accepted, total(&stats.accepted));
        for (reason, counter) in TURNED_AWAY {
            let turned_away = self.turned_away.with_label_values(&[reason]);
            catch_up(&turned_away, total(counter(stats)));
        }
        catch_up(&self.panics, total(&stats.panics));
    }
}
