//! The fleet's leases in a real Redis: joins, beats, burials, and what becomes of them when Redis loses everything.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use shellcraft::fleet::beat::{Heartbeat, Settings};
use shellcraft::fleet::ears::Ears;
use shellcraft::fleet::host::Host;
use shellcraft::fleet::lease::{Times, Why};
use shellcraft::fleet::record::{BeatAnswer, Lease, Membership, State};
use shellcraft::fleet::roster::{Error, MOST_MEMBERS, Pulse, Roster, Saying};
use shellcraft::fleet::table::{Facts, Instances};
use shellcraft::redis::Url;

use crate::redis_server::RedisServer;
use crate::site::wait_for;

/// Times so short that a test need not wait for a burial, and so long that a busy machine is not taken for a dead one.
const SHORT: Times = Times {
    lease: Duration::from_secs(3),
    away: Duration::from_secs(6),
};
/// Times in which no test ends.
const LONG: Times = Times {
    lease: Duration::from_secs(600),
    away: Duration::from_secs(3600),
};

const UP: Saying<'_> = Saying {
    state: State::Up,
    facts: "{}",
};

fn url(server: &RedisServer) -> Url {
    server.url().parse().expect("a URL")
}

/// A process `holder` of an instance whose Engine has the instance's name.
fn roster(server: &RedisServer, instance: &str, holder: &str) -> Roster {
    Roster::new(&url(server), instance, instance, holder)
}

/// Joins, whatever lease there is.
#[track_caller]
fn join(roster: &Roster) -> Membership {
    let found = roster.read().expect("a look");
    let floor = found.as_ref().map_or(0, |lease| lease.epoch);
    let membership = roster.enlist(floor, None).expect("a place");
    let is_mine = roster.claim(membership, UP, found.as_ref(), true);
    assert!(is_mine.expect("a claim"));
    membership
}

#[track_caller]
fn lease(roster: &Roster) -> Lease {
    roster.read().expect("a look").expect("a lease")
}

fn counted(beat: u64, has_changed: bool) -> BeatAnswer {
    BeatAnswer::Counted { beat, has_changed }
}

#[test]
fn epochs_grow_and_numbers_stay() {
    let server = RedisServer::start();
    let (a, b) = (roster(&server, "a", "1"), roster(&server, "b", "1"));
    let of = |epoch, number| Membership { epoch, number };
    assert_eq!(join(&a), of(1, 1));
    assert_eq!(join(&b), of(2, 2));
    assert_eq!(join(&a), of(3, 1));
    // Whatever the counter has lost: the epoch is higher than the stored one and than mine.
    server.ask::<()>(&[b"DEL", b"shellcraft:fleet:epoch"]);
    assert_eq!(join(&a), of(4, 1));
    assert_eq!(b.enlist(40, None).expect("a place"), of(41, 2));
    assert_eq!(join(&a), of(42, 1));
    let expected = Lease {
        instance: "a".into(),
        epoch: 42,
        beat: 0,
        state: State::Up,
        number: 1,
        engine: "a".into(),
        holder: "1".into(),
        facts: "{}".into(),
    };
    assert_eq!(lease(&a), expected);
}

#[test]
fn a_number_is_never_given_again_but_found_again() {
    let server = RedisServer::start();
    let numbers = b"shellcraft:fleet:numbers";
    let enlist = |instance: &str, had| roster(&server, instance, "1").enlist(0, had);
    let number = |instance: &str, had| enlist(instance, had).expect("a place").number;
    assert_eq!((number("a", None), number("b", None)), (1, 2));
    // An instance that is forgotten keeps its number.
    server.ask::<()>(&[b"DEL", b"shellcraft:fleet:members"]);
    assert_eq!((number("c", None), number("a", None)), (3, 1));
    // Redis has lost the numbers: each gets its own again, unless another instance has it.
    server.ask::<()>(&[b"DEL", numbers]);
    assert_eq!((number("c", Some(3)), number("b", Some(2))), (3, 2));
    assert_eq!((number("d", None), number("e", Some(3))), (4, 5));
    assert_eq!(number("c", Some(1)), 3);
    // After the highest those that were freed by hand, and then none.
    server.ask::<()>(&[b"HSET", numbers, b"old", b"4095"]);
    assert_eq!(number("f", None), 1);
    let mut all: Vec<Vec<u8>> = vec![b"HSET".to_vec(), numbers.to_vec()];
    for number in 1..=4095 {
        all.extend([format!("i{number}").into_bytes(), number.to_string().into()]);
    }
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    server.ask::<()>(&all);
    assert!(matches!(enlist("g", None), Err(Error::NoNumber)));
    server.ask::<()>(&[b"HDEL", numbers, b"i77"]);
    // Another entry of the same number would mean that it is still given.
    assert_eq!(number("g", None), 77);
}

