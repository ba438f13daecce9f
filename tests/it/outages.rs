//! The Engine or the store is away, hangs, is slow: running terminals go on, nothing is lost, all recovers by itself.

use std::path::Path;
use std::time::Duration;

use fake_engine::FakeEngine;
use serde_json::Value;

use crate::containers::{PATIENCE, unique};
use crate::redis_server::RedisServer;
use crate::site::{ADMIN_TOKEN, Client, Game, Life, Site, wait_for};
use crate::store_dir::{Tmpfs, remount};

const BOOK: &str = "/home/spellbook.dat";

fn name(game: &Game) -> String {
    format!("shellcraft-{}", game.id)
}

/// The status and the error's code.
fn outcome(site: &Client, method: &str, path: &str) -> (u16, String) {
    let reply = site.request(method, path, &[], b"");
    let code = if reply.body.is_empty() {
        Value::Null
    } else {
        reply.json()["error"]["code"].clone()
    };
    (reply.status, code.as_str().unwrap_or_default().to_owned())
}

/// What sends the store away and brings it back.
struct Switch<'a> {
    away: &'a dyn Fn(),
    back: &'a dyn Fn(),
}

/// One list for all stores.
fn an_outage_of_the_store(engine: &FakeEngine, site: &Site, store: &Switch<'_>) {
    let played = site.create("rust");
    let ends = site.create("rust");
    let mut player = site.raw(&played);
    player.expect("$ ");
    engine.write_file(&name(&ends), BOOK, b"safe\techo\n");
    let ready = || site.get("/readyz").status;
    wait_for("readiness", || ready() == 200);

    (store.away)();
    wait_for("the outage to be told", || ready() == 503);
    let reply = site.get("/readyz");
    assert_eq!(
        reply.json()["error"]["code"],
        "store_unavailable",
        "{reply:?}"
    );
    assert_eq!(site.metric("store_up"), 0.0);
    assert_eq!(site.metric("engine_up"), 1.0);
    assert_eq!(site.get("/healthz").status, 200);
    assert_eq!(site.get("/readyz?for=balancer").status, 200);
    let (status, code) = outcome(site, "POST", "/session");
    assert_eq!((status, code.as_str()), (503, "store_unavailable"));
    // Who plays does not notice.
    player.type_in("echo on\n");
    player.expect("\r\non\r\n");
    // Who has left must not lose anything.
    engine.exit(&name(&ends), 0);
    wait_for("the book to be called unsafe", || {
        site.metric("spellbooks_unsafe") == 1.0
    });
    wait_for("tries to save it", || {
        site.metric("spellbook_saves_total{outcome=\"failed\"}") >= 2.0
    });
    let status = site.get(&ends.path("/status")).json();
    assert_eq!(status["status"], "stopped", "{status}");
    assert!(engine.container(&name(&ends)).is_some());

    (store.back)();
    wait_for("the container to be removed", || {
        engine.container(&name(&ends)).is_none()
    });
    wait_for("readiness", || ready() == 200);
    assert_eq!(site.metric("store_up"), 1.0);
    assert_eq!(site.metric("spellbooks_unsafe"), 0.0);
    wait_for("new games", || outcome(site, "POST", "/session").0 == 201);
    player.type_in("echo still\n");
    player.expect("\r\nstill\r\n");
}

#[test]
fn redis_goes_away_and_comes_back() {
    let redis = RedisServer::start();
    let engine = FakeEngine::start();
    let url = redis.url();
    let site = Site::start(&engine.docker_host(), &["--redis-url", &url]);
    let store = Switch {
        away: &|| redis.kill(),
        back: &|| redis.restart(),
    };
    an_outage_of_the_store(&engine, &site, &store);
    assert_eq!(site.stop(), 0);
    assert!(engine.containers().is_empty());
}

