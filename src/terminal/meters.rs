//! What all terminals together count, for the metrics.
//!
//! Plain counters of the `prometheus` crate, registered by [`crate::metrics`]; each costs an atomic addition.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};

/// From a terminal in the same room to one that nobody likes any more.
const ECHO_SECONDS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];

/// The counters of a server's terminals.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Bytes typed by players that containers took.
    pub input_bytes: IntCounter,
    /// Bytes that containers wrote.
    pub output_bytes: IntCounter,
    /// Bytes of output that were sent to viewers; more than were written when several look on.
    pub sent_bytes: IntCounter,
    /// From keys written to the container to the next output sent to the player's page.
    pub echo: Histogram,
    /// Pages that came back, by how they went on.
    pub resumes: IntCounterVec,
    /// Pages that came back and went on at their own byte.
    pub resumed_exactly: IntCounter,
    /// Pages that came back too late for that, and got the terminal's state to draw.
    pub resumed_by_state: IntCounter,
    /// Panics of the emulator that follows the output.
    pub emulator_panics: IntCounter,
}

impl Default for Meters {
    fn default() -> Self {
        let echo = HistogramOpts::new(
            "terminal_echo_seconds",
            "From keys written to the container to the next output sent to the player's page.",
        );
        let resumes = Opts::new(
            "terminal_resumes_total",
            "Pages that came back, by how: exact, at their own byte; state, with a screen to draw.",
        );
        let resumes = IntCounterVec::new(resumes, &["how"]).expect("a valid name");
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
        }
    }
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect("a valid name")
}