#[test]
fn the_65th_instance_has_no_place() {
    let server = RedisServer::start();
    let enlist = |number: usize| roster(&server, &format!("i{number}"), "1").enlist(0, None);
    for number in 0..MOST_MEMBERS {
        enlist(number).expect("a place");
    }
    let error = enlist(MOST_MEMBERS).expect_err("no place").to_string();
    assert!(error.contains("full") && error.contains("ZREM"), "{error}");
    assert_eq!(
        server.ask::<i64>(&[b"HLEN", b"shellcraft:fleet:numbers"]),
        64
    );
    // One that has a place may come again.
    enlist(7).expect("its place");
    // A place is free 30 days after its instance has beaten last.
    let time: Vec<u64> = server.ask(&[b"TIME"]);
    let days = |days: u64| (time[0] - days * 24 * 3600) * 1000;
    let beaten = |ms: u64| {
        let ms = ms.to_string();
        server.ask::<()>(&[b"ZADD", b"shellcraft:fleet:members", ms.as_bytes(), b"i9"]);
    };
    beaten(days(29));
    assert!(matches!(enlist(MOST_MEMBERS), Err(Error::Full)));
    beaten(days(31));
    assert_eq!(enlist(MOST_MEMBERS).expect("its place").number, 65);
    // A beat keeps the place, and one that Redis has lost is there again.
    assert!(matches!(enlist(9), Err(Error::Full)));
    server.ask::<()>(&[b"DEL", b"shellcraft:fleet:members"]);
    roster(&server, "i9", "1").pulse(0).expect("a pulse");
    let members: Vec<String> = server.ask(&[b"ZRANGE", b"shellcraft:fleet:members", b"0", b"-1"]);
    assert_eq!(members, ["i9"]);
}

#[test]
fn a_lease_is_claimed_as_it_was_read() {
    let server = RedisServer::start();
    let (old, new) = (roster(&server, "a", "1"), roster(&server, "a", "2"));
    // Two that see no lease: the second comes too late.
    let first = old.enlist(0, None).expect("a place");
    let second = new.enlist(0, None).expect("a place");
    assert!(old.claim(first, UP, None, false).expect("a claim"));
    assert!(!new.claim(second, UP, None, false).expect("a claim"));
    // A beat meanwhile is a sign of life, unless it does not matter.
    let seen = lease(&new);
    assert_eq!(old.beat(1, UP).expect("a beat"), counted(1, false));
    assert!(!new.claim(second, UP, Some(&seen), false).expect("a claim"));
    assert!(new.claim(second, UP, Some(&seen), true).expect("a claim"));
    // The lease of another epoch never is as it was.
    assert!(!old.claim(first, UP, Some(&seen), true).expect("a claim"));
    let newer = BeatAnswer::Newer { epoch: 2 };
    assert_eq!(old.beat(1, UP).expect("a beat"), newer);
    assert_eq!(new.beat(2, UP).expect("a beat"), counted(1, false));
}

