//! What one address, one player and one terminal may have: each limit from both sides.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fake_engine::FakeEngine;
use shellcraft::session::Error;
use shellcraft::terminal::Hub;

use crate::containers::PATIENCE;
use crate::site::{Game, Reply, Site, wait_for};

fn site(flags: &[&str]) -> (FakeEngine, Site) {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), flags);
    (engine, site)
}

/// What a game's terminal is on the server's side.
fn hub(site: &Site, game: &Game) -> Arc<Hub> {
    let id = game.id.parse().expect("an id");
    let session = site.app().manager().get(id).expect("it is known");
    Arc::clone(&session.hub)
}

/// A new game for somebody whom a proxy tells of.
fn post_from(site: &Site, address: &str, cookie: Option<&str>) -> Reply {
    let mut headers = vec![("X-Forwarded-For", address)];
    headers.extend(cookie.map(|cookie| ("Cookie", cookie)));
    site.request("POST", "/session", &headers, b"")
}

/// The player's cookie, as a browser would send it back.
fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie");
    set.split(';').next().expect("a pair").to_owned()
}

#[track_caller]
fn check_refused(reply: &Reply, status: u16, code: &str) -> u64 {
    assert_eq!((reply.status, reply.code().as_str()), (status, code));
    let after = reply.header("retry-after").map(str::parse);
    match after {
        Some(Ok(seconds)) if seconds > 0 => seconds,
        other => panic!("Retry-After {other:?}"),
    }
}

/// With the limits that there are by default, but for a rate that gives no more while a slow machine takes its time: whoever asks for a hundred games at once gets ten, and keeps nobody from one.
#[test]
fn a_hundred_games_wanted_at_one_address_keep_nobody_from_theirs() {
    const WANTED: usize = 100;
    let engine = FakeEngine::start();
    let flags = ["--trusted-proxies", "127.0.0.1", "--pool-size", "0"];
    let defaults = [
        "--rate-limit",
        "10/h",
        "--sessions-per-player",
        "2",
        "--sessions-per-address",
        "50",
        "--connections-per-address",
        "256",
    ];
    let site = Site::start(&engine.docker_host(), &[&flags[..], &defaults].concat());
    engine.hang("ContainerCreate");
    thread::scope(|scope| {
        let greedy: Vec<_> = (0..WANTED)
            .map(|_| scope.spawn(|| post_from(&site, "203.0.113.1", None)))
            .collect();
        let refused = "sessions_refused_total{reason=\"rate_limited\"}";
        wait_for("all but ten to be refused", || {
            let text = site.get("/metrics").text();
            text.contains(&format!("shellcraft_{refused} {}\n", WANTED - 10))
        });
        // Those ten are at the Engine or in line when somebody else comes.
        let other = scope.spawn(|| post_from(&site, "198.51.100.7", None));
        wait_for("the other to be in line", || {
            site.metric("queue_length") >= 7.0
        });
        engine.release("ContainerCreate");
        assert_eq!(other.join().expect("no panic").status, 201);
        let replies = greedy.into_iter().map(|one| one.join().expect("no panic"));
        let (made, refused): (Vec<_>, Vec<_>) = replies.partition(|reply| reply.status == 201);
        assert_eq!((made.len(), refused.len()), (10, WANTED - 10));
        for reply in refused {
            check_refused(&reply, 429, "rate_limited");
        }
    });
    assert_eq!(site.stop(), 0);
}

#[test]
fn an_address_may_start_so_many_games() {
    let flags = ["--rate-limit", "2/h", "--trusted-proxies", "127.0.0.1"];
    let (_engine, site) = site(&[&flags[..], &["--sessions-per-player", "10"]].concat());
    let post = |address: &str| post_from(&site, address, None);
    assert_eq!(post("203.0.113.1").status, 201);
    assert_eq!(post("203.0.113.1").status, 201);
    let seconds = check_refused(&post("203.0.113.1"), 429, "rate_limited");
    // The next one is due half an hour after the first, which was a moment ago.
    assert!((1700..=1800).contains(&seconds), "{seconds}");
    assert_eq!(post("203.0.113.2").status, 201, "somebody else");
    // An IPv4 address in IPv6's spelling is the same; an IPv6 /64 is one household.
    check_refused(&post("::ffff:203.0.113.1"), 429, "rate_limited");
    assert_eq!(post("2001:db8:0:1::1").status, 201);
    assert_eq!(post("2001:db8:0:1:ffff::2").status, 201);
    check_refused(&post("2001:db8:0:1::3"), 429, "rate_limited");
    assert_eq!(post("2001:db8:0:2::1").status, 201, "the house next door");
    let text = site.get("/metrics").text();
    let line = "shellcraft_sessions_refused_total{reason=\"rate_limited\"} 3";
    assert!(text.contains(line), "{text}");
}

