//! `shellcraft selftest` and `shellcraft doctor` on the Engine of this machine, as an operator runs them.
//!
//! Here the self-test is the attack suite for what our shells and busybox have no commands for, and for bombs.

use std::process::Command;

use serde_json::Value;
use shellcraft::engine::Engine;

use crate::binary::server_binary;
use crate::{busybox, docker};

/// Other tests play on this machine meanwhile. An operator's own run is stricter: three times the quiet echo.
const NOISE_MS: f64 = 200.0;

/// What it found, by name; and whether it ended well.
fn findings(arguments: &[&str]) -> (Vec<Value>, bool) {
    let mut command = Command::new(server_binary());
    command
        .args(arguments)
        .args(["--json", "--docker-host", &docker::host()]);
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut told: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{error}: {text} {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let findings = told["findings"].take();
    (
        findings.as_array().expect("a list").clone(),
        output.status.success(),
    )
}

/// Whether a bomb did no harm, on a machine that others use as well.
fn is_contained(finding: &Value) -> bool {
    let echo = &finding["echo"];
    let (quiet, beside) = (
        echo["quiet_p99_ms"].as_f64(),
        echo["beside_p99_ms"].as_f64(),
    );
    match (echo["is_contained"].as_bool(), quiet, beside) {
        (Some(is_contained), Some(quiet), Some(beside)) => {
            is_contained && beside <= (3.0 * quiet).max(NOISE_MS)
        }
        _ => false,
    }
}

#[test]
fn the_self_test_finds_no_way_out() {
    let (findings, _) = findings(&["selftest"]);
    for finding in &findings {
        assert!(
            finding["verdict"] != "fail" || is_contained(finding),
            "{finding}"
        );
    }
    let names: Vec<&str> = findings
        .iter()
        .filter_map(|finding| finding["name"].as_str())
        .collect();
    for name in [
        "shell rust",
        "shell perl",
        "capabilities",
        "setuid programs",
        "mounting",
        "namespaces",
        "bpf",
        "kernel keyrings",
        "devices",
        "connections",
        "DNS",
        "writable places",
        "the Engine's socket",
        "log on the host",
        "fork-bomb",
        "thread-bomb",
        "memory-bomb",
        "tmpfs-bomb",
        "inode-bomb",
        "cpu-hog",
        "fd-hog",
        "pty-hog",
        "disk-hog",
        "output-flood",
        "escape-flood",
        "daemons",
        "resize-storm",
        "neighbour",
        "afterwards",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}

#[test]
fn the_doctor_looks_at_a_real_engine() {
    let data = tempfile::tempdir().expect("a directory");
    // The doctor says what mode one that is there has.
    let data = data.path().join("new");
    let data = data.to_str().expect("UTF-8");
    let (findings, is_well) = findings(&["doctor", "--data-dir", data]);
    let verdict = |name: &str| {
        let finding = findings.iter().find(|finding| finding["name"] == name);
        finding.map_or("missing", |finding| {
            finding["verdict"].as_str().unwrap_or_default()
        })
    };
    for name in [
        "Engine",
        "cgroups",
        "seccomp",
        "seccomp filter",
        "memory limit",
        "processes limit",
        "processor limit",
        "processes end",
        "memory ends",
        "limits of a process",
        "DATA_DIR",
        "image of shell rust",
        "clock",
    ] {
        assert_eq!(verdict(name), "ok", "{name} in {findings:?}");
    }
    assert_ne!(verdict("kernel"), "missing");
    let has_failed = findings.iter().any(|finding| finding["verdict"] == "fail");
    assert_eq!(is_well, !has_failed);
}

/// FAULTS B8: what an image has in `/home` is copied to the host's disk, with its owners, before anybody plays.
#[test]
fn the_doctor_finds_a_directory_that_players_could_fill() {
    let engine = Engine::new(&docker::host()).expect("a socket");
    let shells = format!("rust=shellcraft/rust,loose={}", busybox::loose(&engine));
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().to_str().expect("UTF-8");
    let (findings, is_well) = findings(&["doctor", "--data-dir", data, "--shells", &shells]);
    let found = |shell: &str| {
        let name = format!("image of shell {shell}");
        let finding = findings.iter().find(|finding| finding["name"] == *name);
        finding.unwrap_or_else(|| panic!("no {name} in {findings:?}"))
    };
    assert_eq!(found("rust")["verdict"], "ok", "{}", found("rust"));
    let note = found("loose")["note"].to_string();
    assert_eq!(found("loose")["verdict"], "fail", "{note}");
    assert!(note.contains("may write to /home/player,"), "{note}");
    assert!(!is_well);
}
