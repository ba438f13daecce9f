//! Opening, closing, healing, and what is left afterwards.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::Shutdown;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, getuid, pidfd_getfd, pidfd_open};
use shellcraft::door::{Arrivals, Door, Limits, Listener};

use super::house::{
    Small, alone, eventually, exchange, open, patient_ones, quick, read_all, read_until,
};

/// The names of this process's threads, our own test's aside.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_close_leaves_nothing() {
    alone("door::life::a_close_leaves_nothing", || {
        let (threads_before, descriptors_before) = (threads().len(), descriptors());
        // Those who say nothing more are not waited for, or it would not close in time.
        let mut house = open(patient_ones());
        let private_dir = house.private_dir();
        house.check_serves();
        let idle: Vec<TcpStream> = (0..50).map(|_| house.connect()).collect();
        let mut half: Vec<TcpStream> = (0..50).map(|_| house.connect()).collect();
        for stream in &mut half {
            stream
                .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nha")
                .unwrap();
        }
        eventually("all of them inside", || {
            house.count(|stats| &stats.connections_open) == 100
        });
        assert_eq!(house.close(), 0);
        let ours = threads()
            .into_iter()
            .filter(|name| name.starts_with("door-") || name.starts_with("http-"));
        assert_eq!(ours.collect::<Vec<_>>(), Vec::<String>::new());
        assert!(!private_dir.exists());
        drop((idle, half));
        // tiny_http's own threads belong to it; its pool looks every five seconds whether it is still wanted.
        eventually("the end of tiny_http's threads", || {
            threads().len() == threads_before
        });
        eventually("all descriptors closed", || {
            descriptors() == descriptors_before
        });
    });
}

#[test]
fn a_close_waits_for_the_answer_under_way() {
    let mut house = open(quick());
    let service = Arc::clone(&house.service);
    let held = service.release.lock();
    let mut asking = house.connect();
    asking
        .write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    eventually("the handler at work", || {
        service.waiting.load(Ordering::SeqCst) == 1
    });
    thread::scope(|scope| {
        let closing = scope.spawn(|| house.close());
        drop(held);
        assert!(read_all(&mut asking).ends_with("\r\n\r\nwaited"));
        assert_eq!(closing.join().unwrap(), 0);
    });
}

#[test]
fn a_close_leaves_behind_what_does_not_end() {
    let mut house = open(quick());
    let mut taken = house.connect();
    taken
        .write_all(b"GET /take HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    read_until(&mut taken, "TAKEN ");
    let door = house.door.take().unwrap();
    assert_eq!(door.close(Instant::now() + Duration::from_secs(2)), 1);
}

#[test]
fn a_close_waits_a_second_for_those_who_take_their_answer_slowly() {
    // They may be so slow that only the close can end them.
    let mut house = open(patient_ones());
    let deaf: Vec<TcpStream> = ["/huge", "/later-huge"]
        .map(|path| {
            let mut stream = house.connect();
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            read_until(&mut stream, "\r\n\r\n");
            stream
        })
        .into();
    assert_eq!(house.close(), 0);
    drop(deaf);
}

#[test]
fn after_stop_accepting_only_those_inside_are_served() {
    let house = open(Limits::for_descriptors(1024));
    let mut inside = house.connect();
    inside.write_all(b"GET / HT").unwrap();
    eventually("it is inside", || {
        house.count(|stats| &stats.connections_open) == 1
    });
    house.door().stop_accepting();
    assert!(TcpStream::connect(house.address).is_err());
    assert!(exchange(inside, "TP/1.1\r\nHost: a\r\n\r\n").ends_with("hello"));
}

#[test]
fn ended_connections_leave_no_thread_while_the_door_is_open() {
    alone(
        "door::life::ended_connections_leave_no_thread_while_the_door_is_open",
        || {
            let house = open(quick());
            house.check_serves();
            let before = threads().len();
            (0..300).for_each(|_| assert!(house.get("/hello").ends_with("hello")));
            eventually("as few threads as before", || threads().len() <= before);
        },
    );
}

#[test]
fn no_other_user_reaches_tiny_http() {
    let house = open(quick());
    // Readable by all, as /tmp is; what keeps others out must be the directory in it.
    fs::set_permissions(house.runtime_dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let private_dir = house.private_dir();
    assert_eq!(
        fs::metadata(&private_dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    if getuid().is_root() {
        let looked = Command::new("ls")
            .arg(&private_dir)
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        assert!(!looked.status.success() && looked.stdout.is_empty());
    }
}

#[test]
fn without_a_ticket_tiny_http_answers_nobody() {
    let house = open(quick());
    let socket = house.private_dir().join("http-1.sock");
    for ticket in [
        "",
        "X-Gate-Ticket: 1\r\n",
        "X-Gate-Ticket: 00000000000000000000000000000000\r\n",
    ] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream
            .write_all(format!("GET / HTTP/1.1\r\nConnection: close\r\n{ticket}\r\n").as_bytes())
            .unwrap();
        let answer = std::io::read_to_string(stream).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    assert_eq!(house.asked(), 0);
}

#[test]
fn tiny_http_is_started_anew_when_its_accept_loop_dies() {
    let house = open(quick());
    house.check_serves();
    for round in 1..=3 {
        let private_dir = house.private_dir();
        end_listener(private_dir.to_str().unwrap());
        eventually("service as before", || {
            house.get("/hello").ends_with("hello")
        });
        eventually("a rebuild", || {
            house.get("/hello").ends_with("hello") && house.count(|stats| &stats.rebuilds) >= round
        });
    }
    house.check_serves();
}

/// Shuts the newest listening socket under `private_dir` down, so that its `accept` fails.
fn end_listener(private_dir: &str) {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    // Num RefCount Protocol Flags Type St Inode Path; 00010000 is a listening socket.
    let listening = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = listening.filter(|line| {
        line.len() == 8 && line[3] == "00010000" && line[7].starts_with(private_dir)
    });
    let us = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    for socket in listening {
        let link = format!("socket:[{}]", socket[6]);
        let found = fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .find(|entry| {
                fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy() == link)
            });
        let number = found
            .unwrap()
            .file_name()
            .to_string_lossy()
            .parse()
            .unwrap();
        let copy = pidfd_getfd(&us, number, PidfdGetfdFlags::empty()).unwrap();
        rustix::net::shutdown(&copy, Shutdown::Both).unwrap();
    }
}

#[track_caller]
fn check_open_fails(runtime_dir: &str, message: &str) {
    let listener = Listener::at("127.0.0.1:0".parse().unwrap()).unwrap();
    let opened = Door::open(
        listener,
        quick(),
        Arrivals::Strangers,
        vec![],
        Arc::<Small>::default(),
        Arc::default(),
        runtime_dir.as_ref(),
    );
    let error = opened.err().unwrap().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn a_door_that_cannot_open_says_why() {
    check_open_fails(
        "/nonexistent",
        "no private directory at /nonexistent/shellcraft-",
    );
    let deep = tempfile::tempdir().unwrap();
    let deep = deep.path().join("x".repeat(100));
    fs::create_dir(&deep).unwrap();
    check_open_fails(deep.to_str().unwrap(), "at most 107 bytes");
}
