//! A host is lost: books come back on another one, and their players with them.

use std::fs;
use std::path::Path;
use std::process::Command;

use fake_engine::FakeEngine;
use tempfile::TempDir;

use crate::binary::{Process, server_binary};
use crate::containers::unique;
use crate::site::{Client, Game};

const BOOK: &str = "/home/spellbook.dat";
const TOKEN: &str = "restore-restore-restore";

/// A server with nothing but its directory.
struct Host {
    engine: FakeEngine,
    process: Process,
    data: TempDir,
}

impl Host {
    /// With what was copied from another host's directory.
    fn new(copied: &[(&str, Vec<u8>)]) -> Host {
        let (engine, data) = (
            FakeEngine::start(),
            tempfile::tempdir().expect("a directory"),
        );
        for (name, bytes) in copied {
            fs::write(data.path().join(name), bytes).expect("written");
        }
        let directory = data.path().to_str().expect("UTF-8");
        let flags = ["--data-dir", directory, "--admin-token", TOKEN];
        let process = Process::start(&engine.docker_host(), &unique(), &flags);
        Host {
            engine,
            process,
            data,
        }
    }

    /// `shellcraft books …` as the operator types it. Returns what was printed.
    #[track_caller]
    fn books(&self, words: &[&str]) -> String {
        let output = Command::new(server_binary())
            .arg("books")
            .args(words)
            .args(["--server", &format!("http://{}", self.process.address)])
            .env("ADMIN_TOKEN", TOKEN)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn book(&self, game: &Game) -> Vec<u8> {
        let name = format!("shellcraft-{}", game.id);
        let book = self.engine.read_file(&name, BOOK);
        book.map_or_else(Vec::new, |(book, _)| book)
    }
}

/// A browser with this cookie starts a game. Returns the cookie that it has then.
#[track_caller]
fn start(client: &Client, cookie: Option<&str>) -> (Game, String) {
    let headers: Vec<_> = cookie
        .map(|cookie| ("Cookie", cookie))
        .into_iter()
        .collect();
    let reply = client.request("POST", "/session", &headers, b"");
    assert_eq!(reply.status, 201, "{reply:?}");
    let set = reply.header("set-cookie").expect("a cookie");
    let cookie = set.split(';').next().expect("a pair").to_owned();
    (Game::of(&reply), cookie)
}

/// Every player's book, in a file of the player's name.
fn export_all(host: &Host, into: &Path) -> Vec<String> {
    let list: serde_json::Value =
        serde_json::from_str(&host.books(&["list", "--json"])).expect("JSON");
    let players = list["books"].as_array().expect("a list").iter();
    let players = players.map(|book| book["player"].as_str().expect("a name").to_owned());
    let players: Vec<_> = players.collect();
    for player in &players {
        let file = into.join(player);
        host.books(&["export", player, file.to_str().expect("UTF-8")]);
    }
    players
}

#[test]
fn books_come_back_on_a_wiped_host() {
    let lost = Host::new(&[]);
    let cookies = ["anna", "bert"].map(|name| {
        let (game, cookie) = start(&lost.process, None);
        let book = format!("hi\techo {name}\n");
        let container = format!("shellcraft-{}", game.id);
        lost.engine.write_file(&container, BOOK, book.as_bytes());
        assert_eq!(lost.process.delete(&game.path("")).status, 204);
        (cookie, book)
    });
    let backup = tempfile::tempdir().expect("a directory");
    let players = export_all(&lost, backup.path());
    assert_eq!(players.len(), 2);
    let key = fs::read(lost.data.path().join("cookie.key")).expect("a key");
    drop(lost);

    // With the key browsers are known again, and find their books.
    let host = Host::new(&[("cookie.key", key)]);
    assert_eq!(host.books(&["list"]), "No spellbooks.\n");
    for player in &players {
        let file = backup.path().join(player);
        host.books(&["import", player, file.to_str().expect("UTF-8")]);
    }
    for (cookie, book) in &cookies {
        let (game, again) = start(&host.process, Some(cookie));
        assert_eq!(&again, cookie);
        assert_eq!(host.book(&game), book.as_bytes());
    }
    drop(host);

    // Without it everybody is a stranger.
    let host = Host::new(&[]);
    for player in &players {
        let file = backup.path().join(player);
        host.books(&["import", player, file.to_str().expect("UTF-8")]);
    }
    let (cookie, _) = &cookies[0];
    let (game, other) = start(&host.process, Some(cookie));
    assert_ne!(&other, cookie);
    assert_eq!(host.book(&game), b"");
    assert_eq!(
        host.books(&["list", "--json"])
            .matches("\"player\"")
            .count(),
        2
    );
}
