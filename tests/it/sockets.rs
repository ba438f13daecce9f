//! Other sockets than a TCP port of the server's own: Unix sockets, those that systemd hands over, and the line on which
//! systemd hears of it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fake_engine::FakeEngine;
use serde_json::Value;
use tempfile::TempDir;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::binary::server_binary;
use crate::containers::{PATIENCE, own_address, unique};
use crate::site::{ADMIN_TOKEN, Client, wait_for};

/// A program that becomes a server, killed when it goes out of scope, and what belongs to it.
struct Server {
    child: Child,
    _folder: TempDir,
    _engine: FakeEngine,
}

impl Server {
    /// Starts `command`, in whose place or behind which the server's own words come.
    fn start(mut command: Command, flags: &[&str]) -> Server {
        let (engine, folder, instance) = (FakeEngine::start(), folder(), unique());
        let data = folder.path().join("data");
        let child = command
            .args(["--docker-host", &engine.docker_host()])
            .args(["--instance", &instance, "--pool-size", "0"])
            .arg("--data-dir")
            .arg(data)
            .args(["--admin-token", ADMIN_TOKEN])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Server {
            child,
            _folder: folder,
            _engine: engine,
        }
    }

    /// The line in which it says that it is ready, without its start.
    #[track_caller]
    fn address(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.child.stdout.take().expect("piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("it prints its address");
        let address = line.trim().strip_prefix("ShellCraft is ready: ");
        address.unwrap_or_else(|| panic!("{line:?}")).to_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    #[track_caller]
    fn ends_well(&mut self) {
        wait_for("the server to end", || {
            self.child.try_wait().expect("our child").is_some()
        });
        assert_eq!(self.child.wait().expect("our child").code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> TempDir {
    TempDir::with_prefix("shellcraft-").expect("a directory")
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The status and the body of a request's answer.
#[track_caller]
fn exchange(path: &Path, request: &str, headers: &str) -> (u16, String) {
    let mut stream = connect(path);
    let request =
        format!("{request} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    (status.expect("a status"), body.to_owned())
}

/// A game up to its first words, of whom a proxy says that it is `peer`.
#[track_caller]
fn play(path: &Path, peer: &str) -> WebSocket<UnixStream> {
    let claims = format!("X-Forwarded-For: {peer}\r\n");
    let (status, body) = exchange(path, "POST /session", &claims);
    assert_eq!(status, 201, "{body}");
    let game: Value = serde_json::from_str(&body).expect("JSON");
    let url = game["ws_url"].as_str().expect("a URL");
    let mut request = url.into_client_request().expect("a URL");
    let peer = peer.parse().expect("a header");
    request.headers_mut().insert("X-Forwarded-For", peer);
    let (mut terminal, _) = tungstenite::client(request, connect(path)).expect("the upgrade");
    let keys = Message::binary("echo by file\r");
    terminal.send(keys).expect("sent");
    let mut seen = String::new();
    while !seen.contains("by file\r\n") {
        if let Message::Binary(bytes) = terminal.read().expect("output") {
            seen += &String::from_utf8_lossy(&bytes);
        }
    }
    terminal
}

/// Whom the server takes the one player for.
#[track_caller]
fn peer(path: &Path) -> Value {
    let admin = format!("Authorization: Bearer {ADMIN_TOKEN}\r\n");
    let (status, body) = exchange(path, "GET /sessions", &admin);
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200, "{body}");
    answer["sessions"][0]["peer"].clone()
}

fn shellcraft() -> Command {
    Command::new(server_binary())
}

/// Runs one of the operator's commands on a server; what it printed.
#[track_caller]
fn order(words: &[&str], path: &Path) -> String {
    let output = shellcraft()
        .args(words)
        .arg("--bind")
        .arg(format!("unix:{}", path.display()))
        .args(["--admin-token", ADMIN_TOKEN])
        .output()
        .expect("the binary runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_unix_socket_serves_games_and_orders_and_goes_with_the_server() {
    let folder = folder();
    let path = folder.path().join("http.sock");
    let bind = format!("unix:{}", path.display());
    let mut server = Server::start(shellcraft(), &["--bind", &bind]);
    assert_eq!(server.address(), bind);
    let mode = fs::metadata(&path).expect("the socket").permissions();
    assert_eq!(mode.mode() & 0o777, 0o666);
    let game = play(&path, "192.0.2.7");
    // Nobody is believed who is not named, there as elsewhere.
    assert_eq!(peer(&path), "127.0.0.1");
    assert!(order(&["health"], &path).contains("is ready"));
    assert!(order(&["sessions"], &path).contains("running"));
    drop(game);
    server.signal("TERM");
    server.ends_well();
    assert!(!path.exists());
}

#[test]
fn a_proxy_at_a_unix_socket_is_trusted_by_the_loopback_address() {
    let folder = folder();
    let path = folder.path().join("http.sock");
    let bind = format!("unix:{}", path.display());
    let flags = ["--bind", &bind, "--trusted-proxies", "127.0.0.1"];
    let mut server = Server::start(shellcraft(), &flags);
    server.address();
    let _game = play(&path, "192.0.2.7");
    assert_eq!(peer(&path), "192.0.2.7");
}

#[test]
fn a_path_that_is_taken_is_named() {
    let folder = folder();
    let path = folder.path().join("book");
    fs::write(&path, "mine").expect("written");
    let output = shellcraft()
        .arg("--bind")
        .arg(format!("unix:{}", path.display()))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(line.contains("BIND") && line.contains("book"), "{line}");
    assert_eq!(fs::read(&path).expect("it is there"), b"mine");
}

/// systemd's part in socket activation, which starts the server when somebody comes.
fn activated(listen: &str) -> Command {
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--listen", listen, server_binary()]);
    command
}

#[test]
fn a_socket_that_systemd_has_opened_is_served() {
    let address = own_address();
    let mut server = Server::start(activated(&address.to_string()), &["--port", "1"]);
    wait_for("the first to come", || TcpStream::connect(address).is_ok());
    assert_eq!(server.address(), format!("http://{address}/"));
    let client = Client::at(address);
    assert_eq!(client.get("/healthz").text(), "ok");
    server.signal("TERM");
    server.ends_well();
}

#[test]
fn a_unix_socket_that_systemd_has_opened_stays_when_the_server_goes() {
    let folder = folder();
    let path: PathBuf = folder.path().join("http.sock");
    let mut server = Server::start(activated(path.to_str().expect("UTF-8")), &[]);
    wait_for("the first to come", || UnixStream::connect(&path).is_ok());
    assert_eq!(server.address(), format!("unix:{}", path.display()));
    drop(play(&path, "192.0.2.7"));
    server.signal("TERM");
    server.ends_well();
    assert!(path.exists());
}

#[test]
fn two_sockets_are_one_too_many() {
    let (first, second) = (own_address(), own_address());
    let mut command = Command::new("systemd-socket-activate");
    command.args([
        "--listen",
        &first.to_string(),
        "--listen",
        &second.to_string(),
        server_binary(),
    ]);
    let mut server = Server::start(command, &[]);
    wait_for("the first to come", || TcpStream::connect(first).is_ok());
    wait_for("the server to give up", || {
        server.child.try_wait().expect("our child").is_some()
    });
    assert_eq!(server.child.wait().expect("our child").code(), Some(1));
}

#[test]
fn systemd_hears_of_the_start_of_the_life_and_of_the_stop() {
    let folder = folder();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).expect("it is free");
    systemd.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let hear = || {
        let mut word = [0; 64];
        let length = systemd.recv(&mut word).expect("a word");
        String::from_utf8_lossy(&word[..length]).into_owned()
    };
    let mut command = shellcraft();
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000");
    let mut server = Server::start(command, &["--port", "0"]);
    let mut words = vec![hear()];
    while words.iter().filter(|word| *word == "WATCHDOG=1").count() < 3 {
        words.push(hear());
    }
    assert!(words.contains(&"READY=1".to_owned()), "{words:?}");
    let address = server.address();
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    server.signal("TERM");
    let last = std::iter::repeat_with(hear).find(|word| word != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    server.ends_well();
}

#[test]
fn a_line_to_nobody_ends_the_start() {
    let mut command = shellcraft();
    command.env("NOTIFY_SOCKET", "/nowhere/notify");
    let mut server = Server::start(command, &["--port", "0"]);
    wait_for("the server to give up", || {
        server.child.try_wait().expect("our child").is_some()
    });
    assert_eq!(server.child.wait().expect("our child").code(), Some(1));
}
