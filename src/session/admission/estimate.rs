//! Estimates from measured turns how long a caller will still wait for the Engine. Pure: no clock, no lock.
//!
//! ```text
//!   the last turns' lengths ──┐
//!   how long others run ──────┼─▶ seconds a turn ─▶ × place ÷ simultaneous turns ─▶ estimate
//!   simultaneous turns ───────┘
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many turns are remembered. At the usual 5 a second that is the last few seconds.
const REMEMBERED: usize = 16;
/// A turn that is older than this says nothing about the Engine as it is now.
const RECENT: Duration = Duration::from_secs(5 * 60);
/// How long a turn is assumed to take while none was measured. DOCKER: a start takes 0.7 s with four at the same time on 2
/// cores (20.10).
const GUESS: Duration = Duration::from_secs(1);
/// No client is told to come back sooner than this, or later than [`RETRY_LATEST`].
const RETRY_SOONEST: Duration = Duration::from_secs(1);
const RETRY_LATEST: Duration = Duration::from_secs(60);

/// The lengths of the newest turns.
#[derive(Debug, Default)]
pub struct RecentTurns {
    turns: VecDeque<(Instant, Duration)>,
}

/// What goes on at the Engine now.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// Turns that may run at the same time.
    pub at_once: usize,
    /// When the running turns began.
    pub running_since: &'a [Instant],
    /// The place in the queue that is asked about; the next one's is 1.
    pub place: usize,
}

impl RecentTurns {
    /// Notes a turn that has ended at `now`.
    pub fn note(&mut self, now: Instant, took: Duration) {
        if self.turns.len() == REMEMBERED {
            self.turns.pop_front();
        }
        self.turns.push_back((now, took));
    }

    /// How long it takes until the turn of `load.place` begins.
    pub fn estimate(&self, now: Instant, load: Load<'_>) -> Duration {
        let recent = self
            .turns
            .iter()
            .filter(|(at, _)| now.saturating_duration_since(*at) <= RECENT)
            .map(|&(_, took)| took);
        let ages = load
            .running_since
            .iter()
            .map(|&since| now.saturating_duration_since(since));
        // Turns that run longer than any that has ended show that the Engine has become slow, before one of them ends.
        let turn = mean(recent)
            .unwrap_or(GUESS)
            .max(mean(ages).unwrap_or_default());
        turn.mul_f64(load.place as f64 / load.at_once.max(1) as f64)
    }
}

/// When a client that is turned away should come back, if the queue takes as long as `estimate`.
pub fn retry_after(estimate: Duration) -> Duration {
    let seconds = Duration::from_secs(whole_seconds(estimate));
    seconds.clamp(RETRY_SOONEST, RETRY_LATEST)
}

/// Whole seconds, as people are told: a part of a second counts as one.
pub fn whole_seconds(estimate: Duration) -> u64 {
    estimate.as_secs() + u64::from(estimate.subsec_nanos() > 0)
}

fn mean(durations: impl Iterator<Item = Duration>) -> Option<Duration> {
    let (count, sum) = durations.fold((0, Duration::ZERO), |(count, sum), each| {
        (count + 1, sum + each)
    });
    (count > 0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    /// Turns as (seconds ago, seconds long) and ages of running ones in seconds; four at the same time.
    #[track_caller]
    fn check(turns: &[(f64, f64)], running: &[f64], place: usize, expected: f64) {
        let now = Instant::now() + Duration::from_secs(3600);
        let mut recent = RecentTurns::default();
        for &(ago, took) in turns {
            recent.note(now - seconds(ago), seconds(took));
        }
        let running_since: Vec<_> = running.iter().map(|&age| now - seconds(age)).collect();
        let load = Load {
            at_once: 4,
            running_since: &running_since,
            place,
        };
        let found = recent.estimate(now, load).as_secs_f64();
        assert!((found - expected).abs() < 0.001, "{found}, not {expected}");
    }

    #[test]
    fn a_place_waits_for_those_before_it() {
        check(&[(1.0, 0.8)], &[], 1, 0.2);
        check(&[(1.0, 0.8)], &[], 4, 0.8);
        check(&[(1.0, 0.8)], &[], 64, 12.8);
        check(&[(3.0, 1.0), (2.0, 2.0), (1.0, 3.0)], &[], 4, 2.0);
    }

    #[test]
    fn nothing_measured_is_a_guess() {
        check(&[], &[], 8, 2.0);
        check(&[(301.0, 40.0)], &[], 8, 2.0);
        check(&[(300.0, 40.0)], &[], 8, 80.0);
    }

    #[test]
    fn an_engine_that_has_become_slow_is_noticed_before_a_turn_ends() {
        let turns = [(1.0, 0.8)];
        check(&turns, &[0.1, 0.5, 0.9, 0.2], 4, 0.8);
        check(&turns, &[10.0, 10.0, 10.0, 10.0], 4, 10.0);
        check(&turns, &[3.0, 1.0, 3.0, 1.0], 2, 1.0);
    }

    #[test]
    fn only_the_newest_turns_count() {
        let mut turns = vec![(2.0, 100.0); 50];
        turns.extend([(1.0, 2.0); REMEMBERED]);
        check(&turns, &[], 4, 2.0);
    }

    #[test]
    fn a_client_comes_back_in_one_to_sixty_seconds() {
        for (estimate, expected) in [
            (0.0, 1),
            (0.2, 1),
            (1.0, 1),
            (1.1, 2),
            (12.8, 13),
            (59.5, 60),
            (4000.0, 60),
        ] {
            let found = retry_after(seconds(estimate));
            assert_eq!(found, Duration::from_secs(expected), "{estimate}");
        }
    }
}
