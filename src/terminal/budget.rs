//! How much a client may send: a token bucket for bytes and one for messages. Pure: `now` is a parameter.
//!
//! Above its pace a client is not read for a moment, so that TCP holds it back; a paste, however fast it comes, only
//! takes longer then. A client that pushes on all the same, without a pause, is sent away.

use std::time::{Duration, Instant};

/// A burst is what comes at the pace in so long.
const BURST_SECONDS: f64 = 8.0;
/// A message of the largest size and what frames it must fit into a burst whatever the pace.
const LEAST_BURST_BYTES: f64 = 1.25 * 1024.0 * 1024.0;
/// The same for a few keys and acks.
const LEAST_BURST_MESSAGES: f64 = 64.0;

/// The pace of one client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paces {
    /// Bytes a second; none for no limit.
    pub bytes: Option<u32>,
    /// Messages a second, pings and acks included; none for no limit.
    pub messages: Option<u32>,
    /// How long it may push against a limit before it is sent away.
    pub patience: Duration,
}

impl Default for Paces {
    fn default() -> Self {
        Paces::NONE
    }
}

impl Paces {
    /// No limits.
    pub const NONE: Paces = Paces {
        bytes: None,
        messages: None,
        patience: Duration::MAX,
    };
    /// How long a client may push against its limits.
    pub const PATIENCE: Duration = Duration::from_secs(30);
}

/// Whether more may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Yes.
    Now,
    /// After so long.
    After(Duration),
    /// It has pushed for too long.
    Never,
}

/// What one client has used up.
#[derive(Debug)]
pub struct Budget {
    bytes: Option<Bucket>,
    messages: Option<Bucket>,
    patience: Duration,
    /// Since when it was always at a limit.
    pushing_since: Option<Instant>,
}

impl Budget {
    /// A client that has sent nothing.
    pub fn new(paces: Paces, now: Instant) -> Budget {
        let bucket = |pace: Option<u32>, least_burst| {
            pace.map(|pace| Bucket::new(f64::from(pace), least_burst, now))
        };
        Budget {
            bytes: bucket(paces.bytes, LEAST_BURST_BYTES),
            messages: bucket(paces.messages, LEAST_BURST_MESSAGES),
            patience: paces.patience,
            pushing_since: None,
        }
    }

    /// Bytes have come.
    pub fn spend_bytes(&mut self, count: usize) {
        if let Some(bytes) = &mut self.bytes {
            bytes.used += count as f64;
        }
    }

    /// A message has come.
    pub fn spend_message(&mut self) {
        if let Some(messages) = &mut self.messages {
            messages.used += 1.0;
        }
    }

    /// Whether more may be read.
    pub fn leave(&mut self, now: Instant) -> Leave {
        let buckets = [&mut self.bytes, &mut self.messages];
        let states = buckets.map(|bucket| {
            bucket
                .as_mut()
                .map_or(State::CALM, |bucket| bucket.look(now))
        });
        if states.iter().all(|state| state.is_calm) {
            self.pushing_since = None;
        }
        let wait = states[0].wait.max(states[1].wait);
        if wait.is_zero() {
            return Leave::Now;
        }
        let since = *self.pushing_since.get_or_insert(now);
        if now.saturating_duration_since(since) > self.patience {
            Leave::Never
        } else {
            Leave::After(wait)
        }
    }
}

#[derive(Debug)]
struct Bucket {
    per_second: f64,
    burst: f64,
    used: f64,
    at: Instant,
}

/// A bucket at one moment.
struct State {
    wait: Duration,
    /// Half of the burst is there again, which it never is for a client that sends all it can.
    is_calm: bool,
}

impl State {
    const CALM: State = State {
        wait: Duration::ZERO,
        is_calm: true,
    };
}

impl Bucket {
    fn new(per_second: f64, least_burst: f64, now: Instant) -> Bucket {
        Bucket {
            per_second,
            burst: (per_second * BURST_SECONDS).max(least_burst),
            used: 0.0,
            at: now,
        }
    }

    fn look(&mut self, now: Instant) -> State {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.used = (self.used - since * self.per_second).max(0.0);
        let over = self.used - self.burst;
        State {
            wait: Duration::from_secs_f64((over / self.per_second).max(0.0)),
            is_calm: self.used <= self.burst / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACES: Paces = Paces {
        bytes: Some(512 * 1024),
        messages: Some(1000),
        patience: Duration::from_secs(30),
    };

    fn budget(paces: Paces) -> (Budget, Instant) {
        let now = Instant::now();
        (Budget::new(paces, now), now)
    }

    /// Sends chunks as fast as it may until it is sent away, for an hour at most; returns when, and how many.
    fn push(paces: Paces, chunk: usize, pause: Duration) -> (Option<Duration>, usize) {
        let (mut budget, start) = budget(paces);
        let (mut now, mut count) = (start, 0);
        while now < start + Duration::from_secs(3600) {
            match budget.leave(now) {
                Leave::Now => {
                    budget.spend_bytes(chunk);
                    budget.spend_message();
                    count += 1;
                    now += pause;
                }
                Leave::After(wait) => now += wait,
                Leave::Never => return (Some(now - start), count),
            }
        }
        (None, count)
    }

    #[test]
    fn a_paste_of_a_mebibyte_is_not_even_held_back() {
        for bytes in [1, 64 * 1024, 512 * 1024] {
            let paces = Paces {
                bytes: Some(bytes),
                ..PACES
            };
            let (mut budget, now) = budget(paces);
            for _ in 0..256 {
                assert_eq!(budget.leave(now), Leave::Now);
                budget.spend_bytes(4096);
            }
            assert_eq!(budget.leave(now), Leave::Now);
        }
    }

    #[test]
    fn whoever_pushes_is_held_to_the_pace_and_then_sent_away() {
        let (gone, chunks) = push(PACES, 4096, Duration::ZERO);
        assert!(gone.is_some_and(|gone| gone > PACES.patience && gone < PACES.patience * 2));
        // The burst's 8 s worth and what came in the 30 s of patience, in 4 KiB at 512 KiB/s.
        let expected = (8 + 30) * 128;
        assert!((expected - 8..expected + 8).contains(&chunks), "{chunks}");
    }

    #[test]
    fn messages_are_counted_whatever_their_size() {
        let (gone, messages) = push(PACES, 6, Duration::ZERO);
        assert!(
            gone.is_some() && (37_000..39_000).contains(&messages),
            "{messages}"
        );
    }

    #[test]
    fn who_keeps_to_the_pace_stays() {
        let (gone, _) = push(PACES, 400 * 1024, Duration::from_secs(1));
        assert_eq!(gone, None);
    }

    #[test]
    fn a_pause_is_enough_to_begin_anew() {
        let (mut budget, mut now) = budget(PACES);
        for _ in 0..10 {
            budget.spend_bytes(20 * 512 * 1024);
            assert!(matches!(budget.leave(now), Leave::After(wait) if wait.as_secs() == 12));
            now += Duration::from_secs(20);
            assert_eq!(budget.leave(now), Leave::Now);
        }
    }

    #[test]
    fn without_limits_all_is_taken() {
        let (mut budget, now) = budget(Paces::NONE);
        budget.spend_bytes(usize::MAX);
        assert_eq!(budget.leave(now), Leave::Now);
    }
}
