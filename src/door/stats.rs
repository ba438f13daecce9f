//! What the door counts, for the metrics page. Strangers can make these grow as fast as they like, which is
//! why most of it is counted and only told at `debug`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start, and two gauges. Read them with `Relaxed`.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections open now, terminals included.
    pub connections_open: AtomicU64,
    /// Connections that got a thread.
    pub accepted: AtomicU64,
    /// Errors of `accept` itself, such as no descriptor left.
    pub accept_errors: AtomicU64,
    /// Connections refused because there were too many in all, or no thread to be had.
    pub refused_connections: AtomicU64,
    /// Connections refused because their address had too many.
    pub refused_per_address: AtomicU64,
    /// Vetted requests that waited too long for their turn.
    pub refused_busy: AtomicU64,
    /// Requests passed to the service.
    pub requests: AtomicU64,
    /// Requests refused for what they said.
    pub bad_requests: AtomicU64,
    /// Heads, bodies and answers cut because the client was too slow.
    pub client_timeouts: AtomicU64,
    /// Requests the service did not answer in time.
    pub answer_timeouts: AtomicU64,
    /// Requests that tiny_http lost without an answer.
    pub lost_requests: AtomicU64,
    /// Connections running a hand-off now.
    pub handed_off_open: AtomicU64,
    /// Connections ever handed off.
    pub handed_off: AtomicU64,
    /// Panics caught, in the service and in hand-offs.
    pub panics: AtomicU64,
    /// How often tiny_http was started anew because its accept loop had died.
    pub rebuilds: AtomicU64,
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds one to a gauge for as long as it lives.
pub(crate) struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    pub(crate) fn raise(gauge: &'a AtomicU64) -> Gauge<'a> {
        gauge.fetch_add(1, Ordering::Relaxed);
        Gauge(gauge)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
