//! Whole games, through `POST /session` and the WebSocket as a page speaks it.

use std::process::Command;
use std::time::Instant;

use shellcraft::engine::{ContainerId, Unfinished};
use shellcraft::session::sandbox;
use shellcraft::session::spellbook::archive;
use uuid::Uuid;

use crate::busybox;
use crate::console::{Bare, Console, Play};
use crate::containers::{PATIENCE, Terminal};
use crate::docker::{self, container_of, remaining, volumes_of};
use crate::game::{AGAIN, DAMAGED, DAMAGED_BOOK, GAME, REPLACED, Step};
use crate::site::{Game, Player, Site, wait_for};

/// The catalogue with the images that only tests have.
pub const SHELLS: &str = "rust=shellcraft/rust,perl=shellcraft/perl,busybox=shellcraft-test/busybox,\
                          hostile=shellcraft-test/hostile";

/// A server on the Engine of this machine.
pub fn site(flags: &[&str]) -> Site {
    let engine = docker::engine();
    busybox::image(&engine);
    busybox::hostile(&engine);
    for image in ["shellcraft/rust", "shellcraft/perl"] {
        let is_there = engine.has_image(image).expect("an Engine answers");
        assert!(is_there, "{image} is missing: run sandbox/build");
    }
    Site::start(&docker::host(), &[&["--shells", SHELLS], flags].concat())
}

/// A new game of that shell, its page at the first prompt.
#[track_caller]
pub fn at_prompt(site: &Site, shell: &str) -> (Game, Player) {
    let game = site.create(shell);
    let mut page = site.page(&game, None);
    page.expect(" ~ ");
    (game, page)
}

/// Plays the transcript to its end, and then once more with the book that it left.
#[track_caller]
fn play(shell: &str) {
    let site = site(&[]);
    let game = site.create(shell);
    let (container, mut page) = (container_of(&game), site.page(&game, None));
    let volumes = volumes_of(&container);
    assert_eq!(volumes.len(), 1, "/home is a volume, and the only one");

    // The book is read just before the last line, which ends the shell and so its container.
    let leaving = GAME.len() - 3;
    assert!(
        matches!(GAME[leaving], Step::Type(keys) if keys.starts_with("exit")),
        "the transcript's end has changed"
    );
    let mut play = Play::default();
    assert_eq!(play.steps(&mut page, &GAME[..leaving]), None);
    let engine = docker::engine();
    let book = engine
        .get_archive(
            &ContainerId(container.clone()),
            "/home/spellbook.dat",
            4 << 20,
        )
        .expect("the book can be read while it runs");
    let book = archive::unpack(&book, Unfinished::IsRoots)
        .expect("a regular file")
        .bytes;
    let status = play.steps(&mut page, &GAME[leaving..]).expect("it ends");

    assert_eq!(page.closed, Some(1000));
    let exit = page.note("exit");
    assert_eq!(
        (&exit["code"], exit["reason"].as_str()),
        (&status.into(), Some("exited"))
    );
    let told = site.get(&game.path("/status")).json();
    assert_eq!(
        (&told["status"], &told["exit_code"], &told["reason"]),
        (&"stopped".into(), &status.into(), &"exited".into())
    );
    wait_for("the container to be removed", || {
        docker::containers(&site.instance).is_empty()
    });
    assert_eq!(remaining(&volumes), [] as [String; 0]);
    play_with_book(&site, shell, &book, AGAIN);
    play_with_book(&site, shell, DAMAGED_BOOK, DAMAGED);
    play_with_book(&site, shell, b"", REPLACED);
}

/// Plays these steps in a container made by the same policy, whose book is `book`.
#[track_caller]
fn play_with_book(site: &Site, shell: &str, book: &[u8], steps: &[Step]) {
    let (engine, id) = (docker::engine(), Uuid::new_v4());
    let limits = &site.app().manager().settings().limits;
    let body = sandbox::container(
        id,
        "shellcraft-test",
        shell,
        &format!("shellcraft/{shell}"),
        limits,
    );
    let container = engine
        .create(&sandbox::container_name(id), &body)
        .expect("create");
    let guard = Removed(container.clone());
    let archive = archive::pack(book).expect("memory");
    engine
        .put_archive(&container, sandbox::HOME, &archive)
        .expect("put");
    let attach = engine.attach(&container).expect("attach");
    engine.start(&container).expect("start");
    let seen = Vec::new();
    let mut console = Bare {
        engine: engine.clone(),
        container: container.clone(),
        terminal: Terminal { attach, seen },
    };
    console.size(80, 24);
    let status = Play::default().steps(&mut console, steps);
    let code = engine.wait(&container, PATIENCE).expect("wait");
    assert_eq!(status.map(i64::from), Some(code));
    drop(guard);
}

/// Removes its container when it goes out of scope.
struct Removed(ContainerId);

impl Drop for Removed {
    fn drop(&mut self) {
        // A test that failed must not fail twice.
        let _ = docker::engine().remove(&self.0);
    }
}

#[test]
fn the_rust_game() {
    play("rust");
}

#[test]
fn the_perl_game() {
    play("perl");
}

