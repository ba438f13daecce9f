//! What becomes of spells when a player has several games, one after the other or at once, while the server is restarted,
//! saves fail and books are uploaded: each spell that a game has told to be learnt is in the next game's book, or in a
//! version that the player can get back.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use fake_engine::FakeEngine;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};

use crate::binary::Process;
use crate::containers::{PATIENCE, unique};
use crate::site::{ADMIN_TOKEN, Client, Game, Site, wait_for};

const BOOK: &str = "/home/spellbook.dat";

fn name(game: &Game) -> String {
    format!("shellcraft-{}", game.id)
}

/// A line as the shells write it: see `sandbox/GAME.md`.
fn line(change: &str) -> String {
    format!("{:08x} {change}\n", crc32fast::hash(change.as_bytes()))
}

/// The spells that a book teaches, as `name command`.
fn spells(book: &[u8]) -> BTreeSet<String> {
    let mut spells: Vec<(String, String)> = Vec::new();
    for change in String::from_utf8_lossy(book).lines().map(|line| &line[9..]) {
        let (verb, rest) = change.split_once(' ').expect("a change");
        let name = rest.split(' ').next().expect("a name").to_owned();
        spells.retain(|(known, _)| *known != name);
        if verb == "learn" {
            spells.push((name, rest.to_owned()));
        }
    }
    spells.into_iter().map(|(_, spell)| spell).collect()
}

/// One player, whatever game and whatever life of the server.
struct Player<'e> {
    engine: &'e FakeEngine,
    cookie: String,
}

impl<'e> Player<'e> {
    fn new(engine: &'e FakeEngine, site: &Client) -> (Player<'e>, Game) {
        let reply = site.post("/session", "");
        let set = reply.header("set-cookie").expect("a cookie");
        let cookie = set.split(';').next().expect("a pair").to_owned();
        (Player { engine, cookie }, Game::of(&reply))
    }

    fn headers(&self) -> [(&str, &str); 1] {
        [("Cookie", &self.cookie)]
    }

    #[track_caller]
    fn start(&self, site: &Client) -> Game {
        let reply = site.request("POST", "/session", &self.headers(), b"");
        assert_eq!(reply.status, 201, "{reply:?}");
        Game::of(&reply)
    }

    /// As a shell does it: a line at the end.
    fn write(&self, game: &Game, change: &str) {
        let mut book = self.book(game);
        book.extend_from_slice(line(change).as_bytes());
        self.engine.write_file(&name(game), BOOK, &book);
    }

    fn book(&self, game: &Game) -> Vec<u8> {
        let found = self.engine.read_file(&name(game), BOOK);
        found.map_or_else(Vec::new, |(book, _)| book)
    }

    fn versions(&self, site: &Client) -> Vec<(String, bool)> {
        let reply = site.request("GET", "/spellbook", &self.headers(), b"");
        assert_eq!(reply.status, 200, "{reply:?}");
        let versions = reply.json()["versions"].as_array().expect("a list").clone();
        let row = |version: &serde_json::Value| {
            let sha256 = version["sha256"].as_str().expect("a name").to_owned();
            (sha256, version["set_aside"] == true)
        };
        versions.iter().map(row).collect()
    }

    fn version(&self, site: &Client, sha256: &str) -> Vec<u8> {
        let path = format!("/spellbook/{sha256}");
        let reply = site.request("GET", &path, &self.headers(), b"");
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    }

    /// What the newest version teaches, and what all of them do.
    fn kept(&self, site: &Client) -> (BTreeSet<String>, BTreeSet<String>) {
        let all: Vec<_> = self
            .versions(site)
            .iter()
            .map(|(sha256, _)| spells(&self.version(site, sha256)))
            .collect();
        let newest = all.first().cloned().unwrap_or_default();
        (newest, all.into_iter().flatten().collect())
    }

    fn end(&self, site: &Client, game: &Game) {
        wait_for("the game to end", || {
            let reply = site.delete(&game.path(""));
            // Of a server that has just started.
            assert!(matches!(reply.status, 204 | 503), "{reply:?}");
            reply.status == 204
        });
        assert!(self.engine.container(&name(game)).is_none());
    }
}

