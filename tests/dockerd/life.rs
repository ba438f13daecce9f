//! How sessions end, and who cleans up.

use std::time::{Duration, Instant};

use crate::binary::Process;
use crate::containers::{PATIENCE, Terminal, unique};
use crate::docker::{self, container_of, docker, remaining, volumes_of};
use crate::games::{hub_of, site};
use crate::site::{Game, Site, wait_for};
use shellcraft::engine::ContainerId;

/// Everything the Engine holds for these games.
struct Holdings {
    containers: Vec<String>,
    volumes: Vec<String>,
}

impl Holdings {
    #[track_caller]
    fn of(games: &[Game]) -> Holdings {
        let containers: Vec<_> = games.iter().map(container_of).collect();
        let volumes: Vec<_> = containers.iter().flat_map(|id| volumes_of(id)).collect();
        assert_eq!(volumes.len(), games.len(), "a volume each");
        Holdings {
            containers,
            volumes,
        }
    }

    /// Whether all of it is there.
    fn are_there(&self) -> bool {
        let mut containers = self.containers.iter();
        containers.all(|id| docker::try_docker(&["inspect", id]).status.success())
            && remaining(&self.volumes).len() == self.volumes.len()
    }

    /// Whether none of it is there any more.
    fn are_gone(&self) -> bool {
        let mut containers = self.containers.iter();
        containers.all(|id| !docker::try_docker(&["inspect", id]).status.success())
            && remaining(&self.volumes).is_empty()
    }
}

fn three_games(server: &Process) -> Vec<Game> {
    let shells = ["rust", "perl", "rust"];
    shells.map(|shell| server.create(shell)).to_vec()
}

#[test]
fn what_a_killed_server_left_is_removed_by_the_next() {
    let (instance, other_instance) = (unique(), unique());
    let other = Site::start_as(&other_instance, &docker::host(), &[]);
    let neighbour = other.create("rust");
    let not_ours = Holdings::of(std::slice::from_ref(&neighbour));

    let mut server = Process::start(&docker::host(), &instance, &[]);
    let leftovers = Holdings::of(&three_games(&server));
    server.signal("KILL");
    assert_eq!(server.exit_code(), None);
    assert!(leftovers.are_there(), "nobody was left to remove them");

    let server = Process::start(&docker::host(), &instance, &[]);
    wait_for("the leftovers to be removed", || leftovers.are_gone());
    assert!(not_ours.are_there());
    let mut page = other.page(&neighbour, None);
    page.expect(" ~ ");
    page.type_in("echo un'touch'ed\r");
    page.expect("untouched\r\n");
    // What is removed at the start is not what is made meanwhile.
    let game = server.create("rust");
    server.page(&game, None).expect(" ~ ");
    assert_eq!(server.delete(&game.path("")).status, 204);
}

/// After a crash only the page that saw it has a game's screen. One that is opened anew sees the shell's line at least,
/// though the old page was there first.
#[test]
fn a_page_opened_anew_after_a_crash_sees_the_shell_s_line() {
    let (instance, data) = (unique(), tempfile::tempdir().expect("a directory"));
    let flags = ["--data-dir", data.path().to_str().expect("UTF-8")];
    let mut server = Process::start(&docker::host(), &instance, &flags);
    let games: Vec<_> = ["rust", "perl"]
        .map(|shell| {
            let game = server.create(shell);
            let mut page = server.page(&game, None);
            page.resize(80, 24);
            page.expect(" ~ $ ");
            (game, page.offset)
        })
        .to_vec();
    server.signal("KILL");
    assert_eq!(server.exit_code(), None);
    let server = Process::start(&docker::host(), &instance, &flags);
    for (game, offset) in &games {
        let mut page = server.page(game, Some(*offset));
        assert_eq!(page.note("hello")["replay"], false);
        page.resize(80, 24);
        // The server has heard of the size before another page takes this one's place: that one tells none.
        page.control(serde_json::json!({"type": "ping", "t": 1}));
        page.note("pong");
        wait_for("the shell's line on a new page", || {
            let mut new = server.page(game, None);
            new.control(serde_json::json!({"type": "ping", "t": 1}));
            new.note("pong");
            let mut screens = new.notes.iter().filter(|note| note["type"] == "screen");
            screens.any(|screen| screen["data"].to_string().contains("~ $"))
                || String::from_utf8_lossy(&new.seen).contains(" ~ $ ")
        });
        drop(page);
        let mut page = server.page(game, None);
        page.type_in("echo ali've'\r");
        page.expect("\r\nalive\r\n");
    }
    for (game, _) in &games {
        assert_eq!(server.delete(&game.path("")).status, 204);
    }
}

