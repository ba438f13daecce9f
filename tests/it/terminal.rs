//! Terminals through their real door: raw clients and pages, resume, take-over, and what bad frames get.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_engine::FakeEngine;
use serde_json::json;
use shellcraft::logging::names;
use shellcraft::terminal::Hub;
use shellcraft::threads::Kind;
use tungstenite::Message;

use crate::containers::PATIENCE;
use crate::site::{Game, Player, Site, threads_named, wait_for};

fn playing() -> (FakeEngine, Site, Game) {
    playing_with(&[])
}

fn playing_with(flags: &[&str]) -> (FakeEngine, Site, Game) {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), flags);
    let game = site.create("rust");
    (engine, site, game)
}

/// The server's own view of the game's terminal.
fn hub(site: &Site, game: &Game) -> Arc<Hub> {
    let id = game.id.parse().expect("an id");
    let session = site.app().manager().get(id).expect("a session");
    Arc::clone(&session.hub)
}

fn container(game: &Game) -> String {
    format!("shellcraft-{}", game.id)
}

/// A session ends after a minute without input, and the reaper looks often.
const MINUTE: [&str; 4] = ["--idle-timeout", "60s", "--save-interval", "50ms"];

/// Makes it so that nobody has typed for so many seconds.
fn idle_for(site: &Site, game: &Game, seconds: u64) {
    let then = Instant::now().checked_sub(Duration::from_secs(seconds));
    hub(site, game).touch(then.expect("the machine runs for longer"));
}

/// The session, half a minute before its end, lives on because of what its player does.
#[track_caller]
fn stays_alive(site: &Site, game: &Game, mut act: impl FnMut()) {
    idle_for(site, game, 30);
    let before = Instant::now();
    act();
    let hub = hub(site, game);
    wait_for("it to count", || hub.last_input() >= before);
}

#[test]
fn a_raw_client_plays() {
    let (_engine, site, game) = playing();
    let mut player = site.raw(&game);
    player.expect("$ ");
    player.send(Message::text("echo from text\n"));
    player.expect("\r\nfrom text\r\n");
    player.type_in("ls\n");
    player.expect("spellbook.dat");
    player.type_in("exit 0\n");
    assert_eq!(player.close_code(), 1000);
}

#[test]
fn a_page_is_greeted_and_told_the_end() {
    let (engine, site, game) = playing();
    let mut page = site.page(&game, None);
    let hello = page.note("hello");
    assert!(hello["head"].is_u64(), "{hello}");
    for (name, expected) in [
        ("session_id", json!(game.id)),
        ("offset", json!(0)),
        ("role", json!("player")),
        ("replay", json!(false)),
    ] {
        assert_eq!(hello[name], expected, "{hello}");
    }
    page.expect("$ ");
    page.type_in("exit 3\r");
    assert_eq!(
        page.note("exit"),
        json!({"type": "exit", "code": 3, "reason": "exited"})
    );
    assert_eq!(page.close_code(), 1000);
    wait_for("the container to be removed", || {
        engine.containers().is_empty()
    });
    let late = site.open(&game.path("/ws"), &[]).err();
    assert_eq!(late, Some(410));
}

#[test]
fn the_size_reaches_the_container() {
    let (engine, site, game) = playing();
    let size = |engine: &FakeEngine| {
        engine
            .container(&container(&game))
            .map(|container| container.size)
    };
    assert_eq!(size(&engine), Some((80, 24)), "before any page");
    let mut page = site.page(&game, None);
    page.resize(132, 43);
    wait_for("the new size", || size(&engine) == Some((132, 43)));
    for (cols, rows) in [(0, 24), (80, 0), (100_000, 24), (80, 65_560)] {
        page.resize(cols, rows);
        let notice = page.note("notice");
        assert_eq!(notice["level"], "error", "{notice}");
        assert_eq!(notice["kind"], "bad_size", "{notice}");
    }
    assert_eq!(size(&engine), Some((132, 43)));
}

