//! The queue for new sessions: places, order, its bound, who leaves it, what is told of it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Mutex;
use std::thread;

use fake_engine::FakeEngine;
use serde_json::json;
use shellcraft::session::ShutdownMode;
use uuid::Uuid;

use crate::containers::PATIENCE;
use crate::sessions::new_session;
use crate::site::{Game, Reply, Site, wait_for};

/// Sessions that are made at once, and that may wait, as the server has it.
const AT_ONCE: usize = 4;
const WAITING_MAX: usize = 120;
const WAITING_PER_ADDRESS: usize = 60;

fn post_with(site: &Site, ticket: &str) -> Reply {
    site.request("POST", "/session", &[("X-Queue-Ticket", ticket)], b"")
}

fn standing(site: &Site, ticket: &str) -> Reply {
    site.get(&format!("/queue/{ticket}"))
}

fn state(site: &Site, ticket: &str) -> String {
    let told = standing(site, ticket);
    assert_eq!(told.status, 200);
    let state = told.json()["state"].clone();
    state.as_str().expect("a word").to_owned()
}

fn metric(site: &Site, name: &str) -> String {
    let text = site.get("/metrics").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("shellcraft_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .to_owned()
}

/// Waits until all turns are taken by creations that hang.
#[track_caller]
fn all_turns_taken(engine: &FakeEngine) {
    assert!(engine.await_calls("ContainerCreate", AT_ONCE, PATIENCE));
}

#[test]
fn a_ticket_tells_the_place() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let tickets: Vec<_> = (0..3).map(|_| Uuid::new_v4().to_string()).collect();
    engine.hang("ContainerCreate");
    thread::scope(|scope| {
        let site = &site;
        let mut threads: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(move || site.post("/session", "")))
            .collect();
        all_turns_taken(&engine);
        for ticket in &tickets {
            threads.push(scope.spawn(move || post_with(site, ticket)));
            wait_for("it to wait", || state(site, ticket) == "waiting");
        }
        for (index, ticket) in tickets.iter().enumerate() {
            let told = standing(site, ticket);
            assert_eq!(told.header("cache-control"), Some("no-store"));
            let told = told.json();
            assert_eq!(
                (told["place"].as_u64(), told["waiting"].as_u64()),
                (Some(index as u64 + 1), Some(3))
            );
            assert!(told["estimate_seconds"].as_u64() >= Some(1), "{told}");
        }
        assert_eq!(metric(site, "queue_length"), "3");
        engine.release("ContainerCreate");
        for thread in threads {
            assert_eq!(thread.join().expect("no panic").status, 201);
        }
    });
    // Over, and never made.
    for ticket in [&tickets[0], &Uuid::new_v4().to_string()] {
        assert_eq!(state(&site, ticket), "unknown");
    }
    let told = standing(&site, "me");
    assert_eq!((told.status, told.code().as_str()), (404, "no_such_ticket"));
    assert_eq!(metric(&site, "queue_length"), "0");
    assert_eq!(metric(&site, "queue_wait_seconds_count"), "7");
    assert_eq!(
        metric(&site, "queue_turned_away_total{reason=\"full\"}"),
        "0"
    );
}

/// A start takes long though nobody stands in line: the ticket is known all the same.
#[test]
fn a_ticket_tells_of_a_start_that_takes_long() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let ticket = Uuid::new_v4().to_string();
    assert_eq!(state(&site, &ticket), "unknown");
    engine.hang("ContainerCreate");
    thread::scope(|scope| {
        let start = scope.spawn(|| post_with(&site, &ticket));
        assert!(engine.await_calls("ContainerCreate", 1, PATIENCE));
        assert_eq!(
            standing(&site, &ticket).json(),
            json!({"state": "starting"})
        );
        engine.release("ContainerCreate");
        assert_eq!(start.join().expect("no panic").status, 201);
    });
    assert_eq!(state(&site, &ticket), "unknown");
}

