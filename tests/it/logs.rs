//! The log of a server in a process of its own: joined up, not to be forged, and without secrets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_engine::FakeEngine;
use serde_json::Value;
use shellcraft::logging::names;
use tempfile::TempDir;

use crate::binary::{Process, server_binary};
use crate::containers::{own_address, unique};
use crate::redis_server::RedisServer;
use crate::site::wait_for;

const TOKEN: &str = "an-operator-s-secret-token";

/// A server that logs all it can into a file.
struct Logged {
    engine: FakeEngine,
    process: Process,
    path: PathBuf,
    _folder: TempDir,
}

impl Logged {
    fn start(format: &str, level: &str) -> Logged {
        Logged::start_with(format, level, &[])
    }

    fn start_with(format: &str, level: &str, more: &[&str]) -> Logged {
        let engine = FakeEngine::start();
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("log");
        let flags = [
            "--log-format",
            format,
            "--log-level",
            level,
            "--admin-token",
            TOKEN,
        ];
        let flags = [&flags[..], more].concat();
        let process = Process::start_logged(&path, &engine.docker_host(), &unique(), &flags);
        Logged {
            engine,
            process,
            path,
            _folder: folder,
        }
    }

    fn text(&self) -> String {
        read(&self.path)
    }

    /// All lines so far, each of which must be JSON.
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
        whole.lines().map(parse).collect()
    }

    /// The first line whose sentence has `part` in it, when it has come.
    #[track_caller]
    fn line_with(&self, part: &str) -> Value {
        let find = || {
            let has_part =
                |line: &Value| line["msg"].as_str().is_some_and(|msg| msg.contains(part));
            self.lines().into_iter().find(has_part)
        };
        wait_for(part, || find().is_some());
        find().expect("it has come")
    }
}

fn read(path: &Path) -> String {
    String::from_utf8(fs::read(path).expect("readable")).expect("UTF-8")
}

#[test]
fn requests_and_sessions_are_joined_up() {
    let logged = Logged::start("json", "debug");
    let created = logged.process.post("/session", "");
    let (id, request) = (
        created.json()["session_id"].clone(),
        created.header("x-request-id"),
    );
    let request = Value::from(request.expect("a number"));
    let line = logged.line_with("POST /session");
    assert_eq!(
        (&line["request_id"], &line["status"], &line["peer"]),
        (&request, &201.into(), &"127.0.0.1".into())
    );
    assert!(
        line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0),
        "{line}"
    );
    assert!(
        line["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')),
        "{line}"
    );
    assert_eq!(
        (&line["level"], &line["target"]),
        (&"info".into(), &"shellcraft::http".into())
    );
    // What the Engine was asked for this request, and that a session came of it.
    assert_eq!(
        logged.line_with("call=ContainerStart")["request_id"],
        request
    );
    let made = logged.line_with(" made in ");
    let id = id.as_str().expect("an id");
    let name = Value::from(names::short(id));
    assert_eq!((&made["request_id"], &made["session"]), (&request, &name));
    assert_eq!(
        logged.process.get(&format!("/session/{id}/status")).status,
        200
    );
    assert_eq!(logged.line_with("/status")["session"], name);
    // The session's own thread.
    logged.engine.exit(&format!("shellcraft-{id}"), 3);
    let ended = logged.line_with("ended reason=exited");
    assert_eq!(
        (&ended["session"], &ended["request_id"]),
        (&name, &Value::Null)
    );
    assert_eq!(logged.line_with("call=ContainerDelete")["session"], name);
}

