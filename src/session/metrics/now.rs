//! Gauges of the present: sessions, who is connected to them, and what their terminals take. All are set at a scrape.

use std::collections::BTreeMap;

use prometheus::{IntGauge, IntGaugeVec};

use crate::metrics::{self, Gauges, Registry, whole};
use crate::session::{Manager, State};
use crate::terminal::Role;
use crate::terminal::metrics::MemoryPart;

/// The gauges of the present.
#[derive(Debug)]
pub struct Metrics {
    /// Sessions remembered, by shell and state.
    sessions: IntGaugeVec,
    /// Sessions that may be played at the same time.
    limit: IntGauge,
    /// Pages and raw clients connected now, by role.
    viewers: Gauges<Role>,
    /// Memory that terminals take: scrollbacks, terminal states, recordings.
    terminal_memory: Gauges<MemoryPart>,
    /// Addresses and players that the rate limit remembers.
    rate_limit_keys: IntGauge,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            sessions: registry.gauges(
                "sessions",
                "Sessions remembered, by shell and state; those removed or missing for ten minutes.",
                &["shell", "state"],
            )?,
            limit: registry.gauge("sessions_limit", "Sessions that may be played at once.")?,
            viewers: registry.gauges_by(
                "viewers",
                "Pages and raw clients connected now, by role.",
                "role",
            )?,
            terminal_memory: registry.gauges_by(
                "terminal_memory_bytes",
                "Memory that terminals take, by part: scrollback, state, recording.",
                "part",
            )?,
            rate_limit_keys: registry.gauge(
                "rate_limit_keys",
                "Addresses and players that the rate limit remembers.",
            )?,
        })
    }

    /// Sets all of these gauges.
    pub(super) fn set(&self, manager: &Manager) {
        let count = Count::of(manager);
        self.sessions.reset();
        for ((shell, state), sessions) in &count.sessions {
            let gauge = self.sessions.with_label_values(&[shell.as_str(), *state]);
            gauge.set(*sessions);
        }
        self.viewers.of(Role::Player).set(whole(count.players));
        self.viewers
            .of(Role::Spectator)
            .set(whole(count.spectators));
        for part in MemoryPart::ALL {
            let bytes = count.memory[part as usize];
            self.terminal_memory.of(part).set(whole(bytes));
        }
        self.limit
            .set(whole(manager.settings().max_sessions as u64));
        let keys = manager.remembered_rates() as u64;
        self.rate_limit_keys.set(whole(keys));
    }
}

/// What a look at all sessions finds.
#[derive(Default)]
struct Count {
    /// How many sessions there are, by shell and state; combinations without a session are there too.
    sessions: BTreeMap<(String, &'static str), i64>,
    players: u64,
    spectators: u64,
    /// Memory in bytes, by part.
    memory: [u64; MemoryPart::ALL.len()],
}

impl Count {
    fn of(manager: &Manager) -> Count {
        let mut count = Count::default();
        for shell in &manager.settings().shells {
            for state in State::ALL {
                let key = (shell.name.clone(), state.as_str());
                count.sessions.insert(key, 0);
            }
        }
        for session in manager.list() {
            let key = (session.shell.clone(), session.snapshot().state.as_str());
            *count.sessions.entry(key).or_default() += 1;
            let spectators = session.hub.spectators();
            count.spectators += spectators as u64;
            count.players += session.hub.viewers().saturating_sub(spectators) as u64;
            for (part, bytes) in session.hub.memory_by_part() {
                count.memory[part as usize] += bytes as u64;
            }
        }
        count
    }
}
