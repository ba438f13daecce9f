//! What a browser is told about every answer, and which pages may act on us: read off the route table, so that a new
//! route is looked at too.

use fake_engine::FakeEngine;
use shellcraft::http::route::TABLE;

use crate::site::{Game, Reply, Site};

/// What makes a request a WebSocket's.
const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A path of that pattern, of this game where it is about one.
fn path(pattern: &str, game: &Game) -> String {
    pattern
        .replace("{id}", &game.id)
        .replace("{ticket}", "f47ac10b-58cc-4372-a567-0e02b2c3d479")
        .replace("{secret}", "nobody-s")
        .replace("{name}", "style.css")
}

#[track_caller]
fn check_headers(reply: &Reply, what: &str, is_https: bool) {
    for (name, expected) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(
            reply.header(name),
            Some(expected),
            "{name} of {what}: {reply:?}"
        );
    }
    let policy = reply.header("content-security-policy").unwrap_or_default();
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{part} of {what}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{what}: {policy}");
    let permissions = reply.header("permissions-policy").unwrap_or_default();
    assert!(permissions.contains("camera=()"), "{what}");
    let may_be_kept = what.contains("/assets/") && reply.status == 200;
    if !may_be_kept {
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
    }
    let tls_only = reply.header("strict-transport-security");
    assert_eq!(tls_only.is_some(), is_https, "{what}");
}

#[test]
fn every_answer_of_every_route_tells_browsers_what_not_to_do() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    for (method, pattern) in TABLE {
        let path = path(pattern, &game);
        for accept in ["text/html", "*/*"] {
            let accept = ("Accept", accept);
            let asked = site.stranger().request(method, &path, &[accept], b"");
            check_headers(&asked, &format!("{method} {path} as a stranger"), false);
            let other = site.request("PATCH", &path, &[accept], b"");
            check_headers(&other, &format!("PATCH {path}"), false);
        }
        // The last one ends it.
        if method != "DELETE" {
            let mine = site.request(method, &path, &[], b"");
            check_headers(&mine, &format!("{method} {path}"), false);
        }
    }
    check_headers(&site.get("/nothing"), "GET /nothing", false);
    // What never comes so far as to be looked up.
    check_headers(&site.exchange(b"nonsense\r\n\r\n"), "nonsense", false);
    check_headers(&site.delete(&game.path("")), "DELETE", false);
}

#[test]
fn behind_tls_browsers_are_told_to_stay_there() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--trusted-proxies", "127.0.0.1"]);
    let tls = [("X-Forwarded-Proto", "https")];
    for path in ["/", "/healthz", "/nothing", "/assets/style.css"] {
        let reply = site.request("GET", path, &tls, b"");
        check_headers(&reply, path, true);
    }
    let reply = site.request("POST", "/session", &tls, b"");
    check_headers(&reply, "POST /session", true);
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(set.starts_with("__Host-") && set.ends_with("; HttpOnly; SameSite=Strict; Secure"));
}

/// Every route that changes something, and every WebSocket, asked by a page of another site that has its user's cookie.
#[test]
fn pages_of_other_sites_change_nothing() {
    let engine = FakeEngine::start();
    let allowed = ["--allowed-origins", "https://school.example"];
    let site = Site::start(&engine.docker_host(), &allowed);
    let game = site.create("rust");
    let own = format!("http://{}", site.address);
    let evil = [
        vec![("Origin", "http://evil.example")],
        vec![("Origin", "null")],
        vec![("Origin", "")],
        vec![("Origin", "https://school.example.evil.example")],
        vec![("Origin", "http://school.example")],
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "same-site")],
    ];
    let mut looked_at = 0;
    for (method, pattern) in TABLE {
        let is_terminal = pattern.ends_with("/ws");
        if matches!(method, "GET" | "HEAD") && !is_terminal {
            continue;
        }
        looked_at += 1;
        for origin in &evil {
            let mut headers = origin.clone();
            if is_terminal {
                headers.extend(UPGRADE);
            }
            let reply = site.request(method, &path(pattern, &game), &headers, b"");
            let what = format!("{method} {pattern} {origin:?}");
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (403, "foreign_origin"),
                "{what}"
            );
        }
    }
    assert!(looked_at > 10, "{looked_at}");
    assert_eq!(engine.containers().len(), 1);
    for origin in [own.as_str(), "https://school.example"] {
        let mut player = site
            .open(&game.path("/ws"), &[("Origin", origin)])
            .expect("ours may");
        player.expect("$ ");
    }
}

