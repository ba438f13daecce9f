//! The metrics of the line for the Engine.

use prometheus::{Histogram, IntGauge};

use super::calls::NoTurn;
use crate::metrics::{self, Counters, Label, Registry};

/// From no wait at all to the longest that a newcomer may wait.
const WAIT_SECONDS: [f64; 9] = [0.01, 0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0];

/// The metrics of newcomers that wait.
#[derive(Debug)]
pub struct Metrics {
    /// Newcomers that wait for their turn at the Engine. Set at a scrape.
    pub length: IntGauge,
    /// How long the newcomers that got their turn had waited for it.
    pub wait: Histogram,
    /// Newcomers that got no turn, by reason.
    pub turned_away: Counters<NoTurnReason>,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            length: registry.gauge(
                "queue_length",
                "Newcomers that wait for their turn at the Engine.",
            )?,
            wait: registry.histogram(
                "queue_wait_seconds",
                "How long newcomers waited for their turn at the Engine, those that got it.",
                &WAIT_SECONDS,
            )?,
            turned_away: registry.counters_by(
                "queue_turned_away_total",
                "Newcomers that got no turn: the queue was full, as many of their address waited as may, it came too late, they had left.",
                "reason",
                &NoTurnReason::ALL,
            )?,
        })
    }
}

/// A [`NoTurn`] without its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTurnReason {
    /// [`NoTurn::Full`].
    Full,
    /// [`NoTurn::HouseholdFull`].
    AddressFull,
    /// [`NoTurn::TooLate`].
    TooLate,
    /// [`NoTurn::Left`].
    Left,
}

impl NoTurnReason {
    /// All reasons.
    pub const ALL: [NoTurnReason; 4] = [
        NoTurnReason::Full,
        NoTurnReason::AddressFull,
        NoTurnReason::TooLate,
        NoTurnReason::Left,
    ];
}

impl From<NoTurn> for NoTurnReason {
    fn from(no_turn: NoTurn) -> Self {
        match no_turn {
            NoTurn::Full { .. } => NoTurnReason::Full,
            NoTurn::HouseholdFull { .. } => NoTurnReason::AddressFull,
            NoTurn::TooLate { .. } => NoTurnReason::TooLate,
            NoTurn::Left { .. } => NoTurnReason::Left,
        }
    }
}

impl Label for NoTurnReason {
    fn label(self) -> &'static str {
        match self {
            NoTurnReason::Full => "full",
            NoTurnReason::AddressFull => "address_full",
            NoTurnReason::TooLate => "too_late",
            NoTurnReason::Left => "left",
        }
    }
}
