//! What strange requests get: a table of statuses, and that the service never sees them.

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shellcraft::door::Limits;

use super::house::{House, eventually, exchange, open, open_at, open_behind, quick, read_until};

/// The request gets `status`, from the door itself, as JSON, at once; and the next stranger is served.
#[track_caller]
fn check(request: impl AsRef<[u8]>, status: u16) {
    let house = open(quick());
    let answer = house.exchange(request);
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    for wanted in [
        "\r\nConnection: close\r\n",
        "\r\nX-Request-Id: ",
        "\r\n\r\n{\"error\":{\"code\":\"",
    ] {
        assert!(answer.contains(wanted), "{answer}");
    }
    assert_eq!(answer.matches("X-Request-Id: ").count(), 1, "{answer}");
    assert_eq!(house.asked(), 0);
    house.check_serves();
}

#[track_caller]
fn check_post(headers: &str, status: u16) {
    // The body is a request of its own: it must never be taken for one.
    check(
        format!(
            "POST /echo HTTP/1.1\r\nHost: here\r\n{headers}\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
        ),
        status,
    );
}

#[test]
fn a_monstrous_content_length() {
    check(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000000000\r\n\r\n",
        413,
    );
    check(
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000000000\r\n\r\n",
        413,
    );
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000000000000\r\n\r\n",
        400,
    );
}

#[test]
fn lengths_that_smuggle() {
    check_post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400);
    check_post("Content-Length: 5\r\nContent-Length: 6\r\n", 400);
    check_post("Content-Length: 5, 5\r\n", 400);
    check_post("Content-Length: +5\r\n", 400);
    check_post("Content-Length: -1\r\n", 400);
    check_post("Content-Length: abc\r\n", 400);
    check_post("Content-Length : 5\r\n", 400);
    check_post("X: a\r\n folded\r\n", 400);
}

#[test]
fn encodings() {
    check_post("Transfer-Encoding: gzip, chunked\r\n", 501);
    check_post("Transfer-Encoding: xchunked\r\n", 400);
    check_post("Transfer-Encoding: identity\r\n", 400);
}

