//! Opens the Engine's Unix socket, for ourselves and for ureq.
//!
//! ureq speaks HTTP over whatever a [`Connector`] opens. Ours opens a `UnixStream` and gives it ureq's
//! deadlines as socket timeouts. Everything used here lives under `ureq::unversioned`, which may change in a
//! minor release of ureq, hence the pinned version in `Cargo.toml`.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

/// Opens the Unix socket at `path` and gives up after `limit`, with `WouldBlock`.
///
/// `UnixStream::connect` has no deadline: it waits as long as a stuck Engine's queue of connections is full.
/// The kernel does honour a send timeout there, so that is set before.
pub(super) fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// That the socket could not be opened, kept apart from a connection that broke later.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ConnectFailed(pub io::Error);

/// Opens the Engine's socket for ureq.
#[derive(Debug)]
pub(super) struct UnixConnector {
    /// The socket's path.
    pub path: PathBuf,
    /// How long opening may take where the call has no deadline of its own.
    pub limit: Duration,
}

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<UnixTransport>, ureq::Error> {
        let limit = time_left(&details.timeout).unwrap_or(self.limit);
        let stream = connect(&self.path, limit).map_err(|cause| match cause.kind() {
            ErrorKind::WouldBlock => ureq::Error::Timeout(details.timeout.reason),
            _ => ureq::Error::Other(Box::new(ConnectFailed(cause))),
        })?;
        let socket = Arc::new(Socket(stream));
        let handle: Weak<dyn ShutdownHandle> = Arc::downgrade(&socket) as Weak<dyn ShutdownHandle>;
        (details.register_shutdown)(handle)?;
        Ok(Some(UnixTransport {
            socket,
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
        }))
    }
}

/// A connection, as `Agent::shutdown` needs it: shared, so that another thread can wake a blocked read.
struct Socket(UnixStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        // It fails when the connection has ended, which is what was wanted.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// One connection to the Engine with ureq's buffers.
pub(super) struct UnixTransport {
    socket: Arc<Socket>,
    buffers: LazyBuffers,
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        let mut stream = &self.socket.0;
        stream.set_write_timeout(time_left(&timeout))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        stream
            .write_all(output)
            .map_err(|cause| expired_or(cause, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        let mut stream = &self.socket.0;
        let limit = time_left(&timeout);
        let began = Instant::now();
        let amount = loop {
            // The kernel counts each read anew, so a read that a signal cut short gets only what is left.
            stream.set_read_timeout(
                limit.map(|limit| at_least_a_tick(limit.saturating_sub(began.elapsed()))),
            )?;
            match stream.read(self.buffers.input_append_buf()) {
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                result => break result.map_err(|cause| expired_or(cause, &timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        is_idle(&self.socket.0).unwrap_or(false)
    }
}

impl fmt::Debug for UnixTransport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("UnixTransport")
    }
}

/// Whether the connection is open and silent: a closed one reads as EOF, and bytes that no call has asked for mean that
/// the last answer was not read to its end.
fn is_idle(mut stream: &UnixStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let result = stream.read(&mut [0]);
    stream.set_nonblocking(false)?;
    Ok(matches!(result, Err(cause) if cause.kind() == ErrorKind::WouldBlock))
}

/// What is left of ureq's deadline, as a socket timeout; `None` for no deadline.
fn time_left(timeout: &NextTimeout) -> Option<Duration> {
    timeout.not_zero().map(|left| at_least_a_tick(*left))
}

/// A socket timeout of zero would mean none at all.
fn at_least_a_tick(left: Duration) -> Duration {
    left.max(Duration::from_millis(1))
}

/// An expired socket timeout shows as `WouldBlock`, which ureq wants to hear as its own timeout.
fn expired_or(cause: io::Error, timeout: &NextTimeout) -> ureq::Error {
    match cause.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(cause),
    }
}

/// ureq resolves a host's name before it connects; a Unix socket has none, so any address will do.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_full_queue_does_not_hold_the_caller_for_ever() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        rustix::net::listen(&listener, 0).expect("a short queue");
        let limit = Duration::from_millis(50);
        let first = connect(&path, limit);
        assert!(first.is_ok(), "the queue holds one");
        let refused = connect(&path, limit).expect_err("the queue is full");
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn an_idle_connection_is_open_until_the_other_side_closes() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        assert!(is_idle(&ours).expect("readable"));
        theirs.write_all(b"x").expect("room");
        assert!(!is_idle(&ours).expect("readable"));
        drop(theirs);
        assert!(!is_idle(&ours).expect("readable"));
    }
}
