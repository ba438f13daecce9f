//! A door for other instances: who gets through it, and who is believed.

use std::io::Read;
use std::net::TcpStream;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use shellcraft::door::{Arrivals, Greeter};

use super::house::{House, open_behind, open_for, quick};

/// Lets in who says a certain word.
struct Password;

impl Greeter for Password {
    fn greet(&self, mut stream: &TcpStream, _stop: BorrowedFd<'_>) -> bool {
        let mut said = [0; 6];
        stream.read_exact(&mut said).is_ok() && said == *b"sesame"
    }
}

fn house() -> House {
    let arrivals = Arrivals::Peers(Arc::new(Password));
    open_for(arrivals, "127.0.0.1:0", quick(), &["127.0.0.1/32"])
}

const RELAYED: &str = "x-fleet-request: f47ac10b-58cc-4372-a567-0e02b2c3d479\r\n\
    x-fleet-peer: 203.0.113.9\r\nx-fleet-form: https\r\n";

fn said(house: &House, greeting: &str, headers: &str) -> String {
    house.exchange(format!(
        "{greeting}GET /show HTTP/1.1\r\nHost: here\r\n{headers}\r\n"
    ))
}

#[test]
fn a_peer_is_believed_what_it_says_of_its_client() {
    let house = house();
    let answer = said(&house, "sesame", RELAYED);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("\npeer=203.0.113.9 https=true "),
        "{answer}"
    );
    assert!(
        answer.contains("X-Request-Id: f47ac10b-58cc-4372-a567-0e02b2c3d479\r\n"),
        "{answer}"
    );
    // What it said is not passed on as the client's own headers.
    assert!(!answer.contains("x-fleet"), "{answer}");
}

#[test]
fn who_does_not_know_the_greeting_gets_no_byte() {
    let house = house();
    for greeting in ["sesam ", "GET / ", ""] {
        let answer = said(&house, greeting, RELAYED);
        assert_eq!(answer, "", "{greeting}");
    }
    assert_eq!(house.service.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_peer_that_does_not_say_whose_request_it_is_is_refused() {
    let house = house();
    for headers in [
        "",
        "X-Forwarded-For: 203.0.113.9\r\n",
        "x-fleet-peer: 203.0.113.9\r\n",
        &RELAYED.replace("203.0.113.9", "nobody"),
        &format!("{RELAYED}x-fleet-peer: 198.51.100.7\r\n"),
    ] {
        let answer = said(&house, "sesame", headers);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers}: {answer}");
    }
}

/// At the door for strangers, and behind a trusted proxy too.
#[test]
fn a_stranger_s_word_is_dropped() {
    for trusted in [&[][..], &["127.0.0.1/32"]] {
        let house = open_behind(quick(), trusted);
        let request =
            format!("GET /show HTTP/1.1\r\nHost: here\r\n{RELAYED}X-Fleet-Turn: 1\r\n\r\n");
        let answer = house.exchange(request);
        assert!(answer.contains("\npeer=127.0.0.1 https=false "), "{answer}");
        assert!(!answer.to_lowercase().contains("x-fleet"), "{answer}");
        assert!(!answer.contains("f47ac10b"), "{answer}");
    }
}