fn set(spells: &[&str]) -> BTreeSet<String> {
    spells.iter().map(|spell| (*spell).to_owned()).collect()
}

fn saved(site: &Client) -> f64 {
    let text = site.get("/metrics").text();
    let prefix = "shellcraft_spellbook_saves_total{outcome=\"saved\"} ";
    let value = text.lines().find_map(|line| line.strip_prefix(prefix));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}

/// A book that was saved, and did not change since, is not saved again after a restart: another game's may be newer.
#[test]
fn a_book_that_did_not_change_is_not_saved_over_a_newer_one() {
    let engine = FakeEngine::start();
    let flags = ["--save-interval", "50ms"];
    let site = Site::start(&engine.docker_host(), &flags);
    let (player, first) = Player::new(&engine, &site);
    let mut typist = site.raw(&first);
    player.write(&first, "learn one echo 1");
    wait_for("the first game's book to be saved", || {
        typist.type_in("x");
        saved(&site) >= 1.0
    });
    drop(typist);
    let second = player.start(&site);
    // What the other game has forgotten, the first one's old copy does not bring back.
    player.write(&second, "learn two echo 2");
    player.write(&second, "forget one");
    player.end(&site, &second);
    let life = site.leave();
    let site = Site::start_in(life, &engine.docker_host(), &flags);
    player.end(&site, &first);
    assert_eq!(player.kept(&site).0, set(&["two echo 2"]));
    assert_eq!(
        player
            .versions(&site)
            .iter()
            .filter(|(_, aside)| *aside)
            .count(),
        0
    );
    assert_eq!(site.stop(), 0);
}

/// A save that failed is tried again by the clock, whether anybody types or not.
#[test]
fn a_failed_save_is_tried_again_though_nobody_types() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "50ms"]);
    let (player, game) = Player::new(&engine, &site);
    let mut typist = site.raw(&game);
    typist.expect("$ ");
    engine.refuse("ContainerArchive", 500, "input/output error");
    player.write(&game, "learn one echo 1");
    typist.type_in("x");
    assert!(engine.await_calls("ContainerArchive", 1, crate::containers::PATIENCE));
    wait_for("it to be told as unsafe", || {
        site.metric("spellbooks_unsafe") == 1.0
    });
    engine.release("ContainerArchive");
    wait_for("it to be saved", || saved(&site) >= 1.0);
    assert_eq!(player.kept(&site).0, set(&["one echo 1"]));
    assert_eq!(site.metric("spellbooks_unsafe"), 0.0);
}

/// Who closes the tab and presses start has two games; whichever ends last, both games' spells are kept.
#[test]
fn spells_of_two_games_at_once_are_joined() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "1h"]);
    let (player, first) = Player::new(&engine, &site);
    player.write(&first, "learn one echo 1");
    player.write(&first, "learn same echo begun");
    // The second begins with what the first has not saved yet.
    let second = player.start(&site);
    assert_eq!(
        spells(&player.book(&second)),
        set(&["one echo 1", "same echo begun"])
    );
    player.write(&second, "learn two echo 2");
    player.write(&first, "learn three echo 3");
    player.end(&site, &second);
    player.end(&site, &first);
    let expected = set(&[
        "one echo 1",
        "same echo begun",
        "two echo 2",
        "three echo 3",
    ]);
    assert_eq!(player.kept(&site).0, expected);
    let third = player.start(&site);
    assert_eq!(spells(&player.book(&third)), expected);
}