#[test]
fn other_protocols() {
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    check("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400);
    check(b"\x00\xff\x13\x37 no such thing", 400);
    check("ssh-2.0-something\r\n", 400);
}

#[test]
fn hosts() {
    check("GET / HTTP/1.1\r\n\r\n", 400);
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
}

#[test]
fn expectations() {
    check_post("Expect: tea\r\nContent-Length: 5\r\n", 417);
}

#[test]
fn a_head_of_too_many_lines() {
    check_post(&"A: b\r\n".repeat(65), 431);
}

#[test]
fn a_body_cut_short_reaches_nobody() {
    let house = open(quick());
    let mut stream = house.connect();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nonly this")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(exchange(stream, "").starts_with("HTTP/1.1 400 "));
    assert_eq!(house.asked(), 0);
}

#[track_caller]
fn check_answer(house: &House, request: &str, start: &str, end: &str) {
    let answer = house.exchange(request);
    assert!(
        answer.starts_with(start) && answer.ends_with(end),
        "{answer}"
    );
    assert!(
        answer.contains("\r\nConnection: close\r\n") && answer.contains("\r\nX-Request-Id: "),
        "{answer}"
    );
    assert_eq!(answer.matches("X-Request-Id: ").count(), 1, "{answer}");
}

#[test]
fn good_requests_are_served() {
    let house = open(quick());
    let (ok, hello) = ("HTTP/1.1 200 OK\r\n", "\r\n\r\nhello");
    check_answer(&house, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ok, hello);
    check_answer(&house, "\r\n\r\nGET / HTTP/1.1\nHost: a\n\n", ok, hello);
    check_answer(
        &house,
        "GET / HTTP/1.0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n",
        hello,
    );
    check_answer(
        &house,
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        ok,
        "\r\nContent-Length: 5\r\n\r\n",
    );
    check_answer(&house, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ok, hello);
    check_answer(
        &house,
        "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "\r\n\r\n",
    );
    check_answer(
        &house,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        ok,
        "\r\n\r\nbody",
    );
    // Absolute form, needless encoding, and bytes that mean nothing to anybody here.
    check_answer(
        &house,
        "GET http://b/ HTTP/1.1\r\nHost: a\r\nX-City: S\u{e3}o Paulo\r\n\r\n",
        ok,
        hello,
    );
    check_answer(
        &house,
        "GET /%65mpty HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "\r\n\r\n",
    );
    let te = ["a;q=nan"; 60].join(", ");
    check_answer(
        &house,
        &format!("GET / HTTP/1.1\r\nHost: a\r\nTE: {te}\r\n\r\n"),
        ok,
        hello,
    );
}

#[test]
fn a_body_in_chunks() {
    let house = open(quick());
    let check = |chunks: &str, start: &str, end: &str| {
        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        check_answer(&house, &format!("{head}{chunks}"), start, end);
    };
    let ok = "HTTP/1.1 200 OK\r\n";
    check("4\r\nbody\r\n0\r\n\r\n", ok, "\r\n\r\nbody");
    check(
        "2;x=y\r\nbo\r\n2\r\ndy\r\n0\r\nX: y\r\n\r\nGET /",
        ok,
        "\r\n\r\nbody",
    );
    check("0\r\n\r\n", ok, "\r\n\r\n");
    let whole = format!("10000\r\n{}\r\n0\r\n\r\n", "x".repeat(1 << 16));
    check(&whole, ok, &"x".repeat(1 << 16));
    check("10001\r\nx", "HTTP/1.1 413 ", "}");
    check("4\nbody\n0\n\n", "HTTP/1.1 400 ", "}");
}

#[test]
fn a_head_is_answered_with_the_length_only() {
    let house = open(quick());
    for (path, length) in [("/hello", 5), ("/later", 5), ("/huge", 32 << 20)] {
        let answer = house.exchange(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let end = format!("\r\nContent-Length: {length}\r\n\r\n");
        assert!(answer.ends_with(&end), "{answer}");
    }
}

#[test]
fn an_answer_without_a_body_has_no_length() {
    let house = open(quick());
    for path in ["/empty", "/unchanged"] {
        let answer = house.get(path);
        assert!(
            answer.ends_with("\r\n\r\n") && !answer.contains("Content-Length"),
            "{answer}"
        );
    }
}

#[test]
fn an_answer_that_takes_too_long_is_a_504_and_thrown_away() {
    let house = open(Limits {
        answer_deadline: Duration::from_millis(100),
        ..quick()
    });
    let held = house.service.release.lock();
    let answer = house.get("/wait");
    assert!(
        answer.starts_with("HTTP/1.1 504 ") && answer.contains("\r\nX-Request-Id: "),
        "{answer}"
    );
    eventually("it to be counted", || {
        house.count(|stats| &stats.answer_timeouts) == 1
    });
    drop(held);
    // On a busy machine any answer may take too long for this house.
    eventually("service as before", || {
        house.get("/hello").ends_with("hello")
    });
}

#[test]
fn a_body_of_the_largest_size() {
    let house = open(quick());
    let body = "x".repeat(64 * 1024);
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    check_answer(
        &house,
        &request,
        "HTTP/1.1 200 OK\r\n",
        &format!("\r\n\r\n{body}"),
    );
}

#[test]
fn a_longer_body_is_the_services_to_refuse() {
    let house = open(quick());
    let body = "x".repeat(200_000);
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    check_answer(&house, &request, "HTTP/1.1 413 ", "}}");
    assert_eq!(house.asked(), 1);
}

#[test]
fn of_pipelined_requests_the_first_is_served() {
    let house = open(quick());
    let both = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    check_answer(&house, &both, "HTTP/1.1 200 OK\r\n", "\r\n\r\nhello");
    assert_eq!(house.asked(), 1);
}

#[test]
fn a_waiting_client_is_told_to_go_on() {
    let house = open(quick());
    let mut stream = house.connect();
    stream
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        )
        .unwrap();
    assert_eq!(
        read_until(&mut stream, "\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    assert!(exchange(stream, "body").ends_with("\r\n\r\nbody"));
}

#[test]
fn a_waiting_client_is_refused_without_its_body() {
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
        413,
    );
}

#[test]
fn a_half_closed_client_is_answered() {
    let house = open(quick());
    let mut stream = house.connect();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(exchange(stream, "").ends_with("\r\n\r\nhello"));
}

#[test]
fn forged_marks_and_addresses_are_dropped() {
    let house = open(quick());
    let answer = house.exchange(
        "GET /show?a=b?c HTTP/1.1\r\nHost: here\r\nX-Gate-Ticket: 1\r\nX-Gate-Peer: 6.6.6.6\r\nX-Gate-Key: k\r\n\
         X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\nConnection: x-mine\r\n\
         X-Mine: 1\r\nX-Other: 2\r\n\r\n",
    );
    let shown = "\r\n\r\nGET /show query=Some(\"a=b?c\")\npeer=127.0.0.1 https=false upgrade=false\n\
                 host=here\nx-other=2";
    assert!(answer.ends_with(shown), "{answer}");
}

#[test]
fn a_trusted_proxy_is_believed() {
    let house = open_behind(quick(), &["127.0.0.0/8"]);
    let answer = house.exchange(
        "GET /show HTTP/1.1\r\nHost: here\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n\
         X-Forwarded-Proto: https\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    );
    let shown = "\r\n\r\nGET /show query=None\npeer=203.0.113.9 https=true upgrade=true\nhost=here";
    assert!(answer.ends_with(shown), "{answer}");
}

#[test]
fn ipv6_is_spoken_too() {
    let house = open_at("[::1]:0", quick(), &[]);
    let answer = house.get("/show");
    assert!(answer.contains("\npeer=::1 https=false "), "{answer}");
    let house = open_at("[::1]:0", quick(), &["::1/128", "127.0.0.1/32"]);
    let request = "GET /show HTTP/1.1\r\nHost: [::1]\r\nX-Forwarded-For: 2001:db8::7, ::ffff:127.0.0.1\r\n\r\n";
    let answer = house.exchange(request);
    assert!(answer.contains("\npeer=2001:db8::7 "), "{answer}");
}

/// On a socket for both, an IPv4 client is the same client as on a socket for IPv4 only.
#[test]
fn ipv4_through_an_ipv6_listener_is_ipv4() {
    let mut house = open_at("[::]:0", quick(), &[]);
    house.address.set_ip([127, 0, 0, 1].into());
    let answer = house.get("/show");
    assert!(answer.contains("\npeer=127.0.0.1 "), "{answer}");
}

#[test]
fn a_panic_in_a_handler_is_a_500() {
    let house = open(quick());
    for _ in 0..house_threads() * 2 {
        let answer = house.get("/panic");
        assert!(
            answer.starts_with("HTTP/1.1 500 ") && answer.contains("internal_error"),
            "{answer}"
        );
        assert!(!answer.contains("as the test asked"), "{answer}");
    }
    assert_eq!(
        house.door().stats().panics.load(Ordering::SeqCst),
        house_threads() * 2
    );
    house.check_serves();
}

/// As many panics as would end every router thread, were they not caught.
fn house_threads() -> u64 {
    quick().max_in_flight as u64
}
