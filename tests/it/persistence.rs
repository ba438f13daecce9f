//! What outlives a page, a session and the server: spellbooks, running games, the pool.

use fake_engine::FakeEngine;
use serde_json::json;

use crate::containers::PATIENCE;
use crate::site::{Client, Game, Life, Reply, Site, wait_for};

const BOOK: &str = "/home/spellbook.dat";

fn name(game: &Game) -> String {
    format!("shellcraft-{}", game.id)
}

/// What the browser keeps after an answer.
#[track_caller]
fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(set.contains("; HttpOnly; SameSite=Strict"), "{set}");
    set.split(';').next().expect("a pair").to_owned()
}

#[track_caller]
fn start(client: &Client, cookie: Option<&str>) -> (Game, String) {
    let headers: Vec<_> = cookie
        .map(|cookie| ("Cookie", cookie))
        .into_iter()
        .collect();
    let reply = client.request("POST", "/session", &headers, b"");
    assert_eq!(reply.status, 201, "{reply:?}");
    (Game::of(&reply), self::cookie(&reply))
}

fn book(engine: &FakeEngine, game: &Game) -> Vec<u8> {
    engine
        .read_file(&name(game), BOOK)
        .map_or_else(Vec::new, |(book, _)| book)
}

#[test]
fn a_returning_player_finds_the_spellbook() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (first, cookie) = start(&site, None);
    engine.write_file(&name(&first), BOOK, b"hi\techo hello\n");
    assert_eq!(site.delete(&first.path("")).status, 204);
    let (second, again) = start(&site, Some(&cookie));
    assert_eq!(cookie, again);
    assert_eq!(book(&engine, &second), b"hi\techo hello\n");
    let (other, _) = start(&site, None);
    assert_eq!(book(&engine, &other), b"", "another player's is empty");
    // One that could have been guessed is nobody's.
    let (guessed, new) = start(&site, Some("shellcraft_player=admin"));
    assert_ne!(new, "shellcraft_player=admin");
    assert_eq!(book(&engine, &guessed), b"");
}

/// What happens to a session, and its name.
type End<'a> = (&'a str, &'a dyn Fn(&Game));

/// However a session ends, its book is safe before its container goes.
#[test]
fn a_book_is_saved_at_every_end() {
    let engine = FakeEngine::start();
    let flags = ["--idle-timeout", "2s", "--save-interval", "1h"];
    let site = Site::start(&engine.docker_host(), &flags);
    let ends: [End; 4] = [
        ("destroyed", &|game| {
            assert_eq!(site.delete(&game.path("")).status, 204);
        }),
        ("exited", &|game| engine.exit(&name(game), 0)),
        ("killed", &|game| engine.exit(&name(game), 137)),
        ("idle", &|_| {}),
    ];
    for (end, act) in ends {
        let (game, cookie) = start(&site, None);
        let written = format!("end\techo {end}\n");
        engine.write_file(&name(&game), BOOK, written.as_bytes());
        act(&game);
        wait_for("the container to be removed", || {
            engine.container(&name(&game)).is_none()
        });
        let (next, _) = start(&site, Some(&cookie));
        assert_eq!(book(&engine, &next), written.as_bytes(), "{end}");
        assert_eq!(site.delete(&next.path("")).status, 204);
    }
}

/// A book is saved while its session goes on, too; and a look that shows nothing new reads nothing.
#[test]
fn a_changed_book_is_saved_meanwhile() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "50ms"]);
    let (game, cookie) = start(&site, None);
    let mut player = site.raw(&game);
    player.expect("$ ");
    engine.write_file(&name(&game), BOOK, b"a\techo a\n");
    let saved = || {
        site.get("/metrics")
            .text()
            .contains("spellbook_saves_total{outcome=\"saved\"} 1")
    };
    wait_for("the book to be saved", || {
        player.type_in("x");
        saved()
    });
    let reads = engine.calls("ContainerArchive");
    let looks = engine.calls("ContainerArchiveInfo");
    wait_for("further looks", || {
        player.type_in("x");
        engine.calls("ContainerArchiveInfo") > looks + 2
    });
    assert_eq!(engine.calls("ContainerArchive"), reads);
    // The host loses the container, and with it what was written since.
    engine.lose(&name(&game));
    wait_for("the session to be missing", || {
        site.get(&game.path("/status")).json()["status"] == "missing"
    });
    let (next, _) = start(&site, Some(&cookie));
    assert_eq!(book(&engine, &next), b"a\techo a\n");
}

