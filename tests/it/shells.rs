//! Shells that can't be started, for a reason that is theirs and not the Engine's.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use fake_engine::FakeEngine;
use serde_json::json;

use crate::binary::{Process, server_binary};
use crate::containers::{PATIENCE, unique};
use crate::site::{Client, Site, wait_for};

fn is_up(site: &Client, shell: &str) -> bool {
    let text = site.get("/metrics").text();
    let up = |value: u8| {
        text.contains(&format!(
            "shellcraft_shell_up{{shell=\"{shell}\"}} {value}\n"
        ))
    };
    assert!(up(0) || up(1), "{text}");
    up(1)
}

fn wait_until_ready(site: &Client) {
    wait_for("the server to be ready", || {
        site.get("/readyz").status == 200
    });
}

/// `/readyz` and whoever wants a game are told which shell it is, and nothing of the host.
#[track_caller]
fn check_broken(site: &Client, shell: &str, secret: &str) {
    let body = json!({ "shell": shell }).to_string();
    let refused = site.post("/session", &body);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "shell_broken")
    );
    assert_eq!(
        refused.header("retry-after"),
        None,
        "no use in trying again"
    );
    let ready = site.get("/readyz");
    assert_eq!((ready.status, ready.code().as_str()), (503, "shell_broken"));
    assert!(
        ready.text().contains(&format!("The shell {shell} ")),
        "{}",
        ready.text()
    );
    for reply in [refused, ready] {
        assert!(!reply.text().contains(secret), "{}", reply.text());
    }
    assert!(!is_up(site, shell));
    // The page offers the other one.
    let page = site.get("/").text();
    let choice = |shell: &str| {
        let (_, rest) = page
            .split_once(&format!("value=\"{shell}\""))
            .expect("a choice");
        rest.split_once('>').expect("a tag").0.to_owned()
    };
    assert!(choice(shell).contains("disabled"), "{page}");
    let other = if shell == "perl" { "rust" } else { "perl" };
    assert!(!choice(other).contains("disabled"), "{page}");
    assert!(choice(other).contains("checked"), "{page}");
}

/// No program in the image, a runtime that the Engine does not know: it says 400, and is well.
#[test]
fn what_the_engine_will_not_take_is_the_shell_s_fault() {
    for (op, words) in [
        ("ContainerCreate", "No command specified"),
        ("ContainerCreate", "Unknown runtime specified runsc"),
        (
            "ContainerStart",
            "OCI runtime create failed: exec: \"/bin/x\": no such file",
        ),
    ] {
        let engine = FakeEngine::start();
        let site = Site::start(&engine.docker_host(), &[]);
        wait_until_ready(&site);
        engine.refuse(op, 400, words);
        check_broken(&site, "rust", words);
        assert!(is_up(&site, "perl"));
        assert!(engine.containers().is_empty(), "{op}");
        engine.release(op);
        // Mended: the next player finds out.
        assert_eq!(site.post("/session", "").status, 201);
        assert!(is_up(&site, "rust"));
        assert_eq!(site.get("/readyz").status, 200);
    }
}

/// Before a single container is made of it.
#[test]
fn an_image_without_a_program_or_with_a_volume_is_not_used() {
    for (config, secret) in [
        (json!({"Cmd": null}), "CMD"),
        (json!({"Volumes": {"/home/player": {}}}), "/home/player"),
    ] {
        let engine = FakeEngine::start();
        engine.set_image_config("shellcraft/perl:latest", config);
        let site = Site::start(&engine.docker_host(), &["--pool-size", "1"]);
        wait_for("the shell to be looked at", || {
            site.get("/readyz").text().contains("shell_broken")
        });
        check_broken(&site, "perl", secret);
        wait_for("the other shell's pool", || engine.containers().len() == 1);
        assert_eq!(site.post("/session", "").status, 201);
        let of_perl = |container: &fake_engine::FakeContainer| {
            container.image_name == "shellcraft/perl:latest"
        };
        assert!(!engine.containers().iter().any(of_perl));
        engine.set_image_config("shellcraft/perl:latest", json!({}));
        wait_until_ready(&site);
        assert!(is_up(&site, "perl"));
    }
}

#[test]
fn a_program_that_ends_at_once_is_not_started_again_and_again() {
    let engine = FakeEngine::start();
    let flags = ["--pool-size", "1", "--shells", "rust=shellcraft/rust"];
    let site = Site::start(&engine.docker_host(), &flags);
    wait_for("it to be noticed", || {
        for container in engine.containers() {
            if container.state == "running" {
                engine.exit(&container.name, 3);
            }
        }
        !is_up(&site, "rust")
    });
    assert!(site.get("/readyz").text().contains("shell_broken"));
    wait_for("the pool to wait longer than for a first failure", || {
        for container in engine.containers() {
            if container.state == "running" {
                engine.exit(&container.name, 3);
            }
        }
        let text = site.get("/metrics").text();
        let line = "shellcraft_pool_backoff_seconds{shell=\"rust\"} ";
        let value = text.split_once(line).expect("a gauge").1;
        let value = value.lines().next().and_then(|value| value.parse().ok());
        value.is_some_and(|seconds: u64| seconds > 2)
    });
}

/// "Ready" is not said before a game can be started.
#[test]
fn the_first_line_says_what_is_missing() {
    let engine = FakeEngine::start();
    engine.stop_listening();
    let data = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(server_binary())
        .args(["--port", "0", "--docker-host", &engine.docker_host()])
        .args(["--instance", &unique(), "--pool-size", "0"])
        .arg("--data-dir")
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let stdout = child.stdout.take().expect("piped");
    let (said, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        // Who does not listen any more has failed.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = said.send(line);
        }
    });
    let next = || lines.recv_timeout(PATIENCE).expect("a line");
    let first = next();
    assert!(
        first.starts_with("ShellCraft is not ready yet (") && first.contains("no Engine answers"),
        "{first}"
    );
    engine.start_listening();
    let second = next();
    assert!(
        second.starts_with("ShellCraft is ready: http://"),
        "{second}"
    );
    assert_eq!(
        first.rsplit("http://").next(),
        second.rsplit("http://").next()
    );
    child.kill().expect("our child");
    child.wait().expect("our child");
    reader.join().expect("no panic");
}

/// Whoever starts the server, reads where it is and closes the pipe, does not end it.
#[test]
fn nobody_need_listen_to_the_second_line() {
    let engine = FakeEngine::start();
    engine.stop_listening();
    let server = Process::start(&engine.docker_host(), &unique(), &[]);
    engine.start_listening();
    wait_until_ready(&server);
    assert_eq!(server.post("/session", "").status, 201);
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("shellcraft_panics_total{thread=\"other\"} 0\n"),
        "{metrics}"
    );
}

#[test]
fn lines_that_the_log_lost_are_counted() {
    // As a disk that is full.
    let full = std::path::Path::new("/dev/full");
    assert!(File::open(full).is_ok(), "a Linux has it");
    for format in ["text", "json"] {
        let engine = FakeEngine::start();
        let flags = ["--log-format", format];
        let server = Process::start_logged(full, &engine.docker_host(), &unique(), &flags);
        let lost = || {
            let text = server.get("/metrics").text();
            let (_, rest) = text
                .split_once("\nshellcraft_log_lines_lost_total ")
                .expect("a counter");
            rest.lines()
                .next()
                .and_then(|value| value.parse().ok())
                .unwrap_or(0_u64)
        };
        let before = lost();
        assert_eq!(server.get("/nowhere").status, 404);
        wait_for("the line to be counted", || lost() > before);
    }
}
