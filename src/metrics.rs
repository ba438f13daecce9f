//! Everything that is counted, under the names that Prometheus shows (naming rules: prometheus.io, "Metric and label
//! naming").
//!
//! Counters are changed where things happen; gauges of what is there now are set when somebody scrapes
//! ([`crate::http`]). Terminals count for themselves ([`crate::terminal::meters`]), the process is looked at in
//! [`process`]. Labels are ours or the catalogue's, never a stranger's, so there is an end to their number.

pub mod process;

use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::auth::Refusal;
use crate::session::Reason;
use crate::session::store::Shelf;
use crate::terminal::meters::Meters;
use process::Process;

/// From no wait at all to the longest that anybody is let wait.
const QUEUE_WAIT_SECONDS: [f64; 9] = [0.01, 0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0];
/// A ping takes 0.2 ms, a start 0.3 s; the longest deadline of usual calls is a minute.
const ENGINE_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];
/// From a page in memory to a disk that is busy; a store that is away says so within three seconds.
const STORE_SECONDS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0];
/// From an asset to a game that waits in the queue.
const REQUEST_SECONDS: [f64; 9] = [0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];
/// The codes with which terminals are closed; whatever else a client says is `other`.
const CLOSE_CODES: [u16; 11] = [
    1000, 1001, 1002, 1005, 1007, 1008, 1009, 1011, 4000, 4001, 4002,
];

/// The operations that can fail on their own, and how ([`crate::engine::Error::kind`]).
const ENGINE_CALLS: [&str; 13] = [
    "SystemPing",
    "ImageInspect",
    "ContainerCreate",
    "PutContainerArchive",
    "ContainerAttach",
    "ContainerStart",
    "ContainerResize",
    "ContainerInspect",
    "ContainerWait",
    "ContainerKill",
    "ContainerArchive",
    "ContainerDelete",
    "ContainerList",
];
const ENGINE_ERRORS: [&str; 5] = ["unreachable", "refused", "timed_out", "broken", "garbled"];
const STORE_CALLS: [&str; 13] = [
    "cookie_key",
    "check",
    "insert",
    "update",
    "remove",
    "list",
    "save_book",
    "load_book",
    "read_book",
    "revoke",
    "restore",
    "revoked",
    "list_books",
];

