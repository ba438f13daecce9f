//! WebSocket frames that no honest client sends. The game goes on for the next client, whatever one has sent.

use std::io::Write;
use std::net::TcpStream;

use fake_engine::FakeEngine;

use super::{ATTACKER, handshake, owner, says, statuses};
use crate::binary::Process;
use crate::containers::unique;
use crate::door::house::connect_from;
use crate::site::{Game, Player, Site};

/// A frame with that first byte; its mask is zeros, so its payload is itself.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        126..65536 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn send(player: &mut Player, bytes: &[u8]) {
    // The server may have hung up in the middle of it.
    let _ = player.socket.get_mut().write_all(bytes);
}

#[test]
fn broken_frames_close_and_nothing_else() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let [keys, text, more, close, ping] = [0x02, 0x01, 0x00, 0x88, 0x89];
    for (what, bytes, code) in [
        ("no mask", vec![0x82, 0x03, b'a', b'b', b'c'], 1002),
        (
            "a compressed frame",
            frame(0xc2, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
            1002,
        ),
        ("a reserved bit", frame(0xa2, b"x"), 1002),
        ("another reserved bit", frame(0x92, b"x"), 1002),
        ("a reserved kind", frame(0x83, b"x"), 1002),
        ("a reserved control kind", frame(0x8b, b"x"), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        (
            "a message within a message",
            [frame(keys, b"x"), frame(0x82, b"y")].concat(),
            1002,
        ),
        ("a ping in two frames", frame(ping & 0x7f, b"x"), 1002),
        ("a ping too long", frame(ping, &[b'x'; 126]), 1002),
        ("a close of one byte", frame(close, b"\x03"), 1002),
        (
            "a length with its first bit",
            [&[0x82, 0xff][..], &[0xff; 8], &[0; 4]].concat(),
            1009,
        ),
        (
            "the longest length",
            [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat(),
            1009,
        ),
        (
            "4 TiB to come",
            [&[0x82, 0xff, 0, 0, 4][..], &[0; 5], &[0; 4]].concat(),
            1009,
        ),
        ("a frame of 2 MiB", frame(0x82, &vec![b'x'; 2 << 20]), 1009),
        (
            "2 MiB in frames of 64 KiB",
            [
                frame(keys, b"x"),
                frame(more, &vec![b'x'; 65536]).repeat(32),
            ]
            .concat(),
            1009,
        ),
        ("text that is no UTF-8", frame(0x81, b"\xff\xfe"), 1007),
        (
            "text that stops being UTF-8 later",
            [frame(text, b"a\xce"), frame(0x80, b"\xce")].concat(),
            1007,
        ),
    ] {
        let mut raw = site.raw(&game);
        send(&mut raw, &bytes);
        assert_eq!(raw.close_code(), code, "{what}");
    }
    still_plays(&site, &game);
}

#[track_caller]
fn still_plays(site: &Site, game: &Game) {
    let mut raw = site.raw(game);
    raw.expect("$ ");
    // What was typed by the frames before an end is on the line still.
    raw.type_in("\x03");
    raw.type_in("echo still here\n");
    raw.expect("\r\nstill here\r\n");
}

/// One message in a hundred thousand frames, empty ones among them, with pings between.
#[test]
fn fragments_are_put_together_whatever_their_number() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let mut raw = site.raw(&game);
    raw.expect("$ ");
    let mut bytes = frame(0x02, b"echo");
    bytes.extend(frame(0x00, b"").repeat(100_000));
    bytes.extend(frame(0x89, b"alive"));
    for letter in b" whole\n" {
        bytes.extend(frame(0x00, &[*letter]));
    }
    bytes.extend(frame(0x80, b""));
    send(&mut raw, &bytes);
    raw.expect("\r\nwhole\r\n");
}

/// What is declared and never sent takes no memory, however many do it.
#[test]
fn lengths_that_are_only_declared_cost_nothing() {
    let engine = FakeEngine::start();
    let server = Process::start(&engine.docker_host(), &unique(), &[]);
    let game = server.create("rust");
    // Each of them takes the game over from the last: they are many one after the other.
    let open = || {
        let mut stream = connect_from(ATTACKER, server.address);
        let head = handshake(&game.path("/ws"), &owner(&game));
        stream.write_all(head.as_bytes()).expect("sent");
        // One byte below the limit, of which one byte comes.
        let declared = [
            &[0x82, 0xff, 0, 0, 0, 0, 0][..],
            &[0x0f, 0xff, 0xff],
            &[0; 4],
            b"x",
        ]
        .concat();
        stream.write_all(&declared).expect("sent");
        stream
    };
    let _warm: Vec<TcpStream> = (0..10).map(|_| open()).collect();
    let before = server.anonymous_kib();
    let _held: Vec<TcpStream> = (0..100).map(|_| open()).collect();
    let grown = server.anonymous_kib().saturating_sub(before);
    assert!(
        grown < 32 * 1024,
        "{grown} KiB for 100 MiB that were declared"
    );
    assert_eq!(server.get("/healthz").status, 200);
}

/// Compression would let a kilobyte become a megabyte in here, so it is never agreed on.
#[test]
fn no_extension_is_agreed_on() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits=15; server_no_context_takeover",
        "x-webkit-deflate-frame",
        "permessage-bzip2, permessage-deflate",
    ] {
        let head = handshake(
            &game.path("/ws"),
            &format!("{}Sec-WebSocket-Extensions: {offer}\r\n", owner(&game)),
        );
        // A close frame ends it, so that all of the answer can be read.
        let answer = says(
            site.address,
            &[head.as_bytes(), &frame(0x88, b"\x03\xe8")].concat(),
        );
        assert_eq!(statuses(&answer), [101], "{answer}");
        assert!(
            !answer.to_lowercase().contains("sec-websocket-extensions"),
            "{answer}"
        );
    }
}

/// A page of another site that opens a terminal in its visitor's browser.
#[test]
fn a_page_of_another_site_opens_no_terminal() {
    let engine = FakeEngine::start();
    let site = Site::start(
        &engine.docker_host(),
        &["--allowed-origins", "https://friend.example"],
    );
    let game = site.create("rust");
    let (ip, port) = (site.address.ip(), site.address.port());
    let ws = game.path("/ws");
    for origin in [
        "null".to_owned(),
        "http://evil.example".into(),
        format!("https://{ip}:{port}"),
        format!("http://{ip}"),
        format!("http://{ip}:{port}.evil.example"),
        format!("http://{ip}:{port}@evil.example"),
        format!("http://evil.example/http://{ip}:{port}"),
        format!("http://sub.{ip}:{port}"),
        format!("http://{ip}:{}", port ^ 1),
        "http://friend.example".into(),
        "https://friend.example.evil.example".into(),
        "https://evil-friend.example".into(),
        "https://friend.example:8443".into(),
        "https://sub.friend.example".into(),
        "file://".into(),
    ] {
        assert_eq!(
            site.open(&ws, &[("Origin", &origin)]).err(),
            Some(403),
            "{origin}"
        );
    }
    for origin in [
        format!("http://{}", site.address),
        "https://friend.example".into(),
    ] {
        assert!(site.open(&ws, &[("Origin", &origin)]).is_ok(), "{origin}");
    }
}