/// However many sizes come while the Engine is busy with one of them, they cost it a few calls, and the last one holds.
#[test]
fn a_storm_of_sizes_is_one_size() {
    const SIZES: usize = 20_000;
    let (engine, site, game) = playing();
    let before = engine.calls("ContainerResize");
    engine.hang("ContainerResize");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    let hub = hub(&site, &game);
    let memory = hub.memory_bytes();
    let block: Vec<u8> = (0..1000)
        .flat_map(|step| {
            let resize = json!({"type": "resize", "cols": 20 + step % 100, "rows": 20});
            masked(0x81, resize.to_string().as_bytes())
        })
        .collect();
    for _ in 0..SIZES / 1000 {
        // Blocks when the server can't keep up, so all of them count.
        page.socket.get_mut().write_all(&block).expect("sent");
    }
    page.resize(111, 33);
    // Answered after everything before it.
    page.type_in("echo calm\n");
    page.expect("\r\ncalm\r\n");
    let grown = hub.memory_bytes() - memory;
    assert!(grown < 1024, "{grown} bytes more");
    engine.release("ContainerResize");
    wait_for("the last size", || {
        engine
            .container(&container(&game))
            .is_some_and(|container| container.size == (111, 33))
    });
    // The one that hung and the last; on a slow machine the first is given up, some seconds later, and tried again.
    let calls = engine.calls("ContainerResize") - before;
    assert!(calls <= 10, "{calls} calls");
}

#[test]
fn ping_and_pong() {
    let (_engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.control(json!({"type": "ping", "t": 12.5}));
    assert_eq!(page.note("pong"), json!({"type": "pong", "t": 12.5}));
}

#[test]
fn control_messages_that_make_no_sense_close_with_1008() {
    let (_engine, site, game) = playing();
    for text in [
        "hello",
        "{",
        "[]",
        "{\"type\":\"exec\"}",
        "{\"type\":\"ack\"}",
    ] {
        let mut page = site.page(&game, None);
        page.send(Message::text(text));
        assert_eq!(page.close_code(), 1008, "{text}");
    }
    site.raw(&game).expect("$ ");
}

#[test]
fn a_message_of_10_mb_closes_with_1009() {
    let (_engine, site, game) = playing();
    let mut page = site.page(&game, None);
    // The server may have closed before all of it is sent.
    let _ = page.socket.send(Message::binary(vec![b'x'; 10_000_000]));
    let code = page.close_code();
    assert_eq!(code, 1009);
    site.raw(&game).expect("$ ");
}

#[test]
fn invalid_utf8_in_a_text_message_closes_with_1007() {
    let (_engine, site, game) = playing();
    let mut raw = site.raw(&game);
    // A masked text frame (mask 0) of one byte that is no UTF-8.
    raw.socket
        .get_mut()
        .write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff])
        .expect("sent");
    assert_eq!(raw.close_code(), 1007);
}

#[test]
fn unmasked_frames_close_with_1002() {
    let (_engine, site, game) = playing();
    let mut raw = site.raw(&game);
    raw.socket
        .get_mut()
        .write_all(&[0x82, 0x01, b'x'])
        .expect("sent");
    assert_eq!(raw.close_code(), 1002);
}

#[test]
fn any_byte_goes_in_and_comes_out() {
    let (_engine, site, game) = playing();
    let mut raw = site.raw(&game);
    raw.expect("$ ");
    raw.send(Message::binary(b"echo \xff\xfe\xc3(\n".to_vec()));
    let due = Instant::now() + PATIENCE;
    while crate::site::find(&raw.seen, b"echo \xff\xfe\xc3(\r\n").is_none() {
        assert!(raw.read(due) && Instant::now() < due, "{:?}", raw.seen);
    }
}

#[test]
fn a_second_tab_takes_over() {
    let (_engine, site, game) = playing();
    let mut first = site.page(&game, None);
    first.expect("$ ");
    let mut second = site.page(&game, None);
    assert_eq!(first.close_code(), 4000);
    second.expect("$ ");
    second.type_in("echo mine\n");
    second.expect("\r\nmine\r\n");
}

/// A tab that reads nothing must not keep the next one out.
#[test]
fn a_stuck_tab_is_taken_over_too() {
    let (_engine, site, game) = playing();
    let mut stuck = site.raw(&game);
    stuck.expect("$ ");
    stuck.type_in("yes\n");
    // Nothing is read any more: the server's socket fills up, and then its window.
    let hub = hub(&site, &game);
    let mut last = 0;
    wait_for("the flood to stand still", || {
        let now = hub.output_bytes();
        let stands = now > 0 && now == last;
        last = now;
        std::thread::park_timeout(Duration::from_millis(300));
        stands
    });
    let mut next = site.raw(&game);
    next.type_in("\x03");
    next.expect("^C");
    next.expect("$ ");
    wait_for("the stuck one to be gone", || hub.viewers() == 1);
}

