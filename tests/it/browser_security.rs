//! What a browser is told about every answer, and which pages may act on us: read off the route table, so that a new
//! route is looked at too.

use fake_engine::FakeEngine;
use shellcraft::http::route::TABLE;

use crate::site::{Game, Reply, Site, wait_for};

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
        .replace("{player}", "anna")
}

#[track_caller]
fn check_headers(reply: &Reply, what: &str, is_https: bool) {
    for (name, expected) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
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

const SCHOOL: &str = "https://school.example";

/// What the answer lets pages of other origins read, and on which terms.
fn sharing(reply: &Reply) -> [Option<&str>; 4] {
    let told = |name| reply.header(name);
    [
        told("access-control-allow-origin"),
        told("access-control-allow-credentials"),
        told("access-control-expose-headers"),
        // Behind the encoding, by which pages and assets vary as well.
        varies(reply).pop(),
    ]
}

fn varies(reply: &Reply) -> Vec<&str> {
    let of_that_name = reply.headers.iter().filter(|(name, _)| name == "vary");
    of_that_name.map(|(_, value)| value.as_str()).collect()
}

const SHARED: [Option<&str>; 4] = [
    Some(SCHOOL),
    Some("true"),
    Some("Location, Retry-After, X-Request-Id"),
    Some("Origin"),
];

/// Errors too, whoever gives them: a page that can't read why it was refused can't tell its player.
#[test]
fn pages_of_allowed_origins_may_read_every_answer() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--allowed-origins", SCHOOL]);
    let game = site.create("rust");
    let school = ("Origin", SCHOOL);
    for (method, pattern) in TABLE {
        // Terminals are no answers, and assets are asked for below.
        if pattern.ends_with("/ws") || pattern.contains("/assets/") || method == "DELETE" {
            continue;
        }
        let path = path(pattern, &game);
        let what = format!("{method} {path}");
        for who in [&*site, &site.stranger()] {
            let reply = who.request(method, &path, &[school], b"");
            assert_eq!(sharing(&reply), SHARED, "{what}: {reply:?}");
            for other in ["https://evil.example", "http://school.example", "null"] {
                let reply = who.request(method, &path, &[("Origin", other)], b"");
                let expected = [None, None, None, Some("Origin")];
                assert_eq!(sharing(&reply), expected, "{what} for {other}");
            }
        }
    }
    let body = vec![b'x'; 100_000];
    for (method, path) in [
        ("GET", "/nothing"),
        ("PATCH", "/session"),
        ("POST", "/session"),
    ] {
        let reply = site.request(method, path, &[school], &body);
        assert!(reply.status >= 400);
        assert_eq!(sharing(&reply), SHARED, "{method} {path}");
    }
    let asset = site.request("GET", "/assets/style.css", &[school], b"");
    assert_eq!(sharing(&asset), SHARED);
    assert_eq!(varies(&asset), ["Accept-Encoding", "Origin"]);
    // What a big book's upload is answered with, on the connection's own thread.
    let book = vec![b'x'; 200_000];
    let headers = [school, ("Content-Type", "application/octet-stream")];
    let put = site.request("PUT", &game.path("/spellbook"), &headers, &book);
    assert_eq!((put.status, sharing(&put)), (204, SHARED), "{put:?}");
    drop(site);
    let site = Site::start(&engine.docker_host(), &[]);
    let reply = site.request("GET", "/healthz", &[school], b"");
    assert_eq!(sharing(&reply), [None; 4], "nobody is allowed");
}

/// The door gives these by itself, before anybody has looked the request up.
#[test]
fn the_door_s_own_answers_can_be_read_too() {
    let engine = FakeEngine::start();
    let flags = [
        "--allowed-origins",
        SCHOOL,
        "--connections-per-address",
        "1",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let site = Site::start(&engine.docker_host(), &flags);
    let client = ("X-Forwarded-For", "203.0.113.9");
    let game = site.request("POST", "/session", &[client], b"");
    let game = Game::of(&game);
    let bearer = game.authorization();
    let headers = [client, ("Authorization", bearer.as_str())];
    let mut terminal = None;
    wait_for("the last connection's place", || {
        terminal = site.open(&game.path("/ws"), &headers).ok();
        terminal.is_some()
    });
    let headers = [client, ("Origin", SCHOOL)];
    let refused = site.request("GET", "/healthz", &headers, b"");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "too_many_connections")
    );
    assert_eq!(sharing(&refused), SHARED);
}

