//! What is decided about leases: who may take one, what the answer to a beat means, and who must be buried.
//!
//! Everything here is data in, data out; `now` is a parameter, and there are no threads. All times are of the caller's own
//! monotonic clock: no two clocks are ever compared.
//!
//! **Silence proves nothing by itself**: while Redis is away, all are silent. So an observer counts another's silence only
//! as long as its own beats show that Redis could be reached. One failure of its own, or a gap between its own beats in
//! which an absence could hide (the observer itself may have been stopped and have noticed nothing), and it counts from
//! nought. A gap is at most two beats' distance. An instance that tries again after each failure within one such distance is
//! then silent for less than four of five, which is the lease.
//!
//! A span is measured from the moment when the first look's answer was there to the moment before the last look was
//! asked for, so it is never longer than the truth, however slow the looks are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::record::{BeatAnswer, Lease, State};

/// How long an instance may be silent before the others close its epoch, unless the operator says otherwise.
pub const LEASE: Duration = Duration::from_secs(10);
/// The shortest lease: Redis may answer late, and yet no beat may be missed.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(3);
/// How long an instance that has said that it ends may be away.
pub const AWAY: Duration = Duration::from_secs(60);
/// So many beats are in a lease.
const BEATS: u32 = 5;
/// The longest pause between two tries while Redis is away.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// The fleet's times, which are the same for all its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long an instance may be silent.
    pub lease: Duration,
    /// How long one that has said that it ends may be.
    pub away: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            lease: LEASE,
            away: AWAY,
        }
    }
}

impl Times {
    /// The time from one beat to the next.
    pub fn interval(self) -> Duration {
        self.lease / BEATS
    }

    /// The pause after a beat that failed.
    pub fn retry(self) -> Duration {
        self.interval().min(LONGEST_RETRY)
    }

    /// An absence of Redis that is not noticed, or an observer's own standstill, is shorter than this.
    fn gap(self) -> Duration {
        self.interval() * 2
    }

    /// How long a lease in this state may stay as it is; nothing if for ever.
    fn patience(self, state: State) -> Option<Duration> {
        match state {
            State::Up | State::Draining => Some(self.lease),
            State::Away => Some(self.away),
            State::Buried => None,
        }
    }
}

/// What the answer to a beat means for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The lease is mine.
    GoOn,
    /// Join again, and keep sockets and shells.
    Rejoin(Why),
    /// Another process has my name: let go of all containers, and end.
    LetGo,
}

/// Why an instance has to join again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The others have closed its epoch, because it was silent.
    Buried,
    /// Redis does not know its epoch, or not all its beats: it has lost what it had confirmed.
    HistoryLost,
}

/// What the answer to a beat means. `confirmed` is the highest count that was answered in this epoch, and `sent` how many
/// beats were sent, this one included.
///
/// The count is the last one and one more, unless answers were lost: then it is anything up to the number of beats that
/// were sent. A beat without an answer may even be counted after a later one, when Redis had stood still. But a count that
/// was confirmed never comes again, unless Redis has forgotten it.
pub fn meaning(answer: BeatAnswer, confirmed: u64, sent: u64) -> Meaning {
    match answer {
        BeatAnswer::Counted { beat, .. } if beat > confirmed && beat <= sent => Meaning::GoOn,
        BeatAnswer::Counted { .. } | BeatAnswer::Unknown => Meaning::Rejoin(Why::HistoryLost),
        BeatAnswer::Buried => Meaning::Rejoin(Why::Buried),
        BeatAnswer::Newer { .. } => Meaning::LetGo,
    }
}

/// What an applicant may do about the lease of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Take it.
    Take {
        /// Whether its holder may be beating while it is taken.
        is_beating: bool,
    },
    /// Look again: whether its holder lives is not known yet.
    Wait,
    /// Its holder lives, with this Engine, which is another one.
    Taken(String),
    /// A later process has taken it from the applicant.
    Superseded,
}

/// A process that wants the lease of its name.
///
/// A lease with the same Engine is taken immediately, since the process before this one has ended, or is to be replaced. One
/// with another Engine, if it is neither away nor buried, is another host's: that must first be silent for as long as any
/// instance that is buried.
#[derive(Debug)]
pub struct Applicant {
    engine: String,
    holder: String,
    /// The epoch that this process had, if it joins again.
    had: Option<u64>,
    times: Times,
    /// The lease of another host as it was first seen, and since when.
    seen: Option<(u64, u64, State, Instant)>,
    /// When the last look was answered.
    last_look: Option<Instant>,
}