/// Cuts after ever other numbers of bytes: what is seen in all is what one look at the whole shows.
#[test]
fn resume_at_an_offset_is_exact() {
    let (_engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.type_in("flood 20000\n");
    page.expect("\n19999\r\n");
    page.expect("$ ");
    let end = page.offset;
    drop(page);
    let mut whole = site.page(&game, Some(0));
    read_until(&mut whole, end);
    let mut pieces = Vec::new();
    for step in 1.. {
        let offset = pieces.len() as u64;
        if offset == end {
            break;
        }
        let mut page = site.page(&game, Some(offset));
        let hello = page.note("hello");
        assert_eq!(
            (&hello["offset"], &hello["replay"]),
            (&json!(offset), &json!(false))
        );
        read_until(&mut page, end.min(offset + step * 97));
        // Cut without a close; whatever else has come was not seen.
        pieces.extend_from_slice(&page.seen[..page.seen.len().min(step as usize * 97)]);
    }
    assert!(pieces == whole.seen, "lost or doubled");
}

#[track_caller]
fn read_until(page: &mut Player, offset: u64) {
    let due = Instant::now() + PATIENCE;
    while page.offset < offset {
        assert!(
            page.read(due) && Instant::now() < due,
            "only {} of {offset}",
            page.offset
        );
    }
}

#[test]
fn an_offset_that_is_gone_is_replayed_from_what_is_kept() {
    let (_engine, site, game) = playing_with(&["--scrollback", "64KiB"]);
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("flood 20000\n");
    page.expect("\n19999\r\n");
    page.expect("$ ");
    drop(page);
    // The oldest output is forgotten when it has been drawn, which takes a moment behind a flood.
    wait_for("the oldest output to be forgotten", || {
        site.page(&game, Some(1)).note("hello")["offset"] != 1
    });
    for from in [Some(1), None, Some(u64::MAX)] {
        let mut page = site.page(&game, from);
        let hello = page.note("hello");
        assert_eq!(hello["replay"], true, "{hello}");
        assert!(hello["offset"].as_u64().expect("an offset") > 10_000);
        page.expect("\n19999\r\n");
    }
}

#[test]
fn a_page_that_does_not_ack_stops_the_program() {
    let (_engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.acks = false;
    page.type_in("yes\n");
    let hub = hub(&site, &game);
    let window = site.app().manager().settings().terminal.window_bytes as u64;
    let limit = page.offset + window;
    let due = Instant::now() + PATIENCE;
    while page.offset < limit {
        assert!(
            page.read(due) && Instant::now() < due,
            "only {} of {limit}",
            page.offset
        );
    }
    assert_eq!(page.offset, limit, "exactly one window");
    assert!(
        hub.output_bytes() <= limit + 64 * 1024,
        "the pump stops too: {}",
        hub.output_bytes()
    );
    page.acks = true;
    page.control(json!({"type": "ack", "offset": page.offset}));
    while page.offset < limit * 3 {
        assert!(page.read(due) && Instant::now() < due, "it does not go on");
    }
    page.type_in("\x03");
    page.expect("^C");
}

#[test]
fn acks_that_make_no_sense_change_nothing() {
    let (_engine, site, game) = playing();
    let mut page = site.page(&game, None);
    for offset in [u64::MAX, 1 << 40, 0] {
        page.control(json!({"type": "ack", "offset": offset}));
    }
    page.expect("$ ");
    page.type_in("echo fine\n");
    page.expect("\r\nfine\r\n");
}

#[test]
fn all_output_arrives_before_the_exit() {
    let (_engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("flood 30000\nexit 5\n");
    page.expect("\n29999\r\n");
    assert_eq!(page.note("exit")["code"], 5);
    assert_eq!(page.close_code(), 1000);
}

#[test]
fn destroyed_and_idle_have_codes_of_their_own() {
    let (_engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.expect("$ ");
    assert_eq!(site.delete(&game.path("")).status, 204);
    assert_eq!(page.close_code(), 4002);

    let (engine, site, game) = playing_with(&MINUTE);
    let mut page = site.page(&game, None);
    page.expect("$ ");
    idle_for(&site, &game, 50);
    let notice = page.note("notice");
    assert_eq!(notice["level"], "warning", "{notice}");
    assert_eq!(notice["kind"], "idle_warning", "{notice}");
    idle_for(&site, &game, 60);
    assert_eq!(page.close_code(), 4001);
    wait_for("the container to be removed", || {
        engine.containers().is_empty()
    });
    assert_eq!(site.get(&game.path("/status")).json()["reason"], "idle");
}

/// Output is not input: a program that writes for ever does not keep its session alive.
#[test]
fn output_and_pings_do_not_keep_a_session_alive() {
    let (_engine, site, game) = playing_with(&MINUTE);
    let mut page = site.page(&game, None);
    page.type_in("yes\n");
    page.expect("y\r\ny\r\n");
    // Anything that counted as input would give it another minute.
    idle_for(&site, &game, 57);
    let due = Instant::now() + PATIENCE;
    while page.read(due) {
        assert!(Instant::now() < due, "it lives on");
        let _ = page
            .socket
            .send(Message::text("{\"type\":\"ping\",\"t\":1}"));
    }
    assert_eq!(page.closed, Some(4001));
}

#[test]
fn typing_keeps_a_session_alive() {
    let (_engine, site, game) = playing_with(&MINUTE);
    let mut page = site.page(&game, None);
    page.expect("$ ");
    for _ in 0..3 {
        stays_alive(&site, &game, || page.type_in("x"));
    }
    page.type_in("\x03echo alive\n");
    page.expect("\r\nalive\r\n");
}

#[test]
fn staying_keeps_a_session_alive_and_types_nothing() {
    let (_engine, site, game) = playing_with(&MINUTE);
    let mut page = site.page(&game, None);
    page.expect("$ ");
    for _ in 0..3 {
        stays_alive(&site, &game, || page.control(json!({"type": "stay"})));
    }
    page.type_in("echo alive\n");
    assert_eq!(page.expect("\r\nalive\r\n"), "echo alive\r\nalive\r\n");
}

/// Only the player can keep the game.
#[test]
fn a_spectator_that_stays_keeps_nothing() {
    let (_engine, site, game) = playing_with(&MINUTE);
    let path = watch_path(&site, &game);
    let v1 = [("Sec-WebSocket-Protocol", "shellcraft.v1")];
    let opened = site.open(&path, &v1);
    let mut spectator = opened.expect("the terminal opens");
    // If it counted, it would give the game another minute.
    idle_for(&site, &game, 57);
    let due = Instant::now() + PATIENCE;
    while spectator.read(Instant::now() + Duration::from_millis(50)) {
        assert!(Instant::now() < due, "it lives on");
        let _ = spectator.socket.send(Message::text("{\"type\":\"stay\"}"));
    }
    assert_eq!(spectator.closed, Some(4001));
}

#[test]
fn a_stop_tells_the_pages_to_come_back() {
    let (engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.expect("$ ");
    assert_eq!(site.stop(), 0, "no thread is left behind");
    assert_eq!(page.close_code(), 1001);
    assert!(engine.containers().is_empty());
}

#[test]
fn upgrades_that_are_refused_are_ordinary_answers() {
    let (_engine, site, game) = playing();
    let ws = game.path("/ws");
    let unknown = "/session/f47ac10b-58cc-4372-a567-0e02b2c3d479/ws";
    assert_eq!(site.open(unknown, &[]).err(), Some(404));
    assert_eq!(site.open("/session/1/ws", &[]).err(), Some(404));
    assert_eq!(
        site.open(&ws, &[("Origin", "http://evil.example")]).err(),
        Some(403)
    );
    assert_eq!(
        site.open(&ws, &[("Authorization", "Bearer wrong")]).err(),
        Some(404)
    );
    assert_eq!(site.open(&format!("{ws}?from=x"), &[]).err(), Some(400));
    let plain = site.get(&ws);
    assert_eq!(
        (plain.status, plain.code().as_str()),
        (426, "upgrade_required")
    );
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "x"),
    ];
    let version = [("Sec-WebSocket-Version", "8")];
    assert_eq!(
        site.request("GET", &ws, &[&upgrade[..], &version].concat(), b"")
            .status,
        426
    );
    let version = [("Sec-WebSocket-Version", "13")];
    assert_eq!(
        site.request("GET", &ws, &[&upgrade[..], &version].concat(), b"")
            .status,
        400
    );
    let own = format!("http://{}", site.address);
    assert!(site.open(&ws, &[("Origin", own.as_str())]).is_ok());
}

/// The attach breaks, the container runs on: the game goes on by itself.
#[test]
fn a_broken_attach_is_made_again() {
    let (engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.expect("$ ");
    for round in 0..3 {
        engine.cut_attaches();
        wait_for("a new attach", || {
            engine
                .container(&container(&game))
                .is_some_and(|it| it.attached > 0)
        });
        let hub = hub(&site, &game);
        wait_for("keys to go there", || hub.input().stream().is_some());
        page.type_in(&format!("echo round {round}\n"));
        page.expect(&format!("\r\nround {round}\r\n"));
    }
}

#[test]
fn the_engine_s_outage_is_waited_out() {
    let (engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.expect("$ ");
    engine.stop_listening();
    let away = page.note("notice");
    assert_eq!(
        (&away["kind"], &away["level"]),
        (&json!("engine_away"), &json!("warning"))
    );
    page.type_in("echo lost\n");
    let lost = page.note("notice");
    assert_eq!(
        (&lost["kind"], &lost["level"]),
        (&json!("not_delivered"), &json!("error")),
        "what was typed is reported"
    );
    // Whoever comes meanwhile is told too.
    drop(page);
    let mut page = site.page(&game, None);
    page.expect("$ ");
    assert_eq!(page.note("notice")["kind"], "engine_away");
    engine.start_listening();
    let back = page.note("notice");
    assert_eq!(
        (&back["kind"], &back["level"]),
        (&json!("engine_back"), &json!("info"))
    );
    page.type_in("echo back\n");
    let between = page.expect("\r\nback\r\n");
    assert!(!between.contains("lost"), "{between:?}");
}

/// A megabyte of paste into a program that floods and is held by its window: no deadlock.
#[test]
fn a_huge_paste_under_a_flood_does_not_deadlock() {
    let (_engine, site, game) = playing();
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("yes\n");
    for _ in 0..30 {
        page.type_in(&"p".repeat(30_000));
    }
    page.expect("y\r\ny\r\n");
    page.type_in("\x03");
    page.expect("^C");
}

#[test]
fn viewers_leave_no_thread_behind() {
    let (_engine, site, game) = playing();
    let hub = hub(&site, &game);
    let name = Kind::ViewerWriter.name_of(names::short(&game.id));
    let mut player = site.raw(&game);
    player.expect("$ ");
    assert_eq!(threads_named(&name), 1);
    drop(player);
    for _ in 0..50 {
        site.raw(&game).expect("$ ");
    }
    wait_for("all to leave", || hub.viewers() == 0);
    wait_for("their threads to end", || threads_named(&name) == 0);
}

/// Keys are counted for the page that numbers itself, over reconnects, until another page types.
#[test]
fn a_page_learns_which_of_its_keys_arrived() {
    let (engine, site, game) = playing();
    let me = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    let path = |from: &str| format!("{}?client={me}{from}", game.path("/ws"));
    let v1 = [("Sec-WebSocket-Protocol", "shellcraft.v1")];
    let mut page = site.open(&path(""), &v1).expect("opens");
    assert_eq!(page.note("hello")["input"], 0);
    page.expect("$ ");
    page.type_in("echo one\n");
    page.expect("\r\none\r\n");
    page.control(json!({"type": "ping", "t": 1}));
    assert_eq!(page.note("pong")["input"], 9);
    drop(page);
    let mut page = site.open(&path("&from=0"), &v1).expect("opens");
    assert_eq!(page.note("hello")["input"], 9);
    // What is reported as not delivered is settled too.
    engine.stop_listening();
    assert_eq!(page.note("notice")["level"], "warning");
    page.type_in("lost");
    assert_eq!(page.note("notice")["level"], "error");
    page.control(json!({"type": "ping", "t": 2}));
    assert_eq!(page.note("pong")["input"], 13);
    let other = site.page(&game, Some(0));
    drop(other);
    let mut page = site.open(&path("&from=0"), &v1).expect("opens");
    assert_eq!(
        page.note("hello")["input"],
        13,
        "a page that does not count takes no count away"
    );
    let second = format!(
        "{}?client=0e02b2c3-58cc-4372-a567-0e02b2c3d479",
        game.path("/ws")
    );
    drop(site.open(&second, &v1).expect("opens"));
    let mut page = site.open(&path("&from=0"), &v1).expect("opens");
    assert!(
        page.note("hello").get("input").is_none(),
        "nobody knows any more"
    );
}

/// Before it is sent away a page hears the last count of its keys: the next server does not know it.
#[test]
fn a_page_that_is_sent_away_knows_which_keys_arrived() {
    let (_engine, site, game) = playing();
    let path = |client: u32| {
        let number = format!("f47ac10b-58cc-4372-a567-{client:012}");
        game.path(&format!("/ws?client={number}"))
    };
    let bearer = game.authorization();
    let headers = [
        ("sec-websocket-protocol", "shellcraft.v1"),
        ("authorization", bearer.as_str()),
    ];
    let mut first = site.open(&path(1), &headers).expect("opens");
    first.type_in("echo one\n");
    first.expect("\r\none\r\n");
    let mut second = site.open(&path(2), &headers).expect("opens");
    assert_eq!(first.note("keys"), json!({"type": "keys", "input": 9}));
    assert_eq!(first.close_code(), 4000);
    second.type_in("echo two!\n");
    second.expect("\r\ntwo!\r\n");
    site.stop();
    assert_eq!(second.note("keys"), json!({"type": "keys", "input": 10}));
    assert_eq!(second.close_code(), 1001);
}

/// What no page has drawn is no history: questions in it are still to be answered, by the first page that comes.
#[test]
fn what_nobody_has_drawn_is_no_history() {
    let (_engine, site, game) = playing();
    let hub = hub(&site, &game);
    wait_for("the prompt", || hub.output_bytes() > 0);
    let mut page = site.page(&game, None);
    assert_eq!(page.note("hello")["answered"], 0);
    page.expect("$ ");
    let shown = hub.output_bytes();
    // It has said that it has drawn that.
    page.control(json!({"type": "ping", "t": 1}));
    page.note("pong");
    let mut next = site.page(&game, None);
    assert_eq!(next.note("hello")["answered"], shown);
    let spectator = site.open(
        &watch_path(&site, &game),
        &[("sec-websocket-protocol", "shellcraft.v1")],
    );
    let mut spectator = spectator.expect("opens");
    assert_eq!(
        spectator.note("hello").get("answered"),
        None,
        "it never answers"
    );
    // A program may ask while nobody is there.
    drop((page, next));
    wait_for("both to leave", || hub.viewers() == 1);
    let mut raw = site.raw(&game);
    raw.expect("$ ");
    raw.type_in("echo more\n");
    raw.expect("\r\nmore\r\n");
    let mut last = site.page(&game, None);
    assert!(last.note("hello")["answered"].as_u64() > Some(shown));
}

fn watch_path(site: &Site, game: &Game) -> String {
    let reply = site.post(&game.path("/watch"), "");
    assert_eq!(reply.status, 201, "{reply:?}");
    let url = reply.json()["ws_url"].as_str().expect("a URL").to_owned();
    url.split_once(&site.address.to_string())
        .expect("our address")
        .1
        .to_owned()
}

#[test]
fn spectators_see_and_cannot_touch() {
    let (engine, site, game) = playing();
    let mut player = site.page(&game, None);
    player.expect("$ ");
    player.resize(100, 30);
    let path = watch_path(&site, &game);
    let v1 = [("Sec-WebSocket-Protocol", "shellcraft.v1")];
    let mut watcher = site.open(&path, &v1).expect("opens");
    let hello = watcher.note("hello");
    assert_eq!(hello["role"], "spectator");
    assert!(
        !hello.to_string().contains(&game.id),
        "whoever knows the id plays: {hello}"
    );
    wait_for("the size", || {
        watcher.note("size") == json!({"type": "size", "cols": 100, "rows": 30})
    });
    assert_eq!(player.note("spectators")["count"], 1);
    watcher.type_in("echo intruder\n");
    watcher.resize(20, 5);
    player.type_in("echo mine\n");
    let seen = watcher.expect("\r\nmine\r\n");
    assert!(!seen.contains("intruder"), "{seen:?}");
    // The resizer is a thread of its own; what it applies is the player's size all the same.
    wait_for("the player's size", || {
        engine.container(&container(&game)).map(|it| it.size) == Some((100, 30))
    });
    player.resize(90, 25);
    assert_eq!(watcher.note("size")["cols"], 90);
    // A raw spectator too.
    let mut raw = site.open(&path, &[]).expect("opens");
    raw.expect("\r\nmine\r\n");
    assert_eq!(player.note("spectators")["count"], 2);

    assert_eq!(site.delete(&game.path("/watch")).status, 204);
    assert_eq!(watcher.close_code(), 1008);
    assert_eq!(raw.close_code(), 1008);
    assert_eq!(site.open(&path, &v1).err(), Some(404));
    player.type_in("echo alone\n");
    player.expect("\r\nalone\r\n");
    wait_for("nobody to watch", || {
        player.note("spectators")["count"] == 0
    });
}

/// Spectators that read nothing, or draw nothing, never hold the player back.
#[test]
fn stalled_spectators_slow_nobody_down() {
    let (_engine, site, game) = playing();
    let mut player = site.page(&game, None);
    player.expect("$ ");
    let path = watch_path(&site, &game);
    let v1 = [("Sec-WebSocket-Protocol", "shellcraft.v1")];
    let stalled: Vec<_> = (0..20)
        .map(|n| {
            site.open(&path, if n % 2 == 0 { &v1[..] } else { &[] })
                .expect("opens")
        })
        .collect();
    player.type_in("flood 300000\n");
    player.expect("\n299999\r\n");
    assert_eq!(stalled.len(), 20);
    // A stalled one that reads again is resynchronised: it is greeted anew and sees the end.
    let mut late = stalled.into_iter().next().expect("one");
    late.expect("\n299999\r\n");
    let hellos: Vec<_> = late
        .notes
        .iter()
        .filter(|note| note["type"] == "hello")
        .collect();
    assert!(
        hellos.len() >= 2 && hellos[hellos.len() - 1]["replay"] == true,
        "{hellos:?}"
    );
}

#[test]
fn there_is_a_limit_of_spectators() {
    let (_engine, site, game) = playing();
    let path = watch_path(&site, &game);
    let watchers: Vec<_> = (0..64)
        .map(|_| site.open(&path, &[]).expect("opens"))
        .collect();
    assert_eq!(site.open(&path, &[]).err(), Some(429));
    drop(watchers);
    wait_for("a place", || site.open(&path, &[]).is_ok());
}

/// A page that comes back after more output than is kept draws the screen as it was, then the rest.
#[test]
fn a_late_page_gets_the_screen_before_the_scrollback() {
    let (_engine, site, game) = playing_with(&["--scrollback", "64KiB"]);
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("printf \\e]2;a title\\a\\e[?2004h\n");
    page.type_in("flood 40000\n");
    page.expect("\n39999\r\n");
    page.expect("$ ");
    let end = page.offset;
    let mut late = site.page(&game, None);
    let hello = late.note("hello");
    assert_eq!(
        (&hello["replay"], &hello["head"]),
        (&json!(true), &json!(end))
    );
    let screen = late.note("screen");
    assert_eq!((&screen["cols"], &screen["rows"]), (&json!(80), &json!(24)));
    let data = screen["data"].as_str().expect("text");
    assert!(
        data.contains("\x1b]2;a title\x07") && data.contains("\x1b[?2004h"),
        "{data:?}"
    );
    late.expect("\n39999\r\n");
    late.expect("$ ");
    assert_eq!(late.offset, end, "the screen has no offsets");
}

/// An emoji at the margin, which terminal emulators have panicked at, ends no game and costs no byte: not for a page that
/// goes on at its own, not for one that is too late for that, and not in the server's next life.
#[test]
fn an_emoji_at_the_margin_ends_no_game() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let check_panics = |site: &Site| {
        let text = site.get("/metrics").text();
        let line = "shellcraft_terminal_emulator_panics_total 0\n";
        assert!(text.contains(line), "{text}");
        let line = "shellcraft_panics_total{thread=\"session\"} 0\n";
        assert!(text.contains(line), "{text}");
    };
    let deadly = [
        "\\e[24;80H\u{2764}\u{fe0f}\\e[23;80Hy",
        "\\e[3;9r\\e[?6h\\e[16;80H\u{2764}\u{fe0f}\\e[6;77H\\e[5b",
        "\\e[24;81H\u{2764}\u{fe0f}\\e[3S\\e[20;79H\\e[5b",
    ];
    let mut games = Vec::new();
    for sequence in deadly {
        let game = site.create("rust");
        let mut page = site.page(&game, None);
        page.expect("$ ");
        page.type_in(&format!("printf {sequence}\n"));
        // Twice as much as is kept.
        page.type_in("flood 100000\n");
        page.expect("\n50000\r\n");
        let (middle, seen) = (page.offset, page.seen.len() as u64);
        page.expect("\n100000\r\n");
        page.expect("$ ");
        check_panics(&site);
        let end = page.offset;
        drop(page);
        let mut late = site.page(&game, Some(middle - seen));
        assert_eq!(late.note("hello")["replay"], true);
        assert_eq!(late.note("screen")["rows"], 24);
        late.expect("\n100000\r\n$ ");
        assert_eq!(late.offset, end, "lost or doubled");
        drop(late);
        let mut page = site.page(&game, Some(end));
        let hello = page.note("hello");
        assert_eq!(
            (&hello["offset"], &hello["replay"]),
            (&json!(end), &json!(false))
        );
        page.type_in("echo alive\n");
        page.expect("\r\nalive\r\n$ ");
        let offset = page.offset;
        games.push((game, offset));
    }
    let site = Site::start_in(site.leave(), &engine.docker_host(), &[]);
    wait_for("the games to be known", || {
        let is_known = |(game, _): &(Game, u64)| site.get(&game.path("/status")).status == 200;
        games.iter().all(is_known)
    });
    for (game, offset) in games {
        let mut page = site.page(&game, Some(offset));
        assert_eq!(page.note("hello")["replay"], false);
        page.type_in("echo again\n");
        page.expect("\r\nagain\r\n");
        let mut new = site.page(&game, None);
        let screen = new.note("screen")["data"].to_string();
        assert!(screen.contains("100000"), "{screen}");
    }
    check_panics(&site);
}

#[test]
fn a_recording_is_an_asciicast() {
    let (_engine, site, game) = playing();
    let path = game.path("/recording");
    let is_recorded = || site.get(&game.path("/status")).json()["recording"].as_bool();
    assert_eq!(site.get(&path).code(), "no_recording");
    assert_eq!(is_recorded(), Some(false));
    let mut page = site.page(&game, None);
    page.expect("$ ");
    assert_eq!(site.post(&path, "").status, 201);
    assert_eq!(site.post(&path, "").code(), "already_recording");
    page.type_in("echo recorded\n");
    page.expect("\r\nrecorded\r\n");
    page.type_in("exit 0\n");
    assert_eq!(page.close_code(), 1000);
    assert_eq!(is_recorded(), Some(true), "there is one to take home");
    let reply = site.get(&path);
    assert_eq!(
        reply.header("content-type"),
        Some("application/x-asciicast")
    );
    let text = reply.text();
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let header = lines.next().expect("a header");
    assert_eq!(
        (&header["version"], &header["width"]),
        (&json!(2), &json!(80))
    );
    let output: Vec<String> = lines
        .filter_map(|event| event[2].as_str().map(str::to_owned))
        .collect();
    assert!(output[0].contains("$ "), "the screen as it was: {output:?}");
    let output = output.concat();
    assert!(output.contains("\r\nrecorded\r\n"), "{output:?}");
    assert_eq!(site.delete(&path).status, 204);
    assert_eq!(is_recorded(), Some(false));
    assert_eq!(site.delete(&path).status, 404);
}

/// A page whose terminal died of the output asks for the screen, and goes on with its keys.
#[test]
fn a_page_is_told_the_screen_as_it_is_now() {
    let (_engine, site, game) = playing();
    let me = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    let path = |query: &str| format!("{}?client={me}{query}", game.path("/ws"));
    let v1 = [("Sec-WebSocket-Protocol", "shellcraft.v1")];
    let mut page = site.open(&path(""), &v1).expect("opens");
    page.expect("$ ");
    page.type_in("echo one\n");
    page.expect("\r\none\r\n");
    page.expect("$ ");
    let mut page = site.open(&path("&from=3&screen=now"), &v1).expect("opens");
    let hello = page.note("hello");
    assert_eq!(
        (&hello["replay"], &hello["input"]),
        (&json!(true), &json!(9))
    );
    assert_eq!(hello["offset"], hello["head"]);
    let screen = page.note("screen")["data"].to_string();
    assert_eq!(screen.matches("echo one").count(), 1, "{screen}");
    page.type_in("echo two\n");
    page.expect("\r\ntwo\r\n");
    assert_eq!(site.open(&path("&screen=then"), &v1).err(), Some(400));
}

/// A client's frame of at most 125 bytes.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut frame = vec![opcode, 0x80 | payload.len() as u8];
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4]),
    );
    frame
}

/// Each byte of the client's frames in a packet of its own.
#[test]
fn a_frame_may_come_byte_by_byte() {
    let (_engine, site, game) = playing();
    let mut raw = site.raw(&game);
    raw.expect("$ ");
    let frame = masked(0x82, b"echo byte by byte\n");
    raw.socket.get_ref().set_nodelay(true).expect("an option");
    for byte in frame {
        raw.socket.get_mut().write_all(&[byte]).expect("sent");
    }
    raw.expect("\r\nbyte by byte\r\n");
}

/// Both sides close while both have data in flight.
#[test]
fn closes_with_data_in_flight() {
    for round in 0..10 {
        let (_engine, site, game) = playing();
        let mut page = site.page(&game, None);
        page.expect("$ ");
        page.type_in("yes\n");
        page.expect("y\r\ny\r\n");
        for _ in 0..20 {
            page.type_in(&"k".repeat(10_000));
        }
        if round % 2 == 0 {
            page.socket.close(None).expect("sent");
            assert_eq!(
                page.close_code(),
                1000,
                "our own code comes back, or 1000 for none"
            );
        } else {
            assert_eq!(site.delete(&game.path("")).status, 204);
            assert_eq!(page.close_code(), 4002);
        }
    }
}
