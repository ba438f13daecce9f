//! Connections the service takes for itself.

use std::io::Write;
use std::net::Shutdown;

use super::house::{eventually, exchange, open, quick, read_all, read_until};

const TAKE: &str =
    "GET /take HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

#[test]
fn bytes_glued_to_the_request_are_handed_on() {
    let house = open(quick());
    let mut stream = house.connect();
    stream.write_all(format!("{TAKE}early").as_bytes()).unwrap();
    assert_eq!(read_until(&mut stream, "early"), "TAKEN early");
    stream.write_all(b" and late").unwrap();
    assert_eq!(read_until(&mut stream, "late"), " and late");
    assert_eq!(house.count(|stats| &stats.handed_off), 1);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), "");
    eventually("the hand-off's end", || {
        house.count(|stats| &stats.handed_off_open) == 0
    });
}

#[test]
fn a_hand_off_outlives_every_deadline_and_counts_as_a_connection() {
    let house = open(super::house::quick());
    let mut taken = house.connect();
    taken.write_all(TAKE.as_bytes()).unwrap();
    read_until(&mut taken, "TAKEN ");
    // Another connection that says nothing is cut by the head's deadline meanwhile.
    let mut idle = house.connect();
    idle.write_all(b"GET").unwrap();
    assert!(read_all(&mut idle).starts_with("HTTP/1.1 408 "));
    taken.write_all(b"still here").unwrap();
    read_until(&mut taken, "still here");
    assert!(house.count(|stats| &stats.connections_open) >= 1);
    drop(taken);
    eventually("all connections' end", || {
        house.count(|stats| &stats.connections_open) == 0
    });
}

#[test]
fn a_hand_off_holds_no_place_in_tiny_http() {
    let limits = quick();
    let house = open(limits.clone());
    let taken: Vec<_> = (0..limits.max_in_flight * 2)
        .map(|_| {
            let mut stream = house.connect();
            stream.write_all(TAKE.as_bytes()).unwrap();
            read_until(&mut stream, "TAKEN ");
            stream
        })
        .collect();
    house.check_serves();
    drop(taken);
}

#[test]
fn a_panic_in_a_hand_off_closes_its_connection_only() {
    let house = open(quick());
    assert_eq!(house.get("/take-panic"), "");
    eventually("the panic's count", || {
        house.count(|stats| &stats.panics) == 1
    });
    eventually("the connection's end", || {
        house.count(|stats| &stats.connections_open) == 0
    });
    house.check_serves();
}

#[test]
fn a_long_body_can_be_read_by_its_handler() {
    let house = open(quick());
    let body = "x".repeat(1 << 20);
    let request = format!(
        "PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(house.exchange(request).ends_with("\r\n\r\ngot 1048576"));
}

#[test]
fn a_long_body_can_be_asked_for() {
    let house = open(quick());
    let mut stream = house.connect();
    let head =
        "PUT /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(
        read_until(&mut stream, "\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    assert!(exchange(stream, "x".repeat(100_000)).ends_with("\r\n\r\ngot 100000"));
}
