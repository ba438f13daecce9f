//! tiny_http behind a private Unix socket: it parses and queues requests, router threads ask the [`Service`].
//!
//! ```text
//! door ──whole, vetted request──▶ private socket ─▶ tiny_http ─queue─▶ http-0 … http-n ─▶ Service
//!   ◀──────── end without a byte ────────┘                               │
//!   ◀──────────────────────────── tickets ◀──────────── Answer ──────────┘
//! ```
//!
//! tiny_http 0.12 must not meet a stranger (one wrong length aborts the process), so only the door connects: the
//! socket's directory belongs to this process alone, and a request without a valid ticket gets 403. Threads:
//! `tiny-http` (its accept loop and its pool, which end by themselves within seconds of the close) and one `http-N` per
//! request that may be in flight. When tiny_http's accept loop dies, its listener closes with it, the next `connect` is
//! refused, and a new server takes its place.

mod router;
mod tickets;

use std::convert::Infallible;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::service::Service;
use super::stats::{Stats, count};
use crate::locks::Mutex;
use crate::logging::LogThrottle;
use crate::threads::{self, Kind};
use router::Router;
pub(in crate::door) use router::panic_message;
pub(in crate::door) use tickets::{Facts, Ticket};

/// The header that carries a request's ticket to the router thread. The door drops whatever a client sends under
/// `x-gate-`.
pub(in crate::door) const TICKET_HEADER: &str = "x-gate-ticket";

/// How long router threads have at least to notice that they are to end.
const CLOSE_TIME: Duration = Duration::from_millis(200);

/// tiny_http and its router threads.
pub(in crate::door) struct Server {
    router: Arc<Router>,
    directory: PathBuf,
    threads: usize,
    running: Mutex<Running>,
    deaths: LogThrottle,
}

/// What a rebuild replaces.
struct Running {
    number: u64,
    path: PathBuf,
    tiny: Option<Arc<tiny_http::Server>>,
    retired: Arc<AtomicBool>,
    // Including those of earlier generations, which are joined at the close.
    routers: Vec<JoinHandle<()>>,
    // Every router thread holds a clone; when all are gone, `ended` disconnects.
    alive: Option<Sender<Infallible>>,
    ended: Receiver<Infallible>,
}

impl Server {
    /// Starts tiny_http with `threads` router threads; its sockets go into `directory`, which must be private.
    pub(in crate::door) fn start(
        directory: PathBuf,
        threads: usize,
        service: Arc<dyn Service>,
        stats: Arc<Stats>,
    ) -> io::Result<Server> {
        let (alive, ended) = bounded(0);
        let running = Running {
            number: 0,
            path: directory.clone(),
            tiny: None,
            retired: Arc::default(),
            routers: Vec::new(),
            alive: Some(alive),
            ended,
        };
        let router = Arc::new(Router {
            service,
            stats,
            tickets: Arc::default(),
        });
        let server = Server {
            router,
            directory,
            threads,
            running: Mutex::new(running),
            deaths: LogThrottle::default(),
        };
        server.rebuild(&mut server.running.lock())?;
        Ok(server)
    }

    /// A ticket for a request that is about to be sent.
    pub(in crate::door) fn issue(&self, facts: Facts) -> Ticket {
        self.router.tickets.issue(facts)
    }

    /// The headers of every answer to a request with this `Origin`.
    pub(in crate::door) fn headers_for(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        self.router.service.headers_for(origin)
    }

    /// A connection for one request. Starts tiny_http anew when it has died.
    pub(in crate::door) fn connect(&self) -> io::Result<UnixStream> {
        let (number, path) = {
            let running = self.running.lock();
            (running.number, running.path.clone())
        };
        let refused = match UnixStream::connect(&path) {
            Err(error) if is_dead(&error) => error,
            connected => return connected,
        };
        let mut running = self.running.lock();
        if running.alive.is_none() {
            return Err(refused); // Closed, not dead.
        }
        // INVARIANT: of many threads that find tiny_http dead, one rebuilds it; the others see the new number.
        if running.number == number {
            if self.deaths.is_due(Instant::now()) {
                log::warn!("tiny_http's accept loop has died ({refused}): starting it anew");
            }
            self.rebuild(&mut running)?;
            count(&self.router.stats.rebuilds);
        }
        let path = running.path.clone();
        drop(running);
        UnixStream::connect(path)
    }

