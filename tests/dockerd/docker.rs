//! The Engine as an operator sees it: through the `docker` command, which knows nothing of our client.

use std::process::{Command, Output};

use serde_json::Value;
use shellcraft::engine::Engine;
use shellcraft::session::sandbox::{INSTANCE_LABEL, SESSION_LABEL};

use crate::site::Game;

/// The Engine of this machine.
pub fn host() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into())
}

/// A client of it.
pub fn engine() -> Engine {
    Engine::new(&host()).expect("DOCKER_HOST")
}

/// Runs `docker` with these arguments, for the Engine of this machine.
pub fn try_docker(arguments: &[&str]) -> Output {
    let mut command = Command::new("docker");
    command.args(["--host", &host()]).args(arguments);
    command.output().expect("docker.io is installed")
}

/// The same; it must succeed. Returns what it printed.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    let output = try_docker(arguments);
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Ids of all containers of an instance, running or not.
pub fn containers(instance: &str) -> Vec<String> {
    let label = format!("label={INSTANCE_LABEL}={instance}");
    lines(&docker(&["ps", "-aq", "--no-trunc", "--filter", &label]))
}

/// The container of a game.
#[track_caller]
pub fn container_of(game: &Game) -> String {
    let label = format!("label={SESSION_LABEL}={}", game.id);
    let found = docker(&["ps", "-aq", "--no-trunc", "--filter", &label]);
    assert_eq!(found.lines().count(), 1, "one container: {found}");
    found
}

/// Everything the Engine knows about a container.
#[track_caller]
pub fn inspect(container: &str) -> Value {
    let text = docker(&["inspect", "--type", "container", container]);
    let rows: Value = serde_json::from_str(&text).expect("JSON");
    rows[0].clone()
}

/// The volumes that a container has.
#[track_caller]
pub fn volumes_of(container: &str) -> Vec<String> {
    let inspection = inspect(container);
    let mounts = inspection["Mounts"].as_array().expect("mounts").iter();
    let volumes = mounts.filter_map(|mount| mount["Name"].as_str());
    volumes.map(str::to_owned).collect()
}

/// Which of these volumes there still are. Others may come and go meanwhile: the Engine is not ours alone.
pub fn remaining(volumes: &[String]) -> Vec<String> {
    let all = lines(&docker(&["volume", "ls", "-q"]));
    volumes
        .iter()
        .filter(|name| all.contains(name))
        .cloned()
        .collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// By its /proc/PID/status, a process that has no rights but its user's, and can't get any.
#[track_caller]
pub fn check_powerless(status: &str) {
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(
            status.lines().any(|found| found == line),
            "{line}\n{status}"
        );
    }
}
