//! Whose a session is, where nobody signs up: the owner by cookie, token or ticket, and nobody else.

use fake_engine::FakeEngine;
use serde_json::json;
use shellcraft::auth::{CookieKey, PlayerSecret, digest};
use shellcraft::http::route::TABLE;

use crate::site::{ADMIN_TOKEN, COOKIE_KEY, Client, Game, Reply, Site, cookie_of, wait_for};

const UNKNOWN: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
const BOOK: &str = "/home/spellbook.dat";

fn site() -> (FakeEngine, Site) {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    (engine, site)
}

/// A new game of the browser with this cookie, and the cookie that it has then.
#[track_caller]
fn start(client: &Client, cookie: &str) -> (Game, String) {
    let reply = client.request("POST", "/session", &[("Cookie", cookie)], b"");
    assert_eq!(reply.status, 201, "{reply:?}");
    (Game::of(&reply), cookie_in(&reply))
}

fn cookie_in(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie");
    set.split(';').next().expect("a pair").to_owned()
}

/// All that tells two answers apart, but for what differs between any two.
fn seen(reply: &Reply, id: &str) -> (u16, Vec<(String, String)>, String) {
    let differs = |(name, _): &(String, String)| !["x-request-id", "date"].contains(&name.as_str());
    let headers = reply.headers.iter().filter(|header| differs(header));
    let body = reply.text().replace(id, "{id}");
    (reply.status, headers.cloned().collect(), body)
}

/// Asks for a session's route as somebody.
fn ask(client: &Client, method: &str, pattern: &str, id: &str, who: &[(&str, &str)]) -> Reply {
    let path = pattern.replace("{id}", id);
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let headers = match pattern.ends_with("/ws") {
        true => [who, &upgrade].concat(),
        false => who.to_vec(),
    };
    client.request(method, &path, &headers, b"")
}

/// The heart of the matter: every route of a session, asked by everybody who is not its owner.
#[test]
fn somebody_else_s_session_is_one_that_does_not_exist() {
    let (engine, site) = site();
    let (mine, _) = start(&site, "a=b");
    let (theirs, their_cookie) = start(&site, "a=b");
    let stranger = site.stranger();
    let their_token = theirs.authorization();
    let own_ticket = stranger.request(
        "POST",
        &theirs.path("/ticket"),
        &[("Authorization", &their_token)],
        b"",
    );
    let own_ticket = own_ticket.json()["ticket"]
        .as_str()
        .expect("a ticket")
        .to_owned();
    for (method, pattern) in TABLE.iter().filter(|(_, pattern)| pattern.contains("{id}")) {
        for who in [
            &[][..],
            &[("Cookie", "shellcraft_player=planted")],
            &[("Cookie", their_cookie.as_str())],
            &[("Authorization", their_token.as_str())],
            &[("Authorization", "Bearer ")],
            &[("Authorization", "Basic eDp5")],
            // What a token is compared with is no token.
            &[("Authorization", &format!("Bearer {}", digest(&mine.token)))],
        ] {
            let asked = ask(&stranger, method, pattern, &mine.id, who);
            let unknown = ask(&stranger, method, pattern, UNKNOWN, who);
            assert_eq!(asked.status, 404, "{method} {pattern} {who:?}");
            assert_eq!(
                seen(&asked, &mine.id),
                seen(&unknown, UNKNOWN),
                "{method} {pattern}"
            );
        }
    }
    let ws = mine.path(&format!("/ws?ticket={own_ticket}"));
    assert_eq!(
        stranger.open(&ws, &[]).err(),
        Some(404),
        "a ticket for another session"
    );
    let status = site.get(&mine.path("/status"));
    assert_eq!(
        (status.status, &status.json()["recording"]),
        (200, &json!(false))
    );
    assert_eq!(engine.containers().len(), 2, "nobody has ended anything");
}

