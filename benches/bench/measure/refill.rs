//! How fast the pool fills: containers a second, against as many threads at the bare Engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::report::{Row, Target};
use crate::stand::{Outcome, Server, Shell, Stand};

/// As many as the server lets make containers at once.
const AT_ONCE: usize = 4;
/// So many are made in a round.
const CONTAINERS: usize = 24;
/// From when on it is counted: the first ones come together, and the server has just started.
const FIRST: usize = AT_ONCE;
/// LogThrottle enough to cost the server nothing that counts.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Takes turns: a bare round, and one of a fresh server's pool.
pub fn run(stand: &Stand, binary: &Path, shell: Shell, rounds: usize) -> Outcome<Vec<Row>> {
    let name = format!("filling the pool, {AT_ONCE} at once");
    let mut row = Row::new(name, "1/s", &[Target::RatioAtLeast(0.9)]);
    for round in 0..rounds {
        for at in super::in_turn(2, round) {
            match at {
                0 => row.add("bare", bare(stand, shell)?),
                _ => row.add("pool", pool(stand, binary, shell)?),
            }
        }
    }
    Ok(vec![row])
}

fn bare(stand: &Stand, shell: Shell) -> Outcome<f64> {
    let begun = AtomicUsize::new(0);
    let made = Mutex::new(Vec::with_capacity(CONTAINERS));
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while begun.fetch_add(1, Ordering::Relaxed) < CONTAINERS {
                    match stand.bare(shell) {
                        Ok(container) => made.lock().push((Instant::now(), container)),
                        Err(error) => *failure.lock() = Some(error.to_string()),
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner() {
        return Err(error.into());
    }
    let made = made.into_inner();
    let took = made[CONTAINERS - 1].0 - made[FIRST - 1].0;
    Ok((CONTAINERS - FIRST) as f64 / took.as_secs_f64())
}

fn pool(stand: &Stand, binary: &Path, shell: Shell) -> Outcome<f64> {
    let image = format!("{}={}", shell.name, shell.image);
    let size = CONTAINERS.to_string();
    let flags = ["--pool-size", &size, "--shells", &image];
    let data = Arc::new(TempDir::new()?);
    let server = Server::start_with(binary, &stand.docker_host, data, &flags)?;
    let (began, first) = waits_for(&server, shell, FIRST)?;
    let (ended, last) = waits_for(&server, shell, CONTAINERS)?;
    Ok((last - first) as f64 / (ended - began).as_secs_f64())
}

/// When at least so many were there, and how many there were.
fn waits_for(server: &Server, shell: Shell, count: usize) -> Outcome<(Instant, usize)> {
    let label = format!("pool_containers{{shell=\"{}\"}} ", shell.name);
    let mut found = 0;
    server.await_that("/metrics", LOOK_EVERY, |metrics| {
        let line = metrics.lines().find_map(|line| line.split_once(&label));
        found = line.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        found >= count
    })?;
    Ok((Instant::now(), found))
}
