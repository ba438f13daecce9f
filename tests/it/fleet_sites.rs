//! Several servers behind one address, each with an Engine of its own: a session is served wherever its player comes.

use std::io::{Read, Write};
use std::net::TcpStream;

use fake_engine::FakeEngine;

use crate::fleet_support::{Fleet, wait_until_known};
use crate::site::{ADMIN_TOKEN, Life, Site, wait_for};

#[test]
fn a_session_is_served_wherever_its_player_comes() {
    let fleet = Fleet::new();
    let (home, front) = (fleet.start(), fleet.start());
    let game = home.site.create("rust");
    wait_until_known(&front.site, &game.path("/status"));
    // The same answer, but for what it says of this moment.
    let told = |site: &Site| site.get(&game.path("/status")).json()["status"].clone();
    assert_eq!(told(&front.site), told(&home.site));
    let mut page = front.site.page(&game, None);
    page.expect("$ ");
    page.type_in("echo far\r");
    page.expect("\r\nfar\r\n");
    // Its home sees one player, at the player's own address.
    let operator = [("Authorization", format!("Bearer {ADMIN_TOKEN}"))];
    let operator = operator
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let sessions = home.site.request("GET", "/sessions", &operator, b"").json();
    assert_eq!(sessions["sessions"][0]["peer"], "127.0.0.1", "{sessions}");
    // A book in a request's body, and back.
    let book = b"far\techo away\n";
    let put = front
        .site
        .request("PUT", &game.path("/spellbook"), &[], book);
    assert_eq!(put.status, 204, "{put:?}");
    assert_eq!(home.site.get(&game.path("/spellbook")).body, book);
    assert_eq!(front.site.get(&game.path("/spellbook")).body, book);
    assert_eq!(front.site.delete(&game.path("")).status, 204);
    assert_eq!(page.close_code(), 4002);
    assert!(home.engine.containers().is_empty() && front.engine.containers().is_empty());
    assert_eq!(front.site.get(&game.path("/status")).status, 404);
}

#[test]
fn a_page_goes_on_through_another_front_at_the_same_byte() {
    let fleet = Fleet::new();
    let (home, one, two) = (fleet.start(), fleet.start(), fleet.start());
    let game = home.site.create("rust");
    wait_until_known(&one.site, &game.path("/status"));
    wait_until_known(&two.site, &game.path("/status"));
    let mut page = one.site.page(&game, None);
    page.expect("$ ");
    page.type_in("echo before\r");
    page.expect("\r\nbefore\r\n$ ");
    let offset = page.offset;
    // The first front goes, and takes its relays along.
    assert_eq!(one.site.stop(), 0);
    let mut page = two.site.page(&game, Some(offset));
    page.type_in("echo after\r");
    page.expect("\r\nafter\r\n$ ");
    assert!(
        !String::from_utf8_lossy(&page.seen).contains("before"),
        "a byte came twice"
    );
    let mut here = home.site.page(&game, Some(page.offset));
    here.type_in("echo home\r");
    here.expect("\r\nhome\r\n");
}

#[test]
fn a_spectator_may_come_to_any_server() {
    let fleet = Fleet::new();
    let (home, front) = (fleet.start(), fleet.start());
    let game = home.site.create("rust");
    wait_until_known(&front.site, &game.path("/status"));
    let link = front.site.post(&game.path("/watch"), "").json();
    let url = link["watch_url"].as_str().expect("a URL").to_owned();
    let (_, secret) = url.rsplit_once('/').expect("a path");
    for site in [&front.site, &home.site] {
        let path = format!("/watch/{secret}/ws");
        let headers = [("Sec-WebSocket-Protocol", "shellcraft.v1")];
        let mut spectator = site.stranger().open(&path, &headers).expect("let in");
        spectator.expect("$ ");
        let page = site.stranger().get(&format!("/watch/{secret}"));
        assert_eq!(page.status, 200);
    }
}

#[test]
fn a_home_that_is_away_is_told_apart_from_a_game_that_is_over() {
    let fleet = Fleet::new();
    let (home, front) = (fleet.start(), fleet.start());
    let game = home.site.create("rust");
    wait_until_known(&front.site, &game.path("/status"));
    let life = home.site.leave();
    let away = front.site.get(&game.path("/status"));
    assert_eq!((away.status, away.code()), (503, "home_away".to_owned()));
    assert_eq!(away.header("retry-after"), Some("1"));
    // It is taken over by the next life, under the same number.
    let again = fleet.site(life, &home.engine, "secret", &[]);
    wait_until_known(&front.site, &game.path("/status"));
    let mut page = front.site.page(&game, None);
    page.type_in("echo again\r");
    page.expect("\r\nagain\r\n");
    drop(again);
    // A session of no server is not looked for elsewhere.
    let nobodys = "/session/f47ac10b-58cc-4fff-a567-0e02b2c3d479/status";
    assert_eq!(front.site.get(nobodys).status, 404);
}

#[test]
fn the_operator_s_door_of_the_others_is_closed_to_strangers() {
    let fleet = Fleet::new();
    let home = fleet.start();
    let address = home.site.app().peer_addr().expect("an address");
    let mut stranger = TcpStream::connect(address).expect("it listens");
    stranger
        .write_all(b"GET /sessions HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("taken");
    let mut answer = Vec::new();
    let _ = stranger.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

/// A server with another secret is in the table, since Redis lets it write there, and is not spoken to.
#[test]
fn a_server_with_another_secret_serves_none_of_the_fleet_s_players() {
    let fleet = Fleet::new();
    fleet.write_secret("other", "another secret, which no one else here has");
    let (home, foreign) = (fleet.start(), fleet.start_with("other", &[]));
    let game = home.site.create("rust");
    let asked = || foreign.site.get(&game.path("/status"));
    wait_for("the home to be known", || asked().status == 503);
    assert_eq!(asked().code(), "home_away");
}

#[test]
fn of_two_processes_of_one_instance_on_one_engine_the_later_one_stays() {
    let fleet = Fleet::new();
    let first = fleet.start();
    let game = first.site.create("rust");
    let life = Life::new(&first.site.instance);
    let second = fleet.site(life, &first.engine, "secret", &[]);
    wait_for("the first to notice", || first.site.app().is_lost());
    // It lets go of its game, which the second has taken over.
    let left = first.site.leave();
    drop(left);
    let mut page = second.page(&game, None);
    page.type_in("echo on\r");
    page.expect("\r\non\r\n");
    assert!(!second.app().is_lost());
}

#[test]
fn of_two_hosts_with_one_instance_s_name_the_second_does_not_start() {
    let fleet = Fleet::new();
    let first = fleet.start();
    let game = first.site.create("rust");
    let other = FakeEngine::start();
    let second = fleet.join(Life::new(&first.site.instance), &other, "secret", &[]);
    wait_for("the second to be refused", || second.app().is_lost());
    assert_eq!(second.get("/readyz").status, 503);
    assert_eq!(second.get("/readyz?for=balancer").code(), "starting");
    // The first has beaten on: it is not taken for dead, and its games go on.
    assert!(!first.site.app().is_lost());
    assert_eq!(first.site.get(&game.path("/status")).status, 200);
}