#[test]
fn the_owner_is_known_by_cookie_token_and_ticket_and_so_is_the_operator() {
    let (_engine, site) = site();
    let (game, cookie) = start(&site, "a=b");
    let stranger = site.stranger();
    let operator = format!("Bearer {ADMIN_TOKEN}");
    for who in [
        ("Cookie", cookie.as_str()),
        ("Authorization", &game.authorization()),
        ("Authorization", &operator),
    ] {
        for path in ["/status", "/connect", "/spellbook"] {
            let reply = stranger.request("GET", &game.path(path), &[who], b"");
            assert_eq!(reply.status, 200, "{path} {who:?}");
        }
        let mut player = stranger
            .open(&game.path("/ws"), &[who])
            .expect("a terminal");
        player.expect("$ ");
    }
    // What is sent outright counts alone.
    let both = [
        ("Cookie", cookie.as_str()),
        ("Authorization", "Bearer wrong"),
    ];
    assert_eq!(
        stranger
            .request("GET", &game.path("/status"), &both, b"")
            .status,
        404
    );
}

#[test]
fn a_ticket_opens_one_terminal() {
    let (_engine, site) = site();
    let created = site.post("/session", "").json();
    let stranger = site.stranger();
    let path = |url: &serde_json::Value| {
        let url = url.as_str().expect("an address");
        format!("/{}", url.splitn(4, '/').nth(3).expect("a path"))
    };
    let ws = path(&created["ws_url"]);
    // What is no handshake uses nothing up.
    assert_eq!(stranger.get(&ws).status, 426);
    assert_eq!(
        stranger
            .open(&ws, &[("Origin", "http://evil.example")])
            .err(),
        Some(403)
    );
    let mut player = stranger.open(&ws, &[]).expect("the first time");
    player.expect("$ ");
    assert_eq!(stranger.open(&ws, &[]).err(), Some(404), "a replay");
    player.type_in("echo on\r");
    player.expect("on");
    // Another one, for whoever has the session.
    let game = created["session_id"].as_str().expect("an id");
    let more = site.post(&format!("/session/{game}/ticket"), "");
    assert_eq!(more.status, 201, "{more:?}");
    let ws = path(&more.json()["ws_url"]);
    assert!(ws.contains(more.json()["ticket"].as_str().expect("a ticket")));
    // It is for the terminal only.
    let status = ws.replace("/ws?", "/status?");
    assert_eq!(stranger.get(&status).status, 404);
    stranger
        .open(&ws, &[])
        .expect("the first time")
        .expect("$ ");
    let status = site.get(&format!("/session/{game}/status")).json();
    assert!(
        !status["ws_url"]
            .as_str()
            .expect("an address")
            .contains("ticket")
    );
}

#[test]
fn a_planted_cookie_is_not_taken_for_a_player() {
    let (engine, site) = site();
    let (_, honest) = start(&site, "a=b");
    let value = honest.split_once('=').expect("a pair").1;
    let other_key = CookieKey::new(&[1; 32]).sign(&PlayerSecret::random());
    let (text, _) = value.rsplit_once('.').expect("a signature");
    let secret = text.split_once('.').expect("a kind").1;
    for planted in ["fixed", &"ab".repeat(32), &other_key, text, secret] {
        let cookie = format!("shellcraft_player={planted}");
        let (_, new) = start(&site, &cookie);
        assert!(!new.contains(planted), "{planted} was taken over: {new}");
        assert_ne!(new, honest);
    }
    // Of two players in one browser one is planted, and nobody knows which.
    let (_, second) = start(&site, "a=b");
    let (_, new) = start(&site, &format!("{honest}; {second}"));
    assert!(new != honest && new != second);
    // Behind TLS a cookie without the name that only this host can set is not looked at.
    drop(site);
    let tls = [
        "--public-url",
        "https://play.example",
        "--cookie-key",
        COOKIE_KEY,
    ];
    let site = Site::start(&engine.docker_host(), &tls);
    let tossed = cookie_of(&"ab".repeat(32));
    let (_, new) = start(&site, &tossed);
    assert!(new.starts_with("__Host-shellcraft_player=2."), "{new}");
    assert!(!new.contains(&"ab".repeat(32)));
    let host = tossed.replace("shellcraft_player", "__Host-shellcraft_player");
    let (_, again) = start(&site, &host);
    assert_eq!(again, host);
}