/// A server that is told to end its games while the store is away leaves their containers, with the books in them, to the
/// next start.
#[test]
fn what_can_t_be_saved_at_the_end_is_saved_by_the_next_start() {
    let redis = RedisServer::start();
    let engine = FakeEngine::start();
    let url = redis.url();
    let flags = ["--redis-url", &url, "--shutdown-grace", "3s"];
    let site = Site::start(&engine.docker_host(), &flags);
    let game = site.create("rust");
    engine.write_file(&name(&game), BOOK, b"late\techo\n");
    redis.kill();
    let life = site.life();
    site.stop();
    assert_eq!(
        engine.read_file(&name(&game), BOOK),
        Some((b"late\techo\n".to_vec(), 1000)),
        "it is in its container still"
    );
    redis.restart();
    let site = Site::start_in(life, &engine.docker_host(), &flags);
    wait_for("the container to be removed", || {
        engine.containers().is_empty()
    });
    assert_eq!(site.metric("spellbook_saves_total{outcome=\"saved\"}"), 1.0);
}

/// Redis may forget a record that nobody has written for a week. A game that lasts longer is not forgotten.
#[test]
fn records_of_games_that_go_on_are_renewed() {
    const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;
    let redis = RedisServer::start();
    let engine = FakeEngine::start();
    let url = redis.url();
    let site = Site::start(&engine.docker_host(), &["--redis-url", &url]);
    let game = site.create("rust");
    let key = format!("shellcraft:{}:session:{}", site.instance, game.id);
    let life = || redis.ask::<i64>(&[b"PTTL", key.as_bytes()]);
    assert!(life() > WEEK_MS - 3_600_000, "{}", life());
    // As if six days had passed.
    redis.ask::<i64>(&[b"PEXPIRE", key.as_bytes(), b"86400000"]);
    site.app().manager().renew_records().expect("Redis answers");
    assert!(life() > WEEK_MS - 3_600_000, "{}", life());
    assert_eq!(site.delete(&game.path("")).status, 204);
    assert_eq!(life(), -2, "and one that is over is not made again");
    site.app().manager().renew_records().expect("Redis answers");
    assert_eq!(life(), -2);
}

/// Before the store has told, nobody knows who is revoked, and nobody is told that it is no one.
#[test]
fn who_is_revoked_is_not_guessed_while_redis_is_away() {
    let redis = RedisServer::start();
    let engine = FakeEngine::start();
    let url = redis.url();
    redis.kill();
    let site = Site::start(&engine.docker_host(), &["--redis-url", &url]);
    let operator = format!("Bearer {ADMIN_TOKEN}");
    let list = || {
        let headers = [("Authorization", operator.as_str())];
        site.request("GET", "/admin/revoked", &headers, b"")
    };
    assert_eq!((list().status, list().code()), (503, "starting".to_owned()));
    redis.restart();
    wait_for("the list", || list().status == 200);
    assert_eq!(list().json()["revoked"], serde_json::json!([]));
}

/// A server with the directory store on a disk of its own, which `away` and `back` make useless and useful again.
fn on_a_disk(away: &dyn Fn(&Path), back: &dyn Fn(&Path)) {
    let engine = FakeEngine::start();
    let life = Life::new(&unique());
    let path = life.data_dir().to_owned();
    let disk = Tmpfs::over(&path, "size=4m");
    let site = Site::start_in(life, &engine.docker_host(), &[]);
    let store = Switch {
        away: &|| away(disk.path()),
        back: &|| back(disk.path()),
    };
    an_outage_of_the_store(&engine, &site, &store);
    assert_eq!(site.stop(), 0);
    assert!(engine.containers().is_empty());
}

#[test]
fn the_disk_becomes_read_only_and_writable_again() {
    on_a_disk(&|disk| remount("remount,ro", disk), &|disk| {
        remount("remount,rw", disk)
    });
}

