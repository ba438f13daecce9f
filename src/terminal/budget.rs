//! What one client and one terminal may use up: token buckets. Pure: `now` is a parameter.
//!
//! | who | what is counted | what happens above the limit |
//! | --- | --- | --- |
//! | a client ([`Budget`]) | bytes and messages that it sends | the client is not read for a moment, and in the end sent away |
//! | a terminal ([`PumpBudget`]) | output while no viewer is there | its program waits |
//! | | output while others type at other terminals | its program waits |
//! | | time of the emulator that follows its output | its program waits |
//!
//! Above its pace a client is not read for a moment, so that TCP holds it back; a paste, however fast it comes, then
//! only takes longer. A client that still sends all it can, without a pause, is sent away. A program waits in its own
//! `write`, as at a slow terminal, so that neither the Engine nor this server has work with it.
//!
//! The bounds of sizes are kept elsewhere: the scrollback (`SCROLLBACK`), the screen ([`super::frame::MAX_CELLS`]), a
//! recording ([`super::recording::LIMIT_BYTES`]).

use std::time::{Duration, Instant};

/// A burst is as much as comes at the pace in this time.
const BURST_SECONDS: f64 = 8.0;
/// The smallest burst in bytes: a message of the largest size, with its frame, must fit into a burst whatever the pace.
const LEAST_BURST_BYTES: f64 = 1.25 * 1024.0 * 1024.0;
/// The smallest burst in messages: a few keys and acks must fit.
const LEAST_BURST_MESSAGES: f64 = 64.0;

/// Bytes of output a second while no viewer is there: a flood that no viewer sees costs next to nothing, and a program
/// that writes a line now and then does not notice.
const UNWATCHED_PER_SECOND: f64 = 256.0 * 1024.0;
/// Bytes of output a second while others type at other terminals: more than a person can read. A flood takes most of
/// its processor time in the Engine, which has no terminal to charge it to; so this limit is what leaves some for
/// others.
const BESIDE_PER_SECOND: f64 = 1024.0 * 1024.0;
/// Bytes that a terminal may write immediately, in spite of the limits, when its player types while it waits: the output
/// that is on its way when a flood is ended. This happens at most [`KEYS_PER_SECOND`] times a second, and after a while
/// without it [`KEYS_BURST`] times in a row: for the key that begins a flood, and for the one that ends it.
const KEYS_BYTES: f64 = 2.0 * 1024.0 * 1024.0;
const KEYS_PER_SECOND: f64 = 1.0;
const KEYS_BURST: f64 = 2.0;
/// A key counts although it came so much earlier than the wait, because its answer is what waits.
const KEYS_BEFORE: Duration = Duration::from_millis(250);
/// Seconds of processor time a second that the emulator may take for one terminal. The output of ordinary programs
/// takes a hundredth of it.
const EMULATION_PER_SECOND: f64 = 0.25;

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
    /// Yes, now.
    Now,
    /// Not before this time has passed.
    After(Duration),
    /// No: the client has pushed against its limits for too long.
    Never,
}

/// What one client has used up.
#[derive(Debug)]
pub struct Budget {
    bytes: Option<Bucket>,
    messages: Option<Bucket>,
    patience: Duration,
    /// The time since which the client was always at a limit.
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
                .map_or(BucketLevel::CALM, |bucket| bucket.look(now))
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

/// What one terminal has used up.
#[derive(Debug)]
pub struct PumpBudget {
    unwatched: Bucket,
    beside: Bucket,
    emulation: Bucket,
    /// How often keys have given the terminal more to spend.
    keys: Bucket,
    /// The time of the keys that did so last.
    keys_at: Option<Instant>,
    /// Since when the terminal waits because others type.
    held_since: Option<Instant>,
}

/// What goes on around a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    /// Whether a viewer looks on.
    pub is_watched: bool,
    /// Whether a player types at another terminal.
    pub has_others: bool,
    /// When its own player typed last.
    pub keys_at: Instant,
}

