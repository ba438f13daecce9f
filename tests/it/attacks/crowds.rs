//! Crowds: thousands of terminals that nobody sits at, handshakes that are never finished, floods of new games.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fake_engine::FakeEngine;
use shellcraft::door::limits::raise_fd_limit;

use super::{ATTACKER, BYSTANDER, handshake, owner, statuses};
use crate::binary::Process;
use crate::containers::{PATIENCE, unique};
use crate::door::house::{alone, connect_from, exchange};
use crate::site::{Game, wait_for};

/// Descriptors of ours that a terminal takes: its client, and both ends that the fake Engine has in this process.
const DESCRIPTORS: u64 = 5;
/// A terminal's share of the server's memory, in the build that tests are.
const KIB_PER_TERMINAL: u64 = 256;

/// How many may come: as many as the issue is about, where the system allows so many descriptors.
fn crowd() -> usize {
    match raise_fd_limit().expect("no right is needed") / DESCRIPTORS {
        2000.. => 2000,
        fewer => usize::try_from(fewer).expect("small").min(300),
    }
}

fn create(server: &Process, count: usize) -> Vec<Game> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut games = Vec::new();
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        games.push(server.create("rust"));
                    }
                    games
                })
            })
            .collect();
        makers
            .into_iter()
            .flat_map(|maker| maker.join().expect("no panic"))
            .collect()
    })
}

/// Opens a terminal and reads no more than the answer to the handshake.
fn open(server: &Process, game: &Game) -> TcpStream {
    let mut stream = connect_from(ATTACKER, server.address);
    stream
        .write_all(handshake(&game.path("/ws"), &owner(game)).as_bytes())
        .expect("sent");
    let mut start = [0; 12];
    stream.read_exact(&mut start).expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 101");
    stream.set_nonblocking(true).expect("an option");
    stream
}