/// Where both have changed one spell, one of the two counts, the other book is set aside, and the player is told.
#[test]
fn two_changes_of_one_spell_are_told_and_both_are_kept() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "50ms"]);
    let (player, first) = Player::new(&engine, &site);
    let second = player.start(&site);
    player.write(&second, "learn same echo second");
    player.end(&site, &second);
    let mut page = site.page(&first, None);
    player.write(&first, "learn same echo first");
    wait_for("the first game's book to be saved", || {
        page.type_in("x");
        saved(&site) >= 2.0
    });
    let told = page.note("notice");
    assert_eq!(told["kind"], "books_differ", "{told}");
    let (newest, all) = player.kept(&site);
    assert_eq!(newest, set(&["same echo first"]));
    assert!(all.contains("same echo second"), "{all:?}");
    // Many later versions don't push it out.
    for number in 0..8 {
        player.write(&first, &format!("learn n{number} echo"));
        let before = saved(&site);
        wait_for("another version", || {
            page.type_in("x");
            saved(&site) > before
        });
    }
    let versions = player.versions(&site);
    assert_eq!(versions.len(), 6, "{versions:?}");
    let (sha256, is_aside) = versions.last().expect("one");
    assert!(is_aside);
    assert_eq!(
        spells(&player.version(&site, sha256)),
        set(&["same echo second"])
    );

    // It is made the newest again, but not while a game could save its own over it.
    let restore = format!("/spellbook/{sha256}");
    let refused = site.request("POST", &restore, &player.headers(), b"");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "player_is_playing")
    );
    player.end(&site, &first);
    let newest = player.kept(&site).0;
    assert_eq!(
        site.request("POST", &restore, &player.headers(), b"")
            .status,
        204
    );
    let (restored, all) = player.kept(&site);
    assert_eq!(restored, set(&["same echo second"]));
    assert!(all.is_superset(&newest), "what it replaced is set aside");
}

/// Versions are their player's alone, and a name that is none is not found.
#[test]
fn versions_are_their_player_s_alone() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (anna, game) = Player::new(&engine, &site);
    anna.write(&game, "learn one echo 1");
    anna.end(&site, &game);
    let (ben, _) = Player::new(&engine, &site);
    let versions = anna.versions(&site);
    assert_eq!((versions.len(), ben.versions(&site).len()), (1, 0));
    let path = format!("/spellbook/{}", versions[0].0);
    for method in ["GET", "POST"] {
        for (headers, path) in [
            (&ben.headers()[..], path.as_str()),
            (&[], path.as_str()),
            (&anna.headers(), "/spellbook/nothing"),
            (&anna.headers(), "/spellbook/.."),
            (&anna.headers(), "/spellbook/%2e%2e%2fx"),
        ] {
            let reply = site.request(method, path, headers, b"");
            assert_eq!(reply.status, 404, "{method} {path} {reply:?}");
        }
    }
    let strangers = site.stranger().request("GET", "/spellbook", &[], b"");
    assert_eq!(strangers.json()["versions"], serde_json::json!([]));
}

/// What is no text can't be a book of spells: it is refused, and nothing changes. What it takes the place of is kept.
#[test]
fn an_upload_is_text_and_what_it_replaces_is_kept() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (player, game) = Player::new(&engine, &site);
    player.write(&game, "learn one echo 1");
    let before = player.book(&game);
    let path = game.path("/spellbook");
    for rubbish in [
        &b"\x7fELF\x02\x01\x01\0"[..],
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"a\0b",
        b"\xff\xfe",
    ] {
        let reply = site.request("PUT", &path, &player.headers(), rubbish);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (422, "not_a_spellbook")
        );
        assert_eq!(player.book(&game), before);
    }
    let other = line("learn zwei echo grüße");
    let reply = site.request("PUT", &path, &player.headers(), other.as_bytes());
    assert_eq!(reply.status, 204, "{reply:?}");
    let (newest, all) = player.kept(&site);
    assert_eq!(newest, set(&["zwei echo grüße"]));
    assert_eq!(all, set(&["one echo 1", "zwei echo grüße"]));
    // A game that keeps something else itself may be given such a thing.
    engine.write_file(&name(&game), BOOK, b"SQLite\0");
    let reply = site.request("PUT", &path, &player.headers(), b"SQLite\0\0");
    assert_eq!(reply.status, 204, "{reply:?}");
}

