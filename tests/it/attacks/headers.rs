//! Header injection, and bodies that are not what they seem: nothing a client sends becomes a line of an answer.

use fake_engine::FakeEngine;
use serde_json::json;

use super::{owner, says, statuses};
use crate::site::{Game, Site};

/// The lines of the answer's head, lower-case names first.
fn names(answer: &str) -> Vec<String> {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let lines = head.split("\r\n").skip(1);
    lines
        .map(|line| line.split(':').next().unwrap_or_default().to_lowercase())
        .collect()
}

/// Wherever something of the request stands in the answer, and in every spelling of a line's end.
#[test]
fn nothing_becomes_a_line_of_the_answer() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--trusted-proxies", "127.0.0.0/8"]);
    let game = site.create("rust");
    let (status, owner) = (game.path("/status"), owner(&game));
    for end in [
        "%0d%0a",
        "%0D%0A%20",
        "%0a",
        "\r",
        "\n",
        "\\r\\n",
        "%E5%98%8A%E5%98%8D",
        "\u{85}",
        "\0",
    ] {
        let evil = format!("x{end}Injected: yes{end}Set-Cookie: injected=1");
        let path = evil.replace(' ', "%20");
        for request in [
            format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n"),
            format!("GET {status}?{path} HTTP/1.1\r\n{owner}Host: h\r\n\r\n"),
            format!("GET /watch/{path} HTTP/1.1\r\nHost: h\r\n\r\n"),
            format!("GET /assets/{path} HTTP/1.1\r\nHost: h\r\n\r\n"),
            format!("GET /queue/{path} HTTP/1.1\r\nHost: h\r\n\r\n"),
            format!("GET {status} HTTP/1.1\r\n{owner}Host: {evil}\r\n\r\n"),
            format!("GET {status} HTTP/1.1\r\n{owner}Host: h\r\nX-Request-Id: {evil}\r\n\r\n"),
            format!("GET {status} HTTP/1.1\r\n{owner}Host: h\r\nX-Forwarded-For: {evil}\r\n\r\n"),
            format!("GET {status} HTTP/1.1\r\n{owner}Host: h\r\nX-Forwarded-Proto: {evil}\r\n\r\n"),
            format!("GET {status} HTTP/1.1\r\n{owner}Host: h\r\nX-Forwarded-Host: {evil}\r\n\r\n"),
            format!("GET {status} HTTP/1.1\r\n{owner}Host: h\r\nOrigin: {evil}\r\n\r\n"),
            format!(
                "GET {status} HTTP/1.1\r\n{owner}Host: h\r\nCookie: shellcraft_player={evil}\r\n\r\n"
            ),
            format!("POST /session HTTP/1.1\r\nHost: h\r\nX-Queue-Ticket: {evil}\r\n\r\n"),
            super::handshake(
                &status,
                &format!("Sec-WebSocket-Protocol: shellcraft.v1, {evil}\r\n"),
            ),
        ] {
            let answer = says(site.address, request.as_bytes());
            assert_eq!(statuses(&answer).len(), 1, "{request:?}: {answer}");
            let names = names(&answer);
            assert!(!names.contains(&"injected".into()), "{request:?}: {answer}");
            assert!(!answer.contains("injected=1\r\n"), "{request:?}: {answer}");
            assert_eq!(
                names.iter().filter(|name| *name == "x-request-id").count(),
                1,
                "{answer}"
            );
        }
    }
}

/// The address that a client claims is in what it is told itself, and only if it could be one.
#[test]
fn a_host_is_a_host_or_refused() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    for host in [
        "a b", "a/b", "a?b", "a#b", "a@b", "a\"b", "a<b>", "a'b", "a,b", "a\\b", "a;b", "%61", "",
    ] {
        let answer = says(
            site.address,
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
        );
        assert_eq!(statuses(&answer), [400], "{host}: {answer}");
    }
    let two = says(
        site.address,
        b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n",
    );
    assert_eq!(statuses(&two), [400], "{two}");
}

