//! What all spellbooks may take, and how long they stay, as players and operators meet it.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, SystemTime};

use fake_engine::FakeEngine;

use crate::containers::unique;
use crate::site::{Client, Game, Life, Site, wait_for};

const BOOK: &str = "/home/spellbook.dat";
const MIB: usize = 1 << 20;

fn put(site: &Client, game: &Game, book: &[u8]) -> (u16, String) {
    let reply = site.request("PUT", &game.path("/spellbook"), &[], book);
    let text = reply.text().clone();
    (reply.status, text)
}

/// A series that is there once something has happened.
fn count(site: &Site, series: &str) -> f64 {
    let text = site.get("/metrics").text();
    let prefix = format!("shellcraft_{series} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}

fn wait_until_counted(site: &Site, times: f64) {
    let calls = "store_call_duration_seconds_count{call=\"tend_books\"}";
    wait_for("the books to be counted", || count(site, calls) >= times);
}

#[test]
fn a_full_shelf_is_told_to_newcomers_and_players_go_on() {
    let engine = FakeEngine::start();
    let flags = ["--books-quota", "1MiB", "--save-interval", "50ms"];
    let site = Site::start(&engine.docker_host(), &flags);
    wait_until_counted(&site, 1.0);
    assert_eq!(site.metric("spellbooks_quota_bytes"), MIB as f64);
    let known = site.create("rust");
    assert_eq!(put(&site, &known, &vec![b'x'; MIB]).0, 204);

    let newcomer = site.create("rust");
    let name = format!("shellcraft-{}", newcomer.id);
    let (status, text) = put(&site, &newcomer, b"spell\techo\n");
    assert_eq!(status, 507);
    assert!(text.contains("no_room_for_spellbooks"), "{text}");
    let (book, _) = engine.read_file(&name, BOOK).expect("a book");
    assert_eq!(book, b"", "unchanged");

    // What the game itself writes is not kept either, and the player is told so once.
    let mut page = site.page(&newcomer, None);
    engine.write_file(&name, BOOK, b"learnt\techo\n");
    let refused = "spellbook_saves_total{outcome=\"no_room\"}";
    wait_for("more than one try", || {
        page.type_in("x");
        count(&site, refused) >= 2.0
    });
    let told = page.note("notice");
    assert_eq!(told["kind"], "no_room_for_book", "{told}");
    assert_eq!(site.metric("spellbooks_unsafe"), 0.0, "nothing to wait for");

    // Who has a book goes on.
    assert_eq!(put(&site, &known, b"smaller\techo\n").0, 204);
    // A game whose book is not kept ends all the same.
    assert_eq!(site.delete(&newcomer.path("")).status, 204);
    assert!(engine.container(&name).is_none());
    assert_eq!(site.stop(), 0);
}

#[test]
fn there_may_be_room_again_while_a_game_goes_on() {
    let engine = FakeEngine::start();
    let life = Life::new(&unique());
    let site = Site::start_in(life, &engine.docker_host(), &[]);
    let known = site.create("rust");
    assert_eq!(put(&site, &known, &vec![b'x'; MIB]).0, 204);
    assert_eq!(site.delete(&known.path("")).status, 204);
    let books = site.data_dir().join("books");
    let life = site.leave();
    let flags = ["--books-quota", "1MiB", "--save-interval", "50ms"];
    let site = Site::start_in(life, &engine.docker_host(), &flags);
    wait_until_counted(&site, 1.0);
    let newcomer = site.create("rust");
    let name = format!("shellcraft-{}", newcomer.id);
    let mut page = site.page(&newcomer, None);
    engine.write_file(&name, BOOK, b"learnt\techo\n");
    wait_for("a refusal", || {
        page.type_in("x");
        count(&site, "spellbook_saves_total{outcome=\"no_room\"}") >= 1.0
    });
    // The operator makes room, and starts the server again, which counts.
    for old in fs::read_dir(&books).expect("books") {
        fs::remove_dir_all(old.expect("a folder").path()).expect("removed");
    }
    let site = Site::start_in(site.leave(), &engine.docker_host(), &flags);
    wait_until_counted(&site, 1.0);
    let mut page = site.page(&newcomer, None);
    wait_for("the book to be saved", || {
        page.type_in("x");
        count(&site, "spellbook_saves_total{outcome=\"saved\"}") >= 1.0
    });
    assert_eq!(site.stop(), 0);
}

/// After a start nothing expires for an hour, so that a clock that is wrong takes nobody's book.
#[test]
fn nothing_expires_at_the_start() {
    let engine = FakeEngine::start();
    let life = Life::new(&unique());
    let books = life.data_dir().join("books/anon-0123");
    fs::create_dir_all(&books).expect("a directory");
    let checksum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    fs::write(books.join(format!("00000001.{checksum}.book")), b"").expect("a book");
    let folder = fs::File::open(&books).expect("a directory");
    let year = Duration::from_secs(365 * 24 * 3600);
    folder.set_modified(SystemTime::now() - year).expect("ours");
    let site = Site::start_in(life, &engine.docker_host(), &["--book-expiry", "1h"]);
    wait_until_counted(&site, 1.0);
    wait_for("the count", || site.metric("spellbook_players") == 1.0);
    assert_eq!(site.metric("spellbooks_stored_bytes"), 4096.0);
    assert_eq!(site.metric("spellbooks_expired_total"), 0.0);
    assert!(books.exists());
    assert_eq!(site.stop(), 0);
}

/// Above 64 KiB; below that the door reads it before anybody is asked.
#[test]
fn an_upload_that_breaks_off_is_told_and_changes_nothing() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let path = game.path("/spellbook");
    let before = site.get(&path).body;
    let owner = site.authorization(&path, &[]).expect("a token");
    let mut stream = site.connect();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {owner}\r\nContent-Length: 100000\r\n\r\n",
        site.address
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&[b'x'; 70_000]).expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("nothing was changed"), "{answer}");
    assert_eq!(site.get(&path).body, before);
}
