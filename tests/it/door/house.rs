//! An open door with a small service behind it, and clients of the rude kind.

use std::borrow::Cow;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use shellcraft::door::{Answer, Body, Request, Response, Service};
use shellcraft::door::{Arrivals, Connection, Door, Limits, Listener, MinDataRate};

/// More than any socket buffer takes, and no memory as long as nobody writes to it.
static HUGE: [u8; 32 << 20] = [0; 32 << 20];

/// What every wait in these tests may last at most.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Small {
    pub asked: AtomicUsize,
    pub waiting: AtomicUsize,
    pub release: parking_lot::Mutex<()>,
}

impl Service for Small {
    fn answer(&self, request: Request) -> Answer {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match request.path.as_str() {
            "/echo" => match request.body {
                Body::Whole(body) => text(200, body),
                Body::TooLong(_) => {
                    Answer::Response(Response::error(413, "content_too_large", "Too long."))
                }
            },
            "/show" => text(200, show(&request).into_bytes()),
            "/huge" => Answer::Response(huge()),
            "/empty" => text(204, Vec::new()),
            "/unchanged" => text(304, b"what must not be sent".to_vec()),
            "/later" => Answer::HandOff(Box::new(move |connection| {
                let Answer::Response(response) = text(200, b"later".to_vec()) else {
                    return;
                };
                let _ = connection.respond(request.id, response);
            })),
            "/later-huge" => Answer::HandOff(Box::new(move |connection| {
                let _ = connection.respond(request.id, huge());
            })),
            "/panic" => panic!("as the test asked"),
            "/wait" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let _released = self.release.lock();
                text(200, b"waited".to_vec())
            }
            "/take" => Answer::HandOff(Box::new(echo)),
            "/take-panic" => Answer::HandOff(Box::new(|_| panic!("as the test asked"))),
            "/upload" => Answer::HandOff(Box::new(move |connection| upload(connection, request))),
            _ => text(200, b"hello".to_vec()),
        }
    }
}

fn huge() -> Response {
    Response {
        status: 200,
        headers: vec![],
        body: Cow::Borrowed(&HUGE),
    }
}

fn text(status: u16, body: Vec<u8>) -> Answer {
    let headers = vec![("Content-Type", "text/plain".to_owned())];
    Answer::Response(Response {
        status,
        headers,
        body: Cow::Owned(body),
    })
}

fn show(request: &Request) -> String {
    let mut lines = vec![
        format!(
            "{} {} query={:?}",
            request.method, request.path, request.query
        ),
        format!(
            "peer={} https={} upgrade={}",
            request.peer, request.is_https, request.is_websocket_upgrade
        ),
    ];
    lines.extend(
        request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    lines.join("\n")
}

/// Says that it has the connection, then sends everything back until the client is done.
fn echo(mut connection: Connection) {
    let mut sent = b"TAKEN ".to_vec();
    sent.append(&mut connection.leftover);
    let mut chunk = [0; 1024];
    while connection.stream.write_all(&sent).is_ok() {
        match connection.stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(got) => sent = chunk[..got].to_vec(),
        }
    }
}

/// Reads a body of its own and tells its length.
fn upload(mut connection: Connection, request: Request) {
    let Body::TooLong(length) = request.body else {
        panic!("the body should be left")
    };
    if connection.expects_continue {
        connection
            .stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap();
    }
    let mut body = std::mem::take(&mut connection.leftover);
    let rest = length - body.len() as u64;
    (&connection.stream)
        .take(rest)
        .read_to_end(&mut body)
        .unwrap();
    let answer = format!("got {}", body.len()).into_bytes();
    let response = Response {
        status: 200,
        headers: vec![],
        body: Cow::Owned(answer),
    };
    connection.respond(request.id, response).unwrap();
}

/// An open door; closed, with nothing left behind, when dropped.
pub struct House {
    pub door: Option<Door>,
    pub address: SocketAddr,
    pub service: Arc<Small>,
    pub runtime_dir: tempfile::TempDir,
}

/// Limits with deadlines that a test can wait for.
pub fn quick() -> Limits {
    Limits {
        head_deadline: Duration::from_millis(1500),
        body_deadline: Duration::from_millis(1500),
        write_pace: MinDataRate {
            patience: Duration::from_millis(1500),
            bytes_per_second: 16 << 20,
        },
        ..Limits::for_descriptors(1024)
    }
}