#[test]
fn a_ticket_is_a_uuid() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let refused = post_with(&site, "me");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "bad_ticket")
    );
    assert_eq!(site.post("/queue/x", "").status, 404);
    let path = format!("/queue/{}", Uuid::new_v4());
    assert_eq!(site.post(&path, "").status, 405);
    assert!(engine.containers().is_empty());
}

#[test]
fn beyond_its_bound_newcomers_are_turned_away_at_once() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--trusted-proxies", "127.0.0.1"]);
    let post_from = |address: String| {
        let headers = [("X-Forwarded-For", address.as_str())];
        site.request("POST", "/session", &headers, b"")
    };
    engine.hang("ContainerCreate");
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE + WAITING_MAX)
            .map(|number| {
                let household = number / WAITING_PER_ADDRESS;
                scope.spawn(move || post_from(format!("203.0.113.{household}")))
            })
            .collect();
        wait_for("the queue to be full", || {
            site.app().manager().queue_length() == WAITING_MAX
        });
        // Nobody's turn ends before the release: it was not waited for.
        let refused = site.post("/session", "");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (503, "queue_full")
        );
        let retry_after = refused.header("retry-after").expect("told when");
        let retry_after: u64 = retry_after.parse().expect("a number");
        // 120 in line, four at once, a second or more each.
        assert!((30..=60).contains(&retry_after), "{retry_after}");
        engine.release("ContainerCreate");
        for thread in threads {
            assert_eq!(thread.join().expect("no panic").status, 201);
        }
    });
    assert_eq!(
        metric(&site, "queue_turned_away_total{reason=\"full\"}"),
        "1"
    );
}

/// One client that wants all places leaves some for others.
#[test]
fn an_address_does_not_take_the_whole_queue() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--trusted-proxies", "127.0.0.1"]);
    let post_from = |address: &'static str| {
        let site = &site;
        move || site.request("POST", "/session", &[("X-Forwarded-For", address)], b"")
    };
    engine.hang("ContainerCreate");
    thread::scope(|scope| {
        let mut threads: Vec<_> = (0..AT_ONCE + WAITING_PER_ADDRESS)
            .map(|_| scope.spawn(post_from("203.0.113.1")))
            .collect();
        let length = || site.app().manager().queue_length();
        wait_for("its places to be taken", || length() == WAITING_PER_ADDRESS);
        let refused = post_from("203.0.113.1")();
        let code = refused.code();
        assert_eq!((refused.status, code.as_str()), (429, "queue_address_full"));
        assert!(refused.header("retry-after").is_some());
        threads.push(scope.spawn(post_from("203.0.113.2")));
        wait_for("another to wait", || length() == WAITING_PER_ADDRESS + 1);
        engine.release("ContainerCreate");
        for thread in threads {
            assert_eq!(thread.join().expect("no panic").status, 201);
        }
    });
}

/// A browser that goes away ends its connection; so does a client that has only nothing more to send. A ticket tells
/// them apart.
#[test]
fn whoever_hangs_up_gives_the_place_up() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    engine.hang("ContainerCreate");
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(|| site.post("/session", "")))
            .collect();
        all_turns_taken(&engine);
        let ticket = Uuid::new_v4().to_string();
        let head = |more: &str| {
            format!("POST /session HTTP/1.1\r\nHost: a\r\n{more}Content-Length: 0\r\n\r\n")
        };
        let mut leaver = site.connect();
        leaver
            .write_all(head(&format!("X-Queue-Ticket: {ticket}\r\n")).as_bytes())
            .expect("sent");
        wait_for("it to wait", || state(&site, &ticket) == "waiting");
        let mut patient = site.connect();
        patient.write_all(head("").as_bytes()).expect("sent");
        wait_for("both to wait", || site.app().manager().queue_length() == 2);
        patient.shutdown(Shutdown::Write).expect("open");
        drop(leaver);
        wait_for("its place to be free", || {
            state(&site, &ticket) == "unknown"
        });
        assert_eq!(site.app().manager().queue_length(), 1);
        assert_eq!(
            metric(&site, "queue_turned_away_total{reason=\"left\"}"),
            "1"
        );
        engine.release("ContainerCreate");
        let mut answer = String::new();
        patient.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        for thread in threads {
            assert_eq!(thread.join().expect("no panic").status, 201);
        }
    });
    assert_eq!(engine.containers().len(), AT_ONCE + 1);
}