#[test]
fn sigint_removes_everything_and_leaves_with_0() {
    // Its grace is for what does not end: if it were waited out, the test would not live to see it.
    let flags = ["--shutdown-grace", "1h"];
    let mut server = Process::start(&docker::host(), &unique(), &flags);
    let games = three_games(&server);
    let holdings = Holdings::of(&games);
    let mut pages: Vec<_> = games.iter().map(|game| server.page(game, None)).collect();
    for page in &mut pages {
        page.expect(" ~ ");
    }
    server.signal("INT");
    for page in &mut pages {
        assert_eq!(page.close_code(), 1001);
    }
    assert_eq!(server.exit_code_in_time(), Some(0));
    assert!(holdings.are_gone());
}

#[test]
fn an_idle_session_is_reaped() {
    // The reaper looks often.
    let site = site(&["--idle-timeout", "60s", "--save-interval", "1s"]);
    let game = site.create("rust");
    let holdings = Holdings::of(std::slice::from_ref(&game));
    let mut page = site.page(&game, None);
    page.expect(" ~ ");
    let hub = hub_of(&site, &game);
    let idle_for = |seconds| {
        let then = Instant::now().checked_sub(Duration::from_secs(seconds));
        hub.touch(then.expect("the machine runs for longer"));
    };
    // Whoever types stays.
    idle_for(30);
    let before = Instant::now();
    page.type_in("x");
    page.expect("x");
    assert!(hub.last_input() >= before);
    idle_for(50);
    assert_eq!(page.note("notice")["level"], "warning");
    idle_for(60);
    assert_eq!(page.close_code(), 4001);
    wait_for("the container to be removed", || holdings.are_gone());
    let told = site.get(&game.path("/status")).json();
    assert_eq!(
        (&told["status"], &told["reason"]),
        (&"stopped".into(), &"idle".into())
    );
}

#[test]
fn a_container_removed_behind_our_back_is_missing() {
    let site = site(&[]);
    let game = site.create("perl");
    let mut page = site.page(&game, None);
    page.expect(" ~ ");
    docker(&["rm", "--force", "--volumes", &container_of(&game)]);
    assert_eq!(page.close_code(), 1011);
    let reply = site.get(&game.path("/status"));
    let told = reply.json();
    assert_eq!(
        (reply.status, &told["status"], &told["reason"]),
        (200, &"missing".into(), &"vanished".into())
    );
    assert_eq!(site.delete(&game.path("")).status, 204);
    assert_eq!(site.get(&game.path("/status")).status, 404);
}

#[test]
fn a_container_killed_behind_our_back_is_told_and_removed() {
    let site = site(&[]);
    let game = site.create("rust");
    let holdings = Holdings::of(std::slice::from_ref(&game));
    let mut page = site.page(&game, None);
    page.expect(" ~ ");
    docker(&["kill", &holdings.containers[0]]);
    let exit = page.note("exit");
    assert_eq!(
        (&exit["code"], &exit["reason"]),
        (&137.into(), &"killed".into())
    );
    assert_eq!(page.close_code(), 1000);
    wait_for("the container to be removed", || holdings.are_gone());
}

/// What a second attach, straight from the Engine, sees to the last byte, the page sees too; then it is told.
#[test]
fn all_output_of_a_killed_flood_arrives_before_the_exit() {
    let site = site(&[]);
    let game = site.create("busybox");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    let container = ContainerId(container_of(&game));
    let attach = docker::engine().attach(&container).expect("attach");
    let mut witness = Terminal {
        attach,
        seen: Vec::new(),
    };
    page.type_in("seq 1 100000000\r");
    page.expect("seq 1 100000000\r");

    let witness = std::thread::spawn(move || {
        witness.expect("\n1\r\n");
        witness.expect_end()
    });
    page.expect("\n1\r\n");
    let (hub, due) = (hub_of(&site, &game), Instant::now() + PATIENCE);
    while hub.output_bytes() < 2 << 20 {
        assert!(page.read(due) && Instant::now() < due, "the flood dries up");
    }
    let killer = std::thread::spawn(move || docker(&["kill", &container.0]));
    assert_eq!(page.close_code(), 1000);
    killer.join().expect("it is killed");
    let exit = page.note("exit");
    assert_eq!(
        (&exit["code"], &exit["reason"]),
        (&137.into(), &"killed".into())
    );

    let witnessed = witness.join().expect("the witness saw it end");
    assert!(witnessed.len() > 1 << 20, "only {}", witnessed.len());
    assert_eq!(page.seen.len(), witnessed.len(), "as much of it");
    assert!(page.seen == witnessed, "and the same");
}
