//! Attacks from outside, against the whole server: what strangers send to be in the way or to get at what is not
//! theirs. `door/hostile.rs` has those that one needs to be inside for; `dockerd/sandbox.rs` those of players.

mod crowds;
mod frames;
mod headers;
mod paths;
mod slow;
mod smuggling;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::containers::PATIENCE;
use crate::door::house::connect_from;
use crate::site::Game;

/// Where attackers come from, and from where everybody else does: limits are per address.
const ATTACKER: &str = "127.0.0.66";
const BYSTANDER: &str = "127.0.0.7";

/// All that the server says to these bytes until it hangs up.
fn says(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect_from(ATTACKER, address);
    // The server may hang up before all of it is sent.
    let _ = stream.write_all(bytes);
    read_all(&mut stream)
}

fn read_all(stream: &mut TcpStream) -> String {
    stream
        .set_read_timeout(Some(PATIENCE * 3))
        .expect("a timeout");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers in there, one after the other.
fn statuses(answer: &str) -> Vec<u16> {
    let starts = answer.match_indices("HTTP/1.");
    starts
        .filter_map(|(at, _)| answer.get(at..)?.get(9..12)?.parse().ok())
        .collect()
}

/// The line by which the game's owner is known.
fn owner(game: &Game) -> String {
    format!("Authorization: Bearer {}\r\n", game.token)
}

/// The handshake of a WebSocket, with more header lines.
fn handshake(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}
