//! From asking for a game to its first output, and from connecting to a running one to its first output.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;

use crate::report::{Row, Target};
use crate::stand::{Outcome, Server, Shell, Stand};
use crate::terminal::{Socket, Terminal};

/// A new container: create, put, attach, start, first output; against `POST /session`, WebSocket, first output.
pub fn start(stand: &Stand, shell: Shell, rounds: usize) -> Outcome<Vec<Row>> {
    let mut row = Row::new("start to first output", "ms", &[]);
    for round in 0..rounds {
        let (mut bare, mut ours) = (0.0, vec![0.0; stand.servers.len()]);
        for at in super::in_turn(stand.servers.len() + 1, round) {
            let began = Instant::now();
            match at.checked_sub(1) {
                None => {
                    let (_container, mut terminal) = stand.bare(shell)?;
                    first_output(&mut terminal)?;
                    bare = milliseconds(began);
                }
                Some(server) => {
                    let server_at = &stand.servers[server].1;
                    let game = server_at.create(shell.name)?;
                    first_output(&mut Socket::open(server_at.address, &game.id, false)?)?;
                    ours[server] = milliseconds(began);
                }
            }
        }
        row.add("bare", bare);
        for ((prefix, _), time) in stand.servers.iter().zip(ours) {
            row.add(&format!("{prefix}raw"), time);
        }
    }
    Ok(vec![row])
}

/// A session that runs: WebSocket, first output. The Engine has nothing like it: it keeps no output.
pub fn join(stand: &Stand, shell: Shell, rounds: usize) -> Outcome<Vec<Row>> {
    let mut row = Row::new("WebSocket to first output", "ms", &[]);
    for (prefix, server) in &stand.servers {
        let game = server.create(shell.name)?;
        first_output(&mut Socket::open(server.address, &game.id, false)?)?;
        for _ in 0..rounds {
            let began = Instant::now();
            first_output(&mut Socket::open(server.address, &game.id, false)?)?;
            row.add(&format!("{prefix}raw"), milliseconds(began));
        }
    }
    Ok(vec![row])
}

/// `POST /session` where containers wait, and where none do; against create, put, attach and start.
pub fn pool(stand: &Stand, binary: &Path, shell: Shell, rounds: usize) -> Outcome<Vec<Row>> {
    let data = Arc::new(TempDir::new()?);
    let image = format!("{}={}", shell.name, shell.image);
    let flags = ["--pool-size", "2", "--shells", &image];
    let server = Server::start_with(binary, &stand.docker_host, data, &flags)?;
    let waiting = format!("pool_containers{{shell=\"{}\"}} 2", shell.name);
    let mut post = Row::new(
        "POST /session",
        "ms",
        &[Target::AtMost(10.0), Target::RatioAtMost(1.0 / 30.0)],
    );
    let mut prompt = Row::new(
        "POST /session and WebSocket to first output",
        "ms",
        &[Target::AtMost(50.0)],
    );
    for _ in 0..rounds {
        let began = Instant::now();
        let (_container, mut terminal) = stand.bare(shell)?;
        post.add("bare", milliseconds(began));
        first_output(&mut terminal)?;
        prompt.add("bare", milliseconds(began));
        server.await_answer("/metrics", &waiting)?;
        let began = Instant::now();
        let game = server.create(shell.name)?;
        post.add("raw", milliseconds(began));
        first_output(&mut Socket::open(server.address, &game.id, false)?)?;
        prompt.add("raw", milliseconds(began));
    }
    Ok(vec![post, prompt])
}

/// From the start of a server to its readiness, when the one before was killed with so many sessions.
pub fn adopt(stand: &Stand, binary: &Path, shell: Shell, sessions: usize) -> Outcome<Vec<Row>> {
    let data = Arc::new(TempDir::new()?);
    let flags = ["--pool-size", "0", "--instance", "bench-adoption"];
    let server = Server::start_with(binary, &stand.docker_host, data, &flags)?;
    let games = (0..sessions)
        .map(|_| server.create(shell.name))
        .collect::<Outcome<Vec<_>>>()?;
    let data = server.crash()?;
    let began = Instant::now();
    let server = Server::start_with(binary, &stand.docker_host, data, &flags)?;
    server.await_answer("/readyz", "ok")?;
    let took = began.elapsed().as_secs_f64();
    let mut row = Row::new(
        format!("taking over {sessions} sessions"),
        "s",
        &[Target::AtMost(3.0)],
    );
    row.add("server", took);
    // Those of the server that was killed are at the next one's address now.
    games.into_iter().for_each(std::mem::forget);
    drop(server);
    Ok(vec![row])
}

fn first_output(terminal: &mut dyn Terminal) -> Outcome<()> {
    let mut has_come = false;
    while !has_come {
        terminal.read(&mut |output| has_come |= !output.is_empty())?;
    }
    Ok(())
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
