//! A player's time runs from the moment the game is ready: not while they stand in line, nor while the Engine works.

use std::thread;
use std::time::Instant;

use fake_engine::FakeEngine;
use shellcraft::session::State;

use crate::containers::unique;
use crate::site::{Client, Game, Life, Site, wait_for};

/// Four are made at once; whoever comes then stands in line.
const AT_ONCE: usize = 4;

/// Waits until the reaper has looked at all sessions so many times more. Two looks are a tenth of the idle limit apart.
#[track_caller]
fn await_passes(site: &Client, count: f64) {
    let passes = || site.metric("reaper_passes_total");
    let before = passes();
    wait_for("the reaper to pass", || passes() >= before + count);
}

#[test]
fn nobody_s_time_runs_before_the_game_is_ready() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let manager = site.app().manager();
    engine.hang("ContainerCreate");
    let released = thread::scope(|scope| {
        let players: Vec<_> = (0..AT_ONCE + 2)
            .map(|_| scope.spawn(|| site.post("/session", "")))
            .collect();
        wait_for("two to stand in line", || manager.queue_length() == 2);
        let released = Instant::now();
        engine.release("ContainerCreate");
        for player in players {
            assert_eq!(player.join().expect("no panic").status, 201);
        }
        released
    });
    let sessions = manager.list();
    assert_eq!(sessions.len(), AT_ONCE + 2);
    for session in sessions {
        // By the first the lifetime is counted, by the second the idle time.
        assert!(session.since() >= released);
        assert!(session.hub.last_input() >= released);
    }
}

/// A player's cookie, and the data of a server that has their book.
fn player_with_a_book(engine: &FakeEngine) -> (String, Life) {
    let site = Site::start_as(&unique(), &engine.docker_host(), &[]);
    let reply = site.post("/session", "");
    let cookie = reply.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let game = Game::of(&reply);
    let put = site.request("PUT", &game.path("/spellbook"), &[], b"hi\techo\n");
    assert_eq!(put.status, 204);
    assert_eq!(site.delete(&game.path("")).status, 204);
    (cookie, site.leave())
}

/// It was idle in the pool for longer than a player may be, and the Engine takes as long to put the player's book in.
#[test]
fn a_game_from_the_pool_is_not_idle_before_its_player_has_it() {
    let engine = FakeEngine::start();
    let (cookie, life) = player_with_a_book(&engine);
    let flags = ["--pool-size", "1", "--idle-timeout", "300ms"];
    let site = Site::start_in(life, &engine.docker_host(), &flags);
    let manager = site.app().manager();
    wait_for("one to wait in the pool", || {
        manager.pool_counts().values().sum::<usize>() >= 1
    });
    await_passes(&site, 15.0);
    engine.hang("PutContainerArchive");
    let reply = thread::scope(|scope| {
        let player = scope.spawn(|| site.request("POST", "/session", &[("Cookie", &cookie)], b""));
        let claimed = || {
            let mut sessions = manager.list().into_iter();
            sessions.find(|session| session.owner().is_some())
        };
        wait_for("it to be claimed", || {
            claimed().is_some_and(|session| session.snapshot().state == State::Running)
        });
        await_passes(&site, 15.0);
        let session = claimed().expect("it is there");
        assert_eq!(session.snapshot().state, State::Running);
        engine.release("PutContainerArchive");
        player.join().expect("no panic")
    });
    assert_eq!(reply.status, 201, "{reply:?}");
}