impl PumpBudget {
    /// A terminal that has shown nothing.
    pub fn new(now: Instant) -> PumpBudget {
        PumpBudget {
            unwatched: Bucket::new(UNWATCHED_PER_SECOND, 0.0, now),
            beside: Bucket::new(BESIDE_PER_SECOND, 0.0, now),
            emulation: Bucket::new(EMULATION_PER_SECOND, 0.0, now),
            keys: Bucket {
                burst: KEYS_BURST,
                ..Bucket::new(KEYS_PER_SECOND, 0.0, now)
            },
            keys_at: None,
            held_since: None,
        }
    }

    /// Output has come.
    pub fn spend(&mut self, bytes: usize, is_watched: bool) {
        self.beside.used += bytes as f64;
        if !is_watched {
            self.unwatched.used += bytes as f64;
        }
    }

    /// The emulator has worked for `time`.
    pub fn spend_emulation(&mut self, time: Duration) {
        self.emulation.used += time.as_secs_f64();
    }

    /// Whether there is no need to ask for a pause.
    pub fn is_unspent(&self) -> bool {
        [&self.unwatched, &self.beside, &self.emulation]
            .iter()
            .all(|bucket| bucket.used <= bucket.burst)
    }

    /// How long the program has to wait for what it has used up.
    pub fn pause(&mut self, around: Around, now: Instant) -> Duration {
        if !around.has_others {
            // Output that has disturbed no other player is not paid for later.
            self.beside.used = self.beside.used.min(self.beside.burst);
        }
        let unwatched = self.unwatched.look(now).wait;
        let beside = self.beside_wait(around.keys_at, now);
        let mut pause = self.emulation.look(now).wait;
        if !around.is_watched {
            pause = pause.max(unwatched);
        }
        if around.has_others {
            pause = pause.max(beside);
        }
        pause
    }