/// Whatever a stranger sends stays within one line that is the server's own.
#[test]
fn nothing_forges_a_line() {
    for format in ["text", "json"] {
        let logged = Logged::start(format, "debug");
        let forged = "2026-01-01T00:00:00.000Z INFO  forged";
        for path in [
            format!("/{}", forged.replace(' ', "%20")),
            "/%0d%0aINFO%20forged".to_owned(),
            "/session=forged".to_owned(),
            "/x\"level\":\"forged".to_owned(),
            format!("/{}", "x".repeat(4000)),
        ] {
            logged.process.get(&path);
        }
        for raw in [
            "GET /a\nforged HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\u{1b}[2Jforged\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1\u{2028}forged\r\n\r\n",
            "\u{202e}forged\r\n\r\n",
        ] {
            logged.process.exchange(raw.as_bytes());
        }
        let body = "{\"shell\":\"a\\r\\nforged\\u001b[2J\\u2028\\u202e\"}";
        assert_eq!(logged.process.post("/session", body).status, 422);
        // What a program in a container writes and a player types.
        let game = logged.process.create("rust");
        let mut player = logged.process.raw(&game);
        player.expect("$ ");
        player.type_in("echo \u{1b}]0;forged\u{7}\r");
        player.expect("forged");
        // The Engine's own words.
        let words = "\r\nforged\u{1b}[2J\u{2028}";
        logged.engine.refuse("ContainerCreate", 500, words);
        assert_eq!(logged.process.post("/session", "").status, 503);
        wait_for("the last request's line", || logged.text().contains("503"));
        let text = logged.text();
        let is_clean = |letter: char| {
            letter == '\n' || !letter.is_control() && !matches!(letter, '\u{2028}' | '\u{202e}')
        };
        assert!(text.chars().all(is_clean), "{text}");
        for line in text.lines() {
            if format == "json" {
                let value: Value = serde_json::from_str(line).expect("JSON");
                assert!(
                    ["error", "warn", "info", "debug"]
                        .map(Value::from)
                        .contains(&value["level"]),
                    "{line}"
                );
            } else {
                // Only the server's own time begins a line.
                let time = line.split(' ').next().and_then(humantime);
                assert!(time.is_some() && !line.starts_with("2026-01-01T"), "{line}");
            }
        }
    }
}

/// Whether a text looks like `2026-11-24T03:00:00.123Z`.
fn humantime(text: &str) -> Option<()> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (text.len() == 24 && digits == 17 && text.ends_with('Z')).then_some(())
}

