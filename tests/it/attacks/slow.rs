//! Those who take their time keep nobody waiting, and are cut: slowhttptest's four modes at once, and readers of every body.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use fake_engine::FakeEngine;

use super::{ATTACKER, BYSTANDER, statuses};
use crate::binary::Process;
use crate::containers::{PATIENCE, unique};
use crate::door::house::{connect_from, exchange};
use crate::site::{ADMIN_TOKEN, Player, wait_for};

/// Connections of each mode; all four are below what one address may have.
const CONNECTIONS: &str = "150";
/// How long an attack lasts. Longer than a head may take (10 s).
const SECONDS: &str = "14";

fn attack(address: SocketAddr, path: &str, mode: &[&str]) -> Child {
    Command::new("slowhttptest")
        .args(mode)
        .args(["-c", CONNECTIONS, "-r", CONNECTIONS, "-l", SECONDS])
        .args(["-i", "1", "-p", "3", "-v", "0"])
        .args(["-u", &format!("http://{address}{path}")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("slowhttptest: {error}; run .ci/setup test"))
}

#[test]
fn slow_clients_keep_nobody_waiting() {
    let engine = FakeEngine::start();
    let server = Process::start(&engine.docker_host(), &unique(), &[]);
    let game = server.create("rust");
    let mut player = server.raw(&game);
    player.expect("$ ");
    let mut attacks = [
        ("/", &["-H"][..]),
        ("/session", &["-B", "-s", "8192", "-x", "10"]),
        ("/assets/terminal.js", &["-R", "-a", "1", "-b", "3000"]),
        (
            "/assets/terminal.js",
            &["-X", "-n", "2", "-w", "8", "-y", "16", "-z", "8", "-k", "3"],
        ),
    ]
    .map(|(path, mode)| attack(server.address, path, mode));
    wait_for("the attack", || connections(&server) > 300);
    // Without the limits an answer would come after the attack; so those count that come while some of it goes on.
    let mut served = 0;
    loop {
        others_are_served(&server, &mut player);
        let goes_on = |attack: &mut Child| attack.try_wait().expect("our child").is_none();
        let left = attacks
            .iter_mut()
            .filter_map(|attack| goes_on(attack).then_some(()))
            .count();
        if left == 0 {
            break;
        }
        served += 1;
    }
    assert!(served > 0);
    wait_for("all of them gone", || connections(&server) <= 2);
    assert_eq!(
        engine.calls("ContainerCreate"),
        1,
        "no slow body began a game"
    );
}

/// Somebody else asks, and a player types.
fn others_are_served(server: &Process, player: &mut Player) {
    let stream = connect_from(BYSTANDER, server.address);
    let answer = exchange(stream, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(statuses(&answer), [200], "{answer}");
    player.type_in("echo meanwhile\n");
    player.expect("\r\nmeanwhile\r\n");
}

/// Every body that the server can send, to clients that take a handful of bytes and no more: all of them are gone in the
/// end, and a player beside them is served all the time.
#[test]
fn slow_readers_of_every_body_keep_nobody_waiting() {
    const READERS: usize = 4;
    let engine = FakeEngine::start();
    let flags = ["--admin-token", ADMIN_TOKEN, "--save-interval", "1h"];
    let server = Process::start(&engine.docker_host(), &unique(), &flags);
    let game = server.create("rust");
    let mut player = server.raw(&game);
    player.expect("$ ");
    let book = vec![b'x'; 1024 * 1024];
    let path = game.path("/spellbook");
    assert_eq!(server.request("PUT", &path, &[], &book).status, 204);
    assert_eq!(server.post(&game.path("/recording"), "").status, 201);
    for _ in 0..20 {
        // It is shown twice: as it is typed, and by the command.
        player.type_in(&format!("echo {}\n", "y".repeat(8000)));
        player.expect(&"y".repeat(8000));
        player.expect(&"y".repeat(8000));
    }
    let operator = format!("Bearer {ADMIN_TOKEN}");
    let owner = server
        .authorization(&path, &[])
        .expect("the session's token");
    let bodies = [
        ("/", &operator),
        ("/assets/terminal.js", &operator),
        ("/openapi.json", &operator),
        ("/metrics", &operator),
        ("/sessions", &operator),
        ("/admin", &operator),
        ("/admin/health", &operator),
        ("/admin/books", &operator),
        ("/nothing", &operator),
        (&game.path("/connect"), &owner),
        (&game.path("/status"), &owner),
        (&game.path("/spellbook"), &owner),
        (&game.path("/recording"), &owner),
    ];
    let mut readers = Vec::new();
    for (path, authorization) in &bodies {
        for _ in 0..READERS {
            let mut reader = narrow(ATTACKER, server.address);
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: {authorization}\r\n\r\n");
            reader.write_all(head.as_bytes()).expect("sent");
            // That an answer has begun: most are longer than what the client takes.
            let mut begin = [0; 9];
            reader.read_exact(&mut begin).expect("an answer");
            assert_eq!(&begin, b"HTTP/1.1 ", "{path}");
            readers.push(reader);
        }
    }
    assert!(connections(&server) > 1);
    // Where the system keeps less than a book for a client, the slowest may take its two minutes.
    let deadline = Instant::now() + PATIENCE * 10;
    loop {
        others_are_served(&server, &mut player);
        // The player's own, and the one that asks.
        if connections(&server) <= 2 {
            break;
        }
        assert!(Instant::now() < deadline, "some of them stay");
    }
}

/// A client whose socket takes as little as one can.
fn narrow(source: &str, address: SocketAddr) -> TcpStream {
    use rustix::net::sockopt::set_socket_recv_buffer_size;
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    set_socket_recv_buffer_size(&socket, 1).expect("the least there is");
    let source = SocketAddr::new(source.parse().expect("an address"), 0);
    bind(&socket, &source).expect("ours");
    connect(&socket, &address).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

/// How many are open, ours that asks included.
fn connections(server: &Process) -> u64 {
    let text = server.get("/metrics").text();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("shellcraft_connections "));
    value
        .and_then(|value| value.parse().ok())
        .expect("a number")
}