/// What the server answers to the question whether a page of that origin may send that request.
fn preflight(site: &Site, path: &str, origin: &str, method: &str) -> Reply {
    // Not `request`: /openapi.json has no OPTIONS, which no client sends by itself.
    let asked = format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n\
         Access-Control-Request-Headers: authorization,content-type,x-queue-ticket\r\n\r\n",
        site.address
    );
    site.exchange(asked.as_bytes())
}

#[test]
fn browsers_may_ask_beforehand_for_allowed_origins_only() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--allowed-origins", SCHOOL]);
    let game = site.create("rust");
    for (method, pattern) in TABLE {
        let path = path(pattern, &game);
        let reply = preflight(&site, &path, SCHOOL, method);
        let what = format!("{method} {path}: {reply:?}");
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{what}");
        assert_eq!(sharing(&reply), SHARED, "{what}");
        let methods = reply
            .header("access-control-allow-methods")
            .unwrap_or_default();
        assert!(
            methods.split(", ").any(|allowed| allowed == method),
            "{what}"
        );
        assert_eq!(
            reply.header("access-control-allow-headers"),
            Some("Authorization, Content-Type, X-Queue-Ticket")
        );
        assert_eq!(reply.header("access-control-max-age"), Some("600"));
        for other in [
            "https://evil.example",
            "null",
            "https://school.example.evil.example",
        ] {
            let reply = preflight(&site, &path, other, method);
            assert_eq!(reply.status, 204, "{other}: {reply:?}");
            assert!(
                !format!("{reply:?}").contains("access-control"),
                "{reply:?}"
            );
        }
    }
    assert_eq!(preflight(&site, "/nothing", SCHOOL, "GET").status, 404);
    let plain = format!("OPTIONS /session HTTP/1.1\r\nHost: a\r\nOrigin: {SCHOOL}\r\n\r\n");
    let reply = site.exchange(plain.as_bytes());
    assert_eq!((reply.status, reply.header("allow")), (204, Some("POST")));
    assert_eq!(engine.containers().len(), 1, "nothing was done");
}

/// Beside a private address the public one has no operator's routes, for nobody who asks beforehand either.
#[test]
fn asking_beforehand_finds_no_operator_s_routes() {
    let engine = FakeEngine::start();
    let flags = ["--allowed-origins", SCHOOL, "--metrics-bind", "127.0.0.1:0"];
    let site = Site::start(&engine.docker_host(), &flags);
    assert_eq!(preflight(&site, "/sessions", SCHOOL, "GET").status, 404);
    assert_eq!(preflight(&site, "/session", SCHOOL, "POST").status, 204);
}

/// Who may have the answer in a frame, in both ways of saying it.
fn framing(reply: &Reply) -> (&str, Option<&str>) {
    let policy = reply.header("content-security-policy").expect("a policy");
    let (_, ancestors) = policy.split_once("frame-ancestors ").expect("it says so");
    let ancestors = ancestors.split(';').next().unwrap_or_default();
    (ancestors, reply.header("x-frame-options"))
}

#[test]
fn players_pages_may_be_in_frames_of_those_that_the_operator_names() {
    let engine = FakeEngine::start();
    for (setting, ancestors, options) in [
        ("none", "'none'", Some("DENY")),
        ("self", "'self'", Some("SAMEORIGIN")),
        (
            "self,https://school.example",
            "'self' https://school.example",
            None,
        ),
    ] {
        let flags = ["--frame-ancestors", setting];
        let site = Site::start(&engine.docker_host(), &flags);
        let game = site.create("rust");
        let link = site.post(&game.path("/watch"), "").json();
        let link = link["watch_url"].as_str().expect("a link").to_owned();
        let watch = format!("/watch/{}", link.rsplit('/').next().expect("a secret"));
        let html = [("Accept", "text/html")];
        for path in ["/", &game.path("/connect"), &watch, "/watch/nobody-s"] {
            let page = site.request("GET", path, &html, b"");
            assert_eq!(framing(&page), (ancestors, options), "{path} {setting}");
        }
        // The operator's page never, nor what is no page.
        for path in [
            "/admin",
            "/healthz",
            "/assets/style.css",
            &game.path("/status"),
        ] {
            let reply = site.request("GET", path, &html, b"");
            assert_eq!(
                framing(&reply),
                ("'none'", Some("DENY")),
                "{path} {setting}"
            );
        }
    }
}