/// The server is killed after a game that waited is a player's, and before their book is in it: what they learn there is
/// carried into their book, and is not taken for all that they know.
#[test]
fn a_crash_before_the_book_is_in_costs_no_spell() {
    let engine = FakeEngine::start();
    let (data, instance) = (tempfile::tempdir().expect("a directory"), unique());
    let data_dir = data.path().to_str().expect("a path in UTF-8");
    let flags = [
        "--shells",
        "rust=shellcraft/rust",
        "--pool-size",
        "1",
        "--data-dir",
        data_dir,
        "--admin-token",
        ADMIN_TOKEN,
    ];
    let start = || Process::start(&engine.docker_host(), &instance, &flags);
    let server = start();
    let (player, game) = Player::new(&engine, &server);
    player.write(&game, "learn old echo 1");
    player.end(&server, &game);
    let waits = || {
        let all = engine.containers().into_iter();
        all.map(|one| one.name).collect::<Vec<_>>()
    };
    wait_for("the pool", || {
        waits().len() == 1 && server.status("GET", "/readyz") == Some(200)
    });
    let pooled = waits().remove(0);
    let put = format!("PutContainerArchive {pooled}");
    let before = engine.calls(&put);
    engine.hang(&put);
    let mut request = server.connect();
    let head = format!(
        "POST /session HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nContent-Length: 0\r\n\r\n",
        server.address, player.cookie
    );
    request.write_all(head.as_bytes()).expect("it is there");
    assert!(engine.await_calls(&put, before + 1, PATIENCE));
    // `kill -9`.
    drop(server);
    engine.release(&put);
    let server = start();
    let id = pooled.trim_start_matches("shellcraft-").to_owned();
    let game = Game {
        id,
        token: String::new(),
    };
    wait_for("the game to be taken over", || {
        let path = game.path("/status");
        server.request("GET", &path, &player.headers(), b"").status == 200
    });
    engine.write_file(&pooled, BOOK, b"");
    player.write(&game, "learn new echo 2");
    let ended = server.request("DELETE", &game.path(""), &player.headers(), b"");
    assert_eq!(ended.status, 204, "{ended:?}");
    let (newest, _) = player.kept(&server);
    assert_eq!(newest, set(&["old echo 1", "new echo 2"]));
}

/// What another game saves while an upload is on its way is set aside like what was there before.
#[test]
fn an_upload_sets_aside_what_is_saved_meanwhile() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "50ms"]);
    let (player, one) = Player::new(&engine, &site);
    let other = player.start(&site);
    let put = format!("PutContainerArchive {}", name(&one));
    let (path, before) = (one.path("/spellbook"), engine.calls(&put));
    engine.hang(&put);
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| {
            let book = line("learn sent echo 1");
            let headers = player.headers();
            site.request("PUT", &path, &headers, book.as_bytes()).status
        });
        assert!(engine.await_calls(&put, before + 1, PATIENCE));
        let saves = saved(&site);
        player.write(&other, "learn meanwhile echo 2");
        site.page(&other, None).type_in("x");
        wait_for("it to be saved", || saved(&site) > saves);
        engine.release(&put);
        assert_eq!(upload.join().expect("no panic"), 204);
    });
    let aside: Vec<_> = books_below(&site.data_dir().join("books"))
        .into_iter()
        .filter(|(path, _)| path.contains("-aside/"))
        .collect();
    let has_it = |(_, book): &(String, Vec<u8>)| spells(book).contains("meanwhile echo 2");
    assert!(aside.iter().any(has_it), "{aside:?}");
}

/// All files below a directory.
fn books_below(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let books = entries.flat_map(|entry| match std::fs::read(entry.path()) {
        Ok(book) => vec![(entry.path().display().to_string(), book)],
        Err(_) => books_below(&entry.path()),
    });
    books.collect()
}

/// Two books in turn set each other aside once, and push out nothing.
#[test]
fn what_is_set_aside_already_is_not_set_aside_again() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "1h"]);
    let (player, game) = Player::new(&engine, &site);
    player.write(&game, "learn first echo 1");
    for turn in 0..8 {
        let book = line(&format!("learn turn echo {}", turn % 2));
        let path = game.path("/spellbook");
        let put = site.request("PUT", &path, &player.headers(), book.as_bytes());
        assert_eq!(put.status, 204, "{put:?}");
    }
    assert!(player.kept(&site).1.contains("first echo 1"));
}