/// Nothing is removed whose book can't be read or saved; it is tried until it works.
#[test]
fn a_container_stays_until_its_book_is_safe() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (game, cookie) = start(&site, None);
    engine.write_file(&name(&game), BOOK, b"x\techo x\n");
    engine.refuse("ContainerArchive", 500, "input/output error");
    engine.exit(&name(&game), 0);
    assert!(engine.await_calls("ContainerArchive", 3, PATIENCE));
    assert!(engine.container(&name(&game)).is_some());
    engine.release("ContainerArchive");
    wait_for("the container to be removed", || {
        engine.container(&name(&game)).is_none()
    });
    let (next, _) = start(&site, Some(&cookie));
    assert_eq!(book(&engine, &next), b"x\techo x\n");
}

#[test]
fn a_book_can_be_downloaded_and_uploaded() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (game, cookie) = start(&site, None);
    let path = game.path("/spellbook");
    assert_eq!(
        (site.get(&path).status, site.get(&path).body),
        (200, vec![])
    );
    for size in [10, 65_536, 65_537, 1 << 20] {
        let new: Vec<u8> = (0..size).map(|at| b'a' + (at * 7 % 26) as u8).collect();
        assert_eq!(site.request("PUT", &path, &[], &new).status, 204, "{size}");
        assert_eq!(site.get(&path).body, new, "{size}");
    }
    let too_big = vec![0; (1 << 20) + 1];
    assert_eq!(site.request("PUT", &path, &[], &too_big).status, 413);
    let foreign = [("Origin", "https://evil.example")];
    assert_eq!(site.request("PUT", &path, &foreign, b"x").status, 403);
    let stranger = [("Authorization", "Bearer wrong")];
    assert_eq!(site.request("GET", &path, &stranger, b"").status, 404);
    assert_eq!(site.get(&path).body.len(), 1 << 20, "nothing has changed");
    assert_eq!(site.delete(&game.path("")).status, 204);
    let (next, _) = start(&site, Some(&cookie));
    assert_eq!(book(&engine, &next).len(), 1 << 20);
}

/// Without a game, by whom the server knows and by who is new to it.
#[test]
fn a_book_can_be_uploaded_while_no_game_runs() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let put =
        |headers: &[(&str, &str)], book: &[u8]| site.request("PUT", "/spellbook", headers, book);
    let first = put(&[], b"hi\techo hello\n");
    assert_eq!(first.status, 204, "{first:?}");
    let mine = cookie(&first);
    let headers = [("Cookie", mine.as_str())];
    let (game, again) = start(&site, Some(&mine));
    assert_eq!(
        (again, book(&engine, &game)),
        (mine.clone(), b"hi\techo hello\n".to_vec())
    );
    // While it runs, its own saves would go over it.
    let refused = put(&headers, b"other\n");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "player_is_playing")
    );
    assert_eq!(site.delete(&game.path("")).status, 204);
    for (headers, book, status) in [
        (&headers[..], vec![b'x'; (1 << 20) + 1], 413),
        (&headers, b"\xff\xfe".to_vec(), 422),
        (
            &[headers[0], ("Origin", "https://evil.example")],
            b"x".to_vec(),
            403,
        ),
        (&headers, vec![b'y'; 1 << 20], 204),
    ] {
        assert_eq!(put(headers, &book).status, status, "{} bytes", book.len());
    }
    let versions = site.request("GET", "/spellbook", &headers, b"").json();
    let told = |at: usize| {
        let version = &versions["versions"][at];
        (version["bytes"].as_u64(), version["set_aside"].as_bool())
    };
    assert_eq!(told(0), (Some(1 << 20), Some(false)));
    let replaced = Some(14);
    let all = versions["versions"].as_array().expect("a list").len();
    assert!((0..all).any(|at| told(at).0 == replaced), "{versions}");
}