/// Cookies were not signed once. Whoever has such a one and a book keeps the book, and the session.
#[test]
fn a_player_of_old_keeps_the_book() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let secret = "0123456789abcdef".repeat(4);
    let life = site.leave();
    let folder = life
        .data_dir()
        .join(format!("books/anon-{}", digest(&secret)));
    std::fs::create_dir_all(&folder).expect("a directory");
    let book = "hi\techo hello\n";
    let name = format!("00000001.{}.book", digest(book));
    std::fs::write(folder.join(name), book).expect("written");
    let site = Site::start_in(life, &engine.docker_host(), &[]);
    let old = format!("shellcraft_player={secret}");
    let (game, new) = start(&site, &old);
    assert!(new.starts_with("shellcraft_player=1."), "{new}");
    let container = format!("shellcraft-{}", game.id);
    let (found, _) = engine.read_file(&container, BOOK).expect("a book");
    assert_eq!(found, book.as_bytes());
    // A page that was open meanwhile goes on with what it has.
    for cookie in [&old, &new] {
        let headers = [("Cookie", cookie.as_str())];
        let status = site.request("GET", &game.path("/status"), &headers, b"");
        assert_eq!(status.status, 200, "{cookie}");
    }
    let (_, kept) = start(&site, &new);
    assert_eq!(kept, new);
}

