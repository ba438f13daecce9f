//! Many pages that stall while their programs write for ever: the server's memory is bounded by what each may have.

use std::time::Instant;

use fake_engine::FakeEngine;
use serde_json::json;

use crate::binary::Process;
use crate::containers::{PATIENCE, unique};
use crate::site::{Game, Player, wait_for};

const PAGES: usize = 100;
/// The server's own flags, so that the bound below is exact.
const WINDOW_KIB: u64 = 128;
/// `SCROLLBACK`, and the room that a ring has for what comes in until the oldest is forgotten.
const RING_KIB: u64 = 256 + 128 + 8;
/// What a terminal may take beyond its window: what the pump has read and the writer has coded, two threads' stacks as
/// far as they are used, the socket's part of a page.
const BESIDE_KIB: u64 = 192;

#[test]
fn a_hundred_stalled_pages_of_a_hundred_floods_take_no_more_than_their_windows() {
    let engine = FakeEngine::start();
    let window = format!("{WINDOW_KIB}KiB");
    let server = Process::start(
        &engine.docker_host(),
        &unique(),
        &["--output-window", &window],
    );
    let (games, mut pages): (Vec<Game>, Vec<Player>) = (0..PAGES)
        .map(|_| {
            let game = server.create("rust");
            let mut page = server.page(&game, None);
            page.expect("$ ");
            page.acks = false;
            (game, page)
        })
        .unzip();
    let before = server.anonymous_kib();
    for page in &mut pages {
        page.type_in("yes\n");
    }
    // Half of them read until nothing more comes, the others read nothing at all.
    let window_bytes = WINDOW_KIB * 1024;
    for page in pages.iter_mut().step_by(2) {
        let (until, due) = (page.offset.max(window_bytes), Instant::now() + PATIENCE);
        while page.offset < until {
            assert!(page.read(due) && Instant::now() < due, "{}", page.offset);
        }
    }
    wait_for("all windows to be full", || {
        memory_of_terminals(&server) >= PAGES as u64 * window_bytes
    });
    let full = server.anonymous_kib();
    let grown = full.saturating_sub(before);
    let most = PAGES as u64 * (WINDOW_KIB + BESIDE_KIB);
    assert!(grown <= most, "{grown} KiB, not {most}");

    // Keys, pings and looks from outside add nothing, and one page that draws again is as fast as ever.
    for page in &mut pages {
        page.type_in("not read");
        page.control(json!({"type": "ping", "t": 1}));
    }
    let last = pages.len() - 1;
    let page = &mut pages[last];
    page.acks = true;
    page.control(json!({"type": "ack", "offset": page.offset}));
    page.type_in("\x03");
    page.expect("^C");
    page.expect("$ ");
    page.type_in("echo drawn\n");
    page.expect("\r\ndrawn\r\n");
    let later = server.anonymous_kib();
    assert!(later <= full + 1024, "{later} KiB, not {full}");
    // What it says itself: rings have room to grow, most of which nobody has touched yet.
    let most = PAGES as u64 * RING_KIB * 1024;
    let terminals = memory_of_terminals(&server);
    assert!(terminals <= most, "{terminals} bytes, not {most}");
    drop(pages);
    for game in games {
        assert_eq!(server.delete(&game.path("")).status, 204);
    }
}

/// The largest window that a page may have, in which every character has a colour of its own.
#[test]
fn two_hundred_of_the_largest_games_take_400_mib() {
    const GAMES: usize = 200;
    const MOST_KIB: u64 = 400 << 10;
    let (cols, rows) = (1000, 100);
    let engine = FakeEngine::start();
    let server = Process::start(&engine.docker_host(), &unique(), &[]);
    let row: String = (0..cols).fold(String::new(), |row, col| {
        format!("{row}\x1b[3{}mx", col % 8)
    });
    let before = server.anonymous_kib();
    let games: Vec<_> = (0..GAMES)
        .map(|_| {
            let game = server.create("rust");
            let mut page = server.page(&game, None);
            page.expect("$ ");
            page.resize(cols, rows as u32);
            let container = format!("shellcraft-{}", game.id);
            wait_for("its size", || {
                let size = engine.container(&container).map(|found| found.size);
                size == Some((cols as u16, rows as u16))
            });
            // In parts that a page's window has room for.
            for part in 0..10 {
                let mark = format!("\x1b]0;part {part}\x07");
                engine.say(
                    &container,
                    &format!("{}{mark}", format!("\r\n{row}").repeat(rows / 10)),
                );
                page.expect(&mark);
            }
            (game, page)
        })
        .collect();
    let grown = server.anonymous_kib().saturating_sub(before);
    assert!(grown <= MOST_KIB, "{grown} KiB, not {MOST_KIB}");
    eprintln!("{GAMES} games of {cols}x{rows}: {grown} KiB");
    for (game, page) in games {
        drop(page);
        assert_eq!(server.delete(&game.path("")).status, 204);
    }
}

/// What a server says that its terminals take.
fn memory_of_terminals(server: &Process) -> u64 {
    let text = server.get("/metrics").text();
    let parts = text
        .lines()
        .filter(|line| line.starts_with("shellcraft_terminal_memory_bytes{"));
    let values: Vec<u64> = parts
        .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
        .collect();
    assert_eq!(values.len(), 3, "{text}");
    values.iter().sum()
}