/// DOCKER: with its default detach keys the Engine would hold a Ctrl-P back until the next key.
#[test]
fn control_p_arrives_at_once() {
    let site = site(&[]);
    for shell in ["rust", "perl"] {
        let (_game, mut page) = at_prompt(&site, shell);
        page.type_in("echo fo'und'\r");
        page.expect("found\r\n");
        page.expect(" ~ ");
        page.type_in("\u{10}");
        page.expect("fo'und'");
        // This would detach. To both editors Ctrl-Q says that the next key is meant literally.
        page.type_in("\u{11}e'r'\r");
        page.expect("founder\r\n");
    }
}

#[test]
fn control_c_ends_a_chant_at_once() {
    let site = site(&[]);
    for shell in ["rust", "perl"] {
        let (game, mut page) = at_prompt(&site, shell);
        page.type_in("chant over and over\r");
        let due = Instant::now() + PATIENCE;
        let hub = hub_of(&site, &game);
        while hub.output_bytes() < 1 << 20 {
            assert!(
                page.read(due) && Instant::now() < due,
                "{shell} falls silent"
            );
            page.seen.clear();
        }
        // How soon is measured by `make bench`; without it the chant would go on for ever.
        page.type_in("\u{3}");
        page.expect(" ~ ");
        page.type_in("echo al'iv'e\r");
        page.expect("alive\r\n");
    }
}

/// Asks the container's terminal for its size until it has this one.
#[track_caller]
fn has_size(player: &mut Player, expected: &str) {
    let due = Instant::now() + PATIENCE;
    loop {
        player.type_in("stty size\r");
        player.expect("stty size\r\n");
        let answer = player.expect("\r\n");
        if answer.trim() == expected {
            return;
        }
        assert!(Instant::now() < due, "{answer}, not {expected}");
    }
}

#[test]
fn a_terminal_is_80_by_24_until_its_page_says_otherwise() {
    let site = site(&[]);
    let game = site.create("busybox");
    let mut raw = site.raw(&game);
    raw.expect("$ ");
    raw.type_in("stty size\r");
    raw.expect("stty size\r\n24 80\r\n");
}

/// The page says its size as the first thing; nobody has typed anything yet.
#[test]
fn the_first_size_is_there_right_after_the_first_prompt() {
    let site = site(&[]);
    for shell in ["rust", "perl", "busybox"] {
        let game = site.create(shell);
        let mut page = site.page(&game, None);
        page.resize(132, 43);
        page.expect("$ ");
        wait_for("the page's size", || size_of(&game) == "43 132");
    }
}

#[test]
fn a_new_size_is_applied_and_signalled() {
    let site = site(&[]);
    let game = site.create("busybox");
    let mut page = site.page(&game, None);
    page.resize(100, 30);
    page.expect("$ ");
    has_size(&mut page, "30 100");
    // Not at the prompt, where each command is a job of its own and the signal would go to that one.
    page.type_in("sh -c 'trap \"stty size\" WINCH; echo re''ady; while :; do sleep 0.05; done'\r");
    page.expect("ready\r\n");
    for (cols, rows) in [(101, 31), (20, 5), (1000, 100)] {
        page.resize(cols, rows);
        page.expect(&format!("{rows} {cols}\r\n"));
    }
    // Sizes that no terminal has change nothing.
    for (cols, rows) in [(0, 0), (100_000, 100_000)] {
        page.resize(cols, rows);
    }
    page.resize(90, 25);
    assert_eq!(page.expect("\r\n"), "25 90\r\n");
}

/// Both editors wrap where the new right edge is: at 40 columns, 60 characters go over two rows, and from their
/// end it is a row up to their start.
#[test]
fn the_shells_notice_a_new_size() {
    const UP: [&str; 2] = ["\u{1b}[A", "\u{1b}[1A"];
    let site = site(&[]);
    for shell in ["rust", "perl"] {
        for (cols, expected) in [(100, false), (40, true), (100, false)] {
            let game = site.create(shell);
            let mut page = site.page(&game, None);
            page.resize(120, 30);
            page.expect(" ~ ");
            page.resize(cols, 30);
            wait_for("the size to be applied", || {
                size_of(&game) == format!("30 {cols}")
            });
            page.type_in(&"x".repeat(60));
            page.expect("x");
            page.type_in("\u{1}Y\r");
            let shown = page.expect("no such command");
            let goes_up = UP.iter().any(|up| shown.contains(up));
            assert_eq!(goes_up, expected, "{shell} at {cols}: {shown:?}");
        }
    }
}

/// Rows and columns of the game's terminal, as the kernel has them.
fn size_of(game: &Game) -> String {
    let pid = docker::inspect(&container_of(game))["State"]["Pid"].clone();
    let output = Command::new("stty")
        .args(["-F", &format!("/proc/{pid}/fd/0"), "size"])
        .output()
        .expect("coreutils");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The game's terminal, from behind.
pub fn hub_of(site: &Site, game: &Game) -> std::sync::Arc<shellcraft::terminal::Hub> {
    let id = game.id.parse().expect("an id");
    let session = site.app().manager().get(id).expect("a session");
    session.hub.clone()
}
