//! slowhttptest's four modes at once: those who take their time keep nobody waiting, and are cut.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use fake_engine::FakeEngine;

use super::{BYSTANDER, statuses};
use crate::binary::Process;
use crate::door::house::{connect_from, exchange};
use crate::ground::unique;
use crate::site::wait_for;

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
    // Without the limits an answer would come after the attack; so those count that come while all of it goes on.
    let mut served = 0;
    loop {
        let stream = connect_from(BYSTANDER, server.address);
        let answer = exchange(stream, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(statuses(&answer), [200], "{answer}");
        player.type_in("echo meanwhile\n");
        player.expect("\r\nmeanwhile\r\n");
        let goes_on = |attack: &mut Child| attack.try_wait().expect("our child").is_none();
        let left = attacks
            .iter_mut()
            .filter_map(|attack| goes_on(attack).then_some(()))
            .count();
        if left == 0 {
            break;
        }
        served += usize::from(left == attacks.len());
    }
    assert!(served > 0);
    wait_for("all of them gone", || connections(&server) <= 2);
    assert_eq!(
        engine.calls("ContainerCreate"),
        1,
        "no slow body began a game"
    );
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
