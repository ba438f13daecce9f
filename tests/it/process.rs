//! The binary itself: its command line, its signals, its limits.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fake_engine::FakeEngine;

use crate::ground::{PATIENCE, unique};
use crate::site::wait_for;

const BINARY: &str = env!("CARGO_BIN_EXE_shellcraft");

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env_remove("DOCKER_HOST")
        .envs(environment.iter().copied());
    command.output().expect("the binary runs")
}

#[test]
fn help_and_version() {
    let help = run(&["--help"], &[]);
    assert!(help.status.success());
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(
        text.contains("IDLE_TIMEOUT") && text.contains("[default: 15m]"),
        "{text}"
    );
    let version = run(&["--version"], &[]);
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        concat!("shellcraft ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_bad_value_is_one_line_and_status_2() {
    for (variable, value, allowed) in [
        ("PORT", "abc", "0 to 65535"),
        ("IDLE_TIMEOUT", "soon", "15m"),
        ("LOG_LEVEL", "loud", "debug"),
    ] {
        let output = run(&[], &[(variable, value)]);
        assert_eq!(output.status.code(), Some(2));
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        for part in [variable, value, allowed] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = run(&["--port", &port], &[]);
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(line.contains(&port) && line.contains("PORT"), "{line}");
}

/// A running server; killed when it goes out of scope.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(engine: &FakeEngine, before: &str, flags: &[&str]) -> Process {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{before} exec \"$0\" \"$@\""))
            .arg(BINARY)
            .args(flags);
        command.args([
            "--port",
            "0",
            "--instance",
            &unique(),
            "--docker-host",
            &engine.docker_host(),
        ]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it prints its address");
        let address = line
            .trim()
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .and_then(|text| text.parse().ok());
        Process {
            address: address.unwrap_or_else(|| panic!("no address in {line:?}")),
            child,
        }
    }

    /// The status of a request, or none when the connection broke.
    fn status(&self, method: &str, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        String::from_utf8_lossy(&answer)
            .split(' ')
            .nth(1)?
            .parse()
            .ok()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .expect("kill runs")
                .success()
        );
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("our child").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_ends_it_with_0_and_leaves_no_container() {
    for signal in ["TERM", "INT"] {
        let engine = FakeEngine::start();
        let mut process = Process::start(&engine, "", &[]);
        assert_eq!(process.status("POST", "/session"), Some(201));
        assert_eq!(engine.containers().len(), 1);
        let began = Instant::now();
        process.signal(signal);
        assert_eq!(process.exit_code(), Some(0), "{signal}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
        assert!(engine.containers().is_empty(), "{signal}");
    }
}

#[test]
fn a_stop_cuts_idle_connections_too() {
    let engine = FakeEngine::start();
    let mut process = Process::start(&engine, "", &[]);
    let idle: Vec<_> = (0..20)
        .filter_map(|_| TcpStream::connect(process.address).ok())
        .collect();
    assert_eq!(process.status("GET", "/healthz"), Some(200));
    process.signal("TERM");
    assert_eq!(process.exit_code(), Some(0));
    drop(idle);
}

/// Out of descriptors, the server refuses; with descriptors again, it serves, and what was there lived on.
#[test]
fn running_out_of_descriptors_is_survived() {
    let engine = FakeEngine::start();
    let process = Process::start(&engine, "ulimit -n 256;", &[]);
    assert_eq!(process.status("POST", "/session"), Some(201));
    for _ in 0..3 {
        let idle: Vec<_> = (0..400)
            .filter_map(|_| TcpStream::connect(process.address).ok())
            .collect();
        assert!(idle.len() > 200, "{}", idle.len());
        // Whatever it answers now, it must not be the end of it.
        let _ = process.status("GET", "/healthz");
        drop(idle);
        wait_for("serving to go on", || {
            process.status("GET", "/healthz") == Some(200)
        });
    }
    assert_eq!(process.status("POST", "/session"), Some(201));
    assert_eq!(engine.containers().len(), 2);
}

/// The private directories in a runtime directory.
fn private_dirs(runtime_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(runtime_dir).expect("it exists");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn what_a_killed_server_left_is_removed_and_what_a_living_one_has_stays() {
    let engine = FakeEngine::start();
    let runtime_dir = tempfile::tempdir().expect("a directory");
    let flags = ["--runtime-dir", runtime_dir.path().to_str().expect("UTF-8")];
    let living = Process::start(&engine, "", &flags);
    let kept = private_dirs(runtime_dir.path());
    let mut killed = Process::start(&engine, "", &flags);
    assert_eq!(private_dirs(runtime_dir.path()).len(), 2);
    killed.signal("KILL");
    assert_eq!(killed.exit_code(), None);
    let left = private_dirs(runtime_dir.path());
    let left = left.iter().find(|path| !kept.contains(path));
    let left = left.expect("a killed server can't tidy up");
    let mut next = Process::start(&engine, "", &flags);
    let now = private_dirs(runtime_dir.path());
    assert!(
        now.len() == 2 && !now.contains(left) && now.contains(&kept[0]),
        "{now:?}"
    );
    for process in [&living, &next] {
        assert_eq!(process.status("GET", "/healthz"), Some(200));
    }
    next.signal("TERM");
    assert_eq!(next.exit_code(), Some(0));
    assert_eq!(private_dirs(runtime_dir.path()), kept);
}
