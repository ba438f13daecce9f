//! From asking for a game to its first output, and from connecting to a running one to its first output.

use std::time::Instant;

use crate::report::Row;
use crate::stand::{Outcome, Shell, Stand};
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
