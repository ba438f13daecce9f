//! What can go wrong between the server and the Engine.

use std::io;
use std::time::Duration;

/// Why a value of `DOCKER_HOST` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is something else than `unix://…`, such as `tcp://…`.
    #[error("{0}: only a Unix socket will do, write it as unix:///var/run/docker.sock")]
    NotUnix(String),
    /// It is `unix://` without a path from the root.
    #[error("{0}: the socket's path must be absolute, write it as unix:///var/run/docker.sock")]
    NotAbsolute(String),
    /// The path does not fit into a socket's address.
    #[error("{0}: the socket's path is longer than the 107 bytes the system allows")]
    TooLong(String),
}

/// Why a call to the Engine failed. `Display` is for the operator's log: it names the call and, where the
/// Engine answered, its status and its own words. None of it is for players.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be opened: dockerd is down, or the server may not open the socket.
    #[error("{call}: no Engine answers at {socket}: {cause}")]
    Unreachable {
        /// The API operation, such as `ContainerCreate`.
        call: &'static str,
        /// The socket's path.
        socket: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The Engine answered with an error status.
    #[error("{call}: the Engine answered {status}: {message}")]
    Refused {
        /// The API operation.
        call: &'static str,
        /// The HTTP status.
        status: u16,
        /// The Engine's own words, cut to a sane length and without control characters.
        message: String,
    },
    /// The Engine did not answer in time.
    #[error("{call}: no answer from the Engine within {after:?}")]
    TimedOut {
        /// The API operation.
        call: &'static str,
        /// The call's deadline.
        after: Duration,
    },
    /// The connection broke in the middle of a call.
    #[error("{call}: the connection to the Engine broke: {cause}")]
    Broken {
        /// The API operation.
        call: &'static str,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The Engine answered something that is not its API.
    #[error("{call}: the Engine's answer makes no sense: {what}")]
    Garbled {
        /// The API operation.
        call: &'static str,
        /// What was wrong with it.
        what: String,
    },
    /// The Engine speaks no API version that this client speaks too.
    #[error(
        "the Engine speaks API {theirs}, we speak {ours}: install a newer Engine or a newer shellcraft"
    )]
    NoCommonVersion {
        /// The Engine's range.
        theirs: String,
        /// This client's range.
        ours: String,
    },
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing answers at the socket.
    Unreachable,
    /// An error status.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The connection broke in the middle of a call.
    Broken,
    /// An answer that is not that of the API.
    Garbled,
}

impl Kind {
    /// All of them, for metrics.
    pub const ALL: [Kind; 5] = [
        Kind::Unreachable,
        Kind::Refused,
        Kind::TimedOut,
        Kind::Broken,
        Kind::Garbled,
    ];

    /// The kind's name in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Unreachable => "unreachable",
            Kind::Refused => "refused",
            Kind::TimedOut => "timed_out",
            Kind::Broken => "broken",
            Kind::Garbled => "garbled",
        }
    }
}

impl Error {
    /// Its kind, for metrics.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Unreachable { .. } => Kind::Unreachable,
            Error::Refused { .. } => Kind::Refused,
            Error::TimedOut { .. } => Kind::TimedOut,
            Error::Broken { .. } => Kind::Broken,
            Error::Garbled { .. } | Error::NoCommonVersion { .. } => Kind::Garbled,
        }
    }

    /// Whether the container (or image, or path) is not there, which `remove` counts as success.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Refused { status: 404, .. })
    }

    /// Whether the call met a state that forbids it, such as a resize before the start.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Refused { status: 409, .. })
    }

    /// Whether the Engine refuses what it was asked for and always would: the request is at fault, such as an image that
    /// has no program to run, or a runtime that it does not know. DOCKER: 400 for both (20.10).
    pub fn is_final(&self) -> bool {
        match self {
            Error::Refused {
                status, message, ..
            } => {
                // This is what an Engine says that has just taken the place of another version.
                let is_version = message.contains("client version");
                (400..500).contains(status) && !matches!(status, 404 | 409 | 429) && !is_version
            }
            _ => false,
        }
    }

    /// Whether the Engine itself is away, slow or unwell, so that trying again later makes sense.
    pub fn is_outage(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::TimedOut { .. } | Error::Broken { .. } => true,
            Error::Refused { status, .. } => *status >= 500,
            Error::Garbled { .. } | Error::NoCommonVersion { .. } => false,
        }
    }
}
