//! Where clients arrive of whom nothing is known yet, here called strangers: the accept loop, limits and deadlines, and
//! the way to the service.
//!
//! ```text
//! stranger ─▶ accept ─▶ head ─▶ parse ─▶ forward: rewrite ─▶ backend (tiny_http) ─▶ Service
//!              slots              │         ▲ slots                                    │
//!                             rejection     └──────────────── ticket ──────────────────┤
//!          ◀──────────────────── write ◀──────────────────────── Response, or HandOff(Connection)
//! ```
//!
//! Each connection has one thread (`door-conn`), which reads one request under absolute deadlines, passes it on when it
//! is whole and vetted, and writes the answer, which it finds under the request's ticket; then the connection is
//! closed, or waits for a browser's next request. Where the service wants the socket itself (a terminal, an upload) its
//! closure runs on that same thread, so the thread that counts the connection is the one that serves it, and a slow
//! client keeps only itself waiting. `door-accept` owns these threads; [`Door::close`] joins them.
//!
//! Knows nothing of routes, players, sessions or Docker: [`message`] says what a request and an answer are, and a
//! [`Service`] gives the answers.

mod accept;
mod arrivals;
mod backend;
mod chunks;
mod connection;
mod conversation;
mod error;
mod forward;
mod head;
mod headers;
pub mod limits;
pub mod listener;
mod message;
mod metrics;
mod parse;
mod print;
mod private_dir;
#[doc(hidden)]
pub mod probe;
mod proxy;
mod rejection;
mod rewrite;
pub mod security_headers;
mod service;
mod slots;
mod stats;
mod stop_event;
mod wire;
mod write;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};
use ipnet::IpNet;

use crate::locks::Mutex;
use crate::logging::LogThrottle;
use crate::threads;
use accept::Threads;
use backend::Server;
use private_dir::PrivateDirectory;
use slots::Slots;
use stop_event::StopEvent;

pub use accept::Pulse;
pub use arrivals::{Arrivals, Greeter, Relayed};
pub use connection::Connection;
pub use error::Error;
pub use limits::{Limits, MinDataRate};
pub use listener::{Address, Listener};
pub use message::{Body, Request, RequestId, Response};
pub use metrics::Metrics;
pub use proxy::household;
pub use service::{Answer, HandOff, Service};
pub use stats::Stats;

/// How many connections that are not accepted yet the kernel may queue. std asks for only 128.
const BACKLOG: i32 = 1024;

/// An open door. Dropping it closes it without waiting for clients.
pub struct Door {
    shared: Arc<Shared>,
    address: Address,
    pulse: Arc<Pulse>,
    stop: Arc<StopEvent>,
    acceptor: Mutex<Option<JoinHandle<Threads>>>,
    threads: Mutex<Threads>,
    // Disconnects when the acceptor and every connection's thread have ended.
    ended: Receiver<Infallible>,
    // INVARIANT: this is the last field, because tiny_http's end still needs its socket.
    _directory: PrivateDirectory,
}

/// What the connections' threads share.
struct Shared {
    limits: Limits,
    arrivals: Arrivals,
    trusted_proxies: Vec<IpNet>,
    server: Server,
    stats: Arc<Stats>,
    closing: Arc<StopEvent>,
    connections: Arc<Slots>,
    /// Connections from trusted proxies that have not told yet whose request they bring.
    untold: Arc<Slots>,
    in_flight: Arc<Slots>,
    unreachable: LogThrottle,
}

impl Door {
    /// Opens the door: starts tiny_http, its router threads and the accept loop.
    ///
    /// The private socket's directory (mode 0700) is made in `runtime_dir` and removed at the close; those that
    /// killed processes left there are removed now. `stats` is what is counted into.
    pub fn open(
        listener: Listener,
        limits: Limits,
        arrivals: Arrivals,
        trusted_proxies: Vec<IpNet>,
        service: Arc<dyn Service>,
        stats: Arc<Stats>,
        runtime_dir: &Path,
    ) -> Result<Door, Error> {
        let address = listener.address().clone();
        // Non-blocking, because a client may leave between `poll` and `accept`.
        listener.set_nonblocking().map_err(Error::Listener)?;
        rustix::net::listen(&listener, BACKLOG).map_err(|errno| Error::Listener(errno.into()))?;
        let system = |what| move |cause| Error::System { what, cause };
        let closing = Arc::new(StopEvent::new().map_err(system("a wake-up descriptor"))?);
        let stop = Arc::new(StopEvent::new().map_err(system("a wake-up descriptor"))?);
        let directory = PrivateDirectory::new(runtime_dir)?;
        let path = directory.path().to_owned();
        let server = Server::start(
            path.clone(),
            limits.max_in_flight,
            service,
            Arc::clone(&stats),
        )
        .map_err(|cause| Error::Backend { path, cause })?;
        let shared = Arc::new(Shared {
            connections: Slots::new(limits.max_connections, limits.max_per_address),
            untold: Slots::new(limits.max_untold, limits.max_untold),
            in_flight: Slots::new(limits.max_in_flight, limits.max_in_flight_per_address),
            limits,
            arrivals,
            trusted_proxies,
            server,
            stats,
            closing,
            unreachable: LogThrottle::default(),
        });
        let (alive, ended) = bounded(0);
        let pulse = Arc::<Pulse>::default();
        let acceptor = accept::spawn(
            listener,
            Arc::clone(&shared),
            Arc::clone(&stop),
            Arc::clone(&pulse),
            alive,
        )
        .map_err(system("a thread that accepts connections"))?;
        Ok(Door {
            shared,
            address,
            pulse,
            stop,
            acceptor: Mutex::new(Some(acceptor)),
            threads: Mutex::default(),
            ended,
            _directory: directory,
        })
    }

    /// Where strangers arrive.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// By this the accept loop shows that it is alive.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// What has been counted so far.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Closes the listening socket. Connections that are here already are served on.
    pub fn stop_accepting(&self) {
        self.stop.raise();
        let acceptor = self.acceptor.lock().take();
        if let Some(Ok(threads)) = acceptor.map(JoinHandle::join) {
            self.threads.lock().extend(threads);
        }
    }

    /// Ends everything: no new connections, requests that are not complete are dropped, those under way are
    /// answered, hand-offs are waited for (their owner must have told them to end).
    ///
    /// Returns how many connections' threads were still running at the deadline and had to be left behind.
    pub fn close(self, deadline: Instant) -> usize {
        self.shut(deadline)
    }

    fn shut(&self, deadline: Instant) -> usize {
        self.stop_accepting();
        self.shared.closing.raise();
        self.shared.in_flight.close();
        let has_timed_out =
            matches!(self.ended.recv_deadline(deadline), Err(error) if error.is_timeout());
        let connections: Threads = self.threads.lock().drain(..).collect();
        threads::join_ended(connections, has_timed_out) + self.shared.server.close(deadline)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut(Instant::now());
    }
}
