//! What is counted, and how Prometheus reads it.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>. Counters are bumped where things happen;
//! what can be looked up (sessions by state, connections) is set when somebody scrapes.

use std::time::SystemTime;

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::session::Reason;

/// From no wait at all to the longest that anybody is let wait.
const QUEUE_WAIT_SECONDS: [f64; 9] = [0.01, 0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0];

/// All metrics of this server.
pub struct Metrics {
    registry: Registry,
    /// Sessions made, by shell.
    pub sessions_created: IntCounterVec,
    /// Sessions that could not be made.
    pub sessions_failed: IntCounter,
    /// Sessions over, by reason.
    pub sessions_ended: IntCounterVec,
    /// Sessions of the server's last life that go on.
    pub sessions_adopted: IntCounter,
    /// Spellbooks looked at, by what came of it.
    pub books: IntCounterVec,
    /// Containers that wait for a player, by shell. Set at a scrape.
    pub pool: IntGaugeVec,
    /// Whether the store answers: 1 or 0. Set at a scrape.
    pub store_up: IntGauge,
    /// Passes of the reaper over all sessions.
    pub reaper_passes: IntCounter,
    /// When the last one was done.
    pub reaper_last_pass: Gauge,
    /// Sessions that it ended, by reason.
    pub reaper_ended: IntCounterVec,
    /// Books that it had looked at.
    pub reaper_saves_queued: IntCounter,
    /// What it could not do yet, by kind of work.
    pub reaper_failures: IntCounterVec,
    /// Sessions whose book is not safe yet. Set at a scrape.
    pub books_unsafe: IntGauge,
    /// Containers without a session that were found.
    pub leftovers_found: IntCounter,
    /// Containers without a session that were removed.
    pub leftovers_removed: IntCounter,
    /// Newcomers that wait for their turn at the Engine. Set at a scrape.
    pub queue_length: IntGauge,
    /// How long newcomers waited for their turn, those that got it.
    pub queue_wait: Histogram,
    /// Newcomers that got no turn, by reason.
    pub queue_turned_away: IntCounterVec,
    /// Sessions remembered, by status. Set at a scrape.
    pub sessions: IntGaugeVec,
    /// Pages and raw clients connected now. Set at a scrape.
    pub viewers: IntGauge,
    /// Memory that terminals take: scrollbacks, terminal states, recordings. Set at a scrape.
    pub terminal_memory: IntGauge,
    /// Bytes typed by players.
    pub input_bytes: IntCounter,
    /// Requests answered, by method, route and status.
    pub requests: IntCounterVec,
    /// Panics caught, by kind of thread.
    pub panics: IntCounterVec,
    /// Connections open now. Set at a scrape.
    pub connections: IntGauge,
    /// Connections turned away at the door, by reason. Set at a scrape.
    pub turned_away: IntGaugeVec,
    /// Whether the Engine answers: 1 or 0. Set at a scrape.
    pub engine_up: IntGauge,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// Only for a name that Prometheus forbids, which a test would show.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("shellcraft".into()), None)?;
        let metrics = Self {
            sessions_created: counters(
                &registry,
                "sessions_created_total",
                "Sessions made.",
                &["shell"],
            )?,
            sessions_failed: counter(
                &registry,
                "sessions_failed_total",
                "Sessions that could not be made.",
            )?,
            sessions_ended: counters(
                &registry,
                "sessions_ended_total",
                "Sessions over, by reason.",
                &["reason"],
            )?,
            sessions_adopted: counter(
                &registry,
                "sessions_adopted_total",
                "Sessions of the server's last life that were taken over.",
            )?,
            books: counters(
                &registry,
                "spellbook_saves_total",
                "Spellbooks looked at, by what came of it: saved, unchanged, not_a_book, failed.",
                &["outcome"],
            )?,
            pool: gauges(
                &registry,
                "pool_containers",
                "Containers that wait for a player, by shell.",
                &["shell"],
            )?,
            store_up: gauge(&registry, "store_up", "Whether the store answers.")?,
            reaper_passes: counter(
                &registry,
                "reaper_passes_total",
                "Passes of the reaper over all sessions.",
            )?,
            reaper_last_pass: seconds(
                &registry,
                "reaper_last_pass_timestamp_seconds",
                "When the reaper's last pass was done.",
            )?,
            reaper_ended: counters(
                &registry,
                "reaper_sessions_ended_total",
                "Sessions that the reaper ended, by reason.",
                &["reason"],
            )?,
            reaper_saves_queued: counter(
                &registry,
                "reaper_saves_queued_total",
                "Spellbooks of running sessions that the reaper had looked at.",
            )?,
            reaper_failures: counters(
                &registry,
                "reaper_failures_total",
                "What the reaper could not do and tries again, by kind of work: settle, sweep, forget_record.",
                &["work"],
            )?,
            books_unsafe: gauge(
                &registry,
                "spellbooks_unsafe",
                "Sessions that have ended, or whose last save failed, and whose spellbook is not safe yet.",
            )?,
            leftovers_found: counter(
                &registry,
                "leftovers_found_total",
                "Containers of this instance without a session that were found, each time they were.",
            )?,
            leftovers_removed: counter(
                &registry,
                "leftovers_removed_total",
                "Containers of this instance without a session that were removed.",
            )?,
            queue_length: gauge(
                &registry,
                "queue_length",
                "Newcomers that wait for their turn at the Engine.",
            )?,
            queue_wait: histogram(
                &registry,
                "queue_wait_seconds",
                "How long newcomers waited for their turn at the Engine, those that got it.",
                &QUEUE_WAIT_SECONDS,
            )?,
            queue_turned_away: counters(
                &registry,
                "queue_turned_away_total",
                "Newcomers that got no turn: the queue was full, it came too late, they had left.",
                &["reason"],
            )?,
            sessions: gauges(
                &registry,
                "sessions",
                "Sessions remembered, by status.",
                &["status"],
            )?,
            viewers: gauge(&registry, "viewers", "Pages and raw clients connected now.")?,
            terminal_memory: gauge(
                &registry,
                "terminal_memory_bytes",
                "Memory that terminals take: scrollbacks, terminal states, recordings.",
            )?,
            input_bytes: counter(&registry, "input_bytes_total", "Bytes typed by players.")?,
            requests: counters(
                &registry,
                "http_requests_total",
                "Requests answered, by method, route and status.",
                &["method", "route", "status"],
            )?,
            panics: counters(
                &registry,
                "panics_total",
                "Panics caught, by kind of thread.",
                &["thread"],
            )?,
            connections: gauge(&registry, "connections", "Connections open now.")?,
            turned_away: gauges(
                &registry,
                "door_turned_away",
                "Connections turned away at the door since the start, by reason.",
                &["reason"],
            )?,
            engine_up: gauge(&registry, "engine_up", "Whether the Docker Engine answers.")?,
            registry,
        };
        for thread in ["router", "connection", "session"] {
            metrics.panics.with_label_values(&[thread]).reset();
        }
        for outcome in ["saved", "unchanged", "not_a_book", "failed"] {
            metrics.books.with_label_values(&[outcome]).reset();
        }
        for reason in [Reason::Idle, Reason::MaxLifetime] {
            let ended = &metrics.reaper_ended;
            ended.with_label_values(&[reason.as_str()]).reset();
        }
        for work in ["settle", "sweep", "forget_record"] {
            metrics.reaper_failures.with_label_values(&[work]).reset();
        }
        for reason in ["full", "too_late", "left"] {
            let turned_away = &metrics.queue_turned_away;
            turned_away.with_label_values(&[reason]).reset();
        }
        for reason in Reason::ALL {
            metrics
                .sessions_ended
                .with_label_values(&[reason.as_str()])
                .reset();
        }
        Ok(metrics)
    }

    /// Counts a look at a spellbook.
    pub fn count_save(&self, outcome: &str) {
        self.books.with_label_values(&[outcome]).inc();
    }

    /// Counts a pass of the reaper that is done.
    pub fn count_pass(&self) {
        self.reaper_passes.inc();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.reaper_last_pass
            .set(now.map_or(0.0, |now| now.as_secs_f64()));
    }

    /// Counts a session that the reaper ended.
    pub fn count_reaped(&self, reason: &str) {
        self.reaper_ended.with_label_values(&[reason]).inc();
    }

    /// Counts something that the reaper could not do yet.
    pub fn count_reaper_failure(&self, work: &str) {
        self.reaper_failures.with_label_values(&[work]).inc();
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// When a metric can't be written down, which a test would show.
    pub fn to_text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> prometheus::Result<Histogram> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let histogram = Histogram::with_opts(options)?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn seconds(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Gauge> {
    let gauge = Gauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntGaugeVec> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_valid_name() {
        let metrics = Metrics::new().expect("valid names");
        metrics.sessions_created.with_label_values(&["rust"]).inc();
        let text = metrics.to_text().expect("encodable");
        assert!(
            text.contains("shellcraft_sessions_created_total{shell=\"rust\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("shellcraft_panics_total{thread=\"session\"} 0"),
            "{text}"
        );
    }
}
