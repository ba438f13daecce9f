//! The stats thread (`stats`) asks the Engine what containers use, only while an operator looks.
//!
//! DOCKER: an answer takes up to a second, so one thread goes round, and the figures are as old as a round takes.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::debug;

use super::{Manager, SessionId};
use crate::locks::Mutex;
use crate::threads;

/// The most sessions on the list. A session that finds the list full is asked for at a later look.
const LIST: usize = 1024;
/// How many samples are kept.
const SAMPLES: usize = 16 * LIST;
/// Figures that are younger than this are not asked for again.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// What a container used when it was last asked.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Bytes of memory, if the Engine knows them.
    pub memory_bytes: Option<u64>,
    /// Share of one processor since the sample before: 0.5 is half of one. None for the first sample.
    pub cpus: Option<f64>,
    cpu_nanoseconds: u64,
    at: Instant,
}

/// All samples, and the list of sessions to ask about next.
pub(super) struct Usage {
    list: Sender<SessionId>,
    /// Guards nothing else, and is never held across an Engine call.
    samples: Mutex<HashMap<SessionId, Entry>>,
}

#[derive(Default)]
struct Entry {
    sample: Option<Sample>,
    is_listed: bool,
}

impl Usage {
    pub(super) fn new() -> (Usage, Receiver<SessionId>) {
        let (list, asked) = bounded(LIST);
        let samples = Mutex::default();
        (Usage { list, samples }, asked)
    }
}

impl Manager {
    /// What a session's container used when it was last asked. Has it asked again, if that was a while ago.
    pub fn usage(&self, id: SessionId, now: Instant) -> Option<Sample> {
        let mut samples = self.usage.samples.lock();
        if samples.len() >= SAMPLES {
            // Most of them are of sessions that are long over; the others are asked for again.
            samples.clear();
        }
        let entry = samples.entry(id).or_default();
        let is_fresh = entry
            .sample
            .is_some_and(|sample| now.saturating_duration_since(sample.at) < FRESH_FOR);
        if !entry.is_listed && !is_fresh {
            // The list is bounded and this never waits, so the lock is held for a moment only.
            entry.is_listed = self.usage.list.try_send(id).is_ok();
        }
        entry.sample
    }
}

/// Starts the thread. It returns when the manager stops.
pub(super) fn spawn(
    manager: Arc<Manager>,
    asked: Receiver<SessionId>,
) -> io::Result<JoinHandle<()>> {
    let stopped = manager.shutdown.stopped().clone();
    threads::spawn(threads::Kind::Stats, move || {
        loop {
            select! {
                recv(stopped) -> _ => return,
                recv(asked) -> id => match id {
                    Ok(id) => ask(&manager, id),
                    Err(_) => return,
                },
            }
            if manager.is_stopping() {
                return;
            }
        }
    })
}

fn ask(manager: &Manager, id: SessionId) {
    let session = manager.get(id).ok();
    let session = session.filter(|session| !session.snapshot().state.is_over());
    let container = session.as_ref().and_then(|session| session.container());
    let stats = container.and_then(|container| {
        let asked = manager.engine.stats(container);
        asked
            .inspect_err(|error| debug!("session={id} {error}"))
            .ok()
    });
    let mut samples = manager.usage.samples.lock();
    if session.is_none() {
        samples.remove(&id);
        return;
    }
    let entry = samples.entry(id).or_default();
    entry.is_listed = false;
    if let Some(stats) = stats {
        let cpu = stats.cpu_stats.cpu_usage.total_usage;
        entry.sample = Some(next(
            entry.sample,
            stats.memory_stats.usage,
            cpu,
            Instant::now(),
        ));
    }
}

/// The sample that follows `last`.
fn next(last: Option<Sample>, memory_bytes: Option<u64>, cpu: u64, at: Instant) -> Sample {
    let cpus = last.and_then(|last| {
        let took = at.saturating_duration_since(last.at).as_nanos() as f64;
        let used = cpu.saturating_sub(last.cpu_nanoseconds) as f64;
        (took > 0.0).then_some(used / took)
    });
    Sample {
        memory_bytes,
        cpus,
        cpu_nanoseconds: cpu,
        at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_between_two_samples() {
        let now = Instant::now();
        let first = next(None, Some(1), 5_000, now);
        assert_eq!(first.cpus, None);
        let second = next(Some(first), None, 500_005_000, now + Duration::from_secs(1));
        assert_eq!(second.cpus, Some(0.5));
        // A container that was restarted counts from zero again.
        assert_eq!(
            next(Some(second), None, 0, now + Duration::from_secs(2)).cpus,
            Some(0.0)
        );
    }
}
