//! What is counted, and how Prometheus reads it.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>. Counters are bumped where things happen;
//! what can be looked up (sessions by state, connections) is set when somebody scrapes.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

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
        for reason in ["full", "too_late", "left"] {
            let turned_away = &metrics.queue_turned_away;
            turned_away.with_label_values(&[reason]).reset();
        }
        for reason in crate::session::Reason::ALL {
            metrics
                .sessions_ended
                .with_label_values(&[reason.as_str()])
                .reset();
        }
        Ok(metrics)
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