/// Limits that cut nobody while a test lasts: whoever is served then was not served because others had been cut.
pub fn patient_ones() -> Limits {
    Limits {
        head_deadline: PATIENCE * 100,
        body_deadline: PATIENCE * 100,
        write_pace: MinDataRate {
            patience: PATIENCE * 100,
            bytes_per_second: 1,
        },
        ..Limits::for_descriptors(1024)
    }
}

pub fn open(limits: Limits) -> House {
    open_behind(limits, &[])
}

pub fn open_behind(limits: Limits, trusted_proxies: &[&str]) -> House {
    open_at("127.0.0.1:0", limits, trusted_proxies)
}

pub fn open_at(address: &str, limits: Limits, trusted_proxies: &[&str]) -> House {
    open_for(Arrivals::Strangers, address, limits, trusted_proxies)
}

pub fn open_for(
    arrivals: Arrivals,
    address: &str,
    limits: Limits,
    trusted_proxies: &[&str],
) -> House {
    let listener = Listener::at(address.parse().unwrap()).unwrap();
    let runtime_dir = tempfile::tempdir().unwrap();
    let service = Arc::<Small>::default();
    let trusted = trusted_proxies
        .iter()
        .map(|network| network.parse().unwrap())
        .collect();
    let door = Door::open(
        listener,
        limits,
        arrivals,
        trusted,
        service.clone(),
        Arc::default(),
        runtime_dir.path(),
    )
    .unwrap();
    House {
        address: door.address().tcp().expect("an address"),
        door: Some(door),
        service,
        runtime_dir,
    }
}

impl House {
    pub fn door(&self) -> &Door {
        self.door.as_ref().unwrap()
    }

    pub fn count(&self, counter: impl Fn(&shellcraft::door::Stats) -> &AtomicU64) -> u64 {
        counter(self.door().stats()).load(Ordering::SeqCst)
    }

    pub fn asked(&self) -> usize {
        self.service.asked.load(Ordering::SeqCst)
    }

    pub fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(self.address).unwrap())
    }

    /// Sends `request` and reads until the end, whatever comes.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        exchange(self.connect(), request)
    }

    pub fn get(&self, path: &str) -> String {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n"))
    }

    /// That others are served.
    #[track_caller]
    pub fn check_serves(&self) {
        let answer = self.get("/hello");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nhello"),
            "{answer}"
        );
    }

    pub fn private_dir(&self) -> PathBuf {
        fs::read_dir(self.runtime_dir.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    }

    pub fn close(&mut self) -> usize {
        self.door.take().unwrap().close(Instant::now() + PATIENCE)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(door) = self.door.take().filter(|_| !thread::panicking()) {
            assert_eq!(door.close(Instant::now() + PATIENCE), 0);
        }
    }
}

/// A client that comes from `source`, such as 127.0.0.2.
pub fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(
        &socket,
        &SocketAddr::new(source.parse::<IpAddr>().unwrap(), 0),
    )
    .unwrap();
    rustix::net::connect(&socket, &address).unwrap();
    patient(TcpStream::from(socket))
}

/// A client that fails rather than hang.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub fn exchange(mut stream: TcpStream, request: impl AsRef<[u8]>) -> String {
    // The door may cut us while we still write: what counts is what it said.
    let _ = stream.write_all(request.as_ref());
    read_all(&mut stream)
}

pub fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(
        !matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        "no end came"
    );
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until the text so far contains `wanted`.
#[track_caller]
pub fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut got = Vec::new();
    let mut byte = [0; 1];
    while !String::from_utf8_lossy(&got).contains(wanted) {
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            1,
            "ended after {:?}",
            String::from_utf8_lossy(&got)
        );
        got.push(byte[0]);
    }
    String::from_utf8(got).unwrap()
}

/// Waits for a condition that has a name.
#[track_caller]
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Runs a test in a process of its own, for those that count what the whole process has.
#[track_caller]
pub fn alone(name: &str, test: impl FnOnce()) {
    const MARK: &str = "SHELLCRAFT_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // Indented, for whoever reads the results of tests off the output: this is one, not two.
    assert!(
        output.status.success() && told.contains("1 passed"),
        "  {}",
        told.replace('\n', "\n  ")
    );
}