#[test]
fn loopback_is_an_address_like_others_and_strangers_can_not_pretend() {
    let (_engine, site) = site(&["--rate-limit", "1/h"]);
    // Nobody is trusted here: whatever the header says, this is one client.
    assert_eq!(post_from(&site, "203.0.113.1", None).status, 201);
    let second = post_from(&site, "203.0.113.2", None);
    check_refused(&second, 429, "rate_limited");
}

#[test]
fn a_player_may_start_so_many_games_wherever_they_are() {
    let (_engine, site) = site(&["--rate-limit", "2/h", "--trusted-proxies", "127.0.0.1"]);
    // The game that somebody becomes a player by counts for the address alone.
    let first = post_from(&site, "203.0.113.1", None);
    let cookie = cookie(&first);
    for address in ["203.0.113.2", "203.0.113.3"] {
        assert_eq!(post_from(&site, address, Some(&cookie)).status, 201);
    }
    let third = post_from(&site, "203.0.113.4", Some(&cookie));
    check_refused(&third, 429, "rate_limited");
}

#[test]
fn a_player_has_so_many_games_at_once() {
    let (engine, site) = site(&["--sessions-per-player", "2", "--idle-timeout", "10m"]);
    let first = site.post("/session", "");
    let cookie = cookie(&first);
    let post = || site.request("POST", "/session", &[("Cookie", &cookie)], b"");
    assert_eq!(post().status, 201);
    let refused = post();
    let seconds = check_refused(&refused, 429, "too_many_sessions");
    // Told are the player's own, the oldest first, and no secret of theirs.
    let told = refused.json()["sessions"].clone();
    let told = told.as_array().expect("a list");
    assert_eq!(told.len(), 2);
    assert_eq!(told[0]["session_id"], first.json()["session_id"]);
    assert!(told.iter().all(|game| game["status"] == "running"));
    assert!(!refused.text().contains("token") && !refused.text().contains("ticket"));
    // That is when the first one ends by itself.
    assert!((500..=600).contains(&seconds), "{seconds}");
    assert_eq!(site.post("/session", "").status, 201, "somebody else");
    engine.exit(&format!("shellcraft-{}", Game::of(&first).id), 0);
    wait_for("a place", || post().status == 201);
    assert_eq!(
        engine.containers().len(),
        3,
        "what was refused left nothing"
    );
}