impl Applicant {
    /// A process that joins with this Engine, and had this epoch before if it joins again.
    pub fn new(engine: &str, holder: &str, had: Option<u64>, times: Times) -> Applicant {
        Applicant {
            engine: engine.to_owned(),
            holder: holder.to_owned(),
            had,
            times,
            seen: None,
            last_look: None,
        }
    }

    /// Counts from nought, because Redis was away.
    pub fn restart(&mut self) {
        self.seen = None;
        self.last_look = None;
    }

    /// What to do about the lease that was found when asked for at `asked`, with the answer there at `answered`.
    pub fn decide(&mut self, asked: Instant, answered: Instant, found: Option<&Lease>) -> Claim {
        let Some(lease) = found else {
            return Claim::Take { is_beating: false };
        };
        if lease.holder == self.holder {
            // What was sent before the break may still reach Redis.
            return Claim::Take { is_beating: true };
        }
        if self.had.is_some_and(|had| lease.epoch >= had) {
            return Claim::Superseded;
        }
        if matches!(lease.state, State::Away | State::Buried) {
            return Claim::Take { is_beating: false };
        }
        if lease.engine == self.engine {
            return Claim::Take { is_beating: true };
        }
        let gap = self.last_look.replace(answered);
        let has_gap = gap.is_some_and(|last| since(last, answered) > self.times.gap());
        match self.seen {
            Some((epoch, beat, state, first)) => {
                if (epoch, beat, state) != (lease.epoch, lease.beat, lease.state) {
                    return Claim::Taken(lease.engine.clone());
                }
                if has_gap {
                    self.see(lease, answered);
                } else if since(first, asked) >= self.times.lease {
                    return Claim::Take { is_beating: false };
                }
            }
            None => self.see(lease, answered),
        }
        Claim::Wait
    }

    fn see(&mut self, lease: &Lease, answered: Instant) {
        self.seen = Some((lease.epoch, lease.beat, lease.state, answered));
    }
}

/// An instance to bury: its epoch and beat as they were seen, for [`Roster::bury`](super::roster::Roster::bury).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suspect {
    /// Who it is.
    pub instance: String,
    /// The epoch to close.
    pub epoch: u64,
    /// The last beat that was seen.
    pub beat: u64,
}

/// A lease of another instance, as it has been since a moment.
#[derive(Debug)]
struct Sighting {
    epoch: u64,
    beat: u64,
    state: State,
    first: Instant,
    last: Instant,
}

/// Observes the other instances' leases and says who must be buried.
#[derive(Debug)]
pub struct Judge {
    me: String,
    times: Times,
    seen: BTreeMap<String, Sighting>,
    /// When my last beat was counted.
    last_beat: Option<Instant>,
    /// When my last look was answered.
    last_look: Option<Instant>,
}

impl Judge {
    /// The judge of the instance `me`.
    pub fn new(me: &str, times: Times) -> Judge {
        Judge {
            me: me.to_owned(),
            times,
            seen: BTreeMap::new(),
            last_beat: None,
            last_look: None,
        }
    }

    /// Counts every silence from nought: a call to Redis has failed, or my own lease is not mine.
    pub fn restart(&mut self) {
        self.seen.clear();
        self.last_beat = None;
        self.last_look = None;
    }

    /// My own beat was counted, which I know since `now`.
    pub fn beat_counted(&mut self, now: Instant) {
        self.check_gaps(now);
        self.last_beat = Some(now);
    }

    /// A look that was asked for at `asked`, with these leases in its answer, which was there at `answered`.
    pub fn observe(&mut self, asked: Instant, answered: Instant, leases: &[Lease]) {
        self.check_gaps(answered);
        self.last_look = Some(answered);
        let mut before = std::mem::take(&mut self.seen);
        for lease in leases.iter().filter(|lease| lease.instance != self.me) {
            let same = before.remove(&lease.instance).filter(|seen| {
                (seen.epoch, seen.beat, seen.state) == (lease.epoch, lease.beat, lease.state)
            });
            let sighting = Sighting {
                epoch: lease.epoch,
                beat: lease.beat,
                state: lease.state,
                first: same.as_ref().map_or(answered, |seen| seen.first),
                last: asked,
            };
            self.seen.insert(lease.instance.clone(), sighting);
        }
    }