/// All metrics of this server.
pub struct Metrics {
    registry: Registry,
    /// What has the same name at every server.
    common: Registry,
    process: Process,
    /// Held while gauges are set and written down, so that two scrapes don't mix. Guards nothing else.
    scrape: Mutex<()>,
    /// Sessions made, by shell.
    pub sessions_created: IntCounterVec,
    /// Sessions that could not be made.
    pub sessions_failed: IntCounter,
    /// Sessions that were refused for a limit, by its name.
    sessions_refused: IntCounterVec,
    /// Sessions over, by reason.
    pub sessions_ended: IntCounterVec,
    /// Sessions of the server's last life that go on.
    pub sessions_adopted: IntCounter,
    /// Spellbooks looked at, by what came of it.
    pub books: IntCounterVec,
    /// Containers that wait for a player, by shell. Set at a scrape.
    pub pool: IntGaugeVec,
    /// Containers of each shell that should wait. Set at a scrape.
    pub pool_wanted: IntGauge,
    /// For how long no more are made of a shell, after failures. Set at a scrape.
    pub pool_backoff: IntGaugeVec,
    /// What is set aside because it failed, by kind. Set at a scrape.
    pub quarantined: IntGaugeVec,
    /// Whether a shell can be started, as far as is known: 1 or 0. Set at a scrape.
    pub shell_up: IntGaugeVec,
    /// Lines of the log that could not be written. Set at a scrape.
    pub log_lines_lost: IntCounter,
    /// Whether the store answers: 1 or 0. Set at a scrape.
    pub store_up: IntGauge,
    /// How long calls to the store took, by call.
    store_calls: HistogramVec,
    /// Those that failed, by call and kind.
    store_errors: IntCounterVec,
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
    /// Players of whom a book is kept.
    pub books_players: IntGauge,
    /// What all books take.
    pub books_bytes: IntGauge,
    /// What they may take.
    pub books_quota_bytes: IntGauge,
    /// Players whose book has expired.
    pub books_expired: IntCounter,
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
    /// Sessions remembered, by shell and state. Set at a scrape.
    pub sessions: IntGaugeVec,
    /// Sessions that may be played at once.
    pub sessions_limit: IntGauge,
    /// Pages and raw clients connected now, by role. Set at a scrape.
    pub viewers: IntGaugeVec,
    /// Memory that terminals take: scrollbacks, terminal states, recordings. Set at a scrape.
    pub terminal_memory: IntGaugeVec,
    /// What terminals count.
    pub terminals: std::sync::Arc<Meters>,
    /// Terminals that were closed, by code.
    terminal_closes: IntCounterVec,
    /// Requests answered, by method, route and status.
    pub requests: IntCounterVec,
    /// Requests that were not believed, by reason.
    auth_failures: IntCounterVec,
    /// How long they took, by route.
    pub request_seconds: HistogramVec,
    /// Panics caught, by kind of thread.
    pub panics: IntCounterVec,
    /// Connections open now. Set at a scrape.
    pub connections: IntGauge,
    /// Connections that got a thread. Set at a scrape.
    pub connections_accepted: IntCounter,
    /// Connections turned away at the door, by reason. Set at a scrape.
    pub turned_away: IntCounterVec,
    /// Addresses and players that the rate limit remembers. Set at a scrape.
    pub rate_limit_keys: IntGauge,
    /// Whether the Engine answers: 1 or 0. Set at a scrape.
    pub engine_up: IntGauge,
    /// How long calls to the Engine took, by call.
    engine_calls: HistogramVec,
    /// Those that failed, by call and kind.
    engine_errors: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// Only for a name that Prometheus forbids, which a test would show.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("shellcraft".into()), None)?;
        let common = Registry::new();
        let make = Make(&registry);
        let metrics = Self {
            process: Process::new(&common)?,
            scrape: Mutex::new(()),
            sessions_created: make.counters("sessions_created_total", "Sessions made.", &["shell"])?,
            sessions_failed: make.counter(
                "sessions_failed_total",
                "Sessions that could not be made.",
            )?,
            sessions_refused: make.counters(
                "sessions_refused_total",
                "Sessions refused for a limit: rate_limited, too_many_sessions, address_full, full.",
                &["reason"],
            )?,
            sessions_ended: make.counters(
                "sessions_ended_total",
                "Sessions over, by reason.",
                &["reason"],
            )?,
            sessions_adopted: make.counter(
                "sessions_adopted_total",
                "Sessions of the server's last life that were taken over.",
            )?,
            books: make.counters(
                "spellbook_saves_total",
                "Spellbooks looked at, by what came of it: saved, unchanged, not_a_book, no_room, later, failed.",
                &["outcome"],
            )?,
            pool: make.gauges(
                "pool_containers",
                "Containers that wait for a player, by shell.",
                &["shell"],
            )?,
            pool_wanted: make.gauge(
                "pool_wanted_containers",
                "Containers of each shell that should wait for a player, as set.",
            )?,
            pool_backoff: make.gauges(
                "pool_backoff_seconds",
                "For how long no more containers of a shell are made ahead, after failures; 0 when they are.",
                &["shell"],
            )?,
            quarantined: make.gauges(
                "quarantined",
                "What is set aside because it failed and tried again from time to time, by kind: container, image, shell, pool, resize.",
                &["kind"],
            )?,
            shell_up: make.gauges(
                "shell_up",
                "Whether a shell can be started: 0 when its image is missing or unfit, or the last try failed for it.",
                &["shell"],
            )?,
            log_lines_lost: make.counter(
                "log_lines_lost_total",
                "Lines of the log that could not be written to standard error.",
            )?,
            store_up: make.gauge("store_up", "Whether the store answers.")?,
            store_calls: make.histograms(
                "store_call_duration_seconds",
                "How long calls to the store took.",
                "call",
                &STORE_SECONDS,
            )?,
            store_errors: make.counters(
                "store_call_errors_total",
                "Calls to the store that failed, by call and kind.",
                &["call", "kind"],
            )?,
            reaper_passes: make.counter(
                "reaper_passes_total",
                "Passes of the reaper over all sessions.",
            )?,
            reaper_last_pass: make.seconds(
                "reaper_last_pass_timestamp_seconds",
                "When the reaper's last pass was done.",
            )?,
            reaper_ended: make.counters(
                "reaper_sessions_ended_total",
                "Sessions that the reaper ended, by reason.",
                &["reason"],
            )?,
            reaper_saves_queued: make.counter(
                "reaper_saves_queued_total",
                "Spellbooks of running sessions that the reaper had looked at.",
            )?,
            reaper_failures: make.counters(
                "reaper_failures_total",
                "What the reaper could not do and tries again, by kind of work: settle, sweep, forget_record.",
                &["work"],
            )?,
            books_players: make.gauge(
                "spellbook_players",
                "Players of whom a spellbook is kept; counted twice an hour.",
            )?,
            books_bytes: make.gauge(
                "spellbooks_stored_bytes",
                "What all spellbooks take, their versions in whole blocks of 4 KiB; counted twice an hour.",
            )?,
            books_quota_bytes: make.gauge(
                "spellbooks_quota_bytes",
                "What all spellbooks may take (BOOKS_QUOTA); 0 for any number.",
            )?,
            books_expired: make.counter(
                "spellbooks_expired_total",
                "Players without a login whose spellbook went because nobody had used it for BOOK_EXPIRY.",
            )?,
            books_unsafe: make.gauge(
                "spellbooks_unsafe",
                "Sessions that have ended, or whose last save failed, and whose spellbook is not safe yet.",
            )?,
            leftovers_found: make.counter(
                "leftovers_found_total",
                "Containers of this instance without a session that were found, each time they were.",
            )?,
            leftovers_removed: make.counter(
                "leftovers_removed_total",
                "Containers of this instance without a session that were removed.",
            )?,
            queue_length: make.gauge(
                "queue_length",
                "Newcomers that wait for their turn at the Engine.",
            )?,
            queue_wait: make.histogram(
                "queue_wait_seconds",
                "How long newcomers waited for their turn at the Engine, those that got it.",
                &QUEUE_WAIT_SECONDS,
            )?,
            queue_turned_away: make.counters(
                "queue_turned_away_total",
                "Newcomers that got no turn: the queue was full, as many of their address waited as may, it came too late, they had left.",
                &["reason"],
            )?,
            sessions: make.gauges(
                "sessions",
                "Sessions remembered, by shell and state; those removed or missing for ten minutes.",
                &["shell", "state"],
            )?,
            sessions_limit: make.gauge("sessions_limit", "Sessions that may be played at once.")?,
            viewers: make.gauges(
                "viewers",
                "Pages and raw clients connected now, by role.",
                &["role"],
            )?,
            terminal_memory: make.gauges(
                "terminal_memory_bytes",
                "Memory that terminals take, by part: scrollback, state, recording.",
                &["part"],
            )?,
            terminals: std::sync::Arc::new(make.terminals()?),
            terminal_closes: make.counters(
                "terminal_closes_total",
                "Terminals' WebSockets that ended, by the code of the close frame we sent; none without one.",
                &["code"],
            )?,
            requests: make.counters(
                "http_requests_total",
                "Requests answered, by method, route and status.",
                &["method", "route", "status"],
            )?,
            auth_failures: make.counters(
                "auth_failures_total",
                "Requests that were not believed to be their player's or the operator's, by reason.",
                &["reason"],
            )?,
            request_seconds: make.histograms(
                "http_request_duration_seconds",
                "From a request's whole head to its answer, terminals aside.",
                "route",
                &REQUEST_SECONDS,
            )?,
            panics: make.counters("panics_total", "Panics, by kind of thread.", &["thread"])?,
            connections: make.gauge("connections", "Connections open now.")?,
            connections_accepted: make.counter(
                "connections_accepted_total",
                "Connections that were let in.",
            )?,
            turned_away: make.counters(
                "door_turned_away_total",
                "Connections turned away at the door, by reason.",
                &["reason"],
            )?,
            rate_limit_keys: make.gauge(
                "rate_limit_keys",
                "Addresses and players that the rate limit remembers.",
            )?,
            engine_up: make.gauge("engine_up", "Whether the Docker Engine answers.")?,
            engine_calls: make.histograms(
                "engine_call_duration_seconds",
                "How long calls to the Docker Engine took, by API operation.",
                "call",
                &ENGINE_SECONDS,
            )?,
            engine_errors: make.counters(
                "engine_call_errors_total",
                "Calls to the Docker Engine that failed, by API operation and kind.",
                &["call", "kind"],
            )?,
            registry: registry.clone(),
            common,
        };
        let version = Opts::new("build_info", "1, with the server's version.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        make.register(IntGauge::with_opts(version)?)?.set(1);
        metrics.show_zeros();
        Ok(metrics)
    }

