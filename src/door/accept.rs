//! The accept loop. It survives every error of `accept` and of starting threads, and it owns the connections'
//! threads until the door closes.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags};

use super::listener::Listener;
use super::message::RequestId;
use super::print::{Form, print};
use super::proxy::{is_trusted, plain};
use super::rejection::Rejection;
use super::slots::{ConnectionSlots, NoSlot};
use super::stats::{Gauge, count};
use super::stop_event::StopEvent;
use super::wire::{Cut, wait};
use super::{Shared, conversation};
use crate::locks::Mutex;
use crate::logging::LogThrottle;
use crate::threads::{self, Kind};

/// The pause after a failed `accept`. Without free descriptors it fails immediately, again and again; a client can wait
/// this long.
const PAUSE: Duration = Duration::from_millis(20);
/// How often ended threads are joined when no connection arrives.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// Fewer threads than this are not worth looking through.
const SWEEP_FROM: usize = 64;
/// A loop that has not come round for this long hangs: in a round it has at most an answer to write, a thread to start
/// and ended threads to join.
const DEAD_AFTER: Duration = Duration::from_secs(10);

/// When the accept loop came round last.
#[derive(Debug)]
pub struct Pulse(
    /// Held for moves only.
    Mutex<Instant>,
);

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse(Mutex::new(Instant::now()))
    }
}

impl Pulse {
    fn beat(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Whether connections are accepted, or would be if there were any.
    pub fn is_felt(&self) -> bool {
        is_fresh(*self.0.lock(), Instant::now())
    }
}

fn is_fresh(last: Instant, now: Instant) -> bool {
    now.saturating_duration_since(last) < DEAD_AFTER
}

/// The threads of the connections that may still be open.
pub(super) type Threads = Vec<JoinHandle<()>>;

struct Acceptor {
    listener: Listener,
    shared: Arc<Shared>,
    stop: Arc<StopEvent>,
    pulse: Arc<Pulse>,
    threads: Threads,
    sweep_at: usize,
    // Every connection's thread holds a clone, so that the close can wait for all of them at the same time.
    alive: Sender<Infallible>,
    trouble: LogThrottle,
}

/// Starts the accept loop. It ends, and closes the listener, when `stop` is raised; it returns the threads.
pub(super) fn spawn(
    listener: Listener,
    shared: Arc<Shared>,
    stop: Arc<StopEvent>,
    pulse: Arc<Pulse>,
    alive: Sender<Infallible>,
) -> io::Result<JoinHandle<Threads>> {
    let mut acceptor = Acceptor {
        listener,
        shared,
        stop,
        pulse,
        threads: Vec::new(),
        sweep_at: SWEEP_FROM,
        alive,
        trouble: LogThrottle::default(),
    };
    threads::spawn(Kind::DoorAccept, move || {
        acceptor.accept_all();
        acceptor.threads
    })
}

impl Acceptor {
    fn accept_all(&mut self) {
        loop {
            self.pulse.beat();
            match wait(
                &self.listener,
                PollFlags::IN,
                Instant::now() + SWEEP_EVERY,
                Some(&self.stop),
            ) {
                Ok(()) => self.accept_one(),
                Err(Cut::TimedOut) => self.sweep(),
                Err(Cut::Closing) => return,
                Err(Cut::Gone(error)) => self.cope(error),
            }
        }
    }

    fn accept_one(&mut self) {
        match self.listener.accept() {
            Ok((stream, peer)) => self.admit(stream, plain(peer)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::Interrupted => {}
                _ => self.cope(error),
            },
        }
    }

    fn cope(&mut self, error: io::Error) {
        count(&self.shared.stats.accept_errors);
        if self.trouble.is_due(Instant::now()) {
            log::warn!("new connections can't be accepted for now: {error}");
        }
        // This is not a sleep, because the stop must end it. The listener stays readable meanwhile, so the wait is for
        // something else.
        let _ = wait(
            &self.shared.closing,
            PollFlags::IN,
            Instant::now() + PAUSE,
            Some(&self.stop),
        );
        self.sweep();
    }

    /// Starts a thread for a connection, or answers 503 when there are too many, or 429 when one address has too many.
    fn admit(&mut self, stream: TcpStream, peer: IpAddr) {
        let place = match self.place(peer) {
            Ok(place) => place,
            Err(no_slot) => {
                let refusal = Rejection::from(no_slot);
                count(refusal.counter(&self.shared.stats));
                log::debug!("door: {} peer={peer}", refusal.code());
                turn_away(&stream, refusal);
                return;
            }
        };
        if self.threads.len() >= self.sweep_at {
            self.sweep();
        }
        match self.serve(stream, peer, place) {
            Ok(thread) => {
                count(&self.shared.stats.accepted);
                self.threads.push(thread);
            }
            // The closure, and with it socket and place, is dropped already.
            Err(error) => {
                count(&self.shared.stats.refused_connections);
                self.cope(error);
            }
        }
    }

    fn place(&self, peer: IpAddr) -> Result<ConnectionSlots, NoSlot> {
        let shared = &self.shared;
        if shared.arrivals.are_peers() || is_trusted(peer, &shared.trusted_proxies) {
            let connection = shared.connections.take(None)?;
            Ok(ConnectionSlots::untold(
                connection,
                shared.untold.take(None)?,
            ))
        } else {
            Ok(ConnectionSlots::of(shared.connections.take(Some(peer))?))
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        place: ConnectionSlots,
    ) -> io::Result<JoinHandle<()>> {
        let (shared, alive, accepted) =
            (Arc::clone(&self.shared), self.alive.clone(), Instant::now());
        threads::spawn(Kind::DoorConn, move || {
            // INVARIANT: these are dropped in reverse order, so the place is free before the close stops waiting for
            // this thread.
            let _alive = alive;
            let mut place = place;
            let _open = Gauge::raise(&shared.stats.connections_open);
            conversation::run(&shared, stream, peer, accepted, &mut place);
        })
    }

    /// Joins the threads that have ended. To keep that cheap, the next look comes when there are twice as many as are
    /// left now.
    fn sweep(&mut self) {
        threads::join_finished(&mut self.threads);
        self.sweep_at = SWEEP_FROM.max(self.threads.len() * 2);
    }
}

/// Refuses without ever waiting: sends as much of the answer as the socket takes immediately.
fn turn_away(stream: &TcpStream, refusal: Rejection) {
    let (mut answer, body) = print(refusal.response(), RequestId::new(), Form::default());
    answer.extend_from_slice(&body);
    let _ = rustix::net::send(stream, &answer, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    let _ = stream.shutdown(Shutdown::Write);
    // A request that has arrived and is not read would turn the close into a reset, which destroys the answer.
    let _ = rustix::net::recv(stream, &mut [0; 4096], RecvFlags::DONTWAIT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_come_round_has_no_pulse() {
        let last = Instant::now();
        assert!(is_fresh(last, last));
        assert!(is_fresh(last, last + SWEEP_EVERY * 2));
        assert!(!is_fresh(last, last + DEAD_AFTER));
    }
}