#[test]
fn a_beat_is_counted_or_refused_for_one_of_three_reasons() {
    let server = RedisServer::start();
    let a = roster(&server, "a", "1");
    assert_eq!(a.beat(1, UP).expect("a beat"), BeatAnswer::Unknown);
    assert_eq!(join(&a).epoch, 1);
    let key = b"shellcraft:a:lease";
    server.ask::<()>(&[b"PEXPIRE", key, b"99999"]);
    assert_eq!(a.beat(1, UP).expect("a beat"), counted(1, false));
    let month = 30 * 24 * 3600 * 1000;
    let life: i64 = server.ask(&[b"PTTL", key]);
    assert!((month - 60_000..=month).contains(&life), "{life}");
    let draining = Saying {
        state: State::Draining,
        facts: "{\"a\": 1}",
    };
    assert_eq!(a.beat(1, draining).expect("a beat"), counted(2, true));
    assert_eq!(a.beat(1, draining).expect("a beat"), counted(3, false));
    let now = lease(&a);
    assert_eq!(
        (now.state, now.beat, now.facts.as_str()),
        (State::Draining, 3, "{\"a\": 1}")
    );
    // An earlier epoch is stored: Redis has lost mine.
    assert_eq!(a.beat(2, UP).expect("a beat"), BeatAnswer::Unknown);
    // A later one, or another process's of the same.
    let newer = BeatAnswer::Newer { epoch: 1 };
    assert_eq!(a.beat(0, UP).expect("a beat"), newer);
    let other = roster(&server, "a", "2");
    assert_eq!(other.beat(1, UP).expect("a beat"), newer);
    assert!(a.bury("a", 1, 3).expect("a burial"));
    assert_eq!(a.beat(1, UP).expect("a beat"), BeatAnswer::Buried);
    // Nothing of what was refused was written.
    let last = lease(&a);
    assert_eq!((last.state, last.beat), (State::Buried, 3));
    assert_eq!(last.facts, "{\"a\": 1}");
}