/// A code makes another browser the same player, with the same book and games; another one makes nobody.
#[test]
fn a_player_goes_on_at_another_device() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let ask = |headers: &[(&str, &str)]| site.request("POST", "/recovery-code", headers, b"");
    let stranger = ask(&[]);
    assert_eq!(
        (stranger.status, stranger.code().as_str()),
        (404, "unknown_player")
    );
    let (game, mine) = start(&site, None);
    engine.write_file(&name(&game), BOOK, b"hi\techo hello\n");
    let told = ask(&[("Cookie", &mine)]);
    let code = told.json()["recovery_code"]
        .as_str()
        .expect("a code")
        .to_owned();
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let foreign = [
        ("Cookie", mine.as_str()),
        ("Origin", "https://evil.example"),
    ];
    assert_eq!(ask(&foreign).status, 403);

    let recover = |code: &str| {
        let body = json!({ "recovery_code": code }).to_string();
        site.request("POST", "/recover", &[], body.as_bytes())
    };
    let recovered = recover(&code.to_uppercase().replace('-', " "));
    assert_eq!(recovered.status, 204, "{recovered:?}");
    let there = cookie(&recovered);
    assert_eq!(there, mine);
    let status = site
        .stranger()
        .request("GET", &game.path("/status"), &[("Cookie", &there)], b"");
    assert_eq!(status.json()["status"], "running");
    let (last, digit) = (code.len() - 1, if code.ends_with('0') { "1" } else { "0" });
    let nobody_s = format!("{}{digit}", &code[..last]);
    for wrong in [nobody_s.as_str(), "", "2-", "ä"] {
        let refused = recover(wrong);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "unknown_recovery_code"),
            "{wrong}"
        );
        assert!(refused.header("set-cookie").is_none());
    }
    let refused = site.request("POST", "/recover", &[], b"{}");
    assert_eq!((refused.status, refused.code().as_str()), (400, "bad_json"));
}

/// By uploads as by games, one address makes so many new players.
#[test]
fn uploads_make_no_players_without_end() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--rate-limit", "2/h"]);
    let put =
        |headers: &[(&str, &str)]| site.request("PUT", "/spellbook", headers, b"hi\techo hello\n");
    let first = put(&[]);
    let mine = cookie(&first);
    assert_eq!((first.status, put(&[]).status), (204, 204));
    let refused = put(&[]);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limited")
    );
    assert!(refused.header("retry-after").is_some());
    assert!(refused.header("set-cookie").is_none());
    // Who is known goes on.
    assert_eq!(put(&[("Cookie", &mine)]).status, 204);
}

/// The Engine dies while it puts an uploaded book into the container. What is there then is no book of anybody's.
#[test]
fn part_of_a_book_is_never_saved() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "50ms"]);
    let ends: [End; 3] = [
        ("destroyed", &|game| {
            assert_eq!(site.delete(&game.path("")).status, 204);
        }),
        ("exited", &|game| engine.exit(&name(game), 0)),
        ("killed", &|game| engine.exit(&name(game), 137)),
    ];
    for ((end, act), bytes) in ends.into_iter().zip([0, 3, 10]) {
        let (game, cookie) = start(&site, None);
        let path = game.path("/spellbook");
        // Written in the game, and not saved yet.
        engine.write_file(&name(&game), BOOK, b"old\techo old\n");
        engine.tear_archives_after(Some(bytes));
        let put = site.request("PUT", &path, &[], b"new\techo new\n");
        assert_eq!(put.status, 503, "{end}");
        // The next save may have tried to put the old one back, which was torn as well.
        let torn = engine.read_file(&name(&game), BOOK).expect("it is there");
        let is_start = |book: &[u8]| torn == (book[..bytes].to_vec(), 0);
        let is_torn = is_start(b"new\techo new\n") || is_start(b"old\techo old\n");
        assert!(is_torn, "{torn:?}");
        act(&game);
        wait_for("the container to be removed", || {
            engine.container(&name(&game)).is_none()
        });
        engine.tear_archives_after(None);
        let (next, _) = start(&site, Some(&cookie));
        assert_eq!(book(&engine, &next), b"old\techo old\n", "{end}");
        assert_eq!(site.delete(&next.path("")).status, 204);
    }
}

