//! Clients behind a trusted proxy: what one of them can take from the others.

use std::io::Write;
use std::net::TcpStream;

use shellcraft::door::Limits;

use super::house::{
    House, PATIENCE, connect_from, eventually, exchange, open_behind, quick, read_all,
};

/// The proxy's own address. The clients that come directly are at 127.0.0.1.
const PROXY: &str = "127.0.0.2";

/// Deadlines so far away that nothing is cut in time.
fn house(limits: Limits) -> House {
    let limits = Limits {
        head_deadline: PATIENCE * 10,
        body_deadline: PATIENCE * 10,
        ..limits
    };
    open_behind(limits, &["127.0.0.2/32"])
}

fn from_proxy(house: &House) -> TcpStream {
    connect_from(PROXY, house.address)
}

fn request(client: &str, length: usize) -> String {
    format!(
        "POST /hello HTTP/1.1\r\nHost: here\r\nX-Forwarded-For: {client}\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[test]
fn slow_heads_take_their_share_of_the_connections_only() {
    let house = house(Limits {
        max_connections: 8,
        max_per_address: 8,
        max_untold: 2,
        ..quick()
    });
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = from_proxy(&house);
            stream.write_all(b"POST /hello HT").unwrap();
            stream
        })
        .collect();
    // Those that came after are told so, and others are served.
    let answer = read_all(&mut from_proxy(&house));
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    house.check_serves();
    // A share is free again as soon as a head is there, though its request goes on.
    let [mut first, _second] = <[_; 2]>::try_from(slow).unwrap();
    first
        .write_all(
            b"TP/1.1\r\nHost: here\r\nX-Forwarded-For: 203.0.113.1\r\nContent-Length: 1\r\n\r\n",
        )
        .unwrap();
    eventually("a place for another head", || {
        let answer = exchange(from_proxy(&house), request("203.0.113.2", 0));
        answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 405 ")
    });
}

/// Counted by the address that the proxy tells, before the body is there.
#[test]
fn slow_bodies_are_counted_for_their_client() {
    let house = house(Limits {
        max_per_address: 3,
        ..quick()
    });
    let mut slow: Vec<_> = (0..3).map(|_| from_proxy(&house)).collect();
    for stream in &mut slow {
        stream
            .write_all(request("203.0.113.1", 9).as_bytes())
            .unwrap();
    }
    eventually("the client to be told that it has enough", || {
        let answer = exchange(from_proxy(&house), request("203.0.113.1", 0));
        answer.starts_with("HTTP/1.1 429 ")
    });
    let answer = exchange(from_proxy(&house), request("203.0.113.2", 0));
    assert!(!answer.starts_with("HTTP/1.1 429 "), "{answer}");
    house.check_serves();
}
