//! The binary itself: its command line, its signals, its limits.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use fake_engine::FakeEngine;
use shellcraft::config;
use shellcraft::threads::Kind;

use crate::binary::{Process, server_binary, thread_names};
use crate::containers::{PATIENCE, unique};
use crate::site::wait_for;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(server_binary());
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

/// Every setting's variable, as the help has them.
fn variables() -> Vec<String> {
    let help = run(&["--help"], &[]).stdout;
    let help = String::from_utf8(help).expect("text");
    let parts = help.split("[env: ").skip(1);
    let names = parts.filter_map(|part| part.split(['=', ']']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let names = variables();
    assert!(names.len() > 40, "{names:?}");
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let nowhere = ["health", "--server", "http://127.0.0.1:9"];
    let output = run(&nowhere, &empty);
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{line}");
    let empty: Vec<_> = [("SHELLCRAFT_URL", "")].into_iter().chain(empty).collect();
    let output = run(&["health", "--port", "9"], &empty);
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(line.contains("127.0.0.1:9"), "{line}");
}

#[test]
fn switches_are_set_as_people_write_them() {
    let nowhere = ["health", "--server", "http://127.0.0.1:9"];
    for value in ["1", "true", "yes", "on", "0", "false", "no", "off"] {
        assert_eq!(run(&nowhere, &[("DRAIN", value)]).status.code(), Some(1));
    }
    let output = run(&nowhere, &[("DRAIN", "perhaps")]);
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(line.contains("DRAIN") && line.contains("perhaps"), "{line}");
    // GNU screen sets it.
    assert_eq!(run(&nowhere, &[("WINDOW", "0")]).status.code(), Some(1));
}

#[test]
fn output_that_nobody_reads_to_the_end_is_no_fault() {
    let mut child = Command::new(server_binary())
        .arg("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn misspelled_settings_are_told_of() {
    let found = |name: &str| config::misspelled([name.into()]);
    for (name, setting) in [
        ("IDEL_TIMEOUT", "IDLE_TIMEOUT"),
        ("SHELLCRAFT_PORT", "PORT"),
        ("SHELLCRAFT_MAX_SESSION", "MAX_SESSIONS"),
        ("TRUSTED_PROXYS", "TRUSTED_PROXIES"),
    ] {
        assert_eq!(found(name), [(name.to_owned(), setting.to_owned())]);
    }
    for name in [
        "PATH",
        "HOME",
        "POST",
        "HOST",
        "LOG_LEVEL",
        "SHELLCRAFT_URL",
        "SHELL",
        "WINDOW",
        "RUNTIME_DIRECTORY",
    ] {
        assert_eq!(found(name), [], "{name}");
    }
    // As long as a system takes: who lets a container have it is not to hold up the start.
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(config::misspelled(["A".repeat(2 << 20).into()])));
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Vec::new()));
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

#[test]
fn a_signal_ends_it_with_0() {
    // What is stopped leaves its games to the next start; what is interrupted, or told to drain, leaves nothing.
    for (signal, flags, left) in [
        ("TERM", [].as_slice(), 1),
        ("INT", &[], 0),
        ("TERM", &["--drain"], 0),
        // The terminal it was started from is closed.
        ("HUP", &[], 1),
    ] {
        let engine = FakeEngine::start();
        // Its grace is for what does not end: if it were waited out, the test would not live to see it.
        let flags = [&["--shutdown-grace", "1h"], flags].concat();
        // Whoever runs the tests by `nohup` has SIGHUP ignored, and children inherit that.
        let heeds = "exec env --default-signal=HUP \"$0\" \"$@\";";
        let mut process = Process::start_after(heeds, &engine.docker_host(), &unique(), &flags);
        assert_eq!(process.status("POST", "/session"), Some(201));
        assert_eq!(engine.containers().len(), 1);
        process.signal(signal);
        assert_eq!(process.exit_code_in_time(), Some(0), "{signal}");
        assert_eq!(engine.containers().len(), left, "{signal} {flags:?}");
    }
}

/// Whoever starts it by `nohup` wants it to go on.
#[test]
fn a_closed_terminal_does_not_end_what_nohup_started() {
    let engine = FakeEngine::start();
    let mut process = Process::start_after("trap '' HUP;", &engine.docker_host(), &unique(), &[]);
    for _ in 0..3 {
        process.signal("HUP");
        assert_eq!(process.status("GET", "/healthz"), Some(200));
    }
    process.signal("TERM");
    assert_eq!(process.exit_code_in_time(), Some(0));
}

#[test]
fn a_stop_cuts_idle_connections_too() {
    let engine = FakeEngine::start();
    let mut process = Process::start(&engine.docker_host(), &unique(), &[]);
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
    let process = Process::start_after("ulimit -n 256;", &engine.docker_host(), &unique(), &[]);
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
    let living = Process::start(&engine.docker_host(), &unique(), &flags);
    let kept = private_dirs(runtime_dir.path());
    let mut killed = Process::start(&engine.docker_host(), &unique(), &flags);
    assert_eq!(private_dirs(runtime_dir.path()).len(), 2);
    killed.signal("KILL");
    assert_eq!(killed.exit_code(), None);
    let left = private_dirs(runtime_dir.path());
    let left = left.iter().find(|path| !kept.contains(path));
    let left = left.expect("a killed server can't tidy up");
    let mut next = Process::start(&engine.docker_host(), &unique(), &flags);
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

/// After a crash the shell is made to draw its line once there is somebody who sees it: not before the attach.
#[test]
fn after_a_crash_nothing_is_drawn_before_there_is_an_attach() {
    let engine = FakeEngine::start();
    let (instance, data) = (unique(), tempfile::tempdir().expect("a directory"));
    let data = data.path().to_str().expect("UTF-8");
    // The reaper looks often for sizes that are still to be set.
    let flags = ["--data-dir", data, "--save-interval", "50ms"];
    let mut killed = Process::start(&engine.docker_host(), &instance, &flags);
    let game = killed.create("rust");
    let mut page = killed.page(&game, None);
    page.resize(80, 24);
    page.expect("$ ");
    wait_for("the size", || engine.calls("ContainerResize") > 0);
    killed.signal("KILL");
    assert_eq!(killed.exit_code(), None);
    let (resizes, attaches) = (
        engine.calls("ContainerResize"),
        engine.calls("ContainerAttach"),
    );
    engine.hang("ContainerAttach");
    let server = Process::start(&engine.docker_host(), &instance, &flags);
    assert!(engine.await_calls("ContainerAttach", attaches + 1, PATIENCE));
    let mut page = server.page(&game, Some(page.offset));
    page.resize(80, 24);
    page.control(serde_json::json!({"type": "ping", "t": 1}));
    page.note("pong");
    let passes = server.metric("reaper_passes_total");
    wait_for("two passes", || {
        server.metric("reaper_passes_total") >= passes + 2.0
    });
    assert_eq!(engine.calls("ContainerResize"), resizes);
    engine.release("ContainerAttach");
    // Another size, and the right one.
    assert!(engine.await_calls("ContainerResize", resizes + 2, PATIENCE));
}

/// The table of threads in `lib.rs` has every kind; here is seen that no thread is of any other.
#[test]
fn every_thread_is_of_a_kind_that_the_table_tells_of() {
    let engine = FakeEngine::start();
    let flags = ["--pool-size", "1"];
    let server = Process::start(&engine.docker_host(), &unique(), &flags);
    let game = server.create("rust");
    let mut page = server.page(&game, None);
    page.expect("$ ");
    // Those that are there now and then: while games can't be started yet, on systemd's order, with images in the binary, in a
    // fleet.
    let rare = [
        Kind::Ready,
        Kind::Watchdog,
        Kind::Image,
        Kind::FleetBeat,
        Kind::FleetEars,
    ];
    let always: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| !rare.contains(kind))
        .collect();
    wait_for("all kinds to be there", || {
        let names = thread_names(server.pid());
        let is_known = |name: &&String| *name == "shellcraft" || Kind::of(name).is_some();
        let unknown: Vec<_> = names.iter().filter(|name| !is_known(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let kinds: Vec<Kind> = names.iter().filter_map(|name| Kind::of(name)).collect();
        always.iter().all(|kind| kinds.contains(kind))
    });
}