    /// Starts the next generation and retires the one before.
    fn rebuild(&self, running: &mut Running) -> io::Result<()> {
        // Each attempt has a path of its own: the end of a failed one removes its socket some time later.
        running.number += 1;
        let path = self.directory.join(format!("http-{}.sock", running.number));
        let tiny = Arc::new(start_tiny(&path)?);
        let retired = Arc::<AtomicBool>::default();
        let Some(alive) = running.alive.clone() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut routers = Vec::with_capacity(self.threads);
        for index in 0..self.threads {
            match self.spawn_router(index, &tiny, &retired, alive.clone()) {
                Ok(handle) => routers.push(handle),
                Err(error) => {
                    retire(&tiny, &retired, routers.len());
                    running.routers.append(&mut routers);
                    return Err(error);
                }
            }
        }
        if let Some(old) = running.tiny.replace(tiny) {
            retire(&old, &running.retired, self.threads);
        }
        running.routers.retain(|handle| !handle.is_finished());
        running.routers.append(&mut routers);
        running.retired = retired;
        running.path = path;
        Ok(())
    }

    fn spawn_router(
        &self,
        index: usize,
        tiny: &Arc<tiny_http::Server>,
        retired: &Arc<AtomicBool>,
        alive: Sender<Infallible>,
    ) -> io::Result<JoinHandle<()>> {
        let (router, tiny, retired) = (
            Arc::clone(&self.router),
            Arc::clone(tiny),
            Arc::clone(retired),
        );
        threads::spawn_one(Kind::Http, index, move || {
            let _alive = alive;
            while !retired.load(Ordering::SeqCst) {
                match tiny.recv() {
                    Ok(request) => router.serve(request),
                    // Either this thread is retired, or this is the accept loop's last word, and requests may be queued
                    // behind it.
                    Err(error) => log::debug!("tiny_http: {error}"),
                }
            }
        })
    }

    /// Ends all router threads, as far as their handlers return by the deadline. Returns how many were left behind.
    pub(in crate::door) fn close(&self, deadline: Instant) -> usize {
        let mut running = self.running.lock();
        running.alive = None;
        let tiny = running.tiny.take();
        if let Some(tiny) = &tiny {
            retire(tiny, &running.retired, self.threads);
        }
        let (routers, ended) = (std::mem::take(&mut running.routers), running.ended.clone());
        drop(running);
        // INVARIANT: router threads that have nothing to do end even if the deadline is over, because each of them
        // holds all of the server.
        let deadline = deadline.max(Instant::now() + CLOSE_TIME);
        let has_timed_out =
            matches!(ended.recv_deadline(deadline), Err(error) if error.is_timeout());
        let left = threads::join_ended(routers, has_timed_out);
        if left > 0 {
            log::warn!("{left} requests were still being answered when the server closed");
        }
        // INVARIANT: this is the last reference, dropped while the socket is there: tiny_http's drop wakes its accept
        // loop through the socket.
        drop(tiny);
        left
    }
}

/// Whether no process listens at the socket any more.
fn is_dead(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
    )
}

fn retire(tiny: &tiny_http::Server, retired: &AtomicBool, threads: usize) {
    retired.store(true, Ordering::SeqCst);
    for _ in 0..threads {
        tiny.unblock();
    }
}

/// Binds `path` and starts tiny_http on it.
///
/// INVARIANT: there is no clone of the listener; that it closes is how the door learns that tiny_http has died.
fn start_tiny(path: &Path) -> io::Result<tiny_http::Server> {
    let listener = UnixListener::bind(path)?;
    // tiny_http does not name its threads, and a thread without a name has that of the thread that started it, so a
    // thread of the right name starts them. Also, tiny_http panics when it gets no thread, which then ends only this
    // starter.
    let starter = threads::spawn(Kind::TinyHttp, move || {
        tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)
    })?;
    starter
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("no thread for tiny_http")))
}
