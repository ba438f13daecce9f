//! What keeps the door from opening. Once it is open, what is wrong with a request is a
//! [`Rejection`](super::rejection::Rejection).

use std::io;
use std::path::PathBuf;

/// Why the door could not be opened. `Display` is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listening socket could not be prepared.
    #[error("the listening socket is unusable: {0}")]
    Listener(io::Error),
    /// The directory of the private socket could not be made.
    #[error(
        "no private directory at {path}: {cause}; the directory above it must exist and be writable"
    )]
    PrivateDir {
        /// Where it should have been.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// tiny_http could not be started behind its private socket.
    #[error(
        "the HTTP server behind {path} does not start: {cause}; a Unix socket's path has at most 107 bytes"
    )]
    Backend {
        /// The socket's path.
        path: PathBuf,
        /// What the operating system, or tiny_http, said.
        cause: io::Error,
    },
    /// The operating system gave no thread or descriptor that every start needs.
    #[error("{what} could not be had: {cause}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the operating system said.
        cause: io::Error,
    },
}
