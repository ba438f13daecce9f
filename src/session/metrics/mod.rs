//! The metrics of sessions, and of what is done for them.
//!
//! A counter is changed by the thread that does the counted thing. Gauges are set at a scrape, by the thread that answers
//! it: first [`Manager::check_health`], which may wait for the Engine and the store, then [`Manager::set_gauges`], which
//! waits for neither. Terminals have metrics of their own ([`crate::terminal::metrics`]); calls to the store are measured
//! around the store ([`super::store::metrics`]).

pub mod health;
pub mod lives;
pub mod now;
pub mod pool;
pub mod reaper;

use std::sync::Arc;

use super::{Manager, admission, spellbook};
use crate::metrics::{self, Registry, whole};
use crate::terminal;
pub use health::HealthCheck;
pub use lives::Limit;
pub use reaper::Work;

/// The metrics of a server's sessions.
pub struct Metrics {
    /// Sessions that begin, and that end.
    pub lives: lives::Metrics,
    /// Sessions that exist now.
    pub now: now::Metrics,
    /// What sessions need: the Engine, the store, the shells.
    pub health: health::Metrics,
    /// Containers made ahead.
    pub pool: pool::Metrics,
    /// What the reaper and the sweep do.
    pub reaper: reaper::Metrics,
    /// The line for the Engine.
    pub queue: admission::metrics::Metrics,
    /// Spellbooks.
    pub books: spellbook::metrics::Metrics,
    /// All terminals.
    pub terminals: Arc<terminal::Metrics>,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            lives: lives::Metrics::register(registry)?,
            now: now::Metrics::register(registry)?,
            health: health::Metrics::register(registry)?,
            pool: pool::Metrics::register(registry)?,
            reaper: reaper::Metrics::register(registry)?,
            queue: admission::metrics::Metrics::register(registry)?,
            books: spellbook::metrics::Metrics::register(registry)?,
            terminals: Arc::new(terminal::Metrics::register(registry)?),
        })
    }
}

impl Manager {
    /// The metrics of these sessions.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sets all gauges of sessions to their values now. May be called only while the scrape is held.
    pub fn set_gauges(&self, check: &HealthCheck) {
        let metrics = &self.metrics;
        metrics.health.set(self, check);
        metrics.now.set(self);
        metrics.pool.set(self);
        let unsafe_books = self.count_unsafe_books() as u64;
        metrics.books.unsafe_books.set(whole(unsafe_books));
        metrics.queue.length.set(whole(self.queue_length() as u64));
    }
}
