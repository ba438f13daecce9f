//! Makes metrics on a [`Registry`]: one function for each kind. A name without the server's prefix, which the registry
//! adds, and a help text come first.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

use super::label::{Counters, Gauges, Label};
use super::{Registry, Result};

/// # Errors
/// All of them fail only for a name that Prometheus forbids or that is taken, which a test would show.
impl Registry {
    /// Puts a metric that is made already on the registry.
    pub fn register<T: Collector + Clone + 'static>(&self, metric: T) -> Result<T> {
        self.ours.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    /// Counters with labels whose values are found at run time, such as the names of shells.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// Counters with one label, whose values are those of a type. The ones in `from_start` are 0 before they have ever
    /// counted, not absent: otherwise their first step would be lost to `rate()`.
    pub fn counters_by<L: Label>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        from_start: &[L],
    ) -> Result<Counters<L>> {
        let counters = Counters::new(self.counters(name, help, &[label])?);
        for value in from_start {
            counters.of(*value).reset();
        }
        Ok(counters)
    }

    /// A gauge of whole numbers.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    /// Gauges with labels whose values are found at run time.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Gauges with one label, whose values are those of a type.
    pub fn gauges_by<L: Label>(&self, name: &str, help: &str, label: &str) -> Result<Gauges<L>> {
        Ok(Gauges::new(self.gauges(name, help, &[label])?))
    }

    /// A gauge of seconds and their fractions.
    pub fn seconds(&self, name: &str, help: &str) -> Result<Gauge> {
        self.register(Gauge::new(name, help)?)
    }

    /// A histogram. `buckets` are the upper bounds of all but the last bucket.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options)?)
    }

    /// Histograms with one label.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        label: &str,
        buckets: &[f64],
    ) -> Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, &[label])?)
    }

    /// The panics of one kind of thread. Each area that catches some has a counter of its own; they are shown under one
    /// name.
    pub fn panics(&self, thread: &str) -> Result<IntCounter> {
        let options = Opts::new("panics_total", "Panics, by kind of thread.");
        self.register(IntCounter::with_opts(
            options.const_label("thread", thread),
        )?)
    }
}
