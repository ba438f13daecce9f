//! What is measured of the calls to something outside, such as the Engine: how long they take, and which of them fail.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use super::{Registry, Result};

/// Calls to one thing outside.
#[derive(Debug, Clone)]
pub struct Calls {
    seconds: HistogramVec,
    errors: IntCounterVec,
}

/// What [`Calls`] are called, and what is shown of them.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// Name and help text of the time that they take.
    pub seconds: (&'a str, &'a str),
    /// The buckets of that.
    pub buckets: &'a [f64],
    /// Name and help text of those that failed.
    pub errors: (&'a str, &'a str),
}

impl Calls {
    /// Calls of these names on a registry. Errors of `calls` and `kinds` are 0 from the start, not absent.
    ///
    /// # Errors
    /// Only for a name that is forbidden or taken, which a test would show.
    pub fn register(
        registry: &Registry,
        naming: Naming<'_>,
        calls: &[&str],
        kinds: &[&str],
    ) -> Result<Calls> {
        let ((seconds, seconds_help), (errors, errors_help)) = (naming.seconds, naming.errors);
        let made = Calls {
            seconds: registry.histograms(seconds, seconds_help, "call", naming.buckets)?,
            errors: registry.counters(errors, errors_help, &["call", "kind"])?,
        };
        for call in calls {
            for kind in kinds {
                made.errors.with_label_values(&[*call, *kind]).reset();
            }
        }
        Ok(made)
    }

    /// Notes a call, and of what kind its error was if it failed.
    pub fn note(&self, call: &str, took: Duration, error: Option<&str>) {
        let seconds = self.seconds.with_label_values(&[call]);
        seconds.observe(took.as_secs_f64());
        if let Some(kind) = error {
            self.errors.with_label_values(&[call, kind]).inc();
        }
    }
}