#[test]
fn no_secret_is_logged() {
    let logged = Logged::start("text", "debug");
    let process = &logged.process;
    let created = process.post("/session", "");
    let game = crate::site::Game::of(&created);
    let cookie = created.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let secret = cookie.split('=').next_back().expect("a value").to_owned();
    let bearer = format!("Bearer {}", game.token);
    let operator = format!("Bearer {TOKEN}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Cookie", cookie.as_str()),
    ];
    assert_eq!(
        process
            .request("GET", &game.path("/status"), &headers, b"")
            .status,
        200
    );
    let headers = [("Authorization", operator.as_str())];
    assert_eq!(
        process.request("GET", "/sessions", &headers, b"").status,
        200
    );
    let ticket = uuid::Uuid::new_v4().to_string();
    process.get(&format!("/queue/{ticket}"));
    process.request("POST", "/session", &[("X-Queue-Ticket", &ticket)], b"");
    process.get("/healthz?ticket=query-secret&token=query-secret");
    let watch = process
        .request("POST", &game.path("/watch"), &[], b"")
        .json();
    let watch = watch["watch_url"].as_str().expect("an address").to_owned();
    let watch = watch.rsplit('/').next().expect("a secret").to_owned();
    assert_eq!(process.get(&format!("/watch/{watch}")).status, 200);
    assert_eq!(process.get(&format!("/watch/{watch}/x")).status, 404);
    // Where a proxy, or a person, has mangled the path.
    for path in [
        format!("//watch/{watch}"),
        format!("/%2577atch/{watch}"),
        format!("/play/watch/{watch}/ws"),
        format!("/session/{}{watch}", game.id),
    ] {
        assert_eq!(process.get(&path).status, 404, "{path}");
    }
    let spelt = format!("GET /%77atch/{watch} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(process.exchange(spelt.as_bytes()).status, 200);
    // The terminal is opened by the ticket in its address, as a page does.
    let address = created.json()["ws_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    let (_, path) = address
        .split_once(&process.address.to_string())
        .expect("ours");
    let (_, way_in) = path.split_once("ticket=").expect("a ticket");
    let mut player = process.open(path, &[]).expect("it opens");
    player.expect("$ ");
    player.type_in("echo typed-secret\r");
    player.expect("typed-secret");
    drop(player);
    wait_for("the terminal's end", || {
        logged.text().contains("terminal closed")
    });
    let text = logged.text();
    for secret in [
        &game.token,
        &secret,
        TOKEN,
        &ticket,
        way_in,
        "query-secret",
        &watch,
        "typed-secret",
    ] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    assert!(text.contains("GET /watch/…"), "{text}");
}

#[test]
fn a_warning_that_strangers_cause_comes_once() {
    let logged = Logged::start("json", "info");
    logged.engine.stop_listening();
    // How the Engine is, is remembered for a second.
    wait_for("it to show", || logged.process.get("/readyz").status == 503);
    for _ in 0..20 {
        assert_eq!(logged.process.get("/readyz").status, 503);
    }
    logged.line_with("not ready");
    let warnings = logged.lines();
    let is_warning = |line: &&Value| {
        line["msg"]
            .as_str()
            .is_some_and(|msg| msg.contains("not ready"))
    };
    assert_eq!(warnings.iter().filter(is_warning).count(), 1);
}

/// An operator whose players are turned away reads which setting would let them in.
#[test]
fn the_log_says_which_limit_a_newcomer_met() {
    let by_limit = [
        (["--max-sessions", "1"], "full", "MAX_SESSIONS"),
        (
            ["--sessions-per-player", "1"],
            "too_many_sessions",
            "SESSIONS_PER_PLAYER",
        ),
        (
            ["--sessions-per-address", "1"],
            "address_full",
            "SESSIONS_PER_ADDRESS",
        ),
        (["--rate-limit", "1/h"], "rate_limited", "RATE_LIMIT"),
    ];
    for (flags, code, setting) in by_limit {
        let logged = Logged::start_with("json", "info", &flags);
        let created = logged.process.post("/session", "");
        let cookie = created.header("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        for _ in 0..3 {
            let headers = [("Cookie", cookie.as_str())];
            let refused = logged.process.request("POST", "/session", &headers, b"");
            assert_eq!(refused.code(), code);
        }
        let line = logged.line_with("refused a game");
        let said = line["msg"].as_str().expect("a sentence");
        assert!(said.contains(setting), "{setting} is not in {said:?}");
        let refusals = logged.text().matches("refused a game").count();
        assert_eq!(refusals, 1, "once a minute");
    }
}

/// A proxy with TLS that nobody told us of: its players are refused, and the operator can read why.
#[test]
fn the_log_says_what_would_let_a_page_in() {
    let logged = Logged::start("json", "info");
    let own = format!("https://{}", logged.process.address);
    for _ in 0..5 {
        let headers = [("Origin", own.as_str())];
        let refused = logged.process.request("POST", "/session", &headers, b"");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "foreign_origin")
        );
    }
    logged.line_with("refused a page");
    let lines = logged.lines();
    let warnings = lines.iter().filter(|line| line["level"] == "warn");
    let said: Vec<_> = warnings.filter_map(|line| line["msg"].as_str()).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    for part in [&own, "PUBLIC_URL", "TRUSTED_PROXIES"] {
        assert!(said[0].contains(part), "{part} is not in {said:?}");
    }
}

/// Addresses of others that have a password in them, while these do not answer: every line about it at the lowest level.
#[test]
fn passwords_in_addresses_are_not_logged() {
    let redis = RedisServer::start_with_password("hush-redis");
    let folder = tempfile::tempdir().expect("a directory");
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let address = redis.url().replace("://", "://:hush-redis@");
    let redis_file = secret("redis", &address);
    let portal = own_address();
    let jwks_file = secret(
        "jwks",
        &format!("http://me:hush-jwks@{portal}/keys?key=hush-key"),
    );
    let flags = [
        "--redis-url-file",
        &redis_file,
        "--auth",
        "jwt",
        "--jwt-jwks-url-file",
        &jwks_file,
    ];
    let logged = Logged::start_with("text", "debug", &flags);
    // {"alg":"EdDSA","kid":"a"}, and nothing that anybody has signed.
    let bearer = (
        "Authorization",
        "Bearer eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.AA",
    );
    let reply = logged.process.request("POST", "/session", &[bearer], b"");
    assert_eq!(reply.code(), "login_unavailable");
    redis.kill();
    wait_for("it to be noticed", || {
        logged
            .process
            .get("/readyz")
            .text()
            .contains("store_unavailable")
    });
    let text = logged.text();
    assert!(text.contains("no keys from JWT_JWKS_URL"), "{text}");
    assert!(!text.contains("hush"), "{text}");
    // Nor do others on this machine see it.
    let pid = logged.process.pid();
    for name in ["cmdline", "environ"] {
        let seen = fs::read(format!("/proc/{pid}/{name}")).expect("procfs");
        assert!(!String::from_utf8_lossy(&seen).contains("hush"), "{name}");
    }
}