    /// Who must be buried.
    pub fn judge(&mut self, now: Instant) -> Vec<Suspect> {
        self.check_gaps(now);
        if self.last_beat.is_none() {
            return Vec::new();
        }
        let is_due = |seen: &Sighting| {
            let patience = self.times.patience(seen.state);
            patience.is_some_and(|patience| since(seen.first, seen.last) >= patience)
        };
        let due = self.seen.iter().filter(|(_, seen)| is_due(seen));
        let suspects = due.map(|(name, seen)| Suspect {
            instance: name.clone(),
            epoch: seen.epoch,
            beat: seen.beat,
        });
        suspects.collect()
    }

    /// Counts from nought if I have not beaten, or not looked, for so long that anything may have happened meanwhile.
    fn check_gaps(&mut self, now: Instant) {
        let has_gap = [self.last_beat, self.last_look]
            .into_iter()
            .flatten()
            .any(|last| since(last, now) > self.times.gap());
        if has_gap {
            self.restart();
        }
    }
}

fn since(then: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(then)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTED: fn(u64) -> BeatAnswer = |beat| BeatAnswer::Counted {
        beat,
        has_changed: false,
    };

    #[test]
    fn an_answer_to_a_beat_has_one_meaning() {
        let lost = Meaning::Rejoin(Why::HistoryLost);
        for (answer, confirmed, sent, expected) in [
            (COUNTED(1), 0, 1, Meaning::GoOn),
            (COUNTED(8), 7, 8, Meaning::GoOn),
            // Two answers were lost; both beats, one, or none of them was counted, or is counted later.
            (COUNTED(10), 7, 10, Meaning::GoOn),
            (COUNTED(9), 7, 10, Meaning::GoOn),
            (COUNTED(8), 7, 10, Meaning::GoOn),
            // A count that was confirmed is not known any more.
            (COUNTED(7), 7, 8, lost),
            (COUNTED(3), 7, 12, lost),
            // More than were sent.
            (COUNTED(9), 7, 8, lost),
            (BeatAnswer::Unknown, 7, 8, lost),
            (BeatAnswer::Buried, 7, 8, Meaning::Rejoin(Why::Buried)),
            (BeatAnswer::Newer { epoch: 9 }, 7, 8, Meaning::LetGo),
        ] {
            assert_eq!(meaning(answer, confirmed, sent), expected, "{answer:?}");
        }
    }

    #[test]
    fn an_instance_that_tries_again_is_silent_for_less_than_a_lease() {
        for lease in [3, 4, 10, 60] {
            let times = Times {
                lease: Duration::from_secs(lease),
                ..Times::default()
            };
            // Redis was away unnoticed, just before the beat was due, and came back just after a try.
            let longest = times.gap() + times.interval() + times.retry();
            assert!(longest < times.lease, "{lease}");
        }
    }

    fn lease(instance: &str, epoch: u64, beat: u64, state: State) -> Lease {
        Lease {
            instance: instance.into(),
            epoch,
            beat,
            state,
            number: 1,
            engine: "its engine".into(),
            holder: "its process".into(),
            facts: String::new(),
        }
    }

    fn at(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    /// A minute of one observer: what happens when, and what it says then.
    #[derive(Clone, Copy)]
    enum Step {
        /// A beat of mine, a look and a judgement; the other's epoch, beat and state.
        Round(u64, u64, State),
        /// A beat of mine, and a look that lasts for so many seconds.
        Slow(f64, u64),
        /// My beat fails.
        Fail,
        /// The other is not in the table.
        Gone,
    }

    use State::{Away, Buried, Draining, Up};
    use Step::{Fail, Gone, Round, Slow};

    /// The seconds at which the other is to be buried.
    #[track_caller]
    fn check(steps: &[(f64, Step)], expected: &[f64]) {
        let start = Instant::now();
        let mut judge = Judge::new("me", Times::default());
        let mut due = Vec::new();
        for (second, step) in steps {
            let now = at(start, *second);
            match *step {
                Fail => judge.restart(),
                Round(epoch, beat, state) => {
                    judge.beat_counted(now);
                    let table = [lease("it", epoch, beat, state), lease("me", 1, 1, Up)];
                    judge.observe(now, now, &table);
                }
                Slow(seconds, beat) => {
                    judge.beat_counted(now);
                    let answered = at(now, seconds);
                    judge.observe(now, answered, &[lease("it", 1, beat, Up)]);
                }
                Gone => {
                    judge.beat_counted(now);
                    judge.observe(now, now, &[]);
                }
            }
            let suspects = judge.judge(now);
            for suspect in &suspects {
                assert_eq!(suspect.instance, "it");
            }
            if !suspects.is_empty() {
                due.push(*second);
            }
        }
        assert_eq!(due, expected);
    }

    /// A round every two seconds, at which the other is as `seen` says.
    fn rounds(seconds: std::ops::RangeInclusive<u32>, seen: Step) -> Vec<(f64, Step)> {
        let even = seconds.step_by(2);
        even.map(|second| (f64::from(second), seen)).collect()
    }

    #[test]
    fn who_is_silent_for_a_lease_is_buried() {
        check(&rounds(0..=12, Round(1, 5, Up)), &[10.0, 12.0]);
        check(&rounds(0..=10, Round(1, 5, Draining)), &[10.0]);
        check(&rounds(0..=9, Round(1, 5, Up)), &[]);
    }

    #[test]
    fn who_is_away_has_longer() {
        check(&rounds(0..=60, Round(1, 5, Away)), &[60.0]);
    }

    #[test]
    fn who_is_buried_or_gone_is_left_alone() {
        check(&rounds(0..=100, Round(1, 5, Buried)), &[]);
        check(&rounds(0..=100, Gone), &[]);
    }

    #[test]
    fn whatever_changes_is_a_sign_of_life() {
        let mut steps = rounds(0..=8, Round(1, 5, Up));
        steps.extend(rounds(10..=18, Round(1, 6, Up)));
        steps.extend(rounds(20..=28, Round(2, 6, Up)));
        steps.extend(rounds(30..=38, Round(2, 6, Draining)));
        // A beat lower than before is one too: Redis has forgotten some.
        steps.extend(rounds(40..=48, Round(2, 3, Draining)));
        check(&steps, &[]);
        steps.push((50.0, Round(2, 3, Draining)));
        check(&steps, &[50.0]);
    }

    #[test]
    fn a_lease_that_was_gone_is_counted_from_nought() {
        let mut steps = rounds(0..=8, Round(1, 5, Up));
        steps.push((9.0, Gone));
        steps.extend(rounds(10..=20, Round(1, 5, Up)));
        check(&steps, &[20.0]);
    }

    #[test]
    fn a_failure_of_one_s_own_restarts_every_count() {
        let mut steps = rounds(0..=8, Round(1, 5, Up));
        steps.push((9.0, Fail));
        steps.extend(rounds(10..=20, Round(1, 5, Up)));
        check(&steps, &[20.0]);
    }

    #[test]
    fn an_observer_that_stood_still_counts_from_nought() {
        let mut steps = rounds(0..=8, Round(1, 5, Up));
        // More than two beats' distance, four seconds.
        steps.push((12.1, Round(1, 5, Up)));
        steps.extend(rounds(14..=22, Round(1, 5, Up)));
        check(&steps, &[]);
        steps.push((24.0, Round(1, 5, Up)));
        check(&steps, &[24.0]);
        let steps = [0.0, 4.0, 8.0, 12.0].map(|second| (second, Round(1, 5, Up)));
        check(&steps, &[12.0]);
    }

    #[test]
    fn a_judge_that_stood_still_after_its_look_says_nothing() {
        let start = Instant::now();
        let mut judge = Judge::new("me", Times::default());
        for second in [0.0, 2.0, 4.0, 6.0, 8.0, 10.0] {
            let now = at(start, second);
            judge.beat_counted(now);
            judge.observe(now, now, &[lease("it", 1, 5, Up)]);
        }
        assert_eq!(judge.judge(at(start, 14.1)), []);
        // And not afterwards either.
        assert_eq!(judge.judge(at(start, 10.0)), []);
    }

    #[test]
    fn a_judge_that_does_not_beat_says_nothing() {
        let start = Instant::now();
        let mut judge = Judge::new("me", Times::default());
        for second in [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0] {
            let now = at(start, second);
            judge.observe(now, now, &[lease("it", 1, 5, Up)]);
            assert_eq!(judge.judge(now), []);
        }
        // Beats that stopped while the looks went on are a gap.
        judge.beat_counted(at(start, 12.0));
        assert_eq!(judge.judge(at(start, 12.0)).len(), 1);
        for second in [14.0, 16.0, 18.0] {
            let now = at(start, second);
            judge.observe(now, now, &[lease("it", 1, 5, Up)]);
        }
        assert_eq!(judge.judge(at(start, 18.0)), []);
    }

    /// The other's beat may have come while the first look's answer was on its way, and its next after the last look.
    #[test]
    fn a_slow_look_makes_no_silence_longer() {
        let mut steps = vec![(0.0, Slow(1.5, 5))];
        steps.extend(rounds(2..=10, Slow(0.0, 5)));
        check(&steps, &[]);
        steps.push((11.5, Slow(1.0, 5)));
        check(&steps, &[11.5]);
    }

    /// What an applicant does about leases that it sees at these seconds.
    #[track_caller]
    fn check_applicant(had: Option<u64>, seen: &[(f64, Option<Lease>)], expected: &[Claim]) {
        let start = Instant::now();
        let mut applicant = Applicant::new("my engine", "my process", had, Times::default());
        let claims: Vec<Claim> = seen
            .iter()
            .map(|(second, lease)| {
                let now = at(start, *second);
                applicant.decide(now, now, lease.as_ref())
            })
            .collect();
        assert_eq!(claims, expected);
    }

    const FREE: Claim = Claim::Take { is_beating: false };
    const BEATING: Claim = Claim::Take { is_beating: true };

    fn mine(state: State) -> Lease {
        Lease {
            engine: "my engine".into(),
            ..lease("me", 5, 5, state)
        }
    }

    fn others(beat: u64) -> Option<Lease> {
        Some(lease("me", 5, beat, Up))
    }

    #[test]
    fn a_lease_that_has_no_living_holder_is_taken() {
        check_applicant(None, &[(0.0, None)], &[FREE]);
        for state in [Away, Buried] {
            check_applicant(None, &[(0.0, Some(lease("me", 5, 5, state)))], &[FREE]);
        }
    }

    #[test]
    fn a_lease_with_the_same_engine_is_taken_immediately() {
        for state in [Up, Draining] {
            check_applicant(None, &[(0.0, Some(mine(state)))], &[BEATING]);
        }
    }

    #[test]
    fn another_host_that_beats_is_left_alone() {
        let seen = [(0.0, others(5)), (2.0, others(5)), (4.0, others(6))];
        let taken = Claim::Taken("its engine".into());
        check_applicant(None, &seen, &[Claim::Wait, Claim::Wait, taken]);
    }

    #[test]
    fn another_host_that_is_silent_for_a_lease_is_replaced() {
        let seen = [0.0, 3.0, 6.0, 9.0, 9.9, 10.0].map(|second| (second, others(5)));
        let mut expected = vec![Claim::Wait; 5];
        expected.push(FREE);
        check_applicant(None, &seen, &expected);
    }

    #[test]
    fn an_applicant_that_stood_still_counts_from_nought() {
        let seen = [0.0, 3.0, 7.1, 10.0, 13.0, 17.0, 17.1].map(|second| (second, others(5)));
        let mut expected = vec![Claim::Wait; 6];
        expected.push(FREE);
        check_applicant(None, &seen, &expected);
    }

    #[test]
    fn an_applicant_counts_from_nought_after_an_absence_of_redis() {
        let start = Instant::now();
        let mut applicant = Applicant::new("my engine", "my process", None, Times::default());
        for second in [0.0, 3.0, 6.0, 9.0] {
            let now = at(start, second);
            assert_eq!(
                applicant.decide(now, now, others(5).as_ref()),
                Claim::Wait,
                "{second}"
            );
        }
        applicant.restart();
        let now = at(start, 10.0);
        // A beat that came meanwhile is seen by the next one only.
        assert_eq!(applicant.decide(now, now, others(6).as_ref()), Claim::Wait);
        let now = at(start, 12.0);
        let taken = Claim::Taken("its engine".into());
        assert_eq!(applicant.decide(now, now, others(7).as_ref()), taken);
    }

    #[test]
    fn who_joins_again_yields_to_a_later_process() {
        for state in [Up, Draining, Away, Buried] {
            check_applicant(Some(4), &[(0.0, Some(mine(state)))], &[Claim::Superseded]);
            check_applicant(Some(5), &[(0.0, Some(mine(state)))], &[Claim::Superseded]);
        }
        // Redis has lost the later epochs.
        check_applicant(Some(6), &[(0.0, Some(mine(Up)))], &[BEATING]);
        check_applicant(Some(6), &[(0.0, others(1))], &[Claim::Wait]);
    }

    #[test]
    fn a_lease_of_one_s_own_is_taken_whatever_it_says() {
        for (had, state) in [(Some(5), Buried), (Some(4), Up), (Some(9), Up), (None, Up)] {
            let own = Lease {
                holder: "my process".into(),
                ..mine(state)
            };
            check_applicant(had, &[(0.0, Some(own))], &[BEATING]);
        }
    }
}
