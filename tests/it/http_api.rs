//! The HTTP contract: statuses, bodies, errors, and what bad input gets.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use fake_engine::FakeEngine;
use serde_json::json;

use crate::site::{ADMIN_TOKEN, Site, wait_for};

fn site() -> (FakeEngine, Site) {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    wait_for("the start to be over", || site.get("/readyz").status == 200);
    (engine, site)
}

#[test]
fn health_never_touches_the_engine() {
    let (engine, site) = site();
    // Counting calls would count those that the start still makes in the background.
    engine.hang("SystemPing");
    let reply = site.get("/healthz");
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    engine.release("SystemPing");
}

/// A proxy that heeded the Engine's absence would cut off those who play.
#[test]
fn a_balancer_hears_of_the_server_s_own_reasons_only() {
    let (engine, site) = site();
    engine.stop_listening();
    wait_for("the Engine's absence to be told", || {
        site.get("/readyz").text().contains("engine_unavailable")
    });
    let balancer = site.get("/readyz?for=balancer");
    assert_eq!((balancer.status, balancer.text().as_str()), (200, "ok"));
    for other in ["", "players", "balancers"] {
        let refused = site.get(&format!("/readyz?for={other}"));
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "bad_query")
        );
    }
    engine.start_listening();
}

#[test]
fn a_session_from_start_to_end() {
    let (engine, site) = site();
    let created = site.post("/session", "");
    assert_eq!(created.status, 201, "{created:?}");
    let body = created.json();
    let id = body["session_id"].as_str().expect("an id");
    assert_eq!(
        created.header("location"),
        Some(format!("/session/{id}/status").as_str())
    );
    assert_eq!(
        (&body["shell"], &body["status"]),
        (&json!("rust"), &json!("running"))
    );
    let ws_url = format!("ws://{}/session/{id}/ws?ticket=", site.address);
    assert!(
        body["ws_url"]
            .as_str()
            .is_some_and(|url| url.starts_with(&ws_url)),
        "{body}"
    );
    assert_eq!(
        body["connect_url"],
        format!("http://{}/session/{id}/connect", site.address)
    );
    assert!(
        body["token"]
            .as_str()
            .is_some_and(|token| token.len() == 64),
        "{body}"
    );
    assert!(
        body["expires_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z')),
        "{body}"
    );

    let status = site.get(&format!("/session/{id}/status"));
    assert_eq!(
        (status.status, &status.json()["status"]),
        (200, &json!("running"))
    );
    assert!(
        !status
            .text()
            .contains(body["token"].as_str().expect("a token")),
        "the token is told once"
    );
    let page = site.get(&format!("/session/{id}/connect"));
    assert_eq!(page.status, 200);
    for part in [id, "data-ws-url=\"ws://", "/assets/terminal.js?v="] {
        assert!(page.text().contains(part), "{part}");
    }
    assert_eq!(engine.containers().len(), 1);

    assert_eq!(site.delete(&format!("/session/{id}")).status, 204);
    assert!(
        engine.containers().is_empty(),
        "the container is removed when DELETE answers"
    );
    let again = site.delete(&format!("/session/{id}"));
    assert_eq!(
        (again.status, again.code().as_str()),
        (404, "session_not_found")
    );
    let status = site.get(&format!("/session/{id}/status"));
    assert_eq!(
        (status.status, &status.json()["status"]),
        (404, &json!("missing"))
    );
    assert_eq!(site.get(&format!("/session/{id}/connect")).status, 404);
}

#[test]
fn the_shell_is_the_one_asked_for() {
    let (engine, site) = site();
    let game = site.create("perl");
    assert_eq!(site.get(&game.path("/status")).json()["shell"], "perl");
    assert_eq!(engine.containers()[0].image_name, "shellcraft/perl:latest");
}

#[test]
fn a_stopped_session_tells_how_it_ended() {
    let (engine, site) = site();
    let game = site.create("rust");
    engine.exit(&format!("shellcraft-{}", game.id), 7);
    wait_for("the container to be removed", || {
        engine.containers().is_empty()
    });
    wait_for("the end to be known", || {
        site.get(&game.path("/status")).json()["status"] == "stopped"
    });
    let body = site.get(&game.path("/status")).json();
    assert_eq!(
        (&body["exit_code"], &body["reason"]),
        (&json!(7), &json!("exited")),
        "{body}"
    );
    // Stopped is told at once, and over it is when its book is safe.
    wait_for("it to be over", || {
        let reply = site.get(&game.path("/connect"));
        reply.status == 410 && reply.code() == "session_over"
    });
}

#[test]
fn a_container_that_vanished_is_missing_with_200() {
    let (engine, site) = site();
    let game = site.create("rust");
    engine.lose(&format!("shellcraft-{}", game.id));
    wait_for("the loss to be known", || {
        site.get(&game.path("/status")).json()["status"] == "missing"
    });
    assert_eq!(site.get(&game.path("/status")).status, 200);
    assert_eq!(site.delete(&game.path("")).status, 204);
}

#[test]
fn out_of_memory_is_told() {
    let (engine, site) = site();
    let game = site.create("rust");
    engine.run_out_of_memory(&format!("shellcraft-{}", game.id));
    wait_for("the end", || {
        site.get(&game.path("/status")).json()["reason"] == "out_of_memory"
    });
}

#[test]
fn bad_input_gets_a_clear_error_and_changes_nothing() {
    let (engine, site) = site();
    let unknown = "/session/f47ac10b-58cc-4372-a567-0e02b2c3d479";
    for (request, status, code) in [
        ("GET /nothing", 404, "not_found"),
        ("GET /session/1/status", 404, "session_not_found"),
        ("DELETE /session/..%2f..", 404, "session_not_found"),
        (&format!("DELETE {unknown}"), 404, "session_not_found"),
        (&format!("GET {unknown}/connect"), 404, "session_not_found"),
        (&format!("GET {unknown}/status"), 404, "session_not_found"),
        ("PUT /session", 405, "method_not_allowed"),
        ("DELETE /healthz", 405, "method_not_allowed"),
        ("GET /assets/../Cargo.toml", 404, "not_found"),
        ("GET /assets/nothing.js", 404, "not_found"),
    ] {
        let (method, path) = request.split_once(' ').expect("METHOD path");
        let reply = site.request(method, path, &[], b"");
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{request}"
        );
    }
    for (body, status, code) in [
        ("{", 400, "bad_json"),
        ("hello", 400, "bad_json"),
        ("\u{0}", 400, "bad_json"),
        ("[]", 400, "bad_body"),
        ("7", 400, "bad_body"),
        ("null", 400, "bad_body"),
        ("{\"shell\": 7}", 400, "bad_body"),
        ("{\"shell\": [\"rust\"]}", 400, "bad_body"),
        ("{\"shell\": \"bash\"}", 422, "unknown_shell"),
        ("{\"shell\": \"\"}", 422, "unknown_shell"),
        ("{\"shell\": \"../../rust\"}", 422, "unknown_shell"),
    ] {
        let reply = site.post("/session", body);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    assert_eq!(engine.calls("ContainerCreate"), 0);
    assert!(site.app().manager().list().is_empty());
}

#[test]
fn a_known_route_names_its_methods() {
    let (_engine, site) = site();
    assert_eq!(
        site.request("PUT", "/session", &[], b"").header("allow"),
        Some("POST")
    );
    assert_eq!(
        site.request("POST", "/healthz", &[], b"").header("allow"),
        Some("GET, HEAD")
    );
}

#[test]
fn bodies_have_a_limit() {
    let (_engine, site) = site();
    for length in [100_000_000u64, 1 << 40, 4_000_000_000_000] {
        for path in ["/session", "/healthz", "/nothing"] {
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\nx");
            let reply = site.exchange(head.as_bytes());
            assert_eq!(reply.status, 413, "{path} {length}");
        }
    }
    let head = "POST /session HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n".to_owned();
    assert_eq!(
        site.exchange((head + &"x".repeat(100_000)).as_bytes())
            .code(),
        "body_too_large"
    );
    assert_eq!(site.get("/healthz").status, 200);
}

#[test]
fn a_foreign_page_may_not_act() {
    let (engine, site) = site();
    let evil = ("Origin", "http://evil.example");
    let reply = site.request("POST", "/session", &[evil], b"");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "foreign_origin")
    );
    assert_eq!(engine.calls("ContainerCreate"), 0);
    let game = site.create("rust");
    assert_eq!(
        site.request("DELETE", &game.path(""), &[evil], b"").status,
        403
    );
    let own = format!("http://{}", site.address);
    assert_eq!(
        site.request("DELETE", &game.path(""), &[("Origin", own.as_str())], b"")
            .status,
        204
    );
}

