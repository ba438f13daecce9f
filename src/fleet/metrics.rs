//! What is counted of the fleet, on a server that is in one. No threads; every thread may count.
//!
//! Calls to the store that were refused because a later life has the record or the book are among the store's own errors,
//! of the kind `fenced`.

use std::collections::BTreeSet;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use super::record::State;
use super::relay::Report;
use super::table::Instances;
use crate::metrics::{self, Counters, Gauges, Label, Registry};

/// The metrics of a server in a fleet. Copies count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The instances as of the last look, by state.
    instances: Gauges<State>,
    /// This server's beats, by what became of them.
    pub beats: Counters<Beat>,
    /// Epochs of others that this server has closed.
    pub buried: IntCounter,
    /// Relays that run.
    relays_open: IntGauge,
    /// Bytes that relays have sent, both ways.
    relayed_bytes: IntCounter,
    /// Whether the last connection to an instance failed. The instances are those of the table, 64 at most.
    unreachable: IntGaugeVec,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        let metrics = Metrics {
            instances: registry.gauges_by(
                "fleet_instances",
                "The fleet's instances, this one included, by state: up, draining, away, buried.",
                "state",
            )?,
            beats: registry.counters_by(
                "fleet_beats_total",
                "Beats of this instance: counted; failed, as Redis did not answer; refused, as its epoch is over.",
                "outcome",
                &Beat::ALL,
            )?,
            buried: registry.counter(
                "fleet_buried_total",
                "Epochs of silent instances that this one has closed.",
            )?,
            relays_open: registry.gauge(
                "fleet_relays_open",
                "Connections of players that are relayed to another instance now.",
            )?,
            relayed_bytes: registry.counter(
                "fleet_relayed_bytes_total",
                "Bytes that relays sent to other instances and to players; counted when a relay ends.",
            )?,
            unreachable: registry.gauges(
                "fleet_unreachable",
                "1 if this instance's last connection to that one, the home of a game, failed.",
                &["home"],
            )?,
        };
        metrics.set_instances(&Instances::default(), "");
        Ok(metrics)
    }

    /// Sets what is told of the instances: those of the table. `own` is this instance's name.
    pub fn set_instances(&self, table: &Instances, own: &str) {
        for state in State::ALL {
            let count = table.iter().filter(|one| one.state == state).count();
            self.instances.of(state).set(metrics::whole(count as u64));
        }
        let others: BTreeSet<&str> = table
            .iter()
            .map(|one| one.name.as_str())
            .filter(|name| *name != own)
            .collect();
        for name in self.unreachable_known() {
            if !others.contains(name.as_str()) {
                // It is there, unless another thread has been as quick.
                let _ = self.unreachable.remove_label_values(&[&name]);
            }
        }
        for name in others {
            // One that is new is at zero from here on.
            self.unreachable.with_label_values(&[name]);
        }
    }

    /// The instances that are told of as reachable or not.
    fn unreachable_known(&self) -> Vec<String> {
        let families = self.unreachable.collect();
        let series = families.iter().flat_map(|family| family.get_metric());
        let labels = series.flat_map(|one| one.get_label());
        labels.map(|label| label.value().to_owned()).collect()
    }

    /// Notes whether an instance of the table could be connected to.
    pub fn note_dial(&self, home: &str, is_reached: bool) {
        let series = self.unreachable.with_label_values(&[home]);
        series.set(i64::from(!is_reached));
    }

    /// Counts a relay as open, until the guard is dropped.
    pub fn relay_opened(&self) -> OpenRelay<'_> {
        self.relays_open.inc();
        OpenRelay(self)
    }
}

/// A relay that is counted as open.
#[derive(Debug)]
pub struct OpenRelay<'a>(&'a Metrics);

impl OpenRelay<'_> {
    /// Counts what the relay has done in all.
    pub fn note(&self, report: &Report) {
        let bytes = &self.0.relayed_bytes;
        bytes.inc_by(report.to_home_bytes.saturating_add(report.to_player_bytes));
    }
}

impl Drop for OpenRelay<'_> {
    fn drop(&mut self) {
        self.0.relays_open.dec();
    }
}

/// What became of a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The instance is in the fleet.
    Counted,
    /// Redis did not answer.
    Failed,
    /// The instance's epoch is over, or its lease is another process's.
    Refused,
}

impl Beat {
    /// All of them.
    pub const ALL: [Beat; 3] = [Beat::Counted, Beat::Failed, Beat::Refused];
}

impl Label for Beat {
    fn label(self) -> &'static str {
        match self {
            Beat::Counted => "counted",
            Beat::Failed => "failed",
            Beat::Refused => "refused",
        }
    }
}

impl Label for State {
    fn label(self) -> &'static str {
        self.word()
    }
}