/// Whoever sends no cookie is a new player each time, and still at one address.
#[test]
fn an_address_has_so_many_games_at_once() {
    let flags = [
        "--sessions-per-address",
        "2",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let (engine, site) = site(&flags);
    let post = |address: &str| post_from(&site, address, None);
    let first = post("2001:db8:0:1::1");
    assert_eq!(first.status, 201);
    assert_eq!(post("2001:db8:0:1::2").status, 201);
    check_refused(&post("2001:db8:0:1::3"), 429, "address_full");
    assert_eq!(post("203.0.113.1").status, 201, "somebody else");
    engine.exit(&format!("shellcraft-{}", Game::of(&first).id), 0);
    wait_for("a place", || post("2001:db8:0:1::4").status == 201);
    let text = site.get("/metrics").text();
    let line = "shellcraft_sessions_refused_total{reason=\"address_full\"}";
    assert!(text.contains(line), "{text}");
}

/// A rate that is not kept costs an unknown shell's name nothing, and a stranger's nobody else.
#[test]
fn what_is_refused_for_another_reason_is_not_counted() {
    let (_engine, site) = site(&["--rate-limit", "1/h"]);
    for _ in 0..20 {
        let unknown = site.post("/session", r#"{"shell": "nope"}"#);
        assert_eq!(unknown.status, 422);
    }
    assert_eq!(site.post("/session", "").status, 201);
}

/// One player's requests for one book wait for each other, a few of them; other players' books are saved meanwhile.
#[test]
fn one_player_s_uploads_hold_up_nobody_else_s_book() {
    let (engine, site) = site(&["--save-interval", "50ms"]);
    let (greedy, other) = (site.create("rust"), site.create("rust"));
    let path = greedy.path("/spellbook");
    let mut player = site.raw(&other);
    player.expect("$ ");
    engine.hang("PutContainerArchive");
    std::thread::scope(|scope| {
        let put = || site.request("PUT", &path, &[], b"mine\techo\n");
        let before = engine.calls("PutContainerArchive");
        let mut uploads = vec![scope.spawn(put)];
        // The saver may have had the book's turn, for which this one then waits; the others come when it has it.
        wait_for("the first to be at the Engine", || {
            engine.calls("PutContainerArchive") > before
        });
        uploads.extend((1..12).map(|_| scope.spawn(put)));
        let are_refused = || uploads.iter().filter(|upload| upload.is_finished()).count();
        // One is at the Engine, and four wait for it.
        wait_for("the others to be refused", || are_refused() == 7);
        // The saver comes past the greedy one's book too.
        site.raw(&greedy).type_in("x");
        let name = format!("shellcraft-{}", other.id);
        engine.write_file(&name, "/home/spellbook.dat", b"other\techo\n");
        wait_for("the other's book to be saved", || {
            player.type_in("x");
            site.get("/metrics")
                .text()
                .contains("spellbook_saves_total{outcome=\"saved\"} 1")
        });
        engine.release("PutContainerArchive");
        let replies = uploads
            .into_iter()
            .map(|upload| upload.join().expect("no panic"));
        let (done, refused): (Vec<_>, Vec<_>) = replies.partition(|reply| reply.status == 204);
        assert_eq!((done.len(), refused.len()), (5, 7));
        for reply in refused {
            check_refused(&reply, 429, "spellbook_busy");
        }
    });
}

/// Many games, each of which asks for its book while the Engine hangs: few of them are there at once, and one address does
/// not take all that may wait.
#[test]
fn requests_for_books_do_not_flood_the_engine() {
    let (engine, site) = site(&["--trusted-proxies", "127.0.0.1"]);
    let games: Vec<_> = (0..24)
        .map(|_| Game::of(&post_from(&site, "203.0.113.1", None)))
        .collect();
    let other = Game::of(&post_from(&site, "203.0.113.2", None));
    let before = engine.calls("ContainerArchive");
    let manager = site.app().manager();
    let get = |game: &Game| manager.book(game.id.parse().expect("an id"));
    engine.hang("ContainerArchive");
    std::thread::scope(|scope| {
        let get = &get;
        let mut asked: Vec<_> = games
            .iter()
            .map(|game| scope.spawn(move || get(game)))
            .collect();
        let refused = || asked.iter().filter(|asked| asked.is_finished()).count();
        // Four are at the Engine and sixteen wait.
        wait_for("the others to be refused", || refused() == 4);
        let other = &other;
        asked.push(scope.spawn(move || get(other)));
        // No more than those, and each has looked at the book's size before.
        wait_for("the four to be there", || {
            engine.calls("ContainerArchive") - before == 4
        });
        engine.release("ContainerArchive");
        let answers = asked
            .into_iter()
            .map(|asked| asked.join().expect("no panic"));
        let (done, refused): (Vec<_>, Vec<_>) = answers.partition(Result::is_ok);
        assert_eq!((done.len(), refused.len()), (21, 4));
        for refused in refused {
            assert!(matches!(refused, Err(Error::BookBusy)), "{refused:?}");
        }
    });
}

/// Game after game, each under a new name, and each with big books.
#[test]
fn an_address_does_not_fill_the_store() {
    let (_engine, site) = site(&["--trusted-proxies", "127.0.0.1"]);
    let from = [("X-Forwarded-For", "203.0.113.1")];
    let mut number = 0_u32;
    let mut put = |game: &Game| {
        number += 1;
        let book = format!("{number:08}").repeat(1 << 17);
        site.request("PUT", &game.path("/spellbook"), &from, book.as_bytes())
    };
    let first = Game::of(&post_from(&site, "203.0.113.1", None));
    let mut stored = 0;
    let refused = loop {
        let reply = put(&first);
        if reply.status != 204 {
            break reply;
        }
        stored += 1;
        assert!(stored < 80, "{stored} MiB and more");
    };
    assert!(stored > 40, "{stored} MiB");
    check_refused(&refused, 429, "rate_limited");
    // It says what it is about, and not that too many games were started.
    let told = refused.json()["error"]["message"].to_string();
    assert!(told.contains("spellbooks"), "{told}");
    let next = post_from(&site, "203.0.113.1", None);
    check_refused(&next, 429, "rate_limited");
    assert_eq!(post_from(&site, "203.0.113.2", None).status, 201);
    // What is there can be read, and is kept; and restoring a version is no way round.
    assert_eq!(site.get(&first.path("/spellbook")).body.len(), 1 << 20);
    let other = post_from(&site, "203.0.113.2", None);
    let (mine, game) = (cookie(&other), Game::of(&other));
    let mine = [
        ("Cookie", mine.as_str()),
        ("X-Forwarded-For", "203.0.113.1"),
    ];
    let put = site.request("PUT", &game.path("/spellbook"), &mine[..1], b"mine\n");
    assert_eq!(put.status, 204, "{put:?}");
    assert_eq!(site.delete(&game.path("")).status, 204);
    let versions = site.request("GET", "/spellbook", &mine, b"").json();
    let sha256 = versions["versions"][0]["sha256"]
        .as_str()
        .expect("a name")
        .to_owned();
    let restored = site.request("POST", &format!("/spellbook/{sha256}"), &mine, b"");
    check_refused(&restored, 429, "rate_limited");
}

/// A terminal that is over gives its memory back; its recording stays, and is downloaded twice at once.
#[test]
fn what_is_over_takes_little_memory() {
    let (engine, site) = site(&[]);
    let game = site.create("rust");
    let mut player = site.page(&game, None);
    player.expect("$ ");
    player.control(serde_json::json!({"type": "resize", "cols": 1000, "rows": 100}));
    player.type_in("seq 200000\r");
    player.expect("\r\n200000\r\n");
    let id = game.id.parse().expect("an id");
    let session = site.app().manager().get(id).expect("it is known");
    assert!(session.hub.memory_bytes() > 128 * 1024);
    engine.exit(&format!("shellcraft-{}", game.id), 0);
    assert_eq!(player.close_code(), 1000);
    drop(player);
    wait_for("its memory", || session.hub.memory_bytes() == 0);
}

/// Six games with the largest screen and as much recording as there may be, one after the other.
#[test]
fn the_largest_terminals_leave_little_when_they_end() {
    let (engine, site) = site(&[]);
    for _ in 0..6 {
        let game = site.create("rust");
        let mut player = site.page(&game, None);
        player.expect("$ ");
        player.control(serde_json::json!({"type": "resize", "cols": 1000, "rows": 100}));
        assert_eq!(site.post(&game.path("/recording"), "").status, 201);
        player.type_in("seq 200000\r");
        player.expect("\r\n200000\r\n");
        let hub = hub(&site, &game);
        assert!(hub.recording_bytes() > 512 * 1024);
        engine.exit(&format!("shellcraft-{}", game.id), 0);
        assert_eq!(player.close_code(), 1000);
    }
    wait_for("their memory", || {
        let part = |part| site.metric(&format!("terminal_memory_bytes{{part=\"{part}\"}}"));
        part("scrollback") + part("state") + part("recording") <= f64::from(4 << 20)
    });
}

/// A game that its player has left goes on, and its flood costs next to nothing.
#[test]
fn a_flood_that_nobody_sees_is_held_back() {
    const BURST: u64 = 8 * 256 * 1024;
    let (_engine, site) = site(&[]);
    let game = site.create("rust");
    let hub = hub(&site, &game);
    let mut player = site.raw(&game);
    player.expect("$ ");
    player.type_in("yes\r");
    player.expect("y\r\ny\r\n");
    let began = Instant::now();
    drop(player);
    wait_for("nobody to look", || hub.viewers() == 0);
    let seen = hub.output_bytes();
    wait_for("it to go on", || {
        hub.output_bytes() > seen + BURST + (512 << 10)
    });
    let bytes = hub.output_bytes() - seen;
    let most = BURST as f64 + began.elapsed().as_secs_f64() * 256.0 * 1024.0 + 128.0 * 1024.0;
    assert!(bytes as f64 <= most, "{bytes} bytes, not {most}");
    // Who comes back meets a game that goes on at once.
    let mut player = site.raw(&game);
    player.type_in("\x03");
    player.expect("^C");
    player.expect("$ ");
}

/// While somebody types at another terminal, a flood leaves the host's processor time to them, and its own player all the
/// same ends it at once.
#[test]
fn a_flood_beside_others_who_type_is_held_back() {
    const PACE: u64 = 1 << 20;
    let (_engine, site) = site(&[]);
    let (flooded, quiet) = (site.create("rust"), site.create("rust"));
    let hub = hub(&site, &flooded);
    let mut flood = site.raw(&flooded);
    flood.expect("$ ");
    // Long lines: short ones take the emulator's time as well, which has a limit of its own.
    flood.type_in(&format!("yes {}\r", "y".repeat(78)));
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let drawn = scope.spawn(|| {
            let due = Instant::now() + PATIENCE;
            while !end.load(Ordering::Relaxed) && flood.read(due) {
                flood.seen.clear();
                assert!(Instant::now() < due, "nobody ends the flood");
            }
            flood
        });
        // Alone it goes on as fast as it can: much more than it may take at once beside others.
        wait_for("a flood", || hub.output_bytes() > 16 * PACE);
        let mut neighbour = site.raw(&quiet);
        neighbour.expect("$ ");
        neighbour.type_in("echo one\r");
        neighbour.expect("one\r\n");
        let (seen, began) = (hub.output_bytes(), Instant::now());
        for number in 0..20 {
            neighbour.type_in(&format!("echo number {number}\r"));
            neighbour.expect(&format!("\r\nnumber {number}\r\n"));
            thread::sleep(Duration::from_millis(100));
        }
        let bytes = hub.output_bytes() - seen;
        // A read more than it may, and it never stands still.
        let most = began.elapsed().as_secs_f64() * PACE as f64 + 256.0 * 1024.0;
        assert!(bytes as f64 <= most, "{bytes} bytes, not {most}");
        assert!(bytes > PACE, "{bytes} bytes");
        end.store(true, Ordering::Relaxed);
        let mut flood = drawn.join().expect("the reader ends");
        flood.type_in("\x03");
        flood.expect("^C");
        flood.expect("$ ");
    });
}

