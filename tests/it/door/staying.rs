//! Connections that stay open for another request: for whom, for how long, and for whom not.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use shellcraft::door::Limits;

use super::house::{
    House, connect_from, eventually, open, open_behind, patient_ones, quick, read_all, read_until,
};

const STAYS: &str = "\r\nConnection: keep-alive\r\nKeep-Alive: timeout=";

fn asking(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\n\r\n")
}

/// Sends a request and reads an answer whose body is `body`, and no byte more.
#[track_caller]
fn ask(stream: &mut TcpStream, request: &str, body: &str) -> String {
    stream.write_all(request.as_bytes()).expect("it is open");
    let head = read_until(stream, "\r\n\r\n");
    if !body.is_empty() {
        assert_eq!(read_until(stream, body), body, "{head}");
    }
    head
}

fn once() -> House {
    open(Limits {
        idle: Duration::from_millis(300),
        ..patient_ones()
    })
}

/// As a browser loads a page: one connection, many requests, of each kind.
#[test]
fn a_browser_s_connection_serves_many_requests() {
    let house = open(patient_ones());
    let mut stream = house.connect();
    let mut ids = Vec::new();
    let post = "POST /echo HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nabcd";
    let head = "HEAD /hello HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\n\r\n";
    for (request, body) in [
        (asking("/hello").as_str(), "hello"),
        (post, "abcd"),
        (head, ""),
        (&asking("/empty"), ""),
        (&asking("/unchanged"), ""),
        (&asking("/hello"), "hello"),
    ] {
        let head = ask(&mut stream, request, body);
        assert!(head.contains(STAYS), "{head}");
        let id = head.split("X-Request-Id: ").nth(1).expect("an id");
        ids.push(id.lines().next().expect("a line").to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(
        (ids.len(), house.asked()),
        (6, 6),
        "each has an id of its own"
    );
    assert_eq!(house.count(|stats| &stats.accepted), 1);
    // It ends when the client says so.
    let last = "GET /hello HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    stream.write_all(last.as_bytes()).expect("it is open");
    let answer = read_all(&mut stream);
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

/// A terminal on a connection that has carried an answer is like any other, whatever the answer's deadlines were.
#[test]
fn a_hand_off_comes_behind_other_requests() {
    let limits = quick();
    let house_patience = limits.write_pace.patience;
    let house = open(limits);
    let mut stream = house.connect();
    ask(&mut stream, &asking("/hello"), "hello");
    stream.write_all(asking("/take").as_bytes()).expect("open");
    read_until(&mut stream, "TAKEN ");
    // More than the sockets hold, and for longer than an answer's patience nobody takes any of it.
    let bytes = vec![b'x'; 32 << 20];
    let mut writer = stream.try_clone().expect("a descriptor");
    let written = thread::spawn(move || {
        writer.write_all(&bytes).expect("it is taken in the end");
        writer.shutdown(Shutdown::Write).expect("it is open");
    });
    thread::sleep(house_patience * 2);
    assert_eq!(read_all(&mut stream).len(), 32 << 20);
    written.join().expect("it is written");
    // An answer of a hand-off is the last one.
    let mut stream = house.connect();
    ask(&mut stream, &asking("/hello"), "hello");
    stream.write_all(asking("/later").as_bytes()).expect("open");
    let answer = read_all(&mut stream);
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

#[track_caller]
fn check_closes(house: &House, request: &str) {
    let answer = house.exchange(request);
    assert_eq!(answer.matches("\r\nX-Request-Id: ").count(), 1, "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

/// What could be misread, or is another's, gets one answer and the end.
#[test]
fn others_close_after_one_answer() {
    let house = open_behind(patient_ones(), &["127.0.0.9/32"]);
    let second = "GET /hello HTTP/1.1\r\nHost: here\r\n\r\n";
    let line = "Connection: keep-alive\r\n";
    for head in [
        // Who does not ask.
        "GET /hello HTTP/1.1\r\nHost: here\r\n\r\n".to_owned(),
        format!("GET /hello HTTP/1.0\r\n{line}\r\n"),
        "GET /hello HTTP/1.1\r\nHost: here\r\nConnection: keep-alive, close\r\n\r\n".to_owned(),
        format!("GET /hello HTTP/1.1\r\nHost: here\r\n{line}Connection: close\r\n\r\n"),
        // Several at once, and a length in doubt.
        format!("{}{second}", asking("/hello")),
        format!(
            "POST /echo HTTP/1.1\r\nHost: here\r\n{line}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!(
            "POST /echo HTTP/1.1\r\nHost: here\r\n{line}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{second}"
        ),
        format!(
            "POST /echo HTTP/1.1\r\nHost: here\r\n{line}Content-Length: 100000\r\n\r\n{second}"
        ),
        format!("POST /echo HTTP/1.1\r\nHost: here\r\n{line}Content-Length: 2\r\n\r\nab{second}"),
        // A proxy that nobody declared.
        format!("GET /hello HTTP/1.1\r\nHost: here\r\n{line}X-Forwarded-For: 203.0.113.7\r\n\r\n"),
        // Refused.
        format!("GET /hello HTTP/1.1\r\n{line}\r\n"),
    ] {
        check_closes(&house, &head);
    }
    let mut proxy = connect_from("127.0.0.9", house.address);
    proxy.write_all(asking("/hello").as_bytes()).expect("open");
    let answer = read_all(&mut proxy);
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    // A refusal closes a connection that has stayed open, too.
    let mut stream = house.connect();
    ask(&mut stream, &asking("/hello"), "hello");
    stream.write_all(b"nonsense\r\n\r\n").expect("open");
    let answer = read_all(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

/// Who asks nothing more is let go of without a word, and a slow next head has the deadline of a first one.
#[test]
fn it_stays_open_for_a_while_only() {
    let house = once();
    let mut stream = house.connect();
    ask(&mut stream, &asking("/hello"), "hello");
    assert_eq!(read_all(&mut stream), "");
    let house = open(Limits {
        idle: Duration::from_secs(3600),
        ..quick()
    });
    let mut stream = house.connect();
    ask(&mut stream, &asking("/hello"), "hello");
    stream.write_all(b"GET /hel").expect("open");
    let answer = read_all(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// Idle connections leave half of all places to others.
#[test]
fn idle_connections_do_not_fill_the_house() {
    let house = open(Limits {
        max_connections: 16,
        max_per_address: 16,
        ..patient_ones()
    });
    let mut idle = Vec::new();
    let answer = loop {
        let mut stream = house.connect();
        stream.write_all(asking("/hello").as_bytes()).expect("open");
        let head = read_until(&mut stream, "\r\n\r\nhello");
        if !head.contains(STAYS) {
            break head;
        }
        idle.push(stream);
        assert!(idle.len() < 16, "all places are taken");
    };
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(idle.len(), 7);
    house.check_serves();
    drop(idle);
    eventually("their places", || {
        house.door().stats().connections_open.load(Ordering::SeqCst) == 0
    });
}

/// The door does not wait for those who may still ask something.
#[test]
fn the_close_ends_idle_connections_at_once() {
    let mut house = open(patient_ones());
    let mut stream = house.connect();
    ask(&mut stream, &asking("/hello"), "hello");
    let began = Instant::now();
    assert_eq!(house.close(), 0);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(read_all(&mut stream), "");
}
