//! The operator's routes and orders: who may give them, and what they do.

use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use fake_engine::FakeEngine;
use serde_json::json;
use shellcraft::auth::PlayerId;

use crate::binary::{Process, server_binary};
use crate::containers::PATIENCE;
use crate::site::{ADMIN_TOKEN, Client, Game, Reply, Site, wait_for};

const TOKEN: (&str, &str) = ("Authorization", "Bearer the-operator-of-tests");

fn log_in(site: &Client, token: &str) -> Reply {
    let body = json!({"token": token}).to_string();
    site.stranger()
        .request("POST", "/admin/login", &[], body.as_bytes())
}

#[test]
fn a_login_is_a_cookie_for_the_operator_s_routes() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let stranger = site.stranger();
    let reply = log_in(&site, ADMIN_TOKEN);
    assert_eq!(reply.status, 204);
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    let (cookie, _) = set.split_once(';').expect("attributes");
    let ask = |method: &str, path: &str, cookie: &str| {
        stranger
            .request(method, path, &[("Cookie", cookie)], b"")
            .status
    };
    assert_eq!(ask("GET", "/sessions", cookie), 200);
    assert_eq!(ask("GET", "/admin/health", cookie), 200);
    assert_eq!(ask("GET", "/admin/health", "shellcraft_admin=wrong"), 401);
    // Not the player's own things.
    assert_eq!(ask("GET", &game.path("/status"), cookie), 404);
    let foreign = [("Cookie", cookie), ("Origin", "http://evil.example")];
    let reply = stranger.request("POST", "/admin/drain", &foreign, b"");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "foreign_origin")
    );
    assert_eq!(ask("POST", "/admin/logout", cookie), 204);
    assert_eq!(ask("GET", "/sessions", cookie), 401);
}

#[test]
fn the_operator_is_told_which_shell_is_broken_and_why() {
    let engine = FakeEngine::start();
    engine.set_image_config("shellcraft/perl:latest", json!({"Cmd": null}));
    let site = Site::start(&engine.docker_host(), &[]);
    let shells = || site.request("GET", "/admin/health", &[TOKEN], b"").json()["shells"].clone();
    let (rust, perl) = (shells()[0].clone(), shells()[1].clone());
    let expected = json!({"name": "rust", "ok": true, "cause": null, "backoff_seconds": null});
    assert_eq!(rust, expected);
    assert_eq!(
        (&perl["name"], &perl["ok"]),
        (&"perl".into(), &false.into())
    );
    let cause = perl["cause"].as_str().expect("a sentence");
    assert!(cause.contains("shellcraft/perl: it has no CMD"), "{cause}");
}

/// What a page shows that was just opened: the disk, what books take on it, and the hour before.
#[test]
fn the_operator_is_told_of_the_disk_and_of_the_last_hour() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--books-quota", "1GiB"]);
    let stat = rustix::fs::statvfs(std::env::temp_dir()).expect("a file system");
    let put = site.request("PUT", "/admin/books/jwt-a", &[TOKEN], &[b'x'; 5000]);
    assert_eq!(put.status, 204);
    // The first is taken when the last life's games are taken over.
    wait_for("a sample", || {
        let history = health(&site)["history"].clone();
        history["every_seconds"] == 60
            && ["sessions", "queue", "output"]
                .iter()
                .all(|of| history[of] == json!([0]))
    });
    let health = health(&site);
    let disk = &health["disk"];
    assert_eq!(disk["total_bytes"], stat.f_blocks * stat.f_frsize, "{disk}");
    let free = disk["free_bytes"].as_u64().expect("a number");
    assert!(free > 0 && free < stat.f_blocks * stat.f_frsize, "{disk}");
    assert_eq!(health["books"]["quota_bytes"], 1_u64 << 30);
    assert!(health["books"]["bytes"].is_u64() && health["books"]["players"].is_u64());
}

#[test]
fn whoever_guesses_tokens_has_to_wait() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    for _ in 0..5 {
        assert_eq!(log_in(&site, "a wrong token").status, 401);
    }
    let reply = log_in(&site, ADMIN_TOKEN);
    assert_eq!(reply.status, 429);
    assert!(reply.header("retry-after").is_some());
}

#[test]
fn sessions_tell_what_containers_use() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let _page = site.page(&game, None);
    wait_for("the container's memory", || {
        let reply = site.request("GET", "/sessions", &[TOKEN], b"").json();
        let session = &reply["sessions"][0];
        session["peer"] == "127.0.0.1" && session["memory_bytes"] == 3_145_728
    });
}

