//! Who is buried and who is not, in fleets of which everything is simulated: clocks, standstills, deaths, and a Redis that
//! goes away. `PROPTEST_CASES` says how many fleets are tried; without it they are the same ones each time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};
use shellcraft::fleet::lease::{Judge, Suspect, Times};
use shellcraft::fleet::record::{Lease, State};

/// The simulation's step. Each of a round's parts takes one at least.
const STEP: u64 = 20;
/// How long a fleet is observed.
const END: u64 = 120_000;
/// A Redis that comes back stays for so long, in which an instance gets through that tries again each second.
const BACK_FOR: u64 = 1_500;

/// Something that lasts, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u64,
    until: u64,
}

fn is_within(spans: &[Span], now: u64) -> bool {
    let mut spans = spans.iter();
    spans.any(|span| (span.from..span.until).contains(&now))
}

/// What becomes of one instance.
#[derive(Debug, Clone)]
struct Fate {
    /// It stands still, and does not notice.
    frozen: Vec<Span>,
    dies: Option<u64>,
    /// It says so when it dies.
    says_away: bool,
    /// How much its clock is ahead.
    ahead: u64,
    /// When it begins.
    begins: u64,
    /// How many steps a call takes.
    call: u64,
    /// It stands still over each absence of Redis too.
    sleeps_over: bool,
}

#[derive(Debug, Clone)]
struct Story {
    lease: u64,
    away: Vec<Span>,
    fates: Vec<Fate>,
}

/// Spans one after the other, with `apart` between them at least.
fn spans(most: usize, longest: u64, apart: u64) -> impl Strategy<Value = Vec<Span>> {
    let each = (apart..END / 3, STEP..longest);
    prop::collection::vec(each, 0..most).prop_map(|all| {
        let mut now = 0;
        let mut spans = Vec::new();
        for (pause, length) in all {
            let from = now + pause;
            now = from + length;
            spans.push(Span { from, until: now });
        }
        spans
    })
}

fn fate(is_immortal: bool) -> impl Strategy<Value = Fate> {
    let frozen = spans(4, 40_000, 1);
    let dies = prop::option::weighted(0.5, 0..END * 2 / 3);
    let rest = (
        any::<bool>(),
        0..7_200_000u64,
        0..5_000u64,
        1..4u64,
        any::<bool>(),
    );
    (frozen, dies, rest).prop_map(move |(frozen, dies, rest)| {
        let (says_away, ahead, begins, call, sleeps_over) = rest;
        Fate {
            frozen: if is_immortal { Vec::new() } else { frozen },
            dies: dies.filter(|_| !is_immortal),
            says_away,
            ahead,
            begins,
            call,
            sleeps_over: sleeps_over && !is_immortal,
        }
    })
}

fn story() -> impl Strategy<Value = Story> {
    let lease = prop::sample::select(vec![3_000u64, 5_000, 10_000]);
    let away = spans(8, 15_000, BACK_FOR);
    // Some that only beat, so that there are victims of a wrong burial and one to see what is due.
    let beating = prop::collection::vec(fate(true), 2..4);
    let others = prop::collection::vec(fate(false), 1..5);
    (lease, away, beating, others).prop_map(|(lease, away, mut fates, others)| {
        fates.extend(others);
        for fate in fates.iter_mut().filter(|fate| fate.sleeps_over) {
            let sleep = |span: &Span| Span {
                from: span.from.saturating_sub(1_000),
                ..*span
            };
            fate.frozen.extend(away.iter().map(sleep));
        }
        Story { lease, away, fates }
    })
}

/// Where an instance is in its round.
#[derive(Debug, Clone)]
enum Part {
    Beat,
    Look,
    /// The look's answer, and when it was asked for.
    Answer(u64, Vec<Lease>),
    Bury(Vec<Suspect>),
}

struct Instance {
    fate: Fate,
    judge: Judge,
    epoch: u64,
    part: Part,
    next: u64,
    round_began: u64,
    /// When Redis has counted its last beat.
    counted: u64,
    buried: Option<u64>,
    is_gone: bool,
}

struct World {
    times: Times,
    away: Vec<Span>,
    base: Instant,
    redis: BTreeMap<usize, Lease>,
    instances: Vec<Instance>,
}