#[test]
fn the_disk_is_full_and_has_room_again() {
    let ballast = |disk: &Path| disk.join("ballast");
    let fill = |disk: &Path| {
        let filled = std::fs::write(ballast(disk), vec![1; 4 << 20]);
        assert!(filled.is_err(), "the disk is bigger than that");
    };
    on_a_disk(&fill, &|disk| {
        std::fs::remove_file(ballast(disk)).expect("removed")
    });
}

/// A server that does not know yet what runs says so, rather than that it knows of nothing.
#[test]
fn an_engine_that_hangs_at_the_start_delays_only_the_games() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let mut player = site.raw(&game);
    player.expect("$ ");
    let life = site.leave();
    engine.hang("ContainerList");
    let lists = engine.calls("ContainerList");
    let site = Site::start_in(life, &engine.docker_host(), &[]);
    assert!(engine.await_calls("ContainerList", lists + 1, PATIENCE));
    assert_eq!(site.get("/healthz").status, 200);
    let starting = (503, "starting".to_owned());
    assert_eq!(outcome(&site, "GET", &game.path("/status")), starting);
    let unknown = "/session/f47ac10b-58cc-4372-a567-0e02b2c3d479/status";
    assert_eq!(outcome(&site, "GET", unknown), starting);
    assert_eq!(outcome(&site, "POST", "/session"), starting);
    assert_eq!(engine.containers().len(), 1);

    engine.release("ContainerList");
    wait_for("the game to be known", || {
        site.get(&game.path("/status")).status == 200
    });
    wait_for("others to be unknown", || {
        outcome(&site, "GET", unknown).0 == 404
    });
    let mut player = site.page(&game, None);
    player.type_in("echo back\n");
    player.expect("\r\nback\r\n");
    assert_eq!(outcome(&site, "POST", "/session").0, 201);
}

/// An Engine that refuses at the start is tried until it answers.
#[test]
fn an_engine_that_refuses_at_the_start_is_asked_again() {
    let engine = FakeEngine::start();
    engine.refuse("ContainerList", 500, "input/output error");
    let site = Site::start(&engine.docker_host(), &[]);
    wait_for("a second try", || {
        site.metric("reaper_failures_total{work=\"settle\"}") >= 2.0
    });
    assert_eq!(outcome(&site, "POST", "/session").0, 503);
    engine.release("ContainerList");
    wait_for("new games", || outcome(&site, "POST", "/session").0 == 201);
}

/// Slow is not broken: everything works, later.
#[test]
fn a_slow_engine_is_waited_for() {
    let engine = FakeEngine::start();
    let slow = ["ContainerAttach", "PutContainerArchive", "ContainerArchive"];
    for op in slow {
        engine.delay(op, Duration::from_millis(400));
    }
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let mut player = site.raw(&game);
    player.expect("$ ");
    engine.write_file(&name(&game), BOOK, b"slow\techo\n");
    engine.exit(&name(&game), 0);
    wait_for("the container to be removed", || {
        engine.container(&name(&game)).is_none()
    });
    assert_eq!(site.metric("spellbook_saves_total{outcome=\"saved\"}"), 1.0);
    assert_eq!(
        site.metric("spellbook_saves_total{outcome=\"failed\"}"),
        0.0
    );
}

/// What the reaper does can be read off the metrics.
#[test]
fn the_reaper_is_counted() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--idle-timeout", "300ms"]);
    let game = site.create("rust");
    wait_for("the game to be reaped", || {
        engine.container(&name(&game)).is_none()
    });
    // It is counted beside the session's own thread, which removes the container meanwhile.
    wait_for("it to be counted", || {
        site.metric("reaper_sessions_ended_total{reason=\"idle\"}") == 1.0
    });
    let passes = site.metric("reaper_passes_total");
    assert!(passes >= 1.0);
    assert!(site.metric("reaper_last_pass_timestamp_seconds") > 1e9);
    wait_for("another pass", || {
        site.metric("reaper_passes_total") > passes
    });
}