#[test]
fn a_player_is_told_of_notices_and_of_an_operator_who_watches() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let mut page = site.page(&game, None);
    let body = json!({"text": "<b>hello</b>", "session_id": null, "level": "warning"});
    let reply = site.request(
        "POST",
        "/admin/notice",
        &[TOKEN],
        body.to_string().as_bytes(),
    );
    assert_eq!(
        (reply.status, reply.json()["sessions"].as_u64()),
        (200, Some(1))
    );
    assert_eq!(page.note("notice")["text"], "<b>hello</b>");
    let link = site
        .stranger()
        .request("POST", &game.path("/watch"), &[TOKEN], b"");
    let link = link.json()["ws_url"].as_str().expect("a link").to_owned();
    let (_, path) = link.split_once("/watch/").expect("a path");
    let _operator = site.open(&format!("/watch/{path}"), &[]).expect("a seat");
    assert_eq!(page.note("notice")["kind"], "operator_watches");
}

fn order(server: &Process, words: &[&str], token: &str) -> (Option<i32>, String) {
    let output = Command::new(server_binary())
        .args(words)
        .args(["--server", &format!("http://{}", server.address)])
        .env("ADMIN_TOKEN", token)
        // The token goes through nobody's proxy; this one takes nothing.
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9")
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn the_command_line_lists_tells_ends_and_drains() {
    let engine = FakeEngine::start();
    let flags = ["--admin-token", ADMIN_TOKEN];
    let mut server = Process::start(&engine.docker_host(), "cli-test", &flags);
    let game: Game = server.create("rust");
    let id = game.path("");
    let id = id.rsplit('/').next().expect("an id");
    let (status, text) = order(&server, &["sessions"], ADMIN_TOKEN);
    assert!(status == Some(0) && text.contains(id), "{text}");
    assert_eq!(order(&server, &["health"], ADMIN_TOKEN).0, Some(0));
    let (status, text) = order(&server, &["sessions"], "another-operator-s-token");
    assert!(status == Some(1) && text.contains("ADMIN_TOKEN"), "{text}");
    let (status, text) = order(&server, &["watch", id], ADMIN_TOKEN);
    let own = format!("http://{}", server.address);
    let page = text.trim_end().strip_prefix(&own).expect("our address");
    assert_eq!((status, server.get(page).status), (Some(0), 200), "{text}");
    let nobody = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    assert_eq!(order(&server, &["watch", nobody], ADMIN_TOKEN).0, Some(1));
    assert_eq!(order(&server, &["watch", "1"], ADMIN_TOKEN).0, Some(2));
    let (status, text) = order(&server, &["notice", id, "be", "quiet"], ADMIN_TOKEN);
    assert_eq!((status, text.as_str()), (Some(0), "Shown in 1 games.\n"));
    assert_eq!(
        order(&server, &["notice", "be", "quiet"], ADMIN_TOKEN).0,
        Some(2)
    );
    assert_eq!(order(&server, &["end", id], ADMIN_TOKEN).0, Some(0));
    assert_eq!(order(&server, &["end", id], ADMIN_TOKEN).0, Some(1));
    let (status, text) = order(&server, &["drain", "--json"], ADMIN_TOKEN);
    assert_eq!((status, text.as_str()), (Some(0), "{\"sessions\":0}\n"));
    assert_eq!(server.exit_code(), Some(0));
    let (status, text) = order(&server, &["health"], ADMIN_TOKEN);
    assert!(status == Some(1) && text.contains("not ready"), "{text}");
}

fn health(site: &Client) -> serde_json::Value {
    site.request("GET", "/admin/health", &[TOKEN], b"").json()
}

/// Newcomers stand before a closed door until the end comes, or the operator thinks better of it.
#[test]
fn a_drain_is_announced_and_can_be_undone() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--pool-size", "1"]);
    let game = site.create("rust");
    let mut page = site.page(&game, None);
    wait_for("a full pool", || health(&site)["pool"]["rust"] == 1);
    let order =
        |method: &str, body: &str| site.request(method, "/admin/drain", &[TOKEN], body.as_bytes());
    assert_eq!(order("DELETE", "").code(), "no_drain");
    for bad in [
        "soon",
        "{\"after_seconds\": -1}",
        "{\"after_seconds\": 86401}",
        // Whoever has a time in mind is not to get another one: the end can't be undone.
        "{\"after_second\": 600}",
        "{\"after_seconds\": 600, \"after_minutes\": 10}",
        "{}",
        "[]",
    ] {
        assert_eq!(order("POST", bad).code(), "bad_body", "{bad}");
    }
    assert_eq!(health(&site)["draining"], false);

    // The second order moves the end.
    for seconds in [7200, 600] {
        let reply = order("POST", &json!({"after_seconds": seconds}).to_string());
        let told = json!({"sessions": 1, "ends_in_seconds": seconds});
        assert_eq!((reply.status, reply.json()), (202, told));
        let notice = page.note("notice");
        assert_eq!(
            (&notice["kind"], &notice["ends_in"]),
            (&"drain".into(), &seconds.into())
        );
    }
    let left = health(&site)["drains_in_seconds"].as_u64().expect("a time");
    assert!((500..=600).contains(&left), "{left}");
    // Not even one that is made already is given away.
    let reply = site.stranger().post("/session", r#"{"shell": "rust"}"#);
    assert_eq!((reply.status, reply.code().as_str()), (503, "stopping"));
    assert_eq!(site.get("/readyz").status, 503);
    assert_eq!(site.get("/readyz?for=balancer").code(), "stopping");

    let reply = order("DELETE", "");
    assert_eq!(
        (reply.status, reply.json()["sessions"].clone()),
        (200, 1.into())
    );
    assert_eq!(page.note("notice")["kind"], "drain_undone");
    assert_eq!(order("DELETE", "").code(), "no_drain");
    assert_eq!(health(&site)["drains_in_seconds"], json!(null));
    assert_eq!(site.get("/readyz").status, 200);
    site.stranger().create("rust");
    wait_for("a full pool", || health(&site)["pool"]["rust"] == 1);
}

#[test]
fn a_drain_comes_when_its_time_has_come() {
    let engine = FakeEngine::start();
    let flags = ["--admin-token", ADMIN_TOKEN];
    let mut server = Process::start(&engine.docker_host(), "drain-test", &flags);
    let game = server.create("rust");
    let mut page = server.page(&game, None);
    let (status, text) = order(&server, &["drain", "--undo"], ADMIN_TOKEN);
    assert!(status == Some(1) && text.contains("no drain"), "{text}");
    assert_eq!(
        order(&server, &["drain", "--undo", "--after", "1m"], ADMIN_TOKEN).0,
        Some(2)
    );
    let (status, text) = order(&server, &["drain", "--after", "1h", "--json"], ADMIN_TOKEN);
    let told = json!({"ends_in_seconds": 3600, "sessions": 1});
    assert_eq!((status, text), (Some(0), format!("{told}\n")));
    let (status, text) = order(&server, &["drain", "--undo"], ADMIN_TOKEN);
    let told = "The server goes on, with 1 games.\n";
    assert_eq!((status, text.as_str()), (Some(0), told));
    let (status, text) = order(&server, &["drain", "--after", "1s"], ADMIN_TOKEN);
    let told = "1 games are being saved and removed; the server ends in 1 s.\n";
    assert_eq!((status, text.as_str()), (Some(0), told));
    assert_eq!(server.exit_code_in_time(), Some(0));
    assert_eq!(page.close_code(), 1001);
    assert_eq!(engine.containers().len(), 0);
}

/// Newcomers look at the order while they hold the session map, which the end of all games needs.
#[test]
fn an_order_can_be_looked_at_while_it_is_carried_out() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let manager = Arc::clone(site.app().manager());
    let (told, seen) = mpsc::channel();
    let newcomer = Arc::clone(&manager);
    manager.on_drained(move || {
        let (newcomer, looked) = (Arc::clone(&newcomer), mpsc::channel());
        let look = std::thread::spawn(move || looked.0.send(newcomer.is_draining()));
        told.send(looked.1.recv_timeout(PATIENCE))
            .expect("the test");
        drop(look);
    });
    assert_eq!(manager.drain(), 0);
    assert_eq!(seen.recv(), Ok(Ok(true)));
}