/// At every level and in both forms: a session has a short name, which the operator finds in the list of sessions.
#[test]
fn a_session_s_id_is_in_no_line() {
    for format in ["text", "json"] {
        let logged = Logged::start(format, "debug");
        let process = &logged.process;
        let game = process.create("rust");
        let mut page = process.page(&game, None);
        page.expect("$ ");
        for path in [
            game.path("/status"),
            game.path("/spellbook"),
            game.path("/x"),
            format!("//session/{}/ws", game.id),
            format!("/play/session/{}", game.id.to_uppercase()),
        ] {
            process.get(&path);
        }
        process.post(&game.path("/ticket"), "");
        process.post(&game.path("/recording"), "");
        let bearer = format!("Bearer {TOKEN}");
        let operator = [("Authorization", bearer.as_str())];
        let list = process.request("GET", "/sessions", &operator, b"").json();
        let listed = &list["sessions"][0];
        let name = names::short(&game.id);
        assert_eq!(
            (&listed["session_id"], &listed["log_name"]),
            (&game.id.as_str().into(), &name.as_str().into())
        );
        let server = format!("http://{}", process.address);
        let shown = Command::new(server_binary())
            .args(["sessions", "--server", &server, "--admin-token", TOKEN])
            .output()
            .expect("the binary runs");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let has_both = |line: &str| line.contains(&game.id) && line.contains(&name);
        assert!(shown.lines().any(has_both), "{shown}");
        process.request("DELETE", &game.path(""), &operator, b"");
        wait_for("its end", || {
            logged.text().contains("destroyed by operator")
        });
        assert_eq!(page.close_code(), 4002);
        wait_for("the terminal's end", || {
            logged.text().contains("terminal closed")
        });
        let text = logged.text();
        let bare = game.id.replace('-', "");
        for id in [
            &game.id,
            &game.id.to_uppercase(),
            &bare,
            &game.id[..13].to_owned(),
        ] {
            let line = text.lines().find(|line| line.contains(id.as_str()));
            assert_eq!(line, None, "{id}");
        }
        let called = match format {
            "json" => format!("\"session\":\"{name}\""),
            _ => format!("session={name} "),
        };
        assert!(text.contains(&called), "{called} is not in {text}");
        assert!(
            text.contains(&format!("GET /session/{name}/status")),
            "{text}"
        );
        assert!(
            text.contains(&format!("shellcraft-{name}")),
            "the Engine's: {text}"
        );
    }
}

/// A store that hangs keeps a session's thread beyond the grace; the operator learns whose container stays.
#[test]
fn a_session_that_a_stop_leaves_behind_is_named() {
    let redis = RedisServer::start();
    let url = redis.url();
    let flags = ["--redis-url", &url, "--shutdown-grace", "1s"];
    let mut logged = Logged::start_with("text", "info", &flags);
    let game = logged.process.create("rust");
    let name = format!("shellcraft-{}", game.id);
    logged
        .engine
        .write_file(&name, "/home/spellbook.dat", b"late\techo\n");
    redis.signal("STOP");
    logged.process.signal("INT");
    assert_eq!(logged.process.exit_code_in_time(), Some(0));
    let short = names::short(&game.id);
    let told = format!("session={short} did not end within the grace: its container is left");
    assert!(logged.text().contains(&told), "{}", logged.text());
    redis.signal("CONT");
}