#[test]
fn a_server_has_so_many_games() {
    let (_engine, site) = site(&["--max-sessions", "1"]);
    site.create("rust");
    check_refused(&site.post("/session", ""), 503, "full");
}

#[test]
fn an_address_has_so_many_connections_through_a_proxy_too() {
    let flags = [
        "--connections-per-address",
        "3",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let (_engine, site) = site(&flags);
    let game = site.create("rust");
    let path = game.path("/ws");
    let from = |address| [("X-Forwarded-For", address)];
    let held: Vec<_> = (0..3)
        .map(|_| site.open(&path, &from("203.0.113.1")).expect("it opens"))
        .collect();
    let get = |address| site.request("GET", "/healthz", &from(address), b"");
    check_refused(&get("203.0.113.1"), 429, "too_many_connections");
    assert_eq!(get("203.0.113.2").status, 200);
    drop(held);
    wait_for("room again", || get("203.0.113.1").status == 200);
}

#[test]
fn an_address_has_so_many_connections() {
    let (_engine, site) = site(&["--connections-per-address", "3"]);
    let held: Vec<TcpStream> = (0..3).map(|_| site.connect()).collect();
    wait_for("the fourth to be refused", || {
        let reply = site.get("/healthz");
        reply.status == 429 && check_refused(&reply, 429, "too_many_connections") > 0
    });
    drop(held);
    wait_for("room again", || site.get("/healthz").status == 200);
}

/// Half of what comes is above the pace: the client is held back, by its own socket's buffer, and not cut.
#[test]
fn a_client_above_its_pace_is_held_back() {
    let (_engine, site) = site(&["--message-rate", "100"]);
    let game = site.create("rust");
    let mut player = site.page(&game, None);
    player.expect("$ ");
    let began = Instant::now();
    // The burst is what comes at the pace in eight seconds.
    for number in 0..1000 {
        player.control(serde_json::json!({"type": "ping", "t": number}));
    }
    player.type_in("echo through\r");
    player.expect("through");
    let least = std::time::Duration::from_millis(1500);
    assert!(began.elapsed() > least, "{:?}", began.elapsed());
}

/// A flood of bytes is not buffered: what is not read stays with the client.
#[test]
fn a_flood_waits_in_the_client_s_own_socket() {
    let (_engine, site) = site(&["--input-rate", "1KiB"]);
    let game = site.create("rust");
    let mut player = site.raw(&game);
    player.expect("$ ");
    let stream = player.socket.get_mut();
    stream.set_nonblocking(true).expect("an option");
    let frame = [
        [0x82, 0xfe, 0x10, 0x00, 0, 0, 0, 0].as_slice(),
        &[b' '; 4096],
    ]
    .concat();
    let most = 64 * 1024 * 1024;
    let mut sent = 0;
    // Until neither side's kernel takes any more.
    let mut is_full = false;
    wait_for("the client to be held back", || {
        while !is_full && sent < most {
            match stream.write(&frame[sent % frame.len()..]) {
                Ok(count) => sent += count,
                Err(_) => return true,
            }
        }
        is_full = sent >= most;
        is_full
    });
    assert!(sent < most, "{sent} bytes were taken");
    // The others do not notice.
    let other = site.create("rust");
    site.raw(&other).expect("$ ");
}
