//! Strangers who want to be in the way: slow, many, greedy, gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use shellcraft::door::limits::raise_fd_limit;
use shellcraft::door::{Limits, MinDataRate};

use super::house::{
    House, PATIENCE, alone, connect_from, eventually, exchange, open, patient_ones, quick, read_all,
};
use crate::binary::anonymous_kib;

#[test]
fn a_head_without_end_is_cut_and_costs_nothing() {
    alone(
        "door::hostile::a_head_without_end_is_cut_and_costs_nothing",
        || {
            let house = open(quick());
            house.check_serves();
            let before = anonymous_kib(std::process::id());
            let mut stream = house.connect();
            stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
            let line = vec![b'x'; 64 * 1024];
            let sent = (0..8192)
                .take_while(|_| stream.write_all(&line).is_ok())
                .count();
            assert!(sent < 8192, "512 MiB were taken");
            let grown = anonymous_kib(std::process::id()).saturating_sub(before);
            assert!(grown < 4096, "{grown} KiB more");
            assert_eq!(house.count(|stats| &stats.bad_requests), 1);
        },
    );
}

#[test]
fn a_head_too_long_is_told_so() {
    let house = open(quick());
    let answer = house.exchange(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000)));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// Twenty who send a head byte by byte, until all of them are cut.
