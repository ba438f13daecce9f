//! What the last hour was like: a sample each minute, for the operator's charts.
//!
//! No threads; the reaper takes the samples.

use std::time::{Duration, Instant};

use super::Manager;
use crate::locks::Mutex;

/// How often a sample is taken.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// How many samples are kept: an hour's.
const KEPT: usize = 60;

/// The server at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Games that are played.
    pub sessions: usize,
    /// Newcomers in the queue.
    pub queue: usize,
    /// Bytes a second that containers have written since the sample before.
    pub output: u64,
}

/// The samples. Locked for moves only.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Samples>);

#[derive(Debug, Default)]
struct Samples {
    /// The kept samples, the oldest first.
    kept: Vec<Sample>,
    /// When the last sample was taken, and what containers had written by then.
    last: Option<(Instant, u64)>,
}

impl Samples {
    fn is_due(&self, now: Instant) -> bool {
        let age = |(at, _)| now.saturating_duration_since(at);
        self.last.is_none_or(|last| age(last) >= SAMPLE_EVERY)
    }

    fn note(&mut self, now: Instant, sessions: usize, queue: usize, written_bytes: u64) {
        let output = self.last.map_or(0, |(at, before)| {
            let seconds = now.saturating_duration_since(at).as_secs().max(1);
            written_bytes.saturating_sub(before) / seconds
        });
        self.last = Some((now, written_bytes));
        self.kept.push(Sample {
            sessions,
            queue,
            output,
        });
        if self.kept.len() > KEPT {
            self.kept.remove(0);
        }
    }
}

impl Manager {
    /// Games that are played: neither over, nor waiting for a player.
    pub fn count_playing(&self) -> usize {
        let sessions = self.list();
        let playing = sessions
            .iter()
            .filter(|session| session.owner().is_some() && !session.snapshot().state.is_over());
        playing.count()
    }

    /// The last hour, the oldest sample first.
    pub fn history(&self) -> Vec<Sample> {
        self.history.0.lock().kept.clone()
    }

    /// Takes a sample, if it is time for one.
    pub(super) fn note_history(&self, now: Instant) {
        if !self.history.0.lock().is_due(now) {
            return;
        }
        let (sessions, queue) = (self.count_playing(), self.queue_length());
        let written_bytes = self.metrics.terminals.output_bytes.get();
        let mut samples = self.history.0.lock();
        samples.note(now, sessions, queue, written_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_a_sample_a_minute() {
        let (mut samples, start) = (Samples::default(), Instant::now());
        let mut written_bytes = 5_000;
        for second in 0..2 * 3600 {
            let now = start + Duration::from_secs(second);
            written_bytes += 7;
            if samples.is_due(now) {
                samples.note(now, second as usize, 3, written_bytes);
            }
        }
        assert_eq!(samples.kept.len(), KEPT);
        let seconds: Vec<_> = samples.kept.iter().map(|sample| sample.sessions).collect();
        assert_eq!((seconds[0], seconds[1], seconds[59]), (3600, 3660, 7140));
        let is_steady = |sample: &Sample| (sample.queue, sample.output) == (3, 7);
        assert!(samples.kept.iter().all(is_steady), "{samples:?}");
    }

    #[test]
    fn the_first_sample_is_taken_soon_and_knows_of_no_rate() {
        let (mut samples, now) = (Samples::default(), Instant::now());
        assert!(samples.is_due(now));
        samples.note(now, 1, 0, 1_000_000);
        assert!(!samples.is_due(now + SAMPLE_EVERY / 2));
        assert_eq!(samples.kept[0].output, 0);
        // When the reaper was held up, the time that has really passed counts.
        samples.note(now + SAMPLE_EVERY * 10, 1, 0, 1_060_000);
        assert_eq!(samples.kept[1].output, 100);
    }
}