/// A request for that host.
fn ask_at(site: &Site, host: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n");
    if !headers.contains(&UPGRADE[0]) {
        head += "Connection: close\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    site.exchange(format!("{head}\r\n").as_bytes())
}

/// Traefik says `wss` where others say `https`, and whoever names an address may name a port that it has anyway.
#[test]
fn an_address_in_other_words_is_the_same() {
    let engine = FakeEngine::start();
    let proxy = ["--trusted-proxies", "127.0.0.1"];
    let site = Site::start(&engine.docker_host(), &proxy);
    let ws = site.create("rust").path("/ws");
    let own = format!("https://{}", site.address);
    let open = |proto| site.open(&ws, &[("Origin", &own), ("X-Forwarded-Proto", proto)]);
    assert!(open("wss").is_ok() && open("https").is_ok());
    assert_eq!(open("ws").err(), Some(403));
    let from = |origin| [("X-Forwarded-Proto", "https"), ("Origin", origin)];
    for (origin, expected) in [
        ("https://127.0.0.1", 201),
        ("https://127.0.0.1:443", 201),
        ("https://127.0.0.1:80", 403),
        ("http://127.0.0.1", 403),
    ] {
        let reply = ask_at(&site, "127.0.0.1:443", "POST", "/session", &from(origin));
        assert_eq!(reply.status, expected, "{origin}");
    }
    for public in ["https://Play.example:443", "https://play.example"] {
        let school = "https://School.example:443,http://other.example:80";
        let flags = ["--public-url", public, "--allowed-origins", school];
        let site = Site::start(&engine.docker_host(), &flags);
        for (origin, expected) in [
            ("https://play.example", 201),
            ("https://school.example", 201),
            ("http://other.example", 201),
            ("http://school.example", 403),
            ("https://play.example:8443", 403),
        ] {
            let reply = site.request("POST", "/session", &[("Origin", origin)], b"");
            assert_eq!(reply.status, expected, "{origin} at {public}");
        }
    }
}

/// A page whose name was turned to point here (DNS rebinding) is one site with us to its browser. Nobody but the operator
/// can say which names are ours.
#[test]
fn without_a_public_address_only_names_of_this_machine_are_ours() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let authorization = game.authorization();
    let evil = "http://evil.example:8080";
    let mut looked_at = 0;
    for (method, pattern) in TABLE {
        let is_terminal = pattern.ends_with("/ws");
        if matches!(method, "GET" | "HEAD") && !is_terminal {
            continue;
        }
        looked_at += 1;
        for says_so in [("Origin", evil), ("Sec-Fetch-Site", "same-origin")] {
            let mut headers = vec![says_so, ("Authorization", authorization.as_str())];
            if is_terminal {
                headers.extend(UPGRADE);
            }
            let path = path(pattern, &game);
            let reply = ask_at(&site, "evil.example:8080", method, &path, &headers);
            let what = format!("{method} {pattern} {says_so:?}: {}", reply.text());
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (403, "unknown_name"),
                "{what}"
            );
            assert!(reply.text().contains("set PUBLIC_URL"), "{what}");
        }
    }
    assert!(looked_at > 10, "{looked_at}");
    for (host, expected) in [
        ("localhost", 201),
        ("localhost:8080", 201),
        ("game.localhost", 201),
        ("[::1]:8080", 201),
        ("192.0.2.7", 201),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
    ] {
        let origin = format!("http://{host}");
        let reply = ask_at(&site, host, "POST", "/session", &[("Origin", &origin)]);
        assert_eq!(reply.status, expected, "{host}");
    }
    // What no browser sends is no page's.
    let raw = ask_at(&site, "evil.example", "POST", "/session", &[]);
    assert_eq!(raw.status, 201);
}

#[test]
fn with_a_public_address_the_name_is_ours() {
    let engine = FakeEngine::start();
    let public = ["--public-url", "http://play.example:8080"];
    let site = Site::start(&engine.docker_host(), &public);
    let create = |host, origin| ask_at(&site, host, "POST", "/session", &[("Origin", origin)]);
    let ours = create("play.example:8080", "http://play.example:8080");
    assert_eq!(ours.status, 201, "{ours:?}");
    let evil = create("evil.example", "http://evil.example");
    assert_eq!((evil.status, evil.code().as_str()), (403, "foreign_origin"));
}