    /// Counts a request that was not believed.
    pub fn count_refusal(&self, refusal: Refusal) {
        self.auth_failures
            .with_label_values(&[refusal.reason()])
            .inc();
    }

    /// A counter that has never counted is 0, not absent: else its first step would be lost to `rate()`.
    fn show_zeros(&self) {
        let reasons = Reason::ALL.map(Reason::as_str);
        let reaped = [Reason::Idle, Reason::MaxLifetime].map(Reason::as_str);
        let refused = ["rate_limited", "too_many_sessions", "address_full", "full"];
        let turned_away = ["full", "per_address", "busy", "bad_request", "slow", "lost"];
        let distrusted = Refusal::ALL.map(Refusal::reason);
        let rows: [(&IntCounterVec, &[&str]); 9] = [
            (&self.auth_failures, &distrusted),
            (&self.panics, &["connection", "session", "other"]),
            (
                &self.books,
                &["saved", "unchanged", "not_a_book", "later", "failed"],
            ),
            (&self.reaper_ended, &reaped),
            (
                &self.reaper_failures,
                &["settle", "sweep", "forget_record", "revoked"],
            ),
            (
                &self.queue_turned_away,
                &["full", "address_full", "too_late", "left"],
            ),
            (&self.sessions_refused, &refused),
            (&self.sessions_ended, &reasons),
            (&self.turned_away, &turned_away),
        ];
        for (counters, labels) in rows {
            for label in labels {
                counters.with_label_values(&[*label]).reset();
            }
        }
        for call in ENGINE_CALLS {
            for kind in ENGINE_ERRORS {
                self.engine_errors.with_label_values(&[call, kind]).reset();
            }
        }
        for call in STORE_CALLS {
            let errors = &self.store_errors;
            errors.with_label_values(&[call, "unavailable"]).reset();
        }
        for code in CLOSE_CODES {
            let code = code.to_string();
            self.terminal_closes.with_label_values(&[&code]).reset();
        }
    }