    /// How long the program has to wait for the sake of others who type, after keys that came while it waits have had
    /// their share.
    fn beside_wait(&mut self, keys_at: Instant, now: Instant) -> Duration {
        let wait = self.beside.look(now).wait;
        if wait.is_zero() {
            self.held_since = None;
            return wait;
        }
        let since = *self.held_since.get_or_insert(now);
        let is_new = self.keys_at.is_none_or(|before| keys_at > before);
        self.keys.look(now);
        if !is_new || keys_at + KEYS_BEFORE < since || self.keys.used + 1.0 > self.keys.burst {
            return wait;
        }
        self.keys.used += 1.0;
        self.keys_at = Some(keys_at);
        self.beside.used = (self.beside.used - KEYS_BYTES).max(0.0);
        self.beside.look(now).wait
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
struct BucketLevel {
    wait: Duration,
    /// Whether half of the burst is available again, which never happens for a client that sends all it can.
    is_calm: bool,
}

impl BucketLevel {
    const CALM: BucketLevel = BucketLevel {
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

    fn look(&mut self, now: Instant) -> BucketLevel {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.used = (self.used - since * self.per_second).max(0.0);
        let over = self.used - self.burst;
        BucketLevel {
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
        // The burst is worth 8 s, and the patience is 30 s: this is the number of 4 KiB chunks at 512 KiB/s.
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

    fn around(is_watched: bool, has_others: bool, keys_at: Instant) -> Around {
        Around {
            is_watched,
            has_others,
            keys_at,
        }
    }

    /// Writes output in pieces for an hour, whenever it is allowed; returns how many bytes were written.
    fn flood(is_watched: bool, has_others: bool, emulation: Duration) -> u64 {
        const PIECE: usize = 32 * 1024;
        let start = Instant::now();
        let (mut budget, mut now, mut bytes) = (PumpBudget::new(start), start, 0);
        while now < start + Duration::from_secs(3600) {
            budget.spend(PIECE, is_watched);
            budget.spend_emulation(emulation);
            bytes += PIECE as u64;
            let pause = budget.pause(around(is_watched, has_others, start), now);
            // Each read takes time too.
            now += pause.max(Duration::from_millis(1));
        }
        bytes
    }

    #[test]
    fn a_program_that_nobody_sees_is_held_to_the_pace() {
        let hour = 3600 + BURST_SECONDS as u64;
        let bytes = flood(false, false, Duration::ZERO);
        let most = hour * UNWATCHED_PER_SECOND as u64;
        assert!(
            (most - (1 << 20)..=most + (1 << 20)).contains(&bytes),
            "{bytes}"
        );
        assert_eq!(flood(true, false, Duration::ZERO), 3_600_000 * 32 * 1024);
    }

    #[test]
    fn beside_others_who_type_a_flood_is_held_to_the_pace() {
        let hour = 3600 + BURST_SECONDS as u64;
        let bytes = flood(true, true, Duration::ZERO);
        let most = hour * BESIDE_PER_SECOND as u64;
        assert!(
            (most - (1 << 20)..=most + (3 << 20)).contains(&bytes),
            "{bytes}"
        );
    }

    #[test]
    fn a_flood_before_others_came_is_not_paid_for() {
        let start = Instant::now();
        let mut budget = PumpBudget::new(start);
        for _ in 0..1000 {
            budget.spend(1 << 20, true);
            assert_eq!(
                budget.pause(around(true, false, start), start),
                Duration::ZERO
            );
        }
        budget.spend(1 << 20, true);
        let later = start + Duration::from_secs(1);
        budget.spend(1 << 20, true);
        let pause = budget.pause(around(true, true, start), later);
        assert!((0.9..1.1).contains(&pause.as_secs_f64()), "{pause:?}");
    }

    /// The pause of a flood at a moment, after so many mebibytes more, when keys came last at another moment.
    fn held(budget: &mut PumpBudget, mebibytes: usize, keys_at: Instant, now: Instant) -> f64 {
        budget.spend(mebibytes << 20, true);
        let pause = budget.pause(around(true, true, keys_at), now);
        pause.as_secs_f64()
    }

    /// The output that is on its way when a flood is ended comes immediately.
    #[test]
    fn who_types_at_a_flood_gets_some_of_it_immediately() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut budget = PumpBudget::new(start);
        // The burst of 8 MiB lasts longer than the key that has begun the flood counts.
        assert_eq!(held(&mut budget, 8, start, at(400)), 0.0);
        assert!(held(&mut budget, 1, start, at(400)) > 0.5);
        // Ctrl-C, soon after the flood began.
        assert_eq!(held(&mut budget, 1, at(450), at(450)), 0.0);
        // The same key counts once.
        assert!(held(&mut budget, 1, at(450), at(460)) > 0.5);
        // The next flood, which finds the burst used up, and its end: the second key comes half a second after the first.
        assert_eq!(held(&mut budget, 1, at(900), at(950)), 0.0);
        assert_eq!(held(&mut budget, 1, at(1450), at(1450)), 0.0);
        // Keys without end have their share once a second.
        let mut written = 0;
        for ms in (2000..12_000).step_by(10) {
            // A program that has to wait writes nothing.
            while held(&mut budget, 0, at(ms), at(ms)) == 0.0 {
                budget.spend(64 << 10, true);
                written += 64 << 10;
            }
        }
        // The pace and the shares, for ten seconds.
        assert!((28..=36).contains(&(written >> 20)), "{written}");
    }

    /// Each piece takes a second of emulation, so the number of pieces is a quarter of the number of seconds.
    #[test]
    fn a_program_that_is_hard_to_follow_waits_whether_anybody_looks_or_not() {
        for is_watched in [true, false] {
            let pieces = flood(is_watched, false, Duration::from_secs(1)) / (32 * 1024);
            assert!((900..=904).contains(&pieces), "{pieces}");
        }
    }

    #[test]
    fn who_comes_back_finds_no_pause() {
        let start = Instant::now();
        let mut budget = PumpBudget::new(start);
        budget.spend(64 << 20, false);
        assert!(budget.pause(around(false, false, start), start) > Duration::from_secs(200));
        assert_eq!(
            budget.pause(around(true, false, start), start),
            Duration::ZERO
        );
    }
}
