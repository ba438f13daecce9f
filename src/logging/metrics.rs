//! The log's metrics: lines that were lost, and panics that only the panic hook has seen. They follow what is counted
//! for the whole process, at each scrape.

use prometheus::IntCounter;

use crate::metrics::{self, Registry, catch_up};

/// The metrics of a process' log.
#[derive(Debug)]
pub struct Metrics {
    /// Lines of the log that could not be written.
    lines_lost: IntCounter,
    /// Panics of threads whose panics no other counter counts.
    panics: IntCounter,
}

impl Metrics {
    /// All at zero, on a registry.
    ///
    /// # Errors
    /// Only for a name that is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            lines_lost: registry.counter(
                "log_lines_lost_total",
                "Lines of the log that could not be written to standard error.",
            )?,
            panics: registry.panics("other")?,
        })
    }

    /// Brings them up to what was counted. Only while the scrape is held.
    pub fn catch_up(&self) {
        catch_up(&self.panics, super::other_panics());
        catch_up(&self.lines_lost, super::lost_lines());
    }
}
