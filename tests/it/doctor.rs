//! `shellcraft doctor` where something is wrong: each time it says what, and does not end well.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use fake_engine::{FakeEngine, Options};
use serde_json::Value;

use crate::binary::server_binary;
use crate::redis_server::RedisServer;

/// What the doctor says, by name, and whether it is content.
struct Visit {
    findings: Vec<Value>,
    is_well: bool,
}

impl Visit {
    #[track_caller]
    fn pay(flags: &[&str]) -> Visit {
        let output = doctor(&[&["--json"], flags].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let mut told: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!(
                "{error}: {text} {}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        let findings = told["findings"].take();
        Visit {
            findings: findings.as_array().expect("a list").clone(),
            is_well: output.status.success(),
        }
    }

    /// There is a finding of that name, with that verdict, whose note has these words.
    #[track_caller]
    fn found(&self, name: &str, verdict: &str, words: &str) {
        let finding = self.findings.iter().find(|finding| finding["name"] == name);
        let finding = finding.unwrap_or_else(|| panic!("no {name} in {:?}", self.findings));
        assert_eq!(finding["verdict"], verdict, "{finding}");
        let note = finding["note"].as_str().expect("a sentence");
        assert!(note.contains(words), "{note}");
    }
}

fn doctor(flags: &[&str]) -> Output {
    let mut command = Command::new(server_binary());
    command.arg("doctor").args(flags);
    command.output().expect("it runs")
}

fn path(dir: &Path) -> &str {
    dir.to_str().expect("UTF-8")
}

#[test]
fn without_an_engine_the_doctor_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(dir.path(), private).expect("ours");
    let host = format!("unix://{}/none.sock", dir.path().display());
    let visit = Visit::pay(&["--docker-host", &host, "--data-dir", path(dir.path())]);
    visit.found("Engine", "fail", "DOCKER_HOST");
    visit.found("DATA_DIR", "ok", "");
    assert!(!visit.is_well);
}

/// The fake Engine's containers do whatever is typed but attack.
#[test]
fn what_can_be_told_of_a_fake_engine_is_told() {
    let engine = FakeEngine::start();
    let dir = tempfile::tempdir().expect("a directory");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(engine.socket(), open).expect("ours");
    let visit = Visit::pay(&[
        "--docker-host",
        &engine.docker_host(),
        "--data-dir",
        path(dir.path()),
        "--shells",
        "rust=shellcraft/rust,mine=not/there",
        "--bind",
        "0.0.0.0",
        "--max-sessions",
        "100000",
    ]);
    visit.found("Engine", "ok", "20.10.24+fake");
    visit.found("cgroups", "ok", "version 2");
    visit.found("image of shell rust", "ok", "");
    visit.found("image of shell mine", "fail", "not/there");
    visit.found("Engine's socket", "fail", "chmod 660");
    visit.found("limits", "fail", "does not speak");
    visit.found("open files", "warn", "LimitNOFILE");
    visit.found("memory", "warn", "MAX_SESSIONS");
    visit.found("address", "warn", "without TLS");
    assert!(!visit.is_well);
    // It has cleaned up behind itself.
    assert_eq!(engine.containers().len(), 0);
    let client = shellcraft::engine::Engine::new(&engine.docker_host()).expect("a socket");
    let images = client.images().expect("it answers");
    assert!(
        !images
            .iter()
            .any(|image| image.repo_tags[0].contains("selftest")),
        "{images:?}"
    );
}

/// Two images that players could fill the host's disk from, or that nothing runs in; a proxy that is everybody.
#[test]
fn unfit_images_and_settings_that_undo_each_other_are_told() {
    let engine = FakeEngine::start();
    let volume = serde_json::json!({"Volumes": {"/work": {}}});
    engine.set_image_config("shellcraft/rust:latest", volume);
    engine.set_image_config("shellcraft/perl:latest", serde_json::json!({"Cmd": null}));
    let dir = tempfile::tempdir().expect("a directory");
    let visit = Visit::pay(&[
        "--docker-host",
        &engine.docker_host(),
        "--data-dir",
        path(dir.path()),
        "--trusted-proxies",
        "10.0.0.1,0.0.0.0/0",
        "--public-url",
        "https://play.example.org",
    ]);
    visit.found("image of shell rust", "fail", "VOLUME /work");
    visit.found("image of shell perl", "fail", "no CMD");
    visit.found("address", "fail", "0.0.0.0/0");
    assert!(!visit.is_well);
    assert_eq!(engine.containers().len(), 0);
}

/// A runtime that the Engine does not know is found where a container of the shell's is made.
#[test]
fn a_runtime_that_is_not_there_is_told() {
    let engine = FakeEngine::start();
    engine.refuse("ContainerCreate", 400, "Unknown runtime specified runsc");
    let dir = tempfile::tempdir().expect("a directory");
    let visit = Visit::pay(&[
        "--docker-host",
        &engine.docker_host(),
        "--data-dir",
        path(dir.path()),
        "--runtime",
        "runsc",
    ]);
    visit.found("image of shell rust", "fail", "Unknown runtime");
    assert!(!visit.is_well);
}

/// An Engine of five years ago, which leaves out hardening that it does not know.
#[test]
fn an_engine_that_is_too_old_is_told() {
    let engine = FakeEngine::start_with(Options {
        api_version: "1.40".into(),
        ..Options::default()
    });
    let visit = Visit::pay(&["--docker-host", &engine.docker_host()]);
    visit.found("Engine", "fail", "1.40");
    assert!(!visit.is_well);
}

/// A kernel without controllers and without a filter, and an Engine that is set up for something else.
#[test]
fn an_engine_that_holds_nobody_is_told() {
    let engine = FakeEngine::start();
    let info = serde_json::json!({
        "Driver": "vfs", "DockerRootDir": "/nonexistent", "CgroupVersion": "1", "CgroupDriver": "cgroupfs",
        "SecurityOptions": ["name=apparmor"], "MemoryLimit": false, "SwapLimit": false, "CpuCfsQuota": true,
        "PidsLimit": false, "LiveRestoreEnabled": false, "KernelVersion": "6.1.0",
        "Warnings": ["WARNING: No blkio throttle.read_bps_device support"],
    });
    let info = info.to_string();
    let length = info.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{info}"
    );
    engine.garble("SystemInfo", answer.as_bytes());
    let visit = Visit::pay(&["--docker-host", &engine.docker_host()]);
    visit.found("cgroups", "fail", "limit memory, processes");
    visit.found("seccomp", "fail", "CONFIG_SECCOMP");
    visit.found("storage driver", "warn", "overlay2");
    visit.found("live-restore", "warn", "daemon.json");
    visit.found("Engine's own warning", "warn", "blkio");
    assert!(!visit.is_well);
}

