//! What becomes of a player whose server is gone, and of the game when the server comes back.

use crate::fleet_support::{Fleet, wait_until_known};
use crate::site::{ADMIN_TOKEN, COOKIE_KEY, Game, cookie_of, wait_for};

const BOOK: &str = "/home/spellbook.dat";

/// Servers that are soon taken for dead.
const HASTY: [&str; 6] = ["--lease", "3s", "--away", "3s", "--cookie-key", COOKIE_KEY];

#[test]
fn a_lost_server_s_player_goes_on_elsewhere_and_the_late_book_is_kept_beside() {
    let fleet = Fleet::new();
    let (home, front) = (
        fleet.start_with("secret", &HASTY),
        fleet.start_with("secret", &HASTY),
    );
    let cookie = cookie_of(&"ab".repeat(32));
    let start = |site: &crate::site::Site| {
        let reply = site.request("POST", "/session", &[("Cookie", &cookie)], b"");
        assert_eq!(reply.status, 201, "{reply:?}");
        Game::of(&reply)
    };
    let game = start(&home.site);
    wait_until_known(&front.site, &game.path("/status"));
    let saved = b"saved\techo 1\n";
    let put = front
        .site
        .request("PUT", &game.path("/spellbook"), &[], saved);
    assert_eq!(put.status, 204, "{put:?}");
    // What is written after the last save is lost with the server, unless that comes back.
    let container = format!("shellcraft-{}", game.id);
    home.engine.write_file(&container, BOOK, b"late\techo 2\n");
    let life = home.site.leave();
    let status = || front.site.get(&game.path("/status"));
    assert_eq!(status().status, 503);
    wait_for("the server to be taken for dead", || status().status == 404);
    let told = status().json();
    assert_eq!(told["status"], "missing", "{told}");
    assert_eq!(told["reason"], "host_lost", "{told}");
    assert_eq!(front.site.get(&game.path("/connect")).status, 404);
    let next = start(&front.site);
    let (book, _) = front
        .engine
        .read_file(&format!("shellcraft-{}", next.id), BOOK)
        .expect("a book");
    assert_eq!(book, saved);
    // The server comes back: its game is over, and what only that had is kept under a name of its own.
    let again = fleet.site(life, &home.engine, "secret", &HASTY);
    wait_for("the old game to end", || {
        home.engine.containers().is_empty()
    });
    let token = format!("Bearer {ADMIN_TOKEN}");
    let operator = [("Authorization", token.as_str())];
    let lost = format!("/admin/books/lost-{}", game.id);
    assert_eq!(
        again.request("GET", &lost, &operator, b"").body,
        b"late\techo 2\n"
    );
    assert_eq!(front.site.get(&next.path("/spellbook")).body, saved);
    assert_eq!(again.get(&next.path("/spellbook")).body, saved);
    assert_eq!(again.get(&game.path("/status")).json()["reason"], "moved");
}

/// Nothing of the game was superseded while the server was away, so the same shell goes on.
#[test]
fn a_server_that_was_taken_for_dead_goes_on_with_games_that_nobody_has_left() {
    let fleet = Fleet::new();
    let (home, front) = (
        fleet.start_with("secret", &HASTY),
        fleet.start_with("secret", &HASTY),
    );
    let game = home.site.create("rust");
    wait_until_known(&front.site, &game.path("/status"));
    let life = home.site.leave();
    let status = || front.site.get(&game.path("/status"));
    wait_for("the server to be taken for dead", || status().status == 404);
    let again = fleet.site(life, &home.engine, "secret", &HASTY);
    wait_until_known(&front.site, &game.path("/status"));
    let mut page = front.site.page(&game, None);
    page.type_in("echo on\r");
    page.expect("\r\non\r\n");
    let put = front
        .site
        .request("PUT", &game.path("/spellbook"), &[], b"on\techo\n");
    assert_eq!(put.status, 204, "{put:?}");
    drop(again);
}