/// Cookies that somebody else planted, as a neighbouring host can: as many as fit, and then more.
#[test]
fn bombs_of_cookies_hide_nobody_and_are_refused_when_too_big() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let reply = site.post("/session", "");
    let game = Game::of(&reply);
    let own = reply.header("set-cookie").expect("a player's cookie");
    let own = own.split(';').next().expect("a pair");
    let mut player = site.raw(&game);
    player.expect("$ ");
    let ask = |cookies: &str| {
        let path = game.path("/status");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{cookies}\r\n");
        let answer = says(site.address, request.as_bytes());
        let statuses = statuses(&answer);
        assert_eq!(statuses.len(), 1, "{answer}");
        statuses[0]
    };
    let line = |cookies: &str| format!("Cookie: {cookies}\r\n");
    let junk = "a=b; ".repeat(2900);
    for (cookies, expected) in [
        (line(own), 200),
        (line(&format!("{junk}{own}")), 200),
        (line(&format!("{own}; {junk}c=d")), 200),
        // Another's in the place of one's own does not make one somebody else.
        (line("shellcraft_player=planted"), 404),
        (
            line(&format!("shellcraft_player={}", "x".repeat(15_000))),
            404,
        ),
        (line(&format!("{junk}c=d")), 404),
        (line(&format!("{own}; {}", "a=b; ".repeat(4_000))), 431),
        (line("a=b").repeat(100), 431),
    ] {
        let shown = cookies.get(..60).unwrap_or(&cookies);
        assert_eq!(ask(&cookies), expected, "{shown}… of {}", cookies.len());
    }
    player.type_in("echo not disturbed\n");
    player.expect("\r\nnot disturbed\r\n");
}

/// Bodies are taken as they are: what would have to be unpacked is not taken at all.
#[test]
fn packed_bodies_are_refused() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    // A bomb's beginning: 10 bytes of gzip's head, and deflate that says "the same byte again".
    let bomb = [
        &b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..],
        &[0xed, 0xc1, 1, 0, 0, 0, 0x80, 0x90],
    ]
    .concat();
    for coding in [
        "gzip",
        "deflate",
        "br",
        "zstd",
        "gzip, gzip",
        "identity, gzip",
        "GZIP",
        "x",
    ] {
        for (method, path) in [
            ("POST", "/session".to_owned()),
            ("PUT", game.path("/spellbook")),
        ] {
            let reply = site.request(method, &path, &[("Content-Encoding", coding)], &bomb);
            assert_eq!(
                (
                    reply.status,
                    reply.code().as_str(),
                    reply.header("accept-encoding")
                ),
                (415, "unsupported_encoding", Some("identity")),
                "{method} {coding}"
            );
        }
    }
    let plain = site.request(
        "POST",
        "/session",
        &[("Content-Encoding", "identity")],
        b"{}",
    );
    assert_eq!(plain.status, 201);
    let book = site.request("PUT", &game.path("/spellbook"), &[], &bomb);
    assert_eq!(book.status, 422, "a packed book is no text");
}

/// JSON that is deep, long or twice: an answer, and at once.
#[test]
fn strange_json_is_refused() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    for body in [
        "[".repeat(60_000),
        "{\"a\":".repeat(10_000),
        format!("{{\"shell\":{}}}", "[".repeat(1000)),
        "{\"shell\":\"rust\",\"shell\":\"perl\"}trailing".into(),
        "{\"shell\":\"\\ud800\"}".into(),
        "{\"shell\":1e999999}".into(),
        "\u{feff}{}".into(),
        "{'shell':'rust'}".into(),
    ] {
        let reply = site.post("/session", &body);
        assert_eq!(reply.status, 400, "{} bytes", body.len());
    }
    let reply = site.post(
        "/session",
        &json!({"shell": "rust\r\nSet-Cookie: a=b"}).to_string(),
    );
    assert_eq!(reply.status, 422);
    assert_eq!(engine.calls("ContainerCreate"), 0);
}
