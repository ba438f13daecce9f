//! Metrics that say whether what sessions need is there: the Engine, the store, the shells; and what is set aside because
//! it failed. All are set at a scrape.

use std::collections::BTreeMap;

use prometheus::{IntGauge, IntGaugeVec};

use crate::metrics::{self, Gauges, Label, Registry, whole};
use crate::session::Manager;
use crate::session::quarantine::Kind;

/// The gauges of what sessions need. A gauge that says whether something is up is 1 or 0.
#[derive(Debug)]
pub struct Metrics {
    engine_up: IntGauge,
    store_up: IntGauge,
    /// Whether a shell can be started, as far as is known.
    shell_up: IntGaugeVec,
    /// How much is set aside because it failed, by kind.
    quarantined: Gauges<Kind>,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            engine_up: registry.gauge("engine_up", "Whether the Docker Engine answers.")?,
            store_up: registry.gauge("store_up", "Whether the store answers.")?,
            shell_up: registry.gauges(
                "shell_up",
                "Whether a shell can be started: 0 when its image is missing or unfit, or the last try failed for it.",
                &["shell"],
            )?,
            quarantined: registry.gauges_by(
                "quarantined",
                "What is set aside because it failed and tried again from time to time, by kind: container, image, shell, pool, resize.",
                "kind",
            )?,
        })
    }

    /// Sets all of these gauges.
    pub(super) fn set(&self, manager: &Manager, check: &HealthCheck) {
        self.engine_up.set(check.engine_answers.into());
        self.store_up.set(check.store_answers.into());
        for shell in &manager.settings().shells {
            let up = self.shell_up.with_label_values(&[&shell.name]);
            up.set((!check.broken_shells.contains_key(&shell.name)).into());
        }
        let aside = manager.quarantine();
        for kind in Kind::ALL {
            let count = aside.iter().filter(|one| one.kind == kind).count();
            self.quarantined.of(kind).set(whole(count as u64));
        }
    }
}

impl Label for Kind {
    fn label(self) -> &'static str {
        self.as_str()
    }
}

/// The answers of the Engine and the store.
#[derive(Debug)]
pub struct HealthCheck {
    engine_answers: bool,
    store_answers: bool,
    /// Why shells can't be started, by the shell's name.
    broken_shells: BTreeMap<String, String>,
}

impl Manager {
    /// Asks the Engine and the store for their health, which may take a moment.
    pub fn check_health(&self) -> HealthCheck {
        HealthCheck {
            engine_answers: self.engine_health().is_ok(),
            store_answers: self.store_health().is_ok(),
            broken_shells: self.broken_shells(),
        }
    }
}