#[test]
fn a_wrong_token_is_wrong() {
    let (_engine, site) = site();
    let (game, other) = (site.create("rust"), site.create("rust"));
    let with = |token: &str| {
        site.request(
            "GET",
            &game.path("/status"),
            &[("Authorization", token)],
            b"",
        )
        .status
    };
    assert_eq!(with(&format!("Bearer {}", game.token)), 200);
    assert_eq!(with(&format!("Bearer {ADMIN_TOKEN}")), 200);
    assert_eq!(with(&format!("Bearer {}", other.token)), 404);
    assert_eq!(with("Basic eDp5"), 404);
    let wrong = [("Authorization", "Bearer nothing")];
    assert_eq!(
        site.request("DELETE", &game.path(""), &wrong, b"").status,
        404
    );
    assert_eq!(site.get(&game.path("/status")).status, 200, "it lives on");
}

#[test]
fn only_the_operator_sees_all_sessions() {
    let (_engine, site) = site();
    let game = site.create("rust");
    assert_eq!(site.get("/sessions").code(), "unauthorized");
    let token = format!("Bearer {ADMIN_TOKEN}");
    let reply = site.request(
        "GET",
        "/sessions",
        &[("Authorization", token.as_str())],
        b"",
    );
    let sessions = reply.json()["sessions"].as_array().expect("a list").clone();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0]["session_id"], game.id.as_str());
    assert!(!reply.text().contains(&game.token));
}