/// A stop is a stop, and leaves the games to the next start, whatever was to come.
#[test]
fn a_stop_does_not_wait_for_a_drain() {
    let engine = FakeEngine::start();
    let flags = ["--admin-token", ADMIN_TOKEN];
    let mut server = Process::start(&engine.docker_host(), "drain-term-test", &flags);
    server.create("rust");
    let (status, text) = order(&server, &["drain", "--after", "1h"], ADMIN_TOKEN);
    assert_eq!(status, Some(0), "{text}");
    server.signal("TERM");
    assert_eq!(server.exit_code_in_time(), Some(0));
    assert_eq!(engine.containers().len(), 1);
}

#[test]
fn an_operator_ends_all_games() {
    let engine = FakeEngine::start();
    let flags = ["--admin-token", ADMIN_TOKEN];
    let server = Process::start(&engine.docker_host(), "end-all-test", &flags);
    let games = [server.create("rust"), server.create("rust")];
    let containers = engine.containers();
    for container in &containers {
        engine.write_file(&container.name, "/home/spellbook.dat", b"learn hi");
    }
    let mut pages = games.each_ref().map(|game| server.page(game, None));
    for no_order in [["end", "--all", &games[0].id].as_slice(), &["end"]] {
        assert_eq!(order(&server, no_order, ADMIN_TOKEN).0, Some(2));
    }
    assert_eq!(server.stranger().delete("/sessions").status, 401);
    let foreign = [TOKEN, ("Origin", "http://evil.example")];
    let reply = server.request("DELETE", "/sessions", &foreign, b"");
    assert_eq!(reply.code(), "foreign_origin");
    let (status, text) = order(&server, &["end", "--all", "--json"], ADMIN_TOKEN);
    let told = json!({"ended": 2, "ending": 0});
    assert_eq!((status, text), (Some(0), format!("{told}\n")));
    for page in &mut pages {
        assert_eq!(page.close_code(), 4002);
    }
    assert_eq!(engine.containers().len(), 0);
    let books = server.request("GET", "/admin/books", &[TOKEN], b"").json();
    let kept = books["books"].as_array().expect("a list").len();
    assert_eq!(kept, 2, "{books}");
    // It serves on.
    server.create("rust");
    let (status, text) = order(&server, &["end", "--all"], ADMIN_TOKEN);
    assert_eq!((status, text.as_str()), (Some(0), "1 games have ended.\n"));
    let (status, text) = order(&server, &["end", "--all"], ADMIN_TOKEN);
    assert_eq!((status, text.as_str()), (Some(0), "0 games have ended.\n"));
}

