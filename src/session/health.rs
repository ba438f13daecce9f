//! Whether the Engine and the store answer. However many clients ask the server, it asks each of the two at most once a
//! second.
//!
//! No threads of its own.

use std::time::Duration;

use super::Manager;
use super::asked::Asked;

/// How long an answer counts.
const HEALTH_FOR: Duration = Duration::from_secs(1);

/// The last answers of the Engine and the store; an error says why there was none.
pub(super) struct Health {
    engine: Asked<Result<(), String>>,
    store: Asked<Result<(), String>>,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            engine: Asked::new(HEALTH_FOR),
            store: Asked::new(HEALTH_FOR),
        }
    }
}

impl Manager {
    /// Whether the Engine answers. The answer is at most one second old.
    ///
    /// # Errors
    /// Why the Engine does not answer, for the log.
    pub fn engine_health(&self) -> Result<(), String> {
        self.health.engine.ask(|| {
            self.engine
                .ping()
                .map(drop)
                .map_err(|error| error.to_string())
        })
    }

    /// Whether the Engine has answered when it was asked last. Asks nothing, and takes it for up if it was not asked for
    /// `life`.
    pub fn is_engine_known_up(&self, life: Duration) -> bool {
        self.health
            .engine
            .last(life)
            .is_none_or(|answer| answer.is_ok())
    }

    /// Whether the store answers. The answer is at most one second old.
    ///
    /// # Errors
    /// Why the store does not answer, for the log.
    pub fn store_health(&self) -> Result<(), String> {
        self.health
            .store
            .ask(|| self.store.check().map_err(|error| error.to_string()))
    }
}
