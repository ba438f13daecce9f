//! The registry of everything that is counted, and how it is written down for Prometheus (naming rules: prometheus.io,
//! "Metric and label naming").
//!
//! ```text
//! session::Metrics, http::Metrics, door::Metrics … ── register ──▶ Registry ◀── to_text ── GET /metrics
//! ```
//!
//! Each area has metrics of its own in a file beside what it counts, and registers them here; this module knows none of
//! them. Only the process is looked at here, in [`process`]. Counters are changed where things happen; gauges of what
//! is there now are set at each scrape. Labels' values come from the code or the catalogue, never from a stranger, so
//! their number is limited. This module has no thread: metrics are atomic numbers, which each thread that counts
//! changes.

pub mod calls;
pub mod label;
mod make;
pub mod process;

use prometheus::{Encoder, IntCounter, IntGauge, Opts, TextEncoder};

use crate::locks::{Mutex, MutexGuard, rank};
pub use label::{Counters, Gauges, Label};
use process::Process;

/// The result of making a metric.
pub type Result<T> = prometheus::Result<T>;

/// All metrics of a server.
pub struct Registry {
    /// The metrics whose names begin with the server's.
    ours: prometheus::Registry,
    /// The metrics that have the same name in every program.
    common: prometheus::Registry,
    process: Process,
    /// Held while gauges are set and written down, so that two scrapes don't mix. Guards nothing else.
    scrape: Mutex<(), rank::Scrape>,
}

impl Registry {
    /// A registry with nothing on it but the process and the server's version.
    ///
    /// # Errors
    /// Only for a name that Prometheus forbids, which a test would show.
    pub fn new() -> Result<Self> {
        let common = prometheus::Registry::new();
        let registry = Self {
            ours: prometheus::Registry::new_custom(Some("shellcraft".into()), None)?,
            process: Process::new(&common)?,
            common,
            scrape: Mutex::new(()),
        };
        let version = Opts::new("build_info", "1, with the server's version.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        registry.register(IntGauge::with_opts(version)?)?.set(1);
        Ok(registry)
    }

    /// Begins a scrape. The guard must be held from the first gauge that is set to [`Registry::to_text`].
    pub fn begin_scrape(&self) -> MutexGuard<'_, ()> {
        self.scrape.lock()
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// When a metric can't be written down, which a test would show.
    pub fn to_text(&self, _scrape: MutexGuard<'_, ()>) -> Result<String> {
        self.process.look();
        let mut families = self.ours.gather();
        families.extend(self.common.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Brings a counter up to a total that was counted elsewhere. Only while the scrape is held.
pub fn catch_up(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// A number of things, as a gauge takes it.
pub fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Way {
        In,
        Out,
    }

    impl Label for Way {
        fn label(self) -> &'static str {
            match self {
                Way::In => "in",
                Way::Out => "out",
            }
        }
    }

    fn text(registry: &Registry) -> String {
        registry
            .to_text(registry.begin_scrape())
            .expect("encodable")
    }

    #[track_caller]
    fn check(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(
                text.lines().any(|it| it == *line),
                "{line} is not in {text}"
            );
        }
    }

    #[test]
    fn the_server_s_own_names_have_its_prefix() {
        let registry = Registry::new().expect("valid names");
        registry
            .counter("hits_total", "Hits.")
            .expect("valid")
            .inc();
        let text = text(&registry);
        let version = env!("CARGO_PKG_VERSION");
        let build = format!("shellcraft_build_info{{version=\"{version}\"}} 1");
        check(&text, &["shellcraft_hits_total 1", &build]);
        assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
    }

    #[test]
    fn a_label_s_values_are_there_from_the_start_where_they_should_be() {
        let registry = Registry::new().expect("valid names");
        let doors = registry.counters_by("doors_total", "Doors.", "way", &[Way::In]);
        check(&text(&registry), &["shellcraft_doors_total{way=\"in\"} 0"]);
        assert!(!text(&registry).contains("way=\"out\""));
        doors.expect("valid").of(Way::Out).inc();
        check(&text(&registry), &["shellcraft_doors_total{way=\"out\"} 1"]);
    }

    #[test]
    fn panics_of_all_areas_have_one_name() {
        let registry = Registry::new().expect("valid names");
        for thread in ["session", "connection"] {
            registry.panics(thread).expect("each once");
        }
        registry.panics("session").expect_err("it is there already");
        let text = text(&registry);
        let help = "# HELP shellcraft_panics_total Panics, by kind of thread.";
        let connection = "shellcraft_panics_total{thread=\"connection\"} 0";
        let session = "shellcraft_panics_total{thread=\"session\"} 0";
        check(&text, &[help, connection, session]);
        assert_eq!(text.matches(help).count(), 1, "{text}");
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