/// The same, and the game goes on: the book of before is put back, in whatever way it is noticed.
#[test]
fn part_of_a_book_is_mended() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "1h"]);
    let notices: [End; 3] = [
        ("read", &|game| {
            let read = site.get(&game.path("/spellbook"));
            assert_eq!((read.status, read.text().as_str()), (200, "old\techo\n"));
        }),
        ("attached again", &|_| engine.cut_attaches()),
        ("uploaded again", &|game| {
            let path = game.path("/spellbook");
            assert_eq!(site.request("PUT", &path, &[], b"old\techo\n").status, 204);
        }),
    ];
    for (how, notice) in notices {
        let (game, _) = start(&site, None);
        let path = game.path("/spellbook");
        engine.write_file(&name(&game), BOOK, b"old\techo\n");
        engine.tear_archives_after(Some(3));
        let put = site.request("PUT", &path, &[], b"new\techo\n");
        assert_eq!(put.status, 503, "{how}");
        engine.tear_archives_after(None);
        notice(&game);
        let whole = Some((b"old\techo\n".to_vec(), 1000));
        wait_for("the book to be mended", || {
            engine.read_file(&name(&game), BOOK) == whole
        });
        assert_eq!(site.delete(&game.path("")).status, 204);
    }
}

/// The server stops and starts again: the game goes on, at the very byte.
#[test]
fn a_restart_leaves_the_games_running() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (game, cookie) = start(&site, None);
    let me = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    let v1 = [("Sec-WebSocket-Protocol", "shellcraft.v1")];
    let path = |from: &str| format!("{}?client={me}{from}", game.path("/ws"));
    let mut page = site.open(&path(""), &v1).expect("opens");
    page.expect("$ ");
    page.type_in("echo before\n");
    page.expect("\r\nbefore\r\n$ ");
    let offset = page.offset;
    let life = site.leave();
    assert_eq!(page.close_code(), 1001);
    assert_eq!(engine.containers().len(), 1, "it runs on");
    let site = Site::start_in(life, &engine.docker_host(), &[]);
    wait_for("the game to be known", || {
        site.get(&game.path("/status")).status == 200
    });
    let from = format!("&from={offset}");
    let mut page = site.open(&path(&from), &v1).expect("opens");
    let hello = page.note("hello");
    assert_eq!(
        (&hello["offset"], &hello["replay"]),
        (&json!(offset), &json!(false))
    );
    assert_eq!(hello["input"], json!(12), "keys are counted on");
    page.type_in("echo after\n");
    page.expect("\r\nafter\r\n");
    // Somebody without the screen is given it.
    let mut other = site.page(&game, None);
    let screen = other.note("screen");
    // What no page had acknowledged when the server stopped is output behind the screen.
    if !screen["data"].as_str().expect("text").contains("before") {
        other.expect("\r\nbefore\r\n");
    }
    assert!(
        site.get("/metrics")
            .text()
            .contains("sessions_adopted_total 1")
    );
    // The owner's token and the book's owner are known still.
    let bearer = format!("Bearer {}", game.token);
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(
        site.request("GET", &game.path("/status"), &headers, b"")
            .status,
        200
    );
    engine.write_file(&name(&game), BOOK, b"later\techo\n");
    assert_eq!(site.delete(&game.path("")).status, 204);
    let (next, _) = start(&site, Some(&cookie));
    assert_eq!(book(&engine, &next), b"later\techo\n");
}

/// What ended while the server was away is seen to at its start.
#[test]
fn ends_that_nobody_saw() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (exited, first) = start(&site, None);
    let (gone, second) = start(&site, None);
    for game in [&exited, &gone] {
        engine.write_file(&name(game), BOOK, b"kept\techo\n");
    }
    let life = site.leave();
    engine.exit(&name(&exited), 3);
    engine.lose(&name(&gone));
    let site = Site::start_in(life, &engine.docker_host(), &[]);
    wait_for("the dead one to be removed", || {
        engine.containers().is_empty()
    });
    let status = |game: &Game| site.get(&game.path("/status")).json();
    assert_eq!(status(&exited)["exit_code"], 3);
    assert_eq!(status(&gone)["status"], "missing");
    assert_eq!(
        book(&engine, &start(&site, Some(&first)).0),
        b"kept\techo\n"
    );
    // It was never saved: the container took it along.
    assert_eq!(book(&engine, &start(&site, Some(&second)).0), b"");
    assert_eq!(site.stop(), 0);
}

