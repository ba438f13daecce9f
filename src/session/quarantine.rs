//! Sets aside what fails: a container, an image, a shell, a call. Each has a back-off of its own, so that everything
//! beside it goes on at full speed. Each is named once in the log, and for as long as it lasts in the metrics and to the
//! operator.
//!
//! ```text
//!                fail            fail          fail …                 twice as long each time, up to a limit; a
//!                                                                      container, from 0.1 s
//!   well ──────▶ aside 0.5 s ──▶ aside 1 s ──▶ aside 2 s …
//!    ▲             │  tried again when its time is over
//!    └─────────────┘  mended, or silent for a while
//! ```
//!
//! No threads, and no clock except in the manager's own functions. The thread that does the work asks, and notes the
//! result.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use log::{debug, info, warn};

use super::Manager;
use crate::locks::Mutex;

/// The most cases of one kind. With more at the same time, the trouble no longer lies in single things. The case that
/// failed the longest ago gives way.
const MOST: usize = 1024;
/// Something that has not failed for this long after its wait was over is well again, or gone.
const CALM: Duration = Duration::from_secs(60);

/// What can fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A container that can't be taken over, looked at, saved or removed.
    Container,
    /// An image that can't be looked at, or loaded.
    Image,
    /// A shell that can't be started.
    Shell,
    /// A shell of which the pool can make no more containers, for a reason that may be the Engine's.
    Pool,
    /// A terminal whose size can't be set.
    Resize,
}

impl Kind {
    /// All kinds, for metrics.
    pub const ALL: [Kind; 5] = [
        Kind::Container,
        Kind::Image,
        Kind::Shell,
        Kind::Pool,
        Kind::Resize,
    ];

    /// The kind's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Shell => "shell",
            Kind::Pool => "pool",
            Kind::Resize => "resize",
        }
    }

    /// How long a thing of this kind is left alone after its first failure, and at most.
    fn waits(self) -> (Duration, Duration) {
        let seconds = Duration::from_secs;
        match self {
            // A player's game or book depends on it: it is tried again as soon as that may help.
            Kind::Container => (Duration::from_millis(100), seconds(5)),
            Kind::Image | Kind::Shell | Kind::Pool | Kind::Resize => {
                (Duration::from_millis(500), seconds(30))
            }
        }
    }
}

/// Everything that is set aside.
#[derive(Default)]
pub struct Quarantine {
    /// Held for moves only.
    cases: Mutex<BTreeMap<(Kind, String), Case>>,
}

/// A thing that has failed.
struct Case {
    failures: u32,
    cause: String,
    failed_at: Instant,
    not_before: Instant,
    /// Whether a successful start proves nothing, because the thing was started and ended immediately.
    is_after_start: bool,
}

