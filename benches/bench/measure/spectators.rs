//! A player's echo while others watch, half of whom take nothing, beside that of players whom nobody watches.
//!
//! Those who watch are read by one more thread of this process, so on few processors a part of what they cost is
//! ours: on a real server they read elsewhere.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::echo;
use crate::report::Row;
use crate::stand::{Contender, Outcome, Server, Shell};
use crate::terminal::{Socket, Terminal};

/// Who reads nothing must still be alive, as a browser's page in which nothing is drawn any more: the server gives
/// up on who is silent for 60 s.
const PONG_EVERY: Duration = Duration::from_secs(10);
const TICK: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Alone twice, the second time for the noise; then watched by `count`.
pub fn run(server: &Server, shell: Shell, plan: &echo::Plan, count: usize) -> Outcome<Vec<Row>> {
    let mut contenders = Vec::new();
    let mut crowd = None;
    for name in ["alone", "again", "watched"] {
        let game = server.create(shell.name)?;
        let terminal = Socket::open(server.address, &game.id, true)?;
        if name == "watched" {
            crowd = Some(Crowd::join(server, &game.watch_path()?, count)?);
        }
        contenders.push(Contender::new(
            name,
            Box::new(terminal),
            Some(server.pid()),
            Box::new(game),
        ));
    }
    let rows = echo::run(&mut contenders, plan);
    if let Some(crowd) = crowd {
        crowd.leave()?;
    }
    rows
}

/// Those who watch: even ones read everything at once, odd ones nothing at all. Pages and raw clients of each sort.
struct Crowd {
    /// The end of it ends the thread.
    over: io::PipeWriter,
    reader: JoinHandle<io::Result<()>>,
}

impl Crowd {
    fn join(server: &Server, path: &str, count: usize) -> Outcome<Crowd> {
        let (mut stalled, mut reading) = (Vec::new(), Vec::new());
        for number in 0..count {
            let socket = Socket::open_at(server.address, path, number % 4 < 2)?;
            match number % 2 {
                0 => reading.push(socket),
                _ => stalled.push(socket),
            }
        }
        let (ended, over) = io::pipe()?;
        let reader = thread::spawn(move || watch(&mut reading, &mut stalled, &ended));
        Ok(Crowd { over, reader })
    }

    fn leave(mut self) -> Outcome<()> {
        // Fails when the thread has ended, and then it says why.
        let _ = self.over.write_all(b".");
        let outcome = self.reader.join();
        Ok(outcome.map_err(|_| "the spectators' thread panicked")??)
    }
}

fn watch(reading: &mut [Socket], stalled: &mut [Socket], ended: &io::PipeReader) -> io::Result<()> {
    let mut next_pong = Instant::now() + PONG_EVERY;
    loop {
        if Instant::now() >= next_pong {
            next_pong = Instant::now() + PONG_EVERY;
            stalled.iter_mut().try_for_each(Socket::pong)?;
        }
        let mut fds: Vec<PollFd> = reading
            .iter()
            .map(|socket| PollFd::from_borrowed_fd(socket.fd(), PollFlags::IN))
            .collect();
        fds.push(PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN));
        poll(&mut fds, Some(&TICK))?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[reading.len()] {
            return Ok(());
        }
        for (socket, _) in reading.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            socket.read(&mut |_| {})?;
        }
    }
}
