//! The binary is replaced while somebody plays: by a newer one, and back.
//!
//! `SHELLCRAFT_BEFORE` names the binary of another version. Without it there is what such a version has left behind,
//! `tests/support/before`: a directory as commit 00a5875 wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fake_engine::FakeEngine;
use serde_json::{Value, json};
use shellcraft::engine::Engine;
use tempfile::TempDir;

use crate::binary::{Process, server_binary};
use crate::containers::{body, unique};
use crate::site::Game;

/// A game that outlives servers.
struct Played {
    engine: FakeEngine,
    instance: String,
    data: TempDir,
}

impl Played {
    fn new(instance: &str) -> Played {
        Played {
            engine: FakeEngine::start(),
            instance: instance.to_owned(),
            data: tempfile::tempdir().expect("a directory"),
        }
    }

    fn start(&self, program: &str) -> Process {
        let data = self.data.path().to_str().expect("UTF-8");
        let flags = ["--data-dir", data];
        Process::start_program(program, &self.engine.docker_host(), &self.instance, &flags)
    }
}

/// Ends a server as systemd does, which leaves the games.
#[track_caller]
fn stop(mut process: Process) {
    process.signal("TERM");
    assert_eq!(process.exit_code_in_time(), Some(0));
}

/// Plays on with each of these programs in turn, at the same terminal.
#[track_caller]
fn check_replaced(programs: &[&str]) {
    let played = Played::new(&unique());
    let mut process = played.start(programs[0]);
    let game = process.create("rust");
    let mut page = process.page(&game, None);
    page.type_in("echo one\r");
    page.expect("\r\none\r\n$ ");
    for (round, program) in programs.iter().enumerate().skip(1) {
        stop(process);
        assert_eq!(page.close_code(), 1001, "it is told to come back");
        let offset = page.offset;
        process = played.start(program);
        page = process.page(&game, Some(offset));
        let hello = page.note("hello");
        assert_eq!(hello["replay"], false, "{program}: {hello}");
        page.type_in(&format!("echo round {round}\r"));
        page.expect(&format!("\r\nround {round}\r\n$ "));
        let path = game.path("/spellbook");
        if round == 1 {
            assert_eq!(process.request("PUT", &path, &[], BOOK).status, 204);
        }
        assert_eq!(process.get(&path).body, BOOK, "{program}");
        assert_eq!(played.engine.containers().len(), 1, "the same container");
    }
    assert_eq!(process.delete(&game.path("")).status, 204);
    assert!(played.engine.containers().is_empty());
}

/// Forth, back and forth again; with itself where there is no other.
#[test]
fn a_game_outlives_other_versions() {
    let before = std::env::var("SHELLCRAFT_BEFORE").unwrap_or_else(|_| server_binary().to_owned());
    check_replaced(&[&before, server_binary(), &before, server_binary()]);
}

/// The version that has left `tests/support/before`, by [`leave`].
const INSTANCE: &str = "before";
const BOOK: &[u8] = b"hi\techo hello\n";
/// Not part of the directory: what the browser has.
const BROWSER: &str = "browser.json";

/// Plays a game with a book and leaves it. Returns what the browser keeps.
fn leave(played: &Played, program: &str) -> Value {
    let process = played.start(program);
    let reply = process.post("/session", r#"{"shell":"rust"}"#);
    let game = Game::of(&reply);
    let set = reply.header("set-cookie").expect("a cookie");
    let cookie = set.split(';').next().expect("a pair").to_owned();
    let mut page = process.page(&game, None);
    page.type_in("echo before\r");
    page.expect("\r\nbefore\r\n$ ");
    let put = process.request("PUT", &game.path("/spellbook"), &[], BOOK);
    assert_eq!(put.status, 204);
    stop(process);
    json!({"session_id": game.id, "token": game.token, "cookie": cookie})
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/before")
}

/// All files below a folder that outlive a server, by their names from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("readable").path();
            let name = path.strip_prefix(folder).expect("below it").to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if ![Path::new("lock"), Path::new(BROWSER)].contains(&name.as_path()) {
                found.insert(name, fs::read(path).expect("readable"));
            }
        }
    }
    found
}

