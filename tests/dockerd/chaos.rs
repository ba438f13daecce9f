//! Servers, Engines and Redis are killed with `kill -9` at moments that nobody chose, while players play: each page
//! comes back to its own session, each book is whole and no older than it was said to be saved, and at the end
//! nothing is left over.
//!
//! `CHAOS_ROUNDS` says how often servers are killed, and a tenth of it how often the rest; `CHAOS_SEED` repeats what a
//! test that failed has printed. `make chaos` does 200 rounds, each time with another seed; without one the dice fall
//! the same way each time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::busybox;
use crate::chaos_arena::{Arena, let_pass};
use crate::chaos_player::{Chaotic, Hand};
use crate::containers::PATIENCE;
use crate::dice::Dice;
use crate::docker;
use crate::redis_server::RedisServer;
use crate::restart::Daemon;
use crate::site::wait_for;

const SHELLS: &str = "rust=shellcraft/rust,perl=shellcraft/perl,busybox=shellcraft-test/busybox";
const BUSYBOX_ONLY: &str = "busybox=shellcraft-test/busybox";
/// The longest that a server lives between two kills, in milliseconds. Creating takes half as long.
const LIFE_MS: u64 = 600;

/// How often servers are killed: few times by default, for everybody waits for these tests.
pub fn rounds() -> u64 {
    let text = std::env::var("CHAOS_ROUNDS").unwrap_or_else(|_| "4".into());
    text.parse().expect("CHAOS_ROUNDS is a number")
}

/// How often what is slower to come back is killed.
fn slow_rounds() -> u64 {
    (rounds() / 10).max(2)
}

/// The chance of this run, printed so that it can be repeated.
pub fn dice(test: &str) -> Dice {
    let text = std::env::var("CHAOS_SEED").unwrap_or_else(|_| "20".into());
    eprintln!("{test}: CHAOS_SEED={text}");
    let seed: u64 = text.parse().expect("CHAOS_SEED is a number");
    // These dice never leave zero.
    Dice(seed.max(1))
}

/// Players on threads of their own.
pub struct Crowd {
    threads: Vec<JoinHandle<Chaotic>>,
    /// The number of each disaster that one of them has survived.
    survivors: Receiver<(usize, u64)>,
}

impl Crowd {
    pub fn start(players: Vec<Chaotic>) -> Crowd {
        let (sender, survivors) = unbounded();
        let threads = players.into_iter().enumerate().map(|(number, mut player)| {
            let sender: Sender<(usize, u64)> = sender.clone();
            let play = move || {
                // Nobody listens once the test has failed.
                player.play(|disaster| {
                    let _ = sender.send((number, disaster));
                });
                player
            };
            let builder = std::thread::Builder::new().name(format!("chaotic-{number}"));
            builder.spawn(play).expect("a thread")
        });
        Crowd {
            threads: threads.collect(),
            survivors,
        }
    }

    /// Waits until all of them have survived everything so far.
    #[track_caller]
    pub fn wait_for_all(&self, arena: &Arena) {
        let disaster = arena.disasters();
        let due = Instant::now() + PATIENCE * 4;
        let mut missing: Vec<_> = (0..self.threads.len()).collect();
        while !missing.is_empty() {
            let soon = Duration::from_millis(100);
            if let Ok((number, survived)) = self.survivors.recv_timeout(soon)
                && survived >= disaster
            {
                missing.retain(|other| *other != number);
            }
            let dead = self.threads.iter().any(JoinHandle::is_finished);
            assert!(!dead, "a player gave up, see above");
            assert!(
                Instant::now() < due,
                "disaster {disaster}: {missing:?} are not back\n{}",
                arena.log()
            );
        }
    }

    /// Lets them finish, and tells what they did.
    #[track_caller]
    pub fn end(self, arena: &Arena) -> (u64, u64) {
        arena.is_over.store(true, Ordering::SeqCst);
        self.threads.into_iter().fold((0, 0), |sum, thread| {
            let player = thread.join().expect("a player gave up, see above");
            (sum.0 + player.games, sum.1 + player.versions)
        })
    }
}

/// Players who upload and players who learn, on the shells of this machine's Engine.
fn players(arena: &Arc<Arena>, dice: &mut Dice) -> Vec<Chaotic> {
    let hands = [
        (Hand::Uploads, "busybox"),
        (Hand::Learns, "rust"),
        (Hand::Uploads, "busybox"),
        (Hand::Learns, "perl"),
    ];
    let seat = |(hand, shell)| Chaotic::new(arena, dice.below(u64::MAX) | 1, hand, shell, false);
    hands.map(seat).into_iter().collect()
}

/// Lets `disaster` happen so often while they play, and looks at the end whether anything is left.
#[track_caller]
fn survive(
    test: &str,
    arena: &Arc<Arena>,
    players: Vec<Chaotic>,
    (rounds, dice): (u64, &mut Dice),
    mut disaster: impl FnMut(&Arena, &mut Dice),
) {
    let began = Instant::now();
    let crowd = Crowd::start(players);
    crowd.wait_for_all(arena);
    for _ in 0..rounds {
        let_pass(Duration::from_millis(dice.below(LIFE_MS)));
        disaster(arena, dice);
        arena.disaster.fetch_add(1, Ordering::SeqCst);
        crowd.wait_for_all(arena);
    }
    let (games, versions) = crowd.end(arena);
    arena.close();
    let took = began.elapsed();
    eprintln!("{test}: {rounds} rounds, {games} games, {versions} versions in {took:.1?}");
}