/// Copied while games were played, and brought to another host: the books are there, and browsers are known again.
#[test]
fn a_copied_directory_is_a_backup() {
    let engine = FakeEngine::start();
    let life = Life::new("backup");
    let site = Site::start_in(life, &engine.docker_host(), &["--save-interval", "50ms"]);
    let (done, of_done) = start(&site, None);
    engine.write_file(&name(&done), BOOK, b"done\techo\n");
    assert_eq!(site.delete(&done.path("")).status, 204);
    let (played, of_played) = start(&site, None);
    let mut player = site.raw(&played);
    player.expect("$ ");
    engine.write_file(&name(&played), BOOK, b"played\techo\n");
    wait_for("both books to be saved", || {
        player.type_in("x");
        let saved = "spellbook_saves_total{outcome=\"saved\"} 2";
        site.get("/metrics").text().contains(saved)
    });

    let copy = Life::new("backup");
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(site.data_dir().join("."))
        .arg(copy.data_dir())
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    let other_host = FakeEngine::start();
    let restored = Site::start_in(copy, &other_host.docker_host(), &[]);
    for (cookie, expected) in [(of_done, "done\techo\n"), (of_played, "played\techo\n")] {
        let (game, _) = start(&restored, Some(&cookie));
        assert_eq!(book(&other_host, &game), expected.as_bytes());
    }
    let headers = [("Accept", "application/json")];
    let lost = restored.request("GET", &played.path("/status"), &headers, b"");
    assert_eq!(
        lost.json()["status"],
        "missing",
        "its container stayed behind"
    );
}

/// A container without a record is not ours to play with, but its book is kept.
#[test]
fn a_lost_record_loses_no_book() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (game, _) = start(&site, None);
    engine.write_file(&name(&game), BOOK, b"lost\techo\n");
    let life = site.leave();
    let records = life.data_dir().join("sessions");
    std::fs::remove_dir_all(&records).expect("removed");
    let books = life.data_dir().join("books");
    let _site = Site::start_in(life, &engine.docker_host(), &[]);
    wait_for("it to be removed", || engine.containers().is_empty());
    let lost = books.join(format!("lost-{}", game.id));
    let kept: Vec<_> = std::fs::read_dir(lost).expect("there").flatten().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        std::fs::read(kept[0].path()).expect("readable"),
        b"lost\techo\n"
    );
}

fn two_wait(site: &Site) -> bool {
    let metrics = site.get("/metrics").text();
    metrics.contains("pool_containers{shell=\"rust\"} 2")
}

#[test]
fn the_pool_gives_a_game_at_once_and_fills_up_again() {
    let engine = FakeEngine::start();
    let flags = ["--pool-size", "2", "--shells", "rust=shellcraft/rust"];
    let site = Site::start(&engine.docker_host(), &flags);
    wait_for("the pool to fill", || engine.calls("ContainerResize") == 2);
    wait_for("both to wait", || two_wait(&site));
    assert_eq!(
        site.app()
            .manager()
            .list()
            .iter()
            .filter(|one| one.owner().is_some())
            .count(),
        0
    );
    let (game, cookie) = start(&site, None);
    assert!(site.raw(&game).expect("$ ").contains("$ "));
    wait_for("the pool to fill up again", || {
        engine.containers().len() == 3
    });
    engine.write_file(&name(&game), BOOK, b"mine\techo\n");
    assert_eq!(site.delete(&game.path("")).status, 204);
    let (next, _) = start(&site, Some(&cookie));
    assert_eq!(
        book(&engine, &next),
        b"mine\techo\n",
        "put back into a waiting one"
    );
    // One that dies while it waits is replaced.
    wait_for("both to wait", || two_wait(&site));
    let waiting = engine
        .containers()
        .into_iter()
        .find(|one| one.name.trim_start_matches('/') != name(&next))
        .expect("one waits");
    engine.exit(&waiting.id, 1);
    wait_for("it to be replaced", || {
        engine.container(&waiting.id).is_none() && two_wait(&site)
    });
    // The pool is taken over as well.
    let life = site.leave();
    let made = engine.calls("ContainerCreate");
    let site = Site::start_in(life, &engine.docker_host(), &flags);
    wait_for("both to wait", || two_wait(&site));
    assert_eq!(engine.calls("ContainerCreate"), made);
    let life = site.leave();
    // Containers that were made otherwise are not given to anybody.
    let other = [flags.as_slice(), &["--memory-limit", "32MiB"]].concat();
    let site = Site::start_in(life, &engine.docker_host(), &other);
    wait_for("them to be replaced", || {
        engine.calls("ContainerCreate") == made + 2 && engine.containers().len() == 3
    });
    assert_eq!(site.stop(), 0);
    assert!(engine.containers().is_empty());
}
