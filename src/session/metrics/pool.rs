//! How many containers wait for a player, and how many should. All set at a scrape.

use prometheus::{IntGauge, IntGaugeVec};

use crate::metrics::{self, Registry, whole};
use crate::session::Manager;

/// The gauges of the pool.
#[derive(Debug)]
pub struct Metrics {
    /// Containers that wait for a player, by shell.
    containers: IntGaugeVec,
    /// Containers of each shell that should wait.
    wanted: IntGauge,
    /// For how long no more containers of a shell are made, after failures.
    backoff: IntGaugeVec,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            containers: registry.gauges(
                "pool_containers",
                "Containers that wait for a player, by shell.",
                &["shell"],
            )?,
            wanted: registry.gauge(
                "pool_wanted_containers",
                "Containers of each shell that should wait for a player, as set.",
            )?,
            backoff: registry.gauges(
                "pool_backoff_seconds",
                "For how long no more containers of a shell are made ahead, after failures; 0 when they are.",
                &["shell"],
            )?,
        })
    }

    /// Sets all of these gauges.
    pub(super) fn set(&self, manager: &Manager) {
        let settings = manager.settings();
        self.wanted.set(whole(settings.pool_size as u64));
        let backoffs = manager.pool_backoffs();
        for shell in &settings.shells {
            let shell = &shell.name;
            self.containers.with_label_values(&[shell]).set(0);
            // Rounded up, so that what is left of a wait is never shown as 0.
            let wait = backoffs.get(shell).map_or(0, |wait| wait.as_secs() + 1);
            self.backoff.with_label_values(&[shell]).set(whole(wait));
        }
        for (shell, count) in manager.pool_counts() {
            let containers = self.containers.with_label_values(&[&shell]);
            containers.set(whole(count as u64));
        }
    }
}