/// The Engine's disk is full, and the server's directory is not one that anybody can write to.
#[test]
fn a_host_without_room_is_told() {
    let engine = FakeEngine::start();
    let full = "failed to create task: write /run/x: no space left on device";
    engine.refuse("ContainerStart", 500, full);
    let visit = Visit::pay(&[
        "--docker-host",
        &engine.docker_host(),
        "--data-dir",
        "/proc/shellcraft",
    ]);
    visit.found("limits", "fail", "no space left on device");
    visit.found("DATA_DIR", "fail", "/proc/shellcraft can't be written to");
    assert!(!visit.is_well);
    assert_eq!(engine.containers().len(), 0);
}

/// A bare address for everybody, a token that can be guessed, and books that every user of the host can read.
#[test]
fn doors_that_are_left_open_are_told() {
    let engine = FakeEngine::start();
    let dir = tempfile::tempdir().expect("a directory");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).expect("ours");
    let visit = Visit::pay(&[
        "--docker-host",
        &engine.docker_host(),
        "--data-dir",
        path(dir.path()),
        "--bind",
        "0.0.0.0",
        "--metrics-bind",
        "0.0.0.0:9090",
        "--admin-token",
        "aaaaaaaaaaaaaaaa",
    ]);
    visit.found("DATA_DIR", "warn", "chmod 700");
    visit.found("address", "warn", "without TLS");
    visit.found("ADMIN_TOKEN", "warn", "");
    visit.found("private address", "warn", "");
}

#[test]
fn redis_is_asked_whether_books_are_safe() {
    let redis = RedisServer::start();
    let visit = Visit::pay(&[
        "--docker-host",
        "unix:///nonexistent/docker.sock",
        "--redis-url",
        &redis.url(),
    ]);
    visit.found("Redis", "ok", "answers");
    let appendonly = visit
        .findings
        .iter()
        .any(|finding| finding["name"] == "Redis appendonly");
    assert!(appendonly, "{:?}", visit.findings);
    let away = Visit::pay(&[
        "--docker-host",
        "unix:///nonexistent/docker.sock",
        "--redis-url",
        "redis://127.0.0.1:1",
    ]);
    away.found("Redis", "fail", "does not answer");
}

/// For people it is a line each; settings stand before or behind the word, and a bad one ends it as always.
#[test]
fn the_doctor_speaks_to_people_too() {
    let output = doctor(&["--docker-host", "unix:///nonexistent/docker.sock"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\nok    kernel: "), "{text}");
    assert!(text.contains("FAIL  Engine: "), "{text}");
    assert!(text.trim_end().ends_with("failed"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    let output = doctor(&["--port", "http"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Bombs go off in containers of the self-test only.
#[test]
fn the_attacker_does_nothing_on_a_host() {
    for arguments in [
        &["attack"][..],
        &["attack", "fork-bomb", "64", "1", "1", "1", "1"],
    ] {
        let output = Command::new(server_binary())
            .args(arguments)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_self_test_without_an_engine_fails_at_once() {
    let arguments = [
        "selftest",
        "--json",
        "--docker-host",
        "unix:///nonexistent/docker.sock",
    ];
    let output = Command::new(server_binary())
        .args(arguments)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&told["fail"], &told["findings"][0]["name"]),
        (&1.into(), &"preparation".into())
    );
}