fn drip(house: &House) -> (Vec<TcpStream>, JoinHandle<()>) {
    let slow: Vec<TcpStream> = (0..20).map(|_| house.connect()).collect();
    let writers: Vec<TcpStream> = slow
        .iter()
        .map(|stream| stream.try_clone().unwrap())
        .collect();
    let dripping = thread::spawn(move || {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX: "
            .bytes()
            .chain(std::iter::repeat(b'x'));
        for byte in head {
            if writers
                .iter()
                .filter(|writer| (&mut &**writer).write_all(&[byte]).is_ok())
                .count()
                == 0
            {
                return;
            }
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    (slow, dripping)
}

/// They would drip for minutes before their heads are too long, so that a deadline that moves does not come in time.
#[test]
fn a_byte_now_and_then_does_not_move_the_deadline() {
    let house = open(quick());
    let started = Instant::now();
    let (mut slow, dripping) = drip(&house);
    for stream in &mut slow {
        let answer = read_all(stream);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    assert!(started.elapsed() > quick().head_deadline);
    drop(slow);
    dripping.join().unwrap();
    assert_eq!(house.count(|stats| &stats.client_timeouts), 20);
}

#[test]
fn a_byte_now_and_then_keeps_nobody_waiting() {
    let mut house = open(patient_ones());
    let (slow, dripping) = drip(&house);
    eventually("all of them inside", || {
        house.count(|stats| &stats.connections_open) == 20
    });
    house.check_serves();
    assert_eq!(house.close(), 0);
    drop(slow);
    dripping.join().unwrap();
}

/// Forty who send only a part of their bodies.
fn half_bodies(house: &House) -> Vec<TcpStream> {
    let mut slow: Vec<TcpStream> = (0..40).map(|_| house.connect()).collect();
    for stream in &mut slow {
        stream
            .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow")
            .unwrap();
    }
    slow
}

#[test]
fn a_slow_body_is_cut() {
    let house = open(quick());
    for stream in &mut half_bodies(&house) {
        assert!(read_all(stream).starts_with("HTTP/1.1 408 "));
    }
    assert_eq!(house.asked(), 0);
}

#[test]
fn a_slow_body_holds_no_router() {
    let house = open(patient_ones());
    let _slow = half_bodies(&house);
    eventually("all of them inside", || {
        house.count(|stats| &stats.connections_open) == 40
    });
    house.check_serves();
    assert_eq!(house.asked(), 1);
}

#[test]
fn a_silent_connection_ends_without_a_word() {
    let house = open(quick());
    assert_eq!(house.exchange(""), "");
}

#[test]
fn thousands_of_idle_connections_keep_nobody_out() {
    let descriptors = raise_fd_limit().unwrap();
    let many = if descriptors >= 6000 { 2000 } else { 300 };
    let limits = Limits {
        max_connections: many + 100,
        max_per_address: many + 100,
        // They are not waited for when the door closes, or it would not close in time.
        head_deadline: PATIENCE * 100,
        ..Limits::default()
    };
    let mut house = open(limits);
    let idle: Vec<TcpStream> = (0..many).map(|_| house.connect()).collect();
    eventually("all of them inside", || {
        house.count(|stats| &stats.connections_open) == many as u64
    });
    house.check_serves();
    // No ticks: the close wakes them all at once.
    assert_eq!(house.close(), 0);
    drop(idle);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let limits = Limits {
        max_connections: 8,
        max_per_address: 4,
        ..Limits::for_descriptors(1024)
    };
    let house = open(limits);
    let held: Vec<TcpStream> = (0..4).map(|_| house.connect()).collect();
    eventually("four inside", || {
        house.count(|stats| &stats.connections_open) == 4
    });
    let answer = house.get("/hello");
    assert!(
        answer.starts_with("HTTP/1.1 429 ") && answer.contains("\r\nRetry-After: 1\r\n"),
        "{answer}"
    );
    let other = connect_from("127.0.0.2", house.address);
    assert!(exchange(other, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("hello"));
    drop(held);
    eventually("room again", || house.get("/hello").ends_with("hello"));
}

/// Many who don't read their answers: more than all places in tiny_http, all of one address, and the handlers' answers
/// as well as hand-offs'.
fn deaf(house: &House, many: usize) -> Vec<TcpStream> {
    let deaf: Vec<TcpStream> = (0..many)
        .map(|index| {
            let path = ["/huge", "/later-huge"][index % 2];
            let mut stream = house.connect();
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    eventually("all answers under way", || house.asked() == many);
    deaf
}

#[test]
fn those_who_do_not_read_their_answer_keep_nobody_waiting() {
    let limits = patient_ones();
    let house = open(limits.clone());
    let _deaf = deaf(&house, limits.max_in_flight + 8);
    house.check_serves();
}

#[test]
fn those_who_do_not_read_their_answer_are_cut() {
    // The pace alone would give them a year.
    let pace = MinDataRate {
        bytes_per_second: 1,
        ..quick().write_pace
    };
    let limits = Limits {
        write_pace: pace,
        ..quick()
    };
    let house = open(limits.clone());
    let many = limits.max_in_flight + 8;
    let started = Instant::now();
    let deaf = deaf(&house, many);
    eventually("all of them cut", || {
        house.count(|stats| &stats.connections_open) == 0
    });
    assert!(started.elapsed() > pace.patience);
    assert_eq!(
        house.count(|stats| &stats.client_timeouts),
        many.div_ceil(2) as u64
    );
    drop(deaf);
}

/// Takes the whole of `/huge` in so many bites, with a pause before each; returns how much came.
fn nibble(house: &House, bites: usize, pause: Duration) -> usize {
    let mut stream = house.connect();
    stream
        .write_all(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut bite = vec![0; (33 << 20) / bites];
    let mut taken = 0;
    loop {
        thread::park_timeout(pause);
        let mut had = 0;
        while had < bite.len() {
            match stream.read(&mut bite[had..]) {
                Ok(0) | Err(_) => return taken + had,
                Ok(got) => had += got,
            }
        }
        taken += had;
    }
}

#[test]
fn a_client_slower_than_our_patience_gets_its_answer_if_it_keeps_the_pace() {
    // A machine that stands still for so long would be taken for a client that does.
    let pace = MinDataRate {
        patience: Duration::from_secs(4),
        bytes_per_second: 256 << 10,
    };
    let house = open(Limits {
        write_pace: pace,
        ..quick()
    });
    let started = Instant::now();
    let taken = nibble(&house, 60, Duration::from_millis(80));
    assert!(taken > 32 << 20, "{taken} bytes");
    assert!(started.elapsed() > pace.patience);
    assert_eq!(house.count(|stats| &stats.client_timeouts), 0);
}

#[test]
fn a_client_that_takes_a_little_now_and_then_is_cut() {
    let pace = MinDataRate {
        patience: Duration::from_millis(500),
        bytes_per_second: 128 << 20,
    };
    let house = open(Limits {
        write_pace: pace,
        ..quick()
    });
    // Like this it would take three seconds.
    let taken = nibble(&house, 100, Duration::from_millis(30));
    assert!(taken < 32 << 20, "{taken} bytes");
    eventually("it to be counted", || {
        house.count(|stats| &stats.client_timeouts) == 1
    });
}

#[test]
fn a_huge_answer_arrives_whole_where_it_is_read() {
    let house = open(Limits::for_descriptors(1024));
    let answer = house.get("/huge");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nContent-Length: 33554432"), "{head}");
    assert_eq!(body.len(), 32 << 20);
}

#[test]
fn requests_followed_by_a_reset_harm_nobody() {
    let house = open(quick());
    for _ in 0..100 {
        let mut stream = house.connect();
        stream
            .write_all(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    eventually("all of them gone", || {
        house.count(|stats| &stats.connections_open) == 0
    });
    assert_eq!(house.count(|stats| &stats.panics), 0);
    house.check_serves();
}

/// The other half of `it_survives_having_no_descriptors`: a server that has 48 of them.
#[test]
fn few_descriptors() {
    if std::env::var_os("SHELLCRAFT_TEST_FEW_DESCRIPTORS").is_none() {
        return; // Nobody to serve: only the other test wants us.
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(48),
            maximum: Some(48),
        },
    )
    .unwrap();
    // Limits that promise more than there is, or running out would never happen.
    let house = open(Limits {
        max_connections: 1000,
        max_per_address: 1000,
        ..Limits::for_descriptors(0)
    });
    println!("\nlistening on {}", house.address);
    let _ = std::io::stdin().read(&mut [0]);
    println!(
        "\naccept errors: {}",
        house.count(|stats| &stats.accept_errors)
    );
    println!("rebuilds: {}", house.count(|stats| &stats.rebuilds));
}

#[test]
fn it_survives_having_no_descriptors() {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["door::hostile::few_descriptors", "--exact", "--nocapture"])
        .env("SHELLCRAFT_TEST_FEW_DESCRIPTORS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let listening = told
        .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned))
        .unwrap();
    let connect = || {
        let stream = TcpStream::connect(listening.as_str()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let get = |stream| exchange(stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(get(connect()).ends_with("hello"));
    // More idle connections each round, so that every place that needs a descriptor finds none once: the door's
    // accept, its way to tiny_http, tiny_http's accept and the copy it makes, and tiny_http's next start.
    for idle in 30..46 {
        let mut held: Vec<TcpStream> = (0..idle).map(|_| connect()).collect();
        for _ in 0..8 {
            let answer = get(held.remove(0));
            let is_answer =
                answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 503 ");
            assert!(is_answer, "{answer:?} with {idle} idle");
        }
        drop(held);
        eventually("service as before", || get(connect()).ends_with("hello"));
    }
    drop(server.stdin.take());
    for what in ["accept errors: ", "rebuilds: "] {
        let count = told
            .find_map(|line| line.strip_prefix(what).map(str::to_owned))
            .unwrap();
        assert_ne!(count, "0", "{what}");
    }
    told.for_each(drop);
    assert!(server.wait().unwrap().success());
}