#[test]
fn killed_servers_lose_nothing_of_a_directory() {
    let test = "servers on a directory";
    let mut dice = dice(test);
    let engine = docker::engine();
    busybox::image(&engine);
    let flags = [
        "--shells",
        SHELLS,
        "--pool-size",
        "1",
        "--save-interval",
        "1s",
    ];
    let arena = Arc::new(Arena::open(&docker::host(), &flags));
    let players = players(&arena, &mut dice);
    survive(test, &arena, players, (rounds(), &mut dice), |arena, _| {
        arena.kill_server();
    });
}

#[test]
fn killed_servers_lose_nothing_of_redis() {
    let test = "servers on Redis";
    let mut dice = dice(test);
    busybox::image(&docker::engine());
    let redis = RedisServer::start();
    let url = redis.url();
    let flags = ["--shells", SHELLS, "--pool-size", "1", "--redis-url", &url];
    let arena = Arc::new(Arena::open(&docker::host(), &flags));
    let players = players(&arena, &mut dice);
    survive(test, &arena, players, (rounds(), &mut dice), |arena, _| {
        arena.kill_server();
    });
    assert_no_records(&redis, &arena);
}

#[test]
fn a_killed_redis_loses_nothing() {
    let test = "Redis";
    let mut dice = dice(test);
    busybox::image(&docker::engine());
    let redis = RedisServer::start();
    let url = redis.url();
    let flags = [
        "--shells",
        SHELLS,
        "--redis-url",
        &url,
        "--save-interval",
        "1s",
    ];
    let arena = Arc::new(Arena::open(&docker::host(), &flags));
    let players = players(&arena, &mut dice);
    survive(
        test,
        &arena,
        players,
        (slow_rounds(), &mut dice),
        |arena, dice| {
            redis.kill();
            let_pass(Duration::from_millis(dice.below(LIFE_MS)));
            redis.restart();
            arena.wait_until_ready();
        },
    );
    assert_no_records(&redis, &arena);
}

#[track_caller]
fn assert_no_records(redis: &RedisServer, arena: &Arena) {
    let pattern = format!("shellcraft:{}:*", arena.instance);
    let keys: Vec<String> = redis.ask(&[b"KEYS", pattern.as_bytes()]);
    let left: Vec<_> = keys
        .iter()
        .filter(|key| !key.ends_with(":check:0"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// An Engine of the test's own, once with containers that outlive it and once with such that do not.
#[track_caller]
fn engines(test: &str, daemon_flags: &[&str]) {
    let mut dice = dice(test);
    let mut daemon = Daemon::start(daemon_flags);
    let flags = ["--shells", BUSYBOX_ONLY, "--pool-size", "1"];
    let arena = Arc::new(Arena::open(&daemon.docker_host(), &flags));
    let may_lose_games = daemon_flags.is_empty();
    let players = (0..3).map(|_| {
        let seed = dice.below(u64::MAX) | 1;
        Chaotic::new(&arena, seed, Hand::Uploads, "busybox", may_lose_games)
    });
    let players = players.collect();
    survive(
        test,
        &arena,
        players,
        (slow_rounds(), &mut dice),
        |arena, _| {
            daemon.end("KILL");
            daemon.start_again();
            arena.wait_until_ready();
        },
    );
}

#[test]
fn a_killed_engine_loses_nothing() {
    engines("Engine", &["--live-restore"]);
}

#[test]
fn a_killed_engine_that_takes_its_containers_along_loses_no_book() {
    engines("Engine without live-restore", &[]);
}

/// Two instances on one Engine, whose servers are killed in turn.
#[test]
fn neighbours_leave_each_other_alone() {
    let test = "neighbours";
    let mut dice = dice(test);
    busybox::image(&docker::engine());
    let flags = ["--shells", BUSYBOX_ONLY, "--pool-size", "1"];
    let began = Instant::now();
    let sides = [(); 2].map(|()| {
        let arena = Arc::new(Arena::open(&docker::host(), &flags));
        let players = [(); 2].map(|()| {
            let seed = dice.below(u64::MAX) | 1;
            Chaotic::new(&arena, seed, Hand::Uploads, "busybox", false)
        });
        let crowd = Crowd::start(players.into_iter().collect());
        (arena, crowd)
    });
    for (arena, crowd) in &sides {
        crowd.wait_for_all(arena);
    }
    for _ in 0..rounds() {
        let_pass(Duration::from_millis(dice.below(LIFE_MS)));
        let (arena, crowd) = &sides[dice.below(2) as usize];
        arena.kill_server();
        arena.disaster.fetch_add(1, Ordering::SeqCst);
        crowd.wait_for_all(arena);
    }
    // One side goes altogether; the other's players play on as if nothing had been.
    let [(one, ones), (other, others)] = sides;
    let (games, versions) = ones.end(&one);
    one.close();
    other.disaster.fetch_add(1, Ordering::SeqCst);
    others.wait_for_all(&other);
    wait_for("its containers to be there", || {
        !other.containers().is_empty()
    });
    let (more_games, more_versions) = others.end(&other);
    other.close();
    eprintln!(
        "{test}: {} rounds, {} games, {} versions in {:.1?}",
        rounds(),
        games + more_games,
        versions + more_versions,
        began.elapsed()
    );
}