/// A player's container that fails for good does not keep them from another game.
#[test]
fn a_container_that_fails_keeps_its_player_from_nothing() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (player, game) = Player::new(&engine, &site);
    player.write(&game, "learn one echo 1");
    let bad = format!("ContainerArchive {}", name(&game));
    engine.refuse(&bad, 500, "input/output error");
    engine.exit(&name(&game), 0);
    let next = player.start(&site);
    player.write(&next, "learn two echo 2");
    engine.release(&bad);
    wait_for("the first to be gone", || {
        engine.container(&name(&game)).is_none()
    });
    player.end(&site, &next);
    assert_eq!(player.kept(&site).0, set(&["one echo 1", "two echo 2"]));
}

/// One container whose book can't be read takes one saver, and the others' books are saved all the same.
#[test]
fn a_container_that_hangs_keeps_nobody_else_s_book_waiting() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--save-interval", "50ms"]);
    let (stuck, hanging) = Player::new(&engine, &site);
    let (player, game) = Player::new(&engine, &site);
    let (mut one, mut other) = (site.raw(&hanging), site.raw(&game));
    let stuck_call = format!("ContainerArchiveInfo {}", name(&hanging));
    engine.hang(&stuck_call);
    stuck.write(&hanging, "learn one echo 1");
    player.write(&game, "learn two echo 2");
    wait_for("the one to be stuck", || {
        one.type_in("x");
        engine.calls(&stuck_call) > 0
    });
    wait_for("the other's book to be saved", || {
        other.type_in("x");
        player.kept(&site).0 == set(&["two echo 2"])
    });
    assert_eq!(stuck.kept(&site).0, set(&[]));
    engine.release(&stuck_call);
    wait_for("its book to be saved", || {
        one.type_in("x");
        stuck.kept(&site).0 == set(&["one echo 1"])
    });
}

/// What may happen to one player's books.
#[derive(Debug, Clone)]
enum Step {
    Start,
    Learn(usize),
    /// The same spell in every game, with another command each time.
    LearnSame(usize),
    Forget(usize),
    Save(usize),
    End(usize),
    Exit(usize),
    Upload(usize),
    Refuse(usize),
    Heal,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Start),
        6 => any::<usize>().prop_map(Step::Learn),
        1 => any::<usize>().prop_map(Step::LearnSame),
        2 => any::<usize>().prop_map(Step::Forget),
        2 => any::<usize>().prop_map(Step::Save),
        2 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Exit),
        1 => any::<usize>().prop_map(Step::Upload),
        1 => (0..FAILING.len()).prop_map(Step::Refuse),
        2 => Just(Step::Heal),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 5..40)
}

/// Calls that a save needs.
const FAILING: [&str; 2] = ["ContainerArchive", "ContainerArchiveInfo"];
/// Of things that set a book aside there are no more than are kept.
const SET_ASIDE: usize = 4;
const FLAGS: [&str; 4] = ["--save-interval", "20ms", "--shutdown-grace", "2s"];

#[derive(Default)]
struct Course {
    /// Spells that a game has told to be learnt, and that none has forgotten that knew them.
    learnt: BTreeSet<String>,
    /// Those that an upload, or another game's change of the same spell, has taken the place of.
    replaced: BTreeSet<String>,
    asides: usize,
    number: usize,
}