    /// Counts a look at a spellbook.
    pub fn count_save(&self, outcome: &str) {
        self.books.with_label_values(&[outcome]).inc();
    }

    /// Notes what all spellbooks take.
    pub fn note_shelf(&self, shelf: &Shelf) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.books_players.set(gauge(shelf.players));
        self.books_bytes.set(gauge(shelf.bytes));
    }

    /// Counts players whose books have expired.
    pub fn count_expired(&self, players: u64) {
        self.books_expired.inc_by(players);
    }

    /// Counts a session that was refused for a limit.
    pub fn count_refused(&self, reason: &str) {
        self.sessions_refused.with_label_values(&[reason]).inc();
    }

    /// Counts a terminal's WebSocket that ended.
    pub fn count_close(&self, code: Option<u16>) {
        let label = match code {
            None => "none".to_owned(),
            Some(code) if CLOSE_CODES.contains(&code) => code.to_string(),
            // A client's own code, which we have echoed.
            Some(_) => "other".to_owned(),
        };
        self.terminal_closes.with_label_values(&[&label]).inc();
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

    /// Notes a call to the Engine, and why it failed if it did.
    pub fn note_engine_call(&self, call: &str, took: Duration, error: Option<&str>) {
        note(&self.engine_calls, &self.engine_errors, call, took, error);
    }

    /// Notes a call to the store, and why it failed if it did.
    pub fn note_store_call(&self, call: &str, took: Duration, error: Option<&str>) {
        note(&self.store_calls, &self.store_errors, call, took, error);
    }

    /// To be held from the first gauge that is set for a scrape to [`Metrics::to_text`].
    pub fn begin_scrape(&self) -> MutexGuard<'_, ()> {
        self.scrape.lock()
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// When a metric can't be written down, which a test would show.
    pub fn to_text(&self, _scrape: MutexGuard<'_, ()>) -> prometheus::Result<String> {
        self.process.look();
        let mut families = self.registry.gather();
        families.extend(self.common.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Brings a counter up to what somebody else has counted. Only while the scrape is held.
pub fn catch_up(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn note(
    calls: &HistogramVec,
    errors: &IntCounterVec,
    call: &str,
    took: Duration,
    error: Option<&str>,
) {
    calls.with_label_values(&[call]).observe(took.as_secs_f64());
    if let Some(kind) = error {
        errors.with_label_values(&[call, kind]).inc();
    }
}

/// Makes metrics and registers them.
struct Make<'a>(&'a Registry);

type Made<T> = prometheus::Result<T>;

impl Make<'_> {
    fn register<T: Collector + Clone + 'static>(&self, metric: T) -> Made<T> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Made<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Made<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn seconds(&self, name: &str, help: &str) -> Made<Gauge> {
        self.register(Gauge::new(name, help)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Made<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options)?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        label: &str,
        buckets: &[f64],
    ) -> Made<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, &[label])?)
    }

    fn terminals(&self) -> Made<Meters> {
        let meters = Meters::default();
        for counter in [
            &meters.input_bytes,
            &meters.output_bytes,
            &meters.sent_bytes,
            &meters.emulator_panics,
        ] {
            self.register(counter.clone())?;
        }
        self.register(meters.echo.clone())?;
        self.register(meters.resumes.clone())?;
        Ok(meters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        metrics.to_text(metrics.begin_scrape()).expect("encodable")
    }

    #[test]
    fn every_metric_has_a_valid_name() {
        let metrics = Metrics::new().expect("valid names");
        metrics.sessions_created.with_label_values(&["rust"]).inc();
        let text = text(&metrics);
        for line in [
            "shellcraft_sessions_created_total{shell=\"rust\"} 1",
            "shellcraft_panics_total{thread=\"session\"} 0",
            "shellcraft_terminal_resumes_total{how=\"exact\"} 0",
            "shellcraft_terminal_emulator_panics_total 0",
            concat!(
                "shellcraft_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
    }

    #[test]
    fn a_client_s_close_code_is_no_label() {
        let metrics = Metrics::new().expect("valid names");
        for code in [Some(1008), Some(3123), Some(3124), None] {
            metrics.count_close(code);
        }
        let text = text(&metrics);
        for line in ["code=\"1008\"} 1", "code=\"other\"} 2", "code=\"none\"} 1"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("3123"), "{text}");
    }

    #[test]
    fn catching_up_counts_nothing_twice() {
        let counter = IntCounter::new("a", "b").expect("a name");
        for total in [3, 3, 5] {
            catch_up(&counter, total);
        }
        assert_eq!(counter.get(), 5);
    }
}
