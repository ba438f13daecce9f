//! Fifty real games at once; and when they are over, nothing is left of them.

use std::thread;
use std::time::{Duration, Instant};

use crate::binary::{self, Process};
use crate::containers::unique;
use crate::docker::{self, remaining, volumes_of};
use crate::site::{Game, wait_for};

const PLAYERS: usize = 50;

/// The Engine client keeps so many connections for the next call, which is no leak; one for each player would be.
const KEPT_CONNECTIONS: usize = 8;

/// Starting them all takes as long as the Engine needs: some 5 a second on 2 cores, less on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(180);

#[test]
fn fifty_play_at_once_and_nothing_is_left() {
    let instance = unique();
    let server = Process::start(&docker::host(), &instance, &[]);
    // Whoever asked whether it is ready has hung up, which the server may not know yet; and it may still be about to say
    // that it is.
    wait_for("a server that only waits", || {
        let names = thread_names(&server);
        !names
            .iter()
            .any(|name| name == "door-conn" || name == "ready")
    });
    let descriptors_at_start = descriptors(&server).len();
    let threads_at_start = thread_names(&server);

    let games: Vec<Game> = at_once(PLAYERS, |player| create(&server, player));
    let containers = docker::containers(&instance);
    let volumes: Vec<_> = containers.iter().flat_map(|id| volumes_of(id)).collect();
    at_once(PLAYERS, |player| play(&server, &games[player], player));
    at_once(PLAYERS, |player| {
        let path = games[player].path("");
        assert_eq!(server.delete(&path).status, 204);
        assert_eq!(server.get(&format!("{path}/status")).status, 404);
    });

    assert_eq!((containers.len(), volumes.len()), (PLAYERS, PLAYERS));
    assert_eq!(docker::containers(&instance), [] as [String; 0]);
    assert_eq!(remaining(&volumes), [] as [String; 0]);
    // The door's threads go as soon as their clients have hung up.
    wait_for("no more threads than before", || {
        thread_names(&server) == threads_at_start
    });
    wait_for("no more descriptors than before", || {
        descriptors(&server).len() <= descriptors_at_start + KEPT_CONNECTIONS
    });
}

/// All players do the same thing at the same time.
fn at_once<T: Send>(players: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let act = &act;
        let players: Vec<_> = (0..players)
            .map(|player| scope.spawn(move || act(player)))
            .collect();
        players
            .into_iter()
            .map(|player| player.join().expect("no player fails"))
            .collect()
    })
}

/// Starts a game of one of the shells. A server that has too much to do says when to come again.
fn create(server: &Process, player: usize) -> Game {
    let shell = ["rust", "perl"][player % 2];
    let due = Instant::now() + START_WITHIN;
    loop {
        let reply = server.post("/session", &format!("{{\"shell\":\"{shell}\"}}"));
        if reply.status == 201 {
            return Game::of(&reply);
        }
        // All of them come from one address, which has only a share of the queue.
        assert!([429, 503].contains(&reply.status), "{reply:?}");
        let seconds = reply
            .header("retry-after")
            .and_then(|text| text.parse().ok());
        let pause = Duration::from_secs(seconds.expect("it says when to come again"));
        assert!(Instant::now() + pause < due, "turned away again and again");
        thread::park_timeout(pause);
    }
}

/// Types, and gets what was asked for and nobody else's answer.
fn play(server: &Process, game: &Game, player: usize) {
    let mut page = server.page(game, None);
    page.expect(" ~ ");
    for round in 0..3 {
        page.type_in(&format!("echo I am 'number' {player}.{round}\r"));
        let before = page.expect(&format!("I am number {player}.{round}\r\n"));
        assert_eq!(before.matches("I am number").count(), 1, "{before}");
        page.expect(" ~ ");
    }
}

/// The names of a server's threads, sorted.
fn thread_names(server: &Process) -> Vec<String> {
    let mut names: Vec<_> = binary::thread_names(server.pid())
        .into_iter()
        // tiny_http's own come and go: its idle ones end after 5 s, all but four.
        .filter(|name| name != "tiny-http")
        .collect();
    names.sort();
    names
}

/// What a server's descriptors are.
fn descriptors(server: &Process) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("procfs");
    links
        .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
        .map(|target| target.display().to_string())
        .collect()
}