fn live(steps: &[Step]) -> Result<(), TestCaseError> {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &FLAGS);
    let (player, game) = Player::new(&engine, &site);
    let mut site = Some(site);
    let mut games = vec![game];
    let mut course = Course::default();
    let mut is_refused = false;
    for step in steps {
        let at = |number: &usize| number.checked_rem(games.len()).map(|at| games[at].clone());
        let there = site.as_ref().expect("it runs");
        match step {
            // While a game that has ended can't be saved, the next one waits for it.
            Step::Start if games.len() < 3 && !is_refused => games.push(player.start(there)),
            Step::Start => {}
            Step::Learn(number) => {
                let Some(game) = at(number) else { continue };
                course.number += 1;
                let spell = format!("n{0} echo {0}", course.number);
                player.write(&game, &format!("learn {spell}"));
                course.learnt.insert(spell);
            }
            Step::LearnSame(number) => {
                let Some(game) = at(number).filter(|_| course.asides < SET_ASIDE) else {
                    continue;
                };
                course.asides += 1;
                course.number += 1;
                let spell = format!("same echo {}", course.number);
                // What this game knew of that name, its player has given up.
                let known = spells(&player.book(&game));
                course
                    .learnt
                    .retain(|spell| !(spell.starts_with("same ") && known.contains(spell)));
                player.write(&game, &format!("learn {spell}"));
                course.learnt.insert(spell);
            }
            Step::Forget(number) => {
                let Some(game) = at(number) else { continue };
                let Some(spell) = spells(&player.book(&game)).into_iter().next() else {
                    continue;
                };
                let word = spell.split(' ').next().expect("a name");
                player.write(&game, &format!("forget {word}"));
                course.learnt.remove(&spell);
            }
            Step::Save(number) => {
                let Some(game) = at(number) else { continue };
                let mut page = there.raw(&game);
                let looks = engine.calls("ContainerArchiveInfo");
                wait_for("a look at it", || {
                    page.type_in("x");
                    engine.calls("ContainerArchiveInfo") > looks
                });
            }
            Step::End(number) | Step::Exit(number) => {
                let Some(game) = at(number) else { continue };
                games.retain(|one| one.id != game.id);
                match step {
                    Step::End(_) if !is_refused => player.end(there, &game),
                    _ => engine.exit(&name(&game), 0),
                }
            }
            Step::Upload(number) => {
                let Some(game) = at(number).filter(|_| course.asides < SET_ASIDE) else {
                    continue;
                };
                course.number += 1;
                let spell = format!("u{0} echo {0}", course.number);
                let book = line(&format!("learn {spell}"));
                let reply = there.request(
                    "PUT",
                    &game.path("/spellbook"),
                    &player.headers(),
                    book.as_bytes(),
                );
                if reply.status == 204 {
                    course.asides += 1;
                    let all = std::mem::take(&mut course.learnt);
                    course.replaced.extend(all);
                    course.learnt.insert(spell);
                }
            }
            Step::Refuse(op) => {
                is_refused = true;
                engine.refuse(FAILING[*op], 500, "input/output error");
            }
            Step::Heal => {
                is_refused = false;
                FAILING.into_iter().for_each(|op| engine.release(op));
            }
            Step::Restart => {
                let life = site.take().expect("it runs").leave();
                let next = Site::start_in(life, &engine.docker_host(), &FLAGS);
                wait_for("the games to be taken over", || {
                    next.get("/readyz").status == 200
                });
                site = Some(next);
            }
        }
    }
    FAILING.into_iter().for_each(|op| engine.release(op));
    let site = site.take().expect("it runs");
    for game in &games {
        player.end(&site, game);
    }
    wait_for("all games to be over", || engine.containers().is_empty());
    let (newest, all) = player.kept(&site);
    for spell in &course.learnt {
        // Of one name several were learnt in games that did not know of each other: one counts.
        let is_there = match spell.starts_with("same ") {
            true => all.contains(spell),
            false => newest.contains(spell),
        };
        prop_assert!(is_there, "{spell} is lost: {newest:?} {all:?}");
    }
    Ok(())
}

/// The seed, which `CHAOS_SEED` gives, and is else the same each time.
fn seed() -> u64 {
    let given = std::env::var("CHAOS_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(16)
}

#[test]
fn no_spell_that_was_learnt_is_lost() {
    let cases = std::env::var("PROPTEST_CASES").ok();
    let config = Config {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(24),
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        max_shrink_iters: 60,
        ..Config::default()
    };
    proptest!(config, |(steps in steps())| live(&steps)?);
}