/// A masked pong without a payload: a sign of life.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// Reads what came for each; answers with a pong where something did. Returns how many are still connected.
fn tend(terminals: &mut [TcpStream], answers: bool) -> usize {
    let mut sink = [0; 4096];
    let alive = |stream: &mut TcpStream| loop {
        match stream.read(&mut sink) {
            Ok(0) => return false,
            Ok(_) if answers => {
                let _ = stream.write_all(&PONG);
            }
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    };
    terminals
        .iter_mut()
        .map(alive)
        .filter(|alive| *alive)
        .count()
}

/// Somebody else is answered. Those in the way stay there, so that an answer which waited for them would not come.
#[track_caller]
fn serves(server: &Process) {
    let stream = connect_from(BYSTANDER, server.address);
    let answer = exchange(stream, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(statuses(&answer), [200], "{answer}");
}

/// Types a line at the game's terminal, and sees it come back.
fn plays(server: &Process, game: &Game) {
    let mut player = server.raw(game);
    player.expect("$ ");
    player.type_in("echo among them\n");
    player.expect("\r\namong them\r\n");
}

/// Terminals that only answer pings, beside as many handshakes that never end; then the same terminals fall silent.
#[test]
fn thousands_of_idle_and_half_open_terminals_keep_nobody_out() {
    alone(
        "attacks::crowds::thousands_of_idle_and_half_open_terminals_keep_nobody_out",
        || {
            let many = crowd();
            let engine = FakeEngine::start();
            // Thousands of records are written, and this is not about the disk.
            let data = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
            let data = data.expect("a directory");
            let data = data.path().to_str().expect("UTF-8");
            let flags = [
                "--max-sessions",
                "5000",
                "--heartbeat",
                "5s",
                "--data-dir",
                data,
            ];
            let server = Process::start(&engine.docker_host(), &unique(), &flags);
            let games = create(&server, many);
            let own = server.create("rust");
            plays(&server, &own);
            let before = server.anonymous_kib();

            let mut terminals = Vec::new();
            for game in &games {
                terminals.push(open(&server, game));
                if terminals.len() % 100 == 0 {
                    tend(&mut terminals, true);
                }
            }
            let head = handshake(&games[0].path("/ws"), &owner(&games[0]));
            let mut unfinished = Vec::new();
            for _ in 0..many {
                let mut stream = connect_from("127.0.0.67", server.address);
                stream
                    .write_all(&head.as_bytes()[..head.len() - 2])
                    .expect("sent");
                stream.set_nonblocking(true).expect("an option");
                unfinished.push(stream);
            }
            serves(&server);
            assert!(tend(&mut unfinished, false) > 0, "not after they were cut");
            let grown = server.anonymous_kib().saturating_sub(before);
            assert!(
                grown < many as u64 * KIB_PER_TERMINAL,
                "{grown} KiB for {many}"
            );

            // Handshakes have 10 s; those who answer pings live on past the heartbeat's 15.
            let (began, mut cut) = (Instant::now(), false);
            while !cut || began.elapsed() < Duration::from_secs(17) {
                assert!(began.elapsed() < PATIENCE * 2, "handshakes are cut");
                assert_eq!(tend(&mut terminals, true), many, "who answers stays");
                cut = tend(&mut unfinished, false) == 0;
                serves(&server);
                thread::park_timeout(Duration::from_millis(100));
            }
            plays(&server, &own);

            wait_for("the silent ones to be dropped", || {
                tend(&mut terminals, false) == 0
            });
            plays(&server, &own);
            let later = server.anonymous_kib().saturating_sub(before);
            assert!(
                later < many as u64 * KIB_PER_TERMINAL,
                "{later} KiB are left"
            );
        },
    );
}

/// More connections than there are places, and not a byte on any of them.
#[test]
fn ten_thousand_who_say_nothing_disturb_no_player() {
    alone(
        "attacks::crowds::ten_thousand_who_say_nothing_disturb_no_player",
        || {
            let many = match raise_fd_limit().expect("no right is needed") {
                11_000.. => 10_000,
                fewer => usize::try_from(fewer / 2).expect("small"),
            };
            let engine = FakeEngine::start();
            let server = Process::start(&engine.docker_host(), &unique(), &[]);
            let mut player = server.raw(&server.create("rust"));
            player.expect("$ ");
            let mut silent = Vec::new();
            for number in 0..many {
                let address = format!("127.0.1.{}", 1 + number % 60);
                let stream = connect_from(&address, server.address);
                stream.set_nonblocking(true).expect("an option");
                silent.push(stream);
                if number % 500 == 0 {
                    player.type_in(&format!("echo beside {number}\n"));
                    player.expect(&format!("\r\nbeside {number}\r\n"));
                }
            }
            wait_for("all of them to be cut", || tend(&mut silent, false) == 0);
            serves(&server);
            player.type_in("echo not disturbed\n");
            player.expect("\r\nnot disturbed\r\n");
        },
    );
}

/// One address wants hundreds of games at once of an Engine that makes none: as many as may wait of one do, and the rest is
/// told so.
#[test]
fn a_flood_of_new_games_is_queued_or_told_when_to_come_again() {
    const FLOOD: usize = 400;
    const TAKEN: usize = 4 + 60;
    // The player, four whose turn it is, as many as may come to stand in line, and one more: however many come together, the
    // rest take no place, not even for a moment.
    const PLACES: &str = "70";
    alone(
        "attacks::crowds::a_flood_of_new_games_is_queued_or_told_when_to_come_again",
        || {
            raise_fd_limit().expect("no right is needed");
            let engine = FakeEngine::start();
            let flags = ["--max-sessions", PLACES];
            let server = Process::start(&engine.docker_host(), &unique(), &flags);
            let mut player = server.raw(&server.create("rust"));
            player.expect("$ ");
            engine.hang("ContainerCreate");
            let mut flood: Vec<TcpStream> = (0..FLOOD)
                .map(|_| {
                    let mut stream = connect_from(ATTACKER, server.address);
                    stream
                        .write_all(
                            b"POST /session HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
                        )
                        .expect("sent");
                    stream.set_nonblocking(true).expect("an option");
                    stream
                })
                .collect();
            let mut refused = Vec::new();
            wait_for("the rest to be turned away", || {
                serves(&server);
                flood.retain_mut(|stream| match ended(stream) {
                    Some(answer) => {
                        refused.push(answer);
                        false
                    }
                    None => true,
                });
                refused.len() == FLOOD - TAKEN
            });
            for answer in refused {
                assert_eq!(statuses(&answer), [429], "{answer}");
                let wait = answer
                    .split("Retry-After: ")
                    .nth(1)
                    .and_then(|rest| rest.split('\r').next());
                let wait: u64 = wait.and_then(|wait| wait.parse().ok()).expect("told when");
                assert!((1..=60).contains(&wait), "{wait}");
            }
            player.type_in("echo not disturbed\n");
            player.expect("\r\nnot disturbed\r\n");
            engine.release("ContainerCreate");
            for mut stream in flood {
                stream.set_nonblocking(false).expect("an option");
                stream
                    .set_read_timeout(Some(PATIENCE * 3))
                    .expect("a timeout");
                let answer = super::read_all(&mut stream);
                // Those whose turn came too late are told so, too.
                assert!(matches!(statuses(&answer)[..], [201 | 503]), "{answer}");
            }
        },
    );
}

/// The answer, once it is there; an answer comes in one piece.
fn ended(stream: &mut TcpStream) -> Option<String> {
    let mut answer = [0; 4096];
    match stream.read(&mut answer) {
        Ok(length) => Some(String::from_utf8_lossy(&answer[..length]).into_owned()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}