/// An operator moves a player's book to a file and back, but not under the hands of somebody who plays.
#[test]
fn books_are_listed_exported_and_imported() {
    let engine = FakeEngine::start();
    let flags = ["--admin-token", ADMIN_TOKEN];
    let server = Process::start(&engine.docker_host(), "books-test", &flags);
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("book");
    let file = file.to_str().expect("UTF-8");
    let (status, text) = order(&server, &["books", "list"], ADMIN_TOKEN);
    assert_eq!((status, text.as_str()), (Some(0), "No spellbooks.\n"));
    std::fs::write(file, b"learn hi\0\xff").expect("written");
    let (status, text) = order(&server, &["books", "import", "jwt-a", file], ADMIN_TOKEN);
    assert_eq!((status, text.as_str()), (Some(0), "10 bytes saved.\n"));
    let (status, text) = order(&server, &["books", "list", "--json"], ADMIN_TOKEN);
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let book = &list["books"][0];
    assert_eq!(
        (status, &book["player"], &book["bytes"]),
        (Some(0), &"jwt-a".into(), &10.into())
    );
    std::fs::remove_file(file).expect("there");
    let (status, text) = order(&server, &["books", "export", "jwt-a", file], ADMIN_TOKEN);
    assert_eq!((status, text.as_str()), (Some(0), "10 bytes written.\n"));
    assert_eq!(std::fs::read(file).expect("there"), b"learn hi\0\xff");
    assert_eq!(
        order(&server, &["books", "export", "jwt-b"], ADMIN_TOKEN).0,
        Some(1)
    );
    assert_eq!(
        order(&server, &["books", "export", "../x"], ADMIN_TOKEN).0,
        Some(2)
    );
    let nowhere = ["books", "import", "jwt-a", "/nowhere/book"];
    assert_eq!(order(&server, &nowhere, ADMIN_TOKEN).0, Some(2));
    std::fs::write(file, vec![b'x'; 1024 * 1024 + 1]).expect("written");
    assert_eq!(
        order(&server, &["books", "import", "jwt-a", file], ADMIN_TOKEN).0,
        Some(1)
    );
    // Somebody who plays.
    server.create("rust");
    let operator = [TOKEN];
    let sessions = server.request("GET", "/sessions", &operator, b"").json();
    let player = sessions["sessions"][0]["player"]
        .as_str()
        .expect("a name")
        .to_owned();
    std::fs::write(file, "x").expect("written");
    let (status, text) = order(&server, &["books", "import", &player, file], ADMIN_TOKEN);
    assert!(status == Some(1) && text.contains("end it first"), "{text}");
    // Not for strangers.
    let paths = ["/admin/books", "/admin/books/jwt-a"];
    for path in paths {
        assert_eq!(server.stranger().get(path).status, 401, "{path}");
    }
    let reply = server.request(
        "PUT",
        paths[1],
        &[TOKEN, ("Origin", "http://evil.example")],
        b"x",
    );
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "foreign_origin")
    );
}