/// A thing that has failed, as it is shown to the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its name: a container's short id, a shell's or an image's name.
    pub name: String,
    /// Why it failed, for the operator.
    pub cause: String,
    /// How often it has failed in a row.
    pub failures: u32,
    /// When it is tried again.
    pub retry_in: Duration,
    /// How long ago it failed last.
    pub since: Duration,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence {
    /// For how long the thing is left alone.
    pub wait: Duration,
    /// Whether this failure has set that time, and not another one that was under way at the same time.
    pub is_news: bool,
    /// Whether the thing was well before.
    pub is_first: bool,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Quarantine {
    /// Notes a failure. When it comes while the thing is set aside, from a try that was under way beside the one that
    /// failed first, it makes the wait no longer.
    pub fn fail(&self, kind: Kind, name: &str, cause: impl fmt::Display, now: Instant) -> Sentence {
        self.note(kind, name, (cause.to_string(), false), now)
    }

    /// Notes the failure of something that was started, and has ended immediately.
    pub fn fail_after_start(
        &self,
        kind: Kind,
        name: &str,
        cause: String,
        now: Instant,
    ) -> Sentence {
        self.note(kind, name, (cause, true), now)
    }

    fn note(
        &self,
        kind: Kind,
        name: &str,
        (cause, is_after_start): (String, bool),
        now: Instant,
    ) -> Sentence {
        let mut cases = self.cases.lock();
        forget_calm(&mut cases, now);
        let known = cases.get(&(kind, name.to_owned()));
        if let Some(case) = known
            && now < case.not_before
        {
            return Sentence {
                wait: case.not_before - now,
                is_news: false,
                is_first: false,
            };
        }
        let before = known.map_or(0, |case| case.failures);
        let (first, longest) = kind.waits();
        let wait = (first * 2_u32.saturating_pow(before.min(16))).min(longest);
        let case = Case {
            failures: before.saturating_add(1),
            cause,
            failed_at: now,
            not_before: now + wait,
            is_after_start,
        };
        cases.insert((kind, name.to_owned()), case);
        let alike = || cases.iter().filter(|((its, _), _)| *its == kind);
        if alike().count() > MOST {
            let oldest = alike().min_by_key(|(_, case)| case.failed_at);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| cases.remove(&key));
        }
        Sentence {
            wait,
            is_news: true,
            is_first: before == 0,
        }
    }

    /// Notes that it works. Returns whether it was set aside until now.
    pub fn mend(&self, kind: Kind, name: &str) -> bool {
        self.cases.lock().remove(&(kind, name.to_owned())).is_some()
    }

    /// Notes that it could be started. That mends only what could not be started: something that ends immediately proves
    /// nothing by its start.
    pub fn mend_by_start(&self, kind: Kind, name: &str) -> bool {
        let mut cases = self.cases.lock();
        let key = (kind, name.to_owned());
        let is_mended = cases.get(&key).is_some_and(|case| !case.is_after_start);
        is_mended && cases.remove(&key).is_some()
    }

    /// For how long it is still to be left alone; none when it may be tried.
    pub fn left(&self, kind: Kind, name: &str, now: Instant) -> Option<Duration> {
        let cases = self.cases.lock();
        let case = cases.get(&(kind, name.to_owned()))?;
        let left = case.not_before.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Whether it has failed and has not worked since.
    pub fn has_failed(&self, kind: Kind, name: &str) -> bool {
        self.cases.lock().contains_key(&(kind, name.to_owned()))
    }

    /// Everything that has failed and has not worked since.
    pub fn list(&self, now: Instant) -> Vec<Aside> {
        let mut cases = self.cases.lock();
        forget_calm(&mut cases, now);
        let cases = cases.iter();
        cases
            .map(|((kind, name), case)| Aside {
                kind: *kind,
                name: name.clone(),
                cause: case.cause.clone(),
                failures: case.failures,
                retry_in: case.not_before.saturating_duration_since(now),
                since: now.saturating_duration_since(case.failed_at),
            })
            .collect()
    }
}

impl Manager {
    /// Everything that is set aside, for the operator.
    pub fn quarantine(&self) -> Vec<Aside> {
        self.quarantine.list(Instant::now())
    }

    /// Sets aside what has failed, and logs that if it was well before. Returns for how long it is left alone.
    pub(super) fn set_aside(&self, kind: Kind, name: &str, cause: &dyn fmt::Display) -> Duration {
        let sentence = self.quarantine.fail(kind, name, cause, Instant::now());
        tell(kind, name, cause, sentence);
        sentence.wait
    }

    /// Notes that it works.
    pub(super) fn mend(&self, kind: Kind, name: &str) {
        if self.quarantine.mend(kind, name) {
            info!("{kind} {name} is well again");
        }
    }

    /// For how long it is still to be left alone; none when it may be tried.
    pub(super) fn is_aside_for(&self, kind: Kind, name: &str) -> Option<Duration> {
        self.quarantine.left(kind, name, Instant::now())
    }
}

/// Logs a failure: as a warning only the first time, however often it fails.
pub(super) fn tell(kind: Kind, name: &str, cause: &dyn fmt::Display, sentence: Sentence) {
    let Sentence { wait, is_first, .. } = sentence;
    match is_first {
        true => warn!("{kind} {name} is set aside and tried again from time to time: {cause}"),
        false => debug!("{kind} {name} is left alone for {wait:?}: {cause}"),
    }
}

fn forget_calm(cases: &mut BTreeMap<(Kind, String), Case>, now: Instant) {
    cases.retain(|_, case| now < case.not_before + CALM);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_waited_for_twice_as_long() {
        let (quarantine, mut now) = (Quarantine::default(), Instant::now());
        assert_eq!(quarantine.left(Kind::Shell, "a", now), None);
        for (index, half_seconds) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            let wait = Duration::from_millis(500) * half_seconds;
            let told = quarantine.fail(Kind::Shell, "a", "no such runtime", now);
            assert_eq!((told.wait, told.is_first), (wait, index == 0));
            let beside = quarantine.fail(Kind::Shell, "a", "one of several at once", now);
            assert_eq!((beside.wait, beside.is_news), (wait, false));
            assert_eq!(quarantine.left(Kind::Shell, "a", now), Some(wait));
            now += wait;
            assert_eq!(quarantine.left(Kind::Shell, "a", now), None);
        }
        assert_eq!(quarantine.list(now)[0].failures, 8);
        now += CALM;
        assert!(quarantine.list(now).is_empty());
        assert!(quarantine.fail(Kind::Shell, "a", "again", now).is_first);
    }

    #[test]
    fn others_are_left_alone() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        quarantine.fail(Kind::Shell, "a", "x", now);
        assert_eq!(quarantine.left(Kind::Shell, "b", now), None);
        assert_eq!(quarantine.left(Kind::Container, "a", now), None);
        assert!(!quarantine.mend(Kind::Shell, "b"));
        assert!(quarantine.mend(Kind::Shell, "a"));
        assert!(!quarantine.mend(Kind::Shell, "a"));
        assert_eq!(quarantine.left(Kind::Shell, "a", now), None);
    }

    #[test]
    fn a_start_proves_nothing_of_what_ends_at_once() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        quarantine.fail(Kind::Shell, "a", "no such runtime", now);
        quarantine.fail_after_start(Kind::Shell, "b", "ends at once".into(), now);
        assert!(quarantine.mend_by_start(Kind::Shell, "a"));
        assert!(!quarantine.mend_by_start(Kind::Shell, "b"));
        assert_eq!(quarantine.list(now).len(), 1);
    }

    #[test]
    fn there_is_an_end_to_their_number() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        quarantine.fail(
            Kind::Shell,
            "a",
            "of another kind, and pushed out by none",
            now,
        );
        for number in 0..=MOST as u64 {
            let at = now + Duration::from_millis(number);
            quarantine.fail(Kind::Container, &format!("{number:04}"), "x", at);
        }
        let left = quarantine.list(now);
        assert_eq!((left.len(), left[0].name.as_str()), (MOST + 1, "0001"));
        assert!(quarantine.has_failed(Kind::Shell, "a"));
    }
}
