//! Several servers behind a real nginx and a real Caddy, each with the very configuration that the README gives, which sends
//! each request to the next server.

use std::net::SocketAddr;
use std::path::Path;

use crate::containers::own_address;
use crate::fleet_support::{Fleet, Member, wait_until_known};
use crate::proxy::{Caddy, Nginx};
use crate::site::{COOKIE_KEY, Client, Life, cookie_of, wait_for};

/// The servers' addresses in the README.
const README_SERVERS: [&str; 3] = ["10.0.0.5:8080", "10.0.0.6:8080", "10.0.0.7:8080"];

/// The block of the README's chapter on fleets in this language, with these servers in place of those that it names, and
/// with other changes that the test needs.
fn readme_block(language: &str, members: &[Member], changes: &[(&str, &str)]) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("a README");
    let (_, chapter) = readme.split_once("\n### More than one host\n").expect("it");
    let (_, rest) = chapter
        .split_once(&format!("```{language}\n"))
        .expect("a configuration");
    let (config, _) = rest.split_once("```").expect("its end");
    let mut config = config.to_owned();
    let here = members.iter().map(|member| member.site.address.to_string());
    let here: Vec<String> = here.collect();
    let servers = README_SERVERS
        .into_iter()
        .zip(here.iter().map(String::as_str));
    for (readme_says, here) in servers.chain(changes.iter().copied()) {
        assert!(config.contains(readme_says), "{readme_says}: {config}");
        config = config.replace(readme_says, here);
    }
    config
}

/// Three servers that know each other.
fn three(fleet: &Fleet) -> Vec<Member> {
    let flags = [
        "--trusted-proxies",
        "127.0.0.1",
        "--cookie-key",
        COOKIE_KEY,
        "--save-interval",
        "1s",
    ];
    let members: Vec<Member> = (0..3).map(|_| fleet.start_with("secret", &flags)).collect();
    for home in &members {
        let game = home.site.create("rust");
        for front in &members {
            wait_until_known(&front.site, &game.path("/status"));
        }
        assert_eq!(home.site.delete(&game.path("")).status, 204);
    }
    members
}

/// Plays through the proxy before these servers, and goes on when one of them has left.
fn play(mut members: Vec<Member>, proxy: SocketAddr) {
    let through = Client::at(proxy);
    let games: Vec<_> = (0..6).map(|_| through.create("rust")).collect();
    for member in &members {
        assert!(!member.engine.containers().is_empty(), "not round robin");
    }
    let mut offsets = vec![None; games.len()];
    for round in 0..4 {
        for (game, offset) in games.iter().zip(&mut offsets) {
            assert_eq!(through.get(&game.path("/status")).status, 200);
            let mut page = through.page(game, *offset);
            page.type_in(&format!("echo round {round}\r"));
            page.expect(&format!("\r\nround {round}\r\n$ "));
            let earlier = format!("round {}", round - 1);
            let seen = String::from_utf8_lossy(&page.seen).into_owned();
            assert!(!seen.contains(&earlier), "a byte came twice: {seen}");
            *offset = Some(page.offset);
        }
    }
    // A player whose book is saved.
    let cookie = cookie_of(&"7".repeat(64));
    let player = [("Cookie", cookie.as_str())];
    let mine = members[0].site.request("POST", "/session", &player, b"{}");
    assert_eq!(mine.status, 201, "{mine:?}");
    let mine = mine.json()["session_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let book = b"far\techo away\n";
    let path = format!("/session/{mine}/spellbook");
    assert_eq!(through.request("PUT", &path, &player, book).status, 204);
    wait_for("the book to be saved", || {
        let list = through.request("GET", "/spellbook", &player, b"").json();
        list["versions"][0]["bytes"] == book.len()
    });
    let gone = members.remove(0);
    // Its third group says where a session is.
    let home = |id: &str| id.split('-').nth(2).map(str::to_owned);
    let (its, others): (Vec<_>, Vec<_>) =
        games.iter().partition(|game| home(&game.id) == home(&mine));
    assert_eq!((its.len(), others.len()), (2, 4));
    let _life: Life = gone.site.leave();
    // Caddy 2.6 can't send a body a second time, so it says 502 until its health check has noticed: then no server's turn
    // is missed. A shell that is not there is refused by whichever server is asked.
    let is_served = || {
        let reply = through.try_request("POST", "/session", &[], br#"{"shell":"none"}"#);
        reply.is_some_and(|reply| reply.status == 422)
    };
    wait_for("the proxy to notice", || (0..6).all(|_| is_served()));
    for _ in 0..3 {
        for game in &others {
            assert_eq!(through.get(&game.path("/status")).status, 200);
            let mut page = through.page(game, None);
            page.type_in("echo without one\r");
            page.expect("\r\nwithout one\r\n");
        }
        for game in &its {
            let away = through.get(&game.path("/status"));
            assert_eq!((away.status, away.code().as_str()), (503, "home_away"));
        }
        through.create("rust");
    }
    // The player plays on at another server, with what was saved last.
    let next = through.request("POST", "/session", &player, b"{}");
    assert_eq!(next.status, 201, "{next:?}");
    let next = next.json()["session_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/session/{next}/spellbook");
    assert_eq!(through.request("GET", &path, &player, b"").body, book);
}

#[test]
fn any_request_may_come_to_any_server_through_nginx() {
    let fleet = Fleet::new();
    let members = three(&fleet);
    let address = own_address();
    let listen = format!("listen {address};");
    let changes = [("listen 443 ssl;", listen.as_str())];
    let config = readme_block("nginx", &members, &changes);
    let directory = tempfile::tempdir().expect("a directory");
    let nginx = Nginx::start_with(&config, address, directory);
    play(members, nginx.address);
}

#[test]
fn any_request_may_come_to_any_server_through_caddy() {
    let fleet = Fleet::new();
    let members = three(&fleet);
    let address = own_address();
    let site = format!("http://{address} {{");
    let changes = [("play.example.org {", site.as_str())];
    let config = readme_block("caddyfile", &members, &changes);
    let config = format!("{{\n\tadmin off\n}}\n{config}");
    let directory = tempfile::tempdir().expect("a directory");
    let _caddy = Caddy::start_with(&config, address, directory);
    play(members, address);
}