#[test]
fn metrics_count() {
    let (engine, site) = site();
    let game = site.create("rust");
    engine.exit(&format!("shellcraft-{}", game.id), 0);
    wait_for("the end", || engine.containers().is_empty());
    let stopped = "shellcraft_sessions{shell=\"rust\",state=\"removed\"} 1";
    // The session's thread counts it as the last thing.
    let ended = "shellcraft_sessions_ended_total{reason=\"exited\"} 1";
    wait_for("the metrics to show it", || {
        let text = site.get("/metrics").text();
        text.contains(stopped) && text.contains(ended)
    });
    let text = site.get("/metrics").text();
    for line in [
        "shellcraft_sessions_created_total{shell=\"rust\"} 1",
        "shellcraft_engine_up 1",
        "shellcraft_http_requests_total{method=\"POST\",route=\"/session\",status=\"201\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn pages_and_assets_are_safe_to_show() {
    let (_engine, site) = site();
    let landing = site.get("/");
    assert_eq!(landing.status, 200);
    let policy = landing.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(landing.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(landing.header("cache-control"), Some("no-store"));
    let text = landing.text();
    let script = text
        .split('"')
        .find(|part| part.starts_with("/assets/landing.js"))
        .expect("a script");
    let asset = site.get(script);
    assert_eq!(asset.status, 200);
    assert_eq!(
        asset.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert!(
        asset
            .header("cache-control")
            .is_some_and(|cache| cache.contains("immutable")),
        "{asset:?}"
    );
    let etag = asset.header("etag").expect("a tag");
    let again = site.request("GET", script, &[("If-None-Match", etag)], b"");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let stale = site.get("/assets/landing.js?v=0");
    assert_eq!(stale.header("cache-control"), Some("no-cache"));
}

#[test]
fn people_get_a_page_for_an_error() {
    let (_engine, site) = site();
    let path = "/session/f47ac10b-58cc-4372-a567-0e02b2c3d479/connect";
    let reply = site.request("GET", path, &[("Accept", "text/html,*/*")], b"");
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("<!doctype html>"), "{}", reply.text());
}

#[test]
fn head_is_get_without_the_body() {
    let (_engine, site) = site();
    for path in ["/", "/healthz", "/readyz", "/metrics"] {
        let reply = site.request("HEAD", path, &[], b"");
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{path}");
    }
}

#[test]
fn the_public_url_and_trusted_proxies_make_the_address() {
    let engine = FakeEngine::start();
    let site = Site::start(
        &engine.docker_host(),
        &["--public-url", "https://play.example"],
    );
    let body = site.post("/session", "").json();
    assert!(
        body["ws_url"]
            .as_str()
            .is_some_and(|url| url.starts_with("wss://play.example/session/")),
        "{body}"
    );
    let site = Site::start(&engine.docker_host(), &["--trusted-proxies", "127.0.0.1"]);
    let body = site
        .request("POST", "/session", &[("X-Forwarded-Proto", "https")], b"")
        .json();
    assert!(
        body["ws_url"]
            .as_str()
            .is_some_and(|url| url.starts_with("wss://127.0.0.1:")),
        "{body}"
    );
}

/// A proxy in front may pass the path on whole or cut it off; what is sent out has it in both cases.
#[test]
fn below_a_path_every_address_has_it() {
    let engine = FakeEngine::start();
    let own = "https://play.example/a/shell";
    let flags = ["--public-url", "https://Play.example:443/a/shell/"];
    let site = Site::start(&engine.docker_host(), &flags);
    let ask = |request: &str, headers: &str| {
        let origin = "Origin: https://play.example\r\nAccept: text/html\r\n";
        let request = format!("{request} HTTP/1.1\r\nHost: a\r\n{origin}{headers}\r\n");
        site.exchange(request.as_bytes())
    };
    for below in ["", "/a/shell"] {
        let created = ask(&format!("POST {below}/session"), "");
        assert_eq!(created.status, 201, "{created:?}");
        let body = created.json();
        let id = body["session_id"].as_str().expect("an id");
        let location = format!("/a/shell/session/{id}/status");
        assert_eq!(created.header("location"), Some(location.as_str()));
        assert_eq!(body["connect_url"], format!("{own}/session/{id}/connect"));
        let ws_url = body["ws_url"].as_str().expect("an address");
        let expected = format!("wss://play.example/a/shell/session/{id}/ws?ticket=");
        assert!(ws_url.starts_with(&expected), "{ws_url}");
        let cookie = created.header("set-cookie").expect("a cookie");
        let expected = "__Host-shellcraft_player.a.shell=2.";
        assert!(cookie.starts_with(expected), "{cookie}");
        // Or no browser takes it.
        assert!(cookie.contains("; Path=/; "), "{cookie}");

        let (cookie, _) = cookie.split_once(';').expect("attributes");
        let cookie = format!("Cookie: {cookie}\r\n");
        let game = format!("{below}/session/{id}");
        let status = ask(&format!("GET {game}/status"), &cookie);
        assert_eq!(status.json()["connect_url"], body["connect_url"]);
        let page = ask(&format!("GET {game}/connect"), &cookie).text();
        let ws_url = format!("data-ws-url=\"wss://play.example/a/shell/session/{id}/ws\"");
        assert!(page.contains(&ws_url), "{page}");
        let recording = ask(&format!("POST {game}/recording"), &cookie).json();
        let expected = format!("{own}/session/{id}/recording");
        assert_eq!(recording["recording_url"], expected);
        let link = ask(&format!("POST {game}/watch"), &cookie).json();
        let watch_url = link["watch_url"].as_str().expect("an address");
        let secret = watch_url.strip_prefix(&format!("{own}/watch/"));
        let secret = secret.unwrap_or_else(|| panic!("{watch_url}"));
        let watch_ws = format!("wss://play.example/a/shell/watch/{secret}/ws");
        assert_eq!(link["ws_url"], watch_ws);
        let page = ask(&format!("GET {below}/watch/{secret}"), "").text();
        assert!(page.contains(&watch_ws), "{page}");

        let login = format!("Content-Length: {}\r\n", ADMIN_TOKEN.len() + 12);
        let body = format!("{login}\r\n{{\"token\":\"{ADMIN_TOKEN}\"}}");
        let login = ask(&format!("POST {below}/admin/login"), &body);
        let cookie = login.header("set-cookie").unwrap_or_default();
        let expected = "__Host-shellcraft_admin.a.shell=";
        assert!(cookie.starts_with(expected), "{login:?}");

        let document = ask(&format!("GET {below}/openapi.json"), "").json();
        assert_eq!(document["servers"][0]["url"], "/a/shell");
        let error = ask(&format!("GET {below}/nothing"), "");
        assert_eq!(error.status, 404);
        let home = "href=\"/a/shell/\"";
        assert!(error.text().contains(home), "{}", error.text());
    }
    for nothing in ["/a/shellsession", "/a/session", "/a/shell/a/shell/session"] {
        assert_eq!(ask(&format!("POST {nothing}"), "").status, 404, "{nothing}");
    }
    assert_eq!(ask("GET /a/shell", "").status, 200);
}

#[test]
fn assets_are_packed_for_those_who_can_unpack() {
    let (_engine, site) = site();
    let fetch = |encoding: &str, tag: &str| {
        let headers = [("Accept-Encoding", encoding), ("If-None-Match", tag)];
        site.request("GET", "/assets/terminal.js", &headers, b"")
    };
    let plain = fetch("gzip;q=0, identity", "\"other\"");
    assert_eq!(
        (plain.status, plain.header("content-encoding")),
        (200, None)
    );
    let packed = fetch("br, gzip;q=0.5", "\"other\"");
    assert_eq!(
        (packed.status, packed.header("content-encoding")),
        (200, Some("gzip"))
    );
    assert!(packed.body.len() * 3 < plain.body.len());
    assert!(unpack(&packed.body) == plain.body, "the same file");
    for reply in [&plain, &packed] {
        assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
        let length = reply.body.len().to_string();
        assert_eq!(reply.header("content-length"), Some(length.as_str()));
        let media_type = reply.header("content-type");
        assert_eq!(media_type, Some("text/javascript; charset=utf-8"));
    }
    let tags = [&plain, &packed].map(|reply| reply.header("etag").expect("a tag"));
    assert_ne!(tags[0], tags[1]);
    for (encoding, tag, status) in [
        ("gzip", tags[1], 304),
        ("gzip", tags[0], 200),
        ("identity", tags[0], 304),
        ("identity", tags[1], 200),
    ] {
        let reply = fetch(encoding, tag);
        assert_eq!(reply.status, status, "{encoding} {tag}");
        assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
    }
    assert_eq!(fetch("gzip", tags[1]).header("content-length"), None);
}

/// The pages themselves, and errors that are pages, too.
#[test]
fn pages_are_packed_for_those_who_can_unpack() {
    let (_engine, site) = site();
    for path in ["/", "/nothing"] {
        let fetch = |encoding: &str| {
            let headers = [("Accept", "text/html"), ("Accept-Encoding", encoding)];
            site.request("GET", path, &headers, b"")
        };
        let (plain, packed) = (fetch("identity"), fetch("gzip, deflate, br"));
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(packed.header("content-encoding"), Some("deflate"));
        assert_eq!(inflate(&packed.body), plain.body, "{path}");
        for reply in [plain, packed] {
            assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
        }
    }
}

#[test]
fn packed_files_have_no_address_of_their_own() {
    let (_engine, site) = site();
    for name in ["terminal.js.gz", "style.css.gz"] {
        let reply = site.get(&format!("/assets/{name}"));
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
    }
    let small = [("Accept-Encoding", "gzip")];
    let small = site.request("GET", "/assets/favicon.svg", &small, b"");
    assert_eq!(
        (small.header("content-encoding"), small.header("vary")),
        (None, None)
    );
}

/// What curl and browsers do with it.
fn inflate(packed: &[u8]) -> Vec<u8> {
    miniz_oxide::inflate::decompress_to_vec_zlib(packed).expect("zlib's format")
}

/// By the tool that every Debian has.
fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip runs");
    let (mut input, packed) = (gzip.stdin.take().expect("piped"), packed.to_vec());
    let feeding = thread::spawn(move || input.write_all(&packed));
    let output = gzip.wait_with_output().expect("gzip ends");
    feeding.join().expect("no panic").expect("gzip takes it");
    assert!(output.status.success());
    output.stdout
}

#[test]
fn a_server_on_ipv6_tells_addresses_that_work() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--bind", "::1"]);
    assert!(site.address.is_ipv6());
    let body = site.post("/session", "").json();
    let id = body["session_id"].as_str().expect("an id");
    let port = site.address.port();
    let ws_url = format!("ws://[::1]:{port}/session/{id}/ws?ticket=");
    assert!(
        body["ws_url"]
            .as_str()
            .is_some_and(|url| url.starts_with(&ws_url)),
        "{body}"
    );
    let origin = format!("http://[::1]:{port}");
    let mut player = site
        .open(&format!("/session/{id}/ws"), &[("Origin", &origin)])
        .expect("our own page may");
    player.type_in("echo six\r");
    player.expect("six");
}