#[test]
fn owners_are_known_in_the_server_s_next_life() {
    let (engine, site) = site();
    let (game, cookie) = start(&site, "a=b");
    let site = Site::start_in(site.leave(), &engine.docker_host(), &[]);
    wait_for("the session to be taken over", || {
        site.get(&game.path("/status")).status == 200
    });
    let as_player = |cookie: &str| {
        let headers = [("Cookie", cookie)];
        site.request("GET", &game.path("/status"), &headers, b"")
            .status
    };
    assert_eq!(as_player(&cookie), 200);
    assert_eq!(site.stranger().get(&game.path("/status")).status, 404);
    let (_, again) = start(&site, &cookie);
    assert_eq!(again, cookie, "the key is kept");
    let life = site.life();
    let key = life.data_dir().join("cookie.key");
    use std::os::unix::fs::PermissionsExt;
    let mode = key.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn logging_out_closes_terminals_and_forgets_the_player() {
    let (engine, site) = site();
    let (game, cookie) = start(&site, "a=b");
    let (other, _) = start(&site, "a=b");
    let mine = [("Cookie", cookie.as_str())];
    let protocol = ("Sec-WebSocket-Protocol", "shellcraft.v1");
    let mut page = site
        .open(&game.path("/ws"), &[("Cookie", cookie.as_str()), protocol])
        .expect("a terminal");
    page.expect("$ ");
    let mut bystander = site.page(&other, None);
    let unused = site
        .request("POST", &game.path("/ticket"), &mine, b"")
        .json();
    let foreign = [mine[0], ("Origin", "http://evil.example")];
    assert_eq!(site.request("POST", "/logout", &foreign, b"").status, 403);
    let reply = site.request("POST", "/logout", &mine, b"");
    assert_eq!(reply.status, 204, "{reply:?}");
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(
        set.starts_with("shellcraft_player=; Path=/; Max-Age=0"),
        "{set}"
    );
    assert_eq!(page.close_code(), 1008);
    bystander.expect("$ ");
    bystander.type_in("echo here\r");
    bystander.expect("here");
    let ticket = unused["ticket"].as_str().expect("a ticket");
    let ws = game.path(&format!("/ws?ticket={ticket}"));
    assert_eq!(site.open(&ws, &[]).err(), Some(404), "tickets go with it");
    assert_eq!(engine.containers().len(), 2, "games go on");
    assert_eq!(site.stranger().post("/logout", "").status, 204);
}

#[test]
fn refusals_are_counted() {
    let (_engine, site) = site();
    let game = site.create("rust");
    let stranger = site.stranger();
    assert_eq!(stranger.get(&game.path("/status")).status, 404);
    assert_eq!(
        stranger.open(&game.path("/ws?ticket=x"), &[]).err(),
        Some(404)
    );
    start(&site, "shellcraft_player=planted");
    let evil = [("Origin", "null")];
    assert_eq!(stranger.request("POST", "/session", &evil, b"").status, 403);
    let operator = format!("Bearer {ADMIN_TOKEN}");
    let text = stranger.request("GET", "/metrics", &[("Authorization", &operator)], b"");
    for reason in ["not_owner", "bad_ticket", "bad_cookie", "foreign_origin"] {
        let line = format!("shellcraft_auth_failures_total{{reason=\"{reason}\"}} 1");
        assert!(text.text().contains(&line), "{line}");
    }
}

/// Nobody logs in anywhere there, so a player who is revoked is gone for good: the cookie makes a new one, and the
/// session's token opens nothing.
#[test]
fn an_anonymous_player_who_is_revoked_is_a_new_one() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let stranger = site.stranger();
    let created = stranger.post("/session", "");
    let set = created.header("set-cookie").expect("a cookie").to_owned();
    let cookie = set.split(';').next().expect("a value");
    let mine = [("Cookie", cookie)];
    let body = created.json();
    let id = body["session_id"].as_str().expect("an id");
    let token = format!("Bearer {}", body["token"].as_str().expect("a token"));
    let token = [("Authorization", token.as_str())];
    let (status, ws) = (format!("/session/{id}/status"), format!("/session/{id}/ws"));
    let ask = |headers: &[(&str, &str)]| stranger.request("GET", &status, headers, b"").status;
    assert_eq!((ask(&mine), ask(&token)), (200, 200));
    let book = format!("/session/{id}/spellbook");
    let put = stranger.request("PUT", &book, &mine, b"mine\n");
    assert_eq!(put.status, 204, "{put:?}");
    let versions = |headers: &[(&str, &str)]| {
        let reply = stranger.request("GET", "/spellbook", headers, b"").json();
        reply["versions"].as_array().expect("a list").clone()
    };
    let sha256 = versions(&mine)[0]["sha256"]
        .as_str()
        .expect("a name")
        .to_owned();
    let version = format!("/spellbook/{sha256}");
    let mut page = stranger.open(&ws, &mine).expect("a terminal");
    page.expect("$ ");
    let operator = format!("Bearer {ADMIN_TOKEN}");
    let operator = [("Authorization", operator.as_str())];
    let sessions = stranger.request("GET", "/sessions", &operator, b"").json();
    let player = sessions["sessions"][0]["player"]
        .as_str()
        .expect("a name")
        .to_owned();
    let revoked = format!("/admin/revoked/{player}");
    assert_eq!(
        stranger.request("PUT", &revoked, &operator, b"").status,
        200
    );
    assert_eq!(page.close_code(), 1008);
    assert_eq!((ask(&mine), ask(&token), ask(&operator)), (404, 404, 200));
    assert!(versions(&mine).is_empty());
    for method in ["GET", "POST"] {
        let reply = stranger.request(method, &version, &mine, b"");
        assert_eq!(reply.status, 404, "{method}: {reply:?}");
    }
    assert!(stranger.open(&ws, &mine).is_err());
    let ticket = body["ws_url"].as_str().expect("an address");
    let ticket = ticket.split_once('?').expect("a ticket").1;
    assert!(stranger.open(&format!("{ws}?{ticket}"), &[]).is_err());
    let created = stranger.request("POST", "/session", &mine, b"");
    assert_eq!(created.status, 201);
    let other = created.header("set-cookie").expect("another cookie");
    assert_ne!(other.split(';').next(), Some(cookie));
    assert_eq!(
        stranger.request("DELETE", &revoked, &operator, b"").status,
        204
    );
    assert_eq!((ask(&mine), ask(&token)), (200, 200));
}