fn name(number: usize) -> String {
    format!("i{number}")
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

impl World {
    fn new(story: &Story) -> World {
        let times = Times {
            lease: Duration::from_millis(story.lease),
            away: Duration::from_millis(story.lease * 2),
        };
        let instances = story.fates.iter().enumerate();
        let instances = instances.map(|(number, fate)| Instance {
            fate: fate.clone(),
            judge: Judge::new(&name(number), times),
            epoch: 1,
            part: Part::Beat,
            next: fate.begins,
            round_began: 0,
            counted: 0,
            buried: None,
            is_gone: false,
        });
        World {
            times,
            away: story.away.clone(),
            base: Instant::now(),
            redis: BTreeMap::new(),
            instances: instances.collect(),
        }
    }

    /// What the instance's own clock says.
    fn clock(&self, number: usize, now: u64) -> Instant {
        self.base + Duration::from_millis(now + self.instances[number].fate.ahead)
    }

    /// One part of the round of one instance.
    fn step(&mut self, number: usize, now: u64) {
        let clock = self.clock(number, now);
        let is_away = is_within(&self.away, now);
        let (interval, retry) = (ms(self.times.interval()), ms(self.times.retry()));
        let instance = &mut self.instances[number];
        if instance.fate.dies.is_some_and(|dies| now >= dies) {
            instance.is_gone = true;
            if instance.fate.says_away
                && !is_away
                && let Some(lease) = self.redis.get_mut(&number)
                && lease.epoch == instance.epoch
                && lease.state == State::Up
            {
                lease.state = State::Away;
                lease.beat += 1;
                instance.counted = now;
            }
            return;
        }
        instance.next = now + instance.fate.call * STEP;
        let part = std::mem::replace(&mut instance.part, Part::Beat);
        let reads = !matches!(part, Part::Answer(..));
        if reads && is_away {
            instance.judge.restart();
            instance.next = now + retry;
            return;
        }
        match part {
            Part::Beat => {
                instance.round_began = now;
                instance.counted = now;
                let lease = self.redis.entry(number).or_insert_with(|| Lease {
                    instance: name(number),
                    epoch: 1,
                    beat: 0,
                    state: State::Up,
                    number: 1,
                    engine: String::new(),
                    holder: String::new(),
                    facts: String::new(),
                });
                if lease.state == State::Buried {
                    // It joins again.
                    instance.epoch += 1;
                    (lease.epoch, lease.beat, lease.state) = (instance.epoch, 0, State::Up);
                    instance.buried = None;
                    instance.judge.restart();
                } else {
                    lease.beat += 1;
                    instance.judge.beat_counted(clock);
                    instance.part = Part::Look;
                }
            }
            Part::Look => {
                let leases = self.redis.values().cloned().collect();
                instance.part = Part::Answer(now, leases);
            }
            Part::Answer(asked, leases) => {
                let asked = self.base + Duration::from_millis(asked + instance.fate.ahead);
                instance.judge.observe(asked, clock, &leases);
                instance.part = Part::Bury(instance.judge.judge(clock));
            }
            Part::Bury(suspects) => {
                instance.next = (instance.round_began + interval).max(now + STEP);
                for suspect in suspects {
                    self.bury(&suspect, now);
                }
            }
        }
    }

    fn bury(&mut self, suspect: &Suspect, now: u64) {
        let number = (0..self.instances.len())
            .find(|number| name(*number) == suspect.instance)
            .expect("an instance");
        let lease = self.redis.get_mut(&number).expect("a lease");
        if (lease.epoch, lease.beat) != (suspect.epoch, suspect.beat)
            || lease.state == State::Buried
        {
            return;
        }
        let patience = match lease.state {
            State::Away => self.times.away,
            _ => self.times.lease,
        };
        lease.state = State::Buried;
        let instance = &mut self.instances[number];
        instance.buried = Some(now);
        assert!(
            now - instance.counted >= ms(patience),
            "{number} was silent for {} ms only",
            now - instance.counted
        );
        let silent = instance.counted..=now;
        let was_frozen = instance.fate.frozen.iter().any(|span| {
            silent.contains(&span.from)
                || span.from < *silent.start() && span.until > *silent.start()
        });
        let is_dead = instance.fate.dies.is_some_and(|dies| dies <= now);
        assert!(
            was_frozen || is_dead,
            "{number} beats, and was buried at {now}"
        );
    }
}

/// Tells a fleet's story. In the end whoever is dead must be buried, in time.
fn tell(story: &Story) {
    let mut world = World::new(story);
    // The last absence of Redis and all starts are over: from then on there is time enough for any burial.
    let well = story.away.iter().map(|span| span.until).max().unwrap_or(0);
    let end = END.max(well) + story.lease * 4;
    for now in (0..end).step_by(STEP as usize) {
        for number in 0..world.instances.len() {
            let instance = &world.instances[number];
            let is_frozen = is_within(&instance.fate.frozen, now);
            if !instance.is_gone && !is_frozen && now >= instance.next {
                world.step(number, now);
            }
        }
    }
    let interval = ms(world.times.interval());
    for (number, instance) in world.instances.iter().enumerate() {
        let Some(lease) = world.redis.get(&number).filter(|_| instance.is_gone) else {
            continue;
        };
        assert_eq!(lease.state, State::Buried, "{number} is dead");
        let Some(buried) = instance.buried else {
            continue;
        };
        // Redis may go away again before it is due; then all counts begin anew.
        let silent = instance.counted.max(5_000);
        let patience = match (instance.fate.says_away, lease.beat) {
            (true, _) => ms(world.times.away),
            _ => story.lease,
        };
        let slack = ms(world.times.retry()) + 16 * STEP;
        let due = |from: u64| from + patience + 2 * interval + slack;
        let disturbed = story
            .away
            .iter()
            .filter(|span| span.from < buried && span.until > silent)
            .map(|span| span.until)
            .max();
        let healthy = disturbed.map_or(silent, |until| until.max(silent));
        assert!(
            buried <= due(healthy),
            "{number} was silent since {silent}, Redis well since {healthy}, and buried at {buried}"
        );
    }
}

fn config(cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: asked.and_then(|text| text.parse().ok()).unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    }
}

#[test]
fn who_beats_is_never_buried_and_who_is_dead_is_in_time() {
    proptest!(config(200), |(story in story())| tell(&story));
}

/// The shortest story in which an observer must not trust its own clock: it stands still over an absence of Redis, and is
/// the first to come back.
#[test]
fn an_observer_that_stood_still_over_an_absence_buries_none() {
    let fate = |frozen: &[Span], begins| Fate {
        frozen: frozen.to_vec(),
        dies: None,
        says_away: false,
        ahead: 0,
        begins,
        call: 1,
        sleeps_over: false,
    };
    let span = |from, until| Span { from, until };
    tell(&Story {
        lease: 10_000,
        // The one that beats tries at each full second.
        away: vec![span(20_000, 40_500)],
        fates: vec![fate(&[], 0), fate(&[span(19_000, 40_500)], 500)],
    });
}