/// A stop sends those who wait away at once, be the Engine as it may.
#[test]
fn a_stop_empties_the_queue() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--shutdown-grace", "2s"]);
    engine.hang("ContainerCreate");
    thread::scope(|scope| {
        let manager = site.app().manager();
        let threads: Vec<_> = (0..AT_ONCE + 8)
            .map(|_| scope.spawn(|| new_session(manager, None).map(drop)))
            .collect();
        wait_for("eight to wait", || manager.queue_length() == 8);
        manager.begin_stop(ShutdownMode::Drain);
        wait_for("the queue to be empty", || manager.queue_length() == 0);
        assert_eq!(engine.calls("ContainerCreate"), AT_ONCE);
        engine.release("ContainerCreate");
        for thread in threads {
            let _ = thread.join().expect("no panic");
        }
    });
}

/// FAULTS D12: pool and line are one queue. Sixteen come one after the other to a pool of two, and whatever the makers of
/// the pool or those in line make, nobody gets a game before somebody who came earlier.
#[test]
fn first_come_first_served_by_pool_and_line() {
    let engine = FakeEngine::start();
    let flags = ["--pool-size", "2", "--shells", "rust=shellcraft/rust"];
    let site = Site::start(&engine.docker_host(), &flags);
    let manager = site.app().manager();
    let count = || manager.pool_counts().get("rust").copied();
    wait_for("the pool", || count() == Some(2));
    let served = Mutex::new(Vec::new());
    engine.hang("ContainerStart");
    let starts = engine.calls("ContainerStart");
    thread::scope(|scope| {
        let (site, served) = (&site, &served);
        let come = move |number: usize| {
            scope.spawn(move || {
                let game = Game::of(&site.post("/session", ""));
                let id = game.id.parse().expect("an id");
                let session = site.app().manager().get(id).expect("it is there");
                let turn = session.turn().expect("it has one");
                served.lock().expect("no panic").push((turn, number));
            })
        };
        let mut threads = vec![come(0), come(1)];
        // Two from the pool, and the makers and the next ones have all turns: one more stands in line each time.
        wait_for("the pool's two to be played", || {
            served.lock().expect("no panic").len() == 2
        });
        wait_for("the makers to be at it", || {
            engine.calls("ContainerStart") == starts + 2
        });
        threads.extend([come(2), come(3)]);
        assert!(engine.await_calls("ContainerStart", starts + AT_ONCE, PATIENCE));
        for number in 4..16 {
            threads.push(come(number));
            wait_for("it to stand in line", || {
                manager.queue_length() == number - 3
            });
        }
        // One container after the other becomes ready: those of the makers are handed to the first in line.
        engine.release("ContainerStart");
        // Whoever comes now comes last.
        threads.push(come(16));
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
    let mut served = served.into_inner().expect("no panic");
    // When their turns came, by the server's own clock: what each does in its turn takes as long as the machine is busy.
    served.sort();
    let served: Vec<_> = served.into_iter().map(|(_, number)| number).collect();
    let place = |number: usize| {
        served
            .iter()
            .position(|one| *one == number)
            .expect("served")
    };
    // Turns are taken in order, and four run at once, beside two makers: nobody is overtaken by more than those.
    for number in 4..17 {
        let earlier = (0..number)
            .filter(|one| place(*one) > place(number))
            .count();
        assert!(
            earlier < AT_ONCE + 2,
            "{number} before {earlier} who came earlier: {served:?}"
        );
    }
}