#[test]
fn logins_are_revoked_and_restored_by_order() {
    let engine = FakeEngine::start();
    let flags = ["--admin-token", ADMIN_TOKEN];
    let server = Process::start(&engine.docker_host(), "logins-test", &flags);
    let list = |token| order(&server, &["logins", "revoked"], token);
    assert_eq!(list(ADMIN_TOKEN), (Some(0), "Nobody is revoked.\n".into()));
    assert_eq!(list("a-wrong-token-of-some-length").0, Some(1));
    let anna = PlayerId::of_subject("anna").to_string();
    let (status, text) = order(
        &server,
        &["logins", "revoke", "--subject", "anna"],
        ADMIN_TOKEN,
    );
    assert_eq!(status, Some(0), "{text}");
    assert!(list(ADMIN_TOKEN).1.contains(&anna));
    for (words, expected) in [
        (&["logins", "restore", &anna][..], 0),
        (&["logins", "restore", &anna], 1),
        (&["logins", "revoke", "../x"], 2),
        (&["logins", "revoke"], 2),
        (&["logins", "revoke", &anna, "--subject", "anna"], 2),
    ] {
        assert_eq!(
            order(&server, words, ADMIN_TOKEN).0,
            Some(expected),
            "{words:?}"
        );
    }
    assert_eq!(list(ADMIN_TOKEN).1, "Nobody is revoked.\n");
}

/// Books of players without a login go when an operator says so, were they copied ever so often.
#[test]
fn books_that_nobody_uses_are_removed_by_order() {
    let engine = FakeEngine::start();
    let data = tempfile::tempdir().expect("a directory");
    let data_dir = data.path().to_str().expect("UTF-8");
    let flags = ["--admin-token", ADMIN_TOKEN, "--data-dir", data_dir];
    let server = Process::start(&engine.docker_host(), "expire-test", &flags);
    let books = |words: &[&str]| order(&server, &[&["books"], words].concat(), ADMIN_TOKEN);
    for player in ["anon-1", "anon-2", "anon-new", "jwt-1"] {
        let path = format!("/admin/books/{player}");
        let put = server.request("PUT", &path, &[TOKEN], b"learn hi");
        assert_eq!(put.status, 204);
        if player != "anon-new" {
            let folder = data.path().join("books").join(player);
            let folder = std::fs::File::open(folder).expect("a folder");
            let past = Duration::from_secs(100 * 24 * 3600);
            folder.set_modified(SystemTime::now() - past).expect("ours");
        }
    }
    // A copy is no use.
    let (status, text) = books(&["export", "anon-1"]);
    assert_eq!((status, text.as_str()), (Some(0), "learn hi"));
    let (status, text) = books(&["expire", "--older-than", "90d", "--dry-run", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let expected = json!({"expired": 2, "players": 4, "bytes": 4 * 4096, "dry_run": true});
    assert_eq!((status, told), (Some(0), expected));
    let listed = || {
        let list = server.request("GET", "/admin/books", &[TOKEN], b"").json();
        let list = list["books"].as_array().expect("a list").clone();
        let players = list.iter().map(|book| book["player"].clone());
        serde_json::Value::from(players.collect::<Vec<_>>())
    };
    assert_eq!(listed(), json!(["anon-1", "anon-2", "anon-new", "jwt-1"]));
    assert_eq!(server.metric("spellbooks_expired_total"), 0.0);
    let (status, text) = books(&["expire", "--older-than", "90d"]);
    let told = "The spellbooks of 2 players are removed.\n";
    assert_eq!((status, text.as_str()), (Some(0), told));
    assert_eq!(listed(), json!(["anon-new", "jwt-1"]));
    assert_eq!(server.metric("spellbooks_expired_total"), 2.0);
    let (status, text) = books(&["expire", "--older-than", "1s"]);
    assert!(status == Some(1) && text.contains("3600"), "{text}");
    assert_eq!(books(&["expire"]).0, Some(2));
    let path = "/admin/books?unused_seconds=3600";
    assert_eq!(server.stranger().delete(path).status, 401);
    let foreign = [TOKEN, ("Origin", "http://evil.example")];
    let reply = server.request("DELETE", path, &foreign, b"");
    assert_eq!(reply.code(), "foreign_origin");
}