#[test]
fn what_another_version_has_left_is_taken_over() {
    let played = Played::new(INSTANCE);
    let browser = fs::read(fixture().join(BROWSER)).expect("it is there");
    let browser: Value = serde_json::from_slice(&browser).expect("JSON");
    let text = |name: &str| browser[name].as_str().expect("a text").to_owned();
    let game = Game {
        id: text("session_id"),
        token: text("token"),
    };

    // The container that ran on meanwhile.
    let engine = Engine::new(&played.engine.docker_host()).expect("a socket's path");
    let mut container = body("shellcraft/rust", "before");
    let labels = [
        ("shellcraft.instance", INSTANCE),
        ("shellcraft.session", &game.id),
        ("shellcraft.shell", "rust"),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    container.labels.extend(labels);
    let name = format!("shellcraft-{}", game.id);
    let id = engine.create(&name, &container).expect("created");
    engine.start(&id).expect("started");
    for (file, mut bytes) in files(&fixture()) {
        if file.starts_with("sessions") {
            let mut record: Value = serde_json::from_slice(&bytes).expect("JSON");
            record["container"] = json!(id);
            bytes = record.to_string().into_bytes();
        }
        let file = played.data.path().join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, bytes).expect("written");
    }

    let process = played.start(server_binary());
    let (path, authorization) = (game.path("/ws"), game.authorization());
    let headers = [
        ("Sec-WebSocket-Protocol", "shellcraft.v1"),
        ("Authorization", authorization.as_str()),
    ];
    let mut page = process.open(&path, &headers).expect("the terminal opens");
    let screen = page.note("screen");
    let shown = screen["data"].as_str().expect("text");
    assert!(shown.contains("echo before"), "{shown:?}");
    page.type_in("echo after\r");
    page.expect("\r\nafter\r\n$ ");
    let headers = [("Authorization", authorization.as_str())];
    let gone = process.request("DELETE", &game.path(""), &headers, b"");
    assert_eq!(gone.status, 204, "{gone:?}");
    // The browser is known, and has its book: no newer one was in that container.
    let cookie = text("cookie");
    let reply = process.request("POST", "/session", &[("Cookie", cookie.as_str())], b"");
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(set.starts_with(&cookie), "{set}");
    let game = Game::of(&reply);
    assert_eq!(process.get(&game.path("/spellbook")).body, BOOK);
}

/// What a directory is like: its files' names, without what differs each time, and what is in its records.
fn layout(folder: &Path) -> Vec<String> {
    let files = files(folder).into_iter().map(|(name, bytes)| {
        let parts = name.iter().map(|part| part.to_string_lossy());
        let parts: Vec<_> = parts.map(|part| pattern(&part)).collect();
        let fields = match serde_json::from_slice(&bytes) {
            Ok(record) => fields(&record),
            Err(_) => String::new(),
        };
        format!("{} {fields}", parts.join("/"))
    });
    files.collect()
}

/// A name without what is made up anew each time: long parts in hexadecimal.
fn pattern(name: &str) -> String {
    let parts = name.split('.').map(|part| {
        let digits = part.strip_prefix("anon-").unwrap_or(part);
        let mut digits = digits.bytes();
        let is_made_up =
            part.len() >= 32 && digits.all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_made_up { "…" } else { part }
    });
    parts.collect::<Vec<_>>().join(".")
}

/// The fields' names and kinds; what a record's format is.
fn fields(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let told = fields.iter().map(|(name, value)| match name.as_str() {
                "format" => format!("format={value}"),
                _ => format!("{name}:{}", self::fields(value)),
            });
            format!("{{{}}}", told.collect::<Vec<_>>().join(" "))
        }
        Value::Array(_) => "list".into(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "flag".into(),
        Value::Null => "nothing".into(),
    }
}

/// So the other version reads it, after a way back. What records have got since, it leaves alone.
#[test]
fn what_is_left_now_looks_as_it_did() {
    let played = Played::new(INSTANCE);
    leave(&played, server_binary());
    let now: Vec<_> = layout(played.data.path())
        .iter()
        .map(|line| {
            line.replace("{book:text ", "{")
                .replace(" undrawn:{data:text output:text}", "")
        })
        .collect();
    assert_eq!(now, layout(&fixture()));
}
