//! What all terminals of a server count together.
//!
//! Plain counters of the `prometheus` crate: each costs an atomic addition. A terminal that stands alone, as in a test,
//! counts into counters that are not shown ([`Metrics::default`]).

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};

use super::frame::{Close, Role};
use crate::metrics::{self, Label, Registry};

/// The buckets' bounds: from a terminal in the same room to one that is unpleasant to use.
const ECHO_SECONDS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];
/// Stands for a close frame without a code (RFC 6455 §7.1.5).
const NO_CODE: u16 = 1005;

/// The counters of a server's terminals.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Bytes typed by players that containers took.
    pub input_bytes: IntCounter,
    /// Bytes that containers wrote.
    pub output_bytes: IntCounter,
    /// Bytes of output that were sent to viewers; more than were written when several look on.
    pub sent_bytes: IntCounter,
    /// From keys written to the container to the next output sent to the player's page.
    pub echo: Histogram,
    /// Pages that came back, by how they went on.
    resumes: IntCounterVec,
    /// Pages that came back and went on at their own byte.
    pub resumed_exactly: IntCounter,
    /// Pages that came back too late for that, and got the terminal's state to draw.
    pub resumed_by_state: IntCounter,
    /// Panics of the emulator that follows the output.
    pub emulator_panics: IntCounter,
    /// WebSockets that ended, by code.
    closes: IntCounterVec,
}

impl Default for Metrics {
    fn default() -> Self {
        let echo = HistogramOpts::new(
            "terminal_echo_seconds",
            "From keys written to the container to the next output sent to the player's page.",
        );
        let resumes = counters(
            "terminal_resumes_total",
            "Pages that came back, by how: exact, at their own byte; state, with a screen to draw.",
            "how",
        );
        Self {
            input_bytes: counter("input_bytes_total", "Bytes typed by players."),
            output_bytes: counter("output_bytes_total", "Bytes written by containers."),
            sent_bytes: counter("sent_bytes_total", "Bytes of output sent to viewers."),
            echo: Histogram::with_opts(echo.buckets(ECHO_SECONDS.to_vec()))
                .expect("a valid name and rising buckets"),
            resumed_exactly: resumes.with_label_values(&["exact"]),
            resumed_by_state: resumes.with_label_values(&["state"]),
            resumes,
            emulator_panics: counter(
                "terminal_emulator_panics_total",
                "Panics of the terminal emulator, each of which lost what a page draws that comes back late.",
            ),
            closes: counters(
                "terminal_closes_total",
                "Terminals' WebSockets that ended, by the code of the close frame we sent; none without one.",
                "code",
            ),
        }
    }
}

impl Metrics {
    /// All at zero, on a registry.
    ///
    /// # Errors
    /// Only for a name that is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        let metrics = Metrics::default();
        for counter in [
            &metrics.input_bytes,
            &metrics.output_bytes,
            &metrics.sent_bytes,
            &metrics.emulator_panics,
        ] {
            registry.register(counter.clone())?;
        }
        registry.register(metrics.echo.clone())?;
        registry.register(metrics.resumes.clone())?;
        let closes = registry.register(metrics.closes.clone())?;
        for code in our_codes() {
            closes.with_label_values(&[&code.to_string()]).reset();
        }
        Ok(metrics)
    }

    /// Counts a WebSocket that ended.
    pub fn count_close(&self, code: Option<u16>) {
        let label = match code {
            None => "none".to_owned(),
            Some(code) if our_codes().any(|ours| ours == code) => code.to_string(),
            // A client's own code, which the server has echoed.
            Some(_) => "other".to_owned(),
        };
        self.closes.with_label_values(&[&label]).inc();
    }
}

/// The codes with which terminals are closed; any other code of a client counts as `other`.
fn our_codes() -> impl Iterator<Item = u16> {
    Close::ALL.map(Close::code).into_iter().chain([NO_CODE])
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect("a valid name")
}

fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), &[label]).expect("valid names")
}

/// A part of a terminal's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryPart {
    /// The last output, as bytes.
    Scrollback,
    /// The screen as it was before that.
    State,
    /// All output, for a download.
    Recording,
}

impl MemoryPart {
    /// All of them.
    pub const ALL: [MemoryPart; 3] = [
        MemoryPart::Scrollback,
        MemoryPart::State,
        MemoryPart::Recording,
    ];
}

impl Label for MemoryPart {
    fn label(self) -> &'static str {
        match self {
            MemoryPart::Scrollback => "scrollback",
            MemoryPart::State => "state",
            MemoryPart::Recording => "recording",
        }
    }
}

impl Label for Role {
    fn label(self) -> &'static str {
        match self {
            Role::Player => "player",
            Role::Spectator => "spectator",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_close_code_is_no_label() {
        let registry = Registry::new().expect("valid names");
        let metrics = Metrics::register(&registry).expect("valid names");
        for code in [Some(1008), Some(3123), Some(3124), None] {
            metrics.count_close(code);
        }
        let text = registry
            .to_text(registry.begin_scrape())
            .expect("encodable");
        for line in ["code=\"1008\"} 1", "code=\"other\"} 2", "code=\"none\"} 1"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("3123"), "{text}");
    }
}