#[test]
fn of_many_who_bury_one_does() {
    let server = RedisServer::start();
    let target = roster(&server, "dead", "1");
    const BURIERS: usize = 8;
    let buriers: Vec<Roster> = (0..BURIERS)
        .map(|number| roster(&server, &format!("i{number}"), "1"))
        .collect();
    for _ in 0..20 {
        let epoch = join(&target).epoch;
        target.beat(epoch, UP).expect("a beat");
        let together = Barrier::new(BURIERS);
        let done: usize = thread::scope(|scope| {
            let threads: Vec<_> = buriers
                .iter()
                .map(|roster| {
                    let together = &together;
                    scope.spawn(move || {
                        together.wait();
                        usize::from(roster.bury("dead", epoch, 1).expect("a burial"))
                    })
                })
                .collect();
            let done = threads.into_iter();
            done.map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(done, 1);
        assert_eq!(lease(&target).state, State::Buried);
    }
}

#[test]
fn an_outdated_sight_buries_no_instance() {
    let server = RedisServer::start();
    let (a, b) = (roster(&server, "a", "1"), roster(&server, "b", "1"));
    join(&a);
    a.beat(1, UP).expect("a beat");
    assert!(!b.bury("a", 1, 0).expect("a burial"));
    assert!(!b.bury("a", 2, 1).expect("a burial"));
    assert!(!b.bury("nobody", 1, 1).expect("a burial"));
    assert_eq!(
        server.ask::<i64>(&[b"EXISTS", b"shellcraft:nobody:lease"]),
        0
    );
    assert_eq!(lease(&a).state, State::Up);
    // The next life has the same beat and another epoch.
    join(&a);
    a.beat(2, UP).expect("a beat");
    assert!(!b.bury("a", 1, 1).expect("a burial"));
    assert!(b.bury("a", 2, 1).expect("a burial"));
    assert!(!b.bury("a", 2, 1).expect("a burial"));
    // Away is no other act: it can be buried too.
    join(&a);
    let away = Saying {
        state: State::Away,
        ..UP
    };
    a.beat(3, away).expect("a beat");
    assert!(b.bury("a", 3, 1).expect("a burial"));
}

#[test]
fn a_look_finds_all_leases_and_changes_are_counted() {
    let server = RedisServer::start();
    let rosters = ["a", "b", "c"].map(|name| roster(&server, name, "1"));
    for roster in &rosters {
        join(roster);
    }
    // What can't be read does not keep the others from being read.
    for name in ["broken", "list", "empty", "large"] {
        roster(&server, name, "1").pulse(0).expect("a pulse");
    }
    server.ask::<()>(&[b"HSET", b"shellcraft:broken:lease", b"epoch", b"\xff"]);
    server.ask::<()>(&[b"RPUSH", b"shellcraft:list:lease", b"x"]);
    join(&roster(&server, "large", "1"));
    let long = "x".repeat(16 * 1024 + 1);
    server.ask::<()>(&[
        b"HSET",
        b"shellcraft:large:lease",
        b"facts",
        long.as_bytes(),
    ]);
    let look = rosters[0].look().expect("a look");
    let found: BTreeSet<(&str, u16, usize)> = look
        .leases
        .iter()
        .map(|lease| (lease.instance.as_str(), lease.number, lease.facts.len()))
        .collect();
    let expected = BTreeSet::from([("a", 1, 2), ("b", 2, 2), ("c", 3, 2), ("large", 4, 0)]);
    assert_eq!(found, expected);
    assert_eq!(look.unreadable, ["broken"]);
    // The joins' first steps count by themselves, the rest is counted when it is said.
    assert_eq!(look.revision, 4);
    server.ask::<()>(&[b"ZADD", b"shellcraft:fleet:queue", b"1", b"t1", b"2", b"t2"]);
    let pulse = |revision| Pulse {
        revision,
        queue_length: 2,
    };
    assert_eq!(rosters[1].pulse(0).expect("a pulse"), pulse(4));
    assert_eq!(rosters[1].pulse(2).expect("a pulse"), pulse(6));
    assert_eq!(rosters[2].look().expect("a look").revision, 6);
}

#[test]
fn a_lease_that_is_none_is_told_to_the_operator() {
    let server = RedisServer::start();
    server.ask::<()>(&[b"HSET", b"shellcraft:a:lease", b"epoch", b"x"]);
    let error = roster(&server, "a", "1").read().expect_err("no lease");
    assert!(error.to_string().contains("shellcraft:a:lease"), "{error}");
}

/// What the fleet has told a host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Joined(Membership),
    Rejoined(Membership, Why),
    Refused(String),
    Superseded,
    Buried(String),
    /// Each instance's state.
    Table(Vec<(String, State)>),
}

/// A server that only notes what it is told.
#[derive(Default)]
struct Notes {
    engine: String,
    asked_for_engine: AtomicUsize,
    told: Mutex<Vec<Told>>,
    queue_length: Mutex<u64>,
    is_draining: AtomicBool,
    /// How often it was asked for its facts, which is once a beat.
    asked: AtomicUsize,
}

impl Notes {
    fn note(&self, told: Told) {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(told);
    }

    fn told(&self) -> Vec<Told> {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    /// What it was told besides tables.
    fn events(&self) -> Vec<Told> {
        let mut told = self.told();
        told.retain(|one| !matches!(one, Told::Table(_)));
        told
    }

    fn has(&self, told: &Told) -> bool {
        self.told().contains(told)
    }
}

impl Host for Notes {
    fn engine_id(&self) -> Option<String> {
        // It is not known immediately.
        let asked = self.asked_for_engine.fetch_add(1, Ordering::SeqCst);
        (asked > 0).then(|| self.engine.clone())
    }
    fn facts(&self) -> Facts {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Facts {
            peer_url: "http://127.0.0.1:1".into(),
            version: "1".into(),
            ..Facts::default()
        }
    }
    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }
    fn joined(&self, membership: Membership) {
        self.note(Told::Joined(membership));
    }
    fn refused(&self, error: &Error) {
        self.note(Told::Refused(error.to_string()));
    }
    fn rejoined(&self, membership: Membership, why: Why) {
        self.note(Told::Rejoined(membership, why));
    }
    fn superseded(&self) {
        self.note(Told::Superseded);
    }
    fn buried(&self, instance: &str, _epoch: u64) {
        self.note(Told::Buried(instance.to_owned()));
    }
    fn table_changed(&self, instances: &Arc<Instances>) {
        let states = instances.iter().map(|one| (one.name.clone(), one.state));
        self.note(Told::Table(states.collect()));
    }
    fn pulse(&self, pulse: Pulse) {
        let mut length = self
            .queue_length
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *length = pulse.queue_length;
    }
}

/// An instance that is only its heartbeat.
struct Member {
    notes: Arc<Notes>,
    heartbeat: Heartbeat,
}

impl Member {
    fn start(server: &RedisServer, instance: &str, engine: &str, times: Times) -> Member {
        let notes = Arc::new(Notes {
            engine: engine.to_owned(),
            ..Notes::default()
        });
        let settings = Settings {
            instance: instance.to_owned(),
            last_epoch: 0,
            times,
        };
        let host = Arc::clone(&notes) as Arc<dyn Host>;
        let heartbeat = Heartbeat::start(&url(server), settings, host).expect("a thread");
        Member { notes, heartbeat }
    }

    #[track_caller]
    fn wait_for(&self, told: &Told) {
        wait_for(&format!("{told:?} among {:?}", self.notes.told()), || {
            self.notes.has(told)
        });
    }

    #[track_caller]
    fn joined(&self) -> Membership {
        let membership = || {
            let told = self.notes.told();
            told.into_iter().find_map(|told| match told {
                Told::Joined(membership) => Some(membership),
                _ => None,
            })
        };
        wait_for("the join", || membership().is_some());
        membership().expect("it was there")
    }

    /// How many beats it has tried.
    fn tries(&self) -> usize {
        self.notes.asked.load(Ordering::SeqCst)
    }

    /// What its table says last.
    fn states(&self) -> Vec<(String, State)> {
        let latest = self.heartbeat.table().latest();
        latest
            .iter()
            .map(|one| (one.name.clone(), one.state))
            .collect()
    }
}

fn states(of: &[(&str, State)]) -> Vec<(String, State)> {
    of.iter()
        .map(|(name, state)| ((*name).to_owned(), *state))
        .collect()
}

/// Waits until the instance was seen to beat so many times more.
#[track_caller]
fn await_beats(server: &RedisServer, instance: &str, count: u64) {
    let key = format!("shellcraft:{instance}:lease");
    let beat = || server.ask::<Option<u64>>(&[b"HGET", key.as_bytes(), b"beat"]);
    let before = beat().expect("a lease");
    wait_for("beats", || {
        beat().is_some_and(|beat| beat >= before + count)
    });
}

#[test]
fn three_instances_know_each_other_and_a_silent_one_is_buried() {
    let server = RedisServer::start();
    // A process that has died after its first beat.
    let dead = roster(&server, "dead", "1");
    let epoch = join(&dead).epoch;
    let facts = Notes::default().facts().to_json();
    let saying = Saying {
        state: State::Up,
        facts: &facts,
    };
    dead.beat(epoch, saying).expect("a beat");
    let members = ["a", "b", "c"].map(|name| Member::start(&server, name, name, SHORT));
    let numbers: BTreeSet<u16> = members
        .iter()
        .map(|member| member.joined().number)
        .collect();
    assert_eq!(numbers, BTreeSet::from([2, 3, 4]));
    let expected = states(&[
        ("a", State::Up),
        ("b", State::Up),
        ("c", State::Up),
        ("dead", State::Buried),
    ]);
    for member in &members {
        wait_for("the table of all", || member.states() == expected);
    }
    let buried = |member: &Member| {
        let told = member.notes.events().into_iter();
        told.filter(|one| matches!(one, Told::Buried(_))).count()
    };
    assert_eq!(members.iter().map(buried).sum::<usize>(), 1);
    // The dead one comes back, and knows what has happened.
    assert_eq!(
        dead.beat(epoch, saying).expect("a beat"),
        BeatAnswer::Buried
    );
    // Those that beat go on as they were.
    for name in ["a", "b", "c"] {
        await_beats(&server, name, 10);
    }
    for member in &members {
        let told = member.notes.events().into_iter();
        let told: Vec<Told> = told.filter(|one| !matches!(one, Told::Buried(_))).collect();
        assert_eq!(told, [Told::Joined(member.joined())]);
    }
}

#[test]
fn a_drain_and_an_end_are_told() {
    let server = RedisServer::start();
    let (a, b) = (
        Member::start(&server, "a", "a", SHORT),
        Member::start(&server, "b", "b", SHORT),
    );
    a.joined();
    b.joined();
    server.ask::<()>(&[b"ZADD", b"shellcraft:fleet:queue", b"1", b"ticket"]);
    a.notes.is_draining.store(true, Ordering::SeqCst);
    let expected = states(&[("a", State::Draining), ("b", State::Up)]);
    wait_for("the drain", || b.states() == expected);
    a.heartbeat.stop();
    let expected = states(&[("a", State::Away), ("b", State::Up)]);
    wait_for("the end", || b.states() == expected);
    assert_eq!(*b.notes.queue_length.lock().expect("a number"), 1);
    // It does not come back: it is buried after all.
    b.wait_for(&Told::Buried("a".into()));
}

#[test]
fn a_new_process_with_the_same_engine_takes_over() {
    let server = RedisServer::start();
    let old = Member::start(&server, "a", "engine", LONG);
    let first = old.joined();
    let new = Member::start(&server, "a", "engine", SHORT);
    let second = new.joined();
    assert_eq!(second.number, first.number);
    assert!(second.epoch > first.epoch);
    // The old one is told at its next beat, which is far away here.
    assert_eq!(old.notes.events(), [Told::Joined(first)]);
    old.heartbeat.stop();
    await_beats(&server, "a", 3);
    // Its end changes nothing for the new one.
    assert_eq!(new.states(), states(&[("a", State::Up)]));
    assert_eq!(new.notes.events(), [Told::Joined(second)]);
    // One that beats is told, and ends.
    let newest = Member::start(&server, "a", "engine", LONG);
    newest.joined();
    new.wait_for(&Told::Superseded);
    assert_eq!(new.notes.events().last(), Some(&Told::Superseded));
}

#[test]
fn another_host_of_the_same_name_is_refused_while_the_first_lives() {
    let server = RedisServer::start();
    let first = Member::start(&server, "a", "one", SHORT);
    let membership = first.joined();
    let second = Member::start(&server, "a", "two", SHORT);
    wait_for("the refusal", || !second.notes.events().is_empty());
    let told = second.notes.events();
    let [Told::Refused(words)] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(words.contains("another host uses this INSTANCE"), "{words}");
    await_beats(&server, "a", 3);
    assert_eq!(first.notes.events(), [Told::Joined(membership)]);
    // Once it has said that it ends, the name is free.
    first.heartbeat.stop();
    let third = Member::start(&server, "a", "two", SHORT);
    assert_eq!(third.joined().number, membership.number);
}

#[test]
fn another_host_of_the_same_name_takes_over_when_the_first_is_silent() {
    let server = RedisServer::start();
    let dead = roster(&server, "a", "1");
    let epoch = join(&dead).epoch;
    let member = Member::start(&server, "a", "another", SHORT);
    assert!(member.joined().epoch > epoch);
    assert!(matches!(dead.beat(epoch, UP), Ok(BeatAnswer::Newer { .. })));
}

#[test]
fn an_instance_that_was_buried_joins_again_in_place() {
    let server = RedisServer::start();
    let member = Member::start(&server, "a", "a", SHORT);
    let first = member.joined();
    let other = roster(&server, "b", "1");
    // It may beat in between.
    wait_for("the burial", || {
        let seen = lease(&roster(&server, "a", "?"));
        other.bury("a", seen.epoch, seen.beat).expect("a burial")
    });
    let again = Membership {
        epoch: first.epoch + 1,
        ..first
    };
    member.wait_for(&Told::Rejoined(again, Why::Buried));
    await_beats(&server, "a", 3);
}

/// An absence of any length buries none of those who are there afterwards.
#[test]
fn an_absence_of_redis_buries_no_instance() {
    let server = RedisServer::start();
    let members = ["a", "b", "c"].map(|name| Member::start(&server, name, name, SHORT));
    for member in &members {
        member.joined();
    }
    for _ in 0..2 {
        for name in ["a", "b", "c"] {
            await_beats(&server, name, 2);
        }
        server.kill();
        let tries = || members.each_ref().map(Member::tries);
        let before = tries();
        let killed = Instant::now();
        // A call that fails lasts three seconds, a lease.
        wait_for("two tries of each to fail", || {
            let mut now = tries().into_iter().zip(before);
            now.all(|(now, before)| now >= before + 3)
        });
        assert!(killed.elapsed() > SHORT.lease);
        server.restart();
    }
    for name in ["a", "b", "c"] {
        await_beats(&server, name, 10);
    }
    for member in &members {
        assert_eq!(member.notes.events(), [Told::Joined(member.joined())]);
    }
}

/// Redis comes back with nothing, as after a failover to an empty replica.
#[test]
fn instances_that_redis_has_forgotten_join_again_as_who_they_were() {
    let server = RedisServer::start();
    let members = ["a", "b", "c"].map(|name| Member::start(&server, name, name, SHORT));
    let before = members.each_ref().map(Member::joined);
    for name in ["a", "b", "c"] {
        await_beats(&server, name, 2);
    }
    server.ask::<()>(&[b"FLUSHALL"]);
    server.kill();
    server.restart();
    for (member, before) in members.iter().zip(before) {
        let again = || {
            let told = member.notes.events().into_iter();
            let mut again = told.filter_map(|one| match one {
                Told::Rejoined(membership, Why::HistoryLost) => Some(membership),
                _ => None,
            });
            again.next()
        };
        wait_for("the new join", || again().is_some());
        let again = again().expect("it was there");
        assert_eq!(again.number, before.number);
        assert!(again.epoch > before.epoch);
    }
    let expected = states(&[("a", State::Up), ("b", State::Up), ("c", State::Up)]);
    for member in &members {
        wait_for("the table of all", || member.states() == expected);
    }
}

/// Some confirmed beats are lost and the lease is not, as after a failover to a replica that lags.
#[test]
fn a_beat_that_comes_twice_tells_of_lost_history() {
    let server = RedisServer::start();
    let member = Member::start(&server, "a", "a", SHORT);
    let first = member.joined();
    await_beats(&server, "a", 3);
    server.ask::<()>(&[b"HINCRBY", b"shellcraft:a:lease", b"beat", b"-2"]);
    let again = Membership {
        epoch: first.epoch + 1,
        ..first
    };
    member.wait_for(&Told::Rejoined(again, Why::HistoryLost));
}

/// What another instance says wakes those that listen; without that they would look after two minutes.
#[test]
fn what_is_announced_is_seen_before_the_next_beat() {
    let server = RedisServer::start();
    let a = Member::start(&server, "a", "a", LONG);
    a.joined();
    let ears = Ears::start(&url(&server), a.heartbeat.waker()).expect("a thread");
    let listeners = || {
        let found: Vec<(String, i64)> = server.ask(&[b"PUBSUB", b"NUMSUB", b"shellcraft:fleet:0"]);
        found[0].1
    };
    wait_for("the subscription", || listeners() == 1);
    let b = Member::start(&server, "b", "b", LONG);
    let both = states(&[("a", State::Up), ("b", State::Up)]);
    wait_for("the join to be seen", || a.states() == both);
    // A new subscription makes it look too: what was said meanwhile is lost.
    server.ask::<()>(&[b"CLIENT", b"KILL", b"TYPE", b"pubsub"]);
    wait_for("another subscription", || listeners() == 1);
    b.heartbeat.stop();
    let gone = states(&[("a", State::Up), ("b", State::Away)]);
    wait_for("the end to be seen", || a.states() == gone);
    ears.stop();
    a.heartbeat.stop();
}
