//! Request smuggling: wherever two readers could disagree where a request ends, there is one answer and no second request.

use fake_engine::FakeEngine;

use super::{says, statuses};
use crate::site::{Game, Site};

/// What the smuggler wants to be heard as a request of its own: it ends somebody's game.
fn hidden(game: &Game) -> String {
    format!(
        "DELETE {} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        game.path(""),
        game.token
    )
}

/// Sends the lines and a body that holds the hidden request, and looks whether it was heard.
#[track_caller]
fn check(site: &Site, game: &Game, lines: &str, before: &str, expected: u16) {
    let hidden = hidden(game);
    // `LENGTH` is that of the whole body, hidden request and all.
    let length = (before.len() + hidden.len()).to_string();
    let lines = lines.replace("LENGTH", &length);
    let bytes = format!("POST /session HTTP/1.1\r\nHost: h\r\n{lines}\r\n{before}{hidden}");
    let answer = says(site.address, bytes.as_bytes());
    assert_eq!(statuses(&answer), [expected], "{lines:?}: {answer}");
}

#[test]
fn no_second_request_gets_through() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let chunked = "0\r\n\r\n";
    for (lines, expected) in [
        // CL.TE and TE.CL, in both orders.
        (
            "Content-Length: LENGTH\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n",
            400,
        ),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400),
        // TE.TE: spelled so that one of two readers overlooks it.
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n",
            400,
        ),
        (
            "Transfer-encoding: cow\r\nTransfer-Encoding: chunked\r\n",
            501,
        ),
        ("Transfer-Encoding: xchunked\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n", 400),
        ("Transfer-Encoding:\u{b}chunked\r\n", 400),
        ("Transfer-Encoding : chunked\r\n", 400),
        (" Transfer-Encoding: chunked\r\n", 400),
        ("X: x\rTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding:\r\n chunked\r\n", 400),
        (
            "Transfer_Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            400,
        ),
        // Two lengths, and lengths that are none.
        ("Content-Length: 0\r\nContent-Length: LENGTH\r\n", 400),
        ("Content-Length: LENGTH\r\nContent-Length: LENGTH\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5 5\r\n", 400),
        ("Content-Length: 5\r\n 5\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 18446744073709551621\r\n", 400),
        ("Content-Length\0: 5\r\n", 400),
        // What the client says is for one hop only hides no length.
        (
            "Connection: Content-Length\r\nContent-Length: LENGTH\r\n",
            400,
        ),
    ] {
        check(&site, &game, lines, chunked, expected);
        check(
            &site,
            &game,
            lines,
            "5;ext=\"\r\n\"\r\nhello\r\n0\r\nX: trailer\r\n\r\n",
            expected,
        );
    }
    assert_eq!(site.get(&game.path("/status")).json()["status"], "running");
    assert_eq!(engine.calls("ContainerCreate"), 1);
}

/// A body in chunks ends where its chunks do, and what is behind it is nothing.
#[test]
fn a_body_in_chunks_hides_no_request() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (lines, before, expected) in [
        (chunked, "0\r\n\r\n", 201),
        ("Transfer-Encoding: \tchunked\r\n", "0\r\n\r\n", 201),
        ("TRANSFER-ENCODING: CHUNKED\r\n", "0\r\n\r\n", 201),
        ("X: x\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 201),
        (
            "Transfer-Encoding: chunked\r\nTrailer: X\r\nTE: trailers\r\n",
            "2;ext=y\r\n{}\r\n0\r\nX: trailer\r\nContent-Length: 900\r\n\r\n",
            201,
        ),
        // Line ends that only some take for one, in an extension, behind the data, and behind a trailer.
        (chunked, "2;ext=\"\r\n\"\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "2;ext\n{}\r\n0\r\n\r\n", 400),
        (chunked, "2\n{}\n0\n\n", 400),
        (chunked, "2\r\n{}\n0\r\n\r\n", 400),
        (chunked, "2\r\n{}XX0\r\n\r\n", 400),
        (chunked, "0\r\nX: y\n\r\n", 400),
        (chunked, "0\r\n\n", 400),
        // Sizes that only some can read.
        (chunked, "0x2\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "+2\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "-0\r\n\r\n", 400),
        (chunked, "10000000000000002\r\n{}\r\n0\r\n\r\n", 400),
    ] {
        check(&site, &game, lines, before, expected);
        assert_eq!(site.get(&game.path("/status")).json()["status"], "running");
    }
    assert_eq!(engine.calls("ContainerCreate"), 6);
}

/// A whole request with another one behind it: the first is answered, and the connection ends with it.
#[test]
fn what_follows_a_request_is_never_one() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    for first in [
        "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
        "GET /healthz HTTP/1.1\nHost: h\n\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
        "HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
        "GET /healthz HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
    ] {
        let answer = says(site.address, (first.to_owned() + &hidden(&game)).as_bytes());
        assert_eq!(statuses(&answer), [200], "{first:?}: {answer}");
    }
    // A handshake that is refused is an ordinary request; what looks like its first frames is thrown away.
    let refused = super::handshake(&game.path("/ws"), "Origin: http://evil.example\r\n");
    let answer = says(site.address, (refused + &hidden(&game)).as_bytes());
    assert_eq!(statuses(&answer), [403], "{answer}");
    assert_eq!(site.get(&game.path("/status")).json()["status"], "running");
}
